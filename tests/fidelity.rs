//! What docker reads means what the author wrote: `docker stack config` of the text that docker is given
//! equals that of the author's own file, but for what DockerOps says it adds.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_yaml::{Mapping, Value};

use crate::support::command;
use crate::support::dockerops::DockerOps;
use crate::support::fake_docker::FakeDocker;
use crate::support::lab::docker_binaries;
use crate::support::repo::Repo;

const DOTENV: &str = "FROM_DOTENV=dotenv\nFROM_BOTH=dotenv\nEMPTY=\nTRUE=true\nNUMBER=3\nPORT=8088\nMODE=0440\n\
                      FILE=./site.conf\nAWKWARD='a$b \"c\" \\d'\n";

/// Stands for docker at a deploy: keeps what it was given, and what the real one reads of that and of the
/// author's file, in the same folder with the same variables. Then it fails, so nothing is waited for.
const CONFIG: &str = r#"
    at=$folder/${@: -1}
    cat >"$at.text"
    REAL stack config -c - <"$at.text" >"$at.ours" 2>"$at.ours-error" || rm "$at.ours"
    saved=$(export -p)
    set -a; source ./.env; set +a
    eval "$saved"
    REAL stack config -c docker-compose.yml >"$at.authors" 2>"$at.authors-error" || rm "$at.authors"
    exit 1"#;

/// A docker CLI that has `stack config`, which needs no daemon; Debian's 20.10 has none.
fn docker_with_stack_config() -> Option<PathBuf> {
    let has = |docker: &PathBuf| {
        let help = command(docker).args(["stack", "config", "--help"]).output().unwrap();
        String::from_utf8_lossy(&help.stdout).contains("docker stack config")
    };
    docker_binaries().into_iter().find(has)
}

/// Name → text.
fn corpus() -> BTreeMap<String, Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files
        .map(|file| (file.file_stem().unwrap().to_str().unwrap().replace('.', "-"), fs::read(file).unwrap()))
        .collect()
}

/// A stack of each file, with the files it may name beside it.
fn repo_of(corpus: &BTreeMap<String, Vec<u8>>) -> Repo {
    let repo = Repo::new();
    repo.write("shared/site.conf", "shared");
    for (name, text) in corpus {
        repo.stack(name, "").write(&format!("{name}/docker-compose.yml"), text);
        repo.write(&format!("{name}/.env"), DOTENV).write(&format!("{name}/site.conf"), "site $x\n");
        repo.write(&format!("{name}/token"), "token")
            .write(&format!("{name}/app.env"), "FROM_FILE=file\nX=1\n");
    }
    repo.commit("corpus");
    repo
}

fn ops(fake: &FakeDocker) -> DockerOps {
    DockerOps::without_docker().with_fake(fake).env("FROM_PROCESS", "process").env("FROM_BOTH", "process")
}

#[test]
fn docker_reads_every_file_of_the_corpus_as_its_author_wrote_it() {
    let corpus = corpus();
    assert!(corpus.len() >= 60, "only {} files", corpus.len());
    let repo = repo_of(&corpus);
    let Some(real) = docker_with_stack_config() else {
        // Without it DockerOps' own second reader still compares both texts before every deploy.
        let _ = writeln!(std::io::stderr(), "no docker here has `stack config`: only reading is tested");
        let fake = FakeDocker::of_an_empty_swarm();
        ops(&fake).run(["watch", &repo.url()]).failure(3);
        return assert!(fake.calls_with("stack deploy").len() > 60);
    };
    let rule = CONFIG.replace("REAL", real.to_str().unwrap());
    let fake = FakeDocker::of_an_empty_swarm().does("stack deploy", &rule);
    let outcome = ops(&fake).run(["watch", &repo.url()]);
    outcome.failure(3);
    let mut faults = Vec::new();
    for name in corpus.keys() {
        let kept = |what: &str| fs::read_to_string(fake.folder().join(format!("../{name}.{what}")));
        if kept("text").is_err() {
            // DockerOps itself refused it, on account of its variables.
            let file = repo.path().join(name).join("docker-compose.yml");
            let refused = command(&real).args(["stack", "config", "-c"]).arg(file).output().unwrap();
            assert!(name == "refused-variables" && !refused.status.success(), "{name}: {outcome}");
            outcome.stdout_has(&format!("failed    {name} "));
            continue;
        }
        let fault = match (kept("ours"), kept("authors")) {
            (Ok(ours), Ok(authors)) => differs(name, &ours, &authors).err(),
            (Err(_), Err(_)) => {
                let [ours, authors] =
                    ["ours-error", "authors-error"].map(|what| kept(what).unwrap_or_default());
                let same = ours == authors && !ours.is_empty() && name.starts_with("refused-");
                (!same).then(|| format!("refused as\n{ours}instead of\n{authors}"))
            }
            (Ok(_), Err(_)) => {
                Some(format!("refused as written: {}", kept("authors-error").unwrap_or_default()))
            }
            (Err(_), Ok(_)) => {
                let why = kept("ours-error").unwrap_or_else(|_| outcome.to_string());
                Some(format!("refused as deployed: {why}"))
            }
        };
        faults.extend(fault.map(|fault| format!("{name}: {fault}")));
    }
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), corpus.len(), faults.join("\n\n"));
}

/// Takes what DockerOps adds out of `ours`, all of which must be there, and compares.
fn differs(stack: &str, ours: &str, authors: &str) -> Result<(), String> {
    let [mut mine, theirs]: [Value; 2] = [ours, authors].map(|text| serde_yaml::from_str(text).unwrap());
    let mut rotates = false;
    for section in ["configs", "secrets"] {
        for (key, entry) in entries(&mut mine, section).filter(|(_, entry)| rotates_by_name(entry)) {
            rotates = true;
            take_labels(entry, &["dockerops.repository"]).ok_or(format!("no label on `{key}`"))?;
            let author = theirs[section][key.as_str()]["name"].as_str();
            let plain = author.map_or_else(|| format!("{stack}_{key}"), str::to_owned);
            let name = entry["name"].as_str().unwrap_or_default().to_owned();
            let hash = name.strip_prefix(&format!("{}_", &plain[..plain.len().min(25)])).unwrap_or(&name);
            if name.len() > 64 || hash.len() < 12 || (plain.len() < 52 && name.len() != plain.len() + 13) {
                return Err(format!("`{key}` is named `{name}`, not `{plain}_` and a hash"));
            }
            match author {
                Some(author) => entry.insert("name".into(), author.into()),
                None => entry.remove("name"),
            };
        }
    }
    for (key, service) in entries(&mut mine, "services") {
        let all = ["dockerops.repository", "dockerops.commit", "dockerops.fingerprint"];
        let deploy = service.get_mut("deploy").and_then(Value::as_mapping_mut);
        deploy.and_then(|deploy| take_labels(deploy, &all)).ok_or(format!("no labels on `{key}`"))?;
        // docker prints an empty `deploy` only if something was in it.
        if service["deploy"].as_mapping().is_some_and(Mapping::is_empty)
            && theirs["services"][&*key]["deploy"].is_null()
        {
            service.remove("deploy");
        }
    }
    if rotates && ["3.1", "3.2", "3.3", "3.4"].map(Value::from).contains(&theirs["version"]) {
        assert_eq!(mine["version"], Value::from("3.5"), "{stack}");
        mine["version"] = theirs["version"].clone();
    }
    if mine == theirs { Ok(()) } else { Err(format!("docker reads\n{ours}instead of\n{authors}")) }
}

fn rotates_by_name(entry: &Mapping) -> bool {
    entry.contains_key("file") && !entry.contains_key("external")
}

fn entries<'a>(tree: &'a mut Value, section: &str) -> impl Iterator<Item = (String, &'a mut Mapping)> {
    let section = tree.get_mut(section).and_then(Value::as_mapping_mut);
    let entry =
        |(key, value): (&Value, &'a mut Value)| Some((key.as_str()?.to_owned(), value.as_mapping_mut()?));
    section.into_iter().flatten().filter_map(entry)
}

/// Removes these `labels`, and `labels` itself where nothing is left; `None` if one is not there.
fn take_labels(node: &mut Mapping, labels: &[&str]) -> Option<()> {
    let all = node.get_mut("labels")?.as_mapping_mut()?;
    for label in labels {
        all.remove(*label)?;
    }
    if all.is_empty() {
        node.remove("labels");
    }
    Some(())
}
