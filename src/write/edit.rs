//! What of a repository becomes otherwise: the folder of a stack, its options, its entry in the list.

mod removal;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use serde_json::{Map, Value as Json};

use super::entries::{self, Value};
use super::side::{LIST, MOST_BYTES, file_names};
use super::{Order, Stop, Wish, path};
use crate::budget::Limits;
use crate::git::push::{self, Tip};
use crate::guard::Guard;
use crate::manifest::{Layout, Origin, StackEntry, TEMPLATES, files_of};
use crate::reading::{Contents, Files};
use crate::stack::StackName;
use crate::template::{self, Template, Values};

/// The file of a folder that holds the options.
const OPTIONS: &str = ".env";

/// An edit, and what is said of it.
pub struct Edited {
    pub edit: push::Edit,
    /// The commit's subject.
    pub subject: String,
    /// What a removal leaves.
    pub stays: Vec<String>,
}

/// What a stack was made with, as it can be read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Current {
    pub is_there: bool,
    /// Whether it is a file at the root, which does not say what it was made from.
    pub is_file: bool,
    pub template: Option<Origin>,
    pub options: BTreeMap<String, String>,
}

/// Why there is no edit; or an error of who was asked.
type Refused = Result<Stop>;

/// What is held to on this manager.
#[derive(Clone, Copy)]
pub struct Here<'a> {
    pub guard: &'a Guard,
    pub limits: Limits,
}

/// The edit that an order asks for.
pub fn edit(
    tip: &Tip<'_>,
    order: Order<'_>,
    here: Here<'_>,
    before: &Contents,
    templates: &[Template],
) -> Result<Edited, Refused> {
    let work = Work { tip, order, here, before, templates };
    if work.has_slipped() {
        return Err(Ok(Stop::slipped(&order.beside.deployed)));
    }
    if order.stack.as_str() == TEMPLATES {
        return Err(Ok(Stop::taken(format!("`{TEMPLATES}` is where templates lie"), "choose another name")));
    }
    match order.wish {
        Wish::Make { template, options } => work.make(template, options),
        Wish::Change { template, options, overwrite } => {
            work.change(template.as_deref(), options, *overwrite)
        }
        Wish::Remove => work.remove(),
    }
}

/// The template and the options of a stack, as its files say.
pub fn current(files: &dyn Files, stack: &StackName) -> Current {
    let (root, dir) = (files.root(), files.dir());
    let list = root.read_text(dir, LIST, MOST_BYTES).ok();
    let template = list.as_deref().and_then(|list| entries::origin(list, stack));
    let [_, own] = file_names(stack.as_str());
    let is_file = list.is_none() && !root.has(dir, LIST);
    let file = if is_file { own } else { format!("{stack}/{OPTIONS}") };
    let text = root.read_text(dir, &file, MOST_BYTES * 4).unwrap_or_default();
    let is_listed = || list.as_deref().is_some_and(|list| entries::text(list, stack).is_some());
    let is_named = |file: &String| !file.starts_with(".env-") && root.has(dir, file);
    let is_there = if is_file { files_of(root, dir, stack).iter().any(is_named) } else { is_listed() };
    Current { is_there, is_file, template, options: Values::parse(&text).0 }
}

struct Work<'a> {
    tip: &'a Tip<'a>,
    order: Order<'a>,
    here: Here<'a>,
    before: &'a Contents,
    templates: &'a [Template],
}

impl Work<'_> {
    fn make(&self, template: &str, options: &Map<String, Json>) -> Result<Edited, Refused> {
        let stack = self.order.stack;
        let template = self.template(template)?;
        let values = values(template, options)?;
        if let Some(entry) = self.entry() {
            if entry.name == *stack && self.is_so(template, &values, entry).map_err(Err)? {
                return Err(Ok(Stop::Same));
            }
            let hint = "choose another name, or change that one";
            let at = if entry.line > 0 { format!(", line {}", entry.line) } else { String::new() };
            let place = if entry.line > 0 { LIST } else { &entry.compose_path };
            return Err(Ok(Stop::taken(
                format!("there is a stack `{}` already: `{place}`{at}", entry.name),
                hint,
            )));
        }
        let files = self.tip.checkout();
        let in_the_way =
            if self.is_flat() { file_names(stack.as_str()).to_vec() } else { vec![stack.to_string()] };
        if let Some(name) = in_the_way.iter().find(|name| files.root().has(files.dir(), name)) {
            let hint = "choose another name, or remove with git what is in the way";
            return Err(Ok(Stop::taken(
                format!("`{}` is there already, and of no stack", self.path(name)),
                hint,
            )));
        }
        let mut edit = push::Edit::default();
        self.put(&mut edit, template, &values)?;
        if !self.is_flat() {
            let list = self.list()?;
            let origin = self.origin(template)?;
            let list = entries::add(&list, stack, &[("template", Value::Text(origin.to_string()))]);
            edit.write(self.path(LIST), list.map_err(|refusal| Ok(refusal.into()))?, false);
        }
        let subject = format!("Deploy {stack} from {}", template.name);
        Ok(Edited { edit, subject, stays: Vec::new() })
    }

    fn change(
        &self,
        template: Option<&str>,
        options: &Map<String, Json>,
        overwrite: bool,
    ) -> Result<Edited, Refused> {
        let stack = self.order.stack;
        let entry = self.own_entry()?;
        let by_hand = |what: String| {
            Err(Ok(Stop::by_hand(
                what,
                "change it with git; or `\"overwrite\": true` puts the template's files in their place",
            )))
        };
        let origin = match (&entry.template, template) {
            (Some(origin), wanted) => Some((wanted.unwrap_or(&origin.name), Some(origin))),
            (None, Some(wanted)) => Some((wanted, None)),
            (None, None) => None,
        };
        let Some((name, origin)) = origin else {
            if self.is_flat() {
                let what = format!("`{}` does not say which template it was made from", entry.compose_path);
                let hint =
                    "name it: `\"stackDefinition\"`; a file that is not the template's is not overwritten";
                return Err(Ok(Stop::conflict(what, hint)));
            }
            let hint = "change it with git; or name a `stackDefinition`, and `\"overwrite\": true`";
            return Err(Ok(Stop::by_hand(format!("`{stack}` was not made from a template"), hint)));
        };
        let template = self.template(name)?;
        let values = values(template, options)?;
        let own = if self.is_flat() { Vec::new() } else { entries::keys(&self.list()?, stack) };
        if let Some(key) = own.iter().find(|key| ["folder", "compose", "env"].contains(&key.as_str())) {
            let hint = "change it with git";
            return Err(Ok(Stop::conflict(
                format!("the entry of `{stack}` has `{key}`: its files are not its own"),
                hint,
            )));
        }
        let own = entry.files.as_ref().map(|own| own.folder.as_path());
        if !self.is_flat() && own != Some(Path::new(&self.path(stack.as_str()))) {
            let what =
                format!("the folder of `{stack}` is not `{}`, or is not there", self.path(stack.as_str()));
            return Err(Ok(Stop::conflict(what, "change it with git")));
        }
        if self.is_flat() && Path::new(&entry.compose_path).extension() == Some("json".as_ref()) {
            let what = format!("`{}` is JSON, and the template's compose file is not", entry.compose_path);
            let [name, _] = file_names(stack.as_str());
            return Err(Ok(Stop::conflict(what, format!("make it `{name}` with git first"))));
        }
        if !overwrite {
            match origin {
                _ if self.is_flat() => {
                    if self.compose_text(entry) != self.text_of(template) {
                        return by_hand(format!("`{}` is not what the template has", entry.compose_path));
                    }
                }
                Some(origin) => {
                    let folder = self.tip.id_without(&self.path(stack.as_str()), OPTIONS).map_err(Err)?;
                    if folder.as_deref().is_some_and(|id| id != origin.tree) {
                        let folder = self.path(stack.as_str());
                        return by_hand(format!(
                            "files in `{folder}` were edited by hand since it was made from the template"
                        ));
                    }
                }
                None => return by_hand(format!("`{stack}` was not made from a template")),
            }
        }
        let mut edit = push::Edit::default();
        self.put(&mut edit, template, &values)?;
        let old = current(self.tip.checkout(), stack);
        let mut moved = old.template.as_ref().is_none_or(|old| old.name != template.name);
        if !self.is_flat() {
            let origin = self.origin(template)?;
            moved |= old.template.as_ref() != Some(&origin);
            let set = |list: &str, key: &str, value: Value| {
                entries::set(list, stack, key, &value).map_err(|refusal| Ok(refusal.into()))
            };
            let mut list = self.list()?;
            if old.template.as_ref() != Some(&origin) {
                list = set(&list, "template", Value::Text(origin.to_string()))?;
            }
            if !entry.enabled {
                list = set(&list, "enabled", Value::Switch(true))?;
            }
            edit.write(self.path(LIST), list, false);
        }
        let names: std::collections::BTreeSet<_> = old.options.keys().chain(values.0.keys()).collect();
        let changed = names.into_iter().filter(|name| old.options.get(*name) != values.0.get(*name));
        let changed: Vec<_> = changed.map(String::as_str).collect();
        let from = if moved { format!(" from {}", template.name) } else { String::new() };
        let what = if changed.is_empty() { String::new() } else { format!(": {}", changed.join(", ")) };
        Ok(Edited { edit, subject: format!("Update {stack}{from}{what}"), stays: Vec::new() })
    }

    /// The template's files and the options come to where the stack's are.
    fn put(&self, edit: &mut push::Edit, template: &Template, values: &Values) -> Result<(), Refused> {
        let (stack, options) = (self.order.stack.as_str(), values.dotenv());
        if !self.is_flat() {
            edit.copy(self.path(stack), self.origin(template)?.tree);
            if !options.is_empty() {
                edit.write(self.path(&format!("{stack}/{OPTIONS}")), options, false);
            }
            return Ok(());
        }
        let files = self.tip.checkout();
        let at = files.root().path().join(&template.folder);
        let known = template.compose.as_ref().map(|file| file.file.clone());
        let more = files.tracked(&at).map_err(Err)?.into_iter().map(|file| file.path);
        let mut more = more.filter(|path| Some(at.join(path)) != known && path != Path::new(template::FILE));
        if let Some(more) = more.next() {
            let hint = "list the stacks in `stacks.yaml`: then each has a folder of its own";
            let what = format!("the template has more than a compose file: `{}`", more.display());
            return Err(Ok(Stop::conflict(what, hint)));
        }
        let [compose, own] = file_names(stack);
        let text = self.text_of(template).ok_or_else(|| {
            Ok(Stop::conflict(
                format!("the compose file of `{}` cannot be read", template.name),
                "mend the template",
            ))
        })?;
        let compose = self.entry().map_or_else(|| self.path(&compose), |entry| entry.compose_path.clone());
        edit.write(compose, text, false);
        let has_own = files.root().has(files.dir(), &own);
        if !options.is_empty() {
            edit.write(self.path(&own), options, false);
        } else if has_own {
            edit.remove(self.path(&own));
        }
        Ok(())
    }

    /// Whether the stack is what would be made.
    fn is_so(&self, template: &Template, values: &Values, entry: &StackEntry) -> Result<bool> {
        let now = current(self.tip.checkout(), self.order.stack);
        if now.options != values.0 || !entry.enabled {
            return Ok(false);
        }
        if self.is_flat() {
            return Ok(self.compose_text(entry) == self.text_of(template));
        }
        let Ok(origin) = self.origin(template) else { return Ok(false) };
        let folder = self.tip.id_without(&self.path(self.order.stack.as_str()), OPTIONS)?;
        Ok(now.template.as_ref() == Some(&origin) && folder.as_deref() == Some(&*origin.tree))
    }

    fn template(&self, name: &str) -> Result<&Template, Refused> {
        let Some(found) = self.templates.iter().find(|template| template.name == name) else {
            let hint = "`/api/v1/stackDefinitions` lists them";
            return Err(Ok(Stop::missing(
                format!("there is no template `{}`", crate::plain::name(name)),
                hint,
            )));
        };
        if found.problems.is_empty() {
            return Ok(found);
        }
        let problems: Vec<_> = found.problems.iter().map(ToString::to_string).collect();
        let hint = "mend it with git; `dockerops validate` says the same";
        Err(Ok(Stop::conflict(format!("the template `{name}` is wrong: {}", problems.join("; ")), hint)))
    }

    fn origin(&self, template: &Template) -> Result<Origin, Refused> {
        let files = self.tip.checkout();
        let tree = files.content_id(&files.root().path().join(&template.folder)).map_err(Err)?;
        Ok(Origin { name: template.name.clone(), tree })
    }

    fn entry(&self) -> Option<&StackEntry> {
        self.before.stacks.iter().map(|stack| &stack.entry).find(|it| it.name.collides_with(self.order.stack))
    }

    fn own_entry(&self) -> Result<&StackEntry, Refused> {
        let entry = self.entry().ok_or_else(|| Ok(self.no_stack()))?;
        if entry.name == *self.order.stack {
            return Ok(entry);
        }
        let what =
            format!("`{}` has no stack `{}`, but `{}`", self.order.source, self.order.stack, entry.name);
        Err(Ok(Stop::missing(what, "write the name as it is listed")))
    }

    fn no_stack(&self) -> Stop {
        let hint = "`/api/v1/stacks` lists the stacks; `POST` there makes one from a template";
        Stop::missing(format!("`{}` has no stack `{}`", self.order.source, self.order.stack), hint)
    }

    fn is_flat(&self) -> bool {
        self.before.layout == Layout::Files
    }

    /// Whether the list is gone or empty while stacks of it run: a sync takes that for a slip, and keeps them.
    fn has_slipped(&self) -> bool {
        let is_empty = |list: String| entries::is_empty(&list);
        !self.order.beside.deployed.is_empty()
            && self.before.stacks.is_empty()
            && self.list().is_ok_and(is_empty)
    }

    /// Empty where there is none.
    fn list(&self) -> Result<String, Refused> {
        let files = self.tip.checkout();
        if !files.root().has(files.dir(), LIST) {
            return Ok(String::new());
        }
        files.root().read_text(files.dir(), LIST, MOST_BYTES).map_err(|error| {
            Ok(Stop::conflict(format!("`{LIST}` cannot be edited: {error:#}"), "mend the file with git"))
        })
    }

    fn compose_text(&self, entry: &StackEntry) -> Option<String> {
        let file = &entry.files.as_ref()?.compose.file;
        self.tip.checkout().root().text(file, crate::paths::LARGEST_TEXT).ok()
    }

    fn text_of(&self, template: &Template) -> Option<String> {
        self.tip.checkout().root().text(&template.compose.as_ref()?.file, crate::paths::LARGEST_TEXT).ok()
    }

    fn path(&self, file: &str) -> String {
        path(self.order.source, file)
    }
}

fn values(template: &Template, options: &Map<String, Json>) -> Result<Values, Refused> {
    template::check(template, options).map_err(|problems| Ok(Stop::Options(problems)))
}
