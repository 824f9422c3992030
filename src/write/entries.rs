//! `stacks.yaml`, edited as a person would: what is not of the stack in question stays letter for letter.
//!
//! In: the file's text, and what is wanted of one stack. Out: the new text, or why it cannot be had. Lines are moved, and
//! never printed anew; then both texts are read, and an edit that means anything else than was asked is refused.

mod outline;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use crate::manifest::Origin;
use crate::stack::StackName;
use crate::yaml::{self, Kind, Node};
use outline::{Item, Outline, Place, Root};

/// What a key of an entry is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Text(String),
    Switch(bool),
}

/// Why a file is not edited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It is no list of stacks, for this reason.
    Unreadable { line: usize, what: String },
    /// There is no such stack.
    Missing,
    /// A stack of that name is listed in this line.
    Taken { line: usize },
    /// It is the only one.
    Last,
    /// It is written in brackets or braces.
    Flow { line: usize },
    /// Others repeat a part of it.
    Anchor { line: usize },
    /// It cannot be edited without changing what else the file says.
    Odd { line: usize },
}

impl Refusal {
    /// The way out.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "mend the file with git; `dockerops validate` tells what is wrong",
            Self::Missing => "the names of the list are those of folders, or of `folder`",
            Self::Taken { .. } => "choose another name",
            Self::Last => "a list of no stacks removes nothing: write `enabled: false` instead",
            Self::Flow { .. } => {
                "write it over several lines: `- name: web`, and below it `  enabled: false`"
            }
            Self::Anchor { .. } => {
                "write out what the other entry takes by `*` or `<<`, then remove this one"
            }
            Self::Odd { .. } => "edit the file with git, or write the entry with a key a line",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { line, what } => write!(f, "`stacks.yaml`, line {line}: {what}"),
            Self::Missing => f.write_str("`stacks.yaml` lists no such stack"),
            Self::Taken { line } => write!(f, "`stacks.yaml` lists a stack of that name in line {line}"),
            Self::Last => f.write_str("it is the only stack of `stacks.yaml`"),
            Self::Flow { line } => {
                write!(f, "`stacks.yaml`, line {line}: what stands in brackets or braces is not edited")
            }
            Self::Anchor { line } => {
                write!(f, "`stacks.yaml`, line {line}: another entry repeats what is marked by `&` here")
            }
            Self::Odd { line } => {
                write!(
                    f,
                    "`stacks.yaml`, line {line}: the entry cannot be edited without changing what else stands there"
                )
            }
        }
    }
}

impl std::error::Error for Refusal {}

/// Whether it is read, and lists nothing.
pub fn is_empty(text: &str) -> bool {
    File::read(text).is_ok_and(|file| file.nodes.is_empty())
}

/// The lines of a stack's entry.
pub fn text(text: &str, name: &StackName) -> Option<String> {
    let file = File::read(text).ok()?;
    let at = file.only(name).ok()?;
    match &file.outline.root {
        Root::Block { items, .. } => {
            let item = items.get(at)?;
            Some(
                text.lines().skip(item.first).take(item.last + 1 - item.first).collect::<Vec<_>>().join("\n"),
            )
        }
        _ => Some(text.to_owned()),
    }
}

/// The folder that a stack's entry names, as it stands there.
pub fn folder(text: &str, name: &StackName) -> Option<String> {
    let file = File::read(text).ok()?;
    let node = &file.nodes[file.only(name).ok()?];
    Some(node.get("folder").or_else(|| node.get("name"))?.as_string()?.to_owned())
}

/// The template that a stack's entry names.
pub fn origin(text: &str, name: &StackName) -> Option<Origin> {
    let file = File::read(text).ok()?;
    Origin::parse(file.nodes[file.only(name).ok()?].get("template")?.as_string()?)
}

/// The template of every stack that names one; nothing of a list that cannot be read.
pub fn origins(text: &str) -> BTreeMap<String, Origin> {
    let one = |node: &Rc<Node>| {
        let stack = StackName::from_folder(node.get("name")?.as_string()?).ok()?;
        Some((stack.to_string(), Origin::parse(node.get("template")?.as_string()?)?))
    };
    let nodes = File::read(text).map(|file| file.nodes).unwrap_or_default();
    nodes.iter().filter_map(one).collect()
}

/// The keys of a stack's entry.
pub fn keys(text: &str, name: &StackName) -> Vec<String> {
    let node = File::read(text).ok().and_then(|file| Some(file.nodes[file.only(name).ok()?].clone()));
    let pairs = node.map(|node| node.merged_pairs()).unwrap_or_default();
    pairs.iter().filter_map(|(key, _)| Some(key.as_string()?.to_owned())).collect()
}

/// Adds an entry of these keys behind all others. The file may be empty.
pub fn add(text: &str, name: &StackName, keys: &[(&str, Value)]) -> Result<String, Refusal> {
    let file = File::read(text)?;
    if let Some(taken) = file.named(name).next() {
        return Err(Refusal::Taken { line: file.nodes[taken].line });
    }
    let (column, at) = match &file.outline.root {
        Root::Nothing => (0, file.outline.end),
        Root::Flow { line } => return Err(Refusal::Flow { line: *line }),
        Root::Block { column, .. } => (*column, file.outline.end),
    };
    let indent = " ".repeat(column);
    let all = std::iter::once(("name", Value::Text(name.to_string()))).chain(keys.iter().cloned());
    let lines = all.enumerate().map(|(number, (key, value))| {
        format!("{indent}{} {key}: {}", if number == 0 { "-" } else { " " }, value.written())
    });
    let lines: Vec<_> = lines.collect();
    let entry = yaml::parse(&lines.join("\n")).ok().flatten().ok_or(Refusal::Odd { line: at })?;
    let mut wanted = file.nodes.clone();
    wanted.extend(entry.items().unwrap_or_default().iter().cloned());
    checked(file.outline.with_lines(at, &lines), &wanted, at)
}

/// Removes the entry of a stack, and no comment beside it.
pub fn remove(text: &str, name: &StackName) -> Result<String, Refusal> {
    let file = File::read(text)?;
    let at = file.only(name)?;
    let item = &file.outline.items()?[at];
    if file.nodes.len() == 1 {
        return Err(Refusal::Last);
    }
    if file.outline.lends(at) {
        return Err(Refusal::Anchor { line: item.first + 1 });
    }
    let mut wanted = file.nodes.clone();
    wanted.remove(at);
    checked(file.outline.without_lines(item.first..=item.last), &wanted, item.first + 1)
}

/// Gives a key of a stack's entry this value, whether it has one or not.
pub fn set(text: &str, name: &StackName, key: &str, value: &Value) -> Result<String, Refusal> {
    let file = File::read(text)?;
    let at = file.only(name)?;
    let item: &Item = &file.outline.items()?[at];
    let line = item.first + 1;
    let odd = || Refusal::Odd { line };
    if item.is_flow {
        return Err(Refusal::Flow { line });
    }
    let find = |wanted: &str| item.keys.iter().position(|known| known.text == wanted);
    let written = value.written();
    let mut pairs = file.nodes[at].pairs().ok_or_else(odd)?.to_vec();
    let node = yaml::parse(&written).ok().flatten().ok_or_else(odd)?;
    let edited = if let Some(index) = find(key) {
        pairs.get_mut(index).ok_or_else(odd)?.1 = node;
        match &item.keys[index].value {
            Place::Word(range) => file.outline.with(range.clone(), &written),
            Place::Nothing(at) => file.outline.with(*at..*at, &format!(" {written}")),
            Place::Other => return Err(odd()),
        }
    } else {
        let index = find("name").ok_or_else(odd)?;
        pairs.insert(index + 1, (Node::plain(key), node));
        let name = &item.keys[index];
        let new = format!("{}{key}: {written}", " ".repeat(name.column));
        file.outline.with_lines(name.last + 1, &[new])
    };
    let mut wanted = file.nodes.clone();
    wanted[at] = Rc::new(Node { kind: Kind::Mapping(pairs), ..(*file.nodes[at]).clone() });
    checked(edited, &wanted, line)
}

impl Value {
    /// On one line.
    fn written(&self) -> String {
        match self {
            Self::Text(text) => word(text),
            Self::Switch(value) => value.to_string(),
        }
    }
}

/// Without quotes where no reader of YAML can take it for anything but this text.
fn word(text: &str) -> String {
    let plain = text.starts_with(|letter: char| letter.is_ascii_alphanumeric())
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_./@".contains(letter))
        && Node::plain(text).string_text().is_some();
    if plain {
        return text.to_owned();
    }
    crate::plain::json(&serde_json::Value::from(text).to_string())
}

/// What a text says, and where.
struct File<'a> {
    nodes: Vec<Rc<Node>>,
    outline: Outline<'a>,
}

impl<'a> File<'a> {
    fn read(text: &'a str) -> Result<Self, Refusal> {
        let unreadable =
            |error: yaml::SyntaxError| Refusal::Unreadable { line: error.line, what: error.what };
        let tree = yaml::parse(text).map_err(unreadable)?;
        let outline = Outline::of(text).map_err(unreadable)?;
        let nodes = match tree {
            None => Vec::new(),
            Some(tree) if tree.is_null() => Vec::new(),
            Some(tree) => match tree.items() {
                Some(items) => items.to_vec(),
                None => {
                    let what = format!("must be a list of `- name: folder`, not {}", tree.what());
                    return Err(Refusal::Unreadable { line: tree.line, what });
                }
            },
        };
        let is_whole = match &outline.root {
            Root::Nothing => nodes.is_empty(),
            Root::Flow { .. } => true,
            Root::Block { items, .. } => items.len() == nodes.len(),
        };
        if is_whole { Ok(Self { nodes, outline }) } else { Err(Refusal::Odd { line: 1 }) }
    }

    /// The entries that become the stack `name`, or would own its services.
    fn named<'b>(&'b self, name: &'b StackName) -> impl Iterator<Item = usize> + 'b {
        let is_it = |node: &Node| {
            let title = node.get("name")?;
            Some(StackName::from_folder(title.as_string()?).ok()?.collides_with(name))
        };
        let numbered = self.nodes.iter().enumerate();
        numbered.filter(move |(_, node)| is_it(node).unwrap_or(false)).map(|(index, _)| index)
    }

    fn only(&self, name: &StackName) -> Result<usize, Refusal> {
        let mut found = self.named(name);
        let first = found.next().ok_or(Refusal::Missing)?;
        match found.next() {
            None => Ok(first),
            Some(_) => {
                let what = format!("`{name}` is listed twice");
                Err(Refusal::Unreadable { line: self.nodes[first].line, what })
            }
        }
    }
}

/// `edited`, if it says what is `wanted`.
fn checked(edited: String, wanted: &[Rc<Node>], line: usize) -> Result<String, Refusal> {
    let tree = yaml::parse(&edited).ok().flatten();
    let items = tree.as_ref().and_then(|tree| tree.items());
    let is_it = items.is_some_and(|items| {
        items.len() == wanted.len() && items.iter().zip(wanted).all(|(one, other)| is_same(one, other))
    });
    if is_it { Ok(edited) } else { Err(Refusal::Odd { line }) }
}

/// Whether both say the same, whatever their lines are.
fn is_same(one: &Node, other: &Node) -> bool {
    one.tag == other.tag
        && match (&one.kind, &other.kind) {
            (Kind::Sequence(one), Kind::Sequence(other)) => {
                one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
            }
            (Kind::Mapping(one), Kind::Mapping(other)) => {
                let mut pairs = one.iter().zip(other);
                one.len() == other.len()
                    && pairs.all(|(one, other)| is_same(&one.0, &other.0) && is_same(&one.1, &other.1))
            }
            (one, other) => one == other,
        }
}
