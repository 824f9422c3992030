//! Foreign text made fit to be shown: what a repository, docker, a registry or a git server wrote can neither
//! drive a terminal, nor hide, nor look like a line of our own.
//!
//! All that is printed, logged, recorded as a message, or shown on the page comes through here. Whatever comes
//! through twice is as it was after the first time.

use std::fmt::Write;

/// A line that goes on begins with this, which none of our own first lines does.
const MARGIN: &str = "  ";

/// A name, on one line: line ends are spelled out as well, so that two names never look the same for want of them.
pub fn name(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            other => spell(other, &mut out),
        }
    }
    out
}

/// A message, on one line: line ends become blanks.
pub fn line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        spell(if letter == '\n' { ' ' } else { letter }, &mut out);
    }
    out
}

/// A message of one or more lines, each but the first behind a margin.
pub fn text(text: &str) -> String {
    with_margin(text, MARGIN)
}

/// Likewise with a margin of the caller's.
pub fn with_margin(text: &str, margin: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (number, part) in text.split('\n').enumerate() {
        // The lines of docker's own words may end in both.
        let part = part.strip_suffix('\r').unwrap_or(part);
        if number > 0 {
            out.push('\n');
            out.push_str(if part.is_empty() || part.starts_with(margin) { "" } else { margin });
        }
        part.chars().for_each(|letter| spell(letter, &mut out));
    }
    out
}

/// A JSON text, as JSON of the same meaning.
pub fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter != '\n' && is_hostile(letter) {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(letter);
        }
    }
    out
}

fn spell(letter: char, out: &mut String) {
    if letter == '\t' {
        out.push(' ');
    } else if is_hostile(letter) {
        let _ = write!(out, "\\u{{{:x}}}", u32::from(letter));
    } else {
        out.push(letter);
    }
}

/// Controls, line ends of any kind, marks that turn the reading direction, and what nobody sees.
fn is_hostile(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\u{1b}[2Jb\u{7}\r\n\u{202e}c\td\u{2028}e\u{200b}f\u{e0041}g\u{85}h";

    #[test]
    fn a_name_is_one_line_that_hides_nothing() {
        let wanted = "a\\u{1b}[2Jb\\u{7}\\r\\n\\u{202e}c\\td\\u{2028}e\\u{200b}f\\u{e0041}g\\u{85}h";
        assert_eq!(name(HOSTILE), wanted);
        assert_eq!(name("Grüße: 日本語 \u{1f680}\u{a0}é"), "Grüße: 日本語 \u{1f680}\u{a0}é");
    }

    #[test]
    fn a_message_keeps_its_lines_behind_a_margin_and_no_other_line_end() {
        for (given, wanted) in [
            ("a\nb\n  c\n\n d\r\ne", "a\n  b\n  c\n\n   d\n  e"),
            ("a\rb\u{85}c\u{b}d\u{c}e", "a\\u{d}b\\u{85}c\\u{b}d\\u{c}e"),
            ("a\u{2028}b\u{2029}c", "a\\u{2028}b\\u{2029}c"),
            ("\nfailed    web", "\n  failed    web"),
            ("a\n\tb", "a\n   b"),
            (HOSTILE, "a\\u{1b}[2Jb\\u{7}\n  \\u{202e}c d\\u{2028}e\\u{200b}f\\u{e0041}g\\u{85}h"),
        ] {
            assert_eq!(text(given), wanted);
            assert_eq!(text(wanted), wanted, "twice");
        }
        assert_eq!(line("a\nb\tc\r\u{202e}"), "a b c\\u{d}\\u{202e}");
    }

    #[test]
    fn json_comes_back_as_it_was() {
        let printed = json(&serde_json::to_string(HOSTILE).unwrap());
        assert!(!printed.chars().any(is_hostile), "{printed}");
        assert_eq!(serde_json::from_str::<String>(&printed).unwrap(), HOSTILE);
        assert_eq!(json("{\n  \"a\": 1\n}"), "{\n  \"a\": 1\n}");
    }
}
