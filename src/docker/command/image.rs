//! Commands for images: what this node has, looking into one, pull, build and push.

use std::path::Path;

use super::words;
use crate::docker::build::Build;

/// The images of this node: familiar name by tag, by digest, and id.
pub fn image_ls() -> Vec<String> {
    let format = "{{.Repository}}:{{.Tag}} {{.Repository}}@{{.Digest}} {{.ID}}";
    words(&["image", "ls", "--digests", "--no-trunc", "--format", format])
}

/// Removes an image of this node, never by force.
pub fn image_rm(name: &str) -> Vec<String> {
    words(&["image", "rm", name])
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
