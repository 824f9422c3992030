use super::*;
use std::fs;

struct Stack(tempfile::TempDir);

impl Stack {
    fn new(compose: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("web")).unwrap();
        fs::write(dir.path().join("web/compose.yml"), compose).unwrap();
        Self(dir)
    }

    fn with(self, path: &str, text: &str) -> Self {
        fs::write(self.0.path().join(path), text).unwrap();
        self
    }

    fn load_with(&self, environment: &[(&str, &str)]) -> Result<RenderedStack, Unrenderable> {
        let root = self.0.path().canonicalize().unwrap();
        let place = Place { root: &root, file: &root.join("web/compose.yml"), path: "web/compose.yml" };
        let environment = environment.iter().map(|(name, value)| (name.into(), value.into())).collect();
        load(&StackName::known("web"), place, &environment, &Volumes::new())
    }

    fn load(&self) -> RenderedStack {
        self.load_with(&[]).unwrap_or_else(|error| panic!("{error:?}"))
    }

    fn mistakes(&self) -> Vec<String> {
        match self.load_with(&[]) {
            Err(Unrenderable::Invalid(problems)) => problems.iter().map(ToString::to_string).collect(),
            other => panic!("{other:?}"),
        }
    }
}

fn ownership() -> Ownership {
    Ownership { repository: "https://x/y".into(), commit: "c0ffee".into() }
}

fn labels_of(text: &str, service: &str) -> Vec<(String, String)> {
    let deploy = yaml::parse(text)
        .unwrap()
        .unwrap()
        .get("services")
        .unwrap()
        .get(service)
        .unwrap()
        .get("deploy")
        .unwrap();
    let labels = deploy.get("labels").unwrap();
    match labels.items() {
        Some(items) => {
            items.iter().map(|item| item.text().unwrap().split_once('=').unwrap()).map(own).collect()
        }
        None => {
            labels.merged_pairs().iter().map(|(k, v)| own((k.text().unwrap(), v.text().unwrap()))).collect()
        }
    }
}

fn own((key, value): (&str, &str)) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

#[test]
fn every_form_of_labels_gets_ours() {
    let stack = Stack::new(concat!(
        "x-d: &d {replicas: 2, labels: {a: b}}\nx-l: &l {c: d}\n",
        "services:\n  none: {image: a}\n  empty:\n    image: a\n    deploy:\n  list:\n    image: a\n    deploy: {labels: [a=b]}\n",
        "  map:\n    image: a\n    deploy:\n      labels:\n        a: b\n  alias:\n    image: a\n    deploy: *d\n",
        "  merged:\n    image: a\n    deploy: {<<: *d, replicas: 1}\n  shared:\n    image: a\n    labels: *l\n    deploy: {labels: *l}\n",
    ));
    let rendered = stack.load();
    let text = rendered.text(&ownership());
    for (service, count) in
        [("none", 3), ("empty", 3), ("list", 4), ("map", 4), ("alias", 4), ("merged", 4), ("shared", 4)]
    {
        let labels = labels_of(&text, service);
        assert_eq!(labels.len(), count, "{service}: {text}");
        assert!(labels.contains(&own((REPOSITORY, "https://x/y"))), "{service}");
        assert!(labels.contains(&own((FINGERPRINT, &rendered.fingerprint))), "{service}");
    }
    let shared = yaml::parse(&text).unwrap().unwrap().get("services").unwrap().get("shared").unwrap();
    assert_eq!(shared.get("labels").unwrap().merged_pairs().len(), 1, "container labels stay: {text}");
}

#[test]
fn the_fingerprint_covers_text_variables_and_files_and_nothing_else() {
    let compose =
        "services:\n  a: {image: 'a:${T}', env_file: ./e, environment: [P]}\nconfigs: {c: {file: ../c}}\n";
    let stack = || Stack::new(compose).with("web/e", "1").with("c", "1");
    let of = |stack: Stack, environment: &[(&str, &str)]| stack.load_with(environment).unwrap().fingerprint;
    let base = of(stack(), &[("T", "1")]);
    assert_eq!(base.len(), 32);
    assert_eq!(of(stack().with("other", "x"), &[("T", "1"), ("U", "2")]), base);
    assert_ne!(of(stack(), &[("T", "2")]), base);
    assert_ne!(of(stack(), &[("T", "1"), ("P", "2")]), base);
    assert_ne!(of(stack().with("web/e", "2"), &[("T", "1")]), base);
    assert_ne!(of(stack().with("c", "2"), &[("T", "1")]), base);
    assert_ne!(of(stack().with("web/compose.yml", &format!("{compose}x-a: 1\n")), &[("T", "1")]), base);
}

#[test]
fn dotenv_feeds_variables_under_a_name_of_its_own() {
    let compose = "services:\n  a: {image: 'a:${TAG}', environment: {P: , Q: '${DOCKER_HOST}'}}\n";
    let stack = Stack::new(compose).with("web/.env", "TAG=7\nP=p$x\nDOCKER_HOST=tcp://evil\n");
    let rendered = stack.load();
    assert_eq!(rendered.services[0].image.as_ref().unwrap().to_string(), "a:7");
    assert!(!rendered.environment.contains_key("DOCKER_HOST"));
    assert_eq!(rendered.environment.get("DOTENV_TAG").unwrap(), "7");
    let text = rendered.text(&ownership());
    assert!(text.contains("${DOTENV_TAG}") && text.contains("${DOTENV_DOCKER_HOST}"), "{text}");
    assert!(text.contains("\"p$$x\""), "{text}");
    let rendered = stack.load_with(&[("TAG", "8")]).unwrap();
    assert_eq!(rendered.services[0].image.as_ref().unwrap().to_string(), "a:8");
    assert!(rendered.text(&ownership()).contains("${TAG}"));
}

#[test]
fn a_missing_variable_stops_the_stack_alone() {
    let error = Stack::new("services: {a: {image: 'a:${T:?which one}'}}").load_with(&[]).unwrap_err();
    let Unrenderable::Stack(error) = error else { panic!("{error:?}") };
    let text = format!("{error:#}");
    assert!(
        text.contains("`services.a.image`: required variable `T` is missing a value: which one"),
        "{text}"
    );
    let error = Stack::new("services: {a: {image: 'a:${T}'}}").load_with(&[]).unwrap_err();
    assert!(
        matches!(&error, Unrenderable::Stack(error) if format!("{error:#}").contains("service `a`: the image `a:`"))
    );
}

#[test]
fn mistakes_name_file_line_and_key() {
    for (compose, expected) in [
        ("services: [", "web/compose.yml:"),
        ("", "web/compose.yml: is empty"),
        ("- a", "must be a mapping with `services`, not a list"),
        ("version: '3'", "`services`: is missing"),
        ("services:\n  a:\n", "web/compose.yml:2: `services.a`: must be a mapping, not nothing"),
        ("services:\n  a.b: {image: x}\n", "makes the service `web_a.b`"),
        (
            "services: {a: {image: x, deploy: {labels: [dockerops.commit=1]}}}",
            "`services.a.deploy.labels`: labels that begin",
        ),
        (
            "services: {a: {image: x, env_file: /etc/passwd}}",
            "`services.a.env_file`: the path `/etc/passwd` is absolute",
        ),
        ("services: {a: {image: x, env_file: [../../x]}}", "leads out"),
        ("services: {a: {image: x}}\nconfigs: {c: {file: nope}}", "`configs.c.file`: `nope` does not exist"),
        ("services: {a: {image: x}}\nsecrets: {s: {file: .}}", "`.` is not a file"),
        ("services: {a: {image: x, volumes: ['./c:/c']}}", "`./c` is relative to a checkout"),
        (
            "services: {a: {image: x}}\nsecrets: {s: {file: ../c, labels: {dockerops.repository: x}}}",
            "web/compose.yml:2: `secrets.s.labels`: labels that begin",
        ),
        ("services: {a: {image: x, image: y}}", "is not YAML: "),
        (
            "services: {a: {image: x}}\nconfigs: {c: {file: !!binary L2V0Yy9zaGFkb3c=}}",
            "2002:binary`: the tag is not taken",
        ),
        (
            "services: {a: {image: x}}\nconfigs: {c: {!!merge \"<<\": {file: /etc/shadow}}}",
            "2002:merge`: the tag is not",
        ),
        ("services: {a: {image: x}}\nx-a: {!reset b: c}", "`!reset`: the tag is not taken"),
        ("services: {a: {image: x, env_file: ~/.ssh/id_rsa}}", "begins with `~`"),
    ] {
        let found = Stack::new(compose).mistakes();
        assert!(found.iter().any(|line| line.contains(expected)), "{expected}: {found:?}");
    }
    let found = Stack::new("services: {a: {image: x}}").with("web/.env", "A=1\n?\n").mistakes();
    assert_eq!(found, ["web/.env:2: is not `NAME=value`"]);
}

fn name_of(text: &str, section: &str, key: &str) -> Option<String> {
    let entry = yaml::parse(text).unwrap().unwrap().get(section).unwrap().get(key).unwrap();
    entry.get("name").map(|name| name.text().unwrap().to_owned())
}

#[test]
fn names_follow_the_content_the_stack_and_the_template_driver_and_nothing_else() {
    let of = |entry: &str, content: &str| {
        let compose = format!("services: {{a: {{image: x}}}}\nconfigs: {{c: {{{entry}}}}}\n");
        let stack = Stack::new(&compose).with("web/f", content).with("web/.env", "N=own\n");
        name_of(&stack.load().text(&ownership()), "configs", "c").unwrap_or_default()
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
    let text = stack.load().text(&Ownership { repository: "$x".into(), ..ownership() });
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
        let text = Stack::new(&compose).with("web/f", "1").load().text(&ownership());
        assert!(text.contains(&format!("version: {}\n", version.replace('\'', "\""))), "{text}");
    }
}

#[test]
fn docker_finds_no_merge_that_could_win_over_what_was_checked() {
    let compose = concat!(
        "services:\n  a: {image: x, <<: {image: y, hostname: h}}\n",
        "configs: {c: {file: ./ok, <<: [{file: /etc/shadow}, {labels: {k: v}}]}}\n",
    );
    let text = Stack::new(compose).with("web/ok", "1").load().text(&ownership());
    assert!(!text.contains("<<") && !text.contains("shadow"), "{text}");
    let tree = yaml::parse(&text).unwrap().unwrap();
    let service = tree.get("services").unwrap().get("a").unwrap();
    assert_eq!(service.get("image").unwrap().text(), Some("x"));
    assert_eq!(service.get("hostname").unwrap().text(), Some("h"));
    let config = tree.get("configs").unwrap().get("c").unwrap();
    assert_eq!(config.get("file").unwrap().text(), Some("./ok"));
}

#[test]
fn services_run_what_was_built_for_them_and_the_fingerprint_follows() {
    let stack = Stack::new(
        "services:\n  a: &a {image: '${HUB}/app:1'}\n  b: {<<: *a, user: x}\n  c: {image: other}\n",
    );
    let rendered = stack.load_with(&[("HUB", "host:5000")]).unwrap();
    let image = |text: &str| ImageRef::parse(text).unwrap();
    let name = image("host:5000/app:1");
    let built = |digit: &str| name.pinned(&format!("sha256:{}", digit.repeat(64)));
    let pinned = rendered.pinned(&BTreeMap::from([(name.clone(), built("a"))]));
    let text = pinned.text(&ownership());
    assert_eq!(text.matches(&built("a").to_string()).count(), 2, "{text}");
    assert!(text.contains("other"), "{text}");
    let images: Vec<_> = pinned.services.iter().map(|service| service.image.clone().unwrap()).collect();
    assert_eq!(images, [built("a"), built("a"), image("other")]);
    let again = rendered.pinned(&BTreeMap::from([(name.clone(), built("a"))]));
    let next = rendered.pinned(&BTreeMap::from([(name.clone(), built("b"))]));
    assert_eq!(again.fingerprint, pinned.fingerprint);
    assert!(next.fingerprint != pinned.fingerprint && pinned.fingerprint != rendered.fingerprint);
    let unrelated = rendered.pinned(&BTreeMap::from([(image("x"), built("a"))]));
    assert_eq!(unrelated.fingerprint, rendered.fingerprint);
}
