//! Odd files, each edited at each of its stacks: no other line differs, and nothing else is said.

use super::*;
use crate::rng::Rng;

/// Files of which every stack can be edited in every way, unless another entry stands in the way.
const ODD: &[&str] = &[
    "- name: a\n- name: b\n",
    "- name: a\n- name: b",
    "- name: a\r\n- name: b\r\n",
    "- name: a\r\n- name: b",
    "\u{feff}- name: a\n- name: b\n",
    "\u{feff}# a mark before it\r\n- name: a\r\n- name: b\r\n\r\n",
    "---\n- name: a\n- name: b\n",
    "%YAML 1.2\n--- # begins\n- name: a\n- name: b\n... # ends\n",
    "- name: a\n- name: b\n---\n- name: other\n",
    "- name: a\n\n\n- name: b\n\n...\n\n",
    "# head\n\n- name: a # the first\n  # inside\n  enabled: true # on\n\n  # still inside\n  drift: report\n\n# before b\n- name: b\n# foot\n",
    "- name: a\n  # only a comment follows\n- name: b\n  # - name: c\n",
    "    - name: a\n      enabled: true\n    - name: b\n",
    "-   name: a\n    template: old\n-\n  name: b\n",
    "-\n    # deep\n    name: a\n\n-     name: b\n      depends_on:\n      - a\n",
    "- enabled: true\n  name: a\n  depends_on: [b,\n    b]\n- template: 'x # y' # z\n  name: \"b\"\n",
    "- 'name': a\n  \"template\": \"old\"   # why\n- name : b\n",
    "- name: a\n  template:\n  drift: ignore\n- name: b\n  template: # none yet\n",
    "- {name: c, enabled: true}\n- name: a\n- name: b\n",
    "- name: a\n  folder: |\n    # no comment\n    text\n# a comment\n- name: b\n  folder: >-\n    x\n    - y\n\n",
    "- name: a\n  folder: \"x\n    - y\n    z\"\n- name: b\n",
    "- &one\n  name: a\n- name: b\n",
    "- name: a\n  env: &files [x.env]\n- name: b\n  env: [y.env]\n",
    "- name: \u{fc}ber\n- name: a # \u{65e5}\u{672c}\n  template: \"\u{fc}\" # \u{1f680}\n- name: b\n",
    "- name: a\n  template: !!str old\n  enabled: !!bool true\n- name: b\n",
];

fn stack(name: &str) -> StackName {
    StackName::from_folder(name).unwrap()
}

fn text(value: &str) -> Value {
    Value::Text(value.into())
}

/// The lines of each entry in each of the texts, those of `name` apart from the others.
fn others(text: &str, name: &str) -> Vec<String> {
    let outline = Outline::of(text).unwrap();
    let file = File::read(text).unwrap();
    let own = file.named(&stack(name)).next();
    let own = own.map(|at| &outline.items().unwrap()[at]).map(|item| item.first..=item.last);
    let bare = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = bare.split('\n').map(|line| line.trim_end_matches('\r').to_owned()).enumerate();
    let left: Vec<_> =
        lines.filter(|(number, _)| own.as_ref().is_none_or(|own| !own.contains(number))).collect();
    left.into_iter().map(|(_, line)| line).collect()
}

/// What must hold of an edit of `name` that was made.
#[track_caller]
fn holds(before: &str, after: &str, name: &str) {
    let rest = |text: &str| others(text, name).join("\n").trim_end().to_owned();
    assert_eq!(rest(before), rest(after), "\n{before}\n{after}");
    let ends = |text: &str| (text.matches("\r\n").count(), text.matches('\n').count());
    let (crlf, all) = ends(after);
    let is_crlf = before.contains("\r\n");
    assert_eq!(crlf, if is_crlf { all } else { 0 }, "{after:?}");
    assert_eq!(before.starts_with('\u{feff}'), after.starts_with('\u{feff}'));
    if after.len() >= before.len() {
        assert_eq!(before.ends_with('\n'), after.ends_with('\n'), "{after:?}");
    }
}

fn value(text: &str, name: &str, key: &str) -> Option<String> {
    let tree = yaml::parse(text).unwrap().unwrap();
    let entry = tree.items().unwrap().iter().find(|item| item.get("name").unwrap().text() == Some(name))?;
    entry.get(key)?.text().map(str::to_owned)
}

#[test]
fn only_the_lines_of_the_stack_differ() {
    for before in ODD {
        for name in ["a", "b"] {
            let after = remove(before, &stack(name)).unwrap_or_else(|why| panic!("{why}:\n{before}"));
            holds(before, &after, name);
            assert_eq!(value(&after, name, "name"), None);
            let is_tagged = before.contains("!!") && name == "a";
            for (key, new) in [("template", text("blog@0a1b")), ("enabled", Value::Switch(false))] {
                let after = match set(before, &stack(name), key, &new) {
                    Ok(after) => after,
                    // The tag would make a text of what is none.
                    Err(Refusal::Odd { .. }) if is_tagged => continue,
                    Err(why) => panic!("{why}:\n{before}"),
                };
                holds(before, &after, name);
                assert_eq!(value(&after, name, key), Some(new.written()), "{after}");
                assert_eq!(set(&after, &stack(name), key, &new).unwrap(), after, "twice");
            }
        }
        let keys = [("template", text("blog@0a1b")), ("enabled", Value::Switch(false))];
        let after = add(before, &stack("new"), &keys).unwrap_or_else(|why| panic!("{why}:\n{before}"));
        holds(before, &after, "new");
        assert_eq!(value(&after, "new", "template").unwrap(), "blog@0a1b");
        assert_eq!(remove(&after, &stack("new")).unwrap().trim_end(), before.trim_end());
    }
}

#[test]
fn an_edit_looks_as_if_a_person_had_made_it() {
    let before = "# stacks\n- name: web   # the site\n  enabled: true # for now\n\n  # - name: old\n";
    let keys = [("template", text("wordpress@0123")), ("enabled", Value::Switch(true))];
    assert_eq!(
        add(before, &stack("blog"), &keys).unwrap(),
        format!("{before}- name: blog\n  template: wordpress@0123\n  enabled: true\n")
    );
    assert_eq!(
        set(before, &stack("web"), "template", &text("x")).unwrap(),
        "# stacks\n- name: web   # the site\n  template: x\n  enabled: true # for now\n\n  # - name: old\n"
    );
    assert_eq!(
        set(before, &stack("web"), "enabled", &Value::Switch(false)).unwrap(),
        before.replace("true", "false")
    );
    for (before, after) in [
        ("", "- name: blog\n"),
        ("# none yet", "# none yet\n- name: blog"),
        ("---\n", "---\n- name: blog\n"),
        ("- name: a", "- name: a\n- name: blog"),
        ("- name: a\n\n---\n- b\n", "- name: a\n- name: blog\n\n---\n- b\n"),
    ] {
        assert_eq!(add(before, &stack("blog"), &[]).unwrap(), after);
    }
}

#[test]
fn what_cannot_be_edited_is_left_with_its_reason() {
    let flow = "[{name: a}, {name: b}]\n";
    assert_eq!(add(flow, &stack("c"), &[]), Err(Refusal::Flow { line: 1 }));
    assert_eq!(remove(flow, &stack("a")), Err(Refusal::Flow { line: 1 }));
    assert_eq!(add("[]", &stack("c"), &[]), Err(Refusal::Flow { line: 1 }));
    let braces = "- name: a\n- {name: b}\n";
    assert_eq!(set(braces, &stack("b"), "enabled", &Value::Switch(false)), Err(Refusal::Flow { line: 2 }));
    assert!(Refusal::Flow { line: 1 }.hint().contains("over several lines"));
    assert_eq!(add(braces, &stack("A"), &[]), Err(Refusal::Taken { line: 1 }));
    assert_eq!(remove(braces, &stack("c")), Err(Refusal::Missing));
    assert_eq!(remove("- name: a\n", &stack("a")), Err(Refusal::Last));
    for lends in [
        "- &one\n  name: a\n  drift: report\n- <<: *one\n  name: b\n",
        "- name: a\n  env: &files [x]\n- name: b\n  env: *files\n",
        "- name: c\n  env: &files [y]\n- name: a\n  env: &files [x]\n- name: b\n  env: *files\n",
    ] {
        assert!(matches!(remove(lends, &stack("a")), Err(Refusal::Anchor { .. })), "{lends}");
        remove(lends, &stack("b")).unwrap();
        // Its own keys are its own.
        let own = set(lends, &stack("b"), "drift", &text("ignore")).unwrap();
        assert_eq!(
            (value(&own, "b", "drift"), value(&own, "a", "drift")),
            (Some("ignore".into()), value(lends, "a", "drift"))
        );
    }
    for odd in [
        "- name: a\n  template: &t x\n- name: b\n  template: *t\n",
        "- name: a\n  template: |\n    x\n- name: b\n",
        "- name: a\n  template: [x]\n- name: b\n",
        "- name: a\n  template: \"x\n    y\"\n- name: b\n",
    ] {
        assert!(
            matches!(set(odd, &stack("a"), "template", &text("z")), Err(Refusal::Odd { line: 1 })),
            "{odd}"
        );
    }
    for unreadable in ["name: a\n", "- name: a\n- name: a\n", "- name: a\r- name: b\r", "- [", "a\n"] {
        assert!(matches!(remove(unreadable, &stack("a")), Err(Refusal::Unreadable { .. })), "{unreadable}");
    }
}

#[test]
fn a_value_is_what_was_asked_whatever_its_letters() {
    for value in [
        "", "no", "1.5", "~", "a: b", "#x", "-", "- x", "x # y", "\"", "'", "*a", "&a", "\u{2028}", "a\nb",
        "{", "0x1",
    ] {
        let after = set("- name: a\n- name: b\n", &stack("a"), "folder", &text(value)).unwrap();
        assert_eq!(super::tests::value(&after, "a", "folder").as_deref(), Some(value), "{after}");
        assert_eq!(after.lines().count(), 3);
    }
}

/// A list as nobody would write it, with the names of its stacks.
fn strange(rng: &mut Rng) -> (String, Vec<String>) {
    let end = if rng.chance(30) { "\r\n" } else { "\n" };
    let indent = " ".repeat(if rng.chance(60) { 0 } else { rng.below(5) });
    let mut lines = Vec::new();
    let noise = |lines: &mut Vec<String>, rng: &mut Rng| {
        while rng.chance(35) {
            let deep = " ".repeat(rng.below(9));
            lines.push(rng.pick(&["", "", "# note", "# - name: x", "#"]).to_owned());
            let last = lines.last_mut().unwrap();
            *last = if last.is_empty() { String::new() } else { format!("{deep}{last}") };
        }
    };
    if rng.chance(20) {
        lines.push("---".into());
    }
    noise(&mut lines, rng);
    let names: Vec<_> = (0..=rng.below(5)).map(|number| format!("s{number}")).collect();
    for name in &names {
        let gap = " ".repeat(1 + rng.below(3));
        let quoted = match rng.below(4) {
            0 => format!("\"{name}\""),
            1 => format!("'{name}'"),
            _ => name.clone(),
        };
        let mut keys = vec![format!("name: {quoted}")];
        for key in [
            "enabled: true",
            "template: 'old # one'",
            "drift:   report",
            "depends_on: [s0]",
            "folder: >\n  deep\n  - x",
            "env:\n- a.env\n- b.env",
            "compose: [x,\n  y]",
            "template2:",
        ] {
            if rng.chance(25) {
                keys.insert(rng.below(keys.len() + 1), key.into());
            }
        }
        let column = format!("{indent} {gap}");
        for (number, key) in keys.iter().enumerate() {
            let note = if rng.chance(20) && !key.contains('\n') { "  # why" } else { "" };
            let key = key.replace('\n', &format!("\n{column}"));
            let before = if number == 0 { format!("{indent}-{gap}") } else { column.clone() };
            lines.extend(format!("{before}{key}{note}").split('\n').map(str::to_owned));
            noise(&mut lines, rng);
        }
    }
    let mark = if rng.chance(10) { "\u{feff}" } else { "" };
    let last = if rng.chance(70) { end } else { "" };
    (format!("{mark}{}{last}", lines.join(end)), names)
}

#[test]
fn strange_files_are_edited_as_the_odd_ones() {
    let mut edited = 0;
    for seed in 0..4_000 {
        let mut rng = Rng::new(seed);
        let (before, names) = strange(&mut rng);
        // Noise may end a text that goes on over several lines.
        if yaml::parse(&before).is_err() {
            continue;
        }
        let name = &names[rng.below(names.len())];
        let (what, after) = match rng.below(4) {
            0 => ("add", add(&before, &stack("new"), &[("template", text("t@1"))])),
            1 => ("remove", remove(&before, &stack(name))),
            2 => ("set", set(&before, &stack(name), "template", &text("t@1"))),
            _ => ("set", set(&before, &stack(name), "enabled", &Value::Switch(false))),
        };
        match after {
            Ok(after) => {
                edited += 1;
                holds(&before, &after, if what == "add" { "new" } else { name });
            }
            Err(Refusal::Last) if names.len() == 1 => {}
            // A comment within a folded text is a line of it, and its end is nobody's to guess.
            Err(Refusal::Odd { .. }) if before.contains('>') => {}
            Err(why) => panic!("seed {seed}, {what} `{name}`: {why}\n{before}"),
        }
    }
    assert!(edited > 2_500, "{edited}");
}
