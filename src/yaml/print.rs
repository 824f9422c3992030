//! Tree → text that reads the same: plain scalars keep their letters, everything else goes in double
//! quotes, aliases are written out.

use std::fmt::Write;

use super::{Kind, Node};

/// Block-style YAML of `root`.
pub fn print(root: &Node) -> String {
    let mut out = String::new();
    match &root.kind {
        Kind::Scalar { .. } => {
            scalar(root, &mut out);
            out.push('\n');
        }
        _ => value(root, 0, &mut out),
    }
    out
}

/// What follows `key:` or `-`, line end included; `indent` is where nested lines begin.
fn value(node: &Node, indent: usize, out: &mut String) {
    let nested = !out.is_empty();
    let begin = |out: &mut String| {
        if let (true, Some(tag)) = (nested, &node.tag) {
            let _ = write!(out, " !<{tag}>");
        }
        if nested {
            out.push('\n');
        }
    };
    match &node.kind {
        Kind::Mapping(pairs) if !pairs.is_empty() => {
            begin(out);
            for (key, value_node) in pairs {
                pad(indent, out);
                if matches!(key.kind, Kind::Scalar { .. }) {
                    scalar(key, out);
                    out.push(':');
                } else {
                    out.push('?');
                    value(key, indent + 2, out);
                    pad(indent, out);
                    out.push(':');
                }
                value(value_node, indent + 2, out);
            }
        }
        Kind::Sequence(items) if !items.is_empty() => {
            begin(out);
            for item in items {
                pad(indent, out);
                out.push('-');
                value(item, indent + 2, out);
            }
        }
        Kind::Scalar { text, plain: true } if text.is_empty() && node.tag.is_none() => out.push('\n'),
        _ => {
            if nested {
                out.push(' ');
            }
            scalar(node, out);
            out.push('\n');
        }
    }
}

/// A scalar or an empty collection on one line.
fn scalar(node: &Node, out: &mut String) {
    if let Some(tag) = &node.tag {
        let _ = write!(out, "!<{tag}> ");
    }
    match &node.kind {
        Kind::Mapping(_) => out.push_str("{}"),
        Kind::Sequence(_) => out.push_str("[]"),
        // Behind a tag nothing is nothing: `!!str ~` is the text `~`.
        Kind::Scalar { text, plain: true } if text.is_empty() && node.tag.is_none() => out.push('~'),
        Kind::Scalar { text, plain: true } => out.push_str(text),
        Kind::Scalar { text, .. } => quoted(text, out),
    }
}

fn quoted(text: &str, out: &mut String) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\u{feff}' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04X}", u32::from(letter));
            }
            control if control.is_control() => {
                let _ = write!(out, "\\x{:02X}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

fn pad(indent: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', indent));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::parse;

    /// Two readers must agree: ours, and the library of docker's own family.
    fn same_after_printing(text: &str) -> String {
        let printed = print(&parse(text).unwrap().unwrap());
        let read = |text: &str| {
            let mut value: serde_yaml::Value =
                serde_yaml::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
            value.apply_merge().unwrap();
            value
        };
        assert_eq!(read(&printed), read(text), "{printed}");
        printed
    }

    #[test]
    fn letters_of_plain_scalars_survive() {
        let printed = same_after_printing(
            "a: 0440\nb: 012\nc: 1e3\nd: yes\ne: 22:22\nf: 2001-12-14\ng: 0x1F\nh: ~\ni:\n",
        );
        for line in [
            "a: 0440\n",
            "b: 012\n",
            "c: 1e3\n",
            "d: yes\n",
            "e: 22:22\n",
            "f: 2001-12-14\n",
            "h: ~\n",
            "i:\n",
        ] {
            assert!(printed.contains(line), "{line:?} in {printed}");
        }
    }

    #[test]
    fn every_style_reads_the_same() {
        same_after_printing(concat!(
            "lit: |\n  one\n   two\n\nfold: >-\n  a\n  b\n\n  c\nkeep: |+\n  x\n\n\nplain: a\n  b\n",
            "dq: \"tab\\t nul\\0 \\u263a é\"\nsq: 'it''s # no comment'\nempty: ''\n",
            "flow: {a: [1, {b: c}], d: {}, e: [], \"f g\": h}\nseq:\n- - 1\n  - 2\n-\n- {a: 1}\n- k: v\n  l: w\n",
            "tagged: !!str 123\nnothing: !!str\nx: &x {a: 1}\ny: *x\nz: {<<: *x, b: 2}\n\"quoted: key\": 1\n? long key\n: v\n",
        ));
    }

    #[test]
    fn json_is_yaml() {
        same_after_printing("{\"a\": [1, \"two\", null, {\"b\": true}], \"c\": \"\\u00e9\\n\"}");
    }

    #[test]
    fn scalars_and_empty_roots() {
        same_after_printing("just text");
        same_after_printing("{}");
        same_after_printing("[]");
    }
}
