//! A variable of a template's compose file, and what may stand for it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::pattern::{Pattern, Work};
use crate::compose::Wanted;
use crate::problem::Collector;

/// The longest default that is told, in bytes.
const LONGEST_DEFAULT: usize = 16 << 10;

/// A parameter. It is what people and programs are told of it: its fields do not change their names.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Parameter {
    pub name: String,
    pub label: Option<String>,
    pub help: Option<String>,
    /// Any text without one.
    #[serde(rename = "type")]
    pub kind: Option<Kind>,
    pub required: bool,
    /// What the compose file has for it.
    pub default: Option<String>,
    pub choices: Vec<String>,
    pub pattern: Option<Pattern>,
    pub min: Option<i64>,
    pub max: Option<i64>,
    /// Whether it is the name of a Swarm secret.
    pub secret: bool,
    /// Whether nothing but a text of some length will do.
    #[serde(skip)]
    pub never_empty: bool,
    /// Where the compose file has its default.
    #[serde(skip)]
    pub default_line: usize,
    #[serde(skip)]
    pub pattern_line: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    String,
    Integer,
    Boolean,
}

impl Kind {
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "string" => Some(Self::String),
            "integer" => Some(Self::Integer),
            "boolean" => Some(Self::Boolean),
            _ => None,
        }
    }
}

/// Those of a compose file.
pub fn of(wanted: BTreeMap<String, Wanted>, problems: &mut Collector) -> Vec<Parameter> {
    let parameter = |(name, wanted): (String, Wanted)| {
        if !name.is_ascii() {
            problems.add(
                wanted.line,
                &*name,
                "is a name that no `.env` can give a value; use letters of a to z",
            );
        }
        let (default, default_line) = wanted.default.map(|it| (it.text, it.line)).unzip();
        let default = default.filter(|text| {
            let is_short = text.len() <= LONGEST_DEFAULT;
            if !is_short {
                let what = format!("has a default of more than {} KiB", LONGEST_DEFAULT >> 10);
                problems.add(default_line.unwrap_or(wanted.line), &*name, what);
            }
            is_short
        });
        Parameter {
            name,
            help: wanted.why,
            required: wanted.is_required,
            default: default.filter(|_| !wanted.is_required),
            never_empty: wanted.never_empty,
            default_line: default_line.unwrap_or(wanted.line),
            ..Parameter::default()
        }
    };
    wanted.into_iter().map(parameter).collect()
}

impl Parameter {
    /// The bytes that are told of it, and about what their names take.
    pub fn weight(&self) -> usize {
        const NAMES: usize = 256;
        let texts = [Some(&self.name), self.label.as_ref(), self.help.as_ref(), self.default.as_ref()];
        let choices = self.choices.iter().map(|choice| choice.len() + 8);
        NAMES + texts.into_iter().flatten().map(String::len).sum::<usize>() + choices.sum::<usize>()
    }

    /// Why `value` cannot stand for it, if it cannot.
    pub fn refuses(&self, value: &str, work: &Work) -> Option<String> {
        // Nothing is what it is by itself.
        if value.is_empty() && !self.required && self.default.as_deref().is_none_or(str::is_empty) {
            return None;
        }
        if value.is_empty() && self.never_empty {
            return Some("is empty".to_owned());
        }
        let is_secret = || {
            let is_end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
            let bytes = value.as_bytes();
            is_end(bytes.first())
                && is_end(bytes.last())
                && bytes.len() <= 64
                && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
        };
        if self.secret && !is_secret() {
            return Some(
                "is no name of a Swarm secret: letters, digits, `-`, `_`, `.`; 64 at most".to_owned(),
            );
        }
        match self.kind {
            Some(Kind::Integer) => match integer(value) {
                None => return Some("is no integer".to_owned()),
                Some(number) if self.min.is_some_and(|min| number < min) => {
                    return Some(format!("is less than {}", self.min.unwrap_or_default()));
                }
                Some(number) if self.max.is_some_and(|max| number > max) => {
                    return Some(format!("is more than {}", self.max.unwrap_or_default()));
                }
                Some(_) => {}
            },
            Some(Kind::Boolean) if !matches!(value, "true" | "false") => {
                return Some("is neither `true` nor `false`".to_owned());
            }
            _ => {}
        }
        if !self.choices.is_empty() && !self.choices.iter().any(|choice| choice == value) {
            return Some(format!("is none of {}", listed(&self.choices)));
        }
        let pattern = self.pattern.as_ref()?;
        match pattern.matches(value, work) {
            Some(true) => None,
            Some(false) => Some(format!("does not match `{pattern}`")),
            None => Some(format!("takes too long to compare with `{pattern}`")),
        }
    }
}

/// As JSON writes one, so that one number is one text.
pub fn integer(text: &str) -> Option<i64> {
    text.parse().ok().filter(|number: &i64| number.to_string() == text)
}

fn listed(choices: &[String]) -> String {
    const TOLD: usize = 20;
    let told: Vec<_> = choices.iter().take(TOLD).map(|choice| format!("`{choice}`")).collect();
    let more = if choices.len() > TOLD { ", …" } else { "" };
    told.join(", ") + more
}
