//! A JSON Schema of the options of a template: what it takes, `check` takes too.

use serde_json::{Map, Value, json};

use super::{Kind, Parameter, Template};

/// By the draft of 2020-12.
pub fn schema(template: &Template) -> Value {
    let property = |parameter: &Parameter| (parameter.name.clone(), parameter.property());
    let required = template.parameters.iter().filter(|parameter| parameter.required);
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": template.parameters.iter().map(property).collect::<Map<_, _>>(),
        "required": required.map(|parameter| &parameter.name).collect::<Vec<_>>(),
        "additionalProperties": false,
    });
    for (key, text) in [("title", &template.title), ("description", &template.description)] {
        if let Some(text) = text {
            schema[key] = json!(text);
        }
    }
    schema
}

impl Parameter {
    fn property(&self) -> Value {
        let is_bound = !self.choices.is_empty() || self.pattern.is_some() || self.secret || self.never_empty;
        let mut property = Map::new();
        let mut set = |key: &str, value: Value| drop(property.insert(key.to_owned(), value));
        set(
            "type",
            match self.kind {
                None if !is_bound => json!(["string", "integer", "boolean"]),
                None | Some(Kind::String) => json!("string"),
                Some(Kind::Integer) => json!("integer"),
                Some(Kind::Boolean) => json!("boolean"),
            },
        );
        for (key, text) in [("title", &self.label), ("description", &self.help)] {
            if let Some(text) = text {
                set(key, json!(text));
            }
        }
        if let Some(default) = &self.default {
            set("default", self.typed(default));
        }
        if !self.choices.is_empty() {
            set("enum", self.choices.iter().map(|choice| self.typed(choice)).collect());
        }
        if let Some(pattern) = &self.pattern {
            set("pattern", json!(format!("^(?:{pattern})$")));
        }
        for (key, limit) in [("minimum", self.min), ("maximum", self.max)] {
            if let Some(limit) = limit {
                set(key, json!(limit));
            }
        }
        if self.secret && self.pattern.is_none() {
            set("pattern", json!("^[a-zA-Z0-9](?:[a-zA-Z0-9._-]{0,62}[a-zA-Z0-9])?$"));
        }
        if self.never_empty && matches!(self.kind, None | Some(Kind::String)) {
            set("minLength", json!(1));
        }
        Value::Object(property)
    }

    fn typed(&self, text: &str) -> Value {
        match self.kind {
            Some(Kind::Integer) => text.parse::<i64>().map_or_else(|_| json!(text), |number| json!(number)),
            Some(Kind::Boolean) => json!(text == "true"),
            _ => json!(text),
        }
    }
}
