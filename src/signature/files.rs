//! The policy's files of keys, told apart by what is in them.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::keyring::{self, Keyring};
use super::{Signers, allowed};
use crate::problem::{Collector, Problem};

/// The largest file taken, in bytes.
const MOST: u64 = 4 << 20;
const KRL: &[u8] = b"SSHKRL\n\0";

/// What a file holds.
enum Kind {
    Lines(String),
    OpenPgp(Vec<u8>),
}

pub(super) fn read(keys: &[PathBuf], revoked: &[PathBuf], path: &OsStr) -> Result<Signers, Vec<Problem>> {
    let (mut ssh, mut gone, mut problems) = (Vec::new(), BTreeSet::new(), Vec::new());
    let mut openpgp = Vec::new();
    for file in keys {
        let mut found = Collector::new(file.display().to_string());
        match kind(file) {
            Ok(Kind::Lines(text)) => {
                let lines = allowed::read(&text, &mut found);
                let wrong = found.into_problems();
                if lines.is_empty() && wrong.is_empty() {
                    problems.extend(of(file, "it names no key"));
                }
                problems.extend(wrong);
                ssh.extend(lines);
            }
            Ok(Kind::OpenPgp(content)) => openpgp.push(keyring::File::new(content, false, found)),
            Err(what) => problems.extend(of(file, &what)),
        }
    }
    for file in revoked {
        let mut found = Collector::new(file.display().to_string());
        match kind(file) {
            Ok(Kind::Lines(text)) => {
                gone.extend(allowed::read_revoked(&text, &mut found));
                problems.extend(found.into_problems());
            }
            Ok(Kind::OpenPgp(content)) => openpgp.push(keyring::File::new(content, true, found)),
            Err(what) => problems.extend(of(file, &what)),
        }
    }
    let keyring = if openpgp.is_empty() { None } else { Keyring::read(&mut openpgp, path) };
    for file in openpgp {
        if file.is_revoked {
            gone.extend(file.keys);
        }
        problems.extend(file.found.into_problems());
    }
    if problems.is_empty() {
        return Ok(Signers { ssh, openpgp: keyring, revoked: gone });
    }
    Err(problems)
}

fn of(file: &Path, what: &str) -> Vec<Problem> {
    let mut found = Collector::new(file.display().to_string());
    found.add(0, "", what);
    found.into_problems()
}

/// An error says why it cannot be used.
fn kind(path: &Path) -> Result<Kind, String> {
    let cannot = |error: std::io::Error| format!("it cannot be read: {error}");
    // Whoever opens a pipe waits for its other end.
    if !path.metadata().map_err(cannot)?.is_file() {
        return Err("it is no file".into());
    }
    let mut content = Vec::new();
    File::open(path).and_then(|file| file.take(MOST + 1).read_to_end(&mut content)).map_err(cannot)?;
    if content.len() as u64 > MOST {
        return Err(format!("it is larger than {} MiB", MOST >> 20));
    }
    if content.starts_with(KRL) {
        return Err("it is a revocation list in OpenSSH's binary form (KRL), which is not taken: list the public keys \
                    themselves, or their fingerprints, one a line"
            .into());
    }
    // Of a packet the first bit is set, which no text begins with.
    if content.first().is_some_and(|first| first & 0x80 != 0) {
        return Ok(Kind::OpenPgp(content));
    }
    let Ok(text) = String::from_utf8(content) else {
        return Err("it holds neither keys of SSH nor of OpenPGP".into());
    };
    if !text.contains("-----BEGIN ") {
        return Ok(Kind::Lines(text));
    }
    if text.contains(" PRIVATE KEY") {
        return Err("it holds a private key, which nobody needs here: name the public one".into());
    }
    if text.contains("-----BEGIN PGP PUBLIC KEY BLOCK-----") {
        return Ok(Kind::OpenPgp(text.into_bytes()));
    }
    Err("it holds neither keys of SSH nor of OpenPGP".into())
}
