//! How commands end: in an exit code, and a run in a sentence or a JSON object.

use anyhow::Result;

use crate::reconcile::Outcome;
use crate::report::run::Run;
use crate::report::{Report, Tally};
use crate::signal::Interrupted;

/// How a command that could be done ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Exit 0.
    Done,
    /// Exit 1, and all is told.
    Wrong,
    /// Exit 2, and all is told: it was asked for in a way that is none.
    Usage,
    /// Exit 3: some stacks failed or are degraded, the others are fine.
    Partly,
    /// Exit 5: a dry run would change something, and somebody wants to know that.
    WouldChange,
    /// Exit 128+n: a signal is how it is to end.
    EndedBy(Interrupted),
}

impl From<Tally> for Ending {
    fn from(tally: Tally) -> Self {
        if tally.failed > 0 || tally.degraded > 0 { Self::Partly } else { Self::Done }
    }
}

impl Ending {
    /// The documented exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Wrong => 1,
            Self::Usage => 2,
            Self::Partly => 3,
            Self::WouldChange => 5,
            Self::EndedBy(Interrupted(number)) => u8::try_from(128 + number).unwrap_or(1),
        }
    }

    /// Of a dry run, where every difference from Git counts: one that would stay comes first.
    fn of_preview(tally: Tally) -> Self {
        let stays = tally.failed + tally.degraded + tally.on_hold + tally.drifted;
        let changes = tally.built + tally.deployed + tally.removed;
        match (stays, changes) {
            (0, 0) => Self::Done,
            (0, _) => Self::WouldChange,
            _ => Self::Partly,
        }
    }
}

/// Whether a run only says what it would do.
#[derive(Debug, Clone, Copy)]
pub enum Preview {
    No,
    /// It does, and the exit code is as of any run.
    Yes,
    /// It does, and the exit code says whether that is anything.
    Told,
}

impl Preview {
    /// By two options, the second of which takes the first.
    pub fn from_options(dry_run: bool, exit_code: bool) -> Self {
        match (dry_run, exit_code) {
            (false, _) => Self::No,
            (true, false) => Self::Yes,
            (true, true) => Self::Told,
        }
    }
}

/// The last words of a run, or all of it as one object.
pub fn end(report: &Report, outcome: &Outcome, preview: Preview, json: bool) -> Result<Ending> {
    let Outcome { tally, stacks, failed_sources } = outcome;
    let (dry_run, ending) = match preview {
        Preview::No => (false, (*tally).into()),
        Preview::Yes => (true, (*tally).into()),
        Preview::Told => (true, Ending::of_preview(*tally)),
    };
    if json {
        report.run(&Run { dry_run, stacks, failed_sources, tally: *tally, exit_code: ending.code() })?;
    } else {
        report.summary(tally, dry_run);
    }
    Ok(ending)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_ends_with_what_stays_wrong_before_what_would_change() {
        let nothing = Tally { unchanged: 4, pulled: 1, ..Tally::default() };
        let ends = |tally| Ending::of_preview(tally);
        assert_eq!(ends(nothing), Ending::Done);
        for changes in
            [Tally { built: 1, ..nothing }, Tally { deployed: 1, ..nothing }, Tally { removed: 1, ..nothing }]
        {
            assert_eq!(ends(changes), Ending::WouldChange, "{changes:?}");
            for stays in [
                Tally { failed: 1, ..changes },
                Tally { degraded: 1, ..changes },
                Tally { on_hold: 1, ..changes },
                Tally { drifted: 1, ..changes },
            ] {
                assert_eq!(ends(stays), Ending::Partly, "{stays:?}");
            }
        }
    }
}
