//! Which nodes services must, and may, ask for.
//!
//! Source: moby/swarmkit `manager/constraint/constraint.go`.

use std::fmt;

use super::Rules;
use super::check::Finder;
use crate::yaml::Node;

/// `node.labels.zone == a`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraint {
    key: String,
    equal: bool,
    value: String,
}

impl Constraint {
    pub fn parse(text: &str) -> Option<Self> {
        // Swarm looks for the one all through the text before it looks for the other.
        let (operator, equal) = if text.contains("==") { ("==", true) } else { ("!=", false) };
        let (key, value) = text.split_once(operator)?;
        let (key, value) = (key.trim(), value.trim());
        let is_key = |key: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
            key.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
                && key.bytes().all(plain)
        };
        (is_key(key) && !value.is_empty()).then(|| Self { key: key_of(key), equal, value: value.to_owned() })
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operator = if self.equal { "==" } else { "!=" };
        write!(f, "{} {operator} {}", self.key, self.value)
    }
}

/// Swarm takes no notice of case but in the name of a label.
fn key_of(key: &str) -> String {
    for prefix in ["node.labels.", "engine.labels."] {
        if let Some((found, label)) = key.split_at_checked(prefix.len())
            && found.eq_ignore_ascii_case(prefix)
        {
            return format!("{prefix}{label}");
        }
    }
    key.to_ascii_lowercase()
}

/// Notes constraints and preferences of a service that are missing, or that it may not have.
pub fn check(service: &Node, rules: &Rules, finder: &mut Finder<'_>) {
    let placement = service.get("deploy").and_then(|deploy| deploy.get("placement"));
    let line = placement.as_ref().map_or(service.line, |placement| placement.line);
    let list = |key: &str| placement.as_ref()?.get(key);
    let constraints = list("constraints");
    let mut known = Vec::new();
    let at = ["deploy", "placement"];
    for item in constraints.iter().flat_map(|list| list.items().unwrap_or_default()) {
        match item.text().and_then(Constraint::parse) {
            Some(constraint) => known.push((item.line, constraint)),
            None => finder.add(&at, item.line, "placement", "has a constraint that cannot be read"),
        }
    }
    for wanted in &rules.must_be_placed {
        if !known.iter().any(|(_, constraint)| constraint == wanted) {
            let what = format!("must have the constraint `{wanted}`");
            finder.add(&at, line, "placement.must", &what);
        }
    }
    let Some(allowed) = &rules.may_be_placed else { return };
    let preferences = list("preferences");
    let spread = preferences.iter().flat_map(|list| list.items().unwrap_or_default()).map(|item| {
        let key = item.get("spread").and_then(|key| key.text().map(key_of));
        (item.line, key.unwrap_or_default())
    });
    let constraints = known.iter().filter(|(_, constraint)| !rules.must_be_placed.contains(constraint));
    for (line, key) in constraints.map(|(line, constraint)| (*line, constraint.key.clone())).chain(spread) {
        if !allowed.matches(&key) {
            let what = format!("names `{key}`, and may name {allowed}");
            finder.add(&at, line, "placement.may", &what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constraint_is_read_as_swarm_reads_it() {
        let of = |text: &str| Constraint::parse(text).map(|constraint| constraint.to_string());
        for (text, wanted) in [
            ("node.role==manager", "node.role == manager"),
            (" Node.Labels.Zone  !=  A ", "node.labels.Zone != A"),
            ("NODE.HOSTNAME == a==b", "node.hostname == a==b"),
        ] {
            assert_eq!(of(text).as_deref(), Some(wanted), "{text}");
        }
        for text in ["", "node.role", "node.role=x", "== x", "node.role ==", "a!=b==c", "no de==x", "1.x==y"]
        {
            assert_eq!(of(text), None, "{text}");
        }
    }
}
