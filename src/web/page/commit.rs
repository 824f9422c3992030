//! A commit as it is told everywhere: its first digits, a link to its forge, and what it says of itself.

use maud::{Markup, html};

use super::Page;
use super::parts::text;
use crate::source::SourceUrl;

impl Page<'_> {
    /// Its digits, with all else on hover.
    pub fn commit(&self, url: &SourceUrl, id: &str) -> Markup {
        let view = self.web.commits.of(url, id);
        let words = view.words();
        let title = if words.is_empty() { id.to_owned() } else { format!("{id} · {words}") };
        let shown = text(id.get(..8).unwrap_or(id));
        html! {
            @match &view.page {
                Some(page) => {
                    a.commit href=(page) rel="noreferrer" title=(text(&title)) { code { (shown) } }
                },
                None => { code.commit title=(text(&title)) { (shown) } },
            }
        }
    }

    /// Its first line and its author; nothing where neither is known.
    pub fn commit_words(&self, url: &SourceUrl, id: &str) -> Markup {
        let words = self.web.commits.of(url, id).words();
        html! { @if !words.is_empty() { span.words title=(text(&words)) { (text(&words)) } } }
    }
}
