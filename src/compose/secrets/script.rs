//! `entrypoint-secrets.sh`: POSIX shell, builtins only, so that it asks no more of an image than a shell.

use std::fmt::Write;

use super::Script;
use crate::hash::Key;
use crate::stack::StackName;

/// Where it lies in a container: beside what the author mounts, and under no `tmpfs` of theirs.
pub const PATH: &str = "/entrypoint-secrets.sh";

/// Longest name that Swarm takes for a config.
const MOST_LETTERS: usize = 64;

// The loop keeps every byte as `$(cat …)` would, and takes no `cat`. A variable of the image may be called
// like one of a script; these names are nobody's.
const HEAD: &str = r#"#!/bin/sh
# Made by DockerOps: puts Swarm secrets into variables, then becomes the service's own command.
dockerops_newline='
'
dockerops_read() {
    dockerops_value='' dockerops_between=''
    if ! [ -r "$2" ]; then
        echo "entrypoint-secrets.sh: $2 cannot be read, $1 is empty" >&2
        return
    fi
    while IFS='' read -r dockerops_line || [ -n "$dockerops_line" ]; do
        dockerops_value=$dockerops_value$dockerops_between$dockerops_line
        dockerops_between=$dockerops_newline
    done <"$2"
    while :; do
        case $dockerops_value in
        *"$dockerops_newline") dockerops_value=${dockerops_value%"$dockerops_newline"} ;;
        *) break ;;
        esac
    done
}
"#;

/// The script that exports each of `variables`, a name and the file with its value.
pub fn script(stack: &StackName, variables: &[(String, String)], installation: &Key) -> Script {
    let mut text = HEAD.to_owned();
    for (env, file) in variables {
        let file = file.replace('\'', r"'\''");
        let _ = writeln!(text, "dockerops_read {env} '{file}'\nexport {env}=\"$dockerops_value\"");
    }
    text.push_str("exec \"$@\"\n");
    Script { name: name(stack, &text, installation), text }
}

/// `web_entrypoint-secrets-` and a hash, which nobody else can make a config under before; of a long stack name the
/// beginning.
fn name(stack: &StackName, text: &str, installation: &Key) -> String {
    let end = format!("_entrypoint-secrets-{}", &installation.tag([stack.as_str(), text])[..12]);
    let stack: String = stack.as_str().chars().take(MOST_LETTERS - end.len()).collect();
    stack + &end
}
