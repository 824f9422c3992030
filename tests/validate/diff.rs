//! `--diff`: what a merge would do, from the commit on that both have in common.

use std::fs;

use super::{GOOD, at, bare};
use crate::support::command;
use crate::support::repo::Repo;

/// A repository with a branch `main`, and one of its own.
fn parted() -> Repo {
    let repo = Repo::new();
    repo.stack("web", "services:\n  app:\n    image: app:1\n    deploy: {replicas: 1}\n  side:\n    image: side:1\n    configs: [site]\nconfigs: {site: {file: site.conf}}\n");
    repo.stack("old", GOOD).stack("same", GOOD).write("web/site.conf", "one").write("web/.env", "");
    repo.write(
        "volumes.yaml",
        "- {id: data, type: volume, path: shop-data}\n- {id: conf, type: binding, path: conf}\n",
    );
    repo.write("nfs.yaml", "path: /mnt/nfs\n").write("conf/a", "a").write("conf/b", "b");
    repo.stack("bound", &format!("{GOOD}    volumes: ['conf:/etc/app', 'data:/data']\n"));
    repo.write("images.yaml", "- {name: r.example.org/tool, context: tool}\n")
        .write("tool/Dockerfile", "FROM scratch\n");
    repo.stack("tooled", "services: {t: {image: r.example.org/tool}}\n");
    repo.commit("first");
    repo.branch("change");
    repo
}

fn list(repo: &Repo, names: &[&str]) {
    repo.write(
        "stacks.yaml",
        names.iter().map(|name| format!("- name: {name}\n")).collect::<Vec<_>>().concat(),
    );
}

#[test]
fn nothing_is_told_of_what_stays() {
    let (ops, repo) = (bare(), parted());
    let outcome = ops.run(["validate", &at(&repo), "--diff", "main"]);
    outcome.success().stdout_has("on: nothing would change\n").stdout_lacks("@@");
    // What others merged meanwhile is none of this branch's doing.
    repo.git(["checkout", "--quiet", "main"]);
    repo.stack("later", GOOD).commit("later");
    repo.git(["checkout", "--quiet", "change"]);
    ops.run(["validate", &at(&repo), "--diff", "main"])
        .stdout_has("nothing would change")
        .stdout_lacks("later");
    assert_eq!(repo.git(["status", "--porcelain"]), "");
}

#[test]
fn stacks_services_images_bindings_and_losses_are_told_with_why() {
    let (ops, repo) = (bare(), parted());
    list(&repo, &["web", "same", "bound", "tooled", "new"]);
    let web = "services:\n  app:\n    image: app:2\n    deploy: {replicas: 3}\n    environment: {PASSWORD: hunter2}\n  side:\n    image: side:1\n    configs: [site]\nconfigs: {site: {file: site.conf}}\n";
    repo.write("web/docker-compose.yml", web).write("web/site.conf", "two");
    repo.write("new/compose.yml", GOOD).write("conf/b", "bb").write("conf/c", "c").remove("conf/a");
    repo.write(
        "volumes.yaml",
        "- {id: data, type: volume, path: other}\n- {id: conf, type: binding, path: conf}\n",
    );
    repo.write("tool/Dockerfile", "FROM scratch\nLABEL a=b\n");
    let outcome = ops.run(["validate", &at(&repo), "--diff", "main"]);
    outcome.success();
    for line in [
        "  deploy new: `app` is new\n",
        "  remove old: no longer listed; `app` is removed\n",
        "`app` rolls (variables `PASSWORD`, image `app:1` → `app:2`, replicas `1` → `3`)",
        "`side` rolls (config `site`)",
        "new content of config `site`\n",
        "  change bound: `app` rolls (content of a binding, volume `data`)\n",
        "  change tooled: `t` rolls (`r.example.org/tool:latest` is built)\n",
        "  image r.example.org/tool:latest: is built anew",
        "  binding conf: 1 added, 1 changed, 1 removed\n",
        "  lost: the stack `old`, with 1 service; its volumes stay\n",
        "  lost: `data` is `other` and no more `shop-data`",
    ] {
        outcome.stdout_has(line);
    }
    outcome.stdout_lacks("hunter2").stdout_has("[redacted]").stdout_lacks("same:");
    assert!(outcome.stdout.lines().any(|line| line.starts_with('-') && line.contains("app:1")), "{outcome}");
    // The same twice: nothing of a key is in it, so a comment stays as it is.
    assert_eq!(ops.run(["validate", &at(&repo), "--diff", "main"]).stdout, outcome.stdout);
    // A value that only `.env` has is told by its name, and what is committed is told the same.
    let json = ops.run(["validate", &at(&repo), "--diff", "main", "--json"]).json();
    repo.commit("second");
    let committed = ops.run(["validate", &at(&repo), "--diff", "main", "--json"]).json();
    assert_eq!(json["diff"], committed["diff"]);
    repo.git(["checkout", "--quiet", "--detach"]);
    assert_eq!(ops.run(["validate", &at(&repo), "--diff", "main", "--json"]).json()["diff"], json["diff"]);
}

#[test]
fn a_stack_that_is_wrong_is_kept_and_a_base_that_was_wrong_is_no_error() {
    let (ops, repo) = (bare(), parted());
    repo.write("web/docker-compose.yml", "services: {}\n");
    let outcome = ops.run(["validate", &at(&repo), "--diff", "main"]);
    outcome.failure(1).stdout_has("  keep web: its files are wrong");
    repo.commit("wrong");
    repo.git(["checkout", "--quiet", "-b", "mend"]);
    repo.write("web/docker-compose.yml", GOOD);
    let outcome = ops.run(["validate", &at(&repo), "--diff", "change"]);
    outcome.success().stdout_has("  change web: it was wrong before");
}

#[test]
fn a_shallow_clone_an_unknown_name_and_other_histories_are_told_with_the_way_out() {
    let (ops, repo) = (bare(), parted());
    repo.stack("web", GOOD).commit("second");
    let folder = tempfile::tempdir().unwrap();
    let clone = folder.path().join("clone");
    let mut git = command("git");
    git.args(["clone", "--quiet", "--depth=1", "--branch=change", &repo.url()]).arg(&clone);
    assert!(git.status().unwrap().success());
    let at_clone = clone.display().to_string();
    let outcome = ops.run(["validate", &at_clone, "--diff", "origin/main"]);
    outcome.failure(1).error_has("`origin/main` is no branch, tag or commit that is here");
    outcome.stderr_has("git fetch --unshallow").stderr_has("fetch-depth: 0");
    let mut fetch = command("git");
    fetch.current_dir(&clone).args([
        "fetch",
        "--quiet",
        "--depth=1",
        "origin",
        "main:refs/remotes/origin/main",
    ]);
    assert!(fetch.status().unwrap().success());
    let outcome = ops.run(["validate", &at_clone, "--diff", "origin/main"]);
    outcome.failure(1).stderr_has("git fetch --unshallow");
    ops.run(["validate", &at_clone]).success();
    ops.run(["validate", &at(&repo), "--diff", "nowhere\n::error::x"])
        .failure(1)
        .error_has("`nowhere\\n::error::x` is no branch");
    repo.git(["checkout", "--quiet", "--orphan", "other"]);
    repo.commit("other");
    ops.run(["validate", &at(&repo), "--diff", "main"]).failure(1).error_has("have no commit in common");
    let empty = Repo::new();
    empty.stack("web", GOOD);
    ops.run(["validate", &at(&empty), "--diff", "main"]).failure(1).stderr_has("hint: ");
    let outcome = ops.run(["validate", &at(&repo), "--diff", ""]);
    outcome.failure(1).error_has("`--diff` names nothing to compare with").stderr_has("--diff origin/main");
}

#[test]
fn submodules_work_trees_and_folders_of_a_repository_are_compared() {
    let (ops, repo, inner) = (bare(), Repo::new(), Repo::new());
    inner.write("docker-compose.yml", GOOD).commit("inner");
    repo.submodule("web", &inner.url());
    repo.write("stacks.yaml", "- name: web\n").commit("first");
    repo.branch("change");
    ops.run(["validate", &at(&repo), "--diff", "main"]).success().stdout_has("nothing would change");
    repo.write("web/docker-compose.yml", GOOD.replace("app:1", "app:2"));
    ops.run(["validate", &at(&repo), "--diff", "main"]).stdout_has("image `app:1` → `app:2`");
    // A work tree of git's own, whose `.git` is a file.
    let repo = parted();
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    repo.git(["worktree", "add", "--quiet", tree.to_str().unwrap(), "-b", "third"]);
    fs::write(tree.join("web/site.conf"), "three").unwrap();
    let outcome = ops.run(["validate", tree.to_str().unwrap(), "--diff", "main"]);
    outcome.success().stdout_has("`side` rolls (config `site`)");
    // A folder that is new.
    repo.write("envs/prod/stacks.yaml", "- name: a\n").write("envs/prod/a/compose.yml", GOOD);
    let outcome = ops.run(["validate", &format!("{}/envs/prod", at(&repo)), "--diff", "main"]);
    outcome.success().stdout_has("  deploy a: `app` is new");
}

#[test]
fn a_comment_is_markdown_that_nothing_in_it_can_break() {
    let (ops, repo) = (bare(), parted());
    let hostile =
        "services:\n  app:\n    image: app:1\n    labels: {a: \"```\\n# heading @everyone <img src=x>\"}\n";
    repo.write("web/docker-compose.yml", hostile);
    let outcome = ops.run(["validate", &at(&repo), "--diff", "main", "--markdown"]);
    outcome.success().stdout_has("<!-- dockerops validate -->\n### ✅ DockerOps: 5 stacks, all right\n");
    outcome.stdout_has("**Changes**").stdout_has("```diff\n--- web before");
    assert!(outcome.stdout.chars().count() <= 60_000);
    let lines: Vec<_> = outcome.stdout.lines().filter(|line| line.starts_with("# heading")).collect();
    assert!(lines.is_empty(), "{outcome}");
}
