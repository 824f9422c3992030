//! What registries say of tags: which digest each names now.
//!
//! In: image references, credentials as the docker CLI keeps them, and which registries docker trusts
//! without TLS. Out: a digest a tag, or why there is none, in the registry's own words. It pulls nothing.

mod auth;
mod credentials;
mod host;
mod insecure;
mod way;
mod words;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::image::ImageRef;
use crate::settings::RegistryAccess;
use crate::signal;
use host::Host;

/// So many requests are under way at once, whatever the number of tags.
const AT_ONCE: usize = 64;
/// How often the wait looks for signals.
const TICK: Duration = Duration::from_millis(100);

/// Why a registry named no digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refusal(pub String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A digest, `sha256:…`, or why there is none.
pub type Answer = Result<String, Refusal>;

/// Which registries docker trusts without TLS, as `docker info` lists them: asked at most once, and only
/// where one could not be reached by https.
pub type Insecure = Box<dyn Fn() -> Vec<String> + Send + Sync>;

/// The registries of a run.
pub struct Registries {
    shared: Arc<host::Shared>,
    hosts: BTreeMap<String, Arc<Host>>,
}

impl Registries {
    pub fn new(access: &RegistryAccess, insecure: Insecure) -> Self {
        let shared = Arc::new(host::Shared::new(access, insecure));
        Self { shared, hosts: BTreeMap::new() }
    }

    /// Asks which digests the tags of `images` name. Fails only when interrupted.
    pub fn ask(&mut self, images: BTreeSet<ImageRef>) -> Result<BTreeMap<ImageRef, Answer>> {
        let mut queue = VecDeque::new();
        for image in images {
            let host = self.hosts.entry(image.registry().to_owned());
            let host = host.or_insert_with(|| Arc::new(Host::new(image.registry(), &self.shared)));
            queue.push_back((Arc::clone(host), image));
        }
        let expected = queue.len();
        let (sender, receiver) = mpsc::channel();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..expected.min(AT_ONCE) {
            let (queue, sender) = (Arc::clone(&queue), sender.clone());
            // A thread that waits for a silent registry is abandoned when the run is interrupted.
            let work = move || {
                while let Some((host, image)) = next(&queue) {
                    let answer = host.digest(&image);
                    if sender.send((image, answer)).is_err() {
                        return;
                    }
                }
            };
            thread::Builder::new().name("registry".into()).spawn(work).context("cannot start a thread")?;
        }
        drop(sender);
        let mut answers = BTreeMap::new();
        while answers.len() < expected {
            signal::check()?;
            match receiver.recv_timeout(TICK) {
                Ok((image, answer)) => {
                    answers.insert(image, answer);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        Ok(answers)
    }
}

impl fmt::Debug for Registries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.hosts.keys()).finish()
    }
}

fn next<T>(queue: &Mutex<VecDeque<T>>) -> Option<T> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}
