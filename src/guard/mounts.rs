//! What is mounted where, as the kernel tells it.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// File systems that hold no files of anybody.
const KERNEL: [&str; 22] = [
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nfsd",
    "nsfs",
    "proc",
    "pstore",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "smackfs",
    "sysfs",
    "tracefs",
];

/// Whether files in it are the kernel's.
pub fn is_of_the_kernel(kind: &str) -> bool {
    KERNEL.contains(&kind)
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    id: u64,
    /// The file system; two mounts of the same one share it.
    pub device: String,
    /// The folder of the file system that is mounted.
    pub root: PathBuf,
    pub point: PathBuf,
    /// `ext4`, `nfs4`, …
    pub kind: String,
}

/// All mounts that this process sees.
#[derive(Debug)]
pub struct Mounts(Vec<Mount>);

impl Mounts {
    pub fn read() -> io::Result<Self> {
        Ok(Self::parse(&std::fs::read("/proc/self/mountinfo")?))
    }

    /// The text of a `mountinfo`; see proc(5).
    pub fn parse(text: &[u8]) -> Self {
        Self(text.split(|byte| *byte == b'\n').filter_map(mount).collect())
    }

    pub fn get(&self, id: u64) -> Option<&Mount> {
        self.0.iter().find(|mount| mount.id == id)
    }

    /// Those that begin below a folder.
    pub fn below(&self, folder: &Path) -> impl Iterator<Item = &Mount> {
        self.0.iter().filter(move |mount| mount.point != folder && mount.point.starts_with(folder))
    }
}

fn mount(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let id = text(fields.next()?).parse().ok()?;
    let device = text(fields.nth(1)?);
    let (root, point) = (path(fields.next()?), path(fields.next()?));
    // Behind the options any number of fields, and a lone `-`.
    let kind = text(fields.skip_while(|field| *field != b"-").nth(1)?);
    Some(Mount { id, device, root, point, kind })
}

fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(field).into_owned()
}

/// Blanks and backslashes are written as `\040`.
fn path(field: &[u8]) -> PathBuf {
    let (mut bytes, mut rest) = (Vec::new(), field);
    while let Some((first, more)) = rest.split_first() {
        let code = more.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if *first == b'\\' => {
                bytes.push(byte);
                rest = &more[3..];
            }
            _ => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_with_its_blanks_and_its_optional_fields() {
        let text = b"25 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
            36 25 0:45 /a\\040b /mnt/n\\134fs rw,noatime shared:7 master:1 - nfs4 server:/x rw\n\
            37 25 0:46 / /mnt rw - tmpfs none rw\nrubbish\n";
        let mounts = Mounts::parse(text);
        let nfs = mounts.get(36).unwrap();
        assert_eq!((nfs.root.as_path(), nfs.point.as_path()), (Path::new("/a b"), Path::new("/mnt/n\\fs")));
        assert_eq!((nfs.device.as_str(), nfs.kind.as_str()), ("0:45", "nfs4"));
        assert_eq!(mounts.get(25).unwrap().kind, "ext4");
        assert_eq!(mounts.below(Path::new("/mnt")).collect::<Vec<_>>(), [nfs]);
    }
}
