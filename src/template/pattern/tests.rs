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
            assert!(compiled.matches(text), "{pattern} {text:?}");
        }
        for text in wrong {
            assert!(!compiled.matches(text), "{pattern} {text:?}");
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
        Pattern::new(pattern).unwrap().matches(&text);
    }
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}
