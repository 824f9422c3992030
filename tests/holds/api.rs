//! Holds by the API: noted when it answers, told to whoever comes second, and kept by the Swarm as those of commands are.

use std::fs::{self, File};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{remembered, web};
use crate::support::dockerops::DockerOps;
use crate::support::fake_docker::FakeDocker;
use crate::support::http::{Answer, Site, TOKEN, push_to};
use crate::support::scene::{App, Scene};
use crate::support::wait_for;

/// A daemon that watches a stack `web`, and believes a proxy that says who asks.
fn listening() -> Option<(Scene, String, Site)> {
    let mut scene = Scene::new()?;
    let stack = scene.stack("web", &web(&scene, 1));
    scene.repo.commit("first");
    let ops = scene.ops.env("DOCKEROPS_REPOS", scene.repo.url()).that_listens();
    scene.ops = ops.env("DOCKEROPS_USER_HEADER", "X-Person").env("DOCKEROPS_TRUSTED_PROXY", "127.0.0.0/8");
    let site = scene.ops.site();
    Some((scene, stack, site))
}

fn post(site: &Site, path: &str, person: &str, body: &Value) -> Answer {
    let token = format!("Authorization: Bearer {TOKEN}");
    let person = format!("X-Person: {person}");
    let headers = if person.ends_with(' ') { vec![&*token] } else { vec![&*token, &*person] };
    site.send("POST", path, &headers, body.to_string().as_bytes())
}

/// How the job ended that an answer names.
#[track_caller]
fn ended(site: &Site, answer: &Value) -> Value {
    let url = answer["url"].as_str().unwrap_or_else(|| panic!("no job: {answer}"));
    let ask = || site.get(url).is(200).json();
    wait_for(url, 90, || matches!(ask()["state"].as_str(), Some("done" | "failed")));
    ask()
}

#[test]
fn the_api_keeps_a_push_out_and_lets_it_out_within_one_job() {
    let Some((scene, stack, site)) = listening() else { return };
    let before = scene.lab.specs(&stack);
    let (hold, release) = (format!("/api/v1/stacks/{stack}/hold"), format!("/api/v1/stacks/{stack}/release"));
    let told = post(&site, &hold, "", &json!({"for": "2h", "reason": "it loses orders"}));
    let told = told.is(200).json();
    assert_eq!((&told["stack"], &told["repository"]), (&json!(stack), &json!(scene.repo.url())));
    assert_eq!((&told["before"], &told["notes"]), (&Value::Null, &json!([])));
    assert_eq!((&told["hold"]["by"], &told["hold"]["kind"]), (&json!("API"), &json!("hand")));
    let shown = || site.get(&format!("/api/v1/stacks/{stack}")).is(200).json()["hold"].take();
    assert_eq!(shown(), told["hold"], "it answered before it was noted");
    assert_eq!((remembered(&scene).len(), scene.lab.specs(&stack)), (1, before.clone()));
    site.get("/api/v1/events?limit=1").has("held by API until").has("it loses orders");

    // Everybody who asks for it is told.
    scene.change(&stack, &web(&scene, 2)).repo.commit("second");
    scene.docker.forget();
    let pushed = site.github("push", "1", &push_to(&scene.repo.url(), "refs/heads/main"));
    assert_eq!(pushed.is(202).json()["on_hold"], json!([stack]));
    let job = site.job(&pushed);
    let kept_back = format!("1 on hold; on hold: `{stack}`");
    assert_eq!((&job["state"], &job["outcome"]), (&json!("done"), &json!(kept_back)));
    for wish in [json!({"stack": stack}), json!({"stack": stack, "force": true}), json!({})] {
        let asked = site.post("/api/v1/reconcile", &wish.to_string());
        assert_eq!(asked.is(202).json()["on_hold"], json!([stack]), "{wish}");
        assert_eq!(site.job(&asked)["outcome"], kept_back, "{wish}");
    }
    assert_eq!((scene.deploys(), scene.lab.specs(&stack)), (vec![], before));
    assert!(shown()["change"].as_str().unwrap().contains("changed") && shown()["behind"] == 1);

    // Who comes second is told of the first, and names are the proxy's.
    let second = post(&site, &hold, "alice", &json!({"for": "ever"})).is(200).json();
    assert_eq!((&second["hold"]["by"], &second["hold"]["until"]), (&json!("alice"), &Value::Null));
    assert_eq!(second["before"]["reason"], "it loses orders");
    let released = post(&site, &release, "bob", &json!({})).is(200).json();
    assert_eq!((&released["before"]["by"], &released["hold"]), (&json!("alice"), &Value::Null));
    let job = ended(&site, &released);
    assert_eq!((&job["outcome"], &job["state"]), (&json!("1 deployed"), &json!("done")), "{job}");
    assert!(job["cause"].as_str().unwrap().contains("released by bob"), "{job}");
    assert_eq!((scene.deploys(), remembered(&scene)), (vec![stack.clone()], vec![]));
    let late = post(&site, &release, "carol", &json!({}));
    late.is(409).has(&format!("`{stack}` is not held; at 20")).has("held by alice").has("released by bob");
}

#[test]
fn of_two_people_who_hold_at_once_one_is_told_of_the_other() {
    let Some((scene, stack, site)) = listening() else { return };
    let path = format!("/api/v1/stacks/{stack}/hold");
    let told: Vec<Value> = thread::scope(|scope| {
        let ask = |person| {
            let (site, path) = (&site, &path);
            scope.spawn(move || post(site, path, person, &json!({})).is(200).json())
        };
        let asking: Vec<_> = ["ann", "ben", "cleo", "dan"].map(ask).into();
        asking.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    // In a chain: each but the first found one of the others, and no two the same.
    let mut found: Vec<_> = told.iter().map(|told| told["before"]["by"].as_str()).collect();
    found.sort_unstable();
    assert!(found[0].is_none() && found.windows(2).all(|pair| pair[0] != pair[1]), "{told:?}");
    let last = site.get(&format!("/api/v1/stacks/{stack}")).json()["hold"]["by"].take();
    assert!(!found.contains(&last.as_str()), "{last}: {told:?}");
    assert_eq!(remembered(&scene).len(), 1);
}

#[test]
fn a_lost_database_forgets_no_hold_of_the_api_and_a_repository_is_held_whole() {
    let Some((scene, stack, site)) = listening() else { return };
    let url = scene.repo.url();
    let body = json!({"repository": url, "for": "ever", "reason": "freeze"});
    let told = site.post("/api/v1/repositories/hold", &body.to_string()).is(200).json();
    assert_eq!((&told["stack"], &told["repository"]), (&Value::Null, &json!(url)));
    let known =
        |site: &Site| site.get("/api/v1/repositories").is(200).json()["repositories"][0]["hold"].take();
    assert_eq!(known(&site), told["hold"]);
    drop(site);
    fs::remove_file(scene.ops.database()).unwrap();
    scene.change(&stack, &web(&scene, 2)).repo.commit("second");
    scene.docker.forget();
    let site = scene.ops.site();
    assert_eq!(scene.deploys(), [""; 0]);
    assert_eq!(known(&site)["reason"], "freeze");
    site.get(&format!("/api/v1/stacks/{stack}")).has("freeze");
    let of_stack = site.post(&format!("/api/v1/stacks/{stack}/release"), "");
    of_stack.is(409).has("is held with all of its source").has("release");
    let released = site.post("/api/v1/repositories/release", &json!({"repository": url}).to_string());
    assert_eq!(ended(&site, &released.is(200).json())["outcome"], "1 deployed");
    assert!(known(&site).is_null() && remembered(&scene).is_empty());
}

#[test]
fn what_was_accepted_before_a_hold_is_judged_as_ever() {
    let Some((scene, stack, site)) = listening() else { return };
    let slow = App::new(&scene.lab.image("app:2")).replicas(1).update("monitor: 6s");
    scene.change(&stack, &slow).repo.commit("second");
    let asked = site.post("/api/v1/reconcile", "{}");
    let is_moving = || site.get("/api/v1/under_way").is(200).body.contains("\"deploying\"");
    wait_for("the deploy", 30, is_moving);
    let told = site.post(&format!("/api/v1/stacks/{stack}/hold"), "").is(200).json();
    let note = told["notes"][0].as_str().unwrap_or_default();
    assert!(note.contains("in motion, and is judged as ever") && note.contains(&stack), "{told}");
    assert_eq!(site.job(&asked)["outcome"], "1 deployed");
    let status = site.get(&format!("/api/v1/stacks/{stack}")).is(200).json();
    assert_eq!((&status["status"], &status["hold"]["kind"]), (&json!("deployed"), &json!("hand")));
}

/// A daemon on an empty Swarm that watches what is not there, and so has its hands free.
fn idle() -> (DockerOps, FakeDocker, Site) {
    let fake = FakeDocker::of_an_empty_swarm();
    let ops = DockerOps::without_docker().with_fake(&fake).that_listens();
    let site = ops.site();
    let watch =
        "INSERT INTO repository_cache (url, last_watch) VALUES ('https://git.example.org/org/shop', 'then')";
    ops.db().execute(watch, []).unwrap();
    let stack = "INSERT INTO stacks (name, repository_url, compose_path, hash, status)
        VALUES ('web', 'https://git.example.org/org/shop', 'x', '', 'deployed')";
    ops.db().execute(stack, []).unwrap();
    (ops, fake, site)
}

#[test]
fn mistakes_say_what_there_is_and_nothing_is_noted() {
    let (ops, _fake, site) = idle();
    let long = json!({"for": "soon", "reason": "x".repeat(501), "fro": 1}).to_string();
    let told = site.post("/api/v1/stacks/web/hold", &long);
    for part in
        ["`soon` is no length of time", "it may have 500", "`fro` is not known here", "nothing was done"]
    {
        told.is(400).has(part);
    }
    site.post("/api/v1/stacks/nosuch/hold", "{}")
        .is(404)
        .has("there is no stack `nosuch`")
        .has("stacks are `web`");
    let other = json!({"repository": "https://git.example.org/org/other"}).to_string();
    let told = site.post("/api/v1/repositories/hold", &other);
    told.is(404).has("is not watched").has("watched are `https://git.example.org/org/shop`");
    site.post("/api/v1/stacks/web/release", "").is(409).has("`web` is not held").has("held by hand: none");
    site.post("/api/v1/stacks/web/hold?for=2h", "").is(400).has("`?for` is not known here");
    for path in ["/api/v1/stacks/web/hold", "/api/v1/repositories/release", "/hold", "/release"] {
        assert!(site.get(path).is(405).head.contains("allow: POST"), "{path}");
    }
    let held = || ops.db().query_row("SELECT COUNT(*) FROM holds", [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(held(), 0);

    // Another spelling of the repository is the same.
    let spelled = json!({"repository": "git.example.org/org/shop.git"}).to_string();
    site.post("/api/v1/repositories/hold", &spelled).is(200).has("\"by\": \"API\"");
    assert_eq!(held(), 1);
}

#[test]
fn who_cannot_have_the_lock_is_told_who_has_it_and_nothing_is_noted() {
    let (ops, _fake, site) = idle();
    let file = File::open(ops.database().with_file_name("dockerops.db.lock")).unwrap();
    file.lock().unwrap();
    let begun = Instant::now();
    let told = site.post("/api/v1/stacks/web/hold", "");
    told.is(503).has("another run holds the lock").has("nothing was noted");
    assert!(told.head.contains("retry-after") && begun.elapsed() < Duration::from_secs(20), "{told:?}");
    let held: i64 = ops.db().query_row("SELECT COUNT(*) FROM holds", [], |row| row.get(0)).unwrap();
    assert_eq!(held, 0);
    file.unlock().unwrap();
    site.post("/api/v1/stacks/web/hold", "").is(200);
}

#[test]
fn a_name_that_no_proxy_vouches_for_holds_nothing() {
    let fake = FakeDocker::of_an_empty_swarm();
    let ops = DockerOps::without_docker().with_fake(&fake).that_listens();
    let ops = ops.env("DOCKEROPS_USER_HEADER", "X-Person").env("DOCKEROPS_TRUSTED_PROXY", "192.0.2.7");
    let site = ops.site();
    post(&site, "/api/v1/stacks/web/hold", "root", &json!({})).is(403).has("no proxy");
    post(&site, "/hold", "root", &json!({})).is(403).has("no proxy");
}
