//! The loop in a simulated world: a seed is a story, and the same seed is the same story.
//!
//! The loop, its decisions and its database are the real ones; behind the door are a Swarm, sources, time and trouble
//! out of numbers (`story`). `rules` and `images` say what must hold in every story, `play` plays one. Tags move, go
//! away and are pulled (`registry`, `pull`); nothing is built: builds, bindings and what is cleaned from other nodes
//! are no part of it.

mod breaks;
mod clock;
mod door;
mod events;
mod found;
mod git;
mod holds;
mod images;
mod play;
mod played;
mod pull;
mod registry;
mod rules;
mod script;
mod service;
mod spec;
mod story;
mod swarm;
mod task;
mod truth;
mod world;

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use play::{Play, Stage};
use story::Story;
use world::Broken;

/// So many stories where nothing else is said.
const STORIES: u64 = 50_000;
/// The first of them.
const FIRST: u64 = 1;
/// No story is begun after so many seconds.
const SECONDS: u64 = 60;
/// So many threads play.
const THREADS: usize = 2;

#[expect(clippy::disallowed_methods, reason = "what only tests know; the product's door is settings.rs")]
fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

fn play(stage: &Stage, story: &Story, listen: bool) -> (Option<Broken>, Vec<String>) {
    Play::new(stage, story, listen).whole(story)
}

/// The shortest story that still breaks the rule, by leaving out event after event.
fn shortest(stage: &Stage, mut story: Story, rule: &str) -> Story {
    let breaks = |story: &Story| play(stage, story, false).0.is_some_and(|broken| broken.rule == rule);
    loop {
        let before = story.events.len();
        for at in (0..before).rev() {
            let mut shorter = story.clone();
            shorter.events.remove(at);
            if breaks(&shorter) {
                story = shorter;
            }
        }
        for source in 0..story.first.len() {
            for at in (0..story.first[source].stacks.len()).rev() {
                let mut shorter = story.clone();
                let gone = shorter.first[source].stacks.remove(at);
                shorter.first[source]
                    .stacks
                    .iter_mut()
                    .for_each(|it| it.depends_on.retain(|on| *on != gone.name));
                if breaks(&shorter) {
                    story = shorter;
                }
            }
        }
        if story.events.len() == before {
            return story;
        }
    }
}

fn describe(stage: &Stage, story: Story, broken: &Broken) -> String {
    let story = shortest(stage, story, broken.rule);
    let (again, log) = play(stage, &story, true);
    let what = again.map_or_else(|| broken.what.clone(), |broken| broken.what);
    let listed = story.first.iter().enumerate();
    let listed =
        listed.flat_map(|(at, commit)| commit.stacks.iter().map(move |it| format!("  r{at} lists {it}")));
    let listed: Vec<_> = listed.collect();
    let (seed, rule) = (story.seed, broken.rule);
    format!("story {seed} breaks the rule: {rule}\n  {what}\n{}\n{}", listed.join("\n"), log.join("\n"))
}

#[test]
fn what_must_hold_holds_in_every_story() {
    let first = number("DOCKEROPS_STORY", FIRST);
    let stories = number("DOCKEROPS_STORIES", STORIES);
    // Who asks for a number gets it.
    let limit = Duration::from_secs(if stories > STORIES { u64::MAX } else { SECONDS });
    let (next, begun) = (AtomicU64::new(0), Instant::now());
    let played = || {
        let stage = Stage::new();
        let mut count = 0;
        while begun.elapsed() < limit {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= stories {
                break;
            }
            let story = Story::of(first + at);
            if let (Some(broken), _) = play(&stage, &story, false) {
                next.store(stories, Ordering::Relaxed);
                return (count, Some(describe(&stage, story, &broken)));
            }
            count += 1;
        }
        (count, None)
    };
    let ended: Vec<_> = thread::scope(|scope| {
        let started: Vec<_> = (0..THREADS).map(|_| scope.spawn(played)).collect();
        started.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let count: u64 = ended.iter().map(|(count, _)| count).sum();
    let _ = writeln!(std::io::stderr(), "{count} stories in {:.1} s", begun.elapsed().as_secs_f64());
    let broken: Vec<_> = ended.into_iter().filter_map(|(_, broken)| broken).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n\n"));
}
