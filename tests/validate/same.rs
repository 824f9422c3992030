//! The verdict is that of `watch`: of every file of the corpus, and of every hostile repository.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use super::{at, bare};
use crate::fidelity;
use crate::hostile::{cases, repo_of};
use crate::support::dockerops::DockerOps;
use crate::support::fake_docker::FakeDocker;
use crate::support::repo::Repo;

/// What docker's stand-in says of every stack that it is given: that one was found right.
const GIVEN: &str = "was given to docker";

fn watcher() -> (DockerOps, FakeDocker) {
    let fake = FakeDocker::of_an_empty_swarm().fails("stack deploy", 1, GIVEN);
    (DockerOps::without_docker().with_fake(&fake).limit(420), fake)
}

fn texts(value: &Value) -> Vec<&Value> {
    value.as_array().unwrap().iter().collect()
}

/// The mistakes as they are told, by stack; those of the whole under no name.
fn told(ops: &DockerOps, repo: &Repo) -> (BTreeMap<String, Vec<String>>, Value) {
    let outcome = ops.run(["validate", &at(repo), "--json"]);
    let json: Value = if outcome.stdout.is_empty() {
        // A limit was passed.
        let what = outcome.stderr.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        return ([(String::new(), vec![what])].into(), Value::Null);
    } else {
        outcome.json()
    };
    let mut all = BTreeMap::<String, Vec<String>>::new();
    for mistake in texts(&json["problems"]) {
        let what = mistake["what"].as_str().unwrap().lines().next().unwrap().to_owned();
        all.entry(mistake["stack"].as_str().unwrap_or_default().into()).or_default().push(what);
    }
    (all, json)
}

/// Whether it depends on the daemon's environment if the stack is right.
fn depends(json: &Value, stack: &str) -> bool {
    let notes = texts(&json["notes"]);
    let is_noted = |note: &&Value| {
        note["about"] == stack && note["what"].as_str().unwrap().starts_with("wrong where a variable")
    };
    let variables = texts(&json["variables"]);
    let requires = |variable: &&Value| {
        variable["required"] == true && texts(&variable["stacks"]).iter().any(|name| **name == stack)
    };
    notes.iter().any(is_noted) || variables.iter().any(requires)
}

#[test]
fn of_the_corpus_every_file_has_the_verdict_of_watch() {
    let corpus = fidelity::corpus();
    let repo = fidelity::repo_of(&corpus);
    // Mistakes in every kind of file beside those of docker.
    for (name, file, text) in [
        ("wrong-env", ".env", "A\n"),
        ("wrong-secrets", "secrets.yaml", "- {secret: a}\n"),
        ("wrong-config", "docker-compose.yml", "services: {a: {image: a}}\nconfigs: {c: {file: gone}}\n"),
        ("wrong-yaml", "docker-compose.yml", "services: [\n"),
        ("wrong-mount", "docker-compose.yml", "services: {a: {image: a, volumes: ['./a:/a', 'gone:/b']}}\n"),
        ("wrong-image", "docker-compose.yml", "services: {a: {image: 'A B'}}\n"),
        ("wrong-template", "docker-compose.yml", "services: {a: {image: 'a:${'}}\n"),
    ] {
        repo.stack(name, "services: {a: {image: a}}\n").write(&format!("{name}/{file}"), text);
    }
    let nfs = tempfile::tempdir().unwrap();
    repo.write("volumes.yaml", "- {id: gone, type: binding, path: gone}\n");
    repo.write("nfs.yaml", format!("path: {}\n", nfs.path().display()));
    repo.commit("corpus");
    let (watch, _fake) = watcher();
    watch.run(["watch", &repo.url()]).failure(3);
    let status = watch.run(["status", "--json"]).json();
    let (mistakes, json) = told(&bare(), &repo);
    let (mut faults, mut wrong) = (Vec::new(), 0);
    let stacks = texts(&status["stacks"]);
    assert!(stacks.len() > corpus.len());
    for stack in stacks {
        let name = stack["name"].as_str().unwrap();
        let error = stack["error"].as_str().unwrap_or(GIVEN);
        let ours = mistakes.get(name).cloned().unwrap_or_default();
        let is_same = if error.contains(GIVEN) {
            ours.is_empty()
        } else {
            wrong += 1;
            let all = !ours.is_empty() && ours.iter().all(|what| error.contains(what.as_str()));
            let count = error.split(" mistakes").next().and_then(|count| count.parse().ok()).unwrap_or(1);
            (all && ours.len() == count) || (ours.is_empty() && depends(&json, name))
        };
        if !is_same {
            faults.push(format!("{name}: {ours:?} instead of {error}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(wrong >= 7, "{wrong}");
}

#[test]
fn of_the_hostile_ones_every_one_has_the_verdict_of_watch() {
    let folder = tempfile::tempdir().unwrap();
    let (canary, nfs) = (folder.path().join("canary"), folder.path().join("nfs"));
    fs::create_dir(&nfs).unwrap();
    fs::write(&canary, "CANARY=canary-of-the-file\n").unwrap();
    let (watch, _fake) = watcher();
    // So there is a database.
    let good = Repo::new();
    good.stack("good", "services: {a: {image: a}}\n").commit("good");
    watch.run(["watch", &good.url()]).failure(3);
    let cases = cases::all();
    let repos: Vec<_> =
        cases.iter().map(|case| repo_of(case, "app:1", &watch, &canary, &nfs, "victim")).collect();
    for (_, repo) in &repos {
        let add = "INSERT INTO repository_cache (url, last_watch) VALUES (?1, '2026-01-01T00:00:00Z')";
        watch.db().execute(add, [repo.url()]).unwrap();
    }
    watch.run(["reconcile"]).failure(3);
    let status = watch.run(["status", "--json"]).json();
    let validate = bare();
    let (mut faults, mut refused) = (Vec::new(), 0);
    for (case, (name, repo)) in cases.iter().zip(&repos) {
        let url = repo.url();
        let is_it = |row: &&Value, key: &str| row[key] == *url;
        let (repositories, stacks) = (texts(&status["repositories"]), texts(&status["stacks"]));
        let source = repositories.iter().find(|row| is_it(row, "url")).and_then(|row| row["error"].as_str());
        let errors: Vec<_> = stacks
            .iter()
            .filter(|row| is_it(row, "repository"))
            .filter_map(|row| row["error"].as_str())
            .collect();
        let all = source.into_iter().chain(errors).collect::<Vec<_>>().join("\n");
        let (mistakes, json) = told(&validate, repo);
        let printed = format!("{mistakes:?} {json}");
        assert!(!printed.contains("canary-of-the-file"), "{}: {printed}", case.title);
        let is_given = all.contains(GIVEN) || all.is_empty();
        refused += usize::from(!is_given);
        let ours: Vec<_> = mistakes.values().flatten().collect();
        // A manager knows its other sources, and where it keeps its own things.
        let of_a_manager = ["the victim's name with another folder", "bindings over the database"];
        let is_same = if is_given {
            ours.is_empty()
        } else if of_a_manager.contains(&&*case.title) {
            true
        } else if all.contains("nfs.yaml:") {
            // It looks where a path leads, and says so in other words.
            ours.iter().any(|what| what.contains("name another folder"))
                || ours.iter().all(|what| all.contains(what.as_str())) && !ours.is_empty()
        } else {
            // Names in messages are made plain where they are kept.
            let told = |what: &&String| {
                all.contains(what.as_str())
                    || what.chars().any(|letter| !letter.is_ascii_graphic() && letter != ' ')
            };
            (!ours.is_empty() && ours.iter().all(told)) || (ours.is_empty() && depends(&json, name))
        };
        if !is_same {
            faults.push(format!("{}: {ours:?} instead of {all:?}", case.title));
        }
    }
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), cases.len(), faults.join("\n"));
    assert!(refused > 100, "{refused}");
}

#[test]
fn what_is_more_than_the_limits_is_refused_in_the_same_words() {
    let repo = Repo::new();
    let compose =
        "services: {a: {image: a, env_file: [env/a, link/b]}}\nconfigs: {c: {file: ../shared/site}}\n";
    repo.stack("web", compose).stack("db", "services: {a: {image: a}}\n").write("web/.env", "A=1\n");
    repo.write("web/env/a", "A=1\n").write("web/env/b", "B=1\n").write("shared/site", "x".repeat(3_000));
    repo.symlink("web/link", "env").commit("first");
    let verdicts = |name: &str, limit: &str| {
        let validate = bare().env(name, limit).run(["validate", &at(&repo)]);
        let (watch, _fake) = watcher();
        let watch = watch.env(name, limit).run(["watch", &repo.url()]);
        [(validate.stderr, validate.code == 0), (watch.stderr, watch.stdout.contains(GIVEN))]
    };
    let (mut right, mut wrong) = (0, 0);
    for (name, limits) in [
        ("DOCKEROPS_MAX_FILES", [6, 9, 10, 11, 12, 20]),
        ("DOCKEROPS_MAX_BYTES", [2_900, 3_000, 3_100, 3_200, 3_300, 9_000]),
    ] {
        for limit in limits {
            let [(ours, is_right), (theirs, is_given)] = verdicts(name, &limit.to_string());
            // What git sends is counted as well.
            if theirs.contains("git sends") {
                continue;
            }
            assert_eq!(is_right, is_given, "{name}={limit}: {ours}{theirs}");
            let words = |text: &str| text.split("it").last().unwrap_or_default().to_owned();
            assert_eq!(words(&ours), if is_right { String::new() } else { words(&theirs) }, "{name}={limit}");
            if is_right { right += 1 } else { wrong += 1 }
        }
    }
    assert!(right > 1 && wrong > 1, "{right} {wrong}");
}

#[test]
fn what_a_binding_has_too_much_is_its_own_mistake_in_the_same_words() {
    let (repo, nfs) = (Repo::new(), tempfile::tempdir().unwrap());
    for number in 0..30 {
        repo.write(&format!("conf/f{number}"), "x");
    }
    repo.stack("web", "services: {a: {image: a, volumes: ['conf:/c']}}\n")
        .stack("db", "services: {a: {image: a}}\n");
    repo.write("volumes.yaml", "- {id: conf, type: binding, path: conf}\n");
    repo.write("nfs.yaml", format!("path: {}\n", nfs.path().display())).commit("first");
    let (watch, _fake) = watcher();
    let told = "it has more than 25 files and folders; if that is meant, raise `DOCKEROPS_MAX_FILES`";
    let limit = |ops: DockerOps| ops.env("DOCKEROPS_MAX_FILES", "25");
    let outcome = limit(watch).run(["watch", &repo.url()]);
    outcome.failure(3).stdout_has(told).stdout_has(GIVEN);
    let outcome = limit(bare()).run(["validate", &at(&repo)]);
    outcome.failure(1).stdout_has(told).stdout_has("1 of 2 stacks");
}
