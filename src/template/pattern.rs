//! A regular expression that holds for all of a text: what a browser's `pattern`, JSON Schema and this program read alike.
//!
//! No engine is linked that could be used: libgit2's follows every way through a pattern, on the stack. Here all ways are
//! followed together, so a text costs at most its letters times the steps of the pattern, which is counted; and what
//! readers may differ on is refused.

mod plain;
mod work;

use std::fmt;
use std::iter::Peekable;
use std::str::Chars;
use std::sync::Arc;

use serde::{Serialize, Serializer};

pub use work::Work;

/// Letters of a pattern, steps that it becomes with its counts written out, and groups in groups.
const MOST_LETTERS: usize = 500;
const MOST_STEPS: usize = 2_000;
const DEEPEST: usize = 20;
const LARGEST_COUNT: usize = 1_000;

#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    steps: Vec<Step>,
}

#[derive(Debug, Clone)]
enum Step {
    /// A letter in one of these ranges, which are sorted and apart; or in none of them.
    Letter(Arc<[(char, char)]>, bool),
    Begin,
    End,
    Both(usize, usize),
    Jump(usize),
    Done,
}

impl Pattern {
    pub fn new(text: &str) -> Result<Self, String> {
        if text.chars().count() > MOST_LETTERS {
            return Err(format!("is longer than {MOST_LETTERS} letters"));
        }
        let mut parser = Parser { rest: text.chars().peekable(), depth: 0 };
        let part = parser.either()?;
        if parser.rest.next().is_some() {
            return Err("has a `)` that closes nothing".to_owned());
        }
        let mut steps = Vec::new();
        part.compile(&mut steps)?;
        steps.push(Step::Done);
        Ok(Self { text: text.to_owned(), steps })
    }

    /// Whether it holds for all of `text`; `None` where that costs more than is left.
    pub fn matches(&self, text: &str, work: &Work) -> Option<bool> {
        let (mut here, mut next) = (Ways::new(self.steps.len()), Ways::new(self.steps.len()));
        self.follow(&mut here, 0, true, text.is_empty());
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            if !work.take(here.list.len() + 1) {
                return None;
            }
            let is_last = letters.peek().is_none();
            for &at in &here.list {
                if self.steps[at].takes(letter) {
                    self.follow(&mut next, at + 1, false, is_last);
                }
            }
            std::mem::swap(&mut here, &mut next);
            next.clear();
        }
        Some(here.seen[self.steps.len() - 1])
    }

    /// Adds `step`, and where it leads to without a letter.
    fn follow(&self, ways: &mut Ways, step: usize, is_begin: bool, is_end: bool) {
        let mut left = vec![step];
        while let Some(at) = left.pop() {
            if std::mem::replace(&mut ways.seen[at], true) {
                continue;
            }
            ways.list.push(at);
            match self.steps[at] {
                Step::Both(one, other) => left.extend([one, other]),
                Step::Jump(to) => left.push(to),
                Step::Begin if is_begin => left.push(at + 1),
                Step::End if is_end => left.push(at + 1),
                _ => {}
            }
        }
    }
}

impl Step {
    fn letter(mut ranges: Vec<(char, char)>, is_not: bool) -> Self {
        ranges.sort_unstable();
        let mut apart: Vec<(char, char)> = Vec::with_capacity(ranges.len());
        for (from, to) in ranges {
            match apart.last_mut() {
                Some((_, end)) if from <= *end => *end = to.max(*end),
                _ => apart.push((from, to)),
            }
        }
        Self::Letter(apart.into(), is_not)
    }

    fn takes(&self, letter: char) -> bool {
        let Self::Letter(ranges, is_not) = self else { return false };
        let at = ranges.partition_point(|(_, to)| *to < letter);
        ranges.get(at).is_some_and(|(from, _)| *from <= letter) != *is_not
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

/// The steps that a text has led to.
struct Ways {
    list: Vec<usize>,
    seen: Vec<bool>,
}

impl Ways {
    fn new(steps: usize) -> Self {
        Self { list: Vec::new(), seen: vec![false; steps] }
    }

    fn clear(&mut self) {
        self.list.drain(..).for_each(|at| self.seen[at] = false);
    }
}

enum Part {
    One(Step),
    Row(Vec<Part>),
    Either(Vec<Part>),
    Times(Box<Part>, usize, Option<usize>),
}

impl Part {
    fn compile(&self, steps: &mut Vec<Step>) -> Result<(), String> {
        if steps.len() > MOST_STEPS {
            return Err("is too long with its counts written out".to_owned());
        }
        match self {
            Self::One(step) => steps.push(step.clone()),
            Self::Row(parts) => parts.iter().try_for_each(|part| part.compile(steps))?,
            Self::Either(parts) => {
                let mut ends = Vec::new();
                for (index, part) in parts.iter().enumerate() {
                    let fork = steps.len();
                    let is_last = index + 1 == parts.len();
                    if !is_last {
                        steps.push(Step::Done);
                    }
                    part.compile(steps)?;
                    if !is_last {
                        ends.push(steps.len());
                        steps.push(Step::Done);
                        steps[fork] = Step::Both(fork + 1, steps.len());
                    }
                }
                let end = steps.len();
                for at in ends {
                    steps[at] = Step::Jump(end);
                }
            }
            Self::Times(part, least, most) => {
                for _ in 0..*least {
                    part.compile(steps)?;
                }
                let optional = most.map_or(1, |most| most - least);
                let mut forks = Vec::new();
                for _ in 0..optional {
                    forks.push(steps.len());
                    steps.push(Step::Done);
                    part.compile(steps)?;
                }
                if let (None, Some(fork)) = (most, forks.first()) {
                    steps.push(Step::Jump(*fork));
                }
                let end = steps.len();
                for fork in forks {
                    steps[fork] = Step::Both(fork + 1, end);
                }
            }
        }
        Ok(())
    }
}

struct Parser<'text> {
    rest: Peekable<Chars<'text>>,
    depth: usize,
}

impl Parser<'_> {
    fn eats(&mut self, letter: char) -> bool {
        self.rest.next_if_eq(&letter).is_some()
    }

    fn either(&mut self) -> Result<Part, String> {
        let mut parts = vec![self.row()?];
        while self.eats('|') {
            parts.push(self.row()?);
        }
        Ok(Part::Either(parts))
    }

    fn row(&mut self) -> Result<Part, String> {
        let mut parts = Vec::new();
        while let Some(letter) = self.rest.next_if(|letter| !matches!(letter, '|' | ')')) {
            let part = self.part(letter)?;
            parts.push(self.times(part)?);
        }
        Ok(Part::Row(parts))
    }

    fn part(&mut self, letter: char) -> Result<Part, String> {
        let one = |ranges, is_not| Ok(Part::One(Step::letter(ranges, is_not)));
        match letter {
            '.' => one(vec![('\n', '\n'), ('\r', '\r'), ('\u{2028}', '\u{2029}')], true),
            '^' => Ok(Part::One(Step::Begin)),
            '$' => Ok(Part::One(Step::End)),
            '[' => self.class(),
            '(' => self.group(),
            '\\' => {
                let (ranges, is_not) = self.escaped("")?;
                one(ranges, is_not)
            }
            '*' | '+' | '?' | '{' | '}' | ']' => {
                Err(format!("has a `{letter}` that stands for nothing; write `\\{letter}`"))
            }
            _ => one(vec![(letter, letter)], false),
        }
    }

    fn group(&mut self) -> Result<Part, String> {
        if self.eats('?') && !self.eats(':') {
            return Err("has a `(?` other than `(?:`".to_owned());
        }
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(format!("has groups more than {DEEPEST} deep"));
        }
        let part = self.either()?;
        self.depth -= 1;
        if self.eats(')') { Ok(part) } else { Err("has a `(` that is not closed".to_owned()) }
    }

    fn times(&mut self, part: Part) -> Result<Part, String> {
        let counts = match self.rest.peek() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => (0, Some(0)),
            _ => return Ok(part),
        };
        let (least, most) = if self.eats('{') {
            self.counts()?
        } else {
            self.rest.next();
            counts
        };
        // As few or as many: all of the text is the same.
        self.eats('?');
        if matches!(part, Part::One(Step::Begin | Step::End)) {
            return Err("repeats `^` or `$`".to_owned());
        }
        Ok(Part::Times(Box::new(part), least, most))
    }

    /// What follows `{`.
    fn counts(&mut self) -> Result<(usize, Option<usize>), String> {
        let wrong =
            || format!("has a `{{` that is no count of 0 to {LARGEST_COUNT}; write `\\{{` for the letter");
        let least = self.number().ok_or_else(wrong)?;
        let most = if self.eats(',') { self.number() } else { Some(least) };
        let is_sound = self.eats('}') && most.is_none_or(|most| least <= most && most <= LARGEST_COUNT);
        if is_sound && least <= LARGEST_COUNT { Ok((least, most)) } else { Err(wrong()) }
    }

    fn number(&mut self) -> Option<usize> {
        let mut digits = String::new();
        while let Some(digit) = self.rest.next_if(char::is_ascii_digit) {
            digits.push(digit);
        }
        digits.parse().ok()
    }

    /// What follows `[`.
    fn class(&mut self) -> Result<Part, String> {
        let open = || "has a `[` that is not closed".to_owned();
        let (is_not, mut ranges) = (self.eats('^'), Vec::new());
        loop {
            let from = match self.rest.next().ok_or_else(open)? {
                ']' => return Ok(Part::One(Step::letter(ranges, is_not))),
                letter => self.member(letter, &mut ranges)?,
            };
            let Some(from) = from else { continue };
            let mut ahead = self.rest.clone();
            if ahead.next() != Some('-') || ahead.next() == Some(']') {
                ranges.push((from, from));
                continue;
            }
            self.rest.next();
            let to = self.rest.next().ok_or_else(open)?;
            match self.member(to, &mut ranges)? {
                Some(to) if from <= to => ranges.push((from, to)),
                _ => {
                    return Err(
                        "has a range in `[…]` that does not run from a letter to a later one".to_owned()
                    );
                }
            }
        }
    }

    /// A letter of a class; `None` where it stands for many, which are added.
    fn member(&mut self, letter: char, ranges: &mut Vec<(char, char)>) -> Result<Option<char>, String> {
        match letter {
            '\\' => match self.escaped("-")? {
                (mut all, false) if all.len() == 1 && all[0].0 == all[0].1 => {
                    Ok(all.pop().map(|(one, _)| one))
                }
                (all, false) => {
                    ranges.extend(all);
                    Ok(None)
                }
                (_, true) => Err("has `\\D`, `\\W` or `\\S` in `[…]`; say it with `[^…]`".to_owned()),
            },
            // Browsers take these for something else there, or for a mistake.
            '[' | '(' | ')' | '{' | '}' | '/' | '|' | '-' => {
                Err(format!("has `{letter}` in `[…]`; write `\\{letter}`"))
            }
            _ if "&!#$%*+,.:;<=>?@^`~".contains(letter) && self.rest.peek() == Some(&letter) => {
                Err(format!("has `{letter}{letter}` in `[…]`; write it once"))
            }
            _ => Ok(Some(letter)),
        }
    }

    /// What follows a `\`; `more` letters than those that mean something may.
    fn escaped(&mut self, more: &str) -> Result<(Vec<(char, char)>, bool), String> {
        let letter = self.rest.next().ok_or("ends in `\\`")?;
        let one = |letter| (vec![(letter, letter)], false);
        Ok(match letter {
            'd' | 'D' => (vec![('0', '9')], letter == 'D'),
            'w' | 'W' => (vec![('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')], letter == 'W'),
            's' | 'S' => (SPACES.to_vec(), letter == 'S'),
            't' => one('\t'),
            'n' => one('\n'),
            'r' => one('\r'),
            _ if "^$\\.*+?()[]{}|/".contains(letter) || more.contains(letter) => one(letter),
            _ => return Err(format!("has `\\{letter}`, which not all readers take")),
        })
    }
}

/// Those of ECMAScript.
const SPACES: [(char, char); 9] = [
    ('\t', '\r'),
    (' ', ' '),
    ('\u{a0}', '\u{a0}'),
    ('\u{1680}', '\u{1680}'),
    ('\u{2000}', '\u{200a}'),
    ('\u{2028}', '\u{2029}'),
    ('\u{202f}', '\u{202f}'),
    ('\u{205f}', '\u{3000}'),
    ('\u{feff}', '\u{feff}'),
];

#[cfg(test)]
mod tests;
