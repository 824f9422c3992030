//! What a repository, docker, a registry or a git server wrote is no line of DockerOps' own, wherever it is told:
//! on stdout and stderr, in both logs, in the database, in the API, on the page and in the metrics.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread::spawn;

use rusqlite::types::Value as Column;
use serde_json::Value;

use crate::support::dockerops::{DockerOps, Outcome};
use crate::support::fake_docker::FakeDocker;
use crate::support::http::TOKEN;
use crate::support::repo::Repo;

/// Lines that look like ours, behind every kind of line end, and what drives or fools a terminal.
const FORGED: &str = "it\nremoved   forged\rfailed    forged\u{85}error: forged\u{2028}hint: forged\u{b}note forged\
                      \u{1b}[2J\u{9b}1m\u{7}\u{202e}\u{2066}\u{200b}\u{feff}\u{e0041}\r\ndeployed  forged\nforged";
/// The same between the double quotes of YAML.
const IN_YAML: &str = "it\\nremoved   forged\\rfailed    forged\\Nerror: forged\\Lhint: forged\\vnote forged\
                       \\e[2J\\x9b1m\\a\\u202e\\u2066\\u200b\\ufeff\\U000e0041\\r\\ndeployed  forged\\nforged";

/// The first thing wrong with a text that people read, if anything is.
fn wrong(text: &str) -> Option<String> {
    let unseen = |letter: char| {
        (letter.is_control() && letter != '\n')
            || matches!(letter, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}' | '\u{feff}')
            || letter > '\u{e0000}'
    };
    let hostile = text.chars().find(|letter| unseen(*letter)).map(|letter| format!("{letter:?}"));
    // A line of our own has the forgery behind its beginning.
    let words = [
        "removed   forged",
        "failed    forged",
        "error: forged",
        "hint: forged",
        "note forged",
        "deployed  forged",
        "forged",
    ];
    let forged = text.lines().find(|line| words.iter().any(|word| line.starts_with(word)));
    hostile.or(forged.map(str::to_owned))
}

#[track_caller]
fn is_clean(what: &str, text: &str) {
    if let Some(wrong) = wrong(text) {
        panic!("{what}: {wrong}\n-- in\n{}", text.escape_debug().to_string().replace("\\n", "\n"));
    }
}

#[track_caller]
fn are_clean(outcome: &Outcome) -> &Outcome {
    is_clean("stdout", &outcome.stdout);
    is_clean("stderr", &outcome.stderr);
    outcome
}

/// Every text of every row of the database.
fn rows_are_clean(ops: &DockerOps) {
    let db = ops.db();
    let mut tables = db.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").unwrap();
    let tables: Vec<String> = tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    // What docker was given is data, and YAML of its own.
    for table in tables.into_iter().filter(|table| table != "stack_texts") {
        let mut query = db.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let width = query.column_count();
        let mut rows = query.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            for column in 0..width {
                if let Column::Text(text) = row.get(column).unwrap() {
                    is_clean(&format!("{table}, column {column}"), &text);
                }
            }
        }
    }
}

/// Every error and message within.
fn messages_are_clean(value: &Value) {
    match value {
        Value::Array(all) => all.iter().for_each(messages_are_clean),
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str() {
                    Some(text)
                        if matches!(
                            name.as_str(),
                            "error"
                                | "message"
                                | "what"
                                | "hint"
                                | "outcome"
                                | "ignored"
                                | "cause"
                                | "target"
                        ) =>
                    {
                        is_clean(name, text);
                    }
                    _ => messages_are_clean(value),
                }
            }
        }
        _ => {}
    }
}

/// All that can be looked at afterwards.
fn all_is_clean(ops: &DockerOps) {
    are_clean(&ops.run(["status"]));
    are_clean(&ops.run(["debug-cache"]));
    let json = ops.run(["status", "--json"]);
    are_clean(&json);
    messages_are_clean(&json.json());
    rows_are_clean(ops);
}

/// Repositories that have it in every place a repository has.
fn hostile_repositories() -> Vec<(&'static str, Repo)> {
    let quoted = format!("\"{IN_YAML}\"");
    let stacks = |text: String| vec![("stacks.yaml", text)];
    let compose = |text: String| vec![("web/compose.yml", text)];
    let plain = "services: {app: {image: app}}".to_owned();
    let beside = |file, text: String| vec![("web/compose.yml", plain.clone()), (file, text)];
    let cases = [
        ("key", stacks(format!("- name: web\n  {quoted}: 1\n"))),
        ("two keys", stacks(format!("- name: web\n  {quoted}: 1\n  other: 2\n"))),
        ("name", stacks(format!("- name: {quoted}\n"))),
        ("dependency", stacks(format!("- name: web\n  depends_on: [{quoted}]\n"))),
        ("drift", stacks(format!("- name: web\n  drift: {quoted}\n"))),
        ("whole", stacks(quoted.clone())),
        ("not YAML", stacks(format!("- name: web\n- {quoted}: [\n"))),
        ("tag", stacks(format!("- !<{}> web\n", "%0Aremoved  forged"))),
        ("raw", stacks(format!("- name: web\n{FORGED}: [\n"))),
        (
            "volumes.yaml",
            beside("volumes.yaml", format!("- {{id: {quoted}, type: {quoted}, path: {quoted}}}\n")),
        ),
        ("volume", beside("volumes.yaml", format!("- {{id: v, type: binding, path: {quoted}}}\n"))),
        ("nfs.yaml", beside("nfs.yaml", format!("{{path: {quoted}, {quoted}: 1}}\n"))),
        ("nfs path", beside("nfs.yaml", format!("path: \"/{IN_YAML}\"\n"))),
        (
            "images.yaml",
            beside("images.yaml", format!("- {{name: {quoted}, context: {quoted}, {quoted}: 1}}\n")),
        ),
        (
            "secrets.yaml",
            beside("web/secrets.yaml", format!("- {{secret: {quoted}, env: {quoted}}}\n- {quoted}\n")),
        ),
        ("services", beside("web/secrets.yaml", format!("- {{secret: s, env: E, services: [{quoted}]}}\n"))),
        ("service", compose(format!("services: {{{quoted}: {{image: app}}}}"))),
        ("service key", compose(format!("services: {{app: {{image: app, {quoted}: 1}}}}"))),
        ("top key", compose(format!("{quoted}: 1\nservices: {{app: {{image: app}}}}"))),
        ("image", compose(format!("services: {{app: {{image: {quoted}}}}}"))),
        ("variable", compose(format!("services: {{app: {{image: \"${{IT:?{IN_YAML}}}\"}}}}"))),
        ("variable's name", compose(format!("services: {{app: {{image: \"${{{IN_YAML}}}\"}}}}"))),
        ("bind mount", compose(format!("services: {{app: {{image: app, volumes: [\"./{IN_YAML}:/x\"]}}}}"))),
        ("environment file", compose(format!("services: {{app: {{image: app, env_file: {quoted}}}}}"))),
        (
            "config",
            compose(format!("services: {{app: {{image: app}}}}\nconfigs: {{{quoted}: {{file: {quoted}}}}}")),
        ),
        ("used config", compose(format!("services: {{app: {{image: app, configs: [{quoted}]}}}}"))),
        (".env", beside("web/.env", format!("A=1\n{}\n", FORGED.replace('\n', "\u{2028}")))),
        ("file at the root", vec![("docker-compose-w\nremoved   forged\u{202e}.yml", plain.clone())]),
    ];
    cases
        .into_iter()
        .map(|(what, files)| {
            let repo = Repo::new();
            if what != "file at the root" {
                repo.stack("web", &plain);
            }
            repo.commit("first");
            for (path, text) in files {
                if path == "web/compose.yml" {
                    repo.remove("web");
                }
                repo.write(path, text);
            }
            repo.commit("hostile");
            (what, repo)
        })
        .collect()
}

#[test]
fn what_a_repository_says_is_never_a_line_of_ours() {
    let fake = FakeDocker::of_an_empty_swarm();
    for (what, repo) in hostile_repositories() {
        let ops = DockerOps::without_docker().with_fake(&fake);
        let outcome = ops.run(["watch", &repo.url()]);
        assert!(matches!(outcome.code, 1 | 3), "{what}: {outcome}");
        are_clean(&outcome);
        if outcome.code == 3 {
            all_is_clean(&ops);
            are_clean(&ops.run(["reconcile", "--dry-run", "--rendered"]));
        }
    }
    let ops = DockerOps::without_docker().with_fake(&fake);
    for source in [format!("https://h/{FORGED}"), format!("/x#{FORGED}"), FORGED.to_owned()] {
        are_clean(ops.run(["watch", &source]).failure(1));
        are_clean(&ops.run(["unwatch", &source]));
    }
}

#[test]
fn what_docker_says_is_never_a_line_of_ours() {
    let repo = Repo::new();
    repo.stack("web", "services: {app: {image: app}}").commit("first");
    let own_image = || {
        let repo = Repo::new();
        repo.write("images.yaml", "- {name: own, context: ., push: false}\n")
            .write("Dockerfile", "FROM scratch\n");
        repo.stack("web", "services: {app: {image: own}}").commit("first");
        repo
    };
    let building = own_image();
    for (part, repo) in [
        ("service ls", &repo),
        ("stack deploy", &repo),
        ("image ls", &repo),
        ("pull", &repo),
        ("config", &repo),
        ("build", &building),
    ] {
        let fake = FakeDocker::of_an_empty_swarm();
        let fails = FakeDocker::before("/bin/false".as_ref()).fails(part, 1, FORGED);
        let fails = fails.prints("service ls", "").prints("image ls", "");
        let ops = DockerOps::without_docker().with_fake(&fails);
        are_clean(&ops.run(["watch", &repo.url()]));
        are_clean(&ops.run(["reconcile"]));
        if ops.database().exists() {
            all_is_clean(&ops.with_fake(&fake));
        }
        let prints = FakeDocker::before("/bin/false".as_ref()).prints(part, FORGED);
        are_clean(&DockerOps::without_docker().with_fake(&prints).run(["watch", &repo.url()]));
    }
}

/// Answers every request with these bytes, for as long as the test lives.
fn answers(bytes: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(bytes.as_bytes());
        }
    });
    address
}

#[test]
fn what_a_git_server_says_is_never_a_line_of_ours() {
    let fake = FakeDocker::of_an_empty_swarm();
    let packet = |text: &str| format!("{:04x}{text}", text.len() + 4);
    let git = |body: &str| {
        let kind = "Content-Type: application/x-git-upload-pack-advertisement";
        format!(
            "HTTP/1.1 200 OK\r\n{kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    };
    let service = packet("# service=git-upload-pack\n") + "0000";
    let reference = format!("{} refs/heads/{FORGED}\0 agent={FORGED}\n", "a".repeat(40));
    let one_line = FORGED.replace(['\n', '\r'], " ");
    for answer in [
        git(&format!("{service}{}", packet(&format!("ERR {FORGED}\n")))),
        git(&format!("{service}{}0000", packet(&reference))),
        git(FORGED),
        format!("HTTP/1.1 500 {one_line}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
        format!(
            "HTTP/1.1 302 Found\r\nLocation: http://{one_line}/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        ),
        format!(
            "HTTP/1.1 401 No\r\nWWW-Authenticate: {one_line}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        ),
        FORGED.to_owned(),
    ] {
        let ops = DockerOps::without_docker().with_fake(&fake).env("DOCKEROPS_GIT_TIMEOUT", "2");
        let url = format!("http://{}/r", answers(answer));
        are_clean(ops.run(["watch", &url]).failure(1));
        are_clean(ops.run(["watch", &format!("{url}#nope")]).failure(1));
    }
}

#[test]
fn neither_log_nor_the_page_nor_the_api_tells_it_as_a_line_of_ours() {
    let fake = FakeDocker::of_an_empty_swarm().fails("stack deploy", 1, FORGED);
    let (repo, wrong) = (Repo::new(), Repo::new());
    repo.stack("web", "services: {app: {image: app}}").commit("first");
    wrong.write("stacks.yaml", format!("- name: x\n  \"{IN_YAML}\": 1\n")).commit("first");
    for log in ["text", "json"] {
        let sources = format!("{},{}", repo.url(), wrong.url());
        let ops = DockerOps::without_docker().with_fake(&fake).env("DOCKEROPS_REPOS", sources);
        let ops = ops.env("DOCKEROPS_LOG", log).that_listens();
        if log == "json" {
            let mut run = ops.spawn(["run"]);
            run.wait_for("\"event\":\"failed\"", 1, 60);
            run.wait_for("\"event\":\"source_failed\"", 1, 60);
            let log = run.stdout();
            is_clean("the log", &log);
            log.lines().for_each(|line| messages_are_clean(&serde_json::from_str(line).unwrap()));
            continue;
        }
        let site = ops.site();
        is_clean("the log", &site.run.stdout());
        is_clean("stderr", &site.run.stderr());
        for path in ["/", "/?stack=web", "/metrics"] {
            let page = site.get(path);
            is_clean(path, &page.is(200).body);
        }
        let odd = "/api/v1/it%0Aerror%3A%20forged%E2%80%AE%C2%9B";
        for path in
            ["/api/v1/repositories", "/api/v1/stacks", "/api/v1/stacks/web", "/api/v1/events", odd, &odd[4..]]
        {
            let answer = site.get(path);
            is_clean(path, &answer.body);
            messages_are_clean(&answer.json());
        }
        let body = serde_json::json!({ "stack": FORGED }).to_string();
        let unknown = serde_json::json!({ FORGED: 1 }).to_string();
        let refusals = [
            site.post("/api/v1/reconcile", &body),
            site.post("/api/v1/reconcile", &unknown),
            site.post("/api/v1/reconcile", FORGED),
            site.github(
                "push",
                "1",
                &serde_json::json!({"ref": FORGED, "repository": {"clone_url": FORGED}}).to_string(),
            ),
            site.github("it\u{9b}\u{202e}", "2", "{}"),
            site.github("push", "3", FORGED),
            site.send("POST", odd, &[&format!("Authorization: Bearer {TOKEN}")], b"{}"),
            site.raw(format!("GET /{FORGED} HTTP/1.1\r\n\r\n").as_bytes()),
        ];
        for refusal in refusals {
            is_clean(&refusal.head, &refusal.body);
            messages_are_clean(&refusal.json());
        }
        all_is_clean(&ops);
    }
}
