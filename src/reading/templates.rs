//! The templates of a source, each checked as the stack that it would become. No sync reads them: a wrong one stops nobody.

use std::collections::BTreeMap;
use std::ffi::OsString;

use anyhow::Result;

use super::policy::Held;
use super::{Contents, Files, Reader, unknown};
use crate::budget::Budget;
use crate::compose::{self, Origin, RenderedStack, Unrenderable};
use crate::template::{self, Kind, Parameter, Template};

/// All of them, with what is wrong whatever values are given. An error is one of the key.
pub fn templates(files: &dyn Files, reader: &Reader<'_>, contents: &Contents) -> Result<Vec<Template>> {
    let mut all = template::read(files.root(), files.dir(), reader.budget);
    let built = contents.images.iter().map(|image| image.name.clone()).collect();
    let held = Held::new(reader.rules, &built);
    // What is read again is counted apart, by the same limits.
    let budget = Budget::new(reader.budget.limits());
    for template in &mut all {
        let Some(its_files) = template.files() else { continue };
        let (root, merger, name) = (files.root(), reader.merger, template.stack());
        let origin = Origin { root, files: &its_files, budget: &budget, merger, readable: None };
        let (key, path) = ((reader.key)()?, &*its_files.compose.path);
        let told = unknown::load(&name, origin, &contents.volumes, key, held);
        let mut problems = unknown::problems(&told.rendered, path);
        if !problems.is_empty() {
            let with = |known: &Values| {
                let rendered = compose::load(&name, origin, known, &contents.volumes, key);
                rendered.and_then(|rendered| held.judge(rendered))
            };
            // One that ended at a value that does not fit says nothing about the rest.
            let again = with(&fitting(&template.parameters, |known| is_whole(&with(known))));
            if is_whole(&again) {
                let again = unknown::problems(&again, path);
                problems.retain(|problem| again.contains(problem));
            }
        }
        template.also(problems);
    }
    Ok(all)
}

/// A template as a stack of its own defaults, and of values that its parameters take, and whether some of these are made
/// up; `None` where none are known that fit.
pub fn example(
    files: &dyn Files,
    reader: &Reader<'_>,
    contents: &Contents,
    template: &Template,
) -> Result<Option<(RenderedStack, bool)>> {
    let Some(its_files) = template.files() else { return Ok(None) };
    let budget = Budget::new(reader.budget.limits());
    let (key, name) = ((reader.key)()?, template.stack());
    let origin = Origin {
        root: files.root(),
        files: &its_files,
        budget: &budget,
        merger: reader.merger,
        readable: None,
    };
    let with = |known: &Values| compose::load(&name, origin, known, &contents.volumes, key);
    let known = fitting(&template.parameters, |known| is_whole(&with(known)));
    let is_made_up = template.parameters.iter().any(|parameter| said(parameter).is_none());
    Ok(with(&known).ok().map(|rendered| (rendered, is_made_up)))
}

type Values = BTreeMap<OsString, OsString>;

/// So many parameters are tried one by one.
const MOST: usize = 50;

/// The value that a parameter itself names.
fn said(parameter: &Parameter) -> Option<String> {
    let said = parameter.default.clone().or_else(|| parameter.choices.first().cloned());
    said.or_else(|| match parameter.kind {
        Some(Kind::Integer) => Some(parameter.min.or(parameter.max).unwrap_or(1).to_string()),
        Some(Kind::Boolean) => Some("true".to_owned()),
        _ => parameter.secret.then(|| "secret".to_owned()),
    })
}

fn is_whole(rendered: &unknown::Rendered) -> bool {
    !matches!(rendered, Err(Unrenderable::Stack(_)))
}

/// Values that the parameters take, as far as they say; else a path, where `fits` does not want something else.
fn fitting(parameters: &[Parameter], fits: impl Fn(&Values) -> bool) -> Values {
    let value = |it: &Parameter| (it.name.clone().into(), said(it).unwrap_or_else(|| "1".to_owned()).into());
    let mut known: Values = parameters.iter().map(value).collect();
    for parameter in parameters.iter().filter(|parameter| said(parameter).is_none()).take(MOST) {
        let name = OsString::from(&parameter.name);
        let before = known.insert(name.clone(), "/1".into()).unwrap_or_default();
        if !fits(&known) {
            known.insert(name, before);
        }
    }
    known
}
