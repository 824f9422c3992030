//! What somebody may have meant by a name that is none.

use strsim::damerau_levenshtein;

/// The known name that `name` is most likely a slip of: of three letters one may be wrong, of a long name three.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Longer ones are no slips, and would take long to compare.
    const LONGEST: usize = 200;
    let letters = name.chars().count();
    if letters > LONGEST {
        return None;
    }
    let most = (letters / 3).clamp(1, 3);
    let distance = |known: &&str| damerau_levenshtein(&name.to_lowercase(), &known.to_lowercase());
    known
        .into_iter()
        .map(|known| (distance(&known), known))
        .filter(|(far, _)| *far <= most)
        .min()
        .map(|it| it.1)
}

/// The beginning of a hint: ``did you mean `web`? ``, or nothing.
pub fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, known).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_near_and_another_word_is_not() {
        let known = ["watch", "reconcile", "unwatch", "status", "stop"];
        for (name, meant) in [
            ("wacth", Some("watch")),
            ("Status", Some("status")),
            ("recncile", Some("reconcile")),
            ("unwtch", Some("unwatch")),
            ("stp", Some("stop")),
            ("deploy", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, known), meant, "{name}");
        }
        assert_eq!(did_you_mean("stp", known), "did you mean `stop`? ");
        assert_eq!(did_you_mean("x", []), "");
        assert_eq!(nearest(&"x".repeat(100_000), known), None);
    }
}
