//! Templates in a verdict. A wrong one stops no stack.

use serde::Serialize;

use super::docker::{Given, Of};
use super::{Mistake, Verdict};
use crate::compose::{Ownership, RenderedStack};
use crate::problem::Problem;
use crate::template::{Parameter, Template};

/// A template.
#[derive(Debug, Serialize)]
pub struct Listed {
    pub name: String,
    pub title: Option<String>,
    pub right: bool,
    pub parameters: Vec<Parameter>,
}

/// A template as docker would be given it.
pub struct Example {
    pub name: String,
    /// With whether some values are made up; `None` where none are known that fit.
    pub rendered: Option<(RenderedStack, bool)>,
}

impl Verdict {
    /// What docker would be given of templates that are right as far as can be told.
    pub(super) fn examples<'a>(&mut self, examples: &'a [Example], ownership: &Ownership) -> Vec<Given<'a>> {
        let mut texts = Vec::new();
        for Example { name, rendered } in examples {
            let text =
                rendered.as_ref().map(|(rendered, made_up)| (rendered, *made_up, rendered.text(ownership)));
            match text {
                Some((rendered, made_up, Ok(text))) => {
                    let of = if made_up { Of::MadeUpTemplate } else { Of::Template };
                    texts.push(Given { name, of, rendered, text });
                }
                _ => self
                    .not_checked
                    .push(format!("the template `{name}`, by docker: no values are known that fit")),
            }
        }
        texts
    }

    pub(super) fn add_to_template(&mut self, problem: Problem, name: &str) {
        self.templates.iter_mut().filter(|it| it.name == name).for_each(|it| it.right = false);
        self.problems.push(Mistake::of(problem, None, Some(name.to_owned())));
    }

    pub(super) fn add_templates(&mut self, templates: Vec<Template>) {
        let known: Vec<_> = templates.iter().map(|template| template.name.clone()).collect();
        for stack in &self.stacks {
            let Some(origin) = stack.template.as_deref() else { continue };
            let name = origin.split('@').next().unwrap_or_default();
            if !known.iter().any(|known| known == name) {
                let what = format!("was made from the template `{name}`, which is not there any more");
                self.notes.push(super::Note { about: stack.name.clone(), what });
            }
        }
        for Template { name, title, parameters, problems, .. } in templates {
            self.more += problems.iter().map(|problem| problem.more).sum::<usize>();
            let right = problems.is_empty();
            self.problems
                .extend(problems.into_iter().map(|problem| Mistake::of(problem, None, Some(name.clone()))));
            self.templates.push(Listed { name, title, right, parameters });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use crate::settings::CheckSettings;
    use crate::validate::{Options, Verdict, validate};

    /// The verdict on a template, by a docker that knows no `mem_limit` and no memory of `/1`.
    fn verdict(compose: &str) -> Verdict {
        let folder = tempfile::tempdir().unwrap();
        git2::Repository::init(folder.path().join("r")).unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("r/stacks.yaml", "- {name: web, enabled: false}\n");
        write("r/templates/blog/compose.yml", compose);
        write(
            "bin/docker",
            "#!/bin/sh\ncase \"$*\" in *--help) echo docker stack config; exit ;; esac\n\
             if grep -q mem_limit; then echo 'services.app Additional property mem_limit is not allowed' >&2; exit 1; fi\n",
        );
        let docker = folder.path().join("bin/docker");
        fs::set_permissions(docker, fs::Permissions::from_mode(0o755)).unwrap();
        let mut settings = CheckSettings::from_environment().unwrap();
        let path = format!("{}:/usr/bin:/bin", folder.path().join("bin").display());
        settings.docker_environment.insert("PATH".into(), path.into());
        validate(&settings, &folder.path().join("r"), Options::default()).unwrap()
    }

    #[test]
    fn docker_is_asked_about_templates_too() {
        let wrong = verdict("services: {app: {image: 'a:${TAG:-1}', mem_limit: 1g}}\n");
        assert!(!wrong.right && !wrong.templates[0].right, "{wrong:?}");
        let told = &wrong.problems[0];
        assert_eq!((told.template.as_deref(), &*told.file), (Some("blog"), "templates/blog/compose.yml"));
        assert!(told.what.contains("mem_limit"), "{told:?}");
        // A key that docker does not know is none whatever the values are.
        assert!(!verdict("services: {app: {image: 'a:${TAG:?which}', mem_limit: 1g}}\n").right);
        assert!(verdict("services: {app: {image: 'a:${TAG:?which}'}}\n").right);
    }
}
