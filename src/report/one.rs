//! One stack: its services with their tasks, and the newest versions of it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::history::{History, brief};
use super::screen::Reader;
use super::services::{MOST_TASKS, TaskView, image_of};
use super::status::{Stack, Status};
use super::tables::{self, table};
use super::times::when;
use crate::docker::Swarm;
use crate::docker::service::Service;
use crate::health::Look;
use crate::source::SourceUrl;

/// So many tasks are told in a table; a service of hundreds would hide the rest.
const TASKS: usize = 40;
/// So many versions.
pub const VERSIONS: usize = 5;
/// What `history --json` tells of a version beside.
const IN_HISTORY: [&str; 4] = ["compose", "difference", "configs", "secrets"];

/// One stack and what is about it.
pub struct One {
    /// The stack, its source, and what is under way for it.
    pub status: Status,
    /// Its live services.
    services: Vec<Service>,
    /// By a service's full name, the newest first.
    tasks: BTreeMap<String, Vec<TaskView>>,
    history: History,
}

impl One {
    /// Of all that is known, what is about that stack of that source; `None` where it is not there any more.
    pub fn of(
        mut status: Status,
        name: &str,
        source: &SourceUrl,
        swarm: &Swarm,
        look: &Look,
    ) -> Option<Self> {
        let stack =
            status.stacks.extract_if(.., |stack| stack.name == name && stack.source == *source).next()?;
        let repository = source.shown();
        status.repositories.retain(|known| known.url == repository);
        status.under_way.retain(|work| work.what == name);
        let images: BTreeSet<_> = stack.services.iter().map(|service| &service.image).collect();
        status.images.retain(|image| images.contains(&image.name));
        status.builds.retain(|build| images.contains(&build.name));
        let services: Vec<_> =
            swarm.services.iter().filter(|live| live.stack.as_str() == name).cloned().collect();
        let tasks = services.iter().map(|live| (live.name.clone(), tasks_of(live, look))).collect();
        let history = History::told(&stack, &[]);
        status.stacks = vec![stack];
        Some(Self { status, services, tasks, history })
    }

    /// With the newest versions that converged.
    pub fn with(mut self, history: impl FnOnce(&Stack) -> History) -> Self {
        self.history = history(self.stack());
        self
    }

    pub fn stack(&self) -> &Stack {
        &self.status.stacks[0]
    }

    pub fn stack_mut(&mut self) -> &mut Stack {
        &mut self.status.stacks[0]
    }

    /// What `status <stack> --json` prints; the documents name the fields.
    pub fn json(&self) -> Value {
        let mut value = json!(self.stack());
        for (view, service) in
            value["services"].as_array_mut().into_iter().flatten().zip(&self.stack().services)
        {
            let tasks = self.tasks.get(&service.name).map(Vec::as_slice).unwrap_or_default();
            view["tasks"] = json!(&tasks[..tasks.len().min(MOST_TASKS)]);
        }
        let images: BTreeSet<_> =
            self.stack().services.iter().map(|service| image_of(&self.services, service)).collect();
        let images = images.into_iter().map(|(name, digest)| json!({ "name": name, "digest": digest }));
        value["images"] = images.collect();
        value["history"] = json!(self.history.versions);
        for version in value["history"].as_array_mut().into_iter().flatten() {
            version.as_object_mut().into_iter().for_each(|version| {
                version.retain(|field, _| !IN_HISTORY.contains(&field.as_str()));
            });
        }
        value
    }

    /// Tables, and what is wrong below them.
    pub fn text(&self, reader: Option<Reader>) -> String {
        let now = reader.map(|reader| reader.now);
        let mut out = self.head(now);
        if !self.stack().services.is_empty() {
            out += &format!("\n{}", self.services());
        }
        out += &self.tasks(now);
        if !self.history.versions.is_empty() {
            out += &format!("\n{}", self.history.table(now));
        }
        if let Some(reader) = reader {
            out = reader.screen.cut(&out);
        }
        out + &tables::wrongs(&self.status, now)
    }

    fn head(&self, now: Option<DateTime<Utc>>) -> String {
        tables::of_stacks(&[self.stack()], now, |stack| Some(stack.repository.clone()))
    }

    fn services(&self) -> String {
        let rows = self.stack().services.iter().map(|service| {
            let (name, digest) = image_of(&self.services, service);
            let image = match digest {
                Some(digest) => format!("{name}@{}", brief(&format!("{name}@{digest}"))),
                None => name,
            };
            let tasks = tables::tasks_of(std::slice::from_ref(service));
            vec![service.name.clone(), tasks, service.restarts.to_string(), image]
        });
        table(&["SERVICE", "TASKS", "RESTARTS", "IMAGE"], rows)
    }

    /// Of each slot the newest task, and the one before where that failed: what runs now may have failed a minute ago.
    fn tasks(&self, now: Option<DateTime<Utc>>) -> String {
        let mut rows = Vec::new();
        // A stack whose name belongs to another source shows none of that one's services.
        for service in &self.stack().services {
            for task in
                self.tasks.get(&service.name).map(|tasks| newest_of_slots(tasks)).into_iter().flatten()
            {
                let slot = task.slot.parse::<u64>().map(|slot| format!(".{slot}")).unwrap_or_default();
                rows.push(vec![
                    format!("{}{slot}", service.name),
                    if task.node.is_empty() { "-".to_owned() } else { task.node.clone() },
                    task.state.to_string(),
                    task.since.as_deref().map_or_else(|| "-".to_owned(), |since| when(since, now)),
                    task.error.clone().unwrap_or_default(),
                ]);
            }
        }
        if rows.is_empty() {
            return String::new();
        }
        let more = rows.len().saturating_sub(TASKS);
        rows.truncate(TASKS);
        let heads = ["TASK", "NODE", "STATE", tables::age(now), "ERROR"];
        let mut out = format!("\n{}", table(&heads, rows.into_iter()));
        if more > 0 {
            out += &format!("and {more} more\n");
        }
        out
    }
}

fn tasks_of(live: &Service, look: &Look) -> Vec<TaskView> {
    let mut lines: Vec<_> = look.tasks_of(&live.id).unwrap_or_default().iter().collect();
    // Stable: those of a slot are in the order that docker has them in.
    lines.sort_by_key(|line| line.age);
    lines.into_iter().map(|line| TaskView::listed(line, look)).collect()
}

fn newest_of_slots(tasks: &[TaskView]) -> Vec<&TaskView> {
    let mut slots: BTreeMap<(u64, &str), Vec<&TaskView>> = BTreeMap::new();
    for task in tasks {
        slots.entry((task.slot.parse().unwrap_or_default(), &task.slot)).or_default().push(task);
    }
    let told = slots.into_values().flat_map(|tasks| {
        let failed = tasks.get(1).copied().filter(|before| before.state.has_failed());
        [Some(tasks[0]), failed]
    });
    told.flatten().collect()
}
