//! Image references by the distribution grammar, and the one name an image is counted under.
//!
//! Source: github.com/distribution/reference (`reference.go`, `normalize.go`).

use std::fmt;

use anyhow::{Result, bail, ensure};

const DOCKER_HUB: &str = "docker.io";

/// A parsed reference: `[registry/]path[:tag][@digest]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageRef {
    registry: String,
    path: String,
    tag: Option<String>,
    digest: Option<String>,
}

/// What an image runs by itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageCommand {
    /// `ENTRYPOINT`, in shell form with its shell.
    pub entrypoint: Vec<String>,
    /// `CMD`.
    pub command: Vec<String>,
    /// Whether it has a `/bin/sh`.
    pub has_shell: bool,
}

impl ImageRef {
    /// Parses and normalises: `nginx` is `docker.io/library/nginx:latest`.
    pub fn parse(text: &str) -> Result<Self> {
        ensure!(!text.is_empty(), "is empty");
        ensure!(text.len() <= 4096 && text.is_ascii(), "is no image reference");
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.to_owned())),
            None => (text, None),
        };
        let (registry, path) = split_registry(rest);
        let (path, tag) = match path.rsplit_once(':') {
            Some((path, tag)) => (path, Some(tag.to_owned())),
            None => (path, None),
        };
        ensure!(is_registry(registry), "`{registry}` is no registry host");
        let path = if registry == DOCKER_HUB && !path.contains('/') {
            format!("library/{path}")
        } else {
            path.to_owned()
        };
        if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
            bail!("the repository `{path}` must be lower case");
        }
        ensure!(path.split('/').all(is_path_component), "`{path}` is no repository name");
        ensure!(tag.as_deref().is_none_or(is_tag), "`{}` is no tag", tag.unwrap_or_default());
        ensure!(digest.as_deref().is_none_or(is_digest), "`{}` is no digest", digest.unwrap_or_default());
        let tag = if tag.is_none() && digest.is_none() { Some("latest".into()) } else { tag };
        Ok(Self { registry: registry.to_owned(), path, tag, digest })
    }

    /// `docker.io`, or `host[:port]`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Its repository within the registry: `library/nginx`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Its tag; there is one, or a digest, or both.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// The same, pinned to `digest`.
    pub fn pinned(&self, digest: &str) -> Self {
        Self { digest: Some(digest.to_owned()), ..self.clone() }
    }

    /// The same without its digest.
    pub fn unpinned(&self) -> Self {
        Self { digest: None, ..self.clone() }
    }

    /// Its name without tag and digest.
    pub fn repository(&self) -> Self {
        Self { tag: None, digest: None, ..self.clone() }
    }

    /// The same with another tag, and no digest.
    pub fn with_tag(&self, tag: impl Into<String>) -> Self {
        Self { tag: Some(tag.into()), digest: None, ..self.clone() }
    }

    /// Whether it is one of Docker Hub's own, as a name without registry and account is.
    pub fn is_library(&self) -> bool {
        self.registry == DOCKER_HUB && self.path.starts_with("library/")
    }

    /// What a node has after Swarm pulled it: the digest without the tag. `None` where there is no digest.
    pub fn pulled(&self) -> Option<Self> {
        self.digest.as_ref().map(|_| Self { tag: None, ..self.clone() })
    }
}

/// The familiar name that `docker image ls` shows: `nginx:latest`, `ghcr.io/o/app:1`.
impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.registry == DOCKER_HUB {
            // Of two parts only: `library/a/b` without the first would be the image of another account.
            let own = self.path.strip_prefix("library/").filter(|name| !name.contains('/'));
            f.write_str(own.unwrap_or(&self.path))?;
        } else {
            write!(f, "{}/{}", self.registry, self.path)?;
        }
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

/// The first component is a registry only if it looks like a host: a dot, a colon, `localhost`, upper case.
fn split_registry(text: &str) -> (&str, &str) {
    match text.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.bytes().any(|b| b.is_ascii_uppercase()) =>
        {
            match first {
                "index.docker.io" => (DOCKER_HUB, rest),
                first => (first, rest),
            }
        }
        _ => (DOCKER_HUB, text),
    }
}

fn is_registry(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        Some((address, rest)) => {
            let inner = !address.is_empty() && address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
            return inner && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_number));
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    port.is_none_or(is_number)
        && host.split('.').all(|label| {
            !label.is_empty()
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Letters and digits, separated by one `.`, one or two `_`, or any number of `-`.
fn is_path_component(text: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.first().is_some_and(|byte| alphanumeric(*byte))
        && bytes.last().is_some_and(|byte| alphanumeric(*byte))
        && bytes.split(|byte| alphanumeric(*byte)).all(|separator| {
            matches!(separator, b"" | b"." | b"_" | b"__") || separator.iter().all(|b| *b == b'-')
        })
}

fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=128).contains(&text.len())
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|byte| word(byte) || matches!(byte, b'.' | b'-'))
}

/// Whether `text` is a digest: `sha256:` and 64 hexadecimal digits, or another algorithm's.
pub fn is_digest(text: &str) -> bool {
    text.split_once(':').is_some_and(|(algorithm, hex)| {
        !algorithm.is_empty()
            && algorithm.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'.' | b'_' | b'-'))
            && hex.len() >= 32
            && (algorithm != "sha256" || hex.len() == 64)
            && hex.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_get_one_name() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (text, name) in [
            ("nginx", "nginx:latest".to_owned()),
            ("docker.io/library/nginx:1", "nginx:1".into()),
            ("index.docker.io/org/app", "org/app:latest".into()),
            ("org/app:1", "org/app:1".into()),
            ("library/org/app:1", "library/org/app:1".into()),
            ("localhost:5000/app", "localhost:5000/app:latest".into()),
            ("localhost/app", "localhost/app:latest".into()),
            ("[::1]:5000/a:b", "[::1]:5000/a:b".into()),
            (&format!("host.io/app@{digest}"), format!("host.io/app@{digest}")),
            (&format!("host:5000/a/b:tag@{digest}"), format!("host:5000/a/b:tag@{digest}")),
            ("org/a__b--c.d/e_f", "org/a__b--c.d/e_f:latest".into()),
        ] {
            assert_eq!(
                ImageRef::parse(text).map(|image| image.to_string()).map_err(|e| e.to_string()),
                Ok(name)
            );
        }
    }

    #[test]
    fn swarm_pulls_the_digest_without_the_tag() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let image = ImageRef::parse(&format!("host:5000/app:1@{digest}")).unwrap();
        assert_eq!(image.pulled().unwrap().to_string(), format!("host:5000/app@{digest}"));
        assert_eq!(image.repository().to_string(), "host:5000/app");
        assert_eq!(image.repository().pulled(), None);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "Nginx",
            "org/App:1",
            "a//b",
            "a:",
            "a:-x",
            "-a",
            "a___b",
            "x@sha256:12",
            "a b",
            "é",
            "host:port/a",
            "a@b",
            "/a",
        ] {
            assert!(ImageRef::parse(text).is_err(), "{text:?}");
        }
    }
}
