//! `version`: needs neither root, docker nor a database.

use crate::report::Report;

/// Prints version and repository.
pub fn run() {
    let report = Report::new();
    report.say(concat!("dockerops ", env!("CARGO_PKG_VERSION")));
    report.say(env!("CARGO_PKG_REPOSITORY"));
}
