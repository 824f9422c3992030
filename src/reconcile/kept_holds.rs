//! Holds by hand as the Swarm keeps them, each in a config: for a database that is lost.

use anyhow::Result;
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};

use super::Session;
use crate::docker::stored::Stored;
use crate::hash;
use crate::hold::{Hold, LABEL};
use crate::source::SourceId;
use crate::stack::StackName;

/// A hold by hand, as a Swarm config keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    pub repository: String,
    /// `None` for all of the source.
    pub stack: Option<String>,
    pub hold: Hold,
}

/// As `keep_in_swarm`, and in place of what other sources' holds on a stack of this name are: at a person's word.
pub fn replace_in_swarm(
    session: &Session<'_>,
    source: &SourceId,
    stack: Option<&StackName>,
    hold: &Hold,
) -> Result<()> {
    keep_in_swarm(session, source, stack, hold)?;
    let Some(stack) = stack else { return Ok(()) };
    forget_where(session, |kept| *source != *kept.repository && kept.stack.as_deref() == Some(stack.as_str()))
}

/// Keeps a hold by hand in the Swarm, in place of one that was there.
pub fn keep_in_swarm(
    session: &Session<'_>,
    source: &SourceId,
    stack: Option<&StackName>,
    hold: &Hold,
) -> Result<()> {
    let kept =
        Kept { repository: source.to_string(), stack: stack.map(ToString::to_string), hold: hold.clone() };
    let text = serde_json::to_string(&kept)?;
    let mut content = Md5::new();
    hash::part(&mut content, &text);
    let name = format!("dockerops-hold-{}", hash::hex(content));
    session.door.ensure_config(&name, &text, &[(LABEL, &text)])?;
    remove(session, source, stack, Some(&name))
}

/// Ends what the Swarm keeps of the holds on sources and their stacks.
pub fn forget_all_in_swarm(session: &Session<'_>, sources: &[&SourceId]) -> Result<()> {
    forget_where(session, |kept| sources.iter().any(|source| **source == *kept.repository))
}

/// Ends what the Swarm keeps of holds, whoever's source they are on: for when no stack of any is left.
pub fn forget_every_in_swarm(session: &Session<'_>) -> Result<()> {
    forget_where(session, |_| true)
}

fn forget_where(session: &Session<'_>, is_it: impl Fn(&Kept) -> bool) -> Result<()> {
    for (stored, _) in all_kept(session)?.into_iter().filter(|(_, kept)| is_it(kept)) {
        session.door.remove_stored(&stored)?.map_err(anyhow::Error::msg)?;
    }
    Ok(())
}

/// Ends what the Swarm keeps of the holds on a name, whichever source listed it then: at a person's word.
pub fn forget_name_in_swarm(session: &Session<'_>, stack: &StackName) -> Result<()> {
    forget_where(session, |kept| kept.stack.as_deref() == Some(stack.as_str()))
}

/// Ends what the Swarm keeps of a hold.
pub fn forget_in_swarm(session: &Session<'_>, source: &SourceId, stack: Option<&StackName>) -> Result<()> {
    remove(session, source, stack, None)
}

fn remove(
    session: &Session<'_>,
    source: &SourceId,
    stack: Option<&StackName>,
    but: Option<&str>,
) -> Result<()> {
    for (stored, kept) in kept(session, source)? {
        let is_it = kept.stack.as_deref() == stack.map(StackName::as_str);
        if is_it && Some(&*stored.name) != but {
            session.door.remove_stored(&stored)?.map_err(anyhow::Error::msg)?;
        }
    }
    Ok(())
}

/// What the Swarm keeps of the holds on a source and its stacks.
pub fn kept(session: &Session<'_>, source: &SourceId) -> Result<Vec<(Stored, Kept)>> {
    let all = all_kept(session)?.into_iter();
    Ok(all.filter(|(_, kept)| *source == *kept.repository).collect())
}

/// What the Swarm keeps of holds, whoever's source they are on.
pub fn all_kept(session: &Session<'_>) -> Result<Vec<(Stored, Kept)>> {
    let stored = session.door.marked_configs(LABEL)?.into_iter();
    let read = |stored: Stored| {
        let kept: Kept = serde_json::from_str(&stored.mark).ok()?;
        Some((stored, kept))
    };
    Ok(stored.filter_map(read).collect())
}
