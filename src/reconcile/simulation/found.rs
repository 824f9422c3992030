//! Stories that once broke a rule, made small.

use std::collections::BTreeMap;

use super::git::Transfer;
use super::play::Stage;
use super::spec::{Behaviour, Commit, Entry, OnFailure, Spec};
use super::story::{Change, Event, LISTING, Pushed, Story, entry};
use super::swarm::Hand;
use super::{describe, play};
use crate::rng::Rng;
use crate::stack::DriftPolicy;

/// The first source lists these; nothing breaks a rule. What happened.
fn holds(stacks: &[&'static str], events: Vec<Event>) -> Vec<String> {
    both_hold(stacks, &[], events)
}

/// So does the second one.
fn both_hold(stacks: &[&'static str], others: &[&'static str], events: Vec<Event>) -> Vec<String> {
    let listed = |name: &&'static str| {
        let mut entry = entry(name, 1, &mut Rng::new(1));
        entry.drift = DriftPolicy::Correct;
        entry
    };
    let commit =
        |stacks: &[&'static str]| Commit { stacks: stacks.iter().map(listed).collect(), broken: false };
    let first = vec![commit(stacks), commit(others), Commit::default()];
    plays(Story { seed: 0, first, always: [false; 2], events })
}

fn plays(story: Story) -> Vec<String> {
    let stage = Stage::new();
    let (broken, log) = play(&stage, &story, true);
    println!("{}", log.join("\n"));
    if let Some(broken) = broken {
        panic!("{}", describe(&stage, story, &broken));
    }
    log
}

#[test]
fn what_a_push_mends_is_deployed_though_what_it_mends_is_seen_to_fail_in_the_same_turn() {
    let crash = Change::Version("web", Behaviour::Crash, OnFailure::Rollback);
    let events = vec![
        Event::Ask(0),
        Event::Turns(0, 8, 4_000),
        Event::Push(0, crash),
        Event::Ask(0),
        Event::Wait(70_000),
        Event::Push(0, Change::Version("web", Behaviour::Good, OnFailure::Rollback)),
    ];
    holds(&["web"], events);
}

#[test]
fn what_another_dockerops_took_over_is_not_called_deployed() {
    let events = vec![
        Event::Push(2, Change::List("web")),
        Event::Ask(2),
        Event::Force(0),
        Event::Turns(0, 8, 4_000),
        Event::Turns(2, 8, 4_000),
    ];
    holds(&["web"], events);
}

#[test]
fn a_command_beside_a_run_that_waits_keeps_that_run_from_nothing_it_is_asked_for_later() {
    let events = vec![Event::Hand("web", Hand::Own), Event::Ask(0), Event::Ask(1), Event::Kill(1)];
    holds(&["api", "web"], events);
}

#[test]
fn what_a_hand_edits_while_it_is_deployed_is_drift() {
    for hand in [Hand::Scale, Hand::Image, Hand::Env] {
        let events = vec![Event::Ask(0), Event::Turns(0, 1, 500), Event::Hand("web", hand)];
        holds(&["web"], events);
        let before_the_first_look = vec![Event::Ask(0), Event::Hand("web", hand)];
        holds(&["web"], before_the_first_look);
    }
}

#[test]
fn what_changes_hands_while_it_is_in_motion_is_not_removed() {
    let events = vec![Event::Ask(0), Event::Push(0, Change::Move("web", 1)), Event::Ask(0)];
    let log = holds(&["web"], events);
    assert!(!log.iter().any(|line| line.contains("removes")), "{}", log.join("\n"));
}

#[test]
fn what_one_source_removes_another_deploys_only_when_it_is_gone() {
    let events = vec![
        Event::Ask(0),
        Event::Turns(0, 8, 4_000),
        Event::Push(0, Change::List("web")),
        Event::Ask(0),
        Event::Push(1, Change::List("web")),
        Event::Ask(0),
    ];
    holds(&["web"], events);
}

#[test]
fn what_one_source_lists_no_more_another_gets_however_long_it_could_not_take_it() {
    let events = vec![
        Event::Ask(0),
        Event::Turns(0, 7, 2_000),
        Event::Hand("web", Hand::Replace),
        Event::Push(0, Change::List("web")),
        Event::Ask(0),
        Event::Ask(0),
    ];
    both_hold(&["web"], &["web"], events);
}

#[test]
fn what_is_wished_by_force_is_deployed_though_an_earlier_deploy_is_seen_to_fail_in_the_same_turn() {
    let events = vec![
        Event::Push(0, Change::Version("web", Behaviour::Never, OnFailure::Pause)),
        Event::Ask(0),
        Event::Wait(70_000),
        Event::Force(1),
    ];
    holds(&["web"], events);
}

#[test]
fn what_a_command_deployed_meanwhile_is_not_undone_by_a_run_that_cannot_ask() {
    let events = vec![
        Event::Ask(0),
        Event::Push(0, Change::Version("web", Behaviour::Good, OnFailure::Pause)),
        Event::Ask(1),
        Event::Remote(0),
        Event::Ask(0),
    ];
    holds(&["web"], events);
}

#[test]
fn what_died_is_told_as_degraded_and_the_run_does_not_end_well() {
    let deployed = [Event::Ask(0), Event::Turns(0, 8, 4_000)];
    let then = [Event::Die("web"), Event::Ask(1), Event::Wait(70_000), Event::Ask(0)];
    let events = deployed.into_iter().chain(then).collect();
    let log = holds(&["web"], events);
    let says = |what: &str| log.iter().any(|line| line.contains(what));
    assert!(says("1: says degraded web") && says("1: ends: 1 degraded"), "{}", log.join("\n"));
    assert!(says("0: says recovered web"), "{}", log.join("\n"));
}

#[test]
fn what_failed_is_held_at_the_newer_commit_that_was_read_meanwhile_and_says_the_same() {
    let events = vec![
        Event::Ask(0),
        Event::Turns(0, 8, 4_000),
        Event::Push(0, Change::Version("web", Behaviour::Crash, OnFailure::Rollback)),
        Event::Ask(0),
        // The source has work in every run.
        Event::Push(0, Change::Wrong("api")),
        Event::Ask(0),
        Event::Turns(0, 8, 4_000),
        Event::Ask(0),
    ];
    holds(&["api", "web"], events);
}

#[test]
fn what_a_tag_names_is_rolled_once_and_what_depends_on_it_follows() {
    let listed = |name: &'static str| entry(name, 1, &mut Rng::new(1));
    let web = Entry { depends_on: vec!["db"], ..listed("web") };
    let first =
        vec![Commit { stacks: vec![listed("db"), web], broken: false }, Commit::default(), Commit::default()];
    let turns = Event::Turns(0, 20, 4_000);
    let deployed = [Event::Ask(0), turns.clone()];
    let moved = [Event::Tags("db", Pushed::Good), Event::Ask(0), turns.clone(), Event::Ask(0), turns];
    let events = deployed.into_iter().chain(moved).collect();
    let log = plays(Story { seed: 0, first, always: [true; 2], events });
    let rolls: Vec<_> = log.iter().filter_map(|line| line.split_once("0: rolls ")).collect();
    let names: Vec<_> = rolls.iter().map(|(_, what)| what.split('`').nth(1).unwrap()).collect();
    assert_eq!(names, ["db_app", "db_queue", "web_app", "web_queue"], "{}", log.join("\n"));
    assert!(rolls[1].0 < rolls[2].0, "{}", log.join("\n"));
}

#[test]
fn what_a_registry_denies_or_does_not_answer_changes_nothing_that_runs() {
    let version = Change::Version("web", Behaviour::Good, OnFailure::Rollback);
    for gone in [Event::Tags("web", Pushed::Gone), Event::Registry] {
        // The tag of this version was never pulled.
        let events = vec![
            Event::Ask(0),
            Event::Turns(0, 8, 4_000),
            Event::Push(0, Change::Scale("web")),
            Event::Push(0, version.clone()),
            gone.clone(),
            Event::Ask(0),
            Event::Turns(0, 8, 4_000),
        ];
        let log = holds(&["web"], events);
        let is_given = log
            .iter()
            .take_while(|line| !line.contains("trouble ends"))
            .any(|line| line.contains("deploys `web`") && line.contains("commit 02"));
        assert_eq!(is_given, gone == Event::Registry, "{}", log.join("\n"));
    }
}

#[test]
fn a_global_service_is_wanted_on_the_nodes_that_take_tasks_and_nowhere_else() {
    let mut listed = entry("web", 1, &mut Rng::new(1));
    let spec = Spec { is_global: true, ..listed.services["app"] };
    listed.services = BTreeMap::from([("agent", spec)]);
    let first = vec![Commit { stacks: vec![listed], broken: false }, Commit::default(), Commit::default()];
    let (ask, turns) = (Event::Ask(0), Event::Turns(0, 20, 4_000));
    let deployed = [ask.clone(), turns.clone()];
    let drained = [Event::Node(1), Event::Wait(70_000), ask.clone(), turns.clone()];
    let back = [Event::Node(1), ask.clone(), Event::Wait(20_000), ask.clone(), turns.clone()];
    let dies = [Event::Wait(70_000), Event::Die("web"), ask, turns];
    let events = deployed.into_iter().chain(drained).chain(back).chain(dies).collect();
    let log = plays(Story { seed: 0, first, always: [false; 2], events });
    let said = |line: &&String| line.contains("0: ends") || line.contains("0: says degraded");
    let before = log.iter().take_while(|line| !line.contains("all trouble ends"));
    let said: Vec<_> = before.filter(said).map(|line| line.split_once("0: ").unwrap().1).collect();
    let count = |what: &str| said.iter().filter(|line| line.contains(what)).count();
    assert!(count("1 unchanged") >= 2 && count("says degraded web") == 2, "{}", log.join("\n"));
}

#[test]
fn what_is_listed_again_while_it_is_removed_is_deployed_in_the_run_that_learns_of_it() {
    let switch = || Event::Push(LISTING, Change::Switch("web"));
    let anew = Change::Version("web", Behaviour::Good, OnFailure::Pause);
    let events = vec![
        Event::Ask(0),
        Event::Turns(0, 8, 4_000),
        switch(),
        Event::Ask(0),
        switch(),
        Event::Ask(1),
        Event::Push(LISTING, anew),
        Event::Ask(0),
    ];
    let log = holds(&["web"], events);
    assert!(!log.iter().any(|line| line.contains("not removed")), "{}", log.join("\n"));
}

/// The first source lists `web` and more, the second one these; then `web` leaves the first one.
fn after_a_drop(others: Commit, events: Vec<Event>) -> String {
    let listed = |name: &'static str| entry(name, 1, &mut Rng::new(1));
    let first = Commit { stacks: vec![listed("web"), listed("shared")], broken: false };
    let begins = vec![Event::Ask(0), Event::Turns(0, 20, 4_000), Event::Push(0, Change::List("web"))];
    let events = begins.into_iter().chain(events).collect();
    plays(Story { seed: 0, first: vec![first, others, Commit::default()], always: [false; 2], events })
        .join("\n")
}

#[test]
fn a_source_that_cannot_be_asked_before_a_stack_goes_is_told_and_counted() {
    let events = vec![
        Event::Transfer(0, Transfer { looks: 2, fails: false }),
        Event::Ask(1),
        Event::Remote(1),
        Event::Turns(1, 20, 4_000),
    ];
    let api = Commit { stacks: vec![entry("api", 1, &mut Rng::new(1))], broken: false };
    let log = after_a_drop(api, events);
    assert!(log.contains("1: says source_failed") && log.contains("1: ends: 2 unchanged, 1 failed"), "{log}");
}

#[test]
fn what_is_to_be_deployed_by_force_still_is_when_its_source_is_asked_once_more() {
    let listed = |name: &'static str| entry(name, 1, &mut Rng::new(1));
    let api = Entry { depends_on: vec!["db"], ..listed("api") };
    let events = vec![
        Event::Transfer(0, Transfer { looks: 2, fails: false }),
        Event::Force(1),
        Event::Push(1, Change::List("jobs")),
        Event::Turns(1, 30, 4_000),
    ];
    let log = after_a_drop(Commit { stacks: vec![listed("db"), api], broken: false }, events);
    assert_eq!(log.matches("1: deploys `api`").count(), 1, "{log}");
}

#[test]
fn a_source_that_is_not_watched_holds_up_no_removal() {
    let db = Commit { stacks: vec![entry("db", 1, &mut Rng::new(1))], broken: true };
    let log = after_a_drop(db, vec![Event::Ask(0), Event::Turns(0, 20, 4_000)]);
    let before_the_end = log.split("all trouble ends").next().unwrap_or_default();
    assert!(before_the_end.contains("0: removes `web`"), "{log}");
}

#[test]
fn what_was_being_removed_when_it_was_listed_again_is_deployed_whatever_is_done_about_drift() {
    for drift in [DriftPolicy::Ignore, DriftPolicy::Report] {
        let listed = Entry { drift, ..entry("jobs", 1, &mut Rng::new(1)) };
        let first =
            vec![Commit { stacks: vec![listed], broken: false }, Commit::default(), Commit::default()];
        let switch = || Event::Push(0, Change::Switch("jobs"));
        let events =
            vec![Event::Ask(0), Event::Turns(0, 8, 5_000), switch(), Event::Ask(0), switch(), Event::Ask(0)];
        plays(Story { seed: 0, first, always: [false; 2], events });
    }
}

#[test]
fn what_only_lacked_its_image_is_not_held_for_what_failed_before() {
    let turns = |count| Event::Turns(0, count, 4_000);
    let bad = [Event::Ask(0), Event::Tags("db", Pushed::Bad), Event::Ask(0), turns(8)];
    let good = [Event::Tags("db", Pushed::Good), Event::Ask(0), Event::Turns(0, 1, 2_000), Event::Registry];
    let events = bad.into_iter().chain(good).chain([Event::Die("db"), turns(8)]).collect();
    let mut listed = entry("db", 1, &mut Rng::new(1));
    listed.services.values_mut().for_each(|spec| (spec.replicas, spec.on_failure) = (2, OnFailure::Rollback));
    let first = vec![Commit { stacks: vec![listed], broken: false }, Commit::default(), Commit::default()];
    plays(Story { seed: 0, first, always: [true; 2], events });
}
