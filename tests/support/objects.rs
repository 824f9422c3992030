//! A bare repository made object by object: what no work tree could hold, or only with a million files.

use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};

use git2::{Oid, Repository, Signature};
use tempfile::TempDir;

/// Gone when dropped.
pub struct Objects {
    folder: TempDir,
    repository: Repository,
}

/// A file, symlink, folder or submodule, to be put under a name.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    mode: i32,
    id: Oid,
}

impl Objects {
    /// With no commit.
    pub fn new() -> Self {
        Self::in_folder(tempfile::tempdir().unwrap())
    }

    /// One more, which a submodule of this one may name.
    pub fn neighbour(&self) -> Self {
        Self::in_folder(tempfile::tempdir_in(&self.folder).unwrap())
    }

    fn in_folder(folder: TempDir) -> Self {
        let mut options = git2::RepositoryInitOptions::new();
        options.bare(true).initial_head("main");
        let repository = Repository::init_opts(folder.path().join("r.git"), &options).unwrap();
        Self { folder, repository }
    }

    /// The folder that holds `r.git`, for a server.
    pub fn served(&self) -> &Path {
        self.folder.path()
    }

    /// The repository, to watch it by.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("r.git")
    }

    /// A regular file.
    pub fn file(&self, bytes: impl AsRef<[u8]>) -> Entry {
        Entry { mode: 0o100_644, id: self.repository.blob(bytes.as_ref()).unwrap() }
    }

    /// A regular file of so many zeros, which are never held.
    pub fn zeros(&self, mebibytes: usize) -> Entry {
        let mut writer = self.repository.blob_writer(None).unwrap();
        let zeros = vec![0; 1 << 20];
        for _ in 0..mebibytes {
            writer.write_all(&zeros).unwrap();
        }
        Entry { mode: 0o100_644, id: writer.commit().unwrap() }
    }

    /// A symlink.
    pub fn link(&self, target: &str) -> Entry {
        Entry { mode: 0o120_000, ..self.file(target) }
    }

    /// A submodule at a commit that need not be there.
    pub fn submodule() -> Entry {
        Self::submodule_at(Oid::from_bytes(&[1; 20]).unwrap())
    }

    /// A submodule at this commit.
    pub fn submodule_at(id: Oid) -> Entry {
        Entry { mode: 0o160_000, id }
    }

    /// A folder.
    pub fn folder<N: AsRef<str>>(&self, entries: impl IntoIterator<Item = (N, Entry)>) -> Entry {
        let mut builder = self.repository.treebuilder(None).unwrap();
        for (name, entry) in entries {
            builder.insert(name.as_ref(), entry.id, entry.mode).unwrap();
        }
        Entry { mode: 0o040_000, id: builder.write().unwrap() }
    }

    /// Makes the branch `main` a commit of this folder.
    pub fn commit(&self, root: Entry) -> Oid {
        self.commit_saying("change", root)
    }

    /// Likewise, with this message.
    pub fn commit_saying(&self, message: &str, root: Entry) -> Oid {
        let author = Signature::now("Author", "author@example.org").unwrap();
        let tree = self.repository.find_tree(root.id).unwrap();
        let commit = self.repository.commit(None, &author, &author, message, &tree, &[]).unwrap();
        self.repository.reference("refs/heads/main", commit, true, "").unwrap();
        commit
    }

    /// Makes the branch `main` a commit of these, and of a stack `web`.
    pub fn stack_beside<N: AsRef<str>>(&self, entries: impl IntoIterator<Item = (N, Entry)>) {
        let web = self.folder([("compose.yml", self.file("services: {app: {image: app}}"))]);
        let own = [("web".to_owned(), web), ("stacks.yaml".to_owned(), self.file("- name: web\n"))];
        let entries = entries.into_iter().map(|(name, entry)| (name.as_ref().to_owned(), entry));
        self.commit(self.folder(entries.chain(own)));
    }

    /// Makes the branch `main` a commit of `count` stacks that are all this folder, and of `entries`.
    pub fn stacks(&self, count: usize, folder: Entry, entries: &[(&str, Entry)]) {
        let names: Vec<_> = (0..count).map(|number| format!("s{number}")).collect();
        let list = names.iter().flat_map(|name| ["- name: ", name, "\n"]).collect::<String>();
        let list = [("stacks.yaml".to_owned(), self.file(list))];
        let entries = entries.iter().map(|(name, entry)| ((*name).to_owned(), *entry));
        let folders = names.iter().map(|name| (name.clone(), folder));
        self.commit(self.folder(folders.chain(list).chain(entries)));
    }

    /// So many tags of the current commit.
    pub fn tags(&self, count: usize) {
        let head = self.repository.refname_to_id("refs/heads/main").unwrap();
        let long = "t".repeat(100);
        let mut text = "# pack-refs with: peeled fully-peeled sorted \n".to_owned();
        for number in 0..count {
            writeln!(text, "{head} refs/tags/{long}{number:08}").unwrap();
        }
        std::fs::write(self.path().join("packed-refs"), text).unwrap();
    }
}
