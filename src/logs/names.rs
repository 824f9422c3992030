//! What tasks and their nodes are called.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::docker::Docker;
use crate::docker::logs::Record;
use crate::docker::service::Service;
use crate::plain;

/// A task that is not known is asked for at most so often.
const AGAIN: Duration = Duration::from_secs(1);

/// The tasks of the services that were asked for.
#[derive(Debug)]
pub struct Names {
    /// The names of a task and of its node, by the task's id.
    tasks: BTreeMap<String, (String, String)>,
    asked: Instant,
}

impl Names {
    /// One docker call.
    pub fn ask(docker: &Docker, services: &[&Service]) -> Result<Self> {
        let ids: Vec<_> = services.iter().map(|service| service.id.as_str()).collect();
        Ok(Self::of_text(&docker.task_names(&ids)?))
    }

    pub fn of_text(text: &str) -> Self {
        let tasks = text.lines().filter_map(|line| {
            let mut fields = line.split('\t');
            let (id, name, node) = (fields.next()?, fields.next()?, fields.next()?);
            Some((id.to_owned(), (plain::name(name), plain::name(node))))
        });
        Self { tasks: tasks.collect(), asked: Instant::now() }
    }

    /// Whether docker is to be asked again, for this record is of a task that came later.
    pub fn lacks(&self, record: &Record) -> bool {
        !self.tasks.contains_key(&record.task) && self.asked.elapsed() >= AGAIN
    }

    /// Of a task that Swarm has forgotten, the ids.
    pub fn of(&self, service: &str, record: &Record) -> (String, String) {
        let known = self.tasks.get(&record.task).cloned();
        known.unwrap_or_else(|| {
            (format!("{service}.{}", plain::name(&record.task)), plain::name(&record.node))
        })
    }
}
