//! A folder held open: everything is done relative to it, and no symlink is ever followed.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;

/// User and group.
pub type Owner = Option<(u32, u32)>;

/// A folder below `nfs.path`, open.
#[derive(Debug)]
pub struct Folder(OwnedFd);

/// What lies at a name, held: whatever is put there meanwhile, this is what was looked at.
#[derive(Debug)]
pub struct Found {
    held: OwnedFd,
    /// What it was when it was looked at.
    pub stat: Stat,
}

type Outcome<T> = Result<T, Errno>;

impl From<OwnedFd> for Folder {
    fn from(opened: OwnedFd) -> Self {
        Self(opened)
    }
}

impl Folder {
    /// The folder `name`; a symlink is none.
    pub fn enter(&self, name: &OsStr) -> Outcome<Self> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
        rustix::fs::openat(&self.0, name, flags, Mode::empty()).map(Self)
    }

    /// The folder at `path`, one step at a time.
    pub fn walk(&self, path: &Path) -> Outcome<Self> {
        let mut here = Self(rustix::io::fcntl_dupfd_cloexec(&self.0, 3)?);
        for part in path.components() {
            let Component::Normal(name) = part else { return Err(Errno::INVAL) };
            here = here.enter(name)?;
        }
        Ok(here)
    }

    /// Makes the folder `name`, of that mode whatever the umask says.
    pub fn make_folder(&self, name: &OsStr, owner: Owner, mode: u32) -> Outcome<Self> {
        rustix::fs::mkdirat(&self.0, name, Mode::from_raw_mode(0o700))?;
        let new = self.enter(name)?;
        chown(&new.0, owner)?;
        rustix::fs::fchmod(&new.0, Mode::from_raw_mode(mode))?;
        Ok(new)
    }

    /// What `name` is, itself; `None` where there is nothing.
    pub fn stat(&self, name: &OsStr) -> Outcome<Option<Stat>> {
        there(rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW))
    }

    /// What lies at `name`, itself. To look is not to open: of a device, which a container can make, the opening
    /// may be an act.
    pub fn look(&self, name: &OsStr) -> Outcome<Option<Found>> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Some(held) = there(rustix::fs::openat(&self.0, name, flags, Mode::empty()))? else {
            return Ok(None);
        };
        let stat = rustix::fs::fstat(&held)?;
        Ok(Some(Found { held, stat }))
    }

    pub fn stat_now(&self) -> Outcome<Stat> {
        rustix::fs::fstat(&self.0)
    }

    /// Where the symlink `name` points; `None` where it is none.
    pub fn link(&self, name: &OsStr) -> Option<Vec<u8>> {
        rustix::fs::readlinkat(&self.0, name, Vec::new()).ok().map(std::ffi::CString::into_bytes)
    }

    /// A new file, for writing; fails where anything has the name.
    pub fn new_file(&self, name: &OsStr) -> Outcome<File> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::WRONLY;
        rustix::fs::openat(&self.0, name, flags, Mode::from_raw_mode(0o600)).map(File::from)
    }

    /// A new symlink; fails where anything has the name.
    pub fn new_link(&self, name: &OsStr, target: &Path, owner: Owner) -> Outcome<()> {
        rustix::fs::symlinkat(target, &self.0, name)?;
        let Some((user, group)) = owner else { return Ok(()) };
        let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
        rustix::fs::chownat(&self.0, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Moves `name` to another folder of the same file system, in the place of what has that name there.
    pub fn move_to(&self, name: &OsStr, other: &Self, new: &OsStr) -> Outcome<()> {
        rustix::fs::renameat(&self.0, name, &other.0, new)
    }

    /// Gives this folder to `owner`.
    pub fn give_to(&self, owner: Owner) -> Outcome<()> {
        chown(&self.0, owner)
    }

    /// Removes what was found, if it is what lies there still.
    pub fn remove(&self, name: &OsStr, found: Found) -> Outcome<()> {
        let judged = found.stat;
        // An NFS client gives another name to what goes while it is held.
        drop(found);
        let same = |now: &Stat| {
            let key =
                |stat: &Stat| (stat.st_dev, stat.st_ino, stat.st_size, stat.st_ctime, stat.st_ctime_nsec);
            key(now) == key(&judged)
        };
        if self.stat(name)?.as_ref().is_some_and(same) { self.unlink(name) } else { Ok(()) }
    }

    /// Removes what is no folder; nothing there is fine.
    pub fn unlink(&self, name: &OsStr) -> Outcome<()> {
        there(rustix::fs::unlinkat(&self.0, name, AtFlags::empty())).map(drop)
    }

    /// Removes an empty folder; one that holds something stays.
    pub fn remove_folder(&self, name: &OsStr) -> Outcome<()> {
        match there(rustix::fs::unlinkat(&self.0, name, AtFlags::REMOVEDIR)) {
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::BUSY | Errno::NOTDIR) => Ok(()),
            removed => removed.map(drop),
        }
    }

    pub fn names(&self) -> Outcome<Vec<Vec<u8>>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.0)? {
            let entry = entry?;
            names.push(entry.file_name().to_bytes().to_vec());
        }
        names.retain(|name| name != b"." && name != b"..");
        Ok(names)
    }
}

impl Found {
    pub fn is_file(&self) -> bool {
        FileType::from_raw_mode(self.stat.st_mode).is_file()
    }

    pub fn is_folder(&self) -> bool {
        FileType::from_raw_mode(self.stat.st_mode).is_dir()
    }

    /// What it is now, wherever it lies now.
    pub fn now(&self) -> Outcome<Stat> {
        rustix::fs::fstat(&self.held)
    }

    /// Opens it for reading; `None` where it is no regular file.
    pub fn open(&self) -> Outcome<Option<File>> {
        if !self.is_file() {
            return Ok(None);
        }
        // Not to wait for a container that holds a lease on it.
        let path = format!("/proc/self/fd/{}", self.held.as_raw_fd());
        let flags = OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::RDONLY;
        rustix::fs::open(path, flags, Mode::empty()).map(|opened| Some(File::from(opened)))
    }

    /// Where it points; `None` where it is no symlink.
    pub fn link(&self) -> Option<Vec<u8>> {
        rustix::fs::readlinkat(&self.held, "", Vec::new()).ok().map(std::ffi::CString::into_bytes)
    }
}

/// `None` where there is nothing.
fn there<T>(found: Outcome<T>) -> Outcome<Option<T>> {
    match found {
        Err(Errno::NOENT) => Ok(None),
        found => found.map(Some),
    }
}

/// Gives it to `owner`. Where there is none it stays its maker's: root's, or on an NFS server that lets no
/// root in, nobody's.
pub fn chown(file: impl std::os::fd::AsFd, owner: Owner) -> Outcome<()> {
    let Some((user, group)) = owner else { return Ok(()) };
    rustix::fs::fchown(file, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)))
}
