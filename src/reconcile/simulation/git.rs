//! What servers of git say, and what is read of it.

use std::time::Duration;

use anyhow::{Result, anyhow};

use super::spec::Entry;
use crate::git::Commit;
use crate::manifest::StackEntry;
use crate::plan::{DesiredStack, Images};
use crate::reconcile::door::Heads;
use crate::stack::StackName;

/// A stack as the loop would have read it.
pub fn desired(entry: &Entry) -> DesiredStack {
    let rendered = if entry.wrong {
        Some(Err(anyhow!("`services.app.image` must be a string")))
    } else {
        entry.enabled.then(|| Ok(entry.rendered()))
    };
    let known = StackEntry {
        name: StackName::known(entry.name),
        enabled: entry.enabled,
        depends_on: entry.depends_on.iter().copied().map(StackName::known).collect(),
        drift: entry.drift,
        compose_file: None,
        compose_path: format!("{}/compose.yml", entry.name),
        wrong: Vec::new(),
    };
    DesiredStack { entry: known, rendered, images: Images::Ready }
}

/// All that servers answer, at once.
#[derive(Debug)]
pub struct Answers(pub Vec<(usize, Result<Commit>)>);

impl Heads for Answers {
    fn answered(&mut self, _: Option<Duration>) -> Result<Vec<(usize, Result<Commit>)>> {
        Ok(std::mem::take(&mut self.0))
    }
}
