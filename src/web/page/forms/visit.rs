//! What ties a form to who it was made for: another visit's form, or an old one, is not taken.

use anyhow::{Context, Result};

use crate::hash::Key;
use crate::redact::Secret;
use crate::web::hooks::{Proof, sent};
use crate::web::request::Head;

/// For so many hours a form is good, beside the one that it was made in.
const HOURS: i64 = 12;

/// Knows the forms that were made since the start.
#[derive(Debug)]
pub struct Visits {
    key: Key,
}

impl Visits {
    pub fn new() -> Result<Self> {
        Ok(Self { key: Key::new().context("cannot make a key")? })
    }

    /// For a form that is shown `now`, in seconds, to who sent `head`; `user` is who a proxy says it is.
    pub fn token(&self, head: &Head, user: Option<&str>, now: i64) -> String {
        self.of_hour(head, user, now.div_euclid(3600))
    }

    /// Whether a form with this token was made for who sent `head`, and not too long ago.
    pub fn knows(&self, token: &str, head: &Head, user: Option<&str>, now: i64) -> bool {
        let hour = token.split_once('.').and_then(|(hour, _)| hour.parse().ok());
        let Some(hour) = hour.filter(|hour| (0..=HOURS).contains(&(now.div_euclid(3600) - hour))) else {
            return false;
        };
        sent(&Secret::new(self.of_hour(head, user, hour)), Some(token)) == Proof::Right
    }

    fn of_hour(&self, head: &Head, user: Option<&str>, hour: i64) -> String {
        let shown = head.header("authorization").unwrap_or_default();
        format!("{hour}.{}", self.key.tag(["form", &hour.to_string(), shown, user.unwrap_or_default()]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_of_one_visit_and_of_half_a_day() {
        let visits = Visits::new().unwrap();
        let head = |shown: &str| {
            let headers = vec![("authorization".to_owned(), shown.to_owned())];
            Head { headers, ..Head::default() }
        };
        let (ann, now) = (head("Basic YW5uOng="), 1_800_000_000);
        let token = visits.token(&ann, Some("ann"), now);
        for (later, is_known) in [(0, true), (12 * 3600, true), (13 * 3600, false), (-3600, false)] {
            assert_eq!(visits.knows(&token, &ann, Some("ann"), now + later), is_known, "{later}");
        }
        assert!(!visits.knows(&token, &head("Basic Ym9iOng="), Some("ann"), now));
        assert!(!visits.knows(&token, &head("Bearer x"), Some("ann"), now));
        assert!(!visits.knows(&token, &ann, Some("bob"), now));
        assert!(!visits.knows(&token, &ann, None, now));
        // Another daemon, or the same one started anew.
        assert!(!Visits::new().unwrap().knows(&token, &ann, Some("ann"), now));
        let (hour, tag) = token.split_once('.').unwrap();
        let next = hour.parse::<i64>().unwrap() + 1;
        for forged in
            ["", ".", hour, tag, &format!("{hour}."), &format!("{next}.{tag}"), &token[..token.len() - 1]]
        {
            assert!(!visits.knows(forged, &ann, Some("ann"), now + 3600), "{forged}");
        }
    }
}
