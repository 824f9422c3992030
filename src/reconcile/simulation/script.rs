//! `tests/swarm_stories.txt`, as the simulated Swarm and the real one read it: no more of this crate is used here,
//! for the integration tests use the same file.

use std::collections::BTreeSet;
use std::fmt;

/// What is done to the one service of a stack.
#[derive(Debug, Clone)]
pub enum Act {
    Deploy { version: u16, replicas: u64, behaviour: String, on_failure: String },
    Scale(u64),
    Remove,
}

/// An act, and what is seen once it came to rest.
#[derive(Debug, Clone)]
pub struct Step {
    pub act: Act,
    pub seen: String,
}

/// The stories by name.
pub fn stories(text: &str) -> Vec<(String, Vec<Step>)> {
    let mut stories: Vec<(String, Vec<Step>)> = Vec::new();
    let mut act = None;
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<_> = line.split_whitespace().collect();
        let number = |word: &str| word.trim_start_matches(['V', '=', 'x']).parse().unwrap();
        match *words.as_slice() {
            ["story:", ..] => stories.push((line["story: ".len()..].to_owned(), Vec::new())),
            ["deploy", version, replicas, behaviour, on_failure] => {
                let (behaviour, on_failure) = (behaviour.to_owned(), on_failure.to_owned());
                let version = u16::try_from(number(version)).unwrap();
                act = Some(Act::Deploy { version, replicas: number(replicas), behaviour, on_failure });
            }
            ["scale", replicas] => act = Some(Act::Scale(number(replicas))),
            ["remove"] => act = Some(Act::Remove),
            ["=", ..] => {
                let step = Step { act: act.take().unwrap(), seen: line[2..].trim().to_owned() };
                stories.last_mut().unwrap().1.push(step);
            }
            _ => panic!("nobody understands {line:?}"),
        }
    }
    stories
}

/// A task: the variable of its container, and its two states.
#[derive(Debug, Clone)]
pub struct SeenTask {
    pub variable: String,
    pub state: String,
    pub desired: String,
}

/// What is seen of the service.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Its variable; `None` where it is not there.
    pub variable: Option<String>,
    pub replicas: u64,
    /// The states of its update since the act.
    pub updates: Vec<String>,
    pub tasks: Vec<SeenTask>,
}

impl Seen {
    /// Takes note of a state of the update, if it is another one. Whether anybody saw it begin is a matter of looks.
    pub fn update(&mut self, state: &str) {
        if state != "updating" {
            self.updates.retain(|known| known != "updating");
        }
        if !state.is_empty() && self.updates.last().is_none_or(|last| last != state) {
            self.updates.push(state.to_owned());
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(variable) = &self.variable else { return f.write_str("nothing") };
        let is_running = |task: &&SeenTask| task.state == "running" && task.desired == "running";
        let mut run: Vec<_> =
            self.tasks.iter().filter(is_running).map(|task| task.variable.clone()).collect();
        run.sort_unstable();
        let ended = |task: &&SeenTask| matches!(&*task.state, "failed" | "rejected" | "complete");
        let ended: BTreeSet<_> =
            self.tasks.iter().filter(ended).map(|task| format!("{} {}", task.variable, task.state)).collect();
        let ended: Vec<_> = ended.into_iter().collect();
        let parts = [
            format!("{variable} x{}", self.replicas),
            self.updates.join(" "),
            run.join(" "),
            ended.join(" "),
        ];
        let parts: Vec<_> = parts.iter().map(|part| part.trim()).collect();
        f.write_str(parts.join(" | ").replace("  ", " ").trim())
    }
}
