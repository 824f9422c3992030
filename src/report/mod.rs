//! What people and scripts read: results on stdout, progress and errors on stderr.
//!
//! On a terminal: colour, and a live line for every stack that is waited for. Elsewhere: plain, whole
//! lines. Names and messages that come from a repository lose their control characters here.

mod live;
mod rendered;
pub mod status;
pub mod tables;
mod tally;

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};

use anstyle::{AnsiColor, Style};
use anyhow::Error;

use crate::docker::Swarm;
use crate::fault::hint_of;
use crate::state::ImageRow;
use crate::watched::Watched;
use live::Live;

pub use rendered::Show;
pub use tally::Tally;

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const NOTE: Style = AnsiColor::Yellow.on_default();
const DIM: Style = Style::new().dimmed();

/// Where a run tells what it does.
#[derive(Debug)]
pub struct Report {
    live: Live,
}

impl Report {
    /// Live lines if stderr is a terminal.
    pub fn new() -> Self {
        Self { live: Live::new(std::io::stderr().is_terminal()) }
    }

    /// Something is under way.
    pub fn progress(&self, text: &str) {
        self.stderr(&format!("{DIM}{}{DIM:#}", clean(text)));
    }

    /// What a stack is waited for: its live line, on a terminal.
    pub fn waiting(&self, stack: &str, what: &str) {
        self.live.set(stack, &one_line(&format!("{stack}  {what}")));
    }

    /// A stack is waited for no more.
    pub fn settle(&self, stack: &str) {
        self.live.clear(stack);
    }

    /// A stack converged.
    pub fn deployed(&self, stack: &str, text: &str) {
        self.line(GOOD, "deployed", stack, text);
    }

    /// An image was built.
    pub fn built(&self, image: &str, text: &str) {
        self.line(GOOD, "built", image, text);
    }

    /// A line that a build said: for a terminal only, a log has it when it failed.
    pub fn output(&self, line: &str) {
        if self.live.is_on_a_terminal() {
            self.stderr(&format!("{DIM}  {}{DIM:#}", one_line(line)));
        }
    }

    /// A stack was removed.
    pub fn removed(&self, stack: &str, text: &str) {
        self.line(GOOD, "removed", stack, text);
    }

    /// Something worth knowing of a stack.
    pub fn note(&self, stack: &str, text: &str) {
        self.line(NOTE, "note", stack, text);
    }

    /// A stack failed.
    pub fn failed(&self, stack: &str, text: &str) {
        self.line(BAD, "failed", stack, text);
    }

    /// What would be done to a stack; counted in `count`.
    pub fn would(&self, stack: &str, text: &str, count: &mut usize) {
        *count += 1;
        self.line(NOTE, "would", stack, text);
    }

    /// A source failed as a whole; the error names it.
    pub fn source_failed(&self, error: &Error) {
        self.stdout(&format!("{BAD}failed   {BAD:#} {}", clean(&format!("{error:#}"))));
        if let Some(hint) = hint_of(error) {
            self.stdout(&format!("hint: {}", clean(hint)));
        }
    }

    /// A result line.
    pub fn say(&self, text: &str) {
        self.stdout(&clean(text));
    }

    /// A JSON text, as JSON: what `clean` spells out is spelled out so that a parser reads it back.
    pub fn json(&self, text: &str) {
        let mut out = String::with_capacity(text.len());
        for letter in text.chars() {
            if letter != '\n' && is_hostile(letter) {
                let _ = write!(out, "\\u{:04x}", u32::from(letter));
            } else {
                out.push(letter);
            }
        }
        self.stdout(&out);
    }

    /// The state before a sync: sources, stacks, images.
    pub fn state(&self, watched: &[Watched], images: &[ImageRow], swarm: &Swarm) {
        if !watched.is_empty() {
            self.stdout(tables::state(watched, images, swarm).trim_end());
            self.stdout("");
        }
    }

    /// The last line of a run.
    pub fn summary(&self, tally: &Tally, dry_run: bool) {
        let counts = [
            (tally.built, if dry_run { "to build" } else { "built" }),
            (tally.deployed, if dry_run { "to deploy" } else { "deployed" }),
            (tally.removed, if dry_run { "to remove" } else { "removed" }),
            (tally.unchanged, "unchanged"),
            (tally.drifted, "drifted"),
            (tally.failed, "failed"),
        ];
        let parts: Vec<_> =
            counts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
        let text = if parts.is_empty() { "nothing to do".to_owned() } else { parts.join(", ") };
        self.stdout(&if dry_run { format!("dry run, nothing was changed: {text}") } else { text });
    }

    fn line(&self, style: Style, word: &str, subject: &str, text: &str) {
        self.stdout(&format!("{style}{word:<9}{style:#} {}  {}", one_line(subject), clean(text)));
    }

    fn stdout(&self, text: &str) {
        // A closed pipe is no reason to leave a stack half-way.
        self.live.suspend(|| drop(writeln!(anstream::stdout(), "{text}")));
    }

    fn stderr(&self, text: &str) {
        self.live.suspend(|| drop(writeln!(anstream::stderr(), "{text}")));
    }
}

/// The one way an error is printed: `error:`, then its `hint:`.
pub fn print_error(error: &Error) {
    let mut stderr = anstream::stderr();
    let _ = writeln!(stderr, "{BAD}error:{BAD:#} {}", clean(&format!("{error:#}")));
    if let Some(hint) = hint_of(error) {
        let _ = writeln!(stderr, "{NOTE}hint:{NOTE:#} {}", clean(hint));
    }
}

/// Text without control characters other than line ends: escapes, bells, and marks that turn the reading
/// direction are spelled out.
pub fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter == '\n' || !is_hostile(letter) {
            out.push(letter);
        } else if letter == '\t' {
            out.push(' ');
        } else {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(letter));
        }
    }
    out
}

/// Controls, and the marks that turn the reading direction; all of them below U+10000.
fn is_hostile(letter: char) -> bool {
    let bidi = matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    letter.is_control() || bidi
}

/// `clean`, on one line.
pub fn one_line(text: &str) -> String {
    clean(text).replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_cannot_drive_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\u{7}\r\n\u{202e}c\td"), "a\\u{1b}[2Jb\\u{7}\\u{d}\n\\u{202e}c d");
        assert_eq!(one_line("a\nb"), "a b");
    }
}
