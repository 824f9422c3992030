mod evasions;
mod file;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use super::{Given, Policy, Rules, Trust, read};
use crate::image::ImageRef;
use crate::source::Source;
use crate::stack::StackName;
use crate::yaml;

fn policy(text: &str) -> Arc<Policy> {
    policy_or(text).unwrap_or_else(|error| panic!("{error}"))
}

fn policy_or(text: &str) -> Result<Arc<Policy>, String> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("policy.yaml");
    fs::write(&path, text).unwrap();
    let shown = format!("{}/", folder.path().display());
    read(&path, Trust::Anybody, OsStr::new("")).map_err(|error| format!("{error:#}").replace(&shown, ""))
}

fn rules(text: &str) -> Rules {
    let policy = policy(&format!("rules:\n- {text}\n"));
    policy.rules_for(&Source::parse("https://example.org/a/b").unwrap()).unwrap().clone()
}

/// The rules that a compose file breaks, with its keys.
fn broken(rules: &Rules, compose: &str) -> Vec<String> {
    let tree = yaml::parse(compose).unwrap_or_else(|error| panic!("{compose}: {error:?}")).unwrap();
    let built = BTreeSet::from([ImageRef::parse("registry:5000/own:1").unwrap()]);
    let scripts = BTreeSet::from(["entrypoint".to_owned()]);
    let tree = tree.without_merges();
    let found = rules.check(Given { tree: &tree, scripts: &scripts, built: &built });
    let told = |found: &super::Found| {
        let rule = found.what.split("; forbidden by `").nth(1).unwrap().split('`').next().unwrap();
        format!("{rule} at {}", found.path.join("."))
    };
    found.iter().map(told).collect()
}

/// One service of these lines.
fn service(lines: &str) -> String {
    format!("services:\n  a:\n    image: nginx\n    {}\n", lines.replace('\n', "\n    "))
}

#[test]
fn the_first_rules_that_name_a_source_are_its_rules() {
    let policy = policy(
        "rules:\n- {sources: ['github.com/acme/infra#prod:a/*'], privileges: true}\n- {sources: ['github.com/acme/*'], stacks: ['web-*']}\n\
         - {sources: ['/srv/**', 'git.example.org/x'], stacks: [one]}\n",
    );
    let of = |source: &str| {
        let rules = policy.rules_for(&Source::parse(source).unwrap())?;
        Some(rules.place.rsplit(':').next().unwrap().parse::<usize>().unwrap())
    };
    for (source, wanted) in [
        ("https://github.com/acme/web", Some(3)),
        ("git@github.com:acme/web.git#main:envs/prod", Some(3)),
        ("https://github.com/acme/infra", Some(3)),
        ("https://github.com/acme/infra#prod:a/b", Some(2)),
        ("https://github.com/acme/a/b", None),
        ("https://github.com.evil/acme/web", None),
        ("https://evil.org/github.com/acme/web", None),
        ("https://git.example.org/x", Some(4)),
        ("/srv/git/a.git", Some(4)),
    ] {
        assert_eq!(of(source), wanted, "{source} is {}", Source::parse(source).unwrap().id());
    }
}

#[test]
fn a_source_is_known_by_every_spelling_of_its_name() {
    for pattern in [
        "github.com/acme/x",
        "github.com/acme/x.git",
        "https://github.com/acme/x.git",
        "git@github.com:acme/x.git",
        "ssh://git@github.com/acme/x/",
        "ssh://git@github.com:22/acme/x",
        "GitHub.com/acme/x",
        "github.com/acme/*",
        "github.com/acme/x#main:envs/",
        "*.com/acme/x",
        "**",
    ] {
        let policy = policy(&format!("rules: [{{sources: ['{pattern}']}}]\n"));
        for source in [
            "https://github.com/acme/x#main:envs",
            "git@github.com:acme/x.git#main:envs",
            "ssh://git@github.com:2222/acme/x#main:envs",
            "github.com/acme/x/#main:envs",
        ] {
            assert!(policy.rules_for(&Source::parse(source).unwrap()).is_some(), "{pattern} {source}");
        }
        for source in
            ["https://github.com/acme/xy", "https://github.org/acme/x", "https://evil.com/github.com/acme/x"]
        {
            let is_for = policy.rules_for(&Source::parse(source).unwrap()).is_some();
            assert!(
                !is_for || pattern == "**" || pattern == "github.com/acme/*" && source.contains("xy"),
                "{pattern} {source}"
            );
        }
    }
    let policy = policy("rules: [{sources: [/srv/git/x.git/]}]\n");
    assert!(policy.rules_for(&Source::parse("/srv/git/x.git").unwrap()).is_some());
    assert!(policy_or("rules: [{sources: [/srv/../x]}]\n").unwrap_err().contains("leads on with `..`"));
}

#[test]
fn mounts_are_refused_in_every_spelling_unless_they_are_named() {
    let none = rules("{}");
    for lines in [
        "volumes: ['/etc:/x']",
        "volumes: ['/etc:/x:ro']",
        "volumes: ['~/x:/x']",
        "volumes: ['./x:/x']",
        "volumes: ['\\\\x:/x']",
        "volumes: ['C:\\\\x:/x']",
        "volumes: ['a:b:c:d']",
        "volumes: ['data:/x:rshared']",
        "volumes: [{type: bind, source: /etc, target: /x}]",
        "volumes: [{type: bind, source: /etc, target: /x, read_only: true}]",
        "volumes: [{type: volume, source: /etc, target: /x}]",
        "volumes: [{type: npipe, source: x, target: /x}]",
        "volumes: [{type: cluster, source: x, target: /x}]",
        "volumes: [{source: x, target: /x}]",
        "volumes: {a: b}",
        "volumes: /etc:/x",
    ] {
        let found = broken(&none, &service(lines));
        assert!(found.contains(&"mounts at services.a.volumes".to_owned()), "{lines}: {found:?}");
    }
    for lines in [
        "volumes: ['data:/x', '/x', 'data:/x:ro,nocopy', {type: volume, source: data, target: /x}]",
        "volumes: [{type: tmpfs, target: /x}, {type: volume, target: /x}]",
        "volumes: []",
        "tmpfs: /x",
    ] {
        assert_eq!(broken(&none, &service(lines)), Vec::<String>::new(), "{lines}");
    }
    let some = rules("{mounts: ['/srv/*', '/etc/localtime:ro', /var/run/docker.sock]}");
    for lines in [
        "volumes: ['/srv/a:/x', '/srv/a/:/x:rw', '/etc/localtime:/x:ro', '/var/run/docker.sock:/x']",
        "volumes: [{type: bind, source: /etc/localtime, target: /x, read_only: yes}]",
    ] {
        assert_eq!(broken(&some, &service(lines)), Vec::<String>::new(), "{lines}");
    }
    for lines in [
        "volumes: ['/srv/a/b:/x']",
        "volumes: ['/srv/../etc:/x']",
        "volumes: ['/etc/localtime:/x']",
        "volumes: ['/run/docker.sock:/x']",
        "volumes: [{type: bind, source: /etc/localtime, target: /x, read_only: 'true'}]",
        "volumes: [{type: bind, source: /srv/a, target: /x, bind: {propagation: rshared}}]",
    ] {
        assert_eq!(broken(&some, &service(lines)), ["mounts at services.a.volumes"], "{lines}");
    }
}

#[test]
fn a_volume_that_is_a_path_or_a_file_system_in_disguise_is_a_mount() {
    let none = rules("{}");
    let volume = |options: &str| {
        format!("services: {{a: {{image: x}}}}\nvolumes:\n  data: {{driver_opts: {options}}}\n")
    };
    for options in [
        "{type: none, o: bind, device: /etc}",
        "{o: bind, device: /etc}",
        "{type: '', o: 'rbind,ro', device: /etc}",
        "{type: ext4, device: /dev/sda1}",
        "{type: overlay, device: overlay, o: 'lowerdir=/etc'}",
        "{type: nfs, o: 'addr=10.0.0.5', device: ':/x'}",
        "{type: cifs, device: //nas/x}",
        "{type: tmpfs, o: bind, device: /etc}",
        "{type: none, o: 'bind,x', device: /etc}",
        "{mountpoint: /etc}",
        "[device=/etc]",
    ] {
        let found = broken(&none, &volume(options));
        assert_eq!(found, ["mounts at volumes.data.driver_opts"], "{options}");
    }
    for options in ["{}", "{type: tmpfs, device: tmpfs, o: 'size=10m'}"] {
        assert_eq!(broken(&none, &volume(options)), Vec::<String>::new(), "{options}");
    }
    let some = rules("{mounts: [/srv/a, 'nfs://10.0.0.5/export/*', 'cifs://nas/**']}");
    for options in [
        "{type: none, o: bind, device: /srv/a}",
        "{type: nfs, o: 'addr=10.0.0.5,rw', device: ':/export/a'}",
        "{type: cifs, device: //nas/x/y}",
    ] {
        assert_eq!(broken(&some, &volume(options)), Vec::<String>::new(), "{options}");
    }
    for options in [
        "{type: nfs, o: 'addr=10.0.0.6', device: '10.0.0.5:/export/a'}",
        "{type: none, o: bind, device: /srv}",
    ] {
        assert_eq!(broken(&some, &volume(options)), ["mounts at volumes.data.driver_opts"], "{options}");
    }
}

#[test]
fn what_gives_power_is_refused_and_so_is_what_nobody_thought_of() {
    let none = rules("{}");
    for (lines, key) in [
        ("privileged: true", "privileged"),
        ("privileged: 'yes'", "privileged"),
        ("cap_add: [NET_ADMIN]", "cap_add"),
        ("devices: ['/dev/kvm']", "devices"),
        ("sysctls: {net.core.somaxconn: 1}", "sysctls"),
        ("sysctls: ['net.core.somaxconn=1']", "sysctls"),
        ("userns_mode: host", "userns_mode"),
        ("pid: host", "pid"),
        ("ipc: host", "ipc"),
        ("network_mode: host", "network_mode"),
        ("network_mode: 'service:db'", "network_mode"),
        ("security_opt: ['seccomp:unconfined']", "security_opt"),
        ("security_opt: ['no-new-privileges:true', 'apparmor=unconfined']", "security_opt"),
        ("credential_spec: {file: x}", "credential_spec"),
        ("cgroup_parent: /x", "cgroup_parent"),
        ("cgroupns_mode: host", "cgroupns_mode"),
        ("oom_score_adj: -1000", "oom_score_adj"),
        ("isolation: process", "isolation"),
        ("logging: {driver: fluentd}", "logging.driver"),
        ("a_key_of_next_year: {deep: [1]}", "a_key_of_next_year"),
        (
            "deploy: {resources: {reservations: {devices: [{capabilities: [gpu]}]}}}",
            "deploy.resources.reservations.devices",
        ),
        ("networks: {n: {driver_opts: {a: b}}}", "networks.n.driver_opts"),
        ("volumes: [{type: volume, source: a, target: /x, odd: 1}]", "volumes.odd"),
    ] {
        let found = broken(&none, &service(lines));
        assert_eq!(found, [format!("privileges at services.a.{key}")], "{lines}");
    }
    for (top, key) in [
        ("networks: {n: {driver: macvlan}}", "networks.n.driver"),
        ("networks: {n: {driver_opts: {parent: eth0}}}", "networks.n.driver_opts.parent"),
        ("networks: {n: {external: true, name: host}}", "networks.n"),
        ("networks: {host: {external: true}}", "networks.host"),
        ("networks: {n: {external: {name: host}}}", "networks.n"),
        ("volumes: {v: {driver: rclone}}", "volumes.v.driver"),
        ("volumes: {v: {x-cluster-spec: {group: a}}}", "volumes.v.x-cluster-spec"),
        ("secrets: {s: {driver: vault}}", "secrets.s.driver"),
        ("include: [x.yml]", "include"),
    ] {
        assert_eq!(
            broken(&none, &format!("services: {{a: {{image: x}}}}\n{top}\n")),
            [format!("privileges at {key}")],
            "{top}"
        );
    }
    let harmless = "version: '3.8'\nx-y: {privileged: true}\nservices:\n  a:\n    image: x\n    x-z: 1\n    privileged: false\n    cap_add: []\n    \
        cap_drop: [ALL]\n    security_opt: ['no-new-privileges:true']\n    pid:\n    networks: [n, o]\n    ulimits: {nofile: {soft: 1, hard: 2}}\n    \
        logging: {driver: json-file, options: {max-size: 1m}}\n    deploy: {mode: global, resources: {limits: {pids: 5}}}\n    \
        healthcheck: {test: [CMD, x]}\n    volumes: [{type: volume, source: a, target: /x, volume: {nocopy: true}}]\n  b:\n    image: x\n    \
        networks: {n: {aliases: [x]}, o: }\nnetworks:\n  n: {driver: overlay, driver_opts: {encrypted: '', com.docker.network.driver.mtu: '1400'}}\n  o:\n\
        volumes: {a: {labels: {x: y}}}\nconfigs: {c: {file: x, template_driver: golang}}\n";
    assert_eq!(broken(&none, harmless), Vec::<String>::new());
    assert_eq!(
        broken(&rules("{privileges: true}"), &service("privileged: true\nodd: 1")),
        Vec::<String>::new()
    );
    let some = rules("{privileges: [cap_add, sysctls]}");
    let found = broken(&some, &service("cap_add: [X]\nsysctls: {a: 1}\nprivileged: true"));
    assert_eq!(found, ["privileges at services.a.privileged"]);
}

#[test]
fn images_are_known_by_their_whole_names() {
    let some = rules("{images: ['docker.io/library/*', 'registry:5000/**'], digests: required}");
    let digest = format!("sha256:{}", "a".repeat(64));
    let run = |image: &str| broken(&some, &format!("services: {{a: {{image: '{image}'}}}}\n"));
    for image in [
        format!("nginx@{digest}"),
        format!("index.docker.io/library/nginx:1@{digest}"),
        "registry:5000/own:1".to_owned(),
    ] {
        assert_eq!(run(&image), Vec::<String>::new(), "{image}");
    }
    for image in [
        format!("acme/nginx@{digest}"),
        format!("ghcr.io/library/nginx@{digest}"),
        format!("docker.io.evil.org/library/nginx@{digest}"),
        format!("localhost/library/nginx@{digest}"),
        format!("{}@{digest}", "a".repeat(64)),
        "NGINX".to_owned(),
    ] {
        assert_eq!(run(&image), ["images at services.a.image"], "{image}");
    }
    for image in ["nginx", "nginx:1", "registry:5000/own:2", "registry:5000/own"] {
        assert_eq!(run(image), ["digests at services.a.image"], "{image}");
    }
    assert_eq!(broken(&some, "services: {a: {build: .}}"), ["images at services.a"]);
    let image = |name: &str| ImageRef::parse(name).unwrap();
    assert!(
        some.check_build(&image("registry:5000/x:1")).is_ok()
            && some.check_build(&image("ghcr.io/x:1")).is_err()
    );
    assert!(rules("{builds: false}").check_build(&image("x")).unwrap_err().contains("`builds`"));
}

#[test]
fn ports_objects_placement_and_limits() {
    let some = rules(
        "{ports: [80, 8000-8009], networks: [proxy], secrets: ['web-*'], configs: [], volumes: ['shared-*'], resources: {limits: required}, \
         placement: {must: ['node.labels.tenant == web'], may: [node.labels.zone]}}",
    );
    let right = "services:\n  a:\n    image: x\n    ports: ['80:80', {target: 1, published: 8001}, '8000-8009:1-10/udp']\n    deploy:\n      \
        resources: {limits: {cpus: '0.5', memory: 64M}}\n      placement: {constraints: ['node.labels.tenant==web', 'Node.Labels.zone != a'], \
        preferences: [{spread: node.labels.zone}]}\nnetworks: {proxy: {external: true}}\nsecrets: {s: {external: true, name: web-key}, own: {file: x}}\n\
        volumes: {v: {external: true, name: shared-x}, own: }\nconfigs: {entrypoint: {external: true}}\n";
    assert_eq!(broken(&some, right), Vec::<String>::new());
    for (from, to, wanted) in [
        ("'80:80'", "'81:80'", "ports at services.a.ports"),
        ("'80:80'", "'80'", "ports at services.a.ports"),
        ("'80:80'", "80", "ports at services.a.ports"),
        ("'80:80'", "'127.0.0.1:443:80'", "ports at services.a.ports"),
        ("8000-8009:1-10", "8000-8010:1-11", "ports at services.a.ports"),
        ("proxy: {external: true}", "proxy: {external: true, name: other}", "networks at networks.proxy"),
        ("proxy: {external: true}", "db_net: {external: true}", "networks at networks.db_net"),
        ("proxy: {external: true}", "proxy: {external: {name: db}}", "networks at networks.proxy"),
        ("name: web-key", "name: db-key", "secrets at secrets.s"),
        ("entrypoint: {", "other: {", "configs at configs.other"),
        ("shared-x", "db_data", "volumes at volumes.v"),
        ("own: }", "own: {name: db_data}}", "volumes at volumes.own"),
        ("cpus: '0.5', ", "", "resources at services.a.deploy.resources.limits"),
        ("'0.5'", "'0'", "resources at services.a.deploy.resources.limits"),
        ("64M", "'0'", "resources at services.a.deploy.resources.limits"),
        ("tenant==web", "tenant==db", "placement.must at services.a.deploy.placement"),
        ("tenant==web", "tenant!=web", "placement.must at services.a.deploy.placement"),
        ("tenant==web", "Tenant==web", "placement.must at services.a.deploy.placement"),
        ("Node.Labels.zone", "node.role", "placement.may at services.a.deploy.placement"),
        ("spread: node.labels.zone", "spread: node.labels.x", "placement.may at services.a.deploy.placement"),
    ] {
        let compose = right.replacen(from, to, 1);
        assert_ne!(compose, right, "{from}");
        let found = broken(&some, &compose);
        assert!(found.contains(&wanted.to_owned()), "{to}: {found:?}");
    }
    let found = broken(&some, "services: {a: {image: x}}");
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(some.check_name(&StackName::known("web")).is_ok());
    assert!(
        rules("{stacks: ['web-*']}").check_name(&StackName::known("db")).unwrap_err().contains("`stacks`")
    );
    assert!(some.may_bind_in(Path::new("/srv")).is_err() && some.check_binding(Path::new("/srv/x")).is_err());
}
