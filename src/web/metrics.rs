//! `/healthz` for who restarts the daemon, `/metrics` for who watches it, in Prometheus' text format.

use std::fmt::{Display, Write};

use serde_json::json;

use super::Web;
use super::response::Response;
use crate::daemon::Health;
use crate::hold::Kind;
use crate::plain;
use crate::report::status::{Stack, StackState};

const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// 200 while the loop lives, 503 with the reason when it is stuck or has lost its database.
pub fn health(health: &Health) -> Response {
    match (&health.stuck, health.lost) {
        (Some(why), _) => Response::json(503, &json!({ "status": "stuck", "reason": why })),
        (None, Some(why)) => {
            Response::json(503, &json!({ "status": "lost", "reason": format!("its database {why}") }))
        }
        (None, None) => Response::json(200, &json!({ "status": "ok" })),
    }
}

pub fn answer(web: &Web) -> Response {
    let (counters, health) = (web.handle.counters(), web.handle.health());
    let mut text = Text(String::new());
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    text.one("dockerops_info", "gauge", "The release that runs.").labelled(&version, 1);
    text.one("dockerops_start_time_seconds", "gauge", "When the daemon began.").plain(counters.started);
    text.one("dockerops_up", "gauge", "1 while the loop lives, 0 when it is stuck or lost its database.")
        .plain(u8::from(health.stuck.is_none() && health.lost.is_none()));
    text.one("dockerops_cycles_total", "counter", "Cycles over all sources.").plain(counters.cycles);
    text.one("dockerops_cycles_failed_total", "counter", "Cycles that could not be done as a whole.")
        .plain(counters.cycles_failed);
    text.one("dockerops_cycle_duration_seconds", "summary", "How long cycles took.");
    text.line("dockerops_cycle_duration_seconds_sum", &[], counters.cycle_seconds);
    text.line("dockerops_cycle_duration_seconds_count", &[], counters.cycles);
    text.one("dockerops_last_cycle_duration_seconds", "gauge", "How long the last cycle took.")
        .plain(counters.last_cycle_seconds);
    text.one(
        "dockerops_last_cycle_timestamp_seconds",
        "gauge",
        "When the last cycle ended that could be done.",
    )
    .plain(counters.last_cycle);
    text.one("dockerops_jobs_total", "counter", "Runs for one source, stack or image.").plain(counters.jobs);
    text.one("dockerops_deploys_total", "counter", "Stacks that were deployed and converged.")
        .plain(counters.deploys);
    text.one("dockerops_removals_total", "counter", "Stacks that were removed.").plain(counters.removals);
    text.one("dockerops_failures_total", "counter", "Failures of stacks and sources.")
        .plain(counters.failures);
    text.one("dockerops_image_pulls_total", "counter", "Images that were pulled.").plain(counters.pulls);
    let last = "dockerops_source_last_success_timestamp_seconds";
    text.one(last, "gauge", "When a source was last synced without a failure.");
    for (url, when) in &counters.last_success {
        text.line(last, &[("repository", &url.shown())], when);
    }
    text.one("dockerops_webhooks_total", "counter", "Deliveries of webhooks, by what became of them.");
    for (sender, outcome, count) in web.counts.all() {
        let labels = [("sender", sender), ("outcome", outcome.as_str())];
        text.line("dockerops_webhooks_total", &labels, count);
    }
    stacks(web, &mut text);
    Response::new(200, FORMAT, text.0)
}

/// What needs the database and docker; what cannot be known is left out, so that an alert on its absence fires.
fn stacks(web: &Web, text: &mut Text) {
    let Ok(snapshot) = web.view.snapshot() else { return };
    let reachable = snapshot.trouble.is_none();
    text.one("dockerops_docker_up", "gauge", "1 while docker answers.").plain(u8::from(reachable));
    let failing = "dockerops_source_failing";
    text.one(failing, "gauge", "1 while a source cannot be fetched or is wrong.");
    for repository in &snapshot.status.repositories {
        text.line(failing, &[("repository", &repository.url)], u8::from(repository.error.is_some()));
    }
    let stacks = &snapshot.status.stacks;
    let count = |what: &dyn Fn(&Stack) -> bool| stacks.iter().filter(|stack| what(stack)).count();
    text.one("dockerops_stacks", "gauge", "Stacks by status.");
    for status in [StackState::Deployed, StackState::Error, StackState::Stopped] {
        text.line("dockerops_stacks", &[("status", status.as_str())], count(&|stack| stack.status == status));
    }
    let held = "dockerops_stacks_held";
    text.one(held, "gauge", "Stacks that stay as they are: their last deploy failed, or somebody wants it.");
    text.line(held, &[("kind", "failure")], count(&|stack| stack.held));
    for kind in Kind::ALL {
        let is_it = |stack: &Stack| stack.hold.as_ref().is_some_and(|hold| hold.kind == kind);
        text.line(held, &[("kind", kind.as_str())], count(&is_it));
    }
    if reachable {
        text.one("dockerops_stacks_drifted", "gauge", "Stacks that are not as they were applied.")
            .plain(count(&|stack| !stack.drift.is_empty()));
        text.one(
            "dockerops_stacks_degraded",
            "gauge",
            "Stacks that run less than Git says, or whose tasks keep failing.",
        )
        .plain(count(&Stack::is_degraded));
    }
}

/// The format, line by line.
struct Text(String);

struct Metric<'a> {
    text: &'a mut Text,
    name: &'static str,
}

impl Text {
    fn one(&mut self, name: &'static str, kind: &str, help: &str) -> Metric<'_> {
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        Metric { text: self, name }
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let escaped = |text: &str| plain::name(text).replace('\\', "\\\\").replace('"', "\\\"");
        let labels: Vec<_> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }
}

impl Metric<'_> {
    fn plain(self, value: impl Display) {
        self.text.line(self.name, &[], value);
    }

    fn labelled(self, labels: &[(&str, &str)], value: impl Display) {
        self.text.line(self.name, labels, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut text = Text(String::new());
        text.one("a", "gauge", "Help.").labelled(&[("l", "x\"y\\z\nw")], 1);
        assert_eq!(text.0, "# HELP a Help.\n# TYPE a gauge\na{l=\"x\\\"y\\\\z\\\\nw\"} 1\n");
    }

    #[test]
    fn only_a_stuck_loop_is_unhealthy() {
        assert_eq!(health(&Health::default()).status, 200);
        assert_eq!(health(&Health { trouble: Some("no docker".into()), ..Health::default() }).status, 200);
        let stuck = health(&Health { stuck: Some("silent for 9 s".into()), ..Health::default() });
        assert_eq!(stuck.status, 503);
        assert!(stuck.text().contains("silent for 9 s"));
    }
}
