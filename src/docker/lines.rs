//! The tasks of all services at once, a line each: what a look at everybody's health costs, one call.
//!
//! `service ps` tells neither exact times nor specs, but asks nothing of each task or service by itself.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::state::TaskState;
use super::{ANOTHER, Docker, UNWELL, command, garbage, parse_line, refused, some_are_gone};
use crate::fault::OrHint;

/// One task, as `service ps` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub id: String,
    /// Its service's id.
    pub service: String,
    /// Its slot, Swarm's word: a number, or a node's id for global services.
    pub slot: String,
    /// The id of its node, empty while it has none.
    pub node: String,
    /// Where Swarm wants it.
    pub desired: TaskState,
    /// Where it is.
    pub state: TaskState,
    /// For how long, as coarsely as docker says it, and never longer than it is; `None` if it does not say.
    pub age: Option<Duration>,
    /// What went wrong, in docker's words; may be empty.
    pub error: String,
}

impl Line {
    pub fn has_failed(&self) -> bool {
        self.state.has_failed()
    }

    /// Whether Swarm has given it up for another, or for none.
    pub fn is_over(&self) -> bool {
        self.desired.is_over()
    }

    /// Whether it runs, and is to.
    pub fn runs(&self) -> bool {
        self.state == TaskState::Running && self.desired == TaskState::Running
    }
}

/// A node of the Swarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its host name.
    pub name: String,
    /// Whether Swarm starts tasks there: it is ready and active.
    pub takes_tasks: bool,
}

#[derive(Deserialize)]
struct RawTask {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "Node", default)]
    node: String,
    #[serde(rename = "DesiredState", default)]
    desired: String,
    #[serde(rename = "CurrentState", default)]
    current: String,
    #[serde(rename = "Error", default)]
    error: String,
}

#[derive(Deserialize)]
struct RawNode {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Hostname", default)]
    name: String,
    #[serde(rename = "Status", default)]
    status: String,
    #[serde(rename = "Availability", default)]
    availability: String,
}

impl Docker {
    /// The tasks of the services `ids`, old ones included, the newest of each slot first: one call, none for no
    /// service. Services that are gone meanwhile have none.
    pub fn task_lines(&self, ids: &[&str]) -> Result<Vec<Line>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let call = command::service_ps_lines(ids);
        let output = self.raw(&call, self.question, None, None)?;
        if !output.success && !some_are_gone(&output) {
            return Err(refused(&call, &output)).or_hint(UNWELL);
        }
        read(&output.stdout).with_context(|| garbage(&call, &output.stdout)).or_hint(ANOTHER)
    }

    /// The nodes by id: one call.
    pub fn nodes(&self) -> Result<BTreeMap<String, Node>> {
        let call = command::node_ls();
        let output = self.ask(&call)?;
        nodes(&output.stdout).with_context(|| garbage(&call, &output.stdout)).or_hint(ANOTHER)
    }
}

/// Reads what `service ps --no-resolve` prints, a JSON object a line.
pub fn read(text: &str) -> Result<Vec<Line>> {
    text.lines().map(parse_line::<RawTask>).map(|raw| raw.map(line)).collect()
}

fn nodes(text: &str) -> Result<BTreeMap<String, Node>> {
    let node = |raw: RawNode| {
        let takes_tasks = raw.status == "Ready" && raw.availability == "Active";
        (raw.id, Node { name: raw.name, takes_tasks })
    };
    text.lines().map(parse_line::<RawNode>).map(|raw| raw.map(node)).collect()
}

fn line(raw: RawTask) -> Line {
    // Unresolved it is `<service id>.<slot or node id>`.
    let (service, slot) = raw.name.rsplit_once('.').unwrap_or((&raw.name, ""));
    let (state, age) = raw.current.split_once(' ').unwrap_or((&raw.current, ""));
    let error = raw.error.trim();
    let unquoted = error.strip_prefix('"').and_then(|error| error.strip_suffix('"'));
    Line {
        service: service.to_owned(),
        slot: slot.to_owned(),
        node: raw.node,
        desired: raw.desired.to_lowercase().as_str().into(),
        state: state.to_lowercase().as_str().into(),
        age: age_of(age),
        error: unquoted.unwrap_or(error).trim().to_owned(),
        id: raw.id,
    }
}

/// `5 minutes ago`, `About an hour ago`, `Less than a second ago` (go-units' `HumanDuration`).
fn age_of(words: &str) -> Option<Duration> {
    let words = words.to_lowercase();
    let words = words.strip_suffix(" ago").unwrap_or(&words);
    if words == "less than a second" {
        return Some(Duration::ZERO);
    }
    let (count, unit) = words.strip_prefix("about ").unwrap_or(words).split_once(' ')?;
    let count: u64 = if matches!(count, "a" | "an") { 1 } else { count.parse().ok()? };
    let seconds = match unit.strip_suffix('s').unwrap_or(unit) {
        "second" => 1,
        "minute" => 60,
        // From here on docker rounds, up too.
        "hour" => return Some(Duration::from_secs((count * 3600).saturating_sub(1800))),
        "day" => 86_400,
        "week" => 7 * 86_400,
        "month" => 30 * 86_400,
        "year" => 365 * 86_400,
        _ => return None,
    };
    Some(Duration::from_secs(count.saturating_mul(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_every_release_are_read() {
        let text = concat!(
            r#"{"CurrentState":"Running 5 minutes ago","DesiredState":"Running","Error":"","ID":"a","Image":"i","Name":"s1.2","Node":"n1","Ports":""}"#,
            "\n",
            r#"{"CurrentState":"Failed 12 seconds ago","DesiredState":"Shutdown","Error":"\"task: non-zero exit (1)\"","ID":"b","Name":"s1.n7","Node":"n7"}"#,
            "\n",
            r#"{"CurrentState":"New","DesiredState":"Ready","ID":"c","Name":"s2.1"}"#,
        );
        let lines = read(text).unwrap();
        let first = &lines[0];
        assert_eq!((&*first.id, &*first.service, &*first.slot, &*first.node), ("a", "s1", "2", "n1"));
        assert!(first.runs() && !first.is_over() && first.error.is_empty());
        assert_eq!(first.age, Some(Duration::from_secs(300)));
        assert!(lines[1].has_failed() && lines[1].is_over());
        assert_eq!((&*lines[1].slot, &*lines[1].error), ("n7", "task: non-zero exit (1)"));
        assert_eq!((lines[2].state.as_str(), lines[2].age, &*lines[2].node), ("new", None, ""));
        assert_eq!(read("").unwrap(), []);
        assert!(read("Cannot connect").is_err());
    }

    #[test]
    fn ages_are_read_as_docker_says_them_and_never_longer_than_they_are() {
        let hour = 3600;
        for (words, seconds) in [
            ("less than a second ago", 0),
            ("Less than a second ago", 0),
            ("1 second ago", 1),
            ("59 seconds ago", 59),
            ("About a minute ago", 60),
            ("about a minute ago", 60),
            ("45 minutes ago", 45 * 60),
            ("About an hour ago", hour / 2),
            ("3 hours ago", 3 * hour - hour / 2),
            ("2 days ago", 48 * hour),
            ("3 weeks ago", 21 * 24 * hour),
            ("5 months ago", 150 * 24 * hour),
            ("2 years ago", 730 * 24 * hour),
        ] {
            assert_eq!(age_of(words), Some(Duration::from_secs(seconds)), "{words}");
        }
        for words in ["", "ago", "soon", "x minutes ago", "3 lustra ago", "-4 seconds ago"] {
            assert_eq!(age_of(words), None, "{words}");
        }
    }

    #[test]
    fn a_node_takes_tasks_while_it_is_ready_and_active() {
        let takes_tasks = |status: &str, availability: &str| {
            let text = format!(
                r#"{{"ID":"n1","Hostname":"node1","Status":"{status}","Availability":"{availability}","Self":true}}"#
            );
            let node = nodes(&text).unwrap().remove("n1").unwrap();
            assert_eq!(node.name, "node1");
            node.takes_tasks
        };
        assert!(takes_tasks("Ready", "Active"));
        assert!(
            !takes_tasks("Down", "Active")
                && !takes_tasks("Ready", "Drain")
                && !takes_tasks("Ready", "Pause")
        );
    }
}
