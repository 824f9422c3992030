//! Stacks whose secrets are not in the Swarm are not deployed.

use anyhow::Result;

use super::{Key, Reconciler, Session};
use crate::compose::RenderedStack;
use crate::plan::{Decision, How};

impl Reconciler {
    /// Asks docker for the secrets there are, if anything that is to be deployed needs one: once a run.
    pub fn ask_for_secrets(&mut self, session: &Session<'_>, decisions: &[(Key, Decision)]) -> Result<()> {
        let needs = |(key, decision): &(Key, Decision)| {
            matches!(decision, Decision::Apply(apply) if matches!(apply.how, How::Deploy { .. }))
                && !self.secrets_of(key).is_empty()
        };
        if self.memory.secrets.is_none() && decisions.iter().any(needs) {
            self.memory.secrets = Some(session.door.secret_names()?);
        }
        Ok(())
    }

    fn secrets_of(&self, key: &Key) -> Vec<&String> {
        let source = self.sources.iter().find(|source| source.id == key.source);
        let rendered = source.and_then(|source| source.desired(&key.stack)?.rendered());
        rendered.into_iter().flat_map(RenderedStack::secrets).collect()
    }

    /// Why a stack must not be deployed, where secrets are missing.
    pub fn missing_secrets(&self, key: &Key) -> Option<String> {
        let there = self.memory.secrets.as_ref()?;
        let missing: Vec<_> =
            self.secrets_of(key).into_iter().filter(|name| !there.contains(*name)).collect();
        (!missing.is_empty()).then(|| sentence(&missing))
    }
}

fn sentence(missing: &[&String]) -> String {
    let names: Vec<_> = missing.iter().map(|name| format!("`{name}`")).collect();
    let lines: Vec<_> = missing.iter().map(|name| format!("\n  docker secret create {name} -")).collect();
    format!(
        "not deployed: `secrets.yaml` names secrets that do not exist in the Swarm: {}; make them, each with its value on \
         standard input, and run `dockerops reconcile`:{}",
        names.join(", "),
        lines.concat()
    )
}
