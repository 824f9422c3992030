//! `template.yaml`: `title`, `description`, and of parameters what the compose file cannot say.

use std::path::Path;
use std::rc::Rc;

use super::parameter::{Kind, integer};
use super::pattern::{Pattern, Work};
use super::{FILE, Parameter, Template, scalar};
use crate::budget::Budget;
use crate::manifest::{boolean, check_keys, document_within, string};
use crate::paths::Root;
use crate::problem::Collector;
use crate::yaml::Node;

const KEYS: [&str; 3] = ["title", "description", "parameters"];
const OF_PARAMETERS: [&str; 8] = ["label", "help", "type", "choices", "pattern", "min", "max", "secret"];
/// The largest file taken, in bytes; and choices of one parameter.
const MOST_BYTES: u64 = 64 << 10;
const MOST_CHOICES: usize = 1_000;
const TOO_SLOW: &str =
    "takes too long on the defaults and choices of the source: write fewer counts and choices in it";

pub fn document(root: &Root, path: &Path, budget: &Budget, problems: &mut Collector) -> Option<Rc<Node>> {
    let document = document_within(root, path, FILE, MOST_BYTES, problems)?;
    // Aliases count as often as they stand there.
    if let Err(exceeded) = budget.take(crate::budget::Count::Values, document.weight()) {
        problems.add(0, "", exceeded.sentence());
        return None;
    }
    if document.pairs().is_none() {
        let what = format!("must be a mapping with `{}`, not {}", KEYS.join("`, `"), document.what());
        problems.add(document.line, "", what);
        return None;
    }
    Some(document)
}

/// Adds what the document says to what the compose file said.
pub fn read(template: &mut Template, document: &Node, work: &Work, problems: &mut Collector) {
    check_keys(document, "", &KEYS, problems);
    template.title = text(document, "", "title", problems);
    template.description = text(document, "", "description", problems);
    if let Some(all) = document.get("parameters") {
        let Some(_) = all.pairs() else {
            let what = format!("must be a mapping of `NAME: {{label, help, …}}`, not {}", all.what());
            return problems.add(all.line, "parameters", what);
        };
        parameters(template, &all, work, problems);
    }
    for parameter in &template.parameters {
        let default = parameter.default.as_deref().filter(|default| !default.is_empty());
        if let Some(what) = default.and_then(|default| parameter.refuses(default, work)) {
            if parameter.is_too_slow(work) {
                problems.add(
                    parameter.pattern_line,
                    format!("parameters.{}.pattern", parameter.name),
                    TOO_SLOW,
                );
                continue;
            }
            let compose = template.compose.as_ref().map_or("", |file| &file.path);
            let problem = Collector::new(compose).problem(
                parameter.default_line,
                &*parameter.name,
                format!("the default of `{}` {what}", parameter.name),
            );
            template.problems.push(problem);
        }
    }
}

fn parameters(template: &mut Template, all: &Node, work: &Work, problems: &mut Collector) {
    let names: Vec<String> = template.parameters.iter().map(|known| known.name.clone()).collect();
    let known: Vec<&str> = names.iter().map(String::as_str).collect();
    if known.is_empty() {
        return problems.add(all.line, "parameters", "the compose file has no variable");
    }
    check_keys(all, "parameters", &known, problems);
    for parameter in &mut template.parameters {
        let Some(value) = all.get(&parameter.name) else { continue };
        let place = format!("parameters.{}", parameter.name);
        if value.pairs().is_none() {
            let what =
                format!("must be a mapping with `{}`, not {}", OF_PARAMETERS.join("`, `"), value.what());
            problems.add(value.line, place, what);
            continue;
        }
        check_keys(&value, &place, &OF_PARAMETERS, problems);
        parameter.describe(&value, &place, work, problems);
    }
}

impl Parameter {
    /// Whether it is the pattern that ended it.
    fn is_too_slow(&self, work: &Work) -> bool {
        self.pattern.is_some() && work.is_spent()
    }

    fn describe(&mut self, of: &Node, place: &str, work: &Work, problems: &mut Collector) {
        self.label = text(of, place, "label", problems);
        self.help = text(of, place, "help", problems).or_else(|| self.help.take());
        self.secret = boolean(of, place, "secret", false, problems);
        self.kind = kind(of, place, problems);
        if let Some((line, pattern)) = pattern(of, place, problems) {
            (self.pattern_line, self.pattern) = (line, Some(pattern));
        }
        [self.min, self.max] = ["min", "max"].map(|key| limit(of, place, key, problems));
        let is_text = matches!(self.kind, None | Some(Kind::String));
        for (is_wrong, key, what) in [
            (self.pattern.is_some() && !is_text, "pattern", "is for a `string`"),
            (self.secret && !is_text, "secret", "is for a `string`: the name of a Swarm secret"),
            (self.min.is_some() && self.kind != Some(Kind::Integer), "min", "is for `type: integer`"),
            (self.max.is_some() && self.kind != Some(Kind::Integer), "max", "is for `type: integer`"),
            (self.min.zip(self.max).is_some_and(|(min, max)| min > max), "max", "is less than `min`"),
        ] {
            if is_wrong {
                problems.add(of.get(key).map_or(of.line, |node| node.line), format!("{place}.{key}"), what);
            }
        }
        // A choice is held to all else.
        if let Some((line, choices)) = choices(of, place, problems) {
            for choice in &choices {
                if let Some(what) = self.refuses(choice, work) {
                    if self.is_too_slow(work) {
                        problems.add(self.pattern_line, format!("{place}.pattern"), TOO_SLOW);
                        break;
                    }
                    problems.add(line, format!("{place}.choices"), format!("`{choice}` {what}"));
                }
            }
            self.choices = choices;
        }
    }
}

fn text(of: &Node, place: &str, key: &str, problems: &mut Collector) -> Option<String> {
    of.get(key)?;
    string(of, place, key, "a text", problems).map(|(_, text)| text)
}

fn kind(of: &Node, place: &str, problems: &mut Collector) -> Option<Kind> {
    let value = of.get("type")?;
    let kind = value.text().and_then(Kind::parse);
    if kind.is_none() {
        problems.add(value.line, format!("{place}.type"), "must be `string`, `integer` or `boolean`");
    }
    kind
}

fn pattern(of: &Node, place: &str, problems: &mut Collector) -> Option<(usize, Pattern)> {
    of.get("pattern")?;
    let (line, text) = string(of, place, "pattern", "a regular expression", problems)?;
    Pattern::new(&text)
        .map_err(|what| problems.add(line, format!("{place}.pattern"), format!("`{text}` {what}")))
        .map(|pattern| (line, pattern))
        .ok()
}

fn limit(of: &Node, place: &str, key: &str, problems: &mut Collector) -> Option<i64> {
    let value = of.get(key)?;
    let number = value.text().and_then(integer);
    if number.is_none() {
        problems.add(
            value.line,
            format!("{place}.{key}"),
            format!("must be an integer, not {}", value.what()),
        );
    }
    number
}

fn choices(of: &Node, place: &str, problems: &mut Collector) -> Option<(usize, Vec<String>)> {
    let value = of.get("choices")?;
    let mut fail = |what: String| {
        problems.add(value.line, format!("{place}.choices"), what);
        None
    };
    let Some(items) = value.items() else {
        return fail(format!("must be a list, not {}", value.what()));
    };
    if items.is_empty() || items.len() > MOST_CHOICES {
        return fail(format!("must be 1 to {MOST_CHOICES} values"));
    }
    let mut choices = Vec::new();
    for item in items {
        match scalar(item) {
            Some(choice) if choices.contains(&choice) => return fail(format!("has `{choice}` twice")),
            Some(choice) => choices.push(choice),
            None => return fail(format!("must list values, not {}", item.what())),
        }
    }
    Some((value.line, choices))
}
