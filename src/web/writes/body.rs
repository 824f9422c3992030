//! What programs send to have a stack made or changed.

use serde::de::{DeserializeOwned, Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::plain;
use crate::stack::StackName;
use crate::web::request::Body;
use crate::web::response::Response;

/// `POST /api/v1/stacks`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct New {
    pub repository: Option<String>,
    pub name: String,
    pub stack_definition: String,
    #[serde(default, deserialize_with = "each_once")]
    pub options: Map<String, Value>,
}

/// `PUT /api/v1/stacks/<name>`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Changed {
    pub stack_definition: Option<String>,
    #[serde(deserialize_with = "each_once")]
    pub options: Map<String, Value>,
    #[serde(default)]
    pub overwrite: bool,
}

/// Of one that stands twice nobody could say which is meant.
fn each_once<'de, D: Deserializer<'de>>(from: D) -> Result<Map<String, Value>, D::Error> {
    struct Once;
    impl<'de> Visitor<'de> for Once {
        type Value = Map<String, Value>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object of options")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Self::Value, A::Error> {
            let mut options = Map::new();
            while let Some((name, value)) = pairs.next_entry::<String, Value>()? {
                if options.contains_key(&name) {
                    return Err(A::Error::custom(format!(
                        "the option `{}` stands twice",
                        plain::name(&name)
                    )));
                }
                options.insert(name, value);
            }
            Ok(options)
        }
    }
    from.deserialize_map(Once)
}

pub fn in_json<T: DeserializeOwned>(body: &mut Body<'_>, form: &str) -> Result<T, Response> {
    parse(&body.read()?, form)
}

fn parse<T: DeserializeOwned>(body: &[u8], form: &str) -> Result<T, Response> {
    let refused = |what: &str| Err(Response::refusal(400, what, &format!("send {form}")));
    match body.trim_ascii().first() {
        None => refused("there is no body"),
        Some(b'{') => serde_json::from_slice(body)
            .or_else(|error| refused(&format!("the body is not what is asked for: {error}"))),
        Some(_) => refused("the body is no JSON object"),
    }
}

/// A name that is the stack's and its folder's alike.
pub fn stack_name(name: &str) -> Result<StackName, Response> {
    let shown = || plain::name(&name.chars().take(100).collect::<String>());
    let hint = "letters, digits, `-` and `_`, at most 61, the first and the last one a letter or a digit";
    match StackName::from_folder(name) {
        Ok(stack) if stack.as_str() == name => Ok(stack),
        Ok(stack) => {
            let what = format!("`{}` is no name that Swarm takes as it is; `{stack}` is", shown());
            Err(Response::refusal(422, &what, hint))
        }
        Err(error) => Err(Response::refusal(422, &format!("`{}`, as a name, {error}", shown()), hint)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_one_object_that_says_each_thing_once() {
        let wrong = |body: &str| parse::<Changed>(body.as_bytes(), "x").unwrap_err().refused.unwrap().0;
        assert_eq!(wrong(" "), "there is no body");
        for body in ["[]", "[null, {}]", "\"x\"", "7"] {
            assert_eq!(wrong(body), "the body is no JSON object", "{body}");
        }
        assert!(wrong(r#"{"options": {"A": 1, "A": 2}}"#).contains("`A` stands twice"));
        assert!(wrong(r#"{"options": []}"#).contains("an object of options"));
        assert!(wrong(r#"{"options": {}, "x": 1}"#).contains("unknown field"));
        let right: Changed = parse(br#"{"options": {"A": 1, "B": "2"}}"#, "x").unwrap();
        assert_eq!(right.options.len(), 2);
    }
}
