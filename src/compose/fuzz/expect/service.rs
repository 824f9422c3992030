//! A service, by our tree.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::text::{self, Text, list, number};
use super::{Object, Want, named, payload_name};
use crate::compose::fuzz::ours::{COMMIT, Ours, REPOSITORY, STACK};
use crate::compose::fuzz::place::Fixture;
use crate::compose::fuzz::tree::Tree;
use crate::compose::interpolate::Variables;
use crate::problem::Collector;

const CONTAINER: &str = "/TaskTemplate/ContainerSpec";

/// The networks that a service is in, by their keys.
pub fn networks(service: &Tree) -> BTreeSet<String> {
    let keys: BTreeSet<_> = match service.get("networks") {
        Some(Tree::List(items)) => items.iter().filter_map(Tree::text).map(str::to_owned).collect(),
        Some(tree) => tree.pairs().iter().filter_map(|(key, _)| key.text()).map(str::to_owned).collect(),
        None => BTreeSet::new(),
    };
    if keys.is_empty() { BTreeSet::from(["default".to_owned()]) } else { keys }
}

/// What docker should create of it.
pub fn service(
    fixture: &Fixture,
    ours: &Ours,
    inherited: &BTreeMap<String, String>,
    key: &str,
    service: &Tree,
) -> Object {
    let mut object = Object::new();
    let mut at = |place: &str, want: Want| drop(object.insert(place.to_owned(), want));
    let image = service.get("image").map_or_else(|| Text::exact(""), Text::of);
    at("/Labels", Want::Map(labels(ours, service, &image)));
    let mut container_labels = text::map(service.get("labels"));
    container_labels.insert("com.docker.stack.namespace".into(), Text::exact(STACK));
    at(&format!("{CONTAINER}/Labels"), Want::Map(container_labels));
    at(&format!("{CONTAINER}/Image"), Want::Image(image));
    at(&format!("{CONTAINER}/Env"), Want::Environment(environment(fixture, inherited, service)));
    for (ours, theirs) in [("entrypoint", "Command"), ("command", "Args")] {
        at(&format!("{CONTAINER}/{theirs}"), command(service.get(ours)));
    }
    for (ours, theirs) in
        [("working_dir", "Dir"), ("user", "User"), ("hostname", "Hostname"), ("stop_signal", "StopSignal")]
    {
        let text = service.get(ours).map_or_else(|| Text::exact(""), Text::of);
        at(&format!("{CONTAINER}/{theirs}"), Want::Text(text));
    }
    for (ours, theirs) in [("tty", "TTY"), ("stdin_open", "OpenStdin"), ("read_only", "ReadOnly")] {
        let is = service.get(ours).is_some_and(Tree::is_true);
        at(&format!("{CONTAINER}/{theirs}"), Want::Json(json!(is)));
    }
    for (ours, theirs) in [("dns", "Nameservers"), ("dns_search", "Search")] {
        let texts = service.get(ours).map(list).unwrap_or_default();
        at(&format!("{CONTAINER}/DNSConfig/{theirs}"), Want::List(texts));
    }
    at(&format!("{CONTAINER}/Sysctls"), Want::Map(text::map(service.get("sysctls"))));
    at(&format!("{CONTAINER}/Mounts"), mounts(ours, service));
    for (kind, theirs, name) in [("configs", "Configs", "ConfigName"), ("secrets", "Secrets", "SecretName")] {
        at(&format!("{CONTAINER}/{theirs}"), payloads(ours, service, kind, name));
    }
    at(&format!("{CONTAINER}/Healthcheck/Test"), health(service.get("healthcheck")));
    at("/TaskTemplate/Networks", in_networks(ours, key, service));
    at("/EndpointSpec/Ports", ports(service.get("ports")));
    at("/Mode/Replicated/Replicas", replicas(service.get("deploy")));
    let log = service.get("logging");
    at(
        "/TaskTemplate/LogDriver/Name",
        log.map_or(Want::Json(Value::Null), |log| {
            Want::Text(log.get("driver").map_or_else(|| Text::exact(""), Text::of))
        }),
    );
    at("/TaskTemplate/LogDriver/Options", Want::Map(text::map(log.and_then(|log| log.get("options")))));
    object
}

fn labels(ours: &Ours, service: &Tree, image: &Text) -> BTreeMap<String, Text> {
    let mut labels = text::map(service.get("deploy").and_then(|deploy| deploy.get("labels")));
    for (name, value) in [
        ("com.docker.stack.namespace", STACK),
        ("dockerops.repository", REPOSITORY),
        ("dockerops.commit", COMMIT),
        ("dockerops.fingerprint", &ours.fingerprint),
    ] {
        labels.insert(name.to_owned(), Text::exact(value));
    }
    labels.insert("com.docker.stack.image".into(), image.clone());
    labels
}

/// Files first, then what the service says; docker looks up what has no value and what is empty, `updateEnvironment`.
fn environment(
    fixture: &Fixture,
    inherited: &BTreeMap<String, String>,
    service: &Tree,
) -> BTreeMap<String, Option<Text>> {
    let mut all = BTreeMap::new();
    let filled = |name: &str, text: Option<Text>| {
        let is_empty = text.as_ref().is_none_or(|text| text.text.is_empty());
        let found = inherited.get(name).map(Text::exact).or_else(|| dotenv(name));
        found.filter(|_| is_empty).or(text)
    };
    let files = service.get("env_file").map(text::list).unwrap_or_default();
    for bytes in files.iter().filter_map(|file| fixture.read(&file.text)) {
        for line in String::from_utf8_lossy(&bytes).lines().map(str::trim_start) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, text) = line.split_once('=').map_or((line, None), |(name, text)| (name, Some(text)));
            if let Some(text) = filled(name, text.map(Text::exact)) {
                all.insert(name.to_owned(), Some(text));
            }
        }
    }
    let own = text::optional(service.get("environment")).into_iter();
    all.extend(own.map(|(name, text)| (name.clone(), filled(&name, text))));
    all
}

/// `.env` of the fixture, less what is the same in the process.
fn dotenv(name: &str) -> Option<Text> {
    let (mut all, mut problems) = (Variables::default(), Collector::new(".env"));
    crate::compose::dotenv::read(crate::compose::fuzz::place::DOTENV, ".env", &mut all, &mut problems);
    all.get(name).map(Text::exact)
}

fn command(tree: Option<&Tree>) -> Want {
    match tree {
        None => Want::List(Vec::new()),
        Some(Tree::List(items)) => Want::List(items.iter().map(Text::of).collect()),
        Some(other) => other.text().map_or(Want::Anything, |text| Want::Split(text.to_owned())),
    }
}

fn health(tree: Option<&Tree>) -> Want {
    let Some(tree) = tree else { return Want::List(Vec::new()) };
    if tree.get("disable").is_some_and(Tree::is_true) {
        return Want::List(vec![Text::exact("NONE")]);
    }
    match tree.get("test") {
        None => Want::List(Vec::new()),
        Some(Tree::List(items)) => Want::List(items.iter().map(Text::of).collect()),
        Some(other) => Want::List(vec![Text::exact("CMD-SHELL"), Text::of(other)]),
    }
}

fn mounts(ours: &Ours, service: &Tree) -> Want {
    let volumes = ours.tree.section("volumes");
    let mut all = Vec::new();
    for item in service.get("volumes").map(Tree::items).unwrap_or_default() {
        let Some((kind, source, target, read_only)) = mount(item) else { return Want::Anything };
        let source = match volumes.get(&source) {
            Some(entry) if kind == "volume" && !source.is_empty() => named(&source, entry),
            _ => source,
        };
        all.push(json!({"Type": kind, "Source": source, "Target": target, "ReadOnly": read_only}));
    }
    Want::Bag(all, &["Type", "Source", "Target", "ReadOnly"])
}

/// Type, source, target and whether it is read only.
fn mount(item: &Tree) -> Option<(String, String, String, bool)> {
    let Some(spec) = item.text() else {
        let text = |key: &str| item.get(key).and_then(Tree::text).unwrap_or_default().to_owned();
        let read_only = item.get("read_only").is_some_and(Tree::is_true);
        return Some((text("type"), text("source"), text("target"), read_only));
    };
    if spec.len() < 3 {
        return Some(("volume".into(), String::new(), spec.to_owned(), false));
    }
    // docker/cli `ParseVolume`: a single letter before a colon is a drive.
    let (mut parts, mut part) = (Vec::new(), String::new());
    for letter in spec.chars() {
        let is_drive = part.chars().count() == 1 && part.chars().all(char::is_alphabetic);
        if letter == ':' && !is_drive {
            parts.push(std::mem::take(&mut part));
        } else {
            part.push(letter);
        }
    }
    parts.push(part);
    let options = parts.get(2).map(String::as_str).unwrap_or_default();
    let read_only = options.split(',').rfind(|option| ["ro", "rw"].contains(option)) == Some("ro");
    match parts.as_slice() {
        [target] => Some(("volume".into(), String::new(), target.clone(), false)),
        [source, target, ..] => {
            let is_path = source.starts_with(['.', '/', '~'])
                || source.starts_with(r"\\")
                || (source.chars().nth(1) == Some(':'));
            let kind = if is_path { "bind" } else { "volume" };
            Some((kind.into(), source.clone(), target.clone(), read_only))
        }
        [] => None,
    }
}

fn payloads(ours: &Ours, service: &Tree, kind: &str, name: &str) -> Want {
    let known = ours.tree.section(kind);
    let mut all = Vec::new();
    for item in service.get(kind).map(Tree::items).unwrap_or_default() {
        let text = |key: &str| item.get(key).and_then(Tree::text).filter(|text| !text.is_empty());
        let Some(source) = item.text().or_else(|| text("source")) else { return Want::Anything };
        let Some(entry) = known.get(source) else { return Want::Anything };
        let full = payload_name(ours, kind, source, entry);
        all.push(json!({
            name: full,
            name.replace("Name", "ID"): format!("id of {full}"),
            "File": {
                "Name": text("target").unwrap_or(source),
                "UID": text("uid").unwrap_or("0"),
                "GID": text("gid").unwrap_or("0"),
                "Mode": item.get("mode").map_or(json!(0o444), number),
            },
        }));
    }
    let fields = if kind == "configs" {
        &["ConfigName", "ConfigID", "File"]
    } else {
        &["SecretName", "SecretID", "File"]
    };
    Want::Bag(all, fields)
}

fn in_networks(ours: &Ours, key: &str, service: &Tree) -> Want {
    let known = ours.tree.section("networks");
    let nothing = Tree::Map(Vec::new());
    let options = service.get("networks");
    let all = networks(service).into_iter().map(|network| {
        let entry = known.get(&network).copied().unwrap_or(&nothing);
        let target = named(&network, entry);
        let aliases = options.and_then(|all| all.get(&network)).and_then(|one| one.get("aliases"));
        let mut aliases: Vec<_> =
            aliases.map(Tree::items).unwrap_or_default().iter().filter_map(Tree::text).collect();
        aliases.push(key);
        // docker gives other names to what users defined alone, by the name.
        let is_dockers =
            ["default", "bridge", "host", "none"].contains(&&*target) || target.starts_with("container:");
        if is_dockers { json!({"Target": target}) } else { json!({"Target": target, "Aliases": aliases}) }
    });
    Want::Bag(all.collect(), &["Target", "Aliases"])
}

/// Only where every port says all in the plainest way.
fn ports(tree: Option<&Tree>) -> Want {
    let mut all = Vec::new();
    for item in tree.map(Tree::items).unwrap_or_default() {
        let port =
            |text: &str| text.parse::<u16>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
        let (target, published, mode) = match item.text() {
            // A number is one however it is written.
            Some(_) if matches!(item, Tree::Scalar { plain: true, .. }) && !number(item).is_null() => {
                (number(item).as_u64().and_then(|port| port.try_into().ok()), Some(0), "ingress")
            }
            Some(text) => match text.split_once(':') {
                Some((published, target)) => (port(target), port(published), "ingress"),
                None => (port(text), Some(0), "ingress"),
            },
            None => {
                let of =
                    |key: &str| item.get(key).map_or(Some(0), |port| number(port).as_u64()?.try_into().ok());
                let mode = item.get("mode").and_then(Tree::text).unwrap_or_default();
                if item.get("protocol").is_some_and(|protocol| protocol.text() != Some("tcp")) {
                    return Want::Anything;
                }
                (of("target"), of("published"), mode)
            }
        };
        let (Some(target), Some(published)) = (target, published) else { return Want::Anything };
        all.push(json!({"TargetPort": target, "PublishedPort": published, "PublishMode": mode}));
    }
    Want::Bag(all, &["TargetPort", "PublishedPort", "PublishMode"])
}

fn replicas(deploy: Option<&Tree>) -> Want {
    let Some(deploy) = deploy else { return Want::Json(Value::Null) };
    match deploy.get("replicas") {
        Some(number) if deploy.get("mode").is_none_or(|mode| mode.text() == Some("replicated")) => {
            Want::Number(Text::of(number))
        }
        Some(_) => Want::Anything,
        None => Want::Json(Value::Null),
    }
}
