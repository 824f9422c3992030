//! `deploy/ci`: the workflows that keep up one comment. The script is run against a stand-in of both APIs; what GitHub and
//! GitLab make of the workflows, only they show.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{GOOD, at, bare};
use crate::support::command;
use crate::support::repo::Repo;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

struct Forge {
    folder: TempDir,
    server: Child,
    address: String,
}

impl Drop for Forge {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Forge {
    /// With more comments of others than fit a page; one of them looks like ours.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let other = |id: usize| {
            let body = if id == 3 { "<!-- dockerops validate -->\nforged" } else { "hello" };
            json!({"id": id, "body": body, "user": {"login": "mallory"}, "author": {"id": 6}})
        };
        let others: Vec<_> = (0..150).map(other).collect();
        fs::write(folder.path().join("comments.json"), serde_json::to_string(&others).unwrap()).unwrap();
        let mut python = command("python3");
        python.arg(Path::new(ROOT).join("tests/validate/forge.py")).arg(folder.path());
        let mut server = python.stdout(Stdio::piped()).spawn().unwrap();
        let mut port = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Self { folder, server, address: format!("http://127.0.0.1:{}", port.trim()) }
    }

    fn comment(&self, forge: &str, text: &str, token: &str) -> (bool, String) {
        let file = self.folder.path().join("comment.md");
        fs::write(&file, text).unwrap();
        let mut script = command("bash");
        script.arg(Path::new(ROOT).join("deploy/ci/comment.sh")).arg(forge).arg(&file);
        for (name, value) in [
            ("GITHUB_API_URL", &*self.address),
            ("GITHUB_REPOSITORY", "org/repo"),
            ("PULL_REQUEST", "5"),
            ("GITHUB_TOKEN", token),
            ("CI_API_V4_URL", &*self.address),
            ("CI_PROJECT_ID", "9"),
            ("CI_MERGE_REQUEST_IID", "5"),
            ("GITLAB_TOKEN", token),
        ] {
            script.env(name, value);
        }
        let output = script.output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    }

    fn comments(&self) -> Vec<Value> {
        serde_json::from_slice(&fs::read(self.folder.path().join("comments.json")).unwrap()).unwrap()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

#[test]
fn one_comment_is_written_and_kept_up_and_none_of_others_is_touched() {
    let repo = Repo::new();
    repo.stack("web", GOOD).commit("first");
    let text = bare().run(["validate", &at(&repo), "--markdown"]).stdout;
    for name in ["github", "gitlab"] {
        let forge = Forge::new();
        let before = forge.comments();
        assert_eq!(forge.comment(name, &text, "t0ken"), (true, String::new()));
        let changed = format!("{text}\nmore");
        assert_eq!(forge.comment(name, &changed, "t0ken"), (true, String::new()));
        let after = forge.comments();
        assert_eq!((after.len(), &after[..150]), (151, &before[..]), "{name}: {}", forge.log());
        assert_eq!(after[150]["body"], changed);
        assert_eq!(forge.log().matches("POST ").count(), 1);
        // Who may not write is told so, and a wrong token is a failure.
        fs::write(forge.folder.path().join("deny"), "").unwrap();
        let (success, said) = forge.comment(name, &text, "t0ken");
        assert!(success && said.contains("this token may not write"), "{said}");
        let (success, said) = forge.comment(name, &text, "other");
        assert!(!success && said.contains("answers 401") && !said.contains("other"), "{said}");
        let (success, said) = forge.comment(name, "no comment of ours\n", "t0ken");
        assert!(!success && said.contains("is not what"), "{said}");
    }
}

#[test]
fn the_workflows_are_yaml_whose_scripts_are_shell_and_whose_commands_exist() {
    let read = |name: &str| fs::read_to_string(Path::new(ROOT).join("deploy/ci").join(name)).unwrap();
    let github: serde_yaml::Value = serde_yaml::from_str(&read("github.yml")).unwrap();
    assert_eq!(github["permissions"]["contents"], "read");
    let job = &github["jobs"]["validate"];
    let steps = job["steps"].as_sequence().unwrap();
    assert_eq!(steps[0]["with"]["fetch-depth"], 0);
    let pinned = steps[0]["uses"].as_str().unwrap();
    assert!(fs::read_to_string(Path::new(ROOT).join(".github/workflows/ci.yml")).unwrap().contains(pinned));
    let version = format!("v{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(job["env"]["VERSION"], version.as_str());
    let gitlab: serde_yaml::Value = serde_yaml::from_str(&read("gitlab.yml")).unwrap();
    let job = &gitlab["dockerops"];
    assert!(job["image"]["name"].as_str().unwrap().ends_with(&version));
    assert_eq!(job["variables"]["GIT_DEPTH"], "0");
    let of_github = steps.iter().filter_map(|step| step["run"].as_str());
    let of_gitlab = job["script"].as_sequence().unwrap().iter().filter_map(|line| line.as_str());
    let help = bare().run(["validate", "--help"]).stdout;
    let mut options = 0;
    for script in of_github.chain(of_gitlab) {
        // What a pull request is called is in no script.
        assert!(!script.contains("${{"), "{script}");
        let checked = command("bash").args(["-n", "-c", script]).output().unwrap();
        assert!(checked.status.success(), "{script}");
        for word in script.split_whitespace().filter(|word| word.starts_with("--")) {
            if script.contains("dockerops validate")
                && ["--diff", "--markdown", "--code-quality"].contains(&word)
            {
                assert!(help.contains(word), "{word}");
                options += 1;
            }
        }
    }
    assert_eq!(options, 6);
}
