//! What services print: `docker service logs`, read record by record.
//!
//! In: whose log. Out: records as docker has them, in docker's order, each with its time, task and node; nothing in them
//! is made fit to be shown. It holds no more than the record that is on its way, whatever the size of the log.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, SecondsFormat, Utc};

use super::{Docker, command, failed, refused, some_are_gone};
use crate::process::{self, Failure, Pipe};
use crate::signal;

/// docker cuts a line that is longer into records of so many bytes (moby `daemon/logger`), and ends none but the last.
const CHUNK: usize = 16 * 1024;
/// What stands before a message is shorter.
const LONGEST_HEAD: usize = 4 * 1024;
/// So much of docker's own words is kept.
const MOST_WORDS: usize = 2_000;
/// What docker tells of each record, by these names.
const NODE: &str = "com.docker.swarm.node.id=";
const TASK: &str = "com.docker.swarm.task.id=";

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub time: DateTime<Utc>,
    /// Its task's id.
    pub task: String,
    /// The id of its task's node.
    pub node: String,
    pub stream: Pipe,
    /// Without its end; what is not UTF-8 is replaced.
    pub message: String,
    /// Whether the line goes on, and the rest is not told.
    pub is_cut: bool,
}

/// How far back a log is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// So many lines of each task.
    Lines(usize),
    All,
}

/// Which part of whose log.
#[derive(Debug, Clone)]
pub struct LogOf<'a> {
    /// A service or a task, by its id.
    pub id: &'a str,
    pub tail: Tail,
    pub since: Option<DateTime<Utc>>,
    /// Whether what is printed from now on is awaited.
    pub follow: bool,
}

/// How a reading ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogEnd {
    /// docker told all; what it said beside, of a node that does not answer, say.
    Told(String),
    /// docker failed, and said this.
    Failed(String),
    /// It was cut off, for it took too long or nobody wants more.
    Cut,
}

impl Docker {
    /// The names of all tasks of the services `ids`, and of their nodes, a line each: one call.
    pub fn task_names(&self, ids: &[&str]) -> Result<String> {
        let call = command::service_ps_names(ids);
        let output = self.raw(&call, self.question, None, None)?;
        if output.success || some_are_gone(&output) {
            Ok(output.stdout)
        } else {
            Err(refused(&call, &output))
        }
    }

    /// Reads a log, for at most `limit`, until `stop` is set or a signal comes.
    pub fn read_log(
        &self,
        of: &LogOf<'_>,
        limit: Duration,
        stop: &AtomicBool,
        on_record: &mut dyn FnMut(Record),
    ) -> Result<LogEnd> {
        let tail = match of.tail {
            Tail::Lines(lines) => lines.to_string(),
            Tail::All => "all".to_owned(),
        };
        let since = of.since.map(|since| since.to_rfc3339_opts(SecondsFormat::Nanos, true));
        let call =
            self.call(&command::service_logs(of.id, &tail, since.as_deref(), of.follow), limit, None, None);
        let (mut out, mut err) = (Splitter::of(Pipe::Out), Splitter::of(Pipe::Err));
        let ended = process::listen(&call, stop, &mut |pipe, part| match pipe {
            Pipe::Out => out.take(part, on_record),
            Pipe::Err => err.take(part, on_record),
        });
        out.finish(on_record);
        err.finish(on_record);
        match ended {
            Ok(true) => Ok(LogEnd::Told(err.words)),
            Ok(false) => Ok(LogEnd::Failed(err.words)),
            Err(Failure::TimedOut(_)) if signal::received().is_none() => Ok(LogEnd::Cut),
            Err(failure) => Err(failed(&call, failure)),
        }
    }
}

/// Makes records of one output of docker's.
struct Splitter {
    stream: Pipe,
    pending: Vec<u8>,
    at: At,
    /// What docker itself said.
    words: String,
}

/// What comes next.
#[derive(PartialEq)]
enum At {
    Record,
    /// A record, or what is left of a chunk that was longer than docker makes them.
    Rest {
        task: String,
    },
    /// The end of a line that is not told.
    End,
}

impl Splitter {
    fn of(stream: Pipe) -> Self {
        Self { stream, pending: Vec::new(), at: At::Record, words: String::new() }
    }

    fn take(&mut self, part: &[u8], on_record: &mut dyn FnMut(Record)) {
        self.pending.extend_from_slice(part);
        let mut done = 0;
        while let Some(length) = self.step(done, on_record) {
            done += length;
        }
        self.pending.drain(..done);
    }

    /// What came without an end, of a log that was cut off.
    fn finish(&mut self, on_record: &mut dyn FnMut(Record)) {
        if !self.pending.is_empty() {
            self.take(b"\n", on_record);
        }
    }

    /// Takes one record, or one line of docker's own, off what is pending behind `from`; its length, `None` where more
    /// has to come first.
    fn step(&mut self, from: usize, on_record: &mut dyn FnMut(Record)) -> Option<usize> {
        let pending = &self.pending[from..];
        let line = pending.iter().take(CHUNK + LONGEST_HEAD + 1).position(|byte| *byte == b'\n');
        let may_be_cut = pending.len() > CHUNK + LONGEST_HEAD;
        if pending.is_empty() || line.is_none() && !may_be_cut {
            return None;
        }
        let whole = &pending[..line.unwrap_or(pending.len())];
        let head = Head::read(whole).filter(|_| self.at != At::End);
        let Some(head) = head else {
            let length = line.map_or(whole.len(), |end| end + 1);
            let is_docker = self.at == At::Record && self.stream == Pipe::Err;
            if is_docker && self.words.len() < MOST_WORDS {
                self.words += String::from_utf8_lossy(&whole[..whole.len().min(MOST_WORDS)]).trim_end();
                self.words.push('\n');
            }
            self.at = if line.is_some() { At::Record } else { At::End };
            return Some(length);
        };
        let message = &whole[head.length..];
        let is_cut = message.len() > CHUNK || line.is_none();
        let message = &message[..message.len().min(CHUNK)];
        // The rest of a line that is told as far as its first chunk goes.
        let goes_on = matches!(&self.at, At::Rest { task } if *task == head.task);
        let length = head.length + message.len();
        let next = if is_cut { At::Rest { task: head.task.clone() } } else { At::Record };
        if !goes_on {
            let text = String::from_utf8_lossy(message);
            let message = text.strip_suffix('\r').unwrap_or(&text).to_owned();
            let Head { time, task, node, .. } = head;
            on_record(Record { time, task, node, stream: self.stream, message, is_cut });
        }
        self.at = next;
        Some(if is_cut { length } else { length + 1 })
    }
}

/// What docker puts before a message: the time and, of what it knows, the node and the task.
struct Head {
    time: DateTime<Utc>,
    task: String,
    node: String,
    length: usize,
}

impl Head {
    fn read(line: &[u8]) -> Option<Self> {
        let mut blanks =
            line.iter().enumerate().take(LONGEST_HEAD).filter(|(_, byte)| **byte == b' ').map(|(at, _)| at);
        let (first, second) = (blanks.next()?, blanks.next()?);
        let time = std::str::from_utf8(&line[..first]).ok()?;
        let details = std::str::from_utf8(&line[first + 1..second]).ok()?;
        let time = DateTime::parse_from_rfc3339(time).ok()?.to_utc();
        // Labels of the container may stand there as well; of two of a name docker's own comes last.
        let value =
            |name: &str| details.split(',').rev().find_map(|pair| pair.strip_prefix(name)).map(str::to_owned);
        Some(Self { time, task: value(TASK)?, node: value(NODE)?, length: second + 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(second: u32, task: &str) -> String {
        format!(
            "2026-11-23T07:04:{second:02}.327971458Z com.docker.swarm.node.id=n1,com.docker.swarm.service.id=s,\
             com.docker.swarm.task.id={task} "
        )
    }

    /// What is made of a text that comes in parts of this size: task and message, and docker's words.
    fn read(text: &[u8], part: usize) -> (Vec<(String, String, bool)>, String) {
        let (mut splitter, mut records) = (Splitter::of(Pipe::Err), Vec::new());
        let mut on_record = |record: Record| records.push((record.task, record.message, record.is_cut));
        text.chunks(part).for_each(|part| splitter.take(part, &mut on_record));
        splitter.finish(&mut on_record);
        (records, splitter.words)
    }

    #[test]
    fn records_are_what_docker_prints_however_it_comes() {
        let (a, b) = (head(1, "a"), head(2, "b"));
        let text = format!("{a}one  two\r\n{b}\nerror from daemon in stream: no\n{b} \u{1b}[2J{a}\n{a}end");
        for part in [1, 7, 100, 100_000] {
            let (records, words) = read(text.as_bytes(), part);
            let told: Vec<_> = records.iter().map(|(task, message, _)| (&**task, &**message)).collect();
            // What a program prints is a message, and nothing else, wherever it looks like a head.
            let forged = format!(" \u{1b}[2J{a}");
            assert_eq!(told, [("a", "one  two"), ("b", ""), ("b", &*forged), ("a", "end")], "{part}");
            assert_eq!(words, "error from daemon in stream: no\n");
        }
    }

    #[test]
    fn of_a_long_line_its_first_chunk_is_told_and_no_other_line_is_lost() {
        let (a, b) = (head(1, "a"), head(2, "b"));
        let chunk = "x".repeat(CHUNK);
        // Between two chunks of one task another one's line may come.
        let text = format!("{a}{chunk}{b}other\n{a}{chunk}{a}rest\n{b}end\n");
        for part in [1, 5000, CHUNK, 1_000_000] {
            let (records, words) = read(text.as_bytes(), part);
            let told: Vec<_> =
                records.iter().map(|(task, message, cut)| (&**task, message.len(), *cut)).collect();
            // The chunks behind are a line of their own where another one's came between.
            assert_eq!(told, [("a", CHUNK, true), ("b", 5, false), ("a", CHUNK, true), ("b", 3, false)]);
            assert_eq!(words, "");
        }
        // A head in a program's own words, just where docker cuts, stands behind docker's.
        let forged = format!("{a}{chunk}{a}{b}forged\n{a}{chunk}\n{b}end\n");
        let told: Vec<_> =
            read(forged.as_bytes(), 999).0.into_iter().map(|(task, it, _)| (task, it.len())).collect();
        assert_eq!(told, [("a".into(), CHUNK), ("a".into(), CHUNK), ("b".into(), 3)]);
    }

    #[test]
    fn what_is_larger_than_docker_makes_it_is_cut_and_held_by_nobody() {
        let mut splitter = Splitter::of(Pipe::Err);
        let mut count = 0;
        splitter.take(head(1, "a").as_bytes(), &mut |_| count += 1);
        for _ in 0..1_000 {
            splitter.take(&[0xff; 10_000], &mut |_| count += 1);
            assert!(splitter.pending.len() < 40_000);
        }
        splitter.take(format!("\n{}x\n", head(2, "b")).as_bytes(), &mut |_| count += 1);
        assert_eq!((count, &*splitter.words), (2, ""), "none of it is docker's word");
    }
}
