//! The table of what is made of tasks and updates.

use super::*;
use crate::docker::{service, task};
use chrono::Utc;
use serde_json::json;

struct Case {
    service: Service,
    tasks: Vec<Task>,
}

fn service(replicas: &str, update: Option<&str>, restart: &str, env: &str) -> Service {
    let listed = serde_json::from_value(json!({"ID": "s", "Replicas": replicas})).unwrap();
    let spec = json!({"Name": "web_app", "Labels": {}, "Mode": {"Replicated": {"Replicas": 1}},
        "TaskTemplate": {"ContainerSpec": {"Env": [env]}, "RestartPolicy": {"Condition": restart}}});
    let mut value = json!({"ID": "s", "Spec": spec});
    if let Some(state) = update {
        value["UpdateStatus"] = json!({"State": state, "Message": "m"});
        value["PreviousSpec"] = json!({});
    }
    service::read(vec![listed], vec![value]).unwrap().remove(0)
}

fn task(id: &str, state: &str, desired: &str, env: &str, error: &str) -> Task {
    let value = json!({"ID": id, "ServiceID": "s", "Slot": 1, "DesiredState": desired, "CreatedAt": id,
        "Status": {"State": state, "Err": error}, "Spec": {"ContainerSpec": {"Env": [env]}}});
    task::read(&[value], &BTreeMap::new()).unwrap().remove(0)
}

impl Case {
    fn at(&self, watch: &mut Watch, seconds: u64, begun: Instant) -> Progress {
        let tasks: Vec<_> = self.tasks.iter().collect();
        let instant = begun + Duration::from_secs(seconds);
        judge(&self.service, &tasks, watch, Moment { instant, wall: Utc::now() })
    }

    fn first(&self) -> Progress {
        self.at(&mut Watch::default(), 0, Instant::now())
    }
}

#[test]
fn a_new_service_must_stay_up_for_the_monitor_period() {
    let mut case = Case {
        service: service("1/1", None, "any", "1"),
        tasks: vec![task("a", "running", "running", "1", "")],
    };
    let (mut watch, begun) = (Watch::default(), Instant::now());
    assert!(matches!(case.at(&mut watch, 0, begun), Progress::Steadying(_)));
    assert!(matches!(case.at(&mut watch, 4, begun), Progress::Steadying(_)));
    case.tasks = vec![task("b", "running", "running", "1", "")];
    assert!(matches!(case.at(&mut watch, 6, begun), Progress::Steadying(_)), "another task begins anew");
    assert_eq!(case.at(&mut watch, 12, begun), Progress::Done);
}

#[test]
fn one_that_died_before_is_not_trusted_until_the_monitor_period_is_over() {
    let tasks =
        vec![task("b", "running", "running", "1", ""), task("a", "failed", "shutdown", "1", "exit (1)")];
    let case = Case { service: service("1/1", None, "any", "1"), tasks };
    let (mut watch, begun) = (Watch::default(), Instant::now());
    let Progress::Waiting(what) = case.at(&mut watch, 0, begun) else { panic!() };
    assert!(what.contains("exit (1)"), "{what}");
    assert_eq!(case.at(&mut watch, 6, begun), Progress::Done);
}

#[test]
fn nor_does_swarms_own_word_make_it_so() {
    let died = task("a", "failed", "shutdown", "1", "exit (1)");
    let mut case = Case {
        service: service("1/1", Some("completed"), "any", "1"),
        tasks: vec![task("b", "running", "running", "1", ""), died],
    };
    assert!(matches!(case.first(), Progress::Waiting(_)));
    case.tasks.pop();
    assert_eq!(case.first(), Progress::Done);
}

#[test]
fn a_task_of_the_old_spec_does_not_count() {
    let mut case = Case {
        service: service("1/1", None, "any", "2"),
        tasks: vec![task("a", "running", "running", "1", "")],
    };
    case.service.has_previous = true;
    assert!(matches!(case.first(), Progress::Waiting(_)));
    case.service.update = service("1/1", Some("updating"), "any", "2").update;
    assert!(matches!(case.first(), Progress::Waiting(_)));
    case.tasks.insert(0, task("b", "running", "running", "2", ""));
    assert!(matches!(case.first(), Progress::Waiting(_)), "the update goes on");
    case.service.update = service("1/1", Some("completed"), "any", "2").update;
    assert_eq!(case.first(), Progress::Done);
}

#[test]
fn a_rollback_is_a_failure_with_the_tasks_own_error() {
    let tasks =
        vec![task("c", "running", "running", "1", ""), task("b", "failed", "shutdown", "2", "exit (1)")];
    let case = Case { service: service("1/1", Some("rollback_completed"), "any", "1"), tasks };
    let Progress::Failed { why, stopped: true } = case.first() else { panic!() };
    assert!(why.contains("rolled it back") && why.contains("exit (1)"), "{why}");
}

#[test]
fn a_paused_update_is_a_failure_unless_the_one_shot_did_its_work() {
    let failed = vec![task("b", "failed", "shutdown", "1", "exit (1)")];
    let case = Case { service: service("0/1", Some("paused"), "any", "1"), tasks: failed };
    assert!(matches!(case.first(), Progress::Failed { stopped: true, .. }));
    let complete = vec![task("b", "complete", "shutdown", "1", "")];
    let case = Case { service: service("0/1", Some("paused"), "none", "1"), tasks: complete };
    assert_eq!(case.first(), Progress::Done);
}

#[test]
fn an_update_that_paused_for_want_of_an_image_goes_on_once_the_node_has_it() {
    let lacked = task("b", "rejected", "shutdown", "1", "No such image: app:2");
    let mut case = Case {
        service: service("1/2", Some("paused"), "any", "1"),
        tasks: vec![lacked, task("a", "running", "running", "0", "")],
    };
    let lacks = |case: &Case| {
        lacks_image(&case.service, &case.tasks.iter().collect::<Vec<_>>()).map(|task| task.id.clone())
    };
    let Progress::Failed { why, stopped: false } = case.first() else { panic!() };
    assert!(why.contains("No such image: app:2"), "{why}");
    assert_eq!(lacks(&case).as_deref(), Some("b"));
    case.tasks.insert(0, task("c", "preparing", "running", "1", ""));
    assert_eq!(lacks(&case).as_deref(), Some("b"), "it is only tried again");
    case.tasks[0] = task("c", "running", "running", "1", "");
    assert_eq!(lacks(&case), None);
    case.tasks.remove(0);
    case.service.update = service("1/2", Some("updating"), "any", "1").update;
    assert_eq!(lacks(&case), None, "nothing keeps that from going on");
}

#[test]
fn a_one_shot_on_every_node_is_done_when_it_completed_on_the_last() {
    let mut done = task("a", "complete", "shutdown", "1", "");
    done.slot = "node1".into();
    let mut case = Case {
        service: service("1/1", None, "none", "1"),
        tasks: vec![task("b", "running", "running", "1", ""), done],
    };
    case.service.mode = Mode::Global;
    assert!(matches!(case.first(), Progress::Waiting(_)));
    case.tasks[0] = task("b", "complete", "shutdown", "1", "");
    case.service.wanted = 0;
    assert_eq!(case.first(), Progress::Done);
}

#[test]
fn a_one_shot_that_failed_is_dead_at_the_second_look() {
    let tasks = vec![task("a", "failed", "shutdown", "1", "exit (3)")];
    let case = Case { service: service("0/1", None, "none", "1"), tasks };
    let (mut watch, begun) = (Watch::default(), Instant::now());
    assert!(matches!(case.at(&mut watch, 0, begun), Progress::Waiting(_)));
    assert!(matches!(case.at(&mut watch, 1, begun), Progress::Failed { .. }));
}

#[test]
fn a_node_that_refuses_its_task_of_a_global_service_is_one_of_its_places() {
    let mut refused = task("a", "rejected", "shutdown", "1", "No such image");
    (refused.slot, refused.since) = ("node2".into(), Some(Utc::now()));
    let mut runs = task("b", "running", "running", "1", "");
    runs.slot = "node1".into();
    let mut case = Case { service: service("1/1", None, "any", "1"), tasks: vec![runs, refused] };
    case.service.mode = Mode::Global;
    let (mut watch, begun) = (Watch::default(), Instant::now());
    for seconds in [0, 6, 12] {
        let Progress::Waiting(what) = case.at(&mut watch, seconds, begun) else { panic!() };
        assert!(what.contains("1/2 tasks run, last error: No such image"), "{what}");
    }
    case.tasks[1].since = Some(Utc::now() - Duration::from_secs(600));
    let Progress::Waiting(what) = case.at(&mut watch, 18, begun) else { panic!() };
    assert!(what.contains("1/1 tasks run, watching"), "it was long ago: {what}");
}

#[test]
fn more_than_is_asked_for_is_not_done_until_swarm_has_told_it_to_stop() {
    let judged = |replicas: &str, desired: &str, slot: &str| {
        let mut tasks =
            vec![task("b", "running", "running", "1", ""), task("a", "running", desired, "1", "")];
        slot.clone_into(&mut tasks[1].slot);
        Case { service: service(replicas, Some("completed"), "any", "1"), tasks }.first()
    };
    assert_eq!(
        judged("2/1", "running", "2"),
        Progress::Waiting("1/1 tasks run, and more than asked for".into())
    );
    assert_eq!(
        judged("2/0", "running", "2"),
        Progress::Waiting("0/0 tasks run, and more than asked for".into())
    );
    // It may take as long as its grace period, and on a node that is lost for ever.
    for desired in ["shutdown", "remove"] {
        assert_eq!(judged("2/1", desired, "2"), Progress::Done, "{desired}");
    }
    // The next task of a slot is up before the last one is told to stop.
    assert_eq!(judged("2/1", "running", "1"), Progress::Done);
}

#[test]
fn nothing_wanted_is_done() {
    assert_eq!(Case { service: service("0/0", None, "any", "1"), tasks: vec![] }.first(), Progress::Done);
}

#[test]
fn what_runs_is_due_when_its_monitor_period_is_over() {
    let now = Moment { instant: Instant::now(), wall: Utc::now() };
    let of = |state: &str, age: i64| {
        let mut task = task("a", state, "running", "1", "");
        task.since = Some(now.wall - chrono::Duration::seconds(age));
        due(&service("1/1", Some("updating"), "any", "1"), &[&task], now)
    };
    assert_eq!(of("running", 1), Some(Duration::from_secs(4)));
    assert_eq!(of("running", 6), Some(Duration::ZERO), "Swarm is about to say so");
    assert_eq!(of("running", 60), None, "something else keeps it");
    assert_eq!(of("starting", 1), None);
}

/// A task of a job, which has no slot, on some node.
fn of_a_job(id: &str, state: &str, desired: &str, iteration: u64) -> Task {
    let value = json!({"ID": id, "ServiceID": "s", "NodeID": id, "DesiredState": desired, "CreatedAt": id,
        "JobIteration": {"Index": iteration}, "Status": {"State": state, "Err": format!("exit {id}")}});
    task::read(&[value], &BTreeMap::new()).unwrap().remove(0)
}

#[test]
fn a_job_has_failed_when_swarm_makes_no_task_of_its_last_run_any_more() {
    let listed = serde_json::from_value(json!({"ID": "s", "Replicas": "0/1 (0/2 completed)"})).unwrap();
    let spec = json!({"Name": "web_job", "Mode": {"ReplicatedJob": {"TotalCompletions": 2}}});
    let value = json!({"ID": "s", "Spec": spec, "JobStatus": {"JobIteration": {"Index": 3}}});
    let service = service::read(vec![listed], vec![value]).unwrap().remove(0);
    let failed = || of_a_job("b", "failed", "shutdown", 3);
    let died = |tasks: Vec<Task>| {
        let case = Case { service: service.clone(), tasks };
        let (mut watch, begun) = (Watch::default(), Instant::now());
        let first = case.at(&mut watch, 0, begun);
        assert!(matches!(first, Progress::Waiting(_)), "Swarm may be about to make one: {first:?}");
        case.at(&mut watch, 1, begun)
    };
    let why = "its task failed and is not to be restarted: exit b".to_owned();
    assert_eq!(died(vec![failed()]), Progress::Failed { why: why.clone(), stopped: false });
    assert_eq!(
        died(vec![failed(), of_a_job("a", "complete", "complete", 3)]),
        Progress::Failed { why, stopped: false }
    );
    for goes_on in [
        vec![of_a_job("c", "running", "complete", 3), failed()],
        vec![of_a_job("c", "assigned", "ready", 3), failed()],
        vec![of_a_job("c", "running", "complete", 3), of_a_job("a", "failed", "shutdown", 2)],
        vec![of_a_job("a", "failed", "shutdown", 2)],
    ] {
        assert!(matches!(died(goes_on), Progress::Waiting(_)));
    }
}
