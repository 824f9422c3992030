//! `${VAR}` in compose files, as docker's CLI reads it.
//!
//! Source: docker/cli `cli/compose/template/template.go`: `$$`, `$NAME`, `${NAME}`, and `:-`, `-`, `:?`, `?`
//! in both the braced and, which surprises, the bare form.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};

/// Where values come from: the process environment, then the stack folder's `.env` below it.
#[derive(Debug, Clone, Default)]
pub struct Variables {
    process: BTreeMap<String, String>,
    dotenv: BTreeMap<String, String>,
}

/// What `.env` variables are called in the text that docker reads: a name of its own keeps a repository
/// from setting `DOCKER_HOST` or `LD_PRELOAD` for the docker process.
const DOTENV_PREFIX: &str = "DOTENV_";

impl Variables {
    /// `process` wins over `dotenv`.
    pub fn new(process: BTreeMap<String, String>, dotenv: BTreeMap<String, String>) -> Self {
        Self { process, dotenv }
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.process.get(name).or_else(|| self.dotenv.get(name)).map(String::as_str)
    }

    fn is_from_dotenv(&self, name: &str) -> bool {
        !self.process.contains_key(name) && self.dotenv.contains_key(name)
    }

    /// What docker's process needs in its environment for the renamed variables among `used`.
    pub fn for_docker(&self, used: &BTreeSet<String>) -> BTreeMap<String, String> {
        used.iter()
            .filter(|name| self.is_from_dotenv(name))
            .filter_map(|name| Some((format!("{DOTENV_PREFIX}{name}"), self.dotenv.get(name)?.clone())))
            .collect()
    }
}

/// One piece of a template.
enum Piece<'text> {
    Text(&'text str),
    Escaped,
    Variable { bare: bool, body: &'text str },
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
            pieces.push(Piece::Variable { bare: true, body: &after[..length] });
            rest = &after[length..];
        } else if let Some((body, after)) = after.strip_prefix('{').and_then(|inside| {
            let length = substitution(inside)?;
            Some((&inside[..length], inside[length..].strip_prefix('}')?))
        }) {
            pieces.push(Piece::Variable { bare: false, body });
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

fn name_length(text: &str) -> usize {
    let word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    if text.starts_with(|letter: char| letter.is_ascii_digit()) {
        return 0;
    }
    text.find(|letter| !word(letter)).unwrap_or(text.len())
}

/// Replaces every variable of `template`; `used` gathers their names.
pub fn interpolate(template: &str, variables: &Variables, used: &mut BTreeSet<String>) -> Result<String> {
    let mut out = String::new();
    for piece in pieces(template)? {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Escaped => out.push('$'),
            Piece::Variable { body, .. } => {
                used.insert(body[..name_length(body)].to_owned());
                out.push_str(&value(body, variables)?);
            }
        }
    }
    Ok(out)
}

/// docker tries the operators in this order, each at its first place in the text.
fn value(body: &str, variables: &Variables) -> Result<String> {
    if let Some((name, default)) = body.split_once(":-") {
        return Ok(variables.get(name).filter(|value| !value.is_empty()).unwrap_or(default).to_owned());
    }
    if let Some((name, default)) = body.split_once('-') {
        return Ok(variables.get(name).unwrap_or(default).to_owned());
    }
    for (operator, may_be_empty) in [(":?", false), ("?", true)] {
        if let Some((name, message)) = body.split_once(operator) {
            return match variables.get(name) {
                Some(value) if may_be_empty || !value.is_empty() => Ok(value.to_owned()),
                _ => bail!("required variable `{name}` is missing a value: {message}"),
            };
        }
    }
    Ok(variables.get(body).unwrap_or_default().to_owned())
}

/// `template` with the variables that `.env` gives renamed, so that docker finds them and nothing else does.
pub fn rename_dotenv(template: &str, variables: &Variables) -> Result<String> {
    let mut out = String::new();
    for piece in pieces(template)? {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Escaped => out.push_str("$$"),
            Piece::Variable { bare, body } => {
                let prefix =
                    if variables.is_from_dotenv(&body[..name_length(body)]) { DOTENV_PREFIX } else { "" };
                let (open, close) = if bare { ("", "") } else { ("{", "}") };
                out.push_str(&["$", open, prefix, body, close].concat());
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> Variables {
        let map = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        Variables::new(map(&[("A", "1"), ("EMPTY", "")]), map(&[("A", "no"), ("D", "4")]))
    }

    #[test]
    fn values_follow_docker() {
        for (template, expected) in [
            ("x$A-y", "x1"),
            ("${A}${D}", "14"),
            ("${EMPTY:-d}|${EMPTY-d}|${NONE-d}|${NONE:-}", "d||d|"),
            ("$$A $NONE.", "$A ."),
            ("${A:?m}${EMPTY?m}", "1"),
            ("a$a", "a"),
            ("${NONE:-http://x:80/?q=1}", "http://x:80/?q=1"),
        ] {
            assert_eq!(
                interpolate(template, &variables(), &mut BTreeSet::new()).unwrap(),
                expected,
                "{template}"
            );
        }
        for template in ["$", "${", "${}", "${1}", "$1", "${A", "${A!}", "$ x"] {
            let error = interpolate(template, &variables(), &mut BTreeSet::new()).unwrap_err();
            assert!(error.to_string().contains("invalid template"), "{template}");
        }
        let missing = interpolate("${NONE:?set it}", &variables(), &mut BTreeSet::new()).unwrap_err();
        assert_eq!(missing.to_string(), "required variable `NONE` is missing a value: set it");
        assert!(interpolate("${EMPTY:?m}", &variables(), &mut BTreeSet::new()).is_err());
    }

    #[test]
    fn only_dotenv_variables_are_renamed() {
        let renamed = rename_dotenv("$A ${D:-x} $$D $D", &variables()).unwrap();
        assert_eq!(renamed, "$A ${DOTENV_D:-x} $$D $DOTENV_D");
        let used = BTreeSet::from(["A".to_owned(), "D".to_owned()]);
        assert_eq!(variables().for_docker(&used), BTreeMap::from([("DOTENV_D".to_owned(), "4".to_owned())]));
    }
}
