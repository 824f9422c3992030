//! What a stack with secrets as variables needs before docker can deploy it: the commands of its images
//! in its text, and its scripts in the Swarm.

use std::borrow::Cow;
use std::collections::BTreeMap;

use anyhow::Result;

use super::{Reconciler, Session};
use crate::compose::{Ownership, REPOSITORY, RenderedStack};
use crate::docker::command::{NAMESPACE, ResolveImage};
use crate::docker::{Pull, Roll};

/// What a service's script is to run once the service has its new image; `None` where it has no script.
pub fn command_after(
    session: &Session<'_>,
    rendered: &RenderedStack,
    roll: &Roll,
) -> Result<Option<Vec<String>>> {
    let service = rendered.services.iter().find(|service| rendered.name.scope(&service.name) == roll.service);
    let Some(service) = service.filter(|service| {
        service.image.as_ref().is_some_and(|image| rendered.images_to_read().contains(&*image.to_string()))
    }) else {
        return Ok(None);
    };
    // By its digest: the tag here may name another.
    let (tagged, pulled) = (roll.image.unpinned().to_string(), roll.image.pulled());
    let command = session
        .door
        .image_command(&pulled.unwrap_or_else(|| roll.image.clone()).to_string(), &Pull::IfAbsent)?;
    rendered.command_of(&service.name, &BTreeMap::from([(tagged, command)])).transpose()
}

impl Reconciler {
    /// `rendered` with nothing left open; most stacks are so from the beginning.
    pub fn with_secrets<'a>(
        &mut self,
        session: &Session<'_>,
        rendered: &'a RenderedStack,
        ownership: &Ownership,
        resolve: ResolveImage,
    ) -> Result<Cow<'a, RenderedStack>> {
        let scripts = rendered.scripts();
        if scripts.is_empty() {
            return Ok(Cow::Borrowed(rendered));
        }
        for image in rendered.images_to_read() {
            if !self.memory.commands.contains_key(image) {
                session.report.waiting(rendered.name.as_str(), &format!("reads the command of `{image}`"));
                // Where docker asks the registry again, the image that will run may not be the one here.
                let pull = match self.pulls.failure(image) {
                    // Pulled again here it would hold up everybody.
                    Some(why) => Pull::Never(why.to_owned()),
                    None if resolve == ResolveImage::Always => Pull::Always,
                    None => Pull::IfAbsent,
                };
                let command = session.door.image_command(image, &pull)?;
                self.memory.commands.insert(image.to_owned(), command);
            }
        }
        let complete = rendered.complete(&self.memory.commands)?;
        // With the stack's own label, so that `docker stack rm` takes them along.
        let labels = [(NAMESPACE, rendered.name.as_str()), (REPOSITORY, ownership.repository.as_str())];
        for script in scripts {
            session.door.ensure_config(&script.name, &script.text, &labels)?;
        }
        Ok(Cow::Owned(complete))
    }
}
