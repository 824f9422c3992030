//! Registries on the lab's network: the real one behind a proxy that writes down what it is asked, and has faults.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::dockerops::DockerOps;
use super::lab::Lab;
use super::{command, stdout_of};

/// On the lab's own network, where the nodes reach it. Ends when dropped.
#[derive(Debug)]
pub struct Registry {
    child: Child,
    folder: TempDir,
    port: u16,
}

impl Registry {
    /// Before the lab's registry, with which it shares all images; `options` are the script's.
    pub fn start(lab: &Lab, options: &[&str]) -> Self {
        Self::start_at(lab, address(lab), options)
    }

    /// Likewise at another address of the lab's network.
    pub fn start_at(lab: &Lab, address: &str, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut proxy = command("ip");
        proxy.args(["netns", "exec", lab.network_namespace(), "python3"]);
        proxy.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/registry_proxy.py"));
        proxy.arg("--folder").arg(folder.path()).args(["--upstream", lab.registry()]);
        proxy.args(["--bind", address]).args(options);
        let mut child = proxy.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        let port = port.trim().parse().expect("the proxy's first line is its port");
        Self { child, folder, port }
    }

    /// `host:port`.
    pub fn name(&self, lab: &Lab) -> String {
        format!("{}:{}", address(lab), self.port)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on every answer about a repository is this one; none if it is empty.
    pub fn fault(&self, fault: &str) {
        let (file, new) = (self.folder.path().join("fault"), self.folder.path().join("fault.new"));
        fs::write(&new, fault).unwrap();
        fs::rename(new, file).unwrap();
    }

    /// Forgets the requests so far.
    pub fn forget(&self) {
        let _ = fs::remove_file(self.folder.path().join("log"));
    }

    /// All requests so far, docker's own included.
    pub fn log(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What DockerOps asked so far, sorted: method and path.
    pub fn asked(&self) -> Vec<String> {
        let ours = |entry: &&Value| entry["agent"].as_str().unwrap().starts_with("dockerops/");
        let line = |entry: &Value| {
            format!("{} {}", entry["method"].as_str().unwrap(), entry["path"].as_str().unwrap())
        };
        let mut lines: Vec<_> = self.log().iter().filter(ours).map(line).collect();
        lines.sort_unstable();
        lines
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn address(lab: &Lab) -> &str {
    lab.registry().rsplit_once(':').unwrap().0
}

impl DockerOps {
    /// Runs where the lab's registries are reached.
    pub fn beside_the_registry(self, lab: &Lab) -> Self {
        self.within(["ip", "netns", "exec", lab.network_namespace()])
    }

    /// Pulls by this policy.
    pub fn always(self) -> Self {
        self.env("DOCKEROPS_IMAGE_PULL_POLICY", "always")
    }

    /// Its `~/.docker/config.json`.
    pub fn docker_config(&self, text: &str) {
        fs::create_dir_all(self.home().join(".docker")).unwrap();
        fs::write(self.home().join(".docker/config.json"), text).unwrap();
    }
}

impl Lab {
    /// Makes `name`, as the lab's registry has it, another image than before; no node has it afterwards. Its digest.
    pub fn publish(&self, name: &str, changes: &[&str]) -> String {
        let (image, stamp) = (self.image(name), super::unique("stamp"));
        let container = self.docker(&["create", &self.image("app:1")]);
        let label = format!("LABEL stamp={stamp}");
        let changes: Vec<_> =
            [label.as_str()].iter().chain(changes).flat_map(|line| ["--change", line]).collect();
        let made = self.docker(&[&["commit"], &changes[..], &[&container, &image]].concat());
        self.docker(&["rm", &container]);
        self.docker(&["push", "--quiet", &image]);
        let format = "{{range .RepoDigests}}{{.}} {{end}}";
        let digests = self.docker(&["image", "inspect", "--format", format, &made]);
        let repository = image.rsplit_once(':').unwrap().0;
        let digest =
            digests.split_whitespace().find_map(|digest| digest.strip_prefix(repository)?.strip_prefix('@'));
        let digest = digest.unwrap().to_owned();
        self.docker(&["image", "rm", &image]);
        digest
    }

    /// Lets the tag of `name` name a digest that was pushed before.
    pub fn move_tag(&self, name: &str, digest: &str) {
        let image = self.image(name);
        let pushed = format!("{}@{digest}", image.rsplit_once(':').unwrap().0);
        self.docker(&["pull", "--quiet", &pushed]);
        self.docker(&["tag", &pushed, &image]);
        self.docker(&["push", "--quiet", &image]);
        self.docker(&["image", "rm", &image]);
    }

    /// The image of a service as Swarm has it.
    #[track_caller]
    pub fn runs(&self, service: &str) -> String {
        self.spec(service, ".Spec.TaskTemplate.ContainerSpec.Image")
    }

    /// Runs a shell script where a node's dockerd runs, with its own `/etc`.
    pub fn on_node(&self, number: u8, script: &str) -> String {
        let pid = fs::read_to_string(self.folder().join(format!("node{number}/pid"))).unwrap();
        stdout_of(command("nsenter").args(["--target", pid.trim(), "--mount", "sh", "-ec", script]))
    }
}

/// A certificate authority in a folder: `ca.crt`, and `server.crt` with `server.key` for these names.
pub fn certificates(folder: &Path, names: &str) {
    let script = format!(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.crt -days 2 -subj /CN=ca
         openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key -out server.csr -subj /CN=server
         printf 'subjectAltName={names}\\nbasicConstraints=CA:FALSE\\nextendedKeyUsage=serverAuth\\n' >extensions
         openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out server.crt -days 2 -extfile extensions"
    );
    stdout_of(command("bash").current_dir(folder).args(["-ec", &script]));
}
