//! What tests of builds look at: the registry, and the containers of a service on both nodes.

use std::fs;

use super::lab::Lab;
use super::{command, stdout_of};

/// A Dockerfile on the lab's base image, with these lines, that runs for ever.
pub fn dockerfile(lab: &Lab, lines: &str) -> String {
    format!("FROM {}\n{lines}\nCMD [\"/bin/sleep\", \"100000\"]\n", lab.image("base"))
}

/// The ids of a service's tasks that are to run.
pub fn tasks(lab: &Lab, service: &str) -> Vec<String> {
    let call = ["service", "ps", "--quiet", "--no-trunc", "--filter", "desired-state=running", service];
    let mut tasks: Vec<_> = lab.docker(&call).lines().map(str::to_owned).collect();
    tasks.sort_unstable();
    tasks
}

impl Lab {
    /// Runs `arguments` in every container of a service, those of node 1 first.
    #[track_caller]
    pub fn in_each_container(&self, service: &str, arguments: &[&str]) -> Vec<String> {
        let filter = format!("label=com.docker.swarm.service.name={service}");
        let each = |docker: &dyn Fn(&[&str]) -> String| -> Vec<String> {
            let ids = docker(&["ps", "--quiet", "--filter", &filter]);
            ids.lines().map(|id| docker(&[&["exec", id], arguments].concat())).collect()
        };
        [each(&|call| self.docker(call)), each(&|call| self.docker2(call))].concat()
    }
}

/// One repository of the lab's registry, as the registry keeps it.
#[derive(Debug)]
pub struct Registry {
    folder: std::path::PathBuf,
}

impl Registry {
    /// That of `image`.
    pub fn of(lab: &Lab, image: &str) -> Self {
        let (repository, _) = image.rsplit_once(':').unwrap();
        let path = repository.split_once('/').unwrap().1;
        let folder = lab.folder().join("registry/docker/registry/v2/repositories").join(path);
        Self { folder: folder.join("_manifests/tags") }
    }

    /// Its tags, sorted.
    pub fn tags(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.folder).unwrap();
        let mut tags: Vec<_> = entries.map(|tag| tag.unwrap().file_name().into_string().unwrap()).collect();
        tags.sort_unstable();
        tags
    }

    /// What a tag stands for now.
    pub fn digest(&self, tag: &str) -> String {
        stdout_of(command("cat").arg(self.folder.join(tag).join("current/link")))
    }
}
