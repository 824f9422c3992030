//! The templates of all watched sources, at the commit that is known of each: read when somebody asks, from what is kept
//! of it, and remembered as long as their folder is the same.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Value, json};

use super::Web;
use super::request::Head;
use super::response::Response;
use crate::budget::Budget;
use crate::fault::{OrHint, fault};
use crate::git::{Base, Commit, look_into};
use crate::manifest::{Origin, TEMPLATES};
use crate::problem::Problem;
use crate::report::harmless;
use crate::settings::GitAccess;
use crate::source::SourceUrl;
use crate::template::{self, Parameter, Template};
use crate::watched::Watched;
use crate::write::origins;

/// How long is waited for somebody else who reads the same.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is told of them, by source.
#[derive(Debug)]
pub struct Templates {
    access: GitAccess,
    known: Mutex<BTreeMap<SourceUrl, Arc<Place>>>,
    /// The last answer that told of all.
    told: Mutex<Option<Told>>,
}

/// The source and its commit.
type Key = (SourceUrl, String);

/// What it was made of, and the answer.
type Told = (Vec<Key>, Arc<[u8]>);

/// Where those of one source are, or come to be: of many askers one reads, and the others wait for it.
#[derive(Debug, Default)]
struct Place {
    state: Mutex<Reading>,
    is_over: Condvar,
}

#[derive(Debug, Default)]
struct Reading {
    known: Option<Known>,
    is_under_way: bool,
}

/// Ends a reading, whatever comes of it.
struct End<'a>(&'a Place);

impl Drop for End<'_> {
    fn drop(&mut self) {
        lock(&self.0.state).is_under_way = false;
        self.0.is_over.notify_all();
    }
}

/// Those of one source.
#[derive(Debug, Clone)]
pub struct Known {
    pub commit: String,
    /// git's id of the folder that they lie in; none where there is no such folder.
    folder: Option<String>,
    pub templates: Arc<Vec<TemplateView>>,
    /// What its stacks were made from, by stack; none where stacks do not say so.
    pub origins: Option<Arc<BTreeMap<String, Origin>>>,
}

/// A template, as it is told.
#[derive(Debug, Serialize)]
pub struct TemplateView {
    pub name: String,
    /// git's id of its folder; none where that leads elsewhere.
    pub tree: Option<String>,
    pub title: Option<String>,
    pub description: Option<String>,
    pub parameters: Vec<Parameter>,
    schema: Value,
    pub problems: Vec<ProblemView>,
}

/// What is wrong with one.
#[derive(Debug, Serialize)]
pub struct ProblemView {
    pub file: String,
    pub line: Option<usize>,
    pub key: String,
    pub what: String,
}

/// All templates, or the one that is called `name`.
pub fn answer(web: &Web, name: &str, head: &Head) -> Result<Response> {
    let wanted = head.parameter("repository");
    let watched = web.view.watched()?;
    let is_wanted = |source: &&Watched| wanted.is_none_or(|wanted| source.row.url.shown() == wanted);
    let sources: Vec<_> = watched.iter().filter(is_wanted).collect();
    if sources.is_empty() && wanted.is_some() {
        return Ok(Response::refusal(404, "no such source is watched", "`/api/v1/repositories` lists them"));
    }
    let known = sources.into_iter().map(|source| Ok((source, web.templates.of(source)?)));
    let known = known.collect::<Result<Vec<_>>>()?;
    let key = |(source, known): &(&Watched, Known)| (source.row.url.clone(), known.commit.clone());
    let keys: Vec<Key> = known.iter().map(key).collect();
    // Held meanwhile: such an answer may be large, and is made by one at a time.
    let mut last = lock(&web.templates.told);
    if let Some((_, told)) = last.as_ref().filter(|(of, _)| name.is_empty() && *of == keys) {
        return Ok(Response::again(Arc::clone(told)));
    }
    let mut all = Vec::new();
    for (source, known) in known {
        all.extend(known.templates.iter().map(|template| {
            let mut told = json!(template);
            (told["repository"], told["commit"]) = (json!(source.row.url.shown()), json!(known.commit));
            let made = known.origins.iter().flat_map(|origins| origins.iter());
            let made = made.filter(|(_, origin)| origin.name == template.name);
            told["stacks"] = made
                .map(|(name, origin)| {
                    json!({ "name": name, "tree": origin.tree, "newest": known.is_newest(origin) })
                })
                .collect();
            told
        }));
    }
    if name.is_empty() {
        let response = Response::json(200, &json!({ "stackDefinitions": all }));
        *last = Some((keys, response.body()));
        return Ok(response);
    }
    all.retain(|template| template["name"] == name);
    Ok(match &all[..] {
        [] => Response::refusal(404, "there is no such template", "`/api/v1/stackDefinitions` lists them"),
        [template] => Response::json(200, template),
        _ => Response::refusal(
            409,
            "several sources have a template of that name",
            "say whose, by `?repository=`",
        ),
    })
}

impl Templates {
    pub fn new(access: GitAccess) -> Self {
        Self { access, known: Mutex::default(), told: Mutex::default() }
    }

    /// Those of this source; an error where it cannot be read, for a list without its templates would be a lie.
    pub fn of(&self, source: &Watched) -> Result<Known> {
        let (url, commit) = (&source.row.url, source.row.commit.as_deref());
        let commit = commit.ok_or_else(|| {
            let why = source.row.error.as_deref().map(|error| format!(": {}", harmless(error)));
            let hint =
                "it can be asked for when the first sync of it is done; `?repository=` names another one";
            fault(format!("source `{}` was not read yet{}", url.shown(), why.unwrap_or_default()), hint)
        })?;
        let place = Arc::clone(lock(&self.known).entry(url.clone()).or_default());
        let before = match place.take(commit, PATIENCE) {
            Some(Turn::Known(known)) => return Ok(known),
            Some(Turn::Read(before)) => before,
            None => {
                let what = format!("the templates of source `{}` are being read", url.shown());
                return Err(fault(what, "ask again in a moment; `?repository=` names another source"));
            }
        };
        let end = End(&place);
        let found = self.read(url, commit, before.as_ref()).or_hint("`?repository=` names another source")?;
        lock(&place.state).known = Some(found.clone());
        drop(end);
        Ok(found)
    }

    /// What a stack was made from, and whether that is what its template is now; `None` where it was made by hand, or
    /// nobody can tell.
    pub fn origin(&self, source: &Watched, stack: &str) -> Option<Value> {
        let known = self.of(source).ok()?;
        let origin = known.origins.as_ref()?.get(stack)?;
        Some(json!({ "name": origin.name, "tree": origin.tree, "newest": known.is_newest(origin) }))
    }

    fn read(&self, url: &SourceUrl, commit: &str, before: Option<&Known>) -> Result<Known> {
        let source = url.parse().with_context(|| format!("source `{}`", url.shown()))?;
        look_into(&source, &Commit::parse(commit)?, &self.access, |base| {
            let folder = folder(base)?;
            let same = before.filter(|before| before.folder == folder);
            let templates = match same {
                Some(before) => Arc::clone(&before.templates),
                None if folder.is_none() => Arc::default(),
                None => Arc::new(told(base, &Budget::new(self.access.limits))?),
            };
            let origins = origins(base).map(Arc::new);
            Ok(Known { commit: commit.to_owned(), folder, templates, origins })
        })
    }
}

/// What who asks is to do.
enum Turn {
    Known(Known),
    /// To read them, from what was known before on; and to end that.
    Read(Option<Known>),
}

impl Place {
    /// `None` where somebody reads for too long.
    fn take(&self, commit: &str, patience: Duration) -> Option<Turn> {
        let until = Instant::now() + patience;
        let mut state = lock(&self.state);
        loop {
            if let Some(known) = state.known.as_ref().filter(|known| known.commit == commit) {
                return Some(Turn::Known(known.clone()));
            }
            if !state.is_under_way {
                state.is_under_way = true;
                return Some(Turn::Read(state.known.clone()));
            }
            let left = until.checked_duration_since(Instant::now())?;
            state = self.is_over.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Known {
    /// Whether its template is still what a stack was made from.
    pub fn is_newest(&self, origin: &Origin) -> bool {
        self.templates.iter().any(|it| it.name == origin.name && it.tree.as_ref() == Some(&origin.tree))
    }
}

/// git's id of the folder of the templates.
fn folder(base: &Base) -> Result<Option<String>> {
    if !base.root().has(base.dir(), TEMPLATES) {
        return Ok(None);
    }
    let path = base.root().resolve(base.dir(), TEMPLATES)?;
    // git itself has no empty folder.
    if path.is_dir() && base.root().names(&path).is_empty() {
        return Err(fault(
            format!("`{TEMPLATES}` is a submodule, whose files are not kept"),
            "put the folder itself into the repository",
        ));
    }
    base.content_id(&path).map(Some)
}

fn told(base: &Base, budget: &Budget) -> Result<Vec<TemplateView>> {
    template::read(base.root(), base.dir(), budget).into_iter().map(|template| one(base, template)).collect()
}

fn one(base: &Base, template: Template) -> Result<TemplateView> {
    // One that leads elsewhere has none, and says why.
    let path = base.root().resolve(base.root().path(), &template.folder.display().to_string()).ok();
    let tree = path.map(|path| base.content_id(&path)).transpose()?;
    Ok(TemplateView::of(template, tree))
}

impl TemplateView {
    pub fn of(template: Template, tree: Option<String>) -> Self {
        let schema = template::schema(&template);
        let Template { name, title, description, parameters, problems, .. } = template;
        let view =
            |it: Problem| ProblemView { what: harmless(&it.what), file: it.file, line: it.line, key: it.key };
        let problems = problems.into_iter().map(view).collect();
        Self { name, tree, title, description, parameters, schema, problems }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(commit: &str) -> Known {
        Known { commit: commit.into(), folder: None, templates: Arc::default(), origins: None }
    }

    #[test]
    fn one_reads_and_nobody_waits_for_ever() {
        let place = Place::default();
        assert!(matches!(place.take("a", PATIENCE), Some(Turn::Read(None))));
        let end = End(&place);
        let begun = Instant::now();
        assert!(place.take("a", Duration::from_millis(50)).is_none());
        assert!(begun.elapsed() < PATIENCE);
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| place.take("a", PATIENCE));
            lock(&place.state).known = Some(known("a"));
            drop(end);
            assert!(matches!(waiter.join().unwrap(), Some(Turn::Known(_))));
        });
        // What failed is read again by the next.
        assert!(matches!(place.take("b", PATIENCE), Some(Turn::Read(Some(_)))));
        drop(End(&place));
        assert!(matches!(place.take("b", PATIENCE), Some(Turn::Read(Some(_)))));
    }
}
