//! `validate`: checks a folder as `watch` would; needs neither root, docker, a network nor a database.

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

use super::Ending;
use crate::cli::ValidateArgs;
use crate::fault::OrHint;
use crate::report::Report;
use crate::settings::{CheckSettings, Ci};
use crate::validate::{self, Options, Verdict, annotations, quality};

/// Prints what was found; all of it, whatever is wrong.
pub fn run(arguments: &ValidateArgs) -> Result<Ending> {
    let settings = CheckSettings::from_environment()?;
    let options = Options {
        reference: arguments.diff.as_deref(),
        strict: arguments.strict,
        policy: arguments.policy.as_deref(),
        source: arguments.source.as_deref(),
    };
    let verdict = validate::validate(&settings, &arguments.path, options)?;
    print(&settings, &verdict, arguments)?;
    if let Some(file) = &arguments.code_quality {
        write(file, &quality::report(&verdict))
            .with_context(|| format!("cannot write `{}`", file.display()))
            .or_hint("name a file in a folder that can be written to")?;
    }
    Ok(if verdict.is_right() { Ending::Done } else { Ending::Wrong })
}

/// A new file in the place of whatever lies there: a symlink of the repository is not followed.
fn write(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut new = tempfile::Builder::new().permissions(Permissions::from_mode(0o644)).tempfile_in(folder)?;
    new.write_all(text.as_bytes())?;
    new.persist(path)?;
    Ok(())
}

fn print(settings: &CheckSettings, verdict: &Verdict, arguments: &ValidateArgs) -> Result<()> {
    let (report, is_github) = (Report::new(), settings.ci == Ci::GitHub);
    if arguments.json {
        let json = serde_json::to_string_pretty(verdict).context("cannot print the verdict")?;
        report.json(&if is_github { annotations::without_commands_in_json(&json) } else { json });
    } else {
        let text = if arguments.markdown { verdict.markdown() } else { verdict.text() };
        report.lines(&if is_github { annotations::without_commands(&text) } else { text });
    }
    if is_github {
        report.commands(&annotations::github(verdict));
    }
    Ok(())
}
