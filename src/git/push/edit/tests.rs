//! Edits of a small tree, and all that they must not do.

use super::*;
use crate::fault::hint_of;

struct Scene {
    _folder: tempfile::TempDir,
    repository: Repository,
    tree: Oid,
}

/// `a`, `d/x` (executable), `d/y`, `e/z`, the symlink `l` to `d`, the submodules `m` and `n/m`.
fn scene() -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let repository = Repository::init_bare(folder.path()).unwrap();
    let blob = |text: &str| repository.blob(text.as_bytes()).unwrap();
    let tree = |entries: &[(&str, Oid, i32)]| {
        let mut builder = repository.treebuilder(None).unwrap();
        for (name, id, mode) in entries {
            builder.insert(name, *id, *mode).unwrap();
        }
        builder.write().unwrap()
    };
    let who = git2::Signature::now("t", "t@h").unwrap();
    let empty = tree(&[]);
    let module =
        repository.commit(None, &who, &who, "m", &repository.find_tree(empty).unwrap(), &[]).unwrap();
    let d = tree(&[("x", blob("x"), EXECUTABLE), ("y", blob("y"), FILE)]);
    let (e, n) = (tree(&[("z", blob("z"), FILE)]), tree(&[("m", module, 0o160_000)]));
    let tree = tree(&[
        ("a", blob("a"), FILE),
        ("d", d, FOLDER),
        ("e", e, FOLDER),
        ("l", blob("d"), LINK),
        ("m", module, 0o160_000),
        ("n", n, FOLDER),
    ]);
    Scene { _folder: folder, repository, tree }
}

impl Scene {
    fn apply(&self, edit: &[(&str, Option<&str>)]) -> Result<Vec<String>> {
        let mut all = Edit::default();
        for (path, text) in edit {
            match text {
                Some(text) => all.write(*path, *text, text.starts_with("#!")),
                None => all.remove(*path),
            }
        }
        self.made(&all)
    }

    fn made(&self, edit: &Edit) -> Result<Vec<String>> {
        let tree = self.repository.find_tree(self.tree)?;
        let made = self.repository.find_tree(apply(&self.repository, &tree, edit)?)?;
        let mut found = Vec::new();
        made.walk(git2::TreeWalkMode::PreOrder, |folder, entry| {
            let path = format!("{folder}{}", entry.name().unwrap());
            match entry.kind() {
                Some(ObjectType::Blob) => {
                    let content = self.repository.find_blob(entry.id()).unwrap();
                    let text = String::from_utf8_lossy(content.content()).into_owned();
                    found.push(format!("{path} {:o} {text}", entry.filemode()));
                }
                _ => found.push(path),
            }
            git2::TreeWalkResult::Ok
        })?;
        Ok(found)
    }
}

#[test]
fn what_is_not_named_stays_and_folders_come_and_go() {
    let scene = scene();
    let all = [
        "a 100644 a",
        "d",
        "d/x 100755 x",
        "d/y 100644 y",
        "e",
        "e/z 100644 z",
        "l 120000 d",
        "m",
        "n",
        "n/m",
    ];
    assert_eq!(scene.apply(&[]).unwrap(), all);
    let made = scene.apply(&[("new/deep/f", Some("#!\r\n")), ("d/y", Some("Y")), ("e/z", None)]).unwrap();
    let wanted =
        ["a 100644 a", "d", "d/x 100755 x", "d/y 100644 Y", "l 120000 d", "m", "n", "n/m", "new", "new/deep"];
    assert_eq!(made[..wanted.len()], wanted);
    assert_eq!(made[wanted.len()..], ["new/deep/f 100755 #!\r\n"]);
    // All of a folder goes before what is written to it.
    let made = scene.apply(&[("d", None), ("d/only", Some("")), ("l", None), ("a", None)]).unwrap();
    assert_eq!(made, ["d", "d/only 100644 ", "e", "e/z 100644 z", "m", "n", "n/m"]);
}

#[test]
fn a_folder_is_copied_by_its_id_whatever_was_there() {
    let scene = scene();
    let root = scene.repository.find_tree(scene.tree).unwrap();
    let id = |name: &str| root.get_name(name).unwrap().id().to_string();
    let made = |path: &str, of: &str| {
        let mut edit = Edit::default();
        edit.copy(path, id(of));
        edit.write(format!("{path}/.env"), "A=1\n", false);
        scene.made(&edit)
    };
    let copied = made("new", "d").unwrap();
    assert_eq!(
        copied[copied.len() - 4..],
        ["new", "new/.env 100644 A=1\n", "new/x 100755 x", "new/y 100644 y"]
    );
    // What was there goes, and the folder that was copied stays what it is.
    let replaced = made("e", "d").unwrap();
    let e: Vec<_> = replaced.iter().filter(|line| line.starts_with("e/")).collect();
    assert_eq!(e, ["e/.env 100644 A=1\n", "e/x 100755 x", "e/y 100644 y"]);
    assert!(
        replaced.contains(&"d/x 100755 x".to_owned()) && !replaced.iter().any(|line| line.contains("d/.env"))
    );
    for (path, of, says) in [
        ("a", "d", "`a` is a file, and not written over"),
        ("l", "d", "`l` is a symlink, and not written over"),
        ("m", "d", "`m` is a submodule, and not written over"),
        ("n", "d", "`n`: it is a submodule, or holds one"),
        ("new", "n", "`new`: it is a submodule, or holds one"),
        ("E", "d", "`E`: there is `e`"),
        ("l/x", "d", "no path leads through it"),
    ] {
        let error = format!("{:#}", made(path, of).unwrap_err());
        assert!(error.contains(says), "{path}: {error}");
    }
}

#[test]
fn no_path_leads_elsewhere_or_takes_a_name() {
    let scene = scene();
    for path in [
        "",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "../x",
        "d/../x",
        ".git",
        "d/.GIT/hooks/update",
        ".git ",
        ".git.",
        "GIT~1",
        ".g\u{200c}it",
        ".git::$INDEX_ALLOCATION",
        "d/a\\b",
        "a\nb",
        "a\0b",
        ".gitmodules",
        ".GitModules",
    ] {
        let error = scene.apply(&[(path, Some("x"))]).unwrap_err();
        assert!(hint_of(&error).is_some(), "{path:?}: {error:#}");
    }
    let long = "n".repeat(LONGEST_NAME + 1);
    for (edit, says) in [
        (&[("l/x", Some("x"))][..], "`l` is a symlink: no path leads through it"),
        (&[("m/x", Some("x"))], "`m` is a submodule: no path leads through it"),
        (&[("a/x", Some("x"))], "`a` is a file: no path leads through it"),
        (&[("l", Some("x"))], "`l` is a symlink, and not written over"),
        (&[("d", Some("x"))], "`d` is a folder, and not written over"),
        (&[("m", Some("x"))], "`m` is a submodule, and not written over"),
        (&[("A", Some("x"))], "there is `a`"),
        (&[("D/x", Some("x"))], "there is `d`"),
        (&[("d/X", Some("x"))], "`d/X`: there is `x`"),
        (&[("new/\u{dc}", Some("x")), ("new/\u{fc}", Some("x"))], "some disks"),
        (&[("f", Some("x")), ("f/g", Some("x"))], "a file and a folder"),
        (&[("none", None)], "`none` is not there"),
        (&[("d/none/x", None)], "is not there"),
        (&[("m", None)], "a submodule"),
        (&[("n", None)], "a submodule"),
        (&[(&long, Some("x"))], "too long"),
    ] {
        let error = format!("{:#}", scene.apply(edit).unwrap_err());
        assert!(error.contains(says), "{error}");
    }
}
