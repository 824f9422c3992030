//! The tables of `status` and `reconcile`, and what is wrong below them.

use std::fmt::Write;

use chrono::{DateTime, Utc};
use comfy_table::Table;
use comfy_table::TableStyle;

use super::UnderWay;
use super::screen::Reader;
use super::status::{self, Built, Repository, Stack, StackState, Status};
use super::times::{lasting, when};
use crate::health::Health;
use crate::plain;

/// So many lines are told at the end of a run.
const BRIEF: usize = 20;

/// How things are after a run, which has told already what is wrong: what is not simply deployed in full, and how many of the
/// rest there are; everything where that is short.
pub fn brief(status: &Status, reader: Option<Reader>) -> String {
    let whole = tables(status, reader);
    if whole.lines().count() <= BRIEF {
        return whole;
    }
    let repositories: Vec<_> =
        status.repositories.iter().filter(|it| it.error.is_some() || it.hold.is_some()).collect();
    let stacks: Vec<_> = status.stacks.iter().filter(|stack| !is_simply_deployed(stack)).collect();
    let builds: Vec<_> = status.builds.iter().filter(|build| build.error.is_some()).collect();
    let now = reader.map(|reader| reader.now);
    let parts = [
        of_repositories(&repositories, now),
        of_stacks(&stacks, now, |stack| place(status, &stack.repository, reader)),
        of_builds(&builds, now, |build| place(status, &build.repository, reader)),
        of_work(&status.under_way, now),
    ];
    let mut out = joined(parts, reader);
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

/// The tables of a status, as wide as the reader's terminal, and the errors and drift in full.
pub fn text(status: &Status, reader: Option<Reader>) -> String {
    tables(status, reader) + &wrongs(status, reader.map(|reader| reader.now))
}

fn tables(status: &Status, reader: Option<Reader>) -> String {
    let now = reader.map(|reader| reader.now);
    let stacks: Vec<_> = status.stacks.iter().collect();
    let builds: Vec<_> = status.builds.iter().collect();
    let all = [
        of_repositories(&status.repositories.iter().collect::<Vec<_>>(), now),
        of_stacks(&stacks, now, |stack| place(status, &stack.repository, reader)),
        of_images(status, now),
        of_builds(&builds, now, |build| place(status, &build.repository, reader)),
        of_work(&status.under_way, now),
    ];
    joined(all, reader)
}

fn joined<const N: usize>(parts: [String; N], reader: Option<Reader>) -> String {
    let text = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n");
    match reader {
        Some(reader) => reader.screen.cut(&text),
        None => text,
    }
}

/// The repository of a row: at a terminal its last part, and nothing where there is no other one.
fn place(status: &Status, repository: &str, reader: Option<Reader>) -> Option<String> {
    match (reader, status.repositories.as_slice()) {
        (None, _) => Some(repository.to_owned()),
        (Some(_), [only]) if only.url == repository => None,
        (Some(_), all) => {
            let all: Vec<_> = all.iter().map(|it| it.url.as_str()).collect();
            Some(nickname(repository, &all).to_owned())
        }
    }
}

/// Of an address its last parts, so many that no other address ends so.
fn nickname<'a>(url: &'a str, all: &[&str]) -> &'a str {
    let path = url.split_once('#').map_or(url, |(path, _)| path);
    let mut starts = path.rmatch_indices(['/', ':']).map(|(at, _)| &url[at + 1..]);
    let is_its_own = |name: &&str| {
        let mut others = all.iter().filter(|other| **other != url);
        !name.is_empty() && others.all(|other| !ends_with_part(other, name))
    };
    starts.find(is_its_own).unwrap_or(url)
}

fn ends_with_part(url: &str, name: &str) -> bool {
    url.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with(['/', ':']))
}

/// What stands above a time.
pub fn age(now: Option<DateTime<Utc>>) -> &'static str {
    if now.is_some() { "AGE" } else { "SINCE" }
}

fn of_repositories(all: &[&Repository], now: Option<DateTime<Utc>>) -> String {
    let rows = all.iter().map(|row| {
        let commit = row.commit.as_deref().map_or("-", |commit| digits(commit, now.is_some()));
        vec![row.url.clone(), commit.to_owned(), when(&row.last_watch, now)]
    });
    table_of(&["REPOSITORY", "COMMIT", if now.is_some() { "AGE" } else { "LAST WATCH" }], rows)
}

/// `place` names the repository of a stack; a column that says nothing of any is left out.
pub fn of_stacks(
    all: &[&Stack],
    now: Option<DateTime<Utc>>,
    place: impl Fn(&Stack) -> Option<String>,
) -> String {
    let mut heads = vec!["STACK", "STATUS", "TASKS", "COMMIT", age(now)];
    let places: Vec<_> = all.iter().map(|stack| place(stack)).collect();
    let has_places = places.iter().any(Option::is_some);
    if has_places {
        heads.push("REPOSITORY");
    }
    let rows = all.iter().zip(places).map(|(stack, place)| {
        let commit = stack.commit.as_deref().map_or("-", |commit| digits(commit, now.is_some()));
        let since = stack.converged.as_deref().map_or_else(|| "-".to_owned(), |since| when(since, now));
        let mut row = vec![stack.name.clone(), in_words(stack), tasks(stack), commit.to_owned(), since];
        row.extend(place.or_else(|| has_places.then(String::new)));
        row
    });
    table_of(&heads, rows)
}

fn of_images(status: &Status, now: Option<DateTime<Utc>>) -> String {
    let name = |name: &str| if now.is_some() { short_digest(name) } else { name.to_owned() };
    let rows = status.images.iter().map(|image| vec![name(&image.name), image.reference_count.to_string()]);
    table_of(&["IMAGE", "SERVICES"], rows)
}

fn of_builds(all: &[&Built], now: Option<DateTime<Utc>>, place: impl Fn(&Built) -> Option<String>) -> String {
    let rows = all.iter().map(|build| {
        let word = if build.error.is_some() { "failed" } else { "built" };
        let commit = digits(&build.commit, now.is_some()).to_owned();
        vec![build.name.clone(), word.to_owned(), commit, place(build).unwrap_or_default()]
    });
    let heads = ["BUILD", "STATUS", "COMMIT", "REPOSITORY"];
    let has_places = all.iter().any(|build| place(build).is_some());
    if has_places {
        table_of(&heads, rows)
    } else {
        let rows = rows.map(|mut row| {
            row.truncate(3);
            row
        });
        table_of(&heads[..3], rows)
    }
}

fn of_work(all: &[UnderWay], now: Option<DateTime<Utc>>) -> String {
    let rows = all
        .iter()
        .map(|work| vec![work.state.as_str().to_owned(), work.what.clone(), when(&work.since, now)]);
    table_of(&["UNDER WAY", "WHAT", age(now)], rows)
}

/// Addresses, and when each was watched last.
pub fn watched<'a>(all: impl Iterator<Item = (String, &'a str)>, reader: Option<Reader>) -> String {
    let now = reader.map(|reader| reader.now);
    let rows = all.map(|(url, time)| vec![url, when(time, now)]);
    let text = table(&["REPOSITORY", if now.is_some() { "AGE" } else { "LAST WATCH" }], rows);
    reader.map_or(text.clone(), |reader| reader.screen.cut(&text))
}

/// Nothing, where there is no row.
fn table_of(heads: &[&str], rows: impl ExactSizeIterator<Item = Vec<String>>) -> String {
    if rows.len() == 0 { String::new() } else { table(heads, rows) }
}

/// What is wrong, a line for each; empty where nothing is.
pub fn wrongs(status: &Status, now: Option<DateTime<Utc>>) -> String {
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
            let since = stack.degraded_since.as_ref().map(|since| format!(" {}", lasting(since, now)));
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
    digits(id, false)
}

/// The first digits of a commit or hash: eight on a terminal, where columns are to fit.
pub fn digits(id: &str, on_a_terminal: bool) -> &str {
    id.get(..if on_a_terminal { 8 } else { 12 }).unwrap_or(id)
}

/// An image with the first digits of its digest.
fn short_digest(image: &str) -> String {
    match image.split_once("@sha256:") {
        Some((name, digest)) => format!("{name}@{}", digits(digest, true)),
        None => image.to_owned(),
    }
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
mod tests;
