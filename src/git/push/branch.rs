//! Which branch a source follows, and whose the commits of another one are.

use std::cell::RefCell;
use std::path::Path;

use anyhow::Result;
use git2::{Oid, Repository};

use crate::budget::Budget;
use crate::fault::fault;
use crate::git::fetch::{self, Work};
use crate::git::ls::branches;
use crate::git::remote::{self, Head};
use crate::git::worker::Pulse;
use crate::git::{Commit, Transfer, local};
use crate::settings::{Author, GitAccess};

/// The branch that `reference` names, without `refs/heads/`, and what it points at; or in words what it names instead.
pub(super) fn followed(heads: &[Head], reference: Option<&str>) -> Result<Result<(String, Oid), String>> {
    let find = |name: &str| heads.iter().find(|head| head.name == name);
    let branch = |branch: &str| {
        let head = find(&format!("refs/heads/{branch}"))?;
        Some((branch.to_owned(), head.id))
    };
    let shown = |name: &str| crate::plain::name(name);
    match reference.unwrap_or("HEAD") {
        "HEAD" => {
            let name = find("HEAD").and_then(|head| head.leads_to.as_deref()?.strip_prefix("refs/heads/"));
            let found = name.and_then(branch);
            Ok(found.ok_or_else(|| "the repository's HEAD, which the server names no branch for".into()))
        }
        name if Commit::parse(name).is_ok() => Ok(Err(format!("the commit `{name}`"))),
        name => {
            if let Some(found) = branch(name).or_else(|| branch(name.strip_prefix("refs/heads/")?)) {
                return Ok(Ok(found));
            }
            if find(&format!("refs/tags/{name}")).is_some() || name.starts_with("refs/tags/") {
                return Ok(Err(format!("the tag `{}`", shown(name))));
            }
            if find(name).is_some() {
                return Ok(Err(format!("`{}`, which is no branch", shown(name))));
            }
            let what = format!("there is no branch `{}` in the repository", shown(name));
            Err(fault(what, branches(heads)))
        }
    }
}

/// A branch that holds a commit of ours.
#[derive(Debug, Clone, Copy)]
pub(super) struct Existing {
    pub commit: Oid,
    parent: Oid,
    tree: Oid,
}

impl Existing {
    /// Whether it is this tree on this tip already.
    pub(super) fn is(&self, tip: Oid, tree: Oid) -> bool {
        self.parent == tip && self.tree == tree
    }
}

/// The commit at the end of a branch, where all of that branch is ours; it is fetched into the repository in `git`.
///
/// We put one commit on a commit of the followed branch, and make it anew only where it is the last one still: so no
/// commit of somebody else comes to lie below it. Whoever adds to it, amends it or rebases it is its committer.
pub(super) fn existing(
    git: &Path,
    url: &str,
    wanted: Oid,
    access: &GitAccess,
    author: &Author,
    pulse: &Pulse,
) -> Result<Option<Existing>> {
    let repository = Repository::open_bare(git)?;
    if !local::is_local(url) && repository.find_commit(wanted).is_err() {
        pulse.begin(url, access.timeout)?;
        remote::forbid_redirects(&mut repository.config()?)?;
        let (budget, notes, transfer) = (Budget::new(access.limits), RefCell::default(), Transfer::new());
        let work = Work { access, pulse, budget: &budget, notes: &notes, transfer: &transfer };
        fetch::download(&repository, url, wanted, true, work).map_err(|(error, _)| error)?;
    }
    // As it was written: which parents are here is another matter.
    let odb = repository.odb()?;
    let raw = odb.read(wanted)?;
    let text = String::from_utf8_lossy(raw.data()).into_owned();
    let (head, _) = text.split_once("\n\n").unwrap_or((&text, ""));
    let parents: Vec<_> = head.lines().filter_map(|line| line.strip_prefix("parent ")).collect();
    let commit = repository.find_commit(wanted)?;
    let is_ours = |who: &git2::Signature<'_>| {
        who.name().ok() == Some(&*author.name) && who.email().ok() == Some(&*author.email)
    };
    let [parent] = parents[..] else { return Ok(None) };
    let is_ours = is_ours(&commit.committer()) && is_ours(&commit.author());
    Ok(is_ours.then_some(Existing { commit: wanted, parent: Oid::from_str(parent)?, tree: commit.tree_id() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(name: &str, leads_to: Option<&str>) -> Head {
        Head { name: name.into(), id: Oid::from_bytes(&[7; 20]).unwrap(), leads_to: leads_to.map(Into::into) }
    }

    #[test]
    fn a_branch_is_written_to_and_nothing_else() {
        let heads = [
            head("HEAD", Some("refs/heads/main")),
            head("refs/heads/main", None),
            head("refs/heads/v1", None),
            head("refs/tags/v1", None),
            head("refs/tags/v2", None),
            head("refs/pull/1/head", None),
        ];
        let followed = |reference| followed(&heads, reference).unwrap().map(|(name, _)| name);
        assert_eq!(followed(None).unwrap(), "main");
        assert_eq!(followed(Some("HEAD")).unwrap(), "main");
        assert_eq!(followed(Some("v1")).unwrap(), "v1");
        assert_eq!(followed(Some("refs/heads/main")).unwrap(), "main");
        assert!(followed(Some("v2")).unwrap_err().contains("the tag `v2`"));
        assert!(followed(Some("refs/tags/v1")).unwrap_err().contains("the tag"));
        assert!(followed(Some("refs/pull/1/head")).unwrap_err().contains("no branch"));
        assert!(followed(Some(&"a".repeat(40))).unwrap_err().contains("the commit"));
        assert!(super::followed(&heads, Some("none")).unwrap_err().to_string().contains("no branch `none`"));
        assert!(super::followed(&[head("HEAD", None)], None).unwrap().unwrap_err().contains("HEAD"));
    }
}
