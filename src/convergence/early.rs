//! What is worth telling while a service is still waited for: a task that no node takes, and one that died. Pure,
//! but for the clock it is handed. The wait goes on: a node may join, a port come free, a restart help.

use std::time::{Duration, Instant};

use super::Watch;
use crate::docker::service::{Mode, Service};
use crate::docker::state::TaskState;
use crate::docker::task::Task;

/// So long a task must have found no node: one may be just joining, or the old task just leaving.
const STEADY: Duration = Duration::from_secs(4);
/// What Swarm says of a task that no node takes.
const NO_NODE: &str = "no suitable node";

/// Something to tell at once.
#[derive(Debug)]
pub struct Early<'a> {
    pub what: String,
    /// The task whose own last words belong to it.
    pub of: Option<&'a Task>,
}

/// What is new of `service`, whose `tasks` come newest first; each thing once a wait.
pub fn early<'a>(
    service: &Service,
    tasks: &[&'a Task],
    watch: &mut Watch,
    now: Instant,
) -> Option<Early<'a>> {
    died(service, tasks, watch).or_else(|| unplaced(service, tasks, watch, now))
}

/// The task whose last words say most of why the service is not what it should be: of those made from its spec the
/// newest that failed, else one that does not come up.
pub fn culprit<'a>(service: &Service, tasks: &[&'a Task]) -> Option<&'a Task> {
    let mut all = tasks.iter().copied();
    // After a rollback the failed one is of another spec.
    let failed = all.clone().find(|task| task.has_failed() && !task.container.is_empty());
    failed.or_else(|| {
        all.find(|task| {
            task.state == TaskState::Starting && !task.container.is_empty() && is_new(service, task)
        })
    })
}

fn is_new(service: &Service, task: &Task) -> bool {
    !service.has_previous || task.runs(&service.template)
}

/// A task that failed since the wait began; the first look only notes who had failed before.
fn died<'a>(service: &Service, tasks: &[&'a Task], watch: &mut Watch) -> Option<Early<'a>> {
    let failed = || tasks.iter().copied().filter(|task| task.has_failed());
    let Some(before) = &watch.died_before else {
        watch.died_before = Some(failed().map(|task| task.id.clone()).collect());
        return None;
    };
    if watch.reported_death {
        return None;
    }
    let task = failed().find(|task| !before.contains(&task.id) && is_new(service, task))?;
    watch.reported_death = true;
    let what = format!("a task failed: {}", task.complaint().unwrap_or_else(|| task.state.to_string()));
    Some(Early { what, of: Some(task) })
}

fn unplaced<'a>(service: &Service, tasks: &[&'a Task], watch: &mut Watch, now: Instant) -> Option<Early<'a>> {
    let mut pending = tasks
        .iter()
        .filter(|task| task.state == TaskState::Pending && !task.is_over() && !task.error.is_empty());
    // An older task that is leaving may make room.
    let leaving = tasks.iter().any(|task| task.is_over() && task.state == TaskState::Running);
    let Some(why) = pending.next().map(|task| task.error.as_str()).filter(|_| !leaving) else {
        watch.unplaced = None;
        return None;
    };
    let since = match &watch.unplaced {
        Some((since, known)) if known == why => *since,
        _ => now,
    };
    watch.unplaced = Some((since, why.to_owned()));
    if now.duration_since(since) < STEADY || watch.reported_unplaced.as_deref() == Some(why) {
        return None;
    }
    watch.reported_unplaced = Some(why.to_owned());
    let count = 1 + pending.count();
    let tasks = if count == 1 { "a task".to_owned() } else { format!("{count} tasks") };
    // Of a global service Swarm names the node itself.
    let verb = match (why.contains(NO_NODE), count) {
        (true, 1) => "finds ",
        (true, _) => "find ",
        (false, 1) => "waits: ",
        (false, _) => "wait: ",
    };
    Some(Early { what: format!("{tasks} {verb}{}", with_wishes(service, why)), of: None })
}

/// Swarm's word on a task that no node takes, with what the service asks of a node; other complaints as they are.
pub fn with_wishes(service: &Service, complaint: &str) -> String {
    let template = service.template.value();
    let wishes: Vec<_> = [
        ("scheduling constraints", "its constraints", constraints(service)),
        ("insufficient resources", "it reserves", reservations(service)),
        ("host-mode port", "its ports", service.host_ports.iter().map(ToString::to_string).collect()),
        ("max replicas per node", "at most on a node", number(&template["Placement"]["MaxReplicas"])),
    ]
    .into_iter()
    .filter(|(part, _, values)| complaint.contains(part) && !values.is_empty())
    .map(|(_, wish, values)| format!("; {wish}: `{}`", values.join("`, `")))
    .collect();
    format!("{complaint}{}", wishes.concat())
}

/// Why a global service that became what it was asked to be runs nowhere.
pub fn nowhere(service: &Service) -> Option<String> {
    let constraints = constraints(service);
    let why = if constraints.is_empty() {
        "runs nowhere: no node takes tasks".to_owned()
    } else {
        format!(
            "runs nowhere: no node that takes tasks meets its constraints: `{}`",
            constraints.join("`, `")
        )
    };
    (service.mode == Mode::Global && service.wanted == 0).then_some(why)
}

fn constraints(service: &Service) -> Vec<String> {
    let template = service.template.value();
    let all = template["Placement"]["Constraints"].as_array().into_iter().flatten();
    all.filter_map(|one| one.as_str().map(str::to_owned)).collect()
}

fn reservations(service: &Service) -> Vec<String> {
    let template = service.template.value();
    let wanted = &template["Resources"]["Reservations"];
    let cpus =
        wanted["NanoCPUs"].as_f64().filter(|cpus| *cpus > 0.0).map(|cpus| format!("{} CPUs", cpus / 1e9));
    let memory = wanted["MemoryBytes"].as_f64().filter(|bytes| *bytes > 0.0);
    let memory = memory.map(|bytes| format!("{} MiB of memory", (bytes / 1_048_576.0).ceil()));
    cpus.into_iter().chain(memory).collect()
}

fn number(value: &serde_json::Value) -> Vec<String> {
    value.as_u64().filter(|number| *number > 0).map(|number| number.to_string()).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docker::{service, task};
    use serde_json::{Value, json};
    use std::collections::BTreeMap;

    fn service(template: &Value) -> Service {
        let ports = json!([{"PublishMode": "host", "PublishedPort": 9999}, {"PublishedPort": 1}]);
        let spec = json!({"Name": "web_app", "Labels": {}, "TaskTemplate": template,
            "EndpointSpec": {"Ports": ports}});
        service::read(vec![], vec![json!({"ID": "s", "Spec": spec})]).unwrap().remove(0)
    }

    fn task(id: &str, state: &str, desired: &str, error: &str) -> Task {
        let status = json!({"State": state, "Err": error, "ContainerStatus": {"ContainerID": "c"}});
        let value = json!({"ID": id, "ServiceID": "s", "Slot": 1, "DesiredState": desired, "Status": status});
        task::read(&[value], &BTreeMap::new()).unwrap().remove(0)
    }

    /// What is told of the looks, each so many seconds after the first.
    fn reported(service: &Service, looks: &[(u64, &[&Task])]) -> Vec<(u64, String)> {
        let (mut watch, begun) = (Watch::default(), Instant::now());
        let mut found = Vec::new();
        for (seconds, tasks) in looks {
            let now = begun + Duration::from_secs(*seconds);
            found.extend(early(service, tasks, &mut watch, now).map(|early| (*seconds, early.what)));
        }
        found
    }

    const CONSTRAINTS: &str = "no suitable node (scheduling constraints not satisfied on 2 nodes)";

    #[test]
    fn what_no_node_takes_is_told_once_with_what_is_asked_for() {
        let wishes = json!({"Placement": {"Constraints": ["node.labels.x == y"]}});
        let (service, task) = (service(&wishes), task("a", "pending", "running", CONSTRAINTS));
        let looks: [(u64, &[&Task]); 5] =
            [(0, &[&task]), (3, &[&task]), (4, &[&task]), (5, &[&task]), (9, &[&task])];
        let wanted = format!("a task finds {CONSTRAINTS}; its constraints: `node.labels.x == y`");
        assert_eq!(reported(&service, &looks), [(4, wanted)]);
    }

    #[test]
    fn a_task_of_a_global_service_that_waits_for_a_port_is_told() {
        let service = Service { mode: Mode::Global, ..service(&json!({})) };
        let task = task("a", "pending", "running", "host-mode port already in use on 1 node");
        let looks: [(u64, &[&Task]); 2] = [(0, &[&task]), (4, &[&task])];
        let wanted = "a task waits: host-mode port already in use on 1 node; its ports: `9999`";
        assert_eq!(reported(&service, &looks), [(4, wanted.to_owned())]);
    }

    #[test]
    fn a_node_that_just_joins_and_a_task_that_just_leaves_are_not_missed() {
        let service = service(&json!({}));
        let pending = task("a", "pending", "running", CONSTRAINTS);
        let runs = task("a", "running", "running", "");
        assert_eq!(
            reported(&service, &[(0, &[&pending]), (3, &[&pending]), (4, &[&runs]), (5, &[&pending])]),
            []
        );
        let leaving = task("b", "running", "shutdown", "");
        assert_eq!(reported(&service, &[(0, &[&pending, &leaving]), (9, &[&pending, &leaving])]), []);
    }

    #[test]
    fn each_cause_names_the_wish_that_it_fails() {
        let service = service(&json!({"Placement": {"MaxReplicas": 1},
            "Resources": {"Reservations": {"NanoCPUs": 1_500_000_000, "MemoryBytes": 1_073_741_824}}}));
        for (cause, wish) in [
            ("insufficient resources on 2 nodes", "; it reserves: `1.5 CPUs`, `1024 MiB of memory`"),
            ("host-mode port already in use on 2 nodes", "; its ports: `9999`"),
            ("max replicas per node limit exceed", "; at most on a node: `1`"),
            ("2 nodes not available for new tasks", ""),
        ] {
            let complaint = format!("no suitable node ({cause})");
            assert_eq!(with_wishes(&service, &complaint), format!("{complaint}{wish}"));
        }
        assert_eq!(with_wishes(&service, "exit (1)"), "exit (1)");
    }

    #[test]
    fn a_global_service_that_no_node_takes_runs_nowhere() {
        let global = |wishes: &Value, wanted: u64| {
            nowhere(&Service { mode: Mode::Global, wanted, ..service(wishes) }).unwrap_or_default()
        };
        let wishes = json!({"Placement": {"Constraints": ["node.labels.x == y"]}});
        assert!(global(&wishes, 0).ends_with("meets its constraints: `node.labels.x == y`"));
        assert_eq!(global(&json!({}), 0), "runs nowhere: no node takes tasks");
        assert_eq!(global(&wishes, 1), "");
        assert_eq!(nowhere(&Service { wanted: 0, ..service(&wishes) }), None);
    }

    #[test]
    fn a_death_is_told_once_and_not_that_of_before() {
        let service = service(&json!({}));
        let [old, new, newer] =
            ["a", "b", "c"].map(|id| task(id, "failed", "shutdown", &format!("exit {id}")));
        let looks: [(u64, &[&Task]); 4] =
            [(0, &[&old]), (1, &[&old]), (2, &[&new, &old]), (3, &[&newer, &new, &old])];
        assert_eq!(reported(&service, &looks), [(2, "a task failed: exit b".to_owned())]);
        assert_eq!(culprit(&service, &[&newer, &new]).unwrap().id, "c");
        assert!(culprit(&service, &[&task("d", "running", "running", "")]).is_none());
    }
}
