//! The checkout that every case lies in, and what is outside of it and must stay there.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

use tempfile::TempDir;

/// What a file outside the checkout holds.
pub const CANARY: &str = "secret-canary-5b1d0e";
/// What variables hold that no file has business to see under another name.
pub const CANARY_VALUE: &str = "variable-canary-9c2f";
/// Stands in a case's text for the folder above the checkout, whose name is another at every run.
pub const OUTSIDE: &str = "/OUTSIDE";
/// Folders beside the compose file with the names of letters: what follows a variable's name.
pub const ODD_FOLDERS: [&str; 8] = ["ſ", "\u{212a}", "é", "ı", "ß", "_", "A", "٣"];

/// The stack folder's `.env`.
pub const DOTENV: &str = "FROM_DOTENV=dotenv\nFROM_BOTH=dotenv\nEMPTY=\nTRUE=true\nNUMBER=3\nPORT=8088\nMODE=0440\n\
                      FILE=./site.conf\nAWKWARD='a$b \"c\" \\d'\n";

/// A folder with `checkout/` and things that are none of its business.
pub struct Fixture {
    above: TempDir,
    pub root: PathBuf,
}

impl Fixture {
    /// Writes it.
    pub fn new() -> Self {
        let above = tempfile::Builder::new().prefix("fuzz").tempdir().unwrap();
        let top = above.path().canonicalize().unwrap();
        let root = top.join("checkout");
        for folder in ["checkout/shared", "checkout/stack", "checkout/deep/er", "outside", "home"] {
            fs::create_dir_all(top.join(folder)).unwrap();
        }
        let mirror = root.join("mirror").join(top.strip_prefix("/").unwrap()).join("outside");
        fs::create_dir_all(&mirror).unwrap();
        fs::write(mirror.join("secret"), "mirrored\n").unwrap();
        for (path, text) in [
            ("outside/secret", CANARY),
            ("site.conf", CANARY),
            ("token", CANARY),
            ("checkout/shared/site.conf", "shared"),
            ("checkout/shared/token", "shared token"),
            ("checkout/deep/site.conf", "deep"),
            ("checkout/deep/token", "deep token"),
            ("checkout/deep/app.env", "FROM_FILE=deep\n"),
            ("checkout/deep/er/site.conf", "deeper"),
            ("checkout/stack/site.conf", "site $x\n"),
            ("checkout/stack/token", "token"),
            ("checkout/stack/app.env", "FROM_FILE=file\nX=1\n"),
            ("checkout/stack/.env", DOTENV),
        ] {
            fs::write(top.join(path), text).unwrap();
        }
        for folder in ODD_FOLDERS {
            symlink("../mirror", root.join("stack").join(folder)).unwrap();
        }
        symlink("../deep/er", root.join("stack/link")).unwrap();
        symlink("../../outside", root.join("stack/evil")).unwrap();
        symlink("../shared/token", root.join("stack/linked-token")).unwrap();
        Self { above, root }
    }

    /// The folder of the compose files.
    pub fn folder(&self) -> PathBuf {
        self.root.join("stack")
    }

    /// An empty home folder: no plugins, no contexts, no credentials.
    pub fn home(&self) -> PathBuf {
        self.top().join("home")
    }

    /// Where sockets and the like may lie.
    pub fn top(&self) -> &Path {
        self.above.path()
    }

    /// What lies at `path` from the compose file, read as docker reads paths: by its letters first, symlinks later.
    pub fn read(&self, path: &str) -> Option<Vec<u8>> {
        let mut whole = PathBuf::new();
        for part in self.folder().join(path).components() {
            match part {
                Component::ParentDir => drop(whole.pop()),
                part => whole.push(part),
            }
        }
        fs::read(whole).ok()
    }

    /// `text` with the real path in the place of its stand-in.
    pub fn real(&self, text: &str) -> String {
        text.replace(OUTSIDE, &self.top().canonicalize().unwrap().display().to_string())
    }
}

/// The environment that DockerOps hands on to docker.
pub fn inherited() -> BTreeMap<OsString, OsString> {
    let canary = |name: &str| (name.to_owned(), format!("{CANARY_VALUE}-of-{name}"));
    let mut all = BTreeMap::from([
        ("FROM_PROCESS".to_owned(), "process".to_owned()),
        ("FROM_BOTH".to_owned(), "process".to_owned()),
    ]);
    all.extend(
        [
            "CANARY",
            "Bſ",
            "B\u{212a}",
            "FROM_PROCESSſ",
            "FROM_PROCESS\u{212a}",
            "NUMBERſ",
            "ſ",
            "\u{212a}",
            "ZZ",
        ]
        .map(canary),
    );
    all.into_iter().map(|(name, value)| (name.into(), value.into())).collect()
}
