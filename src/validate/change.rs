//! A change of a source that nobody has yet, judged on the manager that would deploy it: what it would do, and what it
//! would make wrong that was right.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use anyhow::{Error, Result};

use super::diff::{Diff, Sides};
use super::{Mistake, Verdict, docker};
use crate::budget::{Budget, Limits};
use crate::docker::Docker;
use crate::guard::Guard;
use crate::hash::Key;
use crate::manifest::Place;
use crate::policy::Rules;
use crate::reading::{self, ByDocker, Contents, Environment, Files, Reader};
use crate::signal;
use crate::template::Template;

/// What decides what files mean on this manager.
pub struct Manager<'a> {
    pub guard: &'a Guard,
    pub limits: Limits,
    /// What docker inherits, and `${…}` may read.
    pub environment: &'a BTreeMap<OsString, OsString>,
    /// What is told of contents is told by this one.
    pub key: &'a Key,
    pub rules: Option<&'a Rules>,
    /// For what docker merges.
    pub folder: &'a Path,
}

/// What a change comes to.
pub struct Judged {
    pub after: Contents,
    pub diff: Diff,
    /// What it would make wrong; also what is wrong with the whole, with the stack, or was all along.
    pub wrong: Vec<Mistake>,
    /// Whether all of that was wrong before.
    pub was_wrong: bool,
    /// What is wrong already, with other stacks.
    pub old: Vec<Mistake>,
    /// What could not be checked.
    pub not_checked: Vec<String>,
}

impl Manager<'_> {
    /// All that the files of a source say, as a sync would read them.
    pub fn read(&self, files: &dyn Files) -> Result<Contents> {
        self.reading(|reader| reading::read(files, reader))
    }

    /// Its templates.
    pub fn templates(&self, files: &dyn Files, contents: &Contents) -> Result<Vec<Template>> {
        self.reading(|reader| reading::templates(files, reader, contents))
    }

    fn reading<T>(&self, read: impl FnOnce(&Reader<'_>) -> Result<T>) -> Result<T> {
        let docker = Docker::new(self.environment, docker::LIMIT);
        let budget = &Budget::new(self.limits);
        let reader = Reader {
            place: Place::Here { guard: self.guard, try_writing: false },
            budget,
            environment: Environment::Known(self.environment),
            key: &|| Ok(self.key),
            merger: &ByDocker { docker: &docker, folder: self.folder },
            rules: self.rules,
        };
        let found = read(&reader)?;
        signal::check()?;
        budget.exceeded().map_or(Ok(found), |exceeded| Err(Error::from(exceeded)))
    }

    /// Judges the files `after`, beside those `before`, which are of the commit `base`; docker is asked about `stack`
    /// alone.
    pub fn judge(
        &self,
        base: &str,
        (before, old): (&dyn Files, &Contents),
        after: &dyn Files,
        stack: &str,
    ) -> Result<Judged> {
        let new = self.read(after)?;
        let (was, mut verdict) = (verdict(old), verdict(&new));
        let mut texts = verdict.texts(&new)?;
        texts.retain(|given| given.name == stack);
        docker::ask(self.environment, &texts, &mut verdict)?;
        drop(texts);
        let own = new.stacks.iter().filter(|it| it.entry.name.as_str() == stack);
        verdict.say_what_only_the_swarm_knows(own);
        let diff = Sides { before: (before, old), after: (after, &new) }.compare("", base, &verdict)?;
        let is_whole = new.unclear.is_empty();
        let is_old = |mistake: &Mistake| {
            let is_of_another = mistake.stack.as_deref().map_or(is_whole, |name| name != stack);
            is_of_another && was.problems.iter().any(|known| known.is_same(mistake))
        };
        let (old, wrong): (Vec<_>, Vec<_>) = verdict.problems.into_iter().partition(is_old);
        let known = |mistake: &Mistake| was.problems.iter().find(|known| known.is_same(mistake));
        let was_wrong = !wrong.is_empty() && wrong.iter().all(|mistake| known(mistake).is_some());
        // Where the author finds them: in the files as they are.
        let there = |mistake: Mistake| known(&mistake).cloned().unwrap_or(mistake);
        let [old, wrong] = [old, wrong].map(|all| all.into_iter().map(there).collect());
        Ok(Judged { after: new, diff, wrong, was_wrong, old, not_checked: verdict.not_checked })
    }
}

fn verdict(contents: &Contents) -> Verdict {
    let mut verdict = Verdict::default();
    verdict.add_stacks(contents);
    verdict.add_problems(contents);
    verdict
}

impl Mistake {
    /// Wherever in its file it stands: an edit moves lines, and entries that are called by their number.
    fn is_same(&self, other: &Self) -> bool {
        fn key(mistake: &Mistake) -> &str {
            let numbered = mistake.key.strip_prefix("entry ");
            numbered
                .map_or(&*mistake.key, |rest| rest.trim_start_matches(|letter: char| letter.is_ascii_digit()))
        }
        (&self.file, key(self), &self.what, &self.stack)
            == (&other.file, key(other), &other.what, &other.stack)
    }
}
