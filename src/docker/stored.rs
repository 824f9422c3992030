//! Configs and secrets as Swarm stores them: which there are, which are in use, and their removal.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use serde_json::Value;

use super::command::{self, NAMESPACE};
use super::{ANOTHER, Docker, garbage, parse_line, words};
use crate::fault::OrHint;
use crate::stack::{StackName, StoredKind};

/// A config or secret of a stack; its content is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Which of both.
    pub kind: StoredKind,
    pub id: String,
    pub name: String,
    /// The stack that its label names.
    pub stack: StackName,
    /// The value of the label that was asked for; empty where it has none.
    pub mark: String,
}

impl Docker {
    /// The configs and secrets of all stacks, each with the value of the label `mark`: two calls.
    pub fn stored(&self, mark: &str) -> Result<Vec<Stored>> {
        let mut all = Vec::new();
        for kind in StoredKind::ALL {
            all.extend(self.listed(kind, &command::stored_ls(kind, mark))?);
        }
        Ok(all)
    }

    /// The configs that have the label `mark`, of a stack or not: one call.
    pub fn marked_configs(&self, mark: &str) -> Result<Vec<Stored>> {
        self.listed(StoredKind::Config, &command::marked_configs(mark))
    }

    fn listed(&self, kind: StoredKind, call: &[String]) -> Result<Vec<Stored>> {
        let output = self.ask(call)?;
        let read = |line| {
            let read = parse_line::<[String; 4]>(line).with_context(|| garbage(call, &output.stdout));
            let [id, name, stack, mark] = read.or_hint(ANOTHER)?;
            Ok(Stored { kind, id, name, stack: StackName::known(stack), mark })
        };
        output.stdout.lines().map(read).collect()
    }

    /// Those of `ids` that a service uses, of a stack or not, or would after `docker service rollback`: two
    /// calls. docker itself refuses to remove only the former.
    pub fn in_use<'a>(&self, ids: &BTreeSet<&'a str>) -> Result<BTreeSet<&'a str>> {
        let listed = self.ask(&command::service_ids())?.stdout;
        let services: Vec<_> = listed.split_whitespace().collect();
        let mut used = BTreeSet::new();
        if services.is_empty() {
            return Ok(used);
        }
        self.inspect_each(&command::service_inspect(&services), |service| {
            for spec in [&service["Spec"], &service["PreviousSpec"]] {
                gather(spec, ids, &mut used);
            }
        })?;
        Ok(used)
    }

    /// Removes one, never by force; `Err` holds docker's reason to keep it.
    pub fn remove_stored(&self, stored: &Stored) -> Result<Result<(), String>> {
        let output = self.raw(&command::stored_rm(stored.kind, &stored.id), self.action, None, None)?;
        let said = output.stderr.to_lowercase();
        let gone = output.success || said.contains("no such") || said.contains("not found");
        Ok(if gone { Ok(()) } else { Err(words(&output)) })
    }
}

/// Adds those of `ids` that stand anywhere in `spec`: mounts and credential specs write them differently.
fn gather<'a>(spec: &Value, ids: &BTreeSet<&'a str>, used: &mut BTreeSet<&'a str>) {
    match spec {
        Value::String(text) => used.extend(ids.get(text.as_str()).copied()),
        Value::Array(items) => items.iter().for_each(|item| gather(item, ids, used)),
        Value::Object(map) => map.values().for_each(|value| gather(value, ids, used)),
        _ => {}
    }
}

/// A template that prints one as a JSON array of id, name, stack and mark.
pub(super) fn format(mark: &str) -> String {
    format!(
        r#"[{{{{json .ID}}}},{{{{json .Name}}}},{{{{json (.Label "{NAMESPACE}")}}}},{{{{json (.Label "{mark}")}}}}]"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_template_asks_for_four_strings() {
        assert_eq!(
            format("m"),
            r#"[{{json .ID}},{{json .Name}},{{json (.Label "com.docker.stack.namespace")}},{{json (.Label "m")}}]"#
        );
    }

    #[test]
    fn an_id_is_found_wherever_it_stands() {
        let ids = BTreeSet::from(["a1", "b2", "c3"]);
        let mut used = BTreeSet::new();
        let container =
            json!({"Configs": [{"ConfigID": "a1"}], "Privileges": {"CredentialSpec": {"Config": "b2"}}});
        gather(&json!({"TaskTemplate": {"ContainerSpec": container}}), &ids, &mut used);
        assert_eq!(used, BTreeSet::from(["a1", "b2"]));
    }
}
