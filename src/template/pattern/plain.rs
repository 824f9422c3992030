//! Whether a pattern leaves an engine that tries one way after the other no choice: a browser freezes at `(a*)*b`.

use super::{Pattern, Step};

impl Pattern {
    /// Whether of any letter it is clear where in the pattern it stands, by what is before it alone. Then a browser may
    /// have it: nothing is tried twice.
    pub fn is_plain(&self) -> bool {
        let mut begins = vec![0];
        begins.extend((1..self.steps.len()).filter(|at| matches!(self.steps[at - 1], Step::Letter(..))));
        begins.into_iter().all(|begin| self.is_plain_at(begin))
    }

    /// Every step that can be next is led to in one way, and no letter is in two of them.
    fn is_plain_at(&self, begin: usize) -> bool {
        let (mut left, mut seen) = (vec![begin], Vec::new());
        let mut letters: Vec<(char, char)> = Vec::new();
        while let Some(at) = left.pop() {
            if seen.contains(&at) {
                return false;
            }
            seen.push(at);
            match &self.steps[at] {
                Step::Letter(ranges, false) => letters.extend(ranges.iter()),
                Step::Letter(ranges, true) => letters.extend(others(ranges)),
                Step::Both(one, other) => left.extend([*one, *other]),
                Step::Jump(to) => left.push(*to),
                Step::Begin | Step::End => left.push(at + 1),
                Step::Done => {}
            }
            // Who goes on for ever repeats what may be nothing.
            if seen.len() > self.steps.len() {
                return false;
            }
        }
        letters.sort_unstable();
        letters.windows(2).all(|two| two[0].1 < two[1].0)
    }
}

/// All letters that are in none of these ranges, which are sorted and apart.
pub(super) fn others(ranges: &[(char, char)]) -> Vec<(char, char)> {
    let mut others = Vec::new();
    let mut from = Some('\0');
    for (first, last) in ranges {
        let to = ('\0'..*first).next_back();
        others.extend(from.zip(to).filter(|(from, to)| from <= to));
        from = (*last..=char::MAX).nth(1);
    }
    others.extend(from.map(|from| (from, char::MAX)));
    others
}
