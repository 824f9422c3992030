//! What a reader of files asks of a commit, handed to the thread that has it.

use std::path::Path;

use anyhow::Result;

use super::ahead;
use super::files::Files;
use super::write::Writer;
use crate::paths::{Found, Supply};

impl Supply for Files {
    fn bring(&self, path: &Path) -> Result<()> {
        self.write(path, Writer::bring)
    }

    fn bring_all(&self, path: &Path) -> Result<()> {
        self.write(path, Writer::bring_all)
    }

    fn size(&self, path: &Path) -> Result<Option<u64>> {
        self.write(path, Writer::size)
    }

    fn look(&self, path: &Path, most: Option<u64>) -> Result<Option<Found>> {
        if self.ahead.lock().is_ok_and(|ahead| ahead.is_nothing(path)) {
            return Ok(Some(Found::Nothing));
        }
        let (found, names, text) = self.write(path, move |writer, objects, tree, path| {
            let (found, names) = writer.look(objects, tree, path, most)?;
            let is_short = |size: u64| size <= ahead::LONGEST && most.is_some_and(|most| size <= most);
            let text = match found {
                Some(Found::File(size)) if is_short(size) => writer.content(objects, tree, path)?,
                _ => None,
            };
            Ok((found, names, text))
        })?;
        if let Ok(mut ahead) = self.ahead.lock() {
            ahead.add(path, names, text);
        }
        Ok(found)
    }

    fn content(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        let known = self.ahead.lock().ok().and_then(|mut ahead| ahead.take(path));
        known.map_or_else(|| self.write(path, Writer::content), |text| Ok(Some(text)))
    }

    fn names(&self, path: &Path) -> Result<Vec<String>> {
        self.write(path, Writer::names)
    }
}
