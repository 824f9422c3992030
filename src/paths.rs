//! Paths out of a repository, which are hostile until proven otherwise.
//!
//! In: a folder and a path that a repository file names below it. Out: the resolved path, inside
//! the folder, or an error. Nothing is touched.

use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};

/// Joins `path` below `root` and resolves symlinks; fails unless the result exists inside `root`.
///
/// `path` must be relative, without `..` and without a `.git` component. `root` is resolved too.
pub fn existing_inside(root: &Path, path: &str) -> Result<PathBuf> {
    resolve_inside(root, root, path)
}

/// Like `existing_inside`, but `path` is relative to `base`, a folder inside `root`; `..` may climb
/// up to `root`. A leading `..` is how compose files reach shared files of their repository.
///
/// `path` is read by its letters first, as docker and most programs do: of `sub/../x` nothing is left of `sub`,
/// wherever that links to. Only then symlinks are resolved.
pub fn resolve_inside(root: &Path, base: &Path, path: &str) -> Result<PathBuf> {
    ensure!(!path.is_empty(), "the path is empty");
    ensure!(!path.starts_with('~'), "the path `{path}` begins with `~`, which may stand for a home folder");
    ensure!(!path.contains('\0'), "the path `{}` holds a NUL byte", crate::plain::name(path));
    let root = root.canonicalize().with_context(|| format!("cannot resolve `{}`", root.display()))?;
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
    let resolved = match root.join(parts.iter().collect::<PathBuf>()).canonicalize() {
        Ok(resolved) => resolved,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!("`{path}` does not exist"),
        Err(error) => return Err(error).with_context(|| format!("cannot resolve `{path}`")),
    };
    let inside = resolved.strip_prefix(&root);
    let inside = inside.map_err(|_| anyhow!("`{path}` is a symlink that leads out of the repository"))?;
    ensure!(!inside.components().any(|part| part.as_os_str() == ".git"), "`{path}` leads into `.git`");
    Ok(resolved)
}

/// The text of a regular file of at most `most` bytes.
pub fn read_text(path: &Path, most: u64) -> Result<String> {
    let file = File::open(path).map_err(|error| anyhow!("cannot be read: {error}"))?;
    ensure!(file.metadata()?.is_file(), "is not a file");
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).context("cannot be read")?;
    ensure!(bytes.len() as u64 <= most, "is larger than {} KiB", most / 1024);
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
        assert_eq!(existing_inside(dir.path(), "web/a").unwrap(), real.join("web/a"));
        assert_eq!(existing_inside(dir.path(), "./in/a").unwrap(), real.join("web/a"));
        let from_web = |path: &str| resolve_inside(dir.path(), &dir.path().join("web"), path);
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
            assert!(existing_inside(dir.path(), path).is_err(), "{path:?}");
        }
        for path in ["../../etc/passwd", "../../x", "/etc/passwd", "../out/passwd"] {
            assert!(resolve_inside(dir.path(), &dir.path().join("web"), path).is_err(), "{path:?}");
        }
    }
}
