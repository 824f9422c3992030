//! The README is a product: every block of it is run or parsed here.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use chrono::{TimeDelta, Utc};
use rustix::process::Signal;

use crate::support::dockerops::DockerOps;
use crate::support::fake_docker::FakeDocker;
use crate::support::http::TOKEN;
use crate::support::lab::lab;
use crate::support::machine::{Machine, SCRIPT, finish};
use crate::support::repo::Repo;
use crate::support::scene::{Scene, compose};
use crate::support::{command, path_with, try_stdout_of, wait_for};

const README: &str = include_str!("../README.md");
const SETTINGS: [&str; 3] = [
    include_str!("../src/settings.rs"),
    include_str!("../src/settings/run.rs"),
    include_str!("../src/settings/write.rs"),
];

pub struct Block {
    pub info: String,
    pub text: String,
}

pub fn blocks() -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut inside = false;
    for line in README.lines() {
        match line.strip_prefix("```") {
            Some(info) if !inside => blocks.push(Block { info: info.to_owned(), text: String::new() }),
            None if inside => {
                let block = blocks.last_mut().unwrap();
                block.text += line;
                block.text.push('\n');
            }
            _ => {}
        }
        inside ^= line.starts_with("```");
    }
    assert!(!inside, "a block does not end");
    blocks
}

pub fn block(info: &str) -> String {
    blocks().into_iter().find(|block| block.info == info).unwrap_or_else(|| panic!("no block `{info}`")).text
}

#[test]
fn every_kind_of_block_has_a_test_here() {
    let kinds: BTreeSet<_> = blocks().into_iter().map(|block| block.info).collect();
    let tested = [
        "sh",
        "sh install",
        "sh manage",
        "sh tour",
        "sh images",
        "cron",
        "text",
        "yaml stacks.yaml",
        "yaml environments",
        "yaml jobs",
        "yaml jobs compose",
        "yaml template.yaml",
        "yaml volumes.yaml",
        "yaml nfs.yaml",
        "yaml compose",
        "yaml secrets.yaml",
        "yaml images.yaml",
        "json status",
        "json one",
        "json run",
        "json events",
        "sh readers",
        "json log",
        "text logs",
        "json logs",
        "sh listen",
        "yaml registry",
        "sh curl",
        "sh write",
        "json stack",
        "json history",
        "json template",
        "sh validate",
        "text validate",
        "sh ci",
        "json validate",
        "yaml policy",
    ];
    assert_eq!(kinds, tested.map(str::to_owned).into());
}

#[test]
fn the_tour_runs_word_for_word() {
    let Some(lab) = lab() else { return };
    let (ops, place) = (DockerOps::new(lab), tempfile::tempdir().unwrap());
    let stack = ops.unique("web");
    // The lab has no public registry, and its Swarm serves other tests too.
    let tour: String =
        blocks().into_iter().filter(|block| block.info == "sh tour").map(|block| block.text).collect();
    let tour =
        tour.replace("nginx:1.29-alpine", &lab.image("app:1")).replace("web_app", &format!("{stack}_app"));
    let tour =
        tour.replace("name: web", &format!("name: {stack}")).replace("shop/web", &format!("shop/{stack}"));
    let tour = tour.replace("> web/", &format!("> {stack}/")).replace(" web/", &format!(" {stack}/"));
    let bin = place.path().join("bin");
    fs::create_dir(&bin).unwrap();
    fs::write(bin.join("sudo"), "#!/bin/sh\nexec \"$@\"\n").unwrap();
    command("chmod").arg("+x").arg(bin.join("sudo")).status().unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_dockerops"), bin.join("dockerops")).unwrap();
    let mut shell = command("bash");
    shell.current_dir(place.path()).env("PATH", path_with(&bin)).env("HOME", ops.home());
    shell.env("DOCKER_HOST", lab.docker_host()).env("DOCKEROPS_DB_PATH", ops.database());
    for (name, value) in [("NAME", "Reader"), ("EMAIL", "reader@example.org")] {
        shell.env(format!("GIT_AUTHOR_{name}"), value).env(format!("GIT_COMMITTER_{name}"), value);
    }
    let said = try_stdout_of(shell.args(["-e", "-u", "-o", "pipefail", "-c", &tour])).unwrap();
    let expected = ["1 deployed", "deployed  2/2", "scaled from 3 to 1", "would", "is no longer watched"];
    for text in expected {
        assert!(said.contains(text), "{text}\n{said}");
    }
    let left = lab.docker(&["service", "ls", "-q", "--filter", &format!("name={stack}")]);
    assert_eq!(left.trim(), "", "the tour cleans up");
}

#[test]
fn commands_outside_the_tour_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for line in blocks().iter().filter(|block| block.info == "sh").flat_map(|block| block.text.lines()) {
        let words: Vec<_> =
            line.split(" #").next().unwrap().split_whitespace().filter(|word| *word != "sudo").collect();
        match words.as_slice() {
            ["cargo", "build", "--release", "--locked"] => assert!(root.join("Cargo.lock").is_file()),
            ["install", "-m", "755", from, to] => {
                assert_eq!((*from, *to), ("target/release/dockerops", "/usr/local/bin/dockerops"));
            }
            [repos, "dockerops", "run"] => {
                let source = repos.strip_prefix("DOCKEROPS_REPOS=").unwrap().trim_matches('\'');
                DockerOps::without_docker().run(["unwatch", source]).stderr_has("is not being watched");
            }
            ["dockerops", "hold" | "release" | "rollback", ..] => {
                let (plain, reason) = line.split_once('\'').unwrap_or((line, ""));
                let words = plain.split_whitespace().skip(2).chain(reason.strip_suffix('\''));
                let said = DockerOps::without_docker().run(words);
                said.failure(1).error_has("No repositories found in cache");
            }
            [script] => assert!(root.join(script).is_file(), "{script}"),
            other => panic!("nothing runs `{}`", other.join(" ")),
        }
    }
}

#[test]
fn it_installs_and_removes_as_it_says() {
    let Some(machine) = Machine::new() else { return };
    machine.release("0.1.0");
    machine.release("0.2.0");
    let fetch = "curl -sSL https://raw.githubusercontent.com/TomBedinoVT/DockerOps/main/dockerops.sh";
    let install = block("sh install");
    assert!(install.contains(fetch), "{install}");
    let typed = format!("{install}{}", block("sh manage"));
    // The script lies here and not there; who types is root already.
    let typed =
        typed.replace(fetch, &format!("cat {SCRIPT}")).replace("sudo ", "").replace("./dockerops.sh", SCRIPT);
    let mut shell = machine.command(&["bash", "-e", "-o", "pipefail", "-c", &typed]);
    let said = finish(shell.spawn().unwrap());
    said.is(
        0,
        &[
            "installed dockerops 0.2.0",
            "installed dockerops 0.1.0 (it was 0.2.0",
            "installed:   0.1.0",
            "go on running",
        ],
    );
    assert!(machine.installed().is_empty());
}

#[test]
fn the_cron_line_is_that_of_the_file_in_deploy() {
    let line = block("cron");
    let file = include_str!("../deploy/dockerops.cron").lines().last().unwrap();
    assert_eq!(line.trim(), file.replace("$(dockerops", "$(/usr/local/bin/dockerops"));
    // One of another `HOME` is heard.
    let output = DockerOps::without_docker().run(["reconcile"]);
    output.failure(1).error_has("No repositories found in cache");
}

#[test]
fn what_release_md_says_to_type_works() {
    let text = include_str!("../RELEASE.md");
    let typed = |kind: &str| {
        let block = text.split(&format!("```sh {kind}\n")).nth(1).unwrap();
        block.split("```").next().unwrap().lines().map(str::trim).collect::<Vec<_>>().join("\n")
    };
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("dockerops-linux-x86_64"), "x").unwrap();
    let mut sum = command("sh");
    sum.args(["-c", "sha256sum dockerops-linux-x86_64 > dockerops-linux-x86_64.sha256"])
        .current_dir(folder.path());
    try_stdout_of(&mut sum).unwrap();
    let mut verify = command("sh");
    verify.args(["-c", &typed("verify")]).current_dir(folder.path());
    assert_eq!(try_stdout_of(&mut verify).unwrap(), "dockerops-linux-x86_64: OK\n");
    // `tests/release.rs` runs the three; here, that they are written as they are called.
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        typed("cut").trim(),
        format!(
            "deploy/release/notes.sh v{version}\ndeploy/release/build.sh dist\ndeploy/release/check.sh dist"
        )
    );
    assert_eq!(text.matches("```sh ").count(), 3, "and `attestation`, which needs GitHub");
}

#[test]
fn the_manifest_and_the_compose_file_are_taken() {
    let Some(lab) = lab() else { return };
    let (ops, repo) = (DockerOps::new(lab), Repo::new());
    let compose = block("yaml compose");
    // Its window is closed whenever this runs.
    let closed = Utc::now() + TimeDelta::hours(2);
    let closed = format!("{}-{}", closed.format("%H:%M"), (closed + TimeDelta::hours(1)).format("%H:%M"));
    let stacks = block("yaml stacks.yaml").replace("Mon-Thu 22:00-06:00 Europe/Zurich", &closed);
    repo.write("stacks.yaml", &stacks);
    for folder in ["db", "web", "Metrics and Logs", "shop", "payments"] {
        repo.write(&format!("{folder}/compose.yml"), &compose).write(&format!("{folder}/app.env"), "A=1\n");
    }
    repo.write("web/secrets.yaml", block("yaml secrets.yaml"));
    repo.write("images.yaml", block("yaml images.yaml")).write("docker/Jobs", "");
    for folder in ["web", "jobs", "tools", "old"] {
        repo.write(&format!("{folder}/Dockerfile"), "");
    }
    repo.write("shared/site.conf", "x").commit("As the README has it");
    // Watched once with everything disabled, then only looked at: these names are not this test's alone.
    repo.write("stacks.yaml", "- {name: db, enabled: false}\n")
        .write("images.yaml", "[]")
        .commit("Nothing runs");
    ops.run(["watch", &repo.url()]).success();
    repo.write("stacks.yaml", stacks)
        .write("images.yaml", block("yaml images.yaml"))
        .commit("Everything runs");
    let plan = ops.run(["reconcile", "--dry-run"]);
    for stack in ["db", "metrics-and-logs"] {
        plan.failure(3).stdout_has(&format!("{stack}  deploy: new"));
    }
    // The secrets of the README are none of the lab's.
    plan.stdout_has("web  not deployed: `secrets.yaml` names secrets that do not exist")
        .stdout_has("held by `hold` in `stacks.yaml`: until the bank has moved")
        .stdout_has("3 to build, 2 to deploy")
        .stdout_has("2 on hold");
}

#[test]
fn the_environments_are_two_stacks() {
    let Some(lab) = lab() else { return };
    let Some(docker) = crate::fidelity::docker_with_stack_config() else { return };
    let (ops, repo) = (DockerOps::new(lab).with_docker(&docker), Repo::new());
    let (dev, prod) = (ops.unique("dev"), ops.unique("prod"));
    let compose = crate::support::repo::one_service(&lab.image("app:1"), 0) + "    hostname: '${HOST}'\n";
    repo.write("stacks.yaml", block("yaml environments").replace("web-dev", &dev).replace("web-prod", &prod))
        .write("web/docker-compose.yml", compose)
        .write("web/prod.yml", "version: '3.8'\nservices: {app: {user: prod}}\n")
        .write("env/common.env", "BASE=web\n")
        .write("web/dev.env", "HOST=${BASE}-dev\n")
        .write("web/prod.env", "HOST=${BASE}-prod\n")
        .commit("As the README has it");
    ops.run(["watch", &repo.url()]).success().stdout_has("2 deployed");
    let of = |stack: &str| {
        let container = "json .Spec.TaskTemplate.ContainerSpec";
        let spec: serde_json::Value =
            serde_json::from_str(&lab.spec(&format!("{stack}_app"), container)).unwrap();
        (spec["Hostname"].clone(), spec["User"].clone())
    };
    assert_eq!(of(&dev), ("web-dev".into(), serde_json::Value::Null));
    assert_eq!(of(&prod), ("web-prod".into(), "prod".into()));
}

#[test]
fn the_jobs_are_those_of_their_compose_file() {
    let repo = Repo::new();
    let compose = block("yaml jobs compose");
    repo.write("stacks.yaml", block("yaml jobs")).write("shop/docker-compose.yml", &compose).commit("first");
    let at = repo.path().display().to_string();
    DockerOps::without_docker().run(["validate", &at]).success();
    repo.write("shop/docker-compose.yml", compose.replace("smoke:", "probe:")).commit("renamed");
    let said = DockerOps::without_docker().run(["validate", &at]);
    said.failure(1).stdout_has("stacks.yaml:3: `shop.after`: `smoke` is no service of its compose file");
}

#[test]
fn the_policy_and_the_strict_one_are_taken() {
    let (repo, place) = (Repo::new(), tempfile::tempdir().unwrap());
    repo.stack("app-web", &crate::support::repo::one_service("nginx", 1))
        .stack("web", "services: {app: {image: x/y}}\n");
    repo.commit("first");
    let policy = place.path().join("policy.yaml");
    fs::write(&policy, block("yaml policy")).unwrap();
    let strict = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/policy.yaml");
    for (policy, forbidden) in [(policy.to_str().unwrap(), 2), (strict, 10)] {
        let (ops, at) = (DockerOps::without_docker(), repo.path().display().to_string());
        let run = |source: &str| {
            let outcome = ops.run(["validate", &at, "--json", "--policy", policy, "--source", source]);
            outcome.json()["problems"].as_array().unwrap().len()
        };
        assert_eq!(run("https://github.com/acme/shop"), forbidden, "{policy}");
        assert_eq!(run("git@github.com:acme/infrastructure.git"), 0, "{policy}");
    }
}

#[test]
fn the_volumes_and_the_folder_they_go_to_are_taken() {
    let Some(lab) = lab() else { return };
    let (ops, repo, nfs) = (DockerOps::new(lab), Repo::new(), tempfile::tempdir().unwrap());
    let stack = ops.unique("volumes");
    let compose = format!(
        "version: '3.8'\nservices: {{app: {{image: {}, volumes: ['data:/var/lib/app', 'conf:/etc/app:ro'], deploy: {{replicas: 0}}}}}}\n",
        lab.image("app:1")
    );
    let place = nfs.path().display().to_string();
    repo.write("volumes.yaml", block("yaml volumes.yaml")).write("web/conf/app.ini", "x");
    repo.write("nfs.yaml", block("yaml nfs.yaml").replace("/mnt/nfs", &place));
    repo.stack(&stack, &compose).commit("As the README has it");
    ops.run(["watch", &repo.url()]).success();
    assert_eq!(fs::read_to_string(nfs.path().join("web/conf/app.ini")).unwrap(), "x");
}

#[test]
fn the_sources_are_taken() {
    let text = blocks()
        .into_iter()
        .find(|block| block.text.starts_with("https://github.com/org/repo "))
        .unwrap()
        .text;
    let forms = text.lines().flat_map(|line| {
        let first = line.split("  ").next().unwrap();
        let second = line.split_whitespace().nth(1).filter(|word| word.starts_with('/'));
        [Some(first), second].into_iter().flatten()
    });
    let ops = DockerOps::without_docker();
    let mut count = 0;
    for form in forms {
        count += 1;
        // A source that can be read is one that is not watched; one that cannot is a wrong one.
        ops.run(["unwatch", form]).failure(1).stderr_has("is not being watched");
    }
    assert_eq!(count, 8);
}

#[test]
fn the_json_has_the_documented_fields() {
    let Some(lab) = lab() else { return };
    let (ops, repo) = (DockerOps::new(lab), Repo::new());
    let stack = ops.unique("json");
    repo.stack(&stack, &crate::support::repo::one_service(&lab.image("app:1"), 0));
    let image = crate::support::unique("json");
    repo.write(&format!("Dockerfile-{image}"), format!("FROM {}\n", lab.image("base"))).commit("One");
    ops.run(["watch", &repo.url()]).success();
    lab.docker(&["image", "rm", "--force", &image]);
    let printed = ops.run(["status", "--json"]).json();
    let documented: serde_json::Value = serde_json::from_str(&block("json status")).unwrap();
    let fields = |value: &serde_json::Value| -> BTreeSet<String> {
        value.as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(fields(&documented), fields(&printed));
    for list in ["repositories", "stacks", "images", "builds"] {
        assert_eq!(fields(&documented[list][0]), fields(&printed[list][0]), "{list}");
    }
    let service = |value: &serde_json::Value| fields(&value["stacks"][0]["services"][0]);
    assert_eq!(service(&documented), service(&printed));
}

#[test]
fn what_a_run_one_stack_and_events_tell_has_the_documented_fields() {
    let Some(scene) = Scene::new() else { return };
    let stack = scene.stack("told", &scene.on());
    scene.repo.commit("first");
    let run = scene.run(&["watch", &scene.repo.url(), "--json"]).success().json();
    let one = scene.run(&["status", &stack, "--json"]).success().json();
    let status: serde_json::Value = serde_json::from_str(&block("json status")).unwrap();
    let other = Repo::new();
    other.write("stacks.yaml", "- name: [\n").commit("broken");
    let failed = scene.run(&["watch", &other.url(), "--json"]);
    let events = scene.run(&["events", "--json"]).success().stdout.clone();
    let documented = |kind: &str| serde_json::from_str::<serde_json::Value>(&block(kind)).unwrap();
    let fields = |value: &serde_json::Value, place: &str| -> BTreeSet<String> {
        let at = value.pointer(place).unwrap_or_else(|| panic!("no {place}: {value}"));
        at.as_object().unwrap().keys().cloned().collect()
    };
    for place in ["", "/stacks/0", "/tally"] {
        assert_eq!(fields(&documented("json run"), place), fields(&run, place), "{place}");
    }
    assert_eq!(failed.code, 1, "a source that is not remembered is an error: {failed}");
    for place in ["/services/0/tasks/0", "/images/0", "/history/0"] {
        assert_eq!(fields(&documented("json one"), place), fields(&one, place), "{place}");
    }
    let all = &fields(&status, "/stacks/0") | &fields(&documented("json one"), "");
    assert_eq!(all, fields(&one, ""));
    let service = &fields(&status, "/stacks/0/services/0") | &fields(&documented("json one"), "/services/0");
    assert_eq!(service, fields(&one, "/services/0"));
    for line in events.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(fields(&documented("json events"), ""), fields(&event, ""));
    }
}

#[test]
fn lines_of_logs_look_as_documented() {
    let Some(scene) = Scene::new() else { return };
    let stack = scene.ops.unique("web");
    let says = |text: &str| scene.on().shell(&format!("echo {text}; exec sleep 900"));
    let agent = says("collected 14 metrics").deploy("mode: global");
    scene.repo.stack(&stack, &compose([("agent", &agent), ("db", &says("checkpoint complete"))]));
    scene.watch().success();
    let run =
        |option: &str| scene.ops.run(["logs", &stack, "--tail", "all", option]).success().stdout.clone();
    wait_for("all lines", 60, || run("--since=1h").lines().count() == 3);
    let said = run("--since=1h");
    for line in block("text logs").lines().filter(|line| !line.starts_with("web_app")) {
        // Where Swarm placed it is Swarm's.
        let line = line.replacen("web_", &format!("{stack}_"), 1);
        let (mark, message) = line.split_once(" | ").unwrap();
        let start = mark.trim_end_matches(['1', '2']);
        let is_it = |told: &str| told.starts_with(start) && told.ends_with(&format!(" | {message}"));
        assert!(said.lines().any(is_it), "{line}: {said}");
    }
    let fields = |line: &str| -> BTreeSet<String> {
        serde_json::from_str::<serde_json::Value>(line)
            .unwrap()
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect()
    };
    let documented = fields(&block("json logs"));
    assert!(run("--json").lines().all(|line| fields(line) == documented));
}

#[test]
fn the_log_has_the_documented_fields_and_events() {
    let fake = FakeDocker::of_an_empty_swarm().fails("stack deploy", 1, "no");
    let (ops, repo) = (DockerOps::without_docker().with_fake(&fake), Repo::new());
    repo.stack("web", "services: {app: {image: app}}").commit("first");
    let ops = ops.env("DOCKEROPS_REPOS", repo.url()).env("DOCKEROPS_LOG", "json");
    let mut run = ops.spawn(["run"]);
    run.wait_for("\"event\":\"cycle\"", 1, 60);
    run.signal(Signal::TERM);
    let outcome = run.wait();
    let fields = |line: &str| -> BTreeSet<String> {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        value.as_object().unwrap().keys().cloned().collect()
    };
    let documented = fields(&block("json log"));
    for line in outcome.success().stdout.lines() {
        assert_eq!(fields(line), documented);
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        let event = format!("`{}`", value["event"].as_str().unwrap());
        assert!(
            README.split("`event` is one of").nth(1).unwrap().split(". ").next().unwrap().contains(&event)
        );
    }
}

#[test]
fn the_daemon_listens_and_answers_as_documented() {
    let Some(lab) = lab() else { return };
    let (ops, repo) = (DockerOps::new(lab), Repo::new());
    let stack = ops.unique("told");
    repo.write(
        &format!("templates/{stack}/compose.yml"),
        "services: {a: {image: 'a:${TAG:-1}', env_file: gone}, a$: {image: a}}\n",
    );
    repo.stack(&stack, &crate::support::repo::one_service(&lab.image("app:1"), 1)).commit("One");
    let ops = ops.env("DOCKEROPS_REPOS", repo.url()).that_listens();
    let site = ops.site();
    let address = site.address.to_string();
    let script = format!("{}{}", block("sh listen"), block("sh curl"));
    let script = script.replace("127.0.0.1:8080", &address).replace("\"web\"", &format!("\"{stack}\""));
    let script = script.replace("/stacks/web/", &format!("/stacks/{stack}/"));
    // The daemon of this test has its token already.
    let script = script
        .replace("DOCKEROPS_API_TOKEN=$(openssl rand -hex 32)", &format!("DOCKEROPS_API_TOKEN={TOKEN}"));
    let said = try_stdout_of(command("bash").args(["-e", "-u", "-o", "pipefail", "-c", &script])).unwrap();
    assert!(said.contains(&stack) && said.matches("\"job\"").count() == 3, "{said}");

    let paths = README.split("| `GET /").skip(1).map(|line| format!("/{}", line.split('`').next().unwrap()));
    let job = site.post("/api/v1/reconcile", "{}").is(202).json()["job"].to_string();
    let mut count = 0;
    // What takes the token to write has its own tests.
    for path in paths.filter(|path| !path.ends_with("/options") && !path.ends_with("/logs")) {
        site.get(&path.replace("<name>", &stack).replace("<id>", &job)).is(200);
        count += 1;
    }
    assert_eq!(count, 13);

    let told = site.get(&format!("/api/v1/stacks/{stack}")).json();
    let documented: serde_json::Value = serde_json::from_str(&block("json stack")).unwrap();
    let fields = |value: &serde_json::Value| -> BTreeSet<String> {
        value.as_object().unwrap().keys().cloned().collect()
    };
    assert!(fields(&documented).is_subset(&fields(&told)), "{told}");
    for place in ["/services/0/tasks/0", "/images/0", "/events/0"] {
        assert_eq!(
            fields(documented.pointer(place).unwrap()),
            fields(told.pointer(place).unwrap()),
            "{place}"
        );
    }
    let known =
        fields(&serde_json::from_str::<serde_json::Value>(&block("json status")).unwrap()["stacks"][0]);
    let all: BTreeSet<_> = known.into_iter().chain(fields(&documented)).collect();
    assert_eq!(all, fields(&told));

    let history: serde_json::Value = serde_json::from_str(&block("json history")).unwrap();
    let told = site.get(&format!("/api/v1/stacks/{stack}/history")).json();
    for place in ["", "/versions/0"] {
        let both = [&history, &told].map(|value| fields(value.pointer(place).unwrap()));
        assert_eq!(both[0], both[1], "{place}: {told}");
    }

    let template: serde_json::Value = serde_json::from_str(&block("json template")).unwrap();
    let told = site.get(&format!("/api/v1/stackDefinitions/{stack}")).json();
    for place in ["", "/parameters/0", "/problems/0"] {
        let both = [&template, &told].map(|value| fields(value.pointer(place).unwrap()));
        assert_eq!(both[0], both[1], "{place}: {told}");
    }

    let metrics = site.get("/metrics").body;
    let exported: BTreeSet<_> =
        metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let table = README.split("| metric | |").nth(1).unwrap().split("\n\n").next().unwrap();
    let documented: BTreeSet<_> = table.split('`').filter(|word| word.starts_with("dockerops_")).collect();
    assert_eq!(documented, exported);
}

#[test]
fn the_template_is_right_and_says_what_it_says() {
    let (ops, repo) = (DockerOps::without_docker().env("PATH", "/nonexistent"), Repo::new());
    repo.stack("web", "services: {app: {image: app}}\n")
        .write("templates/blog/template.yaml", block("yaml template.yaml"));
    let compose = "services:\n  app:\n    image: 'blog:${TAG:-6.9}'\n    hostname: ${HOST}\n    deploy: {replicas: '${COPIES:-2}'}\n    \
                   environment: {DEBUG: '${DEBUG:-false}'}\n    secrets: ['${DB_PASSWORD}']\n";
    repo.write("templates/blog/compose.yml", compose);
    let at = repo.path().display().to_string();
    let json = ops.run(["validate", &at, "--json"]).success().json();
    let template = &json["templates"][0];
    let kinds: Vec<_> =
        template["parameters"].as_array().unwrap().iter().map(|it| it["type"].clone()).collect();
    assert_eq!(
        kinds,
        [
            "integer".into(),
            serde_json::Value::Null,
            "boolean".into(),
            serde_json::Value::Null,
            serde_json::Value::Null
        ]
    );
    assert_eq!((&template["title"], &template["parameters"][1]["secret"]), (&"A blog".into(), &true.into()));
}

#[test]
fn the_registry_is_told_an_address_that_there_is() {
    let config: serde_json::Value = serde_yaml::from_str(&block("yaml registry")).unwrap();
    let endpoint = &config["notifications"]["endpoints"][0];
    let path = endpoint["url"].as_str().unwrap().splitn(4, '/').nth(3).unwrap();
    let header = endpoint["headers"]["Authorization"][0].as_str().unwrap();
    let ops = DockerOps::without_docker().with_fake(&FakeDocker::of_an_empty_swarm());
    let ops = ops.that_listens().env("DOCKEROPS_WEBHOOK_SECRET", header.strip_prefix("Bearer ").unwrap());
    let header = format!("Authorization: {header}");
    let site = ops.site();
    site.send("POST", &format!("/{path}"), &[&header], b"{\"events\": []}").is(202);
}

#[test]
fn every_variable_is_documented_and_every_documented_one_is_read() {
    let quoted = |text: &str, mark: char| -> BTreeSet<String> {
        let name = |word: &str| word.len() > 3 && word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
        text.split(mark).filter(|word| name(word)).map(str::to_owned).collect()
    };
    let code = SETTINGS.map(|text| text.split("#[cfg(test)]").next().unwrap()).concat();
    let table = README
        .split("## Environment")
        .nth(1)
        .unwrap()
        .split("`DOCKER_HOST`, docker contexts")
        .next()
        .unwrap();
    let mut read = quoted(&code, '"');
    // Those that are made of another's name, and those that are only kept from docker. That the program knows all of
    // ours is shown in src/settings/environment.rs.
    for secret in ["GITHUB_TOKEN", "DOCKEROPS_WEBHOOK_SECRET", "DOCKEROPS_API_TOKEN", "DOCKEROPS_WRITE_TOKEN"]
    {
        read.insert(format!("{secret}_FILE"));
    }
    for kept_away in ["GH_TOKEN", "GH_ENTERPRISE_TOKEN"] {
        read.remove(kept_away);
    }
    let documented: BTreeSet<_> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next().map(str::to_owned))
        .collect();
    assert_eq!(documented, read);
}

#[test]
fn every_row_of_who_is_trusted_names_tests_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rows: Vec<Vec<&str>> = include_str!("../SECURITY.md")
        .lines()
        .filter(|line| {
            line.starts_with("| ") && !line.starts_with("| --") && !line.starts_with("| who | can")
        })
        .map(|line| line.split('|').skip(1).take(4).map(str::trim).collect())
        .collect();
    assert!(rows.len() > 12, "{rows:?}");
    for row in rows {
        let [_, can, cannot, shown] = row.as_slice() else { panic!("{row:?} has no four columns") };
        if can.contains("everything: they are root") {
            continue;
        }
        let names: Vec<_> = shown.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "nothing shows: {cannot}");
        for name in names {
            let (module, test) = name.rsplit_once("::").unwrap_or((name, ""));
            let of_unit = |prefix: &str| module.strip_prefix(prefix);
            let (folder, module) = match (of_unit("compose::"), of_unit("git::")) {
                (Some(module), _) => ("src/compose", module),
                (_, Some(module)) => ("src/git", module),
                _ => ("tests", module),
            };
            let code = fs::read_to_string(root.join(folder).join(format!("{module}.rs")));
            let code = code.unwrap_or_else(|error| panic!("`{name}`: {error}"));
            assert!(test.is_empty() || code.contains(&format!("fn {test}(")), "`{name}` is not there");
        }
    }
}
