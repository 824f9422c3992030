//! What is held no longer than it is wrong, and what a row alone does not make ours.

use std::collections::BTreeMap;

use serde_json::json;

use super::case::{Case, ours, service, table};
use crate::docker::service::{Restart, Service};
use crate::plan::*;

/// An operator ended the update himself, or the tag names again what Swarm went back to.
#[test]
fn what_is_held_and_right_again_is_deployed() {
    let new_version = |state: &str| {
        Case::held().updated(state).with(|case| {
            case.row().given = BTreeMap::from([("web_app".to_owned(), case.live[0].summary.clone())]);
            case.row().hash = "h0".into();
            case.row().services.get_mut("web_app").unwrap().spec.clear();
        })
    };
    let went_back = |tags| Case::held().updated("rollback_completed").with(|case| case.facts.tags = tags);
    let again = "deploy: the last attempt failed, and by now all runs as the source says";
    let held = "SourceChanges: rolled back";
    let once = |case: &mut Case| (case.live[0].restart, case.live[0].running) = (Restart::Never, 0);
    table(&[
        (new_version("completed"), again),
        (new_version("paused"), held),
        (new_version("updating"), held),
        (new_version("paused").with(once), again),
        (new_version("completed").with(|case| case.live[0].running = 0), held),
        (new_version("completed").with(|case| case.live = vec![ours("h0")]), held),
    ]);
    table(&[
        (new_version("completed").with(|case| case.facts.tags = Tags::Other), held),
        (new_version("completed").with(|case| case.row().given.clear()), held),
        // What a hand mended of it, in whatever part, is not what Git says, and stays.
        (
            new_version("completed").with(|case| {
                case.live[0].summary.insert("command".into(), "serve".into());
            }),
            held,
        ),
    ]);
    table(&[
        (went_back(Tags::Live), again),
        (went_back(Tags::Other), held),
        (went_back(Tags::Unasked), held),
    ]);
}

/// A database of long ago says that the stack is ours; nothing that runs says so.
#[test]
fn what_a_hand_deployed_is_not_taken_for_ours_on_the_word_of_a_row_alone() {
    let by_hand = |name: &str| {
        Case::deployed().with(|case| {
            let other = service(&json!({}), "app:1", 1);
            case.live = vec![service(&json!({}), "app:1", 1), Service { name: name.into(), ..other }];
        })
    };
    let older = |case: &mut Case| {
        case.row().commit = None;
        case.row().services.clear();
    };
    table(&[
        (by_hand("web_other"), "NextRun: not deployed: a stack `web` that DockerOps did not deploy"),
        (by_hand("web_app"), "deploy: drifted"),
        (by_hand("web_other").with(older), "in sync"),
    ]);
}
