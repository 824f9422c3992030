//! The jobs that `stacks.yaml` names, beside the services that the stack has.

use crate::compose::RenderedStack;
use crate::manifest::JobsEntry;
use crate::problem::{Collector, Problem};

/// The names that are no jobs of the stack, each where it stands in the list.
pub fn wrong(jobs: &JobsEntry, rendered: &RenderedStack) -> Vec<Problem> {
    let mut problems = Collector::new(&*jobs.file);
    for job in jobs.all() {
        if let Some(why) = rendered.is_no_job(&job.service) {
            problems.add(job.line, job.key.clone(), format!("`{}` {why}", job.service));
        }
    }
    problems.into_problems()
}
