//! Keys of SSH in files: git's `allowed_signers` (ssh-keygen(1), ALLOWED SIGNERS), and lists of keys that are revoked.
//!
//! A line that is not wholly understood is a mistake: what was meant as a bound must not be read as none.

use std::collections::BTreeSet;

use super::ssh::PublicKey;
use super::window::{self, Window};
use crate::plain;
use crate::problem::Collector;

/// How the kinds of keys begin, which no option does.
const KINDS: [&str; 5] = ["ssh-", "ecdsa-", "sk-", "rsa-", "webauthn-"];
/// Those that are no name of anybody.
const WHOLE: [&str; 8] = [
    "ssh-ed25519",
    "ssh-rsa",
    "ssh-dss",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];
const FORM: &str = "a line is `PRINCIPALS [OPTIONS] KIND KEY`, as in `ann@example.com ssh-ed25519 AAAA…`";

/// A key that may sign.
#[derive(Debug)]
pub(super) struct Line {
    pub principals: String,
    pub key: PublicKey,
    pub window: Window,
    /// Whether `namespaces` allows what git signs.
    pub is_for_git: bool,
}

/// The keys of the file's text; what is wrong goes to `found`.
pub(super) fn read(text: &str, found: &mut Collector) -> Vec<Line> {
    let mut lines = Vec::new();
    for (number, line) in told(text) {
        match Line::read(line) {
            Ok(line) => lines.push(line),
            Err(wrong) => wrong.into_iter().for_each(|what| found.add(number, "", what)),
        }
    }
    lines
}

/// The fingerprints that a list of revoked keys holds: of SSH keys, or as they are told.
pub(super) fn read_revoked(text: &str, found: &mut Collector) -> BTreeSet<String> {
    let mut revoked = BTreeSet::new();
    for (number, line) in told(text) {
        let mut words = line.split_ascii_whitespace();
        let (first, second) = (words.next().unwrap_or_default(), words.next());
        let is_openpgp =
            [40, 64].contains(&first.len()) && first.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_ssh = first.strip_prefix("SHA256:").is_some_and(|rest| rest.len() == 43);
        match second {
            Some(key) if is_kind(first) => match PublicKey::read(first, key) {
                Ok(key) => drop(revoked.insert(key.fingerprint())),
                Err(what) => found.add(number, "", what),
            },
            _ if is_openpgp => drop(revoked.insert(first.to_ascii_uppercase())),
            _ if is_ssh => drop(revoked.insert(first.to_owned())),
            _ => found.add(
                number,
                "",
                "a line of revoked keys is `KIND KEY`, as in a `.pub` file, or a whole fingerprint: `SHA256:…`, or the \
                 40 digits of an OpenPGP key",
            ),
        }
    }
    revoked
}

fn told(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().map(|line| line.trim_matches([' ', '\t', '\r'])).enumerate();
    lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).map(|(at, line)| (at + 1, line))
}

fn is_kind(word: &str) -> bool {
    KINDS.iter().any(|kind| word.starts_with(kind))
}

impl Line {
    /// An error is all that is wrong with it.
    fn read(line: &str) -> Result<Self, Vec<String>> {
        let one = |what: &str| vec![what.to_owned()];
        let (principals, rest) = word(line).ok_or_else(|| one("a quotation mark is missing"))?;
        if WHOLE.contains(&principals) {
            return Err(vec![format!("it does not say whose key that is: {FORM}")]);
        }
        let (second, behind) = word(rest).ok_or_else(|| one("a quotation mark is missing"))?;
        let (options, rest) = if is_kind(second) { ("", rest) } else { (second, behind) };
        let mut wrong = Vec::new();
        let (mut window, mut is_for_git) = (Window::default(), true);
        for option in listed(options) {
            let read = Options { window: &mut window, is_for_git: &mut is_for_git }.take(option);
            wrong.extend(read.err());
        }
        if let (Some(after), Some(before)) = (window.after, window.before)
            && after >= before
        {
            wrong.push("`valid-before` is not behind `valid-after`".into());
        }
        let mut words = rest.split_ascii_whitespace();
        let key = match (words.next().filter(|kind| is_kind(kind)), words.next()) {
            (Some(kind), Some(key)) => PublicKey::read(kind, key),
            // What was taken for options tells more.
            _ if !wrong.is_empty() => return Err(wrong),
            _ => Err(format!("it has no key: {FORM}")),
        };
        match key {
            Ok(key) if wrong.is_empty() => {
                Ok(Self { principals: principals.trim_matches('"').to_owned(), key, window, is_for_git })
            }
            key => Err(wrong.into_iter().chain(key.err()).collect()),
        }
    }
}

struct Options<'a> {
    window: &'a mut Window,
    is_for_git: &'a mut bool,
}

impl Options<'_> {
    fn take(&mut self, option: &str) -> Result<(), String> {
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (option, None),
        };
        let quoted = || {
            let inner = value.and_then(|value| value.strip_prefix('"')?.strip_suffix('"'));
            let inner = inner.filter(|inner| !inner.contains(['"', '\\']));
            inner.ok_or_else(|| format!("`{}` needs a value in double quotes", plain::name(name)))
        };
        match name.to_ascii_lowercase().as_str() {
            "namespaces" => *self.is_for_git &= holds_git(quoted()?),
            "valid-after" => {
                let after = window::time(quoted()?, true)?;
                self.window.after = self.window.after.max(Some(after));
            }
            "valid-before" => {
                let before = window::time(quoted()?, false)?;
                self.window.before = Some(self.window.before.map_or(before, |known| known.min(before)));
            }
            "cert-authority" => {
                return Err(
                    "`cert-authority` is not taken, for certificates are not: name the keys themselves"
                        .into(),
                );
            }
            _ => {
                return Err(format!(
                    "there is no option `{}`: {FORM}, and the options are `namespaces`, `valid-after` and `valid-before`",
                    plain::name(name)
                ));
            }
        }
        Ok(())
    }
}

/// The first word, and what stands behind it; blanks within quotes end none. `None` where a quote has no end.
fn word(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start_matches([' ', '\t']);
    let mut is_quoted = false;
    for (at, letter) in text.char_indices() {
        match letter {
            '"' => is_quoted = !is_quoted,
            ' ' | '\t' if !is_quoted => return Some((&text[..at], &text[at..])),
            _ => {}
        }
    }
    (!is_quoted).then_some((text, ""))
}

/// Options, between commas that are not in quotes.
fn listed(options: &str) -> Vec<&str> {
    let mut is_quoted = false;
    let split = options.split(move |letter| {
        is_quoted ^= letter == '"';
        letter == ',' && !is_quoted
    });
    if options.is_empty() { Vec::new() } else { split.collect() }
}

/// Whether a list of patterns holds `git`, as OpenSSH reads it: what a `!` excludes is out, wherever it stands.
fn holds_git(patterns: &str) -> bool {
    let (mut holds, mut excludes) = (false, false);
    for pattern in patterns.split(',') {
        match pattern.strip_prefix('!') {
            Some(pattern) => excludes |= matches(pattern.as_bytes(), b"git"),
            None => holds |= matches(pattern.as_bytes(), b"git"),
        }
    }
    holds && !excludes
}

/// `*` stands for any letters, `?` for one.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => {
            matches(rest, text) || text.split_first().is_some_and(|(_, text)| matches(pattern, text))
        }
        ([b'?', pattern @ ..], [_, text @ ..]) => matches(pattern, text),
        ([one, pattern @ ..], [other, text @ ..]) => one == other && matches(pattern, text),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3kNHLbhbmxvHzs1s1OOeIGFcKFdAgsl7oxMVWHNrxP";

    fn all(text: &str) -> (Vec<Line>, Vec<String>) {
        let mut found = Collector::new("allowed");
        let lines = read(text, &mut found);
        (lines, found.into_problems().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn lines_as_ssh_keygen_reads_them() {
        let text = format!(
            "# whose keys\n\n\tann@h,*@x {KEY} a comment\r\n\"bob smith\" namespaces=\"file,git\",valid-after=\"20250101Z\" {KEY}\n\
             carl NAMESPACES=\"g*\",Valid-Before=\"20260101Z\"  {KEY}\ndora namespaces=\"file\" {KEY}\n\
             emil namespaces=\"*,!git\" {KEY}\nsk-team@h {KEY}\n"
        );
        let (lines, wrong) = all(&text);
        assert!(wrong.is_empty(), "{wrong:?}");
        let told: Vec<_> = lines
            .iter()
            .map(|line| {
                let has = (line.window.after.is_some(), line.window.before.is_some());
                (&*line.principals, line.is_for_git, has)
            })
            .collect();
        assert_eq!(
            told,
            [
                ("ann@h,*@x", true, (false, false)),
                ("bob smith", true, (true, false)),
                ("carl", true, (false, true)),
                ("dora", false, (false, false)),
                ("emil", false, (false, false)),
                ("sk-team@h", true, (false, false)),
            ]
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_nothing_is_skipped() {
        for (line, wanted) in [
            (KEY.to_owned(), "does not say whose key"),
            (format!("ann cert-authority {KEY}"), "`cert-authority` is not taken"),
            (format!("ann colour=\"red\" {KEY}"), "no option `colour`"),
            (format!("ann no-touch-required {KEY}"), "no option `no-touch-required`"),
            (format!("ann valid-after=20250101 {KEY}"), "`valid-after` needs a value in double quotes"),
            (format!("ann valid-after=\"soon\" {KEY}"), "`soon` is no time"),
            (format!("ann valid-after=\"20260101Z\",valid-before=\"20260101Z\" {KEY}"), "is not behind"),
            (format!("ann valid-after=\"20260101Z {KEY}"), "a quotation mark is missing"),
            ("ann".into(), "it has no key"),
            ("ann ssh-ed25519".into(), "it has no key"),
            ("ann ssh-ed25519 AAAA".into(), "its key is"),
            (format!("ann {}", KEY.replace("ssh-ed25519", "ssh-rsa")), "its key is another kind"),
            ("ann ssh-dss AAAAB3NzaC1kc3MAAAAA".into(), "`ssh-dss`, which is not taken"),
        ] {
            let (lines, wrong) = all(&format!("\n{line}\n"));
            assert!(lines.is_empty() && wrong.len() == 1, "{line}: {wrong:?}");
            assert!(wrong[0].starts_with("allowed:2: ") && wrong[0].contains(wanted), "{line}: {wrong:?}");
        }
        let (_, wrong) = all(&format!("ann a=\"1\",valid-before=\"b\" {KEY}\nbob\n"));
        assert_eq!(wrong.len(), 3, "{wrong:?}");
    }

    #[test]
    fn a_list_of_revoked_keys_has_keys_and_fingerprints() {
        let mut found = Collector::new("revoked");
        let print = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU";
        let pgp = "0123456789abcdef0123456789abcdef01234567";
        let revoked = read_revoked(
            &format!("# gone\n{KEY} ann\n{print}\n{pgp}\nann {KEY}\n{}\n", &pgp[..16]),
            &mut found,
        );
        assert!(revoked.contains(print) && revoked.contains(&pgp.to_uppercase()) && revoked.len() == 3);
        let lines: Vec<_> = found.into_problems().iter().map(|wrong| wrong.line).collect();
        assert_eq!(lines, [Some(5), Some(6)]);
    }
}
