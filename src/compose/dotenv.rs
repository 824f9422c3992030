//! A stack folder's `.env`: `NAME=value` lines, comments, quotes, `export`.
//!
//! Nothing is substituted in it: a repository must not read the environment of the run.

use std::collections::BTreeMap;

/// Reads `text`; an error names its line.
pub fn parse(text: &str) -> Result<BTreeMap<String, String>, (usize, String)> {
    let mut variables = BTreeMap::new();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let at = |what: &str| (index + 1, what.to_owned());
        let (name, value) = line.split_once('=').ok_or_else(|| at("is not `NAME=value`"))?;
        let name = name.trim().strip_prefix("export ").unwrap_or(name).trim();
        if !is_name(name) {
            return Err(at("does not begin with a variable's name"));
        }
        variables.insert(
            name.to_owned(),
            unquote(value.trim()).ok_or_else(|| at("has a quote that does not end"))?,
        );
    }
    Ok(variables)
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|letter: char| letter.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Single quotes keep all, double quotes know `\n \t \" \\ \$`, bare values end at ` #`.
fn unquote(value: &str) -> Option<String> {
    if let Some(inner) = value.strip_prefix('\'') {
        return inner.split_once('\'').map(|(inner, _)| inner.to_owned());
    }
    let Some(inner) = value.strip_prefix('"') else {
        return Some(value.split(" #").next().unwrap_or_default().trim_end().to_owned());
    };
    let mut out = String::new();
    let mut letters = inner.chars();
    loop {
        match letters.next()? {
            '"' => return Some(out),
            '\\' => match letters.next()? {
                'n' => out.push('\n'),
                't' => out.push('\t'),
                other @ ('"' | '\\' | '$') => out.push(other),
                other => out.extend(['\\', other]),
            },
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_forms() {
        let text = "# c\n\nA=1\nexport B = two words # note\r\nC='it #is $A'\nD=\"a\\nb \\\"q\\\" # x\"\nE=\nF=a#b\n";
        let found: Vec<_> = parse(text).unwrap().into_values().collect();
        assert_eq!(found, ["1", "two words", "it #is $A", "a\nb \"q\" # x", "", "a#b"]);
    }

    #[test]
    fn mistakes_name_their_line() {
        assert_eq!(parse("A=1\nnonsense\n").unwrap_err().0, 2);
        assert!(parse("1A=2").is_err());
        assert!(parse("A='x").is_err());
    }
}
