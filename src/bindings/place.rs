//! A folder held open: everything is done relative to it, and no symlink is ever followed.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;

/// What temporary files are called; a killed sync leaves one at most.
const TEMPORARY: &str = ".dockerops-sync-";

/// User and group.
pub type Owner = Option<(u32, u32)>;

/// A folder below `nfs.path`, open.
#[derive(Debug)]
pub struct Place(OwnedFd);

type Outcome<T> = Result<T, Errno>;

impl Place {
    /// Opens `path` as it is; this is the administrator's part of the path, symlinks and all.
    pub fn open(path: &Path) -> Outcome<Self> {
        rustix::fs::open(path, OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY, Mode::empty()).map(Self)
    }

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
        own(&new.0, owner)?;
        rustix::fs::fchmod(&new.0, Mode::from_raw_mode(mode))?;
        Ok(new)
    }

    /// What `name` is, itself; `None` where there is nothing.
    pub fn stat(&self, name: &OsStr) -> Outcome<Option<Stat>> {
        match rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What this folder is.
    pub fn own_stat(&self) -> Outcome<Stat> {
        rustix::fs::fstat(&self.0)
    }

    /// What a new file here is: with the file system's time, and the owner that new files get.
    pub fn trial(&self) -> Outcome<Stat> {
        let (file, name) = self.temporary()?;
        let stat = rustix::fs::fstat(&file);
        self.unlink(OsStr::new(&name))?;
        stat
    }

    /// The file `name`, for reading; `None` where there is none. Nothing but a regular file is opened: a
    /// container can make a device here, and some do things when they are opened.
    pub fn file(&self, name: &OsStr) -> Outcome<Option<File>> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let found = match rustix::fs::openat(&self.0, name, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            found => found?,
        };
        if !FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode).is_file() {
            return Ok(None);
        }
        // The very file that was looked at. Not to wait for a container that holds a lease on it.
        let path = format!("/proc/self/fd/{}", found.as_raw_fd());
        let flags = OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::RDONLY;
        Ok(Some(File::from(rustix::fs::open(path, flags, Mode::empty())?)))
    }

    /// Where the symlink `name` points; `None` where it is none.
    pub fn link(&self, name: &OsStr) -> Option<Vec<u8>> {
        rustix::fs::readlinkat(&self.0, name, Vec::new()).ok().map(std::ffi::CString::into_bytes)
    }

    /// A new file under a name that nobody looks for, and that name.
    pub fn temporary(&self) -> Outcome<(File, String)> {
        let name = format!("{TEMPORARY}{}", std::process::id());
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::WRONLY;
        let open = || rustix::fs::openat(&self.0, &name, flags, Mode::from_raw_mode(0o600));
        let file = match open() {
            Err(Errno::EXIST) => {
                self.unlink(OsStr::new(&name))?;
                open()?
            }
            opened => opened?,
        };
        Ok((File::from(file), name))
    }

    /// A new symlink under such a name.
    pub fn temporary_link(&self, target: &Path, owner: Owner) -> Outcome<String> {
        let name = format!("{TEMPORARY}{}", std::process::id());
        self.unlink(OsStr::new(&name))?;
        rustix::fs::symlinkat(target, &self.0, &name)?;
        if let Some((user, group)) = owner {
            let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
            rustix::fs::chownat(&self.0, &name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        Ok(name)
    }

    /// Puts the temporary file in the place of `name`, at once.
    pub fn rename(&self, temporary: &str, name: &OsStr) -> Outcome<()> {
        rustix::fs::renameat(&self.0, temporary, &self.0, name)
    }

    /// Moves `name` to another folder of the same file system.
    pub fn move_to(&self, name: &OsStr, other: &Self, new: &str) -> Outcome<()> {
        rustix::fs::renameat(&self.0, name, &other.0, new)
    }

    /// Gives this folder to `owner`.
    pub fn give_to(&self, owner: Owner) -> Outcome<()> {
        own(&self.0, owner)
    }

    /// Removes what is no folder; nothing there is fine.
    pub fn unlink(&self, name: &OsStr) -> Outcome<()> {
        gone(rustix::fs::unlinkat(&self.0, name, AtFlags::empty()))
    }

    /// Removes an empty folder; one that holds something stays.
    pub fn remove_folder(&self, name: &OsStr) -> Outcome<()> {
        match gone(rustix::fs::unlinkat(&self.0, name, AtFlags::REMOVEDIR)) {
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::BUSY | Errno::NOTDIR) => Ok(()),
            removed => removed,
        }
    }

    /// Removes what a killed sync left here.
    pub fn sweep(&self) -> Outcome<()> {
        for entry in rustix::fs::Dir::read_from(&self.0)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name.starts_with(TEMPORARY.as_bytes()) && entry.file_type() != FileType::Directory {
                self.unlink(std::os::unix::ffi::OsStrExt::from_bytes(name))?;
            }
        }
        Ok(())
    }
}

fn gone(removed: Outcome<()>) -> Outcome<()> {
    if removed == Err(Errno::NOENT) { Ok(()) } else { removed }
}

/// Gives it to `owner`. Where there is none it stays its maker's: root's, or on an NFS server that lets no
/// root in, nobody's.
pub fn own(file: impl std::os::fd::AsFd, owner: Owner) -> Outcome<()> {
    let Some((user, group)) = owner else { return Ok(()) };
    rustix::fs::fchown(file, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)))
}
