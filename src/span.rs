//! For how long: `2h`, `1d 12h`, `ever`.

use std::time::Duration;

use chrono::TimeDelta;

/// Longer than this is a slip, or meant to be without an end.
const MOST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// For how long something is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    For(TimeDelta),
    /// Until somebody releases it.
    Ever,
}

/// A day, where nobody says otherwise.
impl Default for Span {
    fn default() -> Self {
        Self::For(TimeDelta::hours(24))
    }
}

/// Reads `90m`, `2h`, `1d 12h`, or `ever`; the error says what is taken.
pub fn span(text: &str) -> Result<Span, String> {
    const TAKEN: &str = "write `30m`, `2h`, `1d 12h`, or `ever` for one without an end";
    if text.trim() == "ever" {
        return Ok(Span::Ever);
    }
    let length = humantime::parse_duration(text.trim())
        .map_err(|_| format!("`{text}` is no length of time; {TAKEN}"))?;
    if length.is_zero() {
        return Err(format!("`{text}` is over at once; {TAKEN}"));
    }
    if length > MOST {
        return Err(format!("`{text}` is more than a year; {TAKEN}"));
    }
    TimeDelta::from_std(length).map(Span::For).map_err(|_| format!("`{text}` is too long; {TAKEN}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_read_or_the_error_says_what_is_taken() {
        for (text, minutes) in [("30m", 30), ("2h", 120), (" 1d 12h ", 36 * 60), ("90s", 1)] {
            let Ok(Span::For(length)) = span(text) else { panic!("{text}") };
            assert_eq!(length.num_minutes(), minutes, "{text}");
        }
        assert_eq!(span("ever"), Ok(Span::Ever));
        assert_eq!(span("24h"), Ok(Span::default()));
        for text in ["", "0s", "2", "soon", "-1h", "9999d", "99999999999999999999y"] {
            let error = span(text).unwrap_err();
            assert!(error.contains("`ever` for one without an end"), "{text}: {error}");
        }
    }
}
