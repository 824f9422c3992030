//! `docker pull` in threads: a few at a time, and none that says nothing keeps its room.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::door::{News, Puller};
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

/// What threads tell, by image.
type Channel = (Sender<(String, News)>, Receiver<(String, News)>);

type Queue = Arc<Mutex<VecDeque<(SourceId, String)>>>;

/// For which source each pull is that a thread is at, and when it was heard of last.
type Heard = Arc<Mutex<BTreeMap<String, (SourceId, Instant)>>>;

/// Pulls by the docker of this node.
#[derive(Debug)]
pub struct DockerPuller {
    docker: Docker,
    channel: Channel,
    early: VecDeque<(String, News)>,
    queue: Queue,
    heard: Heard,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl DockerPuller {
    pub fn new(docker: &Docker) -> Self {
        Self {
            docker: docker.clone(),
            channel: mpsc::channel(),
            early: VecDeque::new(),
            queue: Queue::default(),
            heard: Heard::default(),
            stop: Arc::default(),
            threads: Vec::new(),
        }
    }

    fn start(&mut self) {
        let (docker, sender, stop) = (self.docker.clone(), self.channel.0.clone(), Arc::clone(&self.stop));
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
}

impl Puller for DockerPuller {
    fn want(&mut self, source: &SourceId, image: &str) {
        lock(&self.queue).push_back((source.clone(), image.to_owned()));
        self.begin_more();
    }

    fn begin_more(&mut self) {
        self.threads.retain(|thread| !thread.is_finished());
        let heard = lock(&self.heard);
        let silent = heard.values().filter(|(_, heard)| heard.elapsed() > SILENT).count();
        let is_due = lock(&self.queue).iter().any(|(source, _)| has_room(source, &heard));
        drop(heard);
        let begun = self.threads.len();
        if is_due && begun < MOST && begun < AT_ONCE + silent {
            self.start();
        }
    }

    fn news(&mut self) -> Vec<(String, News)> {
        let mut news: Vec<_> = self.early.drain(..).collect();
        news.extend(self.channel.1.try_iter());
        news
    }

    fn wait(&mut self, time: Duration) {
        self.early.extend(self.channel.1.recv_timeout(time).ok());
    }
}

impl Drop for DockerPuller {
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
