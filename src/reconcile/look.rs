//! The first half of a turn: what happened since the last one, and what is to be done about each stack by now.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::door::News;
use super::holds::kept_back;
use super::memory::Ended;
use super::order::{dependents, in_order};
use super::rest::beside_others;
use super::source::WatchedSource;
use super::{Key, Reconciler, Session, rolls};
use crate::docker::Swarm;
use crate::git::Workplace;
use crate::hold::Hold;
use crate::image::ImageRef;
use crate::plan::{
    self, Decision, DesiredStack, Elsewhere, Evidence, Facts, How, Objections, Tried, Until, decide,
};
use crate::report::with_held;
use crate::signal;
use crate::source::SourceId;
use crate::stack::StackName;
use crate::state::{Motion, StackRow, StackStatus, WorkKind};
use crate::watched::Watched;

/// What was gathered for all stacks together.
#[derive(Default)]
struct Gathered {
    owners: BTreeMap<Key, SourceId>,
    /// What is known only where a stack is to be deployed; empty at the first pass.
    objections: BTreeMap<Key, Objections>,
    /// The stacks that come after all others, and have to wait for these.
    later: BTreeSet<Key>,
    /// The sources that drop a stack which may yet change hands.
    dropping: BTreeSet<SourceId>,
    /// The stacks that another run is giving to docker.
    elsewhere: BTreeSet<String>,
    asked: bool,
}

impl Reconciler {
    /// What the database knows by now: between two turns other runs may have written to it.
    pub fn reload(&mut self, session: &Session<'_>) -> Result<()> {
        let watched = self.known.read(session.state)?;
        for (id, shown) in self.fetching.leave_unwatched(&watched) {
            session.report.stop_waiting(id.as_str());
            if let Some(shown) = shown {
                session.state.end_work(&self.run(), WorkKind::Fetching, &shown.shown())?;
                session.report.note(shown.as_str(), "it is not watched any more: this run leaves it");
            }
            self.stirred = true;
        }
        let (mut left, mut ended, mut overtaken) = (Vec::new(), Vec::new(), Vec::new());
        self.sources.retain_mut(|source| {
            let Some(row) = &source.row else { return true };
            let known = watched.iter().find(|known| known.row.id == row.id);
            match known {
                Some(known) => {
                    let was_overtaken = source.is_overtaken;
                    let before = source.recorded(known);
                    // Another run saw the end of a step.
                    let was =
                        |one: &Motion| before.iter().any(|it| it.name == one.name && it.is_between_steps());
                    self.stirred |= source.motions.iter().any(|one| one.is_between_steps() && !was(one));
                    overtaken.extend((source.is_overtaken && !was_overtaken).then(|| source.url.clone()));
                    let gone = before.into_iter().filter(|motion| source.motion(&motion.name).is_none());
                    ended.extend(gone.map(|motion| (Key::new(&source.id, &motion.name), motion)));
                }
                None => left.push((source.id.clone(), source.url.clone())),
            }
            known.is_some()
        });
        for url in overtaken {
            // It waits for the run that read it since; others that do are not to wait for this one.
            session.state.end_work(&self.run(), WorkKind::Syncing, url.as_str())?;
        }
        for (key, motion) in ended {
            self.ended_elsewhere(session, &key, &motion);
        }
        for (id, url) in left {
            session.report.note(url.as_str(), "it is not watched any more: this run leaves it");
            self.memory.decisions.retain(|key, decision| key.source != id || !decision.is_under_way());
            let removing: Vec<_> =
                self.memory.removing.keys().filter(|key| key.source == id).cloned().collect();
            for key in removing {
                self.removes_no_more(session, &key)?;
            }
        }
        Ok(())
    }

    /// Another run saw what came of a deploy in motion, and recorded it.
    fn ended_elsewhere(&mut self, session: &Session<'_>, key: &Key, motion: &Motion) {
        let Some(source) = self.sources.iter().find(|source| source.id == key.source) else { return };
        let row = source.stack(&key.stack);
        // Of what follows its tags the hash is as before: the version that ran last tells whether it came to that.
        let ran = |row: &StackRow| {
            let versions =
                session.state.newest_versions(&row.name, &row.repository_url, 1).unwrap_or_default();
            let parsed = |image: &str| ImageRef::parse(image).ok();
            let runs = |(service, image): (&String, &String)| {
                let ran = versions.first()?.services.get(service)?.as_deref()?;
                Some(parsed(ran) == parsed(image))
            };
            motion.rolls.iter().all(|roll| runs(roll).unwrap_or(false))
        };
        // What overtook it left the row as it was before.
        let is_overtaken = source.motion(&key.stack).is_some();
        let is_its =
            |row: &StackRow| !is_overtaken && row.status == StackStatus::Deployed && row.hash == motion.hash;
        let converged = row.is_some_and(|row| is_its(row) && (motion.rolls.is_empty() || ran(row)));
        session.report.stop_waiting(key.stack.as_str());
        if let Some(given) = motion.given.as_ref().filter(|_| converged) {
            let text = format!("{}; another run saw it converge", given.reason);
            session.report.deployed_elsewhere(source.subject(&key.stack), &text);
            self.memory.ended.insert(key.clone(), Ended::Deployed);
            self.memory.took.insert(key.clone(), (given.reason.clone(), None));
        }
        let failed = row.filter(|row| row.status == StackStatus::Error);
        let is_wanted = source
            .desired(&key.stack)
            .and_then(DesiredStack::rendered)
            .is_none_or(|desired| desired.fingerprint == motion.hash);
        if let Some((why, held)) = failed.and_then(|row| Some((row.error.clone()?, row.held)))
            && is_wanted
            && !source.forced.contains_key(&key.stack)
        {
            // It was tried in this run's time, too.
            let text = if held { with_held(&why) } else { why.clone() };
            if self.memory.reported.insert((key.clone(), text.clone())) {
                session.report.stays_failed(source.subject(&key.stack), &text);
            }
            let until = if held { Until::SourceChanges } else { Until::NextRun };
            self.memory.decisions.insert(key.clone(), Decision::blocked(&why, until));
            self.memory.tried.insert(key.clone(), Tried::Failed { why, held });
        }
        self.stirred = true;
    }

    /// What pulls, builds and removals came to since the last turn.
    pub fn collect(&mut self, session: &Session<'_>) -> Result<()> {
        self.pulls.begin_more();
        for (image, news) in self.pulls.news() {
            match news {
                News::Progress(sum) => session.report.waiting(&image, &sum),
                News::Ended(result) => {
                    signal::check()?;
                    session.state.end_work(&self.run(), WorkKind::Pulling, &image)?;
                    session.report.stop_waiting(&image);
                    (self.stirred, self.memory.here) = (true, None);
                    match result {
                        Ok(()) => {
                            self.memory.happened.pulled += 1;
                            session.report.progress(&format!("pulled `{image}`"));
                            session.state.track_image(&image)?;
                        }
                        Err(why) => {
                            session.report.note(&image, &format!("could not be pulled to this node: {why}"));
                        }
                    }
                }
            }
        }
        self.collect_given(session)?;
        self.build(session)?;
        self.go_on_removing(session)
    }

    /// What tells this run from others.
    pub fn run(&self) -> String {
        self.workplace.as_ref().map(Workplace::run).unwrap_or_default()
    }

    /// The decisions about all stacks: what goes first, then what is deployed, each after what it depends on.
    pub fn decide(&mut self, session: &Session<'_>, swarm: &Swarm) -> Result<Vec<(Key, Decision)>> {
        let watched = self.known.read(session.state)?;
        let known: Vec<_> =
            watched.iter().map(|known| (known.identity.clone(), known.stacks.clone())).collect();
        let mut claims = plan::claims(&known, swarm);
        let moves = self.moves(&watched, &mut claims, swarm);
        for (key, heir) in &moves {
            if self.memory.reported.insert((key.clone(), format!("moves to {heir}"))) {
                session.report.progress(&format!("`{key}` moves from `{}` to `{heir}`", key.source));
            }
        }
        let elsewhere = session.state.given_elsewhere(&self.run())?;
        self.memory.given_elsewhere = !elsewhere.is_empty();
        let synced = session.state.synced_elsewhere(&self.run())?;
        let most = beside_others(session);
        let is_waited_for = |source: &&WatchedSource| {
            source.is_overtaken && source.overtaken_at.is_none_or(|since| since.elapsed() < most)
        };
        let overtaken = self.sources.iter().filter(is_waited_for);
        self.memory.synced_elsewhere = overtaken
            .filter(|source| synced.contains(source.url.as_str()))
            .map(|source| source.id.clone())
            .collect();
        self.memory.moves = moves;
        let mut gathered = Gathered { elsewhere, ..Gathered::default() };
        for source in &self.sources {
            for desired in source.read().into_iter().flat_map(|read| &read.desired) {
                let name = &desired.entry.name;
                match plan::claim(&claims, name) {
                    Some(other) if *other != source.id => {
                        gathered.owners.insert(Key::new(&source.id, name), other.clone());
                    }
                    _ if desired.entry.enabled => plan::take(&mut claims, name, &source.id),
                    _ => {}
                }
            }
        }
        let first = self.all(session, swarm, &watched, &gathered)?;
        if !first.iter().any(|(_, decision)| decision.is_under_way())
            && !self.has_bindings()
            && !self.compares_tags(session)
        {
            return Ok(first);
        }
        self.ask_registries(session, &first, swarm)?;
        self.ask_for_secrets(session, &first)?;
        self.judge_objects(session, &first, swarm)?;
        self.set_apart(session, &first, &mut gathered)?;
        let waits =
            |decision: &Decision| matches!(decision, Decision::Blocked(it) if it.until == Until::Asked);
        // What never came to run takes no room, and what is not ours stays in any case.
        let runs = |key: &Key| {
            let row = self.source(key).ok().and_then(|source| source.stack(&key.stack));
            swarm.of_stack(&key.stack).next().is_some()
                && plan::evidence(&key.stack, &key.source, row, swarm) != Evidence::None
        };
        let dropping = first.iter().filter(|(key, decision)| waits(decision) && runs(key));
        gathered.dropping = dropping.map(|(key, _)| key.source.clone()).collect();
        let conflicts = self.binding_conflicts(session)?;
        for (key, _) in &first {
            let source = self.sources.iter().find(|source| source.id == key.source);
            let rendered = source.and_then(|source| source.desired(&key.stack)?.rendered());
            let objections = Objections {
                binding: conflicts.get(key).cloned(),
                secret: self.missing_secrets(key),
                object: rendered.and_then(|rendered| self.memory.objects.objection(key, rendered)).cloned(),
            };
            gathered.objections.insert(key.clone(), objections);
        }
        gathered.asked = true;
        self.all(session, swarm, &watched, &gathered)
    }

    /// Decides about every stack, dependencies first.
    fn all(
        &mut self,
        session: &Session<'_>,
        swarm: &Swarm,
        watched: &[Watched],
        gathered: &Gathered,
    ) -> Result<Vec<(Key, Decision)>> {
        let mut decided = Vec::new();
        for at in 0..self.sources.len() {
            let mut states: BTreeMap<StackName, Decision> = BTreeMap::new();
            let elsewhere = OnceCell::new();
            for name in in_order(&self.sources[at], swarm) {
                let key = Key::new(&self.sources[at].id, &name);
                // Another run decides about it; only what this one gave to docker is still looked at.
                if self.sources[at].is_overtaken && self.sources[at].motion(&name).is_none() {
                    if !self.sources[at].is_settled {
                        decided.push((key, Decision::in_sync()));
                    }
                    continue;
                }
                let mut tags = Facts::default();
                if gathered.asked {
                    self.note_tags(session, &key, swarm, &mut tags)?;
                }
                let source = &self.sources[at];
                let hold = self.hold_of(session, source, &name).filter(|_| !is_broken!(IgnoresHolds));
                let back = hold.as_ref().filter(|_| source.goes_back(&name)).map(Hold::reason_to_go_back);
                let facts = Facts {
                    predecessor: self.memory.predecessor(&key.source, &name),
                    hold: hold.as_ref().filter(|_| back.is_none()),
                    back: back.as_deref(),
                    kept_back: kept_back(source, &name),
                    rolls: tags.rolls,
                    tags: tags.tags,
                    resolve: tags.resolve,
                    // Who goes back runs against what runs.
                    dependencies: match back {
                        Some(_) => Vec::new(),
                        None if is_broken!(IgnoresDependencies) => Vec::new(),
                        None => self.dependencies(source, &name, &states),
                    },
                    handover: self
                        .memory
                        .moves
                        .get(&key)
                        .filter(|_| !is_broken!(RemovesWhatChangesHands))
                        .map(|heir| self.handover(&key, heir, watched, swarm)),
                    elsewhere: if is_broken!(RemovesWhatChangesHands) {
                        Elsewhere::No
                    } else if source.read().is_some() && source.desired(&name).is_none() {
                        elsewhere.get_or_init(|| self.elsewhere(source, watched)).clone()
                    } else {
                        Elsewhere::No
                    },
                    waits_for_room: gathered.dropping.contains(&key.source)
                        && source.stack(&name).is_none()
                        && swarm.of_stack(&name).next().is_none(),
                    objections: gathered.objections.get(&key).cloned().unwrap_or_default(),
                    comes_later: gathered.later.contains(&key),
                    ..self.facts(source, &key, gathered)
                };
                let decision = match self.memory.removing.get(&key) {
                    // It was decided, and is under way.
                    Some(removing) => removing.decision(),
                    None if self.memory.removing.keys().any(|other| other.stack == name) => {
                        Decision::blocked(
                            "another source's stack of its name is being removed",
                            Until::Others,
                        )
                    }
                    None => decide(&source.task(&name, swarm), &facts),
                };
                states.insert(name, decision.clone());
                decided.push((key, decision));
            }
        }
        Ok(decided)
    }

    fn facts<'a>(&'a self, source: &'a WatchedSource, key: &Key, gathered: &'a Gathered) -> Facts<'a> {
        let forced = source.forced.get(&key.stack).map(String::as_str);
        let pulls = self.memory.pulls.get(key);
        Facts {
            commit: source
                .commit_of(&key.stack)
                .filter(|_| !is_broken!(TriesWhatIsHeldAgain))
                .unwrap_or_default(),
            is_being_given: self.memory.giving.contains_key(key)
                || gathered.elsewhere.contains(key.stack.as_str()),
            is_selected: source.wish.selection.holds(&key.stack),
            forced,
            owner: gathered.owners.get(key),
            owner_is_expected: gathered.owners.get(key).is_some_and(|owner| self.is_expected(owner)),
            is_own: self.memory.own_stack.get().is_some_and(|own| own.as_ref() == Some(&key.stack)),
            tried: self.memory.tried.get(key),
            pulling: pulls
                .into_iter()
                .flatten()
                .find(|image| self.pulls.is_under_way(image))
                .map(String::as_str),
            ..Facts::default()
        }
    }

    /// Puts the stack that this program runs in last, with what depends on it.
    fn set_apart(
        &mut self,
        session: &Session<'_>,
        decisions: &[(Key, Decision)],
        gathered: &mut Gathered,
    ) -> Result<()> {
        if !decisions.iter().any(|(_, decision)| decision.is_under_way()) {
            return Ok(());
        }
        let own = match self.memory.own_stack.get() {
            Some(own) => own.clone(),
            None => {
                let own = session.door.own_stack()?;
                self.memory.own_stack.get_or_init(|| own).clone()
            }
        };
        let Some(own) = own else { return Ok(()) };
        for source in self.sources.iter().filter(|source| source.desired(&own).is_some()) {
            let last = dependents(source, &own);
            gathered.later.extend(last.iter().map(|name| Key::new(&source.id, name)));
        }
        let is_due = |(key, decision): &(Key, Decision)| {
            key.stack == own
                && matches!(decision, Decision::Apply(apply) if !matches!(apply.how, How::Adopt | How::Judge))
        };
        if let Some((key, _)) = decisions.iter().find(|decided| is_due(decided))
            && self.memory.reported.insert((key.clone(), "last".into()))
        {
            session.report.progress(&format!(
                "`{own}` is the stack that this DockerOps runs in: it comes last; where Swarm ends this run for it, \
                 the next one goes on"
            ));
        }
        let others_move =
            decisions.iter().any(|(key, decision)| !gathered.later.contains(key) && decision.is_under_way());
        if !others_move || self.options.dry_run {
            gathered.later.clear();
        }
        Ok(())
    }

    fn compares_tags(&self, session: &Session<'_>) -> bool {
        self.sources.iter().any(|source| rolls::compares(session, source))
    }

    fn has_bindings(&self) -> bool {
        self.sources.iter().filter_map(WatchedSource::read).any(|read| !read.bindings.is_empty())
    }
}
