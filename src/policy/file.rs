//! The policy file: `rules`, a list of what sources may do.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use md5::{Digest, Md5};

use super::entry::Reader;
use super::{Policy, Rules};
use crate::fault::OrHint;
use crate::hash;
use crate::paths;
use crate::problem::{Collector, Problems};
use crate::signature::Signers;
use crate::yaml::{self, Node};

const MOST_BYTES: u64 = 1024 * 1024;
const HINT: &str = "mend the policy; until then nothing is touched, and what runs stays as it is";
const HINT_ELSEWHERE: &str = "mend the policy; DockerOps does nothing at all where it has such a one";

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
    let hint = if trust == Trust::Root { HINT } else { HINT_ELSEWHERE };
    let text = trusted(path, trust).and_then(|()| paths::read_text(path, MOST_BYTES));
    let text = text.with_context(what).or_hint(hint)?;
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
        return Err(all).with_context(what).or_hint(hint);
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
pub fn trusted(path: &Path, trust: Trust) -> Result<()> {
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
    refuse_twice(&tree, problems);
    // Whoever reads on after such a line finds rules that count for nothing.
    for (index, line) in text.lines().enumerate() {
        let is_begun =
            text.lines().take(index).any(|line| !line.trim().is_empty() && !line.starts_with(['#', '%']));
        if is_begun && (line == "---" || line == "..." || line.starts_with("--- ")) {
            problems.add(index + 1, "", "holds another document; write all rules into one");
        }
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

/// Notes keys that stand twice in a mapping: of the two only one would count.
fn refuse_twice(node: &Node, problems: &mut Collector) {
    let mut known = BTreeSet::new();
    for (key, value) in node.pairs().unwrap_or_default() {
        if key.text().is_some_and(|text| !known.insert(text.to_owned())) {
            problems.add(key.line, key.text().unwrap_or_default(), "stands twice");
        }
        refuse_twice(value, problems);
    }
    node.items().unwrap_or_default().iter().for_each(|item| refuse_twice(item, problems));
}
