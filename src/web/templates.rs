//! The templates of all watched sources, at the commit that is known of each: read when somebody asks, from what is kept
//! of it, and remembered as long as their folder is the same.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::Web;
use super::request::Head;
use super::response::Response;
use crate::budget::Budget;
use crate::fault::{OrHint, fault};
use crate::git::{Base, Commit, look_into};
use crate::manifest::{Origin, TEMPLATES, made};
use crate::report::harmless;
use crate::settings::GitAccess;
use crate::source::SourceUrl;
use crate::stack::StackName;
use crate::template::{self, Template};
use crate::watched::Watched;

/// What is told of them, by source.
#[derive(Debug)]
pub struct Templates {
    access: GitAccess,
    known: Mutex<BTreeMap<SourceUrl, Known>>,
}

#[derive(Debug, Clone)]
struct Known {
    commit: String,
    /// git's id of the folder that they lie in; none where there is no such folder.
    folder: Option<String>,
    templates: Arc<Vec<Value>>,
    /// The stacks that were made from them.
    made: Arc<Vec<(StackName, Origin)>>,
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
    let mut all = web.templates.of(&sources)?;
    if name.is_empty() {
        return Ok(Response::json(200, &json!({ "stackDefinitions": all })));
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
        Self { access, known: Mutex::default() }
    }

    /// Those of these sources; an error where one cannot be read, for a list without its templates would be a lie.
    fn of(&self, sources: &[&Watched]) -> Result<Vec<Value>> {
        // Held meanwhile, so that many askers are one.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = Vec::new();
        for source in sources {
            let (url, commit) = (&source.row.url, source.row.commit.as_deref());
            let shown = url.shown();
            let commit = commit.ok_or_else(|| {
                let why = source.row.error.as_deref().map(|error| format!(": {}", harmless(error)));
                let hint =
                    "it can be asked for when the first sync of it is done; `?repository=` names another one";
                fault(format!("source `{shown}` was not read yet{}", why.unwrap_or_default()), hint)
            })?;
            let found = match known.get(url).filter(|known| known.commit == commit) {
                Some(found) => found.clone(),
                None => {
                    let read = self.read(url, commit, known.get(url));
                    read.or_hint("`?repository=` names another source")?
                }
            };
            for template in &*found.templates {
                let mut template = template.clone();
                (template["repository"], template["commit"]) = (json!(shown), json!(commit));
                let of_it = found.made.iter().filter(|(_, origin)| template["name"] == origin.name);
                let of_it = of_it.map(|(name, origin)| {
                    json!({ "name": name, "tree": origin.tree, "newest": template["tree"] == origin.tree })
                });
                template["stacks"] = of_it.collect();
                all.push(template);
            }
            known.insert(url.clone(), found);
        }
        Ok(all)
    }

    /// What a stack was made from, and whether that is what its template is now; `None` where it was made by hand, or
    /// nobody can tell.
    pub fn origin(&self, source: &Watched, stack: &str) -> Option<Value> {
        let all = self.of(&[source]).ok()?;
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, origin) =
            known.get(&source.row.url)?.made.iter().find(|(name, _)| name.as_str() == stack)?.clone();
        let newest = all.iter().find(|template| template["name"] == origin.name);
        let newest = newest.is_some_and(|template| template["tree"] == origin.tree);
        Some(json!({ "name": origin.name, "tree": origin.tree, "newest": newest }))
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
            let made = Arc::new(made(base.root(), base.dir()));
            Ok(Known { commit: commit.to_owned(), folder, templates, made })
        })
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

fn told(base: &Base, budget: &Budget) -> Result<Vec<Value>> {
    let all = template::read(base.root(), base.dir(), budget);
    all.iter().map(|template| one(base, template)).collect()
}

fn one(base: &Base, template: &Template) -> Result<Value> {
    // One that leads elsewhere has none, and says why.
    let path = base.root().resolve(base.root().path(), &template.folder.display().to_string()).ok();
    let problems = template.problems.iter();
    let problems: Vec<_> = problems
        .map(|it| json!({ "file": it.file, "line": it.line, "key": it.key, "what": harmless(&it.what) }))
        .collect();
    Ok(json!({
        "name": template.name,
        "tree": path.map(|path| base.content_id(&path)).transpose()?,
        "title": template.title,
        "description": template.description,
        "parameters": template.parameters,
        "schema": template::schema(template),
        "problems": problems,
    }))
}
