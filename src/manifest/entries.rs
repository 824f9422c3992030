//! What the smaller manifest files have in common: an optional file, and mappings with known keys.

use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;

use super::MOST_BYTES;
use crate::paths::Root;
use crate::problem::Collector;
use crate::yaml::{self, Node};

/// The path of `name` in `dir` from the repository's root.
pub fn display(root: &Root, dir: &Path, name: &str) -> String {
    dir.strip_prefix(root.path()).unwrap_or(dir).join(name).display().to_string()
}

/// The document of an optional file; `None` where there is none, or it cannot be read, which is noted.
pub fn document(root: &Root, dir: &Path, name: &str, problems: &mut Collector) -> Option<Rc<Node>> {
    document_within(root, dir, name, MOST_BYTES, problems)
}

/// Likewise, of at most `most` bytes.
pub fn document_within(
    root: &Root,
    dir: &Path,
    name: &str,
    most: u64,
    problems: &mut Collector,
) -> Option<Rc<Node>> {
    if !root.has(dir, name) {
        return None;
    }
    let text = root.read_text(dir, name, most);
    let json = is_json(name);
    let parse = |text: String| if json { yaml::parse(&yaml::from_json(&text)?) } else { yaml::parse(&text) };
    match text.map(parse) {
        Ok(Ok(Some(node))) => Some(node),
        Ok(Ok(None)) => {
            problems.add(0, "", "is empty; remove the file, or fill it");
            None
        }
        Ok(Err(error)) => {
            problems.add(error.line, "", error.what);
            None
        }
        Err(error) => {
            problems.add(0, "", format!("{error:#}"));
            None
        }
    }
}

/// Whether a file calls itself JSON.
pub fn is_json(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "json")
}

/// Notes unknown keys and keys that stand twice.
pub fn check_keys(item: &Node, place: &str, known: &[&str], problems: &mut Collector) {
    let mut seen = BTreeSet::new();
    for (key, _) in item.pairs().unwrap_or_default() {
        let word = key.text().unwrap_or("…");
        if word != "<<" && !known.contains(&word) {
            let what = format!("unknown key; known are `{}`", known.join("`, `"));
            problems.add(key.line, below(place, word), what);
        } else if !seen.insert(word.to_owned()) {
            problems.add(key.line, below(place, word), "stands twice");
        }
    }
}

/// The string of `key`, with its line; what is wrong with it is noted.
pub fn string(
    item: &Node,
    place: &str,
    key: &str,
    what: &str,
    problems: &mut Collector,
) -> Option<(usize, String)> {
    let Some(value) = item.get(key) else {
        problems.add(item.line, place, format!("has no `{key}`: {what}"));
        return None;
    };
    match value.as_string() {
        Some(text) if !text.is_empty() => Some((value.line, text.to_owned())),
        Some(_) => {
            problems.add(value.line, below(place, key), format!("is empty; it is {what}"));
            None
        }
        None => {
            problems.add(value.line, below(place, key), format!("must be a string, not {}", value.what()));
            None
        }
    }
}

/// A switch; what is wrong with it is noted, and its default stands.
pub fn boolean(item: &Node, place: &str, key: &str, default: bool, problems: &mut Collector) -> bool {
    let Some(value) = item.get(key) else { return default };
    value.as_bool().unwrap_or_else(|| {
        let what = format!("must be `true` or `false`, not {}", value.what());
        problems.add(value.line, below(place, key), what);
        default
    })
}

/// The key `key` of what stands at `place`.
pub fn below(place: &str, key: &str) -> String {
    if place.is_empty() { key.to_owned() } else { format!("{place}.{key}") }
}

/// The files in `dir` whose names have one of these beginnings and ends, sorted, each with what is between.
pub fn names(root: &Root, dir: &Path, forms: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut found: Vec<_> = root
        .names(dir)
        .into_iter()
        .filter_map(|file| {
            let middle = |(begin, end): &(&str, &str)| file.strip_prefix(begin)?.strip_suffix(end);
            let middle = forms.iter().find_map(middle).filter(|middle| !middle.is_empty())?.to_owned();
            Some((file, middle))
        })
        .collect();
    found.sort_unstable();
    found
}
