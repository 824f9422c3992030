use super::*;
use std::time::{Duration, Instant};

#[test]
fn a_pattern_holds_for_all_of_a_text() {
    for (pattern, right, wrong) in [
        ("[a-z]+", &["a", "abc"][..], &["", "A", "ab1", "a\n"][..]),
        ("a|bc", &["a", "bc"], &["abc", "b", ""]),
        ("^v\\d+(\\.\\d+){0,2}$", &["v1", "v1.2.3"], &["v", "1", "v1.2.3.4", "xv1"]),
        ("(?:a*)*b?", &["", "aaab", "b"], &["ba", "c"]),
        (".", &["é", "\t"], &["\n", "ab", ""]),
        ("[^\\s\\/]{2,3}?", &["ab", "a1é"], &["a", "abcd", "a b", "a/"]),
        ("[\\w.\\-]+@[a-z.]+", &["a.b-c@x.org"], &["@x", "a b@x"]),
        ("x{0}y{2}", &["yy"], &["xyy", "y"]),
        ("", &[""], &["a"]),
        ("(|a)b", &["b", "ab"], &["a"]),
        ("a$b|a^b|a$", &["a"], &["ab"]),
    ] {
        let compiled = Pattern::new(pattern).unwrap();
        for text in right {
            assert!(compiled.matches(text, &Work::new()).unwrap(), "{pattern} {text:?}");
        }
        for text in wrong {
            assert!(!compiled.matches(text, &Work::new()).unwrap(), "{pattern} {text:?}");
        }
    }
}

#[test]
fn what_readers_may_differ_on_is_refused() {
    for pattern in [
        "*",
        "a**",
        "a{",
        "a{2,1}",
        "a{1001}",
        "(",
        ")",
        "(?=a)",
        "(?i)a",
        "[",
        "[b-a]",
        "[\\D]",
        "[a-\\d]",
        "\\1",
        "\\p{L}",
        "\\",
        "]",
        "^*",
        "[[a]]",
        "a{1,2}{3}x{,2}",
        "[a-]",
        "[-a]",
        "[&&a]",
        "[a/]",
        "\\-",
        "\\x41",
    ] {
        assert!(Pattern::new(pattern).is_err(), "{pattern}");
    }
    assert!(Pattern::new(&"(".repeat(400)).unwrap_err().contains("deep"));
    assert!(Pattern::new("((a{1000}){1000}){1000}").unwrap_err().contains("too long"));
    assert!(Pattern::new(&"a".repeat(501)).is_err());
}

#[test]
fn no_pattern_takes_long() {
    let (begun, text) = (Instant::now(), "a".repeat(64 << 10));
    for pattern in ["(a*)*b", "(a|a)*b", "(a|aa)+$", "(a?){30}a{30}", "(.*.*.*)*x"] {
        Pattern::new(pattern).unwrap().matches(&text, &Work::new());
    }
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn all_patterns_together_take_no_longer_than_one() {
    let letters: String = ('\u{4e00}'..).step_by(2).take(480).collect();
    let pattern = Pattern::new(&format!("([^{letters}]*){{660}}")).unwrap();
    let (begun, text, work) = (Instant::now(), "a".repeat(30 << 10), Work::new());
    let found: Vec<_> = (0..40).map(|_| pattern.matches(&text, &work)).collect();
    assert_eq!(found, [None; 40]);
    assert!(work.is_spent() && begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    // What is honest is not told so.
    let work = Work::new();
    let honest = Pattern::new("[a-z0-9]+(\\.[a-z0-9]+)*").unwrap();
    assert!((0..4_000).all(|_| honest.matches("www.example.org", &work) == Some(true)));
}

#[test]
fn a_browser_has_a_pattern_that_leaves_it_no_choice() {
    for pattern in [
        "[a-z0-9]+(\\.[a-z0-9]+)*",
        "v\\d+(\\.\\d+){0,2}",
        "a?b?c",
        "[^\\/]+\\/[^\\/]*",
        "(ab|cd)*",
        "\\w{1,20}",
        "",
        "^a$",
    ] {
        assert!(Pattern::new(pattern).unwrap().is_plain(), "{pattern}");
    }
    for pattern in
        ["(a*)*b", "(a|a)*b", "(a|ab)+", "(a?){30}a{30}", "a?a?a?aaa", "(.*.*)*x", "(a?)*", "\\D*[a-z]x"]
    {
        assert!(!Pattern::new(pattern).unwrap().is_plain(), "{pattern}");
    }
    assert_eq!(plain_others(&[('b', 'c'), ('e', 'e')]), [('\0', 'a'), ('d', 'd'), ('f', char::MAX)]);
    assert_eq!(plain_others(&[('\0', char::MAX)]), []);
}

fn plain_others(ranges: &[(char, char)]) -> Vec<(char, char)> {
    super::plain::others(ranges)
}
