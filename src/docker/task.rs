//! A live task: one container that Swarm runs, ran or wants to run for a service.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use serde_json::Value;

use super::json::Json;
use super::state::TaskState;

#[derive(Debug, Clone)]
pub struct Task {
    pub id: String,
    /// Its service's id.
    pub service: String,
    /// Its slot, Swarm's word: a number, or a node for global services.
    pub slot: String,
    /// The name of its node, empty while it has none.
    pub node: String,
    /// Where it is.
    pub state: TaskState,
    /// Where Swarm wants it.
    pub desired: TaskState,
    /// What went wrong, in docker's words; may be empty.
    pub error: String,
    /// Since when it is in its state, by its node's clock.
    pub since: Option<DateTime<Utc>>,
    /// Its container's id; empty where it never had one.
    pub container: String,
    pub created: String,
    /// For a job: which run of it the task belongs to.
    pub iteration: u64,
    pub spec: Json,
}

/// Task id → node name, from `service ps`.
pub fn nodes(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| line.split_once(' ').or(Some((line, ""))))
        .filter(|(id, _)| !id.is_empty())
        .map(|(id, node)| (id.to_owned(), node.to_owned()))
        .collect()
}

/// Reads `inspect`, newest task first.
pub fn read(inspected: &[Value], nodes: &BTreeMap<String, String>) -> Result<Vec<Task>> {
    let mut tasks = inspected.iter().map(|value| of(value, nodes)).collect::<Result<Vec<_>>>()?;
    newest_first(&mut tasks);
    Ok(tasks)
}

pub fn newest_first(tasks: &mut [Task]) {
    tasks.sort_by(|one, other| other.created.cmp(&one.created));
}

/// One of `inspect`.
pub fn of(value: &Value, nodes: &BTreeMap<String, String>) -> Result<Task> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let state = |value: &Value| TaskState::from(value.as_str().unwrap_or_default());
    let id = value["ID"].as_str().context("a task without an id")?.to_owned();
    let slot = value["Slot"].as_u64().filter(|slot| *slot > 0).map(|slot| slot.to_string());
    Ok(Task {
        service: text(&value["ServiceID"]),
        slot: slot.unwrap_or_else(|| text(&value["NodeID"])),
        node: nodes.get(&id).cloned().unwrap_or_default(),
        state: state(&value["Status"]["State"]),
        desired: state(&value["DesiredState"]),
        error: text(&value["Status"]["Err"]),
        since: value["Status"]["Timestamp"].as_str().and_then(|time| time.parse().ok()),
        container: text(&value["Status"]["ContainerStatus"]["ContainerID"]),
        created: text(&value["CreatedAt"]),
        iteration: value["JobIteration"]["Index"].as_u64().unwrap_or_default(),
        spec: Json::of(&value["Spec"]),
        id,
    })
}

impl Task {
    pub fn has_failed(&self) -> bool {
        self.state.has_failed()
    }

    /// Whether its node had no image to start it from: docker's word for a pull that failed, whatever for.
    pub fn lacked_its_image(&self) -> bool {
        self.error.contains("No such image")
    }

    /// Whether Swarm has given it up for another, or for none.
    pub fn is_over(&self) -> bool {
        self.desired.is_over()
    }

    /// Its error and node, for people.
    pub fn complaint(&self) -> Option<String> {
        let error = self.error.trim();
        if error.is_empty() {
            return None;
        }
        Some(if self.node.is_empty() { error.to_owned() } else { format!("{error} (on `{}`)", self.node) })
    }

    /// Whether it was made from `template`. Swarm adds defaults to what `service inspect` shows, and moves
    /// no task for its placement alone (swarmkit `isTaskDirty`), so both are passed over.
    pub fn runs(&self, template: &Json) -> bool {
        *template == self.spec || is_made_from(&self.spec.value(), &template.value())
    }
}

fn is_made_from(spec: &Value, template: &Value) -> bool {
    let keys: std::collections::BTreeSet<_> =
        [template, spec].iter().filter_map(|value| value.as_object()).flat_map(|map| map.keys()).collect();
    keys.into_iter()
        .filter(|key| !["Placement", "Runtime", "ForceUpdate", "RestartPolicy"].contains(&key.as_str()))
        .all(|key| same(&template[key.as_str()], &spec[key.as_str()]))
        && number(&template["ForceUpdate"]) == number(&spec["ForceUpdate"])
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

/// Ten seconds: the grace period that `service inspect` fills in.
const DEFAULT_GRACE: u64 = 10_000_000_000;

/// Whether the service's `wanted` and the task's `had` say the same, defaults apart.
fn same(wanted: &Value, had: &Value) -> bool {
    let empty = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Number(number) => number.as_u64().is_some_and(|number| number == 0 || number == DEFAULT_GRACE),
        Value::Bool(true) => false,
    };
    match (wanted, had) {
        (Value::Object(one), Value::Object(other)) => {
            one.keys().chain(other.keys()).all(|key| same(&wanted[key.as_str()], &had[key.as_str()]))
        }
        (Value::Object(one), Value::Null) => one.values().all(|value| same(value, &Value::Null)),
        (one, other) => one == other || (empty(one) && empty(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn runs(spec: &Value, template: &Value) -> bool {
        with_spec(spec).runs(&Json::of(template))
    }

    fn with_spec(spec: &Value) -> Task {
        read(&[json!({"ID": "t", "Slot": 1, "Spec": spec})], &BTreeMap::new()).unwrap().remove(0)
    }

    #[test]
    fn defaults_that_inspect_fills_in_make_no_difference() {
        let template = json!({
            "ContainerSpec": {"Image": "a", "StopGracePeriod": 10_000_000_000_u64, "DNSConfig": {},
                "Privileges": {"CredentialSpec": null, "NoNewPrivileges": false}},
            "RestartPolicy": {"Condition": "any"}, "Placement": {}, "Runtime": "container", "ForceUpdate": 0
        });
        let spec = json!({"ContainerSpec": {"Image": "a", "Privileges": {"CredentialSpec": null}},
            "Placement": {"Platforms": [{"OS": "linux"}]}, "ForceUpdate": 0});
        assert!(runs(&spec, &template));
    }

    #[test]
    fn an_edit_makes_one() {
        let template = json!({"ContainerSpec": {"Image": "a", "Env": ["A=1"]}, "ForceUpdate": 1});
        assert!(!runs(&json!({"ContainerSpec": {"Image": "a"}, "ForceUpdate": 1}), &template));
        assert!(!runs(&json!({"ContainerSpec": {"Image": "a", "Env": ["A=1"]}}), &template));
        assert!(runs(&json!({"ContainerSpec": {"Image": "a", "Env": ["A=1"]}, "ForceUpdate": 1}), &template));
    }

    #[test]
    fn node_names_may_be_missing() {
        let nodes = nodes("abc node1\ndef \nghi\n");
        assert_eq!(nodes["abc"], "node1");
        assert_eq!((&*nodes["def"], &*nodes["ghi"]), ("", ""));
    }
}
