//! The registry of the simulation, and what nodes have of its images: a tag names a content, and moves.

use std::collections::{BTreeMap, BTreeSet};

use super::clock::Millis;
use super::spec::{image, pinned};
use crate::docker::NodeImages;
use crate::image::ImageRef;

/// What a tag names until it moves.
const FIRST: u16 = 1;
/// The node that DockerOps runs on.
const MANAGER: usize = 0;

/// A content of a tag: each push makes another one.
type Content = (u16, u16);

#[derive(Debug)]
pub struct Registry {
    pub is_up: bool,
    /// Since when it is, or is not.
    pub since: Millis,
    /// What tags name that have moved, and since when.
    moved: BTreeMap<u16, (u16, Millis)>,
    /// The tags that it does not know, and since when.
    denied: BTreeMap<u16, Millis>,
    /// Contents whose tasks fail.
    bad: BTreeSet<Content>,
    /// The contents that each node got since the story began.
    nodes: [BTreeSet<Content>; 3],
    /// What the tags name on DockerOps' node that were pulled there.
    tags: BTreeMap<u16, u16>,
}

/// Why an image could not be had, in docker's words.
fn refusal(tag: u16, is_up: bool) -> String {
    if is_up {
        format!("manifest for app:{tag} not found: manifest unknown: manifest unknown")
    } else {
        "Get \"https://registry-1.docker.io/v2/\": dial tcp: connect: connection refused".to_owned()
    }
}

/// The tag of `app:1`, with or without a digest.
pub fn tag_of(image: &ImageRef) -> u16 {
    image.tag().and_then(|tag| tag.parse().ok()).unwrap_or_default()
}

/// The content that a digest names.
pub fn content_of(digest: &str) -> u16 {
    u16::from_str_radix(&digest[digest.len() - 4..], 16).unwrap()
}

/// Whether all nodes had it before the story began.
fn was_there(content: Content) -> bool {
    content.1 == FIRST && !content.0.is_multiple_of(4)
}

impl Registry {
    pub fn new() -> Self {
        Self {
            is_up: true,
            since: 0,
            moved: BTreeMap::new(),
            denied: BTreeMap::new(),
            bad: BTreeSet::new(),
            nodes: Default::default(),
            tags: BTreeMap::new(),
        }
    }

    /// It goes away, or comes back.
    pub fn turn(&mut self, is_up: bool, now: Millis) {
        if self.is_up != is_up {
            (self.is_up, self.since) = (is_up, now);
        }
    }

    /// Another content is pushed by a tag.
    pub fn push(&mut self, tag: u16, is_bad: bool, now: Millis) {
        let next = self.content(tag) + 1;
        self.moved.insert(tag, (next, now));
        self.denied.remove(&tag);
        if is_bad {
            self.bad.insert((tag, next));
        }
    }

    /// The tag is no longer there.
    pub fn deny(&mut self, tag: u16, now: Millis) {
        self.denied.entry(tag).or_insert(now);
    }

    /// Every tag is there, and names what works.
    pub fn mend(&mut self, now: Millis) {
        self.turn(true, now);
        self.denied.clear();
        let bad: Vec<_> = self.bad.iter().filter(|(tag, content)| self.content(*tag) == *content).collect();
        let tags: Vec<_> = bad.into_iter().map(|(tag, _)| *tag).collect();
        for tag in tags {
            self.push(tag, false, now);
        }
    }

    /// What a tag names.
    pub fn content(&self, tag: u16) -> u16 {
        self.moved.get(&tag).map_or(FIRST, |(content, _)| *content)
    }

    /// Since when it does.
    pub fn moved(&self, tag: u16) -> Millis {
        self.moved.get(&tag).map_or(0, |(_, since)| *since)
    }

    /// Whether it has said so to everybody who asked since then.
    pub fn denies(&self, tag: u16, since: Millis) -> bool {
        self.is_up && self.since <= since && self.denied.get(&tag).is_some_and(|denied| *denied <= since)
    }

    /// Whether nobody who asked since then got an answer.
    pub fn is_away(&self, since: Millis) -> bool {
        !self.is_up && self.since <= since
    }

    pub fn is_bad(&self, tag: u16, content: u16) -> bool {
        self.bad.contains(&(tag, content))
    }

    /// Whether any of its contents is.
    pub fn was_bad(&self, tag: u16) -> bool {
        self.bad.iter().any(|(bad, _)| *bad == tag)
    }

    /// What it answers who asks for the digest of a tag.
    pub fn named(&self, tag: u16) -> Result<u16, String> {
        if !self.is_up || self.denied.contains_key(&tag) {
            return Err(refusal(tag, self.is_up));
        }
        Ok(self.content(tag))
    }

    fn has(&self, node: usize, content: Content) -> bool {
        was_there(content) || self.nodes[node].contains(&content)
    }

    /// What a tag names on DockerOps' node.
    pub fn here(&self, tag: u16) -> Option<u16> {
        self.tags.get(&tag).copied().or_else(|| was_there((tag, FIRST)).then_some(FIRST))
    }

    /// Whether DockerOps' node has what a tag names, or where nobody compares that, anything by that name.
    pub fn is_here(&self, tag: u16, compares: bool) -> bool {
        match self.named(tag) {
            Ok(content) if compares => self.has(MANAGER, (tag, content)),
            _ => self.here(tag).is_some(),
        }
    }

    /// `docker pull` on DockerOps' node.
    pub fn pull(&mut self, tag: u16) -> Result<(), String> {
        let content = self.named(tag)?;
        self.nodes[MANAGER].insert((tag, content));
        self.tags.insert(tag, content);
        Ok(())
    }

    /// What a node runs that is told to run a tag, by the content that Swarm resolved where that is not 0; `None` where
    /// it has nothing to run.
    pub fn fetch(&mut self, node: usize, tag: u16, content: u16) -> Option<u16> {
        let named = self.named(tag).ok();
        let had = || (FIRST..=self.content(tag)).rev().find(|it| self.has(node, (tag, *it)));
        let content = match content {
            0 => named.or_else(had),
            content => (named.is_some() || self.has(node, (tag, content))).then_some(content),
        }?;
        if !was_there((tag, content)) {
            self.nodes[node].insert((tag, content));
        }
        Some(content)
    }

    /// As `image ls` on DockerOps' node shows those of these tags.
    pub fn images(&self, tags: &BTreeSet<u16>) -> NodeImages {
        let tagged = tags.iter().filter_map(|tag| Some((image(*tag), (*tag, self.here(*tag)?))));
        let old = tags.iter().map(|tag| (*tag, FIRST)).filter(|content| was_there(*content));
        let contents = old.chain(self.nodes[MANAGER].iter().copied());
        let pulled = contents.map(|content| (by_digest(content), content));
        NodeImages::known(tagged.chain(pulled).map(|(name, content)| (name, id(content))))
    }

    /// `image rm` on DockerOps' node; whether it was pulled there since the story began.
    pub fn remove(&mut self, name: &str) -> bool {
        let removed = self.nodes[MANAGER].iter().copied().find(|content| by_digest(*content) == name);
        match removed {
            Some(content) => self.nodes[MANAGER].remove(&content),
            None => {
                let tag = self.tags.keys().copied().find(|tag| image(*tag) == name);
                tag.is_some_and(|tag| self.tags.remove(&tag).is_some())
            }
        }
    }
}

/// As docker shows what was pulled by its digest.
fn by_digest((tag, content): Content) -> String {
    pinned(tag, content).replacen(&format!(":{tag}"), "", 1)
}

/// The id of an image.
pub fn id((tag, content): Content) -> String {
    format!("{tag}/{content}")
}
