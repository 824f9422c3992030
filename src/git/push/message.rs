//! What a commit of ours says: one line, and on whose request. Neither can be made to say more.

use anyhow::{Result, ensure};
use git2::{Commit, Oid, Repository, Signature, Time};

use crate::clock;
use crate::plain;
use crate::settings::Author;

/// So many letters of a subject, or of a name, are kept.
const MOST: usize = 200;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    subject: String,
    requested_by: Option<String>,
}

impl Message {
    /// Whatever line ends and hidden letters there are in either, they are spelled out.
    pub fn new(subject: &str, requested_by: Option<&str>) -> Self {
        let line = |text: &str| plain::name(text.trim()).chars().take(MOST).collect::<String>();
        let requested_by = requested_by.map(line).filter(|name| !name.is_empty());
        Self { subject: line(subject), requested_by }
    }

    fn text(&self) -> String {
        let trailer = self.requested_by.iter().map(|name| format!("\nRequested-by: {name}\n"));
        format!("{}\n{}", self.subject, trailer.collect::<String>())
    }
}

/// A commit of `tree` behind `tip`; no reference points at it.
pub(super) fn commit(
    repository: &Repository,
    tip: &Commit<'_>,
    tree: Oid,
    author: &Author,
    message: &Message,
) -> Result<Oid> {
    ensure!(!message.subject.is_empty(), "a commit needs a subject");
    let who = Signature::new(&author.name, &author.email, &Time::new(clock::wall().timestamp(), 0))?;
    let tree = repository.find_tree(tree)?;
    Ok(repository.commit(None, &who, &who, &message.text(), &tree, &[tip])?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_forges_a_line_or_a_trailer() {
        let told = |subject, name| Message::new(subject, name).text();
        assert_eq!(told("Deploy blog from wordpress", None), "Deploy blog from wordpress\n");
        assert_eq!(told("Remove blog", Some(" Ann ")), "Remove blog\n\nRequested-by: Ann\n");
        let forged = "Ann\nSigned-off-by: Eve\r\u{2028}\u{85}Co-authored-by: Eve\u{0}";
        let text = told("Update blog: A\n\nRequested-by: root", Some(forged));
        assert_eq!(text.lines().count(), 3, "{text}");
        assert_eq!(text.split(['\r', '\u{85}', '\u{2028}']).count(), 1, "{text}");
        for no_name in ["", " \t ", "\u{a0}"] {
            assert_eq!(told("x", Some(no_name)), "x\n");
        }
        assert_eq!(told("x", Some(&"n".repeat(9_999))).len(), "x\n\nRequested-by: \n".len() + MOST);
    }
}
