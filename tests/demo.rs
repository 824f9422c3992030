//! The first command of the README: the whole story on a Swarm of its own, and nothing left of it.

use std::path::Path;

use crate::support::lab::lab;
use crate::support::{command, try_stdout_of};

#[test]
fn the_demo_watches_changes_repairs_and_cleans_up() {
    // Needs what a lab needs; the Swarm it runs on is the demo's own.
    let Some(_) = lab() else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let namespaces = || try_stdout_of(command("ip").args(["netns", "list"])).unwrap().lines().count();
    let mut demo = command(root.join("tests/demo.sh"));
    demo.args(["--binary", env!("CARGO_BIN_EXE_dockerops")]).current_dir(root).env("HOME", "/root");
    let before = namespaces();
    let said = try_stdout_of(&mut demo).unwrap();
    for text in
        ["2 deployed", "changed; converged", "removed by hand", "scaled from 3 to 0", "by hand: scaled"]
    {
        assert!(said.contains(text), "{text}\n{said}");
    }
    // Other labs may come and go meanwhile; the demo's three do not stay.
    assert!(namespaces() < before + 3, "the demo leaves its Swarm behind");
}
