//! GitLab's own form: a Code Quality report. GitLab makes nothing of lines in a log; it shows this in the merge request,
//! in the lines that changed too, and every tier has it.

use md5::{Digest, Md5};
use serde::Serialize;

use super::{Mistake, Verdict};
use crate::hash::{hex, part};
use crate::plain;

#[derive(Serialize)]
struct Issue {
    description: String,
    check_name: &'static str,
    fingerprint: String,
    severity: &'static str,
    location: Location,
}

#[derive(Serialize)]
struct Location {
    path: String,
    lines: Lines,
}

#[derive(Serialize)]
struct Lines {
    begin: usize,
}

/// The JSON text.
pub fn report(verdict: &Verdict) -> String {
    let issues: Vec<_> = verdict.problems.iter().map(issue).collect();
    serde_json::to_string_pretty(&issues).unwrap_or_else(|_| "[]".into()) + "\n"
}

fn issue(mistake: &Mistake) -> Issue {
    let Mistake { file, line, key, what, .. } = mistake;
    // GitLab compares branches by it: a mistake that moved to another line is the same.
    let mut hash = Md5::new();
    for text in [file, key, what] {
        part(&mut hash, text);
    }
    let key = if key.is_empty() { String::new() } else { format!("`{}`: ", plain::name(key)) };
    Issue {
        description: format!("{key}{}", plain::line(what)),
        check_name: "dockerops validate",
        fingerprint: hex(hash),
        severity: "critical",
        location: Location { path: plain::name(file), lines: Lines { begin: line.unwrap_or(1) } },
    }
}
