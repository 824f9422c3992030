//! Paths of a node that may be mounted.

use std::fmt;
use std::path::{Component, Path};

/// What may be mounted, each named itself: what lies below one is another path. A container that writes to a folder can
/// put a symlink there, and docker would follow it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostPaths(Vec<HostPath>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct HostPath {
    /// `*` stands for one part.
    parts: Vec<String>,
    read_only: bool,
}

/// The ways to docker's socket.
pub const SOCKETS: [&str; 2] = ["/var/run/docker.sock", "/run/docker.sock"];

impl HostPaths {
    /// Adds `/path` or `/path:ro`.
    pub fn add(&mut self, text: &str) -> Result<(), String> {
        let (path, read_only) = match text.strip_suffix(":ro") {
            Some(path) => (path, true),
            None => (text, false),
        };
        let parts = parts(path)?;
        if let Some(part) = parts.iter().find(|part| part.contains('*') && *part != "*") {
            return Err(format!("has `{part}`; a `*` stands for a whole part of a path"));
        }
        self.0.push(HostPath { parts, read_only });
        Ok(())
    }

    /// What makes the entries together more than they say.
    pub fn wrong(&self) -> Option<String> {
        for outer in &self.0 {
            let below =
                self.0.iter().find(|inner| inner.parts.len() > outer.parts.len() && outer.holds(inner));
            if let Some(inner) = below.filter(|_| !outer.read_only) {
                return Some(format!(
                    "`{inner}` lies in `{outer}`, where a container may put a symlink in its place; name one of them, or \
                     write `{outer}:ro`"
                ));
            }
            let socket = SOCKETS.iter().find(|socket| {
                let path = HostPath { parts: parts(socket).unwrap_or_default(), read_only: false };
                outer.parts.len() < path.parts.len() && outer.holds(&path)
            });
            if let Some(socket) = socket.filter(|socket| self.allow(socket, false).is_err()) {
                return Some(format!(
                    "`{outer}` holds `{socket}`, docker's socket, which must be named itself to be allowed"
                ));
            }
        }
        None
    }

    /// Whether `path` may be mounted.
    pub fn allow(&self, path: &str, read_only: bool) -> Result<(), String> {
        let parts = parts(path)?;
        let known: Vec<_> = self.0.iter().filter(|known| known.is(&parts)).collect();
        if known.iter().any(|known| read_only || !known.read_only) {
            return Ok(());
        }
        if known.is_empty() {
            return Err(format!("`{path}` is no path that may be mounted ({self})"));
        }
        Err(format!("`{path}` may be mounted read-only, and is not"))
    }

    /// Whether one of them is `folder`, or lies in it.
    pub fn begin_in(&self, folder: &Path) -> bool {
        let Some(parts) = folder.to_str().and_then(|folder| parts(folder).ok()) else { return false };
        self.0.iter().any(|known| known.parts.len() >= parts.len() && fits(&known.parts, &parts))
    }
}

impl HostPath {
    fn is(&self, parts: &[String]) -> bool {
        self.parts.len() == parts.len() && fits(&self.parts, parts)
    }

    /// Whether some path that `other` stands for may lie in one that this stands for.
    fn holds(&self, other: &Self) -> bool {
        fits(&self.parts, &other.parts)
    }
}

/// Whether paths of these parts may be the same as far as the shorter goes.
fn fits(one: &[String], other: &[String]) -> bool {
    // What DockerOps keeps beside bindings nobody means, and Swarm makes something else of a template.
    let stands_for =
        |any: &str, part: &str| any == "*" && !part.starts_with(".dockerops") && !part.contains("{{");
    one.iter().zip(other).all(|(a, b)| a == b || stands_for(a, b) || stands_for(b, a))
}

/// The parts of an absolute path as docker cleans it.
fn parts(path: &str) -> Result<Vec<String>, String> {
    if !path.starts_with('/') {
        return Err(format!("`{path}` is no absolute path"));
    }
    let mut parts = Vec::new();
    for part in Path::new(path).components() {
        match part {
            Component::Normal(part) => parts.push(part.to_string_lossy().into_owned()),
            Component::ParentDir => {
                return Err(format!("`{path}` leads on with `..`; write the path it means"));
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Ok(parts)
}

impl fmt::Display for HostPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.parts.join("/"))
    }
}

impl fmt::Display for HostPaths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const TOLD: usize = 8;
        if self.0.is_empty() {
            return f.write_str("none may be");
        }
        let told = self.0.iter().take(TOLD).map(|path| {
            let read_only = if path.read_only { ":ro" } else { "" };
            format!("`{path}{read_only}`")
        });
        f.write_str(&told.collect::<Vec<_>>().join(", "))?;
        if self.0.len() > TOLD { write!(f, " and {} more", self.0.len() - TOLD) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(texts: &[&str]) -> HostPaths {
        let mut paths = HostPaths::default();
        for text in texts {
            paths.add(text).unwrap();
        }
        paths
    }

    #[test]
    fn a_path_is_allowed_by_its_own_name_alone() {
        let all = paths(&["/srv/apps/*", "/etc/localtime:ro"]);
        for path in ["/srv/apps/web", "/srv//apps/./web/"] {
            assert_eq!(all.allow(path, false), Ok(()), "{path}");
        }
        assert_eq!(all.allow("/etc/localtime", true), Ok(()));
        assert!(all.allow("/etc/localtime", false).unwrap_err().contains("read-only"));
        for path in
            ["/srv/apps", "/srv/apps/web/data", "/srv/apps/../../etc", "/", "/srv", "srv/apps/web", "~", ""]
        {
            assert!(all.allow(path, true).is_err(), "{path}");
        }
        assert!(HostPaths::default().allow("/x", true).is_err());
    }

    #[test]
    fn a_folder_that_a_container_writes_to_holds_no_other_path() {
        assert!(paths(&["/srv", "/srv/apps/*"]).wrong().unwrap().contains("symlink"));
        assert!(paths(&["/srv/*", "/srv/apps/data"]).wrong().is_some());
        assert_eq!(paths(&["/srv:ro", "/srv/apps/*"]).wrong(), None);
        assert_eq!(paths(&["/srv/a", "/srv/ab", "/srv/apps/*"]).wrong(), None);
    }

    #[test]
    fn the_socket_is_named_itself() {
        for outer in ["/", "/run", "/var/run", "/run:ro", "/*", "/var/*"] {
            assert!(paths(&[outer]).wrong().unwrap().contains("socket"), "{outer}");
        }
        assert_eq!(paths(&["/run:ro", "/run/docker.sock"]).wrong(), None);
        assert_eq!(paths(&["/var/run/docker.sock"]).wrong(), None);
    }

    #[test]
    fn bindings_lie_where_something_may_be_mounted() {
        let all = paths(&["/srv/nfs/*", "/data"]);
        for folder in ["/srv/nfs", "/srv", "/data", "/srv/nfs/conf"] {
            assert!(all.begin_in(Path::new(folder)), "{folder}");
        }
        for folder in ["/etc", "/srv/other", "/data/x", "/srv/nfs/conf/x"] {
            assert!(!all.begin_in(Path::new(folder)), "{folder}");
        }
    }
}
