//! What only docker can say of a compose file: `docker stack config`, where a docker CLI has it. It asks no daemon.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::Verdict;
use crate::compose::RenderedStack;
use crate::problem::{Collector, Problem};
use crate::process::{self, Call, Failure};
use crate::signal;

/// So long docker may take for one file.
pub const LIMIT: Duration = Duration::from_secs(60);

/// A stack as docker would be given it.
pub struct Given<'a> {
    /// Its name, or that of the template that it is an example of.
    pub name: &'a str,
    pub of: Of,
    pub rendered: &'a RenderedStack,
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    Stack,
    Template,
    /// Some of its values are nobody's: what docker says may be about them.
    MadeUpTemplate,
}

/// What docker says of a key that it does not know, whatever the values are.
const UNKNOWN_KEY: &str = "Additional property";

/// Adds what docker finds wrong, or that it could not be asked.
pub fn ask(
    environment: &BTreeMap<OsString, OsString>,
    stacks: &[Given<'_>],
    verdict: &mut Verdict,
) -> Result<()> {
    if stacks.is_empty() {
        return Ok(());
    }
    if let Err(why) = is_there(environment) {
        verdict.not_checked.push(format!("what only docker can say (`docker stack config`): {why}"));
        return Ok(());
    }
    let texts: Vec<_> = stacks.iter().map(|given| given.text.as_str()).collect();
    for (given, answer) in stacks.iter().zip(answers(environment, &texts)) {
        signal::check()?;
        let name = given.name;
        match answer {
            Ok(None) => {}
            Ok(Some(said)) if given.of == Of::MadeUpTemplate && !said.contains(UNKNOWN_KEY) => {
                let said = problem(given, &said).what;
                verdict
                    .not_checked
                    .push(format!("the template `{name}`: of values that were made up for it {said}"));
            }
            Ok(Some(said)) if given.of != Of::Stack => {
                verdict.add_to_template(problem(given, &said), name);
            }
            Ok(Some(said)) => {
                verdict.add(&problem(given, &said), Some(name));
                verdict
                    .stacks
                    .iter_mut()
                    .filter(|stack| stack.name == name)
                    .for_each(|stack| stack.right = false);
            }
            Err(why) => {
                let kind = if given.of == Of::Stack { "" } else { "the template " };
                verdict.not_checked.push(format!("{kind}`{name}`, by docker: it {why}"));
            }
        }
    }
    Ok(())
}

fn call(environment: &BTreeMap<OsString, OsString>, arguments: &[&str], input: Option<String>) -> Call {
    Call {
        program: "docker".into(),
        arguments: arguments.iter().map(|word| (*word).to_owned()).collect(),
        environment: environment.clone(),
        folder: None,
        input,
        limit: LIMIT,
    }
}

fn is_there(environment: &BTreeMap<OsString, OsString>) -> Result<(), String> {
    match process::run(&call(environment, &["stack", "config", "--help"], None)) {
        // Older ones print the help of `docker stack`.
        Ok(help) if help.stdout.contains("docker stack config") => Ok(()),
        Ok(_) => Err("this docker CLI does not have it; 23.0 and newer do".into()),
        Err(Failure::NotFound) => Err("no docker CLI is on the PATH".into()),
        Err(failure) => Err(format!("docker {failure}")),
    }
}

/// docker's words on each text, where it refuses it.
fn answers(
    environment: &BTreeMap<OsString, OsString>,
    texts: &[&str],
) -> Vec<Result<Option<String>, String>> {
    let workers = thread::available_parallelism().map_or(2, |count| count.get() * 2).min(texts.len());
    let (next, found) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some((at, text)) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, texts.get(at)?)))
                {
                    if signal::received().is_some() {
                        return;
                    }
                    let call = call(environment, &["stack", "config", "-c", "-"], Some((*text).to_owned()));
                    let answer = match process::run(&call) {
                        Ok(output) if output.success => Ok(None),
                        // One that was killed says nothing, and nothing of the file.
                        Ok(output) if output.stderr.trim().is_empty() => {
                            Err("ended without a word".to_owned())
                        }
                        Ok(output) => Ok(Some(output.stderr)),
                        Err(failure) => Err(failure.to_string()),
                    };
                    if let Ok(mut found) = found.lock() {
                        found.insert(at, answer);
                    }
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap_or_default();
    (0..texts.len()).map(|at| found.remove(&at).unwrap_or_else(|| Err("was not asked".into()))).collect()
}

/// At the line of what docker names, where it can be found.
fn problem(given: &Given<'_>, said: &str) -> Problem {
    let said = said.trim().trim_start_matches("compose file error:").trim();
    let (file, line, key) = given.rendered.place_of(said);
    Collector::new(file).problem(line, key, format!("docker says: {said}"))
}
