//! Whom a push concerns: among the watched sources by repository and ref, among the running images by name
//! and tag. Pure.

use std::collections::BTreeSet;

use super::{Push, PushedImage};
use crate::image::ImageRef;
use crate::source::{Parts, Source, bare_path};

/// Why a push concerns nobody.
pub const NO_SOURCE: &str = "no watched repository has this address";

/// The sources that a push concerns; `Err` says why there are none.
pub fn sources<'a>(watched: &'a [Source], push: &Push) -> Result<Vec<&'a Source>, String> {
    let pushed: BTreeSet<_> = push.repository.iter().filter_map(|url| Location::of(url)).collect();
    let here: Vec<_> = watched
        .iter()
        .filter(|source| Location::of(source.url()).is_some_and(|it| pushed.contains(&it)))
        .collect();
    if here.is_empty() {
        return Err(NO_SOURCE.to_owned());
    }
    let concerned: Vec<_> = here.into_iter().filter(|source| follows(source, push)).collect();
    if concerned.is_empty() {
        let names: Vec<_> = push.references.iter().take(5).map(|name| format!("`{name}`")).collect();
        return Err(format!("no watched source follows {}", names.join(", ")));
    }
    Ok(concerned)
}

/// The images, as their services name them, that a push concerns. One that is pinned to a digest does not move.
pub fn images<'a>(running: impl Iterator<Item = &'a str>, pushed: &[PushedImage]) -> BTreeSet<String> {
    running
        .filter(|name| !name.contains('@'))
        .filter_map(|name| Some((name, ImageRef::parse(name).ok()?)))
        .filter(|(_, image)| pushed.iter().any(|pushed| is_same(image, pushed)))
        .map(|(name, _)| name.to_owned())
        .collect()
}

fn is_same(image: &ImageRef, pushed: &PushedImage) -> bool {
    let (path, tag) = (&pushed.path, &pushed.tag);
    match &pushed.registry {
        Some(registry) => ImageRef::parse(&format!("{registry}/{path}:{tag}")).is_ok_and(|it| it == *image),
        // Any registry but Docker Hub, whose familiar names bear no host.
        None => image.to_string().split_once('/').is_some_and(|(host, rest)| {
            (host.contains(['.', ':']) || host == "localhost") && rest == format!("{path}:{tag}")
        }),
    }
}

/// Where a repository lies, however it is reached: the host without port and user, and the path, both without
/// case. Two repositories that only differ in those are told apart by git; here it costs one look too many.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Location {
    host: String,
    path: String,
}

impl Location {
    fn of(url: &str) -> Option<Self> {
        let (host, path) = match Parts::of(url) {
            Some(parts) => (parts.host, parts.path.to_owned()),
            None if url.starts_with('/') => (String::new(), url.to_owned()),
            // `[user@]host:path`.
            None => {
                let (host, path) = url.split_once(':')?;
                let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
                (host.to_ascii_lowercase(), path.to_owned())
            }
        };
        // The names under which ssh is also served on port 443.
        let host =
            host.strip_prefix("ssh.").or_else(|| host.strip_prefix("altssh.")).unwrap_or(&host).to_owned();
        let path = bare_path(path.trim_start_matches('/')).to_ascii_lowercase();
        (!path.is_empty()).then_some(Self { host, path })
    }
}

/// Whether what moved is what the source follows. Without a ref it follows the default branch; where the sender
/// does not tell which that is, any branch may be it.
fn follows(source: &Source, push: &Push) -> bool {
    push.references.iter().any(|moved| match (source.reference(), &push.default_branch) {
        (None, Some(default)) => moved.strip_prefix("refs/heads/") == Some(default),
        (None, None) => moved.starts_with("refs/heads/"),
        (Some(name), _) if name.starts_with("refs/") => moved == name,
        (Some(name), _) => {
            ["refs/heads/", "refs/tags/"].iter().any(|kind| moved.strip_prefix(kind) == Some(name))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(url: &str, moved: &str) -> Push {
        Push {
            repository: vec![url.to_owned()],
            default_branch: Some("main".into()),
            references: vec![moved.to_owned()],
        }
    }

    fn concerns(source: &str, push: &Push) -> bool {
        sources(&[Source::parse(source).unwrap()], push).is_ok()
    }

    #[test]
    fn a_repository_is_the_same_by_every_spelling() {
        let spellings = [
            "https://github.com/org/shop",
            "https://github.com/org/shop.git",
            "https://GitHub.com/org/shop/",
            "github.com/org/shop",
            "git@github.com:org/shop.git",
            "ssh://git@github.com/org/shop",
            "ssh://git@ssh.github.com:443/org/shop.git",
            "https://github.com/Org/Shop",
        ];
        for watched in spellings {
            for pushed in spellings.into_iter().filter(|url| !url.starts_with("github")) {
                assert!(concerns(watched, &push(pushed, "refs/heads/main")), "{watched} {pushed}");
            }
            for other in [
                "https://github.com/org/shop2",
                "https://gitlab.com/org/shop",
                "https://github.com/shop",
                "https://evil.example/github.com/org/shop",
                "https://github.com.evil.example/org/shop",
                "shop",
                "",
            ] {
                assert!(!concerns(watched, &push(other, "refs/heads/main")), "{watched} {other}");
            }
        }
        assert!(concerns("/srv/shop.git", &push("file:///srv/shop", "refs/heads/main")));
    }

    #[test]
    fn only_the_ref_that_is_followed_counts() {
        let url = "https://github.com/org/shop";
        let follows = |fragment: &str, moved: &str| concerns(&format!("{url}{fragment}"), &push(url, moved));
        assert!(follows("", "refs/heads/main"));
        assert!(!follows("", "refs/heads/other"));
        assert!(!follows("", "refs/tags/main"));
        assert!(follows("#other", "refs/heads/other"));
        assert!(follows("#other:env/prod", "refs/heads/other"));
        assert!(!follows("#other", "refs/heads/main"));
        assert!(follows("#v1", "refs/tags/v1"));
        assert!(follows("#feature/x", "refs/heads/feature/x"));
        assert!(!follows("#x", "refs/heads/feature/x"));
        assert!(follows("#refs/heads/main", "refs/heads/main"));
        assert!(!follows("#refs/tags/main", "refs/heads/main"));
        assert!(!follows("#0123456789abcdef0123456789abcdef01234567", "refs/heads/main"));
    }

    #[test]
    fn a_default_branch_that_is_not_told_may_be_any() {
        let url = "https://bitbucket.org/org/shop";
        let push = |moved| Push { default_branch: None, ..push(url, moved) };
        assert!(concerns(url, &push("refs/heads/x")));
        assert!(!concerns(url, &push("refs/tags/x")));
    }

    #[test]
    fn the_reason_names_what_moved() {
        let watched = [Source::parse("https://github.com/org/shop").unwrap()];
        let why = sources(&watched, &push("https://github.com/org/shop", "refs/heads/x")).unwrap_err();
        assert_eq!(why, "no watched source follows `refs/heads/x`");
        assert_eq!(sources(&watched, &push("https://github.com/o/x", "r")).unwrap_err(), NO_SOURCE);
    }

    #[test]
    fn images_by_name_and_tag() {
        let running = [
            "nginx",
            "nginx:1.29",
            "team/shop:1",
            "team/shop:1@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            "registry.example.org/team/shop:1",
            "10.0.0.1:5000/team/shop:1",
            "not an image",
        ];
        let found = |registry: Option<&str>, path: &str, tag: &str| {
            let pushed =
                PushedImage { registry: registry.map(str::to_owned), path: path.into(), tag: tag.into() };
            images(running.into_iter(), &[pushed]).into_iter().collect::<Vec<_>>()
        };
        let hub = Some("docker.io");
        assert_eq!(found(hub, "library/nginx", "latest"), ["nginx"]);
        assert_eq!(found(hub, "nginx", "1.29"), ["nginx:1.29"]);
        assert_eq!(found(hub, "team/shop", "1"), ["team/shop:1"]);
        assert_eq!(found(hub, "team/shop", "2"), Vec::<String>::new());
        assert_eq!(found(hub, "../../x", "1"), Vec::<String>::new());
        assert_eq!(
            found(None, "team/shop", "1"),
            ["10.0.0.1:5000/team/shop:1", "registry.example.org/team/shop:1"]
        );
        assert_eq!(found(None, "library/nginx", "latest"), Vec::<String>::new());
    }
}
