//! The only reader of the environment.
//!
//! Out: one `Settings` value, complete and validated; a wrong variable is an error that names it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::fault::{OrHint, fault};
use crate::redact::Secret;

/// All that the environment decides.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `DOCKEROPS_DB_PATH`: the `SQLite` file; the lock and the checkouts lie beside it.
    pub database: PathBuf,
    /// `DOCKEROPS_DEPLOY_TIMEOUT`: how long a stack may take to converge.
    pub deploy_timeout: Duration,
    /// How git is reached.
    pub git: GitAccess,
    /// What docker inherits: the environment less DockerOps' own variables and tokens.
    pub docker_environment: BTreeMap<OsString, OsString>,
}

/// How git is reached: credentials and time limits.
#[derive(Debug, Clone)]
pub struct GitAccess {
    /// `GITHUB_TOKEN`: for https to `github.com` and `gh_host` alone.
    pub github_token: Option<Secret>,
    /// `GH_HOST`: a GitHub Enterprise host, lower case.
    pub gh_host: Option<String>,
    /// `DOCKEROPS_GIT_CREDENTIALS`: a file in git's credential-store format.
    pub credentials_file: Option<PathBuf>,
    /// `DOCKEROPS_GIT_TIMEOUT`: for a connection, and for a transfer that stands still.
    pub timeout: Duration,
    /// `HOME`: default ssh keys and `known_hosts` lie below it.
    pub home: Option<PathBuf>,
}

type Environment = BTreeMap<OsString, OsString>;

impl Settings {
    /// Reads the process environment.
    #[expect(clippy::disallowed_methods, reason = "the one door of the environment")]
    pub fn from_environment() -> Result<Self> {
        Self::from(&std::env::vars_os().collect())
    }

    fn from(environment: &Environment) -> Result<Self> {
        let home = text(environment, "HOME")?.map(PathBuf::from);
        let database = match text(environment, "DOCKEROPS_DB_PATH")? {
            Some(path) => PathBuf::from(path),
            None => home.as_ref().map(|home| home.join(".dockerops/dockerops.db")).ok_or_else(|| {
                fault("neither `DOCKEROPS_DB_PATH` nor `HOME` is set", "set `DOCKEROPS_DB_PATH`")
            })?,
        };
        let database = std::path::absolute(&database)
            .with_context(|| format!("`DOCKEROPS_DB_PATH` is no usable path: `{}`", database.display()))?;
        check_pull_policy(environment)?;
        Ok(Self {
            database,
            deploy_timeout: seconds(environment, "DOCKEROPS_DEPLOY_TIMEOUT", 300)?,
            git: GitAccess {
                github_token: secret(environment, "GITHUB_TOKEN")?,
                gh_host: text(environment, "GH_HOST")?.map(|host| host.to_lowercase()),
                credentials_file: text(environment, "DOCKEROPS_GIT_CREDENTIALS")?.map(PathBuf::from),
                timeout: seconds(environment, "DOCKEROPS_GIT_TIMEOUT", 30)?,
                home,
            },
            docker_environment: environment.iter().filter(|(name, _)| for_docker(name)).map(own).collect(),
        })
    }
}

fn own((name, value): (&OsString, &OsString)) -> (OsString, OsString) {
    (name.clone(), value.clone())
}

/// Whether docker, and so `${…}` in a compose file, may see the variable (DESIGN: decision 3).
fn for_docker(name: &OsString) -> bool {
    let name = name.to_string_lossy();
    !name.starts_with("DOCKEROPS_")
        && !["GITHUB_TOKEN", "GITHUB_TOKEN_FILE", "GH_TOKEN", "GH_ENTERPRISE_TOKEN"].contains(&&*name)
}

/// The variable's text; unset and empty are the same.
fn text(environment: &Environment, name: &str) -> Result<Option<String>> {
    let Some(value) = environment.get(&OsString::from(name)) else {
        return Ok(None);
    };
    let value = value
        .to_str()
        .ok_or_else(|| fault(format!("`{name}` is not UTF-8"), format!("set `{name}` anew")))?;
    Ok(Some(value.to_owned()).filter(|value| !value.is_empty()))
}

/// `NAME`, or the content of the file that `NAME_FILE` names, without the line end.
fn secret(environment: &Environment, name: &str) -> Result<Option<Secret>> {
    if let Some(value) = text(environment, name)? {
        return Ok(Some(Secret::new(value.trim())));
    }
    let variable = format!("{name}_FILE");
    let Some(path) = text(environment, &variable)? else {
        return Ok(None);
    };
    let content = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read `{path}`, which `{variable}` names"))
        .or_hint(format!("name a readable file in `{variable}`, or unset it"))?;
    if content.trim().is_empty() {
        return Err(fault(
            format!("`{path}`, which `{variable}` names, is empty"),
            format!("unset `{variable}`"),
        ));
    }
    Ok(Some(Secret::new(content.trim())))
}

fn seconds(environment: &Environment, name: &str, default: u64) -> Result<Duration> {
    let Some(value) = text(environment, name)? else {
        return Ok(Duration::from_secs(default));
    };
    match value.trim().parse::<u64>() {
        Ok(number @ 1..=86_400) => Ok(Duration::from_secs(number)),
        _ => Err(fault(
            format!("`{name}` is `{value}`, not a number of seconds from 1 to 86400"),
            format!("the default is {default}: unset `{name}` to use it"),
        )),
    }
}

fn check_pull_policy(environment: &Environment) -> Result<()> {
    match text(environment, "DOCKEROPS_IMAGE_PULL_POLICY")?.as_deref() {
        None | Some("ifnotpresent" | "always") => Ok(()),
        Some(other) => Err(fault(
            format!("`DOCKEROPS_IMAGE_PULL_POLICY` is `{other}`"),
            "it is either `ifnotpresent` (the default) or `always`",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    #[test]
    fn defaults() {
        let settings = Settings::from(&environment(&[("HOME", "/root"), ("GITHUB_TOKEN", "")])).unwrap();
        assert_eq!(settings.database, PathBuf::from("/root/.dockerops/dockerops.db"));
        assert_eq!(settings.deploy_timeout, Duration::from_secs(300));
        assert_eq!(settings.git.github_token, None);
    }

    #[test]
    fn docker_never_sees_our_own_variables() {
        let settings = Settings::from(&environment(&[
            ("HOME", "/root"),
            ("GITHUB_TOKEN", "t"),
            ("DOCKEROPS_GIT_CREDENTIALS", "/f"),
            ("DOCKER_HOST", "unix:///x"),
            ("TAG", "1"),
        ]))
        .unwrap();
        let names: Vec<_> = settings.docker_environment.keys().map(|name| name.to_str().unwrap()).collect();
        assert_eq!(names, ["DOCKER_HOST", "HOME", "TAG"]);
    }

    #[test]
    fn a_secret_may_come_from_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "from-file\n").unwrap();
        let pairs = [("HOME", "/root"), ("GITHUB_TOKEN_FILE", file.path().to_str().unwrap())];
        let settings = Settings::from(&environment(&pairs)).unwrap();
        assert_eq!(settings.git.github_token.unwrap().expose(), "from-file");
    }

    #[test]
    fn wrong_values_name_their_variable() {
        for (name, value) in [
            ("DOCKEROPS_DEPLOY_TIMEOUT", "soon"),
            ("DOCKEROPS_GIT_TIMEOUT", "0"),
            ("DOCKEROPS_IMAGE_PULL_POLICY", "never"),
        ] {
            let error = Settings::from(&environment(&[("HOME", "/root"), (name, value)])).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}
