//! Where the forge of a remote answers, and which addresses are pages of it.

use crate::source::{Parts, Source, bare_path};

/// Longest address of a page that is taken, in bytes.
const MOST_BYTES: usize = 2_000;
/// Names under which a host serves git alone: the forge is another.
const SSH_ONLY: &[(&str, &str)] = &[
    ("ssh.github.com", "github.com"),
    ("altssh.gitlab.com", "gitlab.com"),
    ("altssh.bitbucket.org", "bitbucket.org"),
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// https, unless the remote says http.
    pub scheme: String,
    pub host: String,
    /// With the port, where that is not the scheme's own.
    pub address: String,
    /// Of the repository, without slashes at its ends.
    pub path: String,
}

impl Place {
    /// Of a remote; `None` where it lies on this machine. What is reached by ssh has its forge at https.
    pub fn of(remote: &Source) -> Option<Self> {
        let url = remote.url();
        match Parts::of(url) {
            Some(parts) => match parts.scheme.as_str() {
                "http" | "https" => Some(Self::new(&parts.scheme, &parts.host, &parts.address(), parts.path)),
                "ssh" => Some(Self::behind_ssh(&parts.host, parts.path)),
                _ => None,
            },
            None if url.starts_with('/') => None,
            None => {
                let (host, path) = url.split_once(':')?;
                let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
                Some(Self::behind_ssh(&host.to_ascii_lowercase(), path))
            }
        }
    }

    fn behind_ssh(host: &str, path: &str) -> Self {
        let host = SSH_ONLY.iter().find(|(name, _)| *name == host).map_or(host, |(_, forge)| forge);
        Self::new("https", host, host, path)
    }

    fn new(scheme: &str, host: &str, address: &str, path: &str) -> Self {
        let path: Vec<_> = bare_path(path).split('/').filter(|part| !part.is_empty()).collect();
        Self { scheme: scheme.into(), host: host.into(), address: address.into(), path: path.join("/") }
    }

    /// `https://host`.
    pub fn root(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Of the repository.
    pub fn url(&self) -> String {
        format!("{}/{}", self.root(), self.path)
    }

    /// Whether this is the address of a page on the same host that can be shown as a link.
    pub fn is_page(&self, url: &str) -> bool {
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"'<>\\`".contains(&byte);
        let Some(parts) = Parts::of(url) else { return false };
        url.len() <= MOST_BYTES
            && url.bytes().all(is_plain)
            && matches!(parts.scheme.as_str(), "http" | "https")
            && parts.userinfo.is_none()
            && parts.host == self.host
    }
}

/// A part of a path, or a whole one as a single part.
pub(super) fn encoded(text: &str) -> String {
    let text: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
    // That is how forms write a blank; a plus was encoded.
    text.replace('+', "%20")
}

/// `owner/name`, each encoded.
pub(super) fn owner_and_name(path: &str) -> Option<(String, String)> {
    let (owner, name) = path.split_once('/')?;
    (!name.contains('/')).then(|| (encoded(owner), encoded(name)))
}

/// Whether a request to `to` goes to whom one to `from` went: scheme, host and port.
pub(super) fn is_same_origin(from: &str, to: &str) -> bool {
    match (Parts::of(from), Parts::of(to)) {
        (Some(from), Some(to)) => {
            to.userinfo.is_none() && from.scheme == to.scheme && from.address() == to.address()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(url: &str) -> Option<Place> {
        Place::of(&Source::parse(url).unwrap())
    }

    #[test]
    fn what_is_reached_by_ssh_has_its_forge_at_https() {
        for (url, root, path) in [
            ("https://Host.example/org/repo.git", "https://host.example", "org/repo"),
            ("https://host:8443/a/b/c/", "https://host:8443", "a/b/c"),
            ("http://host:3000/org//repo", "http://host:3000", "org/repo"),
            ("git@Host.example:org/repo.git", "https://host.example", "org/repo"),
            ("host.example:/org/repo", "https://host.example", "org/repo"),
            ("ssh://git@host.example:2222/org/repo.git", "https://host.example", "org/repo"),
            ("ssh://git@ssh.github.com:443/org/repo.git", "https://github.com", "org/repo"),
            ("ssh://git@[::1]:22/org/repo", "https://[::1]", "org/repo"),
            ("github.com/org/repo#main:deploy", "https://github.com", "org/repo"),
        ] {
            let place = place(url).unwrap();
            assert_eq!((place.root().as_str(), place.path.as_str()), (root, path), "{url}");
        }
        assert_eq!((place("/srv/git/repo"), place("file:///srv/git/repo")), (None, None));
    }

    #[test]
    fn a_page_is_on_the_same_host_and_a_plain_link() {
        let place = place("https://host.example:8443/org/repo").unwrap();
        let long = format!("https://host.example/{}", "x".repeat(MOST_BYTES));
        for fine in [
            "https://host.example/org/repo/pulls/1",
            "https://HOST.example:8443/-/merge_requests/1?x=%20#note",
            "http://host.example/org/repo/pulls/1",
        ] {
            assert!(place.is_page(fine), "{fine}");
        }
        for wrong in [
            "javascript:alert(1)",
            "javascript://host.example/%0aalert(1)",
            "data:text/html,x",
            "//host.example/x",
            "/org/repo/pulls/1",
            "https://evil.example/org/repo",
            "https://host.example.evil/org",
            "https://host.example@evil.example/",
            "https://evil.example\\@host.example/",
            "https://user:pass@host.example/",
            "https://host.example?@evil.example/",
            "https://evil.example#host.example/",
            "https://host.example/\u{1b}[2J",
            "https://host.example/\n",
            "https://host.example/\u{202e}",
            "https://host.example/\"onclick=",
            "https://host.example/<script>",
            " https://host.example/",
            "",
            &long,
        ] {
            assert!(!place.is_page(wrong), "{wrong}");
        }
    }

    #[test]
    fn another_scheme_host_or_port_is_somebody_else() {
        let is_same = |to| is_same_origin("https://h/api", to);
        assert!(is_same("https://h/x") && is_same("https://H:443/x"));
        for other in ["http://h/x", "https://h:444/x", "https://h.evil/x", "https://u@h/x", "//h/x", "/x"] {
            assert!(!is_same(other), "{other}");
        }
    }

    #[test]
    fn a_path_is_encoded_for_one_part() {
        assert_eq!(encoded("group/sub group/a+b.c_d-e?%#"), "group%2Fsub%20group%2Fa%2Bb.c_d-e%3F%25%23");
        assert_eq!(owner_and_name("org/re po"), Some(("org".into(), "re%20po".into())));
        assert_eq!((owner_and_name("org"), owner_and_name("a/b/c")), (None, None));
    }

    #[test]
    fn a_commit_has_its_page_where_the_forge_of_that_name_has_it() {
        let page = |url: &str| crate::forge::page_of_commit(&Source::parse(url).unwrap(), "c1");
        for (url, wanted) in [
            ("https://github.com/org/repo.git#main:deploy", "https://github.com/org/repo/commit/c1"),
            ("git@gitlab.example.org:a/b/c.git", "https://gitlab.example.org/a/b/c/-/commit/c1"),
            ("ssh://git@bitbucket.org/org/repo", "https://bitbucket.org/org/repo/commits/c1"),
            ("http://git.example.org:3000/org/repo", "http://git.example.org:3000/org/repo/commit/c1"),
        ] {
            assert_eq!(page(url).as_deref(), Some(wanted), "{url}");
        }
        for nowhere in ["/srv/git/shop", "file:///srv/git/shop", "https://h/o/\"onclick="] {
            assert_eq!(page(nowhere), None, "{nowhere}");
        }
    }
}
