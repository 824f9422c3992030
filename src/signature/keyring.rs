//! OpenPGP keys out of the policy's files. `gpg` reads them once; what it made of them is kept in memory, and given to each
//! call that verifies. Which of them counts, and when, is decided here.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};

use chrono::{DateTime, Utc};

use super::Signed;
use super::gpg::{Home, complaint, told};
use super::object::Object;
use super::refusal::Why;
use super::window::Window;
use crate::problem::Collector;

/// RSA, ElGamal and DSA keys that are shorter prove nothing any more, in bits.
const SHORTEST: u32 = 2048;
/// `gpg`'s numbers of the algorithms whose keys have a length that tells something.
const OF_A_LENGTH: [&str; 5] = ["1", "2", "3", "16", "17"];
/// `gpg`'s numbers of hashes: SHA-256, 384, 512 and 224, and both of SHA-3. MD5, SHA-1 and RIPEMD-160 prove nothing any more.
const HASHES: [&str; 6] = ["8", "9", "10", "11", "12", "14"];
/// Of a signature over bytes, not over lines.
const OF_BYTES: &str = "00";

#[derive(Debug)]
pub(super) struct Keyring {
    keys: Vec<u8>,
    /// By the fingerprint of the key as a whole.
    named: BTreeMap<String, Key>,
    path: OsString,
}

#[derive(Debug, Default, Clone)]
struct Key {
    user: String,
    is_revoked: bool,
    /// When it, and each of its subkeys, counts.
    windows: BTreeMap<String, Window>,
    /// Bits that are too few.
    weak: Option<u32>,
}

/// A file, and where what is wrong with it goes.
pub(super) struct File {
    pub content: Vec<u8>,
    /// Whether it holds keys that are revoked, or certificates that say so.
    pub is_revoked: bool,
    /// The fingerprints of its keys, once it was read.
    pub keys: BTreeSet<String>,
    pub found: Collector,
}

impl File {
    pub(super) fn new(content: Vec<u8>, is_revoked: bool, found: Collector) -> Self {
        Self { content, is_revoked, keys: BTreeSet::new(), found }
    }
}

impl Keyring {
    /// Of these files; what revokes keys comes behind them. `None` where something is wrong.
    pub(super) fn read(files: &mut [File], path: &OsStr) -> Option<Self> {
        let home = match Home::new(&[], path) {
            Ok(home) => home,
            Err(why) => {
                files.first_mut()?.found.add(0, "", why);
                return None;
            }
        };
        let (mut named, mut is_right) = (BTreeSet::new(), true);
        for (nth, file) in files.iter_mut().enumerate() {
            match import(&home, &format!("file-{nth}"), file) {
                Ok(keys) if file.is_revoked => file.keys = keys,
                Ok(keys) => {
                    named.extend(keys.iter().cloned());
                    file.keys = keys;
                }
                Err(why) => {
                    is_right = false;
                    file.found.add(0, "", why);
                }
            }
        }
        let list = home.gpg(&["--list-keys"]).map(|output| output.stdout).unwrap_or_default();
        let mut listed = listed(&list);
        listed.retain(|fingerprint, _| named.contains(fingerprint));
        for file in files.iter_mut().filter(|file| !file.is_revoked) {
            for key in &file.keys {
                let what = match listed.get(key) {
                    Some(Key { weak: Some(bits), .. }) => {
                        format!("a part of the key `{key}` has {bits} bits: it takes {SHORTEST}")
                    }
                    Some(_) => continue,
                    None => format!("`gpg` does not list the key `{key}`"),
                };
                is_right = false;
                file.found.add(0, "", what);
            }
        }
        if !is_right {
            return None;
        }
        let keys = home.keys().map_err(|why| files.first_mut().map(|file| file.found.add(0, "", why))).ok();
        keys.map(|keys| Self { keys, named: listed, path: path.to_owned() })
    }

    /// Who signed the object, as of `now`.
    pub(super) fn verify(&self, object: &Object, armored: &str, now: DateTime<Utc>) -> Result<Signed, Why> {
        let verdict = self.asked(object.text(), armored).map_err(Why::NoGpg)??;
        let Some(key) = self.named.get(&verdict.primary) else { return Err(Why::Unknown(verdict.primary)) };
        let signed = Signed { by: key.user.clone(), key: verdict.primary.clone() };
        if key.is_revoked || verdict.word == "REVKEYSIG" {
            return Err(Why::Revoked(signed.into()));
        }
        for part in [&verdict.primary, &verdict.part] {
            let window = key.windows.get(part).ok_or_else(|| Why::Unknown(part.clone()))?;
            window.judge(object.date(), now).map_err(|timing| timing.of(signed.clone()))?;
        }
        let until = verdict.until.filter(|until| now > *until);
        match (&*verdict.word, until) {
            ("GOODSIG", None) => Ok(signed),
            (_, Some(until)) => Err(Why::Malformed(format!("it was to count until {until}"))),
            // It has the same clock, and may know of more bounds.
            ("EXPKEYSIG", _) => Err(Why::Expired(signed.into(), now)),
            _ => Err(Why::Malformed("`gpg` says that its time is over".into())),
        }
    }

    /// What `gpg` makes of it; the outer error says why it cannot be asked.
    fn asked(&self, text: &[u8], armored: &str) -> Result<Result<Verdict, Why>, String> {
        let home = Home::new(&self.keys, &self.path)?;
        let (signature, text) = (home.write("signature", armored.as_bytes())?, home.write("text", text)?);
        // A key counts for standing in a file of the policy.
        let trust = ["--trust-model=always", "--no-auto-check-trustdb"];
        let output = home.gpg(&[&trust[..], &["--verify", &signature, &text]].concat())?;
        let mut words = Vec::new();
        let mut facts = None;
        for (word, rest) in told(&output) {
            match word {
                "GOODSIG" | "EXPSIG" | "EXPKEYSIG" | "REVKEYSIG" | "BADSIG" | "ERRSIG" => {
                    words.push((word, rest));
                }
                // A second one is as many as several signatures.
                "VALIDSIG" if facts.is_none() => facts = Some(rest),
                "VALIDSIG" => return Ok(Err(Why::Several)),
                _ => {}
            }
        }
        Ok(match (&words[..], facts) {
            ([("BADSIG", _)], _) => Err(Why::Misfit),
            ([("ERRSIG", rest)], _) => Err(match rest[..] {
                // 9: there is no such key.
                [id, _, _, _, _, "9", ref more @ ..] => {
                    let fingerprint = more.first().filter(|fingerprint| fingerprint.len() >= 40);
                    Why::Unknown((*fingerprint.unwrap_or(&id)).to_owned())
                }
                _ => Why::Malformed(complaint(&output)),
            }),
            ([("GOODSIG", _)], _) if !output.success => Err(Why::Malformed(complaint(&output))),
            ([(word, _)], Some(facts)) => Verdict::read(word, &facts),
            ([], _) | ([_], None) => Err(Why::Malformed(complaint(&output))),
            _ => Err(Why::Several),
        })
    }
}

#[cfg(test)]
impl Keyring {
    /// From now on it is not to be found.
    pub(super) fn forget_gpg(&mut self) {
        self.path = "/nonexistent".into();
    }
}

/// A signature that fits.
struct Verdict {
    word: String,
    /// The key that made it, and that which it is a part of.
    part: String,
    primary: String,
    /// Until when it is to count.
    until: Option<DateTime<Utc>>,
}

impl Verdict {
    fn read(word: &str, facts: &[&str]) -> Result<Self, Why> {
        let [part, _, _, until, _, _, _, hash, class, primary, ..] = *facts else {
            return Err(Why::malformed("`gpg` does not say which key it is of"));
        };
        if !HASHES.contains(&hash) {
            return Err(Why::malformed("it is over a hash that proves nothing any more, SHA-1 say"));
        }
        if class != OF_BYTES {
            return Err(Why::malformed("it is no signature over bytes"));
        }
        let until = time(until).map_err(|()| Why::malformed("`gpg` does not say how long it counts"))?;
        let [word, part, primary] = [word, part, primary].map(str::to_owned);
        Ok(Self { word, part, primary, until })
    }
}

/// The fingerprints of the keys in a file. An error says what is wrong with it.
fn import(home: &Home<'_>, name: &str, file: &File) -> Result<BTreeSet<String>, String> {
    let path = home.write(name, &file.content)?;
    let output = home.gpg(&["--import", &path]).map_err(|why| {
        format!("{why}; OpenPGP keys are read by it: install GnuPG on this manager, or take SSH keys")
    })?;
    let (mut keys, mut secret, mut certificates) = (BTreeSet::new(), false, false);
    for (word, rest) in told(&output) {
        match (word, &rest[..]) {
            ("IMPORT_OK", [reason, fingerprint, ..]) => {
                secret |= reason.parse::<u32>().is_ok_and(|reason| reason & 16 != 0);
                keys.insert((*fingerprint).to_owned());
            }
            ("IMPORT_RES", rest) => {
                let counts = |at: usize| rest.get(at).is_some_and(|count| *count != "0");
                certificates = counts(8);
                secret |= counts(9);
            }
            _ => {}
        }
    }
    if secret {
        return Err(
            "it holds a private key, which nobody needs here: export the public one, `gpg --export`".into()
        );
    }
    let has_some = !keys.is_empty() || (file.is_revoked && certificates);
    if has_some && output.success {
        return Ok(keys);
    }
    Err(format!("`gpg` takes no key from it: {}", complaint(&output)))
}

/// The keys of `gpg --list-keys --with-colons`.
fn listed(text: &str) -> BTreeMap<String, Key> {
    let mut all: BTreeMap<String, Key> = BTreeMap::new();
    let (mut primary, mut part) = (String::new(), None);
    let mut next = Key::default();
    for line in text.lines() {
        let fields: Vec<_> = line.split(':').collect();
        let field = |at: usize| fields.get(at).copied().unwrap_or_default();
        match field(0) {
            kind @ ("pub" | "sub") => {
                if kind == "pub" {
                    (next, primary) = (Key::default(), String::new());
                    next.is_revoked = field(1).contains('r');
                }
                let bits = field(2).parse().unwrap_or(0);
                // Of one whose time is over nothing depends.
                let counts = !field(1).contains(['r', 'e']);
                if counts && OF_A_LENGTH.contains(&field(3)) && bits < SHORTEST {
                    next.weak = Some(bits);
                }
                let bounds = time(field(5)).and_then(|after| Ok((after, time(field(6))?)));
                // A part whose time is not known counts never.
                part = bounds.ok().filter(|_| !field(1).contains(['r', 'i', 'd']));
            }
            "fpr" => {
                if primary.is_empty() {
                    field(9).clone_into(&mut primary);
                }
                if let Some((after, before)) = part.take() {
                    next.windows.insert(field(9).to_owned(), Window { after, before });
                }
                all.insert(primary.clone(), next.clone());
            }
            "uid" if next.user.is_empty() => {
                next.user = unescaped(field(9));
                all.insert(primary.clone(), next.clone());
            }
            _ => {}
        }
    }
    all
}

/// Seconds; none where it is empty or 0.
fn time(seconds: &str) -> Result<Option<DateTime<Utc>>, ()> {
    match seconds {
        "" | "0" => Ok(None),
        seconds => {
            let time = seconds.parse().ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
            time.map(Some).ok_or(())
        }
    }
}

/// `gpg` writes a colon as `\x3a`.
fn unescaped(text: &str) -> String {
    text.replace("\\x3a", ":")
}
