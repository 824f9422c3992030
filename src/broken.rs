//! Ways in which a test breaks the loop on purpose, to see that the simulation finds each (`reconcile::simulation::breaks`).
//! The program is never broken: there `is_broken!` is `false`, and nothing else of this is in it.

#[cfg(not(test))]
macro_rules! is_broken {
    ($how:ident) => {
        false
    };
}

/// Whether the loop is broken in this way, on this thread.
#[cfg(test)]
macro_rules! is_broken {
    ($how:ident) => {
        crate::broken::is(crate::broken::Break::$how)
    };
}

#[cfg(test)]
pub use of_tests::{Break, breaking, is};

#[cfg(test)]
mod of_tests {
    use std::cell::Cell;

    /// What is done wrong.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Break {
        /// docker's yes is taken for a stack that runs.
        CallsItDeployedAtOnce,
        RemovesWithoutEvidence,
        /// Nothing is noted of what docker was given.
        ForgetsMotion,
        DeploysTwice,
        IgnoresHolds,
        /// An error of one stack is taken for one of the run.
        OneErrorEndsTheRun,
        /// Nothing is done before what moves has come to rest.
        WaitsForWhatStruggles,
        IgnoresDependencies,
        TriesWhatIsHeldAgain,
        TakesFromAnotherDockerOps,
        /// A stack that lacks tasks is called healthy.
        SeesNoHealth,
        /// A task that died before the last deploy makes a stack degraded.
        RemembersOldDeaths,
        RemovesWhatChangesHands,
        WaitsForWhatIsGone,
        TakesTurnsWithoutEnd,
        SeesNoDrift,
        /// docker is asked again where nothing was done since.
        LooksAgainAndAgain,
        DeploysWhatIsDenied,
        /// docker may ask for tags that no registry answered.
        LosesDigests,
        /// What a registry said once holds for ever.
        RemembersWhatTagsNamed,
    }

    thread_local! {
        static BREAK: Cell<Option<Break>> = const { Cell::new(None) };
    }

    /// Whether the loop is broken so.
    pub fn is(how: Break) -> bool {
        BREAK.get() == Some(how)
    }

    /// Does something on this thread with a broken loop.
    pub fn breaking<T>(how: Break, act: impl FnOnce() -> T) -> T {
        BREAK.set(Some(how));
        let done = act();
        BREAK.set(None);
        done
    }
}
