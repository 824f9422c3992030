//! What an image runs by itself, and whether it has a shell: read without ever running it; and what else
//! of the Swarm secrets as variables take. It knows nothing of compose files.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{ANOTHER, Docker, UNWELL, command, refused, words};
use crate::fault::OrHint;
use crate::image::ImageCommand;
use crate::signal::Interrupted;

/// Whether an image is pulled before it is looked into.
#[derive(Debug)]
pub enum Pull {
    /// Its tag may name another by now.
    Always,
    IfAbsent,
    /// It could not be had a moment ago, and why.
    Never(String),
}

impl Docker {
    /// Of the image on this node.
    pub fn image_command(&self, image: &str, pull: &Pull) -> Result<ImageCommand> {
        let pulled = match if matches!(pull, Pull::Always) { self.pull(image) } else { Ok(()) } {
            Err(error) if error.is::<Interrupted>() => return Err(error),
            pulled => pulled,
        };
        // A registry that is down is no reason to fail where the image is here.
        let mut inspected = self.inspect(&command::image_inspect(image))?;
        if inspected.is_empty() {
            // The first refusal says it all where there was one.
            pulled?;
            match pull {
                Pull::Always => {}
                Pull::IfAbsent => self.pull(image)?,
                Pull::Never(why) => bail!("the command of `{image}` cannot be read: {why}"),
            }
            inspected = self.inspect(&command::image_inspect(image))?;
        }
        let found = inspected.into_iter().next();
        let value = found.with_context(|| format!("the image `{image}` was pulled, and is not there"))?;
        let id = value["Id"]
            .as_str()
            .with_context(|| format!("the image `{image}` has no id"))
            .or_hint(ANOTHER)?;
        Ok(ImageCommand {
            entrypoint: list(&value["Config"]["Entrypoint"]),
            command: list(&value["Config"]["Cmd"]),
            has_shell: self.has_shell(id)?,
        })
    }

    fn pull(&self, image: &str) -> Result<()> {
        let pulled = self.pull_image(image, &AtomicBool::new(false), &mut |_| {});
        pulled.with_context(|| format!("the command of `{image}` cannot be read"))
    }

    /// By a container that is made, looked into and removed, but never started.
    fn has_shell(&self, id: &str) -> Result<bool> {
        // What runs that were killed left; what a run beside this one works with is younger.
        self.raw(&command::prune_probes(), self.question, None, None)?;
        let container = self.ask(&command::create_probe(id))?.stdout.trim().to_owned();
        let looked = self.raw(&command::copy_shell(&container), self.question, None, None);
        let removed = self.raw(&command::container_rm(&container), self.action, None, None);
        let (looked, removed) = (looked?, removed?);
        if !removed.success {
            return Err(refused(&command::container_rm(&container), &removed)).or_hint(UNWELL);
        }
        let said = words(&looked).to_lowercase();
        let missing = said.contains("could not find the file") || said.contains("no such container:path");
        if looked.success || missing {
            Ok(looked.success)
        } else {
            Err(refused(&command::copy_shell(&container), &looked)).or_hint(UNWELL)
        }
    }

    /// The names of all secrets of the Swarm.
    pub fn secret_names(&self) -> Result<BTreeSet<String>> {
        Ok(self.ask(&command::secret_ls())?.stdout.split_whitespace().map(str::to_owned).collect())
    }

    /// Makes a config of this stack, unless there is one of that name: names hold a hash of the text.
    pub fn ensure_config(&self, name: &str, text: &str, labels: &[(&str, &str)]) -> Result<()> {
        let call = command::config_create(name, labels);
        let output = self.raw(&call, self.action, None, Some(text.to_owned()))?;
        if output.success || words(&output).to_lowercase().contains("already exists") {
            return Ok(());
        }
        Err(refused(&call, &output))
    }
}

fn list(value: &Value) -> Vec<String> {
    let words = value.as_array().into_iter().flatten();
    words.filter_map(|word| word.as_str().map(str::to_owned)).collect()
}
