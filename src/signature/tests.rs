//! Signatures that git, `ssh-keygen` and `gpg` make, and what somebody could make of them. What counts here counts for git
//! as well; where git is more lenient a test says so.

#![expect(clippy::disallowed_methods, reason = "tests run git, ssh-keygen and gpg")]

mod files;
mod openpgp;
mod ssh;
mod tags;
mod tampered;
mod times;

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use chrono::{DateTime, Utc};
use git2::{ObjectType, Oid, Repository};
use tempfile::TempDir;

use super::{Refusal, Signed, Signers};

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A repository, and keys beside it.
struct Lab {
    dir: TempDir,
    repository: Repository,
}

impl Lab {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let repository = Repository::init(dir.path().join("repository")).unwrap();
        fs::create_dir(dir.path().join("home")).unwrap();
        fs::create_dir(dir.path().join("gnupg")).unwrap();
        Self { dir, repository }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        fs::write(self.path(name), content).unwrap();
        self.path(name)
    }

    /// In the repository, undisturbed by whoever runs the tests.
    fn call(&self, program: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.path("repository")).env_clear().env("PATH", PATH);
        command.env("HOME", self.path("home")).env("GNUPGHOME", self.path("gnupg"));
        command.envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_SYSTEM", "/dev/null")]);
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "Ann").env(format!("GIT_{who}_EMAIL"), "ann@h");
        }
        command.envs(environment.iter().copied()).output().unwrap()
    }

    fn run(&self, program: &str, arguments: &[&str], environment: &[(&str, &str)]) -> String {
        let output = self.call(program, arguments, environment);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{program} {arguments:?}: {told}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn git(&self, arguments: &[&str]) -> String {
        self.run("git", arguments, &[])
    }

    /// A key of SSH in `NAME` and `NAME.pub`; the public one, without a comment.
    fn key(&self, name: &str, kind: &[&str]) -> String {
        let path = self.path(name).display().to_string();
        let arguments = [&["-q", "-N", "", "-C", "", "-f", &path, "-t"], kind].concat();
        self.run("ssh-keygen", &arguments, &[]);
        let public = fs::read_to_string(self.path(&format!("{name}.pub"))).unwrap();
        public.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    }

    /// Of keys in git's form.
    fn signers(&self, text: &str) -> Signers {
        let file = self.write("allowed", text);
        Signers::read(&[file], &[], OsStr::new(PATH)).unwrap()
    }

    /// A new commit, signed by an SSH key.
    fn commit(&self, key: &str) -> Oid {
        self.commit_at(key, "now")
    }

    fn commit_at(&self, key: &str, date: &str) -> Oid {
        let key = format!("user.signingKey={}", self.path(key).display());
        let arguments =
            ["-c", "gpg.format=ssh", "-c", &key, "commit", "-q", "--allow-empty", "-S", "-m", "change"];
        let dates = if date == "now" { vec![] } else { vec![("GIT_COMMITTER_DATE", date)] };
        self.run("git", &arguments, &dates);
        self.head()
    }

    fn unsigned(&self) -> Oid {
        self.git(&["commit", "-q", "--allow-empty", "--no-gpg-sign", "-m", "change"]);
        self.head()
    }

    fn head(&self) -> Oid {
        Oid::from_str(&self.git(&["rev-parse", "HEAD"])).unwrap()
    }

    /// What git's own library takes for the signature, and for what is signed.
    fn parts(&self, commit: Oid) -> (String, String) {
        let (signature, text) = self.repository.extract_signature(&commit, None).unwrap();
        (signature.as_str().unwrap().to_owned(), text.as_str().unwrap().to_owned())
    }

    /// A commit of that text with these headers before its message.
    fn compose(&self, text: &str, headers: &str) -> Oid {
        let (before, message) = text.split_once("\n\n").unwrap();
        let raw = format!("{before}\n{headers}\n{message}");
        self.object(ObjectType::Commit, raw.as_bytes())
    }

    fn object(&self, kind: ObjectType, raw: &[u8]) -> Oid {
        self.repository.odb().unwrap().write(kind, raw).unwrap()
    }

    fn verify(&self, signers: &Signers, commit: Oid) -> Result<Signed, Refusal> {
        signers.verify_commit(&self.repository, commit, Utc::now())
    }

    fn refused(&self, signers: &Signers, commit: Oid) -> String {
        self.verify(signers, commit).unwrap_err().to_string()
    }

    /// Whether git takes the commit for signed by those in `allowed`, or its keyring.
    fn git_takes(&self, commit: Oid) -> bool {
        let allowed = format!("gpg.ssh.allowedSignersFile={}", self.path("allowed").display());
        let revoked = format!("gpg.ssh.revocationFile={}", self.path("revoked").display());
        let mut arguments = vec!["-c", &allowed];
        if self.path("revoked").exists() {
            arguments.extend(["-c", &revoked]);
        }
        let commit = commit.to_string();
        arguments.extend(["verify-commit", &commit]);
        self.call("git", &arguments, &[]).status.success()
    }
}

/// The header that holds a signature.
fn header(signature: &str) -> String {
    format!("gpgsig {}\n", signature.trim_end().replace('\n', "\n "))
}

fn now() -> DateTime<Utc> {
    Utc::now()
}
