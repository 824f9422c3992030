//! What is watched, and which images are in use.

use maud::{Markup, html};

use super::parts::{Tone, moment, shape, short, text};
use crate::web::view::Snapshot;

pub fn repositories(snapshot: &Snapshot) -> Markup {
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
                    }
                }
            }
        }
    }
}

/// The tracked images and how many services use each.
pub fn images(snapshot: &Snapshot) -> Markup {
    html! {
        section aria-labelledby="images" {
            h2 id="images" { "Images" }
            @if snapshot.status.images.is_empty() { p.empty { "None is tracked." } } @else {
                table {
                    thead { tr { th scope="col" { "Image" } th scope="col" { "Services" } } }
                    tbody {
                        @for image in &snapshot.status.images {
                            tr { td { (text(&image.name)) } td { (image.reference_count) } }
                        }
                    }
                }
            }
        }
    }
}
