//! Every link leads somewhere, every page can be found, and each fact stands in one place.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use walkdir::WalkDir;

use super::{ROOT, pages};

/// The pages and what lies beside the README, by their paths.
fn documents() -> BTreeMap<String, String> {
    let mut all = pages();
    for entry in fs::read_dir(ROOT).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if Path::new(&name).extension() == Some("md".as_ref()) {
            let text = fs::read_to_string(Path::new(ROOT).join(&name)).unwrap();
            all.insert(name, text);
        }
    }
    all
}

/// A page's lines that are no part of a block.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    text.lines().filter(move |line| {
        let mark = line.trim_start().starts_with("```");
        inside ^= mark;
        !inside && !mark
    })
}

/// What GitHub makes of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || "-_ ".contains(*c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

fn anchors(text: &str) -> Vec<String> {
    let headings = prose(text)
        .filter_map(|line| line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#')));
    headings.map(anchor).collect()
}

/// Where the links of a page lead to, by the letters they are written with.
fn targets(text: &str) -> Vec<String> {
    let prose = prose(text).collect::<Vec<_>>().join("\n");
    // What is quoted is no link: `](…)` in a code span.
    let plain: String = prose.split('`').step_by(2).collect();
    plain.split("](").skip(1).map(|rest| rest.split(')').next().unwrap().to_owned()).collect()
}

/// `docs/../README.md` is `README.md`.
fn joined(page: &str, path: &str) -> String {
    let mut parts = PathBuf::new();
    for part in Path::new(page).parent().unwrap().join(path).components() {
        match part {
            Component::ParentDir => assert!(parts.pop(), "{page}: `{path}` leads out of the repository"),
            other => parts.push(other),
        }
    }
    parts.into_os_string().into_string().unwrap()
}

/// What is wrong with the links of `documents`, a line for each.
fn broken(documents: &BTreeMap<String, String>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (page, text) in documents {
        for target in targets(text) {
            if target.starts_with("https://") {
                continue;
            }
            let (path, heading) = target.split_once('#').unwrap_or((&target, ""));
            let path = if path.is_empty() { page.clone() } else { joined(page, path) };
            let there = documents.contains_key(&path) || Path::new(ROOT).join(&path).exists();
            let heading_there =
                documents.get(&path).is_some_and(|text| anchors(text).contains(&heading.to_owned()));
            if !there || !heading.is_empty() && !heading_there {
                wrong.push(format!("{page}: `{target}` leads nowhere"));
            }
        }
    }
    wrong
}

#[test]
fn every_link_leads_to_a_page_or_file_and_to_a_heading_of_it() {
    let mut documents = documents();
    assert_eq!(broken(&documents), [""; 0]);
    let links: usize = documents.values().map(|text| targets(text).len()).sum();
    assert!(links > 90, "{links} links");
    // It does see one that is wrong.
    for target in ["docs/gone.md", "docs/jobs.md#gone", "#gone", "LICENCE"] {
        *documents.get_mut("README.md").unwrap() += &format!("\n[x]({target})\n");
    }
    assert_eq!(broken(&documents).len(), 4);
}

#[test]
fn no_heading_stands_twice_on_a_page() {
    for (page, text) in documents().iter().filter(|(page, _)| *page != "CHANGELOG.md") {
        let anchors = anchors(text);
        assert_eq!(anchors.iter().collect::<BTreeSet<_>>().len(), anchors.len(), "{page}: {anchors:?}");
    }
}

#[test]
fn every_page_is_found_from_the_readme_and_from_the_index_of_its_folder() {
    let pages = pages();
    let from = |page: &str| -> BTreeSet<String> {
        let targets = targets(&pages[page]);
        targets
            .iter()
            .filter_map(|target| target.split('#').next())
            .filter(|path| !path.is_empty() && !path.contains("://"))
            .map(|path| joined(page, path))
            .collect()
    };
    for page in pages.keys().filter(|page| *page != "README.md") {
        let (folder, name) = page.rsplit_once('/').unwrap();
        if name == "README.md" {
            assert!(
                folder == "docs" || from("docs/README.md").contains(page),
                "{page} is not in docs/README.md"
            );
            continue;
        }
        assert!(
            from(&format!("{folder}/README.md")).contains(page),
            "{page} is not in its folder's README.md"
        );
        assert!(folder != "docs" || from("README.md").contains(page), "{page} is not in README.md");
    }
}

#[test]
fn pages_that_the_code_and_other_files_name_are_there() {
    let mut named = 0;
    for entry in WalkDir::new(ROOT).into_iter().filter_entry(|entry| {
        let name = entry.file_name().to_str().unwrap();
        entry.depth() == 0 || !name.starts_with("target") && (!name.starts_with('.') || name == ".github")
    }) {
        let file = entry.unwrap().into_path();
        let Some(text) = file.is_file().then(|| fs::read_to_string(&file).ok()).flatten() else { continue };
        for rest in text.split("docs/").skip(1) {
            let end =
                rest.find(|c: char| !(c.is_ascii_alphanumeric() || "-/.".contains(c))).unwrap_or(rest.len());
            let Some(path) = rest[..end].trim_end_matches('.').strip_suffix(".md") else { continue };
            named += 1;
            // What the tests above make up.
            let there = path == "gone" || Path::new(ROOT).join(format!("docs/{path}.md")).is_file();
            assert!(there, "{}: `docs/{path}.md` is not there", file.display());
        }
    }
    assert!(named > 30, "{named}");
}

#[test]
fn the_readme_is_short_and_no_sentence_stands_twice() {
    let pages = pages();
    let lines = pages["README.md"].lines().count();
    assert!(lines <= 110, "the README has {lines} lines: what is more belongs to a page of docs");
    let mut seen = BTreeMap::new();
    for (page, text) in &pages {
        let text = prose(text).map(str::trim).collect::<Vec<_>>().join(" ");
        for sentence in text.split(['.', ';', '|', ':']).map(str::trim).filter(|it| it.len() > 60) {
            let before = seen.insert(sentence.to_owned(), page);
            assert!(before.is_none(), "on {} and on {page}: {sentence}", before.unwrap());
        }
    }
}
