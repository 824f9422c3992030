//! What DockerOps tells: its fields, events, addresses and metrics are those that are documented.

use std::collections::BTreeSet;

use rustix::process::Signal;

use super::{block, page};
use crate::support::dockerops::DockerOps;
use crate::support::fake_docker::FakeDocker;
use crate::support::http::TOKEN;
use crate::support::lab::lab;
use crate::support::repo::Repo;
use crate::support::scene::{Scene, compose};
use crate::support::{command, try_stdout_of, wait_for};

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
            page("docs/daemon.md")
                .split("`event` is one of")
                .nth(1)
                .unwrap()
                .split(". ")
                .next()
                .unwrap()
                .contains(&event)
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

    let api = page("docs/api.md");
    let paths = api.split("| `GET /").skip(1).map(|line| format!("/{}", line.split('`').next().unwrap()));
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
    let metrics_page = page("docs/metrics.md");
    let table = metrics_page.split("| metric | |").nth(1).unwrap().split("\n\n").next().unwrap();
    let documented: BTreeSet<_> = table.split('`').filter(|word| word.starts_with("dockerops_")).collect();
    assert_eq!(documented, exported);
    for label in ["kind", "status", "outcome"] {
        for value in metrics.split(&format!("{label}=\"")).skip(1).map(|rest| rest.split('"').next().unwrap())
        {
            assert!(table.contains(&format!("`{value}`")), "{label} {value}");
        }
    }
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
