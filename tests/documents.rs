//! The documents are a product: every block of them is run or parsed here, and every link leads somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use walkdir::WalkDir;

mod links;
mod lists;
mod repository;
mod told;
pub mod tour;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

pub struct Block {
    pub page: String,
    pub info: String,
    pub text: String,
}

/// The README and every page below `docs` and `examples`, by their paths.
fn pages() -> BTreeMap<String, String> {
    let folders = ["docs", "examples"].map(|folder| WalkDir::new(Path::new(ROOT).join(folder)));
    let below = folders.into_iter().flatten().map(Result::unwrap);
    let files =
        below.map(walkdir::DirEntry::into_path).filter(|file| file.extension() == Some("md".as_ref()));
    let files = files.chain([Path::new(ROOT).join("README.md")]);
    let name = |file: &Path| file.strip_prefix(ROOT).unwrap().to_str().unwrap().to_owned();
    files.map(|file| (name(&file), fs::read_to_string(&file).unwrap())).collect()
}

fn page(path: &str) -> String {
    pages().remove(path).unwrap_or_else(|| panic!("no page `{path}`"))
}

/// Those of all pages, the README's first.
pub fn blocks() -> Vec<Block> {
    pages().iter().flat_map(|(page, text)| blocks_of(page, text)).collect()
}

fn blocks_of(page: &str, text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        let is_mark = line.trim_start().starts_with("```");
        assert_eq!(line.starts_with("```"), is_mark, "{page}: no test sees an indented block: {line}");
        match line.strip_prefix("```") {
            Some(info) if !inside => {
                blocks.push(Block { page: page.to_owned(), info: info.to_owned(), text: String::new() });
            }
            None if inside => {
                let block = blocks.last_mut().unwrap();
                block.text += line;
                block.text.push('\n');
            }
            _ => {}
        }
        inside ^= line.starts_with("```");
    }
    assert!(!inside, "{page}: a block does not end");
    blocks
}

/// The one block of this kind in English.
pub fn block(info: &str) -> String {
    let is_it = |block: &Block| block.info == info && !block.page.starts_with("docs/fr/");
    let mut of_it: Vec<_> = blocks().into_iter().filter(is_it).collect();
    let pages: Vec<_> = of_it.iter().map(|block| &block.page).collect();
    assert_eq!(pages.len(), 1, "blocks `{info}`: {pages:?}");
    of_it.remove(0).text
}

/// All that a page says to type one after another.
fn typed(page_path: &str, info: &str) -> String {
    let blocks = blocks_of(page_path, &page(page_path));
    blocks.into_iter().filter(|block| block.info == info).map(|block| block.text).collect()
}

#[test]
fn every_kind_of_block_has_a_test_here() {
    let kinds: BTreeSet<_> = blocks().into_iter().map(|block| block.info).collect();
    let tested = [
        "sh",
        "sh install",
        "sh manage",
        "sh tour",
        "sh images",
        "cron",
        "text",
        "text sources",
        "yaml stacks.yaml",
        "yaml environments",
        "yaml jobs",
        "yaml jobs compose",
        "yaml template.yaml",
        "yaml volumes.yaml",
        "yaml nfs.yaml",
        "yaml compose",
        "yaml secrets.yaml",
        "yaml images.yaml",
        "json status",
        "json one",
        "json run",
        "json events",
        "sh readers",
        "json log",
        "text logs",
        "json logs",
        "sh daemon",
        "sh push",
        "sh end",
        "sh secrets",
        "sh backup",
        "sh restore",
        "sh quorum",
        "sh listen",
        "yaml registry",
        "sh curl",
        "sh write",
        "json stack",
        "json history",
        "json template",
        "sh validate",
        "text validate",
        "sh ci",
        "json validate",
        "yaml policy",
        "yaml signed",
    ];
    assert_eq!(kinds, tested.map(str::to_owned).into());
}
