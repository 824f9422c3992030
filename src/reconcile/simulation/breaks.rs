//! The loop broken on purpose, in one way after the other: each is found, by the rule that is there for it.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use super::images::{AWAY, DENIED, ROLLED};
use super::play::Stage;
use super::rules::{
    ALARM, CONVERGES, ENDS, EVIDENCE, HANDOVER, HEALTH, HELD, IDLE, LOST, NO_FIGHT, NO_WAITING, ON_HOLD,
    ONCE, ORDER, TRUTH,
};
use super::story::Story;
use super::{THREADS, play};
use crate::broken::{Break, breaking};

/// Each way, and the rule that finds it.
const BREAKS: [(Break, &str); 20] = [
    (Break::CallsItDeployedAtOnce, TRUTH),
    (Break::RemovesWithoutEvidence, EVIDENCE),
    (Break::ForgetsMotion, ONCE),
    (Break::DeploysTwice, ONCE),
    (Break::IgnoresHolds, ON_HOLD),
    (Break::OneErrorEndsTheRun, NO_WAITING),
    (Break::WaitsForWhatStruggles, NO_WAITING),
    (Break::IgnoresDependencies, ORDER),
    (Break::TriesWhatIsHeldAgain, HELD),
    (Break::TakesFromAnotherDockerOps, NO_FIGHT),
    (Break::SeesNoHealth, HEALTH),
    (Break::RemembersOldDeaths, ALARM),
    (Break::RemovesWhatChangesHands, HANDOVER),
    (Break::WaitsForWhatIsGone, LOST),
    (Break::TakesTurnsWithoutEnd, ENDS),
    (Break::SeesNoDrift, CONVERGES),
    (Break::LooksAgainAndAgain, IDLE),
    (Break::DeploysWhatIsDenied, DENIED),
    (Break::LosesDigests, AWAY),
    (Break::RemembersWhatTagsNamed, ROLLED),
];
/// So many stories are played until a way must have been found.
const STORIES: u64 = 3_000;

#[test]
fn each_way_in_which_the_loop_may_be_broken_is_found() {
    let next = AtomicUsize::new(0);
    let search = || {
        let (stage, mut missed) = (Stage::new(), Vec::new());
        while let Some((how, rule)) = BREAKS.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (begun, mut others) = (Instant::now(), Vec::new());
            let found = (1..=STORIES).find(|seed| {
                let (broken, _) = breaking(*how, || play(&stage, &Story::of(*seed), false));
                let is_it = broken.as_ref().is_some_and(|broken| broken.rule == *rule);
                others.extend(broken.filter(|_| !is_it).map(|broken| broken.rule));
                is_it
            });
            let took = begun.elapsed().as_secs_f64();
            match found {
                Some(seed) => drop(writeln!(std::io::stderr(), "{how:?}: story {seed}, {took:.1} s")),
                None => {
                    others.sort_unstable();
                    others.dedup();
                    missed.push(format!("{how:?} breaks no rule `{rule}`, but {others:?}"));
                }
            }
        }
        missed
    };
    let missed: Vec<_> = thread::scope(|scope| {
        let started: Vec<_> = (0..THREADS).map(|_| scope.spawn(search)).collect();
        started.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
