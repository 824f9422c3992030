//! The docker CLI: arguments built as values (`command`), run here, and read into what is live.
//!
//! In: what to ask or do. Out: services and tasks as Swarm has them, or docker's own words. It knows
//! nothing of sources, manifests or the database.

pub mod build;
pub mod command;
pub mod config;
mod edits;
mod image;
pub mod json;
mod key;
mod last_words;
pub mod lines;
pub mod logs;
mod node;
pub mod objects;
mod own;
pub mod prune;
mod removal;
mod seen;
pub mod service;
pub mod spec;
pub mod state;
pub mod stored;
pub mod task;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use serde::de::DeserializeOwned;

use crate::fault::{OrHint, fault};
use crate::process::{self, Call, Failure, Output};
use crate::signal;
use crate::stack::StackName;
use service::{Listed, Service};
use task::Task;

pub use image::Pull;
pub use node::{ImageRemoval, NodeImages, Roll};
pub use removal::DeployedAnew;
pub use seen::SeenTasks;

/// How long docker may take to answer a question.
const QUESTION: Duration = Duration::from_secs(60);

/// So long a stack that is deployed waits for networks of its name that are being removed.
const LEAVING: Duration = Duration::from_secs(30);
const UNWELL: &str = "is the docker daemon well? `docker info` and its log tell";
const MODE: &str =
    "Swarm changes no running service from one mode to another: `docker service rm` it, and run again";
const ANOTHER: &str = "is the `docker` on the PATH Docker's own CLI? `docker version` tells";

#[derive(Debug, Clone)]
pub struct Docker {
    environment: BTreeMap<OsString, OsString>,
    question: Duration,
    action: Duration,
}

/// Every service that belongs to a stack, as Swarm has it now.
#[derive(Debug, Default)]
pub struct Swarm {
    /// By name.
    pub services: Vec<Service>,
    /// Where those of a stack are: a look asks for every stack several times.
    of_stacks: BTreeMap<StackName, Vec<usize>>,
}

impl Swarm {
    pub fn of(services: Vec<Service>) -> Self {
        let mut of_stacks: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (at, service) in services.iter().enumerate() {
            of_stacks.entry(service.stack.clone()).or_default().push(at);
        }
        Self { services, of_stacks }
    }

    /// The services of one stack.
    pub fn of_stack<'a>(&'a self, name: &'a StackName) -> impl Iterator<Item = &'a Service> {
        self.of_stacks.get(name).into_iter().flatten().map(|at| &self.services[*at])
    }

    pub fn ids_of(&self, name: &StackName) -> BTreeSet<String> {
        self.of_stack(name).map(|service| service.id.clone()).collect()
    }
}

/// What `stack deploy` needs.
#[derive(Debug)]
pub struct Deployment<'a> {
    pub name: &'a StackName,
    pub text: String,
    /// The folder that relative paths start from, with all files that the text names.
    pub folder: &'a Path,
    /// Whether images that did not change are asked of their registry again.
    pub resolve: command::ResolveImage,
    /// Whether services that the text lacks are removed.
    pub prune: bool,
}

impl Docker {
    /// What docker inherits, and so what `${…}` may see.
    pub fn environment(&self) -> &BTreeMap<OsString, OsString> {
        &self.environment
    }

    /// `environment` is what docker inherits; `action` bounds a call that changes something.
    pub fn new(environment: &BTreeMap<OsString, OsString>, action: Duration) -> Self {
        Self { environment: environment.clone(), question: QUESTION.min(action), action }
    }

    /// All services that carry a stack's label: two calls, one where there are none.
    pub fn observe(&self) -> Result<Swarm> {
        self.services(&command::service_ls())
    }

    /// The services of one stack alone: two calls, one where there are none.
    pub fn observe_stack(&self, name: &StackName) -> Result<Swarm> {
        self.services(&command::service_ls_of(name))
    }

    /// The services of these names alone, and their tasks: two calls, and a third where a task is not as `seen`
    /// has it. A service that is not there is missing.
    pub fn observe_services(&self, names: &BTreeSet<&str>, seen: &mut SeenTasks) -> Result<Swarm> {
        if names.is_empty() {
            return Ok(Swarm::default());
        }
        let names: Vec<_> = names.iter().copied().collect();
        let mut services = self.inspected(Vec::new(), &names)?;
        let ids: Vec<_> = services.iter().map(|service| service.id.as_str()).collect();
        seen.look(self, &ids)?;
        for service in &mut services {
            service.count(seen.tasks());
        }
        Ok(Swarm::of(services))
    }

    fn services(&self, list: &[String]) -> Result<Swarm> {
        let output = self.ask(list)?;
        let listed = output.stdout.lines().map(parse_line).collect::<Result<Vec<Listed>>>();
        let listed = listed.with_context(|| garbage(list, &output.stdout)).or_hint(ANOTHER)?;
        if listed.is_empty() {
            return Ok(Swarm::default());
        }
        let ids: Vec<_> = listed.iter().map(|service| service.id.clone()).collect();
        let ids: Vec<_> = ids.iter().map(String::as_str).collect();
        let mut services = self.inspected(listed, &ids)?;
        services.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(Swarm::of(services))
    }

    /// The tasks of `services`, old ones included; three calls at most.
    pub fn tasks(&self, services: &[Service]) -> Result<Vec<Task>> {
        self.tasks_of(&services.iter().map(|service| service.id.as_str()).collect::<Vec<_>>())
    }

    fn tasks_of(&self, ids: &[&str]) -> Result<Vec<Task>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let call = command::service_ps(ids);
        let output = self.raw(&call, self.question, None, None)?;
        if !output.success && !some_are_gone(&output) {
            return Err(refused(&call, &output)).or_hint(UNWELL);
        }
        let nodes = task::nodes(&output.stdout);
        if nodes.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<_> = nodes.keys().map(String::as_str).collect();
        self.inspected_tasks(&ids, &nodes)
    }

    /// Services by name or id, joined with what `service ls` told of them.
    fn inspected(&self, listed: Vec<Listed>, names: &[&str]) -> Result<Vec<Service>> {
        let listed = service::by_id(listed);
        let read =
            self.inspect_each(&command::service_inspect(names), |value| service::of(&value, &listed))?;
        let read: Result<_> = read.into_iter().collect();
        read.context("`docker service inspect`").or_hint(ANOTHER)
    }

    /// Tasks by id, newest first.
    fn inspected_tasks(&self, ids: &[&str], nodes: &BTreeMap<String, String>) -> Result<Vec<Task>> {
        let read = self.inspect_each(&command::task_inspect(ids), |value| task::of(&value, nodes))?;
        let read: Result<_> = read.into_iter().collect();
        let mut tasks: Vec<_> = read.context("`docker inspect --type task`").or_hint(ANOTHER)?;
        task::newest_first(&mut tasks);
        Ok(tasks)
    }

    /// An inspect's JSON.
    fn inspect(&self, call: &[String]) -> Result<Vec<serde_json::Value>> {
        self.inspect_each(call, |value| value)
    }

    /// What `read` makes of each thing that an inspect prints. What went since it was listed is missing: docker prints the
    /// rest all the same.
    fn inspect_each<T>(
        &self,
        call: &[String],
        mut read: impl FnMut(serde_json::Value) -> T,
    ) -> Result<Vec<T>> {
        let output = self.raw(call, self.question, None, None)?;
        if !output.success && !some_are_gone(&output) {
            return Err(refused(call, &output)).or_hint(UNWELL);
        }
        let mut all = Vec::new();
        let whole = json::each(&output.stdout, |value| all.push(read(value)));
        whole.with_context(|| garbage(call, &output.stdout)).or_hint(ANOTHER)?;
        Ok(all)
    }

    /// `docker stack deploy`, with the compose text on standard input.
    pub fn deploy(&self, deployment: &Deployment<'_>) -> Result<()> {
        let call = command::stack_deploy(deployment.name, deployment.resolve, deployment.prune);
        let docker = self.of_text();
        let begun = Instant::now();
        loop {
            let text = Some(deployment.text.clone());
            let output = docker.raw(&call, self.action, Some(deployment.folder), text)?;
            if output.success {
                return Ok(());
            }
            // What `docker stack rm` took away is gone only when the last container has left it; until then docker
            // finds it there, and Swarm does not.
            let own_network = format!("network {}_", deployment.name);
            let goes = output.stderr.contains(&own_network) && output.stderr.contains("not found");
            if output.stderr.contains("mode change is not allowed") {
                return Err(refused(&call, &output)).or_hint(MODE);
            }
            if !goes || begun.elapsed() > LEAVING {
                return Err(refused(&call, &output));
            }
            signal::pause(Duration::from_secs(1))?;
        }
    }

    /// The same with what is text of the environment: of what compose files may name, docker is to have what they were
    /// rendered with.
    fn of_text(&self) -> Self {
        let is_text =
            |(name, value): &(&OsString, &OsString)| name.to_str().is_some() && value.to_str().is_some();
        let environment = self.environment.iter().filter(is_text);
        let environment = environment.map(|(name, value)| (name.clone(), value.clone())).collect();
        Self { environment, ..self.clone() }
    }

    /// `docker service rm`.
    pub fn remove_services(&self, ids: &[&str]) -> Result<()> {
        self.ask(&command::service_rm(ids)).map(drop)
    }

    fn ask(&self, call: &[String]) -> Result<Output> {
        let output = self.raw(call, self.question, None, None)?;
        if output.success { Ok(output) } else { Err(refused(call, &output)).or_hint(UNWELL) }
    }

    fn raw(
        &self,
        call: &[String],
        limit: Duration,
        folder: Option<&Path>,
        input: Option<String>,
    ) -> Result<Output> {
        let call = self.call(call, limit, folder, input);
        process::run(&call).map_err(|failure| failed(&call, failure))
    }

    fn call(
        &self,
        arguments: &[String],
        limit: Duration,
        folder: Option<&Path>,
        input: Option<String>,
    ) -> Call {
        Call {
            program: "docker".into(),
            arguments: arguments.to_vec(),
            environment: self.environment.clone(),
            folder: folder.map(Path::to_path_buf),
            input,
            limit,
        }
    }
}

/// Why a call came to no end of its own.
fn failed(call: &Call, failure: Failure) -> anyhow::Error {
    match failure {
        Failure::NotFound => fault(
            "`docker` is not on the PATH",
            "install Docker Engine, and run DockerOps on a manager of the Swarm",
        ),
        failure => match crate::signal::received() {
            Some(interrupted) => interrupted.into(),
            None => fault(format!("`docker {}` {failure}", shown(&call.arguments)), UNWELL),
        },
    }
}

fn parse_line<T: DeserializeOwned>(line: &str) -> Result<T> {
    Ok(serde_json::from_str(line)?)
}

/// Whether all that docker complains of is that something it was asked for is not there any more.
fn some_are_gone(output: &Output) -> bool {
    let complaints = output.stderr.to_lowercase();
    let mut lines = complaints.lines().filter(|line| !line.trim().is_empty()).peekable();
    lines.peek().is_some() && lines.all(|line| line.contains("no such") || line.ends_with(" not found"))
}

/// The call without the long lists of ids that inspects carry.
fn shown(arguments: &[String]) -> String {
    let mut text: Vec<_> = arguments.iter().take(8).map(String::as_str).collect();
    if arguments.len() > 8 {
        text.push("…");
    }
    text.join(" ")
}

fn words(output: &Output) -> String {
    let text = if output.stderr.trim().is_empty() { &output.stdout } else { &output.stderr };
    let notice = |line: &&str| {
        !line.starts_with("Since --detach=false") && !line.starts_with("In a future release, --detach")
    };
    let text = text.trim().lines().filter(notice).collect::<Vec<_>>().join("\n");
    // docker prints this behind what failed, without so much as a space.
    match text.split_once("failed to remove some resources from stack") {
        Some((what, _)) if !what.trim().is_empty() => what.trim_end().to_owned(),
        _ => text,
    }
}

fn refused(call: &[String], output: &Output) -> anyhow::Error {
    let words = words(output);
    let what = format!(
        "`docker {}` failed: {}",
        shown(call),
        if words.is_empty() { "it said nothing" } else { &words }
    );
    let lower = words.to_lowercase();
    if lower.contains("cannot connect to the docker daemon") || lower.contains("error during connect") {
        fault(what, "start the docker daemon, or point `DOCKER_HOST` at one")
    } else if lower.contains("not a swarm manager") {
        fault(what, "run DockerOps on a manager node; `docker swarm init` makes a first one")
    } else if lower.contains("permission denied") {
        fault(
            what,
            "run `sudo dockerops …`; `sudo usermod -aG docker \"$USER\"` and a new login let you use docker, as root would",
        )
    } else if lower.contains("unsupported compose file version: 1.0") {
        fault(what, "this docker CLI wants a `version: \"3.8\"` line in the compose file")
    } else {
        anyhow!(what)
    }
}

fn garbage(call: &[String], stdout: &str) -> String {
    let start: String = stdout.chars().take(200).collect();
    format!("`docker {}` printed something that is not what docker prints: `{start}`", shown(call))
}
