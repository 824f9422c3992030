//! A stack's rendered file, or how it differs from the one applied last.

use similar::TextDiff;

use super::{BAD, DIM, GOOD, Report};
use crate::plain;

/// What is to be shown of a rendered file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    Whole,
    /// How it differs from the one applied last.
    Difference,
}

impl Show {
    /// By two options that exclude each other.
    pub fn from_options(whole: bool, difference: bool) -> Option<Self> {
        match (whole, difference) {
            (true, _) => Some(Self::Whole),
            (_, true) => Some(Self::Difference),
            _ => None,
        }
    }
}

impl Report {
    /// Shows `text`, what docker is or was given for `stack`, beside `applied`, what converged last.
    pub fn rendered(&self, show: Show, stack: &str, text: &str, applied: Option<&str>) {
        match (show, applied) {
            (Show::Whole, _) => {
                self.stdout(&format!("\n{DIM}# {}{DIM:#}", plain::name(stack)));
                text.lines().for_each(|line| self.stdout(&plain::line(line)));
            }
            (Show::Difference, None) => {
                self.note(stack, "nothing to compare with: no text is known that was applied before");
            }
            (Show::Difference, Some(applied)) if applied == text => {
                let what = "the same text was applied last; if it is to be deployed, then for a value that is not \
                            shown, a variable, a file it names, or what the line above says";
                self.note(stack, what);
            }
            (Show::Difference, Some(applied)) => {
                let names = [format!("{stack} as applied last"), stack.to_owned()];
                self.difference(&unified([applied, text], &names));
            }
        }
    }

    /// Shows how two texts differ.
    pub fn difference(&self, unified: &str) {
        for line in unified.lines() {
            let style = match line.as_bytes().first() {
                Some(b'+') => GOOD,
                Some(b'-') => BAD,
                Some(b'@') => DIM,
                _ => anstyle::Style::new(),
            };
            self.stdout(&format!("{style}{}{style:#}", plain::line(line)));
        }
    }
}

/// How two texts differ, by their names; empty where they do not.
pub fn unified([before, after]: [&str; 2], names: &[String; 2]) -> String {
    let diff = TextDiff::from_lines(before, after);
    diff.unified_diff().context_radius(3).header(&names[0], &names[1]).to_string()
}
