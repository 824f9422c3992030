//! Templates in a verdict. A wrong one stops no stack.

use serde::Serialize;

use super::{Mistake, Verdict};
use crate::template::{Parameter, Template};

/// A template.
#[derive(Debug, Serialize)]
pub struct Listed {
    pub name: String,
    pub title: Option<String>,
    pub right: bool,
    pub parameters: Vec<Parameter>,
}

impl Verdict {
    pub(super) fn add_templates(&mut self, templates: Vec<Template>) {
        let known: Vec<_> = templates.iter().map(|template| template.name.clone()).collect();
        for stack in &self.stacks {
            let Some(origin) = stack.template.as_deref() else { continue };
            let name = origin.split('@').next().unwrap_or_default();
            if !known.iter().any(|known| known == name) {
                let what = format!("was made from the template `{name}`, which is not there any more");
                self.notes.push(super::Note { about: stack.name.clone(), what });
            }
        }
        for Template { name, title, parameters, problems, .. } in templates {
            self.more += problems.iter().map(|problem| problem.more).sum::<usize>();
            let right = problems.is_empty();
            self.problems
                .extend(problems.into_iter().map(|problem| Mistake::of(problem, None, Some(name.clone()))));
            self.templates.push(Listed { name, title, right, parameters });
        }
    }
}
