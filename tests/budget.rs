//! Whatever one source does, it takes neither the memory of the program nor the turn of the others.

use crate::support::dockerops::{DockerOps, Outcome};
use crate::support::fake_docker::FakeDocker;
use crate::support::git_server::GitServer;
use crate::support::objects::{Entry, Objects};

const ONE: &str = "services: {app: {image: app}}\n";
/// What the daemon is shipped with, in KiB.
const SHIPPED: u64 = 256 * 1024;

/// `#` in `line` counted from 0 on.
fn lines(count: usize, line: &str) -> String {
    (0..count).flat_map(|number| [line.replace('#', &number.to_string()), "\n".into()]).collect()
}

/// Tells the peak memory of the program behind it.
const PEAK: &str = "
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print('peak', resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(code)";

/// A good source and a bad one, both watched while both were good; docker takes no deploy, so both have work at every run.
struct Beside {
    ops: DockerOps,
    fake: FakeDocker,
    bad: Objects,
    url: String,
    good: Objects,
    nfs: tempfile::TempDir,
    _server: Option<GitServer>,
}

impl Beside {
    fn new(settings: &[(&str, &str)]) -> Self {
        let bad = Objects::new();
        let url = bad.path().display().to_string();
        Self::of(bad, url, None, settings)
    }

    /// The bad one comes over http: from a path libgit2 takes other ways.
    fn served(settings: &[(&str, &str)]) -> Self {
        let bad = Objects::new();
        let server = GitServer::start(bad.served(), &[]);
        let url = server.url("r");
        Self::of(bad, url, Some(server), settings)
    }

    fn of(bad: Objects, url: String, server: Option<GitServer>, settings: &[(&str, &str)]) -> Self {
        let fake = FakeDocker::of_an_empty_swarm()
            .fails("stack deploy", 1, "not now")
            .prints("stack rm", "Nothing found in stack: web");
        let mut ops = DockerOps::without_docker()
            .env("DOCKER_BUILDKIT", "0")
            .with_fake(&fake)
            .through(["python3", "-c", PEAK])
            .limit(120);
        for (name, value) in settings {
            ops = ops.env(name, value);
        }
        let good = Objects::new();
        good.commit(good.folder([
            ("good", good.folder([("compose.yml", good.file(ONE))])),
            ("stacks.yaml", good.file("- name: good\n")),
        ]));
        bad.stack_beside([("README", bad.file("good as well"))]);
        for source in [&good.path().display().to_string(), &url] {
            ops.run(["watch", source]).failure(3);
        }
        fake.forget();
        Self { ops, fake, bad, url, good, nfs: tempfile::tempdir().unwrap(), _server: server }
    }

    /// A run at what the bad one is now: it deploys the good one, within the memory that there is.
    #[track_caller]
    fn reconcile(&self) -> Outcome {
        let outcome = self.ops.run(["reconcile"]);
        let deploys = self.fake.calls_with("stack deploy");
        assert!(deploys.iter().any(|call| call.ends_with(" good")), "{deploys:?}: {outcome}");
        let peak = peak(&outcome);
        assert!(peak < SHIPPED, "{peak} KiB: {outcome}");
        assert_eq!(self.ops.checkouts(), [""; 0].map(std::path::PathBuf::from));
        outcome
    }

    /// Likewise, and the bad one is refused for this reason.
    #[track_caller]
    fn refuses(&self, what: &str, way_out: &str) -> Outcome {
        let outcome = self.reconcile();
        outcome.failure(3).stdout_has(&format!("failed    source `{}", self.url)).stdout_has(what);
        assert!(format!("{outcome}").contains(way_out), "no `{way_out}`: {outcome}");
        assert!(self.good.path().exists());
        outcome
    }
}

impl Beside {
    /// The bad one builds an image of this folder.
    fn builds(&self, context: Entry) {
        let bad = &self.bad;
        bad.stack_beside([
            ("context", context),
            ("docker", bad.folder([("Dockerfile", bad.file("FROM scratch\n"))])),
            (
                "images.yaml",
                bad.file("- {name: app, push: false, context: context, dockerfile: ../docker/Dockerfile}\n"),
            ),
        ]);
    }

    /// The bad one binds this folder.
    fn binds(&self, folder: Entry) {
        let bad = &self.bad;
        let nfs = format!("path: {}\n", self.nfs.path().display());
        bad.stack_beside([
            ("folder", folder),
            ("nfs.yaml", bad.file(nfs)),
            ("volumes.yaml", bad.file("- {id: folder, type: binding, path: folder}\n")),
        ]);
    }

    /// A run in which a part of the bad one is refused for this reason.
    #[track_caller]
    fn spoils(&self, what: &str, way_out: &str) {
        let outcome = self.reconcile();
        outcome.stdout_lacks("failed    source");
        assert!(format!("{outcome}").contains(what), "no `{what}`: {outcome}");
        assert!(format!("{outcome}").contains(way_out), "no `{way_out}`: {outcome}");
    }
}

fn peak(outcome: &Outcome) -> u64 {
    let line = outcome.stderr.lines().find_map(|line| line.strip_prefix("peak "));
    line.unwrap_or_else(|| panic!("no peak: {outcome}")).parse().unwrap()
}

/// A folder that unpacks to a hundred times as many files with each level.
fn bomb(bad: &Objects, levels: usize) -> Entry {
    let file = bad.file("x");
    let folder = bad.folder((0..100).map(|number| (format!("f{number}"), file)));
    (0..levels).fold(folder, |folder, _| bad.folder((0..100).map(|number| (format!("d{number}"), folder))))
}

#[test]
fn what_no_file_names_may_be_as_large_as_it_likes() {
    let beside = Beside::new(&[]);
    let bad = &beside.bad;
    let mut deep = bad.folder([("f", bad.file("x"))]);
    for _ in 0..3_000 {
        deep = bad.folder([("d", deep)]);
    }
    bad.stack_beside([("bomb", bomb(bad, 60)), ("deep", deep), ("big", bad.zeros(300))]);
    let outcome = beside.reconcile();
    outcome.stdout_lacks("failed    source").stdout_has("failed    web  `docker stack deploy");
    assert!(peak(&outcome) < SHIPPED / 4, "{outcome}");
}

#[test]
fn a_folder_that_unpacks_to_a_million_files_is_counted_and_nothing_of_it_is_written() {
    let beside = Beside::new(&[]);
    // More levels are more than a number can hold.
    for levels in [2, 60] {
        beside.builds(bomb(&beside.bad, levels));
        beside.spoils("it has more than 200000 files and folders", "DOCKEROPS_MAX_FILES");
        beside.binds(bomb(&beside.bad, levels));
        beside.spoils("it has more than 200000 files and folders", "DOCKEROPS_MAX_FILES");
    }
}

#[test]
fn a_small_pack_of_many_large_files_is_counted_before_it_is_written() {
    let beside = Beside::new(&[]);
    let zeros = beside.bad.zeros(50);
    beside.builds(beside.bad.folder((0..90).map(|number| (format!("big{number}"), zeros))));
    beside.spoils("its files are more than 4 GiB", "DOCKEROPS_MAX_BYTES");
}

#[test]
fn folders_that_lie_too_deep_are_refused() {
    let beside = Beside::new(&[]);
    let bad = &beside.bad;
    let mut folder = bad.folder([("f", bad.file("x"))]);
    for _ in 0..3_000 {
        folder = bad.folder([("d", folder)]);
    }
    beside.builds(folder);
    beside.spoils("its folders lie more than 128 deep", "further up");
    beside.binds(folder);
    beside.spoils("its folders lie more than 128 deep", "further up");
}

#[test]
fn a_file_larger_than_all_memory_is_written_out_piece_by_piece() {
    for beside in [Beside::served(&[]), Beside::new(&[])] {
        beside.builds(beside.bad.folder([("big", beside.bad.zeros(300))]));
        let outcome = beside.reconcile();
        assert_eq!(beside.fake.calls_with("build ").len(), 1, "{outcome}");
        assert!(peak(&outcome) < SHIPPED / 4, "{outcome}");
    }
}

#[test]
fn what_git_would_hold_in_memory_is_bounded() {
    let beside = Beside::served(&[("DOCKEROPS_GIT_MEMORY", "24M")]);
    let file = beside.bad.file("x");
    beside.bad.commit_saying(&"x".repeat(30 << 20), beside.bad.folder([("f", file)]));
    beside.refuses("git needs more than 24 MiB of memory for it", "DOCKEROPS_GIT_MEMORY");
}

#[test]
fn a_list_of_refs_without_end_is_refused() {
    let beside = Beside::served(&[("DOCKEROPS_GIT_MEMORY", "32M")]);
    beside.bad.tags(200_000);
    beside.refuses("git needs more than 16 MiB of memory for it", "DOCKEROPS_GIT_MEMORY");
}

#[test]
fn a_transfer_ends_where_it_is_more_than_a_source_may_be() {
    let beside = Beside::served(&[("DOCKEROPS_MAX_BYTES", "300K")]);
    // Nothing that packs.
    let mut seed = 1_u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24).to_le_bytes()[0]
    })
    .take(3 << 20)
    .collect();
    beside.bad.stack_beside([("noise", beside.bad.file(noise))]);
    beside.refuses("git sends more than 300 KiB for it", "DOCKEROPS_MAX_BYTES");
}

#[test]
fn stacks_that_share_one_file_are_counted_each() {
    let beside = Beside::new(&[("DOCKEROPS_MAX_STACKS", "100")]);
    let bad = &beside.bad;
    let large = format!("x-y: [{}]\n{ONE}", "a,".repeat(20_000));
    let folder = bad.folder([("compose.yml", bad.link("../large.yml"))]);
    bad.stacks(30, folder, &[("large.yml", bad.file(large))]);
    beside.refuses("its compose files hold more than 50000 values in all", "DOCKEROPS_MAX_STACKS");

    let long = format!("x-y: '{}'\n{ONE}", "a".repeat(500_000));
    bad.stacks(30, folder, &[("large.yml", bad.file(long))]);
    beside.refuses("its compose files are more than 6.2 MiB in all", "DOCKEROPS_MAX_STACKS");
}

#[test]
fn aliases_are_counted_written_out_in_all_stacks_together() {
    let beside = Beside::new(&[("DOCKEROPS_MAX_STACKS", "100")]);
    let bad = &beside.bad;
    let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..5 {
        let previous = format!("*a{}", level - 1);
        bomb += &format!("a{level}: &a{level} [{}]\n", vec![previous; 9].join(","));
    }
    let folder = bad.folder([("compose.yml", bad.file(bomb + ONE))]);
    bad.stacks(100, folder, &[]);
    beside.refuses("its compose files hold more than 50000 values in all", "DOCKEROPS_MAX_STACKS");
}

#[test]
fn variables_that_all_stacks_share_are_counted_each() {
    let beside = Beside::new(&[("DOCKEROPS_MAX_STACKS", "200")]);
    let bad = &beside.bad;
    let folder = bad.folder([("compose.yml", bad.file(ONE)), (".env", bad.link("../env"))]);
    bad.stacks(200, folder, &[("env", bad.file(format!("A={}\n", "x".repeat(4_000_000))))]);
    beside.refuses("its compose files are more than", "DOCKEROPS_MAX_STACKS");
}

#[test]
fn files_that_compose_files_name_are_bounded_one_and_all() {
    let beside = Beside::new(&[("DOCKEROPS_MAX_STACKS", "10")]);
    let bad = &beside.bad;
    let configs = lines(20, "  c#: {file: ./c}");
    let compose = bad.file(format!("{ONE}configs:\n{configs}"));
    let folder = bad.folder([("compose.yml", compose), ("c", bad.link("../c"))]);
    bad.stacks(10, folder, &[("c", bad.file("x".repeat(600_000)))]);
    beside
        .refuses("the files that its compose files name are more than 10 MiB in all", "DOCKEROPS_MAX_STACKS");

    bad.stacks(1, folder, &[("c", bad.zeros(2))]);
    let outcome = beside.reconcile();
    outcome
        .failure(3)
        .stdout_has("has 1000 KiB or more, which Swarm does not take")
        .stdout_has("mend the files");
}

#[test]
fn lists_are_as_long_as_is_set_and_no_longer() {
    let beside = Beside::new(&[("DOCKEROPS_MAX_STACKS", "3")]);
    let bad = &beside.bad;
    let folder = bad.folder([("compose.yml", bad.file(ONE))]);
    bad.stacks(3, folder, &[]);
    beside.reconcile().stdout_lacks("failed    source");
    bad.stacks(4, folder, &[]);
    beside.refuses("it lists more than 3 stacks, or images", "DOCKEROPS_MAX_STACKS");

    let file = bad.file(lines(20_000, "- name: s#"));
    bad.commit(bad.folder([("stacks.yaml", file)]));
    beside.refuses("it lists more than 3 stacks, or images", "DOCKEROPS_MAX_STACKS");
    bad.stack_beside([("images.yaml", bad.file(lines(20_000, "- {name: r/i#, context: .}")))]);
    beside.refuses("it lists more than 3 stacks, or images", "DOCKEROPS_MAX_STACKS");
    bad.stack_beside([("volumes.yaml", bad.file(lines(20_000, "- {id: i#, type: volume, path: i#}")))]);
    beside.refuses("its `volumes.yaml` has more than 12 entries", "DOCKEROPS_MAX_STACKS");
    bad.commit(bad.folder((0..4).map(|number| (format!("docker-compose-s{number}.yml"), bad.file(ONE)))));
    beside.refuses("it lists more than 3 stacks, or images", "DOCKEROPS_MAX_STACKS");
}

#[test]
fn bindings_of_one_folder_are_counted_each() {
    let beside = Beside::new(&[("DOCKEROPS_MAX_FILES", "3000")]);
    let bad = &beside.bad;
    let nfs = tempfile::tempdir().unwrap();
    let file = bad.file("x");
    let many = bad.folder((0..2_000).map(|number| (format!("f{number}"), file)));
    bad.stack_beside([
        ("many", many),
        ("one", bad.link("many")),
        ("two", bad.link("many")),
        ("nfs.yaml", bad.file(format!("path: {}\n", nfs.path().display()))),
        (
            "volumes.yaml",
            bad.file("- {id: one, type: binding, path: one}\n- {id: two, type: binding, path: two}\n"),
        ),
    ]);
    beside.refuses("its bindings hold more than 3000 files in all", "DOCKEROPS_MAX_FILES");
}

#[test]
fn of_very_many_mistakes_some_are_told_and_the_others_counted() {
    let beside = Beside::new(&[]);
    let bad = &beside.bad;
    let services = lines(10_000, "  s#: 1");
    let folder = bad.folder([("compose.yml", bad.file(format!("services:\n{services}")))]);
    bad.stacks(2, folder, &[]);
    let outcome = beside.reconcile();
    outcome
        .failure(3)
        .stdout_has("failed    s0  10001 mistakes:")
        .stdout_has("failed    s1  10001 mistakes:");
    assert_eq!(outcome.stdout.matches("and 9951 more").count(), 2, "{outcome}");
    assert_eq!(outcome.stdout.matches("must be a mapping").count(), 100, "{outcome}");

    // Of a source as a whole, where the list is wrong too.
    let wrong = bad.file("- name: s0\n- name: s0\n");
    bad.commit(bad.folder([("s0", folder), ("stacks.yaml", wrong)]));
    let outcome = beside.refuses("10002 mistakes, nothing was deployed:", "and 9952 more");
    assert_eq!(outcome.stdout.matches("and 9952 more").count(), 1, "{outcome}");

    // However many stacks there are.
    let services = lines(100, "  s#: 1");
    bad.stacks(300, bad.folder([("compose.yml", bad.file(format!("services:\n{services}")))]), &[]);
    let outcome = beside.reconcile();
    // Above is the state, which tells of the last run.
    let told = outcome.stdout.split("failed    s0  100 mistakes:").nth(1).unwrap();
    let told = told.matches("must be a mapping").count();
    assert!((300..=800).contains(&told), "{told}");
    outcome.stdout_has("failed    s0  100 mistakes:").stdout_has("failed    s299  100 mistakes:");
}

#[test]
fn submodules_are_few_and_their_list_is_short() {
    let beside = Beside::new(&[]);
    let bad = &beside.bad;
    let entry = format!("[submodule \"#\"]\n\tpath = m#\n\turl = {}", beside.url);
    let submodules = (0..501).map(|number| (format!("m{number}"), Objects::submodule()));
    bad.stack_beside(submodules.chain([(".gitmodules".into(), bad.file(lines(501, &entry)))]));
    beside.refuses("it has more than 500 submodules", "only what is deployed");

    bad.stack_beside([("m", Objects::submodule()), (".gitmodules", bad.zeros(2))]);
    beside.refuses("`.gitmodules` is larger than 1024 KiB", "a `path` and a `url`");
}

#[test]
fn submodules_and_the_source_are_counted_together() {
    let beside = Beside::new(&[("DOCKEROPS_MAX_FILES", "14")]);
    let (bad, inner) = (&beside.bad, beside.bad.neighbour());
    let file = inner.file("x");
    let commit = inner.commit(inner.folder((0..12).map(|number| (format!("f{number}"), file))));
    let list = format!("[submodule \"m\"]\n\tpath = m\n\turl = {}\n", inner.path().display());
    let own = (0..8).map(|number| (format!("f{number}"), bad.file("x")));
    let submodule = [("m".to_owned(), Objects::submodule_at(commit)), (".gitmodules".into(), bad.file(list))];
    bad.stack_beside(own.chain(submodule));
    // Twelve of the submodule, its folder, and those of the stack.
    beside.refuses("it has more than 14 files and folders", "DOCKEROPS_MAX_FILES");
}

#[test]
fn two_hundred_honest_stacks_take_little_memory() {
    let beside = Beside::new(&[]);
    let bad = &beside.bad;
    let service = "  app#:\n    image: registry.example.org/app:#\n    environment: {A: b, C: d}\n    deploy:\n      \
                   replicas: 2\n      labels: [a=b, c=d]\n    networks: [inner]";
    let services = lines(4, service);
    let compose = bad.file(format!("services:\n{services}networks: {{inner: {{}}}}\n"));
    bad.stacks(200, bad.folder([("compose.yml", compose)]), &[]);
    let outcome = beside.ops.run(["reconcile", "--dry-run"]);
    outcome.success().stdout_has("201 to deploy");
    assert!(peak(&outcome) < 48 * 1024, "{outcome}");
}
