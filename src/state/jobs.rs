//! The jobs of a deploy in motion, and how far it is: a step is one job, or all the rest of the stack.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::once;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The jobs of a stack, in a deploy of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jobs {
    /// Those that run before the rest, by full name, one after another.
    pub before: Vec<String>,
    /// Likewise those behind it.
    pub after: Vec<String>,
    /// Whether this deploy runs them; else it leaves them as they are.
    pub run: bool,
    /// Whether it runs those, too, that did for this version.
    #[serde(default)]
    pub again: bool,
    /// Those that it leaves as they are, by full name.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub skipped: BTreeSet<String>,
    /// The images that tags named when it began, by full name: of the services that follow these.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, String>,
    /// Likewise those of all other services: one tag is one image in all steps of a deploy.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub named: BTreeMap<String, String>,
    pub step: Step,
    pub phase: Phase,
    /// The run of the job, as its tasks are labelled.
    pub name: String,
    /// When the first step was given.
    pub begun: DateTime<Utc>,
    /// How long a job may take, in seconds; the time to converge where nothing is said.
    pub timeout: Option<u64>,
}

/// What of a stack is given at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// That job of those before.
    Before(usize),
    /// All that is no job.
    Rest,
    /// That job of those behind it.
    After(usize),
}

/// How far a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// docker is about to be given it; whether it was, its label tells.
    Asked,
    Given,
    /// It came to a good end, and the next one is not given so far.
    Done,
}

impl Jobs {
    /// The job of the step; `None` of the rest.
    pub fn job(&self) -> Option<&str> {
        match self.step {
            Step::Before(at) => self.before.get(at).map(String::as_str),
            Step::Rest => None,
            Step::After(at) => self.after.get(at).map(String::as_str),
        }
    }

    pub fn has(&self, service: &str) -> bool {
        self.before.iter().chain(&self.after).any(|job| job == service)
    }

    /// What docker is given for a service; `None` where that is as its file says.
    pub fn image(&self, service: &str) -> Option<&str> {
        self.images.get(service).or_else(|| self.named.get(service)).map(String::as_str)
    }

    /// docker took the step.
    pub fn given(self) -> Self {
        Self { phase: Phase::Given, ..self }
    }

    /// What comes first.
    pub fn first(&self) -> Step {
        self.steps().next().unwrap_or(Step::Rest)
    }

    /// What comes behind the step; `None` of the last one.
    pub fn next(&self) -> Option<Step> {
        self.steps().skip_while(|step| *step != self.step).nth(1)
    }

    fn steps(&self) -> impl Iterator<Item = Step> {
        let of = |jobs: &[String]| {
            let runs = |at: &usize| self.run && !self.skipped.contains(&jobs[*at]);
            (0..jobs.len()).filter(runs).collect::<Vec<_>>()
        };
        let (before, after) = (of(&self.before), of(&self.after));
        before.into_iter().map(Step::Before).chain(once(Step::Rest)).chain(after.into_iter().map(Step::After))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jobs(before: usize, after: usize, run: bool) -> Jobs {
        let names = |what: &str, count| (0..count).map(|at| format!("web_{what}{at}")).collect();
        Jobs {
            before: names("before", before),
            after: names("after", after),
            run,
            again: false,
            skipped: BTreeSet::new(),
            images: BTreeMap::new(),
            named: BTreeMap::new(),
            step: Step::Rest,
            phase: Phase::Given,
            name: "1".into(),
            begun: DateTime::default(),
            timeout: None,
        }
    }

    fn steps(mut jobs: Jobs) -> Vec<String> {
        let (mut steps, mut step) = (Vec::new(), Some(jobs.first()));
        while let Some(at) = step {
            jobs.step = at;
            steps.push(jobs.job().unwrap_or("rest").to_owned());
            step = jobs.next();
        }
        steps
    }

    #[test]
    fn jobs_run_one_after_another_around_the_rest() {
        let all = ["web_before0", "web_before1", "rest", "web_after0", "web_after1"];
        assert_eq!(steps(jobs(2, 2, true)), all);
        assert_eq!(steps(jobs(2, 0, true)), all[..3]);
        assert_eq!(steps(jobs(0, 2, true)), all[2..]);
        assert_eq!(steps(jobs(2, 2, false)), ["rest"]);
        let skipped = BTreeSet::from(["web_before0".to_owned(), "web_after0".to_owned()]);
        assert_eq!(steps(Jobs { skipped, ..jobs(2, 2, true) }), ["web_before1", "rest", "web_after1"]);
    }

    #[test]
    fn a_motion_of_an_earlier_release_knows_none() {
        let jobs = jobs(1, 1, true);
        let text = serde_json::to_string(&jobs).unwrap();
        assert!(text.contains(r#""step":"rest","phase":"given""#), "{text}");
        assert_eq!(serde_json::from_str::<Jobs>(&text).unwrap(), jobs);
    }
}
