//! Commands are values: each function returns arguments and runs nothing.

mod image;

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::spec::IMAGE_LABEL;
use super::stored;
use crate::stack::{ObjectKind, StackName, StoredKind};

pub use image::*;

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

/// The services of one stack, a JSON object a line.
pub fn service_ls_of(name: &StackName) -> Vec<String> {
    words(&["service", "ls", "--filter", &format!("label={NAMESPACE}={name}"), "--format", "{{json .}}"])
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

/// Tasks with the name of their node, where they are wanted, where they are, and their error as JSON, with tabs between:
/// an error may hold any letter that a repository chose.
pub fn service_ps_states(ids: &[&str]) -> Vec<String> {
    let format = "{{.ID}}\t{{.Node}}\t{{.DesiredState}}\t{{.CurrentState}}\t{{json .Error}}";
    with(&["service", "ps", "--no-trunc", "--format", format], ids)
}

/// The tasks of many services, a JSON object a line. Names are left as ids: docker would ask for each service's.
pub fn service_ps_lines(ids: &[&str]) -> Vec<String> {
    with(&["service", "ps", "--no-trunc", "--no-resolve", "--format", "{{json .}}"], ids)
}

/// The nodes, a JSON object a line.
pub fn node_ls() -> Vec<String> {
    words(&["node", "ls", "--format", "{{json .}}"])
}

/// The full tasks.
pub fn task_inspect(ids: &[&str]) -> Vec<String> {
    with(&["inspect", "--type", "task"], ids)
}

/// Deploys from standard input: the working directory is where relative paths start.
pub fn stack_deploy(name: &StackName, resolve: ResolveImage, prune: bool) -> Vec<String> {
    let resolve = match resolve {
        ResolveImage::Changed => "changed",
        ResolveImage::Always => "always",
    };
    let prune: &[&str] = if prune { &["--prune"] } else { &[] };
    let call = ["--with-registry-auth", "--resolve-image", resolve, "--compose-file", "-", name.as_str()];
    words(&[&["stack", "deploy"], prune, &call].concat())
}

/// Merges compose files, the later over the earlier.
pub fn stack_config(files: &[PathBuf]) -> Vec<String> {
    let mut call = words(&["stack", "config"]);
    call.extend(files.iter().flat_map(|file| ["--compose-file".to_owned(), file.display().to_string()]));
    call
}

/// What `stack config` is.
pub fn help_of_config() -> Vec<String> {
    words(&["stack", "config", "--help"])
}

/// The CLI's own version, which takes no daemon.
pub fn version() -> Vec<String> {
    words(&["--version"])
}

/// The log of a service or a task, with what docker knows of each line. Not by docker's own marks: it asks for the task of
/// each line, and ends where one is gone meanwhile.
pub fn service_logs(id: &str, tail: &str, since: Option<&str>, follow: bool) -> Vec<String> {
    let mut call = words(&["service", "logs", "--raw", "--details", "--timestamps", "--tail", tail]);
    call.extend(since.iter().flat_map(|since| words(&["--since", since])));
    call.extend(follow.then(|| "--follow".to_owned()));
    call.push(id.to_owned());
    call
}

/// The names of tasks and of their nodes.
pub fn service_ps_names(ids: &[&str]) -> Vec<String> {
    with(&["service", "ps", "--no-trunc", "--format", "{{.ID}}\t{{.Name}}\t{{.Node}}"], ids)
}

/// What a container's health checks said, as JSON.
pub fn container_health(container: &str) -> Vec<String> {
    words(&["container", "inspect", "--format", "{{json .State.Health}}", container])
}

/// Removes a stack's services, networks, secrets and configs.
pub fn stack_rm(name: &StackName) -> Vec<String> {
    words(&["stack", "rm", name.as_str()])
}

/// The states of a stack's tasks, those of services that are gone included.
pub fn stack_states(name: &StackName) -> Vec<String> {
    words(&["stack", "ps", "--format", "{{.CurrentState}}", name.as_str()])
}

/// The networks of all stacks, a JSON array a line.
pub fn network_stacks() -> Vec<String> {
    let (filter, format) =
        (format!("label={NAMESPACE}"), format!("[{{{{json .ID}}}},{{{{json (.Label \"{NAMESPACE}\")}}}}]"));
    words(&[
        "network",
        "ls",
        "--no-trunc",
        "--filter",
        "scope=swarm",
        "--filter",
        &filter,
        "--format",
        &format,
    ])
}

/// The ids of the services of one stack, cut short.
pub fn stack_services(name: &StackName) -> Vec<String> {
    words(&["service", "ls", "--quiet", "--filter", &format!("label={NAMESPACE}={name}")])
}

/// The ids of the networks of one stack.
pub fn stack_networks(name: &StackName) -> Vec<String> {
    words(&["network", "ls", "--no-trunc", "--quiet", "--filter", &format!("label={NAMESPACE}={name}")])
}

/// Networks in full, with the containers of all nodes that are attached to them.
pub fn network_inspect(ids: &[&str]) -> Vec<String> {
    with(&["network", "inspect", "--verbose"], ids)
}

/// Removes single services.
pub fn service_rm(ids: &[&str]) -> Vec<String> {
    with(&["service", "rm"], ids)
}

/// All containers of this node, those that ended included.
pub fn container_ls() -> Vec<String> {
    words(&["container", "ls", "--all", "--quiet", "--no-trunc"])
}

/// The ids of the images that containers were made from.
pub fn container_images(ids: &[&str]) -> Vec<String> {
    with(&["container", "inspect", "--format", "{{.Image}}"], ids)
}

/// The stack whose container this is.
pub fn container_stack(id: &str) -> Vec<String> {
    let label = format!("{{{{index .Config.Labels \"{NAMESPACE}\"}}}}");
    with(&["container", "inspect", "--format"], &[&label, id])
}

/// One service, a JSON object a line.
pub fn service_ls_by_id(id: &str) -> Vec<String> {
    words(&["service", "ls", "--filter", &format!("id={id}"), "--format", "{{json .}}"])
}

/// The label of jobs that remove images; its value tells whose job it is.
const PRUNE: &str = "dockerops.prune";

/// The ids of the jobs of this installation.
pub fn prune_jobs(installation: &str) -> Vec<String> {
    words(&["service", "ls", "--quiet", "--filter", &format!("label={PRUNE}={installation}")])
}

/// Starts a job on every node that runs `script` on its docker, with `references` as arguments.
pub fn prune_create(
    image: &str,
    installation: &str,
    script: &str,
    references: &BTreeSet<&String>,
) -> Vec<String> {
    let socket = "type=bind,source=/var/run/docker.sock,target=/var/run/docker.sock";
    let mut call = words(&["service", "create", "--detach", "--quiet", "--mode", "global-job"]);
    call.extend(words(&["--label", &format!("{PRUNE}={installation}"), "--restart-condition", "none"]));
    call.extend(words(&["--with-registry-auth", "--mount", socket, "--entrypoint", "sh", image]));
    call.extend(words(&["-c", script, "sh"]));
    call.extend(references.iter().map(|reference| (*reference).clone()));
    call
}

/// What docker knows of registries.
pub fn registry_config() -> Vec<String> {
    words(&["info", "--format", "{{json .RegistryConfig}}"])
}

/// Where docker keeps its data.
pub fn data_root() -> Vec<String> {
    words(&["info", "--format", "{{.DockerRootDir}}"])
}

/// Gives a service another image and leaves the rest as it is. `command`, where there is one, replaces the
/// arguments of its entrypoint; docker asks no registry, for the image has its digest.
pub fn service_update_image(service: &str, image: &str, command: Option<&[String]>) -> Vec<String> {
    let mut call =
        words(&["service", "update", "--detach", "--quiet", "--with-registry-auth", "--no-resolve-image"]);
    call.extend(["--image".to_owned(), image.to_owned()]);
    if let Some(command) = command {
        // docker splits the value as a shell would.
        let quoted: Vec<_> =
            command.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect();
        call.extend(["--args".to_owned(), quoted.join(" ")]);
    }
    call.push(service.to_owned());
    call
}

/// Takes away the label that holds the author's image.
pub fn service_forget_image(service: &str) -> Vec<String> {
    words(&["service", "update", "--detach", "--quiet", "--label-rm", IMAGE_LABEL, service])
}

/// The ids of all services, those of no stack included.
pub fn service_ids() -> Vec<String> {
    words(&["service", "ls", "--quiet"])
}

/// The configs or secrets of all stacks, a JSON array a line.
pub fn stored_ls(kind: StoredKind, mark: &str) -> Vec<String> {
    let filter = format!("label={NAMESPACE}");
    words(&[kind.word(), "ls", "--filter", &filter, "--format", &stored::format(mark)])
}

/// The configs that have the label `mark`, of a stack or not, likewise.
pub fn marked_configs(mark: &str) -> Vec<String> {
    let filter = format!("label={mark}");
    words(&[StoredKind::Config.word(), "ls", "--filter", &filter, "--format", &stored::format(mark)])
}

/// All configs, secrets or networks of the Swarm, those of no stack included, a JSON array a line. Networks of one
/// node alone are in nobody's way.
pub fn object_ls(kind: ObjectKind) -> Vec<String> {
    let format = format!("[{{{{json .Name}}}},{{{{json (.Label \"{NAMESPACE}\")}}}}]");
    let scope: &[&str] = if kind == ObjectKind::Network { &["--filter", "scope=swarm"] } else { &[] };
    words(&[&[kind.word(), "ls"], scope, &["--format", &format]].concat())
}

/// The names of all networks, those of this node included.
pub fn network_names() -> Vec<String> {
    words(&["network", "ls", "--format", "{{.Name}}"])
}

/// Removes a config or secret; docker refuses while a service uses it.
pub fn stored_rm(kind: StoredKind, id: &str) -> Vec<String> {
    words(&[kind.word(), "rm", id])
}

/// The names of all secrets.
pub fn secret_ls() -> Vec<String> {
    words(&["secret", "ls", "--format", "{{.Name}}"])
}

/// Makes a config of standard input.
pub fn config_create(name: &str, labels: &[(&str, &str)]) -> Vec<String> {
    let mut call = words(&["config", "create"]);
    for (label, value) in labels {
        call.extend(["--label".to_owned(), format!("{label}={value}")]);
    }
    call.extend([name.to_owned(), "-".to_owned()]);
    call
}

/// The config that holds the key of the Swarm's installations.
pub const KEY: &str = "dockerops-key";

/// That config's content, as JSON.
pub fn key_inspect() -> Vec<String> {
    words(&["config", "inspect", "--format", "{{json .Spec.Data}}", KEY])
}

/// Removes that config.
pub fn key_rm() -> Vec<String> {
    words(&["config", "rm", KEY])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_image_leaves_all_else_and_its_words_survive_the_splitting() {
        let line = |command: Option<&[String]>| {
            service_update_image("web_app", "app:1@sha256:aa", command).join(" ")
        };
        let head =
            "service update --detach --quiet --with-registry-auth --no-resolve-image --image app:1@sha256:aa";
        assert_eq!(line(None), format!("{head} web_app"));
        let words = ["it's", "", "$A b"].map(str::to_owned);
        assert_eq!(line(Some(&words)), format!(r"{head} --args 'it'\''s' '' '$A b' web_app"));
    }

    #[test]
    fn a_deploy_rolls_in_place_prunes_and_carries_registry_auth() {
        assert_eq!(
            stack_deploy(&StackName::known("web"), ResolveImage::Changed, true).join(" "),
            "stack deploy --prune --with-registry-auth --resolve-image changed --compose-file - web"
        );
    }
}
