//! The plan of all sources together, and how it reads before anything is done.

use std::collections::BTreeSet;

use anyhow::Result;

use super::fetch::{Content, Fetched, Read};
use super::{Options, Round, Session, images, moves, only};
use crate::docker::Swarm;
use crate::drift::{self, Drift};
use crate::plan::{self, Action, Claims, Desired, Input, Step};
use crate::report::{Report, Show, Subject, Tally};
use crate::stack::{DriftPolicy, StackName};
use crate::state::{Attempt, BuildRow, Record, SourceRow, StackRow, StackStatus};
use crate::watched::Watched;

/// Behind what is not tried again by itself.
pub const HELD: &str = " (held until the repository changes, or `reconcile --force`)";

/// Of a stack that Swarm went back from while DockerOps was not there to see it.
pub const SETTLE: &str = "an earlier run deployed it, and Swarm went back from it";

/// All sources with their plan.
#[derive(Debug)]
pub struct Planned {
    /// In the order they were watched.
    pub sources: Vec<PlannedSource>,
}

/// One source with its plan.
#[derive(Debug)]
pub struct PlannedSource {
    /// As labels have it.
    pub identity: String,
    /// As it was, or is to be, watched.
    pub url: String,
    /// `None` only of a source that is not watched: in a dry run, or if it failed.
    pub row: Option<SourceRow>,
    /// What the database knows of its stacks.
    pub rows: Vec<StackRow>,
    /// What the database knows of the images it builds.
    pub builds: Vec<BuildRow>,
    /// What docker was given for it, and nobody has seen the end of.
    pub attempts: Vec<Attempt>,
    /// What was read of it.
    pub content: Content,
    /// One step a stack.
    pub steps: Vec<Step>,
    /// The stacks that wait for an image to be built.
    pub waiting: BTreeSet<StackName>,
    /// The stacks that come last, since their deploy may end this program.
    pub last: BTreeSet<StackName>,
}

impl PlannedSource {
    /// What was read of it.
    pub fn read(&self) -> Option<&Read> {
        if let Content::Read(read) = &self.content { Some(read) } else { None }
    }

    /// What it wants of a stack; `None` where it was not read or does not list it.
    pub fn desired(&self, name: &StackName) -> Option<&Desired> {
        self.read()?.desired.iter().find(|desired| desired.entry.name == *name)
    }

    /// What the database knows of a stack.
    pub fn stack(&self, name: &StackName) -> Option<&StackRow> {
        self.rows.iter().find(|row| row.name == *name)
    }

    /// The commit that was read.
    pub fn commit(&self) -> Option<&str> {
        Some(self.read()?.checkout.commit().as_str())
    }

    /// Whether a stack that it lists no more is not its new owner's yet.
    pub fn is_leaving(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.action, Action::Moved { .. }))
    }

    /// When a stack is dealt with.
    pub fn round(&self, name: &StackName) -> Round {
        if self.last.contains(name) {
            Round::Last
        } else if self.waiting.contains(name) {
            Round::Built
        } else {
            Round::First
        }
    }

    /// What its plan is made from.
    pub fn input<'a>(&'a self, read: &'a Read, swarm: &'a Swarm, options: &Options) -> Input<'a> {
        Input {
            source: &self.identity,
            commit: read.checkout.commit().as_str(),
            layout: read.layout,
            desired: &read.desired,
            rows: &self.rows,
            attempts: &self.attempts,
            swarm,
            force: options.force,
        }
    }

    /// One of its stacks, for whoever is told of it.
    pub fn subject<'a>(&'a self, name: &'a StackName) -> Subject<'a> {
        Subject { repository: Some(&self.url), stack: name.as_str(), commit: self.commit() }
    }

    /// A record of one of its stacks: the error status unless the caller says better.
    pub fn record<'a>(&'a self, name: &'a StackName, error: Option<&'a str>) -> Option<Record<'a>> {
        let entry = self.desired(name).map(|desired| &desired.entry);
        let row = self.stack(name);
        Some(Record {
            name,
            repository_url: &self.row.as_ref()?.url,
            compose_path: entry
                .map(|entry| &*entry.compose_path)
                .or(row.map(|row| &*row.compose_path))
                .unwrap_or_default(),
            status: StackStatus::Error,
            hash: None,
            commit: self.commit()?,
            drift: entry.map(|entry| entry.drift).or(row.map(|row| row.drift)).unwrap_or_default(),
            error,
            held: false,
            services: None,
        })
    }
}

impl PlannedSource {
    /// Shows what docker would be given for a stack.
    fn show(&self, session: &Session<'_>, show: Show, name: &StackName) -> Result<()> {
        let Some(Some(Ok(rendered))) = self.desired(name).map(|desired| &desired.rendered) else {
            return Ok(());
        };
        let texts = self.row.as_ref().map(|row| session.state.texts(&row.url)).transpose()?;
        let applied = texts.and_then(|mut texts| texts.remove(name)?.applied);
        session.report.rendered(show, name.as_str(), &rendered.shown(), applied.as_deref());
        Ok(())
    }
}

/// Plans every source; a new one is remembered here, its manifest being valid.
pub fn plan(
    session: &Session<'_>,
    fetched: Vec<Fetched>,
    watched: &[Watched],
    swarm: &Swarm,
    options: &Options,
) -> Result<Planned> {
    let known: Vec<_> = watched.iter().map(|known| (known.identity.clone(), known.stacks.clone())).collect();
    let mut claims = plan::claims(&known, swarm);
    let moves = moves::find(&fetched, watched, &mut claims);
    let mut sources = Vec::new();
    for Fetched { target, content } in fetched {
        let identity = target.source.id().to_owned();
        let known = watched.iter().find(|known| known.identity == identity);
        let (rows, builds, attempts) = known
            .map(|known| (known.stacks.clone(), known.builds.clone(), known.attempts.clone()))
            .unwrap_or_default();
        let mut row = target.row;
        if row.is_none() {
            match content {
                Content::Failed(error) if !options.go_on => return Err(error),
                Content::Failed(_) => {}
                _ if !options.dry_run => row = Some(session.state.remember(&target.source.to_string())?),
                _ => {}
            }
        }
        let url = row.as_ref().map_or_else(|| target.source.to_string(), |row| row.url.clone());
        let mut source = PlannedSource {
            identity,
            url,
            row,
            rows,
            builds,
            attempts,
            content,
            steps: Vec::new(),
            waiting: BTreeSet::new(),
            last: BTreeSet::new(),
        };
        source.steps = steps(&source, swarm, options, &mut claims);
        for step in source.steps.iter_mut().filter(|step| matches!(step.action, Action::Remove { .. })) {
            if let Some(to) = moves.get(&(source.identity.clone(), step.name.clone())) {
                session
                    .report
                    .progress(&format!("`{}` moves from `{}` to `{to}`", step.name, source.identity));
                step.action = Action::Moved { to: to.clone() };
            }
        }
        let waiting = source.steps.iter().filter(|step| matches!(step.action, Action::Wait(_)));
        source.waiting = waiting.map(|step| step.name.clone()).collect();
        sources.push(source);
    }
    Ok(Planned { sources })
}

fn steps(source: &PlannedSource, swarm: &Swarm, options: &Options, claims: &mut Claims) -> Vec<Step> {
    let mut steps = match &source.content {
        Content::Read(read) => plan::plan(&source.input(read, swarm, options), claims),
        Content::Idle | Content::Waits | Content::Failed(_) => source
            .rows
            .iter()
            .map(|row| Step { name: row.name.clone(), action: without_checkout(row, swarm) })
            .collect(),
    };
    if let Some(only) = &options.only {
        only::keep_to(only, source, &mut steps);
    }
    steps
}

/// What can be said of a stack whose source was not read.
fn without_checkout(row: &StackRow, swarm: &Swarm) -> Action {
    let drifts = drift::find(row, swarm);
    match &row.error {
        Some(error) if row.held => Action::Held(error.clone()),
        _ if row.status == StackStatus::Error => Action::Aside { well: false },
        _ if drifts.is_empty() || row.drift == DriftPolicy::Ignore => Action::Unchanged,
        _ => Action::Report(drifts),
    }
}

impl Planned {
    /// Whether anything is to be deployed or removed.
    pub fn has_work(&self) -> bool {
        let works = |step: &Step| {
            matches!(
                step.action,
                Action::Deploy { .. }
                    | Action::Roll { .. }
                    | Action::Adopt
                    | Action::Settle
                    | Action::Remove { .. }
            )
        };
        self.sources.iter().any(|source| source.steps.iter().any(works))
    }

    /// Says what would be done.
    pub fn describe(&self, session: &Session<'_>, options: &Options) -> Result<Tally> {
        let (mut tally, report, show) = (Tally::default(), session.report, options.show);
        self.say_builds(report, options, &mut tally);
        for source in &self.sources {
            if let Content::Failed(error) = &source.content {
                report.source_failed(&source.url, error);
                tally.failed += 1;
            }
            for step in &source.steps {
                let name = step.name.as_str();
                match &step.action {
                    Action::Deploy { reason, .. } => {
                        report.would(name, &format!("deploy: {reason}"), &mut tally.deployed);
                        if let Some(show) = show {
                            source.show(session, show, &step.name)?;
                        }
                    }
                    Action::Roll { rolls, drifts } => {
                        note_drifts(report, source.subject(&step.name), drifts);
                        report.would(
                            name,
                            &format!("roll: {}", images::sentence(rolls)),
                            &mut tally.deployed,
                        );
                    }
                    Action::Wait(reason) => {
                        let text = format!("deploy, unless the build changes nothing: {reason}");
                        report.would(name, &text, &mut tally.deployed);
                        if let Some(show) = show {
                            source.show(session, show, &step.name)?;
                        }
                    }
                    Action::Adopt => {
                        report.would(name, "adopt: it runs as the source says", &mut tally.deployed);
                    }
                    Action::Settle => {
                        report.would(name, &format!("not deploy: {SETTLE}"), &mut tally.failed);
                    }
                    Action::Remove { reason, .. } => {
                        report.would(name, &format!("remove: {reason}"), &mut tally.removed);
                    }
                    other => say(report, source.subject(&step.name), other, &mut tally),
                }
            }
        }
        Ok(tally)
    }
}

/// Says and counts what needs no docker call.
pub fn say(report: &Report, subject: Subject<'_>, action: &Action, tally: &mut Tally) {
    match action {
        Action::Unchanged | Action::Off => tally.unchanged += 1,
        Action::Report(drifts) => {
            note_drifts(report, subject, drifts);
            tally.drifted += 1;
        }
        Action::Held(why) => {
            report.stays_failed(subject, &format!("{why}{HELD}"));
            tally.failed += 1;
        }
        Action::Unbuilt { image, .. } => {
            // The image has had its own line, with what the builder said.
            let text = format!("not deployed: its image `{image}` could not be built{HELD}");
            report.stays_failed(subject, &text);
            tally.failed += 1;
        }
        Action::Refuse(why) => {
            report.stays_failed(subject, why);
            tally.failed += 1;
        }
        Action::Deploy { .. }
        | Action::Roll { .. }
        | Action::Wait(_)
        | Action::Adopt
        | Action::Settle
        | Action::Remove { .. }
        | Action::Forget
        | Action::Moved { .. }
        | Action::Aside { .. } => {}
    }
}

/// Says what drifted and is left.
pub fn note_drifts(report: &Report, subject: Subject<'_>, drifts: &[Drift]) {
    if !drifts.is_empty() {
        report.stays_noted(subject, &format!("drifted, left as it is: {}", drift::sentence(drifts)));
    }
}
