//! Stacks that one watched source lists no more and another one lists: they change hands as they run.
//!
//! Their old owner removes nothing. He forgets a stack once it converged under the new one; until then his commit
//! counts as not dealt with, so both are looked at again.

use std::collections::BTreeMap;

use anyhow::Result;

use super::Session;
use super::fetch::{Content, Fetched, Read};
use super::planned::Planned;
use crate::manifest::Layout;
use crate::plan::{self, Action, Claims};
use crate::stack::StackName;
use crate::state::StackStatus;
use crate::watched::Watched;

/// By its old owner and its name: the new owner of a stack.
pub type Moves = BTreeMap<(String, StackName), String>;

/// What changes hands; the names are free then. A stack with bindings does not: its files lie where those of its old
/// owner do, which go first.
pub fn find(fetched: &[Fetched], watched: &[Watched], claims: &mut Claims) -> Moves {
    let mut moves = Moves::new();
    for known in watched {
        let Some(read) = read(fetched, &known.identity).filter(|read| read.layout == Layout::List) else {
            continue;
        };
        let listed = |name: &StackName| read.desired.iter().any(|desired| desired.entry.name == *name);
        for row in known.stacks.iter().filter(|row| !listed(&row.name)) {
            let heir = heir(&row.name, known, fetched, watched);
            if let Some(heir) = heir.filter(|_| plan::claim(claims, &row.name) == Some(&known.identity)) {
                plan::release(claims, &row.name);
                moves.insert((known.identity.clone(), row.name.clone()), heir);
            }
        }
    }
    moves
}

fn read<'a>(fetched: &'a [Fetched], identity: &str) -> Option<&'a Read> {
    let fetched = fetched.iter().find(|fetched| fetched.target.source.id() == identity)?;
    if let Content::Read(read) = &fetched.content { Some(read) } else { None }
}

/// A source that lists the name: as was read in this run, or of one that was not, as it was told in vain before.
fn heir(name: &StackName, owner: &Watched, fetched: &[Fetched], watched: &[Watched]) -> Option<String> {
    let lists = |read: &Read| {
        read.desired.iter().any(|desired| {
            let rendered = desired.rendered.as_ref().and_then(|rendered| rendered.as_ref().ok());
            desired.entry.name == *name && rendered.is_some_and(|rendered| rendered.bindings.is_empty())
        })
    };
    let others = fetched.iter().map(|fetched| fetched.target.source.id());
    let mut others = others.filter(|id| *id != owner.identity);
    let now = others.find(|id| read(fetched, id).is_some_and(lists));
    let waits = |known: &&Watched| {
        known.identity != owner.identity
            && read(fetched, &known.identity).is_none()
            && known
                .stacks
                .iter()
                .any(|row| row.name == *name && row.status == StackStatus::Error && !row.held)
    };
    now.or_else(|| watched.iter().find(waits).map(|known| &*known.identity)).map(str::to_owned)
}

impl Planned {
    /// Old owners forget what converged under the new ones.
    pub fn hand_over(&mut self, session: &Session<'_>) -> Result<()> {
        let urls: BTreeMap<_, _> =
            self.sources.iter().map(|source| (source.identity.clone(), source.url.clone())).collect();
        let mut stacks = None;
        for source in &mut self.sources {
            let Some(row) = &source.row else { continue };
            for step in &mut source.steps {
                let Action::Moved { to } = &step.action else { continue };
                if stacks.is_none() {
                    stacks = Some(session.state.stacks()?);
                }
                let runs = stacks.iter().flatten().any(|stack| {
                    stack.name == step.name
                        && stack.status == StackStatus::Deployed
                        && Some(&stack.repository_url) == urls.get(to)
                });
                if runs {
                    session.state.forget_stack(&step.name, &row.url)?;
                    step.action = Action::Forget;
                }
            }
        }
        Ok(())
    }
}
