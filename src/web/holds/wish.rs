//! What programs and the page's forms send to hold, to release and to roll back: read strictly, and all mistakes told at once.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::Act;
use crate::plain;
use crate::reason::reason;
use crate::span::{Span, span};
use crate::web::request::Head;
use crate::web::response::Response;

/// What is wanted, and of whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    pub stack: Option<String>,
    pub repository: Option<String>,
    pub length: Span,
    pub reason: String,
    /// The commit to go back to.
    pub to: Option<String>,
    pub pin: bool,
    pub without_bindings: bool,
}

/// As long as a commit is.
const MOST_DIGITS: usize = 64;

/// The pairs of an object, those that stand twice too.
struct Pairs(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        from.deserialize_map(All)
    }
}

impl Wish {
    /// Of a program, which names a stack in the path, or a repository in the body.
    pub fn of_program(act: Act, stack: Option<&str>, head: &Head, body: &[u8]) -> Result<Self, Response> {
        let mut wish = Self { stack: stack.map(str::to_owned), ..Self::default() };
        let mut mistakes = Vec::new();
        for (at, (key, value)) in head.query.iter().enumerate() {
            let is_again = head.query[..at].iter().any(|(known, _)| known == key);
            match key.as_str() {
                "repository" if stack.is_some() && !is_again => wish.repository = Some(value.clone()),
                _ if is_again => mistakes.push(format!("`?{}` is there more than once", shown(key))),
                _ => mistakes.push(format!("`?{}` is not known here", shown(key))),
            }
        }
        match body.trim_ascii().first() {
            None => {}
            Some(b'{') => match serde_json::from_slice(body) {
                Ok(Pairs(pairs)) => wish.read(act, &pairs, &mut mistakes),
                Err(error) => mistakes.push(format!("the body is no JSON: {error}")),
            },
            Some(_) => mistakes.push("the body is no JSON object".to_owned()),
        }
        if stack.is_none() && wish.repository.is_none() && mistakes.is_empty() {
            mistakes.push("`repository` is missing".to_owned());
        }
        wish.without(act, &mistakes)
    }

    /// Of a form, by its fields; an empty one is none.
    pub fn of_form(act: Act, sent: impl Fn(&str) -> Option<String>) -> Result<Self, Response> {
        let field = |name: &str| sent(name).filter(|value| !value.is_empty());
        let mut wish = Self { stack: field("stack"), repository: field("repository"), ..Self::default() };
        let mut mistakes = Vec::new();
        let (texts, boxes): (&[_], &[_]) = match act {
            Act::Hold => (&["for", "reason"], &[]),
            Act::Release => (&[], &[]),
            Act::RollBack => (&["to", "reason"], &["pin", "without_bindings"]),
        };
        let texts = texts.iter().filter_map(|name| Some(((*name).to_owned(), Value::from(field(name)?))));
        // One that is not ticked is not sent.
        let boxes = boxes.iter().map(|name| ((*name).to_owned(), Value::from(field(name).is_some())));
        wish.read(act, &texts.chain(boxes).collect::<Vec<_>>(), &mut mistakes);
        match (&wish.stack, &wish.repository) {
            (None, _) if act == Act::RollBack => mistakes.push("`stack` is not named".to_owned()),
            (None, None) => mistakes.push("neither `stack` nor `repository` is named".to_owned()),
            _ => {}
        }
        wish.without(act, &mistakes)
    }

    fn read(&mut self, act: Act, pairs: &[(String, Value)], mistakes: &mut Vec<String>) {
        for (at, (key, value)) in pairs.iter().enumerate() {
            if pairs[..at].iter().any(|(known, _)| known == key) {
                mistakes.push(format!("`{}` stands twice", shown(key)));
                continue;
            }
            match (key.as_str(), value) {
                ("for", Value::String(text)) if act == Act::Hold => match span(&shown(text)) {
                    Ok(length) => self.length = length,
                    Err(what) => mistakes.push(format!("`for`: {what}")),
                },
                ("reason", Value::String(text)) if act != Act::Release => match reason(text) {
                    Ok(reason) => self.reason = reason,
                    Err(what) => mistakes.push(format!("`reason`: {what}")),
                },
                ("to", Value::String(text)) if act == Act::RollBack => {
                    if text.len() <= MOST_DIGITS && text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                        self.to = Some(text.clone());
                    } else {
                        mistakes.push(format!("`to`: `{}` is no commit", shown(text)));
                    }
                }
                ("pin", Value::Bool(is_so)) if act == Act::RollBack => self.pin = *is_so,
                ("without_bindings", Value::Bool(is_so)) if act == Act::RollBack => {
                    self.without_bindings = *is_so;
                }
                ("reason", Value::Null) if act != Act::Release => {}
                ("to", Value::Null) if act == Act::RollBack => {}
                ("for", _) if act == Act::Hold => mistakes.push(format!("`{key}` is no string")),
                ("reason", _) if act != Act::Release => mistakes.push(format!("`{key}` is no string")),
                ("to", _) if act == Act::RollBack => mistakes.push(format!("`{key}` is no string")),
                ("pin" | "without_bindings", _) if act == Act::RollBack => {
                    mistakes.push(format!("`{key}` is neither `true` nor `false`"));
                }
                ("repository", Value::String(text)) if self.stack.is_none() => {
                    self.repository = Some(text.clone());
                }
                ("repository", _) if self.stack.is_none() => {
                    mistakes.push("`repository` is no string".to_owned());
                }
                _ => mistakes.push(format!("`{}` is not known here", shown(key))),
            }
        }
    }

    fn without(self, act: Act, mistakes: &[String]) -> Result<Self, Response> {
        if mistakes.is_empty() {
            return Ok(self);
        }
        let repository = if self.stack.is_some() { "" } else { "\"repository\": \"…\"" };
        let hint = match act {
            Act::Release => format!("send `{{{repository}}}`; nothing was done"),
            Act::RollBack => {
                "send `{\"to\": \"1f3a9c\", \"reason\": \"…\", \"pin\": false, \"without_bindings\": \
                 false}`, each of which may be left out; nothing was done"
                    .to_owned()
            }
            Act::Hold => {
                let more = if repository.is_empty() { "" } else { ", " };
                format!(
                    "send `{{{repository}{more}\"for\": \"2h\", \"reason\": \"…\"}}`: 24 hours without `for`; nothing was done"
                )
            }
        };
        Err(Response::refusal(400, &mistakes.join("; "), &hint))
    }
}

fn shown(text: &str) -> String {
    plain::name(&text.chars().take(60).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    fn of(
        act: Act,
        stack: Option<&str>,
        query: &[(&str, &str)],
        body: &str,
    ) -> Result<Wish, (String, String)> {
        let query = query.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let head = Head { query, ..Head::default() };
        Wish::of_program(act, stack, &head, body.as_bytes()).map_err(|refusal| {
            assert_eq!(refusal.status, 400);
            refusal.refused.unwrap()
        })
    }

    #[test]
    fn what_is_left_out_is_a_day_and_no_reason() {
        let web = || Some("web");
        let plain = Wish { stack: web().map(str::to_owned), ..Wish::default() };
        for body in ["", " \n", "{}", r#"{"reason": null}"#, r#"{"reason": " "}"#] {
            assert_eq!(of(Act::Hold, web(), &[], body), Ok(plain.clone()), "{body}");
        }
        let whole =
            of(Act::Hold, web(), &[("repository", "/r")], r#"{"for": "2h", "reason": " why "}"#).unwrap();
        assert_eq!((whole.length, &*whole.reason), (Span::For(TimeDelta::hours(2)), "why"));
        assert_eq!(whole.repository.as_deref(), Some("/r"));
        let source = of(Act::Hold, None, &[], r#"{"repository": "/r", "for": "ever"}"#).unwrap();
        assert_eq!((source.stack, source.length), (None, Span::Ever));
        assert!(of(Act::Release, web(), &[], "{}").is_ok());
    }

    #[test]
    fn all_mistakes_are_told_at_once_and_what_is_taken() {
        let long = format!(r#"{{"for": "soon", "reason": "{}", "fro": 1, "for": "2h"}}"#, "x".repeat(501));
        let (what, hint) = of(Act::Hold, Some("web"), &[("for", "2h")], &long).unwrap_err();
        for part in [
            "`?for` is not known here",
            "`for`: `soon` is no length of time; write `30m`",
            "`reason`: a reason of 501 letters is too long; it may have 500",
            "`fro` is not known here",
            "`for` stands twice",
        ] {
            assert!(what.contains(part), "no {part}: {what}");
        }
        assert!(
            hint.contains(r#"{"for": "2h", "reason": "…"}"#) && hint.contains("nothing was done"),
            "{hint}"
        );
        for (act, stack, body, part) in [
            (Act::Hold, Some("web"), "[]", "no JSON object"),
            (Act::Hold, Some("web"), "{", "no JSON"),
            (Act::Hold, Some("web"), r#"{"for": 2}"#, "`for` is no string"),
            (Act::Hold, Some("web"), r#"{"for": null}"#, "`for` is no string"),
            (Act::Hold, Some("web"), r#"{"reason": []}"#, "`reason` is no string"),
            (Act::Hold, Some("web"), r#"{"repository": "/r"}"#, "`repository` is not known here"),
            (Act::Hold, None, "{}", "`repository` is missing"),
            (Act::Hold, None, "", "`repository` is missing"),
            (Act::Release, None, r#"{"repository": 1}"#, "`repository` is no string"),
            (Act::Release, Some("web"), r#"{"for": "2h"}"#, "`for` is not known here"),
            (Act::Release, Some("web"), "null", "no JSON object"),
            (Act::Hold, Some("web"), r#"{"pin": true}"#, "`pin` is not known here"),
            (Act::RollBack, Some("web"), r#"{"for": "2h"}"#, "`for` is not known here"),
            (Act::RollBack, Some("web"), r#"{"repository": "/r"}"#, "`repository` is not known here"),
        ] {
            let (what, _) = of(act, stack, &[], body).unwrap_err();
            assert!(what.contains(part), "no {part}: {what}");
        }
        let twice = [("repository", "/a"), ("repository", "/b")];
        assert!(of(Act::Release, Some("web"), &twice, "").unwrap_err().0.contains("more than once"));
    }

    #[test]
    fn a_rollback_may_name_a_commit_and_all_its_mistakes_are_told() {
        let read = |body: &str| of(Act::RollBack, Some("web"), &[], body);
        let usual = read("").unwrap();
        assert_eq!((usual.to, usual.pin, usual.without_bindings), (None, false, false));
        assert_eq!(read(r#"{"to": null, "reason": null}"#).unwrap().to, None);
        let whole = r#"{"to": "1F3a9c", "reason": " why ", "pin": true, "without_bindings": true}"#;
        let whole = read(whole).unwrap();
        assert_eq!((whole.to.as_deref(), &*whole.reason), (Some("1F3a9c"), "why"));
        assert!(whole.pin && whole.without_bindings);
        let (what, hint) =
            read(r#"{"to": "main", "pin": "yes", "without_bindings": null, "reason": 1, "pn": 1}"#)
                .unwrap_err();
        for part in [
            "`to`: `main` is no commit",
            "`pin` is neither `true` nor `false`",
            "`without_bindings` is neither",
            "`reason` is no string",
            "`pn` is not known here",
        ] {
            assert!(what.contains(part), "no {part}: {what}");
        }
        assert!(
            hint.contains("\"without_bindings\": false}`") && hint.contains("nothing was done"),
            "{hint}"
        );
        let long = read(&format!(r#"{{"to": "{}"}}"#, "a".repeat(65))).unwrap_err();
        assert!(long.0.contains("is no commit") && read(r#"{"to": 1}"#).unwrap_err().0.contains("no string"));

        let form = |name: &str| match name {
            "stack" => Some("web".to_owned()),
            "to" => Some("1f3a".to_owned()),
            "pin" => Some("1".to_owned()),
            "for" | "reason" => Some(String::new()),
            _ => None,
        };
        let wish = Wish::of_form(Act::RollBack, form).unwrap();
        assert_eq!((wish.to.as_deref(), wish.pin, wish.without_bindings), (Some("1f3a"), true, false));
        let nobody = Wish::of_form(Act::RollBack, |name| (name == "repository").then(|| "/r".to_owned()));
        assert!(nobody.unwrap_err().refused.unwrap().0.contains("`stack` is not named"));
    }

    #[test]
    fn a_form_is_read_by_its_fields() {
        let sent = |pairs: &'static [(&str, &str)]| {
            move |name: &str| {
                pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            }
        };
        let wish =
            Wish::of_form(Act::Hold, sent(&[("stack", "web"), ("for", "ever"), ("reason", ""), ("x", "")]))
                .unwrap();
        assert_eq!((wish.stack.as_deref(), wish.length, &*wish.reason), (Some("web"), Span::Ever, ""));
        let refusal = Wish::of_form(Act::Hold, sent(&[("for", "soon")])).unwrap_err().refused.unwrap();
        assert!(refusal.0.contains("`soon`") && refusal.0.contains("neither `stack` nor"), "{refusal:?}");
        assert!(Wish::of_form(Act::Release, sent(&[("repository", "/r"), ("for", "soon")])).is_ok());
    }
}
