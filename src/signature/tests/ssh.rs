//! Commits signed by keys of SSH.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use git2::Oid;
use openssl::bn::BigNumContext;
use openssl::ec::{EcGroup, EcKey, PointConversionForm};
use openssl::ecdsa::EcdsaSig;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::sha::{sha256, sha512};
use openssl::sign::Signer;

use super::{Lab, header};
use crate::signature::object::Object;
use crate::signature::wire::packed;

#[test]
fn every_kind_of_key_that_ssh_keygen_makes_signs() {
    let lab = Lab::new();
    let kinds: [&[&str]; 6] = [
        &["ed25519"],
        &["ecdsa", "-b", "256"],
        &["ecdsa", "-b", "384"],
        &["ecdsa", "-b", "521"],
        &["rsa", "-b", "2048"],
        &["rsa", "-b", "3072"],
    ];
    for (number, kind) in kinds.iter().enumerate() {
        let name = format!("key{number}");
        let public = lab.key(&name, kind);
        let commit = lab.commit(&name);
        let signers = lab.signers(&format!("ann@h {public}\n"));
        let signed = lab.verify(&signers, commit).unwrap();
        let print = lab.run("ssh-keygen", &["-l", "-f", lab.path(&name).to_str().unwrap()], &[]);
        assert_eq!((&*signed.by, &*signed.key), ("ann@h", print.split(' ').nth(1).unwrap()));
        assert!(lab.git_takes(commit), "{kind:?}");
        // What is signed is the same to us and to git's library.
        let (signature, text) = lab.parts(commit);
        let found = Object::commit(&lab.repository, commit).unwrap();
        assert_eq!(found.text(), text.as_bytes());
        assert_eq!(found.signature().unwrap().1.trim_end(), signature.trim_end());
    }
}

#[test]
fn what_nobody_signed_or_somebody_else_is_refused_and_told() {
    let lab = Lab::new();
    let (ann, _) = (lab.key("ann", &["ed25519"]), lab.key("eve", &["ed25519"]));
    let signers = lab.signers(&format!("ann@h {ann}\n"));
    let base = lab.commit("ann");
    lab.git(&["checkout", "-q", "-b", "side"]);
    let side = lab.commit_at("ann", "2026-01-01T00:00:00Z");
    lab.git(&["checkout", "-q", "-B", "trunk", &base.to_string()]);
    let trunk = lab.commit("ann");
    assert!([side, trunk].into_iter().all(|parent| lab.verify(&signers, parent).is_ok()));
    lab.git(&["merge", "-q", "--no-ff", "--no-gpg-sign", "-m", "merge", "side"]);
    let merge = lab.head();
    for (commit, why) in [
        (lab.unsigned(), "is not signed"),
        (merge, "is not signed"),
        (lab.commit("eve"), "which the policy does not name"),
    ] {
        let told = lab.refused(&signers, commit);
        assert!(
            told.starts_with(&format!("commit `{}` by `Ann <ann@h>` ", &commit.to_string()[..12])),
            "{told}"
        );
        assert!(told.contains(why), "{told}");
        assert!(!lab.git_takes(commit), "{told}");
    }
    let print = lab.run("ssh-keygen", &["-l", "-f", lab.path("eve").to_str().unwrap()], &[]);
    let told = lab.refused(&signers, lab.head());
    assert!(told.contains(&format!("the key `{}`", print.split(' ').nth(1).unwrap())), "{told}");
    // A signed one counts, whatever its parents are.
    assert!(lab.verify(&signers, lab.unsigned()).is_err() && lab.verify(&signers, lab.commit("ann")).is_ok());
}

#[test]
fn names_that_others_wrote_are_told_harmless() {
    let lab = Lab::new();
    let signers = lab.signers(&format!("ann@h {}\n", lab.key("ann", &["ed25519"])));
    let name = format!("E\u{1b}[2Jve\u{202e}{}", "x".repeat(300));
    lab.run("git", &["commit", "-q", "--allow-empty", "-m", "x"], &[("GIT_AUTHOR_NAME", &name)]);
    let told = lab.refused(&signers, lab.head());
    assert!(told.contains("E\\u{1b}[2Jve\\u{202e}xxx") && told.contains("x…` is not signed"), "{told}");
    assert!(told.len() < 250, "{told}");
}

#[test]
fn a_key_counts_where_it_is_for_git_and_is_not_revoked() {
    let lab = Lab::new();
    let (ann, bob) = (lab.key("ann", &["ed25519"]), lab.key("bob", &["ecdsa"]));
    let (by_ann, by_bob) = (lab.commit("ann"), lab.commit("bob"));
    let signers = lab.signers(&format!("ann@h namespaces=\"file\" {ann}\nbob@h namespaces=\"git\" {bob}\n"));
    assert!(lab.refused(&signers, by_ann).contains("not for git by its `namespaces`"));
    assert!(lab.verify(&signers, by_bob).is_ok() && lab.git_takes(by_bob) && !lab.git_takes(by_ann));
    // One line of several is enough.
    let signers = lab.signers(&format!("ann@h namespaces=\"file\" {ann}\nann@h,*@h {ann}\n"));
    assert_eq!(lab.verify(&signers, by_ann).unwrap().by, "ann@h,*@h");

    let allowed = lab.write("allowed", format!("ann@h {ann}\nbob@h {bob}\n"));
    let print = lab.run("ssh-keygen", &["-l", "-f", lab.path("ann").to_str().unwrap()], &[]);
    let print = print.split(' ').nth(1).unwrap().to_owned();
    for (list, is_of_keys) in [(format!("# gone\n{ann} comment\n"), true), (print, false)] {
        let revoked = lab.write("revoked", list);
        let read =
            super::Signers::read(std::slice::from_ref(&allowed), &[revoked], super::PATH.as_ref()).unwrap();
        let told = lab.refused(&read, by_ann);
        assert!(told.contains("which is revoked"), "{told}");
        assert!(lab.verify(&read, by_bob).is_ok());
        // Git knows no list of fingerprints.
        assert!(!lab.git_takes(by_ann) && lab.git_takes(by_bob) == is_of_keys);
    }
}

#[test]
fn a_commit_of_another_repository_counts_where_its_key_does() {
    let (lab, other) = (Lab::new(), Lab::new());
    let (ann, bob) = (lab.key("ann", &["ed25519"]), other.key("bob", &["ed25519"]));
    other.write("ann", std::fs::read(lab.path("ann")).unwrap());
    std::os::unix::fs::symlink(lab.path("ann.pub"), other.path("ann.pub")).unwrap();
    std::fs::set_permissions(other.path("ann"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    lab.commit("ann");
    let [by_ann, by_bob] = [other.commit("ann"), other.commit("bob")];
    lab.git(&["fetch", "-q", other.path("repository").to_str().unwrap(), "HEAD"]);
    // Nothing in a signature says which repository it is for.
    let signers = lab.signers(&format!("ann@h {ann}\n"));
    assert!(lab.verify(&signers, by_ann).is_ok());
    assert!(lab.refused(&signers, by_bob).contains("does not name"));
    let signers = lab.signers(&format!("bob@h {bob}\n"));
    assert!(lab.verify(&signers, by_ann).is_err() && lab.verify(&signers, by_bob).is_ok());
}

/// A signature that this test makes by itself over the text of `commit`.
fn forged(lab: &Lab, commit: Oid, key: &[u8], hash: &str, proof: impl Fn(&[u8]) -> Vec<u8>) -> (Oid, String) {
    let (_, text) = lab.parts(commit);
    let hashed =
        if hash == "sha256" { sha256(text.as_bytes()).to_vec() } else { sha512(text.as_bytes()).to_vec() };
    let inner = [packed(b"git"), packed(b""), packed(hash.as_bytes())].concat();
    let signed = [b"SSHSIG", &inner[..], &packed(&hashed)].concat();
    let blob = [b"SSHSIG", &1_u32.to_be_bytes()[..], &packed(key), &inner, &packed(&proof(&signed))].concat();
    let lines: Vec<String> = BASE64_STANDARD
        .encode(blob)
        .as_bytes()
        .chunks(70)
        .map(|line| String::from_utf8(line.to_vec()).unwrap())
        .collect();
    let armored =
        format!("-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n", lines.join("\n"));
    (lab.compose(&text, &header(&armored)), format!("ann@h {}\n", line(key)))
}

/// A key as it stands in a file.
fn line(key: &[u8]) -> String {
    let length = usize::try_from(u32::from_be_bytes(key[..4].try_into().unwrap())).unwrap();
    format!("{} {}", String::from_utf8_lossy(&key[4..4 + length]), BASE64_STANDARD.encode(key))
}

fn raw(key: &PKey<Private>, digest: Option<MessageDigest>, data: &[u8]) -> Vec<u8> {
    let mut signer = match digest {
        Some(digest) => Signer::new(digest, key).unwrap(),
        None => Signer::new_without_digest(key).unwrap(),
    };
    signer.sign_oneshot_to_vec(data).unwrap()
}

fn integer(bytes: &[u8]) -> Vec<u8> {
    if bytes[0] & 0x80 == 0 { packed(bytes) } else { packed(&[&[0], bytes].concat()) }
}

#[test]
fn a_security_key_signs_only_when_it_is_touched() {
    let lab = Lab::new();
    lab.key("ann", &["ed25519"]);
    let commit = lab.commit("ann");
    let private = PKey::generate_ed25519().unwrap();
    let name = b"sk-ssh-ed25519@openssh.com";
    let key = [packed(name), packed(&private.raw_public_key().unwrap()), packed(b"ssh:")].concat();
    let over = |data: &[u8], flags: u8| {
        [&sha256(b"ssh:")[..], &[flags], &7_u32.to_be_bytes(), &sha256(data)].concat()
    };
    let tail = |flags: u8| [&[flags], &7_u32.to_be_bytes()[..]].concat();
    for (flags, is_taken) in [(1, true), (5, true), (0, false), (4, false)] {
        let (made, allowed) = forged(&lab, commit, &key, "sha512", |data| {
            [packed(name), packed(&raw(&private, None, &over(data, flags))), tail(flags)].concat()
        });
        let signers = lab.signers(&allowed);
        assert_eq!(lab.verify(&signers, made).is_ok(), is_taken, "{flags}");
        assert!(lab.git_takes(made) || !is_taken, "{flags}");
    }
    // Flags that were not signed.
    let (made, allowed) = forged(&lab, commit, &key, "sha512", |data| {
        [packed(name), packed(&raw(&private, None, &over(data, 0))), tail(1)].concat()
    });
    assert!(lab.refused(&lab.signers(&allowed), made).contains("does not fit"));
    assert!(!lab.git_takes(made));

    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let curve = EcKey::generate(&group).unwrap();
    let mut context = BigNumContext::new().unwrap();
    let point = curve.public_key().to_bytes(&group, PointConversionForm::UNCOMPRESSED, &mut context).unwrap();
    let name = b"sk-ecdsa-sha2-nistp256@openssh.com";
    let key = [packed(name), packed(b"nistp256"), packed(&point), packed(b"ssh:")].concat();
    for (signed_flags, is_taken) in [(1, true), (0, false)] {
        let (made, allowed) = forged(&lab, commit, &key, "sha256", |data| {
            let proof = EcdsaSig::sign(&sha256(&over(data, signed_flags)), &curve).unwrap();
            let numbers = [integer(&proof.r().to_vec()), integer(&proof.s().to_vec())].concat();
            [packed(name), packed(&numbers), tail(1)].concat()
        });
        let signers = lab.signers(&allowed);
        assert_eq!((lab.verify(&signers, made).is_ok(), lab.git_takes(made)), (is_taken, is_taken));
    }
}

#[test]
fn what_proves_nothing_any_more_is_refused() {
    let lab = Lab::new();
    lab.key("ann", &["ed25519"]);
    let commit = lab.commit("ann");
    let of = |bits: u32| {
        let rsa = Rsa::generate(bits).unwrap();
        let key = [packed(b"ssh-rsa"), integer(&rsa.e().to_vec()), integer(&rsa.n().to_vec())].concat();
        (PKey::from_rsa(rsa).unwrap(), key)
    };
    let (private, key) = of(2048);
    for (name, digest, hash, wanted) in [
        ("rsa-sha2-256", MessageDigest::sha256(), "sha256", None),
        ("rsa-sha2-512", MessageDigest::sha512(), "sha512", None),
        ("ssh-rsa", MessageDigest::sha1(), "sha512", Some("SHA-1")),
        ("rsa-sha2-256", MessageDigest::sha512(), "sha512", Some("does not fit")),
        ("ssh-ed25519", MessageDigest::sha512(), "sha512", Some("does not go with its key")),
        ("rsa-sha2-512", MessageDigest::sha512(), "sha1", Some("hash by `sha1`")),
    ] {
        let (made, allowed) = forged(&lab, commit, &key, hash, |data| {
            [packed(name.as_bytes()), packed(&raw(&private, Some(digest), data))].concat()
        });
        let signers = lab.signers(&allowed);
        match wanted {
            None => assert!(lab.verify(&signers, made).is_ok() && lab.git_takes(made), "{name}"),
            Some(wanted) => {
                let told = lab.refused(&signers, made);
                assert!(told.contains(wanted) && !lab.git_takes(made), "{name}: {told}");
            }
        }
    }
    // Something behind the proof.
    let (made, allowed) = forged(&lab, commit, &key, "sha512", |data| {
        [packed(b"rsa-sha2-512"), packed(&raw(&private, Some(MessageDigest::sha512()), data)), vec![0]]
            .concat()
    });
    assert!(lab.refused(&lab.signers(&allowed), made).contains("something behind it"));

    let (private, key) = of(1024);
    let (made, allowed) = forged(&lab, commit, &key, "sha512", |data| {
        [packed(b"rsa-sha2-512"), packed(&raw(&private, Some(MessageDigest::sha512()), data))].concat()
    });
    let wrong = super::Signers::read(&[lab.write("short", allowed)], &[], super::PATH.as_ref()).unwrap_err();
    assert!(wrong[0].to_string().contains("its RSA key has 1024 bits"), "{wrong:?}");
    let signers = lab.signers(&format!("ann@h {}\n", lab.key("bob", &["ed25519"])));
    assert!(lab.refused(&signers, made).contains("its RSA key has 1024 bits"));
}
