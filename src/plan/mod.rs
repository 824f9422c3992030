//! Decides what is to be done about each stack; touches nothing.
//!
//! In: a `Task`, a stack as it is desired, recorded and live; and `Facts`, what else is known of it. Out: one
//! `Decision`.

mod back;
mod decide;
mod decision;
mod difference;
mod facts;
mod jobs;
mod live;
mod makers;
mod owners;
mod task;
#[cfg(test)]
mod tests;
mod wanted;

pub use back::{Course, images as images_of};
pub use decide::{decide, own_stays};
pub use decision::{Apply, Blocked, Decision, How, OnHold, Remove, RunJobs, Until};
pub use difference::adopted_with;
pub use facts::{Dependency, Elsewhere, Facts, Handover, Objections, Tags, Tried};
pub use live::{as_given, image_edited, is_right_again};
pub use makers::{Maker, claim as claim_image};
pub use owners::{Claims, Evidence, claim, claims, evidence, is_of, owner, take, taken, taken_by};
pub use task::{Desired, DesiredStack, Images, Past, Task};
pub use wanted::{as_wanted, wanted};
