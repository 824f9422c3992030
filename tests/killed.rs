//! `kill -9` at a hundred moments of fetching, of making anew what is kept, and of writing out: the next run is right.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use walkdir::WalkDir;

use crate::support::dockerops::{DockerOps, Running};
use crate::support::fake_docker::FakeDocker;
use crate::support::git_server::GitServer;
use crate::support::repo::Repo;

const ROUNDS: u64 = 25;
const STACK: &str = "services:
  app:
    image: 127.0.0.1:1/other
    volumes: [site:/site]
    configs: [one, two]
configs: {one: {file: one}, two: {file: deep/two}}
";
/// What docker finds when it is called, put away whole or not at all; then it refuses.
const PUT_AWAY: &str = "draft=$folder/draft-$$; mkdir $draft && cp -a WHAT $draft/files && cat >$draft/text && \
    mkdir -p $folder/KIND && mv $draft $folder/KIND/$PPID; echo 'not now' >&2; exit 1";

/// When a run is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    Any,
    Fetching,
    MakingAnew,
    WritingOut,
}

const MOMENTS: [Moment; 4] = [Moment::Any, Moment::Fetching, Moment::MakingAnew, Moment::WritingOut];

/// A repository with a binding, configs and a build context, all of which change with every push.
struct Victim {
    ops: DockerOps,
    fake: FakeDocker,
    repo: Repo,
    public: tempfile::TempDir,
    nfs: tempfile::TempDir,
    server: GitServer,
    seed: u64,
    /// How long a whole run takes.
    whole: Duration,
}

impl Victim {
    fn new(seed: u64) -> Self {
        let (repo, public, nfs) = (Repo::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let put_away = |what: &str, kind: &str| PUT_AWAY.replace("WHAT", what).replace("KIND", kind);
        let fake = FakeDocker::of_an_empty_swarm()
            .does("stack deploy", &put_away(".", "given"))
            .does("build --tag", &put_away("\"${@: -1}\"", "built"));
        let ops = DockerOps::without_docker().with_fake(&fake).env("DOCKER_BUILDKIT", "0").limit(60);
        repo.stack("web", STACK).write("nfs.yaml", format!("path: {}\n", nfs.path().display()));
        repo.write("volumes.yaml", "- {id: site, type: binding, path: site}\n");
        repo.write("images.yaml", "- {name: tool, push: false, context: context}\n");
        let server = GitServer::start(public.path(), &[]);
        let mut new = Self { ops, fake, repo, public, nfs, server, seed, whole: Duration::ZERO };
        new.push(0);
        new.ops.run(["watch", &new.server.url("r")]).failure(3);
        new.whole = new.is_right("watch", u32::MAX);
        new
    }

    /// Below `most`.
    fn random(&mut self, most: u64) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % most.max(1)
    }

    fn push(&mut self, round: u64) {
        let noise: Vec<u8> = (0..300_000).map(|_| self.random(256).to_le_bytes()[0]).collect();
        self.repo.write("site/noise", &noise).write("context/noise", &noise[..100_000]);
        self.repo.write("context/Dockerfile", "FROM scratch\n");
        for number in 0..40 {
            let text = format!("{round} {number}");
            self.repo.write(&format!("site/{}/{number}", number % 4), &text);
            self.repo.write(&format!("context/{}/{number}", number % 4), &text);
        }
        self.repo.write("web/one", format!("one {round}")).write("web/deep/two", format!("two {round}"));
        self.repo.commit("next");
        self.repo.publish(self.public.path(), "r");
    }

    fn beside_the_database(&self, name: &str) -> PathBuf {
        self.ops.database().with_file_name(format!("dockerops.db.{name}"))
    }

    /// Whether the moment has come: by what lies on disk.
    fn is_at(&self, moment: Moment) -> bool {
        let (objects, checkouts) =
            (self.beside_the_database("objects"), self.beside_the_database("checkouts"));
        match moment {
            Moment::Any => true,
            Moment::Fetching => any(&objects, |path| name(path).starts_with("pack_")),
            Moment::MakingAnew => any(&objects, |path| path.ends_with("new")),
            Moment::WritingOut => {
                any(&checkouts, |path| path.is_file() && path.iter().any(|part| part == "files"))
                    || any(self.nfs.path(), |path| name(path).starts_with(".dockerops-sync-"))
            }
        }
    }

    /// Starts a run and ends it at that moment, or a little later; whether it came to that, and its process.
    fn kill(&mut self, moment: Moment) -> (bool, u32) {
        if moment == Moment::MakingAnew {
            // As another version kept it.
            for form in find(&self.beside_the_database("objects"), |path| path.ends_with("form")) {
                fs::write(form, "0").unwrap();
            }
        }
        let later = if moment == Moment::Any {
            Duration::from_micros(self.random(u64::try_from(self.whole.as_micros()).unwrap()))
        } else {
            Duration::from_micros(self.random(40_000))
        };
        // An earlier process may have had the number of one that is to come.
        for kind in ["given", "built"] {
            let _ = fs::remove_dir_all(self.fake.folder().join("..").join(kind));
        }
        let mut run: Running = self.ops.spawn(["reconcile"]);
        let pid = run.pid();
        while run.is_running() && !self.is_at(moment) {
            sleep(Duration::from_millis(1));
        }
        sleep(later);
        let came = run.is_running();
        if came {
            run.signal(Signal::KILL);
        }
        run.wait();
        (came, pid)
    }

    /// The next run has the files of the last commit, everywhere; how long it took.
    fn is_right(&self, what: &str, killed: u32) -> Duration {
        let begun = Instant::now();
        let run = self.ops.spawn(["reconcile"]);
        let pid = run.pid();
        let outcome = run.wait();
        let took = begun.elapsed();
        outcome.failure(3).stdout_has("failed    web  `docker stack deploy").stdout_lacks("failed    source");
        let put_away = |kind: &str, pid: u32| self.fake.folder().join("..").join(kind).join(pid.to_string());
        let given = put_away("given", pid);
        let text = fs::read_to_string(given.join("text"))
            .unwrap_or_else(|error| panic!("{what}: {error}: {outcome}"));
        let mut files: Vec<_> = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("file: "))
            .map(|file| fs::read_to_string(given.join("files").join(file.trim_matches(['"', '\'']))).unwrap())
            .collect();
        files.sort_unstable();
        let own = self.repo.path();
        let wanted = ["web/one", "web/deep/two"].map(|name| fs::read_to_string(own.join(name)).unwrap());
        assert_eq!(files, wanted, "{what}: {text}");
        // What the run that was killed had built to its end is not built again.
        let built: Vec<_> =
            [pid, killed].iter().map(|pid| put_away("built", *pid)).filter(|it| it.exists()).collect();
        for built in built {
            assert!(is_the_same(&built.join("files"), &own.join("context")), "{what}: {outcome}");
        }
        let bound = self.nfs.path().join("site");
        assert!(is_the_same(&bound, &own.join("site")), "{what}: {outcome}");
        let left = fs::read_dir(self.nfs.path()).unwrap().count();
        assert_eq!(left, 1, "{what}: {:?}", find(self.nfs.path(), |path| name(path).starts_with('.')));
        assert_eq!(self.ops.checkouts(), Vec::<PathBuf>::new(), "{what}");
        let kept = self.beside_the_database("objects");
        let count = |end: &str| find(&kept, |path| name(path).ends_with(end)).len();
        assert_eq!(count(".pack"), count(".idx"), "{what}");
        assert!(!any(&kept, |path| name(path).starts_with("pack_") || path.ends_with("new")), "{what}");
        let check: String = self.ops.db().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(check, "ok", "{what}");
        took
    }
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// What there is below `folder`, as far as it stays there.
fn find(folder: &Path, which: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    let entries = WalkDir::new(folder).into_iter().flatten().map(walkdir::DirEntry::into_path);
    entries.filter(|path| which(path)).collect()
}

fn any(folder: &Path, which: impl Fn(&Path) -> bool) -> bool {
    WalkDir::new(folder).into_iter().flatten().any(|entry| which(entry.path()))
}

/// Whether both hold the same files with the same bytes.
fn is_the_same(one: &Path, other: &Path) -> bool {
    let files = |folder: &Path| {
        let mut files = find(folder, Path::is_file);
        files.sort_unstable();
        let inside =
            |file: PathBuf| (file.strip_prefix(folder).unwrap().to_owned(), fs::read(&file).unwrap());
        files.into_iter().map(inside).collect::<Vec<_>>()
    };
    files(one) == files(other)
}

#[test]
fn killed_at_a_hundred_moments_the_next_run_is_right() {
    let came = Mutex::new(Vec::new());
    scope(|threads| {
        for worker in 0..4 {
            let came = &came;
            threads.spawn(move || {
                let mut victim = Victim::new(worker + 1);
                for round in 1..=ROUNDS {
                    victim.push(round);
                    let moment = MOMENTS[usize::try_from(round + worker).unwrap() % MOMENTS.len()];
                    let (was_killed, pid) = victim.kill(moment);
                    victim.whole = victim.is_right(&format!("{moment:?} in round {round} of {worker}"), pid);
                    came.lock().unwrap().extend(was_killed.then_some(moment));
                }
            });
        }
    });
    let came = came.into_inner().unwrap();
    let counts = MOMENTS.map(|moment| (moment, came.iter().filter(|it| **it == moment).count()));
    println!("{counts:?}");
    assert!(counts.iter().all(|(_, count)| *count >= 12), "{counts:?}");
}
