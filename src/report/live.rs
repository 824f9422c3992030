//! One live line for every stack that is waited for, on a terminal; nothing elsewhere.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The live lines.
#[derive(Debug)]
pub struct Live {
    all: MultiProgress,
    lines: RefCell<BTreeMap<String, ProgressBar>>,
    terminal: bool,
}

impl Live {
    /// Draws on stderr if it is a `terminal`.
    pub fn new(terminal: bool) -> Self {
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { all: MultiProgress::with_draw_target(target), lines: RefCell::default(), terminal }
    }

    /// Whether somebody watches.
    pub fn is_on_a_terminal(&self) -> bool {
        self.terminal
    }

    /// Sets the line of `key`.
    pub fn set(&self, key: &str, text: &str) {
        if !self.terminal {
            return;
        }
        let mut lines = self.lines.borrow_mut();
        let line = lines.entry(key.to_owned()).or_insert_with(|| {
            let style = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}");
            let line = self.all.add(ProgressBar::new_spinner());
            line.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            line.enable_steady_tick(Duration::from_millis(200));
            line
        });
        line.set_message(text.to_owned());
    }

    /// Takes the line of `key` away.
    pub fn clear(&self, key: &str) {
        if let Some(line) = self.lines.borrow_mut().remove(key) {
            line.finish_and_clear();
            self.all.remove(&line);
        }
    }

    /// Prints with the lines out of the way.
    pub fn suspend(&self, print: impl FnOnce()) {
        self.all.suspend(print);
    }
}
