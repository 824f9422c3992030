//! One conversation with a remote: callbacks, proxy, and a redirect followed without credentials, but by no push.

use anyhow::Result;
use git2::{Config, ConfigLevel, Direction, Odb, Oid, ProxyOptions, RemoteCallbacks, Repository};

use super::credentials::Keyring;
use super::{explain, redirect};
use crate::settings::{GitAccess, Purpose};

/// What a remote advertises: a name, and what it points at.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) name: String,
    pub(super) id: Oid,
    /// Of `HEAD`, the ref that it stands for, where the server tells.
    pub(super) leads_to: Option<String>,
}

/// Lets `act` talk to `url`, and once more to where `url` redirects, unless it pushes; errors come explained.
///
/// libgit2 would carry the first host's credentials along, so it is never let redirect by itself.
pub(super) fn talk<T>(
    url: &str,
    access: &GitAccess,
    act: impl Fn(&str, &Keyring) -> Result<T, git2::Error>,
) -> Result<T> {
    let keyring = Keyring::new(access);
    match act(url, &keyring) {
        Err(error) if redirect::was_refused(&error) && access.purpose == Purpose::Push => {
            Err(redirect::moved(url, None))
        }
        Err(error) if redirect::was_refused(&error) => {
            let target = redirect::resolve(url, access.timeout)?;
            let keyring = Keyring::new(access);
            act(&target, &keyring).map_err(|error| explain::failure(&error, &target, access, &keyring))
        }
        result => result.map_err(|error| explain::failure(&error, url, access, &keyring)),
    }
}

/// Asks what the remote has: the `ls-remote`.
pub(super) fn ls(url: &str, access: &GitAccess) -> Result<Vec<Head>> {
    talk(url, access, |url, keyring| {
        let repository = bare()?;
        let mut remote = repository.remote_anonymous(url)?;
        let callbacks = callbacks(keyring);
        let connection = remote.connect_auth(Direction::Fetch, Some(callbacks), Some(proxy()))?;
        Ok(list(connection.list()?))
    })
}

pub(super) fn list(heads: &[git2::RemoteHead<'_>]) -> Vec<Head> {
    let head = |head: &git2::RemoteHead<'_>| Head {
        name: head.name().to_owned(),
        id: head.oid(),
        leads_to: head.symref_target().map(str::to_owned),
    };
    heads.iter().map(head).collect()
}

pub(super) fn callbacks<'a>(keyring: &'a Keyring<'_>) -> RemoteCallbacks<'a> {
    let mut callbacks = RemoteCallbacks::new();
    callbacks.credentials(|url, user, allowed| keyring.answer(url, user, allowed));
    callbacks.certificate_check(|certificate, _| Ok(keyring.look_at(certificate)));
    callbacks
}

/// The proxy variables decide.
pub(super) fn proxy<'a>() -> ProxyOptions<'a> {
    let mut proxy = ProxyOptions::new();
    proxy.auto();
    proxy
}

/// Forbids libgit2 to redirect to another host. The API has no other way for a mere `connect`.
pub(super) fn forbid_redirects(config: &mut Config) -> Result<(), git2::Error> {
    config.set_bool("http.followRedirects", false)
}

/// A repository without files, for a remote that is only asked.
fn bare() -> Result<Repository, git2::Error> {
    let failed = |error: std::io::Error| git2::Error::from_str(&format!("no temporary file: {error}"));
    let file = tempfile::NamedTempFile::new().map_err(failed)?;
    let mut config = Config::new()?;
    config.add_file(file.path(), ConfigLevel::Local, true)?;
    forbid_redirects(&mut config)?;
    let repository = Repository::from_odb(Odb::new()?)?;
    // The snapshot lives in memory, so the file may go.
    repository.set_config(&config.snapshot()?)?;
    Ok(repository)
}
