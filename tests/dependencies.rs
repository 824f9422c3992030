//! What DockerOps is made of keeps to deny.toml. `cargo deny` itself takes longer to build than all of DockerOps;
//! this holds at every change what it holds before a release, but for the advisories.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;

use crate::support::{command, stdout_of};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Every package of the program, of its build and of its tests, on the platforms it is released for.
fn packages() -> Vec<Value> {
    let mut cargo = command(env!("CARGO"));
    cargo.args(["metadata", "--format-version", "1", "--locked", "--all-features"]).current_dir(ROOT);
    for machine in ["x86_64", "aarch64"] {
        cargo.args(["--filter-platform", &format!("{machine}-unknown-linux-gnu")]);
    }
    for name in ["HOME", "CARGO_HOME", "RUSTUP_HOME"] {
        cargo.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    let metadata: Value = serde_json::from_str(&stdout_of(&mut cargo)).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

/// The quoted words of each line of deny.toml's list `name`.
fn list(name: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(format!("{ROOT}/deny.toml")).unwrap();
    let rest = text.split_once(&format!("\n{name} = [\n")).unwrap().1;
    let lines = rest.lines().take_while(|line| *line != "]");
    lines.map(|line| line.split('"').skip(1).step_by(2).map(str::to_owned).collect()).collect()
}

/// Whether an SPDX expression can be met; where an alternative holds several licences, all of them count.
fn allows(allowed: &[Vec<String>], expression: &str) -> bool {
    let known = |licence: &str| allowed.iter().any(|line| line[0] == licence.trim_matches([' ', '(', ')']));
    let expression = expression.replace('/', " OR ");
    expression.split(" AND ").all(|part| part.split(" OR ").any(known))
}

#[test]
fn each_has_a_licence_that_is_allowed_and_comes_from_the_registry() {
    let allowed = list("allow");
    assert!(allows(&allowed, "(MIT OR GPL-3.0) AND ISC") && !allows(&allowed, "MIT AND GPL-3.0"));
    for package in packages().iter().filter(|package| package["name"] != "dockerops") {
        let licence = package["license"].as_str().unwrap_or_default();
        assert!(allows(&allowed, licence), "{}: {licence}", package["name"]);
        assert_eq!(package["source"], "registry+https://github.com/rust-lang/crates.io-index");
    }
}

#[test]
fn no_other_comes_twice_than_deny_toml_tells_of() {
    let mut versions = BTreeMap::<String, BTreeSet<String>>::new();
    for package in packages() {
        let [name, version] = ["name", "version"].map(|key| package[key].as_str().unwrap().to_owned());
        versions.entry(name).or_default().insert(version);
    }
    for skipped in list("skip") {
        let of = versions.get_mut(&skipped[0]).unwrap_or_else(|| panic!("{skipped:?} is used no more"));
        let before = of.len();
        of.retain(|version| !version.starts_with(&format!("{}.", skipped[1])));
        assert_eq!((before, of.len()), (2, 1), "{skipped:?} does not come twice any more");
    }
    versions.retain(|_, of| of.len() > 1);
    assert_eq!(versions, BTreeMap::new());
}
