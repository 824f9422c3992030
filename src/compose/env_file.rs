//! The files that `env_file` names, read as docker reads them.
//!
//! Source: docker/cli `pkg/kvfile` (28), `opts/file.go` (20.10).

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use anyhow::Result;

use super::interpolate::Variables;
use super::{ComposeFile, references};
use crate::paths;
use crate::problem::Collector;
use crate::yaml::Node;

/// docker takes no longer line.
const LONGEST_LINE: usize = 64 * 1024;

/// What a line takes of memory beside its letters.
const PER_LINE: usize = 64;

/// The lines of one file: name, and value where there is a `=`.
type Lines = Vec<(String, Option<String>)>;

/// What the services of a compose file take from files, by service.
#[derive(Debug, Default)]
pub struct EnvFiles(BTreeMap<String, Lines>);

impl EnvFiles {
    /// The variables of `service`, a later line over an earlier one; `None` where it names no file. A line
    /// without a value counts only where the environment has one.
    pub fn of(&self, service: &str, variables: &Variables) -> Result<Option<Vec<(String, String)>>> {
        let Some(lines) = self.0.get(service) else { return Ok(None) };
        let mut found = BTreeMap::new();
        for (name, value) in lines {
            let outside = || if value.is_some() { variables.get(name) } else { variables.passed(name) };
            match value.as_deref().filter(|value| !value.is_empty()).or_else(outside) {
                Some(value) => {
                    variables.spend(value.len())?;
                    found.insert(name.clone(), value.to_owned());
                }
                None if value.is_some() => drop(found.insert(name.clone(), String::new())),
                None => {}
            }
        }
        Ok(Some(found.into_iter().collect()))
    }
}

/// Reads all files that services of the interpolated `tree` name.
pub fn read(
    tree: &Node,
    compose_file: ComposeFile<'_>,
    folder: &Path,
    variables: &Variables,
    problems: &mut Collector,
) -> EnvFiles {
    let root = compose_file.root;
    let mut files = EnvFiles::default();
    for (service, node) in references::section(tree, "services") {
        let Some(value) = node.get("env_file") else { continue };
        let key = format!("services.{service}.env_file");
        let single = [Rc::clone(&value)];
        let mut lines = Vec::new();
        for item in value.items().unwrap_or(&single) {
            let most = references::MOST_BYTES;
            let Some(path) = references::resolve(&key, item, root, folder, most, problems) else { continue };
            if let Err(error) = references::within(&path, references::MOST_BYTES, compose_file.budget) {
                problems.add(item.line, &key, format!("{error:#}"));
                continue;
            }
            let read =
                paths::read_text(&path, references::MOST_BYTES).map_err(|error| (0, format!("{error:#}")));
            match read.and_then(|text| parse(&text, variables)) {
                Ok(more) => lines.extend(more),
                Err((line, what)) => {
                    let file = path.strip_prefix(root.path()).unwrap_or(&path).display();
                    let at = if line > 0 { format!(":{line}") } else { String::new() };
                    problems.add(item.line, &key, format!("`{file}{at}` {what}"));
                }
            }
        }
        files.0.insert(service, lines);
    }
    files
}

fn parse(text: &str, variables: &Variables) -> Result<Lines, (usize, String)> {
    let mut lines = Lines::new();
    for (index, line) in text.split('\n').enumerate() {
        let at = |what: &str| (index + 1, what.to_owned());
        if line.len() >= LONGEST_LINE {
            return Err(at("is a longer line than docker takes, 64 KiB"));
        }
        let line = line.strip_suffix('\r').unwrap_or(line);
        let line = if index == 0 { line.strip_prefix('\u{feff}').unwrap_or(line) } else { line };
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = line.split_once('=').map_or((line, None), |(name, value)| (name, Some(value)));
        if name.is_empty() {
            return Err(at("has no name of a variable"));
        }
        if name.contains([' ', '\t']) {
            return Err(at("has a name of a variable with a space in it"));
        }
        variables.spend(line.len() + PER_LINE).map_err(|error| (index + 1, error.to_string()))?;
        lines.push((name.to_owned(), value.map(str::to_owned)));
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_docker_reads_them() {
        let text = "\u{feff}A=1\r\n# c\n  B= two \n\n\u{a0}C='q'\nD\nE=\nA=2=3\n";
        let pair = |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
        let lines = [
            pair("A", Some("1")),
            pair("B", Some(" two ")),
            pair("C", Some("'q'")),
            pair("D", None),
            pair("E", Some("")),
            pair("A", Some("2=3")),
        ];
        assert_eq!(parse(text, &Variables::default()).unwrap(), lines);
        for (text, line) in [("A=1\n=2\n", 2), ("A b=1\n", 1), ("a\tb\n", 1)] {
            assert_eq!(parse(text, &Variables::default()).unwrap_err().0, line, "{text}");
        }
        assert!(parse(&format!("A={}\n", "x".repeat(LONGEST_LINE)), &Variables::default()).is_err());
    }

    #[test]
    fn what_has_no_value_is_taken_from_the_environment() {
        let files = EnvFiles(
            [("a".to_owned(), parse("D\nE=\nF\nG=\nA=1\nA=2\n", &Variables::default()).unwrap())].into(),
        );
        let variables = Variables::new(
            BTreeMap::new(),
            [("D", "d"), ("E", "e"), ("A", "x")].map(|(k, v)| (k.into(), v.into())).into(),
        );
        let found = files.of("a", &variables).unwrap().unwrap();
        let expected = [("A", "2"), ("D", "d"), ("E", "e"), ("G", "")];
        assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(files.of("b", &variables).unwrap(), None);
    }
}
