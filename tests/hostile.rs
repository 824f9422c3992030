//! Hostile repositories, all at once: none of them reads a file outside of its checkout, writes outside of
//! `nfs.path`, touches another source's objects or tells a secret, and a good source is deployed in the same run.

pub mod cases;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::support::dockerops::DockerOps;
use crate::support::lab::{Lab, docker_binaries, lab};
use crate::support::repo::{Repo, one_service};
use crate::support::{command, stdout_of};

const SECRETS: [(&str, &str); 4] = [
    ("GITHUB_TOKEN", "canary-of-the-token"),
    ("DOCKEROPS_API_TOKEN", "canary-of-the-api"),
    ("DOCKEROPS_WEBHOOK_SECRET", "canary-of-the-hooks"),
    // What docker's own process sees may be named, by `${…}` alone.
    ("UNNAMED", "canary-of-the-environment"),
];

/// Two hundred at least: the table is the promise.
#[test]
fn two_hundred_hostile_repositories_harm_nobody() {
    let Some(lab) = lab() else { return };
    let cases = cases::all();
    assert!(cases.len() >= 200, "only {}", cases.len());
    for docker in docker_binaries() {
        harm_nobody(lab, &docker, &cases);
    }
}

fn harm_nobody(lab: &'static Lab, docker: &Path, cases: &[cases::Case]) {
    let folder = tempfile::tempdir().unwrap();
    let outside = folder.path().join("outside");
    let nfs = folder.path().join("nfs");
    for path in [&outside, &nfs] {
        fs::create_dir(path).unwrap();
    }
    let canary = outside.join("canary");
    // As a list of variables, a list of stacks and a text it is read the same way: not at all.
    fs::write(&canary, "CANARY=canary-of-the-file\n").unwrap();
    // File systems note a read only where the last one is long ago.
    stdout_of(command("touch").args(["-a", "-d", "@1000000000"]).arg(&canary));
    let mut ops = DockerOps::new(lab).with_docker(docker).limit(420).env("DOCKEROPS_DEPLOY_TIMEOUT", "60");
    for (name, value) in SECRETS {
        ops = ops.env(name, value);
    }
    let (victim, good) = (victim(lab, &ops), Repo::new());
    let stack = ops.unique("good");
    good.stack(&stack, &one_service(&lab.image("app:1"), 0)).commit("first");
    ops.run(["watch", &good.url()]).success();
    let image = lab.image("app:1");
    let repos: Vec<_> =
        cases.iter().map(|case| repo_of(case, &image, &ops, &canary, &nfs, &victim)).collect();
    for (_, repo) in &repos {
        let add = "INSERT INTO repository_cache (url, last_watch) VALUES (?1, '2026-01-01T00:00:00Z')";
        ops.db().execute(add, [repo.url()]).unwrap();
    }
    good.stack(&stack, &one_service(&lab.image("app:2"), 0)).commit("second");

    let before = (state_of(lab, &victim), written(&outside), read_at(&canary));
    let outcome = ops.run(["reconcile"]);
    outcome.failure(3).stdout_has(&format!("deployed  {stack} "));
    assert_eq!((state_of(lab, &victim), written(&outside), read_at(&canary)), before, "{outcome}");
    assert_eq!(
        lab.spec(&format!("{stack}_app"), "index .Spec.Labels \"com.docker.stack.image\""),
        lab.image("app:2")
    );
    // The clock works: a read shows.
    fs::read(&canary).unwrap();
    assert_ne!(read_at(&canary), before.2);

    let told = told(lab, &ops) + &outcome.stdout + &outcome.stderr;
    for secret in SECRETS.map(|(_, value)| value).into_iter().chain(["canary-of-the-file"]) {
        assert!(!told.contains(secret), "{secret}");
    }
    let states: BTreeMap<String, Option<String>> = states(&ops);
    let mut faults = Vec::new();
    for ((case, (name, repo)), index) in cases.iter().zip(&repos).zip(0..) {
        let source_failed = states.get(&repo.url()).is_none_or(Option::is_some);
        let runs = !lab.services(name).is_empty();
        if case.is_refused && !(source_failed || failed(&ops, &repo.url())) {
            faults.push(format!("{index}: {}: is not refused", case.title));
        }
        if case.is_refused && runs {
            faults.push(format!("{index}: {}: runs", case.title));
        }
    }
    assert!(faults.is_empty(), "{} of {}:\n{}\n{outcome}", faults.len(), cases.len(), faults.join("\n"));
    for line in outcome.stdout.lines().chain(outcome.stderr.lines()) {
        assert!(!line.starts_with("removed"), "{line}");
        assert!(
            !line.contains(|letter: char| letter.is_control() || ('\u{202a}'..='\u{202e}').contains(&letter)),
            "{line:?}"
        );
    }
}

/// A stack of another source, with all that it may lose.
fn victim(lab: &Lab, ops: &DockerOps) -> String {
    let (repo, stack) = (Repo::new(), ops.unique("victim"));
    let compose = one_service(&lab.image("app:1"), 0)
        + "    configs: [c]\n    networks: [net]\nconfigs: {c: {file: ./c}}\nnetworks: {net: {}}\n";
    repo.stack(&stack, &compose).write(&format!("{stack}/c"), "the victim's").commit("first");
    ops.run(["watch", &repo.url()]).success();
    // Its source is gone from disk, so that nothing of it changes.
    stack
}

/// The repository of a case, and the name of its stack.
pub fn repo_of(
    case: &cases::Case,
    image: &str,
    ops: &DockerOps,
    canary: &Path,
    nfs: &Path,
    victim: &str,
) -> (String, Repo) {
    let (repo, stack) = (Repo::new(), ops.unique("hostile"));
    let state = ops.database().parent().unwrap().display().to_string();
    let fill = |text: &str| {
        text.replace("@STACK", &stack)
            .replace("@OUT", canary.to_str().unwrap())
            .replace("@NFS", nfs.to_str().unwrap())
            .replace("@STATE", &state)
            .replace("@VICTIM", victim)
            .replace("@IMAGE", image)
    };
    for (path, text) in &case.files {
        repo.write(&fill(path), fill(text));
    }
    for (path, target) in &case.links {
        repo.symlink(&fill(path), fill(target));
    }
    repo.commit("hostile");
    (stack, repo)
}

/// All that docker knows of a stack.
fn state_of(lab: &Lab, stack: &str) -> Vec<String> {
    let filter = format!("label=com.docker.stack.namespace={stack}");
    let mut state = lab.specs(stack);
    for kind in ["config", "network"] {
        let ids = lab.docker(&[kind, "ls", "--quiet", "--filter", &filter]);
        state.extend(ids.lines().map(|id| lab.docker(&[kind, "inspect", id])));
    }
    state
}

/// Every file of a folder, its content aside: reading would show.
fn written(folder: &Path) -> Vec<(String, i64, i64)> {
    let files = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().map(Result::unwrap);
    files
        .map(|file| (file.path().display().to_string(), file.metadata().unwrap()))
        .map(|(path, found)| (path, found.mtime(), found.mtime_nsec()))
        .collect()
}

/// When a file was read last.
fn read_at(file: &Path) -> i64 {
    fs::metadata(file).unwrap().atime()
}

/// All that others could read: every config, every service, and what is stored.
fn told(lab: &Lab, ops: &DockerOps) -> String {
    let mut told = String::new();
    for kind in ["config", "service"] {
        let ids = lab.docker(&[kind, "ls", "--quiet"]);
        let format = if kind == "config" { "{{printf \"%s\" .Spec.Data}}" } else { "{{json .}}" };
        let call: Vec<_> = [kind, "inspect", "--format", format].into_iter().chain(ids.lines()).collect();
        // Tests beside this one remove theirs.
        told += &lab.try_docker(&call).unwrap_or_else(|error| error);
    }
    let state = fs::read_dir(ops.database().parent().unwrap()).unwrap();
    for file in state.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
        told += &String::from_utf8_lossy(&fs::read(file).unwrap());
    }
    told
}

/// Of each source: its error.
fn states(ops: &DockerOps) -> BTreeMap<String, Option<String>> {
    let query =
        "SELECT url, error FROM repository_cache JOIN source_states ON repository_id = repository_cache.id";
    let db = ops.db();
    let mut query = db.prepare(query).unwrap();
    query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
}

fn failed(ops: &DockerOps, url: &str) -> bool {
    let query = "SELECT count(*) FROM stacks WHERE repository_url = ?1 AND status = 'error'";
    ops.db().query_row(query, [url], |row| row.get::<_, i64>(0)).unwrap() > 0
}
