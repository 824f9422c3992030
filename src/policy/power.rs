//! Keys that give power over a node. What is not known to give none is refused.

use super::check::Finder;
use super::{Privileges, Rules};
use crate::yaml::{Kind, Node};

/// Keys that give none: `*` stands for any name, `[]` for the items of a list, `**` for all that lies below.
const HARMLESS: &[&str] = &[
    "version",
    "name",
    "services.*.build.**",
    "services.*.cap_drop.**",
    "services.*.command.**",
    "services.*.configs.**",
    "services.*.container_name",
    "services.*.depends_on.**",
    "services.*.deploy.endpoint_mode",
    "services.*.deploy.labels.**",
    "services.*.deploy.mode",
    "services.*.deploy.placement.**",
    "services.*.deploy.replicas",
    "services.*.deploy.resources.limits.cpus",
    "services.*.deploy.resources.limits.memory",
    "services.*.deploy.resources.limits.pids",
    "services.*.deploy.resources.reservations.cpus",
    "services.*.deploy.resources.reservations.generic_resources.**",
    "services.*.deploy.resources.reservations.memory",
    "services.*.deploy.restart_policy.**",
    "services.*.deploy.rollback_config.**",
    "services.*.deploy.update_config.**",
    "services.*.dns.**",
    "services.*.dns_search.**",
    "services.*.domainname",
    "services.*.entrypoint.**",
    "services.*.env_file.**",
    "services.*.environment.**",
    "services.*.expose.**",
    "services.*.external_links.**",
    "services.*.extra_hosts.**",
    "services.*.healthcheck.**",
    "services.*.hostname",
    "services.*.image",
    "services.*.init",
    "services.*.labels.**",
    "services.*.links.**",
    "services.*.logging.driver",
    "services.*.logging.options.cache-compress",
    "services.*.logging.options.cache-disabled",
    "services.*.logging.options.cache-max-file",
    "services.*.logging.options.cache-max-size",
    "services.*.logging.options.compress",
    "services.*.logging.options.env",
    "services.*.logging.options.env-regex",
    "services.*.logging.options.labels",
    "services.*.logging.options.labels-regex",
    "services.*.logging.options.max-buffer-size",
    "services.*.logging.options.max-file",
    "services.*.logging.options.max-size",
    "services.*.logging.options.mode",
    "services.*.logging.options.tag",
    "services.*.networks",
    "services.*.networks.[]",
    "services.*.networks.*.aliases.**",
    "services.*.networks.*.ipv4_address",
    "services.*.networks.*.ipv6_address",
    "services.*.ports.**",
    "services.*.read_only",
    "services.*.restart",
    "services.*.secrets.**",
    "services.*.shm_size",
    "services.*.stdin_open",
    "services.*.stop_grace_period",
    "services.*.stop_signal",
    "services.*.tmpfs.**",
    "services.*.tty",
    "services.*.ulimits.**",
    "services.*.user",
    "services.*.volumes.[]",
    "services.*.volumes.[].bind.propagation",
    "services.*.volumes.[].consistency",
    "services.*.volumes.[].read_only",
    "services.*.volumes.[].source",
    "services.*.volumes.[].target",
    "services.*.volumes.[].tmpfs.mode",
    "services.*.volumes.[].tmpfs.size",
    "services.*.volumes.[].type",
    "services.*.volumes.[].volume.nocopy",
    "services.*.volumes.[].volume.subpath",
    "services.*.working_dir",
    "networks.*.attachable",
    "networks.*.driver",
    "networks.*.driver_opts.com.docker.network.driver.mtu",
    "networks.*.driver_opts.encrypted",
    "networks.*.external.**",
    "networks.*.internal",
    "networks.*.ipam.config.**",
    "networks.*.ipam.driver",
    "networks.*.labels.**",
    "networks.*.name",
    "volumes.*.driver",
    "volumes.*.driver_opts.**",
    "volumes.*.external.**",
    "volumes.*.labels.**",
    "volumes.*.name",
    "secrets.*.external.**",
    "secrets.*.file",
    "secrets.*.labels.**",
    "secrets.*.name",
    "secrets.*.template_driver",
    "configs.*.external.**",
    "configs.*.file",
    "configs.*.labels.**",
    "configs.*.name",
    "configs.*.template_driver",
];

/// All that these have is named by people.
const SECTIONS: [&str; 5] = ["services", "networks", "volumes", "secrets", "configs"];

/// Of these keys some values give none.
const HARMLESS_VALUES: &[(&str, &[&str])] = &[
    ("services.*.cgroupns_mode", &["private"]),
    ("services.*.ipc", &["none", "private", "shareable"]),
    ("services.*.network_mode", &["bridge", "default", "none"]),
    ("services.*.pid", &["none"]),
    (
        "services.*.security_opt.[]",
        &["no-new-privileges", "no-new-privileges:true", "no-new-privileges=true"],
    ),
];

/// Of these keys, which are harmless by themselves, only these values are.
const VALUES_OF: &[(&str, &[&str])] = &[
    ("services.*.logging.driver", &["json-file", "local", "journald", "none"]),
    ("networks.*.driver", &["overlay"]),
    ("networks.*.ipam.driver", &["default"]),
    ("volumes.*.driver", &["local"]),
    ("configs.*.template_driver", &["golang"]),
    ("secrets.*.template_driver", &["golang"]),
];

/// Notes every key that gives power over a node and may not be used.
pub fn check(tree: &Node, rules: &Rules, finder: &mut Finder<'_>) {
    if rules.privileges != Privileges::All {
        walk(tree, 0, &mut Vec::new(), rules, finder);
    }
}

fn walk(node: &Node, line: usize, path: &mut Vec<String>, rules: &Rules, finder: &mut Finder<'_>) {
    if is_free(path) || is_nothing(node) {
        return;
    }
    let line = if node.line > 0 { node.line } else { line };
    match &node.kind {
        Kind::Mapping(_) if can_lead_on(path) => {
            for (key, value) in node.merged_pairs() {
                let Some(word) = key.text() else {
                    add(path, key.line, "has a key that is no name", finder);
                    continue;
                };
                // What people name as they like is neither, however it is called.
                let is_free = !has_names(path) && (is_extension(word, path) || rules.privileges.holds(word));
                if !is_free {
                    path.push(word.to_owned());
                    walk(&value, if key.line > 0 { key.line } else { line }, path, rules, finder);
                    path.pop();
                }
            }
        }
        Kind::Sequence(items) => {
            path.push("[]".into());
            let is_list = is_known(path) || has_values(path) || can_lead_on(path);
            for item in items.iter().filter(|_| is_list) {
                walk(item, line, path, rules, finder);
            }
            path.pop();
            if !is_list {
                refuse(node, line, path, finder);
            }
        }
        Kind::Scalar { text, .. } if is_harmless(text, path) => {}
        _ => refuse(node, line, path, finder),
    }
}

/// Whether the keys at `path` are names: of services, say.
fn has_names(path: &[String]) -> bool {
    path.len() == 1 && SECTIONS.contains(&&*path[0])
        || HARMLESS.iter().any(|pattern| fits(pattern, path) && parts(pattern).nth(path.len()) == Some("*"))
}

/// What docker reads nothing of; that one it does.
fn is_extension(key: &str, path: &[String]) -> bool {
    key.starts_with("x-") && key != "x-cluster-spec" && path.iter().all(|part| part != "driver_opts")
}

fn is_harmless(text: &str, path: &[String]) -> bool {
    let of = |known: &[(&str, &[&str])]| {
        let of_it = known.iter().find(|(pattern, _)| matches(pattern, path));
        of_it.map(|(_, values)| values.contains(&text))
    };
    of(VALUES_OF).unwrap_or_else(|| is_known(path) || of(HARMLESS_VALUES) == Some(true))
}

fn refuse(node: &Node, line: usize, path: &[String], finder: &mut Finder<'_>) {
    let key = path.iter().rev().find(|part| *part != "[]").map_or("", |key| key);
    let what = match node.text() {
        Some(text) => format!("`{key}: {}` gives power over a node", crate::plain::name(text)),
        None => format!("`{key}` gives power over a node"),
    };
    add(path, line, &what, finder);
}

fn add(path: &[String], line: usize, what: &str, finder: &mut Finder<'_>) {
    let path: Vec<_> = path.iter().map(String::as_str).filter(|part| *part != "[]").collect();
    finder.add(&path, line, "privileges", what);
}

/// `false`, an empty list, or nothing: what docker does without the key.
fn is_nothing(node: &Node) -> bool {
    node.is_null()
        || node.as_bool() == Some(false)
        || node.items().is_some_and(<[_]>::is_empty)
        || node.pairs().is_some_and(<[_]>::is_empty)
}

/// Whether all that lies at and below `path` is harmless.
fn is_free(path: &[String]) -> bool {
    HARMLESS.iter().any(|pattern| pattern.strip_suffix(".**").is_some_and(|free| matches(free, path)))
}

fn has_values(path: &[String]) -> bool {
    HARMLESS_VALUES.iter().any(|(pattern, _)| matches(pattern, path))
}

fn is_known(path: &[String]) -> bool {
    is_free(path) || HARMLESS.iter().any(|pattern| matches(pattern, path))
}

/// Whether something that lies deeper is harmless.
fn can_lead_on(path: &[String]) -> bool {
    let all = HARMLESS.iter().copied().chain(HARMLESS_VALUES.iter().map(|(pattern, _)| *pattern));
    path.is_empty() || all.into_iter().any(|pattern| leads_to(pattern, path))
}

fn matches(pattern: &str, path: &[String]) -> bool {
    parts(pattern).count() == path.len() && fits(pattern, path)
}

fn leads_to(pattern: &str, path: &[String]) -> bool {
    parts(pattern).count() > path.len() && fits(pattern, path)
}

fn fits(pattern: &str, path: &[String]) -> bool {
    // A `*` stands for a name, never for the items of a list.
    parts(pattern).zip(path).all(|(wanted, part)| wanted == part || (wanted == "*" && part != "[]"))
}

/// Options of a driver have dots in their names.
fn parts(pattern: &str) -> impl Iterator<Item = &str> {
    let (head, option) = match pattern.split_once("driver_opts.") {
        Some((_, "**")) | None => (pattern, None),
        Some((_, option)) => (&pattern[..pattern.len() - option.len() - 1], Some(option)),
    };
    head.split('.').chain(option)
}

/// Notes a service whose tasks may take all that a node has.
pub fn limits(service: &Node, line: usize, finder: &mut Finder<'_>) {
    let resources = service.get("deploy").and_then(|deploy| deploy.get("resources"));
    let limits = resources.and_then(|resources| resources.get("limits"));
    for (key, is_one, such) in [("cpus", is_cpus as fn(&str) -> bool, "0.5"), ("memory", is_memory, "256M")] {
        let value = limits.as_ref().and_then(|limits| limits.get(key));
        if !value.as_ref().is_some_and(|value| value.text().is_some_and(is_one)) {
            let line = value.map_or(line, |value| value.line);
            let what = format!("needs a limit: `deploy.resources.limits.{key}`, `{such}` say");
            finder.add(&["deploy", "resources", "limits"], line, "resources", &what);
        }
    }
}

/// A number as people write it, above nothing. docker takes fractions and exponents too, and what comes to nothing is no
/// limit to it.
fn is_cpus(text: &str) -> bool {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    digits && text.parse::<f64>().is_ok_and(|cpus| cpus >= 0.001)
}

/// A size as docker reads it (`units.RAMInBytes`), of at least a byte.
fn is_memory(text: &str) -> bool {
    let is_of_number = |c: char| c.is_ascii_digit() || c == '.';
    let end = text.find(|c| !is_of_number(c)).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim_start_matches(' ').to_ascii_lowercase();
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    let unit = unit.strip_suffix('i').unwrap_or(unit);
    let bytes = match unit {
        "" => 1.0,
        "k" | "m" | "g" | "t" | "p" => 1024.0,
        _ => return false,
    };
    number.parse::<f64>().is_ok_and(|number| number * bytes >= 1.0)
}
