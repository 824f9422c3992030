//! A file of variables, `.env` or one that `env` lists: `NAME=value` lines, comments, quotes, `export`.
//!
//! Values are expanded as docker compose does it: single quotes keep all, in others `$` is read by `expand`.

use std::collections::BTreeMap;

use super::expand::expand;
use super::interpolate::Variables;
use crate::problem::Collector;

/// Adds what `text`, the file at `path`, sets to `variables`; later lines win, and see what earlier lines and files set. No mistake tells
/// a value.
pub fn read(text: &str, path: &str, variables: &mut Variables, problems: &mut Collector) {
    variables.in_file(path);
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let at = index + 1;
        let Some((name, value)) = line.split_once('=') else {
            problems.add(at, "", "is not `NAME=value`");
            continue;
        };
        let name = name.trim().strip_prefix("export ").unwrap_or(name).trim();
        if !is_name(name) {
            problems.add(at, "", "does not begin with a variable's name");
            continue;
        }
        variables.at(0, format!("{path}:{at}"));
        let expanded = match unquote(value.trim()) {
            Some(Value::Kept(text)) => Ok(text.to_owned()),
            Some(Value::Template(text)) => expand(&text, variables),
            None => Err("has a quote that does not end".to_owned()),
        };
        match expanded {
            Ok(value) => variables.set(name, value),
            Err(what) => problems.add(at, name, what),
        }
    }
}

/// What a file sets, in no environment, as far as it can be read.
pub fn dotenv_values(text: &str) -> BTreeMap<String, String> {
    let (mut variables, mut problems) = (Variables::default(), Collector::new(""));
    read(text, "", &mut variables, &mut problems);
    variables.of_files()
}

/// What a file sets, in no environment.
#[cfg(test)]
pub fn values(text: &str) -> Result<BTreeMap<String, String>, Vec<crate::problem::Problem>> {
    let (mut variables, mut problems) = (Variables::default(), Collector::new(".env"));
    read(text, ".env", &mut variables, &mut problems);
    let problems = problems.into_problems();
    if problems.is_empty() { Ok(variables.of_files()) } else { Err(problems) }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|letter: char| letter.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// What stands behind the `=`, without quotes.
#[derive(Debug)]
enum Value<'text> {
    Kept(&'text str),
    Template(String),
}

/// Single quotes keep all, double quotes know `\n \t \" \\ \$`, bare values end at ` #`.
fn unquote(value: &str) -> Option<Value<'_>> {
    if let Some(inner) = value.strip_prefix('\'') {
        return inner.split_once('\'').map(|(inner, _)| Value::Kept(inner));
    }
    let Some(inner) = value.strip_prefix('"') else {
        let bare = value.split(" #").next().unwrap_or_default().trim_end();
        return Some(Value::Template(bare.to_owned()));
    };
    let mut out = String::new();
    let mut letters = inner.chars();
    loop {
        match letters.next()? {
            '"' => return Some(Value::Template(out)),
            '\\' => match letters.next()? {
                'n' => out.push('\n'),
                't' => out.push('\t'),
                '$' => out.push_str("$$"),
                other @ ('"' | '\\') => out.push(other),
                other => out.extend(['\\', other]),
            },
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests;
