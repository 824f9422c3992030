//! The versions of a stack that converged, as they are told: in a table, as JSON, and by how each differs from the
//! one before. Command, API and page tell the same.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::rendered::unified;
use super::screen::cut;
use super::status::Stack;
use super::times::{utc, when};
use super::{harmless, tables};
use crate::image::ImageRef;
use crate::plain;
use crate::redact::without_credentials;
use crate::state::{StackRow, Version};
use crate::watched::Watched;

/// As wide as a terminal is at least.
const WIDTH: usize = 80;
/// So many images are named in a line.
const IMAGES: usize = 2;

/// What `history --json` prints; docs/hold-and-rollback.md documents the fields.
#[derive(Debug, Serialize)]
pub struct History {
    pub stack: String,
    /// Its source, as it is shown.
    pub repository: String,
    /// Newest first.
    pub versions: Vec<VersionView>,
}

#[derive(Debug, Serialize)]
pub struct VersionView {
    pub id: i64,
    /// When it converged last.
    pub time: String,
    /// How often in a row.
    pub times: u32,
    pub commit: String,
    /// Its fingerprint.
    pub hash: String,
    pub how: &'static str,
    pub reason: String,
    /// How long it took to converge.
    pub seconds: u32,
    /// By full name, the image that each service ran by.
    pub services: BTreeMap<String, Option<String>>,
    pub configs: Vec<String>,
    pub secrets: Vec<String>,
    /// What docker was given, without what looks like a secret.
    pub compose: String,
    /// How it differs from the one before; `None` of the oldest that is kept.
    pub difference: Option<String>,
}

/// The stack of that name; of several, that which the source names, or that which was deployed.
pub fn find<'a>(watched: &'a [Watched], name: &str, repository: Option<&str>) -> Option<&'a StackRow> {
    let named = watched.iter().flat_map(|known| &known.stacks).filter(|row| row.name.as_str() == name);
    let of_it = |row: &&StackRow| repository.is_none_or(|url| row.repository_url.shown() == url);
    named.filter(of_it).min_by_key(|row| row.is_unapplied())
}

impl History {
    /// Of these versions of a stack, newest first.
    pub fn of(row: &StackRow, versions: &[Version]) -> Self {
        Self::new(row.name.to_string(), row.repository_url.shown(), versions)
    }

    /// Likewise, of a stack as it is told.
    pub fn told(stack: &Stack, versions: &[Version]) -> Self {
        Self::new(stack.name.clone(), stack.repository.clone(), versions)
    }

    fn new(stack: String, repository: String, versions: &[Version]) -> Self {
        let views = versions.iter().enumerate();
        let versions = views.map(|(at, version)| view(version, versions.get(at + 1))).collect();
        Self { stack, repository, versions }
    }

    /// Everything in a line each; for people, who want ages and whole lines, or for who reads it later.
    pub fn table(&self, for_people: Option<DateTime<Utc>>) -> String {
        let rows: Vec<_> =
            self.versions.iter().enumerate().map(|(at, _)| self.line(at, for_people)).collect();
        let heads =
            ["#", if for_people.is_some() { "AGE" } else { "TIME" }, "COMMIT", "TOOK", "IMAGES", "WHY"];
        let mut table = tables::table(&heads, rows.into_iter());
        if for_people.is_some() {
            table = table.lines().map(|line| cut(line, WIDTH) + "\n").collect();
        }
        table
    }

    fn line(&self, at: usize, for_people: Option<DateTime<Utc>>) -> Vec<String> {
        let version = &self.versions[at];
        let again = if version.times > 1 { format!("{} times: ", version.times) } else { String::new() };
        vec![
            (at + 1).to_string(),
            when(&version.time, for_people),
            tables::digits(&version.commit, for_people.is_some()).to_owned(),
            format!("{} s", version.seconds),
            self.new_images(at),
            again + &version.reason,
        ]
    }

    /// The images that this version brought, by the first digits of their digests.
    pub fn new_images(&self, at: usize) -> String {
        let images = |at: usize| -> BTreeSet<&str> {
            let services = self.versions.get(at).into_iter().flat_map(|version| version.services.values());
            services.filter_map(Option::as_deref).collect()
        };
        let (before, now) = (images(at + 1), images(at));
        let new: Vec<_> = now.difference(&before).map(|image| brief(image)).collect();
        match new.len() {
            0 => "same".to_owned(),
            number if number > IMAGES => format!("{} +{}", new[..IMAGES].join(" "), number - IMAGES),
            _ => new.join(" "),
        }
    }
}

fn view(version: &Version, before: Option<&Version>) -> VersionView {
    let names = |all: &[(String, String)]| all.iter().map(|(name, _)| name.clone()).collect();
    VersionView {
        id: version.id,
        time: utc(&version.time),
        times: version.times,
        commit: version.commit.clone(),
        hash: version.hash.clone(),
        how: version.how.as_str(),
        reason: harmless(&version.reason),
        seconds: version.seconds,
        services: version.services.clone(),
        configs: names(&version.versions.configs),
        secrets: names(&version.versions.secrets),
        compose: without_credentials(&version.text),
        difference: before.map(|before| difference(before, version)),
    }
}

/// How a version differs from the one before: in what docker was given, and in what came of it. Empty where it does not.
pub fn difference(before: &Version, version: &Version) -> String {
    let names = [before, version].map(|version| format!("commit {}", tables::short(&version.commit)));
    unified([&told(before), &told(version)], &names)
}

/// How a version differs from a text that failed.
pub fn difference_from(failed: &str, version: &Version) -> String {
    let names = ["what failed".to_owned(), format!("commit {}", tables::short(&version.commit))];
    unified([&without_credentials(failed), &without_credentials(&version.text)], &names)
}

/// How a text that failed differs from a version.
pub fn difference_to(version: &Version, failed: &str) -> String {
    let names = [format!("commit {}", tables::short(&version.commit)), "what failed".to_owned()];
    unified([&without_credentials(&version.text), &without_credentials(failed)], &names)
}

/// The text, and below it what no text tells: by which image each service ran, and which configs and secrets it had.
fn told(version: &Version) -> String {
    let mut out = without_credentials(&version.text);
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out.push_str("# as it ran:\n");
    for (service, image) in &version.services {
        out.push_str(&format!("#   {service}: {}\n", image.as_deref().unwrap_or("no image")));
    }
    for (kind, all) in [("config", &version.versions.configs), ("secret", &version.versions.secrets)] {
        for (name, _) in all {
            out.push_str(&format!("#   {kind} {name}\n"));
        }
    }
    out
}

/// Eight digits of its digest, or the tag of one without.
pub fn brief(image: &str) -> String {
    let parsed = ImageRef::parse(image).ok();
    let digest = parsed.as_ref().and_then(ImageRef::digest).and_then(|digest| digest.split_once(':'));
    let tag = || parsed.as_ref().and_then(ImageRef::tag).unwrap_or(image);
    digest.map_or_else(tag, |(_, digits)| digits).chars().take(8).collect()
}

/// How a version is called where it is told of alone.
pub fn title(history: &History, at: usize) -> String {
    let version = &history.versions[at];
    let (stack, commit) = (plain::name(&history.stack), plain::name(tables::short(&version.commit)));
    format!("{stack} {}: {}, commit {commit}, {}", at + 1, version.time, plain::line(&version.reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{GivenHow, StackStatus, Versions};

    fn version(id: i64, text: &str, images: &[&str]) -> Version {
        let service = |(at, image): (usize, &&str)| (format!("web_s{at}"), Some((*image).to_owned()));
        Version {
            id,
            time: format!("2026-11-23T0{id}:00:00+01:00"),
            times: 1,
            commit: format!("{id}").repeat(40),
            hash: "h".into(),
            how: GivenHow::Deploy,
            reason: "changed".into(),
            seconds: 4,
            services: images.iter().enumerate().map(service).collect(),
            versions: Versions {
                configs: vec![(format!("web_c_{id}"), "web_c".into())],
                ..Versions::default()
            },
            text: text.into(),
        }
    }

    const A: &str = "app:1@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "app:1@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
    const C: &str = "app:1@sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc";

    fn history() -> History {
        let why = "drifted: `web_s0` scaled from 3 to 1, `web_s1` environment, https://u:p@h/x";
        let newest = Version { times: 3, reason: why.into(), ..version(3, "b: 2\na: 1\n", &[A, B]) };
        let versions =
            [newest, version(2, "b: 1\na: 1\n", &[A, B]), version(1, "b: 1\na: 1\n", &[A, B, C, "x:v9"])];
        History::of(&StackRow::of("web", StackStatus::Deployed), &versions)
    }

    #[test]
    fn a_line_fits_a_terminal_and_is_whole_elsewhere() {
        let now = "2026-11-23T02:00:30Z".parse().unwrap();
        let told = history().table(Some(now));
        let lines: Vec<_> = told.lines().collect();
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{told}");
        assert_eq!(lines[0], "#  AGE   COMMIT    TOOK  IMAGES                WHY");
        assert_eq!(
            lines[1],
            "1  30 s  33333333  4 s   same                  3 times: drifted: `web_s0` scale…"
        );
        assert_eq!(lines[2], "2  1 h   22222222  4 s   same                  changed");
        assert_eq!(lines[3], "3  2 h   11111111  4 s   aaaaaaaa bbbbbbbb +2  changed");
        let piped = history().table(None);
        assert!(
            piped.contains("2026-11-23T02:00:00Z  333333333333")
                && piped.contains("environment, https://…@h/x\n"),
            "{piped}"
        );
    }

    #[test]
    fn a_difference_tells_what_the_text_does_not() {
        let history = history();
        let newest = history.versions[0].difference.as_deref().unwrap();
        assert!(newest.contains("-b: 1\n+b: 2\n") && newest.contains("+#   config web_c_3\n"), "{newest}");
        assert!(newest.starts_with("--- commit 222222222222\n+++ commit 333333333333\n"), "{newest}");
        let older = history.versions[1].difference.as_deref().unwrap();
        assert!(older.contains(&format!("-#   web_s2: {C}\n")) && !older.contains("b: 1\n+"), "{older}");
        assert_eq!(history.versions[2].difference, None);
        let same = version(1, "x", &[A]);
        assert_eq!(difference(&same, &same), "");
        let back = difference_from("a: 2\n", &version(1, "a: 1\n", &[A]));
        assert!(back.ends_with("-a: 2\n+a: 1\n"), "{back}");
    }

    #[test]
    fn an_image_is_told_by_eight_digits_of_its_digest_or_by_its_tag() {
        assert_eq!(
            (brief(A), brief("x:v9"), brief("%"), brief("redis")),
            ("aaaaaaaa".into(), "v9".into(), "%".into(), "latest".into())
        );
    }

    #[test]
    fn of_two_stacks_of_a_name_that_which_was_deployed_is_meant() {
        let source = |url: &str| {
            let state = crate::state::State::in_memory();
            let row = state.remember(&url.into()).unwrap();
            let mut stack = StackRow::of("web", StackStatus::Error);
            stack.repository_url = url.into();
            if url.ends_with('b') {
                stack.hash = "h".into();
            }
            let (identity, builds, motions) = (row.url.id(), Vec::new(), Vec::new());
            Watched {
                row,
                identity,
                stacks: vec![stack],
                builds,
                motions,
                holds: Vec::new(),
                on_hold: Vec::new(),
            }
        };
        let watched = [source("https://h/a"), source("https://h/b")];
        let found = |repository: Option<&str>| {
            find(&watched, "web", repository).map(|row| row.repository_url.to_string())
        };
        assert_eq!(found(None).as_deref(), Some("https://h/b"));
        assert_eq!(found(Some("https://h/a")).as_deref(), Some("https://h/a"));
        assert_eq!(found(Some("https://h/c")), None);
        assert!(find(&watched, "db", None).is_none());
    }
}
