//! A git repository as its author has it: made by git itself, with a work tree.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{command, stdout_of};

/// Gone when dropped.
#[derive(Debug)]
pub struct Repo {
    folder: TempDir,
}

impl Repo {
    /// An empty repository on the branch `main`.
    pub fn new() -> Self {
        let repo = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(repo.path()).unwrap();
        repo.git(["init", "--quiet", "--initial-branch=main"]);
        repo
    }

    /// The work tree, which is also an absolute path to watch.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("repo")
    }

    /// To watch it by.
    pub fn url(&self) -> String {
        format!("file://{}", self.path().display())
    }

    /// Runs git in the work tree, apart from the user's configuration; its stdout, without the last line end.
    #[track_caller]
    pub fn git<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> String {
        let mut git = command("git");
        git.current_dir(self.path()).env("HOME", self.folder.path());
        git.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
        // The local transport is what tests have for submodules; git refuses it since 2.38.1.
        git.args([
            "-c",
            "user.name=Author",
            "-c",
            "user.email=author@example.org",
            "-c",
            "protocol.file.allow=always",
        ]);
        stdout_of(git.args(arguments)).trim_end().to_owned()
    }

    /// Writes a file, and the folders above it.
    pub fn write(&self, path: &str, text: impl AsRef<[u8]>) -> &Self {
        let file = self.path().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
        self
    }

    /// Removes a file or a folder.
    pub fn remove(&self, path: &str) -> &Self {
        let path = self.path().join(path);
        if path.is_dir() && !path.is_symlink() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
        self
    }

    /// Makes `path` a symlink to `target`, which is taken as it stands.
    pub fn symlink(&self, path: &str, target: impl AsRef<Path>) -> &Self {
        let link = self.path().join(path);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, link).unwrap();
        self
    }

    /// Writes the stack's compose file, and lists the stack in `stacks.yaml` if it is not listed.
    pub fn stack(&self, name: &str, compose: &str) -> &Self {
        let manifest = self.path().join("stacks.yaml");
        let mut listed = fs::read_to_string(&manifest).unwrap_or_default();
        let entry = format!("- name: {name}\n");
        if !listed.contains(&entry) {
            listed.push_str(&entry);
        }
        self.write("stacks.yaml", listed).write(&format!("{name}/docker-compose.yml"), compose)
    }

    /// Commits all there is, also when nothing changed; the commit's id.
    pub fn commit(&self, message: &str) -> String {
        self.git(["add", "--all"]);
        self.git(["commit", "--quiet", "--allow-empty", "--message", message]);
        self.head()
    }

    /// The current commit's id.
    pub fn head(&self) -> String {
        self.git(["rev-parse", "HEAD"])
    }

    /// Tags the current commit, wherever the tag was before.
    pub fn tag(&self, name: &str) -> &Self {
        self.git(["tag", "--force", name]);
        self
    }

    /// Switches to a branch, which begins here if there is none of that name.
    pub fn branch(&self, name: &str) -> &Self {
        if self.git(["branch", "--list", name]).is_empty() {
            self.git(["switch", "--quiet", "--create", name]);
        } else {
            self.git(["switch", "--quiet", name]);
        }
        self
    }

    /// Moves the branch to another commit, backwards too, as a force-push does.
    pub fn reset(&self, revision: &str) -> &Self {
        self.git(["reset", "--quiet", "--hard", revision]);
        self
    }

    /// Adds another repository as a submodule.
    pub fn submodule(&self, path: &str, url: &str) -> &Self {
        self.git(["submodule", "--quiet", "add", url, path]);
        self
    }

    /// Makes the bare repository `folder/name.git` the same as this one: what a git server serves.
    pub fn publish(&self, folder: &Path, name: &str) -> &Self {
        let bare = folder.join(format!("{name}.git"));
        if !bare.exists() {
            self.git([
                OsStr::new("init"),
                "--quiet".as_ref(),
                "--bare".as_ref(),
                "-b".as_ref(),
                "main".as_ref(),
                bare.as_ref(),
            ]);
        }
        self.git([OsStr::new("push"), "--quiet".as_ref(), "--mirror".as_ref(), bare.as_ref()]);
        self
    }
}

/// A compose file of one service, `app`. One with no replicas costs no container.
pub fn one_service(image: &str, replicas: usize) -> String {
    format!(
        "version: \"3.8\"\nservices:\n  app:\n    image: {image}\n    deploy:\n      replicas: {replicas}\n"
    )
}
