//! Each rule broken in spellings that docker takes, on both docker CLIs: refused under the policy; and given to docker
//! without one, so that each is seen to be a way to that power.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use super::policy;
use crate::support::dockerops::DockerOps;
use crate::support::lab::{Lab, docker_binaries, lab, on_every_docker};
use crate::support::repo::Repo;
use crate::support::scene::{Scene, compose};
use crate::support::unique;

/// A way to break a rule.
struct Way {
    rule: &'static str,
    /// What the service is called.
    name: &'static str,
    /// Keys of the service, in flow style; `LIMITS` stands for those that the policy wants.
    service: &'static str,
    /// Keys beside `services`.
    beside: &'static str,
    /// What the service then has, in what docker tells of it.
    proof: &'static str,
}

const fn way(rule: &'static str, service: &'static str, proof: &'static str) -> Way {
    Way { rule, name: "app", service, beside: "", proof }
}

/// The next that nothing publishes; other runs begin elsewhere.
static PORTS: AtomicU32 = AtomicU32::new(15_000);
const LIMITS: &str = "deploy: {replicas: 0, resources: {limits: {cpus: '0.5', memory: 64M}}}";
const RULES: &str = "{images: [IMAGES], ports: [], networks: [], secrets: [], configs: [], volumes: [], \
    resources: {limits: required}, placement: {may: [node.role]}, variables: [APP_*]}";

const WAYS: [Way; 31] = [
    way("mounts", "LIMITS, volumes: ['/etc:/host']", r#""Source":"/etc""#),
    way("mounts", "LIMITS, volumes: [{type: bind, source: /etc/, target: /host}]", r#""Source":"/etc"#),
    way("mounts", "LIMITS, volumes: ['${AT}:/host:ro']", r#""Source":"/etc""#),
    way("mounts", "LIMITS, volumes: ['/srv/../etc:/host']", r#"/etc""#),
    Way {
        beside: "volumes: {vol: {driver_opts: {type: none, o: bind, device: /etc}}}",
        ..way("mounts", "LIMITS, volumes: ['vol:/host']", r#""device":"/etc""#)
    },
    Way {
        beside: "x-all: &all {volumes: ['/etc:/host']}",
        ..way("mounts", "LIMITS, <<: *all", r#""Source":"/etc""#)
    },
    way("privileges", "LIMITS, cap_add: [SYS_ADMIN]", r#""CAP_SYS_ADMIN""#),
    Way {
        beside: "x-caps: &caps [SYS_ADMIN]",
        ..way("privileges", "LIMITS, cap_add: *caps", r#""CAP_SYS_ADMIN""#)
    },
    Way { name: "x-app", ..way("privileges", "LIMITS, cap_add: [SYS_ADMIN]", r#""CAP_SYS_ADMIN""#) },
    Way {
        beside: "networks: {host: {external: true, name: ''}}",
        ..way("privileges", "LIMITS, networks: [host]", r#""Networks":[{"#)
    },
    way("privileges", "LIMITS, sysctls: {net.core.somaxconn: 1024}", r#""net.core.somaxconn":"1024""#),
    way("privileges", "LIMITS, sysctls: ['net.core.somaxconn=1024']", r#""net.core.somaxconn":"1024""#),
    way("privileges", "LIMITS, logging: {driver: syslog}", r#""Name":"syslog""#),
    way("ports", "LIMITS, ports: ['PORT:80']", r#""PublishedPort":"#),
    way("ports", "LIMITS, ports: [{target: 80, published: PORT, mode: host}]", r#""PublishMode":"host""#),
    way("ports", "LIMITS, ports: ['${PORT}:80/udp']", r#""Protocol":"udp""#),
    Way {
        beside: "networks: {net: {external: true, name: OTHER}}",
        ..way("networks", "LIMITS, networks: [net]", r#""Networks":[{"#)
    },
    Way {
        beside: "networks: {default: {external: {name: OTHER}}}",
        ..way("networks", "LIMITS", r#""Networks":[{"#)
    },
    Way {
        beside: "secrets: {s: {external: true, name: OTHER}}",
        ..way("secrets", "LIMITS, secrets: [{source: s, target: x}]", r#""SecretName":"OTHER""#)
    },
    Way {
        beside: "secrets: {OTHER: {external: true}}",
        ..way("secrets", "LIMITS, secrets: [OTHER]", r#""SecretName":"OTHER""#)
    },
    Way {
        beside: "configs: {c: {external: {name: OTHER}}}",
        ..way("configs", "LIMITS, configs: [c]", r#""ConfigName":"OTHER""#)
    },
    Way {
        beside: "volumes: {vol: {name: OTHER}}",
        ..way("volumes", "LIMITS, volumes: ['vol:/x']", r#""Source":"OTHER""#)
    },
    way(
        "placement.may",
        "deploy: {replicas: 0, placement: {constraints: ['node.labels.x==1']}, resources: {limits: {cpus: '0.5', memory: 64M}}}",
        "node.labels.x==1",
    ),
    way(
        "placement.may",
        "deploy: {replicas: 0, placement: {preferences: [{spread: node.labels.x}]}, resources: {limits: {cpus: '0.5', memory: 64M}}}",
        r#""SpreadDescriptor":"node.labels.x""#,
    ),
    way(
        "resources",
        "deploy: {replicas: 0, resources: {limits: {cpus: '0', memory: 64M}}}",
        r#""MemoryBytes":67108864"#,
    ),
    way(
        "resources",
        "deploy: {replicas: 0, resources: {limits: {cpus: '0e1', memory: 64M}}}",
        r#""Limits":{"MemoryBytes":67108864}"#,
    ),
    way(
        "resources",
        "deploy: {replicas: 0, resources: {limits: {cpus: '0.5', memory: '0.1b'}}}",
        r#""Limits":{"NanoCPUs":500000000}"#,
    ),
    way("variables", "LIMITS, environment: {TOKEN: ''}", r#""TOKEN=password""#),
    way("variables", "LIMITS, environment: ['TOKEN=']", r#""TOKEN=password""#),
    way("variables", "LIMITS, env_file: empty.env", r#""TOKEN=password""#),
    way("variables", "LIMITS, hostname: 'h${TOKEN}'", r#""Hostname":"hpassword""#),
];

#[test]
fn each_rule_is_kept_on_every_docker_and_each_way_to_break_it_is_one() {
    let Some(lab) = lab() else { return };
    assert!(docker_binaries().len() > 1, "one docker CLI alone: {:?}", docker_binaries());
    on_every_docker(|docker| held_and_free(lab, docker));
}

fn held_and_free(lab: &'static Lab, docker: &Path) {
    let other = unique("other");
    lab.docker(&["network", "create", "--driver", "overlay", &other]);
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "x").unwrap();
    for kind in ["secret", "config"] {
        lab.docker(&[kind, "create", &other, file.path().to_str().unwrap()]);
    }
    let image = lab.image("app:1");
    let (_folder, path) = policy(&RULES.replace("IMAGES", image.rsplit_once(':').unwrap().0));
    let ops = DockerOps::new(lab).with_docker(docker).env("TOKEN", "password").env("DOCKEROPS_POLICY", &path);
    let repo = Repo::new();
    let right = ops.unique("right");
    repo.stack(&right, &format!("version: '3.8'\nservices:\n  app: {{image: '{image}', {LIMITS}}}\n"));
    let filled = |text: &str| text.replace("LIMITS", LIMITS).replace("OTHER", &other);
    let names: Vec<_> = (0..WAYS.len()).map(|number| ops.unique(&format!("way{number}"))).collect();
    for (name, way) in names.iter().zip(&WAYS) {
        let text = format!(
            "version: '3.8'\n{}\nservices:\n  {}: {{image: '{image}', {}}}\n",
            filled(way.beside),
            way.name,
            filled(way.service)
        );
        let port = PORTS.fetch_add(1, Ordering::Relaxed) + std::process::id() % 300 * 100;
        repo.stack(name, &text.replace(" PORT", &format!(" {port}")).replace("'PORT", &format!("'{port}")));
        repo.write(&format!("{name}/.env"), format!("AT=/etc\nPORT={port}\n"));
        repo.write(&format!("{name}/empty.env"), "TOKEN=\n");
    }
    repo.commit("first");
    ops.run(["watch", &repo.url()]).failure(3).stdout_has("1 deployed");
    let services = || lab.docker(&["service", "ls", "--format", "{{.Name}}"]);
    let (there, status) = (services(), ops.run(["status", "--json"]).json());
    assert!(there.contains(&right), "{there}");
    let stacks = status["stacks"].as_array().unwrap();
    for (name, way) in names.iter().zip(&WAYS) {
        let stack = stacks.iter().find(|stack| stack["name"] == **name).unwrap();
        let error = stack["error"].as_str().unwrap_or_default();
        let by = match way.rule {
            "variables" => "which the policy does not let it read (`variables`)".to_owned(),
            rule => format!("forbidden by `{rule}` in {path}:2"),
        };
        assert!(error.contains(&by), "{} on {}: {error}", way.service, docker.display());
        assert!(!there.contains(name), "{} on {}", way.service, docker.display());
    }
    // Where nobody forbids it, docker takes it, and it is what it was refused for.
    let ops = ops.env_remove("DOCKEROPS_POLICY");
    ops.run(["reconcile"]).success().stdout_has(&format!("{} deployed", WAYS.len()));
    for (name, way) in names.iter().zip(&WAYS) {
        let spec = lab.docker(&[
            "service",
            "inspect",
            "--format",
            "{{json .Spec}}",
            &format!("{name}_{}", way.name),
        ]);
        assert!(spec.contains(&filled(way.proof)), "{} on {}: {spec}", way.service, docker.display());
    }
}

#[test]
fn a_network_is_found_by_its_name_and_not_by_its_id() {
    let Some(mut scene) = Scene::new() else { return };
    let (_folder, path) = policy("{networks: ['*'], privileges: false}");
    scene.ops = scene.ops.env("DOCKEROPS_POLICY", &path);
    let other = unique("other");
    let id = scene.lab.docker(&["network", "create", "--driver", "overlay", &other]);
    let joined = |name: &str| {
        let service = scene.off().with("networks: [joined]");
        format!("{}networks: {{joined: {{external: true, name: '{name}'}}}}\n", compose([("app", &service)]))
    };
    let web = scene.stack("web", &scene.off());
    scene.repo.stack(&web, &joined(&id[..9]));
    scene
        .watch()
        .failure(3)
        .stdout_has(&format!("no network is called `{}`, and docker would take", &id[..9]));
    assert!(scene.lab.services(&web).is_empty());
    let named = scene.lab.docker(&["network", "create", "--driver", "overlay", &id[..9]]);
    scene.repo.stack(&web, &joined(&id[..9])).commit("the same");
    scene.reconcile().success().stdout_has("1 deployed");
    assert!(scene.lab.spec(&format!("{web}_app"), ".Spec.TaskTemplate.Networks").contains(&named));
    scene.repo.stack(&web, &joined(&other)).commit("by its name");
    scene.reconcile().success();
    assert!(scene.lab.spec(&format!("{web}_app"), ".Spec.TaskTemplate.Networks").contains(&id));
}
