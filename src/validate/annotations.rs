//! GitHub's own form: lines that it makes annotations of, and other lines that it must make nothing of.

use super::Verdict;

/// GitHub shows ten of a step, and reads no endless log.
const MOST: usize = 50;

/// `::error file=…,line=…::…`, a line each.
pub fn github(verdict: &Verdict) -> String {
    let line = |mistake: &super::Mistake| {
        let place = mistake.line.map_or_else(String::new, |line| format!(",line={line}"));
        let key = if mistake.key.is_empty() { String::new() } else { format!("`{}`: ", mistake.key) };
        let (file, what) = (property(&mistake.file), data(&format!("{key}{}", mistake.what)));
        format!("::error file={file}{place},title=dockerops::{what}\n")
    };
    verdict.problems.iter().take(MOST).map(line).collect()
}

/// What `@actions/core` escapes, and letters that drive a terminal.
fn data(text: &str) -> String {
    let plain = crate::plain::with_margin(text, "");
    plain.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(&crate::plain::name(text)).replace(':', "%3A").replace(',', "%2C")
}

/// The text, with no line that GitHub would take for a command: a repository's names and docker's words are in it. Both
/// its forms are known: `::…` begins a line, `##[…]` stands anywhere.
pub fn without_commands(text: &str) -> String {
    let line = |line: &str| {
        let line = line.replace("##[", "## [");
        let begin = line.len() - line.trim_start().len();
        if line[begin..].starts_with("::") { format!("{}\\{}", &line[..begin], &line[begin..]) } else { line }
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// Likewise, as JSON of the same meaning, no line of which begins with a colon.
pub fn without_commands_in_json(json: &str) -> String {
    json.replace("##[", "#\\u0023[")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::Mistake;

    #[test]
    fn a_hostile_name_or_message_is_one_annotation_and_forges_none() {
        let mistake = Mistake {
            file: "a,line=9::x\n::error::y%".into(),
            line: Some(3),
            key: "k\n::add-mask::z".into(),
            what: "w\r\n::stop-commands::t\u{1b}[2J".into(),
            stack: None,
            template: None,
        };
        let told = github(&Verdict { problems: vec![mistake], ..Verdict::default() });
        assert_eq!(told.lines().count(), 1, "{told}");
        assert_eq!(
            told,
            "::error file=a%2Cline=9%3A%3Ax\\n%3A%3Aerror%3A%3Ay%25,line=3,title=dockerops::`k%0A::add-mask::z`: \
             w%0A::stop-commands::t\\u{1b}[2J\n"
        );
    }

    #[test]
    fn json_means_the_same_and_is_no_command() {
        let text = "a ##[add-mask]x ###[y";
        let json = without_commands_in_json(&serde_json::to_string(text).unwrap());
        assert!(!json.contains("##["), "{json}");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }

    #[test]
    fn no_line_of_a_text_is_a_command() {
        let text = "::error::x\n   ::warning::y\na ::z\n##[error]x\nb ##[add-mask]y\n";
        assert_eq!(
            without_commands(text),
            "\\::error::x\n   \\::warning::y\na ::z\n## [error]x\nb ## [add-mask]y\n"
        );
    }
}
