//! The same change by http, by ssh and on disk, out of whatever is kept.

use std::fs;

use super::{Order, ask, draft, hook, inventory, pushed, show};
use crate::git::push::{Made, Outcome, Target, change};
use crate::git::tests::Lab;
use crate::git::tests::lab::Origin;
use crate::git::tests::ssh::{me, sshd, trust};
use crate::settings::{Author, GitAccess, Purpose};
use crate::source::Source;

/// Three changes of one source: of nothing that is kept, of what is, and of what is not the newest any more.
fn thrice(lab: &Lab, origin: &Origin, url: &str, write: impl Fn(&str) -> String) {
    for round in ["nothing kept", "kept", "kept, and moved on"] {
        let before = inventory(&lab.path("git"));
        let tip = ask(origin, &["rev-parse", "main"]);
        let text = format!("{url} {round}\r\n$x");
        let commit = write(&text);
        assert_eq!(
            ask(origin, &["rev-parse", "main", "main~1"]),
            format!("{commit}\n{tip}"),
            "{url} {round}"
        );
        assert_eq!(inventory(&lab.path("git")), before, "nothing is kept of it");
        assert_eq!(show(origin, "main:web/.env"), text);
        assert_eq!(ask(origin, &["diff", "--stat", "main~1", "main", "--", ".", ":!web"]), "");
        let said = ask(origin, &["log", "-1", "--format=%an <%ae>|%cn <%ce>|%B", "main"]);
        let who = "Ops <ops@example.org>";
        assert_eq!(said, format!("{who}|{who}|Write web/.env\n\nRequested-by: Ann"));
        if round == "nothing kept" && url.contains("http") {
            lab.fetch(url, &lab.access()).unwrap();
            lab.fetch(&format!("{url}#older"), &lab.access()).unwrap();
        }
    }
    ask(origin, &["fsck", "--full", "--strict"]);
}

/// With a history, and another branch that leaves it.
fn with_history(lab: &Lab) -> Origin {
    let origin = lab.origin("r");
    for number in 0..12 {
        origin.commit(&[("d/e", &number.to_string()), ("a", "2")]);
    }
    origin.git(&["push", "-q", "--force", "origin", "HEAD~3:refs/heads/older"]);
    origin
}

#[test]
fn a_change_is_one_commit_on_the_tip_by_http_and_on_disk() {
    let lab = Lab::new();
    let origin = with_history(&lab);
    let http = lab.server(&["--push"]);
    for url in [http.url("r"), origin.path().to_owned(), format!("file://{}", origin.path())] {
        thrice(&lab, &origin, &url, |text| pushed(Order::new(&lab, &url).write("web/.env", text)));
    }
}

#[test]
fn a_change_is_pushed_by_ssh_and_a_key_that_may_only_read_is_told() {
    let lab = Lab::new();
    let origin = with_history(&lab);
    let ssh = sshd(&lab);
    trust(&lab, ssh.port, &lab.path("host_key.pub"));
    let url = format!("ssh://{}@127.0.0.1:{}{}", me(), ssh.port, origin.path());
    let write = |text: &str| {
        let mut probe = std::process::Command::new(std::env::current_exe().unwrap());
        probe.args(["--exact", "git::tests::push::ways::probe", "--nocapture"]).env_clear();
        probe.env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", lab.path("home"));
        probe.env("PROBE_SOURCE", &url).env("PROBE_FOLDER", lab.path("checkouts"));
        let output = probe.env("PROBE_TEXT", text).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    thrice(&lab, &origin, &url, |text| {
        let told = write(text);
        let commit = told.split("pushed ").nth(1).unwrap_or_else(|| panic!("{told}"));
        commit[..40].to_owned()
    });
    let before = ask(&origin, &["rev-parse", "main"]);
    hook(&origin, "pre-receive", "echo no stacks today; exit 1");
    let told = write("refused");
    assert!(told.contains("pre-receive hook declined") && told.contains("no stacks today"), "{told}");
    fs::remove_file(origin.bare.join("hooks/pre-receive")).unwrap();
    // As forges answer a deploy key that may not write.
    let keys = fs::read_to_string(lab.path("authorized_keys")).unwrap();
    let only = "command=\"case $SSH_ORIGINAL_COMMAND in git-upload*) sh -c \\\"$SSH_ORIGINAL_COMMAND\\\";; *) echo \
        ERROR: The key is read only >&2; exit 1;; esac\"";
    fs::write(lab.path("authorized_keys"), format!("{only} {keys}")).unwrap();
    let told = write("refused");
    assert!(told.contains("failed: ERROR: The key is read only"), "{told}");
    assert_eq!(ask(&origin, &["rev-parse", "main"]), before);
}

/// Does nothing unless a test runs it in a process of its own: where `known_hosts` lies is set once for a process.
#[test]
fn probe() {
    let Ok(text) = std::env::var("PROBE_TEXT") else { return };
    let path = |name: &str| std::path::PathBuf::from(std::env::var_os(name).unwrap());
    let reading = GitAccess { home: Some(path("HOME")), ..GitAccess::of_tests() };
    crate::git::configure(&reading).unwrap();
    let source = Source::parse(&std::env::var("PROBE_SOURCE").unwrap()).unwrap();
    let author = Author { name: "Ops".into(), email: "ops@example.org".into() };
    let pushing = GitAccess { purpose: Purpose::Push, ..reading.clone() };
    let folder = path("PROBE_FOLDER");
    let (reading, pushing) = (&reading, &pushing);
    let target = Target { source: &source, branch: None, author: &author, reading, pushing, folder: &folder };
    match change::<()>(target, |tip| draft(tip, "web/.env", &text).map(Made::Push)).unwrap() {
        Outcome::Pushed { commit, .. } => println!("pushed {commit}"),
        other => println!("{other:?}"),
    }
}
