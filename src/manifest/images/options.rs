//! The smaller keys of an entry; what is wrong with one is noted, and its default stands.

use std::collections::BTreeMap;

use super::below;
use crate::problem::Collector;
use crate::yaml::Node;

/// `NAME` → value, of a mapping or a list of `NAME=value`.
pub fn args(item: &Node, place: &str, problems: &mut Collector) -> BTreeMap<String, String> {
    let Some(value) = item.get("args") else { return BTreeMap::new() };
    let pairs: Vec<_> = match value.items() {
        Some(items) => items
            .iter()
            .map(|item| (item.line, item.text().and_then(|text| text.split_once('=')).map(owned)))
            .collect(),
        None => value
            .merged_pairs()
            .iter()
            .map(|(key, value)| {
                let value = (!value.is_null()).then(|| value.text()).flatten();
                (key.line, key.text().zip(value).map(owned))
            })
            .collect(),
    };
    if value.items().is_none() && value.pairs().is_none() {
        let what = format!("must be a mapping or a list of `NAME=value`, not {}", value.what());
        problems.add(value.line, below(place, "args"), what);
    }
    let is_name = |name: &str| {
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && !name.starts_with(|first: char| first.is_ascii_digit())
            && !name.is_empty()
    };
    let mut args = BTreeMap::new();
    for (line, pair) in pairs {
        match pair {
            Some((name, value)) if is_name(&name) && !value.contains('\0') => {
                args.insert(name, value);
            }
            // docker would look such a one up in its own environment.
            _ => problems.add(
                line,
                below(place, "args"),
                "must give every name (letters, digits, `_`) a value",
            ),
        }
    }
    args
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// A list of `os/architecture`.
pub fn platforms(item: &Node, place: &str, problems: &mut Collector) -> Vec<String> {
    let Some(value) = item.get("platforms") else { return Vec::new() };
    let is_platform = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte))
    };
    let items = value.items().unwrap_or_default();
    let found: Vec<_> =
        items.iter().filter_map(|item| item.text().filter(|text| is_platform(text))).collect();
    if found.is_empty() || found.len() < items.len() {
        problems.add(value.line, below(place, "platforms"), "must be a list of platforms, `[linux/amd64]`");
    }
    found.into_iter().map(str::to_owned).collect()
}
