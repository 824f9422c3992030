//! The table of decisions, and each pair of lines whose order matters.

mod back;
mod case;
mod held;
mod jobs;
mod on_hold;

use anyhow::anyhow;
use serde_json::{Value, json};

use super::*;
use crate::compose::{FINGERPRINT, REPOSITORY};
use crate::docker::command::ResolveImage;
use crate::docker::service::Service;
use crate::manifest::Layout;
use crate::stack::{DriftPolicy, StackName};
use crate::state::StackStatus;
use case::{Case, SOURCE, motion, ours, roll, service, source, table};

/// Its service still has its fingerprint, and this for a source.
fn labelled(source: &str) -> Case {
    let labels = json!({REPOSITORY: source, FINGERPRINT: "h1"});
    Case::deployed().with(|case| case.live = vec![service(&labels, "app:1", 1)])
}

#[test]
fn what_is_listed() {
    let new = Case::new;
    let deployed = Case::deployed;
    let by_hand = |labels: Value| Case::new().with(|case| case.live = vec![service(&labels, "app:1", 1)]);
    table(&vec![
        (new(), "deploy: new"),
        (by_hand(json!({})), "deploy: adopted: it was deployed by hand before"),
        (by_hand(json!({REPOSITORY: SOURCE})), "deploy: changed"),
        (
            by_hand(json!({REPOSITORY: "https://h/other"})),
            "NextRun: another DockerOps deploys the stack `web`, from `https://h/other`",
        ),
        (
            by_hand(json!({REPOSITORY: "https://h/other"})).with(|case| case.facts.forced = Some("forced")),
            "deploy: forced",
        ),
        (
            deployed()
                .with(|case| case.live = vec![service(&json!({REPOSITORY: "https://h/other"}), "app:1", 1)]),
            "NextRun: another DockerOps",
        ),
        (labelled("mine"), "deploy: drifted: `web_app` by hand: `service labels` edited"),
        // Another DockerOps has the same files, and so the same fingerprint.
        (labelled("https://h/other"), "NextRun: another DockerOps"),
        (
            deployed().with(|case| {
                let labels = json!({REPOSITORY: "https://h/other", FINGERPRINT: "h1"});
                let [one, other] = [(); 2].map(|()| service(&labels, "app:1", 1));
                case.live = vec![one, Service { name: "web_other".into(), ..other }];
            }),
            "NextRun: another DockerOps",
        ),
        // A run that was cut off gave another version to docker.
        (
            deployed().with(|case| {
                case.live = vec![ours("h2")];
                case.entry().drift = DriftPolicy::Report;
            }),
            "deploy: another version",
        ),
        (
            deployed().updated("rollback_completed").with(|case| {
                case.live[0].labels.insert(FINGERPRINT.into(), "h2".into());
                case.entry().drift = DriftPolicy::Ignore;
            }),
            "in sync",
        ),
        (new().with(|case| case.live = vec![ours("h1")]), "adopt"),
        (new().with(|case| case.live = vec![ours("h0")]), "deploy: changed"),
        (
            new().with(|case| {
                case.live = vec![service(&json!({REPOSITORY: SOURCE, FINGERPRINT: "h1"}), "app:2", 1)];
            }),
            "deploy: changed",
        ),
        (
            by_hand(json!({REPOSITORY: "https://h/other"}))
                .with(|case| case.facts.predecessor = Some(source("https://h/other"))),
            "deploy: changed",
        ),
        // It moved away and back, before its row here was forgotten.
        (
            by_hand(json!({REPOSITORY: "https://h/other"})).with(|case| {
                case.row = Case::deployed().row;
                case.entry().drift = DriftPolicy::Report;
                case.facts.predecessor = Some(source("https://h/other"));
            }),
            "deploy: it comes back from `https://h/other`",
        ),
        (deployed(), "in sync"),
        (deployed().with(|case| case.row().hash = "h0".into()), "adopt"),
        (
            deployed().with(|case| {
                case.row().hash = "h0".into();
                case.live = vec![ours("h0")];
            }),
            "deploy: changed",
        ),
        (deployed().with(|case| case.row().status = StackStatus::Stopped), "adopt"),
        (deployed().with(|case| case.live.clear()), "deploy: drifted: `web_app` removed by hand"),
        (deployed().with(|case| case.facts.rolls = roll()), "roll"),
        (deployed().with(|case| case.facts.forced = Some("forced")), "deploy: forced"),
        (Case::held(), "SourceChanges: rolled back"),
        (Case::held().with(|case| case.facts.commit = "c2"), "deploy: the last attempt failed"),
        (Case::held().with(|case| case.row().held = false), "deploy: the last attempt failed"),
        (Case::held().with(|case| case.facts.rolls = roll()), "roll"),
        (
            Case::held().with(|case| {
                case.facts.rolls = roll();
                case.row().hash = "h0".into();
            }),
            "SourceChanges: rolled back",
        ),
    ]);
}

#[test]
fn what_drifted() {
    let scaled = |policy: DriftPolicy| {
        Case::deployed().with(|case| {
            case.live = vec![service(&json!({REPOSITORY: SOURCE, FINGERPRINT: "h1"}), "app:1", 3)];
            case.entry().drift = policy;
        })
    };
    table(&[
        (scaled(DriftPolicy::Correct), "deploy: drifted: `web_app` by hand: scaled from 1 to 3"),
        (scaled(DriftPolicy::Report), "in sync, drifted"),
        (scaled(DriftPolicy::Ignore), "in sync"),
        (scaled(DriftPolicy::Report).with(|case| case.facts.rolls = roll()), "roll"),
        (scaled(DriftPolicy::Correct).with(|case| case.facts.rolls = roll()), "deploy: drifted"),
    ]);
}

#[test]
fn what_is_not_to_run() {
    let gone = |layout| Case::deployed().with(|case| (case.desired, case.read) = (None, Some(layout)));
    let files = |path: &str| gone(Layout::Files).with(|case| case.row().compose_path = path.into());
    let off = || Case::deployed().with(|case| case.wish().rendered = None);
    let own = |case: &mut Case| case.facts.is_own = true;
    let handover = |how| gone(Layout::List).with(|case| case.facts.handover = Some(how));
    let unclear = |case: &mut Case| case.facts.elsewhere = Elsewhere::Unclear("`x` cannot be read".into());
    let stopped = |case: &mut Case| {
        case.row().status = StackStatus::Stopped;
        case.live.clear();
    };
    table(&vec![
        (gone(Layout::List), "remove: it is no longer listed"),
        (gone(Layout::Files), "NextRun: left as it is: `stacks.yaml`, which listed it, is gone"),
        (files("docker-compose-web.yml"), "remove: its file is gone"),
        (files(""), "remove: its file is gone"),
        (gone(Layout::Nothing), "NextRun: left as it is: no file of the source"),
        (gone(Layout::List).with(own), "NextRun: left as it is: this DockerOps runs in it"),
        (gone(Layout::List).with(stopped), "forget"),
        (gone(Layout::Nothing).with(stopped), "forget"),
        (handover(Handover::Done), "forget"),
        (handover(Handover::UnderWay), "Handover"),
        (handover(Handover::Stuck), "NewOwner"),
        (gone(Layout::List).with(|case| case.facts.elsewhere = Elsewhere::Asked), "Asked: other sources"),
        (
            gone(Layout::List).with(unclear),
            "Clear: it is no longer listed in `stacks.yaml`, and stays: `x` cannot be read",
        ),
        (gone(Layout::List).with(unclear).with(own), "NextRun: left as it is: this DockerOps runs in it"),
        (handover(Handover::Done).with(unclear), "forget"),
        (off().with(unclear), "remove: `enabled: false`"),
        (off(), "remove: `enabled: false`"),
        (off().with(own), "NextRun: left as it is: this DockerOps runs in it"),
        (off().with(stopped), "in sync"),
        (off().with(|case| (case.row, case.live) = (None, Vec::new())), "note that it is stopped"),
        (off().with(|case| case.row = None), "remove: `enabled: false`"),
    ]);
}

#[test]
fn what_was_not_read_stays_as_it_is() {
    let unread = |case: Case| case.with(|case| case.read = None);
    let scaled = |policy| {
        unread(Case::deployed()).with(|case| {
            case.live.clear();
            case.row().drift = policy;
        })
    };
    table(&[
        (unread(Case::deployed()), "in sync"),
        (scaled(DriftPolicy::Report), "in sync, drifted"),
        (scaled(DriftPolicy::Ignore), "in sync"),
        (unread(Case::held()), "SourceChanges: rolled back"),
        (unread(Case::held()).with(|case| case.row().held = false), "Selected { well: false }"),
        (unread(Case::deployed()).with(|case| case.motion = Some(motion("h2"))), "in motion"),
    ]);
}

#[test]
fn what_is_in_motion_is_judged_and_a_change_overtakes_it() {
    let moving = |hash| Case::deployed().with(|case| case.motion = Some(motion(hash)));
    let unseen = |update: &str| {
        moving("h1").with(|case| {
            case.motion.as_mut().unwrap().given = None;
            case.live[0].update = serde_json::from_value(json!({"State": update})).ok();
        })
    };
    table(&[
        (moving("h1"), "in motion"),
        (moving("h1").with(|case| case.live.clear()), "in motion"),
        (moving("h1").with(|case| case.row().status = StackStatus::Error), "in motion"),
        (moving("h1").with(|case| case.facts.rolls = roll()), "in motion"),
    ]);
    table(&[
        // Another version was given to docker since: what the row says is not what runs, and no hand did it.
        (moving("h2").with(|case| case.live = vec![ours("h2")]), "deploy: changed"),
        (moving("h2").with(|case| (case.live, case.row) = (vec![ours("h2")], None)), "deploy: new"),
        // A run that was killed gave it to docker, and noted nothing; or Swarm went back to it.
        (moving("h2"), "adopt"),
        (moving("h2").updated("rollback_completed"), "deploy: changed"),
    ]);
    table(&[
        (moving("h1").with(|case| case.facts.forced = Some("forced")), "deploy: forced"),
        (unseen("rollback_completed"), "judge"),
        (unseen("completed"), "in sync"),
    ]);
}

/// What blocks a deploy, in the order of precedence: each wins over all behind it.
#[test]
fn precedence() {
    type Bend = fn(&mut Case);
    let lines: &[(Bend, &str)] = &[
        (|case| case.facts.is_selected = false, "Selected { well: "),
        (|case| case.facts.is_being_given = true, "Given: docker is being given it"),
        (
            |case| {
                case.facts.owner = Some(source("https://h/other"));
                case.facts.owner_is_expected = true;
            },
            "Others: `https://h/other` has it, and is not read so far",
        ),
        (
            |case| {
                case.facts.owner = Some(source("https://h/other"));
                case.facts.owner_is_expected = false;
            },
            "NextRun: the stack `web` belongs to",
        ),
        (|case| case.wish().images = Images::ToBuild(vec!["b:1".into()]), "Build: its image `b:1`"),
        (
            |case| {
                let other = service(&json!({}), "app:1", 1);
                case.live = vec![Service { name: "web_other".into(), ..other }];
                case.row = None;
            },
            "NextRun: not deployed: a stack `web` that DockerOps did not deploy",
        ),
        (
            |case| {
                const FAILED: &Tried = &Tried::Kept;
                case.facts.tried = Some(FAILED);
            },
            "in sync",
        ),
        (|case| case.facts.objections.binding = Some("the binding".into()), "NextRun: the binding"),
        (|case| case.facts.objections.secret = Some("no secret".into()), "NextRun: no secret"),
        (|case| case.facts.objections.object = Some("its network".into()), "NextRun: its network"),
        (
            |case| case.facts.dependencies.push((name("db"), Dependency::Failed { held: false })),
            "NextRun: not deployed: it depends on `db`",
        ),
        (
            |case| case.facts.dependencies.push((name("mq"), Dependency::Moving)),
            "Dependency: it waits for `mq`",
        ),
        (|case| case.facts.comes_later = true, "Others: this DockerOps runs in it"),
        (|case| case.facts.waits_for_room = true, "Others: its source drops a stack"),
        (|case| case.facts.pulling = Some("app:1"), "Pull: `app:1` is being pulled"),
        (|_| {}, "deploy: new"),
    ];
    for (at, (bend, expected)) in lines.iter().enumerate() {
        for (behind, _) in &lines[at..] {
            // The one in front is bent last, so that it stands where both touch the same.
            let says = Case::new().with(behind).with(bend).says();
            assert!(says.starts_with(expected), "`{says}`, not `{expected}`");
        }
    }
}

fn name(text: &str) -> &'static StackName {
    Box::leak(Box::new(StackName::known(text)))
}

#[test]
fn other_lines_whose_order_matters() {
    let wrong = |case: &mut Case| case.wish().rendered = Some(Err(anyhow!("no such key")));
    let conflict = |case: &mut Case| case.facts.objections.binding = Some("the binding".into());
    let failed = |held| {
        move |case: &mut Case| {
            let tried = Tried::Failed { why: "it failed".into(), held };
            case.facts.tried = Some(Box::leak(Box::new(tried)));
        }
    };
    let moving = |case: &mut Case| case.facts.dependencies.push((name("db"), Dependency::Moving));
    let unbuilt = |is_held| Images::Failed { image: "b:1".into(), why: "exit 1".into(), is_held };
    let gone = |case: &mut Case| (case.desired, case.read) = (None, Some(Layout::List));
    let declaring = |case: &mut Case| {
        let rendered = case::rendered("h1").declaring(&[("app", Some(2), "x")]);
        (case.row, case.wish().rendered) = (None, Some(Ok(rendered)));
    };
    table(&vec![
        // What failed in this run has the last word, whatever else is to be done.
        (Case::deployed().with(gone).with(failed(false)), "NextRun: it failed"),
        (Case::deployed().with(|case| case.wish().rendered = None).with(failed(false)), "NextRun: it failed"),
        (Case::deployed().with(|case| case.read = None).with(failed(true)), "SourceChanges: it failed"),
        (
            Case::held().with(|case| case.live.clear()),
            "deploy: the last attempt failed, and `web_app` was removed by hand",
        ),
        (Case::deployed().with(declaring), "deploy: drifted while nobody looked: `web_app` by hand: "),
        (Case::deployed().with(declaring).with(|case| case.entry().drift = DriftPolicy::Report), "adopt"),
        (Case::deployed().with(wrong), "NextRun: no such key"),
        (
            Case::deployed().with(wrong).with(|case| case.facts.owner = Some(source("x"))),
            "NextRun: the stack `web` belongs",
        ),
        (
            Case::deployed().with(wrong).with(|case| case.facts.forced = Some("forced")),
            "NextRun: no such key",
        ),
        // A conflict of bindings overwrites neither what is held nor what is not asked for.
        (Case::held().with(conflict), "SourceChanges: rolled back"),
        (Case::deployed().with(conflict), "NextRun: the binding"),
        (
            Case::deployed().with(conflict).with(|case| case.facts.is_selected = false),
            "Selected { well: true }",
        ),
        // A roll waits for what it depends on, as a deploy does.
        (
            Case::deployed().with(|case| case.facts.rolls = roll()).with(moving),
            "Dependency: it waits for `db`",
        ),
        (Case::deployed().with(moving), "in sync"),
        // What failed in this run is not tried again in it, forced or not.
        (Case::new().with(failed(false)), "NextRun: it failed"),
        (Case::new().with(failed(true)), "SourceChanges: it failed"),
        (
            Case::new().with(failed(false)).with(|case| case.facts.forced = Some("forced")),
            "NextRun: it failed",
        ),
        // A missing secret is no objection to what runs, nor to a roll.
        (Case::deployed().with(|case| case.facts.objections.secret = Some("none".into())), "in sync"),
        (
            Case::deployed().with(|case| {
                case.facts.rolls = roll();
                case.facts.objections.secret = Some("none".into());
            }),
            "roll",
        ),
        (
            Case::new().with(|case| case.wish().images = unbuilt(true)),
            "SourceChanges: not deployed: its image `b:1` could not be built",
        ),
        (
            Case::new().with(|case| case.wish().images = unbuilt(false)),
            "NextRun: not deployed: its image `b:1` could not be built",
        ),
        (
            Case::new().with(|case| case.wish().images = Images::Refused("b:1".into(), "why".into())),
            "NextRun: not deployed: its image `b:1` is not built: why",
        ),
        (
            Case::new()
                .with(|case| case.facts.dependencies.push((name("db"), Dependency::Failed { held: true }))),
            "DependencyHeld: not deployed: it depends on `db`, which failed",
        ),
        (
            Case::new().with(|case| case.facts.dependencies.push((name("db"), Dependency::Building))),
            "Dependency: it depends on `db`, whose image is to be built",
        ),
    ]);
}

#[test]
fn an_edited_image_is_put_back_and_all_are_asked_for_where_docker_may() {
    let edited = || {
        Case::deployed().with(|case| {
            case.live = vec![service(&json!({REPOSITORY: SOURCE, FINGERPRINT: "h1"}), "app:2", 1)];
        })
    };
    let how = |case: Case| match case.decide() {
        Decision::Apply(Apply { how: How::Deploy { resolve, edited, .. }, .. }) => (resolve, edited),
        other => panic!("{other:?}"),
    };
    assert_eq!(how(edited()), (ResolveImage::Changed, vec!["web_app".to_owned()]));
    let always = edited().with(|case| case.facts.resolve = ResolveImage::Always);
    assert_eq!(how(always), (ResolveImage::Always, vec![]));
}
