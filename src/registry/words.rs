//! The registry's own words, out of whatever it answered.

use serde_json::Value;
use ureq::http::{HeaderMap, StatusCode, header};

use super::Refusal;

/// Longest answer that is quoted, in letters.
const MOST_LETTERS: usize = 200;

/// A refusal of `status`, with the words of its body where it has any.
pub fn refusal(status: StatusCode, headers: &HeaderMap, body: &str) -> Refusal {
    let mut what = format!("answers {}", status.as_u16());
    if let Some(reason) = status.canonical_reason() {
        what += &format!(" {reason}");
    }
    if let Some(words) = words(body) {
        what += &format!(": {words}");
    }
    if let Some(wait) = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()) {
        let number = !wait.is_empty() && wait.bytes().all(|byte| byte.is_ascii_digit());
        what +=
            &if number { format!("; try again in {wait} s") } else { format!("; try again after {wait}") };
    }
    Refusal(what)
}

/// Errors by the distribution's specification, else what token services print, else plain text.
fn words(body: &str) -> Option<String> {
    let body = body.trim();
    if let Ok(value) = serde_json::from_str::<Value>(body) {
        let errors = value["errors"].as_array().into_iter().flatten();
        let sentences: Vec<_> = errors.filter_map(sentence).collect();
        let plain = || {
            ["details", "message", "error_description", "error"].iter().find_map(|key| value[*key].as_str())
        };
        let said = if sentences.is_empty() { plain().map(str::to_owned) } else { Some(sentences.join("; ")) };
        return said.map(|said| shortened(&said));
    }
    if body.starts_with('<') {
        return Some("a web page, not what a registry says".to_owned());
    }
    Some(shortened(body)).filter(|words| !words.is_empty())
}

fn sentence(error: &Value) -> Option<String> {
    match (error["code"].as_str(), error["message"].as_str().filter(|message| !message.is_empty())) {
        (Some(code), Some(message)) => Some(format!("{code}: {message}")),
        (one, other) => one.or(other).map(str::to_owned),
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(MOST_LETTERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_it_is_it_is_quoted() {
        let unknown = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{}}]}"#;
        for (body, wanted) in [
            (unknown, "answers 404 Not Found: MANIFEST_UNKNOWN: manifest unknown"),
            (r#"{"details":"wrong password"}"#, "answers 404 Not Found: wrong password"),
            ("<html>", "answers 404 Not Found: a web page, not what a registry says"),
            ("404 page not found\n", "answers 404 Not Found: 404 page not found"),
            ("", "answers 404 Not Found"),
        ] {
            assert_eq!(refusal(StatusCode::NOT_FOUND, &HeaderMap::new(), body).0, wanted);
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, "30".parse().unwrap());
        let said = refusal(StatusCode::TOO_MANY_REQUESTS, &headers, "").0;
        assert_eq!(said, "answers 429 Too Many Requests; try again in 30 s");
    }
}
