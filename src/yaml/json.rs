//! JSON is YAML, but for one thing: what is beyond U+FFFF may be written as two escapes.

use serde::de::IgnoredAny;

use super::parse::SyntaxError;

/// `text`, which must be JSON, as a YAML text of the same meaning and the same lines.
pub fn from_json(text: &str) -> Result<String, SyntaxError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    serde_json::from_str::<IgnoredAny>(text)
        .map_err(|error| SyntaxError { line: error.line(), what: format!("is not JSON: {error}") })?;
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let (letter, length) = match pair(rest) {
            Some(letter) => (Some(letter), 12),
            // An escaped backslash begins no escape.
            None => (None, 1 + rest[1..].chars().next().map_or(0, char::len_utf8)),
        };
        match letter {
            Some(letter) => out.push(letter),
            None => out.push_str(&rest[..length]),
        }
        rest = &rest[length..];
    }
    Ok(out + rest)
}

/// The letter of `\ud83d\ude00` at the beginning of `text`.
fn pair(text: &str) -> Option<char> {
    let unit = |text: &str| u16::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok();
    let units = [unit(text)?, unit(text.get(6..)?)?];
    if !(0xd800..0xdc00).contains(&units[0]) {
        return None;
    }
    char::decode_utf16(units).next()?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_letters_in_two_parts_change() {
        for (json, yaml) in [
            (r#"{"a": "\ud83d\uDE00\n"}"#, "{\"a\": \"😀\\n\"}"),
            (r#"["\\ud83d\\ude00", "\u00e9", "é"]"#, r#"["\\ud83d\\ude00", "\u00e9", "é"]"#),
            ("\u{feff}[]", "[]"),
        ] {
            assert_eq!(from_json(json).unwrap(), yaml);
        }
        for text in ["a: b", "[1,]", "", "{} x"] {
            assert!(from_json(text).unwrap_err().what.starts_with("is not JSON"), "{text}");
        }
        assert_eq!(from_json("{\n\"a\": b}").unwrap_err().line, 2);
    }
}
