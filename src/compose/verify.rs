//! A second reader: the library of docker's own YAML family must find the printed text equal to the
//! author's. It guards every deploy against a fault in our own reading and printing.

use serde_yaml::Value;

use crate::problem::Collector;
use crate::yaml::{self, Kind, Node};

/// Notes a problem unless `printed` reads as `original` does.
pub fn same_meaning(original: &str, printed: &str, problems: &mut Collector) {
    let same = match read(original.strip_prefix('\u{feff}').unwrap_or(original)) {
        Ok(value) => read(printed).is_ok_and(|printed| printed == value),
        // The library has no room for such a number; docker reads it as a float.
        Err(error) if error.to_string().contains("128, expected any YAML value") => {
            matches!((yaml::parse(original), yaml::parse(printed)), (Ok(Some(one)), Ok(Some(other))) if same(&one, &other))
        }
        Err(error) => {
            let line = error.location().map_or(0, |location| location.line());
            return problems.add(line, "", format!("is not YAML: {error}"));
        }
    };
    if !same {
        let what = "cannot be handed to docker unchanged: please report this file as a bug of DockerOps";
        problems.add(0, "", what);
    }
}

/// The first document; both texts have the same `<<`, so nothing is merged.
fn read(text: &str) -> Result<Value, serde_yaml::Error> {
    let Some(document) = serde_yaml::Deserializer::from_str(text).next() else { return Ok(Value::Null) };
    <Value as serde::Deserialize>::deserialize(document)
}

/// Whether two trees differ in their lines at most.
fn same(one: &Node, other: &Node) -> bool {
    one.tag == other.tag
        && match (&one.kind, &other.kind) {
            (Kind::Sequence(one), Kind::Sequence(other)) => {
                one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
            }
            (Kind::Mapping(one), Kind::Mapping(other)) => {
                one.len() == other.len()
                    && one
                        .iter()
                        .zip(other)
                        .all(|(one, other)| same(&one.0, &other.0) && same(&one.1, &other.1))
            }
            (one, other) => one == other,
        }
}
