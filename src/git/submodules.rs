//! Submodules, at the commits the repository pins, and theirs.
//!
//! `.gitmodules` is hostile: it is read from the commit, by our own few lines (git's reader would follow
//! `include.path` to any file), and may not make root read this machine's files: see `local`.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use git2::{Oid, Repository};

use super::fetch::{self, Folders, Work};
use super::local::{Neighbours, is_local};
use super::trees::Modules;
use crate::fault::{OrHint, fault};
use crate::paths;
use crate::source::Source;

/// Submodules within submodules: more is a circle.
const DEEPEST: usize = 8;
/// Submodules of one source, those within submodules included: each is asked of a server.
const MOST: usize = 500;
/// The largest `.gitmodules` taken, in bytes: 500 entries are a tenth of that.
const MOST_BYTES: usize = 1024 * 1024;
const GITLINK: u32 = 0o160_000;

/// What `.gitmodules` says of one path.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Entry {
    path: String,
    url: String,
    skipped: bool,
}

/// Brings all submodules of the work tree of `repository`, which came from `url`, each with git's own folder
/// beside those of the others; they are noted in `modules`.
pub(super) fn fetch_all(
    repository: &Repository,
    url: &str,
    work: Work<'_>,
    modules: &mut Modules,
) -> Result<()> {
    if links(repository)?.is_empty() {
        return Ok(());
    }
    let way = Way { work, neighbours: &Neighbours::of(url)? };
    descend(repository, url, &way, modules, 1)
}

/// What stays the same all the way down.
#[derive(Clone, Copy)]
struct Way<'a> {
    work: Work<'a>,
    /// Of the source itself, however deep.
    neighbours: &'a Option<Neighbours>,
}

fn descend(
    repository: &Repository,
    url: &str,
    way: &Way<'_>,
    modules: &mut Modules,
    depth: usize,
) -> Result<()> {
    let links = links(repository)?;
    if links.is_empty() {
        return Ok(());
    }
    if depth > DEEPEST {
        return Err(fault(
            format!("its submodules are nested more than {DEEPEST} deep"),
            "does a submodule hold itself?",
        ));
    }
    if modules.count() + links.len() > MOST {
        return Err(fault(
            format!("it has more than {MOST} submodules"),
            "watch a repository that holds only what is deployed",
        ));
    }
    let entries = entries(repository)?;
    let root = repository.workdir().context("the checkout has no work tree")?;
    for (path, wanted) in links {
        let what = || format!("submodule `{}`", crate::plain::name(&path));
        let entry = entries.iter().find(|entry| entry.path == path && !entry.url.is_empty());
        let entry = entry
            .ok_or_else(|| {
                fault(
                    "it has no `path` and `url` in `.gitmodules`",
                    "add it with `git submodule add`, or remove the folder from the repository",
                )
            })
            .with_context(what)?;
        if entry.skipped {
            continue;
        }
        let url = resolve(url, &entry.url).with_context(what)?;
        let folder = paths::existing_inside(root, &path).with_context(what)?;
        let folders = Folders { git: modules.add(&folder), files: folder };
        let asked = match way.neighbours {
            Some(neighbours) if is_local(&url) => neighbours.admit(&url).with_context(what)?,
            _ => url.clone(),
        };
        let inner = fetch::fetch(&asked, "", wanted, &folders, None, way.work).with_context(what)?;
        descend(&inner.repository, &url, way, modules, depth + 1).with_context(what)?;
    }
    Ok(())
}

/// Where submodules are to be, and at which commits.
fn links(repository: &Repository) -> Result<Vec<(String, Oid)>> {
    let index = repository.index()?;
    let links = index.iter().filter(|entry| entry.mode == GITLINK);
    Ok(links.map(|entry| (String::from_utf8_lossy(&entry.path).into_owned(), entry.id)).collect())
}

fn entries(repository: &Repository) -> Result<Vec<Entry>> {
    let tree = repository.head()?.peel_to_tree()?;
    let Some(item) = tree.get_name(".gitmodules") else {
        return Ok(Vec::new());
    };
    let (size, _) = repository.odb()?.read_header(item.id())?;
    if size > MOST_BYTES {
        return Err(fault(
            format!("`.gitmodules` is larger than {} KiB", MOST_BYTES / 1024),
            "it holds a `path` and a `url` for each submodule",
        ));
    }
    let object = item.to_object(repository)?;
    let text = object.as_blob().map(|blob| String::from_utf8_lossy(blob.content()));
    Ok(text.map(|text| parse(&text)).unwrap_or_default())
}

/// Reads git's configuration syntax as far as `git submodule add` writes it.
fn parse(text: &str) -> Vec<Entry> {
    let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
    let mut section = None;
    for line in text.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[') {
            section = header
                .split_once(']')
                .and_then(|(header, _)| header.split_once(' '))
                .filter(|(kind, _)| kind.eq_ignore_ascii_case("submodule"))
                .map(|(_, name)| name.trim().to_owned());
            continue;
        }
        let (Some(name), Some((key, value))) = (&section, line.split_once('=')) else {
            continue;
        };
        let entry = entries.entry(name.clone()).or_default();
        match key.trim().to_ascii_lowercase().as_str() {
            "path" => unquote(value).trim_end_matches('/').clone_into(&mut entry.path),
            "url" => entry.url = unquote(value),
            "update" => entry.skipped = unquote(value) == "none",
            _ => {}
        }
    }
    entries.into_values().collect()
}

fn unquote(value: &str) -> String {
    let (mut text, mut quoted) = (String::new(), false);
    let mut characters = value.trim().chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => quoted = !quoted,
            '\\' => text.extend(characters.next()),
            '#' | ';' if !quoted => break,
            other => text.push(other),
        }
    }
    if quoted { text } else { text.trim_end().to_owned() }
}

/// The submodule's URL, seen from its parent's.
fn resolve(parent: &str, url: &str) -> Result<String> {
    let hint =
        "in `.gitmodules`, write an https or ssh URL, or one relative to the repository's own (`../other`)";
    let joined = if url.starts_with("./") || url.starts_with("../") {
        relative(parent, url).or_hint(hint)?
    } else if url.contains("://") || url.starts_with('/') || url.contains(':') {
        url.to_owned()
    } else {
        return Err(fault("its `url` in `.gitmodules` is neither a URL nor relative", hint));
    };
    let source = Source::parse(&joined).or_hint(hint)?;
    if source.reference().is_some() || source.dir().is_some() {
        return Err(fault("its `url` in `.gitmodules` holds a `#`", hint));
    }
    if is_local(source.url()) && !is_local(parent) {
        return Err(fault(
            "a repository from the network names a local path as submodule, which is refused",
            hint,
        ));
    }
    Ok(source.url().to_owned())
}

/// `../other` replaces the last part of the parent's path, never its host (git-submodule(1)).
fn relative(parent: &str, url: &str) -> Result<String> {
    let (mut base, mut rest) = (parent.trim_end_matches('/'), url);
    let scp = !parent.contains("://") && !parent.starts_with('/');
    loop {
        if let Some(after) = rest.strip_prefix("./") {
            rest = after;
        } else if let Some(after) = rest.strip_prefix("../") {
            base = match base.rfind(|c| c == '/' || (scp && c == ':')) {
                // The `//` before the host stays.
                Some(at) if !base[..at].ends_with('/') => &base[..at],
                _ => bail!("the relative `url` in `.gitmodules` climbs above the server"),
            };
            rest = after;
        } else {
            break;
        }
    }
    // `git@host` has lost all of its path, and with it the colon.
    let separator = if scp && !base.contains(':') { ':' } else { '/' };
    Ok(format!("{base}{separator}{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gitmodules_is_read_as_git_writes_it() {
        let entries = parse(
            "[include]\n\tpath = /etc/passwd\n[submodule \"a b\"]\n\tpath = \"lib/a b\"\n\turl = ../x.git # why\n\
             ; no\n[Submodule \"n\"]\n  URL=https://h/\\\"q\n  path=n/\n  update = none\n[core]\nurl = no\n",
        );
        let a = entries.iter().find(|entry| entry.path == "lib/a b").unwrap();
        assert_eq!((a.url.as_str(), a.skipped), ("../x.git", false));
        let n = entries.iter().find(|entry| entry.path == "n").unwrap();
        assert_eq!((n.url.as_str(), n.skipped), ("https://h/\"q", true));
        assert_eq!(entries.len(), 2);
    }

    #[test]
    fn relative_urls_are_seen_from_the_parent() {
        for (parent, url, wanted) in [
            ("https://h/o/r", "../x.git", "https://h/o/x.git"),
            ("https://h:1/o/r/", "./x", "https://h:1/o/r/x"),
            ("https://h/o/r", "../../p/x", "https://h/p/x"),
            ("git@h:o/r.git", "../x.git", "git@h:o/x.git"),
            ("git@h:o/r.git", "../../p/x", "git@h:p/x"),
            ("ssh://git@h/o/r", "../x", "ssh://git@h/o/x"),
            ("/srv/git/r", "../x", "/srv/git/x"),
            ("file:///srv/git/r", "../x", "file:///srv/git/x"),
        ] {
            assert_eq!(resolve(parent, url).unwrap(), wanted, "{parent} {url}");
        }
    }

    #[test]
    fn hostile_urls_are_refused() {
        for (parent, url) in [
            ("https://h/o/r", "file:///etc"),
            ("https://h/o/r", "/etc"),
            ("git@h:o/r", "/srv/secret"),
            ("ssh://h/o/r", "file:///srv/secret"),
            ("https://h/o/r", "../../../x"),
            ("https://h/o/r", "../../../../x"),
            ("https://h:1/r", "../../x"),
            ("git@h:o/r", "../../../x"),
            ("https://h/o/r", "ext::sh -c id"),
            ("https://h/o/r", "ext::id"),
            ("https://h/o/r", "-oProxyCommand=id"),
            ("https://h/o/r", "--upload-pack=id"),
            ("https://h/o/r", "git://h/x"),
            ("https://h/o/r", "x"),
            ("https://h/o/r", ""),
            ("https://h/o/r", "https://u:p@h/x"),
            ("https://h/o/r", "../x#main"),
            ("/srv/r", "../../../x"),
        ] {
            assert!(resolve(parent, url).is_err(), "{parent} {url}");
        }
    }
}
