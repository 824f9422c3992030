//! `stacks.yaml`: a list of `name`, `enabled`, `depends_on`, `drift`.

use std::collections::BTreeSet;
use std::path::Path;

use super::entries::{boolean, check_keys, display};
use super::{MOST_BYTES, StackEntry};
use crate::budget::{Budget, Count};
use crate::paths::{self, Root};
use crate::problem::{Collector, Problem};
use crate::stack::{DriftPolicy, StackName};
use crate::yaml::{self, Node};

const FILE: &str = "stacks.yaml";
const KEYS: [&str; 4] = ["name", "enabled", "depends_on", "drift"];
/// In this order, as the compose specification lists them behind docker's older names.
const COMPOSE_FILES: [&str; 5] =
    ["docker-compose.yml", "docker-compose.yaml", "compose.yml", "compose.yaml", "compose.json"];

/// A dependency as written, until all names are known.
struct Draft {
    entry: StackEntry,
    folder: String,
    line: usize,
    depends_on: Vec<(usize, String)>,
}

/// The entries that are right in the list, each with what is wrong with it alone, and all mistakes of the list.
pub fn read(root: &Root, dir: &Path, budget: &Budget) -> (Vec<StackEntry>, Vec<Problem>) {
    let file = display(root, dir, FILE);
    let mut problems = Collector::new(file);
    let drafts = document(root, dir, budget, &mut problems)
        .map(|list| drafts(root, dir, &list, &mut problems))
        .unwrap_or_default();
    let stacks = resolve(drafts, &mut problems);
    (stacks, problems.into_problems())
}

/// Whether the list is there, also where it cannot be read.
pub fn is_there(root: &Root, dir: &Path) -> bool {
    root.has(dir, FILE)
}

fn document(
    root: &Root,
    dir: &Path,
    budget: &Budget,
    problems: &mut Collector,
) -> Option<Vec<std::rc::Rc<Node>>> {
    let mut fail = |line, what: String| {
        problems.add(line, "", what);
        None
    };
    if !is_there(root, dir) {
        return fail(0, format!("does not exist; {}", folders_hint(root, dir)));
    }
    let text = root.resolve(dir, FILE).and_then(|path| paths::read_text(&path, MOST_BYTES));
    let text = match text {
        Ok(text) => text,
        Err(error) => return fail(0, format!("{error:#}")),
    };
    let list = match yaml::parse(&text) {
        Ok(Some(list)) => list,
        Ok(None) => return fail(0, "is empty; list at least one stack: `- name: folder`".into()),
        Err(error) => return fail(error.line, error.what),
    };
    match list.items() {
        Some([]) => fail(
            list.line,
            "lists no stack; to remove the last one write `enabled: false`, or unwatch the source".into(),
        ),
        Some(items) => match budget.take(Count::Stacks, items.len() as u64) {
            Ok(()) => Some(items.to_vec()),
            Err(exceeded) => fail(list.line, exceeded.sentence()),
        },
        None => fail(list.line, format!("must be a list of `- name: folder`, not {}", list.what())),
    }
}

/// Which folders could be meant where the list itself is missing.
fn folders_hint(root: &Root, dir: &Path) -> String {
    let names = root.names(dir).into_iter().collect::<BTreeSet<_>>().into_iter();
    let holds_one = |name: &String| COMPOSE_FILES.iter().any(|file| root.has(&dir.join(name), file));
    let folders: Vec<_> =
        names.take(1_000).filter(holds_one).take(10).map(|name| format!("`{name}`")).collect();
    if folders.is_empty() {
        return "it lists the folders that hold a compose file: `- name: folder`".into();
    }
    format!("it lists the stacks; folders with a compose file here: {}", folders.join(", "))
}

fn drafts(root: &Root, dir: &Path, list: &[std::rc::Rc<Node>], problems: &mut Collector) -> Vec<Draft> {
    let mut drafts: Vec<Draft> = Vec::new();
    for (index, item) in list.iter().enumerate() {
        let Some(draft) = draft(root, dir, index, item, problems) else {
            continue;
        };
        if let Some(same) = drafts.iter().find(|known| known.entry.name.collides_with(&draft.entry.name)) {
            let what = if same.folder == draft.folder {
                format!("is listed twice, first in line {}", same.line)
            } else {
                format!(
                    "becomes the stack `{}`, as `{}` in line {} does",
                    draft.entry.name, same.folder, same.line
                )
            };
            problems.add(draft.line, draft.folder.clone(), what);
            continue;
        }
        drafts.push(draft);
    }
    drafts
}

fn draft(root: &Root, dir: &Path, index: usize, item: &Node, problems: &mut Collector) -> Option<Draft> {
    let place = format!("entry {}", index + 1);
    if item.pairs().is_none() {
        problems.add(item.line, place, format!("must be a mapping with `name`, not {}", item.what()));
        return None;
    }
    check_keys(item, &place, &KEYS, problems);
    let Some(name) = item.get("name") else {
        problems.add(item.line, place, "has no `name`: the folder of the stack");
        return None;
    };
    let Some(folder) = name.as_string() else {
        problems.add(name.line, format!("{place}.name"), format!("must be a string, not {}", name.what()));
        return None;
    };
    let stack = match StackName::from_folder(folder) {
        Ok(stack) => stack,
        Err(error) => {
            let shown: String = folder.chars().take(40).collect();
            problems.add(
                name.line,
                format!("{place}.name"),
                format!("`{}` {error}", crate::plain::name(&shown)),
            );
            return None;
        }
    };
    let enabled = boolean(item, folder, "enabled", true, problems);
    let drift = drift(item, folder, problems);
    let depends_on = depends_on(item, folder, problems);
    let mut wrong = Vec::new();
    let (compose_file, compose_path) = match compose_file(root, dir, folder) {
        Ok((file, path)) => (Some(file), path),
        Err(what) => {
            wrong.extend(enabled.then(|| problems.problem(name.line, folder, what)));
            (None, display(root, dir, folder))
        }
    };
    let depends = Vec::new();
    let entry =
        StackEntry { name: stack, enabled, depends_on: depends, drift, compose_file, compose_path, wrong };
    Some(Draft { entry, folder: folder.to_owned(), line: name.line, depends_on })
}

fn drift(item: &Node, folder: &str, problems: &mut Collector) -> DriftPolicy {
    let Some(value) = item.get("drift") else {
        return DriftPolicy::default();
    };
    value.text().and_then(DriftPolicy::parse).unwrap_or_else(|| {
        problems.add(value.line, format!("{folder}.drift"), "must be `correct`, `report` or `ignore`");
        DriftPolicy::default()
    })
}

fn depends_on(item: &Node, folder: &str, problems: &mut Collector) -> Vec<(usize, String)> {
    let Some(value) = item.get("depends_on") else {
        return Vec::new();
    };
    let Some(items) = value.items() else {
        let what = format!(
            "must be a list of stacks, `[{}]`, not {}",
            value.text().unwrap_or("other"),
            value.what()
        );
        problems.add(value.line, format!("{folder}.depends_on"), what);
        return Vec::new();
    };
    let mut names = Vec::new();
    for item in items {
        match item.as_string() {
            Some(name) => names.push((item.line, name.to_owned())),
            None => problems.add(
                item.line,
                format!("{folder}.depends_on"),
                format!("must list names, not {}", item.what()),
            ),
        }
    }
    names
}

fn compose_file(root: &Root, dir: &Path, folder: &str) -> Result<(std::path::PathBuf, String), String> {
    let path = root.resolve(dir, folder).map_err(|error| format!("the stack's folder: {error:#}"))?;
    if !path.is_dir() {
        return Err(format!("`{folder}` is not a folder"));
    }
    let Some(name) = COMPOSE_FILES.iter().find(|name| root.has(&path, name)) else {
        return Err(format!("the folder holds none of `{}`", COMPOSE_FILES.join("`, `")));
    };
    let file = root.resolve(&path, name).map_err(|error| format!("the compose file: {error:#}"))?;
    Ok((file, display(root, &dir.join(folder), name)))
}

/// Turns the dependencies into stack names; unknown ones, disabled ones and circles are mistakes.
fn resolve(mut drafts: Vec<Draft>, problems: &mut Collector) -> Vec<StackEntry> {
    let known: Vec<_> =
        drafts.iter().map(|d| (d.folder.clone(), d.entry.name.clone(), d.entry.enabled)).collect();
    for draft in &mut drafts {
        for (line, wanted) in std::mem::take(&mut draft.depends_on) {
            let key = format!("{}.depends_on", draft.folder);
            match known.iter().find(|(folder, name, _)| *folder == wanted || name.as_str() == wanted) {
                None => problems.add(line, key, format!("`{wanted}` is no stack of this file")),
                Some((_, name, _)) if *name == draft.entry.name => {
                    problems.add(line, key, "a stack cannot depend on itself");
                }
                Some((_, _, false)) if draft.entry.enabled => {
                    problems.add(line, key, format!("`{wanted}` has `enabled: false`"));
                }
                Some((_, name, _)) => draft.entry.depends_on.push(name.clone()),
            }
        }
    }
    if let Some(circle) = circle(&drafts) {
        problems.add(
            circle.line,
            format!("{}.depends_on", circle.folder),
            "the dependencies run in a circle",
        );
    }
    drafts.into_iter().map(|draft| draft.entry).collect()
}

/// A stack that is never ready however many others are.
fn circle(drafts: &[Draft]) -> Option<&Draft> {
    let mut ready: BTreeSet<&StackName> = BTreeSet::new();
    let mut left: Vec<&Draft> = drafts.iter().collect();
    loop {
        let (now, later): (Vec<_>, Vec<_>) = left
            .into_iter()
            .partition(|draft| draft.entry.depends_on.iter().all(|name| ready.contains(name)));
        if later.is_empty() {
            return None;
        }
        if now.is_empty() {
            return later.into_iter().next();
        }
        ready.extend(now.iter().map(|draft| &draft.entry.name));
        left = later;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Limits;
    use std::fs;

    fn checkout(stacks: &str, folders: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), stacks).unwrap();
        for folder in folders {
            fs::create_dir(dir.path().join(folder)).unwrap();
            fs::write(dir.path().join(folder).join("compose.yml"), "services: {}").unwrap();
        }
        dir
    }

    /// What is wrong with the list, then with single stacks.
    fn read(dir: &Path) -> Result<Vec<StackEntry>, Vec<Problem>> {
        let (stacks, mut problems) = super::read(&Root::on_disk(dir), dir, &Budget::new(Limits::default()));
        problems.extend(stacks.iter().flat_map(|stack| stack.wrong.clone()));
        if problems.is_empty() { Ok(stacks) } else { Err(problems) }
    }

    #[test]
    fn a_folder_that_is_missing_is_a_mistake_of_its_stack_alone() {
        let dir = checkout(
            "- name: gone\n- name: web\n  depends_on: [gone]\n- {name: idle, enabled: false}\n",
            &["web"],
        );
        std::os::unix::fs::symlink("/etc", dir.path().join("idle")).unwrap();
        let (stacks, problems) =
            super::read(&Root::on_disk(dir.path()), dir.path(), &Budget::new(Limits::default()));
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(
            stacks[0].wrong[0].to_string(),
            "stacks.yaml:1: `gone`: the stack's folder: `gone` does not exist"
        );
        assert!(stacks[0].compose_file.is_none() && stacks[0].enabled);
        assert!(stacks[1].wrong.is_empty() && stacks[2].wrong.is_empty(), "{stacks:?}");
        assert_eq!(stacks[1].depends_on, [StackName::known("gone")]);
    }

    fn mistakes(stacks: &str, folders: &[&str]) -> Vec<String> {
        let dir = checkout(stacks, folders);
        read(dir.path()).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_full_list_is_read() {
        let text = "- name: Nom De la Stack\n  drift: report\n- {name: db, enabled: no}\n- name: web\n  depends_on: [Nom De la Stack]\n";
        let dir = checkout(text, &["Nom De la Stack", "web"]);
        let stacks = read(dir.path()).unwrap();
        assert_eq!(stacks[0].name.as_str(), "nom-de-la-stack");
        assert_eq!(stacks[0].drift, DriftPolicy::Report);
        assert!(!stacks[1].enabled);
        assert_eq!(stacks[2].depends_on, [StackName::known("nom-de-la-stack")]);
        assert_eq!(stacks[2].compose_path, "web/compose.yml");
    }

    #[test]
    fn compose_files_are_taken_in_order() {
        let dir = checkout("- name: web\n", &["web"]);
        for name in ["compose.yaml", "docker-compose.yaml"] {
            fs::write(dir.path().join("web").join(name), "services: {}").unwrap();
        }
        assert_eq!(read(dir.path()).unwrap()[0].compose_path, "web/docker-compose.yaml");
        fs::write(dir.path().join("web/docker-compose.yml"), "services: {}").unwrap();
        assert_eq!(read(dir.path()).unwrap()[0].compose_path, "web/docker-compose.yml");
    }

    #[test]
    fn every_mistake_is_reported_at_once_with_file_line_and_key() {
        let text = concat!(
            "- name: web\n  colour: red\n  enabled: maybe\n- name: web\n- 7\n- enabled: true\n- name: gone\n",
            "- name: ../x\n- name: Web\n- name: a\n  depends_on: [b, nope, a]\n- name: b\n  depends_on: [a]\n  drift: yes\n",
        );
        let found = mistakes(text, &["web", "a", "b", "Web"]);
        let expected = [
            "stacks.yaml:2: `entry 1.colour`: unknown key",
            "stacks.yaml:3: `web.enabled`: must be `true` or `false`, not a string",
            "stacks.yaml:4: `web`: is listed twice, first in line 1",
            "stacks.yaml:5: `entry 3`: must be a mapping",
            "stacks.yaml:6: `entry 4`: has no `name`",
            "stacks.yaml:7: `gone`: the stack's folder: `gone` does not exist",
            "stacks.yaml:8: `entry 6.name`: `../x` holds a slash",
            "stacks.yaml:9: `Web`: becomes the stack `Web`, as `web` in line 1 does",
            "stacks.yaml:14: `b.drift`: must be",
            "stacks.yaml:11: `a.depends_on`: `nope` is no stack",
            "stacks.yaml:11: `a.depends_on`: a stack cannot depend on itself",
            "`a.depends_on`: the dependencies run in a circle",
        ];
        for want in expected {
            assert!(found.iter().any(|line| line.contains(want)), "{want}\n{found:#?}");
        }
        assert_eq!(found.len(), expected.len(), "{found:#?}");
    }

    #[test]
    fn lists_that_are_none() {
        assert!(mistakes("", &["web"])[0].contains("is empty"));
        assert!(mistakes("[]", &[])[0].contains("lists no stack"));
        assert!(mistakes("web", &[])[0].contains("must be a list of `- name: folder`, not a string"));
        let tabs = mistakes("- name: web\n\tenabled: true\n", &["web"]);
        assert!(tabs[0].contains(":2: is not YAML"), "{tabs:?}");
        assert!(mistakes(&"# x\n".repeat(400_000), &[])[0].contains("larger than 1024 KiB"));
        let dir = checkout("", &["web"]);
        fs::write(dir.path().join(FILE), b"- name: a\n- name: \xff\n").unwrap();
        assert!(read(dir.path()).unwrap_err()[0].what.contains("is not UTF-8 (line 2)"));
        fs::remove_file(dir.path().join(FILE)).unwrap();
        assert!(read(dir.path()).unwrap_err()[0].what.contains("folders with a compose file here: `web`"));
    }

    #[test]
    fn symlinks_out_of_the_checkout_are_refused() {
        let dir = checkout("- name: web\n- name: ok\n", &["ok"]);
        std::os::unix::fs::symlink("/etc", dir.path().join("web")).unwrap();
        assert!(read(dir.path()).unwrap_err()[0].what.contains("leads out of the repository"));
        fs::remove_file(dir.path().join("web")).unwrap();
        fs::create_dir(dir.path().join("web")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("web/compose.yml")).unwrap();
        assert!(read(dir.path()).unwrap_err()[0].what.contains("leads out of the repository"));
    }
}
