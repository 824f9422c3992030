//! A live service spec, summed up so that edits by hand show and Swarm's own changes do not.
//!
//! One short hash a part: the database holds no environment values, and a report can name what differs.

use std::collections::{BTreeMap, BTreeSet};

use md5::{Digest, Md5};
use serde_json::Value;

use super::edits::{Edits, names};
use crate::hash::hex;

/// docker/cli keeps the author's image here (`convert.LabelImage`).
pub const IMAGE_LABEL: &str = "com.docker.stack.image";

/// Part → hash; `replicas` is kept in plain, for people.
pub type Summary = BTreeMap<String, String>;

/// Sums up `Spec` of a service.
pub fn summarise(spec: &Value) -> Summary {
    parts_of(spec).into_iter().map(|(name, value)| (name.clone(), sum(&name, &value))).collect()
}

/// What a summary says of a part.
pub(super) fn sum(name: &str, value: &Value) -> String {
    match (name, value) {
        ("image" | "replicas", Value::String(text)) => text.clone(),
        _ => short_hash(value),
    }
}

/// The parts of `Spec` by the words of compose files, without what makes no difference.
pub(super) fn parts_of(spec: &Value) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    let template = &spec["TaskTemplate"];
    let container = &template["ContainerSpec"];
    found.insert("image".to_owned(), Value::String(image(spec)));
    if let Some(replicas) = spec["Mode"]["Replicated"]["Replicas"].as_u64() {
        found.insert("replicas".to_owned(), Value::String(replicas.to_string()));
    }
    let mut add = |name: &str, value: &Value| {
        let value = without_defaults(value);
        if !value.is_null() {
            found.insert(name.to_owned(), value);
        }
    };
    for (key, value) in parts(container).filter(|(key, _)| !["Image", "Env"].contains(key)) {
        add(word(key), value);
    }
    // Not ForceUpdate: `docker service update --force` is a restart, no edit, and deploys keep it.
    for (key, value) in parts(template).filter(|(key, _)| !["ContainerSpec", "ForceUpdate"].contains(key)) {
        let mut value = value.clone();
        if key == "Placement" {
            // What the registry said of the image, not what the author wrote.
            value["Platforms"].take();
        }
        add(word(key), &value);
    }
    for (key, value) in parts(spec).filter(|(key, _)| !["TaskTemplate", "Name"].contains(key)) {
        let mut value = value.clone();
        if key == "Mode" {
            value["Replicated"]["Replicas"].take();
        }
        add(if key == "Labels" { "service labels" } else { word(key) }, &value);
    }
    let lines: BTreeSet<_> =
        container["Env"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !lines.is_empty() {
        found.insert(word("Env").to_owned(), listed(&lines));
    }
    found
}

/// The part of an environment, `NAME=value`, in whatever order; `None` where there is none.
pub fn environment<L: AsRef<str>>(lines: &BTreeSet<L>) -> Option<String> {
    (!lines.is_empty()).then(|| short_hash(&listed(lines)))
}

/// As docker/cli writes them (`sortStrings` in `convert.Service`).
fn listed<L: AsRef<str>>(lines: &BTreeSet<L>) -> Value {
    Value::Array(lines.iter().map(|line| Value::from(line.as_ref())).collect())
}

fn parts(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

/// The image as the author could have written it: Swarm adds the digest it resolved.
fn image(spec: &Value) -> String {
    let image = spec["TaskTemplate"]["ContainerSpec"]["Image"].as_str().unwrap_or_default();
    let written = spec["Labels"][IMAGE_LABEL].as_str().unwrap_or_default();
    if written.contains('@') {
        image.to_owned()
    } else {
        image.split('@').next().unwrap_or_default().to_owned()
    }
}

/// The words of compose files, which people know.
fn word(key: &str) -> &str {
    match key {
        "Args" => "command",
        "Command" => "entrypoint",
        "Env" => "environment",
        "Mounts" => "volumes",
        "Labels" => "labels",
        "EndpointSpec" => "ports",
        "Networks" => "networks",
        "UpdateConfig" => "update_config",
        "RollbackConfig" => "rollback_config",
        "RestartPolicy" => "restart_policy",
        "Healthcheck" => "healthcheck",
        "Resources" => "resources",
        "Placement" => "placement",
        "Secrets" => "secrets",
        "Configs" => "configs",
        "Mode" => "mode",
        other => other,
    }
}

/// Drops what an engine may print or leave out without a difference: null, empty, false, zero.
fn without_defaults(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept: serde_json::Map<_, _> = map
                .iter()
                .map(|(key, value)| (key.clone(), without_defaults(value)))
                .filter(|(_, v)| !v.is_null())
                .collect();
            if kept.is_empty() { Value::Null } else { Value::Object(kept) }
        }
        Value::Array(items) if items.is_empty() => Value::Null,
        Value::Array(items) => Value::Array(items.iter().map(without_defaults).collect()),
        Value::Bool(false) => Value::Null,
        Value::String(text) if text.is_empty() => Value::Null,
        Value::Number(number) if number.as_f64() == Some(0.0) => Value::Null,
        other => other.clone(),
    }
}

fn short_hash(value: &Value) -> String {
    let mut hex = hex(Md5::new_with_prefix(value.to_string()));
    hex.truncate(16);
    hex
}

/// What differs between two summaries, in words; empty if nothing does. `edits` may name what it is.
pub fn differences(applied: &Summary, live: &Summary, edits: &Edits) -> Vec<String> {
    let keys: BTreeSet<_> = applied.keys().chain(live.keys()).collect();
    keys.into_iter()
        .filter(|key| applied.get(*key) != live.get(*key))
        .map(|key| match (key.as_str(), applied.get(key), live.get(key)) {
            ("replicas", Some(before), Some(now)) => format!("scaled from {before} to {now}"),
            ("image", Some(before), Some(now)) => format!("image `{before}` became `{now}`"),
            (key, before, _) => format!("`{key}` edited{}", names(edits, key, before)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec() -> Value {
        json!({
            "Name": "web_app",
            "Labels": {"com.docker.stack.image": "app:1", "com.docker.stack.namespace": "web"},
            "TaskTemplate": {
                "ContainerSpec": {"Image": "app:1@sha256:aa", "Env": ["A=secret"], "DNSConfig": {}},
                "Placement": {"Platforms": [{"OS": "linux"}]},
                "ForceUpdate": 0
            },
            "Mode": {"Replicated": {"Replicas": 2}},
            "EndpointSpec": {"Mode": "vip"}
        })
    }

    fn edited(path: &str, value: Value) -> Vec<String> {
        let mut live = spec();
        *live.pointer_mut(path).unwrap() = value;
        differences(&summarise(&spec()), &summarise(&live), &Edits::new())
    }

    #[test]
    fn what_swarm_changes_by_itself_is_no_difference() {
        for (path, value) in [
            ("/TaskTemplate/ContainerSpec/Image", json!("app:1@sha256:bb")),
            ("/TaskTemplate/ForceUpdate", json!(3)),
            ("/TaskTemplate/Placement", json!({})),
            ("/TaskTemplate/ContainerSpec/DNSConfig", json!(null)),
        ] {
            assert_eq!(edited(path, value), Vec::<String>::new(), "{path}");
        }
    }

    #[test]
    fn what_a_hand_changed_is_named() {
        assert_eq!(edited("/Mode/Replicated/Replicas", json!(5)), ["scaled from 2 to 5"]);
        assert_eq!(
            edited("/TaskTemplate/ContainerSpec/Image", json!("app:2@sha256:aa")),
            ["image `app:1` became `app:2`"]
        );
        assert_eq!(edited("/TaskTemplate/ContainerSpec/Env", json!(["A=2"])), ["`environment` edited"]);
        assert_eq!(edited("/Labels/com.docker.stack.namespace", json!("x")), ["`service labels` edited"]);
    }

    #[test]
    fn a_pinned_digest_counts() {
        let pinned = |digest: &str| {
            let mut spec = spec();
            spec["Labels"][IMAGE_LABEL] = json!("app@sha256:aa");
            spec["TaskTemplate"]["ContainerSpec"]["Image"] = json!(format!("app@sha256:{digest}"));
            summarise(&spec)
        };
        assert_eq!(differences(&pinned("aa"), &pinned("bb"), &Edits::new()).len(), 1);
    }

    #[test]
    fn no_value_can_be_read_back() {
        assert!(!format!("{:?}", summarise(&spec())).contains("secret"));
    }
}
