//! Text → tree, bounded: an alias bomb or a deep nest is an error, never memory.

use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use super::{Kind, Node};

/// How many nodes a file may hold with its aliases written out.
const MOST_NODES: usize = 200_000;
const MOST_DEPTH: usize = 100;

/// Why a text is not a YAML document we take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub what: String,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl From<ScanError> for SyntaxError {
    fn from(error: ScanError) -> Self {
        Self { line: error.marker().line(), what: format!("is not YAML: {}", error.info()) }
    }
}

/// The first document of `text`, or `None` if there is none. A byte order mark is passed over.
pub fn parse(text: &str) -> Result<Option<Rc<Node>>, SyntaxError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    refuse_odd_letters(text)?;
    first_document(text).map_err(|error| at_the_tab(error, text))
}

/// YAML 1.1, which docker reads, ends a line at letters that are like any other in YAML 1.2, and a comment or
/// a scalar would end there. What cannot be seen has no place outside of an escape anyway.
fn refuse_odd_letters(text: &str) -> Result<(), SyntaxError> {
    let is_odd = |letter: char| match letter {
        '\n' | '\r' | '\t' => false,
        '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => true,
        letter => letter.is_control(),
    };
    let Some((at, letter)) = text.char_indices().find(|(_, letter)| is_odd(*letter)) else { return Ok(()) };
    let line = text[..at].matches('\n').count() + 1;
    let number = u32::from(letter);
    let what = format!(
        "holds the letter U+{number:04X}, which not all readers of YAML take for the same; write `\\u{number:04x}` in \
         double quotes"
    );
    Err(SyntaxError { line, what })
}

/// The parser names the line where the value began that the tab ended.
fn at_the_tab(mut error: SyntaxError, text: &str) -> SyntaxError {
    if error.what.ends_with("found a tab") {
        let mut lines = text.lines().enumerate().skip(error.line.saturating_sub(1));
        let tab = lines.find(|(_, line)| line.trim_start_matches(' ').starts_with('\t'));
        error.line = tab.map_or(error.line, |(index, _)| index + 1);
    }
    error
}

fn first_document(text: &str) -> Result<Option<Rc<Node>>, SyntaxError> {
    let mut builder = Builder { parser: Parser::new_from_str(text), anchors: HashMap::new(), depth: 0 };
    loop {
        match builder.next()? {
            None | Some((Event::StreamEnd, _)) => return Ok(None),
            Some((Event::DocumentStart(_), _)) => break,
            Some(_) => {}
        }
    }
    let Some((event, span)) = builder.next()? else {
        return Ok(None);
    };
    let (root, weight) = builder.node(event, span)?;
    // The rest of the stream is read so that a broken end is an error as well.
    while builder.next()?.is_some() {}
    if weight > MOST_NODES {
        let has = if builder.anchors.is_empty() { "the file has" } else { "aliases expand to" };
        return Err(SyntaxError { line: 1, what: format!("{has} more than {MOST_NODES} nodes") });
    }
    Ok(Some(root))
}

struct Builder<'text> {
    parser: Parser<'text, StrInput<'text>>,
    /// Anchor number → node and its weight: how many nodes it is when written out.
    anchors: HashMap<usize, (Rc<Node>, usize)>,
    depth: usize,
}

impl<'text> Builder<'text> {
    fn next(&mut self) -> Result<Option<(Event<'text>, Span)>, SyntaxError> {
        Ok(self.parser.next_event().transpose()?)
    }

    fn node(&mut self, event: Event<'text>, span: Span) -> Result<(Rc<Node>, usize), SyntaxError> {
        let line = span.start.line();
        let (kind, anchor, tag, weight) = match event {
            Event::Alias(anchor) => {
                return self.anchors.get(&anchor).cloned().ok_or_else(|| SyntaxError {
                    line,
                    what: "is not YAML: an alias stands inside its own anchor".into(),
                });
            }
            Event::Scalar(text, style, anchor, tag) => {
                // A plain scalar over several lines can only be a string; quotes keep it one.
                let plain = style == ScalarStyle::Plain && span.start.line() == span.end.line();
                (Kind::Scalar { text: text.into_owned(), plain }, anchor, tag, 1)
            }
            Event::SequenceStart(anchor, tag) => {
                self.enter(line)?;
                let (mut items, mut weight) = (Vec::new(), 1_usize);
                while let Some((event, span)) = self.next()? {
                    if event == Event::SequenceEnd {
                        break;
                    }
                    let (item, item_weight) = self.node(event, span)?;
                    items.push(item);
                    weight = weight.saturating_add(item_weight);
                }
                self.depth -= 1;
                (Kind::Sequence(items), anchor, tag, weight)
            }
            Event::MappingStart(anchor, tag) => {
                self.enter(line)?;
                let (mut pairs, mut weight) = (Vec::new(), 1_usize);
                while let Some((event, span)) = self.next()? {
                    if event == Event::MappingEnd {
                        break;
                    }
                    let (key, key_weight) = self.node(event, span)?;
                    let Some((event, span)) = self.next()? else { break };
                    let (value, value_weight) = self.node(event, span)?;
                    pairs.push((key, value));
                    weight = weight.saturating_add(key_weight).saturating_add(value_weight);
                }
                self.depth -= 1;
                (Kind::Mapping(pairs), anchor, tag, weight)
            }
            other => {
                return Err(SyntaxError { line, what: format!("is not YAML: unexpected {other:?}") });
            }
        };
        let node = Rc::new(Node { line, tag: tag.map(|tag| full(&tag)), kind });
        if anchor > 0 {
            self.anchors.insert(anchor, (Rc::clone(&node), weight));
        }
        Ok((node, weight))
    }

    fn enter(&mut self, line: usize) -> Result<(), SyntaxError> {
        self.depth += 1;
        if self.depth > MOST_DEPTH {
            return Err(SyntaxError { line, what: format!("is nested deeper than {MOST_DEPTH} levels") });
        }
        Ok(())
    }
}

fn full(tag: &Tag) -> String {
    format!("{}{}", tag.handle, tag.suffix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_keep_text_and_line() {
        let root = parse("\u{feff}a: 0440\r\nb: 'yes'\nc: yes\nd:\n").unwrap().unwrap();
        let b = root.get("b").unwrap();
        assert_eq!((b.text(), b.as_bool(), b.line), (Some("yes"), None, 2));
        assert_eq!(root.get("c").unwrap().as_bool(), Some(true));
        assert_eq!(root.get("a").unwrap().text(), Some("0440"));
        assert!(root.get("d").unwrap().is_null());
    }

    #[test]
    fn merges_follow_their_rules() {
        let text = "x: &x {a: 1, b: 1}\ny: &y {b: 2, c: 2}\nz: {<<: [*x, *y], c: 3}\n";
        let z = parse(text).unwrap().unwrap().get("z").unwrap();
        let value = |key| z.get(key).unwrap().text().unwrap().to_owned();
        assert_eq!([value("a"), value("b"), value("c")], ["1", "1", "3"]);
    }

    #[test]
    fn a_mapping_of_many_keys_is_merged_in_no_time() {
        let pairs =
            |from: usize| (from..from + 30_000).map(|n| format!("  k{n}: x\n")).collect::<Vec<_>>().concat();
        let text = format!("a: &a\n{}b:\n  <<: *a\n{}", pairs(0), pairs(15_000));
        let root = parse(&text).unwrap().unwrap();
        let begun = std::time::Instant::now();
        let b = root.get("b").unwrap();
        assert_eq!((b.merged_pairs().len(), b.get("k0").is_some(), b.get("none")), (45_000, true, None));
        // Compared one by one they took most of a minute.
        assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
    }

    #[test]
    fn an_alias_bomb_is_an_error_and_costs_no_memory() {
        let mut text = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..20 {
            let previous = format!("*a{}", level - 1);
            text += &format!("a{level}: &a{level} [{}]\n", vec![previous; 9].join(","));
        }
        assert!(parse(&text).unwrap_err().what.contains("aliases expand"));
        let plain = format!("[{}]", "x,".repeat(MOST_NODES));
        assert!(parse(&plain).unwrap_err().what.contains("the file has more than"));
    }

    #[test]
    fn deep_nests_tabs_and_broken_text_are_errors_with_a_line() {
        assert!(parse(&"[".repeat(200_000)).is_err());
        assert!(parse(&"- ".repeat(5_000)).unwrap_err().what.contains("nested deeper"));
        assert_eq!(parse("a:\n\tb: 1\n").unwrap_err().line, 2);
        assert!(parse("a: [1\nb: 2\n").is_err());
        assert_eq!(parse("").unwrap(), None);
        assert_eq!(parse("# only a comment\n").unwrap(), None);
    }
}
