//! The terminal that results go to: how much room it has, and a picture that is drawn again in its place.

use std::io::{self, IsTerminal, Write, stderr, stdout};
use std::os::fd::AsFd;

use chrono::{DateTime, Utc};
use rustix::termios::tcgetwinsize;

use crate::clock;

/// What a terminal has at least, and what one counts for that does not tell its size.
const LEAST: Screen = Screen { columns: 80, rows: 24 };

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Screen {
    /// Letters of a line.
    pub columns: usize,
    /// Lines.
    pub rows: usize,
}

/// Who reads it: a person at this terminal, now.
#[derive(Debug, Clone, Copy)]
pub struct Reader {
    pub screen: Screen,
    pub now: DateTime<Utc>,
}

impl Reader {
    /// At stdout; `None` where that is no terminal.
    pub fn of_stdout() -> Option<Self> {
        Screen::of_stdout().map(|screen| Self { screen, now: clock::wall() })
    }
}

impl Screen {
    /// That of stdout as it is now; `None` where that is no terminal.
    pub fn of_stdout() -> Option<Self> {
        Self::of(&stdout())
    }

    /// Likewise that of stderr.
    pub fn of_stderr() -> Option<Self> {
        Self::of(&stderr())
    }

    fn of(out: &(impl IsTerminal + AsFd)) -> Option<Self> {
        if !out.is_terminal() {
            return None;
        }
        let size = tcgetwinsize(out).ok();
        let told = |told: Option<u16>, least| told.filter(|told| *told > 0).map_or(least, usize::from);
        Some(Self {
            columns: told(size.map(|size| size.ws_col), LEAST.columns),
            rows: told(size.map(|size| size.ws_row), LEAST.rows),
        })
    }

    /// Each line of a text, with an end that has no room left out.
    pub fn cut(&self, text: &str) -> String {
        text.lines().map(|line| cut(line, self.columns) + "\n").collect()
    }

    /// Draws over all that is there; what has no room is counted.
    pub fn draw(&self, text: &str) -> io::Result<()> {
        let mut out = stdout();
        // Each line is cleared behind its end, not before: so nothing flickers.
        write!(out, "\u{1b}[H")?;
        for line in self.picture(text) {
            write!(out, "{line}\u{1b}[K\r\n")?;
        }
        write!(out, "\u{1b}[J")?;
        out.flush()
    }

    fn picture(&self, text: &str) -> Vec<String> {
        let lines: Vec<_> = text.lines().map(|line| cut(line, self.columns)).collect();
        // The last row is the cursor's.
        let room = self.rows.saturating_sub(1).max(2);
        if lines.len() <= room {
            return lines;
        }
        let left = lines.len() - (room - 1);
        lines.into_iter().take(room - 1).chain([format!("… and {left} more lines")]).collect()
    }
}

/// At most so many letters of a line, the last one a mark where there were more.
pub fn cut(line: &str, most: usize) -> String {
    if line.chars().count() <= most {
        return line.to_owned();
    }
    line.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_room_is_cut_and_counted() {
        let screen = Screen { columns: 5, rows: 4 };
        assert_eq!(screen.picture("12345\n123456\n1"), ["12345", "1234…", "1"]);
        assert_eq!(screen.picture("1\n2\n3\n4\n5"), ["1", "2", "… and 3 more lines"]);
        assert_eq!(screen.cut("123456\n\n1"), "1234…\n\n1\n");
    }
}
