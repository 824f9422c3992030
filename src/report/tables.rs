//! The tables of `status` and `reconcile`, and what is wrong below them.

use std::fmt::Write;

use comfy_table::Table;
use comfy_table::TableStyle;

use super::one_line;
use super::status::{self, Stack, Status};
use crate::docker::Swarm;
use crate::state::ImageRow;
use crate::watched::Watched;

/// The state as `reconcile` shows it before it works.
pub fn state(watched: &[Watched], images: &[ImageRow], swarm: &Swarm) -> String {
    text(&status::gather(watched, images, swarm, &|_| None))
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
    out + &wrongs(status)
}

fn wrongs(status: &Status) -> String {
    let mut out = String::new();
    for repository in &status.repositories {
        if let Some(error) = &repository.error {
            let _ = write!(out, "\n{}", super::clean(error));
        }
    }
    for build in &status.builds {
        if let Some(error) = &build.error {
            let _ = write!(out, "\n{}: {}", one_line(&build.name), super::clean(error));
        }
    }
    for stack in &status.stacks {
        if let Some(error) = &stack.error {
            let held =
                if stack.held { " (held until the repository changes, or `reconcile --force`)" } else { "" };
            let _ = write!(out, "\n{}: {}{held}", one_line(&stack.name), super::clean(error));
        }
        for drift in &stack.drift {
            let _ = write!(
                out,
                "\n{}: `{}` {}",
                one_line(&stack.name),
                one_line(&drift.service),
                one_line(&drift.what)
            );
        }
        for service in &stack.services {
            if let Some(error) = &service.error {
                let _ = write!(
                    out,
                    "\n{}: `{}`: {}",
                    one_line(&stack.name),
                    one_line(&service.name),
                    one_line(error)
                );
            }
        }
    }
    if out.is_empty() { out } else { out + "\n" }
}

/// The status word, and what it does not say by itself.
fn in_words(stack: &Stack) -> String {
    let mut words = stack.status.to_owned();
    if stack.held {
        words += ", held";
    }
    if !stack.drift.is_empty() {
        words += ", drifted";
    }
    if stack.updating {
        words += ", updating";
    }
    if status::is_degraded(stack) {
        words += ", degraded";
    }
    words
}

fn tasks(stack: &Stack) -> String {
    if stack.services.is_empty() {
        return "-".to_owned();
    }
    let sum = |count: fn(&status::LiveService) -> u64| stack.services.iter().map(count).sum::<u64>();
    format!("{}/{}", sum(|service| service.running.min(service.wanted)), sum(|service| service.wanted))
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// Plain columns; two blanks between them.
pub fn table(heads: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(TableStyle::new()).set_header(heads);
    for row in rows {
        table.add_row(row.iter().map(|cell| one_line(cell)));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().fold(String::new(), |out, line| out + line.trim_end() + "\n")
}
