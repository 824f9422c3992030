//! Who asks for a write, of which source, and what is known of it beside its files.

use super::{Writes, unreadable};
use crate::fault::hint_of;
use crate::git::Commit;
use crate::source::Source;
use crate::stack::StackName;
use crate::state::StackStatus;
use crate::watched::Watched;
use crate::web::Web;
use crate::web::person::person;
use crate::web::request::Head;
use crate::web::response::Response;
use crate::write::Beside;

/// What a write takes behind `?`.
const KNOWN: [&str; 2] = ["dry_run", "repository"];

/// A request that may write.
pub struct Asked<'a> {
    pub web: &'a Web,
    pub writes: &'a Writes,
    pub requested_by: Option<String>,
    pub seen: Option<Commit>,
    pub dry_run: bool,
}

impl<'a> Asked<'a> {
    /// Of a program, which is held to what a write takes: what was to be a dry run must not become a commit.
    pub fn by_program(web: &'a Web, head: &Head) -> Result<Self, Response> {
        web.access.write(head)?;
        check_query(head)?;
        Self::of(web, head)
    }

    pub fn by(web: &'a Web, head: &Head) -> Result<Self, Response> {
        web.access.write(head)?;
        Self::of(web, head)
    }

    /// Of somebody who was let in.
    pub fn of(web: &'a Web, head: &Head) -> Result<Self, Response> {
        // Whoever may write has shown the token, so there is one.
        let writes =
            web.writes.as_ref().ok_or_else(|| Response::refusal(503, "nothing is written here", ""))?;
        let requested_by = person(&writes.settings, head)?;
        let dry_run = match head.parameter("dry_run") {
            None | Some("false") => false,
            Some("true" | "") => true,
            Some(_) => {
                let hint = "write `?dry_run=true` to see what it would do; nothing was done";
                return Err(Response::refusal(400, "`dry_run` is `true` or `false`", hint));
            }
        };
        let seen = match head.header("if-match").map(|value| value.trim().trim_matches('"')) {
            None | Some("*") => None,
            Some(commit) => Some(Commit::parse(commit).map_err(|error| {
                Response::refusal(400, &format!("`if-match`: {error:#}"), hint_of(&error).unwrap_or_default())
            })?),
        };
        Ok(Self { web, writes, requested_by, seen, dry_run })
    }

    /// The source that is named, or has the stack, or is the only one that may be written to.
    pub fn source(&self, named: Option<&str>, stack: Option<&StackName>) -> Result<Source, Response> {
        let watched = self.web.view.watched().map_err(|error| unreadable(&error))?;
        let has_it = |known: &Watched| {
            stack.is_some_and(|stack| known.stacks.iter().any(|it| it.name.collides_with(stack)))
        };
        let sources = watched.iter().filter_map(|known| Some((known.row.url.parse().ok()?, has_it(known))));
        let sources: Vec<(Source, bool)> = sources.collect();
        let hint = "`DOCKEROPS_WRITE_REPOS` lists those that are";
        if let Some(named) = named {
            let wanted = Source::parse(named).ok();
            let found = sources.iter().map(|(source, _)| source).find(|it| Some(*it) == wanted.as_ref());
            let Some(source) = found else {
                let pending = self.web.handle.unwatched();
                let is_pending =
                    |text: &String| Source::parse(text).ok().is_some_and(|it| Some(it) == wanted);
                if pending.iter().any(is_pending) {
                    return Err(not_yet(&pending));
                }
                let hint = "`/api/v1/repositories` lists those that are";
                return Err(Response::refusal(404, "no such repository is watched", hint));
            };
            let what = "that repository is not one that is written to";
            return self
                .may_write(source)
                .then(|| source.clone())
                .ok_or_else(|| Response::refusal(403, what, hint));
        }
        let having: Vec<_> = sources.iter().filter(|(_, has_it)| *has_it).map(|(source, _)| source).collect();
        let open: Vec<_> =
            sources.iter().map(|(source, _)| source).filter(|source| self.may_write(source)).collect();
        match (&having[..], &open[..], stack) {
            ([source], ..) if self.may_write(source) => Ok((*source).clone()),
            ([_], ..) => {
                Err(Response::refusal(403, "the stack's repository is not one that is written to", hint))
            }
            ([], [source], _) => Ok((*source).clone()),
            ([], [], _) => Err(self.none(&sources)),
            ([], _, Some(stack)) => {
                let hint =
                    "`/api/v1/stacks` lists them; of one that was made just now, name the `?repository=`";
                Err(Response::refusal(404, &format!("no watched repository has a stack `{stack}`"), hint))
            }
            _ => {
                let hint = "say which one: `?repository=`, or `repository` in the body of a `POST`";
                Err(Response::refusal(409, "several repositories could be meant", hint))
            }
        }
    }

    /// Why there is no source that may be written to.
    fn none(&self, sources: &[(Source, bool)]) -> Response {
        let pending = self.web.handle.unwatched();
        match sources {
            [(first, _), ..] => {
                let hint = format!(
                    "write them in `DOCKEROPS_WRITE_REPOS` as they are watched, with `#ref` and folder: `{first}`"
                );
                Response::refusal(409, "no repository that is watched may be written to", &hint)
            }
            [] if !pending.is_empty() => not_yet(&pending),
            [] => {
                let hint = "name one in `DOCKEROPS_REPOS`, or `sudo dockerops watch <repository>`";
                Response::refusal(409, "no repository is watched", hint)
            }
        }
    }

    pub fn may_write(&self, source: &Source) -> bool {
        self.writes.desk.may_write(source)
    }

    /// What a commit to the source may touch that its files do not say.
    pub fn beside(&self, source: &Source) -> Result<Beside, Response> {
        let watched = self.web.view.watched().map_err(|error| unreadable(&error))?;
        let (own, others): (Vec<_>, Vec<_>) =
            watched.iter().partition(|known| known.identity == *source.id());
        let stacks = own.into_iter().flat_map(|known| &known.stacks);
        let deployed = stacks.filter(|stack| stack.status != StackStatus::Stopped && stack.stays.is_none());
        Ok(Beside {
            deployed: deployed.map(|stack| stack.name.clone()).collect(),
            sources: others.into_iter().filter_map(|known| known.row.url.parse().ok()).collect(),
        })
    }

    /// Whether nobody else has a stack of that name: another source, or somebody in the Swarm.
    pub fn is_free(&self, stack: &StackName, source: &Source) -> Result<(), Response> {
        let watched = self.web.view.watched().map_err(|error| unreadable(&error))?;
        let has_it = |known: &Watched| known.stacks.iter().any(|it| it.name.collides_with(stack));
        if watched.iter().any(|known| known.identity == *source.id() && has_it(known)) {
            return Ok(());
        }
        let taken = |whose: String| {
            Err(Response::refusal(
                409,
                &format!("there is a stack `{stack}` already: {whose}"),
                "choose another name",
            ))
        };
        if let Some(other) = watched.iter().find(|known| known.identity != *source.id() && has_it(known)) {
            return taken(format!("source `{}` has it", other.row.url.shown()));
        }
        // Where docker cannot be asked the sync will say the same.
        match self.web.view.snapshot() {
            Ok(snapshot) if snapshot.services.iter().any(|service| service.stack.collides_with(stack)) => {
                taken("it runs in the Swarm, and is of no source that is watched".to_owned())
            }
            _ => Ok(()),
        }
    }
}

/// Of sources that are to be watched, and could not be so far.
fn not_yet(pending: &[String]) -> Response {
    let names: Vec<_> = pending.iter().take(5).map(|name| format!("`{name}`")).collect();
    let what = format!("not watched so far: {}", names.join(", "));
    Response::refusal(
        409,
        &what,
        "the page and the log say why: it was not read yet, cannot be, or may not be",
    )
}

fn check_query(head: &Head) -> Result<(), Response> {
    let refused = |what: String| {
        let hint = "a write knows `?dry_run=true` and `?repository=`; nothing was done";
        Err(Response::refusal(400, &what, hint))
    };
    for (at, (key, _)) in head.query.iter().enumerate() {
        let shown = || crate::plain::name(&key.chars().take(60).collect::<String>());
        if !KNOWN.contains(&key.as_str()) {
            return refused(format!("`?{}` is not known here", shown()));
        }
        if head.query[..at].iter().any(|(known, _)| known == key) {
            return refused(format!("`?{}` is there more than once", shown()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dry_run_that_is_misspelled_is_refused() {
        let told = |query: &[(&str, &str)]| {
            let query = query.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            check_query(&Head { query, ..Head::default() }).err().and_then(|refusal| refusal.refused)
        };
        assert_eq!(told(&[("dry_run", "true"), ("repository", "x")]), None);
        for wrong in ["dry-run", "dryrun", "dryRun", "DRY_RUN", "force", ""] {
            let (what, hint) = told(&[("repository", "x"), (wrong, "true")]).unwrap();
            assert!(what.contains(&format!("`?{wrong}`")) && hint.contains("dry_run=true"), "{what}");
        }
        assert!(told(&[("dry_run", "true"), ("dry_run", "false")]).unwrap().0.contains("more than once"));
    }
}
