//! A stack whose variables nobody knows here, for they come from the daemon's environment.
//!
//! It is rendered as if none of them were set. What is wrong then is a mistake only where it is wrong as well with values
//! that fit where a name, a number or a switch belongs.

use super::policy::Held;
use crate::budget::Budget;
use crate::compose::{self, Asked, Origin, Outside, RenderedStack, Unrenderable, Volumes};
use crate::hash::Key;
use crate::problem::Problem;
use crate::stack::StackName;

/// What every variable is taken for, one after the other; of each kind two, to tell what depends on the value.
const VALUES: [&str; 4] = ["1", "2", "true", "false"];

/// A stack, as far as it can be told.
pub struct Told {
    /// With no mistake where only the daemon's environment decides whether there is one.
    pub rendered: Result<RenderedStack, Unrenderable>,
    pub asked: Asked,
    /// What would be wrong if no variable were set, and need not be.
    pub unless_set: Vec<Problem>,
}

pub type Rendered = Result<RenderedStack, Unrenderable>;

pub fn load(name: &StackName, origin: Origin<'_>, volumes: &Volumes, key: &Key, held: Held<'_>) -> Told {
    let (asked, path) = (Asked::default(), &*origin.files.compose.path);
    let as_if = |value, budget: &Budget| {
        let origin = Origin { budget, ..origin };
        let rendered = compose::load(name, origin, Outside::Unknown { asked: &asked, value }, volumes, key);
        rendered.and_then(|rendered| held.judge(rendered))
    };
    let first = as_if(None, origin.budget);
    if first.is_ok() || matches!(first, Err(Unrenderable::Unmerged(_))) || !asked.decides() {
        return Told { rendered: first, asked, unless_set: Vec::new() };
    }
    let unset = problems(&first, path);
    let mut runs = vec![first];
    for value in VALUES {
        // What is read again is counted apart, by the same limits.
        let again = as_if(Some(value), &Budget::new(origin.budget.limits()));
        if matches!(again, Ok(_) | Err(Unrenderable::Unmerged(_))) {
            return Told { rendered: again, asked, unless_set: unset };
        }
        runs.push(again);
    }
    let always = always(&runs, path);
    let unless_set = unset.into_iter().filter(|problem| !always.contains(problem)).collect();
    Told { rendered: Err(Unrenderable::Invalid(always)), asked, unless_set }
}

/// What is wrong whatever the value. A run that ended at a value that does not fit says nothing about the rest.
fn always(runs: &[Rendered], path: &str) -> Vec<Problem> {
    let whole: Vec<_> = runs.iter().filter(|run| matches!(run, Err(Unrenderable::Invalid(_)))).collect();
    let compared = if whole.len() > 1 { whole } else { runs.iter().collect() };
    let mut found = compared.iter().map(|run| problems(run, path));
    let first = found.next().unwrap_or_default();
    found.fold(first, |all, more| all.into_iter().filter(|problem| more.contains(problem)).collect())
}

/// The mistakes of a compose file at `path` that cannot be rendered.
pub fn problems(rendered: &Rendered, path: &str) -> Vec<Problem> {
    match rendered {
        Ok(_) | Err(Unrenderable::Unmerged(_)) => Vec::new(),
        Err(Unrenderable::Invalid(problems)) => problems.clone(),
        Err(Unrenderable::Stack(error)) => vec![compose::as_problem(error, path)],
    }
}
