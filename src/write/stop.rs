//! Why no commit is made.

use serde_json::{Value, json};

use super::entries::Refusal;
use super::side::FileChange;
use crate::fault::hint_of;
use crate::git::Commit;
use crate::problem::Problem;
use crate::source::Source;
use crate::stack::StackName;
use crate::validate::Mistake;

/// Why no commit is made, and none is to be.
#[derive(Debug)]
pub enum Stop {
    /// It is so already.
    Same,
    /// Nobody asked for more than what it would do.
    Planned,
    /// What is asked for is not there.
    Missing { what: String, hint: String },
    /// It does not go together with what is there.
    Conflict { what: String, hint: String, about: About },
    /// What it was made for is not so any more.
    Changed { tip: Commit, ours: Vec<FileChange>, theirs: Vec<FileChange> },
    /// The options are wrong.
    Options(Vec<Problem>),
    /// Files would be.
    Wrong {
        problems: Vec<Mistake>,
        is_removal: bool,
        /// Whether they were so before.
        was_wrong: bool,
    },
}

/// What another answer to a conflict would be about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// The stack's name is taken.
    Name,
    /// Files were edited by hand: `overwrite` is the word for that.
    Overwrite,
    Other,
}

impl Stop {
    pub fn missing(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Missing { what: what.into(), hint: hint.into() }
    }

    pub fn conflict(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Conflict { what: what.into(), hint: hint.into(), about: About::Other }
    }

    pub(super) fn taken(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Conflict { what: what.into(), hint: hint.into(), about: About::Name }
    }

    pub(super) fn by_hand(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Conflict { what: what.into(), hint: hint.into(), about: About::Overwrite }
    }

    pub(super) fn is_watched(stack: &StackName) -> Self {
        Self::taken(
            format!("`DOCKEROPS_WRITE_BRANCH` makes the branch of `{stack}` the one that is watched"),
            "choose another name, or let the variable say more, as in `dockerops/{stack}`",
        )
    }

    pub(super) fn slipped(deployed: &[StackName]) -> Self {
        let names: Vec<_> = deployed.iter().take(10).map(|name| format!("`{name}`")).collect();
        let (names, more) = (names.join(", "), deployed.len().saturating_sub(10));
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        Self::conflict(
            format!(
                "no stack is listed there any more, while some are deployed: {names}{more}; the next list would remove them"
            ),
            "bring the list back with git; where they are to go, `dockerops unwatch` the source first",
        )
    }

    pub(super) fn ruled_out(source: &Source) -> Self {
        let hint = "add rules for it; what it has is not deployed either";
        Self::conflict(format!("the policy has no rules for `{source}`"), hint)
    }

    pub(super) fn unsigned() -> Self {
        Self::conflict(
            "the policy wants the commits of this source signed, and DockerOps has no key to sign with",
            "write it with git, and sign it",
        )
    }

    /// What an edit of the tree says about a path.
    pub(super) fn refused(error: &anyhow::Error) -> Self {
        let other = "choose another name, or move with git what is in the way";
        let told = format!("{error:#}");
        hint_of(error).map_or_else(|| Self::taken(&*told, other), |hint| Self::conflict(&*told, hint))
    }

    pub(super) fn forgotten(seen: &Commit, tip: &Commit) -> Self {
        let (seen, tip) = (seen.short(), tip.short());
        Self::conflict(
            format!("commit `{seen}` is not known here any more: the newest is `{tip}`"),
            "look at what there is now, and ask again for that commit",
        )
    }

    pub(super) fn binds(stack: &StackName, bindings: &[String]) -> Self {
        let names: Vec<_> = bindings.iter().map(|id| format!("`{id}`")).collect();
        Self::conflict(
            format!("`volumes.yaml` copies files out of the folder of `{stack}`: {}", names.join(", ")),
            "take the bindings out of `volumes.yaml` first",
        )
    }

    /// The state of HTTP that says so.
    pub fn status(&self) -> u16 {
        match self {
            Self::Same | Self::Planned => 200,
            Self::Missing { .. } => 404,
            Self::Conflict { .. } | Self::Changed { .. } | Self::Wrong { is_removal: true, .. } => 409,
            Self::Options(_) | Self::Wrong { .. } => 422,
        }
    }

    /// For programs: `error`, `hint`, and `problems` or differences where there are some.
    pub fn json(&self) -> Value {
        match self {
            Self::Same | Self::Planned => json!({}),
            Self::Missing { what, hint } | Self::Conflict { what, hint, .. } => {
                json!({ "error": what, "hint": hint })
            }
            Self::Changed { tip, ours, theirs } => json!({
                "error": "the stack, its entry or its template was changed meanwhile",
                "hint": "look at what there is now, and ask again for that commit",
                "commit": tip.as_str(), "ours": ours, "theirs": theirs,
            }),
            Self::Options(problems) => {
                let problems: Vec<_> = problems
                    .iter()
                    .map(|it| json!({ "file": it.file, "line": it.line, "key": it.key, "what": it.what }))
                    .collect();
                json!({
                    "error": "the options are not what the template takes",
                    "hint": "each problem names its option; `schema` of the stack definition says what is taken",
                    "problems": problems,
                })
            }
            Self::Wrong { problems, was_wrong: true, .. } => json!({
                "error": "the repository is wrong already, and nothing is deployed from it as it is",
                "hint": "mend with git what the problems name, then ask again",
                "problems": problems,
            }),
            Self::Wrong { problems, is_removal: true, .. } => json!({
                "error": "something would be wrong without it",
                "hint": "change with git what needs it, then remove it",
                "problems": problems,
            }),
            Self::Wrong { problems, .. } => json!({
                "error": "the repository would be wrong with it",
                "hint": "nothing was committed: choose other options, or mend with git what the problems name",
                "problems": problems,
            }),
        }
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        let (what, hint) = (refusal.to_string(), refusal.hint());
        match refusal {
            Refusal::Missing => Self::missing(what, hint),
            Refusal::Taken { .. } => Self::taken(what, hint),
            _ => Self::conflict(what, hint),
        }
    }
}
