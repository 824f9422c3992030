//! What services print, for people and programs: of several services at once, in order of time, bounded, and made plain.
//!
//! In: services of a stack, and how far back. Out: lines that say whose they are, and notes of what is not among them.
//! Who may read them is for those to say who ask.

mod follow;
mod names;
mod newest;
mod wish;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use chrono::SecondsFormat;
use serde::Serialize;

use crate::docker::Docker;
use crate::docker::logs::{LogEnd, LogOf, Record};
use crate::docker::service::Service;
use crate::fault::fault;
use crate::plain;
use crate::process::Pipe;
use crate::redact::without_credentials;
use names::Names;
use newest::Newest;

pub use follow::{Removed, follow};
pub use wish::Wish;

/// So many logs of one reading are read side by side.
const AT_ONCE: usize = 8;

/// How much one reading may take.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Memory for lines, of all services together.
    pub bytes: usize,
    pub time: Duration,
}

/// One line, as it is told; `--json` prints these fields, which docs/commands.md documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// RFC 3339, by the clock of its node.
    pub time: String,
    /// The service's full name.
    pub service: String,
    /// As `docker service ps` names it: `web_app.1`, and `web_app.<node id>` of a global service.
    pub task: String,
    /// The name of its node.
    pub node: String,
    pub stream: &'static str,
    pub message: String,
}

impl Line {
    /// Whose it is: `web_app.1@node1`, and `web_app@node1` of a global service, which has one task a node.
    pub fn mark(&self) -> String {
        let slot = self.task.rsplit_once('.').map_or("", |(_, slot)| slot);
        let is_number = !slot.is_empty() && slot.bytes().all(|byte| byte.is_ascii_digit());
        format!("{}@{}", if is_number { &self.task } else { &self.service }, self.node)
    }
}

/// What was read.
#[derive(Debug, Default)]
pub struct Told {
    /// The oldest first.
    pub lines: Vec<Line>,
    /// What is not among them, and why.
    pub notes: Vec<String>,
}

impl Told {
    fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.notes.is_empty()
    }
}

/// Those of a stack's services that are meant: all, or the one that is called so, with or without the stack's name.
pub fn choose<'a>(stack: &str, services: &[&'a Service], wanted: Option<&str>) -> Result<Vec<&'a Service>> {
    if services.is_empty() {
        return Err(fault(
            format!("the stack `{stack}` has no service in the Swarm"),
            "`dockerops status` tells how it fares",
        ));
    }
    let Some(wanted) = wanted else { return Ok(services.to_vec()) };
    let short = |service: &Service| {
        service.name.strip_prefix(&format!("{stack}_")).unwrap_or(&service.name).to_owned()
    };
    let found = services.iter().find(|service| short(service) == wanted || service.name == wanted);
    found.map(|service| vec![*service]).ok_or_else(|| {
        let names: Vec<_> = services.iter().map(|service| format!("`{}`", short(service))).collect();
        fault(
            format!("the stack `{stack}` has no service `{wanted}`"),
            format!("it has {}", names.join(", ")),
        )
    })
}

/// The newest lines of these services. `fewer` says how to ask for fewer of them.
pub fn read(
    docker: &Docker,
    services: &[&Service],
    wish: &Wish,
    bounds: Bounds,
    fewer: &str,
) -> Result<Told> {
    let next = AtomicUsize::new(0);
    let read = Mutex::new(Vec::new());
    let share = bounds.bytes / services.len().max(1);
    let names = thread::scope(|threads| {
        for _ in 0..services.len().min(AT_ONCE) {
            threads.spawn(|| {
                while let Some(service) = services.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mut newest = Newest::new(wish, share);
                    let of = LogOf { id: &service.id, tail: wish.tail, since: wish.since, follow: false };
                    let end = docker.read_log(&of, bounds.time, &AtomicBool::new(false), &mut |record| {
                        newest.take(record);
                    });
                    read.lock().unwrap_or_else(PoisonError::into_inner).push((*service, newest, end));
                }
            });
        }
        Names::ask(docker, services)
    })?;
    let mut read = read.into_inner().unwrap_or_else(PoisonError::into_inner);
    read.sort_by(|(one, ..), (other, ..)| one.name.cmp(&other.name));
    let (mut records, mut notes) = (Vec::new(), Vec::new());
    for (service, newest, end) in read {
        notes.extend(said(&service.name, &end?, bounds.time));
        notes.extend(
            newest.left_out().map(|what| format!("`{}`: … {what} more were left out; {fewer}", service.name)),
        );
        if newest.is_empty() && service.template.value()["LogDriver"]["Name"] == "none" {
            notes.push(format!("`{}` keeps no log: its logging driver is `none`", service.name));
        }
        records.extend(newest.into_records().map(|record| (service.name.as_str(), record)));
    }
    records.sort_by_key(|(_, record)| record.time);
    let lines = records.into_iter().map(|(service, record)| line(service, &record, &names)).collect();
    Ok(Told { lines, notes })
}

/// What is to be said of how a reading ended.
fn said(service: &str, end: &LogEnd, limit: Duration) -> Option<String> {
    let words = match end {
        LogEnd::Told(words) | LogEnd::Failed(words) if !words.trim().is_empty() => words.trim(),
        LogEnd::Told(_) => return None,
        LogEnd::Failed(_) => "it failed, and said nothing",
        LogEnd::Cut => {
            let seconds = limit.as_secs();
            return Some(format!(
                "`{service}`: docker did not tell all within {seconds} s: the newest may be missing"
            ));
        }
    };
    Some(format!("`{service}`: docker: {}", plain::line(&without_credentials(words))))
}

fn line(service: &str, record: &Record, names: &Names) -> Line {
    let (task, node) = names.of(service, record);
    let mut message = plain::line(&without_credentials(&record.message));
    if record.is_cut {
        message.push('…');
    }
    Line {
        time: record.time.to_rfc3339_opts(SecondsFormat::Nanos, true),
        service: service.to_owned(),
        task,
        node,
        stream: match record.stream {
            Pipe::Out => "stdout",
            Pipe::Err => "stderr",
        },
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::hint_of;
    use serde_json::json;

    pub fn record(second: u32, task: &str, message: &str) -> Record {
        Record {
            time: format!("2026-11-23T07:00:{second:02}.5Z").parse().unwrap(),
            task: task.into(),
            node: "n1".into(),
            stream: Pipe::Out,
            message: message.into(),
            is_cut: false,
        }
    }

    #[test]
    fn a_line_says_whose_it_is_and_drives_nothing() {
        let names = Names::of_text("t1\tweb_app.1\tnode1\nt2\tweb_app.abcdef\tnode2\n");
        let hostile = "\u{1b}[31mred\u{7} | \rweb_app.2@node1 | x https://u:hunter2@h/r\u{202e}";
        let told = line("web_app", &record(1, "t1", hostile), &names);
        assert_eq!(told.mark(), "web_app.1@node1");
        let plain = "\\u{1b}[31mred\\u{7} | \\u{d}web_app.2@node1 | x https://…@h/r\\u{202e}";
        assert_eq!((&*told.message, &*told.time), (plain, "2026-11-23T07:00:01.500000000Z"));
        let global = line("web_app", &Record { is_cut: true, ..record(1, "t2", "x") }, &names);
        assert_eq!(
            (global.mark(), &*global.task, &*global.message),
            ("web_app@node2".into(), "web_app.abcdef", "x…")
        );
        let unknown = line("web_app", &record(1, "0123456789abcdef", "x"), &names);
        assert_eq!(unknown.mark(), "web_app@n1");
        assert_eq!(unknown.task, "web_app.0123456789abcdef");
    }

    #[test]
    fn a_service_is_named_with_or_without_its_stack_and_a_wrong_name_is_told_which_there_are() {
        let service = |name: &str| {
            let value = json!({"ID": name, "Spec": {"Name": name, "TaskTemplate": {}}});
            crate::docker::service::read(Vec::new(), vec![value]).unwrap().remove(0)
        };
        let (app, db) = (service("web_app"), service("web_db"));
        let all = [&app, &db];
        let names = |wanted| {
            choose("web", &all, wanted).map(|all| all.iter().map(|it| it.name.clone()).collect::<Vec<_>>())
        };
        assert_eq!(names(None).unwrap(), ["web_app", "web_db"]);
        assert_eq!(names(Some("db")).unwrap(), ["web_db"]);
        assert_eq!(names(Some("web_db")).unwrap(), ["web_db"]);
        let error = names(Some("cache")).unwrap_err();
        assert_eq!(error.to_string(), "the stack `web` has no service `cache`");
        assert_eq!(hint_of(&error), Some("it has `app`, `db`"));
        assert!(choose("web", &[], None).unwrap_err().to_string().contains("has no service in the Swarm"));
    }

    #[test]
    fn what_docker_says_beside_is_told_as_its_own() {
        let limit = Duration::from_secs(10);
        assert_eq!(said("a", &LogEnd::Told(String::new()), limit), None);
        let words = said("a", &LogEnd::Failed("error\nnode x is \u{1b}gone\n".into()), limit);
        assert_eq!(words.unwrap(), "`a`: docker: error node x is \\u{1b}gone");
        assert!(said("a", &LogEnd::Cut, limit).unwrap().contains("within 10 s"));
    }
}
