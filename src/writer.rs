//! What changes something works with: the lock, the database, docker, and who is told.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::Result;

use crate::docker::Docker;
use crate::git;
use crate::lock::{self, Lock};
use crate::reconcile::Session;
use crate::report::Report;
use crate::settings::Settings;
use crate::source::Source;
use crate::state::{self, SourceRow, State};

/// All that a command needs that changes something, the lock included.
pub struct Writer {
    /// How docker is called.
    pub docker: Docker,
    /// The database.
    pub state: Rc<State>,
    /// Who is told.
    pub report: Rc<Report>,
    settings: Settings,
    checkouts: PathBuf,
    installation: String,
    _lock: Lock,
}

impl Writer {
    /// Takes the lock for `command`, clears what a killed run left behind, opens the database.
    pub fn open(settings: &Settings, command: &str) -> Result<Self> {
        Self::open_for(settings, command, Rc::new(Report::new()))
    }

    /// Likewise, for a run that says what another one would do.
    pub fn open_to_preview(settings: &Settings, command: &str) -> Result<Self> {
        let new = Self::of(settings, command, Rc::new(Report::new()), State::preview)?;
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
        state::make_folder(&settings.database)?;
        let lock = lock::take(&beside(&settings.database, ".lock"), command)?;
        let checkouts = beside(&settings.database, ".checkouts");
        git::sweep(&checkouts)?;
        let state = Rc::new(open(&settings.database)?);
        report.keep_events(Some(Rc::clone(&state)));
        Ok(Self {
            docker: Docker::new(&settings.docker_environment, settings.deploy_timeout),
            state,
            report,
            settings: settings.clone(),
            checkouts,
            installation: settings.database.display().to_string(),
            _lock: lock,
        })
    }

    /// What a run of the pipeline works with.
    pub fn session(&self) -> Session<'_> {
        Session {
            docker: &self.docker,
            state: &self.state,
            git: &self.settings.git,
            registry: &self.settings.registry,
            pull_policy: self.settings.pull_policy,
            prune_nodes: self.settings.prune_nodes.as_deref(),
            checkouts: self.checkouts.clone(),
            installation: &self.installation,
            deploy_timeout: self.settings.deploy_timeout,
            build_timeout: self.settings.build_timeout,
            own_guard: &self.settings.guard,
            whole_guard: OnceCell::new(),
            report: &self.report,
        }
    }

    /// The row of `source`, however it was spelled when it was watched.
    pub fn row_of(&self, source: &Source) -> Result<Option<SourceRow>> {
        let same = |row: &SourceRow| Source::parse(&row.url).is_ok_and(|known| known == *source);
        Ok(self.state.sources()?.into_iter().find(same))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.report.keep_events(None);
    }
}

/// A file that bears the database's name and something behind it.
pub fn beside(database: &Path, name: &str) -> PathBuf {
    let mut file = database.as_os_str().to_owned();
    file.push(name);
    file.into()
}
