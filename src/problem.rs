//! What is wrong with the files of a repository: file, line and key, all of it at once.

use std::fmt;

use crate::plain;

/// How many mistakes are kept and told of one file, and of one source; the others are counted.
const TOLD: usize = 50;
/// The longest key and the longest sentence told, in letters.
const LONGEST: usize = 500;

/// One mistake in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Path of the file from the repository's root.
    pub file: String,
    /// Line from 1, where one can be named.
    pub line: Option<usize>,
    /// The key or entry, as in `services.web.env_file`; empty for the file as a whole.
    pub key: String,
    /// What is wrong, lower case, with the way out where there is one.
    pub what: String,
    /// How many others of the file this one stands for, which are not told.
    pub more: usize,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&plain::name(&self.file))?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": `{}`", plain::name(&self.key))?;
        }
        // A line that goes on stands deeper than the lines of the other mistakes.
        write!(f, ": {}", plain::with_margin(&self.what, "    "))
    }
}

/// All mistakes found; at least one. The first are told, the others counted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problems {
    first: Vec<Problem>,
    more: usize,
    /// Whether they are one stack's, and stop that stack alone.
    of_a_stack: bool,
}

/// How many mistakes may still be told of the stacks of one source, beyond one a stack: a thousand stacks with
/// fifty each would be a hundred megabytes of nothing new.
#[derive(Debug)]
pub struct Room(usize);

impl Default for Room {
    fn default() -> Self {
        Self(TOLD * 10)
    }
}

impl Problems {
    /// Those of one stack, as far as there is `room` to tell them.
    pub fn of_stack(problems: impl IntoIterator<Item = Problem>, room: &mut Room) -> Self {
        let mut all = Self { of_a_stack: true, ..Self::default() };
        all.extend(problems);
        let fits = all.first.len().min(room.0.max(1));
        all.more += all.first.len() - fits;
        all.first.truncate(fits);
        room.0 = room.0.saturating_sub(fits);
        all
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// Those that are told.
    pub fn told(&self) -> &[Problem] {
        &self.first
    }

    /// How many others there are.
    pub fn more(&self) -> usize {
        self.more
    }

    /// Adds those of a stack to those of its source.
    pub fn absorb(&mut self, others: &Self) {
        self.extend(others.first.iter().cloned());
        self.more += others.more;
    }
}

impl Extend<Problem> for Problems {
    fn extend<T: IntoIterator<Item = Problem>>(&mut self, problems: T) {
        for mut problem in problems {
            self.more += std::mem::take(&mut problem.more);
            if self.first.len() < TOLD {
                self.first.push(problem);
            } else {
                self.more += 1;
            }
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let ([only], 0) = (self.first.as_slice(), self.more) {
            return only.fmt(f);
        }
        let count = self.first.len() + self.more;
        let radius = if self.of_a_stack { "" } else { ", nothing was deployed" };
        write!(f, "{count} mistakes{radius}:")?;
        for problem in &self.first {
            write!(f, "\n  {problem}")?;
        }
        if self.more > 0 {
            write!(f, "\n  and {} more", self.more)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Gathers the problems of one file.
#[derive(Debug)]
pub struct Collector {
    file: String,
    found: Vec<Problem>,
    more: usize,
}

impl Collector {
    /// For `file`, a path from the repository's root.
    pub fn new(file: impl Into<String>) -> Self {
        Self { file: file.into(), found: Vec::new(), more: 0 }
    }

    /// The file whose problems these are.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Notes a problem; `line` 0 stands for none.
    pub fn add(&mut self, line: usize, key: impl Into<String>, what: impl Into<String>) {
        if self.found.len() >= TOLD {
            self.more += 1;
            return;
        }
        let problem = self.problem(line, key, what);
        self.found.push(problem);
    }

    /// A problem of this file that somebody else tells.
    pub fn problem(&self, line: usize, key: impl Into<String>, what: impl Into<String>) -> Problem {
        let line = (line > 0).then_some(line);
        let (key, what) = (clipped(key.into()), clipped(what.into()));
        Problem { file: self.file.clone(), line, key, what, more: 0 }
    }

    /// What was gathered, from the top of the file down.
    pub fn into_problems(mut self) -> Vec<Problem> {
        self.found.sort_by_key(|problem| problem.line);
        if let Some(last) = self.found.last_mut() {
            last.more = self.more;
        }
        self.found
    }
}

/// A key may be as long as its file.
fn clipped(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        text.push('…');
        text.shrink_to_fit();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_a_name_nor_a_message_makes_a_line_that_looks_like_another_mistake() {
        let mut found = Collector::new("a\nb.yaml");
        found.add(1, "entry 1.x\n  c.yaml:1: y", "docker says\n  c.yaml:1: z\r\n    w\u{2028}v");
        found.add(2, "", "is wrong");
        let mut problems = Problems::default();
        problems.extend(found.into_problems());
        let told = problems.to_string();
        let wanted = "2 mistakes, nothing was deployed:\n  a\\nb.yaml:1: `entry 1.x\\n  c.yaml:1: y`: docker says\n\
                      \u{20}     c.yaml:1: z\n    w\\u{2028}v\n  a\\nb.yaml:2: is wrong";
        assert_eq!(told, wanted);
    }

    fn of_a_file(name: &str, count: usize) -> Vec<Problem> {
        let mut collector = Collector::new(name);
        for line in 1..=count {
            collector.add(line, "key", "is wrong");
        }
        collector.into_problems()
    }

    #[test]
    fn one_mistake_is_told_as_it_is() {
        let mut problems = Problems::default();
        assert!(problems.is_empty());
        problems.extend(of_a_file("a.yml", 1));
        assert_eq!(problems.to_string(), "a.yml:1: `key`: is wrong");
    }

    #[test]
    fn of_a_million_mistakes_fifty_are_kept_and_all_are_counted() {
        let mut problems = Problems::default();
        let found = of_a_file("a.yml", 1_000_000);
        assert_eq!(found.len(), 50);
        problems.extend(found);
        problems.extend(of_a_file("b.yml", 20));
        let text = problems.to_string();
        assert_eq!(text.lines().count(), 1 + 50 + 1);
        assert!(text.starts_with("1000020 mistakes, nothing was deployed:\n  a.yml:1: "), "{text}");
        assert!(text.ends_with("\n  a.yml:50: `key`: is wrong\n  and 999970 more"), "{text}");
    }

    #[test]
    fn of_a_thousand_wrong_stacks_each_tells_something_and_all_together_little() {
        let mut room = Room::default();
        let stacks: Vec<_> =
            (0..1000).map(|_| Problems::of_stack(of_a_file("a.yml", 60), &mut room)).collect();
        assert_eq!(stacks[0].first.len(), 50);
        let first = stacks[0].to_string();
        assert!(first.starts_with("60 mistakes:\n  a.yml:1: ") && first.ends_with("and 10 more"), "{first}");
        assert!(stacks.iter().all(|stack| stack.first.len() + stack.more == 60));
        assert_eq!(stacks[999].to_string(), "60 mistakes:\n  a.yml:1: `key`: is wrong\n  and 59 more");
        assert!(stacks.iter().map(|stack| stack.first.len()).sum::<usize>() <= 1500);
        let mut all = Problems::default();
        for stack in &stacks {
            all.absorb(stack);
        }
        assert!(all.to_string().starts_with("60000 mistakes, nothing was deployed:"));
    }

    #[test]
    fn a_key_that_is_as_long_as_its_file_is_cut() {
        let mut collector = Collector::new("a.yml");
        collector.add(1, "é".repeat(1_000_000), "is wrong");
        assert_eq!(collector.into_problems()[0].key.chars().count(), 501);
    }
}
