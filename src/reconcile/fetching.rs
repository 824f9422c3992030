//! Sources whose commits are fetched beside the loop. In: what was asked for, and the commit its server named. Out: each
//! source, read, at the turn that has its files.
//!
//! Of a source one commit is fetched at a time. One that is pushed meanwhile is fetched next, and stands for the first,
//! which may have been withdrawn; but not for a second one: where pushes never end, every other commit is applied.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::ask::{Answer, Wanted};
use super::contain::ends_the_run;
use super::door::Fetcher;
use super::session::Target;
use super::source::{Reading, WatchedSource};
use super::survey::{Taken, still_wanted};
use super::{Reconciler, Session};
use crate::git::{Checkout, Commit};
use crate::hash::Key;
use crate::signal;
use crate::source::{SourceId, SourceUrl};
use crate::state::WorkKind;
use crate::watched::Watched;

/// How often a wait looks for signals.
const TICK: Duration = Duration::from_millis(100);

/// What is fetched for a run.
#[derive(Debug, Default)]
pub struct Fetching {
    fetcher: Option<Box<dyn Fetcher>>,
    under_way: BTreeMap<SourceId, Fetch>,
    /// What came to its end, and was not taken up so far.
    ended: Vec<(SourceId, Result<Checkout>)>,
    /// The sources whose last commit was fetched, and was not read.
    skipped: BTreeSet<SourceId>,
    /// The files of sources whose servers are asked once more.
    spare: BTreeMap<SourceId, Checkout>,
    begun: usize,
}

/// A source that is being fetched.
#[derive(Debug)]
struct Fetch {
    wanted: Wanted,
    commit: Commit,
    /// How often the source had been read when this commit was named; see `SourceRow::asked`.
    asked: i64,
    /// What its server named meanwhile.
    next: Option<(Wanted, Commit)>,
    /// Among all that were begun: of several that are there at once the first comes first.
    nth: usize,
    /// As what others see it, if it takes so long.
    shown: Option<SourceUrl>,
}

impl Fetching {
    pub fn ids(&self) -> impl Iterator<Item = &SourceId> {
        self.under_way.keys()
    }

    pub fn is_busy(&self) -> bool {
        !self.under_way.is_empty()
    }

    /// The commit of a source that is being fetched.
    pub fn commit(&self, id: &SourceId) -> Option<&Commit> {
        self.under_way.get(id).map(|fetch| fetch.next.as_ref().map_or(&fetch.commit, |(_, commit)| commit))
    }

    /// Whether anything came to its end that is to be taken up.
    pub fn has_news(&mut self, session: &Session<'_>) -> Result<bool> {
        self.collect(session, &BTreeSet::new(), Some(Duration::ZERO))?;
        Ok(!self.ended.is_empty())
    }

    /// Sleeps until something comes to its end, at most for `time`; whether anything has.
    pub fn wait(&mut self, time: Duration) -> bool {
        !self.ended.is_empty() || self.fetcher.as_mut().is_some_and(|fetcher| fetcher.wait(time))
    }

    /// Sleeps so long, at most until something comes to its end.
    pub fn pause(&mut self, time: Duration) -> Result<()> {
        let begun = Instant::now();
        while self.is_busy() {
            signal::check()?;
            let left = time.saturating_sub(begun.elapsed());
            if self.wait(left.min(TICK)) || left.is_zero() {
                return Ok(());
            }
        }
        signal::pause(time)
    }

    /// Nothing is needed any more of what was fetched.
    pub fn forget(&mut self) {
        if !self.is_busy() {
            *self = Self::default();
        }
    }

    /// Leaves what is fetched of sources that are watched no more to itself: which these are, as they were shown.
    pub fn leave_unwatched(&mut self, watched: &[Watched]) -> Vec<(SourceId, Option<SourceUrl>)> {
        let is_left = |(id, fetch): &(&SourceId, &Fetch)| {
            fetch.wanted.target.row.is_some() && !watched.iter().any(|known| known.identity == **id)
        };
        let left: Vec<_> = self.under_way.iter().filter(is_left).map(|(id, _)| id.clone()).collect();
        left.into_iter()
            .filter_map(|id| self.under_way.remove_entry(&id))
            .map(|(id, it)| (id, it.shown))
            .collect()
    }

    /// What an answer changes of a source that is being fetched; the answer itself where it is not.
    pub fn join(&mut self, answer: Answer) -> Option<Answer> {
        self.spare.retain(|id, files| {
            id != answer.wanted.id() || answer.head.as_ref().is_ok_and(|head| head == files.commit())
        });
        let Some(fetch) = self.under_way.get_mut(answer.wanted.id()) else { return Some(answer) };
        let Answer { mut wanted, head } = answer;
        match head {
            Ok(head) if head != fetch.commit => {
                let earlier = fetch.next.take().map(|(earlier, _)| earlier.wishes);
                wanted.and(earlier.unwrap_or_default());
                fetch.next = Some((wanted, head));
            }
            Ok(_) => {
                let next = fetch.next.take().map(|(next, _)| next.wishes);
                wanted.and(next.unwrap_or_default());
                wanted.and(std::mem::take(&mut fetch.wanted.wishes));
                fetch.wanted = wanted;
            }
            // How the fetch ends says more.
            Err(_) => {
                let of = fetch.next.as_mut().map_or(&mut fetch.wanted, |(next, _)| next);
                wanted.and(std::mem::take(&mut of.wishes));
                *of = wanted;
            }
        }
        None
    }

    /// Begins to fetch what a source's server named.
    pub fn begin(
        &mut self,
        session: &Session<'_>,
        wanted: Wanted,
        commit: Commit,
        watched: &[Watched],
    ) -> Result<()> {
        let id = wanted.id().clone();
        let asked = times_read(&id, watched);
        if let Some(files) = self.spare.remove(&id) {
            self.ended.push((id.clone(), Ok(files)));
        } else {
            let fetcher = self.fetcher.get_or_insert_with(|| session.door.fetcher());
            fetcher.want(session, &wanted.target.source, &commit)?;
        }
        self.begun += 1;
        self.under_way.insert(id, Fetch { wanted, commit, asked, next: None, nth: self.begun, shown: None });
        Ok(())
    }

    /// Likewise, where its files are here already.
    pub fn begin_with(
        &mut self,
        session: &Session<'_>,
        wanted: Wanted,
        commit: Commit,
        files: Checkout,
        watched: &[Watched],
    ) -> Result<()> {
        self.spare.insert(wanted.id().clone(), files);
        self.begin(session, wanted, commit, watched)
    }

    /// Takes in what came to its end since; waits so long for `awaited`, without a bound where none is given.
    pub fn collect(
        &mut self,
        session: &Session<'_>,
        awaited: &BTreeSet<SourceId>,
        most: Option<Duration>,
    ) -> Result<()> {
        if let Some(fetcher) = &mut self.fetcher {
            self.ended.extend(fetcher.fetched(session, awaited, most)?);
        }
        Ok(())
    }
}

fn times_read(id: &SourceId, watched: &[Watched]) -> i64 {
    watched.iter().find(|known| known.identity == *id).map_or(0, |known| known.row.asked)
}

impl Reconciler {
    /// Reads what was fetched since. Beside it come answers that arrived meanwhile and are to be dealt with next.
    pub fn read_fetched(
        &mut self,
        session: &Session<'_>,
        watched: &[Watched],
    ) -> Result<(Vec<Taken>, Vec<Answer>)> {
        let (mut taken, mut next) = (Vec::new(), Vec::new());
        let keys = OnceCell::new();
        let mut ended = std::mem::take(&mut self.fetching.ended);
        ended.sort_by_key(|(id, _)| self.fetching.under_way.get(id).map(|fetch| fetch.nth));
        for (id, result) in ended {
            session.report.stop_waiting(id.as_str());
            let Some(fetch) = self.fetching.under_way.remove(&id) else { continue };
            if let Some(shown) = &fetch.shown {
                session.state.end_work(&self.run(), WorkKind::Fetching, &shown.shown())?;
            }
            let newer = fetch.next.map(|(wanted, commit)| Answer { wanted, head: Ok(commit) });
            let Some(wanted) = still_wanted(session, fetch.wanted, watched) else { continue };
            let is_overtaken = times_read(&id, watched) != fetch.asked;
            match (result, newer) {
                // Whoever has read it since may have been told of a newer commit, or of an older one.
                (_, Some(Answer { wanted: mut newer, .. })) if is_overtaken => {
                    newer.and(wanted.wishes);
                    let heads = session.door.heads(std::slice::from_ref(&newer.target.source));
                    self.wait_for_heads(heads, vec![newer]);
                }
                // What it could not be fetched for may have been mended, or may be as true of what is there now.
                (result, None) if is_overtaken => {
                    let heads = session.door.heads(std::slice::from_ref(&wanted.target.source));
                    self.wait_for_heads(heads, vec![wanted]);
                    self.fetching.spare.extend(result.ok().map(|files| (id, files)));
                }
                (result, Some(mut newer)) if result.is_err() || self.fetching.skipped.insert(id.clone()) => {
                    newer.wanted.and(wanted.wishes);
                    next.push(newer);
                }
                (result, newer) => {
                    self.fetching.skipped.remove(&id);
                    let mut source = self.new_source(&wanted, Some(fetch.commit), watched);
                    source.reading = self.read(session, &keys, &source, result)?;
                    source.say_notes(session);
                    taken.push(Taken { source, is_new: true, wishes: wanted.wishes });
                    next.extend(newer);
                }
            }
        }
        Ok((taken, next))
    }

    /// Others see what has not come to its end by now.
    pub fn show_fetching(&mut self, session: &Session<'_>) -> Result<()> {
        let unseen = self.fetching.under_way.values().any(|fetch| fetch.shown.is_none());
        if self.options.dry_run || !unseen {
            return Ok(());
        }
        if self.workplace.is_none() {
            self.workplace = session.door.workplace(session)?;
        }
        let run = self.run();
        for fetch in self.fetching.under_way.values_mut().filter(|fetch| fetch.shown.is_none()) {
            let Target { source, row, .. } = &fetch.wanted.target;
            let url = row.as_ref().map_or_else(|| SourceUrl::of(source), |row| row.url.clone());
            session.state.begin_work(&run, WorkKind::Fetching, &url.shown())?;
            fetch.shown = Some(url);
        }
        Ok(())
    }

    fn read(
        &self,
        session: &Session<'_>,
        keys: &OnceCell<Key>,
        source: &WatchedSource,
        files: Result<Checkout>,
    ) -> Result<Reading> {
        for note in files.as_ref().map(Checkout::take_notes).unwrap_or_default() {
            session.report.note(source.url.as_str(), &note);
        }
        if let Ok(files) = &files
            && let Some(signed) = files.signed()
        {
            let commit = files.commit().short();
            session.report.progress(&format!("`{}` at {commit} is {signed}", source.url));
        }
        let dry_run = self.options.dry_run;
        let read = files.and_then(|files| session.door.read(session, keys, source, files, dry_run));
        Ok(match read {
            Ok(read) => Reading::Read(Box::new(read)),
            Err(error) if ends_the_run(&error) => return Err(error),
            Err(error) => Reading::Failed(error),
        })
    }
}
