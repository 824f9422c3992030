//! `secrets.yaml`: a list of `secret` (or `id`, its older name), `env`, `services`.

use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;

use crate::budget::Count;
use crate::compose::references::section;
use crate::compose::{MOST_BYTES, Origin};
use crate::problem::{Collector, Problem};
use crate::yaml::{self, Node};

const FILE: &str = "secrets.yaml";
const KEYS: [&str; 4] = ["secret", "id", "env", "services"];
/// Longest name that Swarm takes for a secret.
const MOST_LETTERS: usize = 64;
/// What shells keep for themselves: setting it is an error, has no effect, or breaks the script.
const OF_THE_SHELL: [&str; 26] = [
    "BASHOPTS",
    "BASHPID",
    "BASH_ARGC",
    "BASH_ARGV",
    "BASH_LINENO",
    "BASH_SOURCE",
    "BASH_VERSINFO",
    "DIRSTACK",
    "EPOCHREALTIME",
    "EPOCHSECONDS",
    "EUID",
    "FUNCNAME",
    "GROUPS",
    "IFS",
    "LINENO",
    "OLDPWD",
    "OPTIND",
    "PATH",
    "PPID",
    "PWD",
    "RANDOM",
    "SECONDS",
    "SHELLOPTS",
    "SHLVL",
    "UID",
    "_",
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The secret's name in the Swarm.
    pub secret: String,
    pub env: String,
    /// The services that get it; `None` for all.
    pub services: Option<BTreeSet<String>>,
    line: usize,
}

impl Entry {
    /// Whether this service gets it.
    pub fn is_for(&self, service: &str) -> bool {
        self.services.as_ref().is_none_or(|services| services.contains(service))
    }

    fn meets(&self, other: &Self) -> bool {
        match (&self.services, &other.services) {
            (Some(one), Some(other)) => !one.is_disjoint(other),
            _ => true,
        }
    }
}

/// The entries in the stack's folder, and all mistakes in them. `compose` are the compose files that it is made of.
pub fn read<'a>(origin: Origin<'_>, compose: impl Iterator<Item = &'a Node>) -> (Vec<Entry>, Vec<Problem>) {
    let folder = origin.root.path().join(&origin.files.folder);
    if !origin.root.has(&folder, FILE) {
        return (Vec::new(), Vec::new());
    }
    let mut problems = Collector::new(origin.files.folder.join(FILE).display().to_string());
    let names: BTreeSet<String> =
        compose.flat_map(|tree| section(tree, "services")).map(|(name, _)| name).collect();
    let names: BTreeSet<_> = names.iter().map(String::as_str).collect();
    let mut entries: Vec<Entry> = Vec::new();
    for (index, item) in document(origin, &folder, &mut problems).iter().enumerate() {
        let Some(entry) = entry(index, item, &names, &mut problems) else { continue };
        if let Some(same) = entries.iter().find(|known| known.env == entry.env && known.meets(&entry)) {
            let what = format!("`{}` is set twice in a service, first in line {}", entry.env, same.line);
            problems.add(entry.line, format!("entry {}.env", index + 1), what);
        }
        entries.push(entry);
    }
    (entries, problems.into_problems())
}

fn document(origin: Origin<'_>, folder: &Path, problems: &mut Collector) -> Vec<Rc<Node>> {
    let text = origin.root.read_text(folder, FILE, MOST_BYTES);
    let (line, what) = match text.map(|text| yaml::parse(&text)) {
        Ok(Ok(None)) => return Vec::new(),
        Ok(Ok(Some(list))) => match (list.items(), origin.budget.take(Count::Values, list.weight())) {
            (_, Err(exceeded)) => (0, exceeded.sentence()),
            (Some(items), _) => return items.to_vec(),
            (None, _) => (list.line, format!("must be a list of `secret` and `env`, not {}", list.what())),
        },
        Ok(Err(error)) => (error.line, error.what),
        Err(error) => (0, format!("{error:#}")),
    };
    problems.add(line, "", what);
    Vec::new()
}

fn entry(index: usize, item: &Node, names: &BTreeSet<&str>, problems: &mut Collector) -> Option<Entry> {
    let place = format!("entry {}", index + 1);
    if item.pairs().is_none() {
        let what = format!("must be a mapping with `secret` and `env`, not {}", item.what());
        problems.add(item.line, place, what);
        return None;
    }
    check_keys(item, &place, problems);
    let key = if item.get("secret").is_none() && item.get("id").is_some() { "id" } else { "secret" };
    let secret = word(item, &place, key, problems, |name| {
        (!is_secret_name(name))
            .then_some("is no name of a docker secret (letters, digits, `.`, `-`, `_`; 64 at most)")
    });
    let env = word(item, &place, "env", problems, |name| {
        if !is_variable(name) {
            Some("is no name of a variable (letters, digits, `_`, no digit in front)")
        } else if OF_THE_SHELL.contains(&name) {
            Some("is a variable of the shell itself; choose another name")
        } else {
            None
        }
    });
    let services = services(item, &place, names, problems);
    Some(Entry { secret: secret?, env: env?, services, line: item.line })
}

fn check_keys(item: &Node, place: &str, problems: &mut Collector) {
    for (key, _) in item.pairs().unwrap_or_default() {
        let word = key.text().unwrap_or("…");
        if word != "<<" && !KEYS.contains(&word) {
            let what = "unknown key; known are `secret`, `env`, `services`";
            problems.add(key.line, format!("{place}.{word}"), what);
        }
    }
    if let (Some(_), Some(id)) = (item.get("secret"), item.get("id")) {
        problems.add(id.line, format!("{place}.id"), "is the older name of `secret`; write one of them");
    }
}

/// The string at `key`, if `wrong` finds nothing to say of it.
fn word(
    item: &Node,
    place: &str,
    key: &str,
    problems: &mut Collector,
    wrong: impl Fn(&str) -> Option<&'static str>,
) -> Option<String> {
    let Some(value) = item.get(key) else {
        problems.add(item.line, place, format!("has no `{key}`"));
        return None;
    };
    let what = match value.as_string().filter(|_| value.is_string()) {
        None => format!("must be a string, not {}", value.what()),
        Some(text) => match wrong(text) {
            None => return Some(text.to_owned()),
            Some(what) => format!("`{}` {what}", text.chars().take(80).collect::<String>().escape_debug()),
        },
    };
    problems.add(value.line, format!("{place}.{key}"), what);
    None
}

fn services(
    item: &Node,
    place: &str,
    names: &BTreeSet<&str>,
    problems: &mut Collector,
) -> Option<BTreeSet<String>> {
    let value = item.get("services")?;
    let key = format!("{place}.services");
    let mut chosen = BTreeSet::new();
    match value.items() {
        None => problems.add(value.line, &key, format!("must be a list of services, not {}", value.what())),
        Some([]) => problems.add(value.line, &key, "lists no service; leave it out for all"),
        Some(items) => {
            for item in items {
                let what = match item.text() {
                    Some(name) if !names.contains(name) => {
                        format!("`{}` is no service of the compose file", name.escape_debug())
                    }
                    Some(name) if !chosen.insert(name.to_owned()) => format!("`{name}` is listed twice"),
                    Some(_) => continue,
                    None => format!("must list names, not {}", item.what()),
                };
                problems.add(item.line, &key, what);
            }
        }
    }
    Some(chosen)
}

/// POSIX: what a shell takes for a name.
fn is_variable(name: &str) -> bool {
    !name.starts_with(|letter: char| letter.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// swarmkit `validConfigOrSecretName`.
fn is_secret_name(name: &str) -> bool {
    let outer = |letter: Option<char>| letter.is_some_and(|letter| letter.is_ascii_alphanumeric());
    name.len() <= MOST_LETTERS
        && outer(name.chars().next())
        && outer(name.chars().last())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}
