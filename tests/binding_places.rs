//! Where bindings may lie: never in, at or around what DockerOps and the machine live on.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::support::dockerops::{DockerOps, Outcome};
use crate::support::fake_docker::FakeDocker;
use crate::support::lab::{Lab, lab};
use crate::support::repo::{Repo, one_service};

/// A source with two bindings, one of which has the database's name, and another source beside it.
struct Pair {
    lab: &'static Lab,
    repo: Repo,
    stack: String,
    other: Repo,
    other_stack: String,
    good: TempDir,
}

impl Pair {
    /// Both are deployed.
    fn deployed(lab: &'static Lab, ops: &DockerOps) -> Self {
        let (repo, other, good) = (Repo::new(), Repo::new(), tempfile::tempdir().unwrap());
        let (stack, other_stack) = (ops.unique("bound"), ops.unique("other"));
        repo.write("site/index", "one").write("dockerops.db", "no database");
        repo.write(
            "volumes.yaml",
            "- {id: site, type: binding, path: site}\n- {id: db, type: binding, path: dockerops.db}\n",
        );
        repo.stack(&stack, &bound(lab)).write("nfs.yaml", format!("path: {}\n", good.path().display()));
        repo.commit("Good");
        other.stack(&other_stack, &one_service(&lab.image("app:1"), 0)).commit("Other");
        ops.run(["watch", &other.url()]).success();
        ops.run(["watch", &repo.url()]).success();
        Self { lab, repo, stack, other, other_stack, good }
    }

    /// The next run refuses `place`, says `why`, leaves what runs, and deploys the other source.
    #[track_caller]
    fn refuses(&self, ops: &DockerOps, place: &str, why: &str) -> Outcome {
        let service = format!("{}_app", self.stack);
        let before = self.lab.docker(&["service", "inspect", &service]);
        self.repo.write("nfs.yaml", format!("# where bindings go\npath: {place}\n"));
        self.repo.write("site/index", place).commit("Elsewhere");
        let more = format!("    labels: [\"place={place}\"]\n");
        self.other.stack(&self.other_stack, &(one_service(&self.lab.image("app:1"), 0) + &more));
        self.other.commit("More");
        let outcome = ops.run(["reconcile"]);
        outcome.failure(3).stdout_has(&format!("nfs.yaml:2: `path`: `{place}`")).stdout_has(why);
        outcome.stdout_has(&format!("deployed  {} ", self.other_stack));
        assert_eq!(self.lab.docker(&["service", "inspect", &service]), before, "{outcome}");
        assert_eq!(fs::read_to_string(self.good.path().join("site/index")).unwrap(), "one");
        outcome
    }
}

/// A compose file of a service that mounts both bindings.
fn bound(lab: &Lab) -> String {
    let image = lab.image("app:1");
    let mounts = "volumes: ['site:/site', 'db:/db']";
    format!("version: '3.8'\nservices: {{app: {{image: {image}, {mounts}, deploy: {{replicas: 0}}}}}}\n")
}

/// What lies in a folder, by name.
fn names(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    names.sort();
    names
}

#[test]
fn the_folders_that_dockerops_lives_on_are_refused_and_other_sources_go_on() {
    let Some(lab) = lab() else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    for name in ["git", "tokens"] {
        fs::create_dir(at(name)).unwrap();
        fs::write(Path::new(&at(name)).join("file"), "https://me:secret@git.example.org\n").unwrap();
    }
    let ops = DockerOps::new(lab).env("DOCKEROPS_GIT_CREDENTIALS", at("git/file"));
    let ops = ops.env("GITHUB_TOKEN_FILE", at("tokens/file"));
    let pair = Pair::deployed(lab, &ops);
    let state = ops.database().parent().unwrap().to_path_buf();
    let (deep, checkouts) = (state.join("deep/er"), state.join("dockerops.db.checkouts"));
    let (docker, ssh) = (ops.home().join(".docker"), ops.home().join(".ssh"));
    for folder in [&deep, &docker, &ssh] {
        fs::create_dir_all(folder).unwrap();
    }
    symlink(&state, at("alias")).unwrap();
    let show = |path: &Path| path.display().to_string();
    let database = "the folder of DockerOps' database";
    for (place, why) in [
        (show(&state), format!("is {database}")),
        (show(state.parent().unwrap()), format!("holds `{}`, {database}", state.display())),
        (show(&deep), format!("lies in `{}`, {database}", state.display())),
        (show(&checkouts), format!("lies in `{}`, {database}", state.display())),
        (at("alias"), format!(", which leads to `{}`, is {database}", state.display())),
        (at("git"), "where `DOCKEROPS_GIT_CREDENTIALS` lies".into()),
        (at("tokens"), "where `GITHUB_TOKEN_FILE` lies".into()),
        (show(&docker), "docker's configuration".into()),
        (show(&ssh), "ssh keys".into()),
        (show(&ops.home()), format!("holds `{}", ops.home().display())),
    ] {
        pair.refuses(&ops, &place, &why).stdout_has("name another folder");
        let lie =
            names(&state).iter().any(|path| path.ends_with("site") || path.ends_with(".dockerops-kept"));
        assert!(!lie, "{place}: {:?}", names(&state));
        assert!(ops.run(["status"]).stdout_has("nfs.yaml:2").code != 1);
    }
    assert_eq!([names(&deep), names(&docker), names(&ssh)], [const { Vec::<PathBuf>::new() }; 3]);
    assert_eq!([names(Path::new(&at("git"))).len(), names(Path::new(&at("tokens"))).len()], [1, 1]);
    // And back: nothing is left to mend.
    pair.repo.write("nfs.yaml", format!("path: {}\n", pair.good.path().display())).commit("Back");
    ops.run(["reconcile"]).success();
}

#[test]
fn the_folders_that_the_machine_and_docker_live_on_are_refused() {
    let Some(lab) = lab() else { return };
    let ops = DockerOps::new(lab);
    let pair = Pair::deployed(lab, &ops);
    let data = lab.docker(&["info", "--format", "{{.DockerRootDir}}"]);
    let beside = pair.good.path().with_extension("etc");
    symlink("/etc/default", &beside).unwrap();
    for (place, why) in [
        ("/", "is the root of the file system"),
        ("/etc", "is a folder of the system"),
        ("/proc", "a file system of the kernel"),
        ("/sys/fs", "a file system of the kernel"),
        ("/dev/shm", "lies in `/dev`"),
        ("/var/lib", "docker's own data"),
        ("/var", "holds `/var/"),
        ("/usr/local", "lies in `/usr`, a folder of the system"),
        // The lab's network namespaces lie there.
        ("/run", "holds `/run/netns/"),
        (&*data, "docker's own data"),
        (&*format!("{data}/volumes"), "docker's own data"),
        (&*beside.display().to_string(), ", which leads to `/etc/default`, lies in `/etc`"),
    ] {
        if place == "/" {
            // Its line names no path.
            pair.repo.write("nfs.yaml", "path: /\n").commit("Root");
            ops.run(["reconcile"]).failure(3).stdout_has("nfs.yaml:1: `path`: is the root");
            continue;
        }
        pair.refuses(&ops, place, why);
    }
    fs::remove_file(&beside).unwrap();
    assert!(!Path::new("/etc/site").exists() && !Path::new("/var/lib/site").exists());
}

#[test]
fn a_bind_mount_of_such_a_folder_is_that_folder() {
    let Some(lab) = lab() else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    for name in ["etc", "part", "root", "state", "around", "proc", "within/deep"] {
        fs::create_dir_all(at(name)).unwrap();
    }
    let mounts = format!(
        "mkdir -p $state/sub; cd '{}'; mount --bind /etc etc; mount --bind /etc/default part; mount --bind / root; \
         mount --bind $state state; mount --bind $state/.. around; mount -t proc none proc; \
         mount --bind $state/sub within/deep; cd /; exec \"$@\"",
        folder.path().display()
    );
    let ops = DockerOps::new(lab).with_mounts(&mounts);
    let pair = Pair::deployed(lab, &ops);
    for (name, why) in [
        ("etc", "is `/etc`, a folder of the system"),
        ("part", "lies in `/etc`, a folder of the system"),
        ("root", "holds `"),
        ("state", "the folder of DockerOps' database"),
        ("around", "holds `"),
        ("proc", "a file system of the kernel"),
        ("within", "the folder of DockerOps' database"),
    ] {
        pair.refuses(&ops, &at(name), why);
    }
    let state = ops.database().parent().unwrap().to_path_buf();
    assert_eq!(names(&state.join("sub")), [""; 0].map(PathBuf::from));
    assert!(!state.join("site").exists() && !Path::new("/etc/site").exists());
}

#[test]
fn where_roots_are_named_bindings_lie_in_them_alone() {
    let Some(lab) = lab() else { return };
    let (roots, alias) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (inside, alias) = (roots.path().join("deep"), alias.path().join("alias"));
    fs::create_dir(&inside).unwrap();
    symlink(roots.path(), &alias).unwrap();
    // A folder of the system, with nothing in it that is the machine's.
    let mounts = "mount -t tmpfs none /var/log; mkdir /var/log/shared /var/log/other; code=0; \"$@\" || code=$?; \
                  ls /var/log/*; exit $code";
    let ops = DockerOps::new(lab).with_mounts(mounts);
    let pair = Pair::deployed(lab, &ops);
    pair.refuses(&ops, "/var/log/shared", "lies in `/var/log`, a folder of the system")
        .stdout_has("`DOCKEROPS_BINDING_ROOTS` can allow it");
    let named = format!("{}:/var/log/shared:{}", alias.display(), pair.good.path().display());
    let ops = ops.env("DOCKEROPS_BINDING_ROOTS", &named);
    for place in [roots.path(), &*inside, &*alias, Path::new("/var/log/shared")] {
        pair.repo.write("nfs.yaml", format!("path: {}\n", place.display())).commit("There");
        let outcome = ops.run(["reconcile"]);
        outcome.success().stdout_has(&format!("deployed  {} ", pair.stack));
        if place.starts_with("/var") {
            outcome.stdout_has("/var/log/shared:\ndockerops.db\nsite\n");
        } else {
            assert!(place.join("site/index").exists(), "{}", place.display());
        }
    }
    let elsewhere = tempfile::tempdir().unwrap();
    for place in [elsewhere.path(), Path::new("/var/log/other"), roots.path().parent().unwrap()] {
        pair.repo.write("nfs.yaml", format!("path: {}\n", place.display())).commit("Elsewhere");
        let outcome = ops.run(["reconcile"]);
        outcome.failure(3).stdout_has("nfs.yaml:1: `path`: ").stdout_has("`DOCKEROPS_BINDING_ROOTS`");
    }
    assert_eq!(names(elsewhere.path()), [""; 0].map(PathBuf::from));
    // No root makes a place of the database's folder.
    let state = ops.database().parent().unwrap().display().to_string();
    let ops = ops.env("DOCKEROPS_BINDING_ROOTS", format!("{state}:{named}"));
    pair.repo.write("nfs.yaml", format!("path: {state}\n")).commit("The database's");
    ops.run(["reconcile"]).failure(3).stdout_has("the folder of DockerOps' database");
}

#[test]
fn roots_that_are_none_are_an_error_at_start() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for (value, what) in [
        ("mnt/nfs", "`mnt/nfs`, which is relative"),
        (&*file.path().display().to_string(), "is not a folder"),
        (":", "names no folder"),
    ] {
        let ops = DockerOps::without_docker().env("DOCKEROPS_BINDING_ROOTS", value);
        for command in ["reconcile", "status"] {
            ops.run([command]).failure(1).error_has("`DOCKEROPS_BINDING_ROOTS`").stderr_has(what);
        }
    }
}

#[test]
fn what_an_earlier_release_copied_to_such_a_place_stays_and_that_is_said_once() {
    let Some(lab) = lab() else { return };
    for leaves in [true, false] {
        let ops = DockerOps::new(lab);
        let pair = Pair::deployed(lab, &ops);
        let (old, new) = (pair.good.path().join("site/index"), tempfile::tempdir().unwrap());
        // From now on it is the folder of a secret.
        let secret = pair.good.path().join("file");
        fs::write(&secret, "https://me:secret@git.example.org\n").unwrap();
        let ops = ops.env("DOCKEROPS_GIT_CREDENTIALS", &secret);
        let said = "where `DOCKEROPS_GIT_CREDENTIALS` lies";
        let text = format!("path: {}\n", new.path().display());
        if leaves {
            ops.run(["unwatch", &pair.repo.url()]).success().stdout_has(said).stdout_has("stay");
        } else {
            pair.repo.write("nfs.yaml", text).remove("dockerops.db").write("site/index", "two");
            pair.repo.write("volumes.yaml", "- {id: site, type: binding, path: site}\n");
            pair.repo.stack(&pair.stack, &bound(lab).replace(", 'db:/db'", "")).commit("Moved");
            let outcome = ops.run(["reconcile"]);
            outcome.success().stdout_has(&format!("deployed  {} ", pair.stack)).stdout_has(said);
            assert_eq!(fs::read_to_string(new.path().join("site/index")).unwrap(), "two");
        }
        ops.run(["reconcile"]).success().stdout_lacks(said);
        assert_eq!(fs::read_to_string(&old).unwrap(), "one");
        assert_eq!(names(pair.good.path()).len(), 3);
    }
}

#[test]
fn docker_is_asked_where_its_data_lies_and_only_for_bindings() {
    let data = tempfile::tempdir().unwrap();
    let fake = FakeDocker::of_an_empty_swarm().prints("info", &format!("{}\n", data.path().display()));
    let ops = DockerOps::without_docker().with_fake(&fake).limit(30);
    let repo = Repo::new();
    repo.stack("web", &one_service("app", 0)).commit("No bindings");
    ops.run(["watch", &repo.url()]).failure(3);
    assert_eq!(fake.calls_with("info"), [""; 0]);
    repo.write("nfs.yaml", format!("path: {}\n", data.path().display())).commit("Bindings");
    ops.run(["reconcile", "--dry-run"]).failure(3).stdout_has("docker's own data");
    assert_eq!(fake.calls_with("info").len(), 1);
}
