//! Ways around a rule that hostile repositories found, each in a stack that docker takes.

use super::{broken, rules, service};
use crate::image::ImageRef;

/// The stack breaks `rule`, at `key`.
#[track_caller]
fn caught(of: &str, compose: &str, wanted: &str) {
    let found = broken(&rules(of), compose);
    assert!(found.iter().any(|it| it == wanted), "{of}\n{compose}\n{found:?}");
}

#[test]
fn what_people_name_as_they_like_is_no_extension_and_no_key() {
    for (compose, wanted) in [
        ("services: {x-a: {image: x, cap_add: [ALL]}}", "privileges at services.x-a.cap_add"),
        (
            "services: {a: {image: x}}\nnetworks: {x-n: {driver: macvlan}}",
            "privileges at networks.x-n.driver",
        ),
        ("services: {a: {image: x}}\nvolumes: {x-v: {driver: rclone}}", "privileges at volumes.x-v.driver"),
        ("services: {a: {image: x}}\nsecrets: {x-s: {driver: vault}}", "privileges at secrets.x-s.driver"),
        (
            "services: {a: {image: x, networks: {x-n: {driver_opts: {a: b}}}}}",
            "privileges at services.a.networks.x-n.driver_opts",
        ),
    ] {
        caught("{}", compose, wanted);
    }
    for (compose, wanted) in [
        ("services: {sysctls: {image: x, devices: [/dev/kvm]}}", "privileges at services.sysctls.devices"),
        (
            "services: {a: {image: x}}\nnetworks: {cap_add: {driver: macvlan}}",
            "privileges at networks.cap_add.driver",
        ),
    ] {
        caught("{privileges: [sysctls, cap_add]}", compose, wanted);
    }
}

#[test]
fn an_empty_name_is_the_key() {
    for entry in ["{external: true, name: ''}", "{external: {name: ''}}", "{external: {name: ''}, name: ''}"]
    {
        caught(
            "{}",
            &format!("services: {{a: {{image: x}}}}\nnetworks: {{host: {entry}}}"),
            "privileges at networks.host",
        );
        let secrets = format!("services: {{a: {{image: x}}}}\nsecrets: {{key: {entry}}}");
        caught("{secrets: ['']}", &secrets, "secrets at secrets.key");
    }
}

#[test]
fn what_docker_could_take_for_an_id_is_to_be_found_by_its_name() {
    let tree = |text: &str| crate::yaml::parse(text).unwrap().unwrap();
    let networks = tree(
        "networks: {a: {external: true, name: v}, proxy: {external: true}, Web: {external: true}, web_net: {external: true}, own: {}}",
    );
    assert_eq!(rules("{}").networks_to_find(&networks), ["v", "proxy"]);
    assert_eq!(rules("{privileges: true, networks: [v]}").networks_to_find(&networks), ["v", "proxy"]);
    assert!(rules("{privileges: true}").networks_to_find(&networks).is_empty());
}

#[test]
fn a_limit_that_comes_to_nothing_is_none() {
    let limits = |cpus: &str, memory: &str| {
        service(&format!("deploy: {{resources: {{limits: {{cpus: '{cpus}', memory: '{memory}'}}}}}}"))
    };
    for (cpus, memory) in [
        ("0e1", "64M"),
        ("0/1", "64M"),
        ("0x0p1", "64M"),
        ("0.0", "64M"),
        ("1e-9", "64M"),
        ("+0", "64M"),
        (".", "64M"),
        ("inf", "64M"),
        ("1", "0.1b"),
        ("1", "0"),
        ("1", "0g"),
        ("1", "0.0001k"),
        ("1", "b"),
        ("1", "64X"),
        ("1", ""),
    ] {
        caught(
            "{resources: {limits: required}}",
            &limits(cpus, memory),
            "resources at services.a.deploy.resources.limits",
        );
    }
    for (cpus, memory) in
        [("0.5", "64M"), ("2", "1.5g"), (".25", "512 MiB"), ("1.0", "67108864"), ("1", "1GB")]
    {
        let found = broken(&rules("{resources: {limits: required}}"), &limits(cpus, memory));
        assert_eq!(found, Vec::<String>::new(), "{cpus} {memory}");
    }
}

#[test]
fn a_mount_is_read_as_docker_and_swarm_read_it() {
    let some = "{mounts: ['/srv/apps/*', '/srv/ro:ro', 'nfs://10.0.0.5/export/*', 'cifs://nas/*']}";
    for lines in [
        "volumes: ['/srv/apps/{{index .Service.Labels \"p\"}}:/x']",
        "volumes: ['/srv/apps/a:/{{.Node.Hostname}}']",
        "volumes: ['data{{.Task.Slot}}:/x']",
        "volumes: [{type: bind, source: '/srv/apps/{{\"..\"}}', target: /x}]",
        "volumes: [{type: volume, source: data, target: /x, volume: {subpath: '{{.Node.Hostname}}'}}]",
        "volumes: ['/srv/apps/.dockerops-kept:/x']",
        "volumes: ['/srv/ro:/x:ro,rw']",
        "volumes: ['/srv/ro:/x:rw,ro']",
    ] {
        caught(some, &service(lines), "mounts at services.a.volumes");
    }
    for (lines, key) in [
        (
            "volumes: [{type: bind, source: /srv/apps/a, target: /x, bind: {Propagation: rshared}}]",
            "volumes.bind.Propagation",
        ),
        ("volumes: [{type: volume, source: a, target: /x, volume: {odd: 1}}]", "volumes.volume.odd"),
        ("volumes: [{type: tmpfs, target: /x, tmpfs: {options: [exec]}}]", "volumes.tmpfs.options"),
    ] {
        caught(some, &service(lines), &format!("privileges at services.a.{key}"));
    }
    for options in [
        "{type: none, o: 'bind,ro,rw', device: /srv/ro}",
        "{type: none, o: bind, device: '/srv/apps/{{.Node.Hostname}}'}",
        "{type: tmpfs, device: tmpfs, o: 'remount,rshared'}",
        "{type: nfs, o: 'addr=10.0.0.5,addr=6.6.6.6', device: ':/export/a'}",
        "{type: nfs, o: 'addr=10.0.0.5,mountaddr=6.6.6.6', device: ':/export/a'}",
        "{type: cifs, o: 'ip=6.6.6.6', device: '//nas/a'}",
    ] {
        let compose =
            format!("services: {{a: {{image: x}}}}\nvolumes: {{data: {{driver_opts: {options}}}}}\n");
        let found = broken(&rules(some), &compose);
        assert!(found.iter().any(|it| it.starts_with("mounts at volumes.data")), "{options}: {found:?}");
    }
    let named = "services: {a: {image: x}}\nvolumes: {data: {name: 'a{{.Task.Slot}}'}}\n";
    caught(some, named, "mounts at volumes.data");
    let tame = "services: {a: {image: x}}\nvolumes: {data: {driver_opts: {type: tmpfs, device: tmpfs, o: 'size=1m,uid=5,noexec'}}}\n";
    assert_eq!(broken(&rules(some), tame), Vec::<String>::new());
}

#[test]
fn a_binding_is_written_to_what_may_be_written_alone() {
    let some = rules("{mounts: ['/srv/ro:ro', /srv/rw]}");
    let check = |path: &str| some.check_binding(std::path::Path::new(path));
    assert!(check("/srv/rw").is_ok());
    assert!(check("/srv/ro").unwrap_err().contains("a binding is written"), "{:?}", check("/srv/ro"));
    assert!(check("/srv/other").unwrap_err().contains("is no path that may be mounted"));
}

#[test]
fn an_image_by_its_id_is_no_image_of_a_registry() {
    let id = "a".repeat(64);
    for image in [format!("sha256:{id}"), format!("library/sha256:{id}"), id.clone()] {
        caught(
            "{images: ['docker.io/library/*']}",
            &format!("services: {{a: {{image: '{image}'}}}}"),
            "images at services.a.image",
        );
    }
    let some = rules("{images: ['docker.io/library/*']}");
    assert!(some.check_build(&ImageRef::parse(&format!("sha256:{id}")).unwrap()).is_err());
}

#[test]
fn what_goes_to_another_driver_than_docker_s_own_is_refused() {
    caught(
        "{}",
        &service("logging: {options: {gelf-address: 'udp://6.6.6.6'}}"),
        "privileges at services.a.logging.options.gelf-address",
    );
    caught(
        "{}",
        "services: {a: {image: x}}\nnetworks: {n: {ipam: {driver: evil}}}",
        "privileges at networks.n.ipam.driver",
    );
    let tame = "services: {a: {image: x, logging: {options: {max-size: 1m, max-file: '3', tag: t}}}}\n\
        networks: {n: {ipam: {driver: default, config: [{subnet: 10.9.0.0/24}]}}}\n";
    assert_eq!(broken(&rules("{}"), tame), Vec::<String>::new());
}
