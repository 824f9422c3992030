//! Where a folder lies: by its path, by the file system it is in, and by the folders above it.

use std::fmt;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::mounts::{Mount, Mounts};

/// How a place lies to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// They are the same.
    Is,
    /// It lies in the other.
    LiesIn,
    /// The other lies in it.
    Holds,
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Is => "is",
            Self::LiesIn => "lies in",
            Self::Holds => "holds",
        })
    }
}

/// Device and inode.
type Id = (u64, u64);

/// Where something lies, or would lie if it were there.
#[derive(Debug)]
pub struct Position {
    /// Without a symlink.
    pub path: PathBuf,
    /// The kind of its file system.
    pub kind: String,
    device: String,
    /// From the root of its file system, which is another path than the one above where a part of it is mounted.
    inside: PathBuf,
    /// `None` where it is not there.
    own: Option<Id>,
    /// What it lies in, as far as that is there.
    above: Vec<Id>,
}

impl Position {
    /// Of what is open.
    pub fn of(opened: impl AsFd, mounts: &Mounts) -> io::Result<Self> {
        let number = opened.as_fd().as_raw_fd();
        let path = std::fs::read_link(format!("/proc/self/fd/{number}"))?;
        let stat = rustix::fs::fstat(&opened)?;
        let lost = || {
            let what =
                format!("nobody can tell where `{}` lies; is it being moved, or removed?", path.display());
            io::Error::other(what)
        };
        let own = (stat.st_dev, stat.st_ino);
        if id(&path).ok() != Some(own) {
            return Err(lost());
        }
        let mount = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}"))?;
        let mount = mount.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok());
        // In a changed root some mounts are not told of; path and inodes are known all the same.
        let mount = mount.and_then(|id| mounts.get(id)).and_then(|mount| {
            let inside = mount.root.join(path.strip_prefix(&mount.point).ok()?);
            Some((mount.device.clone(), mount.kind.clone(), inside))
        });
        let (device, kind, inside) = mount.unwrap_or_default();
        let above = path.ancestors().skip(1).map(id).collect::<io::Result<_>>()?;
        Ok(Self { path, kind, device, inside, own: Some(own), above })
    }

    /// Of what is at `path`, symlinks followed, or would be if the rest of its path were there.
    pub fn of_path(path: &Path, mounts: &Mounts) -> io::Result<Self> {
        for (depth, there) in path.ancestors().enumerate() {
            let opened = match rustix::fs::open(there, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
                Err(error)
                    if matches!(
                        io::Error::from(error).kind(),
                        ErrorKind::NotFound | ErrorKind::NotADirectory
                    ) =>
                {
                    continue;
                }
                opened => opened?,
            };
            let mut position = Self::of(opened, mounts)?;
            if depth > 0 {
                let rest = path.strip_prefix(there).unwrap_or(path);
                position.path.push(rest);
                position.inside.push(rest);
                position.above.splice(0..0, position.own.take());
            }
            return Ok(position);
        }
        Err(ErrorKind::NotFound.into())
    }

    /// How this lies to `other`, if it has to do with it.
    pub fn relation(&self, other: &Self) -> Option<Relation> {
        let by_inode = || match (self.own, other.own) {
            (Some(own), Some(others)) if own == others => Some(Relation::Is),
            (_, Some(others)) if self.above.contains(&others) => Some(Relation::LiesIn),
            (Some(own), _) if other.above.contains(&own) => Some(Relation::Holds),
            _ => None,
        };
        let same = self.device == other.device && !self.device.is_empty();
        by_path(&self.path, &other.path)
            .or_else(|| if same { by_path(&self.inside, &other.inside) } else { None })
            .or_else(by_inode)
    }

    /// Whether what a mount shows has to do with it.
    pub fn meets(&self, mount: &Mount) -> bool {
        self.device == mount.device && by_path(&self.inside, &mount.root).is_some()
    }
}

fn by_path(one: &Path, other: &Path) -> Option<Relation> {
    if one == other {
        Some(Relation::Is)
    } else if one.starts_with(other) {
        Some(Relation::LiesIn)
    } else if other.starts_with(one) {
        Some(Relation::Holds)
    } else {
        None
    }
}

fn id(path: &Path) -> io::Result<Id> {
    path.symlink_metadata().map(|found| (found.dev(), found.ino()))
}
