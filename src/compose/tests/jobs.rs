//! The part of a stack that docker gets for a step of a deploy with jobs.

use super::*;
use std::collections::BTreeSet;

const TEXT: &str = "version: '3.8'
x-job: &job {image: app, deploy: {restart_policy: {condition: none}}}
services:
  migrate:
    <<: *job
    labels: [a=b]
  list: {image: app, deploy: {mode: replicated-job}}
  web: {image: app, configs: [site]}
  off: {image: app, deploy: {mode: replicated-job, replicas: 0}}
  every: {image: app, deploy: {mode: global-job}}
  back: {image: app, deploy: {restart_policy: {condition: none}, update_config: {failure_action: rollback}}}
configs: {site: {file: site}}
";

#[test]
fn a_part_has_its_services_alone_and_is_of_the_same_version() {
    let stack = Stack::new(TEXT).with("web/site", "x").load();
    let part = stack.part(&BTreeSet::from(["migrate"]));
    let part_of = |part: &RenderedStack| yaml::parse(&part.text(&ownership()).unwrap()).unwrap().unwrap();
    let (text, services) =
        (part_of(&part), |text: &Node| text.get("services").unwrap().pairs().unwrap().len());
    assert_eq!((services(&text), services(&part_of(&stack))), (1, 6));
    assert!(part.is_part() && !stack.is_part());
    assert_eq!((part.services.len(), &part.fingerprint), (1, &stack.fingerprint));
    let fingerprint = (FINGERPRINT.to_owned(), stack.fingerprint.clone());
    assert!(labels_of(&part.text(&ownership()).unwrap(), "migrate").contains(&fingerprint));
    // Its configs are made with its first job: one that docker refuses fails before anything ran.
    let configs = |text: &Node| yaml::print(&text.get("configs").unwrap());
    assert_eq!(configs(&text), configs(&part_of(&stack)));
}

#[test]
fn the_name_of_a_run_is_part_of_the_task_and_of_no_other_service() {
    let stack = Stack::new(TEXT).with("web/site", "x").load();
    for service in ["migrate", "list"] {
        let part = stack.part(&BTreeSet::from([service])).with_run(service, "7");
        let text = yaml::parse(&part.text(&ownership()).unwrap()).unwrap().unwrap();
        let labels = text.get("services").unwrap().get(service).unwrap().get("labels").unwrap();
        let last =
            labels.items().and_then(|items| items.last().cloned()).or_else(|| labels.get(RUN)).unwrap();
        assert!(last.text().unwrap().ends_with('7'), "{service}");
    }
}

#[test]
fn only_what_ends_by_itself_is_a_job() {
    let stack = Stack::new(TEXT).with("web/site", "x").load();
    for (service, wanted) in [
        ("migrate", None),
        ("list", None),
        ("web", Some("does not end by itself")),
        ("every", Some("has `deploy.mode: global")),
        ("off", Some("has `replicas: 0`")),
        ("back", Some("has `update_config.failure_action: rollback`")),
        ("other", Some("is no service of its compose file, which has `migrate`, `list`, `web`")),
    ] {
        let told = stack.is_no_job(service);
        assert_eq!(told.is_some(), wanted.is_some(), "{service}: {told:?}");
        assert!(told.unwrap_or_default().starts_with(wanted.unwrap_or_default()), "{service}");
    }
}
