//! What tells one content from another: MD5 where it keeps nothing secret, HMAC-SHA-256 under the
//! installation's key where others could try their guesses on it.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use sha2::Sha256;

/// The hash in hexadecimal, 32 letters.
pub fn hex(hash: Md5) -> String {
    to_hex(&hash.finalize())
}

pub fn to_hex(bytes: &[u8]) -> String {
    let digit = |of: u8| char::from(b"0123456789abcdef"[usize::from(of)]);
    let mut hex = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        hex.extend([digit(byte >> 4), digit(byte & 15)]);
    }
    hex
}

/// Adds `bytes` with their length, so that no two inputs run together.
pub fn part(hash: &mut Md5, bytes: impl AsRef<[u8]>) {
    hash.update((bytes.as_ref().len() as u64).to_le_bytes());
    hash.update(bytes);
}

/// The key of an installation.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; 32]);

impl Key {
    /// Of 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut key = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        for (byte, digits) in key.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Self(key))
    }

    /// A new one, out of the system's random numbers.
    pub fn new() -> rustix::io::Result<Self> {
        let (mut key, mut filled) = ([0; 32], 0);
        while filled < key.len() {
            filled += rustix::rand::getrandom(&mut key[filled..], rustix::rand::GetRandomFlags::empty())?;
        }
        Ok(Self(key))
    }

    /// What may be stored where only root and managers of the Swarm read.
    pub fn to_hex(&self) -> String {
        to_hex(&self.0)
    }

    /// 32 hexadecimal digits that stand for `parts`, and tell nothing about them to who lacks the key.
    pub fn tag<P: AsRef<[u8]>>(&self, parts: impl IntoIterator<Item = P>) -> String {
        let mut block = [0; 64];
        block[..32].copy_from_slice(&self.0);
        let mut hash = Hmac::<Sha256>::new(&block.into());
        for part in parts {
            hash.update(&(part.as_ref().len() as u64).to_le_bytes());
            hash.update(part.as_ref());
        }
        to_hex(&hash.finalize().into_bytes()[..16])
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_md5_and_parts_do_not_run_together() {
        assert_eq!(hex(Md5::new_with_prefix("abc")), "900150983cd24fb0d6963f7d28e17f72");
        let of = |parts: [&str; 2]| {
            let mut hash = Md5::new();
            for text in parts {
                part(&mut hash, text);
            }
            hex(hash)
        };
        assert_ne!(of(["ab", "c"]), of(["a", "bc"]));
    }

    #[test]
    fn tags_depend_on_the_key_and_on_where_a_part_ends() {
        let (one, other) = (Key::new().unwrap(), Key::new().unwrap());
        assert_eq!(Key::from_hex(&one.to_hex()), Some(one.clone()));
        assert_eq!(one.tag(["a", "b"]), one.tag(["a", "b"]));
        assert_eq!(one.tag(["a"]).len(), 32);
        assert_ne!(one.tag(["ab", "c"]), one.tag(["a", "bc"]));
        assert_ne!(one.tag(["a"]), other.tag(["a"]));
        assert_eq!(format!("{one:?}"), "Key([redacted])");
        for text in ["", "0", &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(Key::from_hex(text), None);
        }
    }
}
