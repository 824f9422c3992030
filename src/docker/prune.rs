//! The job that removes images from every node: made, watched, read.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};

use super::state::TaskState;
use super::task::Task;
use super::{ANOTHER, Docker, command, refused};
use crate::fault::OrHint;

/// How the script says that a container uses one of the images.
const IN_USE: u8 = 3;

/// Removes its arguments from the node, never by force. What is not there is no failure.
const SCRIPT: &str = "\
docker version >/dev/null || exit 1
status=0
for image; do
    id=$(docker image inspect --format '{{.Id}}' \"$image\" 2>/dev/null) || continue
    containers=$(docker container ls --all --quiet --no-trunc)
    used=$([ -z \"$containers\" ] || docker container inspect --format '{{.Image}}' $containers 2>/dev/null)
    case $used in
    *\"$id\"*) status=3 ;;
    *) docker image rm \"$image\" || status=3 ;;
    esac
done
exit $status";

/// A job that was started.
#[derive(Debug)]
pub struct Job {
    /// Its service's id.
    pub id: String,
}

impl Docker {
    /// Starts the job; what a killed run of this `installation` left of an earlier one goes before.
    pub fn start_prune(
        &self,
        image: &str,
        installation: &str,
        references: &BTreeSet<&String>,
    ) -> Result<Job> {
        let left = self.ask(&command::prune_jobs(installation))?.stdout;
        let left: Vec<_> = left.split_whitespace().collect();
        if !left.is_empty() {
            self.remove_services(&left)?;
        }
        let call = command::prune_create(image, installation, SCRIPT, references);
        let output = self.raw(&call, self.action, None, None)?;
        if !output.success {
            return Err(refused(&call, &output));
        }
        let id = output.stdout.split_whitespace().next().context("`docker service create` printed no id");
        Ok(Job { id: id.or_hint(ANOTHER)?.to_owned() })
    }

    /// Its tasks, one a node, and how many there are to be.
    pub fn prune_tasks(&self, job: &Job) -> Result<(Vec<Task>, u64)> {
        let listed = self.services(&command::service_ls_by_id(&job.id))?.services;
        let wanted = listed.iter().find(|service| service.id == job.id);
        let wanted = wanted.and_then(|service| service.completed).map_or(0, |(_, wanted)| wanted);
        Ok((self.tasks_of(&[&job.id])?, wanted))
    }
}

/// Whether a task of the job has come to its end.
pub fn is_over(task: &Task) -> bool {
    task.has_failed() || task.state == TaskState::Complete
}

/// A task's node, and why images stay there; `None` where they are gone.
pub fn failure(task: &Task, patience: Duration) -> Option<(String, String)> {
    let why = match &task.state {
        TaskState::Complete => return None,
        _ if task.error.contains(&format!("({IN_USE})")) => "a container there uses one of them".to_owned(),
        _ if task.has_failed() && !task.error.trim().is_empty() => task.error.trim().to_owned(),
        state => format!("the job is `{state}` there after {} s", patience.as_secs()),
    };
    let node = if task.node.is_empty() { "a node" } else { &task.node };
    Some((node.to_owned(), why))
}
