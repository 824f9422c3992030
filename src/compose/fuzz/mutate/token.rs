//! Changes of what YAML is made of: quotes, escapes, tags, anchors, merges, blocks, documents, comments.

use super::LINE_ENDS;
use crate::compose::fuzz::place::OUTSIDE;
use crate::compose::fuzz::tree::{Style, Tree, write};
use crate::rng::Rng;

const ESCAPES: [&str; 30] = [
    r"\x41",
    r"\x00",
    r"\x85",
    r"\u0041",
    r"\u2028",
    r"\u0085",
    r"\ud83d\ude00",
    r"\ud800",
    r"\U0001F600",
    r"\U00110000",
    r"\/",
    r"\_",
    r"\N",
    r"\L",
    r"\P",
    r"\e",
    r"\0",
    r"\a",
    r"\b",
    r"\t",
    r"\n",
    r"\v",
    r"\f",
    r"\r",
    r"\ ",
    r#"\""#,
    r"\\",
    r"\'",
    r"\u0024",
    "\\\n   ",
];

const TAGS: [&str; 12] = [
    "!!str ",
    "!!str ",
    "!!str ",
    "!!str ",
    "!!str ",
    "!!int ",
    "!!bool ",
    "!!timestamp ",
    "!!binary ",
    "! ",
    "!<tag:yaml.org,2002:str> ",
    "!e!str ",
];

const HEADS: [&str; 16] = [
    "%YAML 1.1\n---\n",
    "%YAML 1.2\n---\n",
    "%TAG ! tag:yaml.org,2002:\n---\n",
    "%TAG !e! tag:yaml.org,2002:\n---\n",
    "---\n",
    "--- # note\n",
    "# note\n",
    "#\u{85}x-c: d\n",
    "\n\n",
    "x-big: 99999999999999999999\n",
    "x-big: 18446744073709551616\n",
    "x-n: -170141183460469231731687303715884105729\n",
    "x-big: [0xFFFFFFFFFFFFFFFFFF]\n",
    "x-note: a\n",
    "x-a: &a {a: b}\nx-b: *a\n",
    "x-d: 2001-12-14\n",
];

const TAILS: [&str; 10] = [
    "...\n",
    "---\n",
    "---\nservices: {}\n",
    "# end",
    "...\nrubbish: [\n",
    "x-end: |+\n\n\n",
    "x-end: a",
    "x-big: 1e999\n",
    "\t\n",
    "x-end: 99999999999999999999999999999999999999999\n",
];

pub fn mutate(text: &mut String, rng: &mut Rng) {
    match rng.below(14) {
        0 | 1 => text.insert_str(0, rng.pick(&HEADS)),
        2 => {
            if !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(rng.pick(&TAILS));
        }
        3 | 4 => hidden_section(text, rng),
        5 | 6 => scalar(text, rng, quotes),
        7 => scalar(text, rng, |value, rng| format!("{}{value}", rng.pick(&TAGS))),
        8 => scalar(text, rng, block),
        9 => aliases(text, rng),
        10 => scalar(text, rng, |value, rng| {
            format!(
                "{value}{}",
                rng.pick(&[" # note", "# no note", " #", "\t# note", " # \u{85}x: y", " #\u{2028}    x: y"])
            )
        }),
        11 => merges(text, rng),
        12 => scalar(text, rng, |value, rng| {
            format!("{value}{}{value}", rng.pick(&["\n      ", "\n\n        ", "\n", "\n\t"]))
        }),
        _ => escape(text, rng),
    }
}

/// Takes the value of a `key: value` line, and puts there what is made of it.
fn scalar(text: &mut String, rng: &mut Rng, change: impl Fn(&str, &mut Rng) -> String) {
    let mut lines: Vec<_> = text.split('\n').map(str::to_owned).collect();
    let places: Vec<_> = (0..lines.len()).filter(|at| lines[*at].contains(": ")).collect();
    if places.is_empty() {
        return;
    }
    let line = &mut lines[places[rng.below(places.len())]];
    let values: Vec<_> = line.match_indices(": ").map(|(at, _)| at + 2).collect();
    let at = values[rng.below(values.len())];
    let length = line[at..].find([',', '}', ']']).unwrap_or(line.len() - at);
    let changed = change(&line[at..at + length], rng);
    line.replace_range(at..at + length, &changed);
    *text = lines.join("\n");
}

fn quotes(value: &str, rng: &mut Rng) -> String {
    let inner = value.trim_matches(['"', '\'']);
    match rng.below(4) {
        0 => format!("'{}'", inner.replace('\'', "''")),
        1 => format!("\"{inner}\""),
        2 => inner.to_owned(),
        _ => format!("\"{inner}{}{inner}\"", rng.pick(&ESCAPES)),
    }
}

fn escape(text: &mut String, rng: &mut Rng) {
    let places: Vec<_> = text.match_indices('"').map(|(at, _)| at + 1).collect();
    if !places.is_empty() {
        text.insert_str(places[rng.below(places.len())], rng.pick(&ESCAPES));
    }
}

fn block(value: &str, rng: &mut Rng) -> String {
    let header = rng.pick(&["|", ">", "|-", ">-", "|+", ">+", "|2", "|1-", "|-1", ">9", "| # note", "|+2"]);
    let indent = " ".repeat(4 + rng.below(10));
    let end = rng.pick(&LINE_ENDS);
    format!("{header}\n{indent}{value}{end}{indent}  more{end}\n{indent}{value}")
}

/// A value becomes an anchor, a later one its alias.
fn aliases(text: &mut String, rng: &mut Rng) {
    let places: Vec<_> = text.match_indices(": ").map(|(at, _)| at + 2).collect();
    if places.len() < 2 {
        return;
    }
    let first = rng.below(places.len() - 1);
    let later = first + 1 + rng.below(places.len() - first - 1);
    let name = rng.pick(&["a", "b", "é", "a-b", "1", "common", "env"]);
    let length = text[places[later]..].find(['\n', ',', '}', ']']).unwrap_or(0);
    text.replace_range(places[later]..places[later] + length, &format!("*{name} "));
    text.insert_str(places[first], &format!("&{name} "));
}

/// A merge into a mapping, before or behind its own keys, some of them in both.
fn merges(text: &mut String, rng: &mut Rng) {
    let merged = rng.pick(&[
        "{image: merged}",
        "{environment: {M: m}}",
        "[{user: one}, {user: two}]",
        "{labels: [m=m]}",
        "{A: m, B: m, LEVEL: m}",
        "{file: ./app.env}",
        "~",
        "text",
        "[]",
        "{}",
        "{hostname: m, <<: {hostname: n, user: u}}",
        "{'<<': x}",
    ]);
    let key = rng.pick(&["<<", "<<", "<<", "'<<'", "\"<<\"", "!!merge <<", "? <<\n", "!!str <<"]);
    let lines: Vec<_> = text.split_inclusive('\n').map(str::to_owned).collect();
    let at = rng.below(lines.len().max(1));
    let Some(line) = lines.get(at) else { return };
    let indent = " ".repeat(line.len() - line.trim_start_matches(' ').len());
    let mut lines = lines.clone();
    if rng.chance(30)
        && let Some(brace) = line.find('{')
    {
        lines[at].insert_str(brace + 1, &format!("{key}: {merged}, "));
    } else {
        lines.insert(at, format!("{indent}{key}: {merged}\n"));
    }
    *text = lines.concat();
}

/// A section behind a plain text, with line ends that only some readers take for such: what one takes for the
/// rest of a text is a section to another.
fn hidden_section(text: &mut String, rng: &mut Rng) {
    let end = LINE_ENDS[rng.below(LINE_ENDS.len())];
    let file = rng.pick(&[OUTSIDE, ".", "evil"]).to_owned()
        + if rng.chance(70) { "/outside/secret" } else { "/site.conf" };
    let entry = |key: &str, value: Tree| Tree::Map(vec![(Tree::plain(key), value)]);
    let word = format!("h{}", super::suffix(rng));
    let hidden = match rng.below(4) {
        0 | 1 => entry("configs", entry(&word, entry("file", Tree::plain(file)))),
        2 => entry("secrets", entry(&word, entry("file", Tree::plain(file)))),
        _ => entry("services", entry(&word, entry("image", Tree::plain("hidden")))),
    };
    let style = Style { line_end: end, below: rng.chance(80), flow: 0, ..Style::default() };
    let hidden = write(&hidden, &style, rng);
    let places: Vec<_> = text.match_indices('\n').map(|(at, _)| at).collect();
    let tops: Vec<_> = places
        .iter()
        .copied()
        .filter(|at| {
            text[..*at].rsplit('\n').next().is_some_and(|line| line.starts_with("x-") && line.contains(": "))
        })
        .collect();
    let at = if tops.is_empty() || rng.chance(20) { text.len() } else { tops[rng.below(tops.len())] };
    let before = if at == text.len() { "x-end: a" } else { "" };
    let quote = rng.pick(&["", "", "", "#", " # note"]);
    text.insert_str(at, &format!("{before}{quote}{end}{}", hidden.trim_end_matches(end)));
}
