//! The smallest text that still fails, as far as a few tries find it.

/// So many texts are tried.
const MOST_TRIES: usize = 150;

/// `text` less what is not needed for it to fail.
pub fn shrink(text: &str, fails: impl Fn(&str) -> bool) -> String {
    let mut tries = 0;
    let mut fails = |text: &str| {
        tries += 1;
        tries <= MOST_TRIES && fails(text)
    };
    let small = parts(text.split_inclusive('\n').map(str::to_owned).collect(), &mut fails);
    let words = small.split_inclusive([' ', ',', '\n']).map(str::to_owned).collect();
    let small = parts(words, &mut fails);
    parts(small.chars().map(String::from).collect(), &mut fails)
}

/// Takes parts away, first many at once.
fn parts(mut parts: Vec<String>, fails: &mut impl FnMut(&str) -> bool) -> String {
    let mut size = parts.len() / 2;
    while size > 0 {
        let mut at = 0;
        while at < parts.len() {
            let end = (at + size).min(parts.len());
            let less = [&parts[..at], &parts[end..]].concat();
            if fails(&less.concat()) {
                parts = less;
            } else {
                at = end;
            }
        }
        size /= 2;
    }
    parts.concat()
}

#[test]
fn what_is_not_needed_goes() {
    let small = shrink("a\nb needed c\nd\n", |text| text.contains("needed"));
    assert_eq!(small, "needed");
}
