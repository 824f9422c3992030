//! Pulls in the background: a few at a time, each image once, while stacks that need none of them go on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};

use super::Observer;
use crate::docker::Docker;
use crate::signal;

/// So many images are pulled at once; docker pulls several layers of each.
const AT_ONCE: usize = 4;

enum News {
    Progress(String),
    Ended(Result<(), String>),
}

/// The pulls of a run; those still under way are ended when dropped.
pub struct Pulls {
    receiver: Receiver<(String, News)>,
    early: VecDeque<(String, News)>,
    under_way: BTreeSet<String>,
    failures: BTreeMap<String, String>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Pulls {
    /// Starts to pull `images`.
    pub fn start(docker: &Docker, images: BTreeSet<String>) -> Result<Self> {
        let (sender, receiver) = mpsc::channel();
        let queue = Arc::new(Mutex::new(images.iter().cloned().collect::<VecDeque<_>>()));
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for _ in 0..images.len().min(AT_ONCE) {
            let (docker, queue, sender, stop) =
                (docker.clone(), Arc::clone(&queue), sender.clone(), Arc::clone(&stop));
            let work = move || {
                while let Some(image) = next(&queue).filter(|_| !stop.load(Ordering::Relaxed)) {
                    let mut layers = Layers::default();
                    let mut told = |line: &str| {
                        if let Some(sum) = layers.take(line) {
                            let _ = sender.send((image.clone(), News::Progress(sum)));
                        }
                    };
                    let result = docker.pull_image(&image, &stop, &mut told);
                    let result = result.map_err(|error| format!("{error:#}"));
                    let _ = sender.send((image, News::Ended(result)));
                }
            };
            let thread = thread::Builder::new().name("pull".into()).spawn(work);
            threads.push(thread.context("cannot start a thread")?);
        }
        let early = VecDeque::new();
        Ok(Self { receiver, early, under_way: images, failures: BTreeMap::new(), stop, threads })
    }

    /// Whether `image` is waited for.
    pub fn is_under_way(&self, image: &str) -> bool {
        self.under_way.contains(image)
    }

    /// Why `image` could not be pulled, in docker's words.
    pub fn failure(&self, image: &str) -> Option<&str> {
        self.failures.get(image).map(String::as_str)
    }

    /// Tells what has happened since.
    pub fn tell(&mut self, observer: &mut dyn Observer) -> Result<()> {
        let news: Vec<_> = self.early.drain(..).chain(self.receiver.try_iter()).collect();
        for (image, news) in news {
            match news {
                News::Progress(sum) => observer.pulling(&image, &sum),
                News::Ended(result) => {
                    signal::check()?;
                    self.under_way.remove(&image);
                    observer.pulled(&image, &result)?;
                    if let Err(why) = result {
                        self.failures.insert(image, why);
                    }
                }
            }
        }
        Ok(())
    }

    /// Sleeps until something happens, at most for `time`; not at all where nothing is under way.
    pub fn wait(&mut self, time: Duration) -> Result<()> {
        signal::check()?;
        if !self.under_way.is_empty() {
            self.early.extend(self.receiver.recv_timeout(time).ok());
        }
        signal::check()
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

fn next(queue: &Mutex<VecDeque<String>>) -> Option<String> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

/// Whether a pull failed because the image is for other machines than this one: they may well run it.
pub fn is_for_other_platforms(why: &str) -> bool {
    why.contains("no matching manifest")
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
