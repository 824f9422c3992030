//! The tables of `status` and `reconcile`, and what is wrong below them.

use std::fmt::Write;

use comfy_table::Table;
use comfy_table::TableStyle;

use super::status::{self, Stack, StackState, Status};
use crate::docker::Swarm;
use crate::docker::service::Restart;
use crate::health::{Health, Look};
use crate::plain;
use crate::state::ImageRow;
use crate::watched::Watched;

/// The state as `reconcile` shows it before it works.
pub fn state(watched: &[Watched], images: &[ImageRow], swarm: &Swarm) -> String {
    let mut status = status::gather(watched, images, &[], swarm, &Look::none());
    // Who runs less than it should is told at the end, by its tasks: here only counts are known, and not of what completed.
    let may_have_completed = |name: &str| {
        let service = swarm.services.iter().find(|service| service.name == name);
        service.is_some_and(|service| service.restart != Restart::Any && service.completed.is_none())
    };
    for stack in &mut status.stacks {
        if stack.is_degraded() {
            stack.health = Health::Unknown;
        }
        stack.why = None;
        for service in &mut stack.services {
            // docker counts those that are still being stopped, too.
            service.running = service.running.min(service.wanted);
        }
        stack
            .services
            .retain(|service| service.running >= service.wanted || !may_have_completed(&service.name));
    }
    text(&status)
}

/// The tables of a status, and the errors and drift in full.
pub fn text(status: &Status) -> String {
    let mut out = table(
        &["REPOSITORY", "COMMIT", "LAST WATCH"],
        status.repositories.iter().map(|row| {
            let commit = row.commit.as_deref().map_or("-", short);
            vec![row.url.clone(), commit.to_owned(), row.last_watch.clone()]
        }),
    );
    if !status.stacks.is_empty() {
        let rows = status.stacks.iter().map(|stack| {
            let hash = if stack.hash.is_empty() { "-" } else { short(&stack.hash) };
            vec![stack.name.clone(), in_words(stack), tasks(stack), hash.to_owned(), stack.repository.clone()]
        });
        out += &format!("\n{}", table(&["STACK", "STATUS", "TASKS", "HASH", "REPOSITORY"], rows));
    }
    if !status.images.is_empty() {
        let rows =
            status.images.iter().map(|image| vec![image.name.clone(), image.reference_count.to_string()]);
        out += &format!("\n{}", table(&["IMAGE", "SERVICES"], rows));
    }
    if !status.builds.is_empty() {
        let rows = status.builds.iter().map(|build| {
            let word = if build.error.is_some() { "failed" } else { "built" };
            vec![
                build.name.clone(),
                word.to_owned(),
                short(&build.commit).to_owned(),
                build.repository.clone(),
            ]
        });
        out += &format!("\n{}", table(&["BUILD", "STATUS", "COMMIT", "REPOSITORY"], rows));
    }
    if !status.under_way.is_empty() {
        let rows = status
            .under_way
            .iter()
            .map(|work| vec![work.state.as_str().to_owned(), work.what.clone(), work.since.clone()]);
        out += &format!("\n{}", table(&["UNDER WAY", "WHAT", "SINCE"], rows));
    }
    out + &wrongs(status)
}

/// What is wrong, a line for each; empty where nothing is.
pub fn wrongs(status: &Status) -> String {
    let mut out = String::new();
    for repository in &status.repositories {
        if let Some(error) = &repository.error {
            let _ = write!(out, "\n{}", plain::text(error));
        }
    }
    for build in &status.builds {
        if let Some(error) = &build.error {
            let _ = write!(out, "\n{}: {}", plain::name(&build.name), plain::text(error));
        }
    }
    for work in &status.under_way {
        if let Some(why) = &work.why {
            let _ = write!(out, "\n{}: waits: {}", plain::name(&work.what), plain::text(why));
        }
    }
    for stack in &status.stacks {
        if let Some(why) = &stack.stays {
            let _ = write!(out, "\n{}: {}", plain::name(&stack.name), plain::text(why));
        }
        if let Some(hold) = &stack.hold {
            let _ = write!(out, "\n{}: {}", plain::name(&stack.name), plain::text(&hold.sentence));
        }
        if let Some(error) = &stack.error {
            let error = if stack.held { with_held(error) } else { error.clone() };
            let _ = write!(out, "\n{}: {}", plain::name(&stack.name), plain::text(&error));
        }
        if let Some(why) = &stack.why {
            let since = stack.degraded_since.as_ref().map(|since| format!(" since {since}"));
            let since = since.unwrap_or_default();
            let _ = write!(out, "\n{}: degraded{since}: {}", plain::name(&stack.name), plain::text(why));
        }
        for drift in &stack.drift {
            let _ = write!(
                out,
                "\n{}: `{}` {}",
                plain::name(&stack.name),
                plain::name(&drift.service),
                plain::line(&drift.what)
            );
        }
        let told = stack.error.as_deref().map(plain::line).unwrap_or_default();
        let is_told = |error: &str| stack.is_degraded() || told.contains(&plain::line(error));
        for service in &stack.services {
            if let Some(error) = service.error.as_deref().filter(|error| !is_told(error)) {
                let _ = write!(
                    out,
                    "\n{}: `{}`: {}",
                    plain::name(&stack.name),
                    plain::name(&service.name),
                    plain::line(error)
                );
            }
        }
    }
    let failing = status.stacks.iter().flat_map(|stack| &stack.services).find(|one| one.error.is_some());
    if let Some(name) = failing.map(|service| plain::name(&service.name)) {
        let _ = write!(
            out,
            "\nhint: `docker service ps --no-trunc {name}` and `docker service logs {name}` tell more"
        );
    }
    if out.is_empty() { out } else { out + "\n" }
}

/// That it is not tried again by itself, behind our own words and before those of docker and of tasks.
pub fn with_held(why: &str) -> String {
    const HELD: &str = " (held until the repository changes, or `reconcile --force`)";
    match why.split_once('\n') {
        Some((first, rest)) => format!("{first}{HELD}\n{rest}"),
        None => format!("{why}{HELD}"),
    }
}

/// The status word, and what it does not say by itself.
pub fn in_words(stack: &Stack) -> String {
    let mut words = stack.status.as_str().to_owned();
    if stack.held {
        words += ", held";
    }
    if stack.hold.is_some() {
        words += ", on hold";
    }
    if stack.stays.is_some() {
        words += ", unlisted";
    }
    if !stack.drift.is_empty() {
        words += ", drifted";
    }
    if (stack.updating || stack.health == Health::Deploying) && stack.status == StackState::Deployed {
        words += ", updating";
    }
    if stack.health == Health::Removing {
        words += ", removing";
    }
    if stack.is_degraded() {
        words += ", degraded";
    }
    words
}

/// How many tasks of its services run, of how many.
pub fn tasks(stack: &Stack) -> String {
    tasks_of(&stack.services)
}

pub fn tasks_of(services: &[status::LiveService]) -> String {
    if services.is_empty() {
        return "-".to_owned();
    }
    let sum = |count: fn(&status::LiveService) -> u64| services.iter().map(count).sum::<u64>();
    let (running, wanted) =
        (sum(|service| service.running.min(service.wanted)), sum(|service| service.wanted));
    let also = |count: u64, word: &str| if count == 0 { String::new() } else { format!(", {count} {word}") };
    let completed = also(sum(|service| service.completed), "completed");
    // What one has too many is not what another lacks.
    let surplus = also(sum(status::LiveService::surplus), "surplus");
    format!("{running}/{wanted}{completed}{surplus}")
}

pub fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// Plain columns; two blanks between them.
pub fn table(heads: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(TableStyle::new()).set_header(heads);
    for row in rows {
        table.add_row(row.iter().map(|cell| plain::line(cell)));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().fold(String::new(), |out, line| out + line.trim_end() + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::status::LiveService;

    #[test]
    fn what_one_service_has_too_many_is_not_what_another_lacks() {
        let service = |running, wanted| LiveService {
            name: "web_app".into(),
            image: String::new(),
            completed: 0,
            running,
            wanted,
            restarts: 0,
            last_restart: None,
            error: None,
        };
        let told = |services| tasks(&Stack { services, ..Stack::of("web") });
        assert_eq!(told(vec![service(3, 1), service(0, 2)]), "1/3, 2 surplus");
        assert_eq!(told(vec![service(1, 3)]), "1/3");
        assert_eq!(told(Vec::new()), "-");
    }

    #[test]
    fn what_a_task_died_of_is_told_once_and_where_there_is_more() {
        let service = |error: Option<&str>| LiveService {
            name: "web_app".into(),
            image: String::new(),
            completed: 0,
            running: 0,
            wanted: 1,
            restarts: 0,
            last_restart: None,
            error: error.map(str::to_owned),
        };
        let told = |stack: Option<&str>, task: Option<&str>| {
            let error = stack.map(str::to_owned);
            let (status, health, services) = (StackState::Error, Health::Error, vec![service(task)]);
            let stack = Stack { status, error, health, services, ..Stack::of("web") };
            wrongs(&Status {
                repositories: Vec::new(),
                stacks: vec![stack],
                images: Vec::new(),
                builds: Vec::new(),
                under_way: Vec::new(),
            })
        };
        let hint =
            "\nhint: `docker service ps --no-trunc web_app` and `docker service logs web_app` tell more\n";
        let paused = "`web_app`: update paused: no such image (on `node1`)";
        assert_eq!(told(None, None), "");
        assert_eq!(told(Some(paused), Some("no such image (on `node1`)")), format!("\nweb: {paused}{hint}"));
        assert_eq!(told(None, Some("exit (3)")), format!("\nweb: `web_app`: exit (3){hint}"));
        let both = told(Some("rolled back: exit (3)"), Some("exit (4)"));
        assert_eq!(both, format!("\nweb: rolled back: exit (3)\nweb: `web_app`: exit (4){hint}"));
    }
}
