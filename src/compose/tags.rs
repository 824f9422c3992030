//! What only YAML's types would decide, decided: afterwards no scalar has a tag, and `external` is `true` or `false`.
//!
//! A tag changes what a text is, by rules that readers have of their own, and docker 20.10 takes `n` for a boolean.
//! What was checked as external and is not to docker would be somebody else's object, made this stack's own.

use std::rc::Rc;

use super::references::section;
use crate::problem::Collector;
use crate::yaml::{Kind, Node};

/// Sections whose entries may be external.
const SECTIONS: [&str; 4] = ["configs", "secrets", "networks", "volumes"];
/// The config that DockerOps keeps its key in.
const KEY: &str = "dockerops-key";

/// `tree` without tags. One that does not fit the text as it stands is a mistake.
pub fn without_tags(node: &Rc<Node>, problems: &mut Collector) -> Rc<Node> {
    let kind = match (&node.kind, node.tag.as_deref().map(|tag| tag.trim_start_matches("tag:yaml.org,2002:")))
    {
        (Kind::Scalar { .. }, None) => return Rc::clone(node),
        (Kind::Scalar { text, .. }, Some(word)) => match untagged(word, text) {
            Some(kind) => kind,
            None => {
                let what = "the tag does not fit what stands behind it; known are `!!str`, and `!!int`, `!!float`, \
                            `!!bool` and `!!null` before what is one without it";
                problems.add(node.line, node.tag.clone().unwrap_or_default(), what);
                node.kind.clone()
            }
        },
        (Kind::Sequence(items), tag) => {
            refuse_unless(tag.is_none_or(|tag| tag == "seq"), node, problems);
            Kind::Sequence(items.iter().map(|item| without_tags(item, problems)).collect())
        }
        (Kind::Mapping(pairs), tag) => {
            refuse_unless(tag.is_none_or(|tag| tag == "map"), node, problems);
            let pair = |(key, value): &(Rc<Node>, Rc<Node>)| {
                let key = without_tags(key, problems);
                (key, without_tags(value, problems))
            };
            Kind::Mapping(pairs.iter().map(pair).collect())
        }
    };
    Rc::new(Node { line: node.line, tag: None, kind })
}

fn refuse_unless(fits: bool, node: &Node, problems: &mut Collector) {
    if !fits {
        problems.add(node.line, node.tag.clone().unwrap_or_default(), "the tag is not taken");
    }
}

/// What a tagged scalar is, written so that it is the same without the tag.
fn untagged(word: &str, text: &str) -> Option<Kind> {
    let plain = |text: &str| Some(Kind::Scalar { text: text.to_owned(), plain: true });
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    match word {
        "str" => Some(Kind::Scalar { text: text.to_owned(), plain: false }),
        "int" if digits(unsigned) => plain(text),
        "float" if unsigned.split_once('.').is_some_and(|(one, two)| digits(one) && digits(two)) => {
            plain(text)
        }
        "bool" => boolean(text)
            .filter(|_| text.len() > 3)
            .and_then(|value| plain(if value { "true" } else { "false" })),
        "null" if matches!(text, "" | "~" | "null" | "Null" | "NULL") => plain("~"),
        _ => None,
    }
}

/// A boolean of YAML 1.1, as docker 20.10 takes it (go-yaml v2 `resolve.go`).
fn boolean(text: &str) -> Option<bool> {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Some(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

/// The interpolated `tree` with every `external` as `true`, `false` or the mapping it is. Notes another value, and who
/// asks for the key of DockerOps.
pub fn with_plain_externals(tree: &Rc<Node>, problems: &mut Collector) -> Rc<Node> {
    let mut tree = Rc::clone(tree);
    for name in SECTIONS {
        for (key, entry) in section(&tree, name) {
            let Some(external) = entry.get("external") else { continue };
            let path = format!("{name}.{key}.external");
            let text = |node: &Node, key: &str| node.get(key).and_then(|name| name.text().map(str::to_owned));
            if [Some(key.clone()), text(&entry, "name"), text(&external, "name")]
                .iter()
                .flatten()
                .any(|name| name == KEY)
            {
                problems.add(
                    external.line,
                    &path,
                    format!("`{KEY}` is DockerOps' own, and no stack may use it"),
                );
            }
            let value = match &external.kind {
                Kind::Mapping(_) => continue,
                Kind::Scalar { text, plain: true } => boolean(text),
                _ => None,
            };
            let Some(value) = value else {
                problems.add(
                    external.line,
                    path,
                    format!("must be `true` or `false`, not {}", external.what()),
                );
                continue;
            };
            let entry = super::labels::child(super::labels::child(&mut tree, name), &key);
            *super::labels::child(entry, "external") = Node::plain(if value { "true" } else { "false" });
        }
    }
    tree
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::{parse, print};

    fn printed(text: &str, change: fn(&Rc<Node>, &mut Collector) -> Rc<Node>) -> (String, Vec<String>) {
        let mut problems = Collector::new("f");
        let tree = change(&parse(text).unwrap().unwrap(), &mut problems);
        (print(&tree), problems.into_problems().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn tags_are_written_out_or_refused() {
        let text = "a: !!str 12\nb: !!int \"5\"\nc: !!bool \"True\"\nd: !!null ''\ne: !!float '1.5'\nf: !!seq [x]\n!!str g: !!map {}\n";
        let wanted = "a: \"12\"\nb: 5\nc: true\nd: ~\ne: 1.5\nf:\n  - x\n\"g\": {}\n";
        assert_eq!(printed(text, without_tags), (wanted.to_owned(), vec![]));
        for text in [
            "a: !!bool 'no'",
            "a: !!bool n",
            "a: !!int 0x10",
            "a: !!int 1_000",
            "a: !!float 1",
            "a: !!null x",
            "a: !!binary eA==",
            "a: !!timestamp 2001-01-01",
            "a: !own x",
            "a: !!map [x]",
            "a: !!str [x]",
            "a: !!set {x}",
        ] {
            assert_eq!(printed(text, without_tags).1.len(), 1, "{text}");
        }
    }

    #[test]
    fn external_is_one_thing_to_every_docker() {
        for (value, wanted) in
            [("true", "true"), ("no", "false"), ("n", "false"), ("Y", "true"), ("False", "false")]
        {
            let (text, problems) =
                printed(&format!("configs: {{k: {{external: {value}}}}}"), with_plain_externals);
            assert_eq!(text, format!("configs:\n  k:\n    external: {wanted}\n"));
            assert!(problems.is_empty(), "{problems:?}");
        }
        for entry in [
            "external: 'false'",
            "external: nO",
            "external: ",
            "external: 0",
            "external: [x]",
            "external: true, name: dockerops-key",
            "external: {name: dockerops-key}",
        ] {
            let (_, problems) = printed(&format!("configs: {{k: {{{entry}}}}}"), with_plain_externals);
            assert_eq!(problems.len(), 1, "{entry}: {problems:?}");
        }
    }
}
