//! Whether a sender knows the secret, in a time that tells nothing about it.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::redact::Secret;

/// What a sender showed of the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// It knows it.
    Right,
    /// It does not.
    Wrong,
    /// It showed nothing, or nothing in it.
    Missing,
}

/// `hex`, the HMAC-SHA256 of `body` under the secret, by whom it was shown; `None` where no header was.
pub fn signed(secret: &Secret, body: &[u8], hex: Option<&str>) -> Proof {
    let Some(hex) = hex.map(str::trim).filter(|hex| !hex.is_empty()) else { return Proof::Missing };
    let Some(signature) = bytes(hex) else { return Proof::Wrong };
    if authenticate(secret.expose().as_bytes(), body, &signature) { Proof::Right } else { Proof::Wrong }
}

/// The secret itself, as it was shown. Both are hashed first, so not even their length can be told from the time.
pub fn sent(secret: &Secret, shown: Option<&str>) -> Proof {
    let Some(shown) = shown.map(str::trim).filter(|shown| !shown.is_empty()) else { return Proof::Missing };
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(b"dockerops") else { return Proof::Wrong };
    mac.update(shown.as_bytes());
    let shown = mac.finalize().into_bytes();
    let same = authenticate(b"dockerops", secret.expose().as_bytes(), &shown);
    if same { Proof::Right } else { Proof::Wrong }
}

fn authenticate(key: &[u8], text: &[u8], signature: &[u8]) -> bool {
    // HMAC takes keys of any length, so the error cannot happen; it is not to let anybody in.
    Hmac::<Sha256>::new_from_slice(key).is_ok_and(|mut mac| {
        mac.update(text);
        mac.verify_slice(signature).is_ok()
    })
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    if !hex.len().is_multiple_of(2) {
        return None;
    }
    hex.as_bytes().chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// What a sender with this secret writes.
    pub fn sign(secret: &str, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(body);
        let bytes = mac.finalize().into_bytes();
        bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
    }

    #[test]
    fn the_signature_is_the_one_of_rfc_4231() {
        // Test case 2.
        let hex = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let secret = Secret::new("Jefe");
        assert_eq!(signed(&secret, b"what do ya want for nothing?", Some(hex)), Proof::Right);
        assert_eq!(signed(&secret, b"what do ya want for nothing!", Some(hex)), Proof::Wrong);
    }

    #[test]
    fn nothing_but_the_whole_signature_will_do() {
        let (secret, body) = (Secret::new("s"), b"body");
        let right = sign("s", body);
        assert_eq!(signed(&secret, body, Some(&right)), Proof::Right);
        assert_eq!(signed(&secret, body, Some(&right.to_uppercase())), Proof::Right);
        for wrong in [&right[..62], &right[..63], &format!("{right}00"), "0", "zz", &sign("", body)] {
            assert_eq!(signed(&secret, body, Some(wrong)), Proof::Wrong, "{wrong}");
        }
        for missing in [None, Some(""), Some("  ")] {
            assert_eq!(signed(&secret, body, missing), Proof::Missing);
        }
    }

    #[test]
    fn a_sent_secret_is_the_whole_secret() {
        let secret = Secret::new("correct horse");
        assert_eq!(sent(&secret, Some("correct horse")), Proof::Right);
        assert_eq!(sent(&secret, Some("correct hors")), Proof::Wrong);
        assert_eq!(sent(&secret, Some("correct horse!")), Proof::Wrong);
        assert_eq!(sent(&secret, Some("")), Proof::Missing);
        assert_eq!(sent(&secret, None), Proof::Missing);
    }
}
