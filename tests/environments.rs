//! One folder, several stacks: each with its own variables, and compose files that docker merges.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_yaml::Value;
use tempfile::NamedTempFile;

use crate::fidelity;
use crate::support::dockerops::DockerOps;
use crate::support::fake_docker::FakeDocker;
use crate::support::lab::{Lab, docker_binaries, lab};
use crate::support::repo::Repo;
use crate::support::unique;

const COMPOSE: &str = "version: '3.8'\nservices:\n  app:\n    image: IMAGE\n    environment: {GREETING: '${GREETING}', FULL: '${FULL_NAME}'}\n    \
                       volumes: ['site:/site:ro']\n    configs: [conf]\n    deploy: {replicas: 1, update_config: {monitor: 1s}}\n\
                       configs: {conf: {file: conf.txt}}\n";

fn list(dev: &str, prod: &str) -> String {
    format!(
        "- {{name: {dev}, folder: ../../web, env: [../env/common.env, dev.env]}}\n\
         - name: {prod}\n  folder: ../../web\n  env: [../env/common.env, prod.env]\n  \
         compose: [docker-compose.yml, prod.yml]\n  depends_on: [{dev}]\n"
    )
}

fn environment(lab: &Lab, stack: &str) -> String {
    lab.spec(&format!("{stack}_app"), "json .Spec.TaskTemplate.ContainerSpec.Env")
}

#[test]
fn two_environments_of_one_folder_live_side_by_side() {
    let Some(lab) = lab() else { return };
    let Some(docker) = fidelity::docker_with_stack_config() else { return };
    let (repo, nfs) = (Repo::new(), tempfile::tempdir().unwrap());
    let ops = DockerOps::new(lab).with_docker(&docker);
    let (dev, prod, secret) = (ops.unique("dev"), ops.unique("prod"), unique("token"));
    let value = NamedTempFile::new().unwrap();
    fs::write(value.path(), "t0ken").unwrap();
    lab.docker(&["secret", "create", &secret, value.path().to_str().unwrap()]);
    repo.write("envs/all/stacks.yaml", list(&dev, &prod))
        .write("envs/all/volumes.yaml", "- {id: site, type: binding, path: site}\n")
        .write("envs/all/nfs.yaml", format!("path: {}\n", nfs.path().display()))
        .write("envs/all/site/index", "one")
        .write("env/common.env", "STACK=shop\nFULL_NAME=${STACK}_backend\nGREETING=common\n")
        .write("web/docker-compose.yml", COMPOSE.replace("IMAGE", &lab.image("app:1")))
        .write("web/prod.yml", "version: '3.8'\nservices: {app: {environment: {TIER: '${STACK}-1'}}}\n")
        .write("web/.env", "GREETING=never\nFULL_NAME=never\n")
        .write("web/dev.env", "GREETING=dev\n")
        .write("web/prod.env", "GREETING=\"prod of ${STACK}\"\n")
        .write("web/conf.txt", "one")
        .write("web/secrets.yaml", format!("- {{secret: {secret}, env: TOKEN}}\n"))
        .commit("Two environments");
    let source = format!("{}#main:envs/all", repo.url());
    ops.run(["watch", &source]).success().stdout_has("2 deployed");
    let wanted =
        |greeting: &str, more: &str| format!("[\"FULL=shop_backend\",\"GREETING={greeting}\"{more}]");
    assert_eq!(environment(lab, &dev), wanted("dev", ""));
    assert_eq!(environment(lab, &prod), wanted("prod of shop", ",\"TIER=shop-1\""));
    let configs = lab.docker(&["config", "ls", "--format", "{{.Name}}"]);
    for stack in [&dev, &prod] {
        for part in ["conf", "entrypoint-secrets-"] {
            let of_it = configs.lines().filter(|name| name.starts_with(&format!("{stack}_{part}")));
            assert_eq!(of_it.count(), 1, "{stack} {part}: {configs}");
        }
    }

    // A change of the variables of one is a change of that one alone.
    let (before, tasks) = (lab.specs(&dev), lab.tasks(&dev));
    repo.write("web/prod.env", "GREETING=two\n").commit("Greet otherwise");
    ops.run(["reconcile"])
        .success()
        .stdout_has("1 deployed, 1 unchanged")
        .stdout_has(&format!("deployed  {prod} "));
    assert_eq!(environment(lab, &prod), wanted("two", ",\"TIER=shop-1\""));
    assert_eq!((lab.specs(&dev), lab.tasks(&dev)), (before, tasks));
    ops.run(["reconcile"]).success().stdout_has("2 unchanged");

    // Of what both read, of both: what is mounted, and what is a config.
    let tasks = [&dev, &prod].map(|stack| lab.tasks(stack));
    repo.write("envs/all/site/index", "two").commit("Another site");
    ops.run(["reconcile"]).success().stdout_has("2 deployed");
    let after = [&dev, &prod].map(|stack| lab.tasks(stack));
    assert!(tasks[0] != after[0] && tasks[1] != after[1], "{tasks:?} {after:?}");
    assert_eq!(fs::read_to_string(nfs.path().join("site/index")).unwrap(), "two");
    repo.write("web/conf.txt", "two").commit("Another config");
    ops.run(["reconcile"]).success().stdout_has("2 deployed");

    // What is wrong with one stops that one alone, and a file that is missing is wrong.
    let before = lab.specs(&prod);
    repo.remove("web/prod.yml").write("web/dev.env", "GREETING=three\n").commit("Half of it");
    let outcome = ops.run(["reconcile"]);
    outcome.failure(3).stdout_has(&format!("deployed  {dev} "));
    outcome.stdout_has(&format!("envs/all/stacks.yaml:5: `{prod}.compose`: `prod.yml` does not exist"));
    assert_eq!(lab.specs(&prod), before);

    // One goes, and what both mount stays.
    repo.write("web/prod.yml", "version: '3.8'\nservices: {app: {environment: {TIER: '2'}}}\n");
    let list = list(&dev, &prod)
        .replace("dev.env]}", "dev.env], enabled: false}")
        .replace(&format!("  depends_on: [{dev}]\n"), "");
    repo.write("envs/all/stacks.yaml", list).commit("No more dev");
    ops.run(["reconcile"]).success().stdout_has(&format!("removed   {dev} "));
    assert!(lab.services(&dev).is_empty() && lab.services(&prod).len() == 1);
    assert!(nfs.path().join("site/index").exists());
    ops.run(["unwatch", &source]).success();
    lab.docker(&["secret", "rm", &secret]);
}

#[test]
fn a_docker_cli_that_cannot_merge_is_named_and_the_others_are_deployed() {
    let repo = Repo::new();
    repo.write("stacks.yaml", "- {name: merged, compose: [docker-compose.yml, over.yml]}\n- {name: plain, compose: [docker-compose.yml]}\n");
    for stack in ["merged", "plain"] {
        repo.write(&format!("{stack}/docker-compose.yml"), "version: '3.8'\nservices: {app: {image: app}}\n");
    }
    repo.write("merged/over.yml", "version: '3.8'\nservices: {app: {image: other}}\n").commit("One");
    let old = "unknown flag: --compose-file\nSee 'docker stack --help'.";
    let told =
        FakeDocker::of_an_empty_swarm().prints("--version", "Docker version 20.10.24, build 297e128\n");
    let mut dockers =
        vec![(told.fails("stack config", 125, old), "`Docker version 20.10.24, build 297e128`".to_owned())];
    let merges = fidelity::docker_with_stack_config();
    for real in docker_binaries().iter().filter(|docker| Some(*docker) != merges.as_ref()) {
        dockers.push((FakeDocker::before(real).with_an_empty_swarm(), "`Docker version ".into()));
    }
    for (fake, name) in dockers {
        let fake = fake.fails("stack deploy", 1, "no");
        let outcome = DockerOps::without_docker().with_fake(&fake).run(["watch", &repo.url()]);
        outcome.failure(3).stdout_has(&format!("`merged/docker-compose.yml`, `merged/over.yml`: {name}"));
        outcome.stdout_has("cannot merge compose files: it has no `docker stack config`");
        outcome.stdout_has("hint: Docker's CLI 23 can");
        let deploys = fake.calls_with("stack deploy");
        assert!(deploys.len() == 1 && deploys[0].ends_with(" plain"), "{deploys:?}");
        // One file alone is never merged.
        assert_eq!(fake.calls_with("stack config --compose-file").len(), 1);
    }
}

#[test]
fn what_docker_says_of_files_that_do_not_fit_is_told_and_values_are_not_left_behind() {
    let Some(real) = fidelity::docker_with_stack_config() else { return };
    let repo = Repo::new();
    for (stack, overlay) in [
        ("extends", "services: {app: {extends: {file: /etc/shadow, service: app}}}"),
        ("include", "include: [/etc/shadow]"),
        ("version", "version: '3.7'\nservices: {app: {image: x}}"),
    ] {
        let version = if overlay.starts_with("version") { "" } else { "version: '3.8'\n" };
        repo.write(
            &format!("{stack}/docker-compose.yml"),
            "version: '3.8'\nservices: {app: {image: app, environment: {A: '${A}'}}}\n",
        );
        repo.write(&format!("{stack}/over.yml"), format!("{version}{overlay}\n"));
    }
    let entry = |stack| format!("- {{name: {stack}, compose: [docker-compose.yml, over.yml]}}\n");
    repo.write("stacks.yaml", ["extends", "include", "version"].map(entry).concat()).commit("One");
    let fake = FakeDocker::before(&real).with_an_empty_swarm();
    // What lies there while docker reads it, and who may read it.
    let fake = fake.does("stack config", "stat -c '%a %n' \"$(dirname \"${@: -1}\")\" \"${@: -1}\" >>$folder/seen; grep -h hunter \"${@: -3:1}\" >>$folder/seen");
    let ops = DockerOps::without_docker().with_fake(&fake).env("A", "hunter2");
    let outcome = ops.run(["watch", &repo.url()]);
    outcome.failure(3);
    for words in [
        "Configuration contains forbidden",
        "(root) Additional property include is not",
        "version mismatched",
    ] {
        outcome.stdout_has(&format!("docker does not merge them: {words}"));
    }
    assert!(!outcome.to_string().contains("hunter2"));
    let seen = fs::read_to_string(fake.folder().join("../seen")).unwrap();
    assert_eq!(
        (seen.matches("700 /").count(), seen.matches("600 /").count(), seen.matches("hunter2").count()),
        (3, 3, 3),
        "{seen}"
    );
    for path in seen.lines().filter_map(|line| line.split_once(" /").map(|(_, path)| format!("/{path}"))) {
        assert!(!Path::new(&path).exists(), "{path}");
    }
}

#[test]
fn what_docker_does_not_take_is_told_of_the_file_that_has_it_with_line_and_key() {
    let Some(real) = fidelity::docker_with_stack_config() else { return };
    let fake = FakeDocker::before(&real).with_an_empty_swarm();
    let (validate, watch) = (DockerOps::without_docker().with_docker(&real), DockerOps::without_docker());
    let watch = watch.with_fake(&fake);
    let base = "version: '3.8'\nservices:\n  app:\n    image: app\n    environment:\n      A: '1'\n";
    let over = "version: '3.8'\nservices:\n  app:\n    hostname: h\n";
    for (base, over, told) in [
        (
            base,
            &*format!("{over}    colour: red\n"),
            "over.yml:5: `services.app.colour`: docker does not merge",
        ),
        // Both files have it.
        (
            base,
            &format!("{over}    environment: 5\n"),
            "over.yml:5: `services.app.environment`: docker does not",
        ),
        (
            &base.replace("\n      A: '1'", " 5"),
            &format!("{over}    environment: {{B: '2'}}\n"),
            "docker-compose.yml:5: `services.app.environment`: ",
        ),
        (
            base,
            &format!("{over}    ports:\n      - 80\n      - [81]\n"),
            "over.yml:7: `services.app.ports.1`: docker",
        ),
    ] {
        let repo = Repo::new();
        repo.write("stacks.yaml", "- {name: web, compose: [docker-compose.yml, over.yml]}\n");
        repo.write("web/docker-compose.yml", base).write("web/over.yml", over).commit("One");
        let told = format!("web/{told}");
        validate.run(["validate", &repo.path().display().to_string()]).failure(1).stdout_has(&told);
        watch.run(["watch", &repo.url()]).failure(3).stdout_has(&told);
        watch.run(["unwatch", &repo.url()]).success();
    }
}

/// What is merged, and what over it.
const PAIRS: [(&str, &[&str]); 8] = [
    (
        "services:\n  app:\n    image: a\n    environment: {A: '1', B: $FROM_DOTENV, N: , E: ''}\n    labels: [x=y, z=1]\n    ports: ['80:80', '9000-9001:9000-9001']\n    \
         command: echo $$HOME 'two words'\n    volumes: ['conf:/c:ro', 'data:/d:nocopy', '/abs:/e']\n    networks: [one]\n    \
         deploy: {replicas: 3, labels: {a: b}, resources: {limits: {cpus: '0.5', memory: 50M}}}\n\
         networks: {one: , two: {driver: overlay, attachable: true}}\nvolumes: {conf: , data: {driver: local, driver_opts: {o: x}}}\n",
        &[
            "services:\n  app:\n    environment: [A=2, 'C=$$x', FROM_BOTH]\n    labels: {x: \"2\"}\n    ports: [{target: 80, published: 8081, mode: host}]\n    \
           command: [run, '$$$$']\n    volumes: ['data:/c', {type: tmpfs, target: /t, tmpfs: {size: 1000}}]\n    networks: {two: {aliases: [x]}}\n    \
           deploy: {replicas: 0, labels: [c=d], placement: {constraints: [node.role == manager], max_replicas_per_node: 2}}\n  \
           new: {image: '${NONE:-b}:1', healthcheck: {test: a b, interval: 90s, retries: 3}}\n",
        ],
    ),
    (
        "services: {app: {image: a, configs: [c, {source: d, target: /d, mode: 0440}], secrets: [s]}}\n\
         configs: {c: {file: site.conf}, d: {file: ./site.conf, name: dd}}\nsecrets: {s: {file: token}, e: {external: true, name: his}}\n",
        &[
            "configs: {c: {file: ../shared/site.conf}, d: {file: site.conf, labels: {x: y}}, k: {file: site.conf, template_driver: golang}}\n\
           services: {app: {secrets: [{source: e, uid: '1', mode: 0400}], configs: [k]}}\n",
        ],
    ),
    (
        "services: {app: {image: a, env_file: app.env, environment: {X: base}}}\n",
        &["services: {app: {env_file: [app.env, ../shared/more.env], environment: [FROM_FILE]}}\n"],
    ),
    (
        "services: {app: {image: 'a:${TAG:-1}', deploy: {replicas: $NUMBER}, tty: $TRUE, configs: [{source: c, mode: $MODE}], ports: ['${PORT}:80']}}\n\
         configs: {c: {file: $FILE}}\n",
        &[
            "services: {app: {image: \"${FROM_BOTH}:${FROM_PROCESS}\", environment: {A: $AWKWARD, B: '$${A}'}, hostname: '${NONE}'}}\n",
        ],
    ),
    (
        "x-a: &a {labels: {x: y}, logging: {driver: json-file, options: {max-size: 1m}}}\nservices: {app: {image: a, <<: *a, stop_grace_period: 1m30s}}\n",
        &[
            "x-b: &b {ulimits: {nofile: {soft: 1, hard: 2}, nproc: 3}, sysctls: [a.b=1]}\nx-c: {n: 0440, f: 1e3, y: yes}\nservices: {app: {<<: *b, init: true}}\n",
        ],
    ),
    (
        "services: {app: {image: a, extra_hosts: ['h:1.2.3.4'], dns: 1.1.1.1, cap_add: [ALL], tmpfs: /t, healthcheck: {test: [CMD, x]}}}\n",
        &[
            "services: {app: {extra_hosts: {g: 1.2.3.5}, dns: [8.8.8.8], healthcheck: {disable: true}}}\n",
            "networks: {default: {driver_opts: {encrypted: ''}}}\nservices: {app: {read_only: true, user: '0', working_dir: \"/\\u00e9\"}}\n",
        ],
    ),
    (
        "services: {app: {image: a}}\n",
        &["networks: {n: {external: true}}\n", "services: {app: {networks: [n]}}\n"],
    ),
    (
        "services: {job: {image: a, command: \"\", entrypoint: [], deploy: {mode: replicated-job, restart_policy: {condition: none, delay: 5s}}}}\n",
        &[
            "services: {job: {environment: {D: '2001-12-14', Y: 'yes', T: \"a\\tb\\n\"}, deploy: {update_config: {order: start-first, failure_action: rollback, parallelism: 0}}}}\n",
        ],
    ),
];

/// Of the pairs, and of every file of the corpus over itself, what docker is given means to it what the author's own files
/// mean when they are merged.
#[test]
fn what_is_merged_is_what_docker_makes_of_the_authors_files() {
    let Some(real) = fidelity::docker_with_stack_config() else { return };
    let mut files: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for (name, text) in fidelity::corpus() {
        // docker writes a quoted `<<` without its quotes: what comes of it is refused.
        if !name.starts_with("refused-") && name != "merge-key-quoted" {
            files.insert(name, vec![text.clone(), text]);
        }
    }
    for (index, (base, overlays)) in PAIRS.iter().enumerate() {
        let all = [base].into_iter().chain(*overlays);
        files.insert(
            format!("pair-{index}"),
            all.map(|text| format!("version: '3.12'\n{text}").into()).collect(),
        );
    }
    let repo = fidelity::repo_of(&files.iter().map(|(name, all)| (name.clone(), all[0].clone())).collect());
    let mut listed = String::new();
    for (name, all) in &files {
        let overlays = (1..all.len()).map(|number| format!("over{number}.yml"));
        for (text, file) in all[1..].iter().zip(overlays.clone()) {
            repo.write(&format!("{name}/{file}"), text);
        }
        let overlays: Vec<_> = overlays.collect();
        listed += &format!("- {{name: {name}, compose: [docker-compose.yml, {}]}}\n", overlays.join(", "));
    }
    repo.write("shared/more.env", "X=file\nZ=$x\nFROM_BOTH\n").write("stacks.yaml", listed).commit("Merged");
    let rule = fidelity::config(&real, &repo);
    let rule = rule.replace("-c docker-compose.yml", "-c docker-compose.yml $(printf -- '-c %s ' over*.yml)");
    let fake = FakeDocker::before(&real).with_an_empty_swarm().does("stack deploy", &rule);
    let outcome = fidelity::ops(&fake).limit(300).run(["watch", &repo.url()]);
    outcome.failure(3);
    let mut faults = Vec::new();
    for name in files.keys() {
        let kept = |what: &str| fs::read_to_string(fake.folder().join(format!("../{name}.{what}")));
        let copies = fake.folder().join(format!("../{name}.copies"));
        let fault = match (kept("ours"), kept("authors")) {
            (Ok(ours), Ok(authors)) => {
                fidelity::differs(name, &ours, &without_doubles(&authors), &copies).err()
            }
            _ => Some(format!("{:?} {:?}", kept("ours-error"), kept("authors-error"))),
        };
        faults.extend(fault.map(|fault| format!("{name}: {fault}")));
    }
    assert!(faults.is_empty(), "{} of {}:\n{}\n{outcome}", faults.len(), files.len(), faults.join("\n\n"));
}

/// docker appends some lists, and reads none of them with something twice in it.
fn without_doubles(authors: &str) -> String {
    let mut authors: Value = serde_yaml::from_str(authors).unwrap();
    let services = authors["services"].as_mapping_mut().unwrap();
    for service in services.values_mut().filter_map(Value::as_mapping_mut) {
        let is_appended = |key: &str| !["command", "entrypoint", "configs", "secrets"].contains(&key);
        for (_, list) in service.iter_mut().filter(|(key, _)| is_appended(key.as_str().unwrap())) {
            let Some(items) = list.as_sequence_mut() else { continue };
            let all = std::mem::take(items);
            for item in all {
                if !items.contains(&item) {
                    items.push(item);
                }
            }
        }
    }
    serde_yaml::to_string(&authors).unwrap()
}
