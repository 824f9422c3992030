//! How large an object is, without reading it.

use std::io::{Error, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::Result;
use git2::{Odb, Oid};

/// The bytes of its content. Of a damaged one libgit2 tells a kind that there is not, and git2 panics at that.
pub(super) fn size(odb: &Odb<'_>, id: Oid) -> Result<usize> {
    match catch_unwind(AssertUnwindSafe(|| odb.read_header(id))) {
        Ok(header) => Ok(header?.0),
        Err(_) => Err(Error::new(ErrorKind::InvalidData, "what git keeps of it is damaged").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    use git2::{ObjectType, Repository};

    #[test]
    fn an_object_of_no_kind_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let repository = Repository::init_bare(dir.path()).unwrap();
        let odb = repository.odb().unwrap();
        let id = Oid::hash_object(ObjectType::Blob, b"content").unwrap();
        let mut pack = repository.packbuilder().unwrap();
        pack.insert_object(repository.blob(b"content").unwrap(), None).unwrap();
        pack.write(&dir.path().join("objects/pack"), 0).unwrap();
        let hex = id.to_string();
        fs::remove_file(dir.path().join("objects").join(&hex[..2]).join(&hex[2..])).unwrap();
        odb.refresh().unwrap();
        assert_eq!(size(&odb, id).unwrap(), 7);
        let packs = fs::read_dir(dir.path().join("objects/pack")).unwrap().map(|entry| entry.unwrap().path());
        let file = packs.into_iter().find(|path| path.extension().is_some_and(|end| end == "pack")).unwrap();
        let mut bytes = fs::read(&file).unwrap();
        // Behind the pack's header comes the object's: its kind is in three bits.
        bytes[12] = bytes[12] & 0b1000_1111 | 0b0101_0000;
        fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        fs::write(&file, bytes).unwrap();
        let again = Repository::open_bare(dir.path()).unwrap();
        let error = size(&again.odb().unwrap(), id).unwrap_err();
        assert!(format!("{error:#}").contains("damaged"), "{error:#}");
    }
}
