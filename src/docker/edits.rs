//! What the last update of a service changed, part by part: docker keeps the spec from before it. Names alone, no value.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::spec;

/// By part, as a summary has them.
pub type Edits = BTreeMap<String, Edit>;

/// What tells the entries of a list apart, the first that all of them have.
const IDENTITIES: [&str; 5] = ["Target", "ConfigName", "SecretName", "PublishedPort", "TargetPort"];
/// So many names are told.
const TOLD: usize = 3;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The part's hash from before; `None` where there was no such part.
    before: Option<String>,
    /// The variables, labels, paths or fields that differ; none where the part has no names.
    names: Vec<String>,
}

/// Between the spec before and the one that is; none where there is no earlier one.
pub fn edits(previous: &Value, spec: &Value) -> Edits {
    if previous.is_null() {
        return Edits::new();
    }
    let (before, now) = (spec::parts_of(previous), spec::parts_of(spec));
    let keys: BTreeSet<_> = before.keys().chain(now.keys()).collect();
    let differ = keys.into_iter().filter(|key| before.get(*key) != now.get(*key));
    let edit = |key: &String| {
        let (before, now) = (before.get(key), now.get(key));
        let [old, new] = [before, now].map(|part| part.map(|part| named(key, part)).unwrap_or_default());
        let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
        let names = names.into_iter().filter(|name| !name.is_empty() && old.get(*name) != new.get(*name));
        Edit { before: before.map(|part| spec::sum(key, part)), names: names.cloned().collect() }
    };
    differ.map(|key| (key.clone(), edit(key))).collect()
}

/// The names of what differs in a part from what it was when it had that hash; nothing where that is not known.
pub fn names(edits: &Edits, part: &str, applied: Option<&String>) -> String {
    // A hand that edited it twice left nothing to compare with.
    let edit = edits.get(part).filter(|edit| edit.before.as_ref() == applied && !edit.names.is_empty());
    let Some(Edit { names, .. }) = edit else { return String::new() };
    let told: Vec<_> = names.iter().take(TOLD).map(|name| format!("`{name}`")).collect();
    let more = names.len() - told.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!(" ({}{more})", told.join(", "))
}

/// The values of a part by their names.
fn named(part: &str, value: &Value) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    match value {
        Value::Array(lines) if part == "environment" => {
            for line in lines.iter().filter_map(Value::as_str) {
                let (name, value) = line.split_once('=').unwrap_or((line, ""));
                out.insert(name.to_owned(), value.to_owned());
            }
        }
        _ => leaves("", value, part.ends_with("labels"), &mut out),
    }
    out
}

/// Fields by their paths, `limits.memory`, and entries of lists by what tells them apart, `/data`. Labels have their own names.
fn leaves(path: &str, value: &Value, is_plain: bool, out: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let key = if is_plain { key.clone() } else { word(key) };
                let path = if path.is_empty() { key } else { format!("{path}.{key}") };
                leaves(&path, value, is_plain, out);
            }
        }
        Value::Array(entries) => match identity(entries) {
            Some(identity) => {
                for entry in entries {
                    let name = entry[identity].as_str().map(str::to_owned);
                    out.insert(name.unwrap_or_else(|| entry[identity].to_string()), entry.to_string());
                }
            }
            None => drop(out.insert(path.to_owned(), value.to_string())),
        },
        other => drop(out.insert(path.to_owned(), other.to_string())),
    }
}

fn identity(entries: &[Value]) -> Option<&'static str> {
    let all_have = |field: &&str| !entries.is_empty() && entries.iter().all(|entry| !entry[*field].is_null());
    IDENTITIES.into_iter().find(|field| all_have(field))
}

/// A field of docker's API as compose files have it.
fn word(key: &str) -> String {
    match key {
        "MemoryBytes" => return "memory".to_owned(),
        "NanoCPUs" => return "cpus".to_owned(),
        _ => {}
    }
    let mut out = String::new();
    for letter in key.chars() {
        if letter.is_ascii_uppercase() && out.chars().last().is_some_and(|last| last.is_ascii_lowercase()) {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec() -> Value {
        json!({
            "Labels": {"dockerops.repository": "r", "Tier": "one"},
            "TaskTemplate": {
                "ContainerSpec": {
                    "Env": ["A=1", "B=2", "C=3", "D=4"], "Args": ["sleep", "1"],
                    "Mounts": [{"Source": "v", "Target": "/data"}, {"Source": "w", "Target": "/logs"}],
                },
                "Resources": {"Limits": {"MemoryBytes": 1, "NanoCPUs": 2}},
            },
            "UpdateConfig": {"FailureAction": "pause", "Parallelism": 1},
            "EndpointSpec": {"Mode": "vip", "Ports": [{"PublishedPort": 80, "TargetPort": 80}]},
        })
    }

    /// What is told of an edit, where the spec before it was what was applied.
    fn told(path: &str, value: Value) -> Vec<String> {
        let (before, mut now) = (spec(), spec());
        *now.pointer_mut(path).unwrap() = value;
        spec::differences(&spec::summarise(&before), &spec::summarise(&now), &edits(&before, &now))
    }

    #[test]
    fn an_edit_names_the_variable_the_label_the_path_or_the_field() {
        for (path, value, what) in [
            (
                "/TaskTemplate/ContainerSpec/Env",
                json!(["A=1", "B=x", "C=3", "D=4"]),
                "`environment` edited (`B`)",
            ),
            (
                "/TaskTemplate/ContainerSpec/Env",
                json!(["E=1"]),
                "`environment` edited (`A`, `B`, `C` and 2 more)",
            ),
            ("/Labels/Tier", json!("two"), "`service labels` edited (`Tier`)"),
            ("/TaskTemplate/ContainerSpec/Mounts/1/Source", json!("x"), "`volumes` edited (`/logs`)"),
            ("/TaskTemplate/Resources/Limits/MemoryBytes", json!(9), "`resources` edited (`limits.memory`)"),
            ("/UpdateConfig/FailureAction", json!("continue"), "`update_config` edited (`failure_action`)"),
            ("/EndpointSpec/Ports/0/TargetPort", json!(8080), "`ports` edited (`80`)"),
            ("/TaskTemplate/ContainerSpec/Args", json!(["sleep", "2"]), "`command` edited"),
        ] {
            assert_eq!(told(path, value), [what], "{path}");
        }
    }

    #[test]
    fn what_was_edited_twice_names_nothing_that_may_be_wrong() {
        let [applied, mut once, mut twice] = [spec(), spec(), spec()];
        once["TaskTemplate"]["ContainerSpec"]["Env"] = json!(["A=x"]);
        twice["TaskTemplate"]["ContainerSpec"]["Env"] = json!(["A=x", "B=x"]);
        let edits = edits(&once, &twice);
        assert!(!format!("{edits:?}").contains("=x"), "{edits:?}");
        let differences = spec::differences(&spec::summarise(&applied), &spec::summarise(&twice), &edits);
        assert_eq!(differences, ["`environment` edited"]);
        assert!(super::edits(&Value::Null, &spec()).is_empty());
    }
}
