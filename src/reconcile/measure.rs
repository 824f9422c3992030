//! How long bindings take, beside what everybody knows: `tests/bench.sh` runs and prints it.

use std::fs;
use std::path::Path;
use std::time::Instant;

use crate::bindings::{Destination, Inventory, Opened, Synced};
use crate::git::Checkout;
use crate::guard::Guard;

/// Runs of each, in turn.
const RUNS: usize = 7;

/// Milliseconds.
fn timed(action: impl FnOnce()) -> f64 {
    let begin = Instant::now();
    action();
    begin.elapsed().as_secs_f64() * 1000.0
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

#[expect(clippy::disallowed_methods, reason = "it starts what DockerOps is compared with")]
fn run(program: &str, arguments: &[&Path]) {
    let options: &[&str] = if program == "rsync" { &["-a", "--checksum", "--dry-run"] } else { &["-a"] };
    let status = std::process::Command::new(program).args(options).args(arguments).status().unwrap();
    assert!(status.success());
}

/// A checkout whose folder `conf` holds so many files of so many bytes.
fn checkout(folder: &Path, count: usize, bytes: usize) {
    for number in 0..count {
        let folder = folder.join("conf").join((number / 100).to_string());
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(number.to_string()), format!("{number:09}").repeat(bytes / 9)).unwrap();
    }
    let repository = git2::Repository::init(folder).unwrap();
    let mut index = repository.index().unwrap();
    index.add_all(["conf"], git2::IndexAddOption::DEFAULT, None).unwrap();
    index.write().unwrap();
}

/// Reads what git has and syncs it, as a run does.
fn sync(root: &Path, nfs: &Path, known: &Inventory) -> (Synced, Inventory) {
    let tree = crate::reading::tree(&Checkout::of(root), &root.join("conf")).unwrap();
    let guard = Guard::default();
    let destination = Destination { root: nfs, path: Path::new("conf"), owner: None, guard: &guard };
    Opened::open(destination).unwrap().sync(&tree, known, &|_| {}).unwrap()
}

fn row(what: &str, ours: Vec<f64>, theirs: Vec<f64>, floor: &str, target: f64) {
    let (ours, theirs) = (median(ours), median(theirs));
    println!("{what}: {ours:.0} ms; {floor}: {theirs:.0} ms; ratio {:.2}; target {target}", ours / theirs);
}

#[test]
#[ignore = "no test: it measures beside rsync and cp, bounds nothing, and tests/bench.sh runs it"]
fn bindings_beside_rsync_and_cp() {
    let folder = tempfile::tempdir().unwrap();
    let (root, nfs) = (folder.path().join("repo"), folder.path().join("nfs"));
    let (conf, copy) = (root.join("conf"), nfs.join("conf"));
    fs::create_dir(&nfs).unwrap();
    checkout(&root, 10_000, 4 * 1024);
    let (_, mut known) = sync(&root, &nfs, &Inventory::new());
    let (mut ours, mut theirs) = (vec![], vec![]);
    for _ in 0..RUNS {
        ours.push(timed(|| {
            let (synced, inventory) = sync(&root, &nfs, &known);
            assert_eq!(synced, Synced::default());
            known = inventory;
        }));
        theirs.push(timed(|| run("rsync", &[&conf.join(""), &copy.join("")])));
    }
    let floor = "rsync -a --checksum --dry-run";
    row("10,000 files of 4 KiB, unchanged", ours, theirs, floor, 1.0);

    fs::remove_dir_all(&root).unwrap();
    checkout(&root, 1_000, 100 * 1024);
    let (mut ours, mut theirs) = (vec![], vec![]);
    for _ in 0..RUNS {
        fs::remove_dir_all(&copy).unwrap();
        ours.push(timed(|| drop(sync(&root, &nfs, &Inventory::new()))));
        fs::remove_dir_all(&copy).unwrap();
        theirs.push(timed(|| run("cp", &[&conf, &nfs])));
    }
    row("1,000 files of 100 KiB, first copy", ours, theirs, "cp -a", 1.5);
}
