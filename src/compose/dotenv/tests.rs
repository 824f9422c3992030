use std::collections::BTreeMap;

use super::*;

/// What files say, the later ones last, over the environment of the run; else what is wrong.
fn of(process: &[(&str, &str)], files: &[&str]) -> Result<Variables<'static>, Vec<String>> {
    let process = process.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let mut variables = Variables::new(process, BTreeMap::new());
    let mut problems = Collector::new(".env");
    for text in files {
        read(text, ".env", &mut variables, &mut problems);
    }
    let problems = problems.into_problems();
    if problems.is_empty() { Ok(variables) } else { Err(problems.iter().map(ToString::to_string).collect()) }
}

#[test]
fn the_usual_forms() {
    let text =
        "# c\n\nA=1\nexport B = two words # note\r\nC='it #is $A'\nD=\"a\\nb \\\"q\\\" # x\"\nE=\nF=a#b\n";
    let found = of(&[], &[text]).unwrap();
    let found: Vec<_> = ["A", "B", "C", "D", "E", "F"].map(|name| found.get(name).unwrap()).into();
    assert_eq!(found, ["1", "two words", "it #is $A", "a\nb \"q\" # x", "", "a#b"]);
}

#[test]
fn mistakes_name_their_line_and_all_are_told() {
    let found = of(&[], &["A=1\nnonsense\n1A=2\nB='x\nC=${\n"]).unwrap_err();
    assert_eq!(
        found,
        [
            ".env:2: is not `NAME=value`",
            ".env:3: does not begin with a variable's name",
            ".env:4: `B`: has a quote that does not end",
            ".env:5: `C`: holds `${` that begins no variable; write `$$` for a dollar sign",
        ]
    );
}

/// What `X` is. Each line was given to the code of docker compose as well (compose-go 2.9), which said the same.
#[test]
fn values_are_expanded_as_docker_compose_does() {
    type Row<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str], Result<&'a str, &'a str>);
    let none = "holds `${` that begins no variable";
    let table: &[Row<'_>] = &[
        // In unquoted and double-quoted values, `$NAME` and `${NAME}`; in single quotes nothing.
        (&[], &["STACK_NAME=shop\nX=${STACK_NAME}_backend"], Ok("shop_backend")),
        (&[], &["A=1\nX=$A-$A.${A}b"], Ok("1-1.1b")),
        (&[], &["A=1\nX=\"q $A ${A}\""], Ok("q 1 1")),
        (&[], &["A=1\nX='q $A ${A:-2}'"], Ok("q $A ${A:-2}")),
        (&[], &["A='a b'\nexport X = ${A} # c"], Ok("a b")),
        (&[], &["A=1\nX=a#$A"], Ok("a#1")),
        (&[], &["A=1\nX=a #$A"], Ok("a")),
        // A dollar sign.
        (&[], &["A=1\nX=\"\\$A \\${A}\" # c"], Ok("$A ${A}")),
        (&[], &["A=1\nX=$$A $${A}"], Ok("$A ${A}")),
        (&[], &["A=1\nX=\"$$A\""], Ok("$A")),
        (&[], &["X=$1 $ 5$ $."], Ok("$1 $ 5$ $.")),
        // `${NAME:-default}`, `${NAME-default}`: where it is unset or empty; where it is unset.
        (&[], &["X=${N}|$N|"], Ok("||")),
        (&[], &["E=\nX=${N:-d}|${E:-d}|${N-d}|${E-d}"], Ok("d|d|d|")),
        (&[], &["A=1\nX=${N:-${M:-$A}}|${N-a${A}b}"], Ok("1|a1b")),
        (&[], &["X=${N:-{\"k\":1}}"], Ok("{\"k\":1}")),
        // `${NAME:+replacement}`, `${NAME+replacement}`: where it is set and not empty; where it is set.
        (&[], &["A=1\nE=\nX=${A:+r}|${E:+r}|${N:+r}|${A+r}|${E+r}|${N+r}"], Ok("r|||r|r|")),
        (&[], &["A=1\nX=${A:+<${A}>}"], Ok("<1>")),
        // `${NAME:?error}`, `${NAME?error}`: an error where it is unset or empty; where it is unset.
        (&[], &["A=1\nE=\nX=${A:?m}|${A?m}|${E?m}"], Ok("1|1|")),
        (&[], &["X=${N:?m}"], Err("`X`: required variable `N` is missing a value: m")),
        (&[], &["X=${N?m}"], Err("`X`: required variable `N` is missing a value: m")),
        (&[], &["E=\nX=${E:?m}"], Err("`X`: required variable `E` is missing a value: m")),
        // What is none of them.
        (&[], &["X=${"], Err(none)),
        (&[], &["X=${}"], Err(none)),
        (&[], &["X=${A!}"], Err(none)),
        (&[], &["X=${1}"], Err(none)),
        (&[], &["X=${A"], Err(none)),
        (&[], &["X=${A=b}"], Err(none)),
        // Earlier lines and files are seen, later ones are not; of two that set it the later counts.
        (&[], &["X=$A\nA=1"], Ok("")),
        (&[], &["A=1\nX=$A\nA=2"], Ok("1")),
        (&[], &["A=1\nA=${A}2\nX=$A"], Ok("12")),
        (&[], &["A=1", "X=$A"], Ok("1")),
        (&[], &["A=1\nX=$A", "A=2"], Ok("1")),
        (&[], &["A=1", "A=2\nX=$A"], Ok("2")),
        (&[], &["X=1", "X=${X}2"], Ok("12")),
        // The environment of the run comes before all files, here as in the compose file.
        (&[("P", "p")], &["X=$P"], Ok("p")),
        (&[("X", "p")], &["X=1"], Ok("p")),
        (&[("A", "p")], &["A=1\nX=$A"], Ok("p")),
        (&[("A", "")], &["A=1\nX=[$A]${A:-d}"], Ok("[]d")),
        // What stood for a variable is not read again.
        (&[("P", "$Q"), ("Q", "q")], &["X=$P"], Ok("$Q")),
        (&[], &["A='$B'\nB=1\nX=$A"], Ok("$B")),
    ];
    for (process, files, wanted) in table {
        match (of(process, files), wanted) {
            (Ok(found), Ok(wanted)) => assert_eq!(found.get("X"), Some(*wanted), "{files:?}"),
            (Err(told), Err(wanted)) => assert!(told[0].contains(wanted), "{files:?}: {told:?}"),
            (found, _) => panic!("{files:?}: {found:?}"),
        }
    }
}

#[test]
fn a_mistake_tells_no_value() {
    let told =
        of(&[("Q", "hunter1")], &["A=hunter2\nB=$A${\nC=hunter3${D:?set $A}\nD='hunter4\n"]).unwrap_err();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[1].ends_with("required variable `D` is missing a value: set $A"), "{told:?}");
    assert!(!told.concat().contains("hunter"), "{told:?}");
}

#[test]
fn what_is_set_nowhere_is_remembered() {
    let found = of(&[], &["A=$NONE ${NO} ${D:-x} ${E:+x}\n"]).unwrap();
    assert_eq!(found.unset(), ["NO", "NONE"].map(str::to_owned).into());
}

#[test]
fn what_doubles_at_every_line_is_bounded() {
    let doubled: Vec<_> = (0..64).map(|n| format!("A{}=$A{n}$A{n}\n", n + 1)).collect();
    let told = of(&[], &[&format!("A0=xxxxxxxxxxxxxxxx\n{}", doubled.concat())]).unwrap_err();
    assert!(told[0].contains("stand for more than 4 MiB"), "{}", told[0]);
}

#[test]
fn deep_and_long_values_cost_what_they_are_long() {
    let begun = std::time::Instant::now();
    let deep = "${A:-".repeat(500_000);
    let told = of(&[], &[&format!("X={deep}{}", "}".repeat(500_000))]).unwrap_err();
    assert!(told[0].contains("more than 50 deep"), "{}", &told[0]);
    for text in [deep.clone(), deep + "}", "${A:-x}".repeat(500_000) + &"y".repeat(1_000_000)] {
        drop(of(&[], &[&format!("X={text}")]));
    }
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
}
