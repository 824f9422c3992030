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

/// Stands for docker at a deploy: keeps what it was given, the files beside it, and what the real one reads of that
/// without a variable, and of the author's file with all. Then it fails, so nothing is waited for.
const CONFIG: &str = r#"
    at=$folder/${@: -1}
    cat >"$at.text"
    cp -r . "$at.copies"
    env -i REAL stack config -c - <"$at.text" >"$at.ours" 2>"$at.ours-error" || rm "$at.ours"
    cd "REPO/${@: -1}"
    saved=$(export -p)
    set -a; source ./.env; set +a
    eval "$saved"
    REAL stack config -c docker-compose.yml >"$at.authors" 2>"$at.authors-error" || rm "$at.authors"
    exit 1"#;

/// That rule for the stacks of `repo`.
fn config(real: &Path, repo: &Repo) -> String {
    CONFIG.replace("REAL", real.to_str().unwrap()).replace("REPO", repo.path().to_str().unwrap())
}

/// A docker CLI that has `stack config`, which needs no daemon; Debian's 20.10 has none.
pub fn docker_with_stack_config() -> Option<PathBuf> {
    let has = |docker: &PathBuf| {
        let help = command(docker).args(["stack", "config", "--help"]).output().unwrap();
        String::from_utf8_lossy(&help.stdout).contains("docker stack config")
    };
    docker_binaries().into_iter().find(has)
}

/// Name → text.
pub fn corpus() -> BTreeMap<String, Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files
        .map(|file| (file.file_stem().unwrap().to_str().unwrap().replace('.', "-"), fs::read(file).unwrap()))
        .collect()
}

/// A stack of each file, with the files it may name beside it.
pub fn repo_of(corpus: &BTreeMap<String, Vec<u8>>) -> Repo {
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

/// Stands for docker where secrets become variables: one secret, images of one command, configs as wanted.
fn of_one_secret(rule: &str) -> FakeDocker {
    let image = r#"[{"Id":"sha256:1","Config":{"Entrypoint":["/image"],"Cmd":["arg"]}}]"#;
    FakeDocker::of_an_empty_swarm()
        .prints("secret ls", "fidelity\n")
        .prints("image inspect", image)
        .prints(" config ", "")
        .prints(" create ", "1")
        .prints(" cp ", "")
        .prints(" rm ", "")
        .does("stack deploy", rule)
}

#[test]
fn secrets_as_variables_change_nothing_else() {
    let corpus: BTreeMap<_, _> =
        corpus().into_iter().filter(|(name, _)| !name.starts_with("refused-")).collect();
    let repo = repo_of(&corpus);
    for name in corpus.keys() {
        repo.write(&format!("{name}/secrets.yaml"), "- {secret: fidelity, env: FIDELITY}\n");
    }
    repo.commit("secrets");
    let Some(real) = docker_with_stack_config() else { return };
    let fake = of_one_secret(&config(&real, &repo));
    // Every stack asks for the commands of its images, and whether they have a shell.
    let outcome = ops(&fake).limit(300).run(["watch", &repo.url()]);
    outcome.failure(3);
    let mut faults = Vec::new();
    for name in corpus.keys() {
        let kept = |what: &str| fs::read_to_string(fake.folder().join(format!("../{name}.{what}")));
        let copies = |name: &str| fake.folder().join(format!("../{name}.copies"));
        let fault = match (kept("ours"), kept("authors")) {
            (Ok(ours), Ok(authors)) => differs_by_secrets(name, &ours, &authors, &copies(name)).err(),
            _ => Some(format!("{:?} {:?}", kept("ours-error"), kept("authors-error"))),
        };
        faults.extend(fault.map(|fault| format!("{name}: {fault}")));
    }
    assert!(faults.is_empty(), "{} of {}:\n{}\n{outcome}", faults.len(), corpus.len(), faults.join("\n\n"));
}

/// Takes what secrets as variables add out of `ours`, then compares the rest.
fn differs_by_secrets(stack: &str, ours: &str, authors: &str, copies: &Path) -> Result<(), String> {
    let [mut mine, theirs]: [Value; 2] = [ours, authors].map(|text| serde_yaml::from_str(text).unwrap());
    let words = |value: &Value| -> Vec<String> {
        value.as_sequence().into_iter().flatten().map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    for (key, service) in entries(&mut mine, "services") {
        let author = &theirs["services"][&*key];
        if words(&service["entrypoint"].clone()) != ["/bin/sh", "/entrypoint-secrets.sh"] {
            return Err(format!("`{key}` is not started by the script"));
        }
        let (entrypoint, command) = (words(&author["entrypoint"]), words(&author["command"]));
        let wanted = match (entrypoint.is_empty(), command.is_empty()) {
            (true, true) => vec!["/image".to_owned(), "arg".to_owned()],
            (true, false) => [vec!["/image".to_owned()], command].concat(),
            (false, _) => [entrypoint, command].concat(),
        };
        if words(&service["command"].clone()) != wanted {
            return Err(format!("`{key}` runs {:?} instead of {wanted:?}", service["command"]));
        }
        for part in ["entrypoint", "command"] {
            service.remove(part);
            if !author[part].is_null() {
                service.insert(part.into(), author[part].clone());
            }
        }
        take(service, "configs", |item| item["target"] == "/entrypoint-secrets.sh");
        take(service, "secrets", |item| item["source"] == "fidelity");
    }
    for (section, is_added) in [("configs", "entrypoint"), ("secrets", "fidelity")] {
        let Some(all) = mine.get_mut(section).and_then(Value::as_mapping_mut) else {
            return Err(format!("no `{section}`"));
        };
        all.retain(|key, entry| {
            !(key.as_str().unwrap().contains(is_added) && entry.get("external").is_some())
        });
        if all.is_empty() && theirs[section].is_null() {
            mine.as_mapping_mut().unwrap().remove(section);
        }
    }
    // Scripts travel as configs, which older versions have not; what rotates asks for 3.5 in any case.
    let rotates = ["configs", "secrets"]
        .iter()
        .any(|section| entries(&mut mine, section).any(|(_, entry)| rotates_by_name(entry)));
    if !rotates {
        mine["version"] = theirs["version"].clone();
    }
    differs(stack, &serde_yaml::to_string(&mine).unwrap(), authors, copies)
}

/// Removes the one item that `is_added`, and the list where nothing else was in it.
fn take(service: &mut Mapping, list: &str, is_added: impl Fn(&Value) -> bool) {
    let Some(items) = service.get_mut(list).and_then(Value::as_sequence_mut) else { return };
    items.retain(|item| !is_added(item));
    if items.is_empty() {
        service.remove(list);
    }
}

/// What an author writes with ids of `volumes.yaml`, and what they stand for.
const VOLUMES: [(&str, &str); 6] = [
    (
        "services: {a: {image: a, volumes: ['conf:/c', 'conf:/d:ro', 'data:/e:nocopy', '/abs:/f', 'conf:/g:z,ro']}}\n",
        "services: {a: {image: a, volumes: ['NFS/site:/c', 'NFS/site:/d:ro', 'data:/e:nocopy', '/abs:/f', 'NFS/site:/g:z,ro']}}\n\
         volumes: {data: {name: shop-data}}\n",
    ),
    (
        "services:\n  a:\n    image: a\n    volumes:\n    - type: volume\n      source: conf\n      target: /c\n      \
         read_only: true\n    - {type: volume, source: data, target: /d, volume: {nocopy: true}}\n    - type: tmpfs\n      target: /t\n",
        "services:\n  a:\n    image: a\n    volumes:\n    - type: bind\n      source: NFS/site\n      target: /c\n      \
         read_only: true\n    - {type: volume, source: data, target: /d, volume: {nocopy: true}}\n    - type: tmpfs\n      target: /t\n\
         volumes: {data: {name: shop-data}}\n",
    ),
    (
        "x-v: &v\n  volumes: &l ['conf:/c:ro']\nservices:\n  a: {image: a, <<: *v}\n  b: {image: b, volumes: *l}\n",
        "services:\n  a: {image: a, volumes: ['NFS/site:/c:ro']}\n  b: {image: b, volumes: ['NFS/site:/c:ro']}\n\
         x-v: {volumes: ['conf:/c:ro']}\n",
    ),
    (
        "services: {a: {image: a, volumes: ['data:/d', 'conf:/c', 'own:/o']}}\n\
         volumes: {data: {driver: local, driver_opts: {o: x}}, conf: , own: }\n",
        "services: {a: {image: a, volumes: ['data:/d', 'conf:/c', 'own:/o']}}\n\
         volumes: {data: {driver: local, driver_opts: {o: x}}, conf: , own: }\n",
    ),
    (
        "services: {a: {image: a, volumes: ['${ID:-conf}:/c:${MODE_X:-ro}', \"conf:/x$$y\"]}}\r\n",
        "services: {a: {image: a, volumes: ['NFS/site:/c:ro', \"NFS/site:/x$$y\"]}}\r\n",
    ),
    (
        "services: {a: {image: a, labels: [x=y], volumes: ['conf:/c']}, b: {image: b, labels: {x: y}, volumes: ['other:/c']}}\n\
         volumes: {other: {external: true}}\n",
        "services: {a: {image: a, labels: [x=y], volumes: ['NFS/site:/c']}, b: {image: b, labels: {x: y}, volumes: ['other:/c']}}\n\
         volumes: {other: {external: true}}\n",
    ),
];

#[test]
fn ids_of_volumes_yaml_are_read_as_what_they_stand_for() {
    let Some(real) = docker_with_stack_config() else { return };
    let (repo, nfs) = (Repo::new(), tempfile::tempdir().unwrap());
    let place = nfs.path().display().to_string();
    repo.write("site/index", "x").write("nfs.yaml", format!("path: {place}\n"));
    repo.write(
        "volumes.yaml",
        "- {id: conf, type: binding, path: site}\n- {id: data, type: volume, path: shop-data}\n",
    );
    for (index, (given, _)) in VOLUMES.iter().enumerate() {
        repo.stack(&format!("v{index}"), &format!("version: '3.8'\n{given}"))
            .write(&format!("v{index}/.env"), "A=1\n");
    }
    repo.commit("volumes");
    let fake = FakeDocker::of_an_empty_swarm().does("stack deploy", &config(&real, &repo));
    let outcome = ops(&fake).run(["watch", &repo.url()]);
    outcome.failure(3).stdout_has("`data` is the compose file's own volume");
    for (index, (_, meant)) in VOLUMES.iter().enumerate() {
        let file = nfs.path().join("meant.yml");
        fs::write(&file, format!("version: '3.8'\n{}", meant.replace("NFS", &place))).unwrap();
        let config = command(&real).args(["stack", "config", "-c"]).arg(&file).output().unwrap();
        assert!(config.status.success(), "{index}: {}", String::from_utf8_lossy(&config.stderr));
        let ours = fs::read_to_string(fake.folder().join(format!("../v{index}.ours"))).unwrap();
        let mut mine: Value = serde_yaml::from_str(&ours).unwrap();
        for (_, service) in entries(&mut mine, "services") {
            take_labels(service, &["dockerops.bindings"]);
        }
        let (mine, meant) =
            (serde_yaml::to_string(&mine).unwrap(), String::from_utf8(config.stdout).unwrap());
        if let Err(fault) = differs(&format!("v{index}"), &mine, &meant, fake.folder().as_path()) {
            panic!("{index}: {fault}");
        }
    }
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
    let fake = FakeDocker::of_an_empty_swarm().does("stack deploy", &config(&real, &repo));
    let outcome = ops(&fake).run(["watch", &repo.url()]);
    outcome.failure(3);
    let mut faults = Vec::new();
    for name in corpus.keys() {
        let kept = |what: &str| fs::read_to_string(fake.folder().join(format!("../{name}.{what}")));
        let copies = |name: &str| fake.folder().join(format!("../{name}.copies"));
        if kept("text").is_err() {
            // DockerOps itself refused it, on account of its variables.
            let file = repo.path().join(name).join("docker-compose.yml");
            let refused = command(&real).args(["stack", "config", "-c"]).arg(file).output().unwrap();
            assert!(name == "refused-variables" && !refused.status.success(), "{name}: {outcome}");
            outcome.stdout_has(&format!("failed    {name} "));
            continue;
        }
        let fault = match (kept("ours"), kept("authors")) {
            (Ok(ours), Ok(authors)) => differs(name, &ours, &authors, &copies(name)).err(),
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
fn differs(stack: &str, ours: &str, authors: &str, copies: &Path) -> Result<(), String> {
    let [mut mine, mut theirs]: [Value; 2] = [ours, authors].map(|text| serde_yaml::from_str(text).unwrap());
    let mut rotates = false;
    credential_specs_by_key(&mut mine, &theirs);
    for section in ["configs", "secrets"] {
        // docker opens no file of an external one.
        for (key, entry) in entries(&mut mine, section).filter(|(_, entry)| entry.contains_key("external")) {
            if entry.contains_key("file") {
                entry.insert("file".into(), theirs[section][&*key]["file"].clone());
            }
        }
        for (key, entry) in entries(&mut mine, section).filter(|(_, entry)| rotates_by_name(entry)) {
            rotates = true;
            let author = theirs[section][key.as_str()]["file"].clone();
            let (Some(file), Some(path)) = (entry["file"].as_str(), author.as_str()) else {
                return Err(format!("`{key}` has {:?} for {author:?}", entry["file"]));
            };
            let copy = copies.join(Path::new(file).file_name().unwrap());
            if fs::read(&copy).map_err(|error| error.to_string())? != fs::read(path).unwrap() {
                return Err(format!("`{key}` has another content"));
            }
            entry.insert("file".into(), author);
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
    // Its files are read already.
    for (_, service) in entries(&mut theirs, "services") {
        service.remove("env_file");
    }
    if rotates && ["3.1", "3.2", "3.3", "3.4"].map(Value::from).contains(&theirs["version"]) {
        assert_eq!(mine["version"], Value::from("3.5"), "{stack}");
        mine["version"] = theirs["version"].clone();
    }
    if mine == theirs { Ok(()) } else { Err(format!("docker reads\n{ours}instead of\n{authors}")) }
}

/// Gives configs that credential specs name the keys that their authors gave them.
fn credential_specs_by_key(mine: &mut Value, theirs: &Value) {
    let mut keys = BTreeMap::new();
    for (service, node) in entries(mine, "services") {
        let author = theirs["services"][&*service]["credential_spec"]["config"].as_str();
        let Some(spec) = node.get_mut("credential_spec").and_then(Value::as_mapping_mut) else { continue };
        if let (Some(author), Some(name)) = (author, spec.get("config").and_then(Value::as_str)) {
            keys.insert(name.to_owned(), author.to_owned());
            spec.insert("config".into(), author.into());
        }
    }
    for (service, node) in entries(mine, "services") {
        let items = node.get_mut("configs").and_then(Value::as_sequence_mut).into_iter().flatten();
        for (index, item) in items.filter_map(Value::as_mapping_mut).enumerate() {
            let Some(key) = item.get("source").and_then(Value::as_str).and_then(|name| keys.get(name)) else {
                continue;
            };
            item.insert("source".into(), key.as_str().into());
            if theirs["services"][&*service]["configs"][index]["target"].is_null() {
                item.remove("target");
            }
        }
    }
    if let Some(configs) = mine.get_mut("configs").and_then(Value::as_mapping_mut) {
        for (name, key) in keys {
            if let Some(entry) = configs.remove(name.as_str()) {
                configs.insert(key.into(), entry);
            }
        }
    }
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
