//! What commits say of themselves, and where people see them: read once out of what is kept, and remembered.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::forge::page_of_commit;
use crate::git::{self, Commit, Said};
use crate::report::harmless;
use crate::settings::GitAccess;
use crate::source::SourceUrl;

/// So many are remembered.
const MOST: usize = 5_000;
/// So many letters of a subject, and of a name.
const SUBJECT: usize = 120;
const NAME: usize = 60;

#[derive(Debug)]
pub struct Commits {
    access: GitAccess,
    known: Mutex<BTreeMap<(SourceUrl, String), CommitView>>,
}

/// A commit, as it is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommitView {
    /// Its first line, and who wrote it; `None` where it is not here any more.
    pub said: Option<Said>,
    /// Where its forge shows it.
    pub page: Option<String>,
}

impl CommitView {
    /// Its first line and its author; empty where neither is known.
    pub fn words(&self) -> String {
        match &self.said {
            Some(Said { subject, author }) if author.is_empty() => subject.clone(),
            Some(Said { subject, author }) => format!("{subject} · {author}"),
            None => String::new(),
        }
    }
}

impl Commits {
    pub fn new(access: GitAccess) -> Self {
        Self { access, known: Mutex::default() }
    }

    /// Of a commit of that source.
    pub fn of(&self, url: &SourceUrl, commit: &str) -> CommitView {
        let key = (url.clone(), commit.to_owned());
        if let Some(known) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return known.clone();
        }
        let Ok(source) = url.parse() else { return CommitView::default() };
        let page = page_of_commit(&source, commit);
        let said = Commit::parse(commit).and_then(|commit| git::said(&source, &commit, &self.access));
        // What could not be read is tried again.
        let Ok(said) = said else { return CommitView { said: None, page } };
        let view = CommitView { said: said.map(|said| cut(&said)), page };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(key, view.clone());
        view
    }
}

fn cut(said: &Said) -> Said {
    let cut = |text: &str, most: usize| {
        let whole = harmless(text);
        match whole.char_indices().nth(most) {
            Some((end, _)) => format!("{}…", whole[..end].trim_end()),
            None => whole,
        }
    };
    Said { subject: cut(&said.subject, SUBJECT), author: cut(&said.author, NAME) }
}
