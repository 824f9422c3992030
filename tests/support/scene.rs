//! What most tests begin with: a repository, the program that watches it, and a docker that writes down its calls.

use serde_json::Value;

use super::dockerops::{DockerOps, Outcome};
use super::fake_docker::FakeDocker;
use super::lab::{Lab, lab};
use super::repo::Repo;

/// One author, one manager.
#[derive(Debug)]
pub struct Scene {
    /// The Swarm.
    pub lab: &'static Lab,
    /// The program; passes through `docker`.
    pub ops: DockerOps,
    /// What it watches.
    pub repo: Repo,
    /// What it calls; `watch` and `reconcile` forget what was called before.
    pub docker: FakeDocker,
}

impl Scene {
    /// `None` where there is no lab.
    pub fn new() -> Option<Self> {
        Some(Self::before(lab()?, FakeDocker::new()))
    }

    /// With this docker.
    pub fn before(lab: &'static Lab, docker: FakeDocker) -> Self {
        let ops = DockerOps::new(lab).with_fake(&docker).env("DOCKEROPS_DEPLOY_TIMEOUT", "60");
        Self { lab, ops, repo: Repo::new(), docker }
    }

    /// Stacks have so many seconds to converge.
    pub fn timeout(mut self, seconds: u64) -> Self {
        self.ops = self.ops.env("DOCKEROPS_DEPLOY_TIMEOUT", seconds.to_string());
        self
    }

    /// The service `app:1` without a task; it converges at once.
    pub fn off(&self) -> App {
        App::new(&self.lab.image("app:1")).replicas(0)
    }

    /// The service `app:1` with one task.
    pub fn on(&self) -> App {
        App::new(&self.lab.image("app:1"))
    }

    /// Lists a stack of the one service `app`, and gives its name.
    pub fn stack(&self, base: &str, app: &App) -> String {
        let name = self.ops.unique(base);
        self.repo.stack(&name, &compose([("app", app)]));
        name
    }

    /// Rewrites a stack's one service.
    pub fn change(&self, stack: &str, app: &App) -> &Self {
        self.repo.stack(stack, &compose([("app", app)]));
        self
    }

    /// Commits what was written and runs `watch`.
    #[track_caller]
    pub fn watch(&self) -> Outcome {
        self.repo.commit("first");
        self.run(&["watch", &self.repo.url()])
    }

    /// Commits what was written and runs `reconcile`.
    #[track_caller]
    pub fn push(&self) -> Outcome {
        self.repo.commit("next");
        self.reconcile()
    }

    /// Runs `reconcile`.
    #[track_caller]
    pub fn reconcile(&self) -> Outcome {
        self.run(&["reconcile"])
    }

    /// Runs it; `docker` knows the calls of this run alone.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Outcome {
        self.docker.forget();
        self.ops.run(arguments)
    }

    /// The stacks that the last run called `stack deploy` for, in that order.
    pub fn deploys(&self) -> Vec<String> {
        let calls = self.docker.calls_with("stack deploy");
        calls.iter().map(|call| call.rsplit(' ').next().unwrap_or_default().to_owned()).collect()
    }

    /// The last run called `stack deploy` for these stacks, whichever came first: they are given side by side.
    #[track_caller]
    pub fn deployed<const N: usize>(&self, mut stacks: [&str; N]) {
        let mut deploys = self.deploys();
        deploys.sort_unstable();
        stacks.sort_unstable();
        assert_eq!(deploys, stacks);
    }

    /// What `status --json` says of a stack.
    #[track_caller]
    pub fn status(&self, stack: &str) -> Value {
        let status = self.ops.run(["status", "--json"]).json();
        let stacks = status["stacks"].as_array().unwrap();
        stacks.iter().find(|row| row["name"] == stack).unwrap_or(&Value::Null).clone()
    }

    /// `hash` and `status` as the database has them; `None` where it does not know the stack.
    pub fn row(&self, stack: &str) -> Option<(String, String)> {
        let query = "SELECT hash, status FROM stacks WHERE name = ?1 AND repository_url = ?2";
        let url = self.repo.url();
        self.ops.db().query_row(query, [stack, &url], |row| Ok((row.get(0)?, row.get(1)?))).ok()
    }
}

impl Lab {
    /// The names of a stack's services.
    #[track_caller]
    pub fn services(&self, stack: &str) -> Vec<String> {
        self.list(stack, "{{.Name}}")
    }

    /// A stack's services with all that docker knows of each, so that any change shows.
    #[track_caller]
    pub fn specs(&self, stack: &str) -> Vec<String> {
        self.list(stack, "{{.Name}}").iter().map(|name| self.docker(&["service", "inspect", name])).collect()
    }

    fn list(&self, stack: &str, format: &str) -> Vec<String> {
        let filter = format!("label=com.docker.stack.namespace={stack}");
        let text = self.docker(&["service", "ls", "--filter", &filter, "--format", format]);
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    }

    /// The ids of a stack's tasks that are to run.
    pub fn tasks(&self, stack: &str) -> Vec<String> {
        let call = ["stack", "ps", "--quiet", "--filter", "desired-state=running", stack];
        // docker calls a stack without a task none.
        let text = self.try_docker(&call).unwrap_or_default();
        let mut ids: Vec<_> = text.lines().map(str::to_owned).collect();
        ids.sort_unstable();
        ids
    }

    /// A field of a service's spec, by docker's template.
    #[track_caller]
    pub fn spec(&self, service: &str, field: &str) -> String {
        self.docker(&["service", "inspect", "--format", &format!("{{{{{field}}}}}"), service])
    }

    /// A service label.
    #[track_caller]
    pub fn label(&self, service: &str, label: &str) -> String {
        self.spec(service, &format!("index .Spec.Labels {label:?}"))
    }

    /// `docker service update`, which does not wait for its tasks.
    #[track_caller]
    pub fn edit(&self, service: &str, options: &[&str]) {
        self.docker(&[&["service", "update", "--quiet", "--detach"], options, &[service]].concat());
    }
}

/// One service of a compose file.
#[derive(Debug, Clone)]
pub struct App {
    lines: Vec<String>,
    update: String,
    deploy: Vec<String>,
}

impl App {
    /// One task that is watched for a second.
    pub fn new(image: &str) -> Self {
        Self { lines: vec![format!("image: {image}")], update: "monitor: 1s".into(), deploy: Vec::new() }
    }

    /// Adds a line.
    pub fn with(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    /// Adds a line to `deploy`.
    pub fn deploy(mut self, line: impl Into<String>) -> Self {
        self.deploy.push(line.into());
        self
    }

    /// How many tasks.
    pub fn replicas(self, count: u8) -> Self {
        self.deploy(format!("replicas: {count}"))
    }

    /// What it runs, in a shell.
    pub fn shell(self, script: &str) -> Self {
        self.with(format!("command: [sh, -c, {script:?}]"))
    }

    /// Its `update_config`; none where that is empty.
    pub fn update(mut self, config: &str) -> Self {
        config.clone_into(&mut self.update);
        self
    }
}

/// A compose file of these services.
pub fn compose<'a>(services: impl IntoIterator<Item = (&'a str, &'a App)>) -> String {
    let mut text = String::from("version: \"3.8\"\nservices:\n");
    for (name, App { lines, update, deploy }) in services {
        text += &format!("  {name}:\n");
        for line in lines {
            text += &format!("    {line}\n");
        }
        text += "    deploy:\n";
        if !update.is_empty() {
            text += &format!("      update_config: {{{update}}}\n");
        }
        for line in deploy {
            text += &format!("      {line}\n");
        }
    }
    text
}
