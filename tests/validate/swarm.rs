//! What `--diff` says of services is what Swarm does: whose tasks are started anew, and whose run on.

use std::collections::{BTreeMap, BTreeSet};

use super::{at, bare};
use crate::support::dockerops::DockerOps;
use crate::support::lab::{Lab, lab};
use crate::support::repo::Repo;

/// A service, what it becomes, and what it was and is beside its image, in flow style.
const SERVICES: [(&str, &str, &str, &str); 17] = [
    ("same", "", "", ""),
    ("spelled", "", "environment: {A: '1', B: '2'}", "environment: [B=2, A=1]"),
    ("env", "rolls", "environment: [A=1]", "environment: [A=2]"),
    ("scaled", "updates", "deploy: {replicas: 1}", "deploy: {replicas: 2}"),
    ("labelled", "updates", "", "deploy: {labels: {a: b}}"),
    ("paced", "updates", "", "deploy: {update_config: {parallelism: 2}}"),
    ("back", "updates", "", "deploy: {rollback_config: {parallelism: 2}}"),
    ("inner", "rolls", "", "labels: {a: b}"),
    ("limited", "rolls", "", "deploy: {resources: {limits: {memory: 64M}}}"),
    ("restarted", "rolls", "", "deploy: {restart_policy: {max_attempts: 7}}"),
    ("checked", "rolls", "", "healthcheck: {test: ['NONE']}"),
    ("graceful", "rolls", "", "stop_grace_period: 5s"),
    ("configured", "rolls", "configs: [site]", "configs: [site]"),
    ("unconfigured", "", "configs: [other]", "configs: [other]"),
    ("named", "rolls", "", "hostname: x"),
    ("volume", "rolls", "volumes: ['one:/data']", "volumes: ['two:/data']"),
    ("logged", "rolls", "", "logging: {driver: json-file, options: {max-size: 1m}}"),
];

fn compose(image: &str, other: &str, is_after: bool) -> String {
    let mut text = "version: '3.8'\nservices:\n".to_owned();
    for (name, _, was, is) in SERVICES {
        let more = if is_after { is } else { was };
        let comma = if more.is_empty() { "" } else { ", " };
        text += &format!("  {name}: {{image: '{image}'{comma}{more}}}\n");
    }
    let image = if is_after { other } else { image };
    text += &format!("  image: {{image: '{image}'}}\n");
    if !is_after {
        text += &format!("  gone: {{image: '{image}'}}\n");
    }
    text + "configs: {site: {file: site}, other: {file: other}}\nvolumes: {one: {}, two: {}}\n"
}

/// The tasks that run, by service.
fn tasks(lab: &Lab, stack: &str) -> BTreeMap<String, BTreeSet<String>> {
    let ids = |service: &String| {
        let filter = ["service", "ps", "-q", "--no-trunc", "--filter", "desired-state=running", service];
        lab.docker(&filter).lines().map(str::to_owned).collect()
    };
    let names = lab.docker(&["stack", "services", "--format", "{{.Name}}", stack]);
    names.lines().map(|name| (name.to_owned(), ids(&name.to_owned()))).collect()
}

#[test]
fn services_roll_and_run_on_as_it_says() {
    let Some(lab) = lab() else { return };
    let (ops, repo) = (DockerOps::new(lab).limit(400), Repo::new());
    let stack = ops.unique("foretold");
    let [one, two] = ["app:1", "app:2"].map(|name| lab.image(name));
    repo.stack(&stack, &compose(&one, &two, false));
    repo.write(&format!("{stack}/site"), "one").write(&format!("{stack}/other"), "x").commit("first");
    ops.run(["watch", &repo.url()]).success();
    let before = tasks(lab, &stack);
    repo.branch("change");
    repo.stack(&stack, &compose(&one, &two, true)).write(&format!("{stack}/site"), "two").commit("second");
    let told = bare().run(["validate", &at(&repo), "--diff", "main", "--json"]);
    let json = told.success().json();
    let services = json["diff"]["stacks"][0]["services"].as_array().unwrap();
    let foretold: BTreeMap<_, _> = services
        .iter()
        .map(|service| (service["name"].as_str().unwrap(), service["becomes"].as_str().unwrap()))
        .collect();
    repo.git(["checkout", "--quiet", "main"]);
    repo.git(["merge", "--quiet", "change"]);
    ops.run(["reconcile"]).success();
    let after = tasks(lab, &stack);
    let mut faults = Vec::new();
    for (name, wanted, ..) in SERVICES.into_iter().chain([("image", "rolls", "", "")]) {
        let full = format!("{stack}_{name}");
        let rolled = !before[&full].is_subset(&after[&full]);
        let said = foretold.get(name).copied().unwrap_or_default();
        if said != wanted || rolled != (said == "rolls") {
            faults.push(format!("{name}: said `{said}`, wanted `{wanted}`, rolled: {rolled}"));
        }
    }
    assert!(faults.is_empty(), "{}\n{told}", faults.join("\n"));
    assert_eq!(foretold["gone"], "gone");
    assert!(!after.contains_key(&format!("{stack}_gone")));
}
