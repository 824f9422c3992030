//! The rendered file as people may see it, and the database may keep it: without what looks like a secret.
//!
//! Variables are in it by name, so no value of the environment or of `.env` is. What an author wrote into
//! the file itself is public to the repository's readers, but not to those of a terminal or a page.

use std::rc::Rc;

use crate::yaml::{Kind, Node};

const HIDDEN: &str = "[redacted]";

/// Words in the name of what nobody is to see.
const TELLING: [&str; 8] =
    ["password", "passwd", "passphrase", "secret", "token", "credential", "apikey", "privatekey"];

/// And how such a name may end: `DB_PASS`, `MYSQL_PWD`, `SIGNING_KEY`.
const TELLING_END: [&str; 3] = ["pass", "pwd", "key"];

/// The tree with such values replaced.
pub fn without_secrets(node: &Rc<Node>) -> Rc<Node> {
    let kind = match &node.kind {
        Kind::Scalar { text, plain } => Kind::Scalar { text: shown(text), plain: *plain },
        Kind::Sequence(items) => Kind::Sequence(items.iter().map(without_secrets).collect()),
        Kind::Mapping(pairs) => Kind::Mapping(pairs.iter().map(|(key, value)| pair(key, value)).collect()),
    };
    Rc::new(Node { line: node.line, tag: node.tag.clone(), kind })
}

/// A line of a file, whatever its kind, with such a value replaced: `DB_PASSWORD=…`, `  token: …`.
pub fn line_without_secrets(line: &str) -> String {
    let end = line.trim_end_matches(['\n', '\r']);
    let Some((name, value)) = end.split_once('=').or_else(|| end.split_once(": ")) else {
        return shown(line);
    };
    let word = name.trim().trim_start_matches("- ").trim_matches(['"', '\'']);
    let is_name = word.chars().all(|letter| letter.is_ascii_alphanumeric() || "_.-".contains(letter));
    if is_name && tells(word) && is_value(value.trim()) {
        return format!("{}{HIDDEN}{}", &end[..end.len() - value.len()], &line[end.len()..]);
    }
    line.split_inclusive(' ').map(shown).collect()
}

fn pair(key: &Rc<Node>, value: &Rc<Node>) -> (Rc<Node>, Rc<Node>) {
    let hides = key.text().is_some_and(tells) && value.text().is_some_and(is_value);
    (Rc::clone(key), if hides { Node::string(HIDDEN) } else { without_secrets(value) })
}

/// `NAME=value` of a list is like a pair; of an address the part before the `@` goes.
fn shown(text: &str) -> String {
    if let Some((name, value)) = text.split_once('=')
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "_.-".contains(letter))
        && tells(name)
        && is_value(value)
    {
        return format!("{name}={HIDDEN}");
    }
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let (host, path) = rest.split_at(rest.find(['/', '?', ' ']).unwrap_or(rest.len()));
    match host.rsplit_once('@') {
        Some((login, host)) if is_value(login) => format!("{scheme}://{HIDDEN}@{host}{path}"),
        _ => text.to_owned(),
    }
}

fn tells(name: &str) -> bool {
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
    // `DB_PASSWORD_FILE` names a file, and `secrets` is a section.
    !name.ends_with("file")
        && name != "secrets"
        && (TELLING.iter().any(|word| name.contains(word))
            || TELLING_END.iter().any(|end| name.ends_with(end)))
}

/// Whether it is more than the name of a variable, or a word of the compose file.
fn is_value(text: &str) -> bool {
    let inner = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')).or(text.strip_prefix('$'));
    let is_name = |name: &str| name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    !text.is_empty() && !["true", "false"].contains(&text) && !inner.is_some_and(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::{parse, print};

    #[test]
    fn what_looks_like_a_secret_is_not_shown_and_the_rest_is() {
        let text = "services:\n  a:\n    image: a:1\n    secrets: [db_password]\n    environment:\n      \
                    DB_PASSWORD: hunter2\n      API_TOKEN: ${API_TOKEN}\n      DEFAULT_TOKEN: ${T:-hunter3}\n      \
                    DB_PASSWORD_FILE: /run/secrets/p\n      URL: postgres://u:hunter4@db:5432/x?y\n      \
                    PLAIN: http://host/@x\n  b:\n    environment: [MY_SECRET=hunter5, MY=word, 'API_KEY_ID=k']\n    \
                    labels: {auth.passwd: hunter6, pass: hunter7, signing_key: hunter8, MYSQL_PWD: hunter9}\n";
        let shown = print(&without_secrets(&parse(text).unwrap().unwrap()));
        assert!(!shown.contains("hunter"), "{shown}");
        for kept in
            ["db_password", "${API_TOKEN}", "/run/secrets/p", "@db:5432/x?y", "http://host/@x", "MY=word"]
        {
            assert!(shown.contains(kept), "{kept}: {shown}");
        }
        assert_eq!(shown.matches(HIDDEN).count(), 9, "{shown}");
    }
}
