//! Commits fetched in threads, a few at a time, and none that takes long keeps its room.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Error, Result, anyhow};

use super::Session;
use super::door::Fetcher;
use crate::git::{self, Checkout, Commit, Transfer, Workplace};
use crate::settings::GitAccess;
use crate::signal;
use crate::signature::Required;
use crate::source::{Source, SourceId};

/// How many sources are fetched at a time.
const AT_ONCE: usize = 8;
/// One that takes longer leaves its room to another: its server may hang, or it may be huge.
const LONG: Duration = Duration::from_secs(10);
/// So many at the most, the long ones included.
const MOST: usize = 32;
/// So often one that found no room in memory beside others is fetched again, alone.
const AGAIN: u8 = 2;
/// So often a log is told how far a long one has come.
const A_MINUTE: Duration = Duration::from_secs(60);
/// So long others are waited for at least once one is there: what is read together is decided together.
const GRACE: Duration = Duration::from_millis(30);
/// How often a wait looks for signals.
const TICK: Duration = Duration::from_millis(100);

type Ended = (SourceId, Result<Checkout>);

/// How a commit is fetched into a folder.
type Fetch = Arc<dyn Fn(&Source, &Commit, &Path, &Arc<Transfer>) -> Result<Checkout> + Send + Sync>;

/// Fetches by git. Those under way are left to themselves when dropped, unless a signal ends them.
pub struct GitFetcher {
    fetch: Fetch,
    /// Whether something failed for want of memory.
    had_no_room: fn(&Error) -> bool,
    long: Duration,
    /// Where the files lie. It is not the folder of the run, by which others see that this lives: a fetch that nobody
    /// waits for any more may outlive the run.
    place: Option<Arc<Workplace>>,
    queue: VecDeque<Wanted>,
    running: Vec<Running>,
    channel: (Sender<Ended>, Receiver<Ended>),
    early: Vec<Ended>,
}

#[derive(Debug)]
struct Wanted {
    source: Source,
    commit: Commit,
    /// How often it found no room beside others.
    crowded: u8,
}

#[derive(Debug)]
struct Running {
    wanted: Wanted,
    begun: Instant,
    /// Whether another one was fetched meanwhile.
    was_beside: bool,
    thread: JoinHandle<()>,
    transfer: Arc<Transfer>,
    /// When a log was told last of how far it is.
    told: Instant,
}

impl fmt::Debug for GitFetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("GitFetcher");
        shown.field("queue", &self.queue).field("running", &self.running).finish_non_exhaustive()
    }
}

impl GitFetcher {
    pub fn new(access: &GitAccess, required: &Required) -> Self {
        let (access, required) = (access.clone(), required.clone());
        let fetch = move |source: &Source, commit: &Commit, folder: &Path, transfer: &Arc<Transfer>| {
            git::checkout(source, commit, folder, &access, transfer, required.of(source))
        };
        Self::of(Arc::new(fetch), Error::is::<git::NoRoom>)
    }

    fn of(fetch: Fetch, had_no_room: fn(&Error) -> bool) -> Self {
        Self {
            fetch,
            had_no_room,
            long: LONG,
            place: None,
            queue: VecDeque::new(),
            running: Vec::new(),
            channel: mpsc::channel(),
            early: Vec::new(),
        }
    }

    fn enqueue(&mut self, source: &Source, commit: &Commit) {
        self.queue.push_back(Wanted { source: source.clone(), commit: commit.clone(), crowded: 0 });
    }

    /// The one of the queue that may begin.
    fn next(&self) -> Option<usize> {
        let young = || self.running.iter().filter(|running| running.begun.elapsed() < self.long);
        // One that needs all the memory has it for a while.
        let is_taken = young().any(|running| running.wanted.crowded > 0);
        if is_taken || young().count() >= AT_ONCE || self.running.len() >= MOST {
            return None;
        }
        let first = self.queue.iter().position(|wanted| wanted.crowded == 0);
        first.or_else(|| (self.running.is_empty() && !self.queue.is_empty()).then_some(0))
    }

    /// Begins what is queued, as far as there is room; `tell` hears of each.
    fn start(&mut self, folder: &Path, tell: impl Fn(&Wanted)) {
        while let Some(wanted) = self.next().and_then(|at| self.queue.remove(at)) {
            tell(&wanted);
            let (fetch, sender, place) =
                (Arc::clone(&self.fetch), self.channel.0.clone(), self.place.clone());
            let (source, commit, folder) = (wanted.source.clone(), wanted.commit.clone(), folder.to_owned());
            let transfer = Arc::new(Transfer::new());
            let theirs = Arc::clone(&transfer);
            let work = move || {
                let fetched = fetch(&source, &commit, &folder, &theirs);
                let _ = sender.send((source.id().clone(), fetched));
                drop(place);
            };
            match thread::Builder::new().name("fetch".into()).spawn(work) {
                Ok(thread) => {
                    let was_beside = !self.running.is_empty();
                    self.running.iter_mut().for_each(|running| running.was_beside = true);
                    let (begun, told) = (Instant::now(), Instant::now());
                    self.running.push(Running { wanted, begun, was_beside, thread, transfer, told });
                }
                Err(error) => {
                    let why = anyhow!("source `{}`: cannot start a thread: {error}", wanted.source);
                    self.early.push((wanted.source.id().clone(), Err(why)));
                }
            }
        }
    }

    /// Takes in what ended; what is to be tried again alone is queued.
    fn take(&mut self) {
        let finished: Vec<_> = self
            .running
            .iter()
            .filter(|running| running.thread.is_finished())
            .map(|running| running.wanted.source.id().clone())
            .collect();
        let ended: Vec<_> = self.channel.1.try_iter().collect();
        let silent = |id| (id, Err(anyhow!("the fetch came to an unexpected end")));
        for ended in ended.into_iter().chain(finished.into_iter().map(silent)) {
            self.note(ended);
        }
    }

    fn note(&mut self, (id, result): Ended) {
        let at = self.running.iter().position(|running| *running.wanted.source.id() == id);
        let Some(running) = at.map(|at| self.running.swap_remove(at)) else { return };
        let Running { mut wanted, was_beside, thread, .. } = running;
        // It has had its say; the folder is ours alone then, and goes with us.
        let _ = thread.join();
        // What others took is there again once it is alone.
        let had_no_room = |error: &Error| (self.had_no_room)(error) && was_beside && wanted.crowded < AGAIN;
        if result.as_ref().is_err_and(had_no_room) {
            wanted.crowded += 1;
            self.queue.push_back(wanted);
        } else {
            self.early.push((id, result));
        }
    }

    /// Takes in what ends within `most`, as long as any of `awaited` does not; behind each that ends, the next one is
    /// waited for as long as the first one took.
    fn await_those(
        &mut self,
        folder: &Path,
        tell: impl Fn(&Wanted),
        tell_how_far: impl Fn(&Source, &Transfer, bool),
        awaited: &BTreeSet<SourceId>,
        most: Option<Duration>,
    ) -> Result<Vec<Ended>> {
        let (begun, mut seen, mut first, mut until) = (Instant::now(), 0, None, None);
        loop {
            self.take();
            if self.early.len() > seen {
                seen = self.early.len();
                let elapsed = begun.elapsed();
                until = Some(elapsed + *first.get_or_insert(elapsed.max(GRACE)));
            }
            self.start(folder, &tell);
            for Running { wanted, transfer, told, .. } in &mut self.running {
                let is_for_a_log = told.elapsed() >= A_MINUTE;
                tell_how_far(&wanted.source, transfer, is_for_a_log);
                if is_for_a_log {
                    *told = Instant::now();
                }
            }
            let most = most.map(|most| until.map_or(most, |until| most.min(until)));
            let left = most.map_or(TICK, |most| most.saturating_sub(begun.elapsed()));
            let under_way = self.running.iter().map(|running| &running.wanted).chain(&self.queue);
            let is_awaited = under_way.into_iter().any(|wanted| awaited.contains(wanted.source.id()));
            if !is_awaited || left.is_zero() {
                return Ok(std::mem::take(&mut self.early));
            }
            signal::check()?;
            self.wait(left.min(TICK));
        }
    }
}

impl Fetcher for GitFetcher {
    fn want(&mut self, session: &Session<'_>, source: &Source, commit: &Commit) -> Result<()> {
        if self.place.is_none() {
            self.place = Some(Arc::new(Workplace::new(&session.paths.checkouts)?));
        }
        self.enqueue(source, commit);
        Ok(())
    }

    fn fetched(
        &mut self,
        session: &Session<'_>,
        awaited: &BTreeSet<SourceId>,
        most: Option<Duration>,
    ) -> Result<Vec<Ended>> {
        let tell = |Wanted { source, commit, .. }: &Wanted| {
            session.report.progress(&format!("fetching `{source}` at {}", commit.short()));
            session.report.waiting(source.id().as_str(), "is being fetched");
        };
        let tell_how_far = |source: &Source, transfer: &Transfer, is_for_a_log: bool| {
            session.report.waiting(source.id().as_str(), &format!("is being fetched: {transfer}"));
            if is_for_a_log {
                session.report.progress(&format!("fetching `{source}`: {transfer}"));
            }
        };
        let folder = self.place.as_ref().map(|place| place.path().to_owned()).unwrap_or_default();
        self.await_those(&folder, tell, tell_how_far, awaited, most)
    }

    fn wait(&mut self, time: Duration) -> bool {
        if let Ok(ended) = self.channel.1.recv_timeout(time) {
            self.note(ended);
        }
        !self.early.is_empty()
    }
}

impl Drop for GitFetcher {
    fn drop(&mut self) {
        if self.running.is_empty() {
            return;
        }
        // It ends them all; else they may hang for long yet, and nobody is to wait for that.
        if signal::received().is_some() {
            for running in self.running.drain(..) {
                let _ = running.thread.join();
            }
        } else if let Some(place) = &self.place {
            let _ = fs::remove_dir_all(place.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const LIMIT: Option<Duration> = Some(Duration::from_secs(20));

    fn of(fetch: impl Fn(&str) -> Result<()> + Send + Sync + 'static) -> GitFetcher {
        let fetch = move |source: &Source, commit: &Commit, _: &Path, _: &Arc<Transfer>| {
            fetch(source.url().rsplit('/').next().unwrap_or_default())?;
            Ok(Checkout::at(commit.clone()))
        };
        GitFetcher::of(Arc::new(fetch), |error| error.to_string() == "no room")
    }

    fn want(fetcher: &mut GitFetcher, names: &[String]) -> BTreeSet<SourceId> {
        let commit = Commit::parse(&"1".repeat(40)).unwrap();
        let enqueued = |name: &String| {
            let source = Source::parse(&format!("https://h/{name}")).unwrap();
            fetcher.enqueue(&source, &commit);
            source.id().clone()
        };
        names.iter().map(enqueued).collect()
    }

    fn names(word: &str, count: usize) -> Vec<String> {
        (0..count).map(|number| format!("{word}{number}")).collect()
    }

    fn ended(fetcher: &mut GitFetcher, awaited: &BTreeSet<SourceId>, most: Option<Duration>) -> Vec<Ended> {
        fetcher.await_those(Path::new(""), |_| {}, |_, _, _| {}, awaited, most).unwrap()
    }

    fn ended_all(fetcher: &mut GitFetcher, awaited: &BTreeSet<SourceId>) -> Vec<Ended> {
        let mut all = Vec::new();
        while all.len() < awaited.len() {
            all.extend(ended(fetcher, awaited, LIMIT));
        }
        all
    }

    #[test]
    fn one_that_is_there_waits_as_long_again_for_others_and_no_longer() {
        let hang = Arc::new(Mutex::new(()));
        let (held, theirs) = (hang.lock().unwrap(), Arc::clone(&hang));
        let mut fetcher = of(move |name| {
            match name {
                "slow0" => drop(theirs.lock()),
                _ => std::thread::sleep(Duration::from_secs(1)),
            }
            Ok(())
        });
        let mut both = names("slow", 1);
        both.extend(names("quick", 3));
        let awaited = want(&mut fetcher, &both);
        let begun = Instant::now();
        assert_eq!(ended(&mut fetcher, &awaited, LIMIT).len(), 3, "what comes together is told together");
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        drop(held);
        assert_eq!(ended(&mut fetcher, &awaited, None).len(), 1);
    }

    #[test]
    fn those_that_hang_leave_their_room_to_others() {
        let hang = Arc::new(Mutex::new(()));
        let (held, theirs) = (hang.lock().unwrap(), Arc::clone(&hang));
        let mut fetcher = of(move |name| {
            if name.starts_with("slow") {
                drop(theirs.lock());
            }
            Ok(())
        });
        fetcher.long = Duration::from_millis(300);
        let slow = want(&mut fetcher, &names("slow", AT_ONCE));
        assert_eq!(ended(&mut fetcher, &slow, Some(Duration::ZERO)).len(), 0);
        let quick = want(&mut fetcher, &names("quick", 3));
        assert_eq!(ended(&mut fetcher, &quick, Some(Duration::ZERO)).len(), 0);
        assert_eq!((fetcher.running.len(), fetcher.queue.len()), (AT_ONCE, 3));
        assert_eq!(ended_all(&mut fetcher, &quick).len(), 3);
        // Not even those have all the room there is.
        let more = want(&mut fetcher, &names("slower", 2 * MOST));
        for _ in 0..8 {
            ended(&mut fetcher, &more, Some(Duration::from_millis(300)));
        }
        assert_eq!(fetcher.running.len(), MOST);
        drop(held);
        assert_eq!(ended(&mut fetcher, &(&slow | &more), None).len(), 2 * MOST + AT_ONCE);
    }

    #[test]
    fn one_that_found_no_room_beside_others_is_fetched_again_alone() {
        let (beside, tries) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&tries);
        let mut fetcher = of(move |name| {
            let others = beside.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(100));
            let is_crowded = others > 0 || beside.load(Ordering::SeqCst) > 1;
            beside.fetch_sub(1, Ordering::SeqCst);
            let is_huge = name.starts_with("huge");
            count.fetch_add(usize::from(is_huge), Ordering::SeqCst);
            if name == "huger" || (is_huge && is_crowded) { Err(anyhow!("no room")) } else { Ok(()) }
        });
        let mut all = names("huge", 2);
        all.extend(names("small", 4));
        let awaited = want(&mut fetcher, &all);
        let done = ended_all(&mut fetcher, &awaited);
        assert!(done.len() == 6 && done.iter().all(|(_, result)| result.is_ok()), "{done:?}");
        let before = tries.load(Ordering::SeqCst);
        assert!(before >= 3, "{before}");
        // Where others took nothing there is no more to be had.
        let alone = want(&mut fetcher, &["huger".to_owned()]);
        let done = ended_all(&mut fetcher, &alone);
        assert!(
            done.len() == 1 && done[0].1.is_err() && tries.load(Ordering::SeqCst) == before + 1,
            "{done:?}"
        );
    }

    #[test]
    fn a_fetch_that_ends_without_a_word_is_an_error() {
        let mut fetcher = of(|_| panic!("this test means it"));
        let awaited = want(&mut fetcher, &names("bad", 1));
        let done = ended_all(&mut fetcher, &awaited);
        assert!(done[0].1.as_ref().unwrap_err().to_string().contains("unexpected end"), "{done:?}");
    }
}
