//! Lists that must be those of the code: commands, variables, and who is trusted with what.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use walkdir::WalkDir;

use super::{ROOT, blocks, page};
use crate::support::dockerops::DockerOps;

/// Messages that are docker's own.
const DOCKER_SAYS: [&str; 1] = ["unsupported Compose file version: 1.0"];

const SETTINGS: [&str; 3] = [
    include_str!("../../src/settings.rs"),
    include_str!("../../src/settings/run.rs"),
    include_str!("../../src/settings/write.rs"),
];

#[test]
fn commands_outside_the_tour_exist() {
    let root = Path::new(ROOT);
    for line in blocks().iter().filter(|block| block.info == "sh").flat_map(|block| block.text.lines()) {
        let words: Vec<_> =
            line.split(" #").next().unwrap().split_whitespace().filter(|word| *word != "sudo").collect();
        match words.as_slice() {
            ["cargo", "build", "--release", "--locked"] => assert!(root.join("Cargo.lock").is_file()),
            ["install", "-m", "755", from, to] => {
                assert_eq!((*from, *to), ("target/release/dockerops", "/usr/local/bin/dockerops"));
            }
            [repos, "dockerops", "run"] => {
                let source = repos.strip_prefix("DOCKEROPS_REPOS=").unwrap().trim_matches('\'');
                DockerOps::without_docker().run(["unwatch", source]).stderr_has("is not being watched");
            }
            ["dockerops", "hold" | "release" | "rollback", ..] => {
                let (plain, reason) = line.split_once('\'').unwrap_or((line, ""));
                let words = plain.split_whitespace().skip(2).chain(reason.strip_suffix('\''));
                let said = DockerOps::without_docker().run(words);
                said.failure(1).error_has("No repositories found in cache");
            }
            [script] => assert!(root.join(script).is_file(), "{script}"),
            other => panic!("nothing runs `{}`", other.join(" ")),
        }
    }
}

#[test]
fn every_variable_is_documented_and_every_documented_one_is_read() {
    let quoted = |text: &str, mark: char| -> BTreeSet<String> {
        let name = |word: &str| word.len() > 3 && word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
        text.split(mark).filter(|word| name(word)).map(str::to_owned).collect()
    };
    let code = SETTINGS.map(|text| text.split("#[cfg(test)]").next().unwrap()).concat();
    let table = page("docs/environment.md");
    let mut read = quoted(&code, '"');
    // Those that are made of another's name, and those that are only kept from docker. That the program knows all of
    // ours is shown in src/settings/environment.rs.
    for secret in ["GITHUB_TOKEN", "DOCKEROPS_WEBHOOK_SECRET", "DOCKEROPS_API_TOKEN", "DOCKEROPS_WRITE_TOKEN"]
    {
        read.insert(format!("{secret}_FILE"));
    }
    for kept_away in ["GH_TOKEN", "GH_ENTERPRISE_TOKEN"] {
        read.remove(kept_away);
    }
    let documented: BTreeSet<_> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next().map(str::to_owned))
        .collect();
    assert_eq!(documented, read);
}

#[test]
fn every_command_and_every_option_of_it_is_in_the_table() {
    let ops = DockerOps::without_docker();
    let help = |words: &[&str]| ops.run(words.iter().chain(&["--help"])).success().stdout.clone();
    let table = page("docs/commands.md");
    let all = help(&[]);
    let all = all.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let commands =
        all.lines().filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
    let mut options = 0;
    for command in commands {
        let is_it = |line: &&str| {
            let rest = line.strip_prefix("| `").and_then(|line| line.strip_prefix(command));
            rest.is_some_and(|rest| rest.starts_with([' ', '`']))
        };
        let row = table.lines().find(is_it).unwrap_or_else(|| panic!("`{command}` is not in the table"));
        for line in help(&[command]).lines() {
            let line = line.trim_start();
            let Some(at) = line.starts_with('-').then(|| line.find("--")).flatten() else { continue };
            let option = line[at..].split([' ', '[', '=']).next().unwrap();
            if !["--help", "--version"].contains(&option) {
                options += 1;
                assert!(row.contains(option), "`{command} {option}` is not in the table");
            }
        }
    }
    assert!(options > 25, "{options}");
}

/// The text of the program, lines of one string joined.
fn source() -> String {
    let files = WalkDir::new(Path::new(ROOT).join("src")).into_iter().map(|entry| entry.unwrap().into_path());
    let texts = files.filter(|file| file.is_file()).map(|file| fs::read_to_string(file).unwrap());
    let joined = texts.collect::<Vec<_>>().join("\n");
    joined.split("\\\n").map(str::trim_start).collect()
}

#[test]
fn every_message_of_troubleshooting_is_one_that_is_said() {
    let (source, page) = (source(), page("docs/troubleshooting.md"));
    let mut count = 0;
    for row in page.lines().filter_map(|line| line.strip_prefix("| ")) {
        let cell = row.split(" | ").next().unwrap().replace("``", "\u{0}");
        let marks = |mark: char| cell.split(mark).skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        let messages = if cell.contains('\u{0}') { marks('\u{0}') } else { marks('`') };
        for message in messages.iter().filter(|message| !DOCKER_SAYS.contains(&message.as_str())) {
            for part in message.split('…').map(str::trim).filter(|part| !part.is_empty()) {
                count += 1;
                assert!(source.contains(part), "nothing says `{part}`");
            }
        }
    }
    assert!(count > 25, "{count}");
}

#[test]
fn every_row_of_who_is_trusted_names_tests_that_are_there() {
    let root = Path::new(ROOT);
    let rows: Vec<Vec<&str>> = include_str!("../../SECURITY.md")
        .lines()
        .filter(|line| {
            line.starts_with("| ") && !line.starts_with("| --") && !line.starts_with("| who | can")
        })
        .map(|line| line.split('|').skip(1).take(4).map(str::trim).collect())
        .collect();
    assert!(rows.len() > 12, "{rows:?}");
    for row in rows {
        let [_, can, cannot, shown] = row.as_slice() else { panic!("{row:?} has no four columns") };
        if can.contains("everything: they are root") {
            continue;
        }
        let names: Vec<_> = shown.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "nothing shows: {cannot}");
        for name in names {
            let (module, test) = name.rsplit_once("::").unwrap_or((name, ""));
            let of_unit = |prefix: &str| module.strip_prefix(prefix);
            let (folder, module) = match (of_unit("compose::"), of_unit("git::")) {
                (Some(module), _) => ("src/compose", module),
                (_, Some(module)) => ("src/git", module),
                _ => ("tests", module),
            };
            let code = fs::read_to_string(root.join(folder).join(format!("{module}.rs")));
            let code = code.unwrap_or_else(|error| panic!("`{name}`: {error}"));
            assert!(test.is_empty() || code.contains(&format!("fn {test}(")), "`{name}` is not there");
        }
    }
}
