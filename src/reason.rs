//! Why somebody holds something, in their own words.

/// The most letters of a reason.
pub const MOST_LETTERS: usize = 500;

/// A reason as it is typed; the error says how long it may be.
pub fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    let letters = text.chars().count();
    if letters > MOST_LETTERS {
        return Err(format!("a reason of {letters} letters is too long; it may have {MOST_LETTERS}"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_bounded() {
        assert_eq!(reason(" why \n"), Ok("why".into()));
        assert!(reason(&"\u{e9}".repeat(MOST_LETTERS)).is_ok());
        assert!(reason(&"x".repeat(MOST_LETTERS + 1)).unwrap_err().contains("it may have 500"));
    }
}
