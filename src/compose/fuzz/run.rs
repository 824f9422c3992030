//! The loop: cases by their numbers, rendered, packed into batches, given to each docker, compared.
//!
//! A docker costs 20 milliseconds whatever it is given, so it is given many cases as one stack, each a file of
//! its own (`Docker::deploy_together`). A batch that docker refuses is halved until it is known which case
//! it was; one that differs is run again case by case. Some cases are always run alone, as DockerOps does it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::cli::{Docker, Outcome, binaries};
use super::compare::{bare, differences};
use super::docker_api::Api;
use super::expect::{Expected, expected};
use super::mutate::case;
use super::ours::{self, Ours, Refused};
use super::place::{Fixture, inherited};
use super::schema::is_plausible;
use super::seeds::{self, Seed};
use super::shrink::shrink;
use super::tally::{Tally, kind};

/// So many numbers a worker takes at once.
const BLOCK: u64 = 256;
/// So many cases are one stack at most.
const BATCH: usize = 16;
/// Of so many cases one is run alone.
const ALONE: u64 = 40;
/// So many failures that look alike are made small and told; the others are counted.
const MOST_OF_A_KIND: usize = 1;

/// Which cases.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// The first number.
    pub first: u64,
    pub cases: u64,
    /// No case is begun later than this.
    pub limit: Duration,
}

/// A case that was rendered.
pub struct Case {
    number: u64,
    text: String,
    ours: Ours,
    expected: Expected,
    alone: bool,
}

/// Runs all of `plan` on all cores.
pub fn run(fixture: &Fixture, plan: &Plan) -> Tally {
    let (seeds, dockers) = (seeds::all(), binaries());
    let started = Instant::now();
    let (next, tally) = (AtomicU64::new(0), Mutex::new(Tally::default()));
    thread::scope(|threads| {
        for worker in 0..thread::available_parallelism().map_or(2, usize::from) {
            let (seeds, dockers, next, tally) = (&seeds, &dockers, &next, &tally);
            threads.spawn(move || {
                let worker = Worker::new(fixture, worker, dockers, tally);
                loop {
                    let begin = next.fetch_add(BLOCK, Ordering::Relaxed);
                    if begin >= plan.cases || started.elapsed() > plan.limit {
                        return;
                    }
                    let end = plan.cases.min(begin + BLOCK);
                    worker.block(seeds, (begin..end).map(|index| plan.first.wrapping_add(index)));
                }
            });
        }
    });
    tally.into_inner().unwrap()
}

/// Whatever differs in one text, on every docker.
pub fn faults(fixture: &Fixture, worker: usize, text: &str) -> Vec<String> {
    let (dockers, tally) = (binaries(), Mutex::new(Tally::default()));
    let worker = Worker::new(fixture, worker, &dockers, &tally);
    worker.faults(text)
}

/// What one thread needs.
pub struct Worker<'a> {
    docker: Docker<'a>,
    dockers: &'a [PathBuf],
    tally: &'a Mutex<Tally>,
}

/// (kind, name) → what a docker created, less what is empty.
type Created = BTreeMap<(String, String), Value>;

impl<'a> Worker<'a> {
    fn new(fixture: &'a Fixture, worker: usize, dockers: &'a [PathBuf], tally: &'a Mutex<Tally>) -> Self {
        let api = Api::listen(&fixture.top().join(format!("docker-{worker}")));
        Self { docker: Docker { fixture, api, worker }, dockers, tally }
    }

    /// Renders a text; `Err` where that alone is a fault.
    fn load(&self, number: u64, text: String) -> Result<Option<Case>, String> {
        let fixture = self.docker.fixture;
        let name = format!("case-{}.yml", self.docker.worker);
        fs::write(fixture.folder().join(&name), fixture.real(&text)).unwrap();
        match ours::read(fixture, &name) {
            Ok(ours) => {
                let inherited = inherited().into_iter();
                let inherited = inherited
                    .map(|(name, value)| (name.into_string().unwrap(), value.into_string().unwrap()));
                let expected = expected(fixture, &ours, &inherited.collect());
                // What docker will probably refuse would spoil a batch.
                let alone = number.is_multiple_of(ALONE) || !is_plausible(&ours.tree);
                Ok(Some(Case { number, text, ours, expected, alone }))
            }
            Err(Refused::Told(why)) => {
                if number > 0 {
                    self.tally.lock().unwrap().note(&format!("we: {why}"));
                }
                Ok(None)
            }
            Err(Refused::Panic) => Err("our code falls over".into()),
        }
    }

    fn block(&self, seeds: &[Seed], numbers: impl Iterator<Item = u64>) {
        let (mut cases, mut all) = (Vec::new(), 0);
        for number in numbers {
            all += 1;
            match self.load(number, case(seeds, number)) {
                Ok(None) => {}
                Ok(Some(case)) => cases.push(case),
                Err(what) => {
                    self.fail(number, &case(seeds, number), &[what]);
                }
            }
        }
        {
            let mut tally = self.tally.lock().unwrap();
            tally.cases += all;
            tally.rendered += cases.len() as u64;
        }
        let (mut seen, mut refused) = (BTreeMap::<u64, Created>::new(), BTreeSet::new());
        for program in self.dockers {
            // What one docker refuses the next one mostly refuses too.
            let (alone, together): (Vec<_>, Vec<_>) =
                cases.iter().partition(|case| case.alone || refused.contains(&case.number));
            for batch in alone.into_iter().map(|case| vec![case]).chain(packed(&together)) {
                self.batch(program, &batch, &mut seen, &mut refused);
            }
        }
    }

    /// Runs these as one stack; where docker refuses, or anything differs, in smaller parts. Whether anything does.
    fn batch(
        &self,
        program: &Path,
        batch: &[&Case],
        seen: &mut BTreeMap<u64, Created>,
        refused: &mut BTreeSet<u64>,
    ) -> bool {
        let outcome = match batch {
            [case] => self.docker.deploy(program, &case.ours),
            _ => {
                self.docker.deploy_together(program, &batch.iter().map(|case| &case.ours).collect::<Vec<_>>())
            }
        };
        let all: Vec<_> = batch.iter().map(|case| &case.expected).collect();
        let mut found = Vec::new();
        if outcome.success || batch.len() == 1 {
            found = differences(&all, &outcome.requests, outcome.success);
        }
        {
            let mut tally = self.tally.lock().unwrap();
            tally.calls += 1;
            if batch.len() == 1 {
                tally.alone += 1;
            }
            if batch.len() == 1 || (outcome.success && found.is_empty()) {
                tally.runs += batch.len() as u64;
                tally.accepted += if outcome.success { batch.len() as u64 } else { 0 };
            }
            if batch.len() == 1 && !outcome.success {
                let last = outcome.stderr.lines().last().unwrap_or_default();
                let who = if case_is_plausible(batch) { "docker, unexpectedly" } else { "docker" };
                tally.note(&format!("{who}: {last}"));
            }
        }
        match batch {
            [case] => {
                if !outcome.success {
                    refused.insert(case.number);
                }
                found.extend(self.other(case, &outcome, seen));
                self.fail(case.number, &case.text, &found)
            }
            _ if !outcome.success => {
                let halves = batch.chunks(batch.len().div_ceil(2));
                halves.filter(|half| self.batch(program, half, seen, refused)).count() > 0
            }
            _ if !found.is_empty() => {
                let singly = batch.iter().filter(|case| self.batch(program, &[**case], seen, refused));
                if singly.count() == 0 {
                    let texts: Vec<_> = batch.iter().map(|case| case.text.as_str()).collect();
                    found.push("only as one stack".into());
                    self.fail(batch[0].number, &texts.join("\n=== and ===\n"), &found);
                }
                true
            }
            _ => {
                let others = batch.iter().map(|case| (case, self.other(case, &outcome, seen)));
                others.fold(false, |all, (case, found)| self.fail(case.number, &case.text, &found) || all)
            }
        }
    }

    /// What another docker made of the same case.
    #[expect(clippy::unused_self, reason = "it belongs to the run")]
    fn other(&self, case: &Case, outcome: &Outcome, seen: &mut BTreeMap<u64, Created>) -> Vec<String> {
        if !outcome.success {
            return Vec::new();
        }
        let own = outcome.requests.iter().filter_map(|request| {
            let key = (request.kind.clone(), request.body["Name"].as_str()?.to_owned());
            // In one stack the first who has a `default` network says what it is.
            let is_own = case.expected.objects.keys().any(|(kind, name)| *kind == key.0 && *name == key.1);
            (is_own && key.0 != "networks").then(|| (key, plain(&request.body)))
        });
        let created: Created = own.collect();
        let Some(before) = seen.insert(case.number, created.clone()) else { return Vec::new() };
        let differs = before.iter().filter(|(key, body)| created.get(*key) != Some(*body));
        differs
            .map(|(key, body)| {
                let other = created.get(key).cloned().unwrap_or_default();
                format!("two dockers read two things for {key:?}:\n{body}\n{other}")
            })
            .collect()
    }

    fn fail(&self, number: u64, text: &str, found: &[String]) -> bool {
        if found.is_empty() {
            return false;
        }
        let kinds: BTreeSet<_> = found.iter().map(|line| kind(line)).collect();
        let (is_new, is_rare) = {
            let mut tally = self.tally.lock().unwrap();
            let counts = kinds.iter().map(|kind| {
                let cases = tally.kinds.entry(kind.clone()).or_default();
                (cases.insert(number), cases.len() <= MOST_OF_A_KIND)
            });
            let (is_new, is_rare) = counts.fold((false, false), |all, one| (all.0 || one.0, all.1 || one.1));
            tally.differ += u64::from(is_new);
            (is_new, is_rare)
        };
        if !is_new || !is_rare {
            return true;
        }
        let small = shrink(text, |text| self.faults(text).iter().any(|line| kinds.contains(&kind(line))));
        let text =
            found.iter().take(4).map(|line| line.chars().take(700).collect::<String>()).collect::<Vec<_>>();
        let text = format!("DOCKEROPS_FUZZ_SEED={number}: {}\n{small:?}\n{small}", text.join("\n"));
        self.tally.lock().unwrap().failures.push(text);
        true
    }

    /// Whatever differs in `text` run alone, on every docker.
    fn faults(&self, text: &str) -> Vec<String> {
        let case = match self.load(0, text.to_owned()) {
            Ok(Some(case)) => case,
            Ok(None) => return Vec::new(),
            Err(what) => return vec![what],
        };
        let mut seen = BTreeMap::new();
        let mut found = Vec::new();
        for program in self.dockers {
            let outcome = self.docker.deploy(program, &case.ours);
            found.extend(differences(&[&case.expected], &outcome.requests, outcome.success));
            found.extend(self.other(&case, &outcome, &mut seen));
        }
        found
    }
}

/// A request less what only one API version knows.
fn plain(body: &Value) -> Value {
    let mut body = bare(body);
    if let Some(fields) = body.as_object_mut() {
        fields.remove("CheckDuplicate");
    }
    body
}

/// Whether docker was thought to take it.
fn case_is_plausible(batch: &[&Case]) -> bool {
    batch.iter().all(|case| is_plausible(&case.ours.tree))
}

/// In batches whose parts have nothing of the same name.
fn packed<'a>(cases: &[&'a Case]) -> Vec<Vec<&'a Case>> {
    let mut open: Vec<(String, BTreeSet<String>, Vec<&Case>)> = Vec::new();
    for case in cases {
        let version = case.ours.tree.get("version").and_then(|version| version.text());
        let version = format!("{version:?} {}", case.ours.rotated.is_empty());
        let names = names(case);
        let fit = open.iter_mut().find(|(known, taken, batch)| {
            *known == version && batch.len() < BATCH && names.is_disjoint(taken)
        });
        match fit {
            Some((_, taken, batch)) => {
                taken.extend(names);
                batch.push(case);
            }
            None => open.push((version, names, vec![case])),
        }
    }
    open.into_iter().map(|(_, _, batch)| batch).collect()
}

/// Keys and docker's names of all that a case has.
fn names(case: &Case) -> BTreeSet<String> {
    let mut names: BTreeSet<_> = case
        .expected
        .objects
        .keys()
        .filter(|(_, name)| name != "st_default")
        .map(|(kind, name)| format!("{kind} {name}"))
        .collect();
    for section in ["services", "configs", "secrets", "networks", "volumes"] {
        names.extend(case.ours.tree.section(section).into_keys().map(|key| format!("{section} key {key}")));
    }
    names
}
