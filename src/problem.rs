//! What is wrong with the files of a repository: file, line and key, all of it at once.

use std::fmt;

use crate::plain;

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

/// All mistakes found; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        match lines.as_slice() {
            [line] => f.write_str(line),
            lines => write!(f, "{} mistakes, nothing was deployed:\n  {}", lines.len(), lines.join("\n  ")),
        }
    }
}

impl std::error::Error for Problems {}

/// Gathers the problems of one file.
#[derive(Debug)]
pub struct Collector {
    file: String,
    found: Vec<Problem>,
}

impl Collector {
    /// For `file`, a path from the repository's root.
    pub fn new(file: impl Into<String>) -> Self {
        Self { file: file.into(), found: Vec::new() }
    }

    /// Notes a problem; `line` 0 stands for none.
    pub fn add(&mut self, line: usize, key: impl Into<String>, what: impl Into<String>) {
        let line = (line > 0).then_some(line);
        self.found.push(Problem { file: self.file.clone(), line, key: key.into(), what: what.into() });
    }

    /// What was gathered, from the top of the file down.
    pub fn into_problems(mut self) -> Vec<Problem> {
        self.found.sort_by_key(|problem| problem.line);
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_a_name_nor_a_message_makes_a_line_that_looks_like_another_mistake() {
        let mut found = Collector::new("a\nb.yaml");
        found.add(1, "entry 1.x\n  c.yaml:1: y", "docker says\n  c.yaml:1: z\r\n    w\u{2028}v");
        found.add(2, "", "is wrong");
        let told = Problems(found.into_problems()).to_string();
        let wanted = "2 mistakes, nothing was deployed:\n  a\\nb.yaml:1: `entry 1.x\\n  c.yaml:1: y`: docker says\n\
                      \u{20}     c.yaml:1: z\n    w\\u{2028}v\n  a\\nb.yaml:2: is wrong";
        assert_eq!(told, wanted);
    }
}
