//! What a run knows of its pulls: each image once, while stacks that need none of them go on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::door::{Door, News, Puller};
use crate::source::SourceId;

/// The pulls of a run; those still under way are ended when dropped.
#[derive(Debug, Default)]
pub struct Pulls {
    puller: Option<Box<dyn Puller>>,
    under_way: BTreeSet<String>,
    failures: BTreeMap<String, String>,
}

impl Pulls {
    /// Pulls `images` for a source, each once in a run.
    pub fn want(&mut self, door: &dyn Door, source: &SourceId, images: &BTreeSet<String>) {
        for image in images {
            if self.failures.contains_key(image) || !self.under_way.insert(image.clone()) {
                continue;
            }
            self.puller.get_or_insert_with(|| door.puller()).want(source, image);
        }
    }

    /// Begins what is queued, as far as there is room.
    pub fn begin_more(&mut self) {
        if let Some(puller) = &mut self.puller {
            puller.begin_more();
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
        let news = self.puller.as_mut().map(|puller| puller.news()).unwrap_or_default();
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
        if let Some(puller) = &mut self.puller {
            puller.wait(time);
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
