//! A folder checked by the code that `watch` reads repositories with, and told without a Swarm.
//!
//! In: a folder, and for a comparison a commit. Out: a `Verdict`, in which every mistake has file, line and key, and which
//! says what could not be checked. Nothing is written but temporary files of a comparison; docker is asked where it is
//! installed, and needs no daemon for that.

pub mod annotations;
pub mod change;
pub mod diff;
mod docker;
mod losses;
mod markdown;
pub mod quality;
mod templates;
mod text;
mod variables;

use std::ffi::OsStr;
use std::path::Path;

use anyhow::{Context, Error, Result};
use serde::Serialize;

use crate::budget::Budget;
use crate::compose::{Ownership, as_problem};
use crate::docker::Docker;
use crate::fault::fault;
use crate::git::{Base, Tracked, Worktree};
use crate::hash::Key;
use crate::manifest::{self, Place};
use crate::paths::Root;
use crate::plain;
use crate::policy::{self, Policy, Rules, Trust};
use crate::problem::Problem;
use crate::reading::{self, ByDocker, Contents, Environment, Files, Reader, Stack, Wrong};
use crate::settings::CheckSettings;
use crate::signal;
use crate::source::Source;
use crate::template::Template;
use templates::Example;

/// Who a stack belongs to that nobody deploys.
const NOBODY: &str = "/validated";

/// What a folder was found to be. Its fields do not change their names.
#[derive(Debug, Default, Serialize)]
pub struct Verdict {
    pub right: bool,
    pub problems: Vec<Mistake>,
    /// How many mistakes there are beside these.
    pub more: usize,
    pub stacks: Vec<Listed>,
    pub templates: Vec<templates::Listed>,
    pub notes: Vec<Note>,
    pub variables: Vec<variables::Variable>,
    pub not_checked: Vec<String>,
    /// What a merge would do; `null` where nobody asked.
    pub diff: Option<diff::Diff>,
}

/// One mistake, and the stack that it stops, or the template; the whole source where there is neither.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Mistake {
    pub file: String,
    pub line: Option<usize>,
    pub key: String,
    pub what: String,
    pub stack: Option<String>,
    pub template: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct Listed {
    pub name: String,
    pub compose_path: String,
    pub enabled: bool,
    pub right: bool,
    pub services: Vec<String>,
    /// What it was made from, as `stacks.yaml` has it.
    pub template: Option<String>,
}

/// Something worth knowing of a stack or binding.
#[derive(Debug, Serialize)]
pub struct Note {
    pub about: String,
    pub what: String,
}

impl Files for Worktree {
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

impl Files for Base {
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

/// What is asked about a folder.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options<'a> {
    /// What it is compared with.
    pub reference: Option<&'a str>,
    /// Whether a required variable must be set.
    pub strict: bool,
    /// What it is held to.
    pub policy: Option<&'a Path>,
    /// By whose rules; those of `origin` without one.
    pub source: Option<&'a str>,
}

/// Checks the folder at `path`.
pub fn validate(settings: &CheckSettings, path: &Path, options: Options<'_>) -> Result<Verdict> {
    let policy =
        options.policy.map(|path| policy::read(&std::path::absolute(path)?, Trust::Anybody, OsStr::new("")));
    let policy = policy.transpose()?;
    let worktree = Worktree::open(path, &settings.git)?;
    let budget = Budget::new(settings.git.limits);
    // What is told of contents is told to nobody.
    let key = Key::new().context("cannot make a key")?;
    let rules = match &policy {
        Some(policy) => Some(rules_of(policy, options.source, &worktree)?),
        None => None,
    };
    let found = read(settings, &worktree, &budget, &key, rules, true);
    // Files that were too many were taken for wrong ones.
    worktree.exceeded().map_or(Ok(()), |exceeded| Err(Error::from(exceeded)))?;
    let (contents, templates, examples) = found?;
    let mut verdict = Verdict::default();
    verdict.add_stacks(&contents);
    verdict.add_ignored(&worktree);
    verdict.add_problems(&contents);
    verdict.add_templates(templates);
    verdict.add_variables(&contents, options.strict);
    let mut texts = verdict.texts(&contents)?;
    texts.extend(verdict.examples(&examples, &ownership()?));
    docker::ask(&settings.docker_environment, &texts, &mut verdict)?;
    verdict.say_what_only_a_manager_knows(&contents, &worktree);
    if let Some(rules) = rules {
        let what = "has the rules that this is held to".to_owned();
        verdict.notes.push(Note { about: rules.place().to_owned(), what });
    }
    if rules.is_some_and(|rules| rules.signed().is_some()) {
        verdict.not_checked.push("who signed the commit".into());
    }
    if let Some(reference) = options.reference {
        let base = Base::of(&worktree, reference, settings.git.limits)?;
        let spent = Budget::new(settings.git.limits);
        let (before, ..) = read(settings, &base, &spent, &key, None, false)?;
        if let Some(failure) = base.take_failure() {
            return Err(failure.context(format!("commit `{}`", base.commit().short())));
        }
        let sides = diff::Sides { before: (&base, &before), after: (&worktree, &contents) };
        verdict.diff = Some(sides.compare(reference, base.commit().as_str(), &verdict)?);
    }
    verdict.right = verdict.is_right();
    Ok(verdict)
}

/// The rules for the source that the folder is a work tree of.
fn rules_of<'a>(policy: &'a Policy, source: Option<&str>, worktree: &Worktree) -> Result<&'a Rules> {
    let origin = || {
        worktree.origin().ok_or_else(|| {
            fault(
                "nobody says which source this is: the repository has no remote `origin`",
                "`--source https://github.com/org/repo` says by whose rules it is held",
            )
        })
    };
    let source = Source::parse(&source.map_or_else(origin, |source| Ok(source.to_owned()))?)?;
    policy.rules_for(&source).ok_or_else(|| {
        fault(
            format!("the policy `{}` has no rules for `{source}`", policy.path().display()),
            "`--source` names another source, as it is watched",
        )
    })
}

fn read(
    settings: &CheckSettings,
    files: &dyn Files,
    budget: &Budget,
    key: &Key,
    rules: Option<&Rules>,
    with_templates: bool,
) -> Result<(Contents, Vec<Template>, Vec<Example>)> {
    let docker = Docker::new(&settings.docker_environment, docker::LIMIT);
    let merger = ByDocker { docker: &docker, folder: &tempfile::env::temp_dir() };
    let reader = Reader {
        place: Place::Elsewhere(&settings.guard),
        budget,
        environment: Environment::Unknown,
        key: &|| Ok(key),
        merger: &merger,
        rules,
    };
    let contents = reading::read(files, &reader)?;
    signal::check()?;
    budget.exceeded().map_or(Ok(()), |exceeded| Err(Error::from(exceeded)))?;
    let templates = if with_templates { reading::templates(files, &reader, &contents)? } else { Vec::new() };
    signal::check()?;
    let example = |template: &Template| {
        let rendered = reading::example(files, &reader, &contents, template)?;
        Ok(Example { name: template.name.clone(), rendered })
    };
    let examples =
        templates.iter().filter(|it| it.problems.is_empty()).map(example).collect::<Result<_>>()?;
    Ok((contents, templates, examples))
}

fn ownership() -> Result<Ownership> {
    Ok(Ownership { repository: Source::parse(NOBODY)?.id().clone(), commit: "0".repeat(40) })
}

impl Verdict {
    pub fn is_right(&self) -> bool {
        self.problems.is_empty() && self.more == 0
    }

    fn add(&mut self, problem: &Problem, stack: Option<&str>) {
        self.more += problem.more;
        for listed in self.stacks.iter_mut().filter(|listed| Some(listed.name.as_str()) == stack) {
            listed.right = false;
        }
        self.problems.push(Mistake::of(problem.clone(), stack.map(str::to_owned), None));
    }

    fn add_problems(&mut self, contents: &Contents) {
        let unclear = &contents.unclear;
        unclear.told().iter().for_each(|problem| self.add(problem, None));
        self.more += unclear.more();
        if !unclear.is_empty() {
            contents.unused().for_each(|(_, problem)| self.add(problem, None));
        }
        for Stack { entry, rendered, .. } in &contents.stacks {
            let name = Some(entry.name.as_str());
            match rendered {
                Some(Err(Wrong::Files(problems))) => {
                    problems.told().iter().for_each(|problem| self.add(problem, name));
                    self.more += problems.more();
                }
                Some(Err(Wrong::Here(error))) => self.add(&as_problem(error, &entry.compose_path), name),
                Some(Err(Wrong::Unmerged(why))) => {
                    let what = format!("what docker makes of the compose files of `{}`: {why:#}", entry.name);
                    self.not_checked.push(what);
                }
                Some(Ok(_)) | None => {}
            }
        }
    }

    fn add_ignored(&mut self, worktree: &Worktree) {
        for file in worktree.ignored() {
            let what = "is ignored by git: it counts here, and never gets to who watches".to_owned();
            self.notes.push(Note { about: file.display().to_string(), what });
        }
    }

    fn add_stacks(&mut self, contents: &Contents) {
        for Stack { entry, rendered, unless_set, .. } in &contents.stacks {
            let rendered = rendered.as_ref().map(Result::as_ref);
            let services = rendered.and_then(Result::ok).map(|rendered| &rendered.services);
            self.stacks.push(Listed {
                name: entry.name.to_string(),
                compose_path: entry.compose_path.clone(),
                enabled: entry.enabled,
                right: true,
                template: entry.template.as_ref().map(ToString::to_string),
                services: services.into_iter().flatten().map(|service| service.name.clone()).collect(),
            });
            let mut note = |what| self.notes.push(Note { about: entry.name.to_string(), what });
            for what in rendered.and_then(Result::ok).into_iter().flat_map(|rendered| &rendered.notes) {
                note(what.clone());
            }
            for problem in unless_set {
                note(format!("wrong where a variable of the daemon is not set: {problem}"));
            }
        }
        if contents.unclear.is_empty() {
            for (id, problem) in contents.unused() {
                self.notes
                    .push(Note { about: id.clone(), what: format!("no stack mounts it, and {problem}") });
            }
        }
    }

    /// What docker would be given, of each stack that is right.
    fn texts<'a>(&mut self, contents: &'a Contents) -> Result<Vec<docker::Given<'a>>> {
        let ownership = ownership()?;
        let mut texts = Vec::new();
        for stack in &contents.stacks {
            let Some(Ok(rendered)) = &stack.rendered else { continue };
            match rendered.text(&ownership) {
                Ok(text) => texts.push(docker::Given {
                    name: stack.entry.name.as_str(),
                    of: docker::Of::Stack,
                    rendered,
                    text,
                }),
                Err(error) => {
                    let problem = as_problem(&error, &stack.entry.compose_path);
                    self.add(&problem, Some(stack.entry.name.as_str()));
                }
            }
        }
        Ok(texts)
    }

    fn say_what_only_a_manager_knows(&mut self, contents: &Contents, worktree: &Worktree) {
        if manifest::has_nfs(worktree.root(), worktree.dir()) {
            self.not_checked
                .push("`nfs.path`: whether it is mounted on every node, and can be written to".into());
        }
        self.say_what_only_the_swarm_knows(contents.stacks.iter());
    }

    fn say_what_only_the_swarm_knows<'a>(&mut self, stacks: impl Iterator<Item = &'a Stack>) {
        let rendered = stacks.filter_map(|stack| stack.rendered.as_ref()?.as_ref().ok());
        let taken: std::collections::BTreeSet<_> = rendered
            .flat_map(|rendered| {
                let own: Vec<_> = rendered.scripts().iter().map(|script| script.name.clone()).collect();
                let all = rendered.taken().into_iter().chain(rendered.secrets().clone());
                all.filter(move |name| !own.contains(name))
            })
            .collect();
        if !taken.is_empty() {
            let names: Vec<_> =
                taken.iter().take(20).map(|name| format!("`{}`", plain::name(name))).collect();
            let more =
                if taken.len() > 20 { format!(" and {} more", taken.len() - 20) } else { String::new() };
            self.not_checked.push(format!("whether the Swarm has {}{more}", names.join(", ")));
        }
    }
}

impl Mistake {
    fn of(problem: Problem, stack: Option<String>, template: Option<String>) -> Self {
        let Problem { file, line, key, what, .. } = problem;
        Self { file, line, key, what, stack, template }
    }
}

impl std::fmt::Display for Mistake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { file, line, key, what, .. } = self;
        let (file, key, what) = (file.clone(), key.clone(), what.clone());
        Problem { file, line: *line, key, what, more: 0 }.fmt(f)
    }
}
