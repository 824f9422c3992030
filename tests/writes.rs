//! Stacks that are made, changed and removed through the API: each a commit in the repository that is watched, and what
//! runs in the end is what was asked for.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;

use serde_json::{Value, json};

use crate::documents::block;
use crate::support::dockerops::DockerOps;
use crate::support::fake_docker::FakeDocker;
use crate::support::git_server::GitServer;
use crate::support::http::{Answer, Site, TOKEN, push_to};
use crate::support::lab::lab;
use crate::support::repo::Repo;
use crate::support::{command, stdout_of, wait_for};

/// What the daemons of these tests take from who writes.
const WRITE: &str = "a-write-token-of-the-tests";

/// Options become a container's environment, as they are.
fn template(image: &str) -> String {
    format!(
        "services:\n  app:\n    image: {image}\n    environment: {{VALUE: '${{VALUE:?what it says}}', MORE: '${{MORE:-none}}'}}\n    \
         deploy: {{replicas: '${{COPIES:-1}}', update_config: {{monitor: 1s}}}}\n"
    )
}

/// A bare repository, as a server has it, and the author who filled it.
struct Origin {
    author: Repo,
    folder: tempfile::TempDir,
}

impl Origin {
    /// With a stack that is off, and the template `blog`.
    fn new(image: &str) -> Self {
        let origin = Self { author: Repo::new(), folder: tempfile::tempdir().unwrap() };
        let described = "title: A blog\nparameters: {COPIES: {type: integer, min: 0, max: 3}}\n";
        origin.author.write("stacks.yaml", "# ours\n- {name: idle, enabled: false} # for now\n");
        origin.author.write("idle/compose.yml", "services: {app: {image: app}}\n");
        origin.author.write("templates/blog/compose.yml", template(image));
        origin.author.write("templates/blog/template.yaml", described).commit("first");
        origin.author.publish(origin.folder.path(), "r");
        origin
    }

    fn bare(&self) -> PathBuf {
        self.folder.path().join("r.git")
    }

    fn git(&self, arguments: &[&str]) -> String {
        let mut git = command("git");
        git.current_dir(self.bare()).env("GIT_CONFIG_GLOBAL", "/dev/null").env("HOME", "/nonexistent");
        stdout_of(git.args(["-c", "safe.directory=*"]).args(arguments)).trim_end().to_owned()
    }

    fn commits(&self) -> usize {
        self.git(&["rev-list", "--count", "main"]).parse().unwrap()
    }

    fn file(&self, path: &str) -> String {
        self.git(&["show", &format!("main:{path}")])
    }

    fn hook(&self, script: &str) {
        let path = self.bare().join("hooks/pre-receive");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// A daemon without a Swarm that watches `url` and may write to it.
fn idle(url: &str) -> (DockerOps, FakeDocker) {
    let fake = FakeDocker::of_an_empty_swarm();
    let ops = DockerOps::without_docker().with_fake(&fake).env("DOCKEROPS_REPOS", url).that_listens();
    (ops.env("DOCKEROPS_WRITE_TOKEN", WRITE), fake)
}

/// Likewise of what a git server has, which takes pushes.
fn served(origin: &Origin) -> (GitServer, DockerOps, FakeDocker) {
    let server = GitServer::start(origin.folder.path(), &["--push"]);
    let (ops, fake) = idle(&server.url("r"));
    let credentials = ops.home().join("credentials");
    fs::write(&credentials, format!("http://u:p@127.0.0.1:{}\n", server.port())).unwrap();
    (server, ops.env("DOCKEROPS_PUSH_CREDENTIALS", &credentials), fake)
}

fn ask(site: &Site, method: &str, path: &str, body: &Value, headers: &[&str]) -> Answer {
    let token = format!("Authorization: Bearer {WRITE}");
    let headers: Vec<_> = headers.iter().copied().chain([&*token]).collect();
    let body = if body.is_null() { String::new() } else { body.to_string() };
    site.send(method, &format!("/api/v1/{path}"), &headers, body.as_bytes())
}

fn blog(name: &str, options: &Value) -> Value {
    json!({"name": name, "stackDefinition": "blog", "options": options})
}

/// Waits until the sync for an answer has ended well.
#[track_caller]
fn synced(site: &Site, answer: &Answer) {
    let id = answer.json()["job"].as_u64().unwrap_or_else(|| panic!("no job: {answer:?}"));
    let ask = || site.get(&format!("/api/v1/jobs/{id}")).is(200).json();
    wait_for(format!("job {id}"), 90, || matches!(ask()["state"].as_str(), Some("done" | "failed")));
    assert_eq!(ask()["state"], "done", "{}", ask());
}

#[test]
fn what_is_asked_for_runs_over_http_and_on_disk() {
    let Some(lab) = lab() else { return };
    let image = lab.image("app:1");
    for by_http in [true, false] {
        let origin = Origin::new(&image);
        let server =
            GitServer::start(origin.folder.path(), &["--push", "--user", "ops", "--password", "pushes"]);
        let url = if by_http { server.url("r") } else { origin.bare().display().to_string() };
        let ops = DockerOps::new(lab).env("DOCKEROPS_DEPLOY_TIMEOUT", "60").env("DOCKEROPS_REPOS", &url);
        let credentials = ops.home().join("credentials");
        fs::write(&credentials, format!("http://ops:pushes@127.0.0.1:{}\n", server.port())).unwrap();
        let ops = ops.env("DOCKEROPS_GIT_CREDENTIALS", &credentials).that_listens();
        let ops = ops.env("DOCKEROPS_WRITE_TOKEN", WRITE).env("DOCKEROPS_PUSH_CREDENTIALS", &credentials);
        let site = ops.site();
        let name = ops.unique("blog");
        let at = format!("stacks/{name}");
        let runs = |service: &str| lab.spec(&format!("{name}_app"), service);
        let odd = "a$b ${OTHER} \"c\" 'd' #e \\ f\nsecond line\t$$\u{e9}";
        let made = ask(&site, "POST", "stacks", &blog(&name, &json!({"VALUE": odd, "COPIES": 1})), &[]);
        assert_eq!(made.is(201).json()["commit"], origin.git(&["rev-parse", "main"]));
        synced(&site, &made);
        assert_eq!(lab.tasks(&name).len(), 1, "what was made runs");
        let env: Vec<String> =
            serde_json::from_str(&runs("json .Spec.TaskTemplate.ContainerSpec.Env")).unwrap();
        let env: BTreeSet<_> = env.into_iter().collect();
        assert_eq!(env, BTreeSet::from([format!("VALUE={odd}"), "MORE=none".to_owned()]));
        // What the forge tells of it does no second work.
        let before = origin.commits();
        synced(&site, &site.github("push", "1", &push_to(&url, "refs/heads/main")));
        let told = site.get(&format!("/api/v1/stacks/{name}")).is(200).json();
        let deploys =
            told["events"].as_array().unwrap().iter().filter(|it| it["event"] == "deployed").count();
        assert_eq!((deploys, origin.commits()), (1, before), "{told}");

        let long = "x".repeat(64 << 10);
        let options = site_options(&site, &name);
        assert_eq!(
            (&options["stackDefinition"], &options["options"]["VALUE"]),
            (&json!("blog"), &json!(odd))
        );
        let changed = ask(&site, "PUT", &at, &json!({"options": {"VALUE": long, "COPIES": 2}}), &[]);
        synced(&site, changed.is(200));
        assert_eq!(lab.tasks(&name).len(), 2);
        assert!(runs("json .Spec.TaskTemplate.ContainerSpec.Env").contains(&long));
        let gone = ask(&site, "DELETE", &at, &Value::Null, &[]);
        synced(&site, gone.is(200));
        assert_eq!(lab.services(&name), [""; 0]);
        assert_eq!(origin.file("stacks.yaml"), "# ours\n- {name: idle, enabled: false} # for now");
        let subjects = origin.git(&["log", "--format=%s", "main"]);
        assert_eq!(
            subjects,
            format!("Remove {name}\nUpdate {name}: COPIES, VALUE\nDeploy {name} from blog\nfirst")
        );
    }
}

fn site_options(site: &Site, name: &str) -> Value {
    ask(site, "GET", &format!("stacks/{name}/options"), &Value::Null, &[]).is(200).json()
}

#[test]
fn writing_takes_its_own_token_and_no_other_site_and_no_forged_name() {
    let origin = Origin::new("app");
    let url = origin.bare().display().to_string();
    let (ops, _fake) = idle(&url);
    let ops =
        ops.env("DOCKEROPS_USER_HEADER", "X-Forwarded-User").env("DOCKEROPS_TRUSTED_PROXY", "192.0.2.7");
    let site = ops.site();
    let body = blog("blog", &json!({"VALUE": "x", "COPIES": 0})).to_string();
    let calls =
        [("POST", "/api/v1/stacks"), ("PUT", "/api/v1/stacks/idle"), ("DELETE", "/api/v1/stacks/idle")];
    let (api, write) = (format!("Authorization: Bearer {TOKEN}"), format!("Authorization: Bearer {WRITE}"));
    for (method, path) in calls {
        site.send(method, path, &[], body.as_bytes()).is(401);
        site.send(method, path, &["Authorization: Bearer other"], body.as_bytes()).is(401);
        site.send(method, path, &[&api], body.as_bytes()).is(403).has("not write");
        for strange in ["Origin: https://evil.example", "Sec-Fetch-Site: cross-site"] {
            site.send(method, path, &[&write, strange], body.as_bytes()).is(403).has("another site");
        }
        site.send(method, path, &[&write, "X-Forwarded-User: root"], body.as_bytes()).is(403).has("no proxy");
    }
    site.send("GET", "/api/v1/stacks/idle/options", &[&api], b"").is(403);
    assert_eq!(origin.commits(), 1);
    drop(site);

    let (ops, _fake) = idle(&url);
    let ops =
        ops.env("DOCKEROPS_USER_HEADER", "X-Forwarded-User").env("DOCKEROPS_TRUSTED_PROXY", "127.0.0.0/8");
    let ops = ops.env("DOCKEROPS_GIT_AUTHOR", "Ops <ops@example.org>");
    let site = ops.site();
    let name = "X-Forwarded-User: Ann\u{2028}Signed-off-by: Eve";
    site.send("POST", "/api/v1/stacks", &[&write, name, name], body.as_bytes()).is(400).has("more than once");
    site.send("POST", "/api/v1/stacks", &[&write, name], body.as_bytes()).is(201);
    let said = origin.git(&["log", "-1", "--format=%an <%ae>|%B", "main"]);
    let wanted =
        "Ops <ops@example.org>|Deploy blog from blog\n\nRequested-by: Ann\\u{2028}Signed-off-by: Eve";
    assert_eq!(said, wanted);
    drop(site);

    // Off where no token is set, and where the two are one.
    let off = ops.env_remove("DOCKEROPS_WRITE_TOKEN");
    let site = off.site();
    site.send("POST", "/api/v1/stacks", &[&write], body.as_bytes()).is(403).has("DOCKEROPS_WRITE_TOKEN");
    drop(site);
    off.env("DOCKEROPS_WRITE_TOKEN", TOKEN).run(["run"]).failure(1).error_has("are the same");
}

#[test]
fn thirty_at_once_beside_a_push_lose_nothing() {
    let origin = Origin::new("app");
    let (_server, ops, _fake) = served(&origin);
    let site = ops.site();
    thread::scope(|scope| {
        let site = &site;
        let writers: Vec<_> = (0..30)
            .map(|number| {
                let wish = blog(&format!("blog{number}"), &json!({"VALUE": number.to_string(), "COPIES": 0}));
                scope.spawn(move || ask(site, "POST", "stacks", &wish, &[]))
            })
            .collect();
        origin.author.write("README.md", "by hand");
        origin.author.commit("by hand");
        let mut pushed = false;
        for _ in 0..200 {
            let bare = origin.bare().display().to_string();
            origin.author.git(["fetch", "--quiet", &bare, "main"]);
            origin.author.git(["rebase", "--quiet", "FETCH_HEAD"]);
            let mut push = command("git");
            push.current_dir(origin.author.path()).args(["push", "--quiet", &bare, "HEAD:main"]);
            if push.output().unwrap().status.success() {
                pushed = true;
                break;
            }
        }
        assert!(pushed);
        for writer in writers {
            writer.join().unwrap().is(201);
        }
    });
    assert_eq!(origin.commits(), 1 + 30 + 1);
    assert_eq!(origin.git(&["rev-list", "--count", "--merges", "main"]), "0");
    let list = origin.file("stacks.yaml");
    for number in 0..30 {
        assert!(list.contains(&format!("- name: blog{number}\n")), "{list}");
        assert_eq!(origin.file(&format!("blog{number}/.env")), format!("COPIES=0\nVALUE={number}"));
    }
    assert_eq!(origin.file("README.md"), "by hand");
}

#[test]
fn what_a_server_refuses_is_told_and_nothing_is_half_done() {
    let origin = Origin::new("app");
    let (server, ops, _fake) = served(&origin);
    let site = ops.site();
    let wish = blog("blog", &json!({"VALUE": "x", "COPIES": 0}));
    origin.hook("echo no stacks on fridays; exit 1");
    ask(&site, "POST", "stacks", &wish, &[]).is(502).has("no stacks on fridays");
    drop(site);
    // Killed while the server thinks, which then takes it or does not.
    for verdict in ["exit 1", "exit 0"] {
        origin.hook(&format!("touch asked; sleep 1; {verdict}"));
        let before = origin.commits();
        let mut site = ops.site();
        thread::scope(|scope| {
            scope.spawn(|| ask(&site, "POST", "stacks", &wish, &[]));
            wait_for("the push", 30, || origin.bare().join("asked").exists());
            fs::remove_file(origin.bare().join("asked")).unwrap();
            site.run.signal(rustix::process::Signal::KILL);
        });
        wait_for("its end", 10, || !site.run.is_running());
        let expected = before + usize::from(verdict == "exit 0");
        if verdict == "exit 0" {
            wait_for("the server", 30, || origin.commits() == expected);
        }
        origin.hook("exit 0");
        let site = ops.site();
        let status = ask(&site, "POST", "stacks", &wish, &[]).status;
        assert_eq!(status, if verdict == "exit 0" { 200 } else { 201 });
        assert_eq!(origin.commits(), before + 1);
        let left = walk(&ops.database());
        assert_eq!(left, [] as [PathBuf; 0], "nothing is left of who was killed");
        if verdict == "exit 1" {
            ask(&site, "DELETE", "stacks/blog", &Value::Null, &[]).is(200);
        }
    }
    let site = ops.site();
    drop(server);
    ask(&site, "DELETE", "stacks/blog", &Value::Null, &[]).is(502);
}

/// What lies where writes are prepared.
fn walk(database: &Path) -> Vec<PathBuf> {
    let mut folder = database.as_os_str().to_owned();
    folder.push(".writes");
    let entries = fs::read_dir(folder).map(|entries| entries.filter_map(Result::ok).map(|it| it.path()));
    entries.into_iter().flatten().collect()
}

#[test]
fn a_protected_branch_gets_a_request_to_merge_and_is_not_touched() {
    let origin = Origin::new("app");
    fs::create_dir(origin.folder.path().join("org")).unwrap();
    fs::rename(origin.bare(), origin.folder.path().join("org/r.git")).unwrap();
    std::os::unix::fs::symlink("org/r.git", origin.bare()).unwrap();
    let server = GitServer::start(
        origin.folder.path(),
        &["--push", "--forge", "--user", "ops", "--password", "token-of-the-forge"],
    );
    let url = server.url("org/r");
    let (ops, _fake) = idle(&url);
    let credentials = ops.home().join("credentials");
    fs::write(&credentials, format!("http://ops:token-of-the-forge@127.0.0.1:{}\n", server.port())).unwrap();
    let ops = ops.env("DOCKEROPS_GIT_CREDENTIALS", &credentials);
    let ops =
        ops.env("DOCKEROPS_PUSH_CREDENTIALS", &credentials).env("DOCKEROPS_WRITE_BRANCH", "ops/{stack}");
    let site = ops.site();
    let post =
        |value: &str| ask(&site, "POST", "stacks", &blog("blog", &json!({"VALUE": value, "COPIES": 0})), &[]);
    let first = post("x").is(202).json();
    assert_eq!((&first["branch"], &first["request"]["opened"]), (&json!("ops/blog"), &json!(true)));
    let address = first["request"]["url"].as_str().unwrap().to_owned();
    assert_eq!(address, format!("http://127.0.0.1:{}/pulls/1", server.port()));
    assert_eq!(first["job"], Value::Null, "nothing is deployed of it so far");
    assert_eq!((origin.commits(), origin.git(&["rev-list", "--count", "ops/blog"])), (1, "2".to_owned()));
    // The same again, and another one: our branch is made anew, its request is the same.
    let head = origin.git(&["rev-parse", "ops/blog"]);
    let again = post("x").is(202).json();
    assert_eq!(
        (&again["request"]["opened"], origin.git(&["rev-parse", "ops/blog"])),
        (&json!(false), head.clone())
    );
    let other = post("y").is(202).json();
    assert_eq!(
        (&other["request"]["url"], origin.git(&["rev-list", "--count", "ops/blog"])),
        (&json!(address), "2".to_owned())
    );
    assert_ne!(origin.git(&["rev-parse", "ops/blog"]), head);
    // A commit of somebody else in it is not thrown away.
    let bare = origin.bare().display().to_string();
    origin.author.git(["fetch", "--quiet", &bare, "ops/blog"]);
    origin.author.git(["reset", "--quiet", "--hard", "FETCH_HEAD"]);
    origin.author.write("blog/README.md", "mine");
    let theirs = origin.author.commit("mine");
    origin.author.git(["push", "--quiet", &bare, "HEAD:ops/blog"]);
    post("z").is(409).has("somebody else made");
    assert_eq!(origin.git(&["rev-parse", "ops/blog"]), theirs);
    assert_eq!(origin.commits(), 1);
    drop(site);
    // Without a token for the forge nothing is pushed.
    fs::write(&credentials, "http://u:p@other.example\n").unwrap();
    let site = ops.site();
    let other = blog("other", &json!({"VALUE": "x", "COPIES": 0}));
    ask(&site, "POST", "stacks", &other, &[]).is(503).has("no token for the forge");
    assert_eq!(origin.git(&["branch", "--list", "ops/other"]), "");
}

#[test]
fn the_documented_calls_make_a_stack_and_remove_it() {
    let origin = Origin::new("app");
    let compose = "services: {app: {image: app, hostname: '${HOST}', deploy: {replicas: '${COPIES:-1}'}}}\n";
    origin.author.write("templates/blog/compose.yml", compose).commit("second");
    origin.author.publish(origin.folder.path(), "r");
    // What runs in this Swarm is nothing, and never converges.
    let (ops, _fake) = idle(&origin.bare().display().to_string());
    let ops = ops.env("DOCKEROPS_DEPLOY_TIMEOUT", "1");
    let site = ops.site();
    let script = block("sh write").replace("127.0.0.1:8080", &site.address.to_string());
    let mut said = String::new();
    for call in script.split("curl -fsS ").skip(1) {
        let mut bash = command("bash");
        bash.args(["-e", "-u", "-c", &format!("curl -fsS {call}")]).env("DOCKEROPS_WRITE_TOKEN", WRITE);
        said += &stdout_of(&mut bash);
    }
    for what in ["\"plan\": {", "\"job\": ", "\"HOST\": \"shop.example.org\"", "\"stays\": []"] {
        assert!(said.contains(what), "no {what}: {said}");
    }
    let subjects = origin.git(&["log", "--format=%s", "main"]);
    assert_eq!(subjects, "Remove shop\nDeploy shop from blog\nsecond\nfirst");
}

#[test]
fn a_list_that_slipped_away_is_not_replaced_and_a_misspelled_dry_run_is_no_commit() {
    let origin = Origin::new("app");
    origin.author.write("web/compose.yml", "services: {app: {image: app}}\n");
    origin.author.write("stacks.yaml", "- name: web\n").commit("second");
    origin.author.publish(origin.folder.path(), "r");
    let url = origin.bare().display().to_string();
    let (ops, _fake) = idle(&url);
    let ops = ops.env("DOCKEROPS_DEPLOY_TIMEOUT", "1");
    let site = ops.site();
    wait_for("the first sync", 60, || site.get("/api/v1/stacks/web").status == 200);
    let wish = blog("blog", &json!({"VALUE": "x", "COPIES": 0}));
    let commits = origin.commits();
    for query in ["dry-run=true", "dryrun=true", "dry_run=1", "dry_run=true&dry_run=false", "force"] {
        ask(&site, "POST", &format!("stacks?{query}"), &wish, &[]).is(400).has("dry_run=true");
        ask(&site, "DELETE", &format!("stacks/web?{query}"), &Value::Null, &[]).is(400);
    }
    assert_eq!(origin.commits(), commits);
    ask(&site, "DELETE", "stacks/WEB", &Value::Null, &[]).is(404).has("but `web`");
    origin.author.write("stacks.yaml", "").commit("a slip");
    origin.author.git(["push", "--quiet", &url, "HEAD:main"]);
    for path in ["stacks", "stacks?dry_run=true"] {
        ask(&site, "POST", path, &wish, &[]).is(409).has("`web`").has("unwatch");
    }
    assert_eq!(origin.commits(), commits + 1);
    drop(site);
    // Which one may be written to is told, where none may.
    let ops = ops.env("DOCKEROPS_WRITE_REPOS", format!("{url}#main"));
    let site = ops.site();
    ask(&site, "POST", "stacks", &wish, &[]).is(409).has("DOCKEROPS_WRITE_REPOS").has(&url);
}

#[test]
fn a_template_that_moved_on_is_told() {
    let origin = Origin::new("app");
    let (ops, _fake) = idle(&origin.bare().display().to_string());
    let ops = ops.env("DOCKEROPS_DEPLOY_TIMEOUT", "1");
    let site = ops.site();
    let made = ask(&site, "POST", "stacks", &blog("blog", &json!({"VALUE": "x", "COPIES": 0})), &[]);
    let id = made.is(201).json()["job"].as_u64().unwrap();
    let ended = |id: u64| {
        let state = site.get(&format!("/api/v1/jobs/{id}")).is(200).json()["state"].clone();
        matches!(state.as_str(), Some("done" | "failed"))
    };
    wait_for("the sync", 60, || ended(id));
    let of_stack = || site.get("/api/v1/stacks/blog").is(200).json()["template"].clone();
    let of_template = || site.get("/api/v1/stackDefinitions/blog").is(200).json()["stacks"].clone();
    let tree = origin.git(&["rev-parse", "main:templates/blog"]);
    assert_eq!(of_stack(), json!({"name": "blog", "tree": tree, "newest": true}));
    assert_eq!(of_template(), json!([{"name": "blog", "tree": tree, "newest": true}]));
    assert_eq!(site.get("/api/v1/stacks/idle").is(200).json()["template"], Value::Null);
    let bare = origin.bare().display().to_string();
    origin.author.git(["pull", "--quiet", &bare, "main"]);
    origin.author.write("templates/blog/compose.yml", template("app:2")).commit("second");
    origin.author.git(["push", "--quiet", &bare, "HEAD:main"]);
    let synced = site.post("/api/v1/reconcile", "{}").is(202).json()["job"].as_u64().unwrap();
    wait_for("the sync", 60, || ended(synced));
    assert_eq!(of_stack(), json!({"name": "blog", "tree": tree, "newest": false}));
    assert_eq!(of_template(), json!([{"name": "blog", "tree": tree, "newest": false}]));
    let subjects = origin.git(&["log", "--format=%s", "main"]);
    assert_eq!(subjects, "second\nDeploy blog from blog\nfirst", "it rolls nothing by itself");
}

#[test]
fn what_does_not_fit_is_refused_with_the_way_out() {
    let origin = Origin::new("app");
    let url = origin.bare().display().to_string();
    let (ops, _fake) = idle(&url);
    let site = ops.site();
    let post = |wish: &Value| ask(&site, "POST", "stacks", wish, &[]);
    for name in ["../x", ".git", "a/b", "", "My Blog", "-x", "x\n", &"x".repeat(70)] {
        post(&blog(name, &json!({"VALUE": "x"}))).is(422);
    }
    for name in ["templates", "idle", "IDLE"] {
        post(&blog(name, &json!({"VALUE": "x"}))).is(409);
    }
    for options in [
        json!({"VALUE": "a\u{0}b"}),
        json!({"VALUE": "x".repeat((64 << 10) + 1)}),
        json!({"VALUE": ["x"]}),
        json!({}),
    ] {
        let told = post(&blog("blog", &options));
        assert_eq!(told.is(422).json()["problems"][0]["key"], "VALUE");
    }
    post(&json!({"name": "blog", "stackDefinition": "wiki"})).is(404);
    post(&json!({"name": "blog"})).is(400).has("stackDefinition");
    post(&json!({"name": "blog", "stackDefinition": "blog", "option": {}})).is(400).has("option");
    post(&json!({"repository": "/nowhere", "name": "blog", "stackDefinition": "blog"})).is(404);
    let wish = blog("blog", &json!({"VALUE": "x", "COPIES": 0}));
    ask(&site, "POST", "stacks?dry_run=maybe", &wish, &[]).is(400);
    ask(&site, "POST", "stacks", &wish, &["If-Match: 123"]).is(400);
    ask(&site, "DELETE", "stacks/nothing", &Value::Null, &[]).is(404);
    site.send("PATCH", "/api/v1/stacks/blog", &[], b"").is(405);
    assert_eq!(origin.commits(), 1);

    let planned = ask(&site, "POST", "stacks?dry_run=true", &wish, &[]);
    let plan = &planned.is(200).json()["plan"];
    assert_eq!(plan["subject"], "Deploy blog from blog");
    assert!(plan["files"].to_string().contains("+VALUE=x"), "{plan}");
    assert_eq!((origin.commits(), origin.git(&["for-each-ref"]).lines().count()), (1, 1));
    let base = format!("If-Match: \"{}\"", plan["base"].as_str().unwrap());
    ask(&site, "POST", "stacks", &wish, &[&base]).is(201);
    ask(&site, "POST", "stacks", &wish, &[]).is(200).has("unchanged");
    drop(site);

    // What is followed is no branch; and a source that is not to be written to.
    origin.git(&["tag", "v1", "main"]);
    let (ops, _fake) = idle(&format!("{url}#v1"));
    let site = ops.site();
    ask(&site, "POST", "stacks", &blog("other", &json!({"VALUE": "x"})), &[]).is(409).has("follows");
    drop(site);
    let (ops, _fake) = idle(&url);
    let ops = ops.env("DOCKEROPS_WRITE_REPOS", "https://h.example/other");
    let site = ops.site();
    let other = json!({"repository": url, "name": "n", "stackDefinition": "blog", "options": {"VALUE": "x"}});
    ask(&site, "POST", "stacks", &other, &[]).is(403).has("DOCKEROPS_WRITE_REPOS");
}
