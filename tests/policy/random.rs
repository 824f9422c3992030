//! Compose files made at random, in every spelling: which rules they break must be what `docker stack config` says that
//! the service would get.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use super::policy;
use crate::fidelity::docker_with_stack_config;
use crate::support::command;
use crate::support::dockerops::DockerOps;
use crate::support::repo::Repo;

const STACKS: usize = 100;
const ROUNDS: u64 = 3;
const SEED: u64 = 20_261_122;
const RULES: &str = "{mounts: [/srv/a, '/var/log:ro', '/opt/*'], ports: [80, 8000-8009], images: ['docker.io/library/*', 'r.io/**'], \
    networks: [proxy], secrets: [key], configs: [site], volumes: ['shared-*'], resources: {limits: required}, \
    placement: {must: ['node.labels.t == a'], may: [node.role]}}";

/// xorshift64*: the same stacks in every run.
struct Dice {
    state: u64,
    /// Whether it always takes the first, which breaks no rule.
    is_tame: bool,
}

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        (self.state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % sides
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        let at = self.below(of.len());
        of[if self.is_tame { 0 } else { at }]
    }

    /// True once in so many.
    fn in_(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// A stack's files, and the variables that `.env` gives them.
#[derive(Default)]
struct Made {
    variables: BTreeMap<String, String>,
    files: Vec<String>,
}

impl Made {
    /// The text itself, or a variable that stands for it or for a part of it.
    fn spelled(&mut self, dice: &mut Dice, text: &str) -> String {
        let cut = text.len() / 2;
        let name = format!("V{}", self.variables.len());
        match dice.below(6) {
            0 => {
                self.variables.insert(name.clone(), text.to_owned());
                format!("${{{name}}}")
            }
            1 if text.is_char_boundary(cut) && !text[cut..].contains('}') => {
                self.variables.insert(name.clone(), text[..cut].to_owned());
                format!("${{{name}:?}}{}", &text[cut..])
            }
            2 if !text.contains('}') => format!("${{NOT_SET:-{text}}}"),
            _ => text.to_owned(),
        }
    }

    fn quoted(&mut self, dice: &mut Dice, text: &str) -> String {
        format!("'{}'", self.spelled(dice, text))
    }
}

/// The lines of a service, each a key with a value in flow style.
fn service(dice: &mut Dice, made: &mut Made) -> Vec<String> {
    let image = dice.one(&[
        "nginx",
        "nginx:1",
        "docker.io/library/x:2",
        "acme/x",
        "r.io/a/b:1",
        "r.io.evil/a",
        "index.docker.io/library/y",
    ]);
    let mut lines = vec![format!("image: {}", made.quoted(dice, image))];
    let volumes: Vec<_> = (0..dice.below(3)).map(|_| volume(dice, made)).collect();
    if !volumes.is_empty() {
        lines.push(format!("volumes: [{}]", volumes.join(", ")));
    }
    let ports: Vec<_> = (0..dice.below(3)).map(|_| port(dice, made)).collect();
    if !ports.is_empty() {
        lines.push(format!("ports: [{}]", ports.join(", ")));
    }
    if dice.in_(3) {
        lines.push(
            dice.one(&[
                "privileged: false",
                "privileged: true",
                "cap_add: [NET_ADMIN]",
                "cap_add: []",
                "cap_drop: [ALL]",
                "sysctls: {net.core.somaxconn: '1'}",
                "devices: ['/dev/kvm:/dev/kvm']",
                "pid: host",
                "ipc: host",
                "network_mode: host",
                "userns_mode: host",
                "security_opt: ['no-new-privileges:true']",
                "security_opt: ['seccomp:unconfined']",
                "cgroup_parent: x",
                "read_only: true",
                "init: true",
                "ulimits: {nofile: 10}",
                "stop_signal: SIGINT",
            ])
            .to_owned(),
        );
    }
    let mut deploy = Vec::new();
    if !dice.in_(4) {
        let cpus = dice.one(&["0.5", "1", "0", "2.0"]);
        let cpus = made.quoted(dice, cpus);
        let memory = dice.one(&["64M", "1g", "0"]);
        let memory = made.quoted(dice, memory);
        deploy.push(
            dice.one(&[
                "resources: {limits: {cpus: C, memory: M}}",
                "resources: {limits: {memory: M}}",
                "resources: {reservations: {cpus: C}}",
            ])
            .replace('C', &cpus)
            .replace('M', &memory),
        );
    }
    if !dice.in_(4) {
        let mut constraints: Vec<_> = (0..dice.below(3))
            .map(|_| {
                let text = dice.one(&[
                    "node.labels.t == a",
                    "node.labels.t==a",
                    "node.labels.t != a",
                    "node.role == worker",
                    "node.hostname == x",
                ]);
                made.quoted(dice, text)
            })
            .collect();
        if dice.in_(2) {
            constraints.push("'node.labels.t==a'".into());
        }
        deploy.push(format!("placement: {{constraints: [{}]}}", constraints.join(", ")));
    }
    if !deploy.is_empty() {
        lines.push(format!("deploy: {{{}}}", deploy.join(", ")));
    }
    if dice.in_(3) {
        lines.push("networks: [n]".into());
    }
    lines
}

fn volume(dice: &mut Dice, made: &mut Made) -> String {
    let source = dice.one(&[
        "/srv/a",
        "/srv/a/",
        "/srv//./a",
        "/srv/a/b",
        "/srv",
        "/etc",
        "/var/log",
        "/opt/x",
        "/opt/x/y",
        "/opt/../etc",
        "data",
        "own",
    ]);
    let read_only = dice.in_(2);
    match dice.below(3) {
        0 => {
            let source = made.quoted(dice, source);
            let kind = if source.contains('/')
                || source.contains('$') && !source.contains("data") && !source.contains("own")
            {
                "bind"
            } else {
                "volume"
            };
            format!(
                "{{type: {kind}, source: {source}, target: /x{}, read_only: {}}}",
                dice.below(1000),
                if read_only { dice.one(&["true", "yes"]) } else { "false" }
            )
        }
        _ => {
            let options = if read_only { dice.one(&[":ro", ":ro,z"]) } else { dice.one(&["", ":rw"]) };
            let text = format!("{source}:/x{}{options}", dice.below(1000));
            made.quoted(dice, &text)
        }
    }
}

fn port(dice: &mut Dice, made: &mut Made) -> String {
    let published = dice.one(&["80", "81", "8005", "443"]);
    match dice.below(6) {
        0 => format!("{{target: 80, published: {published}}}"),
        1 => format!("{{target: 80, published: {published}, mode: host, protocol: udp}}"),
        2 => "80".into(),
        3 => {
            let text = dice.one(&["8000-8003:80-83", "8008-8012:80-84/udp", "79-80:1-2"]);
            made.quoted(dice, text)
        }
        4 => format!("'127.0.0.1:{published}:80'"),
        _ => made.quoted(dice, &format!("{published}:80")),
    }
}

const TOP: &str = "volumes:\n  data: VOLUME\n  own:\nnetworks:\n  n: NETWORK\n";

fn stack(dice: &mut Dice) -> Made {
    let mut made = Made::default();
    dice.is_tame = dice.in_(3);
    let lines = service(dice, &mut made);
    let is_merged = dice.in_(3);
    let is_split = !is_merged && dice.in_(3);
    let volume = dice.one(&[
        "",
        "{external: true}",
        "{name: shared-x}",
        "{name: other}",
        "{external: true, name: shared-y}",
        "{driver_opts: {type: none, o: bind, device: /etc}}",
        "{driver_opts: {type: none, o: bind, device: /srv/a}}",
    ]);
    let network = dice.one(&[
        "",
        "{external: true}",
        "{external: true, name: proxy}",
        "{external: true, name: host}",
        "{driver: overlay}",
    ]);
    let top = TOP.replace("VOLUME", volume).replace("NETWORK", network);
    let block = |lines: &[String], indent: &str| {
        lines.iter().flat_map(|line| [indent, line, "\n"]).collect::<String>()
    };
    if is_merged {
        let (base, own) = lines.split_at(dice.below(lines.len()));
        made.files.push(format!(
            "version: '3.8'\nx-base: &base\n{}services:\n  a:\n    <<: *base\n{}{top}",
            if base.is_empty() { "  hostname: h\n".into() } else { block(base, "  ") },
            block(own, "    ")
        ));
    } else if is_split && lines.len() > 1 {
        let (base, own) = lines.split_at(1 + dice.below(lines.len() - 1));
        made.files.push(format!("version: '3.8'\nservices:\n  a:\n{}{top}", block(base, "    ")));
        made.files.push(format!("version: '3.8'\nservices:\n  a:\n{}", block(own, "    ")));
    } else {
        made.files.push(format!("version: '3.8'\nservices:\n  a:\n{}{top}", block(&lines, "    ")));
    }
    made
}

/// What docker says that the service gets, held to the rules by somebody else.
fn broken(config: &Value) -> BTreeSet<String> {
    let mut broken = BTreeSet::new();
    let service = &config["services"]["a"];
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut breaks = |rule: &str| broken.extend([rule.to_owned()]);
    let clean = |path: &str| -> PathBuf {
        let mut clean = PathBuf::from("/");
        for part in Path::new(path).components() {
            match part {
                Component::Normal(part) => clean.push(part),
                Component::ParentDir => drop(clean.pop()),
                _ => {}
            }
        }
        clean
    };
    let may_mount = |path: &str, read_only: bool| {
        let path = clean(path);
        path == Path::new("/srv/a")
            || path == Path::new("/var/log") && read_only
            || path.parent() == Some(Path::new("/opt"))
    };
    for volume in list(&service["volumes"]) {
        let read_only = volume["read_only"] == true;
        if volume["type"] == "bind" && !may_mount(volume["source"].as_str().unwrap(), read_only) {
            breaks("mounts");
        }
    }
    for key in [
        "privileged",
        "cap_add",
        "sysctls",
        "devices",
        "pid",
        "ipc",
        "network_mode",
        "userns_mode",
        "cgroup_parent",
    ] {
        if !service[key].is_null() && service[key] != false && service[key] != Value::Array(Vec::new()) {
            breaks("privileges");
        }
    }
    if list(&service["security_opt"]).iter().any(|option| option != "no-new-privileges:true") {
        breaks("privileges");
    }
    for port in list(&service["ports"]) {
        match port["published"].as_u64() {
            Some(80 | 8000..=8009) => {}
            _ => breaks("ports"),
        }
    }
    let image = service["image"].as_str().unwrap();
    let official = !image.contains('/')
        || image.starts_with("docker.io/library/")
        || image.starts_with("index.docker.io/library/");
    if !official && !image.starts_with("r.io/") {
        breaks("images");
    }
    let limits = &service["deploy"]["resources"]["limits"];
    let is_some = |value: &Value| match value {
        Value::Null => false,
        Value::Number(number) => number.as_f64() > Some(0.0),
        value => !matches!(value.as_str().unwrap(), "0" | "0.0" | ""),
    };
    if !is_some(&limits["cpus"]) || !is_some(&limits["memory"]) {
        breaks("resources");
    }
    let constraints: Vec<String> = list(&service["deploy"]["placement"]["constraints"])
        .iter()
        .map(|text| text.as_str().unwrap().replace(' ', ""))
        .collect();
    if !constraints.iter().any(|text| text == "node.labels.t==a") {
        breaks("placement.must");
    }
    if constraints.iter().any(|text| text != "node.labels.t==a" && !text.starts_with("node.role")) {
        breaks("placement.may");
    }
    for (key, entry) in config["networks"].as_object().into_iter().flatten() {
        if entry["external"].is_null() || entry["external"] == false {
            continue;
        }
        let name = entry["name"].as_str().unwrap_or(key);
        if name == "host" {
            breaks("privileges");
        }
        if name != "proxy" {
            breaks("networks");
        }
    }
    for (key, entry) in config["volumes"].as_object().into_iter().flatten() {
        let is_external = !entry["external"].is_null() && entry["external"] != false;
        let name = entry["name"].as_str();
        if (is_external || name.is_some()) && !name.unwrap_or(key).starts_with("shared-") {
            breaks("volumes");
        }
        if entry["driver_opts"]["device"].as_str().is_some_and(|device| !may_mount(device, false)) {
            breaks("mounts");
        }
    }
    broken
}

#[test]
fn a_rule_is_broken_where_docker_says_that_it_would_be() {
    let Some(docker) = docker_with_stack_config() else { return };
    let (mut compared, mut right, mut seen) = (0, 0, BTreeSet::new());
    for round in 0..ROUNDS {
        let mut dice = Dice { state: SEED + round, is_tame: false };
        let made: Vec<Made> = (0..STACKS).map(|_| stack(&mut dice)).collect();
        for wanted in compare(&docker, &made) {
            compared += 1;
            right += usize::from(wanted.is_empty());
            seen.extend(wanted);
        }
    }
    let all = STACKS * usize::try_from(ROUNDS).unwrap();
    assert!(compared * 10 > all * 7 && right > 0, "{compared} of {all} were compared, {right} are right");
    assert_eq!(seen.len(), 9, "{seen:?}");
}

/// The rules that each of the stacks breaks, of those that both take for files of theirs.
fn compare(docker: &Path, made: &[Made]) -> Vec<BTreeSet<String>> {
    let (ops, repo) = (DockerOps::without_docker().with_docker(docker), Repo::new());
    let (files, mut list) = (["a.yml", "b.yml"], String::new());
    for (number, made) in made.iter().enumerate() {
        for (name, text) in files.iter().zip(&made.files) {
            repo.write(&format!("s{number}/{name}"), text);
        }
        let dotenv: String =
            made.variables.iter().flat_map(|(name, value)| [name, "='", value, "'\n"]).collect();
        repo.write(&format!("s{number}/.env"), dotenv);
        list += &format!("- {{name: s{number}, compose: [{}]}}\n", files[..made.files.len()].join(", "));
    }
    repo.write("stacks.yaml", list).commit("random");
    let (_folder, path) = policy(RULES);
    let at = repo.path().display().to_string();
    let verdict = ops.run(["validate", &at, "--json", "--policy", &path, "--source", "/srv/x"]).json();
    assert_eq!(verdict["more"], 0, "more than can be told: make fewer stacks");
    let mut problems: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for problem in verdict["problems"].as_array().unwrap() {
        let stack = problem["stack"].as_str().unwrap();
        problems.entry(stack).or_default().push(problem["what"].as_str().unwrap());
    }
    let mut compared = Vec::new();
    for (number, made) in made.iter().enumerate() {
        let name = format!("s{number}");
        let told = problems.remove(&*name).unwrap_or_default();
        let rule = |what: &&str| Some(what.split("; forbidden by `").nth(1)?.split('`').next()?.to_owned());
        let Some(rules) = told.iter().map(rule).collect::<Option<BTreeSet<_>>>() else { continue };
        let mut config = command(docker);
        config.current_dir(repo.path().join(&name)).envs(&made.variables).args(["stack", "config"]);
        for file in &files[..made.files.len()] {
            config.args(["-c", file]);
        }
        let output = config.output().unwrap();
        if !output.status.success() {
            continue;
        }
        let wanted = broken(&serde_yaml::from_slice(&output.stdout).unwrap());
        let given = String::from_utf8_lossy(&output.stdout);
        assert_eq!(rules, wanted, "{name}: {}\n{told:#?}\n{given}", made.files.join("---\n"));
        compared.push(wanted);
    }
    compared
}
