//! Paths out of a repository, which are hostile until proven otherwise.
//!
//! In: a folder and a path that a repository file names below it. Out: the resolved path, inside
//! the folder, or an error. Nothing is touched.

use std::fmt::Debug;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail, ensure};

/// No compose file or file of variables is larger, in bytes.
pub const LARGEST_TEXT: u64 = 4 * 1024 * 1024;

/// Where the files come from that are not below a root yet. Paths are given from the root; symlinks on the way are
/// followed, and come too. Where there is nothing, nothing comes, which is no error.
pub trait Supply: Debug + Send + Sync {
    /// Writes out the file at `path`, or the folder without what is in it.
    fn bring(&self, path: &Path) -> Result<()>;
    /// Writes out the folder at `path` with all that is in it.
    fn bring_all(&self, path: &Path) -> Result<()>;
    /// How many bytes the file at `path` has, where that is known before it is written out; it is not.
    fn size(&self, path: &Path) -> Result<Option<u64>>;
    /// What lies at `path`, of which nothing is written out; `None` where a symlink leads on, or only the disk can say. A
    /// file of `most` bytes or less counts as one that came.
    fn look(&self, path: &Path, most: Option<u64>) -> Result<Option<Found>>;
    /// The content of a file that came by a look; `None` where it is on disk.
    fn content(&self, path: &Path) -> Result<Option<Vec<u8>>>;
    /// What lies in the folder at `path`; nothing is written.
    fn names(&self, path: &Path) -> Result<Vec<String>>;
}

/// What lies at a path that no symlink is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    Nothing,
    Folder,
    /// A regular file of so many bytes.
    File(u64),
}

/// A folder that no path of a repository leads out of. Its files are on disk, or come when they are asked for.
#[derive(Debug, Clone)]
pub struct Root {
    path: PathBuf,
    supply: Option<Arc<dyn Supply>>,
}

impl Root {
    /// A folder whose files are all there.
    pub fn on_disk(path: &Path) -> Self {
        Self { path: path.to_path_buf(), supply: None }
    }

    /// A folder, symlinks resolved, whose files `supply` writes out.
    pub fn supplied(path: PathBuf, supply: Arc<dyn Supply>) -> Self {
        Self { path, supply: Some(supply) }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Joins `path` to `base`, a folder inside the root, and resolves symlinks; fails unless the result exists inside the
    /// root. `path` must be relative, without a `.git` component. `..` may climb from `base` up to the root: so do compose
    /// files reach shared files of their repository.
    ///
    /// `path` is read by its letters first, as docker and most programs do: of `sub/../x` nothing is left of `sub`,
    /// wherever that links to. Only then symlinks are resolved.
    pub fn resolve(&self, base: &Path, path: &str) -> Result<PathBuf> {
        let (root, below) = self.letters(base, path)?;
        self.bring(&below).with_context(|| format!("cannot read `{path}`"))?;
        if has_no_symlink(&root, &below) {
            return Ok(root.join(below));
        }
        let resolved = match root.join(below).canonicalize() {
            Ok(resolved) => resolved,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                bail!("`{path}` does not exist")
            }
            Err(error) => return Err(error).with_context(|| format!("cannot resolve `{path}`")),
        };
        let inside = resolved.strip_prefix(&root);
        let inside = inside.map_err(|_| anyhow!("`{path}` is a symlink that leads out of the repository"))?;
        ensure!(!inside.components().any(|part| part.as_os_str() == ".git"), "`{path}` leads into `.git`");
        Ok(resolved)
    }

    /// The root, symlinks resolved, and `path` from there by its letters.
    fn letters(&self, base: &Path, path: &str) -> Result<(PathBuf, PathBuf)> {
        ensure!(!path.is_empty(), "the path is empty");
        ensure!(
            !path.starts_with('~'),
            "the path `{path}` begins with `~`, which may stand for a home folder"
        );
        ensure!(!path.contains('\0'), "the path `{}` holds a NUL byte", crate::plain::name(path));
        let root = match &self.supply {
            // That of a supplied one is resolved.
            Some(_) => self.path.clone(),
            None => {
                let shown = || format!("cannot resolve `{}`", self.path.display());
                self.path.canonicalize().with_context(shown)?
            }
        };
        let below = base.strip_prefix(&root).unwrap_or(Path::new(""));
        let climbing = !below.as_os_str().is_empty();
        let mut parts: Vec<_> = below.components().collect();
        for component in Path::new(path).components() {
            match component {
                Component::Prefix(_) | Component::RootDir => bail!("the path `{path}` is absolute"),
                Component::ParentDir if !climbing || parts.is_empty() => {
                    bail!("the path `{path}` leads out with `..`")
                }
                Component::ParentDir => drop(parts.pop()),
                Component::Normal(name) if name == ".git" => bail!("the path `{path}` leads into `.git`"),
                Component::Normal(_) => parts.push(component),
                Component::CurDir => {}
            }
        }
        Ok((root, parts.iter().collect()))
    }

    /// How many bytes the file has that `path` leads to, as `resolve` takes it: of one that is not on disk so far, and is
    /// not written for that.
    pub fn size_ahead(&self, base: &Path, path: &str) -> Option<u64> {
        let (_, below) = self.letters(base, path).ok().filter(|_| self.supply.is_some())?;
        self.supply.as_ref()?.size(&below).ok().flatten()
    }

    /// The file that `path` leads to, as `resolve` takes it, and its size, where neither a symlink nor a disk is on the way.
    /// It is not written out, and has come if it has at most `most` bytes: `text` reads it.
    pub fn find_file(&self, base: &Path, path: &str, most: u64) -> Option<(PathBuf, u64)> {
        match self.find(base, path, Some(most))? {
            (file, Found::File(size)) => Some((file, size)),
            _ => None,
        }
    }

    /// Whether `path` leads to a folder, as `resolve` takes it.
    pub fn is_folder(&self, base: &Path, path: &str) -> Result<bool> {
        match self.find(base, path, None) {
            Some((_, Found::Folder)) => Ok(true),
            _ => Ok(self.resolve(base, path)?.is_dir()),
        }
    }

    fn find(&self, base: &Path, path: &str, most: Option<u64>) -> Option<(PathBuf, Found)> {
        let (root, below) = self.letters(base, path).ok()?;
        let found = self.supply.as_ref()?.look(&below, most).ok()??;
        Some((root.join(below), found))
    }

    /// The text of the regular file at `path`, symlinks resolved, of at most `most` bytes; who names it found it before.
    pub fn text(&self, path: &Path, most: u64) -> Result<String> {
        let supplied = self.supply.as_ref().map(|supply| supply.content(self.below(path))).transpose()?;
        match supplied.flatten() {
            Some(bytes) => within(bytes.len() as u64, most).and_then(|()| utf8(bytes)),
            None => read_text(path, most),
        }
    }

    /// The text of a regular file of at most `most` bytes; a larger one is not written out.
    pub fn read_text(&self, base: &Path, path: &str, most: u64) -> Result<String> {
        if let Some((file, size)) = self.find_file(base, path, most) {
            return within(size, most).and_then(|()| self.text(&file, most));
        }
        within(self.size_ahead(base, path).unwrap_or_default(), most)?;
        read_text(&self.resolve(base, path)?, most)
    }

    /// Whether `folder`, which is inside, has a `name`, be it a symlink to nothing. What cannot be read is taken to be
    /// there: who then reads it says why it cannot.
    pub fn has(&self, folder: &Path, name: &str) -> bool {
        let path = folder.join(name);
        let look = |supply: &Arc<dyn Supply>| supply.look(self.below(&path), None).ok()?;
        if let Some(found) = self.supply.as_ref().and_then(look) {
            return found != Found::Nothing;
        }
        let is_file = |supply: &Arc<dyn Supply>| matches!(supply.size(self.below(&path)), Ok(Some(_)));
        self.supply.as_ref().is_some_and(is_file)
            || self.bring(self.below(&path)).is_err()
            || path.symlink_metadata().is_ok()
    }

    /// What lies in `folder`, which is inside; nothing where it cannot be read.
    pub fn names(&self, folder: &Path) -> Vec<String> {
        match &self.supply {
            Some(supply) => supply.names(self.below(folder)).unwrap_or_default(),
            None => names_on_disk(folder),
        }
    }

    /// Makes sure that the file at `path`, which is absolute, is on disk if there is one.
    pub fn bring(&self, path: &Path) -> Result<()> {
        self.supply.as_ref().map_or(Ok(()), |supply| supply.bring(self.below(path)))
    }

    /// Makes sure that all files in the folder at `path`, which is absolute, are on disk.
    pub fn bring_all(&self, path: &Path) -> Result<()> {
        self.supply.as_ref().map_or(Ok(()), |supply| supply.bring_all(self.below(path)))
    }

    fn below<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.path).unwrap_or(path)
    }
}

/// What lies in `folder`; nothing where it cannot be read.
pub fn names_on_disk(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
}

/// Opens what may be no regular file: nobody waits for who writes into a pipe.
pub fn open(path: &Path) -> Result<File> {
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let mut options = File::options();
    options.read(true).custom_flags(flags.bits().cast_signed());
    options.open(path).map_err(|error| anyhow!("cannot be read: {error}"))
}

/// Whether `below` is there, is no part of git's own folder, and no symlink leads to it from `root`.
fn has_no_symlink(root: &Path, below: &Path) -> bool {
    let mut at = root.to_path_buf();
    below.iter().all(|name| {
        at.push(name);
        name != ".git" && at.symlink_metadata().is_ok_and(|found| !found.is_symlink())
    }) && (at != root || root.exists())
}

fn within(size: u64, most: u64) -> Result<()> {
    ensure!(size <= most, "is larger than {} KiB", most / 1024);
    Ok(())
}

/// The text of a regular file of at most `most` bytes.
pub fn read_text(path: &Path, most: u64) -> Result<String> {
    let file = open(path)?;
    ensure!(file.metadata()?.is_file(), "is not a file");
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).context("cannot be read")?;
    within(bytes.len() as u64, most)?;
    utf8(bytes)
}

fn utf8(bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        anyhow!("is not UTF-8 (line {})", String::from_utf8_lossy(valid).split('\n').count())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("web")).unwrap();
        std::fs::create_dir_all(dir.path().join(".git")).unwrap();
        std::fs::write(dir.path().join("web/a"), "a").unwrap();
        std::fs::write(dir.path().join(".git/config"), "").unwrap();
        symlink("/etc", dir.path().join("out")).unwrap();
        symlink("web", dir.path().join("in")).unwrap();
        symlink(".git", dir.path().join("g")).unwrap();
        dir
    }

    #[test]
    fn inside_is_fine_also_through_a_symlink_that_stays_inside() {
        let dir = tree();
        let real = dir.path().canonicalize().unwrap();
        assert_eq!(Root::on_disk(dir.path()).resolve(dir.path(), "web/a").unwrap(), real.join("web/a"));
        assert_eq!(Root::on_disk(dir.path()).resolve(dir.path(), "./in/a").unwrap(), real.join("web/a"));
        let root = Root::on_disk(dir.path());
        let from_web = |path: &str| root.resolve(&dir.path().join("web"), path);
        assert_eq!(from_web("../in/a").unwrap(), real.join("web/a"));
        // `deep` links to a folder elsewhere; what counts is where it stands.
        std::fs::create_dir_all(real.join("other/sub")).unwrap();
        symlink("../other/sub", real.join("web/deep")).unwrap();
        assert_eq!(from_web("deep/../a").unwrap(), real.join("web/a"));
        assert!(from_web("deep/../nothing").is_err());
    }

    #[test]
    fn every_way_out_is_refused() {
        let dir = tree();
        for path in [
            "",
            "~/x",
            "~root/x",
            "/etc/passwd",
            "../x",
            "web/../../x",
            "out",
            "out/passwd",
            ".git/config",
            "g/config",
            "a\0b",
        ] {
            assert!(Root::on_disk(dir.path()).resolve(dir.path(), path).is_err(), "{path:?}");
        }
        for path in ["../../etc/passwd", "../../x", "/etc/passwd", "../out/passwd"] {
            assert!(Root::on_disk(dir.path()).resolve(&dir.path().join("web"), path).is_err(), "{path:?}");
        }
    }
}
