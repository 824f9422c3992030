//! Keys whose time is about to be over, so that the next one is there before a commit is refused.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::keyring::Keyring;
use super::{Signed, Signers};

/// So long before the end it is told.
const AHEAD: TimeDelta = TimeDelta::days(30);

impl Signers {
    /// What is to be told of keys that end soon, or did, each once.
    pub fn ending(&self, now: DateTime<Utc>) -> Vec<String> {
        let of_ssh = self.ssh.iter().filter(|line| line.is_for_git).map(|line| {
            let signed = Signed { by: line.principals.clone(), key: line.key.fingerprint() };
            (signed, line.window.before)
        });
        let mut ends: BTreeMap<String, (Signed, Option<DateTime<Utc>>)> = BTreeMap::new();
        for (signed, end) in of_ssh.chain(self.openpgp.iter().flat_map(Keyring::ends)) {
            let known = ends.entry(signed.key.clone()).or_insert_with(|| (signed, end));
            // Of one that stands there twice the later end counts, and none is the latest.
            known.1 = known.1.zip(end).map(|(one, other)| one.max(other));
        }
        ends.retain(|key, _| !self.revoked.contains(key));
        let told = |(signed, end): &(Signed, Option<DateTime<Utc>>)| {
            let end = end.filter(|end| *end - now <= AHEAD)?;
            let (by, key) = (crate::plain::name(&signed.by), &signed.key);
            let at = end.format("%Y-%m-%d %H:%M UTC");
            Some(if end < now {
                format!("the key `{key}` of `{by}` expired on {at}: what it signed is not read any more")
            } else {
                format!("the key `{key}` of `{by}` expires on {at}: from then on what it signed is not read")
            })
        };
        ends.values().filter_map(told).collect()
    }
}
