//! A commit on a branch of its own, and where it waits to be merged.

use anyhow::Result;
use maud::html;

use super::{Subject, page};
use crate::fault::hint_of;
use crate::forge::Request;
use crate::report::harmless;
use crate::web::page::parts::text;
use crate::web::response::Response;

/// What was pushed to a branch of its own is deployed once somebody has merged it.
pub fn proposed(subject: &Subject, branch: &str, base: &str, request: Option<Result<Request>>) -> Response {
    let status = if matches!(request, Some(Err(_))) { 502 } else { 200 };
    let main = html! {
        section.verdict data-tone=(if status == 200 { "good" } else { "bad" }) {
            h1 { "Pushed to " (text(branch)) }
            p { "It is deployed when that branch is merged into " code { (text(base)) } "." }
            @match request {
                // The client of the forge lets no other address pass than a page of the repository's host.
                Some(Ok(request)) => {
                    p { a href=(request.url) { "Request " (request.number) " to merge it" } }
                    @if let Some(why) = request.outdated {
                        p { "Its title and text are still those of an earlier change: " (text(&harmless(&why))) }
                    }
                }
                Some(Err(error)) => {
                    p { (text(&harmless(&format!("{error:#}")))) }
                    @if let Some(hint) = hint_of(&error) { p.muted { (text(hint)) } }
                }
                None => {}
            }
        }
        p { a href=(subject.up()) { "Back to the state" } }
    };
    page(status, subject, "Pushed", &main)
}
