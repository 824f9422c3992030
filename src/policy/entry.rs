//! One entry of the policy file: what the sources it names may do.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::file::{Trust, trusted};
use super::placement::Constraint;
use super::{Keys, Privileges, Rules};
use crate::manifest::check_keys;
use crate::patterns::Patterns;
use crate::problem::Collector;
use crate::yaml::Node;

const KEYS: [&str; 18] = [
    "sources",
    "stacks",
    "images",
    "digests",
    "mounts",
    "privileges",
    "ports",
    "networks",
    "secrets",
    "configs",
    "volumes",
    "placement",
    "resources",
    "variables",
    "builds",
    "commits",
    "keys",
    "revoked",
];

/// Reads one entry.
pub struct Reader<'a> {
    pub item: &'a Node,
    pub place: String,
    pub trust: Trust,
    pub problems: &'a mut Collector,
}

impl Reader<'_> {
    pub fn rules(&mut self, path: &Path) -> Rules {
        let place = format!("{}:{}", path.display(), self.item.line);
        let mut rules = Rules { place, ..Rules::default() };
        if self.item.pairs().is_none() {
            self.add(self.item.line, "", &format!("must be a mapping, not {}", self.item.what()));
            return rules;
        }
        check_keys(self.item, &self.place, &KEYS, self.problems);
        rules.sources = self.sources();
        rules.stacks = self.patterns("stacks");
        rules.images = self.patterns("images");
        rules.digests = self.word("digests", &[("required", true), ("optional", false)]).unwrap_or_default();
        rules.networks = self.patterns("networks");
        rules.secrets = self.patterns("secrets");
        rules.configs = self.patterns("configs");
        rules.volumes = self.patterns("volumes");
        rules.variables = self.patterns("variables");
        rules.no_builds = self.boolean("builds") == Some(false);
        self.mounts(&mut rules);
        self.privileges(&mut rules);
        self.ports(&mut rules);
        self.placement(&mut rules);
        self.resources(&mut rules);
        self.commits(&mut rules);
        rules
    }

    fn add(&mut self, line: usize, key: &str, what: &str) {
        let key = if key.is_empty() { self.place.clone() } else { format!("{}.{key}", self.place) };
        self.problems.add(line, key, what);
    }

    /// The strings of a list, or one alone, with their lines; `None` where the key is not there.
    fn strings(&mut self, node: Option<Rc<Node>>, key: &str) -> Option<Vec<(usize, String)>> {
        let node = node?;
        let items = match (node.items(), node.pairs()) {
            (Some(items), _) => items.to_vec(),
            (None, None) if !node.is_null() => vec![Rc::clone(&node)],
            _ => {
                self.add(
                    node.line,
                    key,
                    &format!("must be a list, not {}; `[]` stands for none", node.what()),
                );
                return Some(Vec::new());
            }
        };
        let mut strings = Vec::new();
        for item in items {
            match item.as_string() {
                Some(text) => strings.push((item.line, text.to_owned())),
                None => self.add(item.line, key, &format!("must list strings, not {}", item.what())),
            }
        }
        Some(strings)
    }

    fn each(
        &mut self,
        node: Option<Rc<Node>>,
        key: &str,
        mut take: impl FnMut(&str) -> Result<(), String>,
    ) -> bool {
        let strings = self.strings(node, key);
        for (line, text) in strings.iter().flatten() {
            if let Err(what) = take(text) {
                self.add(*line, key, &what);
            }
        }
        strings.is_some()
    }

    fn patterns_of(&mut self, node: Option<Rc<Node>>, key: &str) -> Option<Patterns> {
        let mut patterns = Patterns::default();
        let add = |text: &str| patterns.add(text).map_err(|error| format!("`{text}` {error:#}"));
        self.each(node, key, add).then_some(patterns)
    }

    /// Sources by the one name that each has, however they are written.
    fn sources(&mut self) -> Option<Patterns> {
        let mut patterns = Patterns::default();
        let add = |text: &str| {
            let name = super::bare(text);
            if name.split('/').any(|part| part == "..") {
                return Err(format!("`{text}` leads on with `..`; write the path it means"));
            }
            patterns.add(&name).map_err(|error| format!("`{text}` {error:#}"))
        };
        self.each(self.item.get("sources"), "sources", add).then_some(patterns)
    }

    fn patterns(&mut self, key: &str) -> Option<Patterns> {
        self.patterns_of(self.item.get(key), key)
    }

    fn word<T: Copy>(&mut self, key: &str, words: &[(&str, T)]) -> Option<T> {
        let node = self.item.get(key)?;
        self.word_of(&node, key, words)
    }

    fn word_of<T: Copy>(&mut self, node: &Node, key: &str, words: &[(&str, T)]) -> Option<T> {
        let known = words.iter().find(|(word, _)| node.text() == Some(word));
        if known.is_none() {
            let all: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
            self.add(node.line, key, &format!("must be {}", all.join(" or ")));
        }
        known.map(|(_, value)| *value)
    }

    fn boolean(&mut self, key: &str) -> Option<bool> {
        let node = self.item.get(key)?;
        let value = node.as_bool();
        if value.is_none() {
            self.add(node.line, key, &format!("must be `true` or `false`, not {}", node.what()));
        }
        value
    }

    fn mounts(&mut self, rules: &mut Rules) {
        let mut remote = Patterns::default();
        let node = self.item.get("mounts");
        let line = node.as_ref().map_or(0, |node| node.line);
        let mounts = &mut rules.mounts;
        self.each(node, "mounts", |text| {
            if text.starts_with("nfs://") || text.starts_with("cifs://") {
                return remote.add(text).map_err(|error| format!("`{text}` {error:#}"));
            }
            mounts.add(text)
        });
        if let Some(what) = rules.mounts.wrong() {
            self.add(line, "mounts", &what);
        }
        rules.remote = Some(remote).filter(|remote| !remote.is_empty());
    }

    fn privileges(&mut self, rules: &mut Rules) {
        let node = self.item.get("privileges");
        rules.privileges = match node.as_ref().and_then(|node| node.as_bool()) {
            Some(true) => Privileges::All,
            Some(false) => Privileges::None,
            None => {
                let is_list = node.as_ref().is_none_or(|node| node.items().is_some());
                if let Some(node) = node.as_ref().filter(|_| !is_list) {
                    self.add(node.line, "privileges", "must be `true`, `false` or a list of keys");
                }
                let keys = self.strings(node.filter(|_| is_list), "privileges").unwrap_or_default();
                Privileges::These(keys.into_iter().map(|(_, key)| key).collect())
            }
        };
    }

    fn ports(&mut self, rules: &mut Rules) {
        let Some(node) = self.item.get("ports") else { return };
        let mut ports = super::Ports::default();
        match (node.items(), node.text()) {
            // A number is no string.
            (Some(items), _) => {
                for item in items {
                    let text = item.text().unwrap_or_default();
                    if let Err(what) = ports.add(text) {
                        self.add(item.line, "ports", &what);
                    }
                }
            }
            (None, Some(text)) if !node.is_null() => {
                if let Err(what) = ports.add(text) {
                    self.add(node.line, "ports", &what);
                }
            }
            _ => self.add(
                node.line,
                "ports",
                &format!("must be a list, not {}; `[]` stands for none", node.what()),
            ),
        }
        rules.ports = Some(ports);
    }

    fn placement(&mut self, rules: &mut Rules) {
        let Some(node) = self.known("placement", &["must", "may"]) else { return };
        let must = &mut rules.must_be_placed;
        self.each(node.get("must"), "placement.must", |text| {
            let constraint = Constraint::parse(text);
            must.push(
                constraint.ok_or_else(|| format!("`{text}` is no constraint: `node.labels.zone == a`"))?,
            );
            Ok(())
        });
        rules.may_be_placed = self.patterns_of(node.get("may"), "placement.may");
    }

    fn resources(&mut self, rules: &mut Rules) {
        let Some(node) = self.known("resources", &["limits"]) else { return };
        if let Some(limits) = node.get("limits") {
            let words = [("required", true), ("optional", false)];
            rules.limits = self.word_of(&limits, "resources.limits", &words).unwrap_or_default();
        }
    }

    fn commits(&mut self, rules: &mut Rules) {
        let signed = self.word("commits", &[("signed", true), ("any", false)]) == Some(true);
        let (mut keys, trust) = (Keys::default(), self.trust);
        for (key, files) in [("keys", &mut keys.named), ("revoked", &mut keys.revoked)] {
            self.each(self.item.get(key), key, |text| {
                let path = PathBuf::from(text);
                if !path.is_absolute() {
                    return Err(format!("`{text}` is relative; write where it lies on the manager"));
                }
                // Elsewhere they need not be there.
                if trust == Trust::Root {
                    trusted(&path, trust).map_err(|error| format!("`{text}`: {error:#}"))?;
                }
                files.push(path);
                Ok(())
            });
        }
        let has_keys =
            self.item.get("keys").is_some_and(|keys| keys.items().is_none_or(|all| !all.is_empty()));
        match (signed, !has_keys) {
            (true, true) => {
                self.add(self.item.line, "keys", "is missing: `commits: signed` needs files with keys");
            }
            (false, false) => self.add(self.item.line, "commits", "must be `signed` where there are `keys`"),
            _ => rules.signed = signed.then_some(keys),
        }
    }

    /// A mapping of these keys.
    fn known(&mut self, key: &str, known: &[&str]) -> Option<Rc<Node>> {
        let node = self.item.get(key)?;
        if node.pairs().is_none() {
            let what = format!("must be a mapping of `{}`, not {}", known.join("`, `"), node.what());
            self.add(node.line, key, &what);
            return None;
        }
        check_keys(&node, &format!("{}.{key}", self.place), known, self.problems);
        Some(node)
    }
}
