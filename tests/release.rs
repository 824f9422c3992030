//! What a release consists of, built as the release workflow builds it, for this machine's architecture.

use std::env::consts::ARCH;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::support::machine::{Machine, SHARED, finish};
use crate::support::{command, stdout_of, try_stdout_of};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Twelve MiB.
const MOST_BYTES: u64 = 16 * 1024 * 1024;

/// The folder with the release. Built once a run, anew only as far as something changed; it takes minutes the first
/// time, and gives way to the other tests. `DOCKEROPS_TEST_RELEASE` names one that is built already.
pub fn release() -> &'static Path {
    static RELEASE: OnceLock<PathBuf> = OnceLock::new();
    RELEASE.get_or_init(|| {
        if let Some(folder) = std::env::var_os("DOCKEROPS_TEST_RELEASE") {
            return folder.into();
        }
        let folder = Path::new(ROOT).join("target/release-test");
        let mut build = command("nice");
        build.args(["-n", "19"]).arg(Path::new(ROOT).join("deploy/release/build.sh")).arg(&folder);
        for name in ["HOME", "CARGO_HOME", "RUSTUP_HOME"] {
            build.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        stdout_of(&mut build);
        folder
    })
}

/// The program in it.
pub fn program() -> PathBuf {
    release().join(format!("dockerops-linux-{ARCH}"))
}

#[test]
fn a_release_is_the_program_and_its_archive_each_with_a_checksum() {
    let mut names: Vec<_> = fs::read_dir(release())
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let program = format!("dockerops-linux-{ARCH}");
    let expected =
        [&program, &format!("{program}.sha256"), "dockerops-share.tar.gz", "dockerops-share.tar.gz.sha256"];
    assert_eq!(names, expected);
    let mut check = command("sha256sum");
    check.args(["--check", "--strict", expected[1], expected[3]]).current_dir(release());
    stdout_of(&mut check);
}

#[test]
fn the_program_links_to_nothing_and_is_small() {
    let size = fs::metadata(program()).unwrap().len();
    assert!(size <= MOST_BYTES, "{size} bytes are more than {MOST_BYTES}");
    let headers = stdout_of(
        command("readelf").args(["--wide", "--dynamic", "--program-headers", "--notes"]).arg(program()),
    );
    let needed: Vec<_> = headers.lines().filter(|line| line.contains("(NEEDED)")).collect();
    assert_eq!(needed, Vec::<&str>::new(), "all that it links to");
    assert!(!headers.contains("INTERP"), "it asks for no loader: {headers}");
    // What it asks of the kernel is older than ten years.
    let kernel = headers.lines().find_map(|line| line.split("ABI: ").nth(1)).unwrap();
    assert!(["3.2.0", "3.7.0"].contains(&kernel), "{kernel}");
}

#[test]
fn the_program_starts_where_there_is_nothing_else() {
    let empty = tempfile::tempdir().unwrap();
    fs::copy(program(), empty.path().join("dockerops")).unwrap();
    let said = try_stdout_of(command("chroot").arg(empty.path()).args(["/dockerops", "version"]));
    // Without root there is no chroot to be had; what it links to is shown above.
    if rustix::process::geteuid().is_root() {
        assert_eq!(said.unwrap().lines().next().unwrap(), concat!("dockerops ", env!("CARGO_PKG_VERSION")));
    }
}

/// Answers every question for an address with 127.0.0.1, and writes down what was asked.
const NAME_SERVER: &str = "
import socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(('127.0.0.1', 53))
open('ready', 'w').close()
while True:
    query, client = server.recvfrom(512)
    end = query.index(b'\\0', 12) + 5
    address = query[end - 4:end - 2] == b'\\0\\1'
    with open('asked', 'ab') as log:
        log.write(query[12:end] + b'\\n')
    answer = query[:2] + b'\\x81\\x80\\0\\1' + (b'\\0\\1' if address else b'\\0\\0') + b'\\0\\0\\0\\0' + query[12:end]
    if address:
        answer += b'\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\1\\0\\4\\x7f\\0\\0\\1'
    server.sendto(answer, client)
";

#[test]
fn names_are_asked_of_hosts_and_dns_whatever_name_services_the_machine_has() {
    let Some(mut machine) = Machine::new() else { return };
    // Left to glibc, `[UNAVAIL=return]` would end the search at a library that is not there; one that is there, made
    // for another glibc, could end the program.
    machine.mounts = format!(
        "echo 'hosts: trap [UNAVAIL=return] files dns' > /etc/nsswitch.conf
        echo 127.0.0.1 in-hosts.test > /etc/hosts
        rm -f /etc/resolv.conf; echo nameserver 127.0.0.1 > /etc/resolv.conf
        ip link set lo up; python3 -c \"$NAME_SERVER\" >/dev/null 2>&1 & server=$!
        trap 'kill $server' EXIT
        until [ -e ready ]; do sleep 0.05; done
        {0} watch http://in-hosts.test:9/r.git || true; {0} watch http://in-dns.test:9/r.git || true; exit 0",
        program().display()
    );
    machine.set("NAME_SERVER", NAME_SERVER);
    machine.set("PATH", &format!("{}/bin:{}", machine.home().display(), std::env::var("PATH").unwrap()));
    // All that is asked of docker before the repository is.
    fs::create_dir(machine.home().join("bin")).unwrap();
    let docker = machine.home().join("bin/docker");
    fs::write(&docker, "#!/bin/sh\nexit 0\n").unwrap();
    stdout_of(command("chmod").arg("+x").arg(docker));
    let mut isolated = command("unshare");
    let inner = machine.command(&["true"]);
    isolated.arg("--net").arg(inner.get_program()).args(inner.get_args());
    isolated.envs(&machine.variables).current_dir(machine.home().parent().unwrap());
    isolated.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let said = finish(isolated.spawn().unwrap());
    said.is(0, &["http://in-hosts.test:9/r", "http://in-dns.test:9/r"]).lacks("resolve");
    assert_eq!(said.text.matches("refused").count(), 2, "both have an address: {}", said.text);
    let asked = fs::read(machine.home().with_file_name("asked")).unwrap();
    assert!(
        String::from_utf8_lossy(&asked).contains("in-dns")
            && !String::from_utf8_lossy(&asked).contains("in-hosts")
    );
}

#[test]
fn the_script_installs_it() {
    let Some(machine) = Machine::new() else { return };
    let version = env!("CARGO_PKG_VERSION");
    machine.release(version);
    for file in fs::read_dir(release()).unwrap().map(Result::unwrap) {
        fs::copy(file.path(), machine.asset(version, file.file_name().to_str().unwrap())).unwrap();
    }
    machine.run(&["install"]).is(0, &[&format!("installed dockerops {version}")]);
    let said = stdout_of(command(machine.program()).arg("version"));
    assert!(said.starts_with(&format!("dockerops {version}\n")));
    let commands = ["watch", "reconcile", "unwatch", "status", "stop", "debug-cache", "version"];
    for file in SHARED {
        let text = String::from_utf8(machine.installed()[file].clone()).unwrap();
        for name in commands {
            let name = if file.ends_with(".1") {
                format!(".SH DOCKEROPS {}", name.to_uppercase())
            } else {
                name.into()
            };
            assert!(text.contains(&name), "{file}: {name}");
        }
    }
    let complete = "source \"$0\"; COMP_WORDS=(dockerops unw) COMP_CWORD=1; _dockerops dockerops unw dockerops; echo ${COMPREPLY[*]}";
    let completed = stdout_of(command("bash").args(["-c", complete]).arg(machine.prefix().join(SHARED[0])));
    assert_eq!(completed, "unwatch\n");
}

fn notes(tag: &str) -> Result<String, String> {
    try_stdout_of(command(Path::new(ROOT).join("deploy/release/notes.sh")).arg(tag))
}

#[test]
fn a_tag_that_is_not_the_version_is_refused_and_the_notes_are_the_changelogs() {
    let version = env!("CARGO_PKG_VERSION");
    let printed = notes(&format!("v{version}")).unwrap();
    let changelog = fs::read_to_string(Path::new(ROOT).join("CHANGELOG.md")).unwrap();
    assert!(
        !printed.trim().is_empty() && changelog.contains(printed.trim()) && !printed.contains("\n## "),
        "{printed}"
    );
    for wrong in [version, "v9.9.9", ""] {
        assert!(notes(wrong).unwrap_err().contains(&format!("must be `v{version}`")), "{wrong}");
    }
}
