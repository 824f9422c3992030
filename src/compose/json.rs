//! Compose files as JSON.

use std::path::Path;
use std::rc::Rc;

use crate::yaml::{self, Kind, Node};

/// The file's text as YAML; what calls itself JSON must be. An error is a line and what is wrong there.
pub fn as_yaml(path: &str, text: String) -> Result<String, (usize, String)> {
    if Path::new(path).extension().is_none_or(|extension| extension != "json") {
        return Ok(text);
    }
    yaml::from_json(&text).map_err(|error| (error.line, error.what))
}

/// The compose document of the file: `stack-<stack>.json` has an `enabled` beside it, which docker knows not.
pub fn without_enabled(path: &str, mut tree: Rc<Node>) -> Rc<Node> {
    let name = Path::new(path).file_name().unwrap_or_default().to_string_lossy();
    if name.starts_with("stack-")
        && name.ends_with(".json")
        && let Kind::Mapping(pairs) = &mut Rc::make_mut(&mut tree).kind
    {
        pairs.retain(|(key, _)| key.text() != Some("enabled"));
    }
    tree
}
