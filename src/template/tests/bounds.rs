//! What hostile templates and options cost, and what values are not taken.

use serde_json::json;

use super::{check, of, one, options, told};

#[test]
fn no_value_is_a_template_for_swarm() {
    let template = one("services: {a: {image: x, hostname: '$A$B', user: '${C:-{{.Task.Slot}}}'}}", "");
    let found = |a: &str, b: &str| check(&template, &options(json!({ "A": a, "B": b })));
    for (a, b, key) in [("{{.Node.Hostname}}", "", "A"), ("{", "{.Node.Hostname}}", "A"), ("", "x{{x", "B")] {
        let problems = found(a, b).unwrap_err();
        assert!(problems.len() == 1 && problems[0].key == key, "{problems:?}");
        assert!(problems[0].what.contains("Swarm would put something else"), "{problems:?}");
    }
    assert!(found("{\"a\": {\"b\": 1}}", "}}").is_ok());
}

#[test]
fn what_patterns_cost_and_what_is_told_is_bounded_for_all_of_a_source() {
    let letters: String = ('\u{4e00}'..).step_by(2).take(484).collect();
    let (mut compose, mut described) =
        ("services: {a: {image: a, command: [".to_owned(), "parameters:\n".to_owned());
    for number in 0..20 {
        compose += &format!("'${{P{number:02}:-{}}}', ", "a".repeat(15 << 10));
        described += &format!("  P{number:02}: {{pattern: '([^{letters}]*){{660}}'}}\n");
    }
    compose += "x]}}\n";
    let begun = std::time::Instant::now();
    let all = of(&[
        ("a/compose.yml", &compose),
        ("a/template.yaml", &described),
        ("b/compose.yml", &compose),
        ("b/template.yaml", &described),
    ]);
    assert!(begun.elapsed() < std::time::Duration::from_secs(60), "{:?}", begun.elapsed());
    let told = told(&all[1]).concat();
    assert!(told.contains("templates/b/template.yaml:2: `parameters.P00.pattern`: takes too long"), "{told}");

    let long = one(&format!("services: {{a: {{image: a, user: '${{A:-{}}}'}}}}", "a".repeat(17 << 10)), "");
    assert!(long.problems[0].what.contains("more than 16 KiB"), "{long:?}");
    assert_eq!(long.parameters[0].default, None);
    let many = (0..5_000).fold(String::new(), |all, number| all + &format!("$A{number}"));
    let many = format!("services: {{a: {{image: a, user: '{many}'}}}}");
    let all = of(&[("a/compose.yml", "services: {a: {image: $A}}"), ("b/compose.yml", &many)]);
    assert_eq!((all[0].parameters.len(), all[1].parameters.len()), (1, 0));
    assert!(all[1].problems[0].what.contains("is left out"), "{:?}", all[1].problems);
}
