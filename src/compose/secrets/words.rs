//! A string cut into words as docker's CLI does it for `command` and `entrypoint`.
//!
//! Source: github.com/google/shlex, by docker/cli `loader.transformShellCommand`. Quotes and backslashes
//! as in a shell, except that in double quotes a backslash goes before any letter; `#` at the beginning
//! of a word opens a comment.

/// The words of `text`; an error says what does not end.
pub fn split(text: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '#' if word.is_none() => {
                letters.by_ref().find(|letter| *letter == '\n');
            }
            '\\' => {
                let next = letters.next().ok_or("ends with a backslash")?;
                word.get_or_insert_default().push(next);
            }
            '"' | '\'' => quoted(letter, &mut letters, word.get_or_insert_default())?,
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

fn quoted(quote: char, letters: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), &'static str> {
    loop {
        let letter = match letters.next() {
            Some(letter) if letter == quote => return Ok(()),
            Some('\\') if quote == '"' => letters.next(),
            other => other,
        };
        word.push(letter.ok_or("has a quote that does not end")?);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_docker() {
        for (text, expected) in [
            (" a  b\tc\nd ", &["a", "b", "c", "d"][..]),
            (r#"sh -c "echo \"x\" \n $A""#, &["sh", "-c", r#"echo "x" n $A"#]),
            (r"a'b c'd '' 'x\y'", &["ab cd", "", r"x\y"]),
            (r"a\ b \#c d#e", &["a b", "#c", "d#e"]),
            ("a # b\nc", &["a", "c"]),
            ("# all", &[]),
            ("", &[]),
            ("é 'ü '", &["é", "ü "]),
        ] {
            assert_eq!(split(text).unwrap(), expected, "{text}");
        }
        for text in ["'a", "\"a", "a\\", "\"a\\"] {
            assert!(split(text).is_err(), "{text}");
        }
    }
}
