use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;

use super::*;
use crate::budget::{Budget, Limits};
use crate::compose::{Origin, Ownership, RenderedStack, Volumes, load};
use crate::hash::Key;
use crate::paths::Root;
use crate::stack::{RepoFile, StackFiles, StackName};

/// Writes down what docker would be given, and answers what it was told.
#[derive(Debug)]
struct Spy {
    /// With `$` for what stands for it.
    answer: String,
    given: RefCell<Vec<String>>,
}

impl Merger for Spy {
    fn merge(&self, texts: &[String]) -> Result<Merged, Unmerged> {
        self.given.borrow_mut().extend(texts.iter().cloned());
        assert!(texts.iter().all(|text| !text.contains('$')), "{texts:?}");
        Ok(Merged { text: self.answer.replace('$', "dollar1sign"), folder: "/merge".into() })
    }
}

const BASE: &str =
    "services: {app: {image: 'app:${TAG:-1}', environment: {A: 'dollar0sign'}}}\nconfigs: {c: {file: f}}\n";

/// A checkout with `web/compose.yml`, `over/prod.yml`, `web/f`, and what is asked for.
struct Place(tempfile::TempDir);

impl Place {
    fn new(overlay: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["web", "over", "outside"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        let place = Self(dir);
        place
            .with("web/compose.yml", BASE)
            .with("over/prod.yml", overlay)
            .with("web/f", "one")
            .with("f", "top")
    }

    fn with(self, path: &str, text: &str) -> Self {
        fs::write(self.0.path().join(path), text).unwrap();
        self
    }

    fn load(&self, merger: &dyn Merger) -> Result<RenderedStack, Unrenderable> {
        let root = self.0.path().canonicalize().unwrap();
        let file = |path: &str| RepoFile { file: root.join(path), path: path.into() };
        let files = StackFiles {
            folder: "web".into(),
            compose: file("web/compose.yml"),
            overlays: vec![file("over/prod.yml")],
            env: None,
        };
        let (root, budget) = (Root::on_disk(&root), Budget::new(Limits::default()));
        let origin = Origin { root: &root, files: &files, budget: &budget, merger, readable: None };
        let inherited = BTreeMap::from([(OsString::from("EVIL"), "/etc/shadow".into())]);
        let key = Key::from_hex(&"5a".repeat(32)).unwrap();
        load(&StackName::known("web"), origin, &inherited, &Volumes::new(), &key)
    }

    /// The mistakes, and whether docker was given anything.
    fn mistakes(&self, answer: &str) -> (Vec<String>, bool) {
        let spy = Spy { answer: answer.into(), given: RefCell::default() };
        let told = match self.load(&spy) {
            Err(Unrenderable::Invalid(problems)) => problems.iter().map(ToString::to_string).collect(),
            Err(Unrenderable::Stack(error)) => vec![format!("{error:#}")],
            other => panic!("{other:?}"),
        };
        (told, !spy.given.into_inner().is_empty())
    }
}

#[test]
fn a_hostile_file_comes_before_no_docker() {
    for (overlay, told) in [
        ("services: {app: {env_file: /etc/shadow}}", "over/prod.yml:1: `services.app.env_file`: the path"),
        ("services: {app: {env_file: [../../x]}}", "leads out"),
        ("services: {app: {env_file: '${EVIL}'}}", "is absolute"),
        ("services: {app: {env_file: link}}", "leads out of the repository"),
        ("services: {app: {env_file: {path: /etc/shadow}}}", "must be a path, not a mapping"),
        ("configs: {c: {file: ../../../etc/passwd}}", "over/prod.yml:1: `configs.c.file`: the path"),
        ("secrets: {s: {file: /etc/shadow}}", "`secrets.s.file`: the path `/etc/shadow` is absolute"),
        ("secrets: {s: {file: '~/.ssh/id_rsa'}}", "begins with `~`"),
        ("configs: {c: {file: '${NOTHING:-/etc/shadow}'}}", "is absolute"),
        ("x-f: &f {file: /etc/shadow}\nconfigs: {c: {<<: *f}}", "is absolute"),
        ("x-f: &f [/etc/shadow]\nservices: {app: {env_file: *f}}", "is absolute"),
        ("configs: {c: {labels: {a: b}}}", "`configs.c`: needs `file`"),
        ("services: {app: {environment: !reset null}}", "`!reset`: the tag does not fit"),
        ("services: {app: {environment: !override {A: b}}}", "`!override`: the tag is not taken"),
        ("services: {app: {volumes: ['./f:/f']}}", "is relative to a checkout"),
        ("services: {app: {volumes: [{type: bind, source: f, target: /f}]}}", "is relative to a checkout"),
        ("services: {app: {deploy: {labels: {dockerops.repository: x}}}}", "labels that begin with"),
        ("services: {app: {deploy: {replicas: 5000}}}", "more than the 1000"),
        ("configs: {k: {external: true, name: dockerops-key}}", "is DockerOps' own"),
        ("services: {app: {image: a, 'image': b}}", "stands twice"),
        ("services: {a.b: {image: x}}", "makes the service `web_a.b`"),
        ("- services", "must be a mapping with `services`, not a list"),
        ("services: [", "over/prod.yml:"),
        ("", "over/prod.yml: is empty"),
        ("x-a: a\u{85}configs:\u{85}  c: {file: /etc/shadow}", "holds the letter U+0085"),
    ] {
        let place = Place::new(overlay);
        std::os::unix::fs::symlink("/etc/shadow", place.0.path().join("web/link")).unwrap();
        let (found, asked) = place.mistakes("");
        assert!(found.iter().any(|line| line.contains(told)), "{overlay}: {found:?}");
        assert!(!asked, "{overlay}");
    }
}

#[test]
fn docker_is_given_files_with_nothing_to_look_up_whose_paths_begin_at_the_first() {
    let overlay = "services:\n  app:\n    image: 'app:${TAG}$$'\n    env_file: [e, ../over/e]\n    environment: [P, 'D=$$x']\n\
                   configs: {c: {file: f}, d: {file: ../over/f}}\n";
    let place = Place::new(overlay).with("web/.env", "TAG=7\nP=p$$q\n").with("web/e", "E=web\nP\n");
    let place = place.with("over/e", "E=$over\n").with("over/f", "two");
    let spy = Spy { answer: "services: {app: {image: 'app:7$'}}".into(), given: RefCell::default() };
    let Err(Unrenderable::Stack(error)) = place.load(&spy) else { panic!("`app:7$` is no image") };
    assert!(format!("{error:#}").contains("service `app`: the image `app:7$`"), "{error:#}");
    let given = spy.given.into_inner();
    let [base, prod] = given.as_slice() else { panic!("{given:?}") };
    assert!(base.contains("image: \"app:7\"\n"), "{base}");
    let one = crate::hash::to_hex(&<sha2::Sha256 as sha2::Digest>::digest("one"));
    let two = crate::hash::to_hex(&<sha2::Sha256 as sha2::Digest>::digest("two"));
    for line in [
        "\"app:7dollar1sign\"",
        "- \"P=pdollar1signq\"",
        "- \"D=dollar1signx\"",
        "- \"E=dollar1signover\"",
        &format!("file: \"{one}\""),
        &format!("file: \"{two}\""),
    ] {
        assert!(prod.contains(line), "{line}: {prod}");
    }
    assert!(!prod.contains("env_file") && !prod.contains("${"), "{prod}");
}

#[test]
fn what_docker_makes_of_them_is_checked_as_if_somebody_had_written_it() {
    let place = Place::new("services: {app: {environment: {B: '2'}}}");
    let one = crate::hash::to_hex(&<sha2::Sha256 as sha2::Digest>::digest("one"));
    let app = "services: {app: {image: 'app:1'}}\n";
    for (answer, told) in [
        (
            format!("{app}configs: {{c: {{file: /etc/shadow}}}}"),
            "`configs.c.file`: is a file that was not checked",
        ),
        (format!("{app}configs: {{c: {{file: /merge/../etc/shadow}}}}"), "is a file that was not checked"),
        (
            format!("{app}configs: {{other: {{file: /merge/{one}}}}}"),
            "`configs.other.file`: is a file that was",
        ),
        (format!("{app}secrets: {{c: {{file: /merge/{one}}}}}"), "`secrets.c.file`: is a file that was"),
        ("services: {app: {image: a, env_file: [x]}}".into(), "`services.app.env_file`: is there"),
        ("services: {app: {image: a, deploy: {replicas: 5000}}}".into(), "more than the 1000"),
        ("services: {app: {image: a, deploy: {labels: {dockerops.x: y}}}}".into(), "labels that begin"),
        ("services: {}".into(), "is empty: a stack needs at least one service"),
        ("networks: {}".into(), "is missing: a stack needs"),
        (String::new(), "cannot be read: it is no mapping"),
        ("services: [".into(), "what docker makes of them cannot be read"),
    ] {
        let (found, asked) = place.mistakes(&answer);
        assert!(found.iter().any(|line| line.contains(told)), "{answer}: {found:?}");
        assert!(asked, "{answer}");
    }
}

#[test]
fn what_comes_of_them_is_a_stack_like_any_other() {
    let one = crate::hash::to_hex(&<sha2::Sha256 as sha2::Digest>::digest("one"));
    let answer = format!(
        "version: '3.3'\nservices:\n  app: {{image: 'app:1', environment: {{A: $x, B$: b, N: null}}, cap_add: [A, B, A]}}\n\
         configs:\n  c: {{file: /merge/{one}}}\n"
    );
    let place = Place::new("services: {app: {environment: {TOKEN_X: '${SECRET_VALUE}'}}}");
    let place = place.with("web/.env", "SECRET_VALUE=hunter2\n");
    let spy = Spy { answer, given: RefCell::default() };
    let rendered = place.load(&spy).unwrap();
    let text = rendered.text(&Ownership { repository: "r".into(), commit: "c".into() }).unwrap();
    assert!(
        text.contains("\"B$\": b\n") && text.contains("cap_add:\n      - A\n      - B\n    \"deploy\":"),
        "{text}"
    );
    assert!(text.contains("A: \"$$x\"") && text.contains("version: \"3.5\""), "{text}");
    assert!(rendered.rotated[0].name.starts_with("web_c_"), "{:?}", rendered.rotated);
    let copies = rendered.copies(tempfile::tempdir().unwrap().path());
    assert!(copies.is_err() || text.contains(&one), "{text}");
    // People see the files as they were written.
    let shown = rendered.shown();
    assert!(
        shown.contains("---\n") && shown.contains("${SECRET_VALUE}") && !shown.contains("hunter2"),
        "{shown}"
    );
    assert!(spy.given.borrow()[1].contains("hunter2"));
}

#[test]
fn without_anybody_who_merges_nothing_is_said_of_the_files() {
    let place = Place::new("services: {app: {environment: {B: '2'}}}");
    let Err(Unrenderable::Unmerged(error)) = place.load(&NoMerger) else { panic!("nobody merges") };
    assert_eq!(format!("{error:#}"), "`web/compose.yml`, `over/prod.yml`: no docker");
    // But what is wrong with one of them is told all the same.
    let place = Place::new("configs: {c: {file: gone}}");
    let Err(Unrenderable::Invalid(problems)) = place.load(&NoMerger) else { panic!("a file is missing") };
    assert_eq!(problems.len(), 1, "{problems:?}");
}

/// Takes no file that holds this, in these words.
#[derive(Debug)]
struct Picky {
    holds: &'static str,
    words: &'static str,
}

impl Merger for Picky {
    fn merge(&self, texts: &[String]) -> Result<Merged, Unmerged> {
        if texts.iter().any(|text| text.contains(self.holds)) {
            return Err(Unmerged::Refused(self.words.to_owned()));
        }
        Ok(Merged { text: texts[0].clone(), folder: "/merge".into() })
    }
}

#[test]
fn what_docker_refuses_is_told_of_the_file_that_it_means_with_line_and_key() {
    let overlay =
        "services:\n  app:\n    environment: {A: b}\n    build: x\n    ports:\n      - 80\n      - [81]\n";
    for (holds, words, told) in [
        // One file alone has it.
        (
            "81",
            "services.app.ports.1 must be a string",
            "over/prod.yml:7: `services.app.ports.1`: docker does not",
        ),
        (
            "build",
            "services.app Additional property build is not allowed",
            "over/prod.yml:4: `services.app.build`: docker",
        ),
        (
            "image",
            "services.app.image must be a number",
            "web/compose.yml:1: `services.app.image`: docker does",
        ),
        // Both have it, and docker takes one.
        (
            "A: b",
            "services.app.environment.A is odd",
            "over/prod.yml:3: `services.app.environment.A`: docker",
        ),
        (
            "sign",
            "services.app.environment.A is odd",
            "web/compose.yml:1: `services.app.environment.A`: docker",
        ),
        // It names nothing.
        (
            "app",
            "version mismatched",
            "`web/compose.yml`, `over/prod.yml`: docker does not merge them: version mis",
        ),
    ] {
        let told_of = match Place::new(overlay).load(&Picky { holds, words }) {
            Err(Unrenderable::Invalid(problems)) => problems[0].to_string(),
            Err(Unrenderable::Stack(error)) => format!("{error:#}"),
            other => panic!("{other:?}"),
        };
        assert!(told_of.starts_with(told) && told_of.contains(words), "{told_of}");
    }
}

#[test]
fn what_is_wrong_with_the_whole_is_told_of_the_last_file_that_has_it() {
    let place = Place::new("services:\n  app:\n    deploy:\n      replicas: 1\n");
    let (found, _) = place.mistakes("services: {app: {image: a, deploy: {replicas: 5000}}}");
    assert_eq!(
        found[0].split(": is").next(),
        Some("over/prod.yml:4: `services.app.deploy.replicas`"),
        "{found:?}"
    );
}
