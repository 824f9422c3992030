//! The small things that all of the page is made of.

use maud::{Markup, html};

use crate::clock;
use crate::health::Health;
use crate::plain;
use crate::redact::without_credentials;
use crate::report::harmless;
use crate::report::status::{Stack, StackState};
use crate::report::times::{utc, when};

/// Differences of more lines are folded, and those of what goes.
const MOST_OPEN: usize = 60;

/// Text from outside, fit for people's eyes.
pub fn text(text: &str) -> String {
    harmless(text)
}

/// `1 stack`, `2 stacks`.
pub fn count(number: usize, one: &str, more: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { more })
}

/// What gives a state its shape and colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tone {
    Bad,
    Warn,
    Busy,
    Good,
    Off,
}

impl Tone {
    /// The style sheet's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bad => "bad",
            Self::Warn => "warn",
            Self::Busy => "busy",
            Self::Good => "good",
            Self::Off => "off",
        }
    }
}

/// How a stack fares: in a word, and in the tone that gives it shape and colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// For people.
    pub word: &'static str,
    pub tone: Tone,
}

pub fn state(stack: &Stack) -> State {
    let (word, tone) = match stack.status {
        _ if stack.health == Health::Removing => ("Removing", Tone::Busy),
        StackState::Stopped if stack.hold.is_some() => ("On hold", Tone::Off),
        StackState::Stopped => ("Stopped", Tone::Off),
        StackState::Deploying => ("Deploying", Tone::Busy),
        StackState::Error if stack.held => ("Failed, held", Tone::Bad),
        StackState::Error => ("Failed", Tone::Bad),
        _ if stack.is_degraded() => ("Degraded", Tone::Bad),
        _ if stack.updating || stack.health == Health::Deploying => ("Updating", Tone::Busy),
        _ if stack.stays.is_some() => ("Unlisted", Tone::Warn),
        _ if stack.hold.is_some() => ("On hold", Tone::Warn),
        _ if !stack.drift.is_empty() => ("Drifted", Tone::Warn),
        StackState::Deployed => ("Deployed", Tone::Good),
    };
    State { word, tone }
}

/// A word with a shape of its own, so that colour alone tells nothing.
pub fn badge(state: State) -> Markup {
    html! {
        span.badge data-tone=(state.tone.as_str()) { (shape(state.tone)) (state.word) }
    }
}

/// A filled circle, a ring, a diamond, a triangle, a bar.
pub fn shape(tone: Tone) -> Markup {
    html! {
        svg viewBox="0 0 12 12" width="12" height="12" aria-hidden="true" {
            @match tone {
                Tone::Good => { path d="M6 .8a5.2 5.2 0 1 0 0 10.4A5.2 5.2 0 0 0 6 .8Z M3.4 6.1l1.8 1.8 3.4-3.7" {} },
                Tone::Busy => { path d="M6 1.4a4.6 4.6 0 1 0 4.6 4.6" {} },
                Tone::Warn => { path d="M6 .6 11.4 6 6 11.4.6 6Z" {} },
                Tone::Bad => { path d="M6 .9 11.6 11H.4Z" {} },
                Tone::Off => { path d="M2 6h8" {} },
            }
        }
    }
}

/// A commit or hash, as long as it needs to be.
pub fn short(id: &str) -> Markup {
    let shown = id.get(..8).unwrap_or(id);
    html! { code title=(text(id)) { (text(shown)) } }
}

/// A moment in UTC; the script turns it into `3 minutes ago`.
pub fn moment(time: &str) -> Markup {
    let utc = utc(time);
    html! { time datetime=(utc) { (text(&shown(&utc))) } }
}

/// For how long something lasts; the script counts on.
pub fn for_how_long(since: &str) -> Markup {
    let (utc, lasts) = (utc(since), when(since, Some(clock::wall())));
    html! { "for " time datetime=(utc) data-for title={ "since " (text(&shown(&utc))) } { (text(&lasts)) } }
}

fn shown(utc: &str) -> String {
    match utc.get(..19) {
        Some(time) if utc.ends_with('Z') => format!("{} UTC", time.replace('T', " ")),
        _ => utc.to_owned(),
    }
}

/// What somebody or something said, with its line ends.
pub fn why(words: &str) -> Markup {
    html! { p.why { (sentence(words)) } }
}

/// A sentence whose values stand in backticks, as messages have them; they become code.
pub fn sentence(words: &str) -> Markup {
    let words = text(words);
    let parts: Vec<_> = words.split('`').collect();
    // A lone backtick is somebody else's.
    let paired = parts.len() % 2 == 1;
    html! {
        @if paired {
            @for (index, part) in parts.iter().enumerate() {
                @if index % 2 == 1 { code { (part) } } @else { (part) }
            }
        } @else { (words) }
    }
}

/// Messages begin small, sentences do not.
pub fn capital(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// How two texts differ, below a title.
pub fn difference_of(title: &Markup, difference: &str, is_open: bool) -> Markup {
    html! {
        details.difference open[is_open && difference.lines().count() <= MOST_OPEN] {
            summary { (title) }
            pre {
                // Of the head of one, the title says all.
                @for line in difference.lines().skip_while(|line| line.starts_with("--- ") || line.starts_with("+++ ")) {
                    @let kind = match line.as_bytes().first() {
                        Some(b'+') => "new",
                        Some(b'-') => "gone",
                        Some(b'@') => "at",
                        _ => "same",
                    };
                    // Each stands for itself: a line of the file must not look like one of ours.
                    span class=(kind) { (plain::line(&without_credentials(line))) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_repository_says_is_text() {
        let page = why("<script>alert(1)</script> & \u{202e}https://u:p@h/r").into_string();
        assert_eq!(
            page,
            "<p class=\"why\">&lt;script&gt;alert(1)&lt;/script&gt; &amp; \\u{202e}https://…@h/r</p>"
        );
        assert_eq!(sentence("a `<b>` c").into_string(), "a <code>&lt;b&gt;</code> c");
        assert_eq!(sentence("a ` <b>").into_string(), "a ` &lt;b&gt;");
        let attribute = short("\"onmouseover=alert(1) x=\"").into_string();
        assert!(!attribute.contains("title=\"\""), "{attribute}");
    }
}
