//! What `validate` reads: limits, where bindings may lie, and who it works for. It needs neither a home nor a database.

use anyhow::Result;

use super::guard::folders;
use super::{Environment, GitAccess, Variables, limits, text};
use crate::guard::Guard;

/// Whose form mistakes are told in as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ci {
    /// `GITHUB_ACTIONS`: lines that it makes annotations of.
    GitHub,
    /// None, or one that reads a file.
    Other,
}

/// All that `validate` reads of the environment.
#[derive(Debug, Clone)]
pub struct CheckSettings {
    pub git: GitAccess,
    /// Where bindings may lie, as far as another machine can tell.
    pub guard: Guard,
    pub ci: Ci,
    /// What docker's CLI inherits: no variable of a compose file is looked up in it.
    pub docker_environment: Variables,
}

/// What docker needs to find itself, and its plugins.
const OF_DOCKER: [&str; 3] = ["PATH", "HOME", "DOCKER_CONFIG"];

impl CheckSettings {
    /// Reads the process environment.
    pub fn from_environment() -> Result<Self> {
        Self::from(&Environment::of_the_process())
    }

    pub(super) fn from(environment: &Environment) -> Result<Self> {
        let roots = text(environment, "DOCKEROPS_BINDING_ROOTS")?;
        let roots = roots.as_deref().map_or_else(|| Ok(Vec::new()), folders)?;
        let is_github = text(environment, "GITHUB_ACTIONS")?.is_some_and(|value| value == "true");
        let for_docker = environment.iter().filter(|(name, _)| OF_DOCKER.iter().any(|it| name == it));
        Ok(Self {
            git: GitAccess::without_credentials(limits(environment)?),
            guard: Guard::new(roots),
            ci: if is_github { Ci::GitHub } else { Ci::Other },
            docker_environment: for_docker.map(|(name, value)| (name.clone(), value.clone())).collect(),
        })
    }
}
