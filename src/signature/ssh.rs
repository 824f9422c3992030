//! Public keys of SSH, and what they verify. The bytes are read here, the mathematics is OpenSSL's own library's.

use std::fmt;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey, EcPoint};
use openssl::ecdsa::EcdsaSig;
use openssl::error::ErrorStack;
use openssl::hash::{MessageDigest, hash};
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Public};
use openssl::rsa::Rsa;
use openssl::sign::Verifier;

use super::wire::Wire;

/// A shorter RSA key proves nothing any more.
const SHORTEST: i32 = 2048;
/// OpenSSH takes no longer one.
const LONGEST: i32 = 16384;
/// Of a security key: somebody touched it.
const PRESENT: u8 = 1;

/// What is taken, as it is told.
pub(super) const TAKEN: &str = "`ssh-ed25519`, `ecdsa-sha2-nistp256`, `-nistp384`, `-nistp521`, `ssh-rsa` of 2048 bits or more, \
    `sk-ssh-ed25519@openssh.com` and `sk-ecdsa-sha2-nistp256@openssh.com`";

#[derive(Clone)]
pub(super) struct PublicKey {
    /// All of it, as SSH packs it.
    blob: Vec<u8>,
    kind: Kind,
    key: PKey<Public>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Ed25519,
    Ecdsa(Curve),
    Rsa,
    /// On a security key, for this application.
    SkEd25519(Vec<u8>),
    SkEcdsa(Vec<u8>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Curve {
    P256,
    P384,
    P521,
}

/// What signed, as the signature has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Proof<'a> {
    pub algorithm: &'a [u8],
    pub bytes: &'a [u8],
    /// What stands behind it: of a security key its flags and its counter.
    pub rest: Wire<'a>,
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fingerprint())
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.blob == other.blob
    }
}

impl Curve {
    fn name(self) -> &'static [u8] {
        match self {
            Self::P256 => b"nistp256",
            Self::P384 => b"nistp384",
            Self::P521 => b"nistp521",
        }
    }

    fn group(self) -> Result<EcGroup, ErrorStack> {
        EcGroup::from_curve_name(match self {
            Self::P256 => Nid::X9_62_PRIME256V1,
            Self::P384 => Nid::SECP384R1,
            Self::P521 => Nid::SECP521R1,
        })
    }

    fn digest(self) -> MessageDigest {
        match self {
            Self::P256 => MessageDigest::sha256(),
            Self::P384 => MessageDigest::sha384(),
            Self::P521 => MessageDigest::sha512(),
        }
    }
}

impl PublicKey {
    /// The two words of a line: what it is, and base64. An error says why not.
    pub(super) fn read(name: &str, base64: &str) -> Result<Self, String> {
        let blob = BASE64_STANDARD
            .decode(base64)
            .or_else(|_| BASE64_STANDARD_NO_PAD.decode(base64))
            .map_err(|_| "its key is no base64".to_owned())?;
        let key = Self::parse(&blob)?;
        if Wire(&blob).string() != Some(name.as_bytes()) {
            return Err(format!("it says `{}`, and its key is another kind", crate::plain::name(name)));
        }
        Ok(key)
    }

    /// As SSH packs it. An error says why not.
    pub(super) fn parse(blob: &[u8]) -> Result<Self, String> {
        let mut wire = Wire(blob);
        let name = wire.string().unwrap_or_default();
        let (kind, key) = match name {
            b"ssh-ed25519" => (Kind::Ed25519, ed25519(&mut wire)),
            b"ecdsa-sha2-nistp256" => (Kind::Ecdsa(Curve::P256), ecdsa(&mut wire, Curve::P256)),
            b"ecdsa-sha2-nistp384" => (Kind::Ecdsa(Curve::P384), ecdsa(&mut wire, Curve::P384)),
            b"ecdsa-sha2-nistp521" => (Kind::Ecdsa(Curve::P521), ecdsa(&mut wire, Curve::P521)),
            b"ssh-rsa" => (Kind::Rsa, rsa(&mut wire)),
            b"sk-ssh-ed25519@openssh.com" => {
                let key = ed25519(&mut wire);
                (Kind::SkEd25519(application(&mut wire)?), key)
            }
            b"sk-ecdsa-sha2-nistp256@openssh.com" => {
                let key = ecdsa(&mut wire, Curve::P256);
                (Kind::SkEcdsa(application(&mut wire)?), key)
            }
            other => {
                let name = crate::plain::name(&String::from_utf8_lossy(other));
                return Err(format!("its key is of the kind `{name}`, which is not taken: {TAKEN} are"));
            }
        };
        let key = wire.ended(key).unwrap_or(Err(None));
        let key = key.map_err(|why| why.unwrap_or_else(|| "its key is damaged".to_owned()))?;
        Ok(Self { blob: blob.to_vec(), kind, key })
    }

    /// As `ssh-keygen -l` has it.
    pub(super) fn fingerprint(&self) -> String {
        // No SHA-256 is a key that fits none.
        let hash = hash(MessageDigest::sha256(), &self.blob).map(|hash| hash.to_vec()).unwrap_or_default();
        format!("SHA256:{}", BASE64_STANDARD_NO_PAD.encode(hash))
    }

    /// Whether `proof` is this key's over `data`. An error says why there is no telling.
    pub(super) fn verify(&self, proof: Proof<'_>, data: &[u8]) -> Result<bool, String> {
        let Proof { algorithm, bytes, mut rest } = proof;
        let other = || {
            let name = crate::plain::name(&String::from_utf8_lossy(algorithm));
            format!("it is made by `{name}`, which does not go with its key")
        };
        let verified = match (&self.kind, algorithm) {
            (Kind::Ed25519, b"ssh-ed25519") => self.ed25519(bytes, data),
            (Kind::Ecdsa(curve), name) if name.strip_prefix(b"ecdsa-sha2-") == Some(curve.name()) => {
                self.ecdsa(bytes, data, curve.digest())
            }
            (Kind::Rsa, b"rsa-sha2-256") => self.rsa(bytes, data, MessageDigest::sha256()),
            (Kind::Rsa, b"rsa-sha2-512") => self.rsa(bytes, data, MessageDigest::sha512()),
            (Kind::Rsa, b"ssh-rsa") => {
                return Err("it is made by SHA-1, which proves nothing any more".into());
            }
            (Kind::SkEd25519(application), b"sk-ssh-ed25519@openssh.com") => {
                touched(&mut rest, application, data)?.and_then(|data| self.ed25519(bytes, &data))
            }
            (Kind::SkEcdsa(application), b"sk-ecdsa-sha2-nistp256@openssh.com") => {
                touched(&mut rest, application, data)?
                    .and_then(|data| self.ecdsa(bytes, &data, MessageDigest::sha256()))
            }
            _ => return Err(other()),
        };
        if !rest.0.is_empty() {
            return Err("there is something behind it".into());
        }
        // OpenSSL tells a proof that is none by an error as well.
        Ok(verified.unwrap_or(false))
    }

    fn ed25519(&self, proof: &[u8], data: &[u8]) -> Result<bool, ErrorStack> {
        Verifier::new_without_digest(&self.key)?.verify_oneshot(proof, data)
    }

    fn ecdsa(&self, proof: &[u8], data: &[u8], digest: MessageDigest) -> Result<bool, ErrorStack> {
        let mut wire = Wire(proof);
        let numbers = wire.integer().zip(wire.integer()).and_then(|numbers| wire.ended(numbers));
        let Some((r, s)) = numbers else { return Ok(false) };
        let der =
            EcdsaSig::from_private_components(BigNum::from_slice(r)?, BigNum::from_slice(s)?)?.to_der()?;
        Verifier::new(digest, &self.key)?.verify_oneshot(&der, data)
    }

    fn rsa(&self, proof: &[u8], data: &[u8], digest: MessageDigest) -> Result<bool, ErrorStack> {
        // Its leading zeros may be missing.
        let missing = self.key.size().saturating_sub(proof.len());
        let proof = [&vec![0; missing], proof].concat();
        Verifier::new(digest, &self.key)?.verify_oneshot(&proof, data)
    }
}

/// An error of `None` is damage.
type Read = Result<PKey<Public>, Option<String>>;

fn ed25519(wire: &mut Wire<'_>) -> Read {
    let bytes = wire.string().ok_or(None)?;
    PKey::public_key_from_raw_bytes(bytes, Id::ED25519).map_err(|_| None)
}

fn ecdsa(wire: &mut Wire<'_>, curve: Curve) -> Read {
    let (name, point) = wire.string().zip(wire.string()).ok_or(None)?;
    // The one form that OpenSSH writes: of one key there is one fingerprint.
    if name != curve.name() || point.first() != Some(&4) {
        return Err(None);
    }
    let key = || {
        let (group, mut context) = (curve.group()?, openssl::bn::BigNumContext::new()?);
        let point = EcPoint::from_bytes(&group, point, &mut context)?;
        let key = EcKey::from_public_key(&group, &point)?;
        key.check_key()?;
        PKey::from_ec_key(key)
    };
    key().map_err(|_: ErrorStack| None)
}

fn rsa(wire: &mut Wire<'_>) -> Read {
    let (e, n) = wire.integer().zip(wire.integer()).ok_or(None)?;
    let numbers = BigNum::from_slice(e).and_then(|e| Ok((e, BigNum::from_slice(n)?)));
    let (e, n) = numbers.map_err(|_| None)?;
    let bits = n.num_bits();
    if !(SHORTEST..=LONGEST).contains(&bits) {
        return Err(Some(format!("its RSA key has {bits} bits; it takes {SHORTEST} to {LONGEST}")));
    }
    // With 1 as exponent anything is a signature of itself.
    if e.num_bits() < 2 || !e.is_bit_set(0) || e.num_bits() > 64 {
        return Err(None);
    }
    Rsa::from_public_components(n, e).and_then(PKey::from_rsa).map_err(|_| None)
}

fn application(wire: &mut Wire<'_>) -> Result<Vec<u8>, String> {
    wire.string().map(<[u8]>::to_vec).ok_or_else(|| "its key is damaged".into())
}

/// What a security key signs where somebody touched it.
fn touched(
    rest: &mut Wire<'_>,
    application: &[u8],
    data: &[u8],
) -> Result<Result<Vec<u8>, ErrorStack>, String> {
    let (flags, counter) = rest.byte().zip(rest.number()).ok_or("it is damaged")?;
    if flags & PRESENT == 0 {
        return Err("nobody touched the security key that made it".into());
    }
    let hashed = |bytes: &[u8]| hash(MessageDigest::sha256(), bytes);
    Ok(hashed(application).and_then(|application| {
        Ok([&*application, &[flags], &counter.to_be_bytes(), &*hashed(data)?].concat())
    }))
}
