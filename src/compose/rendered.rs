//! A rendered stack. In: what was checked and read; out: the text that docker gets, with its labels and copies of its
//! files, and what of it others ask for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::rc::Rc;

use anyhow::Context;
use tempfile::TempDir;

use super::said::{path_in, place_in};
use super::{
    Object, Ownership, Rotated, Script, environment, labels, objects, pin, references, rotate, secrets, shown,
};
use crate::fault::OrHint;
use crate::hash::Key;
use crate::image::{ImageCommand, ImageRef};
use crate::stack::StackName;
use crate::yaml::{self, Node};

/// A stack as docker will get it. Values of variables stand in it, so it is never printed whole.
#[derive(Clone)]
pub struct RenderedStack {
    /// What docker calls it.
    pub name: StackName,
    pub services: Vec<Service>,
    /// Changes with all that decides what runs: 32 hexadecimal digits.
    pub fingerprint: String,
    /// Its configs and secrets whose names follow their content.
    pub rotated: Vec<Rotated>,
    /// The configs, secrets and networks that docker makes for it.
    pub objects: Vec<Object>,
    /// The docker volumes it declares or takes from `volumes.yaml`: name → what its services call it.
    pub volumes: BTreeMap<String, String>,
    /// The bindings it mounts, by id.
    pub bindings: BTreeSet<String>,
    /// What its author should know.
    pub notes: Vec<String>,
    /// Whole: docker finds no variable in it and no file of the repository.
    pub(super) tree: Rc<Node>,
    /// The files as their authors wrote them, variables by name.
    pub(super) shown: Vec<Rc<Node>>,
    /// Their paths from the root, and that of `secrets.yaml` beside them.
    pub(super) paths: Vec<String>,
    pub(super) secrets_file: String,
    pub(super) files: Vec<references::FileReference>,
    pub(super) installation: Key,
    pub(super) secrets: secrets::Plan,
    /// Whether services of it were left out.
    pub(super) is_part: bool,
}

/// One service of a compose file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name in the file, without the stack's.
    pub name: String,
    /// The image it asks for, after interpolation.
    pub image: Option<ImageRef>,
}

impl RenderedStack {
    /// The configs, secrets and networks that it uses and that others make.
    pub fn taken(&self) -> BTreeSet<String> {
        objects::taken(&self.tree)
    }
}

impl fmt::Debug for RenderedStack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("RenderedStack");
        shown.field("name", &self.name).field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

#[cfg(test)]
impl RenderedStack {
    /// One of these services and images, with nothing else in it.
    pub fn of(name: &str, services: &[(&str, &str)], fingerprint: &str) -> Self {
        let service = |(name, image): &(&str, &str)| Service {
            name: (*name).to_owned(),
            image: Some(ImageRef::parse(image).unwrap()),
        };
        Self {
            name: StackName::known(name),
            services: services.iter().map(service).collect(),
            fingerprint: fingerprint.to_owned(),
            rotated: Vec::new(),
            objects: Vec::new(),
            volumes: BTreeMap::new(),
            bindings: BTreeSet::new(),
            notes: Vec::new(),
            tree: Node::mapping(Vec::new()),
            shown: Vec::new(),
            paths: Vec::new(),
            secrets_file: String::new(),
            files: Vec::new(),
            installation: Key::new().unwrap(),
            secrets: secrets::Plan::default(),
            is_part: false,
        }
    }

    /// With a text that declares, of each service, so many tasks, or one on every node, and the environment.
    pub fn declaring(mut self, services: &[(&str, Option<u64>, &str)]) -> Self {
        let pair = |name: &str, value: Rc<Node>| (Node::string(name), value);
        let service = |(name, replicas, value): &(&str, Option<u64>, &str)| {
            let deploy = match replicas {
                Some(replicas) => pair("replicas", Node::plain(replicas.to_string())),
                None => pair("mode", Node::string("global")),
            };
            let deploy = Node::mapping(vec![deploy]);
            let environment = Node::mapping(vec![pair("V", Node::string(*value))]);
            pair(name, Node::mapping(vec![pair("deploy", deploy), pair("environment", environment)]))
        };
        let services = Node::mapping(services.iter().map(service).collect());
        self.tree = Node::mapping(vec![pair("services", services)]);
        self
    }
}

impl RenderedStack {
    /// The text docker reads: the author's file with ownership labels on every service, and on configs and
    /// secrets that rotate. An error where a reader of docker's family would find another meaning in it.
    pub fn text(&self, ownership: &Ownership) -> anyhow::Result<String> {
        let labelled = labels::label(&self.tree, ownership, &self.fingerprint);
        let labelled = rotate::label(&labelled, &self.rotated, ownership);
        let tree = environment::literal(&rotate::follow_credential_specs(&labelled, &self.rotated));
        let text = yaml::print(&tree);
        yaml::reads_alike(&text, &tree)
            .map_err(|error| anyhow::anyhow!("cannot be handed to docker unchanged: {error}"))
            .or_hint("please report this compose file as a bug of DockerOps")?;
        Ok(text)
    }

    /// The files that the text names, in a new folder below `folder`, where docker is to start.
    pub fn copies(&self, folder: &Path) -> anyhow::Result<TempDir> {
        references::copies(&self.files, folder)
            .with_context(|| format!("cannot copy the configs and secrets of `{}`", self.name))
    }

    /// The file for people, less ownership, the commands of images, and what looks like a secret; of several that are
    /// merged each as it was written.
    pub fn shown(&self) -> String {
        let files: Vec<_> = self.shown.iter().map(|file| yaml::show(&shown::without_secrets(file))).collect();
        files.join("---\n")
    }

    /// File, line and key of what docker means by its `words`, as far as it is there.
    pub fn place_of(&self, words: &str) -> (&str, usize, String) {
        let path = path_in(words);
        let known = self.shown.iter().map(|file| place_in(file, &path).1);
        let known = known.max_by_key(Vec::len).unwrap_or_default();
        let (file, line) = match known.as_slice() {
            [] => (self.paths.first().map(String::as_str).unwrap_or_default(), 0),
            known => self.place_in_files(known, 0),
        };
        (file, line, known.join("."))
    }

    /// File and line of what lies at `path` in what docker is given, and stands in `line` of it.
    pub fn place_in_files(&self, path: &[&str], line: usize) -> (&str, usize) {
        let places =
            self.shown.iter().zip(&self.paths).map(|(file, path_of)| (place_in(file, path), path_of));
        // Of files that are merged the last one counts.
        let Some(((known_line, _), file)) = places.max_by_key(|((_, known), _)| known.len()) else {
            return ("", line);
        };
        if line == 0 && path.first() == Some(&"secrets") && !self.wrote(path) {
            return (&self.secrets_file, 0);
        }
        let is_whole = self.shown.len() == 1 && line > 0;
        (file, if is_whole { line } else { known_line })
    }

    /// Whether what lies at `path` stands in a file of the author's.
    fn wrote(&self, path: &[&str]) -> bool {
        let Some((last, above)) = path.split_last() else { return false };
        self.shown.iter().any(|file| {
            let node = above.iter().try_fold(Rc::clone(file), |node, key| node.get(key));
            let pairs = node.map(|node| node.merged_pairs()).unwrap_or_default();
            pairs.iter().any(|(key, _)| key.text() == Some(last) && key.line > 0)
        })
    }

    /// What docker is given, but for ownership.
    pub fn tree(&self) -> &Node {
        &self.tree
    }

    /// The stack with the images that are built here by what they are to run: by their names, a reference. The
    /// fingerprint takes it in; of a stack that uses none of them nothing changes.
    pub fn pinned(&self, references: &BTreeMap<ImageRef, ImageRef>) -> Self {
        pin::pin(self, references)
    }

    /// The stack with these images of its services, by their own names; the fingerprint takes them in.
    pub fn with_images(&self, images: &BTreeMap<String, ImageRef>) -> Self {
        pin::pin_services(self, images)
    }

    /// Secrets that must exist in the Swarm before it is deployed.
    pub fn secrets(&self) -> &BTreeSet<String> {
        self.secrets.needed()
    }

    /// Scripts that must lie in the Swarm as configs before it is deployed.
    pub fn scripts(&self) -> Vec<&Script> {
        self.secrets.scripts()
    }

    /// Images whose commands its text needs; where there are none, it is complete.
    pub fn images_to_read(&self) -> BTreeSet<&str> {
        self.secrets.images()
    }

    /// What the script of `service` gets as arguments; `None` where it gets no secrets as variables.
    pub fn command_of(
        &self,
        service: &str,
        images: &BTreeMap<String, ImageCommand>,
    ) -> Option<anyhow::Result<Vec<String>>> {
        self.secrets.command_of(service, images)
    }

    /// The stack with the commands of services that get secrets as variables written out.
    pub fn complete(&self, images: &BTreeMap<String, ImageCommand>) -> anyhow::Result<Self> {
        Ok(Self { tree: self.secrets.complete(Rc::clone(&self.tree), images)?, ..self.clone() })
    }
}
