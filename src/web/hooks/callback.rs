//! Docker Hub's `callback_url`: told how the job went, so that a chain of its webhooks goes on or stops there.
//!
//! Only an address of `registry.hub.docker.com` is ever called: a payload does not get to choose whom we talk to.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};

use crate::daemon::{Handle, JobId, JobState};
use crate::source::Parts;

const HOST: &str = "registry.hub.docker.com";
/// So many may wait for their jobs; further ones are not called.
const MOST: usize = 32;
/// A job that takes longer is told of as an error.
const LONGEST: Duration = Duration::from_secs(3600);
const TICK: Duration = Duration::from_millis(500);

/// Where callbacks are handed in; one thread waits for the jobs and calls.
#[derive(Debug, Clone)]
pub struct Callbacks(SyncSender<Pending>);

#[derive(Debug)]
struct Pending {
    url: String,
    jobs: Vec<JobId>,
    since: Instant,
}

impl Callbacks {
    /// Starts the thread.
    pub fn start(handle: Handle) -> Self {
        let (sender, receiver) = sync_channel(MOST);
        // Without the thread nobody is called, and all else works.
        let _ = thread::Builder::new().name("callbacks".into()).spawn(move || work(&receiver, &handle));
        Self(sender)
    }

    /// Calls `url` when `jobs` have ended; whether it will be called at all.
    pub fn add(&self, url: &str, jobs: &[JobId]) -> bool {
        let pending = Pending { url: url.to_owned(), jobs: jobs.to_vec(), since: Instant::now() };
        is_docker_hub(url) && self.0.try_send(pending).is_ok()
    }
}

/// Whether it is https on Docker Hub's own host and port, with nothing before the host.
fn is_docker_hub(url: &str) -> bool {
    Parts::of(url).is_some_and(|parts| {
        (parts.scheme.as_str(), parts.host.as_str(), parts.port, parts.userinfo)
            == ("https", HOST, None, None)
    }) && !url.contains(['\\', '#', ' '])
        && !url.chars().any(char::is_control)
}

fn work(receiver: &Receiver<Pending>, handle: &Handle) {
    let mut waiting: Vec<Pending> = Vec::new();
    loop {
        let wait = if waiting.is_empty() { LONGEST } else { TICK };
        match receiver.recv_timeout(wait) {
            Ok(pending) if waiting.len() < MOST => waiting.push(pending),
            Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        waiting.retain(|pending| match outcome(pending, handle) {
            None => true,
            Some(state) => {
                call(&pending.url, state);
                false
            }
        });
    }
}

/// Docker Hub's word for how the jobs went; `None` while one is not at its end.
fn outcome(pending: &Pending, handle: &Handle) -> Option<&'static str> {
    let states = pending.jobs.iter().map(|job| handle.job(*job).map(|view| view.state));
    let states: Vec<_> = states.collect();
    if pending.since.elapsed() > LONGEST || states.contains(&None) {
        return Some("error");
    }
    if states.iter().any(|state| matches!(state, Some(JobState::Queued | JobState::Running))) {
        return None;
    }
    Some(if states.contains(&Some(JobState::Failed)) { "failure" } else { "success" })
}

/// Whether it hears us is its own concern.
fn call(url: &str, state: &str) {
    let tls =
        TlsConfig::builder().provider(TlsProvider::NativeTls).root_certs(RootCerts::PlatformVerifier).build();
    let agent: Agent = Agent::config_builder()
        .tls_config(tls)
        .max_redirects(0)
        .timeout_global(Some(Duration::from_secs(20)))
        .build()
        .into();
    let body = json!({ "state": state, "description": "checked by DockerOps", "context": "dockerops" });
    let _ = agent.post(url).header("content-type", "application/json").send(body.to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_docker_hub_is_called() {
        assert!(is_docker_hub("https://registry.hub.docker.com/u/team/shop/hook/1/"));
        assert!(is_docker_hub("https://registry.hub.docker.com:443/u/team/shop/hook/1/"));
        for url in [
            "http://registry.hub.docker.com/u/",
            "https://registry.hub.docker.com:8443/u/",
            "https://registry.hub.docker.com.evil.example/u/",
            "https://registry.hub.docker.com@evil.example/u/",
            "https://user@registry.hub.docker.com/u/",
            "https://evil.example/registry.hub.docker.com/",
            "https://evil.example\\@registry.hub.docker.com/",
            "https://evil.example#@registry.hub.docker.com/",
            "https://hub.docker.com/u/",
            "https://169.254.169.254/latest/meta-data",
            "file://registry.hub.docker.com/etc/passwd",
            "//registry.hub.docker.com/u/",
            "registry.hub.docker.com",
            "",
        ] {
            assert!(!is_docker_hub(url), "{url}");
        }
    }
}
