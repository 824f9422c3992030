//! A folder of another machine, judged by its name alone: nobody can tell here where its symlinks and mounts lead.

use std::path::Path;

use super::position::Relation;
use super::{ELSEWHERE, Guard, Kept, ROOTS, SYSTEM};

impl Guard {
    /// Why bindings may not lie in `place` on any machine; what that one alone can tell is not said.
    pub fn judge_name(&self, place: &Path) -> Result<(), String> {
        let shown = place.display();
        let roots: Vec<_> = self.roots.iter().filter(|root| place.starts_with(root)).collect();
        if roots.is_empty() && !self.roots.is_empty() {
            return Err(format!("`{shown}` lies in none of the folders that `{ROOTS}` names"));
        }
        let folder =
            |path: &&str| Kept { path: path.into(), what: "a folder of the system".into(), always: false };
        for Kept { path, what, always } in self.kept.iter().cloned().chain(SYSTEM.iter().map(folder)) {
            let relation = if place == path {
                Relation::Is
            } else if place.starts_with(&path) {
                Relation::LiesIn
            } else if path.starts_with(place) {
                Relation::Holds
            } else {
                continue;
            };
            if !always && roots.iter().any(|root| root.starts_with(&path)) {
                continue;
            }
            let which =
                if relation == Relation::Is { String::new() } else { format!("`{}`, ", path.display()) };
            let allow =
                if always { "" } else { "; if that is meant, `DOCKEROPS_BINDING_ROOTS` can allow it" };
            return Err(format!("`{shown}` {relation} {which}{what}; {ELSEWHERE}{allow}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_the_system_are_refused_by_name_and_others_need_not_be_there() {
        let guard = Guard::default();
        for place in ["/etc", "/etc/x", "/proc/1", "/var/lib/docker/volumes", "/var", "/usr/share"] {
            assert!(guard.judge_name(Path::new(place)).is_err(), "{place}");
        }
        for place in ["/mnt/nfs", "/srv/data", "/nowhere", "/opt/x"] {
            assert_eq!(guard.judge_name(Path::new(place)), Ok(()), "{place}");
        }
        let bounded = Guard::new(vec!["/var/lib/nfs".into()]);
        assert_eq!(bounded.judge_name(Path::new("/var/lib/nfs/x")), Ok(()));
        assert!(bounded.judge_name(Path::new("/srv")).unwrap_err().contains("DOCKEROPS_BINDING_ROOTS"));
    }
}
