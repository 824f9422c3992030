//! Names that patterns stand for: `*` is any letters but `/`, `**` any folders.

use anyhow::{Context, Result};
use glob::{MatchOptions, Pattern};

/// A name is one of them where any of the patterns matches all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patterns(Vec<Pattern>);

const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

impl Patterns {
    pub fn add(&mut self, pattern: &str) -> Result<()> {
        self.0.push(Pattern::new(pattern).context("is no pattern")?);
        Ok(())
    }

    pub fn matches(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches_with(name, OPTIONS))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The patterns as they were written, for a sentence.
impl std::fmt::Display for Patterns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const TOLD: usize = 8;
        if self.is_empty() {
            return f.write_str("none");
        }
        let told: Vec<_> = self.0.iter().take(TOLD).map(|pattern| format!("`{pattern}`")).collect();
        f.write_str(&told.join(", "))?;
        if self.0.len() > TOLD { write!(f, " and {} more", self.0.len() - TOLD) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(texts: &[&str]) -> Patterns {
        let mut patterns = Patterns::default();
        for text in texts {
            patterns.add(text).unwrap();
        }
        patterns
    }

    #[test]
    fn a_star_ends_at_a_slash_and_two_do_not() {
        let all = patterns(&["ghcr.io/acme/*", "docker.io/**", "web-*"]);
        for name in ["ghcr.io/acme/web", "docker.io/library/nginx", "docker.io/x", "web-prod", "web-"] {
            assert!(all.matches(name), "{name}");
        }
        for name in ["ghcr.io/acme/a/b", "ghcr.io/acme", "xghcr.io/acme/web", "Web-prod", "web", ""] {
            assert!(!all.matches(name), "{name}");
        }
        assert!(!Patterns::default().matches(""));
        assert!(Patterns::default().add("a**").is_err());
    }
}
