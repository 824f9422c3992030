//! A large file out of git's pack, piece by piece: libgit2 itself reads it whole.
//!
//! Only what is packed as it is, not as a difference from another object: so are large files sent, of which there
//! is one version (gitformat-pack(5)).

use std::fs::File;
use std::io::{self, BufReader, Error, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use flate2::read::ZlibDecoder;
use git2::Oid;

const MAGIC: [u8; 8] = [0xff, b't', b'O', b'c', 0, 0, 0, 2];
/// Where the sorted ids begin, behind the magic and 256 counts.
const IDS: u64 = 8 + 256 * 4;
const BLOB: u8 = 3;

/// Copies the file `id` of `wanted` bytes out of the packs of the repository in `git` to `to`; `false` where it lies
/// there in no simple form, and nothing was written.
pub(super) fn copy(git: &Path, id: Oid, wanted: u64, to: &mut impl Write) -> io::Result<bool> {
    for index in indices(git)? {
        let Some(offset) = offset(&File::open(&index)?, id)? else { continue };
        let mut pack = BufReader::new(File::open(index.with_extension("pack"))?);
        pack.seek(SeekFrom::Start(offset))?;
        let (kind, size) = header(&mut pack)?;
        if kind != BLOB {
            return Ok(false);
        }
        if size != wanted {
            return Err(Error::new(ErrorKind::InvalidData, "two packs disagree about the size of a file"));
        }
        let mut content = ZlibDecoder::new(pack).take(size);
        if io::copy(&mut content, to)? != size {
            return Err(Error::new(ErrorKind::InvalidData, "the pack ends within a file"));
        }
        return Ok(true);
    }
    Ok(false)
}

fn indices(git: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let lent = std::fs::read_to_string(alternates(git)).unwrap_or_default();
    let own = git.join("objects");
    for objects in lent.lines().map(Path::new).chain([own.as_path()]) {
        let Ok(entries) = std::fs::read_dir(objects.join("pack")) else { continue };
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "idx") {
                found.push(path);
            }
        }
    }
    Ok(found)
}

/// Names the folders whose objects a repository uses beside its own (gitrepository-layout(5)).
pub(super) fn alternates(git: &Path) -> PathBuf {
    git.join("objects/info/alternates")
}

/// Where the object lies in the pack of this index.
fn offset(index: &File, id: Oid) -> io::Result<Option<u64>> {
    let mut magic = [0; 8];
    index.read_exact_at(&mut magic, 0)?;
    if magic != MAGIC {
        return Ok(None);
    }
    let first = u64::from(id.as_bytes()[0]);
    let count = |letter: u64| number(index, 8 + letter * 4).map(u64::from);
    let all = count(255)?;
    let (mut low, mut high) = (if first == 0 { 0 } else { count(first - 1)? }, count(first)?);
    while low < high {
        let middle = low.midpoint(high);
        let mut found = [0; 20];
        index.read_exact_at(&mut found, IDS + middle * 20)?;
        match found.as_slice().cmp(id.as_bytes()) {
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
            std::cmp::Ordering::Equal => return at(index, all, middle).map(Some),
        }
    }
    Ok(None)
}

/// The offset of one of `all` objects; large ones stand in a table of their own behind the small.
fn at(index: &File, all: u64, object: u64) -> io::Result<u64> {
    let small = IDS + all * 24;
    let offset = number(index, small + object * 4)?;
    if offset >> 31 == 0 {
        return Ok(offset.into());
    }
    let mut large = [0; 8];
    index.read_exact_at(&mut large, small + all * 4 + u64::from(offset & 0x7fff_ffff) * 8)?;
    Ok(u64::from_be_bytes(large))
}

fn number(index: &File, at: u64) -> io::Result<u32> {
    let mut bytes = [0; 4];
    index.read_exact_at(&mut bytes, at)?;
    Ok(u32::from_be_bytes(bytes))
}

/// The kind of the object that begins here, and its size when unpacked.
fn header(pack: &mut impl Read) -> io::Result<(u8, u64)> {
    let mut byte = [0];
    let mut next = || pack.read_exact(&mut byte).map(|()| byte[0]);
    let mut last = next()?;
    let (kind, mut size, mut shift) = ((last >> 4) & 7, u64::from(last & 15), 4);
    while last & 0x80 != 0 {
        last = next()?;
        if shift > 56 {
            return Err(Error::new(ErrorKind::InvalidData, "the pack names a size that no file has"));
        }
        size |= u64::from(last & 0x7f) << shift;
        shift += 7;
    }
    Ok((kind, size))
}
