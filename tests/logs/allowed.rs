//! Whose logs are told, and to whom.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use super::{SIGNED, has_printed, json, shop};
use crate::ownership::lose_database;
use crate::support::dockerops::{DockerOps, PROGRAM};
use crate::support::fake_docker::FakeDocker;
use crate::support::http::TOKEN;
use crate::support::scene::Scene;
use crate::support::{command, stdout_of};

/// A service of a stack that DockerOps does not manage.
fn by_hand(scene: &Scene, stack: &str) -> String {
    let (service, image) = (format!("{stack}_app"), scene.lab.image("app:1"));
    let label = format!("com.docker.stack.namespace={stack}");
    let create = ["service", "create", "--quiet", "--detach", "--replicas", "0", "--label", &label];
    scene.lab.docker(&[&create[..], &["--name", &service, &image]].concat());
    service
}

#[test]
fn a_wrong_name_is_told_which_there_are_and_what_is_not_managed_is_refused() {
    let Some(scene) = Scene::new() else { return };
    let (stack, foreign) = (scene.stack("mine", &scene.off()), scene.ops.unique("foreign"));
    scene.watch().success();
    let service = by_hand(&scene, &foreign);
    let unknown = scene.ops.run(["logs", "no-such-stack"]);
    unknown.failure(1).error_has("there is no stack `no-such-stack`").stderr_has(&format!("`{stack}`"));
    unknown.stderr_lacks(&foreign);
    let refused = scene.ops.run(["logs", &foreign]);
    refused.failure(1).error_has("and is none that DockerOps manages").stderr_has(&format!("`{stack}`"));
    let wrong = scene.ops.run(["logs", &stack, "cache"]);
    wrong
        .failure(1)
        .error_has(&format!("the stack `{stack}` has no service `cache`"))
        .stderr_has("it has `app`");
    // Another one's service is none of the stack's, by whatever name.
    scene.ops.run(["logs", &stack, &service]).failure(1).error_has("has no service");
    scene.ops.run(["logs", &stack]).success().stdout_lacks("|");
    // Labels tell, where no database does.
    lose_database(&scene);
    scene.ops.run(["logs", &stack]).success();
    scene.ops.run(["logs", &foreign]).failure(1).error_has("is none that DockerOps manages");
    scene.lab.docker(&["service", "rm", &service]);
}

#[test]
fn what_is_no_number_and_no_time_is_usage_and_docker_is_not_asked() {
    let fake = FakeDocker::of_an_empty_swarm();
    let ops = DockerOps::without_docker().with_fake(&fake);
    for (option, value, takes) in [
        ("--tail", "ten", "it takes a number of lines from 0 to 1000000, or `all`"),
        ("--tail", "-1", "Usage: dockerops logs"),
        ("--tail", "1000001", "or `all`"),
        (
            "--since",
            "soon",
            "it takes `90s`, `10m`, `1h30m` or `2d` ago, or a time like `2026-11-23T07:00:00Z`",
        ),
        ("--since", "10", "`10`: it takes"),
        ("--since", "99999999999999d", "it takes"),
        ("--since", "\u{1b}[2J", "`\\u{1b}[2J`: it takes"),
    ] {
        let said = ops.run(["logs", "web", option, value]);
        said.failure(2).stderr_has("Usage: dockerops logs").stderr_has(takes).stderr_lacks("\u{1b}");
    }
    assert_eq!(fake.calls(), [""; 0]);
    ops.run(["logs", "web"]).failure(1).error_has("there is no stack `web`");
}

#[test]
fn who_docker_lets_in_needs_no_root_and_no_database() {
    let Some(scene) = Scene::new() else { return };
    let stack = scene.stack("open", &scene.on().shell("echo for all who may; exec sleep 900"));
    scene.watch().success();
    has_printed(&scene, &stack, "for all who may", 1);
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let folder = place.path().display().to_string();
    stdout_of(command("install").args(["-m", "755", PROGRAM]).arg(place.path().join("dockerops")));
    let socket = scene.lab.docker_host().strip_prefix("unix://").unwrap();
    // The socket lies where nobody else comes; its group may use it.
    let script = |group: &str| {
        format!(
            "set -e; touch {folder}/docker.sock; mount --bind {socket} {folder}/docker.sock; shift; \
             exec setpriv --reuid 65534 --regid {group} --clear-groups {folder}/dockerops \"$@\""
        )
    };
    let database = scene.ops.database();
    let as_user = |group: &str| {
        let ops = DockerOps::new(scene.lab).env("DOCKEROPS_DB_PATH", &database).env("HOME", &folder);
        let ops = ops.env("DOCKER_HOST", format!("unix://{folder}/docker.sock"));
        ops.through(["unshare", "--mount", "bash", "-c", &script(group), "bash"])
    };
    let one_of_the_group = as_user(&format!("$(stat -c %g {folder}/docker.sock)"));
    one_of_the_group.run(["logs", &stack]).success().stdout_has(" | for all who may\n");
    one_of_the_group
        .run(["logs", "no-such-stack"])
        .failure(1)
        .error_has("there is no stack")
        .stderr_has(&format!("`{stack}`"));
    one_of_the_group.run(["status"]).failure(1).error_has("permission denied");
    as_user("65534")
        .run(["logs", &stack])
        .failure(1)
        .error_has("permission denied")
        .stderr_has("`sudo dockerops …`");
}

#[test]
fn the_api_tells_logs_to_who_shows_a_token_and_to_nobody_else() {
    let Some(mut scene) = Scene::new() else { return };
    let stack = shop(&scene);
    let foreign = scene.ops.unique("foreign");
    let service = by_hand(&scene, &foreign);
    scene.ops = scene.ops.that_listens();
    let site = scene.ops.site();
    let path = format!("/api/v1/stacks/{stack}/logs");
    // Looking is free here, and logs are not.
    site.get(&format!("/api/v1/stacks/{stack}")).is(200);
    assert!(site.get(&path).is(401).head.contains("www-authenticate"));
    site.send("GET", &path, &["Authorization: Bearer another"], b"").is(401);
    for strange in ["Origin: https://evil.example", "Sec-Fetch-Site: cross-site"] {
        site.send("GET", &path, &[SIGNED, strange], b"").is(403).has("another site");
    }
    assert!(SIGNED.ends_with(TOKEN));
    let get = |query: &str, headers: &[&str]| {
        site.send("GET", &format!("{path}{query}"), &[&[SIGNED], headers].concat(), b"")
    };
    let text = get("", &[]);
    assert!(text.is(200).head.contains("content-type: text/plain; charset=utf-8"), "{}", text.head);
    assert!(text.head.contains("nosniff") && text.head.contains("no-store"), "{}", text.head);
    let printed = scene.ops.run(["logs", &stack]).success().stdout.clone();
    assert_eq!(text.body, printed, "as the command prints it");
    for (query, headers) in [
        ("?format=json&service=app&tail=2", vec![]),
        ("?service=app&tail=2", vec!["Accept: application/json"]),
    ] {
        let told = get(query, &headers).is(200).json();
        let command: Vec<Value> = json(&scene.ops.run(["logs", &stack, "app", "--tail", "2", "--json"]));
        assert_eq!(told["lines"], Value::Array(command), "{query}");
        assert_eq!(told["notes"], serde_json::json!([]));
    }
    assert!(get("?format=text", &["Accept: application/json"]).is(200).head.contains("text/plain"));
    for (status, query, words) in [
        (400, "?tail=many", "tail: `many`: it takes a number"),
        (400, "?since=soon", "since: `soon`: it takes"),
        (400, "?format=xml", "`format` is"),
        (404, "?service=cache", "has no service `cache`"),
        (404, &*format!("?service={service}"), "has no service"),
        (404, "?repository=/elsewhere", "no watched source has such a stack"),
    ] {
        get(query, &[]).is(status).has(words);
    }
    for name in [&*foreign, "no-such-stack"] {
        site.send("GET", &format!("/api/v1/stacks/{name}/logs"), &[SIGNED], b"")
            .is(404)
            .has("`/api/v1/stacks` lists them");
    }
    drop(site);
    let closed = scene.ops.env_remove("DOCKEROPS_API_TOKEN");
    let site = closed.site();
    site.get(&path).is(403).has("logs need a token, and none is set").has("DOCKEROPS_API_TOKEN");
    site.get("/").is(200);
    scene.lab.docker(&["service", "rm", &service]);
}
