//! Which path is answered by whom, and who may ask for it.

use super::access::Visitor;
use super::holds::{self, Act};
use super::hooks::{self, Hook};
use super::page::Subject;
use super::request::{Body, Head};
use super::response::Response;
use super::{Web, access, actions, api, metrics, page, writes};
use crate::plain;

pub fn answer(web: &Web, head: &Head, body: &mut Body<'_>) -> Response {
    let path = head.path.as_str();
    if let Some(subject) = Subject::at(path).filter(|_| head.only_looks() || head.method == "POST") {
        return page::form(web, &subject, head, body);
    }
    if head.method == "POST" {
        if let Some(hook) = Hook::at(path) {
            return hooks::answer(web, hook, head, body);
        }
        if let Some(at) = holds::At::path(path) {
            return holds::from_program(web, at, head, body);
        }
        let image = path.strip_prefix("/api/v1/images/").and_then(|rest| rest.strip_suffix("/build"));
        if let Some(image) = image {
            return actions::build(web, head, image);
        }
        return match path {
            "/api/v1/reconcile" => actions::from_program(web, head, body),
            "/api/v1/stacks" => writes::make(web, head, body),
            "/reconcile" => page::or_page(head, actions::from_page(web, head, body)),
            "/hold" => page::or_page(head, holds::from_page(web, Act::Hold, head, body)),
            "/release" => page::or_page(head, holds::from_page(web, Act::Release, head, body)),
            "/rollback" => page::or_page(head, holds::from_page(web, Act::RollBack, head, body)),
            _ => elsewhere(path, "GET"),
        };
    }
    if let ("PUT" | "DELETE", Some(name)) = (head.method.as_str(), path.strip_prefix("/api/v1/stacks/")) {
        return match head.method.as_str() {
            "PUT" => writes::change(web, name, head, body),
            _ => writes::remove(web, name, head),
        };
    }
    if !head.only_looks() {
        return elsewhere(path, "GET, POST");
    }
    match path {
        // Nothing to be read in these: no repository, no stack.
        "/healthz" => metrics::health(&web.handle.health()),
        "/app.css" | "/app.js" | "/form.js" | "/icon.svg" => page::asset(head),
        "/sign-in" => sign_in(web, head),
        path if path.starts_with("/hooks/")
            || matches!(path, "/api/v1/reconcile" | "/reconcile" | "/hold" | "/release" | "/rollback")
            || holds::At::path(path).is_some() =>
        {
            Response::refusal(405, "this is for POST", "").with("allow", "POST")
        }
        _ => match web.access.look(head) {
            Ok(visitor) => look(web, head, visitor),
            Err(refusal) => refusal,
        },
    }
}

fn look(web: &Web, head: &Head, visitor: Visitor) -> Response {
    match head.path.as_str() {
        "/" => page::answer(web, head, visitor),
        "/metrics" => metrics::answer(web),
        path if page::own(path).is_some() => page::answer(web, head, visitor),
        path => match path.strip_prefix("/api/v1/") {
            Some(what) => api::answer(web, what, head),
            None => nothing(path),
        },
    }
}

/// A browser that was asked for the password once shows it from then on, here and below; it is asked again where what
/// it shows does not let write, and `?write` wants that.
fn sign_in(web: &Web, head: &Head) -> Response {
    match web.access.look(head) {
        Ok(Visitor::Operator) if head.parameter("write").is_some() && web.access.writing.is_some() => {
            access::challenge()
        }
        Ok(Visitor::Operator | Visitor::Writer) => {
            // Back to where the link stood; a name of ours needs no escapes.
            let back = head.parameter("stack").filter(|name| page::own(&format!("/stacks/{name}")).is_some());
            let back = back.map_or_else(|| "./".to_owned(), |name| format!("./stacks/{name}"));
            Response::new(303, "text/plain", "signed in\n").with("location", back)
        }
        Ok(Visitor::Reader) if web.access.has_token() => access::challenge(),
        Ok(Visitor::Reader) => web.access.act(head).err().unwrap_or_else(|| nothing("/sign-in")),
        Err(refusal) => refusal,
    }
}

fn nothing(path: &str) -> Response {
    let path = plain::name(&path.chars().take(100).collect::<String>());
    Response::refusal(404, &format!("there is nothing at `{path}`"), "")
}

/// A path that is known by other methods, or not at all.
fn elsewhere(path: &str, allow: &'static str) -> Response {
    let known =
        matches!(path, "/" | "/metrics" | "/healthz" | "/reconcile" | "/hold" | "/release" | "/rollback")
            || path.starts_with("/api/v1/")
            || path.starts_with("/hooks/")
            || page::own(path).is_some();
    if known && !(path.starts_with("/hooks/") && Hook::at(path).is_none()) {
        Response::refusal(405, "this path knows no such method", "").with("allow", allow)
    } else {
        nothing(path)
    }
}
