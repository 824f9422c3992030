//! The policy file: `rules`, a list of what sources may do.

use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use md5::{Digest, Md5};

use super::placement::Constraint;
use super::{Keys, Policy, Privileges, Rules};
use crate::fault::OrHint;
use crate::hash;
use crate::manifest::check_keys;
use crate::paths;
use crate::patterns::Patterns;
use crate::problem::{Collector, Problems};
use crate::signature::Signers;
use crate::yaml::{self, Node};

const MOST_BYTES: u64 = 1024 * 1024;
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
const HINT: &str = "mend the policy; until then nothing is touched, and what runs stays as it is";

/// Who may have written the files of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Root alone.
    Root,
    /// Anybody: nothing is deployed by it.
    Anybody,
}

/// The policy that was read last. As long as it stays the same, keys are not read again, which may take a program.
static LAST: Mutex<Option<Arc<Policy>>> = Mutex::new(None);

/// Reads the policy at `path`, and the keys it names where root is trusted; `programs` is where they find the program that
/// reads some of them. An error names every mistake.
pub fn read(path: &Path, trust: Trust, programs: &OsStr) -> Result<Arc<Policy>> {
    let what = || format!("the policy `{}` cannot be used", path.display());
    let text = trusted(path, trust).and_then(|()| paths::read_text(path, MOST_BYTES));
    let text = text.with_context(what).or_hint(HINT)?;
    let mut problems = Collector::new(path.display().to_string());
    let mut rules = parse(&text, path, trust, &mut problems);
    let mut all = Problems::default();
    all.extend(problems.into_problems());
    let id = id(&text, &rules);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = last.as_ref().filter(|known| all.is_empty() && known.id == id && known.path == path)
    {
        return Ok(Arc::clone(known));
    }
    for keys in rules.iter_mut().filter_map(|rules| rules.signed.as_mut()).filter(|_| trust == Trust::Root) {
        match Signers::read(&keys.named, &keys.revoked, programs) {
            Ok(signers) => keys.signers = Some(Arc::new(signers)),
            Err(problems) => all.extend(problems),
        }
    }
    if !all.is_empty() {
        return Err(all).with_context(what).or_hint(HINT);
    }
    let policy = Arc::new(Policy { path: path.to_owned(), id, rules });
    *last = Some(Arc::clone(&policy));
    Ok(policy)
}

/// Changes with the text, and with the keys that it names.
fn id(text: &str, rules: &[Rules]) -> String {
    let mut hash = Md5::new();
    hash::part(&mut hash, text);
    let signed = rules.iter().filter_map(|rules| rules.signed.as_ref());
    for file in signed.flat_map(|keys| keys.named.iter().chain(&keys.revoked)) {
        hash::part(&mut hash, std::fs::read(file).unwrap_or_default());
    }
    hash::hex(hash)
}

/// Who may write to it says what may be deployed.
fn trusted(path: &Path, trust: Trust) -> Result<()> {
    let found = std::fs::metadata(path)?;
    ensure!(found.is_file(), "is not a file");
    if trust == Trust::Root {
        ensure!(found.uid() == 0, "belongs to the user {}; it must be root's", found.uid());
        ensure!(found.mode() & 0o022 == 0, "may be written to by others than root; `chmod go-w` mends that");
    }
    Ok(())
}

fn parse(text: &str, path: &Path, trust: Trust, problems: &mut Collector) -> Vec<Rules> {
    let tree = match yaml::parse(text) {
        Ok(Some(tree)) => tree,
        Ok(None) => {
            problems.add(0, "", "is empty; without a policy, unset `DOCKEROPS_POLICY`");
            return Vec::new();
        }
        Err(error) => {
            problems.add(error.line, "", error.what);
            return Vec::new();
        }
    };
    if tree.pairs().is_none() {
        problems.add(tree.line, "", format!("must be a mapping with `rules`, not {}", tree.what()));
        return Vec::new();
    }
    // What begins with `x-` is there to be merged into others.
    let pairs = tree.pairs().unwrap_or_default();
    for (key, _) in pairs.iter().filter(|(key, _)| key.text() != Some("rules")) {
        if !key.text().is_some_and(|key| key.starts_with("x-")) {
            problems.add(key.line, key.text().unwrap_or("…"), "unknown key; known is `rules`");
        }
    }
    if pairs.iter().filter(|(key, _)| key.text() == Some("rules")).count() > 1 {
        problems.add(tree.line, "rules", "stands twice");
    }
    let list = tree.get("rules");
    let items = list.as_ref().and_then(|list| list.items()).unwrap_or_default();
    if items.is_empty() {
        let line = list.as_ref().map_or(tree.line, |list| list.line);
        problems.add(line, "rules", "must be a list with what sources may do");
    }
    let one = |(index, item): (usize, &Rc<Node>)| {
        let item = &item.without_merges();
        let mut reader = Reader { item, place: format!("rules {}", index + 1), trust, problems };
        reader.rules(path)
    };
    items.iter().enumerate().map(one).collect()
}

/// Reads one entry.
struct Reader<'a> {
    item: &'a Node,
    place: String,
    trust: Trust,
    problems: &'a mut Collector,
}

impl Reader<'_> {
    fn rules(&mut self, path: &Path) -> Rules {
        let place = format!("{}:{}", path.display(), self.item.line);
        let mut rules = Rules { place, ..Rules::default() };
        if self.item.pairs().is_none() {
            self.add(self.item.line, "", &format!("must be a mapping, not {}", self.item.what()));
            return rules;
        }
        check_keys(self.item, &self.place, &KEYS, self.problems);
        rules.sources = self.patterns("sources");
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
                let keys = self.strings(node, "privileges").unwrap_or_default();
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
        match (signed, keys.named.is_empty()) {
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
