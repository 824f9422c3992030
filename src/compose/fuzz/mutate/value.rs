//! Changes of single values: numbers, booleans, dates and nulls of all YAML versions, `$` forms, paths, keys.

use crate::compose::fuzz::place::{ODD_FOLDERS, OUTSIDE};
use crate::compose::fuzz::tree::Tree;
use crate::rng::Rng;

const PLAINS: [&str; 88] = [
    "0",
    "1",
    "-1",
    "+1",
    "010",
    "0440",
    "-010",
    "08",
    "09",
    "0o14",
    "0O14",
    "0x1F",
    "0X1f",
    "-0x1F",
    "0b101",
    "0b102",
    "1_000",
    "_1",
    "1_",
    "1__0",
    "22:22",
    "1:60",
    "190:20:30",
    "1e3",
    "1E3",
    "1.0",
    "1.",
    ".5",
    "-.5",
    "1.50",
    "1e",
    "1e+3",
    ".inf",
    "-.Inf",
    ".NAN",
    "inf",
    "nan",
    "Infinity",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999",
    "-9223372036854775809",
    "1e400",
    "1e-400",
    "0.1",
    "3.14159265358979323846",
    "123456789012345678.5",
    "0x1p3",
    "0_",
    "0x",
    "0b",
    "0o",
    "yes",
    "Yes",
    "no",
    "NO",
    "on",
    "Off",
    "y",
    "N",
    "true",
    "TRUE",
    "tRue",
    "False",
    "~",
    "null",
    "NULL",
    "nUll",
    "2001-12-14",
    "2001-12-14t21:59:43.10-05:00",
    "2001-1-1",
    "12:30:45",
    "2001-12-14 21:59:43",
    "=",
    "<<",
    ".",
    "-",
    "..",
    "1.2.3",
    "0.0",
    "-0",
    "+.5",
    "0777777777777777777777777",
    "1,000",
    "0x_1",
    "1_0.5_0",
];

const DOLLARS: [&str; 44] = [
    "$FROM_PROCESS",
    "${FROM_PROCESS}",
    "$FROM_DOTENV",
    "${FROM_DOTENV}",
    "$FROM_BOTH",
    "${NONE:-default}",
    "${NONE-default}",
    "${EMPTY:-d}",
    "${EMPTY-d}",
    "${FROM_PROCESS:?must}",
    "${NONE:?must}",
    "${NONE?must}",
    "$$",
    "$$$$",
    "$${X}",
    "$",
    "${",
    "${}",
    "${1}",
    "$1",
    "${A",
    "${NONE:-${FROM_PROCESS}}",
    "${NONE:+alt}",
    "${FROM_PROCESS:+alt}",
    "${FROM_PROCESS+alt}",
    "$Bſ",
    "${Bſ}",
    "$B\u{212a}",
    "$FROM_PROCESSſ",
    "${FROM_PROCESS\u{212a}}",
    "$NUMBERſ",
    "$ſ",
    "$\u{212a}",
    "${ſ}",
    "$from_process",
    "$FROM_PROCESSé",
    "$AWKWARD",
    "${AWKWARD}",
    "$$CANARY",
    "${NONE:-a}b}",
    "$NONE-x",
    "$FROM_PROCESS:-x",
    "$ZZ\u{301}",
    "${NONE:-$$x}",
];

pub fn mutate(tree: &mut Tree, rng: &mut Rng) {
    let mut files = Vec::new();
    let mut values = Vec::new();
    for index in 0..tree.size() {
        if tree.nth(index).is_some_and(|node| node.text().is_some()) {
            values.push(index);
        }
    }
    paths(tree, &mut files);
    if !files.is_empty() && rng.chance(35) {
        let at = rng.below(files.len());
        let file = tree.nth(files[at]).unwrap();
        let old = file.text().unwrap_or_default().to_owned();
        *file = Tree::quoted(path(&old, rng));
        return;
    }
    let Some(node) = values.get(rng.below(values.len())).and_then(|index| tree.nth(*index)) else { return };
    let old = node.text().unwrap_or_default().to_owned();
    *node = match rng.below(12) {
        0 | 1 => Tree::plain(rng.pick(&PLAINS)),
        2 => Tree::quoted(rng.pick(&PLAINS)),
        3 | 4 => Tree::quoted(old + rng.pick(&DOLLARS)),
        5 => Tree::quoted(rng.pick(&DOLLARS).to_owned() + &old),
        6 => Tree::quoted(odd(&old, rng)),
        7 => Tree::quoted(format!(
            "{old}{}",
            rng.pick(&["\n", "\t", "  ", "\u{0}", "\u{85}", "\u{2028}", "\r\n", "\u{feff}", "\u{7f}"])
        )),
        8 => Tree::quoted(format!(
            "{}{old}",
            rng.pick(&[" ", "- ", "? ", "# ", "&a ", "*a", "!x ", "%", "@", "`", "|", "> "])
        )),
        9 => Tree::quoted("x".repeat(100 + rng.below(3000))),
        10 => Tree::quoted(path(&old, rng)),
        _ => Tree::quoted(""),
    };
}

/// Where files are named.
fn paths(tree: &mut Tree, found: &mut Vec<usize>) {
    for index in 0..tree.size() {
        let Some(Tree::Map(pairs)) = tree.nth(index).map(|node| &*node) else { continue };
        let mut at = index + 1;
        for (key, value) in pairs {
            let below = at + key.size();
            match key.text() {
                Some("file" | "env_file") if value.text().is_some() => found.push(below),
                Some("env_file") => found.extend((0..value.items().len()).map(|item| below + 1 + item)),
                _ => {}
            }
            at = below + value.size();
        }
    }
}

/// A path that two readers may resolve to two files.
fn path(old: &str, rng: &mut Rng) -> String {
    let name = old.rsplit('/').next().unwrap_or_default();
    let odd = rng.pick(&ODD_FOLDERS);
    match rng.below(16) {
        0..=3 => {
            let variable = rng.pick(&["$A", "${A}", "$NONE", "$EMPTY", "${NONE:-}", "$A$C", ""]);
            format!("{variable}{odd}{OUTSIDE}/outside/secret")
        }
        4 => format!("link/../{name}"),
        5 => format!("./link/.././{name}"),
        6 => format!("link/../../{name}"),
        7 => format!("link/../../stack/{name}"),
        8 => format!("../stack/link/../{name}"),
        9 => rng
            .pick(&[
                "evil/secret",
                "../../outside/secret",
                "~/secret",
                "/etc/hostname",
                "link/../../../outside/secret",
                "../../site.conf",
                "",
                ".",
                "..",
                "link",
                "nowhere",
                "link/../../../site.conf",
                "../stack/../../site.conf",
            ])
            .to_owned(),
        10 => format!("{OUTSIDE}/outside/secret"),
        11 => format!(".//{name}"),
        12 => format!("{old} "),
        13 => format!("../shared/{name}"),
        14 => old.replace('.', "\\."),
        _ => format!("${{NONE:-{old}}}"),
    }
}

/// A letter that looks, folds or counts like another, in the middle.
fn odd(old: &str, rng: &mut Rng) -> String {
    let letters = [
        "ſ", "\u{212a}", "İ", "ı", "é", "e\u{301}", "\u{85}", "\u{2028}", "\u{2029}", "\u{feff}", "\u{a0}",
        "\u{200b}", "😀", "%2e", "\\", "\r",
    ];
    let middle = old.char_indices().nth(old.chars().count() / 2).map_or(0, |(at, _)| at);
    format!("{}{}{}", &old[..middle], rng.pick(&letters), &old[middle..])
}
