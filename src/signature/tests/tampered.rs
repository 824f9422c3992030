//! Commits that bear a signature of a named key, and are not what it signed.

use git2::{ObjectType, Oid};

use super::{Lab, Signers, header, now};

struct Scene {
    lab: Lab,
    signers: Signers,
    commit: Oid,
    signature: String,
    text: String,
}

impl Scene {
    fn new() -> Self {
        let lab = Lab::new();
        let ann = lab.key("ann", &["ed25519"]);
        lab.write("repository/file", "1");
        lab.git(&["add", "file"]);
        let commit = lab.commit("ann");
        let signers = lab.signers(&format!("ann@h {ann}\n"));
        assert!(lab.verify(&signers, commit).is_ok());
        let (signature, text) = lab.parts(commit);
        assert_eq!(lab.compose(&text, &header(&signature)), commit, "it is put together as git does it");
        Self { lab, signers, commit, signature, text }
    }

    fn refused(&self, what: &str, commit: Oid, why: &str) {
        let told = self.lab.refused(&self.signers, commit);
        assert!(told.contains(why), "{what}: {told}");
    }

    /// And by git as well.
    fn refused_by_both(&self, what: &str, commit: Oid, why: &str) {
        self.refused(what, commit, why);
        assert!(!self.lab.git_takes(commit), "{what}");
    }
}

#[test]
fn what_was_changed_does_not_fit_its_signature() {
    let scene = Scene::new();
    let (lab, text, signature) = (&scene.lab, &scene.text, &scene.signature);
    let own = header(signature);
    lab.write("repository/file", "2");
    lab.git(&["add", "file"]);
    let tree = lab.git(&["write-tree"]);
    let first = text.lines().next().unwrap();
    let other = lab.parts(lab.commit("ann")).0;
    for (what, text, header) in [
        ("the message", text.replace("change", "changed"), own.clone()),
        ("the tree", text.replace(first, &format!("tree {tree}")), own.clone()),
        ("the author", text.replacen("Ann", "Bob", 1), own.clone()),
        ("a parent", text.replacen("author", &format!("parent {}\nauthor", scene.commit), 1), own.clone()),
        ("a header", text.replacen("\n\n", "\nencoding UTF-8\n\n", 1), own.clone()),
        ("the end", format!("{text}\n"), own.clone()),
        ("another commit's", text.clone(), header(&other)),
    ] {
        scene.refused_by_both(what, lab.compose(&text, &header), "does not fit it");
    }
}

#[test]
fn a_bit_of_a_signature_makes_it_another_one() {
    let scene = Scene::new();
    let lines: Vec<_> = scene.signature.lines().collect();
    let (begin, end) = (lines[0], lines[lines.len() - 1]);
    let body = lines[1..lines.len() - 1].concat();
    for at in 0..body.len() {
        let mut changed = body.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'Q' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        if changed == body {
            continue;
        }
        let commit = scene.lab.compose(&scene.text, &header(&format!("{begin}\n{changed}\n{end}")));
        assert!(scene.lab.verify(&scene.signers, commit).is_err(), "{at}");
    }
}

#[test]
fn an_object_has_one_signature_and_one_form() {
    let scene = Scene::new();
    let (lab, text, signature) = (&scene.lab, &scene.text, &scene.signature);
    let own = header(signature);
    let eve = {
        lab.key("eve", &["ed25519"]);
        header(&lab.parts(lab.commit("eve")).0)
    };
    let sha256 = own.replacen("gpgsig ", "gpgsig-sha256 ", 1);
    for (what, headers, why) in [
        ("twice", [&own[..], &own].concat(), "several signatures"),
        ("another's before", [&eve[..], &own].concat(), "several signatures"),
        ("another's behind", [&own[..], &eve].concat(), "several signatures"),
        ("for other hashes", [&own[..], &sha256].concat(), "of another kind"),
        ("for other hashes alone", sha256.clone(), "of another kind"),
        ("two in one", header(&[&signature[..], signature].concat()), "between the two lines"),
        ("more behind", header(&format!("{signature}more")), "between the two lines"),
        ("more before", header(&format!("more\n{signature}")), "between the two lines"),
        ("nothing", "gpgsig \n".to_owned(), "between the two lines"),
        ("another form", header(&signature.replace("SSH", "PGP")), "by an OpenPGP key"),
        (
            "a certificate",
            header(&signature.replace("SSH SIGNATURE", "SIGNED MESSAGE")),
            "by an X.509 certificate",
        ),
        ("too long", header(&signature.replacen('\n', &format!("\n{}\n", "A".repeat(70_000)), 1)), "64 KiB"),
    ] {
        scene.refused(what, lab.compose(text, &headers), why);
    }
    // In the message it is none.
    let told = format!("{text}\n\n{own}");
    scene.refused_by_both("in the message", lab.compose(&told, ""), "is not signed");
    let signed = format!("{told}\n");
    let (before, message) = signed.split_once("\n\n").unwrap();
    let raw = format!("{before}\n\n{message}");
    scene.refused_by_both("as a message", lab.object(ObjectType::Commit, raw.as_bytes()), "is not signed");
    // Others may end at a zero byte.
    let raw = format!("{}\0more", lab.parts(scene.commit).1);
    scene.refused("a zero byte", lab.compose(&raw, &own), "zero bytes");
}

#[test]
fn what_was_signed_for_something_else_is_not_for_git() {
    let scene = Scene::new();
    let file = scene.lab.write("text", &scene.text);
    let (key, file) = (scene.lab.path("ann").display().to_string(), file.display().to_string());
    for (namespace, is_taken) in [("git", true), ("file", false), ("git2", false)] {
        let _ = std::fs::remove_file(format!("{file}.sig"));
        scene.lab.run("ssh-keygen", &["-q", "-Y", "sign", "-n", namespace, "-f", &key, &file], &[]);
        let signature = std::fs::read_to_string(format!("{file}.sig")).unwrap();
        let commit = scene.lab.compose(&scene.text, &header(&signature));
        assert_eq!(scene.lab.verify(&scene.signers, commit).is_ok(), is_taken, "{namespace}");
        assert_eq!(scene.lab.git_takes(commit), is_taken, "{namespace}");
        if !is_taken {
            scene.refused(namespace, commit, &format!("made for `{namespace}`, and not for `git`"));
        }
    }
}

#[test]
fn what_is_no_commit_is_refused() {
    let scene = Scene::new();
    let (lab, text) = (&scene.lab, &scene.text);
    let tree = lab.repository.find_commit(scene.commit).unwrap().tree_id();
    assert!(scene.signers.verify_commit(&lab.repository, tree, now()).is_err());
    assert!(scene.signers.verify_commit(&lab.repository, Oid::from_bytes(&[7; 20]).unwrap(), now()).is_err());
    for (what, changed) in [
        ("two trees", text.replacen("author", &format!("tree {tree}\nauthor"), 1)),
        ("two dates", text.replacen("committer", "committer Eve <e@h> 1 +0000\ncommitter", 1)),
        ("no committer", text.replacen("committer", "commuter", 1)),
    ] {
        let commit = lab.compose(&changed, &header(&scene.signature));
        let told = scene.lab.refused(&scene.signers, commit);
        assert!(!told.contains("does not fit"), "{what}: it is seen before the signature: {told}");
    }
}
