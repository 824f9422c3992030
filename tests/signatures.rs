//! `commits: signed`: what nobody signed is neither read nor deployed, what runs stays, and the source says why.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::documents::block;
use crate::support::dockerops::DockerOps;
use crate::support::fake_docker::FakeDocker;
use crate::support::lab::lab;
use crate::support::repo::{Repo, one_service};
use crate::support::scene::Scene;
use crate::support::{command, stdout_of};

/// A key, and a policy that names it.
struct Keys {
    folder: TempDir,
}

impl Keys {
    fn new() -> Self {
        let keys = Self { folder: tempfile::tempdir().unwrap() };
        let public = ["ann", "eve"].map(|name| {
            stdout_of(
                command("ssh-keygen")
                    .args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"])
                    .arg(keys.path(name)),
            );
            fs::read_to_string(keys.path(&format!("{name}.pub"))).unwrap()
        });
        fs::write(keys.path("allowed"), format!("ann@example.org {}", public[0])).unwrap();
        keys.policy(&keys.path("allowed").display().to_string());
        keys
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn policy(&self, files: &str) -> PathBuf {
        let path = self.path("policy.yaml");
        fs::write(&path, format!("rules:\n  - commits: signed\n    keys: [{files}]\n")).unwrap();
        path
    }

    /// Commits what was written, signed by a key.
    fn commit(&self, repo: &Repo, key: &str) -> String {
        repo.git(["add", "--all"]);
        let key = format!("user.signingKey={}", self.path(key).display());
        let call =
            ["-c", "gpg.format=ssh", "-c", &key, "commit", "-q", "--allow-empty", "-S", "-m", "change"];
        repo.git(call);
        repo.head()
    }
}

#[test]
fn what_nobody_signed_is_not_deployed_and_what_runs_stays() {
    let Some(lab) = lab() else { return };
    let (keys, docker) = (Keys::new(), FakeDocker::new());
    let mut scene = Scene::before(lab, docker);
    scene.ops = scene.ops.env("DOCKEROPS_POLICY", keys.path("policy.yaml"));
    let web = scene.stack("web", &scene.off());
    keys.commit(&scene.repo, "ann");
    let said = scene.run(&["watch", &scene.repo.url()]);
    said.success()
        .stdout_has("1 deployed")
        .stderr_has("is signed by `ann@example.org` with the key `SHA256:");
    let before = lab.specs(&web);

    let change = |number: usize| {
        scene.change(&web, &scene.off().with(format!("environment: {{N: '{number}'}}")));
    };
    change(1);
    let commit = scene.repo.commit("unsigned");
    let why = format!("commit `{}` by `Author <author@example.org>` is not signed", &commit[..12]);
    let said = scene.reconcile();
    said.failure(3).stdout_has(&why).stdout_has("hint: ");
    assert_eq!((scene.deploys(), lab.specs(&web)), (vec![], before.clone()));
    scene.ops.run(["status"]).failure(3).stdout_has(&why);
    scene.run(&["reconcile", "--force"]).failure(3).stdout_has(&why);
    scene.run(&["reconcile", "--dry-run"]).failure(3).stdout_has(&why);
    assert_eq!(lab.specs(&web), before);

    change(2);
    let commit = keys.commit(&scene.repo, "eve");
    let said = scene.reconcile();
    said.failure(3)
        .stdout_has(&format!("commit `{}`", &commit[..12]))
        .stdout_has("which the policy does not name");
    assert_eq!(lab.specs(&web), before);
    // It lists the stack no more, and that is not read either.
    scene.repo.remove("stacks.yaml");
    scene.push().failure(3).stdout_has("is not signed");
    assert_eq!(lab.specs(&web), before);

    scene.repo.reset("HEAD~1");
    keys.commit(&scene.repo, "ann");
    scene.reconcile().success().stdout_has("1 deployed");
    assert!(lab.specs(&web) != before);
    scene.reconcile().success().stdout_has("1 unchanged");
}

#[test]
fn a_source_that_is_not_signed_is_not_remembered() {
    let (keys, repo) = (Keys::new(), Repo::new());
    let fake = FakeDocker::of_an_empty_swarm();
    let ops = DockerOps::without_docker().with_fake(&fake).env("DOCKEROPS_POLICY", keys.path("policy.yaml"));
    repo.stack("web", &one_service("app", 0));
    // Its manifest is wrong as well, which nobody may learn from it.
    repo.write("stacks.yaml", "- wrong: true\n").commit("first");
    let said = ops.run(["watch", &repo.url()]);
    said.failure(1).error_has("is not signed").stderr_lacks("stacks.yaml");
    keys.commit(&repo, "eve");
    ops.run(["watch", &repo.url()]).failure(1).error_has("which the policy does not name");
    repo.tag("v1");
    keys.commit(&repo, "ann");
    repo.tag("v2");
    let said = ops.run(["watch", &format!("{}#v2", repo.url())]);
    said.failure(1)
        .error_has("the tag `v2` is a lightweight tag, which cannot be signed")
        .stderr_has("hint: ");
    ops.run(["watch", &repo.url()]).failure(1).stderr_has("stacks.yaml");
    assert_eq!(fake.calls_with("stack deploy"), [""; 0]);
    ops.remembers_nothing();
}

#[test]
fn a_key_that_ends_soon_is_told_before_a_commit_is_refused() {
    let (keys, repo) = (Keys::new(), Repo::new());
    let fake = FakeDocker::of_an_empty_swarm().fails("stack deploy", 1, "no");
    let ops = DockerOps::without_docker().with_fake(&fake).env("DOCKEROPS_POLICY", keys.path("policy.yaml"));
    repo.stack("web", &one_service("app", 0));
    keys.commit(&repo, "ann");
    ops.run(["watch", &repo.url()]).failure(3).stdout_lacks("expires");
    let until = |days: &str| {
        let day = stdout_of(command("date").args(["-u", "-d", days, "+%Y%m%d"]));
        let public = fs::read_to_string(keys.path("ann.pub")).unwrap();
        let line = format!("ann@example.org valid-before=\"{}Z\" {public}", day.trim());
        fs::write(keys.path("allowed"), line).unwrap();
    };
    until("20 days");
    let ends = "of `ann@example.org` expires on 2";
    ops.run(["reconcile"]).failure(3).stdout_has(ends);
    ops.run(["status"]).failure(3).stderr_has("warning: the key `SHA256:").stderr_has(ends);
    let json = ops.run(["status", "--json"]);
    assert!(json.json()["stacks"].is_array() && json.stderr.contains(ends), "{json}");
    until("50 days");
    ops.run(["status"]).stderr_lacks("expires");
    until("-2 days");
    ops.run(["status"]).stderr_has("of `ann@example.org` expired on 2");
}

#[test]
fn files_of_keys_that_are_wrong_stop_everything_before_anything_is_touched() {
    let (keys, repo) = (Keys::new(), Repo::new());
    let fake = FakeDocker::of_an_empty_swarm();
    let ops = DockerOps::without_docker().with_fake(&fake).env("DOCKEROPS_POLICY", keys.path("policy.yaml"));
    repo.stack("web", &one_service("app", 0));
    keys.commit(&repo, "ann");
    let public = fs::read_to_string(keys.path("ann.pub")).unwrap();
    fs::write(keys.path("lines"), format!("{public}ann colour=\"red\" {public}")).unwrap();
    keys.policy(&format!("{}, {}", keys.path("lines").display(), keys.path("none").display()));
    let said = ops.run(["watch", &repo.url()]);
    said.failure(1)
        .stderr_has("lines:1: it does not say whose key")
        .stderr_has("lines:2: there is no option `colour`");
    said.stderr_has("none`: No such file");
    assert_eq!(fake.calls_with("stack deploy"), [""; 0]);
}

#[test]
fn the_documented_keys_are_taken_and_what_is_revoked_is_not() {
    let (keys, repo) = (Keys::new(), Repo::new());
    let fake = FakeDocker::of_an_empty_swarm();
    let ops = DockerOps::without_docker().with_fake(&fake).env("DOCKEROPS_POLICY", keys.path("policy.yaml"));
    let both = ["ann", "eve"].map(|name| {
        let public = fs::read_to_string(keys.path(&format!("{name}.pub"))).unwrap();
        format!("{name}@example.org {public}")
    });
    fs::write(keys.path("allowed_signers"), both.concat()).unwrap();
    fs::copy(keys.path("eve.pub"), keys.path("revoked")).unwrap();
    let home = keys.path("gpg");
    let gpg = |arguments: &[&str]| stdout_of(command("gpg").arg("--homedir").arg(&home).args(arguments));
    DirBuilder::new().mode(0o700).create(&home).unwrap();
    gpg(&["--batch", "--passphrase", "", "--quick-gen-key", "forge@example.org", "ed25519", "sign"]);
    fs::write(keys.path("keys.asc"), gpg(&["--armor", "--export"])).unwrap();
    stdout_of(command("gpgconf").arg("--homedir").arg(&home).args(["--kill", "all"]));
    let entry = block("yaml signed").replace("/etc/dockerops", keys.folder.path().to_str().unwrap());
    let entry = entry.replace('\n', "\n    ");
    fs::write(keys.path("policy.yaml"), format!("rules:\n  - {}\n", entry.trim_end())).unwrap();

    repo.write("stacks.yaml", "- {name: web, enabled: false}\n").write("web/compose.yml", "services: {}\n");
    keys.commit(&repo, "eve");
    ops.run(["watch", &repo.url()]).failure(1).stderr_has("which is revoked");
    keys.commit(&repo, "ann");
    ops.run(["watch", &repo.url()]).success();
}
