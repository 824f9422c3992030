//! What is watched, and which images are in use.

use maud::{Markup, html};

use super::parts::{Tone, moment, shape, short, text};
use crate::report::status::Repository;
use crate::web::view::Snapshot;

/// The repositories, each with what `more` shows of it.
pub fn repositories(snapshot: &Snapshot, more: impl Fn(&Repository) -> Markup) -> Markup {
    html! {
        section aria-labelledby="repositories" {
            h2 id="repositories" { "Repositories" }
            @if snapshot.status.repositories.is_empty() { p.empty { "None is watched." } }
            ul.plain {
                @for repository in &snapshot.status.repositories {
                    li data-tone=((if repository.error.is_some() { Tone::Bad } else { Tone::Good }).as_str()) {
                        p.name {
                            @if repository.error.is_some() { (shape(Tone::Bad)) span.hidden { "failing: " } }
                            (text(&repository.url))
                        }
                        p.muted {
                            @match &repository.commit {
                                Some(commit) => { "at " (short(commit)) },
                                None => { "no commit yet" },
                            }
                            ", synced " (moment(&repository.last_watch))
                        }
                        (more(repository))
                    }
                }
            }
        }
    }
}

/// The tracked images and how many services use each; those that are built here with what `build` shows of them.
pub fn images(snapshot: &Snapshot, build: impl Fn(&str) -> Markup) -> Markup {
    let builds = &snapshot.status.builds;
    let used = snapshot.status.images.iter().map(|image| (image.name.as_str(), image.reference_count));
    let mut images: Vec<_> = used.collect();
    for built in builds {
        if !images.iter().any(|(name, _)| *name == built.name) {
            images.push((&built.name, 0));
        }
    }
    html! {
        section aria-labelledby="images" {
            h2 id="images" { "Images" }
            @if images.is_empty() { p.empty { "None is tracked." } } @else {
                table {
                    thead { tr { th scope="col" { "Image" } th scope="col" { "Services" } } }
                    tbody {
                        @for (name, count) in images {
                            tr {
                                td {
                                    (text(name))
                                    @if builds.iter().any(|built| built.name == name) { (build(name)) }
                                }
                                td { (count) }
                            }
                        }
                    }
                }
            }
        }
    }
}
