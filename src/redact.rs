//! Secrets that cannot be printed, and credentials taken out of what is.

use std::fmt;

use serde::Deserialize;

/// A secret value. `Debug` and `Display` show `[redacted]`; only `expose` gives the text away.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself: call it only where it leaves for the one place it is meant for.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// The text with what stands before the `@` of each URL taken out: a database of the older release, or docker's
/// own words, may hold a URL with a password. The plain user of `ssh://git@host` stays.
pub fn without_credentials(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || "`'\"<>".contains(c)).unwrap_or(after.len());
        let (url, behind) = after.split_at(end);
        // A password may hold a `/` where somebody forgot to encode it.
        match url.rsplit_once('@') {
            Some((user, host)) if !is_plain_user(before, user) => out.push_str(&format!("…@{host}")),
            _ => out.push_str(url),
        }
        rest = behind;
    }
    out + rest
}

/// The text without these secrets: a server may say back what it was shown.
pub fn without_secrets(text: &str, secrets: &[Secret]) -> String {
    /// A shorter one stands in every other word.
    const SHORTEST: usize = 4;
    let all = secrets.iter().map(Secret::expose).filter(|secret| secret.len() >= SHORTEST);
    all.fold(text.to_owned(), |text, secret| text.replace(secret, "[redacted]"))
}

fn is_plain_user(scheme: &str, user: &str) -> bool {
    scheme.ends_with("ssh://") && !user.contains(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_loses_its_credentials_and_nothing_else() {
        for (text, wanted) in [
            ("https://u:p@h/r and https://t@h/r", "https://…@h/r and https://…@h/r"),
            ("cannot fetch `https://u:p/w@h/r`: no", "cannot fetch `https://…@h/r`: no"),
            ("ssh://git@h:22/r ssh://u:p@h/r", "ssh://git@h:22/r ssh://…@h/r"),
            ("git@h:o/r https://h/r#main:a nginx@sha256:1", "git@h:o/r https://h/r#main:a nginx@sha256:1"),
            ("://", "://"),
        ] {
            assert_eq!(without_credentials(text), wanted);
        }
    }

    #[test]
    fn neither_display_nor_debug_shows_it() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?}"), "[redacted] [redacted]");
        assert_eq!(secret.expose(), "hunter2");
    }
}
