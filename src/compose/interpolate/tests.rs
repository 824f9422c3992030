//! Templates as docker reads them, and what is noted of variables.

use super::*;

fn variables() -> Variables<'static> {
    let map = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    Variables::new(map(&[("A", "1"), ("EMPTY", "")]), map(&[("A", "no"), ("D", "4")]))
}

#[test]
fn values_follow_docker() {
    for (template, expected) in [
        ("x$A-y", "x1"),
        ("${A}${D}", "14"),
        ("${EMPTY:-d}|${EMPTY-d}|${NONE-d}|${NONE:-}", "d||d|"),
        ("$$A $NONE.", "$A ."),
        ("${A:?m}${EMPTY?m}", "1"),
        ("a$a", "a"),
        ("${NONE:-http://x:80/?q=1}", "http://x:80/?q=1"),
    ] {
        assert_eq!(interpolate(template, &variables()).unwrap(), expected, "{template}");
    }
    for template in ["$", "${", "${}", "${1}", "$1", "$?", "${A", "${A!}", "$ x"] {
        let error = interpolate(template, &variables()).unwrap_err();
        assert!(error.to_string().contains("invalid template"), "{template}");
    }
    let missing = interpolate("${NONE:?set it}", &variables()).unwrap_err();
    assert_eq!(missing.to_string(), "required variable `NONE` is missing a value: set it");
    assert!(interpolate("${EMPTY:?m}", &variables()).is_err());
}

#[test]
fn what_is_set_nowhere_and_has_no_default_is_remembered() {
    let variables = variables();
    interpolate("$NONE ${NO} ${D} $A ${EMPTY} ${X:-} ${Y-} ${Z:-d} $$W", &variables).unwrap();
    variables.aside(|| interpolate("${ASIDE}", &variables).unwrap());
    assert_eq!(variables.unset(), ["NO", "NONE"].map(str::to_owned).into());
}

#[test]
fn names_have_the_letters_that_docker_gives_them() {
    let variables = Variables::new(
        [("A\u{17f}", "s"), ("\u{212a}", "k"), ("A", "a")].map(|(k, v)| (k.into(), v.into())).into(),
        BTreeMap::new(),
    );
    for (template, expected) in
        [("$A\u{17f}/etc", "s/etc"), ("${\u{212a}}", "k"), ("$A\u{e9}", "a\u{e9}"), ("$A\u{130}", "a\u{130}")]
    {
        assert_eq!(interpolate(template, &variables).unwrap(), expected, "{template}");
    }
}
