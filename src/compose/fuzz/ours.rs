//! What DockerOps makes of a compose file: the one place of the fuzzer that knows how it is asked.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tempfile::TempDir;

use super::place::{Fixture, inherited};
use super::tree::Tree;
use crate::budget::{Budget, Limits};
use crate::compose::merge::NoMerger;
use crate::compose::{self, Origin, Ownership, Unrenderable, Volumes, environment};
use crate::hash::Key;
use crate::paths::Root;
use crate::problem::Collector;
use crate::stack::{StackFiles, StackName};
use crate::yaml::{Kind, Node};

/// The stack that all cases are deployed as.
pub const STACK: &str = "st";
/// The commit that labels tell.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
/// The repository that labels tell.
pub const REPOSITORY: &str = "https://example.org/fuzz$HOME";

/// A case that was rendered.
#[derive(Debug, Clone)]
pub struct Ours {
    /// What docker reads.
    pub text: String,
    /// docker's working directory: the files that the text names.
    pub copies: Arc<TempDir>,
    /// Our tree: variables replaced, merges written out.
    pub tree: Tree,
    /// `configs.site` → the name that follows its content.
    pub rotated: BTreeMap<String, String>,
    /// What labels tell.
    pub fingerprint: String,
}

/// Why there is none.
#[derive(Debug)]
pub enum Refused {
    /// In our words.
    Told(String),
    /// Our code fell over.
    Panic,
}

/// Reads the compose file `name` in the fixture's folder.
pub fn read(fixture: &Fixture, name: &str) -> Result<Ours, Refused> {
    catch_unwind(AssertUnwindSafe(|| load(fixture, name))).unwrap_or(Err(Refused::Panic))
}

fn load(fixture: &Fixture, name: &str) -> Result<Ours, Refused> {
    let (file, path) = (fixture.folder().join(name), format!("stack/{name}"));
    let budget = Budget::new(Limits::default());
    let (root, files) = (Root::on_disk(&fixture.root), StackFiles::alone(file, &path));
    let origin = Origin { root: &root, files: &files, budget: &budget, merger: &NoMerger, readable: None };
    let inherited = inherited();
    let key = Key::from_hex(&"5a".repeat(32)).unwrap();
    let rendered = compose::load(&StackName::known(STACK), origin, &inherited, &Volumes::new(), &key);
    let rendered = rendered.map_err(|why| Refused::Told(message(&why)))?;
    let ownership = Ownership { repository: REPOSITORY.into(), commit: COMMIT.into() };
    let whole = |error: anyhow::Error| Refused::Told(format!("{error:#}"));
    let rotated = rendered.rotated.iter();
    Ok(Ours {
        text: rendered.text(&ownership).map_err(whole)?,
        copies: Arc::new(rendered.copies(fixture.top()).map_err(whole)?),
        tree: effective(origin, &inherited)
            .ok_or_else(|| Refused::Told("is rendered and not read".into()))?,
        rotated: rotated
            .map(|one| (format!("{}.{}", one.kind.section(), one.key), one.name.clone()))
            .collect(),
        fingerprint: rendered.fingerprint,
    })
}

/// The tree that was checked.
fn effective(origin: Origin<'_>, inherited: &BTreeMap<OsString, OsString>) -> Option<Tree> {
    let compose_file = origin.compose_files().remove(0);
    let tree = compose::read(compose_file, &mut Collector::new(compose_file.path))?;
    let variables = compose::variables(origin, inherited.into()).ok()?;
    Some(own(&*environment::interpolated(&tree.without_merges(), &variables).ok()?))
}

/// What a text says to our reader, as a tree of the fuzzer's own.
pub fn parse(text: &str) -> Option<Tree> {
    crate::yaml::parse(text).ok()?.map(|node| own(&node.without_merges()))
}

fn own(node: &Node) -> Tree {
    match &node.kind {
        Kind::Scalar { text, plain } => {
            Tree::Scalar { text: text.clone(), plain: *plain && node.tag.is_none() }
        }
        Kind::Sequence(items) => Tree::List(items.iter().map(|item| own(item)).collect()),
        Kind::Mapping(pairs) => Tree::Map(pairs.iter().map(|(key, value)| (own(key), own(value))).collect()),
    }
}

fn message(why: &Unrenderable) -> String {
    match why {
        Unrenderable::Invalid(problems) => {
            problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        }
        Unrenderable::Stack(error) | Unrenderable::Unmerged(error) => format!("{error:#}"),
    }
}
