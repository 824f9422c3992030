//! How DockerOps writes to the repositories it watches: with whose credentials, in whose name, to which branch.

use std::path::PathBuf;

use anyhow::Result;
use git2::Branch;

use super::{Environment, text};
use crate::fault::fault;

/// What stands for the name of a stack in `DOCKEROPS_WRITE_BRANCH`.
const STACK: &str = "{stack}";

#[derive(Debug, Clone)]
pub struct WriteSettings {
    /// `DOCKEROPS_PUSH_CREDENTIALS`: a file in git's credential-store format.
    pub push_credentials: Option<PathBuf>,
    /// `DOCKEROPS_GIT_AUTHOR`: whose the commits are.
    pub author: Author,
    /// `DOCKEROPS_WRITE_BRANCH`: where to they are pushed; to the branch that is watched without it.
    branch: Option<String>,
}

/// A name and an address that git takes as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    pub name: String,
    pub email: String,
}

impl WriteSettings {
    pub(super) fn from(environment: &Environment) -> Result<Self> {
        Ok(Self {
            push_credentials: text(environment, "DOCKEROPS_PUSH_CREDENTIALS")?.map(PathBuf::from),
            author: author(environment)?,
            branch: branch(environment)?,
        })
    }

    /// The branch for changes of a stack, where it is not the one that is watched.
    pub fn branch(&self, stack: &str) -> Option<String> {
        self.branch.as_ref().map(|branch| branch.replace(STACK, stack))
    }
}

fn author(environment: &Environment) -> Result<Author> {
    let Some(value) = text(environment, "DOCKEROPS_GIT_AUTHOR")? else {
        return Ok(Author { name: "DockerOps".into(), email: "dockerops@localhost".into() });
    };
    let is_fine = |part: &str| {
        !part.is_empty()
            && part.len() <= 200
            && !part.contains(|letter: char| letter.is_control() || "<>".contains(letter))
    };
    let parts = value.trim().strip_suffix('>').and_then(|rest| rest.rsplit_once('<'));
    match parts.map(|(name, email)| (name.trim(), email.trim())) {
        Some((name, email)) if is_fine(name) && is_fine(email) && !email.contains(' ') => {
            Ok(Author { name: name.into(), email: email.into() })
        }
        _ => Err(fault(
            format!("`DOCKEROPS_GIT_AUTHOR` is `{}`, not a name and an address", crate::plain::name(&value)),
            "write it as git does: `DockerOps <dockerops@example.org>`",
        )),
    }
}

fn branch(environment: &Environment) -> Result<Option<String>> {
    let Some(value) = text(environment, "DOCKEROPS_WRITE_BRANCH")? else { return Ok(None) };
    let is_name = Branch::name_is_valid(&value.replace(STACK, "stack")).unwrap_or(false);
    if is_name && value.matches(STACK).count() == 1 {
        return Ok(Some(value));
    }
    Err(fault(
        format!(
            "`DOCKEROPS_WRITE_BRANCH` is `{}`, not the name of a branch for each stack",
            crate::plain::name(&value)
        ),
        "write `{stack}` where the stack's name is to stand, as in `dockerops/{stack}`; unset it to push to the \
         watched branch itself",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::hint_of;

    fn settings(name: &str, value: &str) -> Result<WriteSettings> {
        WriteSettings::from(&[(name.into(), value.into())].into())
    }

    #[test]
    fn an_author_is_a_name_and_an_address() {
        let author = |value| settings("DOCKEROPS_GIT_AUTHOR", value).map(|settings| settings.author);
        assert_eq!(author("").unwrap().email, "dockerops@localhost");
        let ops = Author { name: "Ops \"A\" Team".into(), email: "ops@example.org".into() };
        assert_eq!(author(" Ops \"A\" Team  <ops@example.org> ").unwrap(), ops);
        for wrong in
            ["Ops", "<a@b>", "Ops <>", "Ops <a b>", "A\nB <a@b>", "A <a@b> <c@d>", "A <a@b", "A > <a@b>"]
        {
            let error = author(wrong).unwrap_err();
            assert!(
                error.to_string().contains("DOCKEROPS_GIT_AUTHOR") && hint_of(&error).is_some(),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_branch_is_one_for_each_stack() {
        let branch = |value| settings("DOCKEROPS_WRITE_BRANCH", value);
        assert_eq!(branch("").unwrap().branch("web"), None);
        assert_eq!(branch("dockerops/{stack}").unwrap().branch("web").unwrap(), "dockerops/web");
        for wrong in [
            "dockerops",
            "{stack}/{stack}",
            "a..{stack}",
            "-{stack}",
            "{stack}.lock",
            "a b/{stack}",
            "{stack}/",
        ] {
            let error = branch(wrong).unwrap_err();
            assert!(
                error.to_string().contains("DOCKEROPS_WRITE_BRANCH") && hint_of(&error).is_some(),
                "{wrong}"
            );
        }
    }
}
