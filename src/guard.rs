//! Which folders no repository may have anything written to, or removed from.
//!
//! In: what the environment keeps and allows, and a folder. Out: that folder, open, or why bindings may not lie
//! there. It is judged as it lies open, so that neither a symlink nor a mount makes it look like another one.

mod mounts;
mod names;
mod position;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use mounts::Mounts;
use position::{Position, Relation};

/// The variable that names the folders where bindings may lie.
pub const ROOTS: &str = "DOCKEROPS_BINDING_ROOTS";

/// Folders of the system.
const SYSTEM: [&str; 20] = [
    "/bin",
    "/boot",
    "/efi",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix",
    "/opt/cni",
    "/opt/containerd",
    "/root",
    "/run",
    "/sbin",
    "/usr",
    "/var/backups",
    "/var/cache",
    "/var/lib",
    "/var/log",
    "/var/spool",
];

/// What the kernel shows as files.
const KERNEL: [&str; 3] = ["/dev", "/proc", "/sys"];

/// Where docker keeps its data, unless it was told otherwise.
const DOCKER: [&str; 2] = ["/var/lib/containerd", "/var/lib/docker"];

/// What is kept from repositories, and where bindings may lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    kept: Vec<Kept>,
    roots: Vec<PathBuf>,
}

/// A folder, or file, that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kept {
    path: PathBuf,
    what: String,
    /// Whether also where a root names it.
    always: bool,
}

/// Why a folder was not opened.
#[derive(Debug)]
pub enum Closed {
    /// It cannot be opened, or nobody can tell where it lies.
    Unknown(io::Error),
    /// Bindings may not lie there, and why.
    Forbidden(String),
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(error) => error.fmt(f),
            Self::Forbidden(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Closed {}

impl From<io::Error> for Closed {
    fn from(error: io::Error) -> Self {
        Self::Unknown(error)
    }
}

impl Default for Guard {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl Guard {
    /// Keeps what every machine has. Bindings may lie in `roots` alone, anywhere else where there are none.
    pub fn new(roots: Vec<PathBuf>) -> Self {
        let mut guard = Self { kept: Vec::new(), roots };
        for path in KERNEL {
            guard.keep(path, "where the kernel shows itself");
        }
        for path in DOCKER {
            guard.keep(path, "docker's own data");
        }
        guard
    }

    /// Keeps the folder, or file, at `path`, which is `what`, whatever the roots say.
    pub fn keep(&mut self, path: impl Into<PathBuf>, what: impl Into<String>) {
        self.kept.push(Kept { path: path.into(), what: what.into(), always: true });
    }

    /// Keeps the folder that a file lies in; the file alone where that folder is `/`.
    pub fn keep_around(&mut self, file: &Path, what: &str) {
        match file.parent().filter(|folder| folder.parent().is_some()) {
            Some(folder) => self.keep(folder, what),
            None => self.keep(file, what),
        }
    }

    /// Opens `folder`, where bindings are to lie; symlinks in its path are the administrator's, and followed.
    pub fn open(&self, folder: &Path) -> Result<OwnedFd, Closed> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
        let opened = rustix::fs::open(folder, flags, Mode::empty()).map_err(io::Error::from)?;
        self.judge(&opened, folder)?;
        Ok(opened)
    }

    fn judge(&self, opened: impl AsFd, shown: &Path) -> Result<(), Closed> {
        let mounts = Mounts::read()?;
        let place = Position::of(opened, &mounts)?;
        let leads = if place.path == shown {
            String::new()
        } else {
            format!(", which leads to `{}`,", place.path.display())
        };
        let forbidden = |why: String| Err(Closed::Forbidden(format!("`{}`{leads} {why}", shown.display())));
        let below: Vec<_> = mounts.below(&place.path).collect();
        if mounts::is_of_the_kernel(&place.kind) {
            return forbidden(format!("lies in a file system of the kernel (`{}`); {ELSEWHERE}", place.kind));
        }
        if let Some(mount) = below.iter().find(|mount| mounts::is_of_the_kernel(&mount.kind)) {
            let (point, kind) = (mount.point.display(), &mount.kind);
            return forbidden(format!(
                "holds `{point}`, a file system of the kernel (`{kind}`); {ELSEWHERE}"
            ));
        }
        // Only those that the place lies in have a say about it.
        let mut roots = Vec::new();
        for root in self.roots.iter().filter(|root| root.exists()) {
            let root = Position::of_path(root, &mounts)?;
            if place.path.starts_with(&root.path) {
                roots.push(root);
            }
        }
        if roots.is_empty() && !self.roots.is_empty() {
            let named: Vec<_> = self.roots.iter().map(|root| format!("`{}`", root.display())).collect();
            return forbidden(format!(
                "lies in none of the folders that `{ROOTS}` names: {}; name a folder in one of them, or add \
                 this one to it",
                named.join(", ")
            ));
        }
        for Kept { path, what, always } in self.kept.iter().chain(&system()) {
            let kept = Position::of_path(path, &mounts)?;
            let relation = place
                .relation(&kept)
                .or_else(|| below.iter().any(|mount| kept.meets(mount)).then_some(Relation::Holds));
            let Some(relation) = relation else { continue };
            let inside =
                |root: &Position| matches!(root.relation(&kept), Some(Relation::Is | Relation::LiesIn));
            if !always && roots.iter().any(inside) {
                continue;
            }
            let way = match relation {
                Relation::Is | Relation::LiesIn if !always => {
                    format!("{ELSEWHERE}; if that is meant, `{ROOTS}` can allow it")
                }
                _ => ELSEWHERE.to_owned(),
            };
            // Not by another name.
            let is_it = relation == Relation::Is && place.path == kept.path;
            let which = if is_it { String::new() } else { format!("`{}`, ", path.display()) };
            return forbidden(format!("{relation} {which}{what}; {way}"));
        }
        Ok(())
    }
}

const ELSEWHERE: &str = "name another folder, that is for bindings alone";

/// What a root can allow.
fn system() -> Vec<Kept> {
    let folder =
        |path: &&str| Kept { path: path.into(), what: "a folder of the system".into(), always: false };
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    SYSTEM.iter().map(folder).chain(users.lines().filter_map(login)).collect()
}

/// The folder by which a user logs in: who writes there is that user.
fn login(line: &str) -> Option<Kept> {
    let fields: Vec<_> = line.split(':').collect();
    let [name, _, _, _, _, home, shell] = *fields.as_slice() else { return None };
    let nobody = ["nologin", "false", "sync"].iter().any(|end| shell.ends_with(end));
    let home = Path::new(home);
    if nobody || !home.is_absolute() || home.parent().is_none() {
        return None;
    }
    Some(Kept {
        path: home.join(".ssh"),
        what: format!("the folder of the ssh keys of `{name}`"),
        always: false,
    })
}
