//! Submodules, at the commits the repository pins, and theirs.
//!
//! `.gitmodules` is hostile: it is read from the commit, by our own few lines (git's reader would follow
//! `include.path` to any file), and may not make root read this machine's files: see `local`.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use git2::{ObjectType, Oid, Repository, Tree};

use super::count;
use super::fetch::{self, Fetched, Folders, Work};
use super::listing::checked;
use super::local::{Neighbours, is_local};
use super::size::size;
use super::trees::Modules;
use super::worker::alive;
use super::write::{self, Objects, Writer};
use crate::fault::{OrHint, fault};
use crate::paths::Root;
use crate::source::Source;

/// Submodules within submodules: more is a circle.
const DEEPEST: usize = 8;
/// Submodules of one source, those within submodules included: each is asked of a server.
const MOST: usize = 500;
/// The largest `.gitmodules` taken, in bytes: 500 entries are a tenth of that.
const MOST_BYTES: usize = 1024 * 1024;
const GITMODULES: &str = ".gitmodules";

/// What `.gitmodules` says of one path.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Entry {
    path: String,
    url: String,
    skipped: bool,
}

/// Brings all submodules of the commit in `fetched`, which came from `url`, each with git's own folder beside those
/// of the others; they are noted in `modules`. Their files are written, all of them, and their folders by `writer`.
pub(super) fn fetch_all(
    fetched: &Fetched,
    url: &str,
    work: Work<'_>,
    modules: &mut Modules,
    writer: &mut Writer,
) -> Result<()> {
    let objects = Objects::of(&fetched.repository, work.budget, work.pulse)?;
    let tree = fetched.repository.find_tree(fetched.tree)?;
    if tree.get_name(GITMODULES).is_none() {
        return Ok(());
    }
    let links = named(&objects, &tree, writer)?;
    for (path, _) in &links {
        writer.admit(path);
        writer.bring(&objects, fetched.tree, path)?;
    }
    descend(fetched, links, url, &Way { work, neighbours: &Neighbours::of(url)? }, modules, 1)
}

/// The submodules that `.gitmodules` names and the commit has: no folder is read for one that nobody names.
pub(super) fn named(
    objects: &Objects<'_>,
    tree: &Tree<'_>,
    writer: &mut Writer,
) -> Result<Vec<(PathBuf, Oid)>> {
    let paths: BTreeSet<_> = entries(objects.repository, tree)?.into_iter().map(|entry| entry.path).collect();
    let mut found = Vec::new();
    for path in paths {
        alive(objects.pulse)?;
        let path = PathBuf::from(path);
        if let Some(id) = writer.link(objects, tree.id(), &path)? {
            found.push((path, id));
        }
    }
    Ok(found)
}

/// What stays the same all the way down.
#[derive(Clone, Copy)]
struct Way<'a> {
    work: Work<'a>,
    /// Of the source itself, however deep.
    neighbours: &'a Option<Neighbours>,
}

fn descend(
    parent: &Fetched,
    links: Vec<(PathBuf, Oid)>,
    url: &str,
    way: &Way<'_>,
    modules: &mut Modules,
    depth: usize,
) -> Result<()> {
    let (repository, tree) = (&parent.repository, parent.repository.find_tree(parent.tree)?);
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
    let entries = entries(repository, &tree)?;
    let root = Root::on_disk(repository.workdir().context("the checkout has no work tree")?);
    for (path, wanted) in links {
        let path = path.to_string_lossy();
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
        let folder = root.resolve(root.path(), &path).with_context(what)?;
        let folders = Folders { git: modules.add(&folder), files: folder };
        let asked = match way.neighbours {
            Some(neighbours) if is_local(&url) => neighbours.admit(&url).with_context(what)?,
            _ => url.clone(),
        };
        let inner = fetch::fetch(&asked, "", wanted, &folders, (&fetch::Way::Keep, None), way.work)
            .with_context(what)?;
        write_out(&inner, &folders, way.work).with_context(what)?;
        // All of it is written out.
        let tree = inner.repository.find_tree(inner.tree)?;
        let below = Objects::of(&inner.repository, way.work.budget, way.work.pulse)?;
        let below = self::links(&below, &tree).with_context(what)?;
        descend(&inner, below, &url, way, modules, depth + 1).with_context(what)?;
    }
    Ok(())
}

fn write_out(fetched: &Fetched, folders: &Folders, work: Work<'_>) -> Result<()> {
    let objects = Objects::of(&fetched.repository, work.budget, work.pulse)?;
    let tree = fetched.repository.find_tree(fetched.tree)?;
    write::write(&objects, &tree, &folders.files).map_err(|error| fetch::not_written(error, fetched.commit))
}

/// Where submodules are to be in a tree that is written out whole, and at which commits.
pub(super) fn links(objects: &Objects<'_>, tree: &Tree<'_>) -> Result<Vec<(PathBuf, Oid)>> {
    count::bound(objects, tree)?;
    let mut found = Vec::new();
    add_links(objects, tree, &mut PathBuf::new(), &mut found)?;
    Ok(found)
}

fn add_links(
    objects: &Objects<'_>,
    tree: &Tree<'_>,
    at: &mut PathBuf,
    found: &mut Vec<(PathBuf, Oid)>,
) -> Result<()> {
    alive(objects.pulse)?;
    for entry in tree {
        at.push(OsStr::from_bytes(entry.name_bytes()));
        match entry.kind() {
            Some(ObjectType::Commit) => found.push((at.clone(), entry.id())),
            Some(ObjectType::Tree) => {
                add_links(objects, &checked(objects.repository, entry.id())?, at, found)?;
            }
            _ => {}
        }
        at.pop();
    }
    Ok(())
}

fn entries(repository: &Repository, tree: &Tree<'_>) -> Result<Vec<Entry>> {
    let Some(item) = tree.get_name(GITMODULES) else {
        return Ok(Vec::new());
    };
    let size = size(&repository.odb()?, item.id())?;
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
