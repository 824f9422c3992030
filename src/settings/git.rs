//! How git is reached: to fetch, and to push.

use std::path::PathBuf;
use std::time::Duration;

use super::WriteSettings;
use crate::budget::Limits;
use crate::redact::Secret;

/// What git is reached for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Fetch,
    Push,
}

/// How git is reached: credentials and time limits.
#[derive(Debug, Clone)]
pub struct GitAccess {
    pub purpose: Purpose,
    /// `GITHUB_TOKEN`: for https to `github.com` and `gh_host` alone.
    pub github_token: Option<Secret>,
    /// `GH_HOST`: a GitHub Enterprise host, lower case.
    pub gh_host: Option<String>,
    /// `DOCKEROPS_GIT_CREDENTIALS`: a file in git's credential-store format. `DOCKEROPS_PUSH_CREDENTIALS` to push.
    pub credentials_file: Option<PathBuf>,
    /// `DOCKEROPS_GIT_TIMEOUT`: for a connection, and for a transfer that stands still.
    pub timeout: Duration,
    /// `HOME`: default ssh keys and `known_hosts` lie below it.
    pub home: Option<PathBuf>,
    /// How much of one source is taken.
    pub limits: Limits,
    /// Where objects are kept from fetch to fetch, beside the database.
    pub kept: Option<PathBuf>,
}

impl GitAccess {
    /// To push, with what is set for that alone, or an ssh key: what may read is not taken to write.
    pub fn to_push(&self, settings: &WriteSettings) -> Self {
        Self {
            purpose: Purpose::Push,
            github_token: None,
            credentials_file: settings.push_credentials.clone(),
            ..self.clone()
        }
    }

    /// The variable that names its file of credentials.
    pub fn variable(&self) -> &'static str {
        match self.purpose {
            Purpose::Fetch => "DOCKEROPS_GIT_CREDENTIALS",
            Purpose::Push => "DOCKEROPS_PUSH_CREDENTIALS",
        }
    }

    /// For what lies on this machine.
    pub(super) fn without_credentials(limits: Limits) -> Self {
        Self {
            purpose: Purpose::Fetch,
            github_token: None,
            gh_host: None,
            credentials_file: None,
            timeout: Duration::from_secs(30),
            home: None,
            limits,
            kept: None,
        }
    }
}
