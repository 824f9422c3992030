//! Where the entries of a list stand in its text: lines from 0, bytes from the text's first.

use std::collections::BTreeSet;
use std::ops::{Range, RangeInclusive};

use saphyr_parser::{Event, Marker, Parser, Span, StrInput};

use crate::yaml::SyntaxError;

/// What the root of the first document is.
#[derive(Debug)]
pub(super) enum Root {
    /// There is none.
    Nothing,
    /// A list in brackets.
    Flow { line: usize },
    /// A list of dashes that stand in this column.
    Block { column: usize, items: Vec<Item> },
}

/// An entry of the list.
#[derive(Debug)]
pub(super) struct Item {
    /// The line of its dash, and the last one that anything of it stands in.
    pub first: usize,
    pub last: usize,
    /// It stands in braces.
    pub is_flow: bool,
    /// Those of a mapping with a key a line; else none.
    pub keys: Vec<Key>,
    anchors: BTreeSet<usize>,
    aliases: BTreeSet<usize>,
}

/// A key of an entry.
#[derive(Debug)]
pub(super) struct Key {
    pub text: String,
    pub column: usize,
    /// The last line of its value.
    pub last: usize,
    pub value: Place,
}

/// Where a value stands.
#[derive(Debug)]
pub(super) enum Place {
    /// These bytes, in the line of its key.
    Word(Range<usize>),
    /// Nowhere: it would stand behind this colon.
    Nothing(usize),
    /// Over several lines.
    Other,
}

#[derive(Debug)]
pub(super) struct Outline<'a> {
    text: &'a str,
    /// Where each line begins.
    lines: Vec<usize>,
    pub root: Root,
    /// The line that one more entry would come to stand in.
    pub end: usize,
}

impl<'a> Outline<'a> {
    /// Of a text that can be read.
    pub(super) fn of(text: &'a str) -> Result<Self, SyntaxError> {
        if let Some(at) =
            text.match_indices('\r').map(|(at, _)| at).find(|at| !text[*at..].starts_with("\r\n"))
        {
            let line = text[..at].matches('\n').count() + 1;
            return Err(SyntaxError { line, what: "has a line that ends in a carriage return alone".into() });
        }
        let lines: Vec<_> = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .filter(|at| *at < text.len())
            .collect();
        let bare = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut outline = Self { text, lines, root: Root::Nothing, end: 0 };
        let mut walk = Walk { outline: &outline, parser: Parser::new_from_str(bare) };
        let root = walk.root()?;
        let begin = match &root {
            Root::Block { items, .. } => items.last().map_or(0, |item| item.last + 1),
            Root::Flow { line } => *line,
            Root::Nothing => 0,
        };
        outline.root = root;
        outline.end = outline.end_of_document(begin);
        Ok(outline)
    }

    pub(super) fn items(&self) -> Result<&[Item], super::Refusal> {
        match &self.root {
            Root::Block { items, .. } => Ok(items),
            Root::Flow { line } => Err(super::Refusal::Flow { line: *line }),
            Root::Nothing => Err(super::Refusal::Missing),
        }
    }

    /// Whether other entries repeat what is marked in this one.
    pub(super) fn lends(&self, at: usize) -> bool {
        let Root::Block { items, .. } = &self.root else { return false };
        let mut others = items.iter().enumerate().filter(|(index, _)| *index != at);
        others.any(|(_, other)| !other.aliases.is_disjoint(&items[at].anchors))
    }

    /// The text with these bytes replaced.
    pub(super) fn with(&self, bytes: Range<usize>, by: &str) -> String {
        format!("{}{by}{}", &self.text[..bytes.start], &self.text[bytes.end..])
    }

    pub(super) fn without_lines(&self, lines: RangeInclusive<usize>) -> String {
        // The mark at the beginning of the file is of no line.
        let begin = if *lines.start() == 0 { self.mark() } else { self.begin(*lines.start()) };
        self.with(begin..self.begin(*lines.end() + 1), "")
    }

    /// The text with these before the line `at`. Where it does not end in a line end it does not do so afterwards.
    pub(super) fn with_lines(&self, at: usize, new: &[String]) -> String {
        let end = if self.text.contains("\r\n") { "\r\n" } else { "\n" };
        let new = new.join(end);
        let at = if at == 0 { self.mark() } else { self.begin(at) };
        let is_cut = at == self.text.len() && at > self.mark() && !self.text.ends_with('\n');
        self.with(at..at, &if is_cut { format!("{end}{new}") } else { format!("{new}{end}") })
    }

    fn mark(&self) -> usize {
        if self.text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 }
    }

    fn begin(&self, line: usize) -> usize {
        self.lines.get(line).copied().unwrap_or(self.text.len())
    }

    fn line(&self, number: usize) -> &'a str {
        let line = &self.text[self.begin(number)..self.begin(number + 1)];
        line.strip_prefix('\u{feff}').unwrap_or(line)
    }

    /// The line where the document that goes on in line `from` ends, blank lines at its end left out.
    fn end_of_document(&self, from: usize) -> usize {
        let ends = |line: &str| {
            ["---", "..."].iter().any(|mark| {
                line.strip_prefix(mark)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
            })
        };
        // Before the first entry `---` is where the document begins.
        let marks = (from..self.lines.len()).filter(|number| ends(self.line(*number)));
        let is_begun = matches!(self.root, Root::Block { .. });
        let mut marks = marks.filter(|number| is_begun || self.line(*number).starts_with("..."));
        let mut end = marks.next().unwrap_or(self.lines.len());
        while end > from && self.line(end - 1).trim().is_empty() {
            end -= 1;
        }
        end
    }

    fn at(&self, marker: Marker) -> usize {
        let line = marker.line().saturating_sub(1);
        let begin = self.begin(line) + if line == 0 { self.mark() } else { 0 };
        let rest = &self.text[begin..];
        begin + rest.char_indices().nth(marker.col()).map_or(rest.len(), |(at, _)| at)
    }

    /// The line of the last letter before `at`.
    fn last_line(&self, at: usize) -> usize {
        self.line_of(self.text[..at].trim_end().len().saturating_sub(1))
    }

    fn line_of(&self, at: usize) -> usize {
        self.lines.partition_point(|begin| *begin <= at).saturating_sub(1)
    }

    /// The first line from `from` on that begins with a dash, and its column.
    fn dash(&self, from: usize) -> Option<(usize, usize)> {
        (from..self.lines.len()).find_map(|number| {
            let line = self.line(number);
            let rest = line.trim_start_matches(' ');
            let is_dash = rest
                .strip_prefix('-')
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
            is_dash.then(|| (number, line.len() - rest.len()))
        })
    }
}

struct Walk<'a, 'b> {
    outline: &'b Outline<'a>,
    parser: Parser<'a, StrInput<'a>>,
}

/// What was seen of a node.
#[derive(Debug, Default)]
struct Seen {
    last: usize,
    anchors: BTreeSet<usize>,
    aliases: BTreeSet<usize>,
}

impl Seen {
    fn add(&mut self, other: Self) {
        self.last = self.last.max(other.last);
        self.anchors.extend(other.anchors);
        self.aliases.extend(other.aliases);
    }

    fn note(&mut self, anchor: usize) {
        if anchor > 0 {
            self.anchors.insert(anchor);
        }
    }
}

impl<'a> Walk<'a, '_> {
    fn next(&mut self) -> Result<(Event<'a>, Span), SyntaxError> {
        let end = (Event::StreamEnd, Span::empty(Marker::new(0, 1, 0)));
        Ok(self.parser.next_event().transpose()?.unwrap_or(end))
    }

    fn root(&mut self) -> Result<Root, SyntaxError> {
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(Root::Nothing),
                (Event::DocumentStart(_), _) => break,
                _ => {}
            }
        }
        let (Event::SequenceStart(..), begin) = self.next()? else { return Ok(Root::Nothing) };
        let (mut items, mut columns) = (Vec::<Item>::new(), BTreeSet::new());
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                if !span.is_empty() {
                    return Ok(Root::Flow { line: begin.start.line() });
                }
                break;
            }
            let from = items.last().map_or(begin.start.line().saturating_sub(1), |before| before.last + 1);
            let dash = self.outline.dash(from);
            let (first, column) = dash.unwrap_or((begin.start.line() - 1, usize::MAX));
            columns.insert(column);
            items.push(self.item(&event, span, first)?);
        }
        let column = columns.first().copied().unwrap_or_default();
        // Such a list is none that a line of it could be taken of.
        Ok(Root::Block { column, items: if columns.len() > 1 { Vec::new() } else { items } })
    }

    fn item(&mut self, event: &Event<'a>, span: Span, first: usize) -> Result<Item, SyntaxError> {
        let (mut keys, mut seen, mut is_flow) = (Vec::new(), Seen::default(), false);
        if let Event::MappingStart(anchor, _) = event {
            seen.note(*anchor);
            loop {
                let (event, span) = self.next()?;
                if event == Event::MappingEnd {
                    is_flow = !span.is_empty();
                    seen.last = seen.last.max(self.end(span));
                    break;
                }
                keys.push(self.key(&event, span, &mut seen)?);
            }
        } else {
            seen = self.node(event, span)?;
        }
        let Seen { last, anchors, aliases } = seen;
        Ok(Item { first, last: last.max(first), is_flow, keys, anchors, aliases })
    }

    fn key(&mut self, event: &Event<'a>, span: Span, seen: &mut Seen) -> Result<Key, SyntaxError> {
        let text = match event {
            Event::Scalar(text, ..) => text.to_string(),
            _ => String::new(),
        };
        let (column, end) = (span.start.col(), self.outline.at(span.end));
        let key = self.node(event, span)?;
        let mut last = key.last;
        seen.add(key);
        let (event, span) = self.next()?;
        let is_word = matches!(event, Event::Scalar(..) | Event::Alias(_));
        let begin = self.outline.at(span.start);
        let colon = self.outline.text[end..].find(':').map(|at| end + at + 1);
        let value = match colon {
            Some(colon) if is_word && span.is_empty() => Place::Nothing(colon),
            _ if is_word && span.start.line() == span.end.line() && self.outline.line_of(begin) == last => {
                Place::Word(begin..self.outline.at(span.end))
            }
            _ => Place::Other,
        };
        let node = self.node(&event, span)?;
        last = last.max(node.last);
        seen.add(node);
        Ok(Key { text, column, last, value })
    }

    fn node(&mut self, event: &Event<'a>, span: Span) -> Result<Seen, SyntaxError> {
        let mut seen = Seen::default();
        match event {
            Event::Alias(anchor) => {
                seen.aliases.insert(*anchor);
                seen.last = self.end(span);
            }
            Event::Scalar(_, _, anchor, _) => {
                seen.note(*anchor);
                seen.last = self.end(span);
            }
            Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _) => {
                seen.note(*anchor);
                loop {
                    let (event, span) = self.next()?;
                    if matches!(event, Event::SequenceEnd | Event::MappingEnd) {
                        seen.last = seen.last.max(self.end(span));
                        break;
                    }
                    let inner = self.node(&event, span)?;
                    seen.add(inner);
                }
            }
            _ => {}
        }
        Ok(seen)
    }

    /// The last line of what has letters of its own: where nothing stands, the parser names the place of what follows.
    fn end(&self, span: Span) -> usize {
        if span.is_empty() { 0 } else { self.outline.last_line(self.outline.at(span.end)) }
    }
}
