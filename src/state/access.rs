//! Who may read the database: root, and a group where root gave it the folder.

use std::fs::{File, Metadata, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use anyhow::{Error, anyhow};
use rustix::fs::{Access, access};

use crate::fault::fault;

/// What a folder is that lets a group read: `chgrp GROUP FOLDER; chmod 750 FOLDER`.
const FOR_A_GROUP: u32 = 0o750;

/// For root alone; where its folder is for a group, the group may read it too, and so the journal that `SQLite` puts beside it.
pub fn restrict(database: &Path) -> io::Result<()> {
    let folder = database.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new(".")).metadata()?;
    let file = database.metadata()?;
    let is_for_a_group =
        folder.mode() & 0o777 == FOR_A_GROUP && folder.uid() == file.uid() && folder.gid() != 0;
    if is_for_a_group && file.gid() != folder.gid() {
        chown(database, None, Some(folder.gid()))?;
    }
    let mode = if is_for_a_group { 0o640 } else { 0o600 };
    std::fs::set_permissions(database, Permissions::from_mode(mode))
}

/// Why whoever runs this may not read the database, and what lets him; `None` where he may, or there is none.
/// `command` is what he typed.
pub fn closed(database: &Path, command: &str) -> Option<Error> {
    let denied = File::open(database).err().filter(|error| error.kind() == ErrorKind::PermissionDenied)?;
    let mut folders: Vec<_> =
        database.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()).collect();
    folders.reverse();
    let folder = folders.into_iter().find(|folder| access(*folder, Access::EXEC_OK).is_err());
    let (barrier, what, bit) = folder.map_or((database, "file", 0o040), |folder| (folder, "folder", 0o010));
    let about = format!("the database `{}`: permission denied", database.display());
    let Ok(metadata) = barrier.metadata() else { return Some(anyhow!(denied).context(about)) };
    let (place, sudo) = (barrier.display(), format!("run `sudo dockerops {command}`"));
    Some(if metadata.mode() & bit != 0 && metadata.gid() != 0 {
        let group = group(&metadata);
        fault(
            format!(
                "{about}: the {what} `{place}` is for root and the group `{group}`, which you are not in"
            ),
            format!("`sudo usermod -aG {group} \"$USER\"` and a new login let you read it; or {sudo}"),
        )
    } else if Some(barrier) == database.parent() || barrier == database {
        let folder = database.parent().unwrap_or(barrier).display();
        fault(
            format!("{about}: the {what} `{place}` is for root alone"),
            format!(
                "{sudo}; `sudo chgrp GROUP {folder} && sudo chmod 750 {folder}` lets a group read it from the next run on"
            ),
        )
    } else {
        fault(
            format!("{about}: the {what} `{place}` is for root alone"),
            format!("{sudo}; for others to read it, it must lie elsewhere: `DOCKEROPS_DB_PATH` says where"),
        )
    })
}

/// Its name, or its number where `/etc/group` has none.
fn group(metadata: &Metadata) -> String {
    let number = metadata.gid().to_string();
    let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
    let name = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _, gid) = (fields.next()?, fields.next()?, fields.next()?);
        (gid == number).then(|| name.to_owned())
    });
    name.unwrap_or(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().mode() & 0o777
    }

    #[test]
    fn a_group_reads_only_where_root_gave_it_the_folder() {
        let place = tempfile::tempdir().unwrap();
        let (folder, file) = (place.path(), place.path().join("x.db"));
        File::create(&file).unwrap();
        let is_root = rustix::process::geteuid().is_root();
        for (mode_of_folder, gid, wanted) in [
            (0o700, 7, 0o600),
            (0o755, 7, 0o600),
            (0o770, 7, 0o600),
            (0o750, 0, 0o600),
            (0o750, 7, 0o640),
            (0o700, 7, 0o600),
        ] {
            if is_root {
                chown(folder, None, Some(gid)).unwrap();
            } else if wanted == 0o640 {
                continue;
            }
            std::fs::set_permissions(folder, Permissions::from_mode(mode_of_folder)).unwrap();
            std::fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
            if !is_root && mode_of_folder == 0o750 {
                continue;
            }
            restrict(&file).unwrap();
            assert_eq!(mode(&file), wanted, "{mode_of_folder:o} {gid}");
            if wanted == 0o640 {
                assert_eq!(file.metadata().unwrap().gid(), gid);
            }
        }
        assert!(closed(&file, "status").is_none() && closed(&folder.join("none"), "status").is_none());
    }
}
