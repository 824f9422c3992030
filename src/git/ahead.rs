//! What a look at a file brings along from the thread that reads objects: its text, for who finds a file reads it next,
//! and what lies beside it, for that is asked next.
//!
//! It is said of one commit, which does not change.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::listing::{Names, is_plain};

/// Longer texts are asked for when they are read.
pub(super) const LONGEST: u64 = 16 << 10;
/// And so are those that would make more bytes than this.
const MOST: usize = 1 << 20;

#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// A folder that no symlink leads to.
    folder: Option<(PathBuf, Arc<Names>)>,
    texts: HashMap<PathBuf, Vec<u8>>,
    bytes: usize,
}

impl Ahead {
    pub(super) fn add(&mut self, path: &Path, names: Option<Arc<Names>>, text: Option<Vec<u8>>) {
        if let Some(here) = path.parent().map(Path::to_path_buf).zip(names) {
            self.folder = Some(here);
        }
        if let Some(text) = text.filter(|text| self.bytes + text.len() <= MOST) {
            self.bytes += text.len();
            let before = self.texts.insert(path.to_path_buf(), text);
            self.bytes -= before.map_or(0, |before| before.len());
        }
    }

    /// Whether nothing lies at `path`, as far as that is known.
    pub(super) fn is_nothing(&self, path: &Path) -> bool {
        let (Some((folder, names)), Some(name)) = (&self.folder, path.file_name()) else { return false };
        path.parent() == Some(folder) && is_plain(name.as_bytes()) && !names.contains_key(name.as_bytes())
    }

    /// The text at `path`, once.
    pub(super) fn take(&mut self, path: &Path) -> Option<Vec<u8>> {
        let text = self.texts.remove(path)?;
        self.bytes -= text.len();
        Some(text)
    }
}
