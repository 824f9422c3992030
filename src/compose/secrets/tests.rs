use super::*;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command as Process;

use crate::budget::{Budget, Limits};
use crate::compose::merge::NoMerger;
use crate::compose::{Origin, Ownership, RenderedStack, Unrenderable, Volumes, load};
use crate::hash::Key;
use crate::paths::Root;
use crate::stack::StackFiles;
use crate::yaml;

fn key() -> Key {
    Key::from_hex(&"5a".repeat(32)).unwrap()
}

fn try_load(compose: &str, secrets: &str) -> Result<RenderedStack, Unrenderable> {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    fs::create_dir(root.join("web")).unwrap();
    fs::write(root.join("web/compose.yml"), compose).unwrap();
    fs::write(root.join("web/secrets.yaml"), secrets).unwrap();
    let files = StackFiles::alone(root.join("web/compose.yml"), "web/compose.yml");
    let (root, budget) = (Root::on_disk(&root), Budget::new(Limits::default()));
    let origin = Origin { root: &root, files: &files, budget: &budget, merger: &NoMerger, readable: None };
    let environment = BTreeMap::from([("V".into(), "a 'b c'".into())]);
    load(&StackName::known("web"), origin, &environment, &Volumes::new(), &key())
}

fn rendered(compose: &str, secrets: &str) -> RenderedStack {
    try_load(compose, secrets).unwrap_or_else(|error| panic!("{error:?}"))
}

fn mistakes(compose: &str, secrets: &str) -> Vec<String> {
    match try_load(compose, secrets) {
        Err(Unrenderable::Invalid(problems)) => problems.iter().map(ToString::to_string).collect(),
        other => panic!("{other:?}"),
    }
}

fn image(entrypoint: &[&str], command: &[&str]) -> BTreeMap<String, ImageCommand> {
    let own = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let image = ImageCommand { entrypoint: own(entrypoint), command: own(command), has_shell: true };
    BTreeMap::from([("x:latest".to_owned(), image)])
}

fn service(rendered: &RenderedStack, name: &str) -> Rc<Node> {
    let ownership = Ownership { repository: "r".into(), commit: "c".into() };
    let text = rendered.text(&ownership).unwrap();
    yaml::parse(&text).unwrap().unwrap().get("services").unwrap().get(name).unwrap()
}

fn words(node: &Node, key: &str) -> Vec<String> {
    let list = node.get(key).unwrap_or_else(|| panic!("no `{key}`"));
    list.items().unwrap().iter().map(|item| item.text().unwrap_or("{}").to_owned()).collect()
}

#[test]
fn the_command_is_what_the_service_would_have_run() {
    for (compose, expected) in [
        ("", &["e", "f", "c"][..]),
        ("command: [a, 'b c']", &["e", "f", "a", "b c"]),
        ("command: a 'b c' # d", &["e", "f", "a", "b c"]),
        ("entrypoint: [a]", &["a"]),
        ("entrypoint: a \"b c\"", &["a", "b c"]),
        ("entrypoint: a\n    command: b c", &["a", "b", "c"]),
        ("entrypoint: []\n    command: ''", &["e", "f", "c"]),
        ("entrypoint: ['']\n    command: [b]", &["b"]),
        ("command: [a, $V, '$$A']", &["e", "f", "a", "a 'b c'", "$$A"]),
        ("command: a $V", &["e", "f", "a", "a", "b c"]),
    ] {
        let stack =
            rendered(&format!("services:\n  a:\n    image: x\n    {compose}\n"), "- {secret: s, env: S}\n");
        let complete = stack.complete(&image(&["e", "f"], &["c"])).unwrap();
        let service = service(&complete, "a");
        assert_eq!(words(&service, "entrypoint"), ["/bin/sh", "/entrypoint-secrets.sh"], "{compose}");
        assert_eq!(words(&service, "command"), expected, "{compose}");
    }
}

#[test]
fn what_cannot_be_injected_says_what_to_do() {
    let stack = rendered("services: {a: {image: x}}", "- {secret: s, env: S}");
    let error = |images| format!("{:#}", stack.complete(&images).unwrap_err());
    assert!(error(image(&[], &[])).contains("neither the compose file nor `x:latest` has an entrypoint"));
    let mut images = image(&["e"], &[]);
    for image in images.values_mut() {
        image.has_shell = false;
    }
    assert!(error(images).contains("has no `/bin/sh`") && error(image(&[""], &[])).contains("neither"));
    let reset = rendered("services: {a: {image: x, entrypoint: ['']}}", "- {secret: s, env: S}");
    assert!(reset.complete(&image(&["e"], &["c"])).is_err(), "it drops the image's command as well");
}

#[test]
fn declared_secrets_keep_their_targets_and_others_are_added() {
    let compose = concat!(
        "services:\n  a: &a\n    image: x\n    secrets: [{source: one, target: /etc/one, mode: 0400}, key]\n",
        "  b: {<<: *a, labels: [l]}\n  c: {image: x, secrets: }\n",
        "secrets:\n  one: {external: true}\n  key: {external: true, name: two}\n  own: {file: compose.yml}\n",
    );
    let entries = "- {secret: one, env: ONE}\n- {id: two, env: TWO}\n- {secret: own, env: OWN, services: [c]}\n- {secret: new, env: NEW}\n";
    let stack = rendered(compose, entries);
    assert_eq!(stack.secrets().iter().collect::<Vec<_>>(), ["new", "one", "two"]);
    assert_eq!(words(&service(&stack, "a"), "secrets"), ["{}", "key", "new"]);
    assert_eq!(words(&service(&stack, "b"), "secrets"), ["{}", "key", "new"]);
    assert_eq!(words(&service(&stack, "c"), "secrets"), ["one", "key", "own", "new"]);
    let scripts = stack.scripts();
    assert_eq!(scripts.len(), 2, "a and b share one");
    let of = |target: &str| scripts.iter().filter(|script| script.text.contains(target)).count();
    let targets =
        ["ONE '/etc/one'", "ONE '/run/secrets/one'", "TWO '/run/secrets/key'", "OWN '/run/secrets/own'"];
    assert_eq!(targets.map(of), [1, 1, 2, 1]);
}

#[test]
fn the_same_input_makes_the_same_text_and_other_input_another() {
    let compose = "services: {a: {image: x}, b: {image: x}}";
    let one = rendered(compose, "- {secret: s, env: S}");
    let same = rendered(compose, "# a comment\n- env: S\n  id: s\n");
    assert_eq!(one.fingerprint, same.fingerprint);
    assert_eq!(one.scripts(), same.scripts());
    for other in
        ["", "- {secret: s, env: T}", "- {secret: t, env: S}", "- {secret: s, env: S, services: [a]}"]
    {
        assert_ne!(rendered(compose, other).fingerprint, one.fingerprint, "{other}");
    }
    assert!(rendered(compose, "").scripts().is_empty());
}

#[test]
fn names_of_scripts_fit_and_differ() {
    let stack = |letters: &str| StackName::known(letters.repeat(61));
    let name =
        |stack: &StackName, env: &str| script::script(stack, &[(env.into(), "/f".into())], &key()).name;
    assert_eq!(name(&stack("a"), "A").len(), 64);
    assert_ne!(name(&stack("a"), "A"), name(&stack("a"), "B"));
    assert_ne!(name(&stack("a"), "A"), name(&StackName::known("a".repeat(60)), "A"));
}

#[test]
fn mistakes_name_file_line_and_key_all_at_once() {
    let compose = "services: {a: {image: x}, b: {image: x}}";
    for (secrets, expected) in [
        ("a: b", &["web/secrets.yaml:1: must be a list of `secret` and `env`, not a mapping"][..]),
        ("- [", &["web/secrets.yaml:"]),
        ("- x", &["web/secrets.yaml:1: `entry 1`: must be a mapping"]),
        ("- {env: A}", &["`entry 1`: has no `secret`"]),
        ("- secret: s\n", &["web/secrets.yaml:1: `entry 1`: has no `env`"]),
        (
            "- {secret: 7, env: yes}",
            &[
                "`entry 1.secret`: must be a string, not a number",
                "`entry 1.env`: must be a string, not a boolean",
            ],
        ),
        ("- {secret: -s, env: 1A}", &["`-s` is no name of a docker secret", "`1A` is no name of a variable"]),
        ("- {secret: s, env: \"A B\"}", &["`A B` is no name of a variable"]),
        ("- {secret: s, env: \"A;reboot\"}", &["is no name of a variable"]),
        ("- {secret: ../s, env: PATH}", &["`../s` is no name", "`PATH` is a variable of the shell itself"]),
        ("- {secret: s, id: s, env: A}", &["is the older name of `secret`"]),
        ("- {secret: s, env: A, mode: 1}", &["`entry 1.mode`: unknown key; known are"]),
        (
            "- {secret: s, env: A}\n- secret: t\n  env: A\n  services: [b]\n",
            &["web/secrets.yaml:2: `entry 2.env`: `A` is set twice in a service, first in line 1"],
        ),
        (
            "- {secret: s, env: A, services: [a, a, c, [d]]}",
            &["`a` is listed twice", "`c` is no service of the compose file", "must list names, not a list"],
        ),
        ("- {secret: s, env: A, services: a}", &["must be a list of services, not a string"]),
        ("- {secret: s, env: A, services: []}", &["lists no service"]),
    ] {
        let found = mistakes(compose, secrets);
        for text in expected {
            assert!(found.iter().any(|line| line.contains(text)), "{text}: {found:?}");
        }
        assert_eq!(found.len(), expected.len(), "{found:?}");
    }
    let apart = "- {secret: s, env: A, services: [a]}\n- {secret: t, env: A, services: [b]}\n";
    assert_eq!(rendered(compose, apart).scripts().len(), 2);
    let entry = "- {secret: s, env: A}";
    for (compose, expected) in [
        (
            "services: {a: {image: x, command: [a, 1]}}",
            "`services.a.command`: must list strings, not a number",
        ),
        ("services: {a: {image: x, entrypoint: \"a 'b\"}}", "`services.a.entrypoint`: has a quote"),
        ("services: {a: {image: x, secrets: s}}", "`services.a.secrets`: must be a list"),
    ] {
        assert!(mistakes(compose, entry).iter().any(|line| line.contains(expected)), "{expected}");
    }
}

/// Every shell of this machine that images have as `/bin/sh`.
#[expect(clippy::disallowed_methods, reason = "a shell is what is tested")]
#[test]
fn values_arrive_byte_for_byte_under_every_shell() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let bytes: Vec<u8> = (1..=255).collect();
    let values: [(&str, Vec<u8>); 5] = [
        ("A", b"  two  words 'q' \"d\" $HOME $(id) `id` * ? \\ \\n \\\\ ~ # ! & ; | ".to_vec()),
        ("B", [b"\n\n", &*bytes, b"\n", &bytes, b"\\"].concat()),
        ("C", b"line\n  next\t\n\nend".to_vec()),
        ("D", b"-n".to_vec()),
        ("E", Vec::new()),
    ];
    let mut variables: Vec<_> =
        values.iter().map(|(env, _)| ((*env).to_owned(), at(env).display().to_string())).collect();
    variables.push(("GONE".into(), at("it's gone").display().to_string()));
    for (env, value) in &values {
        fs::write(at(env), [value, &b"\n\n\n"[..]].concat()).unwrap();
    }
    fs::write(at("s"), script::script(&StackName::known("w"), &variables, &key()).text).unwrap();
    let shells: [(&str, &[&str]); 4] =
        [("dash", &[]), ("busybox", &["sh"]), ("bash", &["--posix"]), ("bash", &[])];
    let mut tried = 0;
    for (shell, words) in shells {
        let mut process = Process::new(shell);
        let output = process
            .arg0(if shell == "bash" { "sh" } else { shell })
            .args(words)
            .arg(at("s"))
            .args(["env", "X=a b", "env", "-0"])
            .env_clear()
            .envs([("PATH", "/usr/bin:/bin"), ("KEPT", "k"), ("A", "before"), ("value", "v")])
            .output();
        let Ok(output) = output else { continue };
        tried += 1;
        let got: Vec<&[u8]> = output.stdout.split(|byte| *byte == 0).collect();
        for (env, value) in &values {
            let wanted = [env.as_bytes(), b"=", value].concat();
            assert!(got.contains(&&*wanted), "{shell} {words:?}: {env}");
        }
        for line in ["GONE=", "KEPT=k", "value=v", "X=a b"] {
            assert!(got.contains(&line.as_bytes()), "{shell} {words:?}: {line}");
        }
        assert!(!got.iter().any(|line| line.starts_with(b"dockerops")), "its own variables stay behind");
        assert!(String::from_utf8_lossy(&output.stderr).contains("gone cannot be read, GONE is empty"));
    }
    assert!(tried > 0, "no shell here");
}
