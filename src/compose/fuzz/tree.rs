//! A YAML tree of the fuzzer's own, and writing it down in every style a text may have.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::rng::Rng;

/// A node, aliases and merges written out.
#[derive(Debug, Clone, PartialEq)]
pub enum Tree {
    /// A text; `plain` where YAML decides its type.
    Scalar {
        /// Without quotes and escapes.
        text: String,
        /// It stood without quotes and has no tag.
        plain: bool,
    },
    List(Vec<Tree>),
    /// Pairs in order.
    Map(Vec<(Tree, Tree)>),
}

impl Tree {
    pub fn quoted(text: impl Into<String>) -> Self {
        Self::Scalar { text: text.into(), plain: false }
    }

    /// A text without quotes.
    pub fn plain(text: impl Into<String>) -> Self {
        Self::Scalar { text: text.into(), plain: true }
    }

    /// The scalar's text.
    pub fn text(&self) -> Option<&str> {
        if let Self::Scalar { text, .. } = self { Some(text) } else { None }
    }

    /// Nothing, `~` or `null`.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Scalar { text, plain: true } if ["", "~", "null", "Null", "NULL"].contains(&text.as_str()))
    }

    /// `yes`, `True` and so on; what a variable stands for counts too.
    pub fn is_true(&self) -> bool {
        let Some(text) = self.text() else { return false };
        ["true", "yes", "on", "y"].contains(&text.to_ascii_lowercase().as_str())
    }

    /// The items of a list; none of anything else.
    pub fn items(&self) -> &[Tree] {
        if let Self::List(items) = self { items } else { &[] }
    }

    /// The pairs of a mapping; none of anything else.
    pub fn pairs(&self) -> &[(Tree, Tree)] {
        if let Self::Map(pairs) = self { pairs } else { &[] }
    }

    /// The value of `key`, unless it is null.
    pub fn get(&self, key: &str) -> Option<&Tree> {
        let found = self.pairs().iter().find(|(known, _)| known.text() == Some(key));
        found.map(|(_, value)| value).filter(|value| !value.is_null())
    }

    /// The entries of the section `key`, by name.
    pub fn section(&self, key: &str) -> BTreeMap<String, &Tree> {
        let pairs = self.get(key).map(Tree::pairs).unwrap_or_default();
        pairs.iter().filter_map(|(key, value)| Some((key.text()?.to_owned(), value))).collect()
    }

    /// Every scalar's text, keys included.
    pub fn texts<'a>(&'a self, out: &mut Vec<&'a str>) {
        match self {
            Self::Scalar { text, .. } => out.push(text),
            Self::List(items) => items.iter().for_each(|item| item.texts(out)),
            Self::Map(pairs) => pairs.iter().for_each(|(key, value)| {
                key.texts(out);
                value.texts(out);
            }),
        }
    }

    /// How many nodes it has.
    pub fn size(&self) -> usize {
        1 + match self {
            Self::Scalar { .. } => 0,
            Self::List(items) => items.iter().map(Tree::size).sum(),
            Self::Map(pairs) => pairs.iter().map(|(key, value)| key.size() + value.size()).sum(),
        }
    }

    /// The node that comes `index`th when it is read from the top.
    pub fn nth(&mut self, index: usize) -> Option<&mut Tree> {
        fn walk<'a>(tree: &'a mut Tree, left: &mut usize) -> Option<&'a mut Tree> {
            if *left == 0 {
                return Some(tree);
            }
            *left -= 1;
            match tree {
                Tree::Scalar { .. } => None,
                Tree::List(items) => items.iter_mut().find_map(|item| walk(item, left)),
                Tree::Map(pairs) => {
                    pairs.iter_mut().find_map(|(key, value)| walk(key, left).or_else(|| walk(value, left)))
                }
            }
        }
        walk(self, &mut { index })
    }
}

/// How a tree is written down.
#[derive(Debug, Clone)]
pub struct Style {
    /// What ends a line.
    pub line_end: &'static str,
    /// Values stand on the line below their key, so that nothing follows a colon but a line's end.
    pub below: bool,
    /// Of a hundred collections so many are written in brackets.
    pub flow: usize,
    /// Of a hundred quoted texts so many are written with escapes.
    pub escapes: usize,
    /// How many columns a level goes in.
    pub step: usize,
}

impl Default for Style {
    fn default() -> Self {
        Self { line_end: "\n", below: false, flow: 20, escapes: 10, step: 2 }
    }
}

/// `tree` as text.
pub fn write(tree: &Tree, style: &Style, rng: &mut Rng) -> String {
    let mut out = String::new();
    block(tree, 0, style, rng, &mut out);
    out
}

fn block(tree: &Tree, indent: usize, style: &Style, rng: &mut Rng, out: &mut String) {
    let pad = |out: &mut String| out.extend(std::iter::repeat_n(' ', indent));
    match tree {
        Tree::Map(pairs) if !pairs.is_empty() => {
            for (key, value) in pairs {
                pad(out);
                if key.text().is_some() {
                    flow(key, style, rng, out);
                } else {
                    out.push_str("? ");
                    flow(key, style, rng, out);
                    out.push_str(style.line_end);
                    pad(out);
                }
                out.push(':');
                nested(value, indent + style.step, style, rng, out);
            }
        }
        Tree::List(items) if !items.is_empty() => {
            for item in items {
                pad(out);
                out.push('-');
                nested(item, indent + style.step, style, rng, out);
            }
        }
        _ => {
            pad(out);
            flow(tree, style, rng, out);
            out.push_str(style.line_end);
        }
    }
}

fn nested(value: &Tree, indent: usize, style: &Style, rng: &mut Rng, out: &mut String) {
    let is_block = match value {
        Tree::Scalar { .. } => false,
        Tree::List(items) => !items.is_empty(),
        Tree::Map(pairs) => !pairs.is_empty(),
    };
    if is_block && !rng.chance(style.flow) {
        out.push_str(style.line_end);
        return block(value, indent, style, rng, out);
    }
    if style.below {
        out.push_str(style.line_end);
        out.extend(std::iter::repeat_n(' ', indent));
    } else {
        out.push(' ');
    }
    if let Some(text) = value.text().filter(|text| is_literal(text))
        && !style.below
        && matches!(value, Tree::Scalar { plain: false, .. })
        && rng.chance(15)
    {
        let _ = write!(out, "|-{}", style.line_end);
        for line in text.split('\n') {
            out.extend(std::iter::repeat_n(' ', indent));
            let _ = write!(out, "{line}{}", style.line_end);
        }
        return;
    }
    flow(value, style, rng, out);
    out.push_str(style.line_end);
}

fn is_literal(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with([' ', '\n'])
        && !text.ends_with('\n')
        && text.chars().all(|letter| letter == '\n' || !letter.is_control())
}

fn flow(tree: &Tree, style: &Style, rng: &mut Rng, out: &mut String) {
    match tree {
        Tree::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                flow(item, style, rng, out);
            }
            out.push(']');
        }
        Tree::Map(pairs) => {
            out.push('{');
            for (index, (key, value)) in pairs.iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                flow(key, style, rng, out);
                out.push_str(": ");
                flow(value, style, rng, out);
            }
            out.push('}');
        }
        Tree::Scalar { text, plain: true } if !text.is_empty() => out.push_str(text),
        Tree::Scalar { plain: true, .. } => out.push('~'),
        Tree::Scalar { text, .. } if is_word(text) && rng.chance(50) => out.push_str(text),
        Tree::Scalar { text, .. } if text.chars().all(|letter| !letter.is_control()) && rng.chance(50) => {
            let _ = write!(out, "'{}'", text.replace('\'', "''"));
        }
        Tree::Scalar { text, .. } => double(text, style, rng, out),
    }
}

/// A text that is a string without quotes too.
fn is_word(text: &str) -> bool {
    text.len() > 4
        && text.starts_with(|letter: char| "ghijklmpqrstuvwxz/$".contains(letter))
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_./$".contains(letter))
}

fn double(text: &str, style: &Style, rng: &mut Rng, out: &mut String) {
    out.push('"');
    for letter in text.chars() {
        let code = u32::from(letter);
        let _ = match letter {
            '"' | '\\' => write!(out, "\\{letter}"),
            '\n' => write!(out, "\\n"),
            '/' if rng.chance(style.escapes) => write!(out, "\\/"),
            '\u{a0}' if rng.chance(50) => write!(out, "\\_"),
            '\u{85}' if rng.chance(50) => write!(out, "\\N"),
            '\u{2028}' if rng.chance(50) => write!(out, "\\L"),
            '\u{2029}' if rng.chance(50) => write!(out, "\\P"),
            '\u{1b}' if rng.chance(50) => write!(out, "\\e"),
            _ if (letter.is_control() || rng.chance(style.escapes)) && code < 0x100 && rng.chance(50) => {
                write!(out, "\\x{code:02x}")
            }
            _ if letter.is_control() || rng.chance(style.escapes) => {
                if code < 0x1_0000 && rng.chance(70) {
                    write!(out, "\\u{code:04X}")
                } else {
                    write!(out, "\\U{code:08x}")
                }
            }
            _ => write!(out, "{letter}"),
        };
    }
    out.push('"');
}
