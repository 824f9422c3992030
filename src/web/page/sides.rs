//! What is watched, and which images are in use.

use maud::{Markup, html};

use super::Page;
use super::parts::{Tone, count, moment, shape, short, text};
use crate::report::status::Repository;

/// The repositories, each with its commit and what a person may do about all of it.
pub fn repositories(page: &Page<'_>) -> Markup {
    let all = &page.snapshot.status.repositories;
    html! {
        section aria-labelledby="repositories" {
            h2 id="repositories" { "Repositories" }
            @if all.is_empty() { p.empty { "None is watched." } }
            ul.plain { @for repository in all { (line(page, repository)) } }
        }
    }
}

fn line(page: &Page<'_>, repository: &Repository) -> Markup {
    let watched = page.web.view.watched().unwrap_or_default();
    let url = watched.iter().find(|known| known.identity == repository.source).map(|known| &known.row.url);
    let commit = url.zip(repository.commit.as_deref());
    html! {
        li data-tone=((if repository.error.is_some() { Tone::Bad } else { Tone::Good }).as_str()) {
            p.name {
                @if repository.error.is_some() { (shape(Tone::Bad)) span.hidden { "failing: " } }
                (text(&repository.url))
            }
            @if let Some((url, commit)) = commit { p.said { (page.commit(url, commit)) " " (page.commit_words(url, commit)) } }
            p.muted {
                @if commit.is_none() { "no commit yet, " }
                "synced " (moment(&repository.last_watch))
            }
            (page.holding_of_all(repository))
        }
    }
}

/// The images that services use, and how many; those that none does are folded away. What is built here can be built again.
pub fn images(page: &Page<'_>) -> Markup {
    let status = &page.snapshot.status;
    let all: Vec<_> =
        status.images.iter().map(|image| (image.name.as_str(), image.reference_count)).collect();
    let built = status.builds.iter().map(|built| built.name.as_str());
    let built: Vec<_> = built.filter(|name| !all.iter().any(|(known, _)| known == name)).collect();
    let is_built = |name: &str| status.builds.iter().any(|built| built.name == name);
    let (used, idle): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|(name, count)| *count > 0 || is_built(name));
    let used: Vec<_> = used.into_iter().chain(built.into_iter().map(|name| (name, 0))).collect();
    let table = |images: &[(&str, i64)]| {
        html! {
            table {
                thead { tr { th scope="col" { "Image" } th scope="col" { "Services" } } }
                tbody {
                    @for (name, count) in images {
                        tr {
                            td { (image(name)) @if is_built(name) { (page.build_button(name)) } }
                            td { (count) }
                        }
                    }
                }
            }
        }
    };
    html! {
        section aria-labelledby="images" {
            h2 id="images" { "Images" }
            @if used.is_empty() { p.empty { "None is in use." } } @else { (table(&used)) }
            @if !idle.is_empty() {
                details id="idle-images" {
                    summary { (count(idle.len(), "image that no service uses", "images that no service uses")) }
                    (table(&idle))
                }
            }
        }
    }
}

/// With the first digits of its digest, the whole on hover.
fn image(name: &str) -> Markup {
    match name.split_once("@sha256:") {
        Some((name, digest)) => html! { (text(name)) " " (short(digest)) },
        None => html! { (text(name)) },
    }
}
