//! `${NAME}` in the values of a file of variables, as docker compose reads it.
//!
//! Source: compose-go `template/template.go`, and `dotenv` from 1.13.5 (May 2023) on: before, files won over the
//! environment. It has forms that docker's own CLI has not in compose files (`:+`, `+`, variables in defaults), and
//! takes a `$` before what is no name for itself.

use super::asked::Want;
use super::interpolate::{Variables, name_length};

/// So deep defaults may stand in defaults.
const DEEPEST: usize = 50;

/// Replaces every variable of `template`. An error tells no value, nor any text of the file but names and the message
/// behind a `?`.
pub fn expand(template: &str, variables: &Variables) -> Result<String, String> {
    let mut out = String::new();
    into(&mut out, template, variables, 0)?;
    Ok(out)
}

fn into(out: &mut String, template: &str, variables: &Variables, depth: usize) -> Result<(), String> {
    if depth > DEEPEST {
        return Err(format!("holds variables in defaults, more than {DEEPEST} deep"));
    }
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let name = name_length(after);
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if name > 0 {
            push(out, variables.or_nothing(&after[..name]), variables)?;
            rest = &after[name..];
        } else if let Some(inside) = after.strip_prefix('{') {
            let (braced, after) = Braced::of(inside)
                .ok_or("holds `${` that begins no variable; write `$$` for a dollar sign")?;
            braced.into(out, variables, depth)?;
            rest = after;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    Ok(())
}

fn push(out: &mut String, value: &str, variables: &Variables) -> Result<(), String> {
    variables.spend(value.len()).map_err(|error| error.to_string())?;
    out.push_str(value);
    Ok(())
}

/// `${NAME}`, with an operator and the word behind it.
struct Braced<'text> {
    name: &'text str,
    operator: &'text str,
    word: &'text str,
}

impl<'text> Braced<'text> {
    /// The one that `inside`, what follows `${`, begins with, and what follows it.
    fn of(inside: &'text str) -> Option<(Self, &'text str)> {
        let (name, rest) = inside.split_at(name_length(inside));
        if name.is_empty() {
            return None;
        }
        if let Some(after) = rest.strip_prefix('}') {
            return Some((Self { name, operator: "", word: "" }, after));
        }
        let length = usize::from(rest.starts_with(':')) + 1;
        let (operator, rest) = rest.split_at_checked(length)?;
        if !operator.ends_with(['-', '?', '+']) {
            return None;
        }
        let end = end_of_word(rest)?;
        Some((Self { name, operator, word: &rest[..end] }, &rest[end + 1..]))
    }

    fn into(self, out: &mut String, variables: &Variables, depth: usize) -> Result<(), String> {
        let Self { name, operator, word } = self;
        let want = match operator.trim_start_matches(':') {
            "" => return push(out, variables.or_nothing(name), variables),
            "?" => Want::Required,
            _ => Want::Optional,
        };
        if let Some(value) = variables.ask(name, want, word) {
            return push(out, value, variables);
        }
        let value = variables.get(name);
        let counts = |value: &&str| !operator.starts_with(':') || !value.is_empty();
        match (operator.trim_start_matches(':'), value.filter(counts)) {
            ("+", None) => Ok(()),
            ("+", Some(_)) | ("-", None) => into(out, word, variables, depth + 1),
            (_, Some(value)) => push(out, value, variables),
            (_, None) => Err(format!("required variable `{name}` is missing a value: {word}")),
        }
    }
}

/// Where the `}` stands that ends a word: compose counts braces, without a look at the letter behind an opening one,
/// and takes the last of the line where they do not come out even.
fn end_of_word(text: &str) -> Option<usize> {
    let (mut open, mut last, mut is_behind) = (1, None, false);
    for (at, letter) in text.bytes().enumerate() {
        if letter == b'\n' {
            break;
        }
        last = if letter == b'}' { Some(at) } else { last };
        match letter {
            _ if is_behind => is_behind = false,
            b'{' => (open, is_behind) = (open + 1, true),
            b'}' if open == 1 => break,
            b'}' => open -= 1,
            _ => {}
        }
    }
    last
}
