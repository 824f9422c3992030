//! `nfs.yaml`: where bindings go, and to whom their files belong.

use std::fs::Permissions;
use std::io::ErrorKind;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;

use super::{Place, entries};
use crate::guard::Closed;
use crate::paths::Root;
use crate::problem::{Collector, Problem};
use crate::yaml::Node;

pub const FILE: &str = "nfs.yaml";
const KEYS: [&str; 2] = ["path", "owner"];

/// Where bindings go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nfs {
    /// An absolute path that every node has, as the author wrote it but for needless slashes.
    pub path: PathBuf,
    /// User and group of what is copied; root where there is none.
    pub owner: Option<(u32, u32)>,
}

/// `None` where there is no such file, or it is wrong, or the guard of `place` says that bindings may not lie there.
/// With `try_writing` a file is made below `path`, and removed: nothing else proves that an NFS server lets root write.
pub fn read(root: &Root, dir: &Path, place: Place<'_>) -> (Option<Nfs>, Vec<Problem>) {
    let mut problems = Collector::new(entries::display(root, dir, FILE));
    let nfs = entries::document(root, dir, FILE, &mut problems)
        .and_then(|node| from_node(&node, place, &mut problems));
    (nfs, problems.into_problems())
}

/// Where bindings would go, as far as the file can be read, and where it says so: file and line. Nothing is looked at.
pub fn binding_folder(root: &Root, dir: &Path) -> Option<(String, usize, PathBuf)> {
    let file = entries::display(root, dir, FILE);
    let node = entries::document(root, dir, FILE, &mut Collector::new(&*file))?;
    let path = node.get("path")?;
    let folder = path.text().map(PathBuf::from)?;
    Some((file, path.line, folder))
}

fn from_node(node: &Node, place: Place<'_>, problems: &mut Collector) -> Option<Nfs> {
    if node.pairs().is_none() {
        problems.add(node.line, "", format!("must be a mapping with `path`, not {}", node.what()));
        return None;
    }
    entries::check_keys(node, "", &KEYS, problems);
    let owner = owner(node, problems);
    let (line, text) = entries::string(node, "", "path", "the folder that every node mounts", problems)?;
    match folder(&text, place) {
        Ok(path) => Some(Nfs { path, owner }),
        Err(what) => {
            problems.add(line, "path", what);
            None
        }
    }
}

fn folder(text: &str, place: Place<'_>) -> Result<PathBuf, String> {
    let path = Path::new(text);
    if !path.is_absolute() {
        return Err(format!("`{text}` is relative; write where every node mounts it, as in `/mnt/nfs`"));
    }
    if path.components().any(|part| part == Component::ParentDir) {
        return Err(format!("`{text}` leads on with `..`; write the path it means"));
    }
    if text.chars().any(|letter| letter == ':' || letter.is_control()) {
        return Err("holds a `:` or a control character, which a mount cannot name".into());
    }
    let path: PathBuf = path.components().collect();
    if path.parent().is_none() {
        return Err("is the root of the file system; name a folder".into());
    }
    let (guard, try_writing) = match place {
        Place::Here { guard, try_writing } => (guard, try_writing),
        Place::Elsewhere(guard) => return guard.judge_name(&path).map(|()| path),
    };
    let opened = guard.open(&path).map_err(|closed| match closed {
        Closed::Forbidden(why) => why,
        Closed::Unknown(error) => match error.kind() {
            ErrorKind::NotFound => format!("`{text}` does not exist on this node; is it mounted?"),
            ErrorKind::NotADirectory => format!("`{text}` is not a folder"),
            _ => format!("`{text}` cannot be looked at: {error}"),
        },
    })?;
    writable(&opened, try_writing).map_err(|error| format!("`{text}` is not writable: {error}"))?;
    Ok(path)
}

/// Tried in the folder that was judged, whatever its path leads to by now.
fn writable(opened: &OwnedFd, try_writing: bool) -> std::io::Result<()> {
    let path = format!("/proc/self/fd/{}", opened.as_raw_fd());
    rustix::fs::access(&path, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)?;
    if try_writing && !writes_unnamed(opened)? {
        let mut trial = tempfile::Builder::new();
        trial.prefix(".dockerops-trial-").permissions(Permissions::from_mode(0o600));
        trial.tempfile_in(path)?.close()?;
    }
    Ok(())
}

/// A file without a name is gone with this program, however that ends. `false` where the file system has none, as NFS.
fn writes_unnamed(opened: &OwnedFd) -> std::io::Result<bool> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    match openat(opened, ".", flags, Mode::RUSR | Mode::WUSR) {
        Ok(_) => Ok(true),
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn owner(node: &Node, problems: &mut Collector) -> Option<(u32, u32)> {
    let value = node.get("owner")?;
    let id = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // The highest id means "leave it" to the system.
        text.parse().ok().filter(|id| digits && *id != u32::MAX)
    };
    let parsed = value.text().and_then(|text| {
        let (user, group) = text.split_once(':')?;
        Some((id(user)?, id(group)?))
    });
    if parsed.is_none() {
        problems.add(value.line, "owner", "must be the numbers of a user and a group: `\"1000:1000\"`");
    }
    parsed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::Guard;

    fn read_text(text: &str) -> (Option<Nfs>, Vec<String>) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), text).unwrap();
        let here = Place::Here { guard: &Guard::default(), try_writing: true };
        let (nfs, problems) = read(&Root::on_disk(dir.path()), dir.path(), here);
        (nfs, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_folder_that_can_be_written_is_taken_and_nothing_is_left_in_it() {
        let nfs = tempfile::tempdir().unwrap();
        let text = format!("path: {}//\nowner: \"1000:33\"\n", nfs.path().display());
        let (read, problems) = read_text(&text);
        assert_eq!(problems, [""; 0]);
        assert_eq!(read.unwrap(), Nfs { path: nfs.path().to_path_buf(), owner: Some((1000, 33)) });
        assert_eq!(std::fs::read_dir(nfs.path()).unwrap().count(), 0);
        let dir = tempfile::tempdir().unwrap();
        let here = Place::Here { guard: &Guard::default(), try_writing: true };
        assert_eq!(super::read(&Root::on_disk(dir.path()), dir.path(), here), (None, vec![]));
    }

    #[test]
    fn what_is_wrong_is_named_with_line_and_key() {
        for (text, what) in [
            ("path: mnt/nfs\n", "nfs.yaml:1: `path`: `mnt/nfs` is relative"),
            ("\npath: /nonexistent/nfs\n", "nfs.yaml:2: `path`: `/nonexistent/nfs` does not exist"),
            ("path: /etc/hostname\n", "nfs.yaml:1: `path`: `/etc/hostname` is not a folder"),
            ("path: /tmp/../etc\n", "nfs.yaml:1: `path`: `/tmp/../etc` leads on with `..`"),
            ("path: /\n", "nfs.yaml:1: `path`: is the root"),
            ("path: /proc/self\n", "nfs.yaml:1: `path`: `/proc/self`, which leads to `/proc/"),
            ("path: /etc\n", "nfs.yaml:1: `path`: `/etc` is a folder of the system; name another folder"),
            ("path: [a]\n", "nfs.yaml:1: `path`: must be a string, not a list"),
            ("owner: 1:1\n", "nfs.yaml:1: has no `path`"),
            ("path: /tmp\nowner: root:root\n", "nfs.yaml:2: `owner`: must be the numbers"),
            ("path: /tmp\nowner: \"1000:4294967295\"\n", "nfs.yaml:2: `owner`: must be the numbers"),
            ("path: /tmp\nserver: x\n", "nfs.yaml:2: `server`: unknown key"),
            ("- /tmp\n", "nfs.yaml:1: must be a mapping"),
            ("", "nfs.yaml: is empty"),
        ] {
            let (_, problems) = read_text(text);
            assert!(problems.iter().any(|problem| problem.starts_with(what)), "{text:?}: {problems:?}");
        }
    }
}
