//! A verdict for people.

use super::Verdict;
use super::variables::Variable;
use crate::plain;

/// So many names are listed in a line.
const LISTED: usize = 20;

impl Verdict {
    /// Lines, each made plain.
    pub fn text(&self) -> String {
        let mut lines: Vec<_> = self.problems.iter().map(ToString::to_string).collect();
        if self.more > 0 {
            lines.push(format!("and {} more", self.more));
        }
        for note in &self.notes {
            lines.push(format!("note: {}: {}", plain::name(&note.about), plain::text(&note.what)));
        }
        lines.extend(self.variable_lines());
        lines.extend(self.not_checked.iter().map(|what| format!("not checked: {}", plain::text(what))));
        if let Some(diff) = &self.diff {
            lines.extend(diff.lines());
            lines.extend(diff.differences().flat_map(|(_, text)| text.lines().map(plain::line)));
        }
        lines.push(self.summary());
        lines.join("\n") + "\n"
    }

    /// Variables by how much they are wanted.
    pub(super) fn variable_lines(&self) -> Vec<String> {
        let of = |wanted: &dyn Fn(&Variable) -> bool| -> Vec<String> {
            let name = |variable: &Variable| {
                let stacks = listed(variable.stacks.iter().map(|stack| plain::name(stack)).collect());
                format!("`{}` ({stacks})", plain::name(&variable.name))
            };
            self.variables.iter().filter(|variable| wanted(variable)).map(name).collect()
        };
        let lines = [
            ("required of the daemon's environment", of(&|variable| variable.required)),
            ("wanted of the daemon's environment", of(&|variable| !variable.required && !variable.optional)),
            ("taken from the daemon's environment, if set", of(&|variable| variable.optional)),
        ];
        let lines = lines.into_iter().filter(|(_, names)| !names.is_empty());
        lines.map(|(what, names)| format!("{what}: {}", listed(names))).collect()
    }

    /// How it stands, in a sentence.
    pub fn summary(&self) -> String {
        let stacks = counted(self.stacks.len(), "stack");
        let templates = counted(self.templates.len(), "template");
        if self.is_right() {
            let more = if self.templates.is_empty() { String::new() } else { format!(" and {templates}") };
            return format!("{stacks}{more}, all right");
        }
        let mistakes = counted(self.problems.len() + self.more, "mistake");
        let whole = self.problems.iter().any(|problem| problem.stack.is_none() && problem.template.is_none());
        let wrong = self.stacks.iter().filter(|stack| !stack.right).count();
        let unusable = self.templates.iter().filter(|template| !template.right).count();
        let mut ends = Vec::new();
        if whole {
            ends.push("nothing of it would be deployed".to_owned());
        } else if wrong > 0 || unusable == 0 {
            ends.push(format!("{wrong} of {stacks} would not be deployed"));
        }
        if unusable > 0 {
            ends.push(format!("no stack can be made from {unusable} of {templates}"));
        }
        format!("{mistakes}: {}", ends.join(", "))
    }
}

/// `1 stack`, `2 stacks`.
pub fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn listed(mut names: Vec<String>) -> String {
    let more = names.len().saturating_sub(LISTED);
    names.truncate(LISTED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    names.join(", ") + &more
}
