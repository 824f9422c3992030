//! What a stack with secrets as variables needs before docker can deploy it: the commands of its images
//! in its text, and its scripts in the Swarm.

use std::borrow::Cow;

use anyhow::Result;

use super::Run;
use crate::compose::{Ownership, REPOSITORY, RenderedStack};
use crate::docker::command::{NAMESPACE, ResolveImage};

impl Run<'_> {
    /// `rendered` with nothing left open; most stacks are so from the beginning.
    pub(super) fn with_secrets<'a>(
        &mut self,
        rendered: &'a RenderedStack,
        ownership: &Ownership,
        resolve: ResolveImage,
    ) -> Result<Cow<'a, RenderedStack>> {
        let scripts = rendered.scripts();
        if scripts.is_empty() {
            return Ok(Cow::Borrowed(rendered));
        }
        for image in rendered.images_to_read() {
            if !self.images.contains_key(image) {
                self.observer.waiting(&rendered.name, &format!("reads the command of `{image}`"));
                // Where docker asks the registry again, the image that will run may not be the one here.
                let command = self.docker.image_command(image, resolve == ResolveImage::Always)?;
                self.images.insert(image.to_owned(), command);
            }
        }
        let complete = rendered.complete(&self.images)?;
        // With the stack's own label, so that `docker stack rm` takes them along.
        let labels = [(NAMESPACE, rendered.name.as_str()), (REPOSITORY, &*ownership.repository)];
        for script in scripts {
            self.docker.ensure_config(&script.name, &script.text, &labels)?;
        }
        Ok(Cow::Owned(complete))
    }
}
