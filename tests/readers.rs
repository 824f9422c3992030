//! Reading needs no root: whom docker and the database let in may look, and changes nothing by that.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::SystemTime;

use crate::support::dockerops::{DockerOps, PROGRAM};
use crate::support::scene::Scene;
use crate::support::{command, stdout_of};

/// A group that nobody else is in.
const GROUP: u32 = 64_111;

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

/// All that lies beside the database, with owner, mode and the time of its last change.
fn beside(database: &Path) -> BTreeMap<String, (u32, u32, SystemTime)> {
    let entries = fs::read_dir(database.parent().unwrap()).unwrap().map(Result::unwrap);
    entries
        .map(|entry| {
            let metadata = entry.metadata().unwrap();
            let of_it = (metadata.gid(), metadata.mode(), metadata.modified().unwrap());
            (entry.file_name().into_string().unwrap(), of_it)
        })
        .collect()
}

/// Nobody, of these groups, before the lab's docker, whose socket is the group's.
fn user(scene: &Scene, place: &Path, groups: &str) -> DockerOps {
    let folder = place.display();
    let socket = scene.lab.docker_host().strip_prefix("unix://").unwrap();
    let script = format!(
        "set -e; touch {folder}/docker.sock; mount --bind {socket} {folder}/docker.sock; shift; \
         exec setpriv --reuid 65534 --regid 65534 --groups {groups} {folder}/dockerops \"$@\""
    );
    let ops = DockerOps::new(scene.lab).env("DOCKEROPS_DB_PATH", scene.ops.database()).env("HOME", place);
    let ops = ops.env("DOCKER_HOST", format!("unix://{folder}/docker.sock"));
    ops.through(["unshare", "--mount", "bash", "-c", &script, "bash"])
}

#[test]
fn who_is_in_the_group_of_the_database_and_of_docker_reads_all_and_changes_nothing() {
    let Some(scene) = Scene::new() else { return };
    let stack = scene.stack("open", &scene.on());
    scene.watch().success();
    let (database, place) = (scene.ops.database(), tempfile::tempdir().unwrap());
    let folder = database.parent().unwrap();
    set_mode(place.path(), 0o755);
    stdout_of(command("install").args(["-m", "755", PROGRAM]).arg(place.path().join("dockerops")));
    let docker = format!("$(stat -c %g {}/docker.sock)", place.path().display());

    // Root alone, as it is made.
    set_mode(folder.parent().unwrap(), 0o711);
    let refused = user(&scene, place.path(), &docker).run(["status"]);
    refused.failure(1).error_has("permission denied: the folder `").stderr_has("` is for root alone");
    refused
        .stderr_has("`sudo dockerops status`")
        .stderr_has(&format!("sudo chgrp GROUP {}", folder.display()));
    // The group's, from the next run on.
    let typed = crate::documents::block("sh readers").replace("sudo ", "");
    let typed = typed.replace("/var/lib/dockerops", folder.to_str().unwrap());
    stdout_of(command("bash").args([
        "-e",
        "-c",
        &typed.replace("chgrp dockerops", &format!("chgrp {GROUP}")),
    ]));
    user(&scene, place.path(), &docker)
        .run(["events"])
        .failure(1)
        .stderr_has(&format!("the group `{GROUP}`, which you are not in"));
    let both = format!("{docker},{GROUP}");
    let member = user(&scene, place.path(), &both);
    member.run(["history", &stack]).failure(1).error_has("the file `").stderr_has("`sudo dockerops history ");
    scene.reconcile().success();
    let metadata = database.metadata().unwrap();
    assert_eq!((metadata.gid(), metadata.mode() & 0o7777), (GROUP, 0o640));

    let before = beside(&database);
    member.run(["status"]).success().stdout_has(&stack);
    member.run(["status", "--json"]).success().json();
    member.run(["status", &stack]).success().stdout_has("running");
    member.run(["history", &stack]).success().stdout_has("new");
    member.run(["events", &stack]).success().stdout_has("deployed");
    member.run(["debug-cache"]).success().stdout_has(&scene.repo.url());
    member.run(["logs", &stack]).success();
    assert_eq!(beside(&database), before, "reading changes nothing");
    for command in [&["reconcile"][..], &["hold", &stack]] {
        member.run(command).failure(1).error_has("DockerOps must be run with root privileges");
    }
    // Of the database's group alone: what docker is not asked for.
    let reader = user(&scene, place.path(), &GROUP.to_string());
    reader.run(["events"]).success().stdout_has("deployed");
    reader.run(["status"]).failure(1).error_has("permission denied").stderr_has("usermod -aG docker");

    // A folder that is closed again closes the file too.
    set_mode(folder, 0o700);
    scene.reconcile().success();
    assert_eq!(database.metadata().unwrap().mode() & 0o777, 0o600);
}
