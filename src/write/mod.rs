//! Stacks that are written into the repositories that are watched.
//!
//! In: what somebody asks of a stack. Out: a commit in the source, or why there is none; what deploys it is the sync.

pub mod entries;
