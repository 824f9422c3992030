//! One number makes one case: a seed file, changed at every level that a text has.

mod structure;
mod text;
mod token;
mod value;

use super::ours;
use super::schema::is_plausible;
use super::seeds::{Seed, suffix};
use super::tree::{Style, write};
use crate::rng::Rng;

/// What may end a line: for docker, for our reader, or for nobody.
pub const LINE_ENDS: [&str; 8] = ["\n", "\r\n", "\r", "\u{85}", "\u{2028}", "\u{2029}", "\u{b}", "\u{c}"];

pub fn case(seeds: &[Seed], number: u64) -> String {
    let mut rng = Rng::new(number);
    let mut text = seeds[rng.below(seeds.len())].named(&suffix(&mut rng));
    if rng.chance(60)
        && let Some(mut tree) = ours::parse(&text)
    {
        for mutate in [structure::mutate, value::mutate] {
            for _ in 0..rng.below(4) {
                likely(&mut tree, mutate, is_plausible, &mut rng);
            }
        }
        let style = Style {
            flow: [0, 20, 100][rng.below(3)],
            escapes: [0, 0, 10, 90][rng.below(4)],
            step: 1 + rng.below(4),
            ..Style::default()
        };
        text = write(&tree, &style, &mut rng);
    }
    let is_sound = |text: &String| ours::parse(text).is_some_and(|tree| is_plausible(&tree));
    for _ in 0..rng.below(3) {
        likely(&mut text, token::mutate, is_sound, &mut rng);
    }
    for _ in 0..[0, 0, 0, 1, 1, 2, 4][rng.below(7)] {
        likely(&mut text, text::mutate, is_sound, &mut rng);
    }
    text
}

/// One more change: mostly one after which docker may still take the file. What nobody reads teaches little.
fn likely<T: Clone>(
    this: &mut T,
    mutate: impl Fn(&mut T, &mut Rng),
    sound: impl Fn(&T) -> bool,
    rng: &mut Rng,
) {
    for _ in 0..4 {
        let mut changed = this.clone();
        mutate(&mut changed, rng);
        if rng.chance(2) || sound(&changed) {
            *this = changed;
            return;
        }
    }
}
