//! A signature as `ssh-keygen -Y sign` makes it (OpenSSH's PROTOCOL.sshsig).

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use openssl::hash::{MessageDigest, hash};

use super::ssh::{Proof, PublicKey};
use super::wire::{Wire, packed};

const MAGIC: &[u8] = b"SSHSIG";
const DAMAGED: &str = "it is damaged";

pub(super) struct Signature {
    key: PublicKey,
    namespace: Vec<u8>,
    /// What is signed stands behind this, by its hash.
    before: Vec<u8>,
    digest: MessageDigest,
    proof: Vec<u8>,
}

impl Signature {
    /// From what stands between its two lines, these included. An error says why not.
    pub(super) fn parse(armored: &str) -> Result<Self, String> {
        let lines = armored.lines().filter(|line| !line.starts_with("-----"));
        let bytes = BASE64_STANDARD.decode(lines.collect::<String>()).map_err(|_| DAMAGED)?;
        let mut wire = Wire(&bytes);
        if wire.bytes(MAGIC.len()) != Some(MAGIC) {
            return Err(DAMAGED.into());
        }
        let version = wire.number().ok_or(DAMAGED)?;
        if version != 1 {
            return Err(format!("it is of version {version}, and only 1 is known"));
        }
        let mut next = || wire.string().ok_or(DAMAGED);
        let (key, namespace, reserved, algorithm, proof) = (next()?, next()?, next()?, next()?, next()?);
        wire.ended(()).ok_or(DAMAGED)?;
        let digest = match algorithm {
            b"sha256" => MessageDigest::sha256(),
            b"sha512" => MessageDigest::sha512(),
            other => {
                let name = crate::plain::name(&String::from_utf8_lossy(other));
                return Err(format!("it is over a hash by `{name}`; it takes `sha256` or `sha512`"));
            }
        };
        Ok(Self {
            key: PublicKey::parse(key)?,
            namespace: namespace.to_vec(),
            before: [MAGIC, &packed(namespace), &packed(reserved), &packed(algorithm)].concat(),
            digest,
            proof: proof.to_vec(),
        })
    }

    /// The key that it says to be made with.
    pub(super) fn key(&self) -> &PublicKey {
        &self.key
    }

    /// What it was made for; git's are for `git`.
    pub(super) fn namespace(&self) -> &[u8] {
        &self.namespace
    }

    /// Whether its key made it over `text`. An error says why there is no telling.
    pub(super) fn fits(&self, text: &[u8]) -> Result<bool, String> {
        let hashed = hash(self.digest, text).map_err(|error| format!("OpenSSL says: {error}"))?;
        let data = [&self.before[..], &packed(&hashed)].concat();
        let mut wire = Wire(&self.proof);
        let (algorithm, bytes) = wire.string().zip(wire.string()).ok_or(DAMAGED)?;
        self.key.verify(Proof { algorithm, bytes, rest: wire }, &data)
    }
}
