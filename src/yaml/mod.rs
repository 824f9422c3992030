//! YAML as its author wrote it: scalars keep their text, style, tag and line.
//!
//! docker reads YAML 1.1, most libraries write 1.2; `mode: 0440` does not survive a typed
//! parse-and-print. A tree of untyped nodes does, and every node knows its line for error messages.

mod alike;
mod json;
mod parse;
mod print;
mod types;

use std::collections::HashSet;
use std::rc::Rc;

pub use alike::reads_alike;
pub use json::from_json;
pub use parse::{SyntaxError, parse};
pub use print::{print, show};

/// One value with the line (from 1) it begins on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Line in the file, from 1; 0 for a node that DockerOps made.
    pub line: usize,
    /// An explicit tag in full (`tag:yaml.org,2002:str`), if the author wrote one.
    pub tag: Option<String>,
    pub kind: Kind,
}

/// What a node is. Aliases are shared nodes: `Rc::make_mut` edits one use and leaves the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A scalar; `plain` if it stood without quotes, so that its text may be a number, a boolean, null.
    Scalar {
        /// The text, without quotes and escapes.
        text: String,
        /// Whether YAML decides its type by its text.
        plain: bool,
    },
    Sequence(Vec<Rc<Node>>),
    /// Pairs in the author's order; a `<<` key is kept as it stands.
    Mapping(Vec<(Rc<Node>, Rc<Node>)>),
}

impl Node {
    /// A string that DockerOps adds; it is printed in quotes.
    pub fn string(text: impl Into<String>) -> Rc<Self> {
        Rc::new(Self { line: 0, tag: None, kind: Kind::Scalar { text: text.into(), plain: false } })
    }

    /// A mapping that DockerOps adds.
    pub fn mapping(pairs: Vec<(Rc<Node>, Rc<Node>)>) -> Rc<Self> {
        Rc::new(Self { line: 0, tag: None, kind: Kind::Mapping(pairs) })
    }

    /// The scalar's text, whatever its type.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The text of a scalar that is a string to a YAML 1.1 reader: quoted, or not null or boolean.
    pub fn as_string(&self) -> Option<&str> {
        if self.is_null() || self.as_bool().is_some() { None } else { self.text() }
    }

    /// Whether it is a scalar that is a string, and no number either.
    pub fn is_string(&self) -> bool {
        self.as_string().is_some() && !self.is_number()
    }

    fn is_number(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, plain: true } if text.parse::<f64>().is_ok())
    }

    /// A YAML 1.1 boolean (`true`, `no`, `On`, …), as docker reads it.
    pub fn as_bool(&self) -> Option<bool> {
        let Kind::Scalar { text, plain: true } = &self.kind else {
            return None;
        };
        match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => Some(true),
            "false" | "no" | "off" => Some(false),
            _ => None,
        }
    }

    /// The text of a scalar that is a string to docker: quoted, or of no other type by its letters.
    pub fn string_text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, plain } => {
                let typed = match self.tag.as_deref() {
                    None => *plain && types::is_typed(text),
                    Some(tag) => !tag.ends_with(":str"),
                };
                (!typed).then_some(text)
            }
            _ => None,
        }
    }

    /// A number or a boolean that DockerOps adds.
    pub fn plain(text: impl Into<String>) -> Rc<Self> {
        Rc::new(Self { line: 0, tag: None, kind: Kind::Scalar { text: text.into(), plain: true } })
    }

    /// Nothing, `~` or `null`, and no tag that makes something else of it.
    pub fn is_null(&self) -> bool {
        let is_one = |text: &str| matches!(text, "" | "~" | "null" | "Null" | "NULL");
        let as_it_stands = self.tag.as_deref().is_none_or(|tag| tag.ends_with(":null"));
        matches!(&self.kind, Kind::Scalar { text, plain: true } if as_it_stands && is_one(text))
    }

    pub fn items(&self) -> Option<&[Rc<Node>]> {
        match &self.kind {
            Kind::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// The pairs of a mapping, as written.
    pub fn pairs(&self) -> Option<&[(Rc<Node>, Rc<Node>)]> {
        match &self.kind {
            Kind::Mapping(pairs) => Some(pairs),
            _ => None,
        }
    }

    /// The pairs of a mapping with `<<` merged in: own keys win, earlier merges win over later ones.
    pub fn merged_pairs(&self) -> Vec<(Rc<Node>, Rc<Node>)> {
        let (mut merged, mut known) = (Vec::new(), HashSet::new());
        let mut add = |key: &Rc<Node>, value: &Rc<Node>| {
            if key.text().is_none_or(|text| known.insert(text.to_owned())) {
                merged.push((Rc::clone(key), Rc::clone(value)));
            }
        };
        let pairs = self.pairs().unwrap_or_default();
        for (key, value) in pairs.iter().filter(|(key, _)| !key.is_merge()) {
            add(key, value);
        }
        for (_, value) in pairs.iter().filter(|(key, _)| key.is_merge()) {
            let single = std::slice::from_ref(value);
            for source in value.items().unwrap_or(single) {
                for (key, value) in source.merged_pairs() {
                    add(&key, &value);
                }
            }
        }
        merged
    }

    /// The tree with every `<<` written out, so that all readers find the same values. docker 20.10 (yaml.v2)
    /// lets a merge win over a key before it, which the YAML specification does not. A `<<` that is no merge
    /// at all stays for docker to refuse.
    pub fn without_merges(&self) -> Rc<Self> {
        let kind = match &self.kind {
            Kind::Scalar { .. } => self.kind.clone(),
            Kind::Sequence(items) => Kind::Sequence(items.iter().map(|item| item.without_merges()).collect()),
            Kind::Mapping(pairs) => {
                let sound =
                    pairs.iter().filter(|(key, _)| key.is_merge()).all(|(_, value)| value.can_be_merged());
                let pairs = if sound { self.merged_pairs() } else { pairs.clone() };
                Kind::Mapping(
                    pairs
                        .into_iter()
                        .map(|(key, value)| (key.without_merges(), value.without_merges()))
                        .collect(),
                )
            }
        };
        Rc::new(Self { line: self.line, tag: self.tag.clone(), kind })
    }

    /// The value of `key`, merges included.
    pub fn get(&self, key: &str) -> Option<Rc<Node>> {
        let pairs = self.pairs()?;
        let own = pairs.iter().find(|(known, _)| !known.is_merge() && known.text() == Some(key));
        let mut merges = pairs
            .iter()
            .filter(|(key, _)| key.is_merge())
            .flat_map(|(_, value)| value.items().unwrap_or(std::slice::from_ref(value)));
        own.map(|(_, value)| Rc::clone(value)).or_else(|| merges.find_map(|source| source.get(key)))
    }

    /// Whether it is the key of a merge, `<<` without quotes.
    pub fn is_merge(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, plain: true } if text == "<<")
    }

    /// A mapping, or a list of mappings.
    pub fn can_be_merged(&self) -> bool {
        let is_mapping = |node: &Self| matches!(node.kind, Kind::Mapping(_));
        is_mapping(self) || self.items().is_some_and(|items| items.iter().all(|item| is_mapping(item)))
    }

    /// How many values it is with its aliases written out.
    pub fn weight(&self) -> u64 {
        let below: u64 = match &self.kind {
            Kind::Scalar { .. } => 0,
            Kind::Sequence(items) => items.iter().map(|item| item.weight()).sum(),
            Kind::Mapping(pairs) => pairs.iter().map(|(key, value)| key.weight() + value.weight()).sum(),
        };
        below + 1
    }

    /// What the node is, in words for an error message.
    pub fn what(&self) -> &'static str {
        match &self.kind {
            _ if self.is_null() => "nothing",
            _ if self.as_bool().is_some() => "a boolean",
            _ if self.is_number() => "a number",
            Kind::Scalar { .. } => "a string",
            Kind::Sequence(_) => "a list",
            Kind::Mapping(_) => "a mapping",
        }
    }
}
