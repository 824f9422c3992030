//! Configs, secrets and networks by name: whose each is.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};

use super::{ANOTHER, Docker, command, garbage, parse_line};
use crate::fault::OrHint;
use crate::stack::{ObjectKind, StackName};

/// The objects of one kind: the stacks that their labels name, by folded name. A stack without a name stands for no
/// stack. Networks of one name can be several.
pub type Holders = BTreeMap<String, BTreeSet<StackName>>;

impl Docker {
    /// All of one kind, in one call.
    pub fn holders(&self, kind: ObjectKind) -> Result<Holders> {
        let call = command::object_ls(kind);
        let output = self.ask(&call)?;
        let mut holders = Holders::new();
        for line in output.stdout.lines() {
            let read = parse_line::<[String; 2]>(line).with_context(|| garbage(&call, &output.stdout));
            let [name, stack] = read.or_hint(ANOTHER)?;
            holders.entry(fold(&name)).or_default().insert(StackName::known(stack));
        }
        Ok(holders)
    }
}

impl Docker {
    /// Of all networks.
    pub fn network_names(&self) -> Result<BTreeSet<String>> {
        let output = self.ask(&command::network_names())?;
        Ok(output.stdout.lines().map(str::to_owned).collect())
    }
}

/// Swarm takes `Net` and `net` for one name.
pub fn fold(name: &str) -> String {
    name.to_ascii_lowercase()
}
