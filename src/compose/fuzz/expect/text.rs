//! Texts as docker makes them of what stands in YAML.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::compose::fuzz::tree::Tree;

/// A text, and whether docker may have read a number in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Text {
    /// As it is written.
    pub text: String,
    /// It stood without quotes.
    pub plain: bool,
}

impl Text {
    /// This and no other.
    pub fn exact(text: impl Into<String>) -> Self {
        Self { text: text.into(), plain: false }
    }

    /// Of a scalar; of null, nothing.
    pub fn of(tree: &Tree) -> Self {
        match tree {
            Tree::Scalar { text, plain } if !tree.is_null() => Self { text: text.clone(), plain: *plain },
            _ => Self::exact(""),
        }
    }

    /// Whether docker read just this.
    pub fn is(&self, seen: &str) -> bool {
        if self.text == seen {
            return true;
        }
        let boolean = |yes: bool| Tree::plain(self.text.clone()).is_true() == yes && seen == yes.to_string();
        let is_boolean = ["true", "false", "yes", "no", "on", "off", "y", "n"]
            .contains(&self.text.to_ascii_lowercase().as_str());
        self.plain && (self.is_number(seen) || (is_boolean && (boolean(true) || boolean(false))))
    }

    /// Whether `seen` is the number that this text may be in YAML 1.1 or 1.2.
    pub fn is_number(&self, seen: &str) -> bool {
        let Ok(seen) = seen.trim_start_matches('+').parse::<f64>() else { return false };
        // A float of 64 bits prints as one that reads the same.
        let same =
            |number: &f64| (number - seen).abs() <= number.abs() * 1e-15 || number.total_cmp(&seen).is_eq();
        numbers(&self.text).iter().any(|number| same(number) || (number.is_nan() && seen.is_nan()))
    }
}

/// Every number that a reader may find in `text`.
#[expect(clippy::cast_precision_loss, reason = "so does docker where a number is too large")]
pub fn numbers(text: &str) -> Vec<f64> {
    let lower = text.replace('_', "").to_ascii_lowercase();
    let (sign, digits) = match lower.strip_prefix('-') {
        Some(rest) => (-1.0, rest.to_owned()),
        None => (1.0, lower.strip_prefix('+').unwrap_or(&lower).to_owned()),
    };
    let mut found = Vec::new();
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2), ("0", 8)] {
        if let Some(rest) = digits.strip_prefix(prefix)
            && let Ok(number) = u128::from_str_radix(rest, radix)
        {
            found.push(number as f64);
        }
    }
    match digits.as_str() {
        ".inf" => found.push(f64::INFINITY),
        ".nan" => found.push(f64::NAN),
        _ if digits.starts_with(|letter: char| letter.is_ascii_digit() || letter == '.') => {
            found.extend(digits.parse::<f64>());
        }
        _ => {}
    }
    found.iter().map(|number| sign * number).collect()
}

/// Labels and the like, from a mapping or from a list of `name=text`.
pub fn map(tree: Option<&Tree>) -> BTreeMap<String, Text> {
    optional(tree).into_iter().map(|(key, value)| (key, value.unwrap_or_else(|| Text::exact("")))).collect()
}

/// Likewise, where a name alone is not the same as an empty text.
pub fn optional(tree: Option<&Tree>) -> BTreeMap<String, Option<Text>> {
    let Some(tree) = tree else { return BTreeMap::new() };
    let items = tree.items().iter().filter_map(Tree::text).map(|item| match item.split_once('=') {
        Some((name, text)) => (name.to_owned(), Some(Text::exact(text))),
        None => (item.to_owned(), None),
    });
    let pairs = tree.pairs().iter().filter_map(|(key, value)| {
        Some((key.text()?.to_owned(), (!value.is_null()).then(|| Text::of(value))))
    });
    items.chain(pairs).collect()
}

/// One text or a list of them.
pub fn list(tree: &Tree) -> Vec<Text> {
    match tree {
        Tree::List(items) => items.iter().map(Text::of).collect(),
        other => vec![Text::of(other)],
    }
}

/// The number that docker finds in `tree`, as JSON; null where there is none. Only what stands without quotes is
/// read as YAML 1.1 does, what a variable stands for is decimal.
pub fn number(tree: &Tree) -> Value {
    let Tree::Scalar { text, plain } = tree else { return Value::Null };
    let number = if *plain { numbers(text).first().copied() } else { text.parse().ok() };
    number.and_then(|number| format!("{number:.0}").parse::<u64>().ok()).map_or(Value::Null, Value::from)
}
