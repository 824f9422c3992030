//! What a repository on this machine's own disk reaches by its submodules: those that lie beside it.
//!
//! The operator named that one path. Who may push to it is not for that who may read this machine, and root does
//! the reading.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};
use git2::Repository;

use super::bounds::{self, Bounds};
use super::{explain, remote};
use crate::fault::fault;
use crate::settings::GitAccess;

/// A path or `file://`: read from disk, not over a network.
pub(super) fn is_local(url: &str) -> bool {
    url.starts_with('/') || url.starts_with("file://")
}

/// The folder of a local source, and whose the source is.
#[derive(Debug)]
pub(super) struct Neighbours {
    folder: PathBuf,
    owner: u32,
}

impl Neighbours {
    /// Of the source at `url`; none for one from the network.
    pub(super) fn of(url: &str) -> Result<Option<Self>> {
        if !is_local(url) {
            return Ok(None);
        }
        let (path, owner) = found(url)?;
        // What lies in the root folder has all of the machine beside it: it reaches what lies in it.
        let beside = path.parent().filter(|folder| folder.parent().is_some()).map(Path::to_path_buf);
        Ok(Some(Self { folder: beside.unwrap_or(path), owner }))
    }

    /// The path of the repository at the local `url`, symlinks resolved. That very path is to be opened.
    pub(super) fn admit(&self, url: &str) -> Result<String> {
        let path = path_of(url);
        let real = match path.canonicalize() {
            Ok(real) if real.starts_with(&self.folder) => real,
            Err(error) if error.kind() == ErrorKind::NotFound && self.would_hold(&path) => {
                return Err(explain::missing(url, "there is no such folder"));
            }
            _ => return Err(self.refusal()),
        };
        let bounds = Bounds { owner: self.owner, folder: Some(&self.folder) };
        if let Ok(repository) = Repository::open(&real) {
            // A `.git` may be a file or a symlink that leads elsewhere.
            let holds = |git: &Path| git.canonicalize().is_ok_and(|git| bounds.hold(&git));
            if !holds(repository.path()) || !holds(repository.commondir()) {
                return Err(self.refusal());
            }
            bounds.check(&repository)?;
        }
        real.to_str().map(str::to_owned).ok_or_else(|| self.refusal())
    }

    fn would_hold(&self, path: &Path) -> bool {
        path.starts_with(&self.folder) && !path.components().any(|part| part == Component::ParentDir)
    }

    fn refusal(&self) -> anyhow::Error {
        let folder = self.folder.display();
        fault(
            "its `url` in `.gitmodules` leads to a local path that this source does not reach, which is refused",
            format!(
                "a local source has its submodules beside it, in `{folder}`, and they belong to the same user"
            ),
        )
    }
}

/// The objects of the repository at the local `url`, symlinks resolved, where nothing of it leads to what is not its
/// owner's.
pub(super) fn objects(url: &str, access: &GitAccess) -> Result<PathBuf> {
    let repository = remote::talk(url, access, |url, _| Repository::open(path_of(url)))?;
    bounds(url, &repository)?.map_or(Ok(()), |bounds| bounds.check(&repository))?;
    let objects = repository.commondir().join("objects");
    objects.canonicalize().with_context(|| format!("`{}` cannot be read", objects.display()))
}

/// Likewise of what a list of its refs is read from. One that cannot be opened is left to who makes the list.
pub(super) fn check_names(url: &str) -> Result<()> {
    let Ok(repository) = Repository::open(path_of(url)) else { return Ok(()) };
    bounds(url, &repository)?.map_or(Ok(()), |bounds| bounds.check_names(&repository))
}

/// What git may read for the source at `url`. Root's own may lead anywhere.
fn bounds(url: &str, repository: &Repository) -> Result<Option<Bounds<'static>>> {
    let (path, owner) = found(url)?;
    if owner == 0 {
        return Ok(None);
    }
    let bounds = Bounds { owner, folder: None };
    for git in [repository.path(), repository.commondir()] {
        if !git.canonicalize().is_ok_and(|git| git.starts_with(&path) || bounds.hold(&git)) {
            return Err(bounds::refusal(&path));
        }
    }
    Ok(Some(bounds))
}

/// The path of the local `url`, symlinks resolved, and whose it is.
fn found(url: &str) -> Result<(PathBuf, u32)> {
    let read = |path: &Path| Ok::<_, std::io::Error>((path.canonicalize()?, path.metadata()?.uid()));
    read(&path_of(url)).with_context(|| format!("`{url}` cannot be read"))
}

/// The path as libgit2 reads it: in a `file://` URL `%2e` is a dot.
pub(super) fn path_of(url: &str) -> PathBuf {
    let Some(encoded) = url.strip_prefix("file://") else { return url.into() };
    let (mut bytes, mut rest) = (Vec::new(), encoded.as_bytes());
    while let [first, behind @ ..] = rest {
        let digits = behind.get(..2).filter(|it| *first == b'%' && it.iter().all(u8::is_ascii_hexdigit));
        let byte =
            digits.and_then(|it| std::str::from_utf8(it).ok()).and_then(|it| u8::from_str_radix(it, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &behind[2..] } else { behind };
    }
    OsStr::from_bytes(&bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Limits;

    #[test]
    fn a_path_is_read_as_libgit2_reads_it() {
        for (url, path) in [
            ("/srv/a%2eb", "/srv/a%2eb"),
            ("file:///srv/a%2eb", "/srv/a.b"),
            ("file:///srv/%2e%2E/b", "/srv/../b"),
            ("file:///srv/%", "/srv/%"),
            ("file:///srv/%2", "/srv/%2"),
            ("file:///srv/%zz%41", "/srv/%zzA"),
        ] {
            assert_eq!(path_of(url), Path::new(path), "{url}");
        }
    }

    #[test]
    fn a_source_in_the_root_folder_reaches_what_lies_in_it() {
        let neighbours = Neighbours::of("/usr").unwrap().unwrap();
        assert_eq!(neighbours.folder, Path::new("/usr"));
        assert!(neighbours.admit("/etc").is_err() && neighbours.admit("/usr/lib").is_ok());
        assert!(Neighbours::of("https://h/r").unwrap().is_none());
    }

    #[test]
    fn what_lies_beside_it_and_is_anothers_is_not_reached() {
        let folder = tempfile::tempdir().unwrap();
        let [source, other] = ["a.git", "b.git"].map(|name| folder.path().join(name));
        for path in [&source, &other] {
            Repository::init_bare(path).unwrap();
        }
        let neighbours = Neighbours::of(source.to_str().unwrap()).unwrap().unwrap();
        assert!(neighbours.admit(other.to_str().unwrap()).is_ok());
        let others = Neighbours { owner: neighbours.owner + 1, ..neighbours };
        assert!(others.admit(other.to_str().unwrap()).is_err());
    }

    #[test]
    fn objects_of_somebody_else_are_not_borrowed() {
        let access = GitAccess {
            purpose: crate::settings::Purpose::Fetch,
            github_token: None,
            gh_host: None,
            credentials_file: None,
            timeout: std::time::Duration::from_secs(20),
            home: None,
            limits: Limits::default(),
            kept: None,
        };
        crate::git::configure(&access).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let [source, middle, other] = ["a.git", "b.git", "c.git"].map(|name| folder.path().join(name));
        for path in [&source, &middle, &other] {
            Repository::init_bare(path).unwrap();
        }
        let borrow = |path: &Path, from: &Path| {
            let line = format!("# theirs\n{}\n", from.join("objects").display());
            std::fs::write(path.join("objects/info/alternates"), line).unwrap();
        };
        let give = |path: &Path, user| {
            for entry in walkdir::WalkDir::new(path).into_iter().map(Result::unwrap) {
                std::os::unix::fs::chown(entry.path(), Some(user), Some(user)).unwrap();
            }
        };
        let url = source.to_str().unwrap();
        borrow(&source, &middle);
        borrow(&middle, &other);
        // Root may borrow from anybody.
        assert!(objects(url, &access).is_ok());
        if rustix::process::geteuid().is_root() {
            for path in [&source, &middle] {
                give(path, 1234);
            }
            assert!(objects(url, &access).unwrap_err().to_string().contains("c.git/objects"));
            give(&other, 1234);
            assert!(objects(url, &access).is_ok());
        }
    }
}
