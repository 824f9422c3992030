//! What the tests of forms share, and the paths.

use super::*;
use crate::budget::{Budget, Limits};
use crate::paths::Root;
use crate::template;
use crate::web::templates::TemplateView;

/// One with every kind of parameter.
pub fn template() -> TemplateView {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("templates/blog");
    std::fs::create_dir_all(&at).unwrap();
    let compose = "services:\n  app:\n    image: 'app:${TAG:-6.8}'\n    hostname: ${HOST?where it answers}\n    \
        environment: {DEBUG: '${DEBUG:-}', DB: '${DB:-}', NOTE: '${NOTE-none}'}\n    deploy: {replicas: '${COPIES:-2}'}\n";
    let described = "title: A blog\ndescription: For one host\nparameters:\n  \
        COPIES: {label: Copies, help: one is enough to begin with, type: integer, min: 1, max: 9}\n  \
        TAG: {choices: ['6.8', '6.9']}\n  HOST: {pattern: '[a-z0-9.\\-]+'}\n  DB: {secret: true}\n  DEBUG: {type: boolean}\n";
    std::fs::write(at.join("compose.yml"), compose).unwrap();
    std::fs::write(at.join("template.yaml"), described).unwrap();
    let real = folder.path().canonicalize().unwrap();
    let mut all = template::read(&Root::on_disk(&real), &real, &Budget::new(Limits::default()));
    TemplateView::of(all.remove(0), None)
}

#[test]
fn paths_are_told_apart() {
    let at = Subject::at;
    assert_eq!(at("/new/blog"), Some(Subject::New("blog".into())));
    assert_eq!(at("/stacks/web/edit"), Some(Subject::Edit("web".into())));
    assert_eq!(at("/stacks/web/remove"), Some(Subject::Remove("web".into())));
    for path in [
        "/new/",
        "/new/a/b",
        "/new/%2e",
        "/stacks//edit",
        "/stacks/web",
        "/stacks/a/b/edit",
        "/stacks/web/other",
        "/",
    ] {
        assert_eq!(at(path), None, "{path}");
    }
}

#[test]
fn a_refusal_is_a_page_and_still_asks_for_the_password() {
    let subject = Subject::New("blog".into());
    let page = sorry(&subject, Response::refusal(403, "no <b>", "show `it`"));
    assert_eq!(page.status, 403);
    let text = page.text();
    assert!(text.contains("No &lt;b&gt;") && text.contains("Show <code>it</code>"), "{text}");
    assert!(text.contains("href=\"../app.css\""), "{text}");
    let page = sorry(&subject, crate::web::access::challenge());
    let bytes = String::from_utf8(page.bytes(true)).unwrap();
    assert!(
        bytes.contains("www-authenticate: Basic") && bytes.contains("content-type: text/html"),
        "{bytes}"
    );
}
