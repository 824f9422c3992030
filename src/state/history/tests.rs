use super::*;
use crate::stack::DriftPolicy;
use crate::state::{Record, StackStatus};

/// A stack of a source in memory.
struct Kept {
    state: State,
    name: StackName,
    url: SourceUrl,
}

impl Kept {
    fn new() -> Self {
        Self { state: State::in_memory(), name: StackName::known("web"), url: "u".into() }
    }

    /// It converged with this fingerprint, by this image.
    fn ran(&self, (hash, digest): (&str, &str), given: &Given, most: usize) {
        let image = format!("app:1@sha256:{digest}");
        let services = BTreeMap::from([("web_app".to_owned(), Some(image))]);
        let ran = Ran { given, hash, seconds: 7, services, most };
        let record =
            Record { status: StackStatus::Deployed, hash: Some(hash), ran: Some(ran), ..self.record() };
        self.state.record(&record).unwrap();
    }

    fn record(&self) -> Record<'_> {
        Record::failed(&self.name, &self.url)
    }

    fn history(&self) -> Vec<Version> {
        self.state.history(&self.name, &self.url).unwrap()
    }

    fn hashes(&self) -> Vec<String> {
        self.history().into_iter().map(|version| version.hash).collect()
    }
}

fn given(commit: &str) -> Given {
    Given {
        how: GivenHow::Deploy,
        reason: format!("at {commit}"),
        commit: commit.into(),
        compose_path: "web/compose.yml".into(),
        drift: DriftPolicy::Correct,
        depends_on: Vec::new(),
        services: BTreeMap::new(),
        wanted: BTreeMap::new(),
        specs: BTreeMap::new(),
        versions: Versions { configs: vec![(format!("a-{commit}"), "a".into())], ..Versions::default() },
        plain: None,
        text: format!("services: {{}} # {commit}\n"),
        jobs: None,
    }
}

#[test]
fn what_is_the_newest_already_counts_there_and_everything_else_is_another_version() {
    let kept = Kept::new();
    kept.ran(("h1", "aa"), &given("c1"), 10);
    let first = kept.history().remove(0);
    assert_eq!((first.times, first.seconds, first.how), (1, 7, GivenHow::Deploy));
    assert_eq!((&*first.reason, &*first.text), ("at c1", "services: {} # c1\n"));
    assert_eq!(first.services["web_app"].as_deref(), Some("app:1@sha256:aa"));
    assert_eq!(first.versions.configs[0].0, "a-c1");
    // Put back, at a commit that changed nothing of it.
    kept.ran(("h1", "aa"), &given("c2"), 10);
    let again = kept.history();
    assert_eq!((again.len(), again[0].times, &*again[0].commit), (1, 2, "c2"));
    assert_eq!((again[0].id, &*again[0].reason), (first.id, "at c1"));
    // A tag that moved, another file, and the first one once more.
    kept.ran(("h1", "bb"), &given("c2"), 10);
    kept.ran(("h2", "bb"), &given("c3"), 10);
    kept.ran(("h1", "aa"), &given("c4"), 10);
    assert_eq!(kept.hashes(), ["h1", "h2", "h1", "h1"]);
    assert!(kept.history().iter().take(3).all(|version| version.times == 1));
}

#[test]
fn only_the_newest_are_kept_of_each_stack_and_they_go_with_it() {
    let kept = Kept::new();
    for number in 1..=5 {
        kept.ran((&format!("h{number}"), "aa"), &given("c"), 3);
    }
    assert_eq!(kept.hashes(), ["h5", "h4", "h3"]);
    assert_eq!(kept.state.newest_versions(&kept.name, &kept.url, 1).unwrap().len(), 1);
    let other = Kept { state: kept.state, name: StackName::known("db"), url: "u".into() };
    other.ran(("x", "aa"), &given("c"), 1);
    let kept = Kept { state: other.state, name: StackName::known("web"), url: "u".into() };
    assert_eq!(kept.hashes().len(), 3, "each has its own");
    // What fails afterwards changes nothing; less is kept from the next version on.
    kept.state.record(&kept.record()).unwrap();
    kept.ran(("h5", "aa"), &given("c"), 2);
    assert_eq!(kept.hashes(), ["h5", "h4"]);
    kept.state.forget_stack(&kept.name, &kept.url).unwrap();
    assert!(kept.history().is_empty());
    kept.ran(("h1", "aa"), &given("c"), 3);
    let stopped = Record { status: StackStatus::Stopped, hash: Some(""), ..kept.record() };
    kept.state.record(&stopped).unwrap();
    assert!(kept.history().is_empty(), "what runs no more needs nothing");
    let left = "SELECT count(*) FROM history";
    assert_eq!(kept.state.connection.query_row(left, [], |row| row.get::<_, i64>(0)).unwrap(), 1);
    kept.state.clear().unwrap();
    assert_eq!(kept.state.connection.query_row(left, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
}

#[test]
fn what_the_newest_that_differ_need_is_told() {
    let kept = Kept::new();
    // It went back and forth: of two that differ the third newest is the second.
    for version in [("h0", "00"), ("h1", "aa"), ("h2", "bb"), ("h1", "aa"), ("h2", "bb")] {
        kept.ran(version, &given(version.0), 10);
    }
    let images = |newest| kept.state.images_of_versions(newest).unwrap().into_iter().collect::<Vec<_>>();
    assert_eq!(images(2), ["app:1@sha256:aa", "app:1@sha256:bb"]);
    assert_eq!(images(0), [""; 0]);
    assert_eq!(images(9).len(), 3);
    let configs = |newest| -> Vec<String> {
        let needed = kept.state.needed_by_versions(&kept.name, &kept.url, newest).unwrap();
        needed.into_iter().flat_map(|needed| needed.versions.configs).map(|(name, _)| name).collect()
    };
    assert_eq!(configs(1), ["a-h2"]);
    assert_eq!(configs(3), ["a-h2", "a-h1", "a-h0"]);
    let nobody = StackName::known("nobody");
    assert_eq!(kept.state.needed_by_versions(&nobody, &kept.url, 9).unwrap(), []);
}

#[test]
fn no_version_is_endless_and_its_text_ends_with_a_line() {
    let kept = Kept::new();
    let text = "a line of thirty-two letters é.\n".repeat(4_000);
    let endless = Given { text: text.clone(), reason: "x".repeat(9_000), ..given("c") };
    kept.ran(("h", "aa"), &endless, 10);
    let version = kept.history().remove(0);
    assert_eq!(version.reason.len(), MOST_LETTERS);
    assert!(version.text.len() < MOST_TEXT + 64, "{}", version.text.len());
    let (whole, last) = version.text.trim_end().rsplit_once('\n').unwrap();
    assert!(text.starts_with(whole) && whole.ends_with("é."), "{last}");
    assert_eq!(last, format!("# {} more bytes are not kept", text.len() - whole.len() - 1));
}

#[test]
fn no_version_is_looked_for_by_reading_those_of_other_stacks() {
    let state = State::in_memory();
    for sql in [OF_A_STACK, NEEDED] {
        let mut query = state.connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let steps: Vec<String> =
            query.raw_query().mapped(|row| row.get("detail")).map(Result::unwrap).collect();
        assert_eq!(steps[0], "SEARCH history USING INDEX history_of_a_stack (stack_id=?)", "{sql}");
        assert!(!steps.iter().any(|step| step.contains("SCAN") || step.contains("B-TREE")), "{steps:?}");
    }
}

#[test]
fn a_version_is_noted_with_its_stack_or_neither_is() {
    let kept = Kept::new();
    kept.state.connection.execute_batch("DROP TABLE history").unwrap();
    let given = given("c");
    let ran = Ran { given: &given, hash: "h", seconds: 1, services: BTreeMap::new(), most: 10 };
    let record = Record { status: StackStatus::Deployed, hash: Some("h"), ran: Some(ran), ..kept.record() };
    kept.state.record(&record).unwrap_err();
    assert!(kept.state.stacks().unwrap().is_empty());
}

/// The stacks of a large Swarm, in a file: so many versions each, of three services and a text of 40 lines.
fn large(state: &State, versions: usize, most: Option<usize>) -> Vec<f64> {
    let (url, mut times) = ("https://github.com/org/repo".into(), Vec::new());
    let text = "      SOME_VARIABLE: ${SOME_VALUE}\n".repeat(40);
    for version in 0..versions {
        let given = Given {
            text: format!("{text}# {version}\n"),
            ..given("0123456789abcdef0123456789abcdef01234567")
        };
        for number in 0..200 {
            let name = StackName::known(format!("stack-{number}"));
            let service = |at: usize| {
                let image = format!("registry.example.org/team/app-{at}:1.{version}@sha256:{version:064x}");
                (format!("{name}_service-{at}"), Some(image))
            };
            let services: BTreeMap<_, _> = (0..3).map(service).collect();
            let hash = format!("{version:032x}");
            let ran = most.map(|most| Ran { given: &given, hash: &hash, seconds: 9, services, most });
            let record = Record {
                status: StackStatus::Deployed,
                hash: Some(&hash),
                ran,
                ..Record::failed(&name, &url)
            };
            let begun = std::time::Instant::now();
            state.record(&record).unwrap();
            times.push(begun.elapsed().as_secs_f64() * 1e6);
        }
    }
    times
}

#[test]
#[ignore = "no test: it measures, and tests/bench.sh runs it"]
fn a_record_with_its_version_beside_one_without() {
    let folder = tempfile::tempdir().unwrap();
    let size = |path: &std::path::Path| std::fs::metadata(path).unwrap().len() / 1024;
    let (with, without) = (folder.path().join("with.db"), folder.path().join("without.db"));
    let median = |mut times: Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let state = State::open(&with).unwrap();
    large(&state, 10, Some(10));
    let full = size(&with);
    let ours = median(large(&state, 10, Some(10)));
    let theirs = median(large(&State::open(&without).unwrap(), 10, None));
    let begun = std::time::Instant::now();
    assert_eq!(state.images_of_versions(2).unwrap().len(), 6);
    let needed = begun.elapsed().as_secs_f64() * 1e3;
    println!(
        "200 stacks with 10 versions each: {full} KiB, {} KiB after 10 more; without {} KiB; what the newest two \
         need is read in {needed:.1} ms; a record: {ours:.0} us; without its version: {theirs:.0} us; ratio {:.2}",
        size(&with),
        size(&without),
        ours / theirs
    );
}
