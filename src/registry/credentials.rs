//! The docker CLI's own credentials: `config.json` with its `auths`, `credsStore` and `credHelpers`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;

use crate::process::{self, Call};
use crate::redact::Secret;
use crate::settings::RegistryAccess;

/// What Docker Hub is called there (docker/cli `registry.IndexServer`).
const HUB: &str = "https://index.docker.io/v1/";
/// The user name by which a helper says that the secret is an identity token.
const TOKEN_USER: &str = "<token>";

/// What is offered to one registry, and to its token service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    Password {
        user: String,
        password: Secret,
    },
    /// A refresh token, which a token service exchanges.
    Identity(Secret),
    /// A token for the registry itself.
    Bearer(Secret),
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Config {
    auths: BTreeMap<String, Entry>,
    creds_store: String,
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase", default)]
struct Entry {
    auth: Option<Secret>,
    username: String,
    password: Option<Secret>,
    identitytoken: Option<Secret>,
    registrytoken: Option<Secret>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Helped {
    username: String,
    secret: Secret,
}

/// The credential for `registry` (`docker.io` or `host[:port]`), if there is one.
pub fn find(registry: &str, access: &RegistryAccess) -> Result<Option<Credential>> {
    let Some(folder) = &access.docker_config else { return Ok(None) };
    let config = read(&folder.join("config.json"))?;
    let server = if registry == "docker.io" { HUB } else { registry };
    let helper = config.cred_helpers.get(server).unwrap_or(&config.creds_store);
    if helper.is_empty() { config.stored(server) } else { from_helper(helper, server, access) }
}

/// Whether the docker CLI was ever told to log in to `host`.
pub fn is_named(host: &str, access: &RegistryAccess) -> bool {
    let config = access.docker_config.as_ref().and_then(|folder| read(&folder.join("config.json")).ok());
    config.is_some_and(|config| {
        let mut names = config.auths.keys().chain(config.cred_helpers.keys());
        names.any(|name| self::host(name).eq_ignore_ascii_case(host))
    })
}

fn read(path: &Path) -> Result<Config> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Config::default()),
        text => text.with_context(|| format!("cannot read `{}`", path.display()))?,
    };
    // serde's error would quote what it stumbled over, which may be a password.
    serde_json::from_str(&text)
        .ok()
        .with_context(|| format!("`{}` is not docker's configuration", path.display()))
}

impl Config {
    /// By the exact name, else by the host of an older entry like `https://host/v1/`.
    fn stored(&self, server: &str) -> Result<Option<Credential>> {
        let by_host =
            || self.auths.iter().find(|(name, _)| host(name) == host(server)).map(|(_, entry)| entry);
        let Some(entry) = self.auths.get(server).or_else(by_host) else { return Ok(None) };
        entry.credential().with_context(|| format!("docker's credentials for `{}`", host(server)))
    }
}

impl Entry {
    fn credential(&self) -> Result<Option<Credential>> {
        let filled = |secret: &Option<Secret>| secret.clone().filter(|secret| !secret.expose().is_empty());
        if let Some(token) = filled(&self.identitytoken) {
            return Ok(Some(Credential::Identity(token)));
        }
        if let Some(token) = filled(&self.registrytoken) {
            return Ok(Some(Credential::Bearer(token)));
        }
        if let Some(auth) = filled(&self.auth) {
            let bytes = BASE64_STANDARD.decode(auth.expose().trim()).ok();
            let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
            let text = text.context("`auth` is not base64")?;
            let (user, password) = text.split_once(':').context("`auth` holds no `:`")?;
            // docker/cli cuts off the zero bytes that old releases padded with.
            let password = Secret::new(password.trim_end_matches('\0'));
            return Ok(Some(Credential::Password { user: user.to_owned(), password }));
        }
        let password = filled(&self.password).filter(|_| !self.username.is_empty());
        Ok(password.map(|password| Credential::Password { user: self.username.clone(), password }))
    }
}

fn host(server: &str) -> &str {
    let rest = server.split_once("://").map_or(server, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

/// `docker-credential-NAME get`: the server on standard input, the answer as JSON.
fn from_helper(name: &str, server: &str, access: &RegistryAccess) -> Result<Option<Credential>> {
    ensure!(!name.contains('/'), "`{name}` is no name of a credential helper");
    let program = format!("docker-credential-{name}");
    let output = process::run(&Call {
        program: program.clone(),
        arguments: vec!["get".into()],
        environment: access.environment.clone(),
        folder: None,
        input: Some(server.to_owned()),
        limit: access.timeout,
    });
    let output = output.with_context(|| format!("`{program}`"))?;
    if !output.success {
        // docker-credential-helpers prints its errors on stdout.
        let said = format!("{}{}", output.stdout, output.stderr);
        if said.contains("credentials not found") {
            return Ok(None);
        }
        bail!("`{program} get` failed for `{}`: {}", host(server), said.trim());
    }
    let helped: Option<Helped> = serde_json::from_str(&output.stdout).ok();
    let Helped { username, secret } =
        helped.with_context(|| format!("`{program} get` printed no credentials for `{}`", host(server)))?;
    Ok(Some(match username.as_str() {
        TOKEN_USER => Credential::Identity(secret),
        _ => Credential::Password { user: username, password: secret },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(config: &str, registry: &str) -> Option<Credential> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), config).unwrap();
        let access =
            RegistryAccess { docker_config: Some(folder.path().into()), ..RegistryAccess::default() };
        find(registry, &access).unwrap()
    }

    fn password(user: &str, password: &str) -> Credential {
        Credential::Password { user: user.into(), password: Secret::new(password) }
    }

    #[test]
    fn an_entry_is_found_by_its_name_or_its_host() {
        let config = r#"{"auths": {
            "https://index.docker.io/v1/": {"auth": "aHViOnB3"},
            "https://old.example/v1/": {"auth": "b2xkOmE6Yg=="},
            "host:5000": {"username": "u", "password": "p"},
            "id.example": {"auth": "eDp5", "identitytoken": "refresh"},
            "empty.example": {}
        }}"#;
        assert_eq!(found(config, "docker.io"), Some(password("hub", "pw")));
        assert_eq!(found(config, "old.example"), Some(password("old", "a:b")));
        assert_eq!(found(config, "host:5000"), Some(password("u", "p")));
        assert_eq!(found(config, "id.example"), Some(Credential::Identity(Secret::new("refresh"))));
        for stranger in ["empty.example", "host", "host:5001", "example", "index.docker.io.evil"] {
            assert_eq!(found(config, stranger), None, "{stranger}");
        }
    }

    #[test]
    fn a_broken_configuration_is_no_place_to_quote_from() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), r#"{"auths": {"h": {"auth": "hunter2"#).unwrap();
        let access =
            RegistryAccess { docker_config: Some(folder.path().into()), ..RegistryAccess::default() };
        let error = format!("{:#}", find("h", &access).unwrap_err());
        assert!(error.contains("is not docker's configuration") && !error.contains("hunter2"), "{error}");
    }
}
