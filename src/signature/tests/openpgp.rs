//! Commits signed by keys of OpenPGP, with `gpg`.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use chrono::TimeDelta;
use git2::Oid;

use super::{Lab, PATH, Signers, header, now};

struct Scene {
    lab: Lab,
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.lab.call("gpgconf", &["--kill", "all"], &[]);
    }
}

impl Scene {
    fn new() -> Self {
        let lab = Lab::new();
        fs::set_permissions(lab.path("gnupg"), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        Self { lab }
    }

    fn gpg(&self, arguments: &[&str]) -> String {
        self.lab.run(
            "gpg",
            &[&["--batch", "--passphrase", "", "--pinentry-mode", "loopback"], arguments].concat(),
            &[],
        )
    }

    /// A new key, by its whole fingerprint.
    fn key(&self, user: &str, kind: &str, expires: &str) -> String {
        self.gpg(&["--quick-generate-key", user, kind, "sign", expires]);
        let listed = self.gpg(&["--list-keys", "--with-colons", user]);
        let line = listed.lines().find(|line| line.starts_with("fpr:")).unwrap();
        line.split(':').nth(9).unwrap().to_owned()
    }

    fn export(&self, name: &str, keys: &[&str]) -> PathBuf {
        let text = self.gpg(&[&["--armor", "--export"], keys].concat());
        self.lab.write(name, format!("{text}\n"))
    }

    fn commit(&self, key: &str) -> Oid {
        let key = format!("user.signingKey={key}!");
        self.lab.git(&["-c", &key, "commit", "-q", "--allow-empty", "-S", "-m", "change"]);
        self.lab.head()
    }

    /// The commit's text with a signature that `gpg` makes with these arguments.
    fn made(&self, commit: Oid, arguments: &[&str]) -> Oid {
        let (_, text) = self.lab.parts(commit);
        let (file, to) = (self.lab.write("text", &text), self.lab.path("made"));
        let _ = fs::remove_file(&to);
        let files = ["--output", to.to_str().unwrap(), "--detach-sign", file.to_str().unwrap()];
        self.gpg(&[&["--armor"], arguments, &files].concat());
        self.lab.compose(&text, &header(&fs::read_to_string(to).unwrap()))
    }
}

fn read(keys: &[&Path], revoked: &[&Path]) -> Result<Signers, String> {
    let owned = |files: &[&Path]| files.iter().map(|file| file.to_path_buf()).collect::<Vec<_>>();
    Signers::read(&owned(keys), &owned(revoked), OsStr::new(PATH))
        .map_err(|wrong| wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

#[test]
fn keys_of_files_sign_and_others_do_not() {
    let scene = Scene::new();
    let lab = &scene.lab;
    let (ann, eve) = (scene.key("Ann: A <ann@h>", "ed25519", "0"), scene.key("Eve <eve@h>", "ed25519", "0"));
    let (by_ann, by_eve) = (scene.commit(&ann), scene.commit(&eve));
    let armored = scene.export("ann.asc", &[&ann]);
    lab.call("gpg", &["--output", lab.path("ann.gpg").to_str().unwrap(), "--export", &ann], &[]);
    for file in [armored.clone(), lab.path("ann.gpg")] {
        let signers = read(&[&file], &[]).unwrap();
        let signed = lab.verify(&signers, by_ann).unwrap();
        assert_eq!((&*signed.by, &*signed.key), ("Ann: A <ann@h>", &*ann));
        let told = lab.refused(&signers, by_eve);
        assert!(told.contains(&format!("the key `{eve}`, which the policy does not name")), "{told}");
        assert!(lab.refused(&signers, lab.unsigned()).contains("is not signed"));
    }
    // Beside keys of SSH, each by its own.
    let allowed = lab.write("allowed", format!("bob@h {}\n", lab.key("bob", &["ed25519"])));
    let by_bob = lab.commit("bob");
    let both = read(&[&allowed, &armored], &[]).unwrap();
    assert_eq!(lab.verify(&both, by_ann).unwrap().by, "Ann: A <ann@h>");
    assert_eq!(lab.verify(&both, by_bob).unwrap().by, "bob@h");
    let told = lab.refused(&read(&[&allowed], &[]).unwrap(), by_ann);
    assert!(told.contains("by an OpenPGP key, and the policy names none"), "{told}");
    assert!(lab.refused(&read(&[&armored], &[]).unwrap(), by_bob).contains("does not name"));
    // Git takes what is in its keyring.
    assert!(lab.git_takes(by_ann) && lab.git_takes(by_bob));
}

#[test]
fn each_kind_of_key_signs() {
    let scene = Scene::new();
    for (number, kind) in ["ed25519", "rsa2048", "nistp256"].iter().enumerate() {
        let key = scene.key(&format!("u{number} <u{number}@h>"), kind, "0");
        let (commit, file) = (scene.commit(&key), scene.export("keys.asc", &[&key]));
        let signers = read(&[&file], &[]).unwrap();
        assert_eq!(scene.lab.verify(&signers, commit).unwrap().key, key, "{kind}");
        assert!(scene.lab.git_takes(commit));
    }
    // A part of a key signs for all of it.
    let whole = scene.key("whole <w@h>", "ed25519", "0");
    scene.gpg(&["--quick-add-key", &whole, "ed25519", "sign", "0"]);
    let listed = scene.gpg(&["--list-keys", "--with-colons", &whole]);
    let prints: Vec<_> = listed.lines().filter(|line| line.starts_with("fpr:")).collect();
    let part = prints[1].split(':').nth(9).unwrap();
    let commit = scene.commit(part);
    let file = scene.export("whole.asc", &[&whole]);
    assert_eq!(scene.lab.verify(&read(&[&file], &[]).unwrap(), commit).unwrap().key, whole);
    let weak = scene.key("weak <weak@h>", "rsa1024", "0");
    let wrong = read(&[&scene.export("weak.asc", &[&weak])], &[]).unwrap_err();
    assert!(wrong.contains("weak.asc: a part of the key") && wrong.contains("has 1024 bits"), "{wrong}");
}

#[test]
fn what_was_changed_or_proves_nothing_does_not_count() {
    let scene = Scene::new();
    let lab = &scene.lab;
    let ann = scene.key("Ann <ann@h>", "rsa2048", "0");
    let bob = scene.key("Bob <bob@h>", "ed25519", "0");
    let commit = scene.commit(&ann);
    let signers = read(&[&scene.export("keys.asc", &[&ann, &bob])], &[]).unwrap();
    assert!(lab.verify(&signers, scene.made(commit, &["-u", &ann])).is_ok());
    let (signature, text) = lab.parts(commit);
    let other = header(&lab.parts(scene.commit(&bob)).0);
    for (what, made, why) in [
        ("message", lab.compose(&text.replace("change", "changed"), &header(&signature)), "does not fit"),
        ("another commit's", lab.compose(&text, &other), "does not fit"),
        ("SHA-1", scene.made(commit, &["-u", &ann, "--digest-algo", "SHA1"]), "proves nothing any more"),
        ("lines", scene.made(commit, &["-u", &ann, "--textmode"]), "no signature over bytes"),
        ("two at once", scene.made(commit, &["-u", &ann, "-u", &bob]), "several signatures"),
        (
            "two blocks",
            lab.compose(&text, &header(&[&signature[..], &signature].concat())),
            "between the two lines",
        ),
        (
            "twice",
            lab.compose(&text, &[header(&signature), header(&signature)].concat()),
            "several signatures",
        ),
        (
            "no signature",
            lab.compose(&text, &header("-----BEGIN PGP SIGNATURE-----\n\nAAAA\n-----END PGP SIGNATURE-----")),
            "cannot be checked",
        ),
    ] {
        let told = lab.refused(&signers, made);
        assert!(told.contains(why), "{what}: {told}");
    }
    // What holds its own text is no signature of another one.
    let file = lab.write("text", &text);
    let to = lab.path("opaque");
    scene.gpg(&["--armor", "-u", &ann, "--output", to.to_str().unwrap(), "--sign", file.to_str().unwrap()]);
    let opaque = fs::read_to_string(to).unwrap();
    assert!(lab.verify(&signers, lab.compose("tree 0\n\n", "")).is_err());
    let (_, text) = lab.parts(commit);
    let changed = lab.compose(&text.replace("change", "changed"), &header(&opaque));
    assert!(lab.verify(&signers, changed).is_err());
}

#[test]
fn keys_that_expired_or_are_revoked_do_not_count() {
    let scene = Scene::new();
    let lab = &scene.lab;
    let (ann, bob) = (scene.key("Ann <ann@h>", "ed25519", "1y"), scene.key("Bob <bob@h>", "ed25519", "0"));
    let (by_ann, by_bob) = (scene.commit(&ann), scene.commit(&bob));
    let keys = scene.export("keys.asc", &[&ann, &bob]);
    let signers = read(&[&keys], &[]).unwrap();
    assert!(lab.verify(&signers, by_ann).is_ok() && lab.verify(&signers, by_bob).is_ok());
    let told = signers.verify_commit(&lab.repository, by_ann, now() + TimeDelta::days(400)).unwrap_err();
    assert!(told.to_string().contains("of `Ann <ann@h>`, which expired on "), "{told}");
    // Dated before there was such a key.
    let old = format!("user.signingKey={bob}!");
    let dates = [("GIT_COMMITTER_DATE", "2019-06-01T00:00:00Z")];
    lab.run("git", &["-c", &old, "commit", "-q", "--allow-empty", "-S", "-m", "x"], &dates);
    let told = lab.refused(&signers, lab.head());
    assert!(told.contains("dated 2019-06-01 00:00:00 UTC, when that was not valid"), "{told}");
    // A signature that is to count for a second.
    let short = scene.made(by_bob, &["-u", &bob, "--default-sig-expire", "seconds=1"]);
    std::thread::sleep(std::time::Duration::from_millis(2100));
    assert!(lab.refused(&signers, short).contains("it was to count until"));
    // By its own certificate, which GnuPG makes with a key; by a file of keys; by its fingerprint.
    let certificate = fs::read_to_string(lab.path(&format!("gnupg/openpgp-revocs.d/{ann}.rev"))).unwrap();
    let certificate = certificate[certificate.find(":-----BEGIN").unwrap() + 1..].to_owned();
    let certificate = lab.write("ann.rev", certificate);
    let only_ann = scene.export("ann.asc", &[&ann]);
    let print = lab.write("prints", format!("{ann}\n"));
    for revoked in [&certificate, &only_ann, &print] {
        let signers = read(&[&keys], &[revoked]).unwrap();
        let told = lab.refused(&signers, by_ann);
        assert!(told.contains(&format!("the key `{ann}` of `Ann <ann@h>`, which is revoked")), "{told}");
        assert!(lab.verify(&signers, by_bob).is_ok());
    }
    // A key that is only known for being revoked is none that is named.
    let told = lab.refused(&read(&[&scene.export("bob.asc", &[&bob])], &[&only_ann]).unwrap(), by_ann);
    assert!(told.contains("does not name"), "{told}");
    // And by a key that was exported again.
    scene.gpg(&["--import", certificate.to_str().unwrap()]);
    let keys = scene.export("keys.asc", &[&ann, &bob]);
    assert!(lab.refused(&read(&[&keys], &[]).unwrap(), by_ann).contains("is revoked"));
    assert!(!lab.git_takes(by_ann) || lab.git_takes(by_bob));
    let wrong = read(&[&scene.export("bob.asc", &[&bob])], &[&certificate]).unwrap_err();
    assert!(wrong.contains("ann.rev: `gpg` takes no key from it"), "{wrong}");
}

#[test]
fn without_gpg_keys_of_openpgp_are_a_mistake_of_the_policy_and_nothing_stays_of_a_call() {
    let scene = Scene::new();
    let ann = scene.key("Ann <ann@h>", "ed25519", "0");
    let keys = scene.export("keys.asc", &[&ann]);
    let wrong = Signers::read(std::slice::from_ref(&keys), &[], OsStr::new("/nonexistent")).unwrap_err();
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    assert!(wrong[0].to_string().contains("keys.asc: `gpg` is not on the PATH"), "{wrong:?}");
    assert!(wrong[0].to_string().contains("install GnuPG"), "{wrong:?}");
    // It went after the policy was read.
    let mut signers = read(&[&keys], &[]).unwrap();
    let commit = scene.commit(&ann);
    assert!(scene.lab.verify(&signers, commit).is_ok());
    let ours = || {
        let calls = scene.lab.run("ps", &["-eo", "args"], &[]);
        let ours = calls.lines().filter(|line| line.contains("dockerops-gpg-") && line.contains("agent"));
        ours.count()
    };
    assert_eq!(ours(), 0);
    signers.openpgp.as_mut().unwrap().forget_gpg();
    let told = scene.lab.verify(&signers, commit).unwrap_err();
    assert!(told.to_string().contains("cannot be checked: `gpg` is not on the PATH"), "{told}");
    assert!(told.hint().contains("install GnuPG"));
}
