//! Files in which the fuzzer once found a difference.

use super::place::Fixture;
use super::run::faults;

/// What was wrong → the file.
const FOUND: [(&str, &str); 11] = [
    (
        "U+0085 hides a section",
        "x-a: a\u{85}configs:\u{85}  c:\u{85}    file:\u{85}      /OUTSIDE/outside/secret\nservices: {a: {image: a}}\nversion: '3.8'\n",
    ),
    (
        "U+2028 hides a section",
        "x-a: a\u{2028}secrets:\u{2028}  c:\u{2028}    file:\u{2028}      /OUTSIDE/outside/secret\nservices: {a: {image: a}}\nversion: '3.8'\n",
    ),
    (
        "U+2029 hides a section",
        "x-a: a\u{2029}secrets:\u{2029}  c:\u{2029}    file:\u{2029}      /OUTSIDE/outside/secret\nservices: {a: {image: a}}\nversion: '3.8'\n",
    ),
    (
        "docker's names of variables hold the long s",
        "services: {a: {image: a}}\nversion: '3.8'\nconfigs: {c: {file: \"$Aſ/OUTSIDE/outside/secret\"}}\n",
    ),
    (
        "docker's names of variables hold the sign of Kelvin",
        "services: {a: {image: a}}\nversion: '3.8'\nconfigs: {c: {file: \"$A\u{212a}/OUTSIDE/outside/secret\"}}\n",
    ),
    (
        "a variable whose name nobody wrote",
        "version: '3.8'\nservices: {a: {image: a, command: [run, \"$Bſ\"]}}\n",
    ),
    (
        "`..` behind a symlink is another folder to docker",
        "version: '3.8'\nservices: {a: {image: a}}\nconfigs: {c: {file: link/../site.conf}}\n",
    ),
    (
        "`..` behind a symlink in `env_file`",
        "version: '3.8'\nservices: {a: {image: a, env_file: link/../app.env}}\n",
    ),
    (
        "a date is a text to one docker and a time to the other",
        "version: '3.8'\nservices: {a: {image: a, environment: {A: 2001-12-14}}}\n",
    ),
    (
        "a number that is too large for the second reader",
        "x-n: 99999999999999999999\nx-a: a\u{85}configs:\u{85}  c:\u{85}    file:\u{85}      /OUTSIDE/outside/secret\n\
         services: {a: {image: a}}\nversion: '3.8'\n",
    ),
    (
        "`!!str ~` is a text, no variable that is to be looked up",
        "version: '3.8'\nservices: {a: {image: a, environment: {FROM_DOTENV: !!str ~}}}\n",
    ),
];

#[test]
fn what_was_found_once_stays_right() {
    let fixture = Fixture::new();
    let wrong: Vec<_> = FOUND
        .iter()
        .enumerate()
        .map(|(worker, (what, text))| (what, faults(&fixture, worker, text)))
        .filter(|(_, faults)| !faults.is_empty())
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
