//! What is said of a stack is so, by the simulated Swarm's own knowledge, tasks included.

use super::clock::{Millis, when};
use super::rules::{ALARM, HEALTH, TRUTH};
use super::service::Live;
use super::spec::Entry;
use super::world::{World, controller};
use crate::docker::Swarm;
use crate::health::{Health, Look, judge};
use crate::stack::DriftPolicy;
use crate::state::{AppliedService, Motion, StackRow};

impl World {
    /// What a look at everybody's health calls healthy has all its tasks, then and there; what it calls degraded lacks
    /// one, or lost one lately, unless docker took its time to say so.
    pub fn judged(&mut self, swarm: &Swarm, stacks: &[(&StackRow, &[Motion])], look: &Look, begun: Millis) {
        let mut wrong = Vec::new();
        for (row, motions) in stacks {
            let verdict = judge(row, motions, swarm, look);
            let is_alarm = verdict.health == Health::Degraded && self.now == begun;
            if is_alarm && !self.is_unwell(row) {
                let why = verdict.why(&row.words).unwrap_or_default();
                wrong.push((ALARM, format!("`{}` is called degraded: {why}", row.name)));
            }
            if verdict.health != Health::Healthy {
                continue;
            }
            for (name, applied) in &row.services {
                let wanted = wanted(applied);
                let live = self.swarm.services.get(name);
                if !live.is_some_and(|live| live.fills(wanted, &self.swarm.nodes)) {
                    let wanted =
                        wanted.map_or_else(|| "task on each node".to_owned(), |it| format!("{it} tasks"));
                    wrong.push((HEALTH, format!("`{name}` is called healthy, and has not its {wanted}")));
                }
            }
        }
        for (rule, what) in wrong {
            self.breaks(rule, what);
        }
    }

    /// Whether a stack lacks a task of what was applied, or lost one since it converged and lately.
    fn is_unwell(&self, row: &StackRow) -> bool {
        let converged = row.converged.as_deref().map(when).unwrap_or_default();
        row.services.iter().any(|(name, applied)| {
            self.swarm.services.get(name).is_none_or(|live| {
                !live.fills(wanted(applied), &self.swarm.nodes) || live.lost_one(converged, self.now)
            })
        })
    }

    /// A run that ends with nothing failed leaves what its sources say; with nothing degraded either, it runs.
    pub fn ends_well(&mut self, actor: usize, begun: usize, some_degraded: bool) {
        let mut wrong = None;
        for (at, head) in self.views[actor].heads.clone() {
            let (id, commit) = (self.sources[at].source.id().as_str(), &self.sources[at].commits[head]);
            let is_held = |name: &str| self.is_on_hold(controller(actor), name);
            let may_differ =
                |entry: &&Entry| !is_held(entry.name) && !commit.needs(entry).iter().any(|on| is_held(on));
            for entry in commit.stacks.iter().filter(may_differ) {
                let (meddled, shaken) =
                    self.ledgers.get(entry.name).map_or((0, 0), |ledger| (ledger.meddled, ledger.shaken));
                let deep = !some_degraded && shaken < begun;
                let is_ours = self.swarm.of_stack(entry.name).any(|live: &Live| live.labels.owner == id);
                let is_wrong = match entry.enabled {
                    _ if meddled > begun => false,
                    true if entry.wrong => true,
                    true => entry.drift == DriftPolicy::Correct && !self.swarm.is_as(entry, id, deep),
                    false => is_ours,
                };
                if is_wrong {
                    wrong = Some(format!("a run ends well, and `{}` is not as `{id}` says", entry.name));
                }
            }
        }
        if let Some(what) = wrong {
            self.breaks(TRUTH, what);
        }
    }
}

/// The tasks that were applied; `None` of a global service.
fn wanted(applied: &AppliedService) -> Option<u64> {
    applied.spec.get("replicas").map(|wanted| wanted.parse().unwrap())
}
