//! What becomes of the jobs of a stack: `migrate` before the rest, `smoke` behind it.

use std::collections::BTreeMap;

use chrono::DateTime;

use super::case::{Case, motion, ours, table};
use crate::compose::RenderedStack;
use crate::docker::Roll;
use crate::docker::command::ResolveImage;
use crate::docker::service::Service;
use crate::hold::{Hold, Kind};
use crate::image::ImageRef;
use crate::manifest::NamedJob;
use crate::plan::*;
use crate::state::{AppliedService, Jobs, Motion, Phase, StackStatus, Step};

fn named(service: &str) -> NamedJob {
    NamedJob { service: service.into(), line: 1, key: "web.before".into() }
}

fn live(service: &str, hash: &str) -> Service {
    Service { name: format!("web_{service}"), ..ours(hash) }
}

/// It has jobs, which are live as they ran for that version.
fn with_jobs(case: Case, ran_for: &str) -> Case {
    case.with(|case| {
        let services = [("app", "app:1"), ("migrate", "app:1"), ("smoke", "app:1")];
        case.wish().rendered = Some(Ok(RenderedStack::of("web", &services, "h1")));
        (case.entry().jobs.before, case.entry().jobs.after) = (vec![named("migrate")], vec![named("smoke")]);
        let job = || AppliedService { image: Some("app:1".into()), spec: BTreeMap::new() };
        if let Some(row) = &mut case.row {
            row.services.extend([("web_migrate".to_owned(), job()), ("web_smoke".to_owned(), job())]);
            case.live.extend([live("migrate", ran_for), live("smoke", ran_for)]);
        }
    })
}

/// A deploy of that version is at that step.
fn at(hash: &str, step: Step, phase: Phase) -> Motion {
    let jobs = Jobs {
        before: vec!["web_migrate".into()],
        after: vec!["web_smoke".into()],
        run: true,
        again: false,
        skipped: std::collections::BTreeSet::new(),
        images: BTreeMap::new(),
        named: BTreeMap::new(),
        step,
        phase,
        name: "1".into(),
        begun: DateTime::default(),
        timeout: None,
    };
    let mut motion = motion(hash);
    motion.given.as_mut().unwrap().jobs = Some(jobs);
    motion
}

#[track_caller]
fn runs(case: &Case, wanted: &RunJobs) {
    match case.decide() {
        Decision::Apply(Apply { how: How::Deploy { jobs, .. }, .. }) => assert_eq!(jobs, *wanted),
        other => panic!("{other:?}"),
    }
}

#[test]
fn jobs_run_for_another_version_and_by_force_alone() {
    let deployed = || with_jobs(Case::deployed(), "h1");
    let was = |hash: &'static str| {
        deployed().with(|case| {
            case.row().hash = hash.into();
            case.live[0] = ours(hash);
        })
    };
    runs(&with_jobs(Case::new(), "h1"), &RunJobs::New);
    runs(&was("h0"), &RunJobs::New);
    runs(&deployed().with(|case| case.facts.forced = Some("forced")), &RunJobs::Again);
    // Who rolls back forces it, and no job of what ran then.
    let back = |case: &mut Case| (case.facts.forced, case.facts.back) = (Some("back"), Some("back"));
    runs(&was("h0").with(back), &RunJobs::No);
    let drifted = |case: &mut Case| drop(case.live[0].summary.insert("replicas".into(), "3".into()));
    runs(&deployed().with(drifted), &RunJobs::No);
    let failed =
        |case: &mut Case| (case.row().status, case.row().error) = (StackStatus::Error, Some("no".into()));
    runs(&deployed().with(failed), &RunJobs::No);
    runs(&was("h0").with(failed), &RunJobs::New);
}

#[test]
fn nothing_that_becomes_of_a_job_is_drift() {
    table(&[
        (with_jobs(Case::deployed(), "h1"), "in sync"),
        // One that failed for a version that was taken back.
        (with_jobs(Case::deployed(), "h0"), "in sync"),
        (with_jobs(Case::deployed(), "h1").with(|case| case.live.truncate(1)), "in sync"),
        (with_jobs(Case::held(), "h1").with(|case| case.live.truncate(1)), "SourceChanges: rolled back"),
    ]);
}

#[test]
fn a_lost_database_takes_over_what_the_last_job_was_behind() {
    let lost = |ran_for: &str| with_jobs(Case::deployed(), ran_for).with(|case| case.row = None);
    table(&[
        (lost("h1"), "adopt"),
        (lost("h0"), "deploy: changed"),
        (lost("h1").with(|case| case.live[1] = live("migrate", "h0")), "adopt"),
    ]);
}

#[test]
fn a_step_that_is_done_is_followed_by_the_next_and_no_job_is_cut_off() {
    let moving = |hash: &'static str, step, phase| {
        with_jobs(Case::deployed(), hash)
            .with(|case| case.row().hash = "h0".into())
            .with(|case| case.motion = Some(at(hash, step, phase)))
    };
    let by = Some("alice".to_owned());
    let hold: &Hold = Box::leak(Box::new(Hold {
        kind: Kind::Hand,
        reason: None,
        by,
        since: None,
        until: None,
        back: None,
    }));
    for step in [Step::Before(0), Step::After(0)] {
        for phase in [Phase::Asked, Phase::Given] {
            table(&[
                (moving("h1", step, phase), "in motion"),
                (moving("h2", step, phase), "in motion"),
                (moving("h2", step, phase).with(|case| case.facts.hold = Some(hold)), "in motion"),
            ]);
            runs(&moving("h2", step, phase).with(|case| case.facts.forced = Some("forced")), &RunJobs::Again);
        }
    }
    let goes_back = |case: &mut Case| case.facts.back = Some("rolled back to c0");
    runs(&moving("h2", Step::Before(0), Phase::Given).with(goes_back), &RunJobs::No);
    runs(&moving("h1", Step::Before(0), Phase::Done), &RunJobs::GoOn);
    runs(&moving("h1", Step::Rest, Phase::Done), &RunJobs::GoOn);
    runs(&moving("h2", Step::Before(0), Phase::Done), &RunJobs::New);
    runs(&moving("h2", Step::Rest, Phase::Given), &RunJobs::New);
    table(&[(moving("h1", Step::Rest, Phase::Given), "in motion")]);
    // Half of a deploy is on hold no more than an update that Swarm is at; another version is.
    runs(
        &moving("h1", Step::Before(0), Phase::Done).with(|case| case.facts.hold = Some(hold)),
        &RunJobs::GoOn,
    );
    let other = moving("h2", Step::Before(0), Phase::Done).with(|case| case.facts.hold = Some(hold));
    table(&[(other, "Released(Well)")]);
}

#[test]
fn of_tags_that_moved_those_of_jobs_are_followed_around_the_rest() {
    let image = |tag: &str| ImageRef::parse(&format!("{tag}:1@sha256:{}", "ab".repeat(32))).unwrap();
    let rolled = |case: Case, services: &[&str]| {
        let roll = |service: &&str| Roll { service: format!("web_{service}"), image: image("moved") };
        let case = case.with(|case| case.facts.rolls = services.iter().map(roll).collect());
        match case.decide() {
            Decision::Apply(Apply {
                how: How::Deploy { jobs: RunJobs::Moved { jobs, .. }, resolve, .. },
                ..
            }) => {
                assert_eq!(resolve, ResolveImage::Changed);
                format!("all, with {}", jobs.into_iter().collect::<Vec<_>>().join(" "))
            }
            Decision::Apply(Apply { how: How::Roll(rolls), .. }) => {
                rolls.iter().map(|roll| roll.service.clone()).collect::<Vec<_>>().join(" ")
            }
            other => format!("{other:?}"),
        }
    };
    let deployed = || with_jobs(Case::deployed(), "h1");
    assert_eq!(rolled(deployed(), &["app", "smoke", "migrate"]), "all, with web_migrate web_smoke");
    assert_eq!(rolled(deployed(), &["app", "smoke"]), "all, with web_smoke");
    assert_eq!(rolled(deployed(), &["app"]), "web_app");
    // Whatever runs of a job: it has the tag that moved.
    let by_tag = |case: Case| {
        let case = case.with(|case| {
            case.facts.rolls = vec![Roll { service: "web_app".into(), image: image("app") }];
            case.live.truncate(1);
        });
        match case.decide() {
            Decision::Apply(Apply {
                how: How::Deploy { jobs: RunJobs::Moved { jobs, images }, .. }, ..
            }) => (jobs.len(), images.len()),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(by_tag(deployed()), (2, 3));
    // What drifted is put back with it, and by itself follows no tag.
    let drifted = |case: &mut Case| drop(case.live[0].summary.insert("replicas".into(), "3".into()));
    assert_eq!(rolled(deployed().with(drifted), &["app", "migrate"]), "all, with web_migrate");
    for (case, wanted) in [(deployed(), ResolveImage::Changed), (Case::deployed(), ResolveImage::Always)] {
        let case = case.with(drifted).with(|case| case.facts.resolve = ResolveImage::Always);
        match case.decide() {
            Decision::Apply(Apply { how: How::Deploy { resolve, .. }, .. }) => assert_eq!(resolve, wanted),
            other => panic!("{other:?}"),
        }
    }
    // What failed behind a tag that moved is tried with its jobs.
    let failed = |case: &mut Case| {
        (case.row().status, case.row().error, case.row().jobs_due) =
            (StackStatus::Error, Some("no".into()), true);
    };
    runs(&deployed().with(failed), &RunJobs::Again);
    // The job may be why it is held.
    let held = || with_jobs(Case::held(), "h1");
    assert!(rolled(held(), &["app"]).contains("SourceChanges"));
    assert_eq!(rolled(held(), &["app", "migrate"]), "all, with web_migrate");
}

#[test]
fn a_stack_of_nothing_but_jobs_runs_each_version() {
    let only = |ran_for: &'static str| {
        with_jobs(Case::deployed(), ran_for).with(|case| {
            case.wish().rendered = Some(Ok(RenderedStack::of("web", &[("migrate", "app:1")], "h1")));
            case.entry().jobs.after.clear();
            case.live = vec![live("migrate", ran_for)];
            case.row().services.retain(|name, _| name == "web_migrate");
            case.row().hash = ran_for.into();
        })
    };
    table(&[(only("h0"), "deploy: changed"), (only("h1"), "in sync")]);
    runs(&only("h0"), &RunJobs::New);
}

#[test]
fn a_migration_that_failed_is_not_run_again_for_what_a_hand_removes() {
    let failed = |hash: &'static str| {
        with_jobs(Case::held(), "h1").with(|case| {
            case.row().hash = hash.into();
            case.live.remove(0);
        })
    };
    let held = "SourceChanges: rolled back";
    table(&[
        (failed("h0"), held),
        (failed("h1"), "deploy: the last attempt failed, and `web_app` was removed by hand"),
        (failed("h1").with(|case| case.row().jobs_due = true), held),
    ]);
}
