//! The files of a source, read: what it declares, its stacks as docker would get them, and all that is wrong.
//!
//! In: where the files lie, what they may cost, and what variables may see. Out: `Contents`, in which every mistake has
//! its place: one stack's, one binding's, or the whole source's. It knows nothing of what is deployed, and docker only as
//! who merges compose files, so that `watch` on a manager and `validate` on a laptop are told the same of the same files.

mod bindings;
mod jobs;
mod merging;
mod policy;
mod templates;
mod unknown;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::Path;

use anyhow::{Error, Result};

use crate::budget::Budget;
use crate::compose::{self, Asked, Merger, Mount, Origin, RenderedStack, Unrenderable, Volumes};
use crate::git::{Checkout, Tracked};
use crate::hash::Key;
use crate::manifest::{self, ImageSource, Layout, Place, StackEntry};
use crate::paths::Root;
use crate::policy::Rules;
use crate::problem::{Problem, Problems, Room};

#[cfg(test)]
pub use bindings::tree;
pub use bindings::{Binding, Bindings};
pub use merging::ByDocker;
use policy::Held;
pub use templates::{example, templates};

/// Where the files of a source lie.
pub trait Files {
    /// No file outside of it is read.
    fn root(&self) -> &Root;
    /// The folder of the manifest.
    fn dir(&self) -> &Path;
    /// All files at and below `path`, which is absolute and has no symlink in it, as git has them.
    fn tracked(&self, path: &Path) -> Result<Vec<Tracked>>;
}

impl Files for Checkout {
    fn root(&self) -> &Root {
        self.root()
    }

    fn dir(&self) -> &Path {
        self.dir()
    }

    fn tracked(&self, path: &Path) -> Result<Vec<Tracked>> {
        self.tracked(path)
    }
}

/// What variables see beside `.env`.
#[derive(Debug, Clone, Copy)]
pub enum Environment<'a> {
    Known(&'a BTreeMap<OsString, OsString>),
    /// Nobody knows what the daemon's will be: no mistake is told that it alone decides about.
    Unknown,
}

/// How files are read.
pub struct Reader<'a> {
    pub place: Place<'a>,
    pub budget: &'a Budget,
    pub environment: Environment<'a>,
    /// The installation's key; asked for once a stack needs it.
    pub key: &'a dyn Fn() -> Result<&'a Key>,
    /// Who merges the compose files of a stack that has several.
    pub merger: &'a dyn Merger,
    /// What the operator lets the source do; anything without them.
    pub rules: Option<&'a Rules>,
}

/// All that the files of a source say.
#[derive(Debug)]
pub struct Contents {
    /// What names its stacks.
    pub layout: Layout,
    pub stacks: Vec<Stack>,
    /// What services may refer to, by id.
    pub volumes: Volumes,
    pub bindings: Bindings,
    pub images: Vec<ImageSource>,
    /// What makes the whole unclear.
    pub unclear: Problems,
    /// What is wrong with stacks, of all together.
    pub of_stacks: Problems,
    /// The wrong bindings that a stack mounts.
    used: BTreeSet<String>,
}

/// A stack of a source.
#[derive(Debug)]
pub struct Stack {
    pub entry: StackEntry,
    /// What docker would get; `None` where it is disabled.
    pub rendered: Option<Result<RenderedStack, Wrong>>,
    /// The variables that it wants of an environment that is not known.
    pub asked: Asked,
    /// What would be wrong if none of them were set.
    pub unless_set: Vec<Problem>,
}

/// Why a stack cannot be rendered.
#[derive(Debug)]
pub enum Wrong {
    /// Its files are wrong.
    Files(Problems),
    /// It cannot be deployed as variables are set.
    Here(Error),
    /// Its compose files are right as far as can be told, and nobody here merges them.
    Unmerged(Error),
}

/// Reads the manifest and renders its stacks. An error is one of the key; where a limit was passed, what else is wrong
/// was not read to its end.
pub fn read(files: &dyn Files, reader: &Reader<'_>) -> Result<Contents> {
    let budget = reader.budget;
    let mut unclear = Problems::default();
    let mut place = reader.place;
    if let Some(wrong) = policy::folder(files, reader.rules) {
        unclear.extend([wrong]);
        place = place.without_writing();
    }
    let (manifest, wrong) = manifest::read(files.root(), files.dir(), place, budget);
    unclear.extend(wrong);
    unclear.extend(policy::builds(reader.rules, &manifest.images));
    let (volumes, bindings) = bindings::read(files, &manifest, reader.rules, budget);
    let built = manifest.images.iter().map(|image| image.name.clone()).collect();
    let held = Held::new(reader.rules, &built);
    let mut contents = Contents {
        layout: manifest.layout,
        stacks: Vec::new(),
        volumes,
        bindings,
        images: manifest.images,
        unclear,
        of_stacks: Problems::default(),
        used: BTreeSet::new(),
    };
    let mut room = Room::default();
    for entry in manifest.stacks {
        if budget.exceeded().is_some() {
            break;
        }
        let stack = contents.stack(files, reader, held, entry, &mut room)?;
        contents.stacks.push(stack);
    }
    Ok(contents)
}

impl Contents {
    /// The wrong bindings that no stack was seen to mount.
    pub fn unused(&self) -> impl Iterator<Item = (&String, &Problem)> {
        self.volumes.iter().filter_map(|(id, mount)| match mount {
            Mount::Wrong(problem) if !self.used.contains(id) => Some((id, problem)),
            _ => None,
        })
    }

    fn stack(
        &mut self,
        files: &dyn Files,
        reader: &Reader<'_>,
        held: Held<'_>,
        mut entry: StackEntry,
        room: &mut Room,
    ) -> Result<Stack> {
        let (mut asked, mut unless_set) = (Asked::default(), Vec::new());
        let mut found = std::mem::take(&mut entry.wrong);
        let forbidden = policy::name(files, self, reader.rules, &entry).filter(|_| entry.enabled);
        entry.is_forbidden = forbidden.is_some();
        found.extend(forbidden);
        let rendered = match entry.files.as_deref().filter(|_| entry.enabled) {
            None if found.is_empty() => None,
            None => Some(Err(self.wrong(found, room))),
            Some(its_files) => {
                let key = (reader.key)()?;
                let origin = Origin {
                    root: files.root(),
                    files: its_files,
                    budget: reader.budget,
                    merger: reader.merger,
                    readable: reader.rules.and_then(Rules::variables),
                };
                let rendered = match reader.environment {
                    Environment::Known(known) => {
                        compose::load(&entry.name, origin, known, &self.volumes, key)
                            .and_then(|rendered| held.judge(rendered))
                    }
                    Environment::Unknown => {
                        let told = unknown::load(&entry.name, origin, &self.volumes, key, held);
                        (asked, unless_set) = (told.asked, told.unless_set);
                        told.rendered
                    }
                };
                if let Ok(rendered) = &rendered {
                    found.extend(jobs::wrong(&entry.jobs, rendered));
                }
                Some(match rendered {
                    Ok(rendered) if found.is_empty() => Ok(rendered),
                    Err(Unrenderable::Stack(error)) if found.is_empty() => Err(Wrong::Here(error)),
                    Err(Unrenderable::Unmerged(error)) if found.is_empty() => Err(Wrong::Unmerged(error)),
                    rendered => {
                        if let Err(Unrenderable::Invalid(more)) = rendered {
                            found.extend(more);
                        }
                        Err(self.wrong(found, room))
                    }
                })
            }
        };
        Ok(Stack { entry, rendered, asked, unless_set })
    }

    fn wrong(&mut self, problems: Vec<Problem>, room: &mut Room) -> Wrong {
        let used = self
            .volumes
            .iter()
            .filter(|(_, mount)| matches!(mount, Mount::Wrong(problem) if problems.contains(problem)));
        self.used.extend(used.map(|(id, _)| id.clone()));
        let problems = Problems::of_stack(problems, room);
        self.of_stacks.absorb(&problems);
        Wrong::Files(problems)
    }
}
