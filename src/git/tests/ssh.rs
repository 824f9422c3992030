//! ssh, with a real sshd: host keys are enforced, keys and the agent are used.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::Lab;

pub(super) struct Sshd {
    child: Child,
    pub(super) port: u16,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn keygen(path: &Path, passphrase: &str) {
    run("ssh-keygen", &["-q", "-t", "ed25519", "-N", passphrase, "-f", path.to_str().unwrap()]);
}

/// Starts sshd with its own host key; the user's public key is that of `~/.ssh/id_ed25519`.
pub(super) fn sshd(lab: &Lab) -> Sshd {
    let ssh = lab.path("home/.ssh");
    fs::create_dir(&ssh).unwrap();
    keygen(&lab.path("host_key"), "");
    keygen(&ssh.join("id_ed25519"), "");
    fs::copy(ssh.join("id_ed25519.pub"), lab.path("authorized_keys")).unwrap();
    fs::set_permissions(lab.path("authorized_keys"), fs::Permissions::from_mode(0o600)).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let path = |name: &str| lab.path(name).display().to_string();
    let config = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\n\
         StrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n\
         SetEnv GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0=*\n",
        path("host_key"),
        path("authorized_keys"),
    );
    fs::write(lab.path("sshd_config"), config).unwrap();
    // Where sshd was never started, the folder it drops its privileges into is missing.
    let _ = fs::create_dir_all("/run/sshd");
    let child = Command::new("/usr/sbin/sshd")
        .args(["-D", "-e", "-f"])
        .arg(lab.path("sshd_config"))
        .stdin(Stdio::null())
        .stderr(fs::File::create(lab.path("sshd.log")).unwrap())
        .spawn()
        .unwrap();
    for _ in 0..100 {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Sshd { child, port }
}

pub(super) fn trust(lab: &Lab, port: u16, key: &Path) {
    let key = fs::read_to_string(key).unwrap();
    let mut words = key.split_whitespace();
    let (kind, key) = (words.next().unwrap(), words.next().unwrap());
    let line = format!("[127.0.0.1]:{port} {kind} {key}\n");
    fs::write(lab.path("home/.ssh/known_hosts"), line).unwrap();
}

pub(super) fn me() -> String {
    run("id", &["-un"]).trim().to_owned()
}

#[test]
fn a_known_host_is_served_and_an_unknown_or_changed_one_never() {
    let lab = Lab::new();
    let origin = lab.origin("r");
    let server = sshd(&lab);
    let source = format!("ssh://{}@127.0.0.1:{}{}", me(), server.port, origin.path());

    let unknown = lab.probe(&source, &[]);
    assert!(unknown.contains("host key") && unknown.contains("SHA256:"), "{unknown}");
    let scan = format!("ssh-keyscan -p {} 127.0.0.1", server.port);
    assert!(unknown.contains(&scan), "{unknown}");
    let shown = run("ssh-keygen", &["-lf", lab.path("host_key.pub").to_str().unwrap()]);
    assert!(unknown.contains(shown.split(' ').nth(1).unwrap()), "{unknown} {shown}");

    keygen(&lab.path("other_key"), "");
    trust(&lab, server.port, &lab.path("other_key.pub"));
    let changed = lab.probe(&source, &[]);
    assert!(changed.contains("host key") && changed.contains("has changed"), "{changed}");

    trust(&lab, server.port, &lab.path("host_key.pub"));
    let known = lab.probe(&source, &[]);
    let wanted = format!("fetched {}", origin.head());
    assert!(known.contains(&wanted), "{known}");

    let missing = lab.probe(&format!("{source}-missing"), &[]);
    assert!(missing.contains("was not found"), "{missing}");
}

#[test]
fn keys_then_the_agent_and_else_an_error_that_says_what_to_do() {
    let lab = Lab::new();
    let origin = lab.origin("r");
    let server = sshd(&lab);
    trust(&lab, server.port, &lab.path("host_key.pub"));
    let source = format!("ssh://{}@127.0.0.1:{}{}", me(), server.port, origin.path());

    // The agent alone holds the key; the file has a passphrase now.
    let agent = lab.path("agent").display().to_string();
    let mut agent_process =
        Command::new("ssh-agent").args(["-D", "-a", &agent]).stdout(Stdio::null()).spawn().unwrap();
    while !lab.path("agent").exists() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let key = lab.path("home/.ssh/id_ed25519").display().to_string();
    let added = Command::new("ssh-add").arg(&key).env("SSH_AUTH_SOCK", &agent).output().unwrap();
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    run("ssh-keygen", &["-q", "-p", "-N", "secret", "-f", &key]);
    let through = lab.probe(&source, &[("SSH_AUTH_SOCK", agent.as_str())]);
    let without = lab.probe(&source, &[]);
    let _ = agent_process.kill();
    let _ = agent_process.wait();
    assert!(through.contains(&format!("fetched {}", origin.head())), "{through}");
    assert!(without.contains("remote authentication required"), "{without}");
    assert!(without.contains("only ssh-agent can use `"), "{without}");

    fs::remove_file(&key).unwrap();
    keygen(&lab.path("home/.ssh/id_ecdsa"), "");
    let refused = lab.probe(&source, &[]);
    assert!(refused.contains("it refused ssh-agent, `"), "{refused}");
    assert!(refused.contains("id_ecdsa"), "{refused}");
}
