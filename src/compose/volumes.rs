//! References to ids of `volumes.yaml`, rewritten to what docker knows.
//!
//! A binding becomes a bind mount, with the options the author wrote; a volume gets a top-level entry with
//! its name. What a binding holds is in a label of the containers that use it: new content is a new task,
//! for them alone.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::labels::child;
use crate::hash::Key;
use crate::problem::Problem;
use crate::yaml::{Kind, Node};

/// The container label that holds the content's hash.
pub const BINDINGS: &str = "dockerops.bindings";

/// What an id stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mount {
    /// The docker volume of this name.
    Volume(String),
    /// This path on every node.
    Bind {
        /// Absolute.
        path: String,
        /// Changes with the content.
        hash: String,
    },
    /// Nothing that could be mounted, and why.
    Wrong(Problem),
}

/// What services may refer to, by id.
pub type Volumes = BTreeMap<String, Mount>;

/// A compose file whose references are rewritten.
#[derive(Debug)]
pub struct Rewritten {
    /// The tree, with variables as the author wrote them outside of what was rewritten.
    pub tree: Rc<Node>,
    /// The bindings that are mounted.
    pub bindings: BTreeSet<String>,
    /// What the author should know.
    pub notes: Vec<String>,
}

/// What is wrong with the ids that services of `effective` mount, each once.
pub fn wrong(effective: &Node, volumes: &Volumes) -> Vec<Problem> {
    let own = effective.get("volumes").map(|section| section.merged_pairs()).unwrap_or_default();
    let is_own = |id: &str| own.iter().any(|(key, _)| key.text() == Some(id));
    let services = effective.get("services").map(|section| section.merged_pairs()).unwrap_or_default();
    let lists = services.iter().filter_map(|(_, service)| service.get("volumes"));
    let ids: BTreeSet<_> = lists
        .flat_map(|list| {
            list.items().unwrap_or_default().iter().filter_map(|item| reference(item)).collect::<Vec<_>>()
        })
        .collect();
    ids.iter()
        .filter(|id| !is_own(id))
        .filter_map(|id| match volumes.get(id)? {
            Mount::Wrong(problem) => Some(problem.clone()),
            Mount::Volume(_) | Mount::Bind { .. } => None,
        })
        .collect()
}

/// Rewrites `tree`; `effective` is the same tree with its variables replaced, or itself.
pub fn rewrite(tree: &Rc<Node>, effective: &Node, volumes: &Volumes, installation: &Key) -> Rewritten {
    let own = effective.get("volumes").map(|section| section.merged_pairs()).unwrap_or_default();
    let is_own = |id: &str| own.iter().any(|(key, _)| key.text() == Some(id));
    let mut out = Rewritten { tree: Rc::clone(tree), bindings: BTreeSet::new(), notes: Vec::new() };
    let mut named = BTreeSet::new();
    let (mut kept, mut drives) = (BTreeSet::new(), BTreeSet::new());
    let services = effective.get("services").map(|section| section.merged_pairs()).unwrap_or_default();
    for (key, service) in &services {
        let (Some(name), Some(list)) = (key.text(), service.get("volumes")) else { continue };
        let mut hashes = BTreeMap::new();
        for (index, item) in list.items().unwrap_or_default().iter().enumerate() {
            let Some((id, mount)) = reference(item).and_then(|id| volumes.get_key_value(&id)) else {
                drives.extend(drive(item).then(|| item.text().unwrap_or_default().to_owned()));
                continue;
            };
            match mount {
                _ if is_own(id) => {
                    drives.extend(drive(item).then(|| item.text().unwrap_or_default().to_owned()));
                    kept.insert(id.clone());
                }
                Mount::Volume(_) => {
                    named.insert(id.clone());
                    if let Some(item) = drive(item).then(|| spelled_out(item, id)).flatten() {
                        let list = child(child(child(&mut out.tree, "services"), name), "volumes");
                        if let Kind::Sequence(items) = &mut Rc::make_mut(list).kind {
                            items[index] = item;
                        }
                    }
                }
                // Such a file was refused before.
                Mount::Wrong(_) => {}
                Mount::Bind { path, hash } => {
                    hashes.insert(id.clone(), hash.clone());
                    let list = child(child(child(&mut out.tree, "services"), name), "volumes");
                    if let Kind::Sequence(items) = &mut Rc::make_mut(list).kind {
                        items[index] = bind(item, id, path);
                    }
                }
            }
        }
        if !hashes.is_empty() {
            let content = hashes.iter().flat_map(|(id, hash)| [id, hash]);
            label(child(child(&mut out.tree, "services"), name), &installation.tag(content));
            out.bindings.extend(hashes.into_keys());
        }
    }
    let old = is_before_3_4(effective);
    for (id, mount) in volumes.iter().filter(|(id, _)| named.contains(*id)) {
        let Mount::Volume(name) = mount else { continue };
        name_volume(child(&mut out.tree, "volumes"), id, name, old);
    }
    out.notes.extend(kept.into_iter().map(|id| {
        format!("`{id}` is the compose file's own volume; the entry of `volumes.yaml` is not used here")
    }));
    out.notes.extend(drives.into_iter().map(|text| {
        format!(
            "docker takes the one letter of `{text}` for a drive of Windows, and no volume is mounted: give it a longer \
             name, or write it as `{{type: volume, source: …, target: …}}`"
        )
    }));
    out
}

/// The name before the first colon, or the `source` of a volume in long syntax.
fn reference(item: &Node) -> Option<String> {
    if let Some(short) = item.text() {
        return short.split_once(':').map(|(id, _)| id.to_owned());
    }
    let is_volume = item.get("type").is_some_and(|kind| kind.text() == Some("volume"));
    item.get("source").filter(|_| is_volume)?.text().map(str::to_owned)
}

/// Whether docker takes the name of a volume for a drive (docker/cli `ParseVolume`).
fn drive(item: &Node) -> bool {
    let id = item.text().and_then(|short| short.split_once(':')).map(|(id, _)| id);
    id.is_some_and(|id| id.chars().count() == 1 && id.chars().all(char::is_alphabetic))
}

/// A volume of the short syntax in the long one; `None` where it has options that this does not know.
fn spelled_out(item: &Node, id: &str) -> Option<Rc<Node>> {
    let (target, options) = {
        let rest = &item.text()?[id.len() + 1..];
        rest.split_once(':').unwrap_or((rest, ""))
    };
    let pair = |key: &str, value: Rc<Node>| (Node::string(key), value);
    let mut pairs = vec![
        pair("type", Node::string("volume")),
        pair("source", Node::string(id)),
        pair("target", Node::string(target)),
    ];
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "rw" => {}
            "ro" => pairs.push(pair("read_only", Node::plain("true"))),
            "nocopy" => {
                let nocopy = Node::mapping(vec![pair("nocopy", Node::plain("true"))]);
                pairs.push(pair("volume", nocopy));
            }
            _ => return None,
        }
    }
    Some(Node::mapping(pairs))
}

/// The bind mount. `nocopy` goes: nothing is ever copied into one, and docker refuses the word there.
fn bind(item: &Node, id: &str, path: &str) -> Rc<Node> {
    if let Some(short) = item.text() {
        let rest = &short[id.len() + 1..];
        let Some((target, options)) = rest.split_once(':') else {
            return Node::string(format!("{path}:{rest}"));
        };
        let options: Vec<_> = options.split(',').filter(|option| *option != "nocopy").collect();
        let options = if options.is_empty() { String::new() } else { format!(":{}", options.join(",")) };
        return Node::string(format!("{path}:{target}{options}"));
    }
    let pairs = item.merged_pairs().into_iter().filter_map(|(key, value)| match key.text() {
        Some("type") => Some((key, Node::string("bind"))),
        Some("source") => Some((key, Node::string(path))),
        Some("volume") => {
            let left: Vec<_> =
                value.merged_pairs().into_iter().filter(|(key, _)| key.text() != Some("nocopy")).collect();
            (!left.is_empty()).then(|| (key, Node::mapping(left)))
        }
        _ => Some((key, value)),
    });
    Node::mapping(pairs.collect())
}

/// Replaces an author's label of that name, which can only be a copy of what docker was told once.
fn label(service: &mut Rc<Node>, hash: &str) {
    let is_old = |text: Option<&str>| text.is_some_and(|text| text.split('=').next() == Some(BINDINGS));
    match &mut Rc::make_mut(child(service, "labels")).kind {
        Kind::Sequence(items) => {
            items.retain(|item| !is_old(item.text()));
            items.push(Node::string(format!("{BINDINGS}={hash}")));
        }
        Kind::Mapping(pairs) => {
            pairs.retain(|(key, _)| !is_old(key.text()));
            pairs.push((Node::string(BINDINGS), Node::string(hash)));
        }
        Kind::Scalar { .. } => {} // docker refuses the file in its own words
    }
}

/// Without a `name` docker would put the stack's in front of the id.
fn name_volume(section: &mut Rc<Node>, id: &str, name: &str, old: bool) {
    let name = (Node::string("name"), Node::string(name));
    let entry = if old {
        Node::mapping(vec![(Node::string("external"), Node::mapping(vec![name]))])
    } else {
        Node::mapping(vec![name])
    };
    *child(section, id) = entry;
}

/// `name:` came with 3.4; before, only an external volume could have a name of its own.
fn is_before_3_4(tree: &Node) -> bool {
    let version = tree.get("version");
    let text = version.as_ref().and_then(|version| version.text()).unwrap_or("3.8");
    let mut parts = text.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let (major, minor) = (parts.next().unwrap_or(3), parts.next().unwrap_or(0));
    (major, minor) < (3, 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::{parse, print};

    fn volumes() -> Volumes {
        let bind = Mount::Bind { path: "/nfs/$conf".into(), hash: "h1".into() };
        Volumes::from([("conf".into(), bind), ("data".into(), Mount::Volume("shop-data".into()))])
    }

    fn key() -> Key {
        Key::from_hex(&"5a".repeat(32)).unwrap()
    }

    fn rewritten(text: &str) -> (Rewritten, Rc<Node>) {
        let tree = parse(text).unwrap().unwrap();
        let out = rewrite(&tree, &tree, &volumes(), &key());
        let read = parse(&print(&out.tree)).unwrap().unwrap();
        (out, read)
    }

    fn at(node: &Rc<Node>, path: &str) -> String {
        let mut node = Rc::clone(node);
        for part in path.split('/') {
            node = match part.parse::<usize>() {
                Ok(index) => Rc::clone(&node.items().unwrap()[index]),
                Err(_) => node.get(part).unwrap_or_else(|| panic!("no `{part}` of `{path}`")),
            };
        }
        node.text().unwrap().to_owned()
    }

    #[test]
    fn short_and_long_syntax_become_bind_mounts_with_their_options() {
        let (out, read) = rewritten(
            "services:\n  a:\n    volumes:\n    - conf:/etc/a:ro,nocopy\n    - conf:/b:nocopy\n    - other:/x\n    - /data\n    \
             - {type: volume, source: conf, target: /c, read_only: true, volume: {nocopy: true}}\n  b: {image: b}\n",
        );
        assert_eq!(at(&read, "services/a/volumes/0"), "/nfs/$conf:/etc/a:ro");
        assert_eq!(at(&read, "services/a/volumes/1"), "/nfs/$conf:/b");
        assert_eq!(at(&read, "services/a/volumes/2"), "other:/x");
        assert_eq!(at(&read, "services/a/volumes/4/type"), "bind");
        assert_eq!(at(&read, "services/a/volumes/4/source"), "/nfs/$conf");
        assert_eq!(at(&read, "services/a/volumes/4/read_only"), "true");
        assert!(
            read.get("services").unwrap().get("a").unwrap().get("volumes").unwrap().items().unwrap()[4]
                .get("volume")
                .is_none()
        );
        assert_eq!(at(&read, "services/a/labels/dockerops.bindings"), key().tag(["conf", "h1"]));
        assert!(read.get("services").unwrap().get("b").unwrap().get("labels").is_none());
        assert_eq!(out.bindings, BTreeSet::from(["conf".to_owned()]));
    }

    #[test]
    fn a_volume_gets_an_entry_with_its_name() {
        let (out, read) = rewritten("services: {a: {volumes: ['data:/d']}}\n");
        assert_eq!(at(&read, "volumes/data/name"), "shop-data");
        assert_eq!(at(&read, "services/a/volumes/0"), "data:/d");
        assert!(out.bindings.is_empty());
        let (_, read) = rewritten("version: '3.3'\nservices: {a: {volumes: ['data:/d']}}\nvolumes:\n");
        assert_eq!(at(&read, "volumes/data/external/name"), "shop-data");
    }

    #[test]
    fn a_volume_of_one_letter_is_no_drive() {
        let mut volumes = volumes();
        volumes.insert("d".into(), Mount::Volume("shop-d".into()));
        let rewritten = |text: &str| {
            let tree = parse(text).unwrap().unwrap();
            rewrite(&tree, &tree, &volumes, &key())
        };
        let out = rewritten("services: {a: {volumes: ['d:/data:ro,nocopy', 'data:/x']}}\n");
        for (path, is) in [("type", "volume"), ("source", "d"), ("target", "/data"), ("read_only", "true")] {
            assert_eq!(at(&out.tree, &format!("services/a/volumes/0/{path}")), is);
        }
        assert_eq!(at(&out.tree, "services/a/volumes/0/volume/nocopy"), "true");
        assert_eq!(at(&out.tree, "services/a/volumes/1"), "data:/x");
        assert!(out.notes.is_empty(), "{:?}", out.notes);
        for text in [
            "services: {a: {volumes: ['e:/data']}}\n",
            "services: {a: {volumes: ['d:/d']}}\nvolumes: {d: }\n",
        ] {
            let notes = rewritten(text).notes.join("; ");
            assert!(notes.contains("for a drive of Windows"), "{notes}");
        }
    }

    #[test]
    fn the_author_s_own_entry_wins_and_is_said() {
        let text = "services: {a: {volumes: ['data:/d', 'conf:/c']}}\nvolumes: {data: {driver: x}, conf: }\n";
        let (out, read) = rewritten(text);
        assert_eq!(read, parse(&print(&parse(text).unwrap().unwrap())).unwrap().unwrap());
        assert_eq!(out.notes.len(), 2);
    }

    #[test]
    fn a_wrong_id_is_told_where_a_service_mounts_it() {
        let mut volumes = volumes();
        let mut problems = crate::problem::Collector::new("volumes.yaml");
        problems.add(3, "entry 1.path", "`gone` does not exist");
        let problem = problems.into_problems().remove(0);
        volumes.insert("gone".into(), Mount::Wrong(problem.clone()));
        let found = |text: &str| wrong(&parse(text).unwrap().unwrap(), &volumes);
        for text in [
            "services: {a: {volumes: ['gone:/d', 'data:/e']}, b: {volumes: ['gone:/d:ro']}}\n",
            "services: {a: {volumes: [{type: volume, source: gone, target: /d}]}}\n",
            "x: &x {volumes: ['gone:/d']}\nservices: {a: {<<: *x}}\n",
        ] {
            assert_eq!(found(text), std::slice::from_ref(&problem), "{text}");
        }
        for text in [
            "services: {a: {volumes: ['data:/d', '/gone', 'conf:/c']}}\n",
            "services: {a: {volumes: ['gone:/d']}}\nvolumes: {gone: }\n",
            "services: {a: {image: gone}}\n",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }

    #[test]
    fn aliases_and_merges_are_edited_for_the_service_alone() {
        let (_, read) = rewritten(
            "x: &v ['conf:/c']\nbase: &base {volumes: *v, labels: [a=b, dockerops.bindings=old]}\nservices:\n  a: {<<: *base}\n  b: {volumes: *v}\n",
        );
        for service in ["a", "b"] {
            assert_eq!(at(&read, &format!("services/{service}/volumes/0")), "/nfs/$conf:/c");
        }
        assert_eq!(
            at(&read, "services/a/labels/1"),
            format!("dockerops.bindings={}", key().tag(["conf", "h1"]))
        );
        assert_eq!(at(&read, "services/b/labels/dockerops.bindings"), key().tag(["conf", "h1"]));
        assert_eq!(at(&read, "x/0"), "conf:/c");
    }
}
