//! What a merge would do: the folder as it is, beside the commit that it parted from.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;
use similar::TextDiff;

use super::Verdict;
use crate::compose::{Becomes, RenderedStack, ServiceChange};
use crate::manifest::ImageSource;
use crate::plain;
use crate::reading::{Contents, Files, Stack, Wrong};

/// How long two files are compared with one another.
const LONGEST: Duration = Duration::from_secs(5);

/// What a merge would do. Its fields do not change their names.
#[derive(Debug, Serialize)]
pub struct Diff {
    /// What was named.
    pub reference: String,
    /// The commit that both have in common.
    pub base: String,
    pub stacks: Vec<StackChange>,
    pub images: Vec<Change>,
    pub bindings: Vec<Change>,
    /// What would be gone, or no more be seen by who uses it.
    pub lost: Vec<String>,
    pub notes: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct StackChange {
    pub name: String,
    pub becomes: StackBecomes,
    pub services: Vec<ServiceChange>,
    /// Configs and secrets that get another content, and so another name.
    pub rotated: Vec<String>,
    /// What else is said of it otherwise.
    pub why: Vec<String>,
    /// How the file that docker gets differs, without what looks like a secret.
    pub difference: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StackBecomes {
    Deployed,
    Removed,
    Changed,
    /// Its files are wrong: it stays as it was deployed last.
    Kept,
}

/// An image or a binding.
#[derive(Debug, Serialize)]
pub struct Change {
    pub name: String,
    pub what: String,
}

/// What was, and what is.
pub struct Sides<'a> {
    pub before: (&'a dyn Files, &'a Contents),
    pub after: (&'a dyn Files, &'a Contents),
}

impl Sides<'_> {
    pub fn compare(&self, reference: &str, base: &str, verdict: &Verdict) -> Result<Diff> {
        let (before, after) = (self.before.1, self.after.1);
        let images = self.images()?;
        let rebuilt: BTreeSet<_> =
            images.iter().filter(|(_, is_built)| *is_built).map(|(change, _)| change.name.clone()).collect();
        let [old, new]: [BTreeMap<_, _>; 2] = [before, after]
            .map(|side| side.stacks.iter().map(|stack| (stack.entry.name.as_str(), stack)).collect());
        let names: BTreeSet<_> = old.keys().chain(new.keys()).copied().collect();
        let wrong: BTreeSet<_> =
            verdict.stacks.iter().filter(|stack| !stack.right).map(|stack| stack.name.as_str()).collect();
        let stacks: Vec<_> = names
            .iter()
            .filter_map(|name| {
                let sides = (old.get(name).copied(), new.get(name).copied());
                stack(name, sides, wrong.contains(name), &rebuilt)
            })
            .collect();
        let mut notes = Vec::new();
        if !after.unclear.is_empty() {
            notes.push("the whole is wrong: nothing of this happens until that is mended".into());
        }
        if !before.unclear.is_empty() && !before.stacks.is_empty() {
            notes.push(format!("commit `{}` is wrong as a whole: {}", &base[..12], before.unclear));
        }
        let lost = self.lost(&stacks);
        let bindings = self.bindings();
        let images = images.into_iter().map(|(change, _)| change).collect();
        Ok(Diff { reference: reference.into(), base: base.into(), stacks, images, bindings, lost, notes })
    }

    /// The images that differ, each with whether it is built.
    fn images(&self) -> Result<Vec<(Change, bool)>> {
        let [old, new] = [self.before, self.after].map(|(files, contents)| -> Result<BTreeMap<_, _>> {
            let one = |image: &ImageSource| Ok((image.name.to_string(), content(files, image)?));
            contents.images.iter().map(one).collect()
        });
        let (old, new) = (old?, new?);
        let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
        let change = |name: &String| {
            let (what, is_built) = match (old.get(name), new.get(name)) {
                (Some(was), Some(is)) if was == is => return None,
                (Some(_), Some(_)) => {
                    ("is built anew: its context, its Dockerfile or its entry changes", true)
                }
                (None, _) => ("is built for the first time", true),
                _ => ("is built no more", false),
            };
            Some((Change { name: name.clone(), what: what.into() }, is_built))
        };
        Ok(names.into_iter().filter_map(change).collect())
    }
}

/// What decides whether an image is built.
fn content(files: &dyn Files, image: &ImageSource) -> Result<String> {
    let mut all = String::new();
    let below = |path: &Path| path.strip_prefix(files.root().path()).unwrap_or(path).display().to_string();
    let mut beside = image.dockerfile.clone().into_os_string();
    beside.push(".dockerignore");
    let beside = PathBuf::from(beside);
    for path in [&image.context, &image.dockerfile, &beside] {
        if path.exists() {
            files.root().bring(path)?;
            for file in files.tracked(path)? {
                all += &format!(
                    "{} {:?} {}\n",
                    plain::name(&file.path.display().to_string()),
                    file.kind,
                    file.id
                );
            }
        }
    }
    // The same file under another name ignores other files.
    all += &below(&image.dockerfile);
    let ImageSource { target, args, platforms, push, .. } = image;
    Ok(all + &format!("{target:?} {args:?} {platforms:?} {push}"))
}

fn rendered(stack: Option<&Stack>) -> Option<&RenderedStack> {
    stack?.rendered.as_ref()?.as_ref().ok()
}

fn stack(
    name: &str,
    (before, after): (Option<&Stack>, Option<&Stack>),
    is_wrong: bool,
    rebuilt: &BTreeSet<String>,
) -> Option<StackChange> {
    let is_on = |stack: Option<&Stack>| stack.is_some_and(|stack| stack.entry.enabled);
    let (old, new) = (rendered(before), rendered(after));
    let is_unmerged = |stack: Option<&Stack>| {
        matches!(stack.and_then(|it| it.rendered.as_ref()), Some(Err(Wrong::Unmerged(_))))
    };
    let not_compared = is_unmerged(before) || is_unmerged(after);
    let mut why = Vec::new();
    let becomes = match (is_on(before), is_on(after)) {
        (false, false) => return None,
        (true, false) => {
            why.push(if after.is_some() { "`enabled: false`" } else { "no longer listed" }.to_owned());
            StackBecomes::Removed
        }
        (was_on, true) if is_wrong => {
            let then = if was_on { "it stays as it was deployed last" } else { "it is not deployed" };
            why.push(format!("its files are wrong, so {then}"));
            StackBecomes::Kept
        }
        (false, true) => StackBecomes::Deployed,
        (true, true) => StackBecomes::Changed,
    };
    if let (Some(before), Some(after), StackBecomes::Changed) = (before, after, becomes) {
        if before.entry.drift != after.entry.drift {
            why.push(format!("`drift: {}`", after.entry.drift.as_str()));
        }
        if before.entry.depends_on != after.entry.depends_on {
            why.push("`depends_on`".into());
        }
        if not_compared {
            why.push("not compared: nobody here merges its compose files".into());
        } else if old.is_none() {
            why.push("it was wrong before, so there is nothing to compare with".into());
        }
    }
    let mut services = match (old, new) {
        (Some(old), Some(new)) if becomes == StackBecomes::Changed => new.changes_since(old),
        (_, Some(new)) if becomes == StackBecomes::Deployed => every(new, Becomes::New),
        (Some(old), _) if becomes == StackBecomes::Removed => every(old, Becomes::Gone),
        _ => Vec::new(),
    };
    let mut rotated = Vec::new();
    if let (Some(old), Some(new), StackBecomes::Changed) = (old, new, becomes) {
        rotated = new.rotated_since(old);
        add_rebuilt(&mut services, new, rebuilt);
    }
    let difference = match becomes {
        StackBecomes::Kept => String::new(),
        _ if not_compared => String::new(),
        StackBecomes::Removed => difference(name, old, None),
        _ => difference(name, old, new),
    };
    let is_same = services.is_empty() && rotated.is_empty() && why.is_empty() && difference.is_empty();
    if becomes == StackBecomes::Changed && is_same {
        // The values of its variables may have changed: then a service has.
        return None;
    }
    Some(StackChange { name: name.to_owned(), becomes, services, rotated, why, difference })
}

fn every(stack: &RenderedStack, becomes: Becomes) -> Vec<ServiceChange> {
    let change = |name: &String| ServiceChange { name: name.clone(), becomes, why: Vec::new() };
    stack.services.iter().map(|service| change(&service.name)).collect()
}

/// Services that run an image that is built anew roll to it.
fn add_rebuilt(services: &mut Vec<ServiceChange>, stack: &RenderedStack, rebuilt: &BTreeSet<String>) {
    for service in &stack.services {
        let Some(image) =
            service.image.as_ref().map(ToString::to_string).filter(|image| rebuilt.contains(image))
        else {
            continue;
        };
        let why = format!("`{image}` is built");
        match services.iter_mut().find(|change| change.name == service.name) {
            Some(change) => {
                change.why.push(why);
                if change.becomes == Becomes::Updates {
                    change.becomes = Becomes::Rolls;
                }
            }
            None => services.push(ServiceChange {
                name: service.name.clone(),
                becomes: Becomes::Rolls,
                why: vec![why],
            }),
        }
    }
}

fn difference(name: &str, old: Option<&RenderedStack>, new: Option<&RenderedStack>) -> String {
    let [old, new] = [old, new].map(|stack| stack.map(RenderedStack::shown_to_strangers).unwrap_or_default());
    if old == new {
        return String::new();
    }
    let name = plain::name(name);
    let until = Instant::now() + LONGEST;
    let diff = TextDiff::configure().deadline(until).diff_lines(&*old, &*new);
    if Instant::now() >= until {
        return format!("{name} differs in too much to compare\n");
    }
    diff.unified_diff().context_radius(3).header(&format!("{name} before"), &name).to_string()
}

impl Diff {
    /// The stacks whose files differ, each with how.
    pub fn differences(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.stacks.iter().map(|stack| (stack.name.as_str(), stack.difference.as_str()));
        all.filter(|(_, difference)| !difference.is_empty())
    }

    /// For people, each line made plain.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "a merge into `{}`, from commit {} on:",
            plain::name(&self.reference),
            &self.base[..12]
        )];
        lines.extend(
            self.stacks
                .iter()
                .map(|stack| format!("  {} {}: {}", stack.verb(), plain::name(&stack.name), stack.told())),
        );
        for (word, changes) in [("image", &self.images), ("binding", &self.bindings)] {
            lines.extend(changes.iter().map(|change| {
                format!("  {word} {}: {}", plain::name(&change.name), plain::line(&change.what))
            }));
        }
        lines.extend(self.lost.iter().map(|lost| format!("  lost: {}", plain::line(lost))));
        lines.extend(self.notes.iter().map(|note| format!("  note: {}", plain::text(note))));
        if lines.len() == 1 {
            lines[0] += " nothing would change";
        }
        lines
    }
}

impl StackChange {
    pub fn verb(&self) -> &'static str {
        match self.becomes {
            StackBecomes::Deployed => "deploy",
            StackBecomes::Removed => "remove",
            StackBecomes::Changed => "change",
            StackBecomes::Kept => "keep",
        }
    }

    /// What becomes of it, in one line.
    pub fn told(&self) -> String {
        let mut parts = Vec::new();
        parts.extend(self.why.iter().map(|why| plain::line(why)));
        for service in &self.services {
            let why = plain::line(&service.why.join(", "));
            let why = if why.is_empty() { why } else { format!(" ({why})") };
            let what = match service.becomes {
                Becomes::New => "is new",
                Becomes::Gone => "is removed",
                Becomes::Rolls => "rolls",
                Becomes::Updates => "changes, its tasks run on",
            };
            parts.push(format!("`{}` {what}{why}", plain::name(&service.name)));
        }
        if !self.rotated.is_empty() {
            parts.push(format!("new content of {}", plain::line(&self.rotated.join(", "))));
        }
        if parts.is_empty() {
            parts.push("the file changes, and no service of it".into());
        }
        parts.join("; ")
    }
}
