//! Sources asked: one `ls-remote` each. What has work is fetched beside the loop (`fetching`), and read by the turn that has
//! its files. Nobody waits longer than a moment for a server that says nothing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::Reconciler;
use super::door::Heads;
use super::session::{Selection, Session, Target, Wish};
use crate::docker::Swarm;
use crate::git::Commit;
use crate::source::SourceId;

/// So long the first turn waits for servers that have not answered, and for what is fetched; both are taken up when they are
/// there.
const MOMENT: Duration = Duration::from_secs(2);

/// Sources whose servers are asked which commit they name.
#[derive(Debug)]
pub struct Asking {
    heads: Box<dyn Heads>,
    /// Those that have not answered so far, by their place among those asked.
    targets: BTreeMap<usize, Wanted>,
    /// Whether only what is new counts: what is known of a source, and came of it, stays.
    is_check: bool,
}

/// A source that somebody wants something of.
#[derive(Debug)]
pub struct Wanted {
    pub target: Target,
    /// By all who asked for it since it was taken up last.
    pub wishes: Vec<Wish>,
}

/// What a source's server said.
#[derive(Debug)]
pub struct Answer {
    pub wanted: Wanted,
    pub head: Result<Commit>,
}

impl Wanted {
    pub fn id(&self) -> &SourceId {
        self.target.source.id()
    }

    /// All wishes together.
    pub fn wish(&self) -> Wish {
        self.wishes.iter().cloned().reduce(|one, other| one.and(&other)).unwrap_or_default()
    }

    /// Takes over what was wished `earlier`.
    pub fn and(&mut self, earlier: Vec<Wish>) {
        let new = std::mem::replace(&mut self.wishes, earlier);
        for wish in new {
            if !self.wishes.contains(&wish) {
                self.wishes.push(wish);
            }
        }
    }
}

impl Asking {
    /// The sources that have not answered.
    pub fn ids(&self) -> impl Iterator<Item = &SourceId> {
        self.targets.values().map(Wanted::id)
    }

    /// What is wished of a source that is asked anew; this answer is not waited for any more.
    fn give_up(&mut self, id: &SourceId) -> Option<Vec<Wish>> {
        let at = self.targets.iter().find(|(_, wanted)| wanted.id() == id).map(|(at, _)| *at)?;
        self.targets.remove(&at).map(|wanted| wanted.wishes)
    }
}

impl Reconciler {
    /// Looks after `targets` from now on: what they name now is what is wanted. A source whose server takes its time
    /// is taken up by the turn that has its answer, and its files.
    pub fn ask(&mut self, session: &Session<'_>, targets: Vec<Target>, wish: &Wish) -> Result<()> {
        // All under way while docker is asked twice.
        let sources: Vec<_> = targets.iter().map(|target| target.source.clone()).collect();
        let heads = session.door.heads(&sources);
        let swarm = self.observe_anew(session)?;
        self.ask_anew(session, targets, wish, heads, swarm)
    }

    /// Goes on with a source that another run had read since and left before all of it came to rest.
    pub fn ask_again(&mut self, session: &Session<'_>, source: &SourceId) -> Result<()> {
        let Some(source) = self.sources.iter().find(|known| known.id == *source) else { return Ok(()) };
        // What is still to be deployed by force stays so; what was is not once more.
        let target = Target::new(source.source.clone(), source.row.clone());
        let wish = Wish { forced: None, build: None, ..source.wish.clone() };
        let heads = session.door.heads(std::slice::from_ref(&target.source));
        let swarm = self.observe_anew(session)?;
        self.ask_anew(session, vec![target], &wish, heads, swarm)
    }

    fn ask_anew(
        &mut self,
        session: &Session<'_>,
        targets: Vec<Target>,
        wish: &Wish,
        heads: Box<dyn Heads>,
        swarm: Swarm,
    ) -> Result<()> {
        self.memory.look_again();
        self.pulls.forgive();
        for target in &targets {
            self.memory.others_asked.remove(target.source.id());
        }
        let wanted = targets.into_iter().map(|target| Wanted { wishes: vec![wish.of(&target)], target });
        self.wait_for_heads(heads, wanted.collect());
        let (begun, wait) = (Instant::now(), (!self.options.dry_run).then_some(MOMENT));
        if self.options.dry_run {
            // It waits for all that is fetched, and changes nothing.
            session.unlock();
        }
        let answered = self.answered(wait)?;
        for id in self.asking.iter().flat_map(Asking::ids) {
            session.report.waiting(id.as_str(), "is asked which commit it names");
        }
        let left = wait.map(|wait| wait.saturating_sub(begun.elapsed()));
        self.take_up(session, answered, &swarm, left)?;
        (self.swarm, self.stirred) = (Some(swarm), true);
        Ok(())
    }

    /// From now on `wanted` are waited for, by their place among `heads`.
    pub fn wait_for_heads(&mut self, heads: Box<dyn Heads>, wanted: Vec<Wanted>) {
        let mut asking = Asking { heads, targets: BTreeMap::new(), is_check: false };
        for (at, mut wanted) in wanted.into_iter().enumerate() {
            let earlier = self.asking.iter_mut().find_map(|earlier| earlier.give_up(wanted.id()));
            wanted.and(earlier.unwrap_or_default());
            asking.targets.insert(at, wanted);
        }
        self.asking.push(asking);
    }

    /// Takes up the sources whose servers have answered since, and those whose files are there.
    pub fn collect_answers(&mut self, session: &Session<'_>) -> Result<()> {
        let answered = self.answered(Some(Duration::ZERO))?;
        self.tell_unreached(session)?;
        if !self.fetching.has_news(session)? && answered.is_empty() {
            return Ok(());
        }
        let swarm = self.observe(session)?;
        self.take_up(session, answered, &swarm, Some(Duration::ZERO))?;
        (self.swarm, self.stirred) = (Some(swarm), true);
        Ok(())
    }

    /// Asks once more, for a moment, the servers of sources that may be known: what is known, and came of them, stays where
    /// they name nothing new.
    pub fn check(&mut self, session: &Session<'_>, wanted: Vec<Wanted>, swarm: &Swarm) -> Result<()> {
        let sources: Vec<_> = wanted.iter().map(|wanted| wanted.target.source.clone()).collect();
        self.wait_for_heads(session.door.heads(&sources), wanted);
        self.asking.last_mut().into_iter().for_each(|asking| asking.is_check = true);
        let answered = self.answered(Some(MOMENT))?;
        self.tell_unreached(session)?;
        self.take_up(session, answered, swarm, Some(Duration::ZERO))
    }

    /// Says which sources could not be asked once more.
    fn tell_unreached(&mut self, session: &Session<'_>) -> Result<()> {
        for id in std::mem::take(&mut self.memory.unreached) {
            let Some(source) = self.sources.iter().find(|source| source.id == id) else { continue };
            let (Some(error), Some(row)) = (&source.unreachable, &source.row) else { continue };
            session.report.source_failed(source.url.as_str(), error);
            session.state.note_sync(row, None, Some(&format!("{error:#}")))?;
            self.memory.of_sources.entry(id).or_default().failed += 1;
        }
        Ok(())
    }

    fn answered(&mut self, mut wait: Option<Duration>) -> Result<Vec<Answer>> {
        let mut answered = Vec::new();
        // The newest was asked last.
        for asking in self.asking.iter_mut().rev() {
            for (at, head) in asking.heads.answered(wait)? {
                let Some(wanted) = asking.targets.remove(&at) else { continue };
                let known = self.sources.iter_mut().find(|source| source.id == *wanted.id());
                let is_check = asking.is_check && self.fetching.commit(wanted.id()).is_none();
                match (known.filter(|_| is_check), head) {
                    (Some(known), Ok(head)) if known.head.as_ref() == Some(&head) => {
                        (known.unreachable, self.stirred) = (None, true);
                    }
                    (Some(known), Err(error)) => {
                        self.memory.unreached.insert(known.id.clone());
                        (known.unreachable, self.stirred) = (Some(error), true);
                    }
                    (_, head) => answered.push(Answer { wanted, head }),
                }
            }
            wait = Some(Duration::ZERO);
        }
        self.asking.retain(|asking| !asking.targets.is_empty());
        Ok(answered)
    }

    /// The sources that are still asked or fetched: what they say by now is not known.
    pub fn expected(&self) -> impl Iterator<Item = &SourceId> {
        self.asking.iter().flat_map(Asking::ids).chain(self.fetching.ids())
    }

    /// Whether the source is still asked which commit it names.
    pub fn is_asked(&self, id: &SourceId) -> bool {
        self.asking.iter().flat_map(Asking::ids).any(|asked| asked == id)
    }

    /// Whether the source is one of those.
    pub fn is_expected(&self, id: &SourceId) -> bool {
        self.expected().any(|expected| expected == id)
    }
}

impl Wish {
    /// Both wishes together.
    pub fn and(&self, other: &Self) -> Self {
        let selection = match (&self.selection, &other.selection) {
            (Selection::Some(one), Selection::Some(other)) => Selection::Some(one | other),
            _ => Selection::All,
        };
        let forced = other.forced.clone().or_else(|| self.forced.clone());
        let [pushed, build] = [(&other.pushed, &self.pushed), (&other.build, &self.build)]
            .map(|(later, earlier)| later.clone().or_else(|| earlier.clone()));
        Self { selection, forced, pushed, build }
    }
}
