//! Which secrets a compose file declares, and where its services have them.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::problem::Collector;
use crate::yaml::Node;

/// The top-level `secrets` of a file.
#[derive(Debug)]
pub struct Known(Vec<(String, Rc<Node>)>);

/// One secret as the file has it, or will have it.
#[derive(Debug)]
pub struct Secret {
    /// Its key at the top level.
    pub key: String,
    /// Whether the author wrote it there.
    pub at_top_level: bool,
    /// What Swarm calls it; `None` where docker makes it from a file when it deploys.
    pub swarm_name: Option<String>,
}

impl Known {
    /// Of an interpolated file.
    pub fn of(effective: &Node) -> Self {
        let pairs = effective.get("secrets").map(|section| section.merged_pairs()).unwrap_or_default();
        Self(pairs.into_iter().filter_map(|(key, entry)| Some((key.text()?.to_owned(), entry))).collect())
    }

    /// The entry with this key, which wins as it stands, or else the external one of this name.
    pub fn find(&self, name: &str) -> Secret {
        let by_key = self.0.iter().find(|(key, _)| key == name);
        let by_name = || self.0.iter().find(|(key, entry)| swarm_name(key, entry).as_deref() == Some(name));
        match by_key.or_else(by_name) {
            Some((key, entry)) => {
                Secret { key: key.clone(), at_top_level: true, swarm_name: swarm_name(key, entry) }
            }
            None => Secret { key: name.to_owned(), at_top_level: false, swarm_name: Some(name.to_owned()) },
        }
    }
}

/// The name of an external secret: `external: {name: …}` in old files, `name` in newer ones, else the key.
fn swarm_name(key: &str, entry: &Node) -> Option<String> {
    let external = entry.get("external")?;
    if external.as_bool() == Some(false) {
        return None;
    }
    let name = external.get("name").or_else(|| entry.get("name"));
    Some(name.and_then(|name| name.text().map(str::to_owned)).unwrap_or_else(|| key.to_owned()))
}

/// Key → file of the secrets that a service declares itself.
pub fn declared(service: &Node, name: &str, problems: &mut Collector) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let Some(list) = service.get("secrets").filter(|list| !list.is_null()) else { return found };
    let Some(items) = list.items() else {
        let what = format!("must be a list, not {}", list.what());
        problems.add(list.line, format!("services.{name}.secrets"), what);
        return found;
    };
    for item in items {
        let text = |key: &str| item.get(key).and_then(|value| value.text().map(str::to_owned));
        let Some(key) = item.text().map(str::to_owned).or_else(|| text("source")) else { continue };
        let target = text("target").filter(|target| !target.is_empty()).unwrap_or_else(|| key.clone());
        found.entry(key).or_insert_with(|| path(&target));
    }
    found
}

/// Where Swarm puts a secret with this target.
pub fn path(target: &str) -> String {
    if target.starts_with('/') { target.to_owned() } else { format!("/run/secrets/{target}") }
}
