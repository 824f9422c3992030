//! Variables of the daemon's environment, which nobody knows here.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Verdict;
use crate::compose::Want;
use crate::problem::Collector;
use crate::reading::Contents;

/// A variable that stacks want and no `.env` of theirs has.
#[derive(Debug, Serialize)]
pub struct Variable {
    pub name: String,
    /// Whether nothing is deployed without it.
    pub required: bool,
    /// Whether each stack can do without it: by a default, or since a container takes it as it is.
    pub optional: bool,
    pub stacks: Vec<String>,
}

impl Verdict {
    /// Lists them; one that is required and missing is a mistake to who is strict.
    pub(super) fn add_variables(&mut self, contents: &Contents, strict: bool) {
        let mut found = BTreeMap::<String, (Want, Vec<String>)>::new();
        for stack in &contents.stacks {
            for (name, asked) in stack.asked.all() {
                if strict && asked.want == Want::Required {
                    let (line, key) = asked.at;
                    let message = match asked.message.as_str() {
                        "" => String::new(),
                        message => format!(": {message}"),
                    };
                    let what = format!("required variable `{name}` is missing a value{message}");
                    let problem = Collector::new(&stack.entry.compose_path).problem(line, key, what);
                    self.add(&problem, Some(stack.entry.name.as_str()));
                }
                let entry = found.entry(name).or_insert((asked.want, Vec::new()));
                entry.0 = entry.0.max(asked.want);
                entry.1.push(stack.entry.name.to_string());
            }
        }
        self.variables = found
            .into_iter()
            .map(|(name, (want, stacks))| Variable {
                name,
                required: want == Want::Required,
                optional: want == Want::Optional,
                stacks,
            })
            .collect();
    }
}
