//! What is kept from fetch to fetch: enough, never too much, and never somebody else's.

mod pinned;
mod said;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use walkdir::WalkDir;

use super::Lab;
use super::lab::{Origin, Server, head, refusal};
use super::whole;
use crate::git::{Checkout, Commit, sweep_kept};
use crate::source::Source;

const MIB: usize = 1 << 20;

/// A server with one repository, and what is fetched of it.
struct Scene {
    lab: Lab,
    origin: Origin,
    server: Server,
}

impl Scene {
    fn new() -> Self {
        let lab = Lab::new();
        let origin = lab.origin("r");
        let server = lab.server(&[]);
        Self { lab, origin, server }
    }

    fn url(&self) -> String {
        self.server.url("r")
    }

    fn fetch(&self) -> Checkout {
        self.lab.fetch(&self.url(), &self.lab.access()).unwrap()
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.fetch().root().path().join(file)).unwrap()
    }

    /// A shallow fetch takes two requests.
    fn transfers(&self) -> usize {
        self.server.log().iter().filter(|line| line.contains("POST")).count() / 2
    }

    /// All files of what is kept that end so.
    fn files(&self, end: &str) -> Vec<PathBuf> {
        let all = WalkDir::new(self.lab.path("git")).into_iter().map(|entry| entry.unwrap().into_path());
        all.filter(|path| path.is_file() && path.to_str().unwrap().ends_with(end)).collect()
    }

    fn bytes(&self) -> u64 {
        self.files(".pack").iter().map(|path| path.metadata().unwrap().len()).sum()
    }
}

/// So many bytes that no packer makes smaller.
fn noise(bytes: usize, mut seed: u64) -> String {
    let mut text = String::with_capacity(bytes);
    while text.len() < bytes {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push(char::from(b' ' + u8::try_from((seed >> 33) % 95).unwrap()));
    }
    text
}

#[test]
fn a_push_brings_what_is_new_and_the_same_commit_nothing() {
    let scene = Scene::new();
    scene.origin.commit(&[("large", &noise(1 << 20, 1))]);
    assert_eq!(scene.read("a"), "2");
    let (before, transfers) = (scene.bytes(), scene.transfers());
    scene.origin.commit(&[("a", "3")]);
    assert_eq!((scene.read("a"), scene.read("large").len()), ("3".into(), 1 << 20));
    assert!(scene.bytes() - before < 10_000, "{} after {before}", scene.bytes());
    assert_eq!(scene.transfers(), transfers + 1);
    // Not even a server is needed.
    let (url, commit) = (scene.url(), Commit::parse(&scene.origin.head()).unwrap());
    let Scene { lab, server, .. } = scene;
    drop(server);
    let source = Source::parse(&url).unwrap();
    let again = whole(&source, &commit, &lab.path("checkouts"), &lab.access()).unwrap();
    assert_eq!(fs::read_to_string(again.root().path().join("a")).unwrap(), "3");
}

#[test]
fn history_that_goes_back_or_is_written_anew_is_followed() {
    let scene = Scene::new();
    assert_eq!(scene.read("a"), "2");
    // Of a commit before the first one that was fetched.
    scene.origin.commit(&[("a", "1")]);
    assert_eq!(scene.read("a"), "1");
    scene.origin.git(&["checkout", "-q", "--orphan", "other"]);
    scene.origin.git(&["rm", "-rqf", "."]);
    scene.origin.commit(&[("b", "anew")]);
    scene.origin.git(&["push", "-q", "--force", "origin", "other:main"]);
    let made = scene.fetch();
    assert_eq!(fs::read_to_string(made.root().path().join("b")).unwrap(), "anew");
    assert!(!made.root().path().join("a").exists());
}

#[test]
fn a_tip_that_was_deleted_is_a_clear_error_and_what_comes_after_it_is_right() {
    let scene = Scene::new();
    scene.fetch();
    let bare = Path::new(scene.origin.path());
    let forget = || {
        super::lab::git(bare, &["reflog", "expire", "--expire=now", "--all"]);
        super::lab::git(bare, &["gc", "-q", "--prune=now"]);
    };
    // Decided, and gone with all its objects before it is fetched.
    let gone = Commit::parse(&scene.origin.commit(&[("a", "gone")])).unwrap();
    scene.origin.git(&["reset", "-q", "--hard", "HEAD~1"]);
    scene.origin.commit(&[("a", "after")]);
    forget();
    let source = Source::parse(&scene.url()).unwrap();
    let (error, hint) = refusal(whole(&source, &gone, &scene.lab.path("checkouts"), &scene.lab.access()));
    assert!(error.contains(&scene.url()) && !hint.is_empty(), "{error}: {hint}");
    assert_eq!(scene.read("a"), "after");
    // What is kept is of commits that the server knows no more.
    scene.origin.git(&["checkout", "-q", "--orphan", "other"]);
    scene.origin.commit(&[("a", "anew")]);
    scene.origin.git(&["push", "-q", "--force", "origin", "other:main"]);
    scene.origin.git(&["push", "-q", "--delete", "origin", "other"]);
    forget();
    assert_eq!(scene.read("a"), "anew");
    // The branch itself.
    scene.origin.git(&["push", "-q", "origin", "HEAD:side"]);
    let side = format!("{}#side", scene.url());
    scene.lab.fetch(&side, &scene.lab.access()).unwrap();
    scene.origin.git(&["push", "-q", "--delete", "origin", "side"]);
    let (error, hint) = refusal(scene.lab.fetch(&side, &scene.lab.access()));
    assert!(error.contains("side") && !hint.is_empty(), "{error}: {hint}");
    assert_eq!(scene.read("a"), "anew");
}

#[test]
fn a_byte_that_changed_anywhere_is_noticed_and_all_is_fetched_anew() {
    let scene = Scene::new();
    // One file goes the way of large ones.
    scene.origin.commit(&[("large", &noise(2 << 20, 2)), ("small", &noise(5_000, 3))]);
    scene.fetch();
    let whole = scene.lab.path("whole");
    copy(&scene.lab.path("git"), &whole);
    let mut anew = 0;
    for place in 0..50 {
        fs::remove_dir_all(scene.lab.path("git")).unwrap();
        copy(&whole, &scene.lab.path("git"));
        let end = if place % 3 == 0 { ".idx" } else { ".pack" };
        let path = scene.files(end).remove(0);
        let mut bytes = fs::read(&path).unwrap();
        let at = bytes.len() * place / 50;
        bytes[at] ^= 1 << (place % 8);
        fs::write(&path, bytes).unwrap();
        let made = scene.lab.fetch(&scene.url(), &scene.lab.access());
        let made = made.unwrap_or_else(|error| panic!("{place} of {}: {error:#}", path.display()));
        let read = |name: &str| fs::read_to_string(made.root().path().join(name)).unwrap();
        assert_eq!(
            (read("a"), read("small"), read("large")),
            ("2".into(), noise(5_000, 3), noise(2 << 20, 2)),
            "{place}"
        );
        anew += usize::from(made.take_notes().iter().any(|note| note.contains("damaged")));
    }
    assert!(anew > 20, "{anew}");
}

fn copy(from: &Path, to: &Path) {
    for entry in WalkDir::new(from) {
        let entry = entry.unwrap();
        let path = to.join(entry.path().strip_prefix(from).unwrap());
        if entry.file_type().is_dir() {
            fs::create_dir_all(path).unwrap();
        } else {
            fs::copy(entry.path(), path).unwrap();
        }
    }
}

#[test]
fn what_a_fetch_left_that_was_cut_off_is_cleared_and_what_another_version_kept_is_made_anew() {
    let scene = Scene::new();
    scene.fetch();
    let kept = scene.files("form").remove(0).parent().unwrap().to_path_buf();
    let left =
        ["objects/pack/pack_XyZ", "objects/pack/pack-1.idx", "objects/pack/pack-2.pack", "shallow.lock"];
    for name in left {
        fs::write(kept.join(name), "half").unwrap();
    }
    let half = kept.parent().unwrap().join("new/objects/pack");
    fs::create_dir_all(&half).unwrap();
    fs::write(half.join("pack_1"), "half").unwrap();
    scene.origin.commit(&[("a", "3")]);
    assert_eq!(scene.read("a"), "3");
    assert!(left.iter().all(|name| !kept.join(name).exists()));
    fs::write(kept.join("form"), "0").unwrap();
    assert_eq!(scene.read("a"), "3");
    assert!(!kept.exists() && !half.exists());
    assert_eq!(scene.files("form").len(), 1);
    // All of it deleted, or a file where a folder should be.
    fs::remove_dir_all(scene.files("form")[0].parent().unwrap().join("objects")).unwrap();
    assert_eq!(scene.read("a"), "3");
}

#[test]
fn sources_of_one_remote_share_it_also_at_the_same_time() {
    let scene = Scene::new();
    scene.origin.git(&["push", "-q", "origin", "HEAD:other"]);
    let sources = [format!("{}#main", scene.url()), format!("{}#other", scene.url())];
    thread::scope(|scope| {
        for source in sources.iter().cycle().take(8) {
            scope.spawn(|| {
                let made = scene.lab.fetch(source, &scene.lab.access()).unwrap();
                assert_eq!(fs::read_to_string(made.root().path().join("a")).unwrap(), "2");
            });
        }
    });
    assert_eq!((scene.transfers(), scene.files(".pack").len()), (1, 1));
}

#[test]
fn it_does_not_grow_beyond_twice_what_the_tips_need() {
    let scene = Scene::new();
    for round in 0..8 {
        scene.origin.commit(&[("large", &noise(8 * MIB, round + 10))]);
        assert_eq!(scene.read("large").len(), 8 * MIB);
        assert!(scene.bytes() < (2 * 8 + 16 + 8) * MIB as u64, "{}", scene.bytes());
    }
    let numbers = scene.files("form");
    assert!(numbers.len() == 1 && !numbers[0].parent().unwrap().ends_with("1"), "{numbers:?}");
}

#[test]
fn no_source_reads_what_another_one_s_credentials_brought() {
    let lab = Lab::new();
    let (private, open) = (lab.origin("private"), lab.origin("open"));
    let closed = lab.server(&["--user", "bob", "--password", "hunter2"]);
    let server = lab.server(&[]);
    let with = lab.access_with(&format!("http://bob:hunter2@127.0.0.1:{}\n", closed.port));
    lab.fetch(&closed.url("private"), &with).unwrap();
    // Its commit, named from elsewhere.
    let secret = private.commit(&[("a", "secret")]);
    lab.fetch(&closed.url("private"), &with).unwrap();
    let (error, _) = refusal(lab.fetch(&format!("{}#{secret}", server.url("open")), &lab.access()));
    assert!(error.contains(&secret), "{error}");
    // Itself, as a submodule.
    open.commit(&[(
        ".gitmodules",
        &format!("[submodule \"m\"]\n\tpath = m\n\turl = {}\n", closed.url("private")),
    )]);
    open.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{secret},m")]);
    open.git(&["commit", "-q", "-m", "module"]);
    open.git(&["push", "-q", "origin", "HEAD"]);
    let (error, _) = refusal(lab.fetch(&server.url("open"), &lab.access()));
    assert!(error.contains("authentication required"), "{error}");
}

#[test]
fn a_source_that_names_a_commit_has_its_own_credentials_looked_at_too() {
    let lab = Lab::new();
    let origin = lab.origin("private");
    let server = lab.server(&["--user", "bob", "--password", "hunter2"]);
    let with = lab.access_with(&format!("http://bob:hunter2@127.0.0.1:{}\n", server.port));
    lab.fetch(&server.url("private"), &with).unwrap();
    for name in [origin.head(), origin.head().to_uppercase()] {
        let named = format!("{}#{name}", server.url("private"));
        let (error, _) = refusal(lab.fetch(&named, &lab.access()));
        assert!(error.contains("authentication required"), "{error}");
        assert_eq!(lab.leftovers(), 0);
        // One question, anonymous and then with the credential, and nothing is transferred.
        let before = server.log().len();
        lab.fetch(&named, &with).unwrap();
        let asked = server.log().split_off(before);
        assert_eq!(asked.len(), 2, "{asked:?}");
        assert!(asked.iter().all(|line| line.contains("GET") && line.contains("info/refs")), "{asked:?}");
    }
    let (named, port) = (format!("{}#{}", server.url("private"), origin.head()), server.port);
    drop(server);
    let (error, _) = refusal(lab.fetch(&named, &with));
    assert!(error.contains(&port.to_string()) && error.contains("connection refused"), "{error}");
    // What comes from the server now was asked of it: there is no second question.
    let server = lab.server(&[]);
    lab.fetch(&format!("{}#{}", server.url("private"), origin.head()), &lab.access()).unwrap();
    assert_eq!(server.log().iter().filter(|line| line.contains("GET")).count(), 1, "{:?}", server.log());
}

#[test]
fn what_no_source_uses_goes_unless_somebody_reads_it() {
    let scene = Scene::new();
    let used = scene.fetch();
    let folder = scene.lab.path("git");
    sweep_kept(&folder, &BTreeMap::from([(scene.url(), Vec::new())]));
    assert_eq!(scene.files("form").len(), 1);
    sweep_kept(&folder, &BTreeMap::new());
    assert_eq!(scene.files("form").len(), 1);
    drop(used);
    sweep_kept(&folder, &BTreeMap::new());
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    sweep_kept(&scene.lab.path("none"), &BTreeMap::new());
}

#[test]
fn a_server_that_gives_no_single_commit_is_told_of() {
    let scene = Scene::new();
    let server = scene.lab.server(&["--tips-only"]);
    let decided = head(&server.url("r"), &scene.lab.access()).unwrap();
    scene.origin.commit(&[("a", "moved on")]);
    let source = Source::parse(&server.url("r")).unwrap();
    let made = whole(&source, &decided, &scene.lab.path("checkouts"), &scene.lab.access()).unwrap();
    assert_eq!(fs::read_to_string(made.root().path().join("a")).unwrap(), "2");
    let notes = made.take_notes();
    assert!(notes.iter().any(|note| note.contains("all of it is fetched")), "{notes:?}");
}

#[test]
fn killed_at_any_moment_of_a_fetch_the_next_one_is_right() {
    let scene = Scene::new();
    let kept = scene.lab.path("git");
    for round in 0..30_u64 {
        let (small, large) = (noise(3_000, round + 1), noise(3 * MIB, round + 100));
        scene.origin.commit(&[("small", &small), ("large", &large)]);
        let mut probe = scene.lab.start_probe(&scene.url(), &[("PROBE_KEPT", kept.to_str().unwrap())]);
        thread::sleep(Duration::from_millis(round * round * 37 % 600));
        probe.kill().unwrap();
        probe.wait().unwrap();
        assert_eq!((scene.read("small"), scene.read("large")), (small, large), "{round}");
    }
    let halves = scene.files(".pack").len() != scene.files(".idx").len();
    assert!(!halves && !scene.files("").iter().any(|path| path.to_str().unwrap().contains("/pack_")));
}

#[test]
fn what_is_somebody_else_s_stays_and_what_cannot_be_kept_is_fetched_all_the_same() {
    let scene = Scene::new();
    let folder = scene.lab.path("git");
    // A database of this name would have its objects kept in somebody's repository.
    crate::git::tests::lab::git(scene.lab.dir.path(), &["init", "-q", "--bare", folder.to_str().unwrap()]);
    fs::create_dir(folder.join("0123456789abcdef0123456789abcdef")).unwrap();
    let before = WalkDir::new(&folder).into_iter().count();
    sweep_kept(&folder, &BTreeMap::new());
    assert_eq!(WalkDir::new(&folder).into_iter().count(), before);
    fs::remove_dir_all(&folder).unwrap();
    fs::write(&folder, "no folder").unwrap();
    let made = scene.fetch();
    assert_eq!(fs::read_to_string(made.root().path().join("a")).unwrap(), "2");
    let notes = made.take_notes();
    assert!(notes.iter().any(|note| note.contains("cannot be kept")), "{notes:?}");
}

#[test]
fn what_git_notes_beside_its_objects_is_mended_too() {
    let scene = Scene::new();
    for (name, text) in [("shallow", "nonsense\n"), ("needs", ""), ("config", ""), ("refs/dockerops/X", "00")]
    {
        scene.fetch();
        let kept = scene.files("form").remove(0).parent().unwrap().to_path_buf();
        let path = kept.join(name.replace('X', &scene.origin.head()));
        if text.is_empty() && name == "needs" {
            fs::remove_file(&path).unwrap();
            fs::create_dir(&path).unwrap();
        } else {
            fs::write(&path, text).unwrap();
        }
        assert_eq!(scene.read("a"), scene.origin.git(&["show", "HEAD:a"]), "{name}");
        scene.origin.commit(&[("a", name)]);
        assert_eq!(scene.read("a"), name);
    }
    // What a server made it note without end is not carried along: git compares each line with each.
    let shallow = scene.files("/shallow").remove(0);
    let lines: Vec<_> = (0..20_000).map(|number| format!("{number:040x}\n")).collect();
    fs::write(&shallow, lines.concat()).unwrap();
    scene.origin.commit(&[("a", "last")]);
    assert_eq!(scene.read("a"), "last");
    let left: Vec<_> = scene.files("/shallow").iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    assert!(left.concat().lines().count() < 10, "{left:?}");
}

#[test]
fn what_is_not_in_the_commit_is_no_damage_of_what_is_kept() {
    let scene = Scene::new();
    let made = scene.fetch();
    let asked = scene.server.log().len();
    assert!(made.content_id(&made.root().path().join("none")).is_err());
    assert!(made.root().resolve(made.root().path(), "none/at/all").is_err());
    assert!(made.tracked(&made.root().path().join("none")).unwrap().is_empty());
    assert_eq!(scene.server.log().len(), asked, "nothing is fetched for it");
    assert!(made.take_failure().is_none() && made.take_notes().is_empty());
}
