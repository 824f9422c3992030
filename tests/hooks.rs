//! Webhooks: who is believed, what is triggered, and what is not.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::dockerops::DockerOps;
use crate::support::fake_docker::FakeDocker;
use crate::support::http::{SECRET, Site, hex, push_to, sign};
use crate::support::repo::Repo;
use crate::support::scene::{App, Scene};
use crate::support::wait_for;

/// A repository whose one stack is off, so that a Swarm is not needed.
fn quiet() -> Repo {
    let repo = Repo::new();
    repo.write("stacks.yaml", "- {name: web, enabled: false}\n");
    repo.write("web/compose.yml", "services: {app: {image: app}}").commit("first");
    repo
}

/// A daemon that watches it, on a Swarm without services.
fn site_of(repo: &Repo) -> (DockerOps, FakeDocker, Site) {
    let fake = FakeDocker::of_an_empty_swarm();
    let ops = DockerOps::without_docker().with_fake(&fake).env("DOCKEROPS_REPOS", repo.url()).that_listens();
    let site = ops.site();
    (ops, fake, site)
}

/// A push as each provider tells it, with the header or parameter that shows the secret.
fn pushes(url: &str) -> Vec<(&'static str, Vec<&'static str>, Value)> {
    let reference = "refs/heads/main";
    let github = json!({"ref": reference, "repository": {"clone_url": url, "default_branch": "main"}});
    let gitlab = json!({"object_kind": "push", "ref": reference,
        "project": {"git_http_url": url, "default_branch": "main"}});
    let cloud = json!({"repository": {"links": {"html": {"href": url}}},
        "push": {"changes": [{"new": {"type": "branch", "name": "main"}, "old": null}]}});
    let center =
        json!({"repository": {"links": {"clone": [{"href": url}]}}, "changes": [{"ref": {"id": reference}}]});
    vec![
        ("/hooks/github", vec!["X-GitHub-Event: push"], github.clone()),
        ("/hooks/gitlab", vec!["X-Gitlab-Event: Push Hook"], gitlab),
        ("/hooks/gitea", vec!["X-Gitea-Event: push"], github.clone()),
        ("/hooks/forgejo", vec!["X-Forgejo-Event: push", "X-Gitea-Event: push"], github),
        ("/hooks/bitbucket", vec!["X-Event-Key: repo:push"], cloud),
        ("/hooks/bitbucket", vec!["X-Event-Key: repo:refs_changed"], center),
    ]
}

/// The header by which a sender that has `secret` shows it; `None` for the one that shows nothing.
fn shown(path: &str, secret: Option<&str>, body: &[u8]) -> String {
    let signature = secret.map(|secret| sign(secret, body)).unwrap_or_default();
    match path {
        "/hooks/github" => format!("X-Hub-Signature-256: sha256={signature}"),
        "/hooks/gitlab" => format!("X-Gitlab-Token: {}", secret.unwrap_or_default()),
        "/hooks/bitbucket" => format!("X-Hub-Signature: sha256={signature}"),
        _ => format!("X-Gitea-Signature: {signature}"),
    }
}

#[test]
fn every_provider_is_believed_by_the_right_secret_alone() {
    let repo = quiet();
    let (_ops, _fake, site) = site_of(&repo);
    for (path, headers, body) in pushes(&repo.url()) {
        let body = body.to_string().into_bytes();
        let send = |proof: Option<String>| {
            let headers: Vec<_> = headers.iter().copied().chain(proof.as_deref()).collect();
            site.send("POST", path, &headers, &body)
        };
        for wrong in [None, Some(shown(path, None, &body)), Some(shown(path, Some("another"), &body))] {
            send(wrong).is(403).has("secret");
        }
        let job = site.job(&send(Some(shown(path, Some(SECRET), &body))));
        assert_eq!((&job["state"], &job["outcome"]), (&json!("done"), &json!("1 unchanged")), "{path} {job}");
        assert!(
            job["cause"]
                .as_str()
                .unwrap()
                .contains(path.rsplit('/').next().unwrap().trim_start_matches("forgejo"))
        );
        site.send("GET", path, &[], b"").is(405);
    }
    for (path, body) in
        [("/hooks/dockerhub", &b"{}"[..]), ("/", b"{}"), ("/hooks/registry", b"{\"events\":[]}")]
    {
        for wrong in ["", "?token=", "?token=another"] {
            site.send("POST", &format!("{path}{wrong}"), &[], body).is(403);
        }
        let right = site.send("POST", &format!("{path}?token={SECRET}"), &[], body);
        right.is(if path == "/hooks/registry" { 202 } else { 400 });
    }
    let bearer = format!("Authorization: Bearer {SECRET}");
    site.send("POST", "/hooks/registry", &[&bearer], b"{\"events\":[]}").is(202).has("no tag was pushed");
    site.post("/hooks/nobody", "").is(404);
    let metrics = site.get("/metrics").is(200).body.clone();
    assert!(
        metrics.contains("dockerops_webhooks_total{sender=\"github\",outcome=\"accepted\"} 1\n"),
        "{metrics}"
    );
    assert!(
        metrics.contains("dockerops_webhooks_total{sender=\"bitbucket\",outcome=\"refused\"} 6\n"),
        "{metrics}"
    );
}

#[test]
fn without_a_secret_every_hook_is_refused_with_a_hint() {
    let repo = quiet();
    let fake = FakeDocker::of_an_empty_swarm();
    let ops =
        DockerOps::without_docker().with_fake(&fake).that_listens().env_remove("DOCKEROPS_WEBHOOK_SECRET");
    let site = ops.site();
    let body = push_to(&repo.url(), "refs/heads/main");
    for path in ["github", "gitlab", "gitea", "forgejo", "bitbucket", "dockerhub", "registry"] {
        let token = format!("X-Gitlab-Token: {}", "");
        let signature = format!("X-Hub-Signature-256: sha256={}", sign("", body.as_bytes()));
        let answer =
            site.send("POST", &format!("/hooks/{path}?token="), &[&token, &signature], body.as_bytes());
        answer.is(403).has("DOCKEROPS_WEBHOOK_SECRET");
    }
    site.send("POST", "/?token=", &[], b"{}").is(403).has("DOCKEROPS_WEBHOOK_SECRET");
    ops.env("DOCKEROPS_WEBHOOK_SECRET", "")
        .run(["run"])
        .failure(1)
        .error_has("`DOCKEROPS_WEBHOOK_SECRET` is set and empty");
}

#[test]
fn what_concerns_nobody_is_taken_and_does_nothing() {
    let repo = quiet();
    let (_ops, _fake, site) = site_of(&repo);
    let (url, jobs) = (repo.url(), || {
        let metrics = site.get("/metrics").body;
        metrics.lines().find(|line| line.starts_with("dockerops_jobs_total ")).unwrap().to_owned()
    });
    let before = jobs();
    site.github("ping", "1", "{\"zen\":\"x\"}").is(200);
    site.github("issues", "2", "{}").is(202).has("not a push");
    site.github("push", "3", &push_to(&url, "refs/heads/other")).is(202).has("no watched source follows");
    site.github("push", "4", &push_to("https://evil.example/repo", "refs/heads/main"))
        .is(202)
        .has("no watched repository");
    site.github("push", "5", "{").is(400);
    let image = json!({"push_data": {"tag": "1"}, "repository": {"repo_name": "nobody/uses"}, "callback_url": "http://127.0.0.1:1/"});
    for path in ["/hooks/dockerhub", "/"] {
        let path = format!("{path}?token={SECRET}");
        site.send("POST", &path, &[], image.to_string().as_bytes()).is(202).has("no service");
    }
    assert_eq!(jobs(), before, "something was done");
    assert!(!site.run.stdout().contains("evil.example"), "{}", site.run.stdout());
}

#[test]
fn a_push_rolls_its_service_at_once_and_a_repeated_delivery_does_nothing() {
    let Some(mut scene) = Scene::new() else { return };
    let stack = scene.stack("web", &scene.off());
    scene.repo.commit("first");
    let url = scene.repo.url();
    scene.ops = scene.ops.env("DOCKEROPS_REPOS", &url).that_listens();
    let site = scene.ops.site();
    scene.change(&stack, &App::new(&scene.lab.image("app:2")).replicas(0));
    let commit = scene.repo.commit("second");
    scene.docker.forget();
    let (push, begun) = (push_to(&url, "refs/heads/main"), Instant::now());
    let accepted = site.github("push", "d-1", &push);
    assert!(begun.elapsed() < Duration::from_secs(5), "the answer waited for the work");
    scene.docker.wait_for_call("stack deploy");
    let latency = begun.elapsed();
    let job = site.job(&accepted);
    assert_eq!((&job["state"], &job["outcome"]), (&json!("done"), &json!("1 deployed")), "{job}");
    assert_eq!(scene.lab.label(&format!("{stack}_app"), "dockerops.commit"), commit);
    let again = site.github("push", "d-1", &push).is(202).json();
    assert_eq!((&again["job"], &again["repeated"]), (&job["id"], &json!(true)));
    let other = site.job(&site.github("push", "d-2", &push));
    assert_eq!(other["outcome"], "1 unchanged");
    assert_eq!(scene.docker.calls_with("stack deploy").len(), 1);
    eprintln!("from hook to `stack deploy`: {} ms, the fetch included", latency.as_millis());
    // With room for a machine that does much else.
    assert!(latency < Duration::from_secs(5), "{latency:?}");
}

/// The distribution's own registry on loopback, which notifies of what is pushed.
struct Registry {
    _server: Server,
    address: String,
    _folder: tempfile::TempDir,
}

impl Registry {
    fn that_notifies(site: &Site) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Free a moment ago: the registry cannot choose one itself and tell.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = json!({
            "version": "0.1",
            "log": {"accesslog": {"disabled": true}, "level": "error"},
            "storage": {"filesystem": {"rootdirectory": folder.path().join("data")}},
            "http": {"addr": format!("127.0.0.1:{port}")},
            "notifications": {"endpoints": [{
                "name": "dockerops", "url": format!("http://{}/hooks/registry", site.address),
                "headers": {"Authorization": [format!("Bearer {SECRET}")]},
                "timeout": "5s", "threshold": 3, "backoff": "1s"
            }]}
        });
        let file = folder.path().join("config.yml");
        std::fs::write(&file, config.to_string()).unwrap();
        let mut registry = crate::support::command("docker-registry");
        let child =
            registry.arg("serve").arg(&file).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let address = format!("http://127.0.0.1:{port}");
        wait_for("the registry", 30, || ureq::get(&format!("{address}/v2/")).call().is_ok());
        Self { _server: Server(child), address, _folder: folder }
    }

    /// Pushes an image of nothing, under this name.
    fn push(&self, repository: &str, tag: &str) {
        let config = b"{}";
        let digest = hex(&Sha256::digest(config));
        let begun =
            ureq::post(&format!("{}/v2/{repository}/blobs/uploads/", self.address)).send_empty().unwrap();
        let place = begun.headers()["location"].to_str().unwrap().to_owned();
        ureq::put(&format!("{place}&digest=sha256:{digest}"))
            .header("content-type", "application/octet-stream")
            .send(&config[..])
            .unwrap();
        let kind = "application/vnd.docker.distribution.manifest.v2+json";
        let manifest = json!({"schemaVersion": 2, "mediaType": kind, "layers": [], "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json", "size": 2, "digest": format!("sha256:{digest}")}});
        ureq::put(&format!("{}/v2/{repository}/manifests/{tag}", self.address))
            .header("content-type", kind)
            .send(manifest.to_string())
            .unwrap();
    }
}

/// Killed when dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_pushed_image_rolls_its_services_and_one_that_nobody_uses_does_nothing() {
    let Some(mut scene) = Scene::new() else { return };
    let lab = scene.lab;
    // The daemon asks the registry itself, before anything rolls.
    lab.enter_network();
    let name = crate::support::unique("pushed");
    let image = lab.image(&format!("{name}:1"));
    let push = |from: &str| {
        lab.docker(&["tag", &lab.image(from), &image]);
        lab.docker(&["push", "--quiet", &image]);
    };
    lab.docker(&["pull", "--quiet", &lab.image("app:1")]);
    lab.docker(&["pull", "--quiet", &lab.image("app:2")]);
    push("app:1");
    let stack = scene.stack("web", &App::new(&image).replicas(1));
    let other = scene.stack("other", &scene.off());
    scene.repo.commit("first");
    scene.ops = scene.ops.env("DOCKEROPS_REPOS", scene.repo.url()).that_listens();
    let site = scene.ops.site();
    let runs = |stack: &str| lab.spec(&format!("{stack}_app"), ".Spec.TaskTemplate.ContainerSpec.Image");
    let (before, untouched) = (runs(&stack), lab.specs(&other));
    push("app:2");
    let registry = Registry::that_notifies(&site);
    registry.push("nobody/uses", "1");
    registry.push(&name, "1");
    wait_for("the new digest", 60, || runs(&stack) != before);
    let tasks = || {
        lab.docker(&[
            "service",
            "ps",
            "--filter",
            "desired-state=running",
            "--format",
            "{{.Image}} {{.CurrentState}}",
            "--no-trunc",
            &format!("{stack}_app"),
        ])
    };
    let digest = runs(&stack).split_once('@').unwrap().1.to_owned();
    wait_for("its task", 60, || tasks().contains("Running"));
    assert_ne!(digest, before.split_once('@').unwrap().1);
    assert_eq!(lab.specs(&other), untouched, "a stack that does not use it was touched");
    let count = |outcome: &str| {
        let line = format!("dockerops_webhooks_total{{sender=\"registry\",outcome=\"{outcome}\"}} ");
        let metrics = site.get("/metrics").body;
        metrics.lines().find_map(|it| it.strip_prefix(&line)?.parse::<u32>().ok()).unwrap_or_default()
    };
    assert_eq!(count("accepted"), 1);
    assert!(count("ignored") >= 1);
}

#[test]
fn docker_hubs_push_is_taken_at_both_addresses_and_selects_what_runs() {
    let repo = quiet();
    let (ops, _fake, site) = site_of(&repo);
    // As if it had been deployed: Docker Hub cannot be asked in a test.
    let row = "INSERT INTO stacks (name, repository_url, compose_path, hash, status) VALUES ('shop', ?1, 'x', 'h', 'deployed')";
    ops.db().execute(row, [repo.url()]).unwrap();
    let service = "INSERT INTO stack_services (stack_id, name, image, spec)
        SELECT id, 'shop_app', 'team/shop:1', '{}' FROM stacks WHERE name = 'shop'";
    ops.db().execute(service, []).unwrap();
    let push = |tag: &str, pushed_at: f64| {
        json!({
            "callback_url": "https://evil.example/u/hook/1/",
            "push_data": {"images": [], "pushed_at": pushed_at, "pusher": "builder", "tag": tag},
            "repository": {
                "comment_count": "0", "date_created": 1_417_494_799, "description": "", "dockerfile": "#\n",
                "full_description": "A shop", "is_official": false, "is_private": true, "is_trusted": true,
                "name": "shop", "namespace": "team", "owner": "team", "repo_name": "team/shop",
                "repo_url": "https://registry.hub.docker.com/u/team/shop/", "star_count": 0, "status": "Active"
            }
        })
        .to_string()
    };
    for (path, pushed_at) in [("/hooks/dockerhub", 1.417_566_161e9), ("/", 1.417_566_162e9)] {
        let path = format!("{path}?token={SECRET}");
        site.send("POST", &path, &[], push("2", pushed_at).as_bytes()).is(202).has("no service");
        let body = push("1", pushed_at);
        let accepted = site.send("POST", &path, &[], body.as_bytes());
        let again = site.send("POST", &path, &[], body.as_bytes()).is(202).json();
        assert_eq!((&again["job"], &again["repeated"]), (&accepted.is(202).json()["job"], &json!(true)));
        let job = site.get(&format!("/api/v1/jobs/{}", again["job"])).is(200).json();
        assert_eq!(
            (&job["target"], &job["cause"]),
            (&json!("image `team/shop:1`"), &json!("webhook of dockerhub"))
        );
    }
}

/// Stands in for Docker Hub's host, and writes down what it is sent: path, then body.
const DOCKER_HUB: &str = r#"
import http.server, ssl, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        with open(sys.argv[1], "a") as log:
            log.write(self.path + " " + body + "\n")
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_): pass
server = http.server.HTTPServer(("127.77.0.1", 443), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2], sys.argv[3])
server.socket = context.wrap_socket(server.socket, server_side=True)
print("ready", flush=True)
server.serve_forever()
"#;

#[test]
fn docker_hub_is_told_how_the_job_went_and_nobody_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let made = crate::support::command("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=registry.hub.docker.com",
        ])
        .args([
            "-addext",
            "subjectAltName=DNS:registry.hub.docker.com,DNS:evil.example",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-keyout",
            &file("key"),
            "-out",
            &file("cert"),
        ])
        .output();
    assert!(made.unwrap().status.success());
    std::fs::write(file("hosts"), "127.0.0.1 localhost\n127.77.0.1 registry.hub.docker.com evil.example\n")
        .unwrap();
    let mut hub = crate::support::command("python3");
    hub.args(["-c", DOCKER_HUB, &file("log"), &file("cert"), &file("key")]).stdout(Stdio::piped());
    let mut hub = Server(hub.stderr(Stdio::null()).spawn().unwrap());
    let mut ready = String::new();
    let stdout = hub.0.stdout.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut ready).unwrap();
    assert_eq!(ready, "ready\n", "127.77.0.1:443 cannot be had");

    let repo = quiet();
    let fake = FakeDocker::of_an_empty_swarm().prints("stack rm", "Nothing found in stack: shop");
    let ops = DockerOps::without_docker().with_fake(&fake).env("DOCKEROPS_REPOS", repo.url()).that_listens();
    let hosts = format!("mount --bind {} /etc/hosts; exec \"$@\"", file("hosts"));
    let ops = ops.with_mounts(&hosts).env("SSL_CERT_FILE", file("cert"));
    let site = ops.site();
    let row = "INSERT INTO stacks (name, repository_url, compose_path, hash, status) VALUES ('shop', ?1, 'x', 'h', 'deployed')";
    ops.db().execute(row, [repo.url()]).unwrap();
    let service = "INSERT INTO stack_services (stack_id, name, image, spec)
        SELECT id, 'shop_app', 'team/shop:1', '{}' FROM stacks WHERE name = 'shop'";
    ops.db().execute(service, []).unwrap();
    let send = |callback: &str| {
        let body = json!({"callback_url": callback, "push_data": {"tag": "1"}, "repository": {"repo_name": "team/shop"}});
        site.send("POST", &format!("/?token={SECRET}"), &[], body.to_string().as_bytes()).is(202).json()
    };
    // The same server by another name, which is not asked.
    send("https://evil.example/registry.hub.docker.com/");
    let job = send("https://registry.hub.docker.com/u/team/shop/hook/1/")["job"].clone();
    let log = || std::fs::read_to_string(file("log")).unwrap_or_default();
    wait_for("the call", 60, || log().ends_with('\n'));
    let state = site.get(&format!("/api/v1/jobs/{job}")).is(200).json()["state"].clone();
    let (path, body) =
        log().trim_end().split_once(' ').map(|(path, body)| (path.to_owned(), body.to_owned())).unwrap();
    let told: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(path, "/u/team/shop/hook/1/");
    assert_eq!(told["state"], if state == "done" { "success" } else { "failure" }, "{told}");
    assert_eq!(log().lines().count(), 1);
}
