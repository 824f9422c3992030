//! What services print from now on, until nobody wants it or the last of them is removed.
//!
//! docker's own following never ends where a service is removed, so the Swarm is asked now and then which there are: one
//! call each time, and those that came meanwhile are followed too.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};

use super::names::Names;
use super::newest::Newest;
use super::{Told, Wish, line, said};
use crate::docker::Docker;
use crate::docker::logs::{LogEnd, LogOf, Record, Tail};
use crate::docker::service::Service;
use crate::fault::fault;
use crate::signal;
use crate::stack::StackName;

/// What was printed before has come when docker is silent for so long, and every service that runs was heard.
const SILENT: Duration = Duration::from_millis(500);
/// Or when so long has gone by: one may have said nothing.
const FIRST: Duration = Duration::from_secs(3);
/// Lines of different tasks that come within this are told in order of their times.
const TOGETHER: Duration = Duration::from_millis(100);
/// So often it is looked whether somebody wants it to end.
const TICK: Duration = Duration::from_millis(200);
/// So many lines may have come and not been told yet; who reads slowly makes docker wait.
const AHEAD: usize = 1_000;
/// The Swarm is asked so often which services there are.
const LOOK: Duration = Duration::from_secs(3);
/// A log that ended by itself, for its node went, say, is asked for again after this.
const AGAIN: Duration = Duration::from_secs(2);
/// Each service costs a docker process for as long as it is followed.
const MOST: usize = 32;
const FOR_EVER: Duration = Duration::MAX;

/// All services that were followed are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removed;

/// Tells what the stack's services print that are `wanted`, in turns, until `on_told` says that nobody listens or they are
/// removed. Of what was printed before no more than `bytes` are held.
pub fn follow(
    docker: &Docker,
    stack: &StackName,
    wanted: &dyn Fn(&Service) -> bool,
    wish: &Wish,
    bytes: usize,
    on_told: &mut dyn FnMut(Told) -> bool,
) -> Result<Option<Removed>> {
    let (sender, heard) = mpsc::sync_channel(AHEAD);
    thread::scope(|threads| {
        let names = Names::of_text("");
        let mut following = Following { docker, threads, sender, followed: BTreeMap::new(), names };
        // Dropped before the threads are waited for, so that none of them waits to be heard.
        let heard = heard;
        let services = of_stack(docker, stack, wanted)?;
        let count = services.len();
        if count > MOST {
            let what = format!("{count} services are too many to follow at once: {MOST} are the most");
            return Err(fault(what, "name one service behind the stack"));
        }
        following.names = Names::ask(docker, &services.iter().collect::<Vec<_>>())?;
        for service in services {
            following.start(service, *wish);
        }
        if on_told(following.before(&heard, wish, bytes / count.max(1))?) {
            following.live(&heard, stack, wanted, on_told)
        } else {
            Ok(None)
        }
    })
}

fn of_stack(docker: &Docker, stack: &StackName, wanted: &dyn Fn(&Service) -> bool) -> Result<Vec<Service>> {
    let services = docker.observe_stack(stack)?.services;
    Ok(services.into_iter().filter(|service| wanted(service)).collect())
}

/// What the log of a service gives.
enum Heard {
    Record(Record),
    End(Result<LogEnd>),
}

struct Followed {
    service: Service,
    wish: Wish,
    stop: Arc<AtomicBool>,
    /// When its newest line was printed.
    last: Option<DateTime<Utc>>,
    /// What docker said of it last.
    note: Option<String>,
    /// It was not there any more when the Swarm was asked.
    is_gone: bool,
}

struct Following<'scope, 'env> {
    docker: &'env Docker,
    threads: &'scope Scope<'scope, 'env>,
    sender: SyncSender<(String, Heard)>,
    /// By the services' ids.
    followed: BTreeMap<String, Followed>,
    names: Names,
}

impl Drop for Following<'_, '_> {
    fn drop(&mut self) {
        self.followed.values().for_each(|followed| followed.stop.store(true, Ordering::Relaxed));
    }
}

impl Following<'_, '_> {
    fn start(&mut self, service: Service, wish: Wish) {
        let (id, stop) = (service.id.clone(), Arc::default());
        self.listen(&id, wish, &stop, Duration::ZERO);
        let followed = Followed { service, wish, stop, last: None, note: None, is_gone: false };
        self.followed.insert(id, followed);
    }

    /// Reads a log on a thread of its own, after a while.
    fn listen(&self, id: &str, wish: Wish, stop: &Arc<AtomicBool>, after: Duration) {
        let (docker, sender, id, stop) = (self.docker, self.sender.clone(), id.to_owned(), Arc::clone(stop));
        self.threads.spawn(move || {
            let begun = Instant::now();
            while begun.elapsed() < after {
                if stop.load(Ordering::Relaxed) || signal::received().is_some() {
                    return;
                }
                thread::sleep(TICK.min(after));
            }
            let of = LogOf { id: &id, tail: wish.tail, since: wish.since, follow: true };
            let end = docker.read_log(&of, FOR_EVER, &stop, &mut |record| {
                if sender.send((id.clone(), Heard::Record(record))).is_err() {
                    stop.store(true, Ordering::Relaxed);
                }
            });
            let _ = sender.send((id.clone(), Heard::End(end)));
        });
    }

    /// What was printed before.
    fn before(&mut self, heard: &Receiver<(String, Heard)>, wish: &Wish, bytes: usize) -> Result<Told> {
        let (begun, mut newest, mut notes) = (Instant::now(), BTreeMap::new(), Vec::new());
        let running = self.followed.values().filter(|followed| followed.service.running > 0).count();
        while begun.elapsed() < FIRST {
            signal::check()?;
            match heard.recv_timeout(SILENT) {
                Ok((id, Heard::Record(record))) => {
                    self.note_time(&id, record.time);
                    newest.entry(id).or_insert_with(|| Newest::new(wish, bytes)).take(record);
                }
                Ok((id, Heard::End(end))) => notes.extend(self.ended(&id, &end?)),
                Err(_) if newest.len() >= running => break,
                Err(_) => {}
            }
        }
        let mut records = Vec::new();
        for (id, newest) in newest {
            if let Some(what) = newest.left_out() {
                let name = self.followed.get(&id).map_or("", |followed| &followed.service.name);
                notes.push(format!("`{name}`: … {what} more were left out; ask for fewer with `--tail`"));
            }
            records.extend(newest.into_records().map(|record| (id.clone(), record)));
        }
        self.told(records, notes)
    }

    /// What is printed from now on.
    fn live(
        &mut self,
        heard: &Receiver<(String, Heard)>,
        stack: &StackName,
        wanted: &dyn Fn(&Service) -> bool,
        on_told: &mut dyn FnMut(Told) -> bool,
    ) -> Result<Option<Removed>> {
        let mut looked = Instant::now();
        loop {
            signal::check()?;
            let told = self.next(heard)?;
            if !told.is_empty() && !on_told(told) {
                return Ok(None);
            }
            if looked.elapsed() >= LOOK {
                self.look(of_stack(self.docker, stack, wanted)?);
                if self.followed.is_empty() {
                    return Ok(Some(Removed));
                }
                looked = Instant::now();
            }
        }
    }

    /// What comes together.
    fn next(&mut self, heard: &Receiver<(String, Heard)>) -> Result<Told> {
        let (mut records, mut notes, mut until) = (Vec::new(), Vec::new(), None);
        while records.len() < AHEAD {
            let wait = until.map_or(TICK, |until: Instant| until.saturating_duration_since(Instant::now()));
            let Ok((id, what)) = heard.recv_timeout(wait) else { break };
            until.get_or_insert_with(|| Instant::now() + TOGETHER);
            match what {
                Heard::Record(record) => {
                    self.note_time(&id, record.time);
                    records.push((id, record));
                }
                Heard::End(end) => notes.extend(self.ended(&id, &end?)),
            }
        }
        self.told(records, notes)
    }

    fn told(&mut self, mut records: Vec<(String, Record)>, notes: Vec<String>) -> Result<Told> {
        if records.iter().any(|(_, record)| self.names.lacks(record)) {
            let services: Vec<_> = self.followed.values().map(|followed| &followed.service).collect();
            self.names = Names::ask(self.docker, &services)?;
        }
        records.sort_by_key(|(_, record)| record.time);
        let lines = records.into_iter().filter_map(|(id, record)| {
            let followed = self.followed.get(&id)?;
            Some(line(&followed.service.name, &record, &self.names))
        });
        Ok(Told { lines: lines.collect(), notes })
    }

    fn note_time(&mut self, id: &str, time: DateTime<Utc>) {
        if let Some(followed) = self.followed.get_mut(id) {
            followed.last = followed.last.max(Some(time));
        }
    }

    /// A log ended by itself, and is asked for again behind what was told; what docker said of it, if that is news.
    fn ended(&mut self, id: &str, end: &LogEnd) -> Option<String> {
        let followed = self.followed.get(id).filter(|followed| !followed.is_gone && *end != LogEnd::Cut)?;
        let behind = |last| Wish { tail: Tail::All, since: Some(last + TimeDelta::nanoseconds(1)) };
        self.listen(id, followed.last.map_or(followed.wish, behind), &followed.stop, AGAIN);
        let note = said(&followed.service.name, end, FOR_EVER)?;
        let followed = self.followed.get_mut(id)?;
        let is_news = followed.note.as_ref() != Some(&note);
        followed.note = Some(note.clone());
        is_news.then_some(note)
    }

    /// Follows `services`, and those no more that are gone for the second time.
    fn look(&mut self, services: Vec<Service>) {
        self.followed.retain(|id, followed| {
            let is_there = services.iter().any(|service| service.id == *id);
            let stays = is_there || !followed.is_gone;
            followed.is_gone = !is_there;
            if !stays {
                followed.stop.store(true, Ordering::Relaxed);
            }
            stays
        });
        let is_new = |service: &Service| !self.followed.contains_key(&service.id);
        let new: Vec<_> = services.into_iter().filter(is_new).collect();
        for service in new {
            if self.followed.len() < MOST {
                self.start(service, Wish { tail: Tail::All, since: None });
            }
        }
    }
}
