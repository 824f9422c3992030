//! What a service would run, by docker's rules: compose's `entrypoint` and `command`, then the image's.

use super::words;
use crate::image::ImageCommand;
use crate::problem::Collector;
use crate::yaml::Node;

/// The compose file's part of a command.
#[derive(Debug, Clone, Default)]
pub struct Command {
    entrypoint: Vec<String>,
    command: Vec<String>,
}

impl Command {
    /// Of an interpolated service.
    pub fn of(service: &Node, name: &str, problems: &mut Collector) -> Self {
        let mut words = |key: &str| words_of(service, name, key, problems);
        Self { entrypoint: words("entrypoint"), command: words("command") }
    }

    /// The words the container would start with: a compose `entrypoint` drops the image's command, a
    /// compose `command` keeps its entrypoint. Swarm takes an empty list for none.
    pub fn with_image(&self, image: &ImageCommand) -> Vec<String> {
        let (entrypoint, command) = match (self.entrypoint.is_empty(), self.command.is_empty()) {
            (false, _) => (&self.entrypoint, &self.command),
            (true, false) => (&image.entrypoint, &self.command),
            (true, true) => (&image.entrypoint, &image.command),
        };
        // moby `mergeAndVerifyConfig`: one empty word stands for no entrypoint at all.
        let reset = matches!(entrypoint.as_slice(), [word] if word.is_empty());
        entrypoint.iter().filter(|_| !reset).chain(command).cloned().collect()
    }
}

fn words_of(service: &Node, name: &str, key: &str, problems: &mut Collector) -> Vec<String> {
    let Some(value) = service.get(key).filter(|value| !value.is_null()) else { return Vec::new() };
    let mut wrong =
        |node: &Node, what: String| problems.add(node.line, format!("services.{name}.{key}"), what);
    match value.items() {
        Some(items) => {
            let mut words = Vec::new();
            for item in items {
                // docker refuses any other item, in words that would name the rewritten list.
                match item.as_string().filter(|_| item.is_string()) {
                    Some(word) => words.push(word.to_owned()),
                    None => wrong(item, format!("must list strings, not {}; put it in quotes", item.what())),
                }
            }
            words
        }
        None => match value.text().map(words::split) {
            Some(Ok(words)) => words,
            Some(Err(what)) => {
                wrong(&value, what.to_owned());
                Vec::new()
            }
            None => {
                wrong(&value, format!("must be a string or a list, not {}", value.what()));
                Vec::new()
            }
        },
    }
}
