//! What docker drops without a word, as one sentence for the author.
//!
//! In: the interpolated tree, and the variables that were set nowhere. Out: a sentence, or nothing where nothing is
//! lost. Which keys `docker stack deploy` takes and does not use: docker/cli `cli/compose/types`
//! (`UnsupportedProperties`, `DeprecatedProperties`) and `cli/compose/convert`, the same from 20.10 to 28.

use std::collections::BTreeSet;

use crate::yaml::{Kind, Node};

/// Keys of a service. `expose` is not among them: in a Swarm nothing is lost with it.
const KEYS: [&str; 18] = [
    "build",
    "cgroup_parent",
    "cgroupns_mode",
    "container_name",
    "depends_on",
    "devices",
    "domainname",
    "external_links",
    "ipc",
    "links",
    "mac_address",
    "network_mode",
    "pid",
    "privileged",
    "restart",
    "security_opt",
    "shm_size",
    "userns_mode",
];
/// Addresses that a service asks for in a network; its tasks get others.
const ADDRESSES: [&str; 2] = ["ipv4_address", "ipv6_address"];

/// So many names are told, each so long; the others are counted.
const TOLD: usize = 10;
const LONGEST: usize = 100;

/// What is lost of a file, in words.
pub fn note(effective: &Node, unset: &BTreeSet<String>) -> Option<String> {
    let parts: Vec<_> = [keys(effective), variables(unset)].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn keys(effective: &Node) -> Option<String> {
    let services = effective.get("services").map(|section| section.merged_pairs()).unwrap_or_default();
    let users = |ignores: &dyn Fn(&Node) -> bool| -> Vec<String> {
        let of = services.iter().filter(|(_, service)| ignores(service));
        of.filter_map(|(name, _)| Some(name.text()?.to_owned())).collect()
    };
    let of_services = KEYS.iter().map(|key| (*key, users(&|service| sets(service, key))));
    let of_networks = ADDRESSES.iter().map(|key| (*key, users(&|service| sets_in_a_network(service, key))));
    let lost: Vec<_> = of_services
        .chain(of_networks)
        .filter(|(_, users)| !users.is_empty())
        .map(|(key, users)| format!("`{key}` of {}", listed(users.iter().map(String::as_str), users.len())))
        .collect();
    (!lost.is_empty()).then(|| format!("`docker stack deploy` ignores {}", lost.join(", ")))
}

/// Whether the service would be another one if docker heeded `key`.
fn sets(service: &Node, key: &str) -> bool {
    let Some(value) = service.get(key) else { return false };
    let is_nothing = match &value.kind {
        Kind::Scalar { text, .. } => value.is_null() || text.is_empty(),
        Kind::Sequence(items) => items.is_empty(),
        Kind::Mapping(pairs) => pairs.is_empty(),
    };
    let is_off = key == "privileged" && value.as_bool() == Some(false);
    // Who also says it in the words of a Swarm has one file for two tools.
    let is_said = key == "restart"
        && service.get("deploy").is_some_and(|deploy| deploy.get("restart_policy").is_some());
    !is_nothing && !is_off && !is_said
}

fn sets_in_a_network(service: &Node, key: &str) -> bool {
    let networks = service.get("networks").map(|networks| networks.merged_pairs()).unwrap_or_default();
    networks.iter().any(|(_, network)| network.get(key).is_some_and(|address| !address.is_null()))
}

/// Which variables were wanted and have no value, in words.
pub fn variables(unset: &BTreeSet<String>) -> Option<String> {
    let names: Vec<_> = unset.iter().take(TOLD).map(|name| format!("${{{name}}}")).collect();
    let told = listed(names.iter().map(String::as_str), unset.len());
    match names.len() {
        0 => None,
        1 => Some(format!("{told} is set nowhere and becomes empty")),
        _ => Some(format!("{told} are set nowhere and become empty")),
    }
}

/// `a`, `b` and `c`; of very many the first, and how many more of `count` there are.
fn listed<'a>(names: impl Iterator<Item = &'a str>, count: usize) -> String {
    let short = |name: &str| -> String {
        match name.char_indices().nth(LONGEST) {
            Some((end, _)) => format!("`{}…`", &name[..end]),
            None => format!("`{name}`"),
        }
    };
    let mut told: Vec<_> = names.take(TOLD).map(short).collect();
    if count > told.len() {
        told.push(format!("{} more", count - told.len()));
    }
    match told.pop() {
        Some(last) if !told.is_empty() => format!("{} and {last}", told.join(", ")),
        last => last.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::parse;

    fn noted(text: &str, unset: &[&str]) -> Option<String> {
        note(&parse(text).unwrap().unwrap(), &unset.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn all_that_is_lost_is_one_sentence() {
        let text = "services:\n  app: {build: ., restart: always, depends_on: [db]}\n  db: {build: {context: .}}\n  \
                    web: {build: ., container_name: w, networks: {n1: {ipv4_address: 10.0.0.1}, n2: }}\n";
        assert_eq!(
            noted(text, &["TAG"]).unwrap(),
            "`docker stack deploy` ignores `build` of `app`, `db` and `web`, `container_name` of `web`, \
             `depends_on` of `app`, `restart` of `app`, `ipv4_address` of `web`; `${TAG}` is set nowhere and becomes \
             empty"
        );
        assert_eq!(
            noted("services: {}", &["A", "B"]).unwrap(),
            "`${A}` and `${B}` are set nowhere and become empty"
        );
    }

    #[test]
    fn what_loses_nothing_is_not_noted() {
        for service in [
            "image: a",
            "build: ",
            "links: []",
            "depends_on: {}",
            "privileged: false",
            "expose: ['80']",
            "restart: always, deploy: {restart_policy: {condition: any}}",
            "networks: {n: {aliases: [x]}}",
            "networks: [n]",
        ] {
            assert_eq!(noted(&format!("services: {{a: {{{service}}}}}"), &[]), None, "{service}");
        }
        for (service, key) in [
            ("privileged: true", "privileged"),
            ("restart: 'no'", "restart"),
            ("userns_mode: host", "userns_mode"),
        ] {
            let note = noted(&format!("services: {{a: {{{service}}}}}"), &[]);
            assert_eq!(note.unwrap(), format!("`docker stack deploy` ignores `{key}` of `a`"));
        }
        assert_eq!(noted("x-a: {build: .}\nservices: {a: {image: a}}", &[]), None);
    }

    #[test]
    fn very_many_are_counted_and_long_names_cut() {
        let services: Vec<_> = (0..1000).map(|n| format!("  s{n}: {{build: .}}\n")).collect();
        let note = noted(&format!("services:\n{}", services.concat()), &[]).unwrap();
        assert!(note.ends_with("`s9` and 990 more"), "{note}");
        let (long, names) = ("N".repeat(10_000), (10..99).map(|n| format!("V{n}")).collect::<Vec<_>>());
        let mut unset: Vec<_> = names.iter().map(String::as_str).collect();
        unset.push(&long);
        let note = noted("services: {}", &unset).unwrap();
        assert!(note.len() < 1500 && note.contains("and 80 more are set nowhere"), "{note}");
        assert!(note.contains(&format!("`${{{}…`", "N".repeat(98))), "{note}");
    }
}
