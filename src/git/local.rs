//! What a repository on this machine's own disk reaches by its submodules: those that lie beside it.
//!
//! The operator named that one path. Who may push to it is not for that who may read this machine, and root does
//! the reading.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};
use git2::{Repository, RepositoryOpenFlags};

use crate::fault::fault;
use crate::plain;

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
        let read = |path: &Path| Ok::<_, std::io::Error>((path.canonicalize()?, path.metadata()?.uid()));
        let (path, owner) = read(&path_of(url)).with_context(|| format!("`{url}` cannot be read"))?;
        // What lies in the root folder has all of the machine beside it: it reaches what lies in it.
        let beside = path.parent().filter(|folder| folder.parent().is_some()).map(Path::to_path_buf);
        Ok(Some(Self { folder: beside.unwrap_or(path), owner }))
    }

    /// The repository at the local `url` as it is to be asked for, symlinks resolved.
    pub(super) fn admit(&self, url: &str) -> Result<String> {
        let path = path_of(url);
        let real = match path.canonicalize() {
            Ok(real) if real.starts_with(&self.folder) => real,
            Err(error) if error.kind() == ErrorKind::NotFound && self.would_hold(&path) => path,
            _ => return Err(self.refusal()),
        };
        // A `.git` may be a file or a symlink that leads elsewhere.
        let opened = Repository::open_ext(&real, RepositoryOpenFlags::NO_SEARCH, &[] as &[&OsStr]);
        if opened.is_ok_and(|it| [it.path(), it.commondir()].iter().any(|git| !self.is_own(git))) {
            return Err(self.refusal());
        }
        // libgit2 takes what follows a `%` for a byte, and a path with a `:` for a host.
        let text = real.to_str().ok_or_else(|| self.refusal())?;
        Ok(format!("file://{}", text.replace('%', "%25")))
    }

    fn is_own(&self, git: &Path) -> bool {
        let real = git.canonicalize().ok().filter(|real| real.starts_with(&self.folder));
        real.and_then(|real| real.metadata().ok()).is_some_and(|found| found.uid() == self.owner)
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

/// Fails where the repository at the local `url` borrows objects, or those it borrows from do, of a repository that is
/// somebody else's: root would read them for whoever may write here.
pub(super) fn refuse_borrowed_objects(url: &str) -> Result<()> {
    let Ok(repository) = Repository::open(path_of(url)) else { return Ok(()) };
    let objects = repository.commondir().join("objects");
    let owner = objects.metadata().with_context(|| format!("`{}`", objects.display()))?.uid();
    let (mut left, mut known) = (vec![objects], BTreeSet::new());
    while let Some(objects) = left.pop() {
        if owner == 0 || !known.insert(objects.clone()) {
            continue;
        }
        let list = std::fs::read(objects.join("info/alternates")).unwrap_or_default();
        for line in list.split(|byte| *byte == b'\n').filter(|line| !line.is_empty() && line[0] != b'#') {
            let path = objects.join(OsStr::from_bytes(line));
            if !path.metadata().is_ok_and(|found| found.uid() == owner) {
                return Err(fault(
                    format!(
                        "it borrows objects from `{}`, which is not its owner's",
                        plain::name(&path.display().to_string())
                    ),
                    "`git repack -a -d` copies them; then remove `objects/info/alternates`",
                ));
            }
            left.push(path);
        }
    }
    Ok(())
}

/// The path as libgit2 reads it: in a `file://` URL `%2e` is a dot.
fn path_of(url: &str) -> PathBuf {
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
    use crate::settings::GitAccess;

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
        assert!(refuse_borrowed_objects(url).is_ok());
        if rustix::process::geteuid().is_root() {
            for path in [&source, &middle] {
                give(path, 1234);
            }
            assert!(refuse_borrowed_objects(url).unwrap_err().to_string().contains("c.git/objects"));
            give(&other, 1234);
            assert!(refuse_borrowed_objects(url).is_ok());
        }
    }
}
