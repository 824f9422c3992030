//! Arrows between modules run down only: main → commands → the pipeline → stages → foundations.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use walkdir::WalkDir;

/// From the top down; a module may use those of the rows below its own, never one beside it. So the
/// stages do not know each other, and there are no circles.
const LAYERS: &[&[&str]] = &[
    &["main"],
    &["commands"],
    &["web"],
    &["daemon", "holding"],
    &["write", "writer"],
    &["cli", "reconcile", "validate"],
    &["report"],
    &["logs", "plan"],
    &["convergence", "drift", "health", "reading", "watched"],
    &["forge", "policy", "template"],
    &["bindings", "compose", "docker", "git", "manifest", "registry", "state"],
    &["signature"],
    &["lock", "process", "settings", "source"],
    &["budget"],
    &[
        "broken", "clock", "fault", "guard", "hash", "heap", "hold", "image", "nearest", "network", "paths",
        "patterns", "problem", "reason", "redact", "rng", "signal", "span", "stack", "yaml",
    ],
    &["plain"],
];

fn layer(module: &str) -> usize {
    let known = LAYERS.iter().position(|layer| layer.contains(&module));
    known.unwrap_or_else(|| panic!("`{module}` is in no layer: say in tests/layers.rs where it belongs"))
}

/// What each top-level module's files say, comments left out.
fn modules() -> BTreeMap<String, String> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut modules = BTreeMap::<String, String>::new();
    for file in WalkDir::new(&src).into_iter().map(Result::unwrap).filter(|file| file.file_type().is_file()) {
        let path = file.path().strip_prefix(&src).unwrap().with_extension("");
        let module = path.components().next().unwrap().as_os_str().to_str().unwrap().to_owned();
        let text = fs::read_to_string(file.path()).unwrap();
        // In a file at the top `super` is the crate.
        let text = if path.components().count() == 1 {
            text.replace("\nuse super::", "\nuse crate::")
        } else {
            text
        };
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        modules.entry(module).or_default().extend(code.flat_map(|line| [line, "\n"]));
    }
    modules
}

/// The top-level modules that `code` names by `crate::…`.
fn uses(code: &str) -> Vec<String> {
    let end = |rest: &str| rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
    code.split("crate::").skip(1).map(|rest| rest[..end(rest).unwrap_or(rest.len())].to_owned()).collect()
}

#[test]
fn every_module_uses_only_those_below_it() {
    for (module, code) in modules().iter().filter(|(module, _)| *module != "main") {
        for used in uses(code).iter().filter(|used| *used != module) {
            assert!(layer(used) > layer(module), "`{module}` uses `{used}`, which is not below it");
        }
    }
}

#[test]
fn the_picture_names_every_module_and_no_other() {
    let modules: Vec<_> = modules().into_keys().collect();
    let mut drawn = LAYERS.concat();
    drawn.sort_unstable();
    assert_eq!(drawn, modules);
}

#[test]
fn no_use_hides_from_this_test() {
    for (module, code) in modules() {
        for hidden in ["crate::{", "crate::*", "super::super"] {
            assert!(!code.contains(hidden), "`{module}` has `{hidden}`: write `crate::module::…`");
        }
    }
}
