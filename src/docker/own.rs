//! The container that this program runs in, where it is one.

use std::fs;

use anyhow::Result;

use super::{Docker, command, refused, some_are_gone};
use crate::stack::StackName;

impl Docker {
    /// The stack that this program itself runs in: one call, none outside of a container.
    pub fn own_stack(&self) -> Result<Option<StackName>> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let Some(id) = container_id(&mounts) else { return Ok(None) };
        let call = command::container_stack(id);
        let output = self.raw(&call, self.question, None, None)?;
        if !output.success {
            // A container, but none of the docker that is asked.
            return if some_are_gone(&output) { Ok(None) } else { Err(refused(&call, &output)) };
        }
        Ok(Some(output.stdout.trim()).filter(|name| !name.is_empty()).map(StackName::known))
    }
}

/// docker mounts a container's names from a folder that bears its id.
fn container_id(mounts: &str) -> Option<&str> {
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        let id = root.strip_suffix("/hostname").filter(|_| point == "/etc/hostname")?.rsplit('/').next()?;
        (id.len() == 64 && id.bytes().all(|letter| letter.is_ascii_hexdigit())).then_some(id)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_that_of_the_folder_the_hostname_comes_from() {
        let id = "0123456789abcdef".repeat(4);
        let line = |root: &str, point: &str| format!("7 1 254:1 {root} {point} rw - ext4 /dev/vda rw\n");
        let other = line("/etc/hosts", "/etc/hosts");
        for folder in ["/var/lib/docker/containers", "/containers"] {
            let text = format!("{other}{}", line(&format!("{folder}/{id}/hostname"), "/etc/hostname"));
            assert_eq!(container_id(&text), Some(&*id));
        }
        for (root, point) in
            [("/etc/hostname", "/etc/hostname"), (&*format!("/x/{id}/hostname"), "/mnt"), ("/", "/")]
        {
            assert_eq!(container_id(&line(root, point)), None);
        }
    }
}
