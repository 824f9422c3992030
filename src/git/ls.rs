//! Which commit each source names: one `ls-remote` per source, all in parallel.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use git2::Oid;

use super::local::{self, is_local};
use super::remote::{self, Head};
use super::worker::{self, Pulse};
use super::{Commit, explain, memory};
use crate::fault::fault;
use crate::settings::GitAccess;
use crate::signal;
use crate::signature::Refusal;
use crate::source::Source;

/// So many servers are asked at once.
const AT_ONCE: usize = 64;

/// The list of refs of one server may take so much of git's memory, one part of: of other servers' there is enough
/// left then.
const SHARE: usize = 2;

/// Those that are there are dealt with when no other came for so long, where the caller comes back.
const GLANCE: Duration = Duration::from_millis(500);

/// The answers that are under way.
#[derive(Debug)]
pub struct Pending {
    access: GitAccess,
    sources: Vec<Source>,
    answers: Vec<Option<Result<Commit>>>,
    waiting: VecDeque<usize>,
    running: Vec<(usize, Instant)>,
    sender: Sender<(usize, Result<Commit>)>,
    receiver: Receiver<(usize, Result<Commit>)>,
}

/// Starts asking every source's remote which commit it names, and returns at once.
pub fn heads(sources: &[Source], access: &GitAccess) -> Pending {
    let (sender, receiver) = mpsc::channel();
    let mut pending = Pending {
        access: access.clone(),
        sources: sources.to_vec(),
        answers: sources.iter().map(|_| None).collect(),
        waiting: (0..sources.len()).collect(),
        running: Vec::new(),
        sender,
        receiver,
    };
    pending.start();
    pending
}

impl Pending {
    /// The answers that came since it was called last, by the place of their source; it waits so long for the first of
    /// those that are left, and a glance for others. Where there is no bound each answered, or was given up. Fails only
    /// when interrupted.
    pub fn answered(&mut self, wait: Option<Duration>) -> Result<Vec<(usize, Result<Commit>)>> {
        let patience = worker::patience(self.access.timeout);
        let begun = Instant::now();
        while let Ok((index, answer)) = self.receiver.try_recv() {
            self.note_answer(index, answer);
        }
        self.start();
        let mut last = self.answers.iter().any(Option::is_some).then(Instant::now);
        while !self.running.is_empty()
            && wait
                .is_none_or(|wait| begun.elapsed() < wait && last.is_none_or(|last| last.elapsed() < GLANCE))
        {
            signal::check()?;
            let left = wait.map_or(worker::TICK, |wait| wait.saturating_sub(begun.elapsed()));
            match self.receiver.recv_timeout(worker::TICK.min(left)) {
                Ok((index, answer)) => {
                    last = Some(Instant::now());
                    self.note_answer(index, answer);
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
            self.give_up(patience);
            self.start();
        }
        self.give_up(patience);
        let answers = self.answers.iter_mut().enumerate();
        Ok(answers.filter_map(|(index, answer)| Some((index, answer.take()?))).collect())
    }

    /// All answers, in the order of the sources.
    #[cfg(test)]
    pub fn wait(mut self) -> Result<Vec<Result<Commit>>> {
        let mut answers = self.answered(None)?;
        answers.sort_by_key(|(index, _)| *index);
        Ok(answers.into_iter().map(|(_, answer)| answer).collect())
    }

    fn start(&mut self) {
        while self.running.len() < AT_ONCE
            && let Some(index) = self.waiting.pop_front()
        {
            let (source, access) = (self.sources[index].clone(), self.access.clone());
            let sender = self.sender.clone();
            self.running.push((index, Instant::now()));
            let pulse = Arc::new(Pulse::within(worker::patience(access.timeout)));
            let started = worker::spawn(&pulse, move |pulse| {
                let _ = sender.send((index, head(&source, &access, pulse)));
            });
            if let Err(error) = started {
                self.note_answer(index, Err(error));
            }
        }
    }

    fn give_up(&mut self, patience: Duration) {
        let late: Vec<usize> = self
            .running
            .iter()
            .filter(|(_, since)| since.elapsed() > patience)
            .map(|(index, _)| *index)
            .collect();
        for index in late {
            let error = explain::silent(self.sources[index].url(), patience);
            self.note_answer(index, Err(error));
        }
    }

    /// An answer that comes after its source was given up changes nothing.
    fn note_answer(&mut self, index: usize, answer: Result<Commit>) {
        let running = self.running.len();
        self.running.retain(|(other, _)| *other != index);
        if self.running.len() < running {
            let what = || format!("source `{}`", self.sources[index]);
            self.answers[index] = Some(answer.with_context(what));
        }
    }
}

fn head(source: &Source, access: &GitAccess, pulse: &Pulse) -> Result<Commit> {
    if let Some(Ok(commit)) = source.reference().map(Commit::parse) {
        return Ok(commit);
    }
    pulse.begin(source.url(), access.timeout)?;
    super::configure(access)?;
    memory::within(SHARE, || {
        if is_local(source.url()) {
            local::check_names(source.url())?;
        }
        let heads = remote::ls(source.url(), access)?;
        resolve(&heads, source.reference()).map(|named| named.commit.into())
    })
}

/// An annotated tag, and the ref that it was found under.
#[derive(Debug, Clone)]
pub(super) struct Tag {
    pub object: Oid,
    /// Without `refs/tags/`; `None` where it is of no such ref.
    pub name: Option<String>,
}

/// The tag that a source follows by `reference`, which was told to name `commit`; `None` where it follows no tag. One that
/// nobody could sign is refused.
pub(super) fn tag(
    url: &str,
    reference: Option<&str>,
    commit: Oid,
    access: &GitAccess,
) -> Result<Option<Tag>> {
    let Some(reference) = reference.filter(|reference| Commit::parse(reference).is_err()) else {
        return Ok(None);
    };
    if is_local(url) {
        local::check_names(url)?;
    }
    let named = resolve(&remote::ls(url, access)?, Some(reference))?;
    let name = named.name.strip_prefix("refs/tags/").map(str::to_owned);
    let is_annotated = named.object != named.commit;
    if let Some(name) = name.as_deref().filter(|_| !is_annotated) {
        return Err(Refusal::lightweight(name).into());
    }
    if is_annotated && named.commit != commit {
        let what = format!("the tag `{}` moved while it was fetched", crate::plain::name(reference));
        return Err(fault(what, "run this again: it takes the one that is there then"));
    }
    Ok(is_annotated.then_some(Tag { object: named.object, name }))
}

/// What a reference names.
#[derive(Debug)]
struct Named {
    /// The whole name of the ref.
    name: String,
    /// What it points at, and the commit that this leads to: an annotated tag is another object than its commit.
    object: Oid,
    commit: Oid,
}

/// A branch goes before a tag of the same name; an annotated tag is peeled to its commit.
fn resolve(heads: &[Head], reference: Option<&str>) -> Result<Named> {
    let id = |name: &str| heads.iter().find(|head| head.name == name).map(|head| head.id);
    let find = |name: &str| id(name).map(|id| Named { name: name.to_owned(), object: id, commit: id });
    let peeled = |name: &str| {
        let found = find(name);
        let commit = id(&format!("{name}^{{}}"));
        match (found, commit) {
            (Some(found), Some(commit)) => Some(Named { commit, ..found }),
            (found, None) => found,
            (None, Some(_)) => None,
        }
    };
    let branches = || branches(heads);
    if !heads.iter().any(|head| head.name.starts_with("refs/")) {
        return Err(fault(
            "there is no commit in the repository",
            "push a first commit, then run this again",
        ));
    }
    let Some(reference) = reference else {
        return find("HEAD").ok_or_else(|| {
            fault(
                "the repository's HEAD points at no commit",
                format!("name a branch, as in `URL#main`; {}", branches()),
            )
        });
    };
    let full = |reference: &str| reference.starts_with("refs/") || reference == "HEAD";
    // The whole name of a ref is that ref, whatever branches are called.
    let whole = full(reference).then(|| peeled(reference)).flatten();
    whole
        .or_else(|| find(&format!("refs/heads/{reference}")))
        .or_else(|| peeled(&format!("refs/tags/{reference}")))
        .ok_or_else(|| {
            fault(
                format!("there is no branch or tag `{reference}` in the repository"),
                format!("{}; a commit is given by all its 40 digits", branches()),
            )
        })
}

pub(super) fn branches(heads: &[Head]) -> String {
    const SHOWN: usize = 5;
    let names: Vec<String> = heads
        .iter()
        .filter_map(|head| head.name.strip_prefix("refs/heads/"))
        .map(|name| format!("`{}`", crate::plain::name(name)))
        .collect();
    match names.len() {
        0 => "it has no branch".into(),
        count if count > SHOWN => {
            format!("its branches are {} and {} more", names[..SHOWN].join(", "), count - SHOWN)
        }
        _ => format!("its branches are {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::hint_of;

    fn advertised(names: &[&str]) -> Vec<Head> {
        (1_u8..)
            .zip(names)
            .map(|(number, name)| Head {
                name: (*name).to_owned(),
                id: Oid::from_bytes(&[number; 20]).unwrap(),
                leads_to: None,
            })
            .collect()
    }

    fn resolved(names: &[&str], reference: Option<&str>) -> u8 {
        resolve(&advertised(names), reference).unwrap().commit.as_bytes()[0]
    }

    #[test]
    fn head_then_branch_then_tag_then_full_name() {
        let names =
            ["HEAD", "refs/heads/a", "refs/tags/a", "refs/tags/b", "refs/tags/b^{}", "refs/pull/1/head"];
        assert_eq!(resolved(&names, None), 1);
        assert_eq!(resolved(&names, Some("HEAD")), 1);
        assert_eq!(resolved(&names, Some("a")), 2);
        assert_eq!(resolved(&names, Some("b")), 5);
        assert_eq!(resolved(&names, Some("refs/tags/a")), 3);
        assert_eq!(resolved(&names, Some("refs/tags/b")), 5);
        assert_eq!(resolved(&names, Some("refs/pull/1/head")), 6);
        // A branch that is called like the whole name of a tag.
        let names = ["HEAD", "refs/heads/refs/tags/v1", "refs/heads/HEAD", "refs/tags/v1"];
        assert_eq!(resolved(&names, Some("refs/tags/v1")), 4);
        assert_eq!(resolved(&names, Some("HEAD")), 1);
    }

    #[test]
    fn a_missing_ref_lists_a_few_branches() {
        let names: Vec<String> = (0..7).map(|number| format!("refs/heads/b{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let error = resolve(&advertised(&names), Some("nope")).unwrap_err();
        assert_eq!(error.to_string(), "there is no branch or tag `nope` in the repository");
        let hint = hint_of(&error).unwrap();
        assert!(hint.contains("`b0`, `b1`, `b2`, `b3`, `b4` and 2 more"), "{hint}");
        let error = resolve(&advertised(&names), None).unwrap_err();
        assert!(error.to_string().contains("HEAD"), "{error}");
    }
}
