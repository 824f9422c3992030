//! Configs and secrets whose names follow their content.

use super::*;

fn name_of(text: &str, section: &str, key: &str) -> Option<String> {
    let entry = yaml::parse(text).unwrap().unwrap().get(section).unwrap().get(key).unwrap();
    entry.get("name").map(|name| name.text().unwrap().to_owned())
}

#[test]
fn a_credential_spec_follows_its_config() {
    let compose = concat!(
        "services:\n  a: {image: x, credential_spec: {config: c}, configs: [c, {source: c, target: /t}, {source: c}]}\n",
        "  b: {image: x, credential_spec: {config: own}, configs: [c, own]}\n",
        "configs: {c: {file: f}, own: {external: true}, d: {file: f}}\n",
    );
    let text = Stack::new(compose).with("web/f", "{}").load().text(&ownership()).unwrap();
    let tree = yaml::parse(&text).unwrap().unwrap();
    let service = |name: &str| tree.get("services").unwrap().get(name).unwrap();
    let spec = |name: &str| {
        service(name).get("credential_spec").unwrap().get("config").unwrap().text().unwrap().to_owned()
    };
    let name = spec("a");
    assert!(name.starts_with("web_c_") && spec("b") == "own", "{text}");
    assert_eq!(name_of(&text, "configs", &name), Some(name.clone()));
    assert!(
        tree.get("configs").unwrap().get("c").is_none() && tree.get("configs").unwrap().get("d").is_some()
    );
    let mounts = |service: Rc<Node>| -> Vec<String> {
        let text = |item: &Node, key: &str| item.get(key).and_then(|node| node.text().map(str::to_owned));
        let list = service.get("configs").unwrap();
        let both = |item: &Rc<Node>| Some(format!("{} {}", text(item, "source")?, text(item, "target")?));
        list.items()
            .unwrap()
            .iter()
            .map(|item| both(item).or(item.text().map(str::to_owned)).unwrap())
            .collect()
    };
    assert_eq!(mounts(service("a")), [format!("{name} c"), format!("{name} /t"), format!("{name} c")]);
    assert_eq!(mounts(service("b")), [format!("{name} c"), "own".to_owned()]);
}

#[test]
fn names_follow_the_content_the_stack_and_the_template_driver_and_nothing_else() {
    let of = |entry: &str, content: &str| {
        let compose = format!("services: {{a: {{image: x}}}}\nconfigs: {{c: {{{entry}}}}}\n");
        let stack = Stack::new(&compose).with("web/f", content).with("web/.env", "N=own\n");
        name_of(&stack.load().text(&ownership()).unwrap(), "configs", "c").unwrap_or_default()
    };
    let base = of("file: f", "1");
    assert!(base.starts_with("web_c_") && base.len() == "web_c_".len() + 12, "{base}");
    assert_ne!(of("file: f", "2"), base);
    assert_ne!(of("file: f, template_driver: golang", "1"), base);
    assert_eq!(of("file: ./f, labels: {l: m}", "1"), base);
    assert_eq!(of("file: f, external: false, driver: ", "1"), base);
    assert_eq!(of("file: f, name: '${N}'", "1"), base.replace("web_c", "own"));
    for (kept, name) in [
        ("external: true", ""),
        ("external: true, name: n", "n"),
        ("external: {name: n}", ""),
        ("file: f, external: true", ""),
        ("file: f, driver: d, name: n", "n"),
        ("driver: d", ""),
    ] {
        assert_eq!(of(kept, "1"), name, "{kept}");
    }
}

#[test]
fn entries_that_rotate_are_marked_in_every_form_of_labels() {
    let stack = Stack::new(concat!(
        "version: '3.3'\nx-e: &e {file: f, labels: {a: b}}\nservices: {a: {image: x}}\n",
        "configs:\n  map: *e\n  list: {file: f, labels: [a=b]}\n  merged: {<<: *e}\n  none: {file: f}\n",
        "secrets:\n  empty:\n    file: f\n    labels:\n  other: {external: true}\n",
    ));
    let stack = stack.with("web/f", "1");
    let text = stack.load().text(&Ownership { repository: "$x".into(), ..ownership() }).unwrap();
    let tree = yaml::parse(&text).unwrap().unwrap();
    let labels = |section: &str, key: &str| tree.get(section).unwrap().get(key).unwrap().get("labels");
    for (key, count) in [("map", 2), ("merged", 2), ("none", 1)] {
        let labels = labels("configs", key).unwrap();
        assert_eq!(labels.merged_pairs().len(), count, "{key}: {text}");
        assert_eq!(labels.get(REPOSITORY).unwrap().text(), Some("$$x"), "{key}: {text}");
    }
    assert_eq!(
        labels("configs", "list").unwrap().items().unwrap()[1].text(),
        Some("dockerops.repository=$$x")
    );
    assert_eq!(labels("secrets", "empty").unwrap().merged_pairs().len(), 1);
    assert_eq!(labels("secrets", "other"), None);
    assert_eq!(tree.get("version").unwrap().text(), Some("3.5"), "from there on entries have names");
}

#[test]
fn a_version_stays_where_names_are_known_or_none_is_added() {
    for (version, entry) in
        [("'3'", "file: f"), ("'3.8'", "file: f"), ("3.3", "file: f"), ("'3.3'", "external: true")]
    {
        let compose =
            format!("version: {version}\nservices: {{a: {{image: x}}}}\nconfigs: {{c: {{{entry}}}}}\n");
        let text = Stack::new(&compose).with("web/f", "1").load().text(&ownership()).unwrap();
        assert!(text.contains(&format!("version: {}\n", version.replace('\'', "\""))), "{text}");
    }
}
