//! Tags: each that is followed is signed, and is what its ref says.

use git2::{ObjectType, Oid};

use super::{Lab, Signers, now};

struct Scene {
    lab: Lab,
    signers: Signers,
}

impl Scene {
    fn new() -> Self {
        let lab = Lab::new();
        let ann = lab.key("ann", &["ed25519"]);
        lab.key("eve", &["ed25519"]);
        let signers = lab.signers(&format!("ann@h {ann}\n"));
        lab.commit("ann");
        Self { lab, signers }
    }

    /// The annotated tag of `what`, signed by a key if one is named.
    fn tag(&self, name: &str, key: Option<&str>, what: &str) -> Oid {
        let signing = format!("user.signingKey={}", self.lab.path(key.unwrap_or("ann")).display());
        let how = if key.is_some() { "-s" } else { "-a" };
        let arguments =
            ["-c", "gpg.format=ssh", "-c", &signing, "tag", "-f", how, "-m", "release", name, what];
        self.lab.git(&arguments);
        Oid::from_str(&self.lab.git(&["rev-parse", &format!("refs/tags/{name}")])).unwrap()
    }

    fn told(&self, tag: Oid, name: &str) -> String {
        match self.signers.verify_tag(&self.lab.repository, tag, Some(name), now()) {
            Ok(signed) => signed.by,
            Err(refusal) => refusal.to_string(),
        }
    }

    fn git_takes(&self, tag: Oid) -> bool {
        let allowed = format!("gpg.ssh.allowedSignersFile={}", self.lab.path("allowed").display());
        self.lab.call("git", &["-c", &allowed, "verify-tag", &tag.to_string()], &[]).status.success()
    }

    fn raw(&self, tag: Oid) -> String {
        String::from_utf8(self.lab.repository.odb().unwrap().read(tag).unwrap().data().to_vec()).unwrap()
    }
}

#[test]
fn a_tag_is_signed_by_a_key_that_is_named() {
    let scene = Scene::new();
    let good = scene.tag("v1", Some("ann"), "HEAD");
    assert_eq!(scene.told(good, "v1"), "ann@h");
    assert!(scene.git_takes(good));
    let (bare, eves) = (scene.tag("v2", None, "HEAD"), scene.tag("v3", Some("eve"), "HEAD"));
    let told = scene.told(bare, "v2");
    assert!(
        told.starts_with("the tag `v2` (`") && told.ends_with("by `Ann <ann@h>` is not signed"),
        "{told}"
    );
    assert!(scene.told(eves, "v3").contains("does not name"));
    assert!(!scene.git_takes(bare) && !scene.git_takes(eves));
    // The ref of one version with the tag of another: git looks at no ref.
    assert!(scene.told(good, "v2").ends_with("stands under the name `v2`"));
    assert!(scene.git_takes(good));
}

#[test]
fn each_tag_of_a_tag_is_signed() {
    let scene = Scene::new();
    scene.tag("inner", Some("ann"), "HEAD");
    let outer = scene.tag("outer", Some("ann"), "refs/tags/inner");
    assert_eq!(scene.told(outer, "outer"), "ann@h");
    scene.tag("inner", None, "HEAD");
    let outer = scene.tag("outer", Some("ann"), "refs/tags/inner");
    let told = scene.told(outer, "outer");
    assert!(told.contains("the tag `inner`") && told.contains("is not signed"), "{told}");
    for number in 0..9 {
        let what = if number == 0 { "HEAD".into() } else { format!("refs/tags/t{}", number - 1) };
        scene.tag(&format!("t{number}"), Some("ann"), &what);
    }
    let last = Oid::from_str(&scene.lab.git(&["rev-parse", "refs/tags/t8"])).unwrap();
    assert!(scene.told(last, "t8").contains("without end"));
}

#[test]
fn what_was_changed_is_no_tag_of_its_signer() {
    let scene = Scene::new();
    let good = scene.raw(scene.tag("v1", Some("ann"), "HEAD"));
    let other = scene.raw(scene.tag("v2", Some("ann"), "HEAD"));
    let signature = |raw: &str| raw[raw.find("-----BEGIN").unwrap()..].to_owned();
    let head = scene.lab.head().to_string();
    let next = scene.lab.commit("ann").to_string();
    for (what, raw, why) in [
        ("its commit", good.replace(&head, &next), "does not fit"),
        ("its name", good.replace("tag v1", "tag v9"), "does not fit"),
        ("its message", good.replace("release", "relief"), "does not fit"),
        ("another's", good.replace(&signature(&good), &signature(&other)), "does not fit"),
        (
            "another's before",
            good.replace("release\n", &format!("release\n{}", signature(&other))),
            "several",
        ),
        ("text behind", format!("{good}more\n"), "between the two lines"),
        ("a header", good.replace("\ntagger", "\ngpgsig x\ntagger"), "other lines"),
        ("no tagger", good.replace("\ntagger", "\ntigger"), "other lines"),
        ("the tag of a tree", good.replace("type commit", "type tree"), "the tag of no commit"),
    ] {
        let made = scene.lab.object(ObjectType::Tag, raw.as_bytes());
        let told = scene.told(made, "v1");
        assert!(told.contains(why) || told.contains("cannot be read"), "{what}: {told}");
        assert!(why != "does not fit" || !scene.git_takes(made), "{what}");
    }
    assert!(scene.signers.verify_tag(&scene.lab.repository, scene.lab.head(), None, now()).is_err());
}

#[test]
fn a_mere_name_cannot_be_signed() {
    let told = super::Refusal::lightweight("v\u{1b}1");
    assert_eq!(told.to_string(), "the tag `v\\u{1b}1` is a lightweight tag, which cannot be signed");
    assert!(told.hint().contains("git tag -f -s"));
}
