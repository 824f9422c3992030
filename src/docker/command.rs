//! Commands are values: each function returns arguments and runs nothing.

use std::collections::BTreeSet;
use std::path::Path;

use super::build::Build;
use super::spec::IMAGE_LABEL;
use super::stored;
use crate::stack::{ObjectKind, StackName, StoredKind};

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

/// Tasks with the name of their node, where they are wanted, and where they are, with tabs between.
pub fn service_ps_states(ids: &[&str]) -> Vec<String> {
    let format = "{{.ID}}\t{{.Node}}\t{{.DesiredState}}\t{{.CurrentState}}";
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

/// The end of a task's own log.
pub fn task_logs(task: &str) -> Vec<String> {
    words(&["service", "logs", "--raw", "--tail", "10", task])
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

/// The images of this node: familiar name by tag, by digest, and id.
pub fn image_ls() -> Vec<String> {
    let format = "{{.Repository}}:{{.Tag}} {{.Repository}}@{{.Digest}} {{.ID}}";
    words(&["image", "ls", "--digests", "--no-trunc", "--format", format])
}

/// Removes an image of this node, never by force.
pub fn image_rm(name: &str) -> Vec<String> {
    words(&["image", "rm", name])
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

/// All configs, secrets or networks of the Swarm, those of no stack included, a JSON array a line. Networks of one
/// node alone are in nobody's way.
pub fn object_ls(kind: ObjectKind) -> Vec<String> {
    let format = format!("[{{{{json .Name}}}},{{{{json (.Label \"{NAMESPACE}\")}}}}]");
    let scope: &[&str] = if kind == ObjectKind::Network { &["--filter", "scope=swarm"] } else { &[] };
    words(&[&[kind.word(), "ls"], scope, &["--format", &format]].concat())
}

/// Removes a config or secret; docker refuses while a service uses it.
pub fn stored_rm(kind: StoredKind, id: &str) -> Vec<String> {
    words(&[kind.word(), "rm", id])
}

/// An image of this node, in full.
pub fn image_inspect(image: &str) -> Vec<String> {
    words(&["image", "inspect", image])
}

/// Brings an image to this node; tells of each layer.
pub fn pull(image: &str) -> Vec<String> {
    words(&["pull", image])
}

/// The label of containers that are made to look into an image.
const PROBE: &str = "dockerops.probe";

/// Makes a container that is not to be started; an image without a command needs one to be given.
pub fn create_probe(image: &str) -> Vec<String> {
    words(&["create", "--label", PROBE, "--network", "none", image, "/bin/sh"])
}

/// The shell of a container as a tar archive, a symlink as such.
pub fn copy_shell(container: &str) -> Vec<String> {
    words(&["cp", &format!("{container}:/bin/sh"), "-"])
}

/// Removes a container.
pub fn container_rm(container: &str) -> Vec<String> {
    words(&["container", "rm", "--force", "--volumes", container])
}

/// Removes what killed runs left; no run looks into an image for so long.
pub fn prune_probes() -> Vec<String> {
    let label = format!("label={PROBE}");
    words(&["container", "prune", "--force", "--filter", &label, "--filter", "until=10m"])
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

/// Succeeds where the CLI has the component.
pub fn buildx_version() -> Vec<String> {
    words(&["buildx", "version"])
}

/// The CLI's own version; it also asks the daemon, which may fail.
pub fn client_version() -> Vec<String> {
    words(&["version", "--format", "{{.Client.Version}}"])
}

/// Builds an image of this node.
pub fn build(build: &Build<'_>) -> Vec<String> {
    let mut call = words(&["build"]);
    call.extend(build_options(build));
    call
}

/// Builds an image of several platforms, which only a registry can keep.
pub fn buildx_push(build: &Build<'_>, metadata: &Path) -> Vec<String> {
    let mut call = words(&["buildx", "build", "--push"]);
    call.push(format!("--metadata-file={}", metadata.display()));
    call.extend(build_options(build));
    call
}

fn build_options(build: &Build<'_>) -> Vec<String> {
    let mut options: Vec<_> = build.tags.iter().map(|tag| format!("--tag={tag}")).collect();
    options.push(format!("--file={}", build.dockerfile.display()));
    options.extend(build.target.map(|target| format!("--target={target}")));
    options.extend(build.args.iter().map(|(name, value)| format!("--build-arg={name}={value}")));
    if !build.platforms.is_empty() {
        options.push(format!("--platform={}", build.platforms.join(",")));
    }
    options.push(build.context.display().to_string());
    options
}

/// Pushes one tag.
pub fn push(image: &str) -> Vec<String> {
    words(&["push", image])
}

/// Gives an image one more name.
pub fn tag(image: &str, name: &str) -> Vec<String> {
    words(&["tag", image, name])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::ImageRef;

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
            stack_deploy(&StackName::known("web"), ResolveImage::Changed).join(" "),
            "stack deploy --prune --with-registry-auth --resolve-image changed --compose-file - web"
        );
    }

    #[test]
    fn a_build_gets_whole_paths_and_every_argument_with_its_value() {
        let tags = ["host:5000/app:1", "host:5000/app:c0ffee"].map(|tag| ImageRef::parse(tag).unwrap());
        let args = [("A".to_owned(), "-b c".to_owned()), ("E".to_owned(), String::new())].into();
        let platforms = ["linux/amd64".to_owned(), "linux/arm64".to_owned()];
        let mut build = Build {
            tags: &tags,
            context: "/c".as_ref(),
            dockerfile: "/d/File".as_ref(),
            target: Some("run"),
            args: &args,
            platforms: &platforms[..1],
        };
        let options = "--tag=host:5000/app:1 --tag=host:5000/app:c0ffee --file=/d/File --target=run \
                       --build-arg=A=-b c --build-arg=E= --platform=linux/amd64";
        assert_eq!(super::build(&build).join(" "), format!("build {options} /c"));
        build.platforms = &platforms;
        assert_eq!(
            buildx_push(&build, "/m".as_ref()).join(" "),
            format!("buildx build --push --metadata-file=/m {options},linux/arm64 /c")
        );
    }
}
