//! MD5 in hexadecimal: what tells one content from another, and keeps nothing secret.

use std::fmt::Write;

use md5::{Digest, Md5};

/// The hash in hexadecimal, 32 letters.
pub fn hex(hash: Md5) -> String {
    hash.finalize().iter().fold(String::with_capacity(32), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Adds `bytes` with their length, so that no two inputs run together.
pub fn part(hash: &mut Md5, bytes: impl AsRef<[u8]>) {
    hash.update((bytes.as_ref().len() as u64).to_le_bytes());
    hash.update(bytes);
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
}
