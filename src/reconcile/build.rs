//! Images built and pushed beside the loop, one after the other, while stacks that need none of them go on.

mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::builds::{Image, ImageState, state};
use super::contain::Contain;
use super::pulls::is_away;
use super::source::{Reading, WatchedSource};
use super::{Reconciler, Session};
use crate::docker::build::Builder;
use crate::image::ImageRef;
use crate::lock::{self, Held, Lock};
use crate::signal;
use crate::source::SourceId;
use crate::state::{BuildRow, SourceRow, WorkKind};

use work::{BuildJob, Built, News};

pub use work::{LOCAL_TAG, lasting_tag};

/// How often what a network cut off is tried again, where nothing else is in motion.
const MOST_TRIES: u32 = 2;

/// A build under way.
#[derive(Debug)]
struct Running {
    source: SourceId,
    image: ImageRef,
    reason: &'static str,
    begun: Instant,
    news: Receiver<News>,
    thread: Option<JoinHandle<()>>,
    /// Held, so that no other run builds it as well.
    _lock: Lock,
}

impl Drop for Running {
    fn drop(&mut self) {
        // A signal ends docker's call; what is built lies in a checkout that goes with this run.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

#[derive(Debug, Default)]
pub struct Builds {
    builder: Option<Builder>,
    running: Option<Running>,
    early: Vec<News>,
    /// Whether another run holds the lock of builds.
    is_locked_out: bool,
    /// The builds that a network cut off: how often, and when each is tried again.
    again: BTreeMap<ImageRef, (u32, Instant)>,
}

impl Builds {
    /// Whether anything is built, or waited for.
    pub fn is_busy(&self) -> bool {
        self.running.is_some() || self.is_locked_out || !self.again.is_empty()
    }

    /// Sleeps until something happens, at most for `time`.
    pub fn wait(&mut self, time: Duration) {
        if let Some(running) = &self.running {
            self.early.extend(running.news.recv_timeout(time).ok());
        }
    }
}

impl Reconciler {
    /// Takes what builds said since, and starts the next one.
    pub fn build(&mut self, session: &Session<'_>) -> Result<()> {
        while let Some(news) = self.next_news() {
            match news {
                News::Line(line) => session.report.output(&line),
                News::Builder(builder) => self.builds.builder = Some(builder),
                News::Ended(built) => self.built(session, built)?,
            }
        }
        if self.builds.running.is_none() && !self.options.dry_run {
            self.build_next(session)?;
        }
        Ok(())
    }

    fn next_news(&mut self) -> Option<News> {
        if !self.builds.early.is_empty() {
            return Some(self.builds.early.remove(0));
        }
        let running = self.builds.running.as_ref()?;
        match running.news.try_recv() {
            Ok(news) => Some(news),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => {
                Some(News::Ended(Err(anyhow::anyhow!("the build came to an unexpected end"))))
            }
        }
    }

    fn build_next(&mut self, session: &Session<'_>) -> Result<()> {
        self.builds.is_locked_out = false;
        let run = self.run();
        for source in &mut self.sources {
            let (concerned, wish) = (source.concerned(), source.wish.clone());
            let Some(row) = source.row.clone() else { continue };
            let Reading::Read(read) = &mut source.reading else { continue };
            let commit = read.checkout.commit().clone();
            let due = read.images.iter_mut().find(|image| {
                let later = self.builds.again.get(&image.source.name);
                later.is_none_or(|(_, when)| *when <= Instant::now()) && image.is_due(&concerned)
            });
            let Some(image) = due else { continue };
            signal::check()?;
            if let ImageState::Refused(why) = &image.state {
                note_refused(session, &row, &image.source.name, commit.as_str(), why)?;
                image.is_done = true;
                self.stirred = true;
                return self.build_next(session);
            }
            let lock = match lock::take(&session.paths.build_lock, session.paths.command) {
                Err(error) if error.is::<Held>() => {
                    self.builds.is_locked_out = true;
                    return Ok(());
                }
                lock => lock?,
            };
            // Another run may have built it meanwhile.
            let name = image.source.name.to_string();
            let rows = session.state.builds()?;
            let known = rows.iter().find(|known| known.repository_id == row.id && known.name == name);
            if wish.forced.is_none()
                && wish.build.as_ref() != Some(&image.source.name)
                && let now @ ImageState::Ready(_) = state(image, known, commit.as_str(), false)
                && image.source.push
            {
                image.state = now;
                read.pin();
                self.stirred = true;
                continue;
            }
            let ImageState::ToBuild(reason) = image.state else { continue };
            session.report.progress(&format!("building `{name}`: {reason}"));
            let work = BuildJob {
                docker: session.docker.clone(),
                root: read.checkout.root().clone(),
                limit: session.build_timeout,
                source: image.source.clone(),
                content: image.content.clone(),
                commit: commit.short().to_owned(),
                url: row.url.clone(),
            };
            session.state.begin_work(&run, WorkKind::Building, &name)?;
            let (sender, news) = mpsc::channel();
            let builder = self.builds.builder;
            let thread = thread::Builder::new().name("build".into());
            let thread = thread.spawn(move || work.run(builder, &sender)).context("cannot start a thread")?;
            self.builds.running = Some(Running {
                source: source.id.clone(),
                image: image.source.name.clone(),
                reason,
                begun: Instant::now(),
                news,
                thread: Some(thread),
                _lock: lock,
            });
            return Ok(());
        }
        Ok(())
    }

    /// Records what came of a build, and tells the stacks that waited for it.
    fn built(&mut self, session: &Session<'_>, built: Result<Built>) -> Result<()> {
        let Some(running) = self.builds.running.take() else { return Ok(()) };
        session.state.end_work(&self.run(), WorkKind::Building, &running.image.to_string())?;
        // Another run may have built, or removed, images meanwhile.
        (self.memory.here, self.stirred, self.memory.has_acted) = (None, true, true);
        let built = built.contained()?;
        if let Err(why) = &built
            && is_cut_off(why)
            && self.try_again(session, &running, why)
        {
            return Ok(());
        }
        self.builds.again.remove(&running.image);
        let Some(source) = self.sources.iter_mut().find(|source| source.id == running.source) else {
            return Ok(());
        };
        let (Some(row), Reading::Read(read)) = (&source.row, &mut source.reading) else { return Ok(()) };
        let commit = read.checkout.commit().as_str().to_owned();
        let Some(image) = read.images.iter_mut().find(|image| image.source.name == running.image) else {
            return Ok(());
        };
        let name = running.image.to_string();
        // What a network cut off is not held: by another commit the next run knows that it is to try again.
        let was_cut_off = built.as_ref().is_err_and(|why| is_cut_off(why) || why.contains(NOT_WRITTEN));
        let commit = if was_cut_off { String::new() } else { commit };
        session.state.record_build(&BuildRow {
            repository_id: row.id,
            name: name.clone(),
            content: image.content.clone(),
            commit,
            reference: built.as_ref().ok().map(|built| built.reference.to_string()),
            error: built.as_ref().err().cloned(),
        })?;
        image.is_done = true;
        image.state = match built {
            Ok(Built { reference, tag }) => {
                let pushed = if image.source.push { "pushed" } else { "on this node only" };
                let (reason, took) = (running.reason, running.begun.elapsed().as_secs());
                session.report.built(&name, &format!("{reason}; {pushed}, also as `{tag}`; {took} s"));
                self.memory.of_sources.entry(running.source.clone()).or_default().built += 1;
                // Another source may have built it before, and dropped it.
                session.state.forget_image(&name)?;
                ImageState::Ready(reference)
            }
            Err(why) => {
                session.report.failed(&name, &why);
                self.memory.of_sources.entry(running.source.clone()).or_default().failed += 1;
                ImageState::Failed { why, is_held: !was_cut_off }
            }
        };
        read.pin();
        Ok(())
    }
}

/// What a failure says that is this disk's, or git's, and not the Dockerfile's: the next run tries again.
const NOT_WRITTEN: &str = "cannot write the files of commit";

/// Whether it was a registry that could not be reached, not what the Dockerfile does.
fn is_cut_off(why: &str) -> bool {
    let of_a_registry = ["the push of", "resolve source metadata", "Get \"http"];
    is_away(why) && of_a_registry.iter().any(|words| why.contains(words))
}

impl Reconciler {
    /// Whether a build that a network cut off is tried again in this run: as long as a registry may still come up
    /// with another stack, and a few times anyway.
    fn try_again(&mut self, session: &Session<'_>, running: &Running, why: &str) -> bool {
        let times = self.builds.again.get(&running.image).map_or(0, |(times, _)| *times) + 1;
        let moves = self.sources.iter().any(|source| !source.motions.is_empty());
        if times > MOST_TRIES && !moves {
            return false;
        }
        let pause = Duration::from_secs(1 << times.min(3));
        let what = format!("its build was cut off, and is tried again in {} s: {why}", pause.as_secs());
        session.report.note(&running.image.to_string(), &what);
        self.builds.again.insert(running.image.clone(), (times, Instant::now() + pause));
        true
    }
}

fn note_refused(
    session: &Session<'_>,
    row: &SourceRow,
    name: &ImageRef,
    commit: &str,
    why: &str,
) -> Result<()> {
    session.state.record_build(&BuildRow {
        repository_id: row.id,
        name: name.to_string(),
        content: String::new(),
        commit: commit.to_owned(),
        reference: None,
        error: Some(why.to_owned()),
    })
}

impl WatchedSource {
    /// Whether an image of it is still to be built in this run.
    pub fn has_builds(&self) -> bool {
        let (Some(read), Some(_)) = (self.read(), &self.row) else { return false };
        let concerned = self.concerned();
        read.images.iter().any(|image| image.is_due(&concerned))
    }
}

impl Image {
    fn is_due(&self, concerned: &BTreeSet<ImageRef>) -> bool {
        let is_new = matches!(self.state, ImageState::ToBuild(_) | ImageState::Refused(_));
        is_new && !self.is_done && concerned.contains(&self.source.name)
    }
}
