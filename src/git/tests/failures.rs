//! Every failure names the source and says the way out.

use std::time::{Duration, Instant};

use super::lab::{git, head, refusal};
use super::{Lab, checkout};
use crate::git::heads;
use crate::settings::GitAccess;
use crate::source::Source;

#[test]
fn nothing_to_fetch() {
    let lab = Lab::new();
    lab.empty("empty");
    lab.origin("r");
    let server = lab.server(&[]);
    for base in [lab.path("empty.git").display().to_string(), server.url("empty")] {
        let (error, hint) = refusal(head(&base, &lab.access()));
        assert!(error.contains(&base) && error.contains("no commit in the repository"), "{error}");
        assert!(hint.contains("push"), "{hint}");
    }
    let source = format!("{}#nope", server.url("r"));
    let (error, hint) = refusal(head(&source, &lab.access()));
    assert!(error.contains(&source) && error.contains("no branch or tag `nope`"), "{error}");
    assert!(hint.contains("`main`"), "{hint}");
}

#[test]
fn not_found_not_git_refused() {
    let lab = Lab::new();
    let server = lab.server(&[]);
    let page = lab.server(&["--html"]);
    let gone = lab.server(&[]);
    let refused = gone.url("r");
    drop(gone);
    for (source, wanted) in [
        (server.url("missing"), "was not found"),
        (lab.path("missing").display().to_string(), "was not found"),
        (format!("file://{}", lab.path("missing").display()), "was not found"),
        (page.url("r"), "is not a git repository"),
        (refused, "connection refused"),
        ("http://no-such-host.invalid/r".into(), "cannot be reached"),
    ] {
        let (error, _) = refusal(head(&source, &lab.access()));
        assert!(error.contains(&format!("source `{source}`")), "{error}");
        assert!(error.contains(wanted), "{error}");
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let lab = Lab::new();
    let origin = lab.origin("r");
    std::fs::write(lab.path("checkouts"), "a file").unwrap();
    let (error, _) = refusal(lab.fetch(origin.path(), &lab.access()));
    assert!(error.contains("checkouts") && error.contains(origin.path()), "{error}");
}

#[test]
fn a_server_that_hangs_is_given_up() {
    let lab = Lab::new();
    lab.origin("r");
    for after in ["0", "2"] {
        let server = lab.server(&["--hang-after", after]);
        let begin = Instant::now();
        let told = lab.probe(&server.url("r"), &[("PROBE_TIMEOUT", "1")]);
        assert!(told.contains("timed out") && told.contains(&server.url("r")), "{told}");
        assert!(told.contains("hint check the server"), "{told}");
        assert!(begin.elapsed() < Duration::from_secs(15), "{after}");
        assert_eq!(lab.leftovers(), 0);
    }
}

#[test]
fn a_server_that_keeps_a_thread_busy_gets_no_second_one_and_the_first_one_ends() {
    let lab = Lab::new();
    lab.origin("r");
    let server = lab.server(&["--shallow", "1000000"]);
    let access = GitAccess { timeout: Duration::from_millis(500), ..lab.access() };
    let source = Source::parse(&server.url("r")).unwrap();
    let commit = heads(std::slice::from_ref(&source), &access).wait().unwrap().remove(0).unwrap();
    let fetch = || refusal(checkout(&source, &commit, &lab.path("checkouts"), &access)).0;
    let transfers = || server.log().iter().filter(|line| line.contains("POST")).count();
    // On a busy machine the first one may end before a second one is asked for: then once more.
    let found = (0..3).find_map(|_| {
        let error = fetch();
        assert!(error.contains("timed out"), "{error}");
        let (asked, begun) = (server.log().len(), Instant::now());
        let (again, took) = (fetch(), begun.elapsed());
        let head = heads(std::slice::from_ref(&source), &access).wait().unwrap().remove(0);
        let head = head.err().filter(|_| server.log().len() == asked)?;
        Some((error, again, refusal::<()>(Err(head)).0, took, begun))
    });
    let (error, again, head, took, begun) = found.expect("a second one is begun beside the first one");
    assert_eq!([again, head], [error.clone(), error]);
    assert!(took < Duration::from_secs(2), "{took:?}");
    let before = transfers();
    // Another source of this machine is served meanwhile.
    let other = lab.server(&[]);
    lab.fetch(&other.url("r"), &access).unwrap();
    while transfers() == before {
        assert!(begun.elapsed() < Duration::from_secs(120), "it goes on burning");
        std::thread::sleep(Duration::from_millis(500));
        fetch();
    }
}

#[test]
fn a_signal_ends_a_stalled_fetch_and_leaves_nothing() {
    let lab = Lab::new();
    lab.origin("r");
    for after in ["0", "2"] {
        let server = lab.server(&["--hang-after", after]);
        let probe = lab.start_probe(&server.url("r"), &[("PROBE_TIMEOUT", "60")]);
        let requests = after.parse::<usize>().unwrap() + 1;
        while server.log().len() < requests {
            std::thread::sleep(Duration::from_millis(50));
        }
        let begin = Instant::now();
        let pid = i32::try_from(probe.id()).ok().and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.unwrap(), rustix::process::Signal::TERM).unwrap();
        let output = probe.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(told.contains("ended by SIGTERM"), "{after}: {told}");
        assert!(output.status.success(), "{:?}", output.status);
        assert!(begin.elapsed() < Duration::from_secs(8));
        assert_eq!(lab.leftovers(), 0);
    }
}

#[test]
fn many_slow_servers_take_as_long_as_one_and_keep_their_order() {
    let lab = Lab::new();
    let origin = lab.origin("r");
    let server = lab.server(&["--delay", "1"]);
    let mut sources: Vec<Source> = (0..20).map(|_| Source::parse(&server.url("r")).unwrap()).collect();
    sources.insert(7, Source::parse(&server.url("missing")).unwrap());
    let begin = Instant::now();
    let answers = heads(&sources, &lab.access()).wait().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
    for (index, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.ok().map(|commit| commit.to_string()), (index != 7).then(|| origin.head()));
    }
    assert_eq!(server.log().len(), 21);
}

#[test]
fn more_sources_than_threads_are_all_answered() {
    let lab = Lab::new();
    let origin = lab.origin("r");
    let sources = vec![Source::parse(origin.path()).unwrap(); 150];
    let answers = heads(&sources, &lab.access()).wait().unwrap();
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 150);
    assert!(heads(&[], &lab.access()).wait().unwrap().is_empty());
}

#[test]
fn the_configuration_of_the_user_changes_nothing() {
    let lab = Lab::new();
    let origin = lab.origin("r");
    let config = "[core]\n\tautocrlf = true\n[url \"/nowhere/\"]\n\tinsteadOf = http://\n";
    std::fs::write(lab.path("home/.gitconfig"), config).unwrap();
    let server = lab.server(&[]);
    let told = lab.probe(&server.url("r"), &[]);
    assert!(told.contains(&format!("fetched {}", origin.head())), "{told}");
}

#[test]
fn another_users_repository_may_be_watched() {
    let lab = Lab::new();
    let origin = lab.origin("r");
    let status = std::process::Command::new("chown").args(["-R", "65534", origin.path()]).status().unwrap();
    if status.success() {
        git(lab.dir.path(), &["-C", origin.path(), "rev-parse", "HEAD"]);
        lab.fetch(origin.path(), &lab.access()).unwrap();
    }
}
