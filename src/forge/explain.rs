//! Why no request was opened, in words, and the way out.

use anyhow::Error;
use serde_json::Value;

use super::Dialect;
use super::client::Answer;
use super::place::Place;
use super::repository::Repository;
use crate::fault::fault;

/// What GitHub, and what Gitea says where both branches hold the same.
const NOTHING_TO_MERGE: &[&str] = &["no commits between", "no changes between"];

/// The forge knows the request, and refuses it.
pub(super) fn refused(repository: &Repository<'_>, answer: &Answer) -> Error {
    let Repository { place, client, forge, path, .. } = repository;
    let said = words(&answer.text).map(|words| format!(": {}", client.shown(&words))).unwrap_or_default();
    let status = answer.status;
    let reason = status.canonical_reason().map(|reason| format!(" {reason}")).unwrap_or_default();
    let told = format!("{} answers {}{reason}{said}", forge.name(), status.as_u16());
    let line = format!("the line for `{}` in the file of `DOCKEROPS_PUSH_CREDENTIALS`", place.root());
    let lower = said.to_lowercase();
    match status.as_u16() {
        _ if answer.is_limited => fault(format!("the forge was asked too often: {told}"), again(answer)),
        401 => fault(
            format!("the token is not valid there: {told}"),
            format!("put a valid token into {line}: {}", forge.permission()),
        ),
        403 => fault(
            format!("the token may open no {}: {told}", forge.request()),
            format!("{}; it stands in {line}", forge.permission()),
        ),
        404 => fault(
            format!("the token sees no repository `{path}`, or not both branches: {told}"),
            format!("check the address; {}; it stands in {line}", forge.permission()),
        ),
        409 | 422 if NOTHING_TO_MERGE.iter().any(|words| lower.contains(words)) => fault(
            format!("there is nothing to merge, the one branch holds all of the other: {told}"),
            "it was merged meanwhile, most likely; nothing is left to do then",
        ),
        500.. => fault(format!("the forge is in trouble itself: {told}"), again(answer)),
        _ => fault(
            told,
            format!("what was pushed stays: open the {} by hand, or change that", forge.request()),
        ),
    }
}

/// What was opened for another change says so still.
pub(super) fn not_changed(repository: &Repository<'_>, answer: &Answer) -> Error {
    let Repository { client, forge, .. } = repository;
    let said = words(&answer.text).map(|words| format!(": {}", client.shown(&words))).unwrap_or_default();
    fault(
        format!("{} answers {} to the change of them{said}", forge.name(), answer.status.as_u16()),
        format!("change them by hand; {}", forge.permission()),
    )
}

fn again(answer: &Answer) -> String {
    let wait = answer.retry_after.map_or("later".to_owned(), |wait| format!("in {wait} s"));
    format!("what was pushed stays: try again {wait}")
}

/// A repository or its host has moved; what is sent there is for somebody else to decide.
pub(super) fn moved(asked: &str, next: &str) -> Error {
    fault(
        format!("`{asked}` redirects to `{next}`, where nothing was sent to"),
        "watch the address that the repository has moved to instead",
    )
}

/// It is there, and answers otherwise than its documents say.
pub(super) fn not_expected(forge: &dyn Dialect) -> Error {
    fault(
        format!("what answers there is not what {} says of a {}", forge.name(), forge.request()),
        "check that it is one, and that no proxy or login page stands before its API",
    )
}

pub(super) fn strange_address(number: u64, url: &str, place: &Place) -> Error {
    fault(
        format!("request {number} is open, but its address `{url}` is no page of `{}`: refused", place.host),
        "set the external address of the forge (GitLab: `external_url`, Gitea: `ROOT_URL`) to the host of the remote",
    )
}

pub(super) fn unknown(place: &Place, told: &[String]) -> Error {
    fault(
        format!("which forge is at `{}` cannot be told: {}", place.host, told.join(", ")),
        "requests are opened on GitHub (`github.com`, or what `GH_HOST` names), GitLab, and Gitea or Forgejo; unset \
         `DOCKEROPS_WRITE_BRANCH` to push to the watched branch itself",
    )
}

/// What the forge says of an error: GitHub by a message and errors, GitLab by a message of any shape, or an error.
fn words(body: &str) -> Option<String> {
    let body = body.trim();
    let Ok(value) = serde_json::from_str::<Value>(body) else {
        let page = body.starts_with('<').then(|| "a web page, not what an API says".to_owned());
        return page.or_else(|| Some(body.to_owned())).filter(|words| !words.is_empty());
    };
    let mut said = Vec::new();
    for key in ["message", "error", "error_description", "errors"] {
        collect(&value[key], &mut said);
    }
    (!said.is_empty()).then(|| said.join("; "))
}

fn collect(value: &Value, said: &mut Vec<String>) {
    match value {
        Value::String(text) if !text.is_empty() && !said.contains(text) => said.push(text.clone()),
        Value::Array(values) => values.iter().take(10).for_each(|value| collect(value, said)),
        Value::Object(fields) => match (&value["message"], &value["field"], &value["code"]) {
            (Value::String(message), ..) if !message.is_empty() => said.push(message.clone()),
            (_, Value::String(field), Value::String(code)) => said.push(format!("{field} is {code}")),
            _ => {
                for (name, value) in fields.iter().take(10) {
                    let mut why = Vec::new();
                    collect(value, &mut why);
                    said.extend(why.into_iter().map(|why| format!("{name} {why}")));
                }
            }
        },
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_forge_is_quoted_in_its_own_words() {
        for (body, wanted) in [
            (r#"{"message":"Bad credentials","documentation_url":"https://x"}"#, "Bad credentials"),
            (
                r#"{"message":"Validation Failed","errors":[{"resource":"PullRequest","code":"custom","message":"No commits between main and x"}]}"#,
                "Validation Failed; No commits between main and x",
            ),
            (
                r#"{"message":"Validation Failed","errors":[{"resource":"PullRequest","field":"head","code":"invalid"}]}"#,
                "Validation Failed; head is invalid",
            ),
            (
                r#"{"message":["Another open merge request already exists: !3"]}"#,
                "Another open merge request already exists: !3",
            ),
            (r#"{"message":{"title":["is too long"]}}"#, "title is too long"),
            (
                r#"{"error":"insufficient_scope","error_description":"needs more"}"#,
                "insufficient_scope; needs more",
            ),
            (r#"{"message":"not found","errors":null,"url":"https://x/api/swagger"}"#, "not found"),
            ("<html>", "a web page, not what an API says"),
            ("404 page not found\n", "404 page not found"),
        ] {
            assert_eq!(words(body).as_deref(), Some(wanted), "{body}");
        }
        for nothing in ["", "[]", "{}", "7", r#"{"message":7}"#] {
            assert_eq!(words(nothing), None, "{nothing}");
        }
    }
}
