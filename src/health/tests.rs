//! The table: tasks as docker tells them, and what is said of them.

mod case;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::json;

use super::*;
use crate::stack::StackName;
use case::{Case, global, replicated, task};

const FAILED: &str = "task: non-zero exit (1)";

/// Tasks of one slot, newest first, the older ones failed that many seconds ago.
fn loops(newest: &str, failed: &[u64]) -> Vec<String> {
    let old = failed.iter().map(|age| format!("1 node2 Shutdown Failed {age} seconds ago ! {FAILED}"));
    [newest.to_owned()].into_iter().chain(old).collect()
}

fn texts(tasks: &[String]) -> Vec<&str> {
    tasks.iter().map(String::as_str).collect()
}

#[test]
fn what_runs_as_applied_is_healthy() {
    let runs = ["1 node1 Running Running 5 minutes ago", "2 node2 Running Running 5 minutes ago"];
    Case::new(replicated("any", 2), &runs).of("2").is_healthy((2, 2));
    Case::new(replicated("any", 0), &[]).of("0").is_healthy((0, 0));
    // More than Git wants is drift, and runs.
    Case::new(replicated("any", 2), &runs).of("1").is_healthy((2, 1));
    Case::new(global("any"), &["node1 node1 Running Running 2 hours ago"]).global().is_healthy((1, 1));
}

#[test]
fn what_a_hand_scaled_or_removed_is_missing() {
    let one = ["1 node1 Running Running 5 minutes ago", "2 node1 Remove Shutdown 3 seconds ago"];
    Case::new(replicated("any", 1), &one).says("`web_app` runs 1 of 3: scaled by hand to 1");
    Case::new(replicated("any", 0), &[]).says("`web_app` runs 0 of 3: scaled by hand to 0");
    let gone = |case: &Case| judge(&case.row(StackStatus::Deployed), &[], &Swarm::default(), &Look::none());
    let removed = gone(&Case::new(replicated("any", 3), &[]));
    assert_eq!(removed.why(&BTreeMap::new()).unwrap(), "`web_app` runs 0 of 3: it was removed");
    let removed = gone(&Case::new(global("any"), &[]).global());
    assert_eq!(removed.why(&BTreeMap::new()).unwrap(), "`web_app` runs 0 of 1: it was removed");
}

#[test]
fn without_the_tasks_what_docker_counts_decides() {
    let case = Case::new(replicated("any", 1), &[]).counting("1/1");
    let verdict = judge(&case.row(StackStatus::Deployed), &[], &case.swarm(), &Look::none());
    assert_eq!(verdict.why(&BTreeMap::new()).unwrap(), "`web_app` runs 1 of 3: scaled by hand to 1");
}

#[test]
fn a_crash_loop_tells_task_node_count_and_time() {
    let waits = loops("1 node2 Ready Ready 3 seconds ago", &[12, 25, 38, 51]);
    Case::new(replicated("any", 1), &texts(&waits)).of("1").says(
        "`web_app` runs 0 of 1: task: non-zero exit (1) (`web_app.1` on `node2`, restarted 4 times, last 12 seconds \
         ago)",
    );
    let runs = loops("1 node2 Running Running 3 seconds ago", &[12]);
    let case = Case::new(replicated("any", 1), &texts(&runs)).of("1");
    case.says(
        "`web_app` runs 1 of 1, but not steadily: task: non-zero exit (1) (`web_app.1` on `node2`, restarted once, \
         12 seconds ago)",
    );
    let service = &case.verdict().services["web_app"];
    assert_eq!((service.restarts, service.last_restart), (1, Some(Duration::from_secs(12))));
    assert_eq!(service.error.as_deref(), Some("task: non-zero exit (1) (on `node2`)"));
}

#[test]
fn it_is_over_once_the_new_task_was_steady_for_its_monitor_period_or_a_minute() {
    let steady = |age: &str, monitor: Option<u64>| {
        let tasks = loops(&format!("1 node2 Running Running {age} ago"), &[]);
        let failed = task(&format!("1 node2 Shutdown Failed 10 minutes ago ! {FAILED}"));
        let mut case = Case::new(replicated("any", 1), &texts(&tasks)).of("1");
        case.tasks.push(failed);
        if let Some(seconds) = monitor {
            case.spec["UpdateConfig"] = json!({"Monitor": seconds * 1_000_000_000});
        }
        case
    };
    assert!(steady("59 seconds", None).verdict().is_degraded());
    let over = steady("about a minute", None);
    over.is_healthy((1, 1));
    assert_eq!(over.verdict().services["web_app"].restarts, 1);
    assert!(steady("4 minutes", Some(300)).verdict().is_degraded());
    steady("5 minutes", Some(300)).is_healthy((1, 1));
}

#[test]
fn what_failed_before_the_deploy_converged_is_judged_already() {
    let tasks = loops("1 node2 Running Running 6 seconds ago", &[11, 20]);
    let case = |converged| Case::new(replicated("any", 1), &texts(&tasks)).of("1").converged(converged);
    case(1).is_healthy((1, 1));
    assert_eq!(case(1).verdict().services["web_app"].restarts, 0);
    assert!(case(15).verdict().is_degraded(), "it failed, and was replaced, behind it");
    let mut unknown = case(0);
    unknown.converged = None;
    assert!(unknown.verdict().is_degraded());
    let set_back = case(-3600);
    assert!(set_back.verdict().is_degraded(), "a clock that was set hides nothing");
}

#[test]
fn one_that_was_moved_by_hand_is_no_restart() {
    let moved = ["1 node1 Running Running 3 seconds ago", "1 node2 Shutdown Shutdown 4 seconds ago"];
    Case::new(replicated("any", 1), &moved).of("1").is_healthy((1, 1));
    let lost = ["1 node1 Running Running 3 seconds ago", "1 node2 Shutdown Running 5 minutes ago"];
    Case::new(replicated("any", 1), &lost).of("1").is_healthy((1, 1));
}

#[test]
fn what_ends_by_itself_and_is_started_again_does_not_keep_running() {
    let tasks = ["1 node1 Running Running 3 seconds ago", "1 node1 Shutdown Complete 9 seconds ago"];
    Case::new(replicated("any", 1), &tasks).of("1").says(
        "`web_app` runs 1 of 1, but not steadily: a task ended by itself (`web_app.1` on `node1`, restarted once, \
         9 seconds ago)",
    );
    let waits = ["1 node1 Ready Ready 1 second ago", "1 node1 Shutdown Complete 2 seconds ago"];
    assert!(Case::new(replicated("any", 1), &waits).of("1").verdict().is_degraded());
    let done = ["1 node1 Shutdown Complete 9 seconds ago"];
    Case::new(replicated("on-failure", 1), &done).of("1").is_healthy((1, 1));
    Case::new(replicated("none", 1), &done).of("1").is_healthy((1, 1));
}

#[test]
fn what_has_no_place_says_why() {
    let pending = "1 - Running Pending 9 seconds ago ! \"no suitable node (1 node not available)\"";
    Case::new(replicated("any", 1), &[pending])
        .of("1")
        .says("`web_app` runs 0 of 1: no suitable node (1 node not available) (`web_app.1`)");
    Case::new(replicated("any", 1), &["1 node1 Running Starting 9 seconds ago"])
        .of("1")
        .says("`web_app` runs 0 of 1: a task is still starting (`web_app.1` on `node1`)");
    Case::new(replicated("any", 1), &[]).of("1").says("`web_app` runs 0 of 1: it has no task for the rest");
}

#[test]
fn a_global_service_is_wanted_where_swarm_places_it() {
    let well = "node1 node1 Running Running 2 hours ago";
    let tell = |tasks: &[&str]| Case::new(global("any"), &[&[well], tasks].concat()).global();
    tell(&[
        "node2 node2 Ready Preparing 2 seconds ago",
        "node2 node2 Shutdown Rejected 4 seconds ago ! No such image: app:1",
    ])
    .says("`web_app` runs 1 of 2: No such image: app:1 (on `node2`, restarted once, 4 seconds ago)");
    // Its successor is about to be made.
    tell(&["node2 node2 Shutdown Rejected 1 second ago ! No such image: app:1"])
        .says("`web_app` runs 1 of 2: No such image: app:1 (on `node2`)");
    // None was: Swarm wants it there no more.
    tell(&["node2 node2 Shutdown Rejected 3 hours ago ! No such image: app:1"]).is_healthy((1, 1));
    tell(&["drained drained Shutdown Failed 1 second ago ! No such image: app:1"]).is_healthy((1, 1));
    tell(&["node2 node2 Shutdown Shutdown 3 seconds ago"]).is_healthy((1, 1));
    tell(&["node2 node2 Shutdown Running 3 seconds ago"]).is_healthy((1, 1));
}

#[test]
fn a_global_service_that_gave_up_on_a_node_is_wanted_there() {
    let rejected = ["node2 node2 Shutdown Failed 3 hours ago ! task: non-zero exit (1)"];
    let mut case = Case::new(global("any"), &rejected).global();
    case.is_healthy((0, 0));
    case.spec["TaskTemplate"]["RestartPolicy"]["MaxAttempts"] = json!(2);
    case.says("`web_app` runs 0 of 1: task: non-zero exit (1) (on `node2`)");
    Case::new(global("none"), &rejected)
        .global()
        .says("`web_app` completed 0 of 1: task: non-zero exit (1) (on `node2`)");
}

#[test]
fn a_one_shot_counts_what_completed_also_where_the_history_forgot_it() {
    let done = "1 node1 Shutdown Complete 9 days ago";
    let failed = "2 node1 Shutdown Failed 9 seconds ago ! task: non-zero exit (3)";
    Case::new(replicated("none", 2), &[done]).of("2").is_healthy((2, 2));
    Case::new(replicated("none", 2), &[done, failed])
        .of("2")
        .says("`web_app` completed 1 of 2: task: non-zero exit (3) (`web_app.2` on `node1`)");
}

#[test]
fn what_completed_is_told_apart_from_what_runs() {
    let completed = |case: Case| {
        let service = case.verdict().services["web_app"].clone();
        (service.running, service.completed)
    };
    let done = "1 node1 Shutdown Complete 3 minutes ago";
    let (runs, of_two) = ("2 node1 Running Running 3 minutes ago", |condition| replicated(condition, 2));
    // A server that ends with exit code 0 is no server any more.
    assert_eq!(completed(Case::new(of_two("on-failure"), &[done, runs]).of("2")), (2, 1));
    assert_eq!(completed(Case::new(of_two("none"), &[done]).of("2")), (2, 2));
    assert_eq!(completed(Case::new(of_two("any"), &[done, runs]).of("2")), (1, 0));
}

#[test]
fn a_job_counts_what_completed_and_what_is_at_it() {
    let mut spec = replicated("none", 0);
    spec["Mode"] = json!({"ReplicatedJob": {"TotalCompletions": 2, "MaxConcurrent": 2}});
    let job = |counts, tasks: &[&str]| Case::new(spec.clone(), tasks).global().counting(counts);
    job("0/2 (2/2 completed)", &["1 node1 Complete Complete 2 minutes ago"]).is_healthy((2, 2));
    job("1/2 (1/2 completed)", &["2 node1 Complete Running 2 minutes ago"]).is_healthy((2, 2));
    let failed =
        ["1 node1 Complete Preparing 1 second ago", "1 node1 Shutdown Failed 3 seconds ago ! exit (3)"];
    job("0/2 (1/2 completed)", &failed)
        .says("`web_app` completed 1 of 2: exit (3) (`web_app.1` on `node1`, restarted once, 3 seconds ago)");
}

#[test]
fn an_update_that_swarm_paused_is_degraded_unless_its_tasks_are_to_end() {
    let verdict = |case: &Case| {
        let mut swarm = case.swarm();
        swarm.services[0].update =
            serde_json::from_value(json!({"State": "paused", "Message": "m"})).unwrap();
        judge(&case.row(StackStatus::Deployed), &[], &swarm, &case.look())
    };
    let runs = ["1 node1 Running Running 5 minutes ago"];
    let server = verdict(&Case::new(replicated("any", 1), &runs).of("1"));
    let why =
        "`web_app` runs 1 of 1, but its update is paused: tasks may run another version than it asks for";
    assert_eq!(server.why(&BTreeMap::new()).as_deref(), Some(why));
    let mut spec = replicated("any", 0);
    spec["Mode"] = json!({"ReplicatedJob": {"TotalCompletions": 1, "MaxConcurrent": 1}});
    let done = ["1 node1 Complete Complete 2 minutes ago"];
    let job = verdict(&Case::new(spec, &done).global().counting("0/1 (1/1 completed)"));
    assert_eq!(job.health, Health::Healthy);
}

#[test]
fn what_is_deploying_failed_or_stopped_is_told_as_such() {
    let case = Case::new(replicated("any", 3), &[]);
    let health = |status, motions: &[Motion]| {
        let verdict = judge(&case.row(status), motions, &case.swarm(), &case.look());
        assert_eq!(verdict.why(&BTreeMap::new()), None);
        verdict.health
    };
    assert_eq!(health(StackStatus::Error, &[]), Health::Error);
    assert_eq!(health(StackStatus::Stopped, &[]), Health::Stopped);
    let motion = |name: &str| Motion {
        repository_id: 1,
        name: StackName::known(name),
        hash: String::new(),
        rolls: BTreeMap::new(),
        since: Utc::now(),
        given: None,
    };
    assert_eq!(health(StackStatus::Deployed, &[motion("web")]), Health::Deploying);
    let other = judge(&case.row(StackStatus::Deployed), &[motion("db")], &case.swarm(), &case.look());
    assert!(other.is_degraded(), "the deploy of another stack excuses nothing");
}

#[test]
fn a_row_of_the_older_release_goes_by_what_is_live() {
    let case = |tasks: &[&str]| {
        let case = Case::new(replicated("any", 1), tasks);
        let mut row = case.row(StackStatus::Deployed);
        row.services.clear();
        (judge(&row, &[], &case.swarm(), &case.look()), row)
    };
    let (runs, row) = case(&["1 node1 Running Running 5 minutes ago"]);
    assert_eq!(runs.health, Health::Healthy);
    assert!(case(&[]).0.is_degraded());
    assert_eq!(judge(&row, &[], &Swarm::default(), &Look::none()).health, Health::Unknown);
}

#[test]
fn a_failed_stack_still_tells_what_its_tasks_died_of() {
    let tasks = loops("1 node2 Ready Ready 3 seconds ago", &[12]);
    let case = Case::new(replicated("any", 1), &texts(&tasks)).of("1");
    let verdict = judge(&case.row(StackStatus::Error), &[], &case.swarm(), &case.look());
    let service = &verdict.services["web_app"];
    assert_eq!((service.running, service.wanted), (0, 1));
    assert_eq!(service.error.as_deref(), Some("task: non-zero exit (1) (on `node2`)"));
}

#[test]
fn times_read_as_people_say_them() {
    for (seconds, words) in [
        (0, "just now"),
        (1, "1 second ago"),
        (59, "59 seconds ago"),
        (60, "1 minute ago"),
        (3_599, "59 minutes ago"),
        (7_200, "2 hours ago"),
        (260_000, "3 days ago"),
    ] {
        assert_eq!(ago(Duration::from_secs(seconds)), words);
    }
}

#[test]
fn the_time_of_a_look_is_what_ages_are_measured_by() {
    let taken: DateTime<Utc> = "2030-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(Look::new(&[], vec![], BTreeMap::new(), taken).taken(), taken);
}
