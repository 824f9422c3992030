//! What DockerOps makes of a compose file: the one place of the fuzzer that knows how it is asked.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::rc::Rc;

use super::place::{Fixture, inherited};
use super::tree::Tree;
use crate::budget::{Budget, Limits};
use crate::compose::interpolate::{Variables, interpolate};
use crate::compose::{self, Ownership, Place, Unrenderable, Volumes, environment, references};
use crate::hash::Key;
use crate::problem::Collector;
use crate::stack::StackName;
use crate::yaml::{Kind, Node};

/// The stack that all cases are deployed as.
pub const STACK: &str = "st";
/// The commit that labels tell.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
/// The repository that labels tell.
pub const REPOSITORY: &str = "https://example.org/fuzz$HOME";

/// `configs.site.file` and the like → what lies there, in the order of the file.
type Files = BTreeMap<String, Vec<Vec<u8>>>;

/// A case that was rendered.
#[derive(Debug, Clone)]
pub struct Ours {
    /// What docker reads.
    pub text: String,
    /// docker's working directory.
    pub folder: PathBuf,
    /// Our tree: variables replaced, merges written out.
    pub tree: Tree,
    /// `configs.site.file` and the like → what lies there, in the order of the file.
    pub files: Files,
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
    let place = Place { root: &fixture.root, file: &file, path: &path, budget: &budget };
    let inherited = inherited();
    let key = Key::from_hex(&"5a".repeat(32)).unwrap();
    let rendered = compose::load(&StackName::known(STACK), place, &inherited, &Volumes::new(), &key);
    let rendered = rendered.map_err(|why| Refused::Told(told(&why)))?;
    let ownership = Ownership { repository: REPOSITORY.into(), commit: COMMIT.into() };
    let text = rendered.text(&ownership).map_err(|error| Refused::Told(format!("{error:#}")))?;
    // Many cases are one stack to docker, which starts in one folder: names of copies follow their content.
    let copies = rendered.copies(&fixture.copies()).unwrap();
    for copy in fs::read_dir(copies.path()).unwrap().map(Result::unwrap) {
        fs::rename(copy.path(), fixture.copies().join(copy.file_name())).unwrap();
    }
    let (tree, files) = effective(fixture, place, &inherited)
        .ok_or_else(|| Refused::Told("rendered, but has no tree when it is read again".into()))?;
    let rotated = rendered.rotated.iter();
    Ok(Ours {
        text,
        tree,
        files,
        rotated: rotated
            .map(|one| (format!("{}.{}", one.payload.section(), one.key), one.name.clone()))
            .collect(),
        folder: fixture.copies(),
        fingerprint: rendered.fingerprint,
    })
}

/// The tree that was checked and the files that it names.
fn effective(
    fixture: &Fixture,
    place: Place<'_>,
    inherited: &BTreeMap<OsString, OsString>,
) -> Option<(Tree, Files)> {
    let mut problems = Collector::new(place.path);
    let author = compose::read(place, &mut problems)?.without_merges();
    let folder = fixture.folder();
    let variables = compose::variables(place, &folder, inherited).ok()?;
    let effective = environment::interpolated(&author, &variables).ok()?;
    let mut named = Vec::new();
    for (key, service) in references::section(&effective, "services") {
        let Some(value) = service.get("env_file") else { continue };
        let single = [Rc::clone(&value)];
        let items = value.items().unwrap_or(&single).iter();
        named.extend(items.map(|item| (format!("services.{key}.env_file"), Rc::clone(item))));
    }
    for kind in ["configs", "secrets"] {
        for (key, entry) in references::section(&effective, kind) {
            named.extend(entry.get("file").map(|file| (format!("{kind}.{key}.file"), file)));
        }
    }
    let mut files = BTreeMap::<_, Vec<_>>::new();
    for (key, node) in named {
        let path = references::resolve(&key, &node, place.root, &folder, &mut problems)?;
        files.entry(key).or_default().push(fs::read(path).ok()?);
    }
    Some((interpolated(&author, &variables), files))
}

/// `raw` with its variables replaced: what stands for a variable is a text, never a number or nothing.
fn interpolated(raw: &Node, variables: &Variables) -> Tree {
    match &raw.kind {
        Kind::Scalar { text, .. } if text.contains('$') => {
            Tree::quoted(interpolate(text, variables).unwrap_or_default())
        }
        Kind::Sequence(items) => Tree::List(items.iter().map(|item| interpolated(item, variables)).collect()),
        Kind::Mapping(pairs) => {
            Tree::Map(pairs.iter().map(|(key, value)| (own(key), interpolated(value, variables))).collect())
        }
        Kind::Scalar { .. } => own(raw),
    }
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

fn told(why: &Unrenderable) -> String {
    match why {
        Unrenderable::Invalid(problems) => {
            problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        }
        Unrenderable::Stack(error) => format!("{error:#}"),
    }
}
