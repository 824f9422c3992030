//! On a terminal: colour, and a live line for every service that is waited for.

use crate::support::dockerops::DockerOps;
use crate::support::fake_docker::FakeDocker;
use crate::support::lab::lab;
use crate::support::repo::{Repo, one_service};

#[test]
fn on_a_terminal_each_awaited_stack_has_a_live_line_that_is_gone_in_the_end() {
    let Some(lab) = lab() else { return };
    let (ops, repo) =
        (DockerOps::new(lab).on_a_terminal().env("DOCKEROPS_DEPLOY_TIMEOUT", "20"), Repo::new());
    let [up, never] = ["up", "never"].map(|base| ops.unique(base));
    // Without a task it converges at the first look, however late that is.
    let [compose, wanted] = [0, 1].map(|tasks| one_service(&lab.image("app:1"), tasks));
    let nowhere = format!("{wanted}      placement: {{constraints: [node.labels.x == y]}}\n");
    repo.stack(&up, &compose).stack(&never, &nowhere).commit("first");
    let outcome = ops.run(["watch", &repo.url()]);
    outcome.failure(3).stdout_has("\u{1b}[32mdeployed").stdout_has("\u{1b}[1m\u{1b}[31mfailed");
    for stack in [&up, &never] {
        outcome.stdout_has(&format!("{stack}  is being deployed"));
    }
    outcome.stdout_has(&format!("{never}  `{never}_app` 0/1")).stdout_has("no suitable node");
    // Lines are cleared, and what stays is whole.
    let last = outcome.stdout.rsplit("\u{1b}[2K").next().unwrap();
    assert!(last.ends_with("1 deployed, 1 failed\r\n") && !last.contains("is being deployed"), "{last:?}");
}

#[test]
fn each_service_that_is_not_ready_has_a_line_while_there_is_room_and_the_rest_are_counted() {
    let Some(lab) = lab() else { return };
    let ops = DockerOps::new(lab).on_a_terminal().env("LINES", "8").env("COLUMNS", "80");
    let (ops, repo) = (ops.env("DOCKEROPS_DEPLOY_TIMEOUT", "15"), Repo::new());
    let stack = ops.unique("many");
    let service = |at: usize| {
        let nowhere = "placement: {constraints: [node.labels.x == y]}";
        format!("  s{at}:\n    image: {}\n    deploy: {{{nowhere}}}\n", lab.image("app:1"))
    };
    let services: String = (1..10).map(service).collect();
    repo.stack(&stack, &format!("version: \"3.8\"\nservices:\n{services}")).commit("first");
    let outcome = ops.run(["watch", &repo.url()]);
    outcome.failure(3).stdout_has(&format!("{stack}  `{stack}_s1` 0/1")).stdout_has("  and 4 more");
    outcome
        .stdout_has(&format!("{stack}  `{stack}_s5` 0/1"))
        .stdout_lacks(&format!("{stack}  `{stack}_s6` 0/1"));
    let last = outcome.stdout.rsplit("\u{1b}[2K").next().unwrap();
    assert!(last.ends_with("1 failed\r\n") && !last.contains(" more"), "{last:?}");
}

#[test]
fn what_docker_is_slow_to_take_says_which_registry_it_asks() {
    let Some(lab) = lab() else { return };
    let (ops, repo) = (DockerOps::new(lab).on_a_terminal(), Repo::new());
    let stack = ops.unique("slow");
    let docker = FakeDocker::new().does(&format!("- {stack}"), "sleep 5");
    repo.stack(&stack, &one_service(&lab.image("app:1"), 0)).commit("first");
    let told = format!("{stack}  docker has not answered: it asks `{}` for digests", lab.registry());
    ops.with_fake(&docker).run(["watch", &repo.url()]).success().stdout_has(&told);
}

#[test]
fn no_color_is_honoured_on_a_terminal() {
    let ops = DockerOps::without_docker().on_a_terminal();
    let wrong = ["watch", "/nonexistent"];
    ops.run(wrong).failure(1).stdout_has("\u{1b}[31merror:").stdout_has("hint:");
    ops.env("NO_COLOR", "1").run(wrong).failure(1).stdout_has("error: ").stdout_lacks("\u{1b}");
}

#[test]
fn a_dumb_terminal_gets_no_colour() {
    let ops = DockerOps::without_docker().on_a_terminal().env("TERM", "dumb");
    ops.run(["watch", "/nonexistent"]).failure(1).stdout_has("error: ").stdout_lacks("\u{1b}");
}
