//! A second reader: the library of docker's own YAML family must find in a text what is in our tree.
//!
//! Texts of scalars are compared, not typed values: a number too large for the library is a text like any other.

use std::cell::Cell;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Kind, Node, SyntaxError};

/// Whether the first document of `text` reads as `tree`, the `<<` of both as they stand; else where they part.
pub fn reads_alike(text: &str, tree: &Node) -> Result<(), SyntaxError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let parts_at = Cell::new(None);
    let Some(document) = serde_yaml::Deserializer::from_str(text).next() else {
        return Err(SyntaxError { line: 1, what: "docker finds no document in it".into() });
    };
    Alike { node: tree, parts_at: &parts_at }.deserialize(document).map_err(|error| match parts_at.get() {
        Some(line) => SyntaxError { line, what: "is read otherwise by docker".into() },
        None => SyntaxError {
            line: error.location().map_or(0, |location| location.line()),
            what: format!("is not YAML to docker: {error}"),
        },
    })
}

#[derive(Clone, Copy)]
struct Alike<'a> {
    node: &'a Node,
    parts_at: &'a Cell<Option<usize>>,
}

impl<'a> Alike<'a> {
    fn below(self, node: &'a Node) -> Self {
        Self { node, ..self }
    }

    fn parts<E: Error>(self) -> E {
        if self.parts_at.get().is_none() {
            self.parts_at.set(Some(self.node.line));
        }
        E::custom("another value")
    }
}

impl<'de> DeserializeSeed<'de> for Alike<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        match &self.node.kind {
            Kind::Sequence(_) => reader.deserialize_seq(self),
            Kind::Mapping(_) => reader.deserialize_map(self),
            // What has a type of its own is asked for as the text it is; a string must be one.
            Kind::Scalar { plain: false, .. } if self.node.tag.is_none() => reader.deserialize_any(self),
            Kind::Scalar { .. } => reader.deserialize_str(self),
        }
    }
}

impl<'de> Visitor<'de> for Alike<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.node.what())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        if self.node.text() == Some(text) { Ok(()) } else { Err(self.parts()) }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        for item in self.node.items().unwrap_or_default() {
            list.next_element_seed(self.below(item))?.ok_or_else(|| self.below(item).parts())?;
        }
        if list.next_element::<IgnoredAny>()?.is_some() { Err(self.parts()) } else { Ok(()) }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        for (key, value) in self.node.pairs().unwrap_or_default() {
            map.next_key_seed(self.below(key))?.ok_or_else(|| self.below(key).parts())?;
            map.next_value_seed(self.below(value))?;
        }
        if map.next_key::<IgnoredAny>()?.is_some() { Err(self.parts()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::parse;

    #[test]
    fn a_difference_is_told_with_its_line() {
        let tree = |text: &str| parse(text).unwrap().unwrap();
        for (text, other, line) in [
            ("a: 1\nb: x\n", "a: 1\nb: y\n", 2),
            ("a: 1\nb: '2'\n", "a: 1\nb: 2\n", 2),
            ("a: [1, 2]\n", "a: [1]\n", 1),
            ("a: [1]\n", "a: [1, 2]\n", 1),
            ("a: 1\n", "a: 1\nb: 2\n", 1),
            ("a: 1\nb: 2\n", "a: 1\n", 2),
            (
                "a: 340282366920938463463374607431768211456\n",
                "a: 340282366920938463463374607431768211457\n",
                1,
            ),
            ("a: x\n", "", 1),
        ] {
            assert_eq!(reads_alike(text, &tree(text)), Ok(()));
            let error = reads_alike(other, &tree(text)).unwrap_err();
            assert_eq!(error.line, line, "{text} {other}: {error}");
        }
        assert!(reads_alike("a: {b: 1}\n", &tree("a: [b]\n")).is_err());
        assert!(
            reads_alike(
                "a: [1
",
                &tree(
                    "a: [1]
"
                )
            )
            .unwrap_err()
            .what
            .contains("not YAML to docker")
        );
    }
}
