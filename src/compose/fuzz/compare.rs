//! What docker was seen to create against what it should.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::docker_api::{Request, UPDATE};
use super::expect::{Expected, Want};
use super::place::{CANARY, CANARY_VALUE};

/// Texts that docker writes where nobody wrote anything.
const DOCKERS: [&str; 20] = [
    "tcp",
    "udp",
    "ingress",
    "volume",
    "bind",
    "tmpfs",
    "overlay",
    "swarm",
    "local",
    "vip",
    "none",
    "any",
    "on-failure",
    "container",
    "default",
    "NONE",
    "CMD-SHELL",
    "pause",
    "stop-first",
    "0",
];

/// Every difference, a line each; `whole` where docker says that it did all.
pub fn differences(all: &[&Expected], requests: &[Request], whole: bool) -> Vec<String> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for request in requests {
        let name = request.body["Name"].as_str().unwrap_or_default().to_owned();
        let kind = request.kind.strip_suffix(UPDATE).unwrap_or(&request.kind);
        let what = format!("{} `{name}`", request.kind);
        found.extend(canaries(all, &request.body).map(|canary| format!("{what}: `{canary}` leaked")));
        let known = all.iter().find_map(|expected| {
            let (key, object) =
                expected.objects.iter().find(|((of, known), _)| *of == kind && *known == name)?;
            Some((key.clone(), object, expected))
        });
        let Some((key, object, expected)) = known else {
            found.push(format!("{what} is created and not in our tree: {}", request.body));
            continue;
        };
        if !seen.insert(key) && kind == request.kind {
            found.push(format!("{what} is created twice"));
        }
        for (place, want) in object {
            let is = request.body.pointer(place).unwrap_or(&Value::Null);
            if !holds(want, is) {
                found.push(format!("{what}: `{place}` is {is}, not {want:?}"));
            }
        }
        let mut texts = Vec::new();
        unnamed(&request.body, "", object, &mut texts);
        for text in texts.into_iter().filter(|text| !explained(text, &expected.texts)) {
            found.push(format!("{what}: `{}` is nowhere in our tree", text.escape_debug()));
        }
    }
    if whole {
        let missing =
            all.iter().flat_map(|expected| expected.objects.keys()).filter(|key| !seen.contains(key));
        found.extend(missing.map(|(kind, name)| format!("{kind} `{name}` is in our tree and not created")));
    }
    found
}

/// What must not leave: files outside the checkout, and variables that nobody named.
fn canaries(all: &[&Expected], body: &Value) -> impl Iterator<Item = String> {
    let mut found = Vec::new();
    let data = body["Data"].as_str().and_then(|data| STANDARD.decode(data).ok()).unwrap_or_default();
    let text = body.to_string() + &String::from_utf8_lossy(&data);
    if text.contains(CANARY) {
        found.push(CANARY.to_owned());
    }
    for rest in text.split(CANARY_VALUE).skip(1) {
        let name: String =
            rest.trim_start_matches("-of-").chars().take_while(|letter| letter.is_alphanumeric()).collect();
        let value = format!("{CANARY_VALUE}-of-{name}");
        // In `environment` a name is enough.
        if !all
            .iter()
            .flat_map(|one| &one.texts)
            .any(|text| text.contains(&value) || text.split('=').next() == Some(&*name))
        {
            found.push(value);
        }
    }
    found.into_iter()
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_empty),
    }
}

/// The same, what is empty left out.
pub fn bare(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(_, value)| !is_empty(value));
            Value::Object(kept.map(|(key, value)| (key.clone(), bare(value))).collect())
        }
        Value::Array(items) => {
            let mut items: Vec<_> = items.iter().map(bare).collect();
            items.sort_by_key(ToString::to_string);
            items.dedup();
            Value::Array(items)
        }
        other => other.clone(),
    }
}

fn holds(want: &Want, is: &Value) -> bool {
    let texts = || is.as_array().into_iter().flatten().map(|item| item.as_str().unwrap_or_default());
    match want {
        Want::Anything => true,
        Want::Text(text) => text.is(is.as_str().unwrap_or_default()),
        Want::Image(text) => {
            let is = is.as_str().unwrap_or_default();
            text.is(is) || is.strip_suffix(":latest").is_some_and(|is| text.is(is))
        }
        Want::Number(text) => text.is_number(&is.to_string()),
        Want::List(all) => texts().count() == all.len() && texts().zip(all).all(|(is, want)| want.is(is)),
        Want::Split(text) => {
            let quotes = |letter: &char| !letter.is_whitespace() && !"'\"\\".contains(*letter);
            let joined: String = texts().collect();
            // docker's splitter takes what begins with `#` for a comment.
            let ends = text.match_indices('#').map(|(at, _)| at).chain([text.len()]);
            ends.into_iter().any(|end| joined.chars().filter(quotes).eq(text[..end].chars().filter(quotes)))
        }
        Want::Map(all) => {
            let count = is.as_object().map_or(0, serde_json::Map::len);
            count == all.len() && all.iter().all(|(key, want)| is[key].as_str().is_some_and(|is| want.is(is)))
        }
        Want::Environment(all) => {
            texts().count() == all.len()
                && texts().all(|is| {
                    // The name itself may hold a `=`, or be one.
                    all.iter().any(|(name, want)| match (is.strip_prefix(name.as_str()), want) {
                        (Some(""), None) => true,
                        (Some(rest), Some(want)) => {
                            rest.strip_prefix('=').is_some_and(|value| want.is(value))
                        }
                        _ => false,
                    })
                })
        }
        Want::Json(want) => bare(want) == bare(is) || (is_empty(want) && is_empty(is)),
        Want::Bag(all, fields) => {
            let project = |item: &Value| {
                let kept = fields.iter().map(|field| ((*field).to_owned(), item[*field].clone()));
                bare(&Value::Object(kept.collect()))
            };
            // What a credential spec needs is no file.
            let is = is.as_array().into_iter().flatten().filter(|item| item["Runtime"].is_null());
            let (mut is, mut want): (Vec<_>, Vec<_>) =
                (is.map(project).collect(), all.iter().map(project).collect());
            for side in [&mut is, &mut want] {
                side.sort_by_key(ToString::to_string);
                side.dedup();
            }
            is == want
        }
    }
}

/// The texts of a request, keys included, where `object` says nothing of them.
fn unnamed<'a>(value: &'a Value, place: &str, object: &super::expect::Object, out: &mut Vec<&'a str>) {
    // `Anything` is compared as texts.
    if object.get(place).is_some_and(|want| !matches!(want, Want::Anything)) || place == "/Name" {
        return;
    }
    match value {
        Value::String(text) => out.push(text),
        Value::Array(items) => items.iter().for_each(|item| unnamed(item, "/*", object, out)),
        Value::Object(fields) => {
            for (key, value) in fields {
                unnamed(value, &format!("{place}/{key}"), object, out);
            }
        }
        _ => {}
    }
}

fn explained(text: &str, known: &BTreeSet<String>) -> bool {
    let plain = text.strip_prefix("CAP_").unwrap_or(text);
    DOCKERS.contains(&text)
        || text.is_empty()
        || known.iter().any(|known| {
            known.contains(text)
                || known.to_uppercase().contains(plain)
                || text.strip_prefix("st_").is_some_and(|name| known.contains(name))
        })
        || text.strip_prefix("id of ").is_some()
        || text.split([' ', ':', '=']).all(|part| known.iter().any(|known| known.contains(part)))
}
