//! `${VAR}` in compose files, as docker's CLI reads it.
//!
//! Source: docker/cli `cli/compose/template/template.go`: `$$`, `$NAME`, `${NAME}`, and `:-`, `-`, `:?`, `?`
//! in both the braced and, which surprises, the bare form.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};

use anyhow::{Context, Result, bail};

use super::asked::{Asked, Outside, Want};
use crate::patterns::Patterns;

/// So many bytes may stand for the variables of one compose file: a line of it can name a large one a thousand times.
const MOST_BYTES: usize = 4 << 20;

/// Where values come from: the process environment, then the stack's files of variables below it.
#[derive(Debug, Clone, Default)]
pub struct Variables<'a> {
    process: Option<&'a BTreeMap<OsString, OsString>>,
    dotenv: BTreeMap<String, String>,
    spent: Cell<usize>,
    unset: RefCell<BTreeSet<String>>,
    is_aside: Cell<bool>,
    unknown: Option<Unknown>,
    /// What may be read of an environment; all of it without one.
    readable: Option<Patterns>,
    refused: RefCell<Vec<Refused>>,
    /// What is being looked at.
    at: RefCell<Position>,
}

#[derive(Debug, Clone, Default)]
struct Position {
    file: String,
    line: usize,
    key: String,
}

/// A variable of the environment that was asked for, and may not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub name: String,
    /// Whether it is given, without a value.
    pub is_empty: bool,
    pub file: String,
    pub line: usize,
    pub key: String,
}

/// The environment is not known: what is wanted of it is noted, and stands for a value.
#[derive(Debug, Clone)]
struct Unknown {
    asked: Asked,
    value: Option<&'static str>,
}

impl<'a> Variables<'a> {
    /// `process` wins over `dotenv`.
    #[cfg(test)]
    pub fn new(process: BTreeMap<String, String>, dotenv: BTreeMap<String, String>) -> Self {
        let process = process.into_iter().map(|(name, value)| (name.into(), value.into()));
        Self { process: Some(Box::leak(Box::new(process.collect()))), dotenv, ..Self::default() }
    }

    /// Of a file of variables, over what earlier lines and files said.
    pub fn set(&mut self, name: &str, value: String) {
        self.dotenv.insert(name.to_owned(), value);
    }

    pub fn of_files(self) -> BTreeMap<String, String> {
        self.dotenv
    }

    /// `outside` wins over `dotenv`.
    pub fn beside(outside: Outside<'a>, dotenv: BTreeMap<String, String>) -> Self {
        let (process, unknown) = match outside {
            Outside::Known(known) => (Some(known), None),
            Outside::Unknown { asked, value } => (None, Some(Unknown { asked: asked.clone(), value })),
        };
        Self { process, dotenv, unknown, ..Self::default() }
    }

    /// Of the environment these alone may be read: the others are not there.
    pub fn readable(mut self, names: Option<&Patterns>) -> Self {
        self.readable = names.cloned();
        self
    }

    /// Notes that `name` is left empty: docker fills it from its own environment, whoever may read that.
    pub fn left_empty(&self, name: &str) {
        let is_set = self.process.is_some_and(|process| process.contains_key(OsStr::new(name)));
        if is_set && self.is_closed(name) {
            self.refuse(name, true);
        }
    }

    fn refuse(&self, name: &str, is_empty: bool) {
        let Position { file, line, key } = self.at.borrow().clone();
        let new = Refused { name: name.to_owned(), is_empty, file, line, key };
        let mut refused = self.refused.borrow_mut();
        if !refused.contains(&new) {
            refused.push(new);
        }
    }

    /// What is wanted from now on is wanted in this file.
    pub fn in_file(&self, path: &str) {
        *self.at.borrow_mut() = Position { file: path.to_owned(), ..Position::default() };
    }

    /// What is wanted from now on is wanted at this line and key.
    pub fn at(&self, line: usize, key: String) {
        let mut at = self.at.borrow_mut();
        (at.line, at.key) = (line, key);
    }

    /// What was wanted of the environment and may not be read.
    pub fn refused(&self) -> Vec<Refused> {
        self.refused.borrow().clone()
    }

    /// Whether `name` is neither set nor to be looked up; noted where it is needed.
    fn is_refused(&self, name: &str, is_needed: bool) -> bool {
        if !self.is_closed(name) || self.get(name).is_some() {
            return false;
        }
        if is_needed && !self.is_aside.get() {
            self.refuse(name, false);
        }
        true
    }

    /// A container takes a variable as it is, if it is set at all.
    pub fn passed(&self, name: &str) -> Option<&str> {
        if !self.is_refused(name, true) {
            self.ask(name, Want::Optional, "");
        }
        self.get(name)
    }

    /// Notes that `name` is wanted, if it may be set outside; what stands for it then.
    pub fn ask(&self, name: &str, want: Want, message: &str) -> Option<&'static str> {
        if self.is_refused(name, want > Want::Optional) {
            return None;
        }
        let unknown = self.unknown.as_ref().filter(|_| self.get(name).is_none())?;
        // What is required is so wherever it stands.
        if !self.is_aside.get() || want == Want::Required {
            let at = self.at.borrow();
            unknown.asked.note(name, want, &(at.line, at.key.clone()), message);
        }
        (want > Want::Optional).then(|| unknown.value.unwrap_or_default())
    }

    /// Counts so many bytes more of values; fails where that is too much.
    pub fn spend(&self, bytes: usize) -> Result<()> {
        self.spent.set(self.spent.get().saturating_add(bytes));
        if self.spent.get() > MOST_BYTES {
            bail!("its variables and files of variables stand for more than {} MiB", MOST_BYTES >> 20);
        }
        Ok(())
    }

    /// How many bytes were counted.
    pub fn spent(&self) -> usize {
        self.spent.get()
    }

    /// The variables that had neither a value nor a default where one was wanted, so far.
    pub fn unset(&self) -> BTreeSet<String> {
        self.unset.borrow().clone()
    }

    /// Remembers nothing of what `look` finds unset: nobody runs it.
    pub fn aside<T>(&self, look: impl FnOnce() -> T) -> T {
        self.is_aside.set(true);
        let found = look();
        self.is_aside.set(false);
        found
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.outside(name).or_else(|| self.dotenv.get(name).map(String::as_str))
    }

    /// What is no text is not there.
    fn outside(&self, name: &str) -> Option<&str> {
        let value = self.process?.get(OsStr::new(name))?.to_str()?;
        (!self.is_closed(name)).then_some(value)
    }

    /// Whether it may not be read of an environment.
    fn is_closed(&self, name: &str) -> bool {
        self.readable.as_ref().is_some_and(|names| !names.matches(name))
    }

    /// The value, or nothing, which is remembered.
    pub fn or_nothing(&self, name: &str) -> &str {
        if let Some(value) = self.ask(name, Want::Wanted, "") {
            return value;
        }
        self.get(name).unwrap_or_else(|| {
            if !self.is_aside.get() {
                self.unset.borrow_mut().insert(name.to_owned());
            }
            ""
        })
    }
}

/// One piece of a template.
enum Piece<'text> {
    Text(&'text str),
    Escaped,
    Variable(&'text str),
}

/// Cuts `template` into pieces; fails where docker says `Invalid template`.
fn pieces(template: &str) -> Result<Vec<Piece<'_>>> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        pieces.push(Piece::Text(&rest[..at]));
        let after = &rest[at + 1..];
        if let Some(after) = after.strip_prefix('$') {
            pieces.push(Piece::Escaped);
            rest = after;
        } else if let Some(length) = substitution(after) {
            pieces.push(Piece::Variable(&after[..length]));
            rest = &after[length..];
        } else if let Some((body, after)) = after.strip_prefix('{').and_then(|inside| {
            let length = substitution(inside)?;
            Some((&inside[..length], inside[length..].strip_prefix('}')?))
        }) {
            pieces.push(Piece::Variable(body));
            rest = after;
        } else {
            bail!("invalid template `{template}`: write `$$` for a dollar sign");
        }
    }
    pieces.push(Piece::Text(rest));
    Ok(pieces)
}

/// The length of `NAME` with its operator and default at the beginning of `text`.
fn substitution(text: &str) -> Option<usize> {
    let name = name_length(text);
    if name == 0 {
        return None;
    }
    let operator = &text[name..];
    let bare = operator.strip_prefix(':').unwrap_or(operator);
    if bare.starts_with(['-', '?']) { Some(text.find('}').unwrap_or(text.len())) } else { Some(name) }
}

/// docker's `[_a-z][_a-z0-9]*` takes no notice of case, and to Go `ſ` is an `s` and the Kelvin sign a `k`.
pub fn name_length(text: &str) -> usize {
    let word =
        |letter: char| letter.is_ascii_alphanumeric() || ['_', '\u{17f}', '\u{212a}'].contains(&letter);
    if text.starts_with(|letter: char| letter.is_ascii_digit()) {
        return 0;
    }
    text.find(|letter| !word(letter)).unwrap_or(text.len())
}

/// Replaces every variable of `template`.
pub fn interpolate(template: &str, variables: &Variables) -> Result<String> {
    let mut out = String::new();
    for piece in pieces(template)? {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Escaped => out.push('$'),
            Piece::Variable(body) => {
                let value = value(body, variables)?;
                variables.spend(value.len())?;
                out.push_str(value);
            }
        }
    }
    Ok(out)
}

/// What one `${…}` says of its variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Use<'text> {
    pub name: &'text str,
    pub form: Form<'text>,
    /// Whether an empty value counts as none.
    pub is_strict: bool,
}

/// What stands for a variable that is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form<'text> {
    Nothing,
    Default(&'text str),
    /// Nothing, and these are the words that say so.
    Required(&'text str),
}

/// docker tries the operators in this order, each at its first place in the text.
fn parsed(body: &str) -> Use<'_> {
    if let Some((name, default)) = body.split_once(":-") {
        return Use { name, form: Form::Default(default), is_strict: true };
    }
    if let Some((name, default)) = body.split_once('-') {
        return Use { name, form: Form::Default(default), is_strict: false };
    }
    for (operator, is_strict) in [(":?", true), ("?", false)] {
        if let Some((name, message)) = body.split_once(operator) {
            return Use { name, form: Form::Required(message), is_strict };
        }
    }
    Use { name: body, form: Form::Nothing, is_strict: false }
}

/// The variables of `template`.
pub fn uses(template: &str) -> Result<Vec<Use<'_>>> {
    let variable = |piece| match piece {
        Piece::Variable(body) => Some(parsed(body)),
        Piece::Text(_) | Piece::Escaped => None,
    };
    Ok(pieces(template)?.into_iter().filter_map(variable).collect())
}

fn value<'a>(body: &'a str, variables: &'a Variables<'_>) -> Result<&'a str> {
    let Use { name, form, is_strict } = parsed(body);
    let counts = |value: &&str| !is_strict || !value.is_empty();
    match form {
        Form::Nothing => Ok(variables.or_nothing(name)),
        Form::Default(default) => {
            variables.ask(name, Want::Optional, "");
            Ok(variables.get(name).filter(counts).unwrap_or(default))
        }
        Form::Required(message) => {
            if let Some(value) = variables.ask(name, Want::Required, message) {
                return Ok(value);
            }
            let value = variables.get(name).filter(counts);
            value.with_context(|| format!("required variable `{name}` is missing a value: {message}"))
        }
    }
}

#[cfg(test)]
mod tests;
