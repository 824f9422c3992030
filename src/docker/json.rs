//! JSON that docker prints: of a long list one thing at a time is held as a value, and what is kept is kept as text. As a
//! value it takes ten times as much, for each of its objects is a node of a tree.

use std::fmt;

use serde::Deserializer;
use serde::de::{SeqAccess, Visitor};
use serde_json::Value;

/// A value, as its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Json(Box<str>);

impl Json {
    pub fn of(value: &Value) -> Self {
        Self(value.to_string().into())
    }

    pub fn value(&self) -> Value {
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

/// Gives each thing of a list to `take`, as soon as it was read.
pub fn each(text: &str, mut take: impl FnMut(Value)) -> serde_json::Result<()> {
    struct Each<'a>(&'a mut dyn FnMut(Value));

    impl<'de> Visitor<'de> for Each<'_> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
            while let Some(value) = list.next_element()? {
                (self.0)(value);
            }
            Ok(())
        }
    }

    let mut json = serde_json::Deserializer::from_str(text);
    json.deserialize_seq(Each(&mut take))?;
    json.end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_list_is_read_thing_by_thing_and_to_its_end() {
        let read = |text: &str| {
            let mut all = Vec::new();
            each(text, |value| all.push(value)).map(|()| all)
        };
        assert!(read("[]").unwrap().is_empty());
        assert_eq!(read(r#" [1, {"a": [2]}] "#).unwrap(), [json!(1), json!({"a": [2]})]);
        for wrong in ["", "{}", "[1", "[1] 2", "Cannot connect"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_kept_is_the_same() {
        let value = json!({"b": [1, null, {"c": "\u{1}\"é"}], "a": 10_000_000_000_u64});
        assert_eq!(Json::of(&value).value(), value);
    }
}
