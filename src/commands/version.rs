//! `version`: needs neither root, docker nor a database.

use super::Ending;
use crate::report::Report;

pub fn run() -> Ending {
    let report = Report::new();
    report.say(concat!("dockerops ", env!("CARGO_PKG_VERSION")));
    report.say(env!("CARGO_PKG_REPOSITORY"));
    Ending::Done
}
