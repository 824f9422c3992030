//! Where that stands which docker complains of: it names what it means by its path, and neither file nor line.

use std::rc::Rc;

use crate::yaml::Node;

/// The path in `words`, as keys and places in lists; of one that they do not name nothing is found in a file.
pub fn path_in(words: &str) -> Vec<&str> {
    let words = words.trim().trim_start_matches("compose file error:").trim();
    if words.starts_with("version mismatched") {
        // Of all the files.
        return Vec::new();
    }
    let first = words.split_whitespace().next().unwrap_or_default().trim_end_matches(':');
    let property =
        words.split_once("Additional property ").and_then(|(_, rest)| rest.split_whitespace().next());
    first.split('.').filter(|key| *key != "(root)").chain(property).collect()
}

/// The line of what lies at `path`, or of the last on the way that is there, which is told as well.
pub fn place_in<'p>(file: &Rc<Node>, path: &[&'p str]) -> (usize, Vec<&'p str>) {
    let (mut node, mut line, mut known) = (Rc::clone(file), 0, Vec::new());
    for key in path {
        let found = match node.items() {
            Some(items) => {
                let item = key.parse().ok().and_then(|place: usize| items.get(place));
                item.map(|item| (item.line, Rc::clone(item)))
            }
            None => {
                let mut pairs = node.merged_pairs().into_iter();
                let pair = pairs.find(|(name, _)| name.text() == Some(key));
                pair.map(|(name, value)| (name.line, value))
            }
        };
        let Some((at, value)) = found else { break };
        if at > 0 {
            line = at;
        }
        known.push(*key);
        node = value;
    }
    (line, known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    #[test]
    fn what_docker_names_is_found() {
        let text =
            "services:\n  app:\n    image: a\n    ports:\n      - 80\n      - [81]\n    foo: 1\ninclude: x\n";
        let file = yaml::parse(text).unwrap().unwrap();
        for (words, line, key) in [
            ("services.app.ports.1 must be a string or number", 6, "services.app.ports.1"),
            ("services.app Additional property foo is not allowed", 7, "services.app.foo"),
            ("(root) Additional property include is not allowed", 8, "include"),
            ("compose file error: services.app.image: is odd", 3, "services.app.image"),
            ("services.app.ports.2 must be a string", 4, "services.app.ports"),
            ("version mismatched between two composefiles : 3.8 and 3.1", 0, ""),
        ] {
            let (found, known) = place_in(&file, &path_in(words));
            assert_eq!((found, &*known.join(".")), (line, key), "{words}");
        }
    }
}
