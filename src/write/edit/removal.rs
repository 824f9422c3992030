//! A stack that is taken off, with what is its own alone.

use super::{Edited, Refused, Work};
use crate::git::push;
use crate::manifest::StackEntry;
use crate::write::Stop;
use crate::write::beside::{Neighbour, has_files_in, is_below};
use crate::write::entries::{self, Value};
use crate::write::side::{LIST, file_names};
use std::collections::BTreeSet;

impl Work<'_> {
    pub(super) fn remove(&self) -> Result<Edited, Refused> {
        let stack = self.order.stack;
        let entry = self.own_entry()?;
        let needs: Vec<_> = self.before.stacks.iter().map(|stack| &stack.entry).collect();
        let needs: Vec<_> = needs.iter().filter(|other| other.depends_on.contains(&entry.name)).collect();
        if !needs.is_empty() {
            let names: Vec<_> = needs.iter().map(|other| format!("`{}`", other.name)).collect();
            let verb = if names.len() == 1 { "depends" } else { "depend" };
            let hint = "take it out of their `depends_on` first";
            return Err(Ok(Stop::conflict(format!("{} {verb} on `{stack}`", names.join(", ")), hint)));
        }
        let (mut edit, mut stays) = (push::Edit::default(), self.stays());
        if self.is_flat() {
            if self.before.stacks.len() == 1 {
                let hint = "a source of no stacks removes nothing; `dockerops unwatch` takes leave of it";
                return Err(Ok(Stop::conflict("it is the only stack of the source", hint)));
            }
            edit.remove(&*entry.compose_path);
            let [_, options] = file_names(stack.as_str());
            if self.tip.checkout().root().has(self.tip.checkout().dir(), &options) {
                edit.remove(self.path(&options));
            }
        } else {
            let list = match entries::remove(&self.list()?, stack) {
                Err(entries::Refusal::Last) => {
                    stays.push(
                        "the entry, with `enabled: false`, and the folder: it is the only stack".into(),
                    );
                    entries::set(&self.list()?, stack, "enabled", &Value::Switch(false))
                }
                list => {
                    self.remove_folder(entry, &mut edit, &mut stays);
                    list
                }
            };
            edit.write(self.path(LIST), list.map_err(|refusal| Ok(refusal.into()))?, false);
        }
        Ok(Edited { edit, subject: format!("Remove {stack}"), stays })
    }

    /// The folder goes where nobody else uses it.
    fn remove_folder(&self, entry: &StackEntry, edit: &mut push::Edit, stays: &mut Vec<String>) {
        let files = self.tip.checkout();
        let Some(own) = &entry.files else {
            stays.push("its folder, if there is one: the entry names files that are not there".into());
            return;
        };
        let folder = &own.folder;
        let others = self.before.stacks.iter().filter(|other| other.entry.name != entry.name);
        let users: Vec<_> = others
            .filter(|other| has_files_in(&other.entry, folder))
            .map(|other| format!("`{}`", other.entry.name))
            .collect();
        let beside =
            self.order.beside.neighbours(self.order.source, files, self.here.guard, self.here.limits);
        let neighbour = beside.iter().find(|other| other.names(folder, files.root().path()));
        let shown = folder.display().to_string();
        let at = files.root().path().join(folder);
        let lists = files.tracked(&at).unwrap_or_default().into_iter();
        let holds_a_list = lists.into_iter().any(|file| file.path.file_name() == Some(LIST.as_ref()));
        if holds_a_list {
            stays.push(format!("the folder `{shown}`: a `{LIST}` lies in it"));
        } else if let Some(Neighbour { source, .. }) = neighbour {
            stays.push(format!("the folder `{shown}`: the source `{source}` needs it"));
        } else if !is_below(files, folder) {
            stays.push(format!("the folder `{shown}`: it is not below that of the list"));
        } else if users.is_empty() {
            edit.remove(shown);
        } else {
            stays.push(format!("the folder `{shown}`: {} needs it", users.join(", ")));
        }
    }

    /// What docker keeps of a stack that is gone.
    fn stays(&self) -> Vec<String> {
        let stack = self.before.stacks.iter().find(|it| it.entry.name == *self.order.stack);
        let Some(Ok(rendered)) = stack.and_then(|stack| stack.rendered.as_ref()) else { return Vec::new() };
        let own: Vec<_> = rendered.scripts().iter().map(|script| script.name.clone()).collect();
        let volumes = rendered.volumes.keys().map(|name| format!("the volume `{name}`"));
        let taken = rendered.taken().into_iter().chain(rendered.secrets().clone());
        let taken: BTreeSet<_> = taken.filter(|name| !own.contains(name)).collect();
        volumes
            .chain(taken.iter().map(|name| format!("`{name}`, where the Swarm has it: others make it")))
            .collect()
    }
}
