//! The API, metrics and health: the same story as `status`, for who may hear it.

use std::fs;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::support::dockerops::DockerOps;
use crate::support::fake_docker::FakeDocker;
use crate::support::http::{SECRET, TOKEN};
use crate::support::scene::{App, Scene, compose};
use crate::support::{command, stdout_of, wait_for};

const PATHS: [&str; 12] = [
    "/",
    "/metrics",
    "/api/v1/repositories",
    "/api/v1/stacks",
    "/api/v1/stacks/web",
    "/api/v1/stacks/web/history",
    "/api/v1/images",
    "/api/v1/builds",
    "/api/v1/stackDefinitions",
    "/api/v1/stackDefinitions/blog",
    "/api/v1/events",
    "/api/v1/jobs/1",
];

fn idle() -> (DockerOps, FakeDocker) {
    let fake = FakeDocker::of_an_empty_swarm();
    let ops = DockerOps::without_docker().with_fake(&fake).that_listens();
    (ops, fake)
}

#[test]
fn looking_is_free_on_loopback_for_this_machine_alone() {
    let (ops, _fake) = idle();
    let site = ops.site();
    for path in PATHS {
        let open = site.get(path).status;
        assert!(matches!(open, 200 | 404), "{path} {open}");
        for strange in [
            "Host: evil.example",
            "Host: [::1].evil.example",
            "Host: 127.0.0.1:evil",
            "Host: localhost.evil.example",
            "Host: user@127.0.0.1",
            "Host: 0x7f000001",
            "Host:",
            "X-Forwarded-For: 192.0.2.1",
            "X_Forwarded_For: 192.0.2.1",
            "CF-Connecting-IP: 192.0.2.1",
            "True-Client-IP: 192.0.2.1",
        ] {
            site.send("GET", path, &[strange], b"").is(401);
        }
        site.send("GET", path, &["Host: 127.0.0.1", "Host: evil.example"], b"").is(400);
        site.send("GET", &format!("http://evil.example{path}"), &[], b"").is(400);
    }
    site.get("/healthz").is(200).has("ok");
    site.get("/nothing").is(404);
    site.send("DELETE", "/api/v1/stacks", &[], b"").is(405);
}

#[test]
fn elsewhere_everything_but_health_needs_the_token() {
    let (ops, _fake) = idle();
    let ops = ops.env("DOCKEROPS_LISTEN", "0.0.0.0:0");
    let site = ops.site();
    let basic = |password: &str| {
        format!("Authorization: Basic {}", BASE64_STANDARD.encode(format!("any:{password}")))
    };
    for path in PATHS {
        let refused = site.get(path);
        assert!(refused.is(401).head.contains("www-authenticate: Basic realm=\"DockerOps\""), "{refused:?}");
        site.send("GET", path, &["Authorization: Bearer another"], b"").is(401);
        site.send("GET", path, &[&basic("another")], b"").is(401);
        for right in [format!("Authorization: Bearer {TOKEN}"), basic(TOKEN)] {
            let status = site.send("GET", path, &[&right], b"").status;
            assert!(matches!(status, 200 | 404), "{path} {status}");
        }
    }
    site.get("/healthz").is(200);
    site.get("/app.css").is(200);
    let open = ops.env_remove("DOCKEROPS_API_TOKEN").run(["run"]);
    open.failure(1).error_has("there is no `DOCKEROPS_API_TOKEN`");
}

#[test]
fn acting_needs_the_token_everywhere_and_no_other_site() {
    let (ops, _fake) = idle();
    let site = ops.site();
    let token = format!("Authorization: Bearer {TOKEN}");
    for path in [
        "/api/v1/reconcile",
        "/reconcile",
        "/api/v1/stacks/web/hold",
        "/api/v1/stacks/web/release",
        "/api/v1/repositories/hold",
        "/hold",
        "/release",
    ] {
        site.send("POST", path, &[], b"").is(401);
        for strange in [
            "Origin: https://evil.example",
            "Origin: null",
            "Sec-Fetch-Site: cross-site",
            "Sec-Fetch-Site: same-site",
        ] {
            site.send("POST", path, &[&token, strange], b"").is(403).has("another site");
        }
    }
    let job =
        site.job(&site.send("POST", "/api/v1/reconcile", &[&token, "Sec-Fetch-Site: same-origin"], b""));
    assert_eq!(
        (&job["target"], &job["cause"], &job["state"]),
        (&json!("all sources"), &json!("API"), &json!("done"))
    );
    for (status, wish) in [
        (404, r#"{"stack":"nobody"}"#),
        (404, r#"{"repository":"https://evil.example/x"}"#),
        (400, r#"{"stack":"a","repository":"b"}"#),
        (400, r#"{"stacks":"a"}"#),
        (400, "["),
    ] {
        site.post("/api/v1/reconcile", wish).is(status);
    }
    drop(site);
    let (tokenless, _fake) = idle();
    let tokenless = tokenless.env_remove("DOCKEROPS_API_TOKEN");
    let site = tokenless.site();
    site.send("POST", "/api/v1/reconcile", &[], b"").is(403).has("DOCKEROPS_API_TOKEN");
    site.get("/").is(200).has("Read only");
}

#[test]
fn the_api_tells_the_story_of_status_and_a_stack_in_full() {
    let Some(mut scene) = Scene::new() else { return };
    let failing =
        scene.on().shell("echo cannot start >&2; exit 3").update("monitor: 1s, failure_action: pause");
    let (good, bad) = (scene.stack("good", &scene.on()), scene.stack("bad", &failing));
    scene.repo.commit("first");
    let url = scene.repo.url();
    scene.ops = scene.ops.env("DOCKEROPS_REPOS", &url).env("DOCKEROPS_DEPLOY_TIMEOUT", "20").that_listens();
    let site = scene.ops.site();
    let stable = |mut value: Value| {
        // Tasks of the one that fails come and go.
        let stacks = value["stacks"].as_array_mut().unwrap();
        stacks.iter_mut().flat_map(|stack| stack["services"].as_array_mut().unwrap()).for_each(|service| {
            service["running"] = Value::Null;
            service["error"] = Value::Null;
            service["restarts"] = Value::Null;
            service["last_restart"] = Value::Null;
        });
        value
    };
    let status = stable(scene.ops.run(["status", "--json"]).failure(3).json());
    let mut told = json!({});
    for what in ["repositories", "stacks", "images", "builds", "under_way"] {
        told[what] = site.get(&format!("/api/v1/{what}")).is(200).json()[what].take();
    }
    assert_eq!(stable(told), status);

    let full = site.get(&format!("/api/v1/stacks/{good}")).is(200).json();
    assert_eq!((&full["status"], &full["updating"]), (&json!("deployed"), &json!(false)));
    let rendered = full["compose"].as_str().unwrap();
    assert!(rendered.contains("services:") && rendered.contains("app:1"), "{rendered}");
    let task = &full["services"][0]["tasks"][0];
    assert!(task["node"].as_str().unwrap().starts_with("node") && task["state"] == "running", "{full}");
    assert!(full["images"][0]["digest"].as_str().unwrap().starts_with("sha256:"), "{full}");
    assert_eq!(
        (&full["events"][0]["event"], &full["events"][0]["stack"]),
        (&json!("deployed"), &json!(good))
    );
    let full = site.get(&format!("/api/v1/stacks/{bad}")).is(200).json();
    assert!(full["error"].as_str().unwrap().contains("non-zero exit"), "{full}");
    let tasks = full["services"][0]["tasks"].as_array().unwrap();
    assert!(tasks.iter().any(|task| task["error"].as_str().is_some_and(|it| it.contains("exit"))), "{full}");
    site.get("/api/v1/stacks/nobody").is(404);

    let first = site.get("/api/v1/events?limit=2").is(200).json();
    let rest = site.get(&format!("/api/v1/events?before={}", first["next"])).json();
    let ids: Vec<_> = [&first, &rest]
        .iter()
        .flat_map(|page| page["events"].as_array().unwrap())
        .map(|it| it["id"].as_i64().unwrap())
        .collect();
    assert!(ids.len() > 2 && ids.windows(2).all(|pair| pair[0] > pair[1]), "{ids:?}");
    site.get("/api/v1/events?limit=x").is(400);

    scene.lab.docker(&["service", "scale", "--detach", &format!("{good}_app=2")]);
    let metrics = || site.get("/metrics").is(200).body.clone();
    wait_for("the drift", 30, || metrics().contains("dockerops_stacks_drifted 1\n"));
    let metrics = metrics();
    for line in [
        "dockerops_up 1\n",
        "dockerops_docker_up 1\n",
        "dockerops_stacks{status=\"error\"} 1\n",
        "dockerops_deploys_total 1\n",
        "dockerops_cycles_total 1\n",
        &format!("dockerops_source_failing{{repository=\"{url}\"}} 0\n"),
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    let job = site.job(&site.post("/api/v1/reconcile", &json!({"stack": good}).to_string()));
    assert_eq!((&job["outcome"], &job["target"]), (&json!("1 deployed"), &json!(format!("stack `{good}`"))));
    assert!(
        site.get("/metrics").has("dockerops_stacks_drifted 0\n").body.contains("dockerops_jobs_total 1\n")
    );
    assert_eq!(site.get(&format!("/api/v1/stacks/{good}")).json()["drift"], json!([]));
}

#[test]
fn a_deploy_that_is_under_way_is_no_drift_by_hand() {
    let Some(mut scene) = Scene::new() else { return };
    let stack = scene.stack("web", &scene.off());
    scene.repo.commit("first");
    scene.ops = scene.ops.env("DOCKEROPS_REPOS", scene.repo.url()).that_listens();
    let site = scene.ops.site();
    let slow = App::new(&scene.lab.image("app:2")).update("monitor: 6s").replicas(1);
    scene.repo.stack(&stack, &compose([("app", &slow)]));
    scene.repo.commit("second");
    let accepted = site.post("/api/v1/reconcile", "{}");
    let told = || site.get(&format!("/api/v1/stacks/{stack}")).is(200).json();
    wait_for("the deploy", 30, || told()["updating"] == true);
    let during = told();
    assert_eq!((&during["drift"], &during["status"]), (&json!([]), &json!("deployed")), "{during}");
    let status = scene.ops.run(["status"]);
    status.failure(3).stdout_has("deployed, updating").stdout_lacks("by hand");
    assert_eq!(site.job(&accepted)["outcome"], "1 deployed");
    let after = told();
    assert_eq!((&after["updating"], &after["drift"]), (&json!(false), &json!([])), "{after}");
}

#[test]
fn a_hundred_open_pages_are_no_load_for_docker() {
    let (ops, fake) = idle();
    let site = ops.site();
    fake.forget();
    let end = Instant::now() + Duration::from_secs(4);
    std::thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| {
                while Instant::now() < end {
                    assert_eq!(site.get("/").status, 200);
                }
            });
        }
    });
    // At the beginning, and then every two seconds; one is under way at the end.
    let most = 2 + 4 / 2;
    assert!(fake.calls().len() <= most, "{:?}", fake.calls());
}

#[test]
fn without_docker_it_says_so_and_tells_no_half_story() {
    let away =
        "[[ -e $folder/go ]] || exit 0; echo Cannot connect to the Docker daemon at unix:///x >&2; exit 1";
    let fake = FakeDocker::before("/bin/false".as_ref()).does("service ls", away);
    let ops = DockerOps::without_docker().with_fake(&fake).that_listens();
    let site = ops.site();
    fake.release();
    wait_for("the trouble", 20, || site.get("/api/v1/stacks").status == 503);
    site.get("/api/v1/stacks").has("Cannot connect").has("start the docker daemon");
    site.get("/").is(200).has("Docker cannot be asked").has("start the docker daemon");
    site.get("/metrics").is(200).has("dockerops_docker_up 0\n");
    site.get("/healthz").is(200);
}

#[test]
fn a_policy_that_cannot_be_used_is_told_before_the_next_cycle_and_no_longer_once_it_is_mended() {
    let (ops, _fake) = idle();
    let policy = tempfile::NamedTempFile::new().unwrap();
    fs::write(policy.path(), "rules: [{}]\n").unwrap();
    let ops = ops.env("DOCKEROPS_POLICY", policy.path()).env("DOCKEROPS_SYNC_INTERVAL", "3600");
    let site = ops.site();
    wait_for("a page without it", 20, || !site.get("/").body.contains("The policy cannot be used"));
    fs::write(policy.path(), "rules: [{mount: []}]\n").unwrap();
    wait_for("the mistake", 20, || site.get("/").body.contains("The policy cannot be used"));
    site.get("/").has("1 thing needs attention").has("unknown key").has("mend the policy");
    fs::write(policy.path(), "rules: [{mounts: []}]\n").unwrap();
    wait_for("it to be well", 20, || !site.get("/").body.contains("The policy cannot be used"));
}

#[test]
fn a_source_that_could_never_be_watched_is_no_reason_to_say_that_all_is_well() {
    let (ops, _fake) = idle();
    let ops = ops.env("DOCKEROPS_REPOS", "/nowhere/repo,https://user:hunter2@host/x");
    let site = ops.site();
    let page = site.get("/");
    page.is(200)
        .has("2 things need attention")
        .has("Repository /nowhere/repo is not watched")
        .has("was not found");
    page.has("entry 2 of <code>DOCKEROPS_REPOS</code>");
    assert!(!page.body.contains("hunter2"));
}

#[test]
fn no_answer_holds_a_secret_a_token_or_a_password() {
    let (ops, _fake) = idle();
    ops.run(["status"]).failure(1);
    let site = ops.site();
    // As the older release left them.
    let url = "https://user:hunter2@git.example.org/org/repo";
    ops.db().execute("INSERT INTO repository_cache (url, last_watch) VALUES (?1, 'then')", [url]).unwrap();
    let stack = "INSERT INTO stacks (name, repository_url, compose_path, hash, status) VALUES ('web', ?1, 'x', '', 'error')";
    ops.db().execute(stack, [url]).unwrap();
    let build =
        "INSERT INTO builds VALUES (1, 'app', '', '', NULL, 'RUN pip install --index-url ' || ?1 || ' x')";
    ops.db().execute(build, [url]).unwrap();
    let version = "INSERT INTO history (stack_id, time, times, commit_id, hash, how, reason, seconds, services, versions, text)
        VALUES (1, 'then', 1, ?2, '', 'deploy', 'of ' || ?1, 1, '{}', '{}', ?2 || ': ' || ?1)";
    for commit in ["one", "two"] {
        ops.db().execute(version, [url, commit]).unwrap();
    }
    site.job(&site.post("/api/v1/reconcile", "{}"));
    let answers: Vec<_> =
        PATHS.into_iter().chain(["/?stack=web", "/healthz"]).map(|path| site.get(path)).collect();
    let all = format!("{answers:?}");
    assert!(all.contains("https://…@git.example.org/org/repo"), "{all}");
    assert!(all.contains("+two: https://…@"), "{all}");
    for secret in ["hunter2", TOKEN, SECRET] {
        assert!(!all.contains(secret), "{secret}: {all}");
        assert!(!site.run.stdout().contains(secret), "{}", site.run.stdout());
    }
}

#[test]
fn an_address_that_is_taken_is_an_error_with_a_hint() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (ops, _fake) = idle();
    let ops = ops.env("DOCKEROPS_LISTEN", taken.local_addr().unwrap().to_string());
    ops.run(["run"]).failure(1).error_has("cannot listen on");
}

/// `DOCKEROPS_TEST_JUNK_SECONDS=30` makes a measurement of it.
#[test]
fn junk_harms_no_deploy_and_takes_no_memory() {
    let Some(mut scene) = Scene::new() else { return };
    let stack = scene.stack("web", &scene.off());
    scene.repo.commit("first");
    scene.ops = scene.ops.env("DOCKEROPS_REPOS", scene.repo.url()).that_listens();
    let site = scene.ops.site();
    scene.change(&stack, &App::new(&scene.lab.image("app:2")).update("monitor: 4s"));
    let commit = scene.repo.commit("second");
    let seconds = std::env::var("DOCKEROPS_TEST_JUNK_SECONDS").map_or(5, |text| text.parse().unwrap());
    let end = Instant::now() + Duration::from_secs(seconds);
    let before = resident(site.run.pid());
    let job = site.post("/api/v1/reconcile", "{}");
    let junk: [&[u8]; 6] = [
        b"\x16\x03\x01\x02\0\x01\0",
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST /hooks/github HTTP/1.1\r\nHost: h\r\nContent-Length: 999999999\r\n\r\n",
        b"POST /hooks/github HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n{{{{",
        b"POST /hooks/gitlab HTTP/1.1\r\nHost: h\r\nX-Gitlab-Token: guess\r\nContent-Length: 0\r\n\r\n",
        b"GET /api/v1/stacks HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    ];
    let send = || {
        let answered = junk.iter().cycle().take_while(|_| Instant::now() < end).map(|bytes| site.raw(bytes));
        answered.filter(|answer| answer.status != 200).count()
    };
    let counts: Vec<usize> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(send)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let total = counts.iter().sum::<usize>() as u64;
    assert!(total > 100 * seconds, "only {total} in {seconds} s");
    let grown = resident(site.run.pid()).saturating_sub(before);
    eprintln!("{} requests a second, {grown} KiB more", total / seconds);
    assert!(grown < 32 * 1024, "{grown} KiB more after {total} requests");
    assert_eq!(site.job(&job)["outcome"], "1 deployed");
    assert_eq!(scene.lab.label(&format!("{stack}_app"), "dockerops.commit"), commit);
}

/// `VmRSS`, in KiB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// Connects from addresses of this machine of its own choice: `hold` opens connections that say nothing, `all` sends
/// many requests at once, each behind the others' first halves.
const CLIENTS: &str = r"
import socket, sys, time
port = int(sys.argv[1])
def connect(source):
    return socket.create_connection(('127.0.0.1', port), 20, (source, 0))
def status(stream, rest):
    try:
        stream.sendall(rest)
        return stream.recv(4096).decode().split(' ')[1]
    except OSError:
        return 'reset'
def get(source, path):
    return status(connect(source), f'GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n'.encode())
held = [connect('127.0.0.1') for _ in range(100)]
begun = time.time()
print('the same', get('127.0.0.1', '/'))
print('another', get('127.0.0.2', '/'))
time.sleep(3)
print('health', get('127.0.0.1', '/healthz'))
print('elsewhere', get('127.0.0.2', '/metrics'))
ends = []
for stream in held:
    stream.settimeout(20)
    try:
        ends.append((stream.recv(4096).decode().split(' ') + ['', ''])[1])
    except OSError:
        ends.append('reset')
print('cut off', ends.count('408'), 'within 15 s', time.time() - begun < 15)
print('again', get('127.0.0.1', '/'))
half = [connect(source) for source in ('127.0.0.1', '127.0.0.2') for _ in range(32)]
for stream in half:
    stream.sendall(b'GET /healthz HTTP/1.1\r\n')
time.sleep(0.5)
print('served', [status(stream, b'Host: localhost\r\n\r\n') for stream in half].count('200'))
";

#[test]
fn no_client_holds_all_connections_and_as_many_as_promised_are_served() {
    let (ops, _fake) = idle();
    let site = ops.site();
    let mut clients = command("python3");
    let said = stdout_of(clients.args(["-c", CLIENTS, &site.address.port().to_string()]));
    let lines: Vec<_> = said.lines().collect();
    let wanted = ["the same 503", "another 200", "health 200", "elsewhere 200"];
    assert_eq!(lines[..4], wanted, "{said}");
    // 64 of this machine, and those that sat on the places of the health check.
    assert!(lines[4] == "cut off 72 within 15 s True", "{said}");
    assert_eq!(lines[5..], ["again 200", "served 64"], "{said}");
}
