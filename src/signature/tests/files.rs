//! The policy's files of keys.

use std::ffi::OsStr;
use std::path::PathBuf;

use super::{Lab, PATH, Signers};

fn wrong(keys: &[PathBuf], revoked: &[PathBuf]) -> Vec<String> {
    let wrong = Signers::read(keys, revoked, OsStr::new(PATH)).unwrap_err();
    wrong.iter().map(ToString::to_string).collect()
}

#[test]
fn all_that_is_wrong_with_all_files_is_told_at_once() {
    let lab = Lab::new();
    let key = lab.key("ann", &["ed25519"]);
    let good = lab.write("good", format!("ann@h {key}\n"));
    let lines = lab.write("lines", format!("{key}\nann colour=\"x\" {key}\n"));
    let empty = lab.write("empty", "# nobody\n");
    let folder = lab.path("home");
    let krl = lab.write("krl", b"SSHKRL\n\0\0\0\0\x01");
    let bytes = lab.write("bytes", [0, 0, 0, 32, 1, 1, 0, 2, b'K', b'B', b'X', b'f', 200]);
    let text = lab.write("text", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let damaged = lab.write(
        "damaged.asc",
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n-----END PGP PUBLIC KEY BLOCK-----\n",
    );
    let names = [good, lines, empty, folder, lab.path("none"), lab.path("ann"), bytes, text, damaged];
    let told = wrong(&names, &[krl]);
    for (file, why) in [
        ("lines:1", "does not say whose key"),
        ("lines:2", "no option `colour`"),
        ("empty", "it names no key"),
        ("home", "it is no file"),
        ("none", "it cannot be read"),
        ("ann", "it holds a private key"),
        ("bytes", "neither keys of SSH nor of OpenPGP"),
        ("text", "neither keys of SSH nor of OpenPGP"),
        ("damaged.asc", "`gpg` takes no key from it"),
        ("krl", "binary form (KRL)"),
    ] {
        let begin = format!("{}: ", lab.path(file).display());
        assert!(told.iter().any(|line| line.starts_with(&begin) && line.contains(why)), "{file}: {told:#?}");
    }
    assert_eq!(told.len(), 10, "{told:#?}");
}

#[test]
fn a_private_key_of_openpgp_is_not_taken() {
    let lab = Lab::new();
    std::fs::set_permissions(lab.path("gnupg"), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let gpg = |arguments: &[&str]| {
        let output = lab.call("gpg", &[&["--batch", "--passphrase", ""], arguments].concat(), &[]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    gpg(&["--quick-generate-key", "Ann <ann@h>", "ed25519", "sign", "0"]);
    let secret = ["--pinentry-mode", "loopback", "--export-secret-keys"];
    let (armored, binary) = (gpg(&[&["--armor"], &secret[..]].concat()), gpg(&secret));
    lab.call("gpgconf", &["--kill", "all"], &[]);
    for content in [armored, binary] {
        let told = wrong(&[lab.write("secret", content)], &[]);
        assert!(told.len() == 1 && told[0].contains("it holds a private key"), "{told:?}");
    }
}
