//! A second reader: the library of docker's own YAML family must find the printed text equal to the
//! author's. It guards every deploy against a fault in our own reading and printing.

use serde_yaml::Value;

use crate::problem::Collector;

/// Notes a problem unless `printed` reads as `original` does.
pub fn same_meaning(original: &str, printed: &str, problems: &mut Collector) {
    let original = match read(original.strip_prefix('\u{feff}').unwrap_or(original)) {
        Ok(value) => value,
        Err(error) => {
            let line = error.location().map_or(0, |location| location.line());
            problems.add(line, "", format!("is not YAML: {error}"));
            return;
        }
    };
    if read(printed).ok() != Some(original) {
        problems.add(
            0,
            "",
            "cannot be handed to docker unchanged: please report this file as a bug of DockerOps",
        );
    }
}

/// The first document, with merges done.
fn read(text: &str) -> Result<Value, serde_yaml::Error> {
    let Some(document) = serde_yaml::Deserializer::from_str(text).next() else { return Ok(Value::Null) };
    let mut value = <Value as serde::Deserialize>::deserialize(document)?;
    value.apply_merge()?;
    Ok(value)
}
