//! Pulls in the background: a few at a time, each image once, while stacks that need none of them go on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::docker::Docker;
use crate::source::SourceId;

/// So many images are pulled at once; docker pulls several layers of each.
const AT_ONCE: usize = 4;
/// One of which nothing was heard for so long leaves its room to another: its registry may never answer.
const SILENT: Duration = Duration::from_secs(10);
/// So many at the most, the silent ones included.
const MOST: usize = 16;
/// So many of one source: registries that never answer take no room from others.
const OF_A_SOURCE: usize = 8;

/// What is new of a pull.
#[derive(Debug)]
pub enum News {
    Progress(String),
    /// It came to its end; `Err` holds docker's words.
    Ended(Result<(), String>),
}

/// What threads tell, by image.
type Channel = (Sender<(String, News)>, Receiver<(String, News)>);

type Queue = Arc<Mutex<VecDeque<(SourceId, String)>>>;

/// For which source each pull is that a thread is at, and when it was heard of last.
type Heard = Arc<Mutex<BTreeMap<String, (SourceId, Instant)>>>;

/// The pulls of a run; those still under way are ended when dropped.
#[derive(Debug, Default)]
pub struct Pulls {
    channel: Option<Channel>,
    early: VecDeque<(String, News)>,
    queue: Queue,
    heard: Heard,
    under_way: BTreeSet<String>,
    failures: BTreeMap<String, String>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Pulls {
    /// Pulls `images` for a source, each once in a run.
    pub fn want(&mut self, docker: &Docker, source: &SourceId, images: &BTreeSet<String>) {
        for image in images {
            if self.failures.contains_key(image) || !self.under_way.insert(image.clone()) {
                continue;
            }
            lock(&self.queue).push_back((source.clone(), image.clone()));
            self.begin_more(docker);
        }
    }

    /// Begins what is queued, as far as there is room.
    pub fn begin_more(&mut self, docker: &Docker) {
        self.threads.retain(|thread| !thread.is_finished());
        let heard = lock(&self.heard);
        let silent = heard.values().filter(|(_, heard)| heard.elapsed() > SILENT).count();
        let is_due = lock(&self.queue).iter().any(|(source, _)| has_room(source, &heard));
        drop(heard);
        let begun = self.threads.len();
        if is_due && begun < MOST && begun < AT_ONCE + silent {
            self.start(docker);
        }
    }

    fn start(&mut self, docker: &Docker) {
        let (sender, _) = self.channel.get_or_insert_with(mpsc::channel);
        let (docker, sender, stop) = (docker.clone(), sender.clone(), Arc::clone(&self.stop));
        let (queue, last_heard) = (Arc::clone(&self.queue), Arc::clone(&self.heard));
        let work = move || {
            while let Some((source, image)) =
                next(&queue, &last_heard).filter(|_| !stop.load(Ordering::Relaxed))
            {
                let mut layers = Layers::default();
                let mut heard = |line: &str| {
                    lock(&last_heard).insert(image.clone(), (source.clone(), Instant::now()));
                    if let Some(sum) = layers.take(line) {
                        let _ = sender.send((image.clone(), News::Progress(sum)));
                    }
                };
                let result = docker.pull_image(&image, &stop, &mut heard);
                let result = result.map_err(|error| format!("{error:#}"));
                lock(&last_heard).remove(&image);
                let _ = sender.send((image, News::Ended(result)));
            }
        };
        // Without a thread of its own what is queued waits for one of the others, or is given up.
        match thread::Builder::new().name("pull".into()).spawn(work) {
            Ok(thread) => self.threads.push(thread),
            Err(error) if self.threads.is_empty() => self.give_up(&error),
            Err(_) => {}
        }
    }

    fn give_up(&mut self, error: &std::io::Error) {
        let why = format!("cannot start a thread: {error}");
        for (_, image) in lock(&self.queue).drain(..) {
            self.early.push_back((image, News::Ended(Err(why.clone()))));
        }
    }

    /// Whether `image` is waited for.
    pub fn is_under_way(&self, image: &str) -> bool {
        self.under_way.contains(image)
    }

    pub fn is_busy(&self) -> bool {
        !self.under_way.is_empty()
    }

    /// Why `image` could not be pulled, in docker's words.
    pub fn failure(&self, image: &str) -> Option<&str> {
        self.failures.get(image).map(String::as_str)
    }

    /// What has happened since.
    pub fn news(&mut self) -> Vec<(String, News)> {
        let mut news: Vec<_> = self.early.drain(..).collect();
        news.extend(self.channel.iter().flat_map(|(_, receiver)| receiver.try_iter()));
        for (image, one) in &news {
            if let News::Ended(result) = one {
                self.under_way.remove(image);
                if let Err(why) = result {
                    self.failures.insert(image.clone(), why.clone());
                }
            }
        }
        news
    }

    /// Forgets what failed: it may be tried again.
    pub fn forgive(&mut self) {
        self.failures.clear();
    }

    /// Sleeps until something happens, at most for `time`.
    pub fn wait(&mut self, time: Duration) {
        if let Some((_, receiver)) = &self.channel {
            self.early.extend(receiver.recv_timeout(time).ok());
        }
    }
}

impl Drop for Pulls {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// The first whose source has room; a thread is at it from now on.
fn next(queue: &Queue, heard: &Heard) -> Option<(SourceId, String)> {
    let mut heard = lock(heard);
    let mut queue = lock(queue);
    let at = queue.iter().position(|(source, _)| has_room(source, &heard))?;
    let (source, image) = queue.remove(at)?;
    heard.insert(image.clone(), (source.clone(), Instant::now()));
    Some((source, image))
}

fn has_room(source: &SourceId, heard: &BTreeMap<String, (SourceId, Instant)>) -> bool {
    heard.values().filter(|(of, _)| of == source).count() < OF_A_SOURCE
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a pull failed because the image is for other machines than this one: they may well run it.
pub fn is_for_other_platforms(why: &str) -> bool {
    why.contains("no matching manifest")
}

/// Whether a registry itself said that there is no such image, or that it is none of ours: asking again, or on
/// another node, does not help.
pub fn is_denied(why: &str) -> bool {
    let words = ["manifest unknown", "repository does not exist", "denied", "unauthorized", "no such image"];
    let lower = why.to_lowercase();
    words.iter().any(|word| lower.contains(word)) && !is_away(why)
}

/// Whether a registry could not be reached, or was too busy: later it may well answer.
pub fn is_away(why: &str) -> bool {
    let words = [
        "connection refused",
        "connection reset",
        "no such host",
        "timeout",
        "no route to host",
        "network is unreachable",
        "tls handshake",
        "unexpected eof",
        "service unavailable",
        "bad gateway",
        "toomanyrequests",
    ];
    let lower = why.to_lowercase();
    words.iter().any(|word| lower.contains(word))
}

/// docker's lines about layers, summed.
#[derive(Default)]
struct Layers(BTreeMap<String, &'static str>);

impl Layers {
    /// The sum after `line`, where it tells of a layer.
    fn take(&mut self, line: &str) -> Option<String> {
        let (layer, what) = line.split_once(": ")?;
        let state = match what {
            "Pulling fs layer" | "Waiting" | "Verifying Checksum" => "pulling",
            "Download complete" => "downloaded",
            "Pull complete" | "Already exists" => "ready",
            _ => return None,
        };
        self.0.insert(layer.to_owned(), state);
        let count = |wanted: &[&str]| self.0.values().filter(|state| wanted.contains(state)).count();
        let (all, here, ready) = (self.0.len(), count(&["downloaded", "ready"]), count(&["ready"]));
        Some(format!("is being pulled: {here}/{all} layers downloaded, {ready} ready"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Source;

    #[test]
    fn a_registry_that_denies_an_image_is_told_from_one_that_is_away() {
        for denied in [
            "Error response from daemon: manifest for h/app:2 not found: manifest unknown: manifest unknown",
            "pull access denied for app, repository does not exist or may require 'docker login'",
            "unauthorized: authentication required",
        ] {
            assert!(is_denied(denied), "{denied}");
        }
        for away in [
            "dial tcp 10.0.0.1:5000: connect: connection refused",
            "Get \"https://r/v2/\": dial tcp: lookup r: no such host",
            "net/http: request canceled while waiting for connection (Client.Timeout exceeded)",
            "no matching manifest for linux/amd64 in the manifest list entries",
            "toomanyrequests: You have reached your pull rate limit",
        ] {
            assert!(!is_denied(away), "{away}");
        }
    }

    #[test]
    fn a_source_whose_pulls_never_end_takes_no_room_from_others() {
        let source = |name: &str| Source::parse(&format!("https://h/{name}")).unwrap().id().clone();
        let (bad, good) = (source("bad"), source("good"));
        let queue: Queue = Arc::default();
        lock(&queue).extend((0..20).map(|number| (bad.clone(), format!("silent{number}"))));
        lock(&queue).push_back((good.clone(), "wanted".into()));
        let heard = Heard::default();
        let taken: Vec<_> = std::iter::from_fn(|| next(&queue, &heard)).map(|(source, _)| source).collect();
        assert_eq!(taken.iter().filter(|source| **source == bad).count(), OF_A_SOURCE);
        assert_eq!(taken.last(), Some(&good));
        lock(&heard).remove("silent0");
        assert_eq!(next(&queue, &heard).map(|(source, _)| source), Some(bad));
    }

    #[test]
    fn layers_are_summed() {
        let mut layers = Layers::default();
        let lines =
            ["1: Pulling from app", "a: Already exists", "b: Pulling fs layer", "c: Pulling fs layer"];
        let lines =
            lines.into_iter().chain(["b: Download complete", "b: Pull complete", "Digest: sha256:00"]);
        let sums: Vec<_> = lines.filter_map(|line| layers.take(line)).collect();
        assert_eq!(sums.len(), 5);
        assert_eq!(sums[4], "is being pulled: 2/3 layers downloaded, 2 ready");
    }
}
