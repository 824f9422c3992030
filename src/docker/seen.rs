//! Tasks as they were at the last look: what has not moved since is not inspected again.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::task::{self, Task};
use super::{Docker, UNWELL, command, refused, some_are_gone};
use crate::fault::OrHint;

/// The tasks of some services, from look to look.
#[derive(Debug, Default)]
pub struct SeenTasks {
    /// Each task in one line: where it is, where it is wanted, on which node, and what is wrong with it.
    lines: BTreeSet<String>,
    tasks: Vec<Task>,
    moved: bool,
}

impl SeenTasks {
    /// As of the last look, newest first.
    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// Whether anything was another way than at the look before.
    pub fn has_moved(&self) -> bool {
        self.moved
    }

    pub(super) fn look(&mut self, docker: &Docker, services: &[&str]) -> Result<()> {
        let listed = if services.is_empty() { String::new() } else { list(docker, services)? };
        let lines: BTreeSet<_> = listed.lines().map(without_age).collect();
        self.moved = lines != self.lines;
        if !self.moved {
            return Ok(());
        }
        let new = inspect(docker, &lines.difference(&self.lines).map(String::as_str).collect())?;
        let known: BTreeSet<_> = lines.intersection(&self.lines).map(|line| id(line)).collect();
        self.tasks.retain(|task| known.contains(task.id.as_str()));
        self.tasks.extend(new);
        task::newest_first(&mut self.tasks);
        self.lines = lines;
        Ok(())
    }
}

fn list(docker: &Docker, services: &[&str]) -> Result<String> {
    let call = command::service_ps_states(services);
    let output = docker.raw(&call, docker.question, None, None)?;
    if !output.success && !some_are_gone(&output) {
        return Err(refused(&call, &output)).or_hint(UNWELL);
    }
    Ok(output.stdout)
}

/// Empty where the line begins with none.
fn id(line: &str) -> &str {
    let id = line.split('\t').next().unwrap_or_default();
    if id.bytes().all(|byte| byte.is_ascii_alphanumeric()) { id } else { "" }
}

fn inspect(docker: &Docker, lines: &BTreeSet<&str>) -> Result<Vec<Task>> {
    let node = |line: &str| line.split('\t').nth(1).unwrap_or_default().to_owned();
    let nodes: BTreeMap<_, _> = lines.iter().map(|line| (id(line).to_owned(), node(line))).collect();
    let ids: Vec<_> = nodes.keys().map(String::as_str).filter(|id| !id.is_empty()).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    docker.inspected_tasks(&ids, &nodes)
}

/// docker says `Running 5 seconds ago`: only the word tells whether the task moved.
fn without_age(line: &str) -> String {
    let mut fields: Vec<_> = line.splitn(5, '\t').collect();
    if let Some(state) = fields.get_mut(3) {
        *state = state.split(' ').next().unwrap_or_default();
    }
    fields.join("\t")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_only_grew_older_has_not_moved() {
        let line = |state: &str| without_age(&format!("id\tnode 1\tRunning\t{state}"));
        assert_eq!(line("Running 5 seconds ago"), line("Running 6 seconds ago"));
        assert_ne!(line("Running 5 seconds ago"), line("Failed 1 second ago"));
        assert_eq!(line("Running 5 seconds ago"), "id\tnode 1\tRunning\tRunning");
        assert_ne!(line("Pending 5 seconds ago\tno node"), line("Pending 6 seconds ago\tno room"));
        assert_eq!((id("a1\tnode"), id("--format x\tnode"), id("")), ("a1", "", ""));
    }
}
