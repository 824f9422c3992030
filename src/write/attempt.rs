//! One look at the newest commit: the edit that is asked for, made of it and judged.

use anyhow::Result;

use super::edit::{self, Edited};
use super::side::{FileChange, Side};
use super::{COMPARING, Desk, Order, Plan, Stop, Wish};
use crate::git::look_into;
use crate::git::push::{self, Draft, Made, Message, Tip};
use crate::policy::{Policy, Rules};
use crate::reading::Contents;
use crate::template::Template;
use crate::validate::change::Manager;

pub struct Attempt<'a> {
    pub desk: &'a Desk,
    pub order: Order<'a>,
    pub policy: Option<&'a Policy>,
    pub tip: &'a Tip<'a>,
}

/// An edit, and the commit that it would be.
struct Drafted {
    draft: Draft,
    subject: String,
    stays: Vec<String>,
}

/// What a commit has, read.
struct Read {
    contents: Contents,
    templates: Vec<Template>,
    side: Side,
}

impl Attempt<'_> {
    /// `first` is what mattered when it was looked at the first time.
    pub fn make(&self, first: &mut Option<Side>, plan: &mut Option<Plan>) -> Result<Made<Stop>> {
        let Order { source, stack, dry_run, beside, .. } = self.order;
        let rules = match self.policy.map(|policy| policy.rules_for(source)) {
            Some(None) => return Ok(Made::Stop(Stop::ruled_out(source))),
            Some(Some(rules)) if rules.signed().is_some() => return Ok(Made::Stop(Stop::unsigned())),
            rules => rules.flatten(),
        };
        let files = self.tip.checkout();
        let folder = files.beside();
        let manager = self.manager(rules, &folder);
        let read = self.read(&manager, self.tip)?;
        let moved = self.moved(&manager, first, &read.side, plan.as_ref());
        let drafted = match self.draft(self.tip, &read)? {
            Ok(drafted) => drafted,
            // What is so already was not lost, whoever else changed something.
            Err(Stop::Same) => return Ok(Made::Stop(Stop::Same)),
            Err(stop) => return Ok(Made::Stop(moved.unwrap_or(stop))),
        };
        let Drafted { draft, subject, stays } = drafted;
        if let Some(stop) = moved {
            let is_so = self.tip.is_as(&draft)?;
            return Ok(Made::Stop(if is_so { Stop::Same } else { stop }));
        }
        let Read { contents: before, side: now, .. } = read;
        let base = self.tip.commit().as_str();
        let mut judged = manager.judge(base, (files, &before), draft.checkout(), stack.as_str())?;
        draft.checkout().take_failure().map_or(Ok(()), Err)?;
        beside.tell_what_leaves(&judged.after, &mut judged.diff);
        judged.diff.notes.extend(self.overruled(rules));
        let after = Side::of(draft.checkout(), judged.after.layout, self.order, Some(&now))?;
        let bindings = before.bindings.keys().filter(|id| !judged.after.bindings.contains_key(*id));
        let gone: Vec<_> = bindings.cloned().collect();
        let is_removal = matches!(self.order.wish, Wish::Remove);
        *plan = Some(Plan {
            base: base.to_owned(),
            subject,
            files: now.differences(Some(files), (&after, draft.checkout()), false, COMPARING),
            changes: judged.diff,
            stays,
            problems: judged.old,
            not_checked: judged.not_checked,
        });
        if !judged.wrong.is_empty() {
            return Ok(Made::Stop(Stop::Wrong {
                problems: judged.wrong,
                is_removal,
                was_wrong: judged.was_wrong,
            }));
        }
        if !gone.is_empty() {
            return Ok(Made::Stop(Stop::binds(stack, &gone)));
        }
        if is_removal {
            let settings = &self.desk.settings;
            for other in beside.neighbours(source, files, &settings.guard, settings.git.limits) {
                if let Some(stop) = other.harmed(&manager, files, draft.checkout())? {
                    return Ok(Made::Stop(stop));
                }
            }
        }
        *first = Some(now.remembered(files));
        Ok(if dry_run { Made::Stop(Stop::Planned) } else { Made::Push(draft) })
    }

    /// The options that do not count, as the daemon's environment has another value for them.
    fn overruled(&self, rules: Option<&Rules>) -> Vec<String> {
        let (Wish::Make { options, .. } | Wish::Change { options, .. }) = self.order.wish else {
            return Vec::new();
        };
        let environment = &self.desk.settings.docker_environment;
        let readable = rules.and_then(Rules::variables);
        let is_other = |name: &str, given: &serde_json::Value| {
            let given = given.as_str().map_or_else(|| given.to_string(), str::to_owned);
            readable.is_none_or(|readable| readable.matches(name))
                && environment.get(std::ffi::OsStr::new(name)).is_some_and(|own| own.to_str() != Some(&given))
        };
        let others = options.iter().filter(|(name, given)| is_other(name, given));
        let told = |(name, _): (&String, _)| {
            format!("the daemon's environment has `{name}` with another value, which wins over the option")
        };
        others.map(told).collect()
    }

    fn manager<'m>(&'m self, rules: Option<&'m Rules>, folder: &'m std::path::Path) -> Manager<'m> {
        let settings = &self.desk.settings;
        Manager {
            guard: &settings.guard,
            limits: settings.git.limits,
            environment: &settings.docker_environment,
            key: &self.desk.key,
            rules,
            folder,
        }
    }

    fn read(&self, manager: &Manager<'_>, tip: &Tip<'_>) -> Result<Read> {
        let files = tip.checkout();
        let contents = manager.read(files)?;
        let templates = match self.order.wish {
            Wish::Remove => Vec::new(),
            _ => manager.templates(files, &contents)?,
        };
        let side = Side::of(files, contents.layout, self.order, None)?;
        Ok(Read { contents, templates, side })
    }

    /// The commit on `tip` that is asked for.
    fn draft(&self, tip: &Tip<'_>, read: &Read) -> Result<Result<Drafted, Stop>> {
        let settings = &self.desk.settings;
        let here = edit::Here { guard: &settings.guard, limits: settings.git.limits };
        let edited = match edit::edit(tip, self.order, here, &read.contents, &read.templates) {
            Ok(edited) => edited,
            Err(stop) => return stop.map(Err),
        };
        let Edited { edit, subject, stays } = edited;
        match tip.draft(&edit, &Message::new(&subject, self.order.requested_by)) {
            Ok(draft) => Ok(Ok(Drafted { draft, subject, stays })),
            // What an edit refuses is told in its words; what a disk or a server does is not.
            Err(error)
                if push::is_full(&error)
                    || error
                        .chain()
                        .any(|cause| cause.is::<git2::Error>() || cause.is::<std::io::Error>()) =>
            {
                Err(error)
            }
            Err(error) => Ok(Err(Stop::refused(&error))),
        }
    }

    /// Why what was planned for another commit is not to be made of this one.
    fn moved(
        &self,
        manager: &Manager<'_>,
        first: &mut Option<Side>,
        now: &Side,
        plan: Option<&Plan>,
    ) -> Option<Stop> {
        let tip = self.tip.commit();
        if first.is_none()
            && let Some(seen) = self.order.seen.filter(|seen| *seen != tip)
        {
            let Order { source, .. } = self.order;
            let then = look_into(source, seen, &self.desk.settings.git, |base| {
                Ok(Side::at(base, self.order)?.remembered(base))
            });
            match then {
                Ok(then) => *first = Some(then),
                Err(_) => return Some(Stop::forgotten(seen, tip)),
            }
        }
        let then = first.as_ref().filter(|then| !then.is_same(now))?;
        let ours = match plan {
            Some(plan) => plan.files.clone(),
            // It is refused either way: what cannot be had of the older commit is not told.
            None => self.order.seen.and_then(|seen| self.ours(manager, seen).ok()).unwrap_or_default(),
        };
        Some(Stop::Changed {
            tip: tip.clone(),
            ours,
            theirs: then.differences(None, (now, self.tip.checkout()), true, COMPARING),
        })
    }

    /// What would have come of it at the commit that was looked at.
    fn ours(&self, manager: &Manager<'_>, seen: &crate::git::Commit) -> Result<Vec<FileChange>> {
        let then = self.tip.at(seen)?;
        let read = self.read(manager, &then)?;
        let Ok(Drafted { draft, .. }) = self.draft(&then, &read)? else { return Ok(Vec::new()) };
        let after = Side::of(draft.checkout(), read.contents.layout, self.order, Some(&read.side))?;
        Ok(read.side.differences(Some(then.checkout()), (&after, draft.checkout()), false, COMPARING))
    }
}
