//! A push to a repository on this machine's own disk.
//!
//! libgit2 would run none of its hooks, take no heed of what its branch points at, and leave root's files in somebody
//! else's folder. So: one with hooks is refused, the branch is compared under git's own lock, and what is written is
//! written as the owner's, who could have done so.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use git2::{Buf, ErrorCode, Repository, Transaction};

use super::send::{Answer, Sending};
use crate::fault::{OrHint, fault};
use crate::git::local;
use crate::plain;

/// How often, and after what time each, a lock is asked for.
const TRIES: usize = 20;
const TICK: Duration = Duration::from_millis(100);
/// What git runs, or lets decide, when something is pushed (githooks(5)).
const HOOKS: [&str; 7] = [
    "pre-receive",
    "update",
    "post-receive",
    "post-update",
    "reference-transaction",
    "proc-receive",
    "push-to-checkout",
];

/// Pushes what the repository in `git` has and the other one lacks. The thread is the owner's afterwards: it does
/// nothing else.
pub(super) fn push(git: &Path, sending: &Sending) -> Result<Answer> {
    let pack = pack(git, sending)?;
    let path = local::path_of(&sending.url);
    let owner = path.metadata().with_context(|| format!("`{}` cannot be read", sending.url))?;
    become_owner(owner.uid(), owner.gid())?;
    let there = Repository::open(&path)?;
    check(&there, sending)?;
    // Held until it is over: what is refused leaves nothing there.
    let mut branch = lock(&there, &sending.name)?;
    let now = there.find_reference(&sending.name).ok().and_then(|now| now.target());
    if now != sending.lease {
        return Ok(Answer::Moved);
    }
    let odb = there.odb()?;
    let mut writer = odb.packwriter()?;
    let written = writer.write_all(&pack).map_err(anyhow::Error::from);
    written
        .and_then(|()| Ok(writer.commit()?))
        .with_context(|| format!("cannot write to `{}`", path.display()))
        .or_hint("check the free space there, and that its owner may write to it")?;
    branch.set_target(&sending.name, sending.commit, None, "push")?;
    branch.commit()?;
    Ok(Answer::Taken)
}

/// git's own lock of a branch, which nobody holds for long.
fn lock<'a>(there: &'a Repository, name: &str) -> Result<Transaction<'a>> {
    if let Some(other) = in_the_way(there, name)? {
        let hint = "delete that branch, or name another one in `DOCKEROPS_WRITE_BRANCH`";
        let what = format!("there is `{}`: git has no branch below another", plain::name(&other));
        return Err(fault(what, hint));
    }
    let mut branch = there.transaction()?;
    for _ in 0..TRIES {
        match branch.lock_ref(name) {
            Err(error) if error.code() == ErrorCode::Locked => thread::sleep(TICK),
            Err(error) => return Err(error.into()),
            Ok(()) => return Ok(branch),
        }
    }
    let file = there.commondir().join(format!("{name}.lock"));
    Err(fault(
        format!("the branch is locked: there is `{}`", plain::name(&file.display().to_string())),
        "another push may be under way; where none is, one was killed: remove that file",
    ))
}

/// The branch that this one would lie below, or above.
fn in_the_way(there: &Repository, name: &str) -> Result<Option<String>> {
    let is_below = |one: &str, other: &str| one.strip_prefix(other).is_some_and(|rest| rest.starts_with('/'));
    for other in there.references()?.names() {
        // What is no text is no branch of ours.
        let Ok(other) = other else { continue };
        if is_below(name, other) || is_below(other, name) {
            return Ok(Some(other.to_owned()));
        }
    }
    Ok(None)
}

/// All that is new, in memory: the owner of the other repository cannot read where it lies.
fn pack(git: &Path, sending: &Sending) -> Result<Buf> {
    fs::write(git.join("shallow"), format!("{}\n", sending.tip))?;
    let repository = Repository::open(git)?;
    let mut walk = repository.revwalk()?;
    walk.push(sending.commit)?;
    walk.hide(sending.tip)?;
    let (mut builder, mut pack) = (repository.packbuilder()?, Buf::new());
    builder.insert_walk(&mut walk)?;
    builder.write_buf(&mut pack)?;
    Ok(pack)
}

fn check(there: &Repository, sending: &Sending) -> Result<()> {
    let path = there.path().display();
    let config = there.config()?.snapshot()?;
    let hooks = config.get_path("core.hooksPath").map(|hooks| there.path().join(hooks));
    let hooks = hooks.unwrap_or_else(|_| there.commondir().join("hooks"));
    let runs = |name: &&&str| {
        hooks.join(name).metadata().is_ok_and(|hook| hook.is_file() && hook.permissions().mode() & 0o111 != 0)
    };
    if let Some(hook) = HOOKS.iter().find(runs) {
        return Err(fault(
            format!("`{path}` has the hook `{hook}`, which would not be run"),
            "watch the repository by ssh, or by a server that runs its hooks",
        ));
    }
    let is_here = |repository: &Repository| {
        !repository.is_bare()
            && repository
                .find_reference("HEAD")
                .is_ok_and(|head| head.symbolic_target().ok().flatten() == Some(&*sending.name))
    };
    let worktrees = there.worktrees()?;
    let mut trees = worktrees.iter().filter_map(|name| {
        let tree = there.find_worktree(name.ok().flatten()?).ok()?;
        Repository::open_from_worktree(&tree).ok()
    });
    if is_here(there) || trees.any(|tree| is_here(&tree)) {
        return Err(fault(
            format!("the branch of `{path}` is checked out: its files would not follow"),
            "watch a bare repository that people push to, or check out another branch there",
        ));
    }
    if sending.is_forced && config.get_bool("receive.denyNonFastForwards").unwrap_or(false) {
        return Err(fault(
            format!("`{path}` takes no commit in place of another (`receive.denyNonFastForwards`)"),
            "remove the branch there: it is made anew",
        ));
    }
    Ok(())
}

/// From here on this thread reads and writes files as that user.
#[expect(unsafe_code, reason = "C's own functions; no crate has them")]
fn become_owner(user: u32, group: u32) -> Result<()> {
    if rustix::process::geteuid().as_raw() == user {
        return Ok(());
    }
    // SAFETY: they take any number, and change this one thread. They tell what was before; asked for no user, they only
    // tell.
    let is_owner = unsafe {
        libc::setfsgid(group);
        libc::setfsuid(user);
        let none = libc::uid_t::MAX;
        (libc::setfsgid(none).cast_unsigned(), libc::setfsuid(none).cast_unsigned()) == (group, user)
    };
    ensure!(is_owner, "the repository is another user's, and this process may not write as that one");
    Ok(())
}
