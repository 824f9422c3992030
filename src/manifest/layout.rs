//! Stacks by the names of files: `docker-compose-<stack>.yml`, `stack-<stack>.json`.
//!
//! For small repositories, where `stacks.yaml` does not exist. The second is a compose document as JSON, with
//! an `enabled` beside `services`. `.env` counts for all of them, and `.env-<stack>` over it for one.

use std::path::Path;

use super::entries::{self, display, names};
use super::files;
use super::{HoldEntry, JobsEntry, StackEntry};
use crate::budget::{Budget, Count};
use crate::paths::Root;
use crate::problem::{Collector, Problem};
use crate::stack::{DriftPolicy, RepoFile, StackFiles, StackName};

/// Beginnings and ends of such names.
const FORMS: [(&str, &str); 3] =
    [("docker-compose-", ".yml"), ("docker-compose-", ".yaml"), ("stack-", ".json")];

/// The stacks, each with what is wrong with it alone, and what is wrong with the names of files; `None` where no
/// file has such a name.
pub fn read(root: &Root, dir: &Path, budget: &Budget) -> Option<(Vec<StackEntry>, Vec<Problem>)> {
    let (mut stacks, mut problems) = (Vec::<StackEntry>::new(), Vec::new());
    let mut any = false;
    for (file, stack) in names(root, dir, &FORMS) {
        any = true;
        if budget.take(Count::Stacks, 1).is_err() {
            break;
        }
        let path = display(root, dir, &file);
        let mut wrong = Collector::new(path.clone());
        if let Some(entry) = entry(root, dir, &file, &stack, &mut wrong) {
            match stacks.iter().find(|known| known.name.collides_with(&entry.name)) {
                Some(same) => {
                    let what = format!("becomes the stack `{}`, as `{}` does", entry.name, same.compose_path);
                    wrong.add(0, "", what);
                }
                None => stacks.push(entry),
            }
        }
        problems.extend(wrong.into_problems());
    }
    any.then_some((stacks, problems))
}

/// Whether the file at this path names a stack by its own name.
pub fn names_a_stack(path: &str) -> bool {
    let file = Path::new(path).file_name().unwrap_or_default().to_string_lossy();
    FORMS.iter().any(|(begin, end)| file.starts_with(begin) && file.ends_with(end))
}

/// The names of all files that are those of a stack, were they there.
pub fn files_of(root: &Root, dir: &Path, stack: &StackName) -> Vec<String> {
    let with = |stem: &str| {
        FORMS
            .iter()
            .map(|(begin, end)| format!("{begin}{stem}{end}"))
            .chain([format!(".env-{stem}")])
            .collect()
    };
    let mut files: Vec<String> = with(stack.as_str());
    // Another spelling may be the same stack.
    for (_, stem) in names(root, dir, &FORMS) {
        if stem != stack.as_str() && StackName::from_folder(&stem).is_ok_and(|name| name.collides_with(stack))
        {
            files.extend::<Vec<_>>(with(&stem));
        }
    }
    files.sort_unstable();
    files.dedup();
    files
}

fn entry(root: &Root, dir: &Path, file: &str, stack: &str, problems: &mut Collector) -> Option<StackEntry> {
    let name = StackName::from_folder(stack)
        .map_err(|error| {
            problems.add(0, "", format!("as a stack name, `{}` {error}", crate::plain::name(stack)));
        })
        .ok()?;
    let mut wrong = Collector::new(display(root, dir, file));
    let path = display(root, dir, file);
    let resolved = match root.find_file(dir, file, u64::MAX) {
        Some((file, _)) => Some(file),
        None => root.resolve(dir, file).map_err(|error| wrong.add(0, "", format!("{error:#}"))).ok(),
    };
    let files = resolved.map(|file| {
        Box::new(StackFiles {
            folder: dir.strip_prefix(root.path()).unwrap_or(dir).to_path_buf(),
            compose: RepoFile { file, path: path.clone() },
            overlays: Vec::new(),
            env: env(root, dir, stack, &mut wrong),
        })
    });
    Some(StackEntry {
        line: 0,
        template: None,
        hold: HoldEntry::default(),
        jobs: JobsEntry::default(),
        is_forbidden: false,
        enabled: files.is_none() || !entries::is_json(file) || is_enabled(root, dir, file, &mut wrong),
        name,
        depends_on: Vec::new(),
        drift: DriftPolicy::default(),
        files,
        compose_path: path,
        wrong: wrong.into_problems(),
    })
}

/// Where the stack has values of its own these are read after those of all.
fn env(root: &Root, dir: &Path, stack: &str, problems: &mut Collector) -> Option<Vec<RepoFile>> {
    let own = format!(".env-{stack}");
    if !root.has(dir, &own) {
        return None;
    }
    let folder = dir.strip_prefix(root.path()).unwrap_or(dir);
    let both = [".env", &own].into_iter().filter(|name| root.has(dir, name));
    let file = |name: &str| files::file(root, folder, name).map_err(|what| problems.add(0, "", what)).ok();
    Some(both.filter_map(file).collect())
}

/// A file that cannot be read is wrong in more than this; who reads it as a compose file says so. What is no
/// word for on or off removes nothing.
fn is_enabled(root: &Root, dir: &Path, file: &str, problems: &mut Collector) -> bool {
    let document = entries::document(root, dir, file, &mut Collector::new(file));
    document.is_none_or(|document| entries::boolean(&document, "", "enabled", true, problems))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Limits;
    use std::fs;

    fn of(files: &[(&str, &str)]) -> Option<(Vec<StackEntry>, Vec<Problem>)> {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        read(&Root::on_disk(dir.path()), dir.path(), &Budget::new(Limits::default()))
    }

    #[test]
    fn names_become_stacks() {
        let (stacks, problems) = of(&[
            ("docker-compose-web.yml", ""),
            ("stack-db.json", "{\"enabled\": false}"),
            ("stack-My Shop.json", "{}"),
            ("docker-compose.yml", ""),
            ("docker-compose-.yml", ""),
            ("stack-x.yml", ""),
        ])
        .unwrap();
        assert_eq!(problems, []);
        let found: Vec<_> =
            stacks.iter().map(|s| (s.name.as_str(), s.enabled, s.compose_path.as_str())).collect();
        assert_eq!(
            found,
            [
                ("web", true, "docker-compose-web.yml"),
                ("my-shop", true, "stack-My Shop.json"),
                ("db", false, "stack-db.json"),
            ]
        );
        let face = of(&[("stack-off.json", "{\"x\": \"\\ud83d\\ude00\", \"enabled\": false}")]).unwrap();
        assert!(!face.0[0].enabled);
        assert!(of(&[("docker-compose.yml", ""), ("README", "")]).is_none());
    }

    #[test]
    fn mistakes_name_the_file() {
        let (stacks, problems) = of(&[
            ("docker-compose-web.yml", ""),
            ("stack-web.json", "{}"),
            ("stack-é.json", "{}"),
            ("stack-off.json", "{\"enabled\": \"no\"}"),
        ])
        .unwrap();
        let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(stacks.len(), 2);
        assert_eq!(
            stacks[1].wrong[0].to_string(),
            "stack-off.json:1: `enabled`: must be `true` or `false`, not a string"
        );
        assert!(stacks[1].enabled && stacks[0].wrong.is_empty(), "{stacks:?}");
        assert!(
            told[0].starts_with("stack-web.json: becomes the stack `web`, as `docker-compose-web.yml`"),
            "{told:?}"
        );
        assert!(told[1].starts_with("stack-é.json: as a stack name"), "{told:?}");
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("stack-out.json")).unwrap();
        let (stacks, problems) =
            read(&Root::on_disk(dir.path()), dir.path(), &Budget::new(Limits::default())).unwrap();
        assert!(problems.is_empty() && stacks[0].enabled && stacks[0].files.is_none(), "{stacks:?}");
        assert!(stacks[0].wrong[0].to_string().contains("leads out"), "{stacks:?}");
    }
}
