//! MD5 over all that decides what runs: the text, the variables it uses, the files it names.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;

use anyhow::{Context, Result};
use md5::{Digest, Md5};

use super::interpolate::Variables;
use super::references::FileReference;
use crate::hash::{hex, part};

/// The stack's fingerprint in hex. Every part goes in with its length, so no two inputs run together.
pub fn fingerprint(
    text: &str,
    used: &BTreeSet<String>,
    variables: &Variables,
    files: &[FileReference],
) -> Result<String> {
    let mut hash = Md5::new();
    part(&mut hash, text);
    for name in used {
        part(&mut hash, name);
        hash.update([u8::from(variables.get(name).is_some())]);
        part(&mut hash, variables.get(name).unwrap_or_default());
    }
    for file in files {
        part(&mut hash, &file.key);
        let mut content = Md5::new();
        let what = || format!("`{}`: cannot read `{}`", file.key, file.path.display());
        io::copy(&mut File::open(&file.path).with_context(what)?, &mut HashWriter(&mut content))
            .with_context(what)?;
        part(&mut hash, content.finalize());
    }
    Ok(hex(hash))
}

struct HashWriter<'a>(&'a mut Md5);

impl io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
