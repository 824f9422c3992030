//! The workflows: what they run is here and pinned, no job has more rights than it uses, and the steps that decide
//! whether there will be a release decide rightly. What GitHub makes of them, only GitHub shows.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_yaml::Value;

use crate::support::{command, path_with, stdout_of, try_stdout_of};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn text(name: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(".github/workflows").join(name)).unwrap()
}

fn release() -> Value {
    serde_yaml::from_str(&text("release.yml")).unwrap()
}

fn steps(job: &Value) -> Vec<&Value> {
    job["steps"].as_sequence().unwrap().iter().collect()
}

#[test]
fn the_workflows_run_what_is_here_and_pin_every_action() {
    let mut scripts = BTreeSet::new();
    for name in ["ci.yml", "release.yml"] {
        let text = text(name);
        let workflow: Value = serde_yaml::from_str(&text).unwrap();
        assert_eq!(workflow["permissions"]["contents"], "read", "{name}: no job has more unless it says so");
        for line in text.lines().filter_map(|line| line.split_once("uses: ")) {
            let (commit, version) =
                line.1.split_once('@').unwrap().1.split_once(" # v").unwrap_or_else(|| panic!("{line:?}"));
            assert!(commit.len() == 40 && commit.bytes().all(|b| b.is_ascii_hexdigit()), "{line:?}");
            assert!(version.starts_with(|first: char| first.is_ascii_digit()), "{line:?}");
        }
        let words = text
            .split_whitespace()
            .filter(|word| word.starts_with("deploy/release/") || word.starts_with(".ci/"));
        scripts.extend(words.map(str::to_owned));
    }
    assert_eq!(
        scripts,
        [".ci/run", "deploy/release/build.sh", "deploy/release/check.sh", "deploy/release/notes.sh"]
            .map(str::to_owned)
            .into()
    );
    for script in scripts {
        assert!(Path::new(ROOT).join(&script).is_file(), "{script}");
    }
}

#[test]
fn only_githubs_own_actions_run_where_a_release_can_be_written() {
    let release = release();
    assert!(
        release["on"]["workflow_dispatch"].is_null(),
        "nothing is typed in: the tag is where it runs from"
    );
    let mut writers = Vec::new();
    for (name, job) in release["jobs"].as_mapping().unwrap() {
        let name = name.as_str().unwrap();
        let rights = job["permissions"].as_mapping().cloned().unwrap_or_default();
        let may_write = |right: &str| rights.get(right).is_some_and(|level| level == "write");
        let foreign = steps(job)
            .iter()
            .any(|step| step["uses"].as_str().is_some_and(|action| !action.starts_with("actions/")));
        let publishes = ["contents", "id-token", "attestations"].into_iter().any(may_write);
        assert!(!(foreign && publishes), "{name}");
        writers.extend((publishes || may_write("packages")).then_some(name));
        for step in steps(job) {
            let checkout =
                step["uses"].as_str().is_some_and(|action| action.starts_with("actions/checkout@"));
            assert!(
                !checkout || step["with"]["persist-credentials"] == false,
                "{name}: its token stays on disk"
            );
            let script = step["run"].as_str().unwrap_or_default();
            assert!(
                !script.contains("${{"),
                "{name}: what others wrote would become part of a script: {script}"
            );
        }
    }
    assert_eq!(writers, ["image", "publish"]);
}

/// Runs a step of release.yml as GitHub does, for `tag`, with a `gh` that knows the release v1.0.0 and writes down
/// what it is asked.
fn run(job: &str, step: &str, git_ref: &str, gh_fails: bool) -> Result<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let version = git_ref.rsplit("/v").next().unwrap();
    file("Cargo.toml", &format!("version = \"{version}\"\n"));
    file("CHANGELOG.md", &format!("## {version}\n\nNews.\n"));
    file(
        "gh",
        &format!("#!/bin/sh\n{gh_fails} && exit 1\n[ $2 != list ] && echo \"$@\" && exit\necho v1.0.0\n"),
    );
    for name in ["deploy/release", "dist"] {
        fs::create_dir_all(folder.path().join(name)).unwrap();
    }
    let notes: PathBuf = folder.path().join("deploy/release/notes.sh");
    fs::copy(Path::new(ROOT).join("deploy/release/notes.sh"), notes).unwrap();
    file("dist/program", "");
    stdout_of(command("chmod").arg("+x").arg(folder.path().join("gh")));
    let release = release();
    let steps = steps(&release["jobs"][job]);
    let found = steps.iter().find(|candidate| candidate["name"] == step).unwrap();
    let mut bash = command("bash");
    bash.args(["-e", "-c", found["run"].as_str().unwrap()]).current_dir(folder.path());
    bash.env("PATH", path_with(folder.path())).env("GITHUB_REF", git_ref);
    try_stdout_of(bash.env("TAG", git_ref.splitn(3, '/').last().unwrap()))
}

#[test]
fn a_release_is_cut_of_a_tag_and_not_of_a_branch_of_that_name() {
    let step = "The tag is the version, and the changelog knows it";
    assert_eq!(run("check", step, "refs/tags/v1.0.1", false).unwrap(), "News.\n");
    let refused = run("check", step, "refs/heads/v1.0.1", false).unwrap_err();
    assert!(refused.contains("the tag is `refs/heads/v1.0.1`"), "{refused}");
}

#[test]
fn a_release_that_exists_is_not_replaced() {
    let step = "It is not released yet";
    run("check", step, "refs/tags/v1.0.1", false).unwrap();
    run("check", step, "refs/tags/v1.0", false).unwrap();
    run("check", step, "refs/tags/v1.0.0", false).unwrap_err();
    run("check", step, "refs/tags/v1.0.1", true).unwrap_err();
}

#[test]
fn a_version_before_a_version_is_nobodys_latest() {
    for (tag, prerelease) in [("v1.0.1", false), ("v1.1.0-rc.1", true)] {
        let asked = run("publish", "Publish", &format!("refs/tags/{tag}"), false).unwrap();
        let expected = format!(
            "release create {tag} --verify-tag --prerelease={prerelease} --title {tag} --notes-file notes.md dist/program\n"
        );
        assert_eq!(asked, expected);
    }
}
