//! Stories: what happens, in order, by a seed.

use super::git::Transfer;
use super::spec::{Behaviour, Commit, Entry, OnFailure, Services, Spec};
use super::swarm::Hand;
use super::world::{ACTORS, Fault};
use crate::rng::Rng;
use crate::stack::DriftPolicy;

pub const STACKS: [&str; 5] = ["api", "db", "web", "jobs", "shared"];
/// So many sources: two of the first controller, one of the second.
pub const SOURCES: usize = 3;

/// To the source that lists the stack.
pub const LISTING: usize = SOURCES;

/// What is pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Another version of a stack, that behaves so.
    Version(&'static str, Behaviour, OnFailure),
    /// Another number of tasks.
    Scale(&'static str),
    /// A stack is listed, or no longer.
    List(&'static str),
    /// A stack is disabled, or enabled again.
    Switch(&'static str),
    /// The files of a stack are wrong, or right again.
    Wrong(&'static str),
    /// `stacks.yaml` cannot be read, or can be again.
    Broken,
    /// The version before.
    Revert,
    /// A stack goes to this source.
    Move(&'static str, usize),
}

impl Change {
    /// The stack that it is about; nothing where it is about all.
    pub fn stack(&self) -> &'static str {
        use Change::{Broken, List, Move, Revert, Scale, Switch, Version, Wrong};
        match self {
            Version(name, ..) | Move(name, _) | Scale(name) | List(name) | Switch(name) | Wrong(name) => name,
            Broken | Revert => "",
        }
    }
}

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// One who acts asks all its sources, and takes a turn.
    Ask(usize),
    /// Likewise, to deploy all by force.
    Force(usize),
    /// So many turns, so far apart.
    Turns(usize, usize, u64),
    Wait(u64),
    Push(usize, Change),
    Hand(&'static str, Hand),
    Node(usize),
    Remote(usize),
    /// What is fetched of a source comes so from now on.
    Transfer(usize, Transfer),
    /// A call of one who acts, so many from now.
    Trouble(usize, usize, Fault),
    Away(u64),
    Kill(usize),
    Lose(usize),
    /// Somebody holds a stack by hand, or releases it.
    Hold(&'static str),
    Release(&'static str),
    Die(&'static str),
    /// The registry goes away, or comes back.
    Registry,
    /// Of the tags of a stack.
    Tags(&'static str, Pushed),
}

/// What becomes of a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It names something else, that works or does not.
    Good,
    Bad,
    /// It is not there any more.
    Gone,
}

/// What happens, from the first commits on.
#[derive(Debug, Clone)]
pub struct Story {
    pub seed: u64,
    pub first: Vec<Commit>,
    /// Whether each controller compares tags with their registry.
    pub always: [bool; 2],
    pub events: Vec<Event>,
}

fn behaviour(rng: &mut Rng) -> Behaviour {
    match rng.below(10) {
        0..=4 => Behaviour::Good,
        5 => Behaviour::Slow,
        6 => Behaviour::Crash,
        7 => Behaviour::Reject,
        8 => Behaviour::Never,
        _ => Behaviour::Once,
    }
}

fn on_failure(rng: &mut Rng) -> OnFailure {
    match rng.below(4) {
        0 => OnFailure::Continue,
        1 => OnFailure::Rollback,
        _ => OnFailure::Pause,
    }
}

fn drift(rng: &mut Rng) -> DriftPolicy {
    match rng.below(6) {
        0 => DriftPolicy::Report,
        1 => DriftPolicy::Ignore,
        _ => DriftPolicy::Correct,
    }
}

/// A stack in a version.
pub fn entry(name: &'static str, version: u16, rng: &mut Rng) -> Entry {
    let mut services = Services::new();
    let count = 1 + rng.below(2);
    for service in ["app", "queue"].into_iter().take(count) {
        let spec = Spec {
            image: version,
            content: 0,
            is_global: false,
            env: version,
            replicas: 1 + rng.below(3) as u64,
            behaviour: Behaviour::Good,
            on_failure: on_failure(rng),
        };
        services.insert(service, spec);
    }
    Entry { name, enabled: true, depends_on: Vec::new(), drift: drift(rng), services, wrong: false }
}

/// Some of its services on all nodes. A name is always spread in one way: Swarm changes that of no service.
pub fn spread(mut entry: Entry, rng: &mut Rng) -> Entry {
    if rng.chance(20)
        && let Some(spec) = entry.services.remove("app")
    {
        entry.services.insert("agent", Spec { is_global: true, ..spec });
    }
    entry
}

impl Story {
    /// The story of a seed.
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let rng = &mut rng;
        let mut first = vec![Commit::default(); SOURCES];
        for (at, name) in STACKS.into_iter().enumerate() {
            if rng.chance(75) {
                // The last one is listed by several, sometimes.
                let source = if at < 3 { rng.below(2) } else { at - 2 };
                let mut entry = spread(entry(name, 1, rng), rng);
                let others: Vec<_> = first[source].stacks.iter().map(|entry| entry.name).collect();
                if rng.chance(30) && !others.is_empty() {
                    entry.depends_on.push(others[rng.below(others.len())]);
                }
                first[source].stacks.push(entry);
            }
        }
        if rng.chance(15) {
            first[rng.below(2)].stacks.push(entry("shared", 2, rng));
        }
        let always = [rng.chance(35), rng.chance(35)];
        // Most of it happens to one of them.
        let focus = STACKS[rng.below(STACKS.len())];
        if rng.chance(10) {
            for source in first.iter_mut().take(2).filter(|it| it.entry(focus).is_none()) {
                source.stacks.push(entry(focus, 1, rng));
            }
        }
        let count = 2 + rng.below(9);
        let mut events = Vec::new();
        for _ in 0..count {
            if rng.chance(12) {
                plot(focus, rng, &mut events);
            } else {
                event(focus, rng, &mut events);
            }
        }
        // By numbers of their own: the other stories stay as they are.
        let rng = &mut Rng::new(seed ^ 0x401d);
        if rng.chance(25) {
            for _ in 0..=rng.below(3) {
                let at = rng.below(events.len() + 1);
                let stack = stack(focus, rng);
                events.insert(at, if rng.chance(70) { Event::Hold(stack) } else { Event::Release(stack) });
            }
        }
        Self { seed, first, always, events }
    }
}

fn stack(focus: &'static str, rng: &mut Rng) -> &'static str {
    if rng.chance(40) { focus } else { STACKS[rng.below(STACKS.len())] }
}

/// What only shows where one thing follows another.
fn plot(focus: &'static str, rng: &mut Rng, events: &mut Vec<Event>) {
    let settles = [Event::Ask(0), Event::Turns(0, 8, 5_000)];
    events.extend(settles.clone().into_iter().take(1 + rng.below(2)));
    let leaves = [Change::List(focus), Change::Switch(focus)][rng.below(2)].clone();
    match rng.below(9) {
        // Something goes while it is deployed.
        0 => {
            let crashes = Change::Version(focus, behaviour(rng), on_failure(rng));
            events.extend([Event::Push(LISTING, crashes), Event::Ask(0)]);
            events.push(Event::Hand(focus, [Hand::RemoveService, Hand::RemoveStack][rng.below(2)]));
            events.push(Event::Turns(0, 1 + rng.below(12), 5_000));
        }
        // What is not ours stays when ours leaves.
        1 => {
            events.push(Event::Hand(focus, [Hand::AddService, Hand::Replace][rng.below(2)]));
            events.extend(settles.into_iter().take(rng.below(3)));
            events.extend([Event::Push(LISTING, leaves), Event::Ask(actor(rng) % 2)]);
        }
        // A command comes between.
        2 => {
            events.extend([Event::Hand(stack(focus, rng), hand(rng)), Event::Ask(1), Event::Kill(1)]);
            events.push([Event::Ask(0), Event::Force(0)][rng.below(2)].clone());
        }
        // It changes hands.
        3 => {
            let to = Change::Move(focus, rng.below(2));
            events.extend([Event::Push(LISTING, to), Event::Ask(actor(rng) % 2)]);
        }
        // A tag moves, once and once more.
        4 => {
            let moves =
                [Event::Tags(focus, pushed(rng)), Event::Ask(actor(rng) % 2), Event::Turns(0, 8, 4_000)];
            events.extend(moves.clone().into_iter().take(1 + rng.below(3)));
            events.extend([Event::Tags(focus, pushed(rng)), Event::Ask(0)]);
        }
        // A new version comes while its image is not to be had.
        5 => {
            let gone = [Event::Registry, Event::Tags(focus, Pushed::Gone)][rng.below(2)].clone();
            let version = Change::Version(focus, Behaviour::Good, on_failure(rng));
            events.extend([Event::Push(LISTING, version), gone, Event::Ask(0), Event::Turns(0, 8, 4_000)]);
        }
        // A node goes, and comes back.
        6 => {
            let node = Event::Node(rng.below(3));
            events.extend([node.clone(), Event::Ask(actor(rng)), Event::Turns(0, 1 + rng.below(4), 5_000)]);
            events.extend([node, Event::Ask(actor(rng))]);
        }
        // It changes hands while one of both is fetched, or a further commit comes meanwhile.
        7 => {
            let to = [Change::Move(focus, rng.below(2)), change(focus, rng)][rng.below(2)].clone();
            events.extend([transfer(rng), Event::Push(LISTING, to), Event::Ask(actor(rng) % 2)]);
            events.extend([Event::Push(rng.below(2), change(focus, rng)), Event::Ask(actor(rng) % 2)]);
            events.push(Event::Turns(0, 1 + rng.below(8), 2_000));
        }
        // What failed is met again by a run that others need.
        _ => {
            let crashes = Change::Version(focus, Behaviour::Crash, on_failure(rng));
            events.extend([Event::Push(LISTING, crashes), Event::Ask(0), Event::Turns(0, 12, 4_000)]);
            events.extend([Event::Hand(stack(focus, rng), hand(rng)), Event::Ask(0)]);
        }
    }
}

/// Mostly the daemon.
fn actor(rng: &mut Rng) -> usize {
    [0, 0, 0, 1, 2][rng.below(5)] % ACTORS
}

fn event(focus: &'static str, rng: &mut Rng, events: &mut Vec<Event>) {
    let who = actor(rng);
    match rng.below(104) {
        0..=29 => {
            events.push(Event::Ask(who));
            if rng.chance(80) {
                events.push(Event::Turns(who, 1 + rng.below(8), [500, 2_000, 5_000][rng.below(3)]));
            }
        }
        30..=37 => events.push(Event::Turns(who, 1 + rng.below(6), 3_000)),
        38..=42 => events.push(Event::Wait([1_000, 8_000, 70_000][rng.below(3)])),
        43..=64 => events.push(Event::Push(rng.below(SOURCES), change(focus, rng))),
        65..=73 => events.push(Event::Hand(stack(focus, rng), hand(rng))),
        74..=75 => events.push(Event::Node(rng.below(3))),
        76 => events.push(Event::Registry),
        77..=78 => events.push(Event::Remote(rng.below(SOURCES))),
        79..=88 => events.push(Event::Trouble(who, rng.below(6), fault(rng))),
        89..=90 => events.push(Event::Away([2_000, 30_000][rng.below(2)])),
        91..=93 => events.push(Event::Kill(who)),
        94 => events.push(Event::Lose(rng.below(2))),
        95..=96 => events.push(Event::Force(who)),
        97 => events.push(Event::Tags(stack(focus, rng), pushed(rng))),
        98..=99 => events.push(Event::Die(stack(focus, rng))),
        _ => events.push(transfer(rng)),
    }
}

fn transfer(rng: &mut Rng) -> Event {
    Event::Transfer(rng.below(SOURCES), Transfer { looks: rng.below(7), fails: rng.chance(20) })
}

fn pushed(rng: &mut Rng) -> Pushed {
    [Pushed::Good, Pushed::Good, Pushed::Bad, Pushed::Gone][rng.below(4)]
}

fn change(focus: &'static str, rng: &mut Rng) -> Change {
    let name = stack(focus, rng);
    match rng.below(20) {
        0..=8 => Change::Version(name, behaviour(rng), on_failure(rng)),
        9..=10 => Change::Scale(name),
        11..=12 => Change::List(name),
        13..=14 => Change::Switch(name),
        15 => Change::Wrong(name),
        16 => Change::Broken,
        17..=18 => Change::Revert,
        _ => Change::Move(name, rng.below(2)),
    }
}

fn hand(rng: &mut Rng) -> Hand {
    use Hand::{AddService, Env, Fewer, Image, Own, RemoveService, RemoveStack, Replace, Scale};
    [Scale, Fewer, Env, Image, RemoveService, AddService, RemoveStack, Own, Replace][rng.below(9)]
}

fn fault(rng: &mut Rng) -> Fault {
    use Fault::{Half, KilledAfter, KilledBefore, Refused, Slow, Unanswered};
    [Refused, Unanswered, Half, Slow(20_000), KilledBefore, KilledAfter][rng.below(6)]
}
