//! What `${…}` sees beside `.env`: an environment, or one that nobody knows yet, of which it is noted what is wanted.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::rc::Rc;

use anyhow::Error;

use super::interpolate::{Refused, Variables};
use crate::problem::{Collector, Problem};

/// Where the values come from that `.env` does not have.
#[derive(Debug, Clone, Copy)]
pub enum Outside<'a> {
    Known(&'a BTreeMap<OsString, OsString>),
    /// What is wanted is noted, and stands for this, or for nothing.
    Unknown {
        asked: &'a Asked,
        value: Option<&'static str>,
    },
}

impl<'a> From<&'a BTreeMap<OsString, OsString>> for Outside<'a> {
    fn from(known: &'a BTreeMap<OsString, OsString>) -> Self {
        Self::Known(known)
    }
}

/// How much a variable is wanted, the most of it last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Want {
    /// There is a default, or a container that can do without.
    Optional,
    /// It becomes empty where it is not set.
    Wanted,
    /// Nothing is deployed without it.
    Required,
}

/// A variable that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedFor {
    pub want: Want,
    /// Where it is wanted most, the first time: line, or 0, and key.
    pub at: (usize, String),
    /// What the author says where it is missing.
    pub message: String,
}

/// The variables that are wanted, by name. Those who share it note in the same.
#[derive(Debug, Clone, Default)]
pub struct Asked(Rc<RefCell<BTreeMap<String, AskedFor>>>);

/// So many are noted of one file.
const MOST: usize = 1_000;

impl Asked {
    pub fn note(&self, name: &str, want: Want, at: &(usize, String), message: &str) {
        let mut all = self.0.borrow_mut();
        let is_new = all.get(name).is_none_or(|known| known.want < want);
        if is_new && (all.len() < MOST || all.contains_key(name)) {
            let message = message.chars().take(200).collect();
            all.insert(name.to_owned(), AskedFor { want, at: at.clone(), message });
        }
    }

    /// Whether a value of any would change what is wrong.
    pub fn decides(&self) -> bool {
        self.0.borrow().values().any(|asked| asked.want > Want::Optional)
    }

    pub fn all(&self) -> BTreeMap<String, AskedFor> {
        self.0.borrow().clone()
    }
}

/// Where in a file something is, before what is wrong with it; it is told in the words `shown`.
#[derive(Debug)]
pub struct At {
    pub line: usize,
    pub key: String,
    pub shown: String,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// Why a stack of the compose file at `path` cannot be rendered, as a mistake in that file.
pub fn as_problem(error: &Error, path: &str) -> Problem {
    let told = format!("{error:#}");
    let mut what = told.strip_prefix(&format!("`{path}`: ")).unwrap_or(&told);
    let (line, key) = match error.downcast_ref::<At>() {
        Some(At { line, key, .. }) => {
            what = what.strip_prefix(&format!("line {line}: `{key}`: ")).unwrap_or(what);
            (*line, key.clone())
        }
        None => (0, String::new()),
    };
    Collector::new(path).problem(line, key, what)
}

/// The variables that are wanted and may not be read, each a mistake where it is wanted.
pub fn refused(variables: &Variables) -> Vec<Problem> {
    let problem = |refused: Refused| {
        let Refused { name, is_empty, file, line, key } = refused;
        let in_dotenv = key.strip_prefix(&file).and_then(|rest| rest.strip_prefix(':')?.parse().ok());
        let (line, key) = in_dotenv.map_or((line, key), |line| (line, name.clone()));
        let closed = "which the policy does not let it read (`variables`)";
        let what = if is_empty {
            format!(
                "docker fills the empty `{name}` with the variable of the daemon, {closed}; give it a value, or leave it out"
            )
        } else {
            format!(
                "wants the variable `{name}` of the daemon, {closed}; set it in `.env`, or give a default"
            )
        };
        Collector::new(file).problem(line, key, what)
    };
    variables.refused().into_iter().map(problem).collect()
}
