//! A verdict as a comment for a merge request: the summary first, then differences until it is full.
//!
//! All that a repository, or docker, says stands as code behind fences that it cannot end: it is no link, no mention, no
//! image and no heading.

use super::Verdict;
use super::diff::Diff;
use crate::plain;

/// By this line a script finds the comment that it keeps up.
pub const MARK: &str = "<!-- dockerops validate -->";

/// GitHub takes 65,536 characters.
const MOST: usize = 60_000;
/// So many may be taken by what comes before the differences; and by one section of it.
const MOST_OF_A_SECTION: usize = 9_000;

impl Verdict {
    /// At most `MOST` characters.
    pub fn markdown(&self) -> String {
        let mark = if self.is_right() { "✅" } else { "❌" };
        let mut text = format!("{MARK}\n### {mark} DockerOps: {}\n", self.summary());
        let problems: Vec<_> = self.problems.iter().map(ToString::to_string).collect();
        section(&mut text, "Mistakes", &problems, self.more);
        if let Some(diff) = &self.diff {
            let lines = diff.lines();
            let lost: Vec<_> = diff.lost.iter().map(|lost| plain::line(lost)).collect();
            section(&mut text, "Lost with a merge", &lost, 0);
            let (title, rest) =
                lines.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
            let nothing = if rest.is_empty() { " Nothing would change." } else { "" };
            if !title.is_empty() {
                text += &format!("\nFrom {} on, a merge does this.{nothing}\n", code(&diff.base[..12]));
            }
            let rest: Vec<_> = rest
                .iter()
                .filter(|line| !line.starts_with("  lost: "))
                .map(|line| line.trim_start().to_owned())
                .collect();
            section(&mut text, "Changes", &rest, 0);
        }
        let mut aside: Vec<_> = self
            .notes
            .iter()
            .map(|note| format!("note: {}: {}", plain::name(&note.about), plain::line(&note.what)))
            .collect();
        aside.extend(self.variable_lines());
        aside.extend(self.not_checked.iter().map(|what| format!("not checked: {}", plain::line(what))));
        section(&mut text, "Notes", &aside, 0);
        if let Some(diff) = &self.diff {
            differences(&mut text, diff);
        }
        text
    }
}

/// Lines of a section, as far as there is room for them.
fn section(text: &mut String, title: &str, lines: &[String], more: usize) {
    if lines.is_empty() {
        return;
    }
    let (mut body, mut told) = (String::new(), 0);
    for line in lines {
        if body.chars().count() + line.chars().count() > MOST_OF_A_SECTION {
            break;
        }
        body += line;
        body.push('\n');
        told += 1;
    }
    let left = lines.len() - told + more;
    if left > 0 {
        body += &format!("and {left} more\n");
    }
    *text += &format!("\n**{title}**\n{}", fenced("text", &body));
}

fn differences(text: &mut String, diff: &Diff) {
    let all: Vec<_> = diff.differences().collect();
    let mut length = text.chars().count();
    let mut left = 0;
    for (name, difference) in &all {
        let lines = difference.lines().map(plain::line).fold(String::new(), |all, line| all + &line + "\n");
        let block = format!(
            "\n<details><summary>{}</summary>\n\n{}\n</details>\n",
            html(name),
            fenced("diff", &lines)
        );
        // The line that says how many there are more has room as well.
        if length + block.chars().count() > MOST - 200 {
            left += 1;
            continue;
        }
        length += block.chars().count();
        *text += &block;
    }
    if left > 0 {
        let what = if left == 1 { "difference is" } else { "differences are" };
        *text +=
            &format!("\n{left} more {what} too long for a comment: `dockerops validate --diff` shows all.\n");
    }
}

/// A block that its content cannot end.
fn fenced(kind: &str, body: &str) -> String {
    let fence = "`".repeat(longest_run(body).max(2) + 1);
    format!("{fence}{kind}\n{body}{fence}\n")
}

/// Likewise in a line.
fn code(text: &str) -> String {
    let fence = "`".repeat(longest_run(text) + 1);
    let room = if fence.len() > 1 { " " } else { "" };
    format!("{fence}{room}{}{room}{fence}", plain::name(text))
}

fn longest_run(text: &str) -> usize {
    text.split(|letter| letter != '`').map(str::len).max().unwrap_or(0)
}

fn html(text: &str) -> String {
    let plain = plain::name(text);
    let escaped = plain.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!("<code>{escaped}</code>")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::diff::{StackBecomes, StackChange};
    use crate::validate::{Mistake, Note};

    fn verdict(differences: &[String]) -> Verdict {
        let stack = |(index, difference): (usize, &String)| StackChange {
            name: format!("s{index}"),
            becomes: StackBecomes::Changed,
            services: Vec::new(),
            rotated: Vec::new(),
            why: Vec::new(),
            difference: difference.clone(),
        };
        let diff = Diff {
            reference: "main".into(),
            base: "0".repeat(40),
            stacks: differences.iter().enumerate().map(stack).collect(),
            images: Vec::new(),
            bindings: Vec::new(),
            lost: Vec::new(),
            notes: Vec::new(),
        };
        Verdict { diff: Some(diff), ..Verdict::default() }
    }

    #[test]
    fn a_comment_is_never_too_long_and_says_how_many_are_left() {
        let text = verdict(&vec!["+ü\n".repeat(1_000); 2_000]).markdown();
        assert!(text.chars().count() <= MOST, "{}", text.chars().count());
        assert!(text.starts_with(MARK) && text.contains(" more differences are too long"), "{text}");
        assert_eq!(text.matches("<details>").count(), text.matches("</details>").count());
        let text = verdict(&["+x\n".repeat(100_000), "+small\n".into()]).markdown();
        assert!(text.contains("+small") && text.contains("\n1 more difference is too long"), "{text}");
        let mut many = verdict(&[]);
        many.notes = (0..1_000).map(|_| Note { about: "n".repeat(100), what: "w".repeat(1_000) }).collect();
        many.problems = (0..500)
            .map(|_| Mistake {
                file: "f".repeat(200),
                line: Some(1),
                key: "k".repeat(200),
                what: "w".repeat(200),
                stack: None,
                template: None,
            })
            .collect();
        let text = many.markdown();
        assert!(text.chars().count() <= MOST && text.contains("more\n```"), "{}", text.chars().count());
    }

    #[test]
    fn nothing_that_a_repository_says_is_markdown() {
        let hostile = "a\n```\n# heading\n@everyone ![x](http://evil) <img src=x>\u{202e}";
        let mut verdict = verdict(&[format!("+{hostile}\n+````\n")]);
        verdict.problems = vec![Mistake {
            file: hostile.into(),
            line: None,
            key: hostile.into(),
            what: hostile.into(),
            stack: None,
            template: None,
        }];
        verdict.diff.iter_mut().for_each(|diff| diff.stacks[0].name = hostile.into());
        let text = verdict.markdown();
        let mut fence: Option<&str> = None;
        for line in text.lines() {
            let run = &line[..line.len() - line.trim_start_matches('`').len()];
            match fence {
                None if run.len() > 2 => fence = Some(run),
                Some(open) if run.len() >= open.len() && line == run => fence = None,
                None => {
                    let outside = ["@everyone", "![", "<img", "# heading"].into_iter();
                    let is_code = line.starts_with("<details><summary><code>");
                    assert!(is_code || outside.clone().all(|word| !line.contains(word)), "{line}");
                    assert!(!line.contains("<img") && !line.starts_with("# "), "{line}");
                }
                Some(_) => {}
            }
        }
        assert!(fence.is_none(), "{text}");
        assert!(!text.contains('\u{202e}'));
    }
}
