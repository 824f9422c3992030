mod compared;
mod jobs;
mod rotated;
mod told;

use super::*;
use crate::budget::Limits;
use sha2::Digest;
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
        let files = StackFiles::alone(root.join("web/compose.yml"), "web/compose.yml");
        let (root, budget) = (Root::on_disk(&root), Budget::new(Limits::default()));
        let origin =
            Origin { root: &root, files: &files, budget: &budget, merger: &merge::NoMerger, readable: None };
        let environment: BTreeMap<std::ffi::OsString, std::ffi::OsString> =
            environment.iter().map(|(name, value)| (name.into(), value.into())).collect();
        load(&StackName::known("web"), origin, &environment, &Volumes::new(), &key())
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

/// The same in every test: its tags may be compared.
fn key() -> Key {
    Key::from_hex(&"5a".repeat(32)).unwrap()
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
    let text = rendered.text(&ownership()).unwrap();
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
    let stack = || Stack::new(compose).with("web/e", "E=1").with("c", "1");
    let of = |stack: Stack, environment: &[(&str, &str)]| stack.load_with(environment).unwrap().fingerprint;
    let base = of(stack(), &[("T", "1")]);
    assert_eq!(base.len(), 32);
    assert_eq!(of(stack().with("other", "x"), &[("T", "1"), ("U", "2")]), base);
    assert_ne!(of(stack(), &[("T", "2")]), base);
    assert_ne!(of(stack(), &[("T", "1"), ("P", "2")]), base);
    assert_ne!(of(stack().with("web/e", "E=2"), &[("T", "1")]), base);
    assert_ne!(of(stack().with("c", "2"), &[("T", "1")]), base);
    assert_ne!(of(stack().with("web/compose.yml", &format!("{compose}x-a: 1\n")), &[("T", "1")]), base);
}

/// What ran before values of `.env` were expanded runs on: of this stack text and fingerprint were those.
#[test]
fn a_stack_whose_variables_hold_no_dollar_keeps_its_text_and_fingerprint() {
    let compose = "services:\n  a: {image: 'a:${TAG}', env_file: e, environment: {P: , Q: \"${Q}$$\", R: '${R}', S: '${S}'}}\n\
                   configs: {c: {file: e}}\n";
    let dotenv = "TAG=7\nexport P=\"p \\\"x\\\" \\a\\n\" # c\nQ='it #is' x\nR=a#b # c\nS=\"\\\\\"\n";
    let rendered = Stack::new(compose).with("web/.env", dotenv).with("web/e", "E=1\n").load();
    assert_eq!(yaml::print(&rendered.tree), UNCHANGED);
    assert_eq!(rendered.fingerprint, "e4d82a1edfd047b472b8345022d10eb2");
}

const UNCHANGED: &str = r#"services:
  a:
    image: "a:7"
    environment:
      P: "p \"x\" \\a\n"
      Q: "it #is$"
      R: "a#b"
      S: "\\"
      "E": "1"
configs:
  c:
    file: "98d367905290fa6e213b963cbbe631f3ae16627dde3c69b5164cb2e2bb35fc82"
    "name": "web_c_89f92302de53"
"#;

#[test]
fn docker_finds_nothing_to_look_up() {
    let compose = concat!(
        "services:\n  a:\n    image: 'a:${TAG}'\n    env_file: [e, ../shared]\n",
        "    environment: {P: , Q: '${DOCKER_HOST}', D: '', NONE: , 'N$$': '$$x', F: own}\n",
        "    deploy: {replicas: '${N}'}\n  b: {image: b, environment: [P, 'D=', 'E=1', NONE]}\n  c: {image: c, env_file: e}\n",
    );
    let stack = Stack::new(compose).with("web/.env", "TAG=7\nP='p$x'\nDOCKER_HOST=tcp://h\nN=3\n");
    let stack = stack.with("web/e", "F=1\nG=$y\nP\nD=\nH=\n").with("shared", "G=2$z\n");
    let rendered = stack.load_with(&[("D", "from-docker"), ("TAG", "8")]).unwrap();
    assert_eq!(rendered.services[0].image.as_ref().unwrap().to_string(), "a:8");
    let text = rendered.text(&ownership()).unwrap();
    assert!(!text.replace("$$", "").contains('$') && !text.contains("env_file"), "{text}");
    let tree = yaml::parse(&text).unwrap().unwrap();
    let service = |name: &str| tree.get("services").unwrap().get(name).unwrap();
    let environment = |name: &str| -> Vec<String> {
        let node = service(name).get("environment").unwrap();
        let pair =
            |(key, value): (Rc<Node>, Rc<Node>)| format!("{}={}", key.text().unwrap(), value.text().unwrap());
        match node.items() {
            Some(items) => items.iter().map(|item| item.text().unwrap().to_owned()).collect(),
            None => node.merged_pairs().into_iter().map(pair).collect(),
        }
    };
    // A key is never interpolated, and `NONE` has no value anywhere.
    let of_a = ["P=p$$x", "Q=tcp://h", "D=from-docker", "NONE=", "N$$=$$x", "F=own", "G=2$$z", "H="];
    assert_eq!(environment("a"), of_a);
    assert_eq!(environment("b"), ["P=p$$x", "D=from-docker", "E=1", "NONE"]);
    assert_eq!(environment("c"), ["D=from-docker", "F=1", "G=$$y", "H=", "P=p$$x"]);
    assert!(text.contains("replicas: 3\n"), "{text}");
    let shown = rendered.shown();
    assert!(
        shown.contains("a:${TAG}") && shown.contains("env_file") && !shown.contains("from-docker"),
        "{shown}"
    );
}

#[test]
fn a_file_is_read_as_docker_would_find_it_and_docker_gets_a_copy_of_it() {
    let compose = "services: {a: {image: x}}\nconfigs: {c: {file: sub/../f}, d: {file: f}}\nsecrets: {s: {file: ../top}}\n";
    let stack = Stack::new(compose).with("web/f", "mine").with("top", "t");
    let other = stack.0.path().join("other/deep");
    fs::create_dir_all(&other).unwrap();
    fs::write(other.parent().unwrap().join("f"), "not mine").unwrap();
    std::os::unix::fs::symlink("../other/deep", stack.0.path().join("web/sub")).unwrap();
    let rendered = stack.load();
    let text = rendered.text(&ownership()).unwrap();
    let copies = tempfile::tempdir().unwrap();
    let copies = rendered.copies(copies.path()).unwrap();
    let tree = yaml::parse(&text).unwrap().unwrap();
    for (section, key, content) in [("configs", "c", "mine"), ("configs", "d", "mine"), ("secrets", "s", "t")]
    {
        let file = tree.get(section).unwrap().get(key).unwrap().get("file").unwrap();
        let name = file.text().unwrap();
        assert!(name.len() == 64 && name.chars().all(|digit| digit.is_ascii_hexdigit()), "{name}");
        assert_eq!(fs::read_to_string(copies.path().join(name)).unwrap(), content, "{key}");
    }
    assert_eq!(fs::read_dir(copies.path()).unwrap().count(), 2, "the same content once");
    assert!(rendered.shown().contains("sub/../f"));
    fs::write(stack.0.path().join("web/f"), "changed").unwrap();
    let error = rendered.copies(tempfile::tempdir().unwrap().path()).unwrap_err();
    assert!(format!("{error:#}").contains("is not the one that was checked any more"), "{error:#}");
}

#[test]
fn what_stands_for_variables_is_bounded_before_it_is_made() {
    let large = format!("A={}\n", "x".repeat(1_000_000));
    let services = |count: usize, what: &str| -> String {
        let service = |number: usize| format!("  s{number}:\n    image: x\n    {what}\n");
        "services:\n".to_owned() + &(0..count).map(service).collect::<Vec<_>>().concat()
    };
    let many = format!("environment: [{}]", vec!["A"; 300].join(","));
    for (compose, file) in [
        (format!("services: {{a: {{image: x}}}}\nx-a: \"{}\"\n", "$A".repeat(2000)), String::new()),
        (services(1, &many), String::new()),
        (services(40, "env_file: e"), "a\n".repeat(400_000)),
    ] {
        let stack = Stack::new(&compose).with("web/.env", &large).with("web/e", &file);
        let told = match stack.load_with(&[]) {
            Err(Unrenderable::Stack(error) | Unrenderable::Unmerged(error)) => format!("{error:#}"),
            Err(Unrenderable::Invalid(problems)) => problems[0].to_string(),
            Ok(_) => "nothing".to_owned(),
        };
        assert!(told.contains("stand for more than 4 MiB"), "{told}");
    }
}

#[test]
fn a_deep_nest_of_long_keys_costs_what_it_is_long() {
    let mut body = format!("[{}]", vec!["\"$A\""; 60_000].join(","));
    for _ in 0..90 {
        body = format!("{{\"{}\": {body}}}", ".".repeat(1000));
    }
    let begun = std::time::Instant::now();
    Stack::new(&format!("services: {{a: {{image: x}}}}\nx-a: {body}\n")).load();
    assert!(begun.elapsed().as_secs() < 30, "{:?}", begun.elapsed());
}

#[test]
fn a_section_has_no_more_entries_than_one_needs() {
    let services: Vec<_> = (0..1001).map(|number| format!("  s{number}: {{image: x}}\n")).collect();
    let found = Stack::new(&format!("services:\n{}", services.concat())).mistakes();
    assert_eq!(found, ["web/compose.yml: `services`: has 1001 entries, more than the 1000 that are taken"]);
}

#[test]
fn what_others_can_list_tells_nothing_about_a_value_without_the_key() {
    let compose = "services: {a: {image: x, environment: {A: '${PIN}'}}}\nsecrets: {s: {file: f}}\n";
    let stack = Stack::new(compose).with("web/f", "1234");
    let with = |key: &Key| {
        let root = stack.0.path().canonicalize().unwrap();
        let files = StackFiles::alone(root.join("web/compose.yml"), "web/compose.yml");
        let (root, budget) = (Root::on_disk(&root), Budget::new(Limits::default()));
        let origin =
            Origin { root: &root, files: &files, budget: &budget, merger: &merge::NoMerger, readable: None };
        let environment = BTreeMap::from([("PIN".into(), "1234".into())]);
        load(&StackName::known("web"), origin, &environment, &Volumes::new(), key).unwrap()
    };
    let (one, other) = (with(&key()), with(&Key::new().unwrap()));
    assert_ne!(one.fingerprint, other.fingerprint);
    assert_ne!(one.rotated[0].name, other.rotated[0].name);
    assert_eq!(with(&key()).fingerprint, one.fingerprint);
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
        ("services:\n  a:\n    image: x\n    'image': y", "web/compose.yml:4: `image`: stands twice"),
        ("services: {a: {image: x, <<: [y]}}", "`<<`: must be a mapping or a list of mappings"),
        (
            "services: {a: {image: x, env_file: {path: e}}}",
            "`services.a.env_file`: must be a path, not a mapping",
        ),
        (
            "services: {a: {image: x}}\nconfigs: {c: {file: 12}}",
            "`configs.c.file`: must be a path, not a number",
        ),
        (
            "services: {a: {image: x}}\nconfigs: {c: {file: }}",
            "`configs.c.file`: must be a path, not nothing",
        ),
        (
            "services: {a: {image: x}}\nx-a: a\u{85}configs:\u{85}  c: {file: /etc/shadow}",
            "compose.yml:2: holds the letter U+0085",
        ),
        ("services: {a: {image: x}}\n# a\u{2028}configs: {}", "compose.yml:2: holds the letter U+2028"),
        (
            "services: {a: {image: x}}\nconfigs: {c: {file: !!binary L2V0Yy9zaGFkb3c=}}",
            "2002:binary`: the tag does not fit",
        ),
        (
            "services: {a: {image: x}}\nconfigs: {c: {!!merge \"<<\": {file: /etc/shadow}}}",
            "2002:merge`: the tag does not fit",
        ),
        ("services: {a: {image: x}}\nx-a: {!reset b: c}", "`!reset`: the tag does not fit"),
        ("services: {a: {image: x, env_file: ~/.ssh/id_rsa}}", "begins with `~`"),
    ] {
        let found = Stack::new(compose).mistakes();
        assert!(found.iter().any(|line| line.contains(expected)), "{expected}: {found:?}");
    }
    let long = Stack::new(&format!("services: {{a: {{image: x}}}}\n? {}\n: 1", "k".repeat(1025))).mistakes();
    assert_eq!(long, ["web/compose.yml:2: has a key of more than 1024 letters"]);
    let large = Stack::new("services: {a: {image: x}}\nconfigs: {c: {file: f}}")
        .with("web/f", &"x".repeat(1_024_001));
    assert!(large.mistakes()[0].contains("`configs.c.file`: has 1000 KiB or more"));
    let large =
        Stack::new("services: {a: {image: x}}\nsecrets: {s: {file: f}}").with("web/f", &"x".repeat(512_000));
    assert!(large.mistakes()[0].contains("`secrets.s.file`: has 500 KiB or more"));
    let wrong = Stack::new("services: {a: {image: x, env_file: e}}").with("web/e", "A=1\nB C=2\n");
    assert_eq!(
        wrong.mistakes(),
        ["web/compose.yml:1: `services.a.env_file`: `web/e:2` has a name of a variable with a space in it"]
    );
    let found = Stack::new("services: {a: {image: x}}").with("web/.env", "A=1\n?\n").mistakes();
    assert_eq!(found, ["web/.env:2: is not `NAME=value`"]);
}

#[test]
fn docker_finds_no_merge_that_could_win_over_what_was_checked() {
    let compose = concat!(
        "services:\n  a: {image: x, <<: {image: y, hostname: h}}\n",
        "configs: {c: {file: ./ok, <<: [{file: /etc/shadow}, {labels: {k: v}}]}}\n",
    );
    let text = Stack::new(compose).with("web/ok", "1").load().text(&ownership()).unwrap();
    assert!(!text.contains("<<") && !text.contains("shadow"), "{text}");
    let tree = yaml::parse(&text).unwrap().unwrap();
    let service = tree.get("services").unwrap().get("a").unwrap();
    assert_eq!(service.get("image").unwrap().text(), Some("x"));
    assert_eq!(service.get("hostname").unwrap().text(), Some("h"));
    let config = tree.get("configs").unwrap().get("c").unwrap();
    let content = crate::hash::to_hex(&sha2::Sha256::digest("1"));
    assert_eq!(config.get("file").unwrap().text(), Some(&*content));
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
    let text = pinned.text(&ownership()).unwrap();
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
