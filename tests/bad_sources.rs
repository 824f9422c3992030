//! Sources that cannot be fetched: a clear error, nothing remembered, nothing else touched.

use crate::support::dockerops::{DockerOps, Outcome};
use crate::support::fake_docker::FakeDocker;
use crate::support::git_server::GitServer;
use crate::support::lab::lab;
use crate::support::repo::{Repo, one_service};

const NO_STACK: &str = "services: {app: {image: app, deploy: {replicas: 0}}}";

/// `watch` fails with one error that names the source and says `what`; nothing is deployed or remembered.
#[track_caller]
fn refused(source: &str, what: &str) -> Outcome {
    let fake = FakeDocker::of_an_empty_swarm();
    let ops = DockerOps::without_docker().with_fake(&fake).env("DOCKEROPS_GIT_TIMEOUT", "2").limit(30);
    let outcome = ops.run(["watch", source]);
    outcome.failure(1).error_has(what).stderr_has(source);
    assert_eq!(fake.calls_with("stack deploy"), [""; 0]);
    ops.remembers_nothing();
    outcome
}

fn served(options: &[&str]) -> (tempfile::TempDir, GitServer) {
    let folder = tempfile::tempdir().unwrap();
    let repo = Repo::new();
    repo.stack("web", NO_STACK).commit("first");
    repo.publish(folder.path(), "r");
    let server = GitServer::start(folder.path(), options);
    (folder, server)
}

#[test]
fn a_source_that_does_not_exist_is_refused() {
    refused("file:///nonexistent/repo", "was not found");
    refused("/nonexistent/repo", "was not found");
    let (_folder, server) = served(&[]);
    refused(&server.url("none"), "was not found");
    let gone = server.url("r");
    drop(server);
    refused(&gone, "cannot be reached");
}

#[test]
fn a_source_that_needs_a_password_is_refused_and_says_what_to_set() {
    let (_folder, server) = served(&["--user", "u", "--password", "p"]);
    refused(&server.url("r"), "remote authentication required").stderr_has("DOCKEROPS_GIT_CREDENTIALS");
}

#[test]
fn a_source_that_answers_with_a_web_page_is_refused() {
    let (_folder, server) = served(&["--html"]);
    refused(&server.url("r"), "is not a git repository");
}

#[test]
fn a_source_that_hangs_after_connecting_is_given_up() {
    let (_folder, server) = served(&["--hang"]);
    refused(&server.url("r"), "timed out").stderr_has("DOCKEROPS_GIT_TIMEOUT");
}

#[test]
fn a_source_that_hangs_in_the_middle_is_given_up() {
    let (_folder, server) = served(&["--hang-after", "2"]);
    refused(&server.url("r"), "timed out");
}

#[test]
fn a_source_without_a_commit_or_without_the_ref_is_refused() {
    let repo = Repo::new();
    refused(&repo.url(), "there is no commit in the repository");
    repo.stack("web", NO_STACK).commit("first");
    refused(&format!("{}#nope", repo.url()), "there is no branch or tag `nope`").stderr_has("`main`");
    refused(&format!("{}#main:nope", repo.url()), "`nope` does not exist");
    refused(&format!("{}#main:stacks.yaml", repo.url()), "`stacks.yaml` is no folder");
    refused(&format!("{}#{}", repo.url(), "d".repeat(40)), "is not in the repository");
}

#[test]
fn a_folder_that_leads_out_of_the_repository_is_refused() {
    let repo = Repo::new();
    repo.stack("web", NO_STACK).symlink("out", "/etc").commit("first");
    refused(&format!("{}#main:out", repo.url()), "symlink that leads out");
    refused(&format!("{}#main:../..", repo.url()), "cannot be used");
    refused(&format!("{}#main:/etc", repo.url()), "cannot be used");
}

#[test]
fn a_submodule_anywhere_else_on_this_machine_is_refused() {
    let (repo, private, beside) = (Repo::new(), Repo::new(), Repo::new());
    private.write("secret", "hunter2").commit("first");
    repo.stack("web", NO_STACK).submodule("sub", &private.url()).commit("first");
    for source in [repo.url(), repo.path().display().to_string()] {
        refused(&source, "submodule `sub`").stderr_has("which is refused").stderr_has("beside it");
    }
    let url = private.url();
    repo.git(["config", "--file", ".gitmodules", "submodule.sub.url", &url.replace("/tmp/", "/tmp/%2e/")]);
    repo.commit("hidden");
    refused(&repo.url(), "submodule `sub`").stderr_has("which is refused");

    // What git calls `../lib` is one that lies beside the source.
    std::fs::rename(beside.path(), repo.path().with_file_name("lib")).unwrap();
    let lib = repo.path().with_file_name("lib");
    let git = |arguments: &[&str]| repo.git([&["-C", lib.to_str().unwrap()], arguments].concat());
    git(&["commit", "--quiet", "--allow-empty", "--message", "first"]);
    repo.git(["rm", "--quiet", "--force", "sub"]);
    repo.git(["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "../lib", "lib"]);
    repo.commit("beside");
    let fake = FakeDocker::of_an_empty_swarm();
    let ops = DockerOps::without_docker().with_fake(&fake);
    ops.run(["watch", &repo.url()]).failure(3);
    assert_eq!(fake.calls_with("stack deploy").len(), 1);
}

#[test]
fn credentials_in_a_url_are_refused_and_not_repeated() {
    let fake = FakeDocker::of_an_empty_swarm();
    let ops = DockerOps::without_docker().with_fake(&fake);
    let outcome = ops.run(["watch", "https://me:s3cret@example.org/r"]);
    outcome.failure(1).error_has("example.org").stderr_lacks("s3cret");
}

#[test]
fn reconcile_leaves_what_a_broken_source_had_deployed_and_goes_on_with_the_others() {
    let Some(lab) = lab() else { return };
    let ops = DockerOps::new(lab);
    let repos: Vec<_> = ["gone", "broken", "empty", "none", "refless", "fine"]
        .map(|kind| (kind, Repo::new(), ops.unique(kind)))
        .into();
    let find = |wanted: &str| repos.iter().find(|(kind, ..)| *kind == wanted).unwrap();
    for (kind, repo, stack) in &repos {
        repo.stack(stack, &one_service(&lab.image("app:1"), 0)).commit("first");
        repo.branch("other").branch("main");
        let source = if *kind == "refless" { format!("{}#other", repo.url()) } else { repo.url() };
        ops.run(["watch", &source]).success();
    }

    std::fs::remove_dir_all(find("gone").1.path()).unwrap();
    find("broken").1.write("stacks.yaml", "- name: [").commit("broken");
    find("empty").1.write("stacks.yaml", "[]\n").commit("empty");
    find("none").1.remove("stacks.yaml").commit("none");
    find("refless").1.git(["branch", "-D", "other"]);
    let (_, repo, stack) = find("fine");
    repo.stack(stack, &one_service(&lab.image("app:2"), 0)).commit("second");

    let outcome = ops.run(["reconcile"]);
    outcome.failure(3).stdout_has("1 deployed, 5 unchanged, 5 failed");
    for (kind, repo, stack) in &repos {
        let image = lab.docker(&["service", "inspect", &format!("{stack}_app"), "--format", IMAGE]);
        assert!(image.contains(if *kind == "fine" { "app:2" } else { "app:1" }), "{kind}: {image}");
        assert_eq!(
            *kind == "fine",
            !outcome.stdout.contains(&format!("failed    source `{}", repo.url())),
            "{outcome}"
        );
    }
    let status = ops.run(["status", "--json"]).json();
    assert_eq!(status["stacks"].as_array().unwrap().len(), repos.len());
    let failed = status["repositories"].as_array().unwrap().iter().filter(|row| row["error"].is_string());
    assert_eq!(failed.count(), 5, "{status:#}");
}

const IMAGE: &str = "{{.Spec.TaskTemplate.ContainerSpec.Image}}";

#[test]
fn a_branch_moved_backwards_is_followed() {
    let Some(lab) = lab() else { return };
    let (ops, repo) = (DockerOps::new(lab), Repo::new());
    let stack = ops.unique("back");
    let first = repo.stack(&stack, &one_service(&lab.image("app:1"), 0)).commit("first");
    repo.stack(&stack, &one_service(&lab.image("app:2"), 0)).commit("second");
    ops.run(["watch", &repo.url()]).success();
    repo.reset(&first);
    ops.run(["reconcile"]).success().stdout_has("1 deployed");
    let image = lab.docker(&["service", "inspect", &format!("{stack}_app"), "--format", IMAGE]);
    assert!(image.contains("app:1"), "{image}");
}

#[test]
fn a_tag_a_commit_and_a_folder_of_a_branch_can_be_watched() {
    let Some(lab) = lab() else { return };
    let (ops, repo) = (DockerOps::new(lab), Repo::new());
    let [tagged, committed, moved, below] = ["tag", "commit", "moved", "below"].map(|base| ops.unique(base));
    let compose = one_service(&lab.image("app:1"), 0);
    let only = |name: &str| {
        repo.git(["rm", "-rq", "--ignore-unmatch", "."]);
        repo.stack(name, &compose).commit(name)
    };
    only(&tagged);
    repo.tag("v1");
    let commit = only(&committed);
    only(&moved);
    repo.branch("env");
    repo.git(["rm", "-rq", "."]);
    repo.write("prod/eu/stacks.yaml", format!("- name: {below}\n"));
    repo.write(&format!("prod/eu/{below}/compose.yaml"), &compose).commit("below");
    repo.branch("main");

    for (fragment, stack) in [("v1", &tagged), (&*commit, &committed), ("env:prod/eu", &below)] {
        let source = format!("{}#{fragment}", repo.url());
        ops.run(["watch", &source])
            .success()
            .stdout_has(&format!("deployed  {stack} "))
            .stdout_has("1 deployed");
    }
    ops.run(["reconcile"]).success().stdout_has("3 unchanged");
    repo.tag("v1");
    ops.run(["reconcile"]).success().stdout_has(&format!("deployed  {moved} ")).stdout_has("removed");
}
