//! Changes of letters, whatever they mean.

use super::LINE_ENDS;
use crate::rng::Rng;

/// Letters of all Unicode classes; many of them mean something to some reader.
const LETTERS: [&str; 59] = [
    "\u{85}",
    "\u{2028}",
    "\u{2029}",
    "\r",
    "\u{b}",
    "\u{c}",
    "\u{0}",
    "\u{a0}",
    "\u{ad}",
    "\u{feff}",
    "\u{fffe}",
    "\u{fffd}",
    "\u{200b}",
    "\u{200d}",
    "\u{200e}",
    "\u{202e}",
    "\u{2066}",
    "\u{2060}",
    "\u{3000}",
    "\u{1680}",
    "\u{2003}",
    "\u{301}",
    "\u{308}",
    "ſ",
    "\u{212a}",
    "İ",
    "ı",
    "ß",
    "\u{212b}",
    "é",
    "e\u{301}",
    "Σ",
    "ς",
    "٣",
    "２",
    "Ⅷ",
    "½",
    "漢",
    "ア",
    "한",
    "😀",
    "👨\u{200d}👩",
    "𝒳",
    "\u{10ffff}",
    "\u{e000}",
    "\u{f0000}",
    "→",
    "€",
    "«",
    "‘",
    "＄",
    "：",
    "＃",
    "｛",
    "\t",
    " ",
    "\\",
    "'",
    "\"",
];

const MARKS: [&str; 26] = [
    "$", "$$", "${", "}", "{", "[", "]", ",", ":", ": ", "#", " #", "- ", "? ", "&a ", "*a", "!", "!!str ",
    "|", ">", "%", "@", "`", "~", "\n", "---\n",
];

pub fn mutate(text: &mut String, rng: &mut Rng) {
    let places: Vec<_> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let at = places[rng.below(places.len())];
    match rng.below(20) {
        0..=5 => text.insert_str(at, rng.pick(&LETTERS)),
        6..=8 => inside(text, rng, |rng| rng.pick(&LETTERS).to_owned()),
        9 => text.insert_str(at, rng.pick(&MARKS)),
        10 => inside(text, rng, |rng| rng.pick(&MARKS).to_owned()),
        11 => drop((at < text.len()).then(|| text.remove(at))),
        12 => {
            // One line's end is another's.
            let ends: Vec<_> = text.match_indices('\n').map(|(at, _)| at).collect();
            if !ends.is_empty() {
                let at = ends[rng.below(ends.len())];
                text.replace_range(at..=at, rng.pick(&LINE_ENDS));
            }
        }
        13 => *text = text.replace('\n', rng.pick(&LINE_ENDS)),
        14 => {
            // Two letters change places.
            if let Some(letter) = text[at..].chars().next() {
                text.remove(at);
                let end = text[at..].chars().next().map_or(at, |next| at + next.len_utf8());
                text.insert(end, letter);
            }
        }
        15 => lines(text, rng),
        16 => {
            let letter = rng.pick(&LETTERS).to_owned();
            text.insert_str(0, if rng.chance(50) { "\u{feff}" } else { &letter });
        }
        17 => text.insert_str(at, &rng.pick(&LETTERS).repeat(1 + rng.below(40))),
        18 => {
            let mut words: Vec<_> = text.split(' ').map(str::to_owned).collect();
            let at = rng.below(words.len());
            words[at] = words[at].chars().map(|letter| fold(letter, rng)).collect();
            *text = words.join(" ");
        }
        _ => {
            if rng.chance(20) {
                text.truncate(at);
            } else {
                text.push_str(rng.pick(&LETTERS));
            }
        }
    }
}

/// Puts something into a word, where it is more likely to be text than to be syntax.
fn inside(text: &mut String, rng: &mut Rng, what: impl Fn(&mut Rng) -> String) {
    let letters: Vec<_> = text.char_indices().collect();
    let places: Vec<_> = letters
        .windows(2)
        .filter(|pair| pair[0].1.is_ascii_alphanumeric() && pair[1].1.is_ascii_alphanumeric())
        .map(|pair| pair[1].0)
        .collect();
    if !places.is_empty() {
        let what = what(rng);
        text.insert_str(places[rng.below(places.len())], &what);
    }
}

/// A line twice, away, at another place or another column.
fn lines(text: &mut String, rng: &mut Rng) {
    let mut lines: Vec<_> = text.split_inclusive('\n').map(str::to_owned).collect();
    let at = rng.below(lines.len());
    if lines.is_empty() {
        return;
    }
    match rng.below(5) {
        0 => lines.insert(at, lines[at].clone()),
        1 => drop(lines.remove(at)),
        2 => {
            let line = lines.remove(at);
            lines.insert(rng.below(lines.len() + 1), line);
        }
        3 => lines[at].insert_str(0, rng.pick(&[" ", "  ", "\t", "\u{a0}"])),
        _ => lines[at] = lines[at].strip_prefix(' ').unwrap_or(&lines[at]).to_owned(),
    }
    *text = lines.concat();
}

/// The letter in another case, or one that some reader takes for it.
fn fold(letter: char, rng: &mut Rng) -> char {
    match letter {
        's' | 'S' if rng.chance(60) => 'ſ',
        'k' | 'K' if rng.chance(60) => '\u{212a}',
        'i' | 'I' if rng.chance(30) => 'ı',
        other if other.is_ascii_lowercase() && rng.chance(20) => other.to_ascii_uppercase(),
        other => other,
    }
}
