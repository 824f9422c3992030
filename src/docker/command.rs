//! Commands are values: each function returns arguments and runs nothing.

use super::payload;
use crate::stack::{Payload, StackName};

/// The label docker gives every service of a stack.
pub const NAMESPACE: &str = "com.docker.stack.namespace";

/// Which images `stack deploy` asks of their registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResolveImage {
    /// Those that changed: an unreachable registry then restarts nothing, a moved tag rolls nothing.
    Changed,
    /// All: puts back an image that was edited by hand.
    Always,
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn with(words_: &[&str], more: &[&str]) -> Vec<String> {
    words(&[words_, more].concat())
}

/// All services of all stacks, a JSON object a line.
pub fn service_ls() -> Vec<String> {
    words(&["service", "ls", "--filter", &format!("label={NAMESPACE}"), "--format", "{{json .}}"])
}

/// The full services.
pub fn service_inspect(ids: &[&str]) -> Vec<String> {
    with(&["service", "inspect"], ids)
}

/// Task ids with the names of their nodes.
pub fn service_ps(ids: &[&str]) -> Vec<String> {
    with(&["service", "ps", "--no-trunc", "--format", "{{.ID}} {{.Node}}"], ids)
}

/// The full tasks.
pub fn task_inspect(ids: &[&str]) -> Vec<String> {
    with(&["inspect", "--type", "task"], ids)
}

/// Deploys from standard input: the working directory is where relative paths start.
pub fn stack_deploy(name: &StackName, resolve: ResolveImage) -> Vec<String> {
    let resolve = match resolve {
        ResolveImage::Changed => "changed",
        ResolveImage::Always => "always",
    };
    words(&[
        "stack",
        "deploy",
        "--prune",
        "--with-registry-auth",
        "--resolve-image",
        resolve,
        "--compose-file",
        "-",
        name.as_str(),
    ])
}

/// Removes a stack's services, networks, secrets and configs.
pub fn stack_rm(name: &StackName) -> Vec<String> {
    words(&["stack", "rm", name.as_str()])
}

/// Removes single services.
pub fn service_rm(ids: &[&str]) -> Vec<String> {
    with(&["service", "rm"], ids)
}

/// The images of this node by familiar name, by tag and by digest.
pub fn image_ls() -> Vec<String> {
    words(&["image", "ls", "--digests", "--format", "{{.Repository}}:{{.Tag}} {{.Repository}}@{{.Digest}}"])
}

/// Removes an image of this node, never by force.
pub fn image_rm(name: &str) -> Vec<String> {
    words(&["image", "rm", name])
}

/// The ids of all services, those of no stack included.
pub fn service_ids() -> Vec<String> {
    words(&["service", "ls", "--quiet"])
}

/// The configs or secrets of all stacks, a JSON array a line.
pub fn payload_ls(payload: Payload, mark: &str) -> Vec<String> {
    let filter = format!("label={NAMESPACE}");
    words(&[payload.word(), "ls", "--filter", &filter, "--format", &payload::format(mark)])
}

/// Removes a config or secret; docker refuses while a service uses it.
pub fn payload_rm(payload: Payload, id: &str) -> Vec<String> {
    words(&[payload.word(), "rm", id])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deploy_rolls_in_place_prunes_and_carries_registry_auth() {
        assert_eq!(
            stack_deploy(&StackName::known("web"), ResolveImage::Changed).join(" "),
            "stack deploy --prune --with-registry-auth --resolve-image changed --compose-file - web"
        );
    }
}
