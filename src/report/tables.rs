//! The tables of `status` and `reconcile`, and what is wrong below them.

use std::fmt::Write;

use comfy_table::Table;
use comfy_table::TableStyle;

use super::UnderWay;
use super::status::{self, Built, Repository, Stack, StackState, Status};
use crate::health::Health;
use crate::plain;

/// So many lines are told at the end of a run.
const BRIEF: usize = 20;

/// How things are after a run, which has told already what is wrong: what is not simply deployed in full, and how many of the
/// rest there are; everything where that is short.
pub fn brief(status: &Status) -> String {
    let whole = tables(status);
    if whole.lines().count() <= BRIEF {
        return whole;
    }
    let repositories: Vec<_> =
        status.repositories.iter().filter(|it| it.error.is_some() || it.hold.is_some()).collect();
    let stacks: Vec<_> = status.stacks.iter().filter(|stack| !is_simply_deployed(stack)).collect();
    let builds: Vec<_> = status.builds.iter().filter(|build| build.error.is_some()).collect();
    let parts =
        [of_repositories(&repositories), of_stacks(&stacks), of_builds(&builds), of_work(&status.under_way)];
    let mut out = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n");
    let rest = [
        (status.stacks.len() - stacks.len(), "stack", "deployed in full"),
        (status.repositories.len() - repositories.len(), "repository", "in sync"),
        (status.builds.len() - builds.len(), "image", "built"),
    ];
    let counted = rest.iter().filter(|(count, ..)| *count > 0);
    let counted: Vec<_> =
        counted.map(|(count, noun, is)| format!("{} {is}", several(*count, noun))).collect();
    if !counted.is_empty() {
        let and = if out.is_empty() { "" } else { "\nand " };
        out += &format!("{and}{}; `dockerops status` tells all\n", counted.join(", "));
    }
    out
}

fn several(count: usize, noun: &str) -> String {
    match (count, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (count, Some(stem)) => format!("{count} {stem}ies"),
        (count, None) => format!("{count} {noun}s"),
    }
}

/// Whether there is nothing to say of it: all its tasks run, and nothing keeps it from what Git says.
fn is_simply_deployed(stack: &Stack) -> bool {
    let is_full = stack.services.iter().all(|service| service.running == service.wanted);
    in_words(stack) == StackState::Deployed.as_str() && is_full
}

/// The tables of a status, and the errors and drift in full.
pub fn text(status: &Status) -> String {
    tables(status) + &wrongs(status)
}

fn tables(status: &Status) -> String {
    let all = [
        of_repositories(&status.repositories.iter().collect::<Vec<_>>()),
        of_stacks(&status.stacks.iter().collect::<Vec<_>>()),
        of_images(status),
        of_builds(&status.builds.iter().collect::<Vec<_>>()),
        of_work(&status.under_way),
    ];
    all.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
}

fn of_repositories(all: &[&Repository]) -> String {
    let rows = all.iter().map(|row| {
        let commit = row.commit.as_deref().map_or("-", short);
        vec![row.url.clone(), commit.to_owned(), row.last_watch.clone()]
    });
    table_of(&["REPOSITORY", "COMMIT", "LAST WATCH"], rows)
}

fn of_stacks(all: &[&Stack]) -> String {
    let rows = all.iter().map(|stack| {
        let hash = if stack.hash.is_empty() { "-" } else { short(&stack.hash) };
        vec![stack.name.clone(), in_words(stack), tasks(stack), hash.to_owned(), stack.repository.clone()]
    });
    table_of(&["STACK", "STATUS", "TASKS", "HASH", "REPOSITORY"], rows)
}

fn of_images(status: &Status) -> String {
    let rows = status.images.iter().map(|image| vec![image.name.clone(), image.reference_count.to_string()]);
    table_of(&["IMAGE", "SERVICES"], rows)
}

fn of_builds(all: &[&Built]) -> String {
    let rows = all.iter().map(|build| {
        let word = if build.error.is_some() { "failed" } else { "built" };
        vec![build.name.clone(), word.to_owned(), short(&build.commit).to_owned(), build.repository.clone()]
    });
    table_of(&["BUILD", "STATUS", "COMMIT", "REPOSITORY"], rows)
}

fn of_work(all: &[UnderWay]) -> String {
    let rows =
        all.iter().map(|work| vec![work.state.as_str().to_owned(), work.what.clone(), work.since.clone()]);
    table_of(&["UNDER WAY", "WHAT", "SINCE"], rows)
}

/// Nothing, where there is no row.
fn table_of(heads: &[&str], rows: impl ExactSizeIterator<Item = Vec<String>>) -> String {
    if rows.len() == 0 { String::new() } else { table(heads, rows) }
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

    #[test]
    fn what_is_simply_deployed_is_counted_once_all_of_it_is_long() {
        let stack = |name: String| Stack { hash: "h".into(), ..Stack::of(&name) };
        let of = |count: usize| Status {
            stacks: (0..count).map(|number| stack(format!("web{number}"))).collect(),
            ..Status::default()
        };
        let told = brief(&of(19));
        assert_eq!((told.lines().count(), told.contains("tells all")), (20, false), "{told}");
        assert_eq!(brief(&of(20)), "20 stacks deployed in full; `dockerops status` tells all\n");
        let mut status = of(30);
        status.stacks[7].drift.push(status::DriftedService { service: "web7_app".into(), what: "x".into() });
        status.stacks[9].hold = Some(crate::report::holds::StackHold::of_hand("held"));
        let told = brief(&status);
        let lines: Vec<_> = told.lines().collect();
        assert!(
            lines[1].starts_with("web7   deployed, drifted  ") && lines[2].starts_with("web9   "),
            "{told}"
        );
        assert_eq!(
            lines[3..],
            ["", "and 28 stacks deployed in full; `dockerops status` tells all"],
            "{told}"
        );
        assert_eq!(several(1, "repository") + &several(2, "repository"), "1 repository2 repositories");
    }
}
