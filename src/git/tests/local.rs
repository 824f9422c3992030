//! What git reads of a repository on this machine: what its owner has there, whatever it leads to.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::Lab;
use super::lab::{Origin, git, head, refusal};
use super::submodules::pin;

const USER: u32 = 1234;

/// A repository to lead astray, and a private one elsewhere.
struct Scene {
    lab: Lab,
    _elsewhere: Lab,
    private: Origin,
}

/// Makes a bare repository read the private one's.
type Trick = fn(&Path, &Path);

const TRICKS: &[(&str, Trick)] = &[
    ("all objects", |own, private| link(own, private, "objects")),
    ("packs", |own, private| link(own, private, "objects/pack")),
    ("each pack", |own, private| link_each(own, private, "objects/pack")),
    ("each loose object", |own, private| link_each(own, private, "objects")),
    ("a chain of symlinks", |own, private| {
        fs::create_dir_all(own.join("hooks")).unwrap();
        symlink(private.join("objects"), own.join("hooks/there")).unwrap();
        fs::remove_dir_all(own.join("objects")).unwrap();
        symlink("hooks/there", own.join("objects")).unwrap();
    }),
    ("a borrowed folder", |own, private| borrow(own, private.as_os_str().as_bytes())),
    ("a list of what is borrowed", |own, private| {
        fs::write(private.join("list"), [private.as_os_str().as_bytes(), b"/objects\n"].concat()).unwrap();
        symlink(private.join("list"), own.join("objects/info/alternates")).unwrap();
    }),
    ("a folder of the list", |own, private| {
        fs::write(private.join("alternates"), [private.as_os_str().as_bytes(), b"/objects\n"].concat())
            .unwrap();
        fs::remove_dir_all(own.join("objects/info")).unwrap();
        symlink(private, own.join("objects/info")).unwrap();
    }),
    ("a line that git reads as two", |own, private| {
        let line = [b"x\r", private.as_os_str().as_bytes()].concat();
        let seems = own.join("objects/x\r").join(private.strip_prefix("/").unwrap());
        fs::create_dir_all(seems.join("objects")).unwrap();
        borrow(own, &line);
    }),
    ("a borrowed folder that borrows", |own, private| {
        let middle = own.join("middle/objects");
        fs::create_dir_all(middle.join("info")).unwrap();
        borrow(own, own.join("middle").as_os_str().as_bytes());
        fs::write(middle.join("info/alternates"), [private.as_os_str().as_bytes(), b"/objects\n"].concat())
            .unwrap();
    }),
    ("a common folder", |own, private| {
        fs::write(own.join("commondir"), private.as_os_str().as_bytes()).unwrap();
    }),
];

fn link(own: &Path, private: &Path, name: &str) {
    fs::remove_dir_all(own.join(name)).unwrap();
    symlink(private.join(name), own.join(name)).unwrap();
}

fn link_each(own: &Path, private: &Path, name: &str) {
    for entry in walkdir::WalkDir::new(private.join(name)).into_iter().map(Result::unwrap) {
        let place = own.join(entry.path().strip_prefix(private).unwrap());
        if entry.file_type().is_dir() {
            fs::create_dir_all(place).unwrap();
        } else if !place.exists() {
            symlink(entry.path(), place).unwrap();
        }
    }
}

fn borrow(own: &Path, from: &[u8]) {
    fs::write(own.join("objects/info/alternates"), [from, b"/objects\n"].concat()).unwrap();
}

fn give(path: &Path) {
    for entry in walkdir::WalkDir::new(path).into_iter().map(Result::unwrap) {
        std::os::unix::fs::lchown(entry.path(), Some(USER), Some(USER)).unwrap();
    }
}

impl Scene {
    fn new() -> Self {
        let (lab, elsewhere) = (Lab::new(), Lab::new());
        let private = elsewhere.origin("private");
        // Two that are made alike within one second would have the same commits.
        private.commit(&[("secret", "x")]);
        // Each object lies there twice: loose, and in a pack.
        git(&private.bare, &["repack", "-a", "-q"]);
        Self { lab, _elsewhere: elsewhere, private }
    }

    /// An empty repository.
    fn own(&self, name: &str) -> PathBuf {
        let own = self.lab.path(name);
        let _ = fs::remove_dir_all(&own);
        git(self.lab.dir.path(), &["init", "-q", "--bare", "-b", "main", own.to_str().unwrap()]);
        own
    }

    /// What comes of a local source with a submodule at `url`, by its path and by its URL.
    fn submodule(&self, url: &str, commit: &str) -> [anyhow::Result<String>; 2] {
        let outer = self.lab.origin("outer");
        pin(&outer, "sub", commit, Some(url));
        let sources = [outer.path().to_owned(), format!("file://{}", outer.path())];
        let told = sources.map(|source| {
            let made = self.lab.fetch(&source, &self.lab.access())?;
            Ok(fs::read_to_string(made.root().path().join("sub/a"))?)
        });
        fs::remove_dir_all(&outer.bare).unwrap();
        fs::remove_dir_all(outer.work()).unwrap();
        told
    }
}

#[test]
fn the_path_that_was_looked_at_is_the_one_that_is_read() {
    let scene = Scene::new();
    let inner = scene.lab.origin("inner");
    let odd = scene.lab.path("a%b:c.git");
    fs::rename(&inner.bare, &odd).unwrap();
    symlink(&scene.private.bare, scene.lab.path("a%25b:c.git")).unwrap();
    for url in ["../a%b:c.git".to_owned(), odd.display().to_string()] {
        for told in scene.submodule(&url, &scene.private.head()) {
            let (error, _) = refusal(told);
            assert!(error.contains("is not in the repository"), "{url}: {error}");
        }
        for told in scene.submodule(&url, &inner.head()) {
            assert_eq!(told.unwrap(), "2", "{url}");
        }
    }
    // A source itself as well: of one URL, git's list of refs and its objects are of one repository.
    let named = scene.lab.path("x%41.git");
    symlink(&scene.private.bare, &named).unwrap();
    fs::rename(&odd, scene.lab.path("xA.git")).unwrap();
    let url = format!("file://{}", named.display());
    let made = scene.lab.fetch(&url, &scene.lab.access()).unwrap();
    assert_eq!(made.commit().to_string(), inner.head());
    let (error, _) =
        refusal(scene.lab.fetch(&format!("{url}#{}", scene.private.head()), &scene.lab.access()));
    assert!(error.contains("is not in the repository"), "{error}");
}

#[test]
fn a_submodule_leads_nowhere_by_what_git_reads_of_it() {
    let scene = Scene::new();
    let told = TRICKS.iter().flat_map(|(what, trick)| {
        let own = scene.own("own.git");
        trick(&own, &scene.private.bare);
        scene.submodule("../own.git", &scene.private.head()).map(|told| (what, told))
    });
    for (what, told) in told.collect::<Vec<_>>() {
        let (error, hint) = refusal(told.map_err(|error| error.context(*what)));
        assert!(error.contains("submodule `sub`: ") && error.contains("which is refused"), "{what}: {error}");
        assert!(!hint.is_empty() && !error.contains("not in the repository"), "{what}: {error}");
    }
    // What leads to somewhere beside it is read.
    let inner = scene.lab.origin("inner");
    git(&inner.bare, &["repack", "-a", "-q"]);
    for (what, trick) in TRICKS.iter().filter(|(what, _)| *what != "a line that git reads as two") {
        let own = scene.own("own.git");
        trick(&own, &inner.bare);
        for told in scene.submodule("../own.git", &inner.head()) {
            assert!(told.is_ok_and(|a| a == "2"), "{what}");
        }
    }
}

#[test]
fn a_source_of_a_user_reads_what_is_that_user_s() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let scene = Scene::new();
    let commit = scene.private.head();
    let fetch = |own: &Path| {
        [own.display().to_string(), format!("file://{}", own.display())]
            .map(|url| scene.lab.fetch(&format!("{url}#{commit}"), &scene.lab.access()).map(drop))
    };
    for (what, trick) in TRICKS {
        let own = scene.own("own.git");
        trick(&own, &scene.private.bare);
        give(&own);
        for told in fetch(&own) {
            let (error, _) = refusal(told.map_err(|error| error.context(*what)));
            assert!(error.contains("which is refused"), "{what}: {error}");
        }
    }
    // A file of somebody else that is known by another name as well.
    let own = scene.own("own.git");
    give(&own);
    for entry in fs::read_dir(scene.private.bare.join("objects/pack")).unwrap().map(Result::unwrap) {
        fs::hard_link(entry.path(), own.join("objects/pack").join(entry.file_name())).unwrap();
    }
    for told in fetch(&own) {
        let (error, _) = refusal(told);
        assert!(error.contains("objects/pack/pack-") && error.contains("which is refused"), "{error}");
    }
    // What others pushed, or root tidied, lies in the repository itself.
    let own = scene.own("own.git");
    git(&own, &["fetch", "-q", scene.private.path(), "main:main"]);
    std::os::unix::fs::chown(&own, Some(USER), Some(USER)).unwrap();
    for told in fetch(&own) {
        told.unwrap();
    }
    // Nor is a list of names somebody else's.
    git(&scene.private.bare, &["pack-refs", "--all"]);
    for name in ["packed-refs", "refs"] {
        let own = scene.own("own.git");
        let _ = fs::remove_dir_all(own.join(name));
        symlink(scene.private.bare.join(name), own.join(name)).unwrap();
        give(&own);
        let (error, _) = refusal(head(own.to_str().unwrap(), &scene.lab.access()));
        assert!(error.contains(&format!("own.git/{name}`")) && error.contains("which is refused"), "{error}");
    }
}
