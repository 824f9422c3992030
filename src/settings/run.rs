//! What only the daemon reads: so that a wrong value stops `run`, and no command beside it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, bail};

use super::{Environment, WriteSettings, secret, text};
use crate::fault::{OrHint, fault};
use crate::redact::Secret;

/// The shortest interval: a cycle costs every git server a question.
const SHORTEST: u64 = 5;
const LONGEST: u64 = 86_400;

/// How the daemon writes its log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// All that `run` reads beside `Settings`.
#[derive(Debug, Clone)]
pub struct RunSettings {
    /// `DOCKEROPS_REPOS`: sources as they were written, in their order.
    pub repos: Vec<String>,
    /// `DOCKEROPS_SYNC_INTERVAL`: from the end of a cycle to the next; at least 5 s.
    pub interval: Duration,
    /// `DOCKEROPS_LOG`.
    pub log: LogFormat,
    /// `DOCKEROPS_LISTEN`: where the HTTP server listens; without it there is none.
    pub listen: Option<SocketAddr>,
    /// `DOCKEROPS_WEBHOOK_SECRET`, never empty; without it every hook is refused.
    pub webhook_secret: Option<Secret>,
    /// `DOCKEROPS_API_TOKEN`, never empty; there whenever `listen` is no loopback address.
    pub api_token: Option<Secret>,
    pub write: WriteSettings,
}

impl RunSettings {
    /// Reads the process environment.
    pub fn from_environment() -> Result<Self> {
        Self::from(&Environment::of_the_process())
    }

    pub(crate) fn from(environment: &Environment) -> Result<Self> {
        let settings = Self {
            repos: sources(environment, "DOCKEROPS_REPOS")?,
            interval: interval(environment)?,
            log: log(environment)?,
            listen: listen(environment)?,
            webhook_secret: strict_secret(environment, "DOCKEROPS_WEBHOOK_SECRET")?,
            api_token: strict_secret(environment, "DOCKEROPS_API_TOKEN")?,
            write: WriteSettings::from(environment)?,
        };
        if settings.write.token.is_some() && settings.write.token == settings.api_token {
            return Err(fault(
                "`DOCKEROPS_WRITE_TOKEN` and `DOCKEROPS_API_TOKEN` are the same",
                "who may look is not who may write: give them two values (`openssl rand -hex 32`)",
            ));
        }
        if settings.write.token.is_some() && settings.write.token == settings.webhook_secret {
            return Err(fault(
                "`DOCKEROPS_WRITE_TOKEN` and `DOCKEROPS_WEBHOOK_SECRET` are the same",
                "who may tell of a push is not who may write: give them two values (`openssl rand -hex 32`)",
            ));
        }
        if let Some(address) = settings.listen
            && !address.ip().is_loopback()
            && settings.api_token.is_none()
        {
            return Err(fault(
                format!(
                    "`DOCKEROPS_LISTEN` is `{address}`, which others can reach, and there is no `DOCKEROPS_API_TOKEN`"
                ),
                "set `DOCKEROPS_API_TOKEN` or `DOCKEROPS_API_TOKEN_FILE`, or listen on `127.0.0.1`",
            ));
        }
        Ok(settings)
    }

    /// What is set and comes to nothing.
    pub fn idle(&self) -> Vec<&'static str> {
        let (write, mut idle) = (&self.write, Vec::new());
        if write.token.is_some() && self.listen.is_none() {
            idle.push("`DOCKEROPS_WRITE_TOKEN` is set, and nobody can show it: `DOCKEROPS_LISTEN` is not");
        }
        if !write.repos.is_empty() && write.token.is_none() {
            idle.push(
                "`DOCKEROPS_WRITE_REPOS` is set, and nothing is written: `DOCKEROPS_WRITE_TOKEN` is not",
            );
        }
        idle
    }
}

/// Sources, as they were written.
pub(super) fn sources(environment: &Environment, name: &str) -> Result<Vec<String>> {
    let value = text(environment, name)?.unwrap_or_default();
    let sources = value.split([',', ';']).map(str::trim).filter(|source| !source.is_empty());
    Ok(sources.map(Into::into).collect())
}

fn interval(environment: &Environment) -> Result<Duration> {
    let Some(value) = text(environment, "DOCKEROPS_SYNC_INTERVAL")? else {
        return Ok(Duration::from_secs(300));
    };
    match value.trim().parse::<u64>() {
        Ok(number @ SHORTEST..=LONGEST) => Ok(Duration::from_secs(number)),
        _ => Err(fault(
            format!(
                "`DOCKEROPS_SYNC_INTERVAL` is `{value}`, not a number of seconds from {SHORTEST} to {LONGEST}"
            ),
            "the default is 300: unset `DOCKEROPS_SYNC_INTERVAL` to use it",
        )),
    }
}

fn log(environment: &Environment) -> Result<LogFormat> {
    match text(environment, "DOCKEROPS_LOG")?.as_deref() {
        None | Some("text") => Ok(LogFormat::Text),
        Some("json") => Ok(LogFormat::Json),
        Some(other) => {
            Err(fault(format!("`DOCKEROPS_LOG` is `{other}`"), "it is either `text` (the default) or `json`"))
        }
    }
}

fn listen(environment: &Environment) -> Result<Option<SocketAddr>> {
    let Some(value) = text(environment, "DOCKEROPS_LISTEN")? else { return Ok(None) };
    match value.trim().parse() {
        Ok(address) => Ok(Some(address)),
        Err(_) => Err(fault(
            format!("`DOCKEROPS_LISTEN` is `{value}`, not an address and a port"),
            "write `127.0.0.1:8080`, `0.0.0.0:8080` or `[::1]:8080`",
        )),
    }
}

/// Set and empty is a mistake here, not the same as unset: an empty secret would be anybody's.
pub(super) fn strict_secret(environment: &Environment, name: &str) -> Result<Option<Secret>> {
    let refuse_blank = || -> Result<()> {
        if environment.ask(name).is_some_and(|value| value.to_string_lossy().trim().is_empty()) {
            bail!("`{name}` is set and empty");
        }
        Ok(())
    };
    refuse_blank().or_hint(format!(
        "give `{name}` a value that cannot be guessed (`openssl rand -hex 32`), or unset it"
    ))?;
    secret(environment, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Result<RunSettings> {
        RunSettings::from(&pairs.iter().map(|(name, value)| (name.into(), value.into())).collect())
    }

    #[test]
    fn defaults() {
        let settings = settings(&[]).unwrap();
        assert_eq!((settings.interval, settings.log), (Duration::from_secs(300), LogFormat::Text));
        assert!(settings.repos.is_empty() && settings.listen.is_none() && settings.api_token.is_none());
    }

    #[test]
    fn repositories_are_split_on_both_marks() {
        let repos = settings(&[("DOCKEROPS_REPOS", "https://a/b#main:x, /c;;/d ,")]).unwrap().repos;
        assert_eq!(repos, ["https://a/b#main:x", "/c", "/d"]);
    }

    #[test]
    fn wrong_values_name_their_variable() {
        for (name, value) in [
            ("DOCKEROPS_SYNC_INTERVAL", "4"),
            ("DOCKEROPS_SYNC_INTERVAL", "5m"),
            ("DOCKEROPS_LOG", "xml"),
            ("DOCKEROPS_LISTEN", "8080"),
            ("DOCKEROPS_LISTEN", "0.0.0.0:8080"),
            ("DOCKEROPS_LISTEN", "[::]:8080"),
            ("DOCKEROPS_WEBHOOK_SECRET", ""),
            ("DOCKEROPS_WEBHOOK_SECRET", " \n"),
            ("DOCKEROPS_API_TOKEN", ""),
            ("DOCKEROPS_WRITE_TOKEN", ""),
            ("DOCKEROPS_USER_HEADER", "X-User"),
            ("DOCKEROPS_TRUSTED_PROXY", "192.0.2.1"),
        ] {
            let error = settings(&[(name, value)]).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
            assert!(crate::fault::hint_of(&error).is_some(), "{name}");
        }
    }

    #[test]
    fn the_token_to_write_is_another_one() {
        let both = |write| settings(&[("DOCKEROPS_API_TOKEN", "t"), ("DOCKEROPS_WRITE_TOKEN", write)]);
        assert!(both("u").unwrap().write.token.is_some());
        assert!(both("t").unwrap_err().to_string().contains("are the same"));
        let hook = [("DOCKEROPS_WEBHOOK_SECRET", "t"), ("DOCKEROPS_WRITE_TOKEN", "t")];
        assert!(settings(&hook).unwrap_err().to_string().contains("DOCKEROPS_WEBHOOK_SECRET"));
    }

    #[test]
    fn what_comes_to_nothing_is_told() {
        let idle = |pairs: &[(&str, &str)]| settings(pairs).unwrap().idle().join("; ");
        assert_eq!(idle(&[]), "");
        assert!(idle(&[("DOCKEROPS_WRITE_TOKEN", "t")]).contains("`DOCKEROPS_LISTEN` is not"));
        assert!(idle(&[("DOCKEROPS_WRITE_REPOS", "/r")]).contains("`DOCKEROPS_WRITE_TOKEN` is not"));
        let whole = [
            ("DOCKEROPS_WRITE_TOKEN", "t"),
            ("DOCKEROPS_LISTEN", "127.0.0.1:1"),
            ("DOCKEROPS_WRITE_REPOS", "/r"),
        ];
        assert_eq!(idle(&whole), "");
    }

    #[test]
    fn an_address_that_others_reach_takes_a_token() {
        for address in ["127.0.0.1:8080", "[::1]:8080"] {
            assert!(settings(&[("DOCKEROPS_LISTEN", address)]).is_ok());
        }
        let open = settings(&[("DOCKEROPS_LISTEN", "0.0.0.0:8080"), ("DOCKEROPS_API_TOKEN", "t")]).unwrap();
        assert_eq!(open.api_token.unwrap().expose(), "t");
    }
}
