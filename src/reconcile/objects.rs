//! Stacks that would take what is another one's are not deployed: docker makes a config or secret of the same name
//! the stack's own, with all that `docker stack rm` does later, and fails half-way at a network.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};

use anyhow::Result;

use super::source::WatchedSource;
use super::{Key, Reconciler, Session};
use crate::compose::{Object, RenderedStack};
use crate::docker::Swarm;
use crate::docker::objects::{Holders, fold};
use crate::docker::service::Service;
use crate::plan::{self, Decision, DesiredStack, How};
use crate::source::SourceUrl;
use crate::stack::{ObjectKind, StackName};

/// What is known of names in this run.
#[derive(Debug, Default)]
pub struct Objects {
    /// What the Swarm has, by the kinds that were asked for.
    there: BTreeMap<ObjectKind, Holders>,
    /// Which stack has, or makes in this run, what.
    taken: BTreeMap<(ObjectKind, String), (SourceUrl, StackName)>,
    /// The stacks that were looked at: the fingerprint of what was judged, and why it must not be deployed.
    judged: BTreeMap<Key, (String, Option<String>)>,
    /// The volumes that were told of.
    reported: BTreeSet<String>,
}

impl Objects {
    /// Why a stack must not be deployed with what it now is.
    pub fn objection(&self, key: &Key, rendered: &RenderedStack) -> Option<&String> {
        self.judged(key, rendered)?.as_ref()
    }

    /// What came of judging this very content: a newer commit may be read in the same run.
    fn judged(&self, key: &Key, rendered: &RenderedStack) -> Option<&Option<String>> {
        let (fingerprint, why) = self.judged.get(key)?;
        (*fingerprint == rendered.fingerprint).then_some(why)
    }

    fn take(&mut self, source: &WatchedSource, rendered: &RenderedStack) {
        for object in &rendered.objects {
            let holder = (source.url.clone(), rendered.name.clone());
            self.taken.entry((object.kind, fold(&object.name))).or_insert(holder);
        }
    }
}

impl Reconciler {
    /// Judges the stacks that are to be deployed, and notes volumes that two sources use. docker is asked at most
    /// once a run for each kind of which a stack to be deployed chose a name. What is being removed, or is to be, is
    /// as good as gone.
    pub fn judge_objects(
        &mut self,
        session: &Session<'_>,
        decisions: &[(Key, Decision)],
        swarm: &Swarm,
    ) -> Result<()> {
        let mut objects = std::mem::take(&mut self.memory.objects);
        let judged = self.judge_names(session, decisions, swarm, &mut objects);
        self.memory.objects = objects;
        judged
    }

    fn judge_names(
        &self,
        session: &Session<'_>,
        decisions: &[(Key, Decision)],
        swarm: &Swarm,
        objects: &mut Objects,
    ) -> Result<()> {
        let gone: BTreeSet<_> = decisions
            .iter()
            .filter(|(_, decision)| matches!(decision, Decision::Remove(_)))
            .map(|(key, _)| &key.stack)
            .chain(self.memory.removing.keys().map(|key| &key.stack))
            .collect();
        let mut due = Vec::new();
        for (key, decision) in decisions {
            let Some(source) = self.sources.iter().find(|source| source.id == key.source) else { continue };
            let Some(rendered) = source.desired(&key.stack).and_then(DesiredStack::rendered) else {
                continue;
            };
            match decision {
                Decision::Apply(apply) if matches!(apply.how, How::Deploy { .. }) => {
                    if objects.judged(key, rendered).is_none() {
                        due.push((key, source, rendered));
                    }
                }
                // What was applied is there.
                Decision::Apply(_) | Decision::InSync { .. } | Decision::InMotion => {
                    objects.take(source, rendered);
                }
                Decision::Remove(_) | Decision::Blocked(_) => {}
            }
        }
        // Those that were deployed before come first: they may have it already.
        due.sort_by_key(|(_, source, rendered)| !has_run(source, rendered));
        let chosen =
            due.iter().flat_map(|(.., rendered)| &rendered.objects).filter(|object| object.is_chosen);
        for kind in chosen.map(|object| object.kind).collect::<BTreeSet<_>>() {
            if let Entry::Vacant(entry) = objects.there.entry(kind) {
                entry.insert(session.door.holders(kind)?);
            }
        }
        for (key, source, rendered) in due {
            let mut whys = rendered.objects.iter();
            let why = whys.find_map(|object| self.why_not(objects, source, rendered, object, &gone));
            let why = why.or_else(|| service_of_another(rendered, swarm, &gone));
            let why = match why {
                Some(why) => Some(why),
                None => network_by_id(session, source, rendered)?,
            };
            if why.is_none() {
                objects.take(source, rendered);
                self.note_volumes(session, objects, source, rendered, swarm);
            }
            objects.judged.insert(key.clone(), (rendered.fingerprint.clone(), why));
        }
        Ok(())
    }

    fn why_not(
        &self,
        objects: &Objects,
        source: &WatchedSource,
        rendered: &RenderedStack,
        object: &Object,
        gone: &BTreeSet<&StackName>,
    ) -> Option<String> {
        let stack = &rendered.name;
        let key = (object.kind, fold(&object.name));
        let taken = objects.taken.get(&key).filter(|(url, name)| (url, name) != (&source.url, stack));
        if let Some((url, name)) = taken {
            return Some(sentence(stack, object, &format!("is the stack `{name}`'s, of `{url}`")));
        }
        let holders = objects.there.get(&object.kind)?.get(&key.1)?;
        if holders.contains(stack) {
            return None;
        }
        let holder = holders.iter().find(|holder| !gone.contains(holder))?;
        let whose = if holder.as_str().is_empty() {
            "is there already, and no stack made it".to_owned()
        } else {
            let of = self.sources.iter().find(|source| source.stack(holder).is_some());
            let of = of.map(|source| format!(", of `{}`", source.url)).unwrap_or_default();
            format!("is the stack `{holder}`'s{of}")
        };
        Some(sentence(stack, object, &whose))
    }

    /// Says once a run of each volume that a stack of another source uses too: it may be meant.
    fn note_volumes(
        &self,
        session: &Session<'_>,
        objects: &mut Objects,
        source: &WatchedSource,
        rendered: &RenderedStack,
        swarm: &Swarm,
    ) {
        for (volume, key) in &rendered.volumes {
            let live = swarm.services.iter().filter(|service| service.stack != rendered.name);
            let live = live.filter_map(|service| Some((plan::owner(service)?, service)));
            let mut live = live.filter(|(owner, service)| source.id != **owner && mounts(service, volume));
            let other = live.next().map(|(owner, service)| (owner, &*service.name));
            let Some((owner, user)) = other.or_else(|| self.declared(source, rendered, volume)) else {
                continue;
            };
            if objects.reported.insert(volume.clone()) {
                let text = format!(
                    "its volume `{key}` is the docker volume `{volume}`, which `{user}` of `{owner}` uses as well"
                );
                session.report.note(source.subject(&rendered.name), &text);
            }
        }
    }

    /// The stack of another source, read in this run, that declares the volume.
    fn declared(
        &self,
        source: &WatchedSource,
        rendered: &RenderedStack,
        volume: &str,
    ) -> Option<(&str, &str)> {
        let others = self.sources.iter().filter(|other| other.id != source.id);
        let stacks = others.filter_map(|other| Some((other, &other.read()?.desired)));
        let mut stacks =
            stacks.flat_map(|(other, desired)| desired.iter().map(move |desired| (other, desired)));
        stacks.find_map(|(other, desired)| {
            let theirs = desired.rendered()?;
            let uses = theirs.name != rendered.name && theirs.volumes.contains_key(volume);
            uses.then_some((other.url.as_str(), theirs.name.as_str()))
        })
    }
}

/// Of the stack `a` the service `b_c` has the name that `c` has in `a_b`.
fn service_of_another(
    rendered: &RenderedStack,
    swarm: &Swarm,
    gone: &BTreeSet<&StackName>,
) -> Option<String> {
    let stack = &rendered.name;
    rendered.services.iter().find_map(|service| {
        let name = stack.scope(&service.name);
        let live = swarm.services.iter().find(|live| live.name.eq_ignore_ascii_case(&name))?;
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

/// docker takes the name of no network for the beginning of an id, and what it finds by that nobody has checked.
fn network_by_id(
    session: &Session<'_>,
    source: &WatchedSource,
    rendered: &RenderedStack,
) -> Result<Option<String>> {
    let rules = session.rules_for(&source.source)?;
    let names = rules.map(|rules| rules.networks_to_find(rendered.tree())).unwrap_or_default();
    if names.is_empty() {
        return Ok(None);
    }
    let there = session.door.network_names()?;
    let missing = names.iter().find(|name| !there.contains(*name));
    Ok(missing.map(|name| {
        format!(
            "not deployed: no network is called `{name}`, and docker would take that for the beginning of an id; \
             `docker network create --driver overlay {name}` makes one"
        )
    }))
}

fn has_run(source: &WatchedSource, rendered: &RenderedStack) -> bool {
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
    let template = service.template.value();
    let mounts = template["ContainerSpec"]["Mounts"].as_array();
    mounts.into_iter().flatten().any(|mount| mount["Type"] == "volume" && mount["Source"] == volume)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_judged_says_nothing_of_a_newer_commit() {
        let (one, other) = (RenderedStack::of("web", &[], "1"), RenderedStack::of("web", &[], "2"));
        let (key, mut objects) = (Key::new(&"https://h/r".into(), &one.name), Objects::default());
        objects.judged.insert(key.clone(), ("1".into(), Some("why".into())));
        assert_eq!(objects.objection(&key, &one).map(String::as_str), Some("why"));
        assert!(objects.judged(&key, &other).is_none() && objects.objection(&key, &other).is_none());
    }
}
