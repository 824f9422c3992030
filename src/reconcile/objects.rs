//! Stacks that would take what is another one's are not deployed: docker makes a config or secret of the same name
//! the stack's own, with all that `docker stack rm` does later, and fails half-way at a network.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};

use anyhow::Result;

use super::Session;
use super::planned::{Planned, PlannedSource};
use crate::compose::{Object, RenderedStack};
use crate::docker::Swarm;
use crate::docker::objects::{Holders, fold};
use crate::docker::service::Service;
use crate::plan::{self, Action, Step};
use crate::stack::{ObjectKind, StackName};

/// What is known of names in this run.
pub struct Objects<'a> {
    session: &'a Session<'a>,
    swarm: &'a Swarm,
    /// What the Swarm has, by the kinds that were asked for.
    there: BTreeMap<ObjectKind, Holders>,
    /// Which stack has, or makes in this run, what.
    taken: BTreeMap<(ObjectKind, String), (String, StackName)>,
    judged: BTreeSet<(String, StackName)>,
    /// The volumes that were told of.
    told: BTreeSet<String>,
}

impl<'a> Objects<'a> {
    /// Asks nobody yet.
    pub fn new(session: &'a Session<'a>, swarm: &'a Swarm) -> Self {
        let (there, taken) = (BTreeMap::new(), BTreeMap::new());
        Self { session, swarm, there, taken, judged: BTreeSet::new(), told: BTreeSet::new() }
    }

    /// Refuses the deploys that would take a name, and notes volumes that two sources use. docker is asked at most
    /// once a run for each kind of which a stack to be deployed chose a name. Where nothing is removed yet, `gone`
    /// are the stacks that will be.
    pub fn refuse(&mut self, planned: &mut Planned, gone: &BTreeSet<StackName>) -> Result<()> {
        let mut due = Vec::new();
        for (at, source) in planned.sources.iter().enumerate() {
            for (index, step) in source.steps.iter().enumerate() {
                let Some(rendered) = rendered(source, step) else { continue };
                let key = (source.identity.clone(), step.name.clone());
                match step.action {
                    Action::Deploy { .. } if self.judged.insert(key) => due.push((at, index, rendered)),
                    // What was applied is there.
                    Action::Unchanged
                    | Action::Report(_)
                    | Action::Roll { .. }
                    | Action::Adopt
                    | Action::Settle => {
                        self.take(source, rendered);
                    }
                    _ => {}
                }
            }
        }
        // Those that were deployed before come first: they may have it already.
        due.sort_by_key(|(at, _, rendered)| !has_run(&planned.sources[*at], rendered));
        let chosen =
            due.iter().flat_map(|(.., rendered)| &rendered.objects).filter(|object| object.is_chosen);
        for kind in chosen.map(|object| object.kind).collect::<BTreeSet<_>>() {
            if let Entry::Vacant(entry) = self.there.entry(kind) {
                entry.insert(self.session.docker.holders(kind)?);
            }
        }
        let mut refused = Vec::new();
        for (at, index, rendered) in due {
            let source = &planned.sources[at];
            let mut whys = rendered.objects.iter();
            let why = whys.find_map(|object| self.why_not(planned, source, rendered, object, gone));
            let why = why.or_else(|| self.service_of_another(rendered, gone));
            match why {
                Some(why) => refused.push((at, index, Action::Refuse(why))),
                None => {
                    self.take(source, rendered);
                    self.note_volumes(planned, source, rendered);
                }
            }
        }
        for (at, index, action) in refused {
            planned.sources[at].steps[index].action = action;
        }
        Ok(())
    }

    fn take(&mut self, source: &PlannedSource, rendered: &RenderedStack) {
        for object in &rendered.objects {
            let holder = (source.url.clone(), rendered.name.clone());
            self.taken.entry((object.kind, fold(&object.name))).or_insert(holder);
        }
    }

    fn why_not(
        &self,
        planned: &Planned,
        source: &PlannedSource,
        rendered: &RenderedStack,
        object: &Object,
        gone: &BTreeSet<StackName>,
    ) -> Option<String> {
        let stack = &rendered.name;
        let key = (object.kind, fold(&object.name));
        let taken = self.taken.get(&key).filter(|(url, name)| (url, name) != (&source.url, stack));
        if let Some((url, name)) = taken {
            return Some(sentence(stack, object, &format!("is the stack `{name}`'s, of `{url}`")));
        }
        let holders = self.there.get(&object.kind)?.get(&key.1)?;
        if holders.contains(stack) {
            return None;
        }
        let holder = holders.iter().find(|holder| !gone.contains(holder))?;
        let whose = if holder.as_str().is_empty() {
            "is there already, and no stack made it".to_owned()
        } else {
            let of = planned.sources.iter().find(|source| source.stack(holder).is_some());
            let of = of.map(|source| format!(", of `{}`", source.url)).unwrap_or_default();
            format!("is the stack `{holder}`'s{of}")
        };
        Some(sentence(stack, object, &whose))
    }

    /// Of the stack `a` the service `b_c` has the name that `c` has in `a_b`.
    fn service_of_another(&self, rendered: &RenderedStack, gone: &BTreeSet<StackName>) -> Option<String> {
        let stack = &rendered.name;
        rendered.services.iter().find_map(|service| {
            let name = stack.scope(&service.name);
            let live = self.swarm.services.iter().find(|live| live.name.eq_ignore_ascii_case(&name))?;
            let is_anothers = live.stack != *stack && !gone.contains(&live.stack);
            let of = plan::owner(live).map(|owner| format!(", of `{owner}`")).unwrap_or_default();
            is_anothers.then(|| {
                format!(
                    "not deployed: its service `{}` is called `{name}` in the Swarm, which is the stack `{}`'s{of}; \
                     rename one of both",
                    service.name, live.stack
                )
            })
        })
    }

    /// Says once a run of each volume that a stack of another source uses too: it may be meant.
    fn note_volumes(&mut self, planned: &Planned, source: &PlannedSource, rendered: &RenderedStack) {
        for (volume, key) in &rendered.volumes {
            let live = self.swarm.services.iter().filter(|service| service.stack != rendered.name);
            let live = live.filter_map(|service| Some((plan::owner(service)?, service)));
            let mut live =
                live.filter(|(owner, service)| *owner != source.identity && mounts(service, volume));
            let other = live.next().map(|(owner, service)| (owner, &*service.name));
            let Some((owner, user)) = other.or_else(|| declared(planned, source, rendered, volume)) else {
                continue;
            };
            if self.told.insert(volume.clone()) {
                let text = format!(
                    "its volume `{key}` is the docker volume `{volume}`, which `{user}` of `{owner}` uses as well"
                );
                self.session.report.note(source.subject(&rendered.name), &text);
            }
        }
    }
}

impl Planned {
    /// The stacks that are to be removed.
    pub fn leaving(&self) -> BTreeSet<StackName> {
        let steps = self.sources.iter().flat_map(|source| &source.steps);
        let leaving = steps.filter(|step| matches!(step.action, Action::Remove { .. }));
        leaving.map(|step| step.name.clone()).collect()
    }
}

fn rendered<'a>(source: &'a PlannedSource, step: &Step) -> Option<&'a RenderedStack> {
    source.desired(&step.name)?.rendered.as_ref()?.as_ref().ok()
}

fn has_run(source: &PlannedSource, rendered: &RenderedStack) -> bool {
    source.stack(&rendered.name).is_some_and(|row| !row.hash.is_empty())
}

fn sentence(stack: &StackName, object: &Object, whose: &str) -> String {
    let Object { kind, key, name, .. } = object;
    format!(
        "not deployed: the {} `{name}` (`{}.{key}` of `{stack}`) {whose}; give it another `name`, or, to use what is \
         there, write `external: true`",
        kind.word(),
        kind.section(),
    )
}

fn mounts(service: &Service, volume: &str) -> bool {
    let mounts = service.template["ContainerSpec"]["Mounts"].as_array();
    mounts.into_iter().flatten().any(|mount| mount["Type"] == "volume" && mount["Source"] == volume)
}

/// The stack of another source, read in this run, that declares the volume.
fn declared<'a>(
    planned: &'a Planned,
    source: &PlannedSource,
    rendered: &RenderedStack,
    volume: &str,
) -> Option<(&'a str, &'a str)> {
    let others = planned.sources.iter().filter(|other| other.identity != source.identity);
    let stacks = others.filter_map(|other| Some((other, &other.read()?.desired)));
    let mut stacks = stacks.flat_map(|(other, desired)| desired.iter().map(move |desired| (other, desired)));
    stacks.find_map(|(other, desired)| {
        let theirs = desired.rendered.as_ref()?.as_ref().ok()?;
        let uses = theirs.name != rendered.name && theirs.volumes.contains_key(volume);
        uses.then_some((&*other.url, theirs.name.as_str()))
    })
}
