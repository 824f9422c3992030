//! The live lines of what is waited for, on a terminal, as many as it has room for; nothing elsewhere.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::screen::Screen;

/// The live lines.
#[derive(Debug)]
pub struct Live {
    all: MultiProgress,
    /// By stack, source or image.
    waits: RefCell<BTreeMap<String, Wait>>,
    /// What is drawn, from above.
    drawn: RefCell<BTreeMap<Place, ProgressBar>>,
    terminal: bool,
}

/// What one is waited for.
#[derive(Debug)]
struct Wait {
    since: Instant,
    /// One for each of its services that is not ready.
    lines: Vec<String>,
}

/// A line by whose it is and which of them; the one that counts the rest is the last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Of(String, usize),
    Rest,
}

impl Live {
    /// Draws on stderr if it is a `terminal`.
    pub fn new(terminal: bool) -> Self {
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let all = MultiProgress::with_draw_target(target);
        Self { all, waits: RefCell::default(), drawn: RefCell::default(), terminal }
    }

    /// Whether somebody watches.
    pub fn is_on_a_terminal(&self) -> bool {
        self.terminal
    }

    /// Sets the lines of `key`.
    pub fn set(&self, key: &str, lines: Vec<String>) {
        if !self.terminal {
            return;
        }
        let mut waits = self.waits.borrow_mut();
        let wait = waits.entry(key.to_owned());
        wait.or_insert_with(|| Wait { since: Instant::now(), lines: Vec::new() }).lines = lines;
        drop(waits);
        self.draw();
    }

    /// Takes the lines of `key` away.
    pub fn clear(&self, key: &str) {
        if self.waits.borrow_mut().remove(key).is_some() {
            self.draw();
        }
    }

    /// Prints with the lines out of the way.
    pub fn suspend(&self, print: impl FnOnce()) {
        self.all.suspend(print);
    }

    fn draw(&self) {
        // One stays free for what is printed, and one for the cursor.
        let room = Screen::of_stderr().map_or(1, |screen| screen.rows.saturating_sub(2).max(1));
        let waits = self.waits.borrow();
        let (shown, rest) = shown(&waits, room);
        let mut drawn = self.drawn.borrow_mut();
        let texts: BTreeMap<Place, (&str, Option<Instant>)> =
            shown.into_iter().map(|(place, wait, text)| (place, (text, Some(wait.since)))).collect();
        let rest = (rest > 0).then(|| format!("and {rest} more"));
        let rest = rest.iter().map(|text| (Place::Rest, (text.as_str(), None)));
        let texts: BTreeMap<_, _> = texts.into_iter().chain(rest).collect();
        drawn.retain(|place, bar| {
            let stays = texts.contains_key(place);
            if !stays {
                bar.finish_and_clear();
                self.all.remove(bar);
            }
            stays
        });
        for (at, (place, (text, since))) in texts.into_iter().enumerate() {
            let bar = drawn.entry(place).or_insert_with(|| self.bar(at, since));
            if bar.message() != text {
                bar.set_message(text.to_owned());
            }
        }
    }

    fn bar(&self, at: usize, since: Option<Instant>) -> ProgressBar {
        let template = if since.is_some() { "{spinner} {wide_msg} {elapsed}" } else { "  {wide_msg}" };
        let bar = self.all.insert(at, ProgressBar::new_spinner());
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner()),
        );
        if let Some(since) = since {
            bar.set_elapsed(since.elapsed());
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        bar
    }
}

/// The lines that have room, and how many have none; each that is waited for has one before any has two.
fn shown(waits: &BTreeMap<String, Wait>, room: usize) -> (Vec<(Place, &Wait, &str)>, usize) {
    let all = waits.iter().flat_map(|(key, wait)| {
        let place = move |at| Place::Of(key.clone(), at);
        wait.lines.iter().enumerate().map(move |(at, text)| (place(at), wait, text.as_str()))
    });
    let mut all: Vec<_> = all.collect();
    let count = all.len();
    if count <= room {
        return (all, 0);
    }
    all.sort_by_key(|(place, ..)| matches!(place, Place::Of(_, at) if *at > 0));
    all.truncate(room - 1);
    let rest = count - all.len();
    (all, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_room_is_counted_and_none_is_left_out_for_another_ones_second() {
        let wait = |lines: usize| Wait {
            since: Instant::now(),
            lines: (0..lines).map(|at| format!("line {at}")).collect(),
        };
        let waits: BTreeMap<_, _> =
            [("a", 5), ("b", 1), ("c", 3)].map(|(key, lines)| (key.to_owned(), wait(lines))).into();
        let told = |room| {
            let (shown, rest) = shown(&waits, room);
            let places = shown.into_iter().map(|(place, _, text)| match place {
                Place::Of(key, at) => format!("{key}{at} {text}"),
                Place::Rest => panic!(),
            });
            let mut places: Vec<_> = places.collect();
            places.sort_unstable();
            (places.join(", "), rest)
        };
        assert_eq!(told(9).1, 0);
        assert_eq!(told(5), ("a0 line 0, a1 line 1, b0 line 0, c0 line 0".to_owned(), 5));
        assert_eq!(told(3), ("a0 line 0, b0 line 0".to_owned(), 7));
        assert_eq!(told(1), (String::new(), 9));
        assert!(Place::Of("z".into(), 9) < Place::Rest);
    }
}
