//! Rollbacks by the API: noted when it answers, carried out whatever becomes of the request, and told to who comes second.

use std::fs::{self, File};
use std::thread;

use serde_json::{Value, json};

use super::{Rolls, value, web};
use crate::support::git_server::GitServer;
use crate::support::http::{Answer, Site, TOKEN};
use crate::support::scene::{App, Scene};
use crate::support::wait_for;

/// A daemon that watches a stack `web`, which ran as `1` and runs as `2`, and believes a proxy that says who asks.
fn listening(app: impl Fn(&Scene, &str) -> App) -> Option<(Scene, String, Site)> {
    let mut scene = Scene::new()?;
    let stack = scene.stack("web", &app(&scene, "1"));
    scene.repo.commit("first");
    let ops = scene.ops.env("DOCKEROPS_REPOS", scene.repo.url()).that_listens();
    scene.ops = ops.env("DOCKEROPS_USER_HEADER", "X-Person").env("DOCKEROPS_TRUSTED_PROXY", "127.0.0.0/8");
    let site = scene.ops.site();
    scene.change(&stack, &app(&scene, "2")).repo.commit("second");
    assert_eq!(site.job(&site.post("/api/v1/reconcile", "{}"))["outcome"], "1 deployed");
    Some((scene, stack, site))
}

fn back(site: &Site, stack: &str, body: &Value) -> Answer {
    site.post(&format!("/api/v1/stacks/{stack}/rollback"), &body.to_string())
}

/// Waits until it runs as that, and nothing of it is in motion.
fn runs(scene: &Scene, site: &Site, stack: &str, wanted: &str) {
    let told = || site.get(&format!("/api/v1/stacks/{stack}")).is(200).json();
    wait_for(format!("`{stack}` runs `{wanted}`"), 60, || {
        value(scene, stack) == wanted && told()["status"] == "deployed" && told()["updating"] == false
    });
}

#[test]
fn a_bad_push_goes_back_by_the_api_while_the_git_server_is_away() {
    let Some(mut scene) = Scene::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let stack = scene.stack("web", &web(&scene, "1"));
    let good = scene.repo.commit("first");
    scene.repo.publish(folder.path(), "r");
    let server = GitServer::start(folder.path(), &[]);
    scene.ops = scene.ops.env("DOCKEROPS_REPOS", server.url("r")).that_listens();
    let site = scene.ops.site();
    scene.set(&stack, "2").repo.commit("second");
    scene.repo.publish(folder.path(), "r");
    assert_eq!(site.job(&site.post("/api/v1/reconcile", "{}"))["outcome"], "1 deployed");
    drop(server);
    let answer = back(&site, &stack, &json!({"reason": "it loses orders"}));
    let told = answer.is(202).json();
    assert_eq!((&told["stack"], &told["before"], &told["notes"]), (&json!(stack), &Value::Null, &json!([])));
    let hold = &told["hold"];
    assert_eq!((&hold["kind"], &hold["by"], &hold["to"]), (&json!("rollback"), &json!("API"), &json!(good)));
    let url = told["url"].as_str().unwrap();
    assert_eq!(site.get(url).is(200).json()["hold"], *hold, "it answered before it was noted");
    runs(&scene, &site, &stack, "A=1");
    let shown = site.get(url).json();
    assert_eq!((&shown["hold"]["reason"], &shown["error"]), (&json!("it loses orders"), &Value::Null));
    site.get("/api/v1/events").has("rolled back to").has("it loses orders; converged");
    assert_eq!(scene.ran(&stack)[0]["how"], "rollback");
    // Whoever would hold it otherwise is told; the next sync leaves it as it is.
    site.post(&format!("/api/v1/stacks/{stack}/hold"), "{}").is(409).has("it was rolled back to");
    let server = GitServer::start(folder.path(), &[]);
    drop(server);
    site.job(&site.post("/api/v1/reconcile", "{}"));
    assert_eq!(value(&scene, &stack), "A=1");
}

#[test]
fn of_two_people_who_go_back_at_once_the_second_is_told_of_the_first() {
    let Some((scene, stack, site)) = listening(web) else { return };
    let first = scene.ran(&stack)[1]["commit"].as_str().unwrap().to_owned();
    let (path, body) = (format!("/api/v1/stacks/{stack}/rollback"), json!({"to": first[..8]}).to_string());
    let told: Vec<Value> = thread::scope(|scope| {
        let ask = |person: &'static str| {
            let (site, path, body) = (&site, &path, &body);
            let headers = [format!("Authorization: Bearer {TOKEN}"), format!("X-Person: {person}")];
            scope.spawn(move || {
                let headers = headers.each_ref().map(String::as_str);
                site.send("POST", path, &headers, body.as_bytes()).is(202).json()
            })
        };
        let asking: Vec<_> = ["ann", "ben"].map(ask).into();
        asking.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    let (first, second): (Vec<_>, Vec<_>) = told.iter().partition(|told| told["before"].is_null());
    assert_eq!((first.len(), second.len()), (1, 1), "{told:?}");
    assert_eq!(second[0]["before"]["by"], first[0]["hold"]["by"]);
    assert_eq!(second[0]["hold"]["to"], first[0]["hold"]["to"]);
    runs(&scene, &site, &stack, "A=1");
    // None of them fled what both went back to: a revert ends the rollback.
    scene.set(&stack, "1").repo.commit("revert");
    site.job(&site.post("/api/v1/reconcile", "{}"));
    assert!(scene.status(&stack)["hold"].is_null(), "{}", scene.status(&stack));
    assert_eq!(value(&scene, &stack), "A=1");
}

#[test]
fn a_changed_binding_is_said_and_goes_back_by_another_word_alone() {
    let nfs = tempfile::tempdir().unwrap();
    let app = |scene: &Scene, value: &str| {
        scene.repo.write("volumes.yaml", "- id: site\n  type: binding\n  path: site\n");
        scene.repo.write("nfs.yaml", format!("path: {}\n", nfs.path().display()));
        scene.repo.write("site/index", value);
        web(scene, value).with("volumes: ['site:/site']")
    };
    let Some((scene, stack, site)) = listening(app) else { return };
    let before = scene.lab.specs(&stack);
    let said = back(&site, &stack, &json!({}));
    said.is(422).has("`site` is not as it was then").has("`without_bindings` goes back all the same");
    assert!(scene.lab.specs(&stack) == before && scene.status(&stack)["hold"].is_null());
    let told = back(&site, &stack, &json!({"without_bindings": true, "pin": true})).is(202).json();
    assert!(told["notes"][0].as_str().unwrap().contains("stays as it lies there"), "{told}");
    runs(&scene, &site, &stack, "A=1");
    assert_eq!(fs::read_to_string(nfs.path().join("site/index")).unwrap(), "2");
    site.get(&format!("/api/v1/stacks/{stack}/history")).has("rolled back to");
    site.get("/api/v1/events").has("pinned until it is released");
}

#[test]
fn a_daemon_that_ends_on_the_way_is_gone_on_with() {
    let slow = |scene: &Scene, value: &str| {
        scene.on().with(format!("environment: {{A: '{value}'}}")).update("monitor: 6s")
    };
    let Some((scene, stack, site)) = listening(slow) else { return };
    let told = back(&site, &stack, &json!({})).is(202).json();
    drop(site);
    assert_eq!(scene.status(&stack)["hold"]["to"], told["hold"]["to"]);
    scene.reconcile().success();
    let status = scene.status(&stack);
    assert_eq!((value(&scene, &stack), &status["status"]), ("A=1".to_owned(), &json!("deployed")));
    scene.reconcile().success().stdout_has("1 on hold");
}

#[test]
fn mistakes_of_a_rollback_say_what_there_is_and_nothing_is_noted() {
    let Some((scene, stack, site)) = listening(web) else { return };
    let path = format!("/api/v1/stacks/{stack}/rollback");
    let before = scene.lab.specs(&stack);
    let told = back(&site, &stack, &json!({"to": "main", "pin": "yes", "for": "2h"}));
    for part in
        ["`to`: `main` is no commit", "`pin` is neither", "`for` is not known here", "nothing was done"]
    {
        told.is(400).has(part);
    }
    back(&site, "nosuch", &json!({})).is(404).has("there is no stack `nosuch`").has(&stack);
    let head = scene.repo.head();
    back(&site, &stack, &json!({"to": "ffffff"})).is(422).has("at no commit `ffffff`").has(&head[..12]);
    assert!(site.get(&path).is(405).head.contains("allow: POST"));
    assert!(site.get("/rollback").is(405).head.contains("allow: POST"));
    site.send("POST", &path, &[], b"{}").is(401);
    site.post("/api/v1/repositories/rollback", "{}").is(405);
    let file = File::open(scene.ops.database().with_file_name("dockerops.db.lock")).unwrap();
    file.lock().unwrap();
    let told = back(&site, &stack, &json!({}));
    told.is(503).has("another run holds the lock").has("nothing was noted");
    file.unlock().unwrap();
    assert!(scene.lab.specs(&stack) == before && scene.status(&stack)["hold"].is_null());
}
