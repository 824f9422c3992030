//! What the environment says about folders: where bindings may lie, and what of DockerOps' own lies where.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{Environment, text};
use crate::fault::fault;
use crate::guard::{Guard, ROOTS};

/// What DockerOps has of its own, beside what the environment names.
pub struct OwnPaths<'a> {
    /// The `SQLite` file.
    pub database: &'a Path,
    /// `HOME`.
    pub home: &'a Option<PathBuf>,
    /// The folder of docker's `config.json`.
    pub docker_config: &'a Option<PathBuf>,
}

/// Keeps the database, the checkouts beside it and all credentials from repositories. `roots` is the value of
/// `DOCKEROPS_BINDING_ROOTS`.
pub fn guard(roots: Option<&str>, own: &OwnPaths<'_>, environment: &Environment) -> Result<Guard> {
    let mut guard = Guard::new(roots.map_or_else(|| Ok(Vec::new()), folders)?);
    guard.keep_around(own.database, "the folder of DockerOps' database and checkouts");
    if let Some(home) = own.home {
        guard.keep(absolute(&home.join(".ssh"))?, "the folder of DockerOps' ssh keys");
    }
    if let Some(folder) = own.docker_config {
        guard.keep(absolute(folder)?, "docker's configuration, with its credentials");
    }
    for name in environment.keys().filter_map(|name| name.to_str()) {
        let names_a_secret = name == "GITHUB_TOKEN_FILE"
            || name == "DOCKEROPS_GIT_CREDENTIALS"
            || name == "DOCKEROPS_PUSH_CREDENTIALS"
            || name.starts_with("DOCKEROPS_") && name.ends_with("_FILE");
        if let Some(file) = text(environment, name)?.filter(|_| names_a_secret) {
            guard.keep_around(&absolute(Path::new(&file))?, &format!("where `{name}` lies"));
        }
    }
    Ok(guard)
}

fn absolute(path: &Path) -> Result<PathBuf> {
    Ok(std::path::absolute(path)?)
}

/// The folders of a value, split on `:`.
pub fn folders(value: &str) -> Result<Vec<PathBuf>> {
    let wrong = |what: String| {
        let way = "name the folders that bindings may lie in, split on `:`, as in `/mnt/nfs:/srv/data`";
        fault(format!("`{ROOTS}` {what}"), format!("{way}, or unset it"))
    };
    let roots: Vec<_> = value.split(':').filter(|part| !part.is_empty()).map(PathBuf::from).collect();
    if roots.is_empty() {
        return Err(wrong("names no folder".into()));
    }
    for root in &roots {
        let shown = root.display();
        if !root.is_absolute() {
            return Err(wrong(format!("names `{shown}`, which is relative")));
        }
        match root.metadata() {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Err(wrong(format!("names `{shown}`, which is not a folder"))),
            // Not mounted yet: nothing lies in it, and sources without bindings have no business with it.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(wrong(format!("names `{shown}`, which cannot be looked at: {error}"))),
        }
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::fault::hint_of;

    #[test]
    fn what_dockerops_lives_on_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["state", "home/.ssh", "docker", "git", "tokens", "hooks", "push", "home/free"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        let environment: Environment = [
            ("DOCKEROPS_GIT_CREDENTIALS", "git/file"),
            ("DOCKEROPS_PUSH_CREDENTIALS", "push/file"),
            ("GITHUB_TOKEN_FILE", "tokens/file"),
            ("DOCKEROPS_WEBHOOK_SECRET_FILE", "hooks/file"),
        ]
        .map(|(name, file)| (name.into(), at(file).into()))
        .into();
        let (database, home, docker_config) = (at("state/db"), Some(at("home")), Some(at("docker")));
        let own = OwnPaths { database: &database, home: &home, docker_config: &docker_config };
        let guard = guard(None, &own, &environment).unwrap();
        for name in ["state", "home/.ssh", "home", "docker", "git", "push", "tokens", "hooks"] {
            assert!(guard.open(&at(name)).is_err(), "{name}");
        }
        assert!(guard.open(&at("home/free")).is_ok());
    }

    #[test]
    fn roots_are_folders() {
        let folder = tempfile::tempdir().unwrap();
        let (file, path) = (folder.path().join("file"), folder.path().display().to_string());
        fs::write(&file, "").unwrap();
        assert_eq!(folders(&format!("{path}::/")).unwrap(), [Path::new(&path), Path::new("/")]);
        for value in ["srv", ":", &file.display().to_string()] {
            let error = folders(value).unwrap_err();
            assert!(error.to_string().contains(ROOTS) && hint_of(&error).is_some(), "{error}");
        }
    }
}
