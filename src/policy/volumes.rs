//! What is mounted: paths of the nodes, volumes that are such paths or file systems of others, and volumes of others.

use super::Rules;
use super::check::Finder;
use super::networks::{entries, is_external, name_of};
use crate::yaml::Node;

/// Notes what a service mounts and may not.
pub fn check(service: &Node, rules: &Rules, finder: &mut Finder<'_>) {
    let Some(list) = service.get("volumes").filter(|list| !list.is_null()) else { return };
    let Some(items) = list.items() else {
        return finder.add(&["volumes"], list.line, "mounts", "is no list of volumes");
    };
    for item in items {
        let wrong = match item.text() {
            _ if holds_template(item) => Err(TEMPLATE.to_owned()),
            Some(text) => short(text, rules),
            None => long(item, rules),
        };
        if let Err(what) = wrong {
            let line = if item.line > 0 { item.line } else { list.line };
            finder.add(&["volumes"], line, "mounts", &what);
        }
    }
}

const TEMPLATE: &str = "holds a template (`{{`), and Swarm makes a path of it that nobody can tell";

/// Swarm expands templates in sources and targets, by the labels of the service, say.
fn holds_template(node: &Node) -> bool {
    match (node.text(), node.pairs()) {
        (Some(text), _) => text.contains("{{"),
        (None, Some(_)) => node.merged_pairs().iter().any(|(_, value)| holds_template(value)),
        (None, None) => node.items().unwrap_or_default().iter().any(|item| holds_template(item)),
    }
}

/// Of several such words the last counts.
fn is_read_only<'a>(mut words: impl Iterator<Item = &'a str> + Clone) -> bool {
    words.clone().any(|word| word == "ro") && words.all(|word| word != "rw")
}

/// `[source:]target[:options]`
fn short(text: &str, rules: &Rules) -> Result<(), String> {
    let parts: Vec<_> = text.split(':').collect();
    let (source, options) = match *parts.as_slice() {
        [target] if target.starts_with('/') => return Ok(()),
        [source, target] if target.starts_with('/') => (source, ""),
        [source, target, options] if target.starts_with('/') => (source, options),
        _ => return Err(format!("`{text}` cannot be told from the mount of a path")),
    };
    let options = options.split(',');
    if options.clone().any(|option| matches!(option, "shared" | "rshared" | "slave" | "rslave")) {
        return Err(format!("`{text}` shares mounts with the node"));
    }
    if is_name(source) {
        return Ok(());
    }
    rules.mounts.allow(source, is_read_only(options))
}

fn long(item: &Node, rules: &Rules) -> Result<(), String> {
    let text = |node: &Node, key: &str| {
        let value = node.get(key).filter(|value| !value.is_null());
        value.map(|value| value.text().map(str::to_owned).unwrap_or_default())
    };
    let source = text(item, "source");
    match text(item, "type").as_deref() {
        Some("tmpfs") => Ok(()),
        Some("volume") if source.as_deref().is_none_or(is_name) => Ok(()),
        Some("bind") => {
            let propagation = item.get("bind").and_then(|bind| text(&bind, "propagation"));
            if !matches!(propagation.as_deref(), None | Some("" | "private" | "rprivate")) {
                return Err("`bind.propagation` shares mounts with the node".into());
            }
            let read_only = item.get("read_only").is_some_and(|it| it.as_bool() == Some(true));
            rules.mounts.allow(&source.unwrap_or_default(), read_only)
        }
        kind => {
            Err(format!("a mount of the type `{}` is none that can be allowed", kind.unwrap_or_default()))
        }
    }
}

/// docker's own names for volumes; what is none is a path to it.
fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// Notes volumes that lead to what may not be mounted, and those of others that may not be used.
pub fn check_declared(tree: &Node, rules: &Rules, finder: &mut Finder<'_>) {
    for (key, entry) in entries(tree, "volumes") {
        let word = key.text().unwrap_or_default();
        let line = if entry.line > 0 { entry.line } else { key.line };
        let has_name = entry.get("name").is_some_and(|name| !name.is_null());
        if let Some(allowed) = rules.volumes.as_ref().filter(|_| is_external(&entry) || has_name) {
            let name = name_of(word, &entry);
            if !allowed.matches(&name) {
                let what = format!(
                    "`{name}` is not among the volumes of a name of their own that may be used ({allowed})"
                );
                finder.add(&["volumes", word], line, "volumes", &what);
            }
        }
        if holds_template(&entry) {
            finder.add(&["volumes", word], line, "mounts", TEMPLATE);
        }
        let options = entry.get("driver_opts").filter(|options| !options.is_null());
        if let Some(Err(what)) = options.map(|options| device(&options, rules)) {
            finder.add(&["volumes", word, "driver_opts"], line, "mounts", &what);
        }
    }
}

/// What the options of docker's own driver mount.
fn device(options: &Node, rules: &Rules) -> Result<(), String> {
    let pairs = options.merged_pairs();
    let mut get = [None, None, None];
    for (key, value) in &pairs {
        let place = ["type", "device", "o"].iter().position(|known| key.text() == Some(known));
        match (place, value.text()) {
            (Some(place), Some(text)) => get[place] = Some(text.to_owned()),
            _ => {
                return Err(format!(
                    "has the option `{}`, which cannot be told",
                    key.text().unwrap_or_default()
                ));
            }
        }
    }
    if pairs.is_empty() && options.pairs().is_some() {
        return Ok(());
    }
    let [kind, device, o] = get.map(Option::unwrap_or_default);
    let words = o.split(',').filter(|word| !word.is_empty());
    let binds = words.clone().any(|word| matches!(word, "bind" | "rbind"));
    match kind.as_str() {
        "tmpfs" if words.clone().all(is_of_tmpfs) => Ok(()),
        "none" | "bind" | "" if binds || !kind.is_empty() => {
            if words
                .clone()
                .all(|word| matches!(word, "bind" | "rbind" | "ro" | "rw" | "nodev" | "nosuid" | "noexec"))
            {
                return rules.mounts.allow(&device, is_read_only(words));
            }
            Err(format!("has the mount options `{o}`, which cannot be told"))
        }
        "nfs" | "nfs4" | "cifs" if !binds => {
            let mut addresses = words.filter_map(address);
            let address = addresses.next();
            // The kernel takes the last, and of others than these each has its own.
            let is_one = addresses.all(|other| Some(other) == address);
            let remote = remote(&kind, address, &device).filter(|_| is_one);
            match &rules.remote {
                Some(allowed) if remote.as_deref().is_some_and(|remote| allowed.matches(remote)) => Ok(()),
                _ => Err(format!(
                    "`{}` is no file system of the network that may be mounted",
                    remote.unwrap_or(device)
                )),
            }
        }
        _ => Err(format!("mounts the type `{kind}`, which is none that can be allowed")),
    }
}

/// Whom a word of the options asks.
fn address(word: &str) -> Option<&str> {
    ["addr=", "mountaddr=", "ip=", "mounthost=", "server="].iter().find_map(|key| word.strip_prefix(key))
}

/// Words that say how large it is, and who may do what in it.
fn is_of_tmpfs(word: &str) -> bool {
    const VALUES: [&str; 6] = ["size", "mode", "uid", "gid", "nr_blocks", "nr_inodes"];
    const WORDS: [&str; 6] = ["ro", "rw", "nodev", "nosuid", "noexec", "noatime"];
    word.split_once('=').map_or(WORDS.contains(&word), |(key, _)| VALUES.contains(&key))
}

/// `nfs://ADDRESS/PATH`, `cifs://ADDRESS/PATH`; `None` where the text leads on elsewhere.
fn remote(kind: &str, address: Option<&str>, device: &str) -> Option<String> {
    let (host, path) = match kind {
        "cifs" => device.strip_prefix("//")?.split_once('/')?,
        _ => device.split_once(':')?,
    };
    let path = path.trim_matches('/');
    let is_plain = !path.split('/').any(|part| matches!(part, ".." | "."));
    let scheme = if kind == "cifs" { "cifs" } else { "nfs" };
    is_plain.then(|| format!("{scheme}://{}/{path}", address.unwrap_or(host)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_of_the_network_is_told_by_who_is_really_asked() {
        for (kind, address, device, wanted) in [
            ("nfs", Some("10.0.0.5"), ":/export/a", Some("nfs://10.0.0.5/export/a")),
            ("nfs4", None, "nas:/export/", Some("nfs://nas/export")),
            ("nfs", Some("evil"), "nas:/export", Some("nfs://evil/export")),
            ("cifs", None, "//nas/share", Some("cifs://nas/share")),
            ("nfs", None, "nas:/export/../etc", None),
            ("cifs", None, "nas", None),
        ] {
            assert_eq!(remote(kind, address, device).as_deref(), wanted, "{kind} {device}");
        }
    }
}
