//! The last words of a task: the end of its own log, and what its health check said.
//!
//! Only ever its own, a few lines, and made plain: a container may write anything. Where they cannot be had there
//! are none; that is no error.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde_json::Value;

use super::logs::{LogEnd, LogOf, Tail};
use super::state::TaskState;
use super::task::{self, Task};
use super::{Docker, command};
use crate::plain;
use crate::redact::without_credentials;

/// So long the log of a task may take to come: its node may be gone.
const LIMIT: Duration = Duration::from_secs(3);
/// So many lines are told of health checks, and of a task that somebody asks for by its id.
const LINES: usize = 10;
/// So many letters of each.
const LETTERS: usize = 200;
/// So many are read of each: what an address holds is taken out before it is cut.
const READ: usize = 4_000;

impl Docker {
    /// The last words of a task of `service` as lines that go on below an error; empty where there are none. One
    /// docker call, two of a task that its health check ended.
    pub fn last_words(&self, service: &str, task: &Task, most: usize) -> String {
        if task.container.is_empty() {
            return String::new();
        }
        let mut text =
            titled(&format!("the last lines of `{service}`"), &lines(&self.end_of_log(&task.id, most), most));
        if task.error.contains("unhealthy") || task.state == TaskState::Starting {
            // Known only where the container is on this node.
            let health = self.words(&command::container_health(&task.container));
            text += &titled(&format!("the health check of `{service}`"), &lines(&last_check(&health), LINES));
        }
        text
    }

    /// Likewise of one that is known by its id.
    pub fn last_words_of(&self, service: &str, id: &str) -> String {
        let inspected = self.inspect(&command::task_inspect(&[id]));
        let tasks = inspected.and_then(|tasks| task::read(&tasks, &BTreeMap::new())).unwrap_or_default();
        tasks.first().map(|task| self.last_words(service, task, LINES)).unwrap_or_default()
    }

    /// The last lines of a task, of both its outputs by their times; nothing of one that does not tell them in time.
    fn end_of_log(&self, task: &str, most: usize) -> String {
        let of = LogOf { id: task, tail: Tail::Lines(most), since: None, follow: false };
        let mut records = Vec::new();
        let limit = LIMIT.min(self.question);
        let ended = self.read_log(&of, limit, &AtomicBool::new(false), &mut |record| records.push(record));
        if !matches!(ended, Ok(LogEnd::Told(_))) {
            return String::new();
        }
        records.sort_by_key(|record| record.time);
        records.into_iter().map(|record| record.message + "\n").collect()
    }

    /// All that a call says, if it says it in time.
    fn words(&self, call: &[String]) -> String {
        match self.raw(call, LIMIT.min(self.question), None, None) {
            Ok(output) if output.success => output.stdout,
            _ => String::new(),
        }
    }
}

/// What the last health check said that failed.
fn last_check(health: &str) -> String {
    let health: Value = serde_json::from_str(health).unwrap_or_default();
    let failed = |check: &&Value| check["ExitCode"] != 0;
    let last = health["Log"].as_array().and_then(|checks| checks.iter().rev().find(failed));
    last.and_then(|check| check["Output"].as_str()).unwrap_or_default().to_owned()
}

/// The last lines that say anything, each made plain and cut.
fn lines(text: &str, most: usize) -> Vec<String> {
    let all = text.lines().map(str::trim_end).filter(|line| !line.trim().is_empty());
    let mut last: Vec<_> = all.rev().take(most).map(line).collect();
    last.reverse();
    last
}

fn line(line: &str) -> String {
    let start: String = line.chars().take(READ).collect();
    let whole = plain::line(&without_credentials(&start));
    match whole.char_indices().nth(LETTERS) {
        Some((end, _)) => format!("{}…", &whole[..end]),
        None => whole,
    }
}

fn titled(title: &str, lines: &[String]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    // Deeper than the margin, and behind a bar: none of it looks like a line of our own.
    format!("\n  {title}:\n    | {}", lines.join("\n    | "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_cut_in_both_directions_and_cannot_drive_a_terminal() {
        let text = (0..50).map(|number| format!("line {number}")).collect::<Vec<_>>().join("\r\n\n");
        assert_eq!(lines(&text, LINES).len(), 10);
        assert_eq!(lines(&text, LINES)[9], "line 49");
        let hostile = lines("\u{1b}[2Jfailed    web  x\u{202e} https://u:hunter2@h/r", LINES);
        assert_eq!(hostile, ["\\u{1b}[2Jfailed    web  x\\u{202e} https://…@h/r"]);
        let long = lines(&"é\u{7}".repeat(1_000_000), LINES);
        assert_eq!(long[0].chars().count(), 201);
        let cut = lines(&format!("{} https://u:hunter2@h/r", "x".repeat(180)), LINES);
        assert!(cut[0].ends_with(" https://…@h/r"), "{cut:?}");
    }

    #[test]
    fn below_an_error_they_stand_behind_a_bar() {
        let words = titled("its health check", &lines("failed    web\nhint: x", LINES));
        assert_eq!(words, "\n  its health check:\n    | failed    web\n    | hint: x");
        assert_eq!(plain::text(&words), words);
        assert_eq!(titled("x", &[]), "");
    }

    #[test]
    fn of_health_checks_the_last_that_failed_counts() {
        let health = r#"{"Log": [{"ExitCode": 1, "Output": "one"}, {"ExitCode": 2, "Output": "two"},
            {"ExitCode": 0, "Output": "fine"}]}"#;
        assert_eq!(last_check(health), "two");
        assert_eq!((&*last_check("null"), &*last_check("")), ("", ""));
    }
}
