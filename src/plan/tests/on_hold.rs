//! What a hold keeps from being done, and what it does not.

use super::case::{Case, motion, ours, roll, source, table};
use crate::hold::{Hold, Kind};
use crate::plan::*;
use crate::stack::DriftPolicy;
use crate::state::StackStatus;

fn hold() -> &'static Hold {
    let by = Some("alice".to_owned());
    Box::leak(Box::new(Hold { kind: Kind::Hand, reason: None, by, since: None, until: None, back: None }))
}

fn held(case: Case) -> Case {
    case.with(|case| case.facts.hold = Some(hold()))
}

/// What would be done.
fn change(case: &Case) -> String {
    match case.decide() {
        Decision::Blocked(blocked) => blocked.detail.unwrap_or_default(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_is_given_to_docker_for_a_stack_on_hold_and_it_fails_nothing() {
    let changed = || {
        held(
            Case::deployed()
                .with(|case| case.row().hash = "h0".into())
                .with(|case| case.live = vec![ours("h0")]),
        )
    };
    let drifted = || {
        held(Case::deployed().with(|case| drop(case.live[0].summary.insert("replicas".into(), "3".into()))))
    };
    let rolls = || held(Case::deployed().with(|case| case.facts.rolls = roll()));
    let well = "Released(Well): held by alice until it is released";
    table(&[
        (held(Case::deployed()), "in sync"),
        (changed(), well),
        (drifted(), well),
        (rolls(), well),
        (held(Case::new()), "Released(Absent): held by alice"),
    ]);
    table(&[
        // A file that is wrong would not be deployed either.
        (
            held(
                Case::deployed().with(|case| case.wish().rendered = Some(Err(anyhow::anyhow!("no `image`")))),
            ),
            well,
        ),
        (
            held(Case::deployed().with(|case| case.wish().images = Images::ToBuild(vec!["app:1".into()]))),
            well,
        ),
        // Nor does what is missing for it count.
        (changed().with(|case| case.facts.objections.secret = Some("a secret is missing".into())), well),
        (changed().with(|case| case.facts.dependencies = vec![(db(), Dependency::Moving)]), well),
    ]);
    table(&[
        (held(Case::deployed().with(|case| case.wish().rendered = None)), well),
        (held(Case::deployed().with(|case| case.desired = None)), well),
        (held(Case::deployed().with(|case| case.facts.forced = Some("forced"))), well),
        // Of a source that was not read, what an earlier run kept back counts.
        (
            held(Case::deployed().with(|case| (case.read, case.facts.kept_back) = (None, Some("changed")))),
            well,
        ),
    ]);
    // What is in sync is not deployed by force either, and is no other than Git says.
    assert_eq!(change(&held(Case::deployed().with(|case| case.facts.forced = Some("forced")))), "");
    assert_eq!(
        change(&changed().with(|case| case.facts.forced = Some("forced"))),
        "would be deployed: changed"
    );
    // So does what was kept back of one that never ran.
    let unread = |case: &mut Case| (case.read, case.facts.kept_back) = (None, Some("would be deployed: new"));
    assert_eq!(change(&held(Case::new().with(unread))), "would be deployed: new");
    assert_eq!(change(&changed()), "would be deployed: changed");
    assert!(change(&drifted()).starts_with("would be deployed: drifted"), "{}", change(&drifted()));
    assert!(!Until::Released(OnHold::Well).is_failure() && !Until::Released(OnHold::Absent).is_failure());
}

#[test]
fn what_failed_before_it_was_held_stays_failed() {
    let failed = |status| Case::deployed().with(move |case| case.row().status = status);
    table(&[(held(failed(StackStatus::Error)), "Released(Failed): held by alice")]);
    assert!(Until::Released(OnHold::Failed).is_failure());
}

#[test]
fn what_touches_nothing_goes_on() {
    let labelled = || Case::new().with(|case| case.live = vec![ours("h1")]);
    table(&[
        (held(labelled()), "adopt"),
        (held(Case::deployed().with(|case| case.motion = Some(motion("h1")))), "in motion"),
        (held(Case::deployed().with(|case| case.read = None)), "in sync"),
        // Somebody else's is not held, but refused.
        (held(Case::new().with(|case| case.facts.owner = Some(source("https://h/other")))), "NextRun: "),
        (
            held(Case::deployed().with(|case| {
                case.entry().drift = DriftPolicy::Report;
                case.live[0].summary.insert("replicas".into(), "3".into());
            })),
            "in sync, drifted",
        ),
    ]);
}

#[test]
fn who_goes_back_is_deployed_for_that_and_waits_for_nobody_it_depends_on() {
    let back = |case: Case| case.with(|case| case.facts.back = Some("rolled back to c0"));
    table(&[
        (back(Case::new()), "deploy: rolled back to c0"),
        (back(Case::deployed()), "in sync"),
        (back(Case::deployed().with(|case| case.row().hash = "h0".into())), "adopt"),
        (back(Case::held().with(|case| case.facts.commit = "c0")), "deploy: rolled back to c0"),
        (back(Case::deployed().with(|case| case.motion = Some(motion("h1")))), "in motion"),
    ]);
}

#[test]
fn who_depends_on_a_stack_on_hold_runs_against_what_runs() {
    let with = |state| Case::new().with(|case| case.facts.dependencies = vec![(db(), state)]);
    table(&[
        (with(Dependency::OnHold), "Released(Absent): it depends on `db`, which is on hold and does not run"),
        (with(Dependency::Failed { held: true }), "DependencyHeld: "),
    ]);
}

fn db() -> &'static crate::stack::StackName {
    Box::leak(Box::new(crate::stack::StackName::known("db")))
}
