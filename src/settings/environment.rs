//! The environment as it is read, which knows what it was asked for: so what DockerOps reads is listed nowhere else.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::ops::Deref;

use super::{CheckSettings, RunSettings, Settings};
use crate::nearest::nearest;

/// What all variables begin with that are for DockerOps alone.
pub const OWN: &str = "DOCKEROPS_";

/// What `dockerops.sh` alone reads, in whose environment the program may run.
const OF_THE_INSTALLER: [&str; 4] =
    ["DOCKEROPS_API_URL", "DOCKEROPS_DOWNLOAD_URL", "DOCKEROPS_PREFIX", "DOCKEROPS_REPOSITORY"];

/// Names and values.
pub type Variables = BTreeMap<OsString, OsString>;

/// Names and values, and the names that somebody asked for.
#[derive(Debug, Default)]
pub struct Environment {
    variables: Variables,
    asked: RefCell<BTreeSet<String>>,
}

impl Environment {
    /// The process environment.
    #[expect(clippy::disallowed_methods, reason = "the one door of the environment")]
    pub fn of_the_process() -> Self {
        std::env::vars_os().collect()
    }

    /// The value as it is set.
    pub fn ask(&self, name: &str) -> Option<&OsString> {
        self.asked.borrow_mut().insert(name.to_owned());
        self.variables.get(OsStr::new(name))
    }

    /// What is wrong with the names: each that nobody reads, with the nearest that somebody does.
    pub fn unread(&self) -> Vec<String> {
        let known = known();
        let names = self.variables.keys().map(|name| name.to_string_lossy());
        let unread = names.filter(|name| name.starts_with(OWN) && !known.contains(&**name));
        let tell = |name: &str| {
            let ends = known.iter().filter_map(|known| known.strip_prefix(OWN));
            let near = nearest(&name[OWN.len()..], ends).map(|end| format!("; did you mean `{OWN}{end}`?"));
            format!("nobody reads the variable `{name}`{}", near.unwrap_or_default())
        };
        unread.filter(|name| !OF_THE_INSTALLER.contains(&&**name)).map(|name| tell(&name)).collect()
    }
}

/// All names that DockerOps reads, whichever command runs.
fn known() -> BTreeSet<String> {
    // Whatever else is set, these are asked for; without a home nothing is.
    let nothing = Environment::from([("HOME".into(), "/".into())]);
    let _ = Settings::from(&nothing);
    let _ = RunSettings::from(&nothing);
    let _ = CheckSettings::from(&nothing);
    nothing.asked.into_inner()
}

impl Deref for Environment {
    type Target = Variables;

    fn deref(&self) -> &Variables {
        &self.variables
    }
}

impl FromIterator<(OsString, OsString)> for Environment {
    fn from_iter<T: IntoIterator<Item = (OsString, OsString)>>(variables: T) -> Self {
        Self { variables: variables.into_iter().collect(), ..Self::default() }
    }
}

impl<const N: usize> From<[(OsString, OsString); N]> for Environment {
    fn from(variables: [(OsString, OsString); N]) -> Self {
        variables.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unread(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| ((*name).into(), "x".into())).collect::<Environment>().unread()
    }

    #[test]
    fn every_documented_variable_is_known_and_no_other_one_of_ours() {
        let table = include_str!("../../docs/environment.md");
        let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        let documented: BTreeSet<_> = rows.filter(|name| name.starts_with(OWN)).map(str::to_owned).collect();
        let known: BTreeSet<_> = known().into_iter().filter(|name| name.starts_with(OWN)).collect();
        assert_eq!(documented, known);
        assert!(known.len() > 25, "{known:?}");
        assert_eq!(unread(&known.iter().map(String::as_str).collect::<Vec<_>>()), [""; 0]);
    }

    #[test]
    fn a_variable_that_nobody_reads_is_told_with_the_nearest_that_somebody_does() {
        for (name, near) in [
            ("DOCKEROPS_REPO", "; did you mean `DOCKEROPS_REPOS`?"),
            ("DOCKEROPS_SYNC_INTERVALL", "; did you mean `DOCKEROPS_SYNC_INTERVAL`?"),
            ("DOCKEROPS_API_TOKEN_FIEL", "; did you mean `DOCKEROPS_API_TOKEN_FILE`?"),
            ("DOCKEROPS_DB", ""),
            ("DOCKEROPS_", ""),
            ("DOCKEROPS_COLOUR_OF_THE_SKY", ""),
        ] {
            assert_eq!(unread(&[name, "TAG"]), [format!("nobody reads the variable `{name}`{near}")]);
        }
        assert_eq!(unread(&["DOCKEROPS_REPO", "DOCKEROPS_COLOUR"]).len(), 2);
        assert_eq!(unread(&["TAG", "DOCKEROPSX", "GITHUB_TOKN", ""]), [""; 0]);
    }

    #[test]
    fn what_the_installer_reads_is_its_own() {
        let script = include_str!("../../dockerops.sh");
        let read: BTreeSet<_> =
            script.split("${DOCKEROPS_").skip(1).map(|rest| rest.split(":-").next().unwrap()).collect();
        let read: Vec<_> = read
            .into_iter()
            .map(|end| format!("{OWN}{end}"))
            .filter(|name| !known().contains(name))
            .collect();
        assert_eq!(read, OF_THE_INSTALLER);
        assert_eq!(unread(&OF_THE_INSTALLER), [""; 0]);
    }
}
