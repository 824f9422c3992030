//! The key of the installations of a Swarm: a config, which only managers read.

use anyhow::{Context, Result};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::{ANOTHER, Docker, UNWELL, command, garbage, refused, some_are_gone, words};
use crate::fault::{OrHint, fault};
use crate::hash::Key;

impl Docker {
    /// `None` where the Swarm has none.
    pub fn stored_key(&self) -> Result<Option<Key>> {
        let call = command::key_inspect();
        let output = self.raw(&call, self.question, None, None)?;
        if !output.success {
            return if some_are_gone(&output) {
                Ok(None)
            } else {
                Err(refused(&call, &output)).or_hint(UNWELL)
            };
        }
        let data: String = serde_json::from_str(&output.stdout)
            .with_context(|| garbage(&call, &output.stdout))
            .or_hint(ANOTHER)?;
        let text = BASE64_STANDARD.decode(data).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let key = text.and_then(|text| Key::from_hex(text.trim()));
        key.map(Some).ok_or_else(|| {
            fault(
                format!("the config `{}` is not a key that DockerOps made", command::KEY),
                format!("`docker config rm {}` lets it make a new one", command::KEY),
            )
        })
    }

    /// Stores `key` for all installations of the Swarm; another one that was quicker wins.
    pub fn store_key(&self, key: &Key) -> Result<Key> {
        if self.put_key_back(key)? {
            return Ok(key.clone());
        }
        self.stored_key()?.context("the key of this Swarm comes and goes")
    }

    /// Stores `key` where the Swarm has none; whether it had none.
    pub fn put_key_back(&self, key: &Key) -> Result<bool> {
        let call = command::config_create(command::KEY, &[]);
        let output = self.raw(&call, self.action, None, Some(key.to_hex()))?;
        if output.success || words(&output).to_lowercase().contains("already exists") {
            return Ok(output.success);
        }
        Err(refused(&call, &output))
    }

    /// Takes it away; that there is none is fine.
    pub fn remove_key(&self) -> Result<()> {
        let call = command::key_rm();
        let output = self.raw(&call, self.action, None, None)?;
        if output.success || some_are_gone(&output) { Ok(()) } else { Err(refused(&call, &output)) }
    }
}
