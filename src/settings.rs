//! The only reader of the environment.
//!
//! Out: one `Settings` value, complete and validated; a wrong variable is an error that names it.

mod check;
mod environment;
mod git;
mod guard;
mod run;
mod write;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::budget::Limits;
use crate::fault::{OrHint, fault};
use crate::guard::Guard;
use crate::image::ImageRef;
use crate::redact::Secret;

pub use check::{CheckSettings, Ci};
pub use environment::{Environment, Variables};
pub use git::{GitAccess, Purpose};
pub use run::{LogFormat, RunSettings};
pub use write::{Author, WriteSettings};

/// All that the environment decides.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `DOCKEROPS_DB_PATH`: the `SQLite` file; the lock and the checkouts lie beside it.
    pub database: PathBuf,
    /// `DOCKEROPS_DEPLOY_TIMEOUT`: how long a stack may take to converge.
    pub deploy_timeout: Duration,
    /// `DOCKEROPS_BUILD_TIMEOUT`: how long one build, or one push, may take.
    pub build_timeout: Duration,
    pub git: GitAccess,
    pub registry: RegistryAccess,
    /// `DOCKEROPS_IMAGE_PULL_POLICY`: when images are brought to this node.
    pub pull_policy: PullPolicy,
    /// `DOCKEROPS_PRUNE_NODES`: unused images go from every node; by a job of this image.
    pub prune_nodes: Option<String>,
    /// `DOCKEROPS_HISTORY`: so many versions of each stack are noted.
    pub history: usize,
    /// `DOCKEROPS_KEEP_VERSIONS`: of so many of them the images, configs and secrets stay.
    pub keep_versions: usize,
    /// `DOCKEROPS_POLICY`: the file that says what sources may do.
    pub policy: Option<PathBuf>,
    /// Where bindings may lie: in `DOCKEROPS_BINDING_ROOTS`, and never where DockerOps lives.
    pub guard: Guard,
    /// Who runs this, for others to read: `SUDO_USER`, else `USER`.
    pub person: String,
    /// What docker inherits: the environment less DockerOps' own variables and tokens.
    pub docker_environment: Variables,
}

/// How registries are asked: by the docker CLI's own credentials.
#[derive(Debug, Clone, Default)]
pub struct RegistryAccess {
    /// `DOCKER_CONFIG`, or `.docker` below `HOME`: the folder of docker's `config.json`.
    pub docker_config: Option<PathBuf>,
    /// `DOCKEROPS_REGISTRY_TIMEOUT`: for one request.
    pub timeout: Duration,
    /// What docker's credential helpers inherit.
    pub environment: Variables,
}

/// When images are brought to this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PullPolicy {
    /// Where an image is absent; no registry is asked what its tags name.
    #[default]
    IfNotPresent,
    /// Also where the registry's tag names another digest; services that run it roll.
    Always,
}

impl Settings {
    /// Reads the process environment.
    pub fn from_environment() -> Result<Self> {
        Self::from(&Environment::of_the_process())
    }

    /// Where programs are looked for.
    pub fn programs(&self) -> OsString {
        self.docker_environment.get(OsStr::new("PATH")).cloned().unwrap_or_default()
    }

    /// Reads this environment.
    pub fn from(environment: &Environment) -> Result<Self> {
        let home = text(environment, "HOME")?.map(PathBuf::from);
        let database = match text(environment, "DOCKEROPS_DB_PATH")? {
            Some(path) => PathBuf::from(path),
            None => home.as_ref().map(|home| home.join(".dockerops/dockerops.db")).ok_or_else(|| {
                fault("neither `DOCKEROPS_DB_PATH` nor `HOME` is set", "set `DOCKEROPS_DB_PATH`")
            })?,
        };
        let database = std::path::absolute(&database)
            .with_context(|| format!("`DOCKEROPS_DB_PATH` is no usable path: `{}`", database.display()))?;
        let docker_environment: Variables =
            environment.iter().filter(|(name, _)| for_docker(name)).map(owned).collect();
        let docker_config = match text(environment, "DOCKER_CONFIG")? {
            Some(folder) => Some(PathBuf::from(folder)),
            None => home.as_ref().map(|home| home.join(".docker")),
        };
        let roots = text(environment, "DOCKEROPS_BINDING_ROOTS")?;
        let folders = guard::OwnPaths { database: &database, home: &home, docker_config: &docker_config };
        let guard = guard::guard(roots.as_deref(), &folders, environment)?;
        let kept = Some(beside(&database, ".objects"));
        Ok(Self {
            database,
            deploy_timeout: seconds(environment, "DOCKEROPS_DEPLOY_TIMEOUT", 300)?,
            build_timeout: seconds(environment, "DOCKEROPS_BUILD_TIMEOUT", 3600)?,
            git: GitAccess {
                purpose: Purpose::Fetch,
                github_token: secret(environment, "GITHUB_TOKEN")?,
                gh_host: text(environment, "GH_HOST")?.map(|host| host.to_lowercase()),
                credentials_file: text(environment, "DOCKEROPS_GIT_CREDENTIALS")?.map(PathBuf::from),
                timeout: seconds(environment, "DOCKEROPS_GIT_TIMEOUT", 30)?,
                home,
                limits: limits(environment)?,
                kept,
            },
            registry: RegistryAccess {
                docker_config,
                timeout: seconds(environment, "DOCKEROPS_REGISTRY_TIMEOUT", 10)?,
                environment: docker_environment.clone(),
            },
            pull_policy: pull_policy(environment)?,
            prune_nodes: prune_nodes(environment)?,
            history: count(environment, "DOCKEROPS_HISTORY", 10, 1)?,
            keep_versions: count(environment, "DOCKEROPS_KEEP_VERSIONS", 2, 0)?,
            policy: policy(environment)?,
            guard,
            person: person(environment),
            docker_environment,
        })
    }
}

/// Whom `sudo` was asked by; whoever is there otherwise.
fn person(environment: &Environment) -> String {
    let named =
        ["SUDO_USER", "USER", "LOGNAME"].into_iter().filter_map(|name| environment.get(OsStr::new(name)));
    let person = named.map(|name| name.to_string_lossy()).find(|name| !name.trim().is_empty());
    person.map_or_else(|| "root".to_owned(), |name| crate::plain::name(name.trim()).clone())
}

fn policy(environment: &Environment) -> Result<Option<PathBuf>> {
    let path = text(environment, "DOCKEROPS_POLICY")?.map(PathBuf::from);
    if let Some(path) = path.as_ref().filter(|path| !path.is_absolute()) {
        return Err(fault(
            format!("`DOCKEROPS_POLICY` is relative: `{}`", path.display()),
            "write where it lies on this machine, as in `/etc/dockerops/policy.yaml`",
        ));
    }
    Ok(path)
}

fn owned((name, value): (&OsString, &OsString)) -> (OsString, OsString) {
    (name.clone(), value.clone())
}

/// Whether docker, and so `${…}` in a compose file, may see the variable (DESIGN: decision 3).
fn for_docker(name: &OsString) -> bool {
    let name = name.to_string_lossy();
    !name.starts_with(environment::OWN)
        && !["GITHUB_TOKEN", "GITHUB_TOKEN_FILE", "GH_TOKEN", "GH_ENTERPRISE_TOKEN"].contains(&&*name)
}

/// The variable's text; unset and empty are the same.
fn text(environment: &Environment, name: &str) -> Result<Option<String>> {
    let Some(value) = environment.ask(name) else {
        return Ok(None);
    };
    let value = value
        .to_str()
        .ok_or_else(|| fault(format!("`{name}` is not UTF-8"), format!("set `{name}` anew")))?;
    Ok(Some(value.to_owned()).filter(|value| !value.is_empty()))
}

/// `NAME`, or the content of the file that `NAME_FILE` names, without the line end.
fn secret(environment: &Environment, name: &str) -> Result<Option<Secret>> {
    if let Some(value) = text(environment, name)?.filter(|value| !value.trim().is_empty()) {
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

/// A number of versions, `least` or more.
fn count(environment: &Environment, name: &str, default: usize, least: usize) -> Result<usize> {
    let Some(value) = text(environment, name)? else { return Ok(default) };
    let number = value.trim().parse::<usize>().ok();
    number.filter(|number| (least..=100).contains(number)).ok_or_else(|| {
        fault(
            format!("`{name}` is `{value}`, not a number of versions from {least} to 100"),
            format!("the default is {default}: unset `{name}` to use it"),
        )
    })
}

/// A file that bears the database's name and something behind it.
pub fn beside(database: &Path, name: &str) -> PathBuf {
    let mut file = database.as_os_str().to_owned();
    file.push(name);
    file.into()
}

/// How much of one source is taken.
fn limits(environment: &Environment) -> Result<Limits> {
    let Limits { files, bytes, stacks, git_memory } = Limits::default();
    Ok(Limits {
        files: amount(environment, "DOCKEROPS_MAX_FILES", files)?,
        bytes: amount(environment, "DOCKEROPS_MAX_BYTES", bytes)?,
        stacks: amount(environment, "DOCKEROPS_MAX_STACKS", stacks)?,
        git_memory: enough(amount(environment, "DOCKEROPS_GIT_MEMORY", git_memory)?)?,
    })
}

/// git's library does not even start with less than some.
fn enough(git_memory: u64) -> Result<u64> {
    if git_memory < 1 << 20 {
        return Err(fault("`DOCKEROPS_GIT_MEMORY` is less than `1M`", "git needs some memory to start with"));
    }
    Ok(git_memory)
}

/// A number from 1 on; `K`, `M` and `G` behind it are 1024, its square and its cube.
fn amount(environment: &Environment, name: &str, default: u64) -> Result<u64> {
    let Some(value) = text(environment, name)? else { return Ok(default) };
    let digits = value.trim().trim_end_matches(['K', 'M', 'G']);
    let unit = match &value.trim()[digits.len()..] {
        "" => Some(1),
        "K" => Some(1 << 10),
        "M" => Some(1 << 20),
        "G" => Some(1 << 30),
        _ => None,
    };
    let amount = digits.parse::<u64>().ok().zip(unit).and_then(|(number, unit)| number.checked_mul(unit));
    amount.filter(|amount| *amount > 0).ok_or_else(|| {
        fault(
            format!("`{name}` is `{value}`, not a number from 1 on, such as `20000`, `512M` or `4G`"),
            format!("the default is {default}: unset `{name}` to use it"),
        )
    })
}

fn pull_policy(environment: &Environment) -> Result<PullPolicy> {
    match text(environment, "DOCKEROPS_IMAGE_PULL_POLICY")?.as_deref() {
        None | Some("ifnotpresent") => Ok(PullPolicy::IfNotPresent),
        Some("always") => Ok(PullPolicy::Always),
        Some(other) => Err(fault(
            format!("`DOCKEROPS_IMAGE_PULL_POLICY` is `{other}`"),
            "it is either `ifnotpresent` (the default) or `always`",
        )),
    }
}

/// The image of the job that removes images from the nodes; `None` where that is not wanted.
fn prune_nodes(environment: &Environment) -> Result<Option<String>> {
    let image = text(environment, "DOCKEROPS_PRUNE_IMAGE")?.unwrap_or_else(|| "docker:cli".into());
    match text(environment, "DOCKEROPS_PRUNE_NODES")?.as_deref() {
        None | Some("0") => Ok(None),
        Some("1") => match ImageRef::parse(&image) {
            Ok(_) => Ok(Some(image)),
            Err(error) => Err(fault(
                format!("`DOCKEROPS_PRUNE_IMAGE` is `{image}`, which is no image: {error:#}"),
                "name one that has the docker CLI, or unset it for `docker:cli`",
            )),
        },
        Some(other) => Err(fault(
            format!("`DOCKEROPS_PRUNE_NODES` is `{other}`"),
            "it is either `1` (remove unused images from every node) or `0` (the default)",
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
        let settings = Settings::from(&environment(&[("HOME", "/root"), ("GITHUB_TOKEN", " ")])).unwrap();
        assert_eq!(settings.database, PathBuf::from("/root/.dockerops/dockerops.db"));
        assert_eq!(settings.deploy_timeout, Duration::from_secs(300));
        assert_eq!(settings.git.github_token, None);
        assert_eq!((settings.history, settings.keep_versions), (10, 2));
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
    fn amounts_may_have_a_unit() {
        let pairs = [("HOME", "/root"), ("DOCKEROPS_MAX_BYTES", "6G"), ("DOCKEROPS_MAX_FILES", "7")];
        let limits = Settings::from(&environment(&pairs)).unwrap().git.limits;
        assert_eq!(limits, Limits { bytes: 6 << 30, files: 7, ..Limits::default() });
    }

    #[test]
    fn wrong_values_name_their_variable() {
        for (name, value) in [
            ("DOCKEROPS_DEPLOY_TIMEOUT", "soon"),
            ("DOCKEROPS_GIT_TIMEOUT", "0"),
            ("DOCKEROPS_IMAGE_PULL_POLICY", "never"),
            ("DOCKEROPS_REGISTRY_TIMEOUT", "-1"),
            ("DOCKEROPS_PRUNE_NODES", "yes"),
            ("DOCKEROPS_HISTORY", "0"),
            ("DOCKEROPS_HISTORY", "101"),
            ("DOCKEROPS_KEEP_VERSIONS", "-1"),
            ("DOCKEROPS_MAX_FILES", "0"),
            ("DOCKEROPS_MAX_BYTES", "4GB"),
            ("DOCKEROPS_MAX_STACKS", "MK"),
            ("DOCKEROPS_GIT_MEMORY", "99999999999999G"),
            ("DOCKEROPS_GIT_MEMORY", "1023K"),
            ("DOCKEROPS_BINDING_ROOTS", "srv"),
        ] {
            let error = Settings::from(&environment(&[("HOME", "/root"), (name, value)])).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}
