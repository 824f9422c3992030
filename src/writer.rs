//! What changes something works with: the lock, the database, docker, and who is told.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::docker::Docker;
use crate::git::{self, Commit};
use crate::lock::{self, Held, Lock};
use crate::policy::{self, Policy, Trust};
use crate::reconcile::{Paths, Session, World};
use crate::report::{Report, Voice};
use crate::settings::{Settings, beside};
use crate::signal;
use crate::signature::Required;
use crate::source::Source;
use crate::state::{self, SourceRow, State};

/// A run that waits for stacks holds the lock for a moment at a time; several may come before this one.
const PATIENCE: Duration = Duration::from_secs(10);
/// Who waits longer is told.
const LONG: Duration = Duration::from_secs(2);

/// All that a command needs that changes something, the lock included.
pub struct Writer {
    pub docker: Docker,
    pub state: Rc<State>,
    pub report: Rc<Report>,
    door: World,
    settings: Settings,
    policy: Option<Arc<Policy>>,
    command: String,
    installation: String,
    /// Held until the command lets others have a turn, or ends.
    lock: RefCell<Option<Lock>>,
}

impl Writer {
    /// Takes the lock for `command`, clears what a killed run left behind, opens the database.
    pub fn open(settings: &Settings, command: &str, voice: Voice) -> Result<Self> {
        Self::open_for(settings, command, Rc::new(Report::with(voice)))
    }

    /// Likewise, for a run that says what another one would do.
    pub fn open_to_preview(settings: &Settings, command: &str, voice: Voice) -> Result<Self> {
        let new = Self::of(settings, command, Rc::new(Report::with(voice)), State::preview)?;
        new.report.keep_events(None);
        Ok(new)
    }

    /// Likewise, and tells `report`, which keeps what it is told as events until this is dropped.
    pub fn open_for(settings: &Settings, command: &str, report: Rc<Report>) -> Result<Self> {
        Self::of(settings, command, report, State::open)
    }

    fn of(
        settings: &Settings,
        command: &str,
        report: Rc<Report>,
        open: fn(&Path) -> Result<State>,
    ) -> Result<Self> {
        let programs = settings.programs();
        let read = |path: &PathBuf| policy::read(path, Trust::Root, &programs);
        let policy = settings.policy.as_ref().map(read).transpose()?;
        state::make_folder(&settings.database)?;
        let lock = patiently(&beside(&settings.database, ".lock"), command, &report)?;
        git::sweep(&beside(&settings.database, ".checkouts"))?;
        let state = Rc::new(open(&settings.database)?);
        state.forget_dead_work()?;
        report.keep_events(Some(Rc::clone(&state)));
        sweep_kept(settings, &state)?;
        let docker = Docker::new(&settings.docker_environment, settings.deploy_timeout);
        Ok(Self {
            door: World::new(&docker, &settings.git, &settings.registry, &required(policy.as_ref())),
            docker,
            state,
            report,
            settings: settings.clone(),
            policy,
            command: command.to_owned(),
            installation: settings.database.display().to_string(),
            lock: RefCell::new(Some(lock)),
        })
    }

    pub fn session(&self) -> Session<'_> {
        Session {
            door: &self.door,
            docker: &self.docker,
            state: &self.state,
            git: &self.settings.git,
            pull_policy: self.settings.pull_policy,
            prune_nodes: self.settings.prune_nodes.as_deref(),
            history: self.settings.history,
            keep_versions: self.settings.keep_versions,
            installation: &self.installation,
            deploy_timeout: self.settings.deploy_timeout,
            build_timeout: self.settings.build_timeout,
            policy: self.policy.as_deref(),
            own_guard: &self.settings.guard,
            whole_guard: OnceCell::new(),
            report: &self.report,
            paths: Paths {
                lock: beside(&self.settings.database, ".lock"),
                build_lock: beside(&self.settings.database, ".build.lock"),
                checkouts: beside(&self.settings.database, ".checkouts"),
                command: &self.command,
                held: &self.lock,
            },
        }
    }

    /// What tells the policy from others.
    pub fn policy_id(&self) -> &str {
        self.policy.as_deref().map_or("", Policy::id)
    }

    /// Removes what is kept of remotes that no source uses any more.
    pub fn sweep_kept(&self) -> Result<()> {
        sweep_kept(&self.settings, &self.state)
    }

    /// The row of `source`, however it was spelled when it was watched.
    pub fn row_of(&self, source: &Source) -> Result<Option<SourceRow>> {
        let same = |row: &SourceRow| match row.url.parse() {
            Ok(known) => known == *source,
            // The older release stored credentials.
            Err(_) => Source::parse(&row.url.shown()).is_ok_and(|known| known == *source),
        };
        Ok(self.state.sources()?.into_iter().find(same))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.report.keep_events(None);
    }
}

/// Who must have signed the commits of a source, as the policy says.
fn required(policy: Option<&Arc<Policy>>) -> Required {
    let Some(policy) = policy.cloned() else { return Required::default() };
    Required::by(move |source| policy.rules_for(source)?.signed()?.signers().cloned())
}

/// Of each remote what is needed beside its tips: what stacks were rolled back to, and what they fled.
fn sweep_kept(settings: &Settings, state: &State) -> Result<()> {
    let holds = state.holds()?;
    let mut remotes: BTreeMap<String, Vec<Commit>> = BTreeMap::new();
    for row in state.sources()? {
        let Ok(source) = row.url.parse() else { continue };
        let own = holds.iter().filter(|hold| hold.repository_id == row.id);
        let backs = own.filter_map(|row| row.hold.back.as_deref());
        let commits = backs.flat_map(|back| back.fled.iter().chain([&back.commit]));
        let commits = commits.filter_map(|commit| Commit::parse(commit).ok());
        remotes.entry(source.url().to_owned()).or_default().extend(commits);
    }
    settings.git.kept.iter().for_each(|folder| git::sweep_kept(folder, &remotes));
    Ok(())
}

/// The lock, after the turn of another run; one that has it for longer is told.
fn patiently(path: &Path, command: &str, report: &Report) -> Result<Lock> {
    let (begun, mut told) = (Instant::now(), false);
    loop {
        match lock::take(path, command) {
            Err(error) if error.is::<Held>() && begun.elapsed() < PATIENCE => {
                if begun.elapsed() > LONG && !std::mem::replace(&mut told, true) {
                    report.progress(&format!("waiting: {error:#}"));
                }
                signal::pause(Duration::from_millis(50))?;
            }
            other => return other,
        }
    }
}
