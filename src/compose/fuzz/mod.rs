//! A fuzzer: what docker creates must be what our tree says.
//!
//! Numbers become compose files (`mutate`), those that render are given to every docker CLI of this machine
//! against a stand-in of its API, and what is created is compared with a translation of our own tree
//! (`expect`). `CONTRIBUTING.md` says how to run it for a night and how to repeat a case.

mod cli;
mod compare;
mod docker_api;
mod expect;
mod found;
mod mutate;
mod ours;
mod place;
mod run;
mod schema;
mod seeds;
mod shrink;
mod tally;
mod tree;

use std::io::Write;
use std::time::Duration;

use place::Fixture;
use run::{Plan, run};

/// So many cases where nothing else is said.
const CASES: u64 = 20_000;
/// The first of them.
const SEED: u64 = 1;
/// No case is begun after so many seconds: a machine that has other things to do gets through fewer.
const SECONDS: u64 = 600;

#[expect(clippy::disallowed_methods, reason = "what only tests know; the product's door is settings.rs")]
fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

#[test]
fn what_docker_creates_is_what_our_tree_says() {
    let cases = number("DOCKEROPS_FUZZ_CASES", CASES);
    let plan = Plan {
        first: number("DOCKEROPS_FUZZ_SEED", SEED),
        cases,
        // Who asks for a number gets it.
        limit: Duration::from_secs(if cases > CASES { u64::MAX } else { SECONDS }),
    };
    let fixture = Fixture::new();
    let tally = run(&fixture, &plan);
    let _ = writeln!(std::io::stderr(), "{tally}\n{}", tally.summary());
    assert!(tally.failures.is_empty(), "{} cases differ:\n{}", tally.differ, tally.failures.join("\n\n"));
    // A fuzzer whose files are all refused finds nothing.
    if tally.cases >= 1000 {
        assert!(tally.rendered * 100 > tally.cases * 50, "too few are rendered: {tally}");
        assert!(tally.runs == 0 || tally.accepted * 100 > tally.runs * 70, "too few are taken: {tally}");
    }
}
