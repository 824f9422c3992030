//! The documented way from an empty Swarm to an image of one's own, word for word.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::documents::blocks;
use crate::support::dockerops::DockerOps;
use crate::support::lab::{Lab, docker_binaries, lab};
use crate::support::{command, programs, search_path, stdout_of, try_stdout_of, wait_for};

/// Copies a program with all it needs into a folder that becomes an image: `python` asks for the modules of
/// the page, since a whole Python would take long to push.
const COPY: &str = r#"
import os, re, shutil, subprocess, sys
root, name, program = sys.argv[1:4]
files = {os.path.realpath(program)}
if name == "python3":
    import http.server, encodings.idna
    files = {os.path.realpath(sys.executable)}
    for module in list(sys.modules.values()):
        for attribute in ("__file__", "__cached__"):
            path = getattr(module, attribute, None)
            if path and os.path.isfile(path):
                files.add(path)
target = sorted(files, key=lambda path: path.endswith((".py", ".pyc", ".so")))[0]
for path in list(files):
    if not path.endswith((".py", ".pyc")):
        listed = subprocess.run(["ldd", path], capture_output=True, text=True).stdout
        files.update(re.findall(r"(/\S+) \(", listed))
for path in files:
    copy = root + path
    os.makedirs(os.path.dirname(copy), exist_ok=True)
    shutil.copy(path, copy)
os.makedirs(root + "/usr/local/bin", exist_ok=True)
os.symlink(target, root + "/usr/local/bin/" + name)
"#;

/// Stands in for the routing mesh, which this kernel may not have: node 2's own address leads to node 1.
const MESH: &str = r#"
import socket, threading
def pump(one, other):
    try:
        while data := one.recv(65536):
            other.sendall(data)
    except OSError:
        pass
    finally:
        other.close()
server = socket.create_server(("127.0.0.1", 5000))
print("up", flush=True)
while True:
    near, _ = server.accept()
    far = socket.create_connection(("10.77.0.1", 5000))
    for pair in ((near, far), (far, near)):
        threading.Thread(target=pump, args=pair, daemon=True).start()
"#;

/// The lab reaches no public registry: images that do the same under the same names, out of this machine's
/// programs.
fn stand_in(lab: &Lab, image: &str, name: &str, program: &Path, lines: &str) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    stdout_of(command("python3").args(["-c", COPY]).arg(&root).arg(name).arg(program));
    let dockerfile = format!("FROM {}\nCOPY root /\n{lines}\n", lab.image("base"));
    fs::write(folder.path().join("Dockerfile"), dockerfile).unwrap();
    let mut build = command(docker_binaries().pop().unwrap());
    build.env("DOCKER_HOST", lab.docker_host()).env("DOCKER_BUILDKIT", "0").env("HOME", folder.path());
    stdout_of(build.args(["build", "--quiet", "--tag", image]).arg(folder.path()));
}

/// Ended when dropped.
struct Mesh(Child);

impl Mesh {
    fn up(lab: &Lab) -> Self {
        let mut python = in_node(lab, 2, "python3");
        let mut child = python.args(["-c", MESH]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line)
            .unwrap();
        assert_eq!(line, "up\n");
        Self(child)
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn in_node(lab: &Lab, number: usize, program: &str) -> Command {
    let mut command = command("ip");
    command.args(["netns", "exec", lab.node_namespace(number), program]);
    command
}

/// The page's stacks and images have plain names; they are gone before and after.
struct Names<'a>(&'a Lab);

impl Names<'_> {
    fn remove(&self) {
        let lab = self.0;
        let _ = lab.try_docker(&["stack", "rm", "hello", "registry"]);
        wait_for("the registry's volume to be free", 60, || {
            lab.try_docker(&["volume", "rm", "--force", "registry_data"]).is_ok()
        });
        for image in ["127.0.0.1:5000/hello", "python:3-alpine", "registry:2"] {
            let _ = lab.try_docker(&["image", "rm", "--force", image]);
        }
    }
}

impl Drop for Names<'_> {
    fn drop(&mut self) {
        self.remove();
    }
}

#[test]
fn a_push_of_app_py_is_what_the_service_says_from_an_empty_swarm_on() {
    let Some(lab) = lab() else { return };
    let (ops, place) = (DockerOps::new(lab), tempfile::tempdir().unwrap());
    let (names, _mesh) = (Names(lab), Mesh::up(lab));
    names.remove();
    let registry = programs("docker-registry").remove(0);
    let config =
        "version: 0.1\\nstorage: {filesystem: {rootdirectory: /var/lib/registry}}\\nhttp: {addr: ':5000'}\\n";
    let lines = format!(
        "RUN printf \"{config}\" >/etc/registry.yml\nCMD [\"/usr/local/bin/registry\", \"serve\", \"/etc/registry.yml\"]"
    );
    stand_in(lab, "registry:2", "registry", &registry, &lines);
    stand_in(lab, "python:3-alpine", "python3", "python3".as_ref(), "ENV PATH=/usr/local/bin:/bin");

    let page: String =
        blocks().into_iter().filter(|block| block.info == "sh images").map(|block| block.text).collect();
    // Without the mesh, the node's own address leads to the registry by its published port.
    let deploy = place.path().join("deploy");
    fs::create_dir(&deploy).unwrap();
    let stack = include_str!("../deploy/registry-stack.yml");
    fs::write(deploy.join("registry-stack.yml"), stack.replace("mode: ingress", "mode: host")).unwrap();
    let bin = place.path().join("bin");
    fs::create_dir(&bin).unwrap();
    fs::write(bin.join("sudo"), "#!/bin/sh\nexec \"$@\"\n").unwrap();
    command("chmod").arg("+x").arg(bin.join("sudo")).status().unwrap();
    symlink(env!("CARGO_BIN_EXE_dockerops"), bin.join("dockerops")).unwrap();
    let mut path = bin.into_os_string();
    path.push(":");
    path.push(search_path());
    let mut shell = in_node(lab, 1, "bash");
    shell.current_dir(place.path()).env("PATH", path).env("HOME", ops.home());
    shell.env("DOCKER_HOST", lab.docker_host()).env("DOCKEROPS_DB_PATH", ops.database());
    for (name, value) in [("NAME", "Reader"), ("EMAIL", "reader@example.org")] {
        shell.env(format!("GIT_AUTHOR_{name}"), value).env(format!("GIT_COMMITTER_{name}"), value);
    }
    let said = try_stdout_of(shell.args(["-e", "-u", "-o", "pipefail", "-c", &page])).unwrap();
    for text in ["1 built, 2 deployed", "\nHello!\n", "1 built, 1 deployed, 1 unchanged", "\nGood morning!\n"]
    {
        assert!(said.contains(text), "{text}\n{said}");
    }
    let get =
        ["-c", "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8000/').read().decode())"];
    assert_eq!(
        stdout_of(in_node(lab, 2, "python3").args(get)).trim(),
        "Good morning!",
        "on the other node too"
    );
}
