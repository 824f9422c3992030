//! `hold` and `windows` of an entry of `stacks.yaml`.

use super::HoldEntry;
use crate::hold::Window;
use crate::problem::Collector;
use crate::reason::MOST_LETTERS;
use crate::yaml::Node;

/// So many windows an entry may have.
const MOST_WINDOWS: usize = 50;

/// Reads both keys; what is wrong with one leaves the stack on hold, rather than deployed at a time nobody wanted.
pub fn read(item: &Node, title: &str, problems: &mut Collector) -> HoldEntry {
    let mut entry = HoldEntry::default();
    if let Some(value) = item.get("hold") {
        match (value.as_bool(), value.as_string()) {
            (Some(hold), _) => entry.hold = hold,
            (None, Some(reason)) if !reason.trim().is_empty() && reason.chars().count() <= MOST_LETTERS => {
                (entry.hold, entry.reason) = (true, Some(reason.trim().to_owned()));
            }
            _ => {
                entry.hold = true;
                let what = format!("must be `true`, `false`, or why, in at most {MOST_LETTERS} letters");
                problems.add(value.line, format!("{title}.hold"), what);
            }
        }
    }
    let Some(value) = item.get("windows") else { return entry };
    let key = format!("{title}.windows");
    let Some(items) = value.items().filter(|items| (1..=MOST_WINDOWS).contains(&items.len())) else {
        let what = format!(
            "must be a list of 1 to {MOST_WINDOWS} windows, as in `[Mon-Fri 22:00-06:00 Europe/Zurich]`"
        );
        problems.add(value.line, key, what);
        return entry;
    };
    for item in items {
        let window = item.as_string().ok_or_else(|| format!("must list strings, not {}", item.what()));
        match window.and_then(Window::parse) {
            Ok(window) => entry.windows.push(window),
            Err(what) => problems.add(item.line, key.clone(), what),
        }
    }
    entry
}
