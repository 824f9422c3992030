//! Tree → text that means one thing to every reader of YAML: what is not a plain word of the safest letters
//! goes in double quotes, in ASCII, escaped; aliases are written out.

use std::fmt::Write;

use super::types::is_time;
use super::{Kind, Node};

/// Longer keys begin with `?`: readers of YAML 1.1 look for the colon of others 1,024 letters ahead at most.
const LONGEST_KEY: usize = 120;

/// Block-style YAML of `root` for programs: printable ASCII letters and line feeds alone.
pub fn print(root: &Node) -> String {
    let stays = |letter: char| letter == ' ' || letter.is_ascii_graphic();
    Printer { stays_plain: is_safe, stays }.document(root)
}

/// The same for people: plain scalars, and letters of all languages, as the author wrote them.
pub fn show(root: &Node) -> String {
    let stays = |letter: char| letter == ' ' || letter.is_ascii_graphic() || letter.is_alphanumeric();
    Printer { stays_plain: |text: &str| text.chars().all(stays), stays }.document(root)
}

struct Printer<P, S> {
    /// Whether a plain scalar of this text stays plain.
    stays_plain: P,
    /// Whether a letter stands for itself in quotes.
    stays: S,
}

impl<P: Fn(&str) -> bool, S: Fn(char) -> bool> Printer<P, S> {
    fn document(&self, root: &Node) -> String {
        let mut out = String::new();
        match &root.kind {
            Kind::Scalar { .. } => {
                self.scalar(root, &mut out);
                out.push('\n');
            }
            _ => self.value(root, 0, &mut out),
        }
        out
    }

    /// What follows `key:` or `-`, line end included; `indent` is where nested lines begin.
    fn value(&self, node: &Node, indent: usize, out: &mut String) {
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
                for (key, value) in pairs {
                    pad(indent, out);
                    self.key(key, indent, out);
                    self.value(value, indent + 2, out);
                }
            }
            Kind::Sequence(items) if !items.is_empty() => {
                begin(out);
                for item in items {
                    pad(indent, out);
                    out.push('-');
                    self.value(item, indent + 2, out);
                }
            }
            Kind::Scalar { text, plain: true } if text.is_empty() && node.tag.is_none() => out.push('\n'),
            _ => {
                if nested {
                    out.push(' ');
                }
                self.scalar(node, out);
                out.push('\n');
            }
        }
    }

    /// A key with its colon.
    fn key(&self, key: &Node, indent: usize, out: &mut String) {
        if key.text().is_some_and(|text| text.len() <= LONGEST_KEY) {
            self.scalar(key, out);
        } else {
            out.push('?');
            self.value(key, indent + 2, out);
            pad(indent, out);
        }
        out.push(':');
    }

    /// A scalar or an empty collection on one line.
    fn scalar(&self, node: &Node, out: &mut String) {
        if let Some(tag) = &node.tag {
            let _ = write!(out, "!<{tag}> ");
        }
        match &node.kind {
            Kind::Mapping(_) => out.push_str("{}"),
            Kind::Sequence(_) => out.push_str("[]"),
            // Behind a tag nothing is nothing: `!!str ~` is the text `~`.
            Kind::Scalar { text, plain: true } if text.is_empty() && node.tag.is_none() => out.push('~'),
            Kind::Scalar { text, plain: true } if text.is_empty() || (self.stays_plain)(text) => {
                out.push_str(text);
            }
            Kind::Scalar { text, .. } => self.quoted(text, out),
        }
    }

    fn quoted(&self, text: &str, out: &mut String) {
        out.push('"');
        for letter in text.chars() {
            let _ = match (letter, u32::from(letter)) {
                ('"' | '\\', _) => write!(out, "\\{letter}"),
                ('\n', _) => write!(out, "\\n"),
                ('\t', _) => write!(out, "\\t"),
                _ if (self.stays)(letter) => write!(out, "{letter}"),
                (_, number @ ..=0xff) => write!(out, "\\x{number:02X}"),
                (_, number @ ..=0xffff) => write!(out, "\\u{number:04X}"),
                (_, number) => write!(out, "\\U{number:08X}"),
            };
        }
        out.push('"');
    }
}

/// Whether a plain scalar of this text is one, with the same letters, to every reader. What it is, a number or
/// a string, stays for the reader to say; of a date docker 20.10 and 28 say different things.
fn is_safe(text: &str) -> bool {
    let is_word = |letter: u8| letter.is_ascii_alphanumeric() || b"_./+-".contains(&letter);
    let letters = text.as_bytes();
    let begins = match letters {
        [first, ..] if first.is_ascii_alphanumeric() || b"_/".contains(first) => true,
        [b'.' | b'-' | b'+', second, ..] => second.is_ascii_alphanumeric() || b"_./-".contains(second),
        _ => false,
    };
    let colons_are_inside = || {
        letters.iter().enumerate().all(|(at, letter)| {
            is_word(*letter) || (*letter == b':' && letters.get(at + 1).is_some_and(|next| is_word(*next)))
        })
    };
    let marks_a_document = text.starts_with("---") || text.starts_with("...");
    text == "~" || (begins && !marks_a_document && !is_time(text) && colons_are_inside())
}

fn pad(indent: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', indent));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::{parse, reads_alike};

    /// Two readers must agree: ours, and the library of docker's own family.
    fn same_after_printing(text: &str) -> String {
        let tree = parse(text).unwrap().unwrap();
        let printed = print(&tree);
        assert_eq!(reads_alike(text, &tree), Ok(()), "{text}");
        assert_eq!(reads_alike(&printed, &tree), Ok(()), "{printed}");
        assert!(
            printed.bytes().all(|byte| byte == b'\n' || byte == b' ' || byte.is_ascii_graphic()),
            "{printed}"
        );
        printed
    }

    #[test]
    fn letters_of_plain_scalars_survive() {
        let printed = same_after_printing(
            "a: 0440\nb: 012\nc: 1e3\nd: yes\ne: 22:22\nf: 2001-12-14\ng: 0x1F\nh: ~\ni:\nj: -1\nk: .5\nl: -.inf\n\
             m: 2001-12-14 21:59:43.10 -5\nn: 2001-12-14t21:59:43.10-05:00\no: --flag\np: nginx:1.29-alpine\nq: a/b\n",
        );
        for line in [
            "a: 0440\n",
            "b: 012\n",
            "c: 1e3\n",
            "d: yes\n",
            "e: 22:22\n",
            "h: ~\n",
            "i:\n",
            "j: -1\n",
            "k: .5\n",
            "l: -.inf\n",
            "m: \"2001-12-14 21:59:43.10 -5\"\n",
            "n: \"2001-12-14t21:59:43.10-05:00\"\n",
            "o: --flag\n",
            "p: nginx:1.29-alpine\n",
            "q: a/b\n",
        ] {
            assert!(printed.contains(line), "{line:?} in {printed}");
        }
    }

    #[test]
    fn what_leaves_the_safest_letters_is_quoted_in_ascii() {
        let printed = same_after_printing(
            "a: two words\nb: é\nc: \"\\N\\L\\P\\0\\e\\r\"\nd: 😀\ne: '---'\nf: \"x: y\"\ng: a#b\n\"ſ \u{212a}\": 1\nh: |\n  x\n",
        );
        for line in [
            "a: \"two words\"\n",
            "b: \"\\xE9\"\n",
            "c: \"\\x85\\u2028\\u2029\\x00\\x1B\\x0D\"\n",
            "d: \"\\U0001F600\"\n",
            "e: \"---\"\n",
            "f: \"x: y\"\n",
            "g: \"a#b\"\n",
            "\"\\u017F \\u212A\": 1\n",
            "h: \"x\\n\"\n",
        ] {
            assert!(printed.contains(line), "{line:?} in {printed}");
        }
        let long = "k".repeat(2000);
        assert!(same_after_printing(&format!("? {long}\n: v\n")).starts_with(&format!("? {long}\n: v\n")));
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

    #[test]
    fn people_see_what_the_author_wrote_less_what_moves_a_terminal() {
        let tree = parse("a: nginx:${TAG:-1} x\nb: Grüße\nc: \"a\\u202eb\\e[2J\"\n").unwrap().unwrap();
        assert_eq!(show(&tree), "a: nginx:${TAG:-1} x\nb: Grüße\nc: \"a\\u202Eb\\x1B[2J\"\n");
    }
}
