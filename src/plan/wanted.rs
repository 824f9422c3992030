//! What a file wants of a service, in those parts that a live one shows as well: so that what a hand edited differs
//! from what docker was given.

use std::collections::BTreeMap;

use crate::compose::{RenderedStack, Service};
use crate::docker::spec::{self, Summary};
use crate::image::ImageRef;

/// Parts as a summary has them; `None` of one that is not there.
pub type Parts = BTreeMap<String, Option<String>>;

/// What a rendered stack wants of its services, by their full names.
pub fn wanted(rendered: &RenderedStack) -> BTreeMap<String, Parts> {
    let parts = |service: &Service| {
        let declared = rendered.declared(&service.name);
        let image = service.image.as_ref().map(ToString::to_string);
        let replicas = declared.replicas.map(|replicas| replicas.to_string());
        let known = [("image", image), ("replicas", replicas)];
        let mut parts: Parts =
            known.into_iter().filter_map(|(part, value)| Some((part.to_owned(), Some(value?)))).collect();
        if let Some(lines) = &declared.environment {
            parts.insert("environment".to_owned(), spec::environment(lines));
        }
        parts
    };
    let services = rendered.services.iter();
    services.map(|service| (rendered.name.scope(&service.name), parts(service))).collect()
}

/// What a live service would be as it is wanted; what the file does not tell is as it is.
pub fn as_wanted(parts: &Parts, live: &Summary) -> Summary {
    let mut summary = live.clone();
    for (part, value) in parts {
        match value {
            Some(value) if part == "image" && is_same_image(value, live.get(part)) => {}
            Some(value) => drop(summary.insert(part.clone(), value.clone())),
            None => drop(summary.remove(part)),
        }
    }
    summary
}

/// One image has many names, and what is no reference is not judged.
fn is_same_image(wanted: &str, live: Option<&String>) -> bool {
    if live.is_some_and(|live| live == wanted) {
        return true;
    }
    let parsed = |text: &str| ImageRef::parse(text).ok();
    let both = parsed(wanted).zip(live.and_then(|live| parsed(live)));
    // What runs by the digest of a tag runs that tag.
    both.is_none_or(|(wanted, live)| {
        wanted == live || (wanted.digest().is_none() && wanted == live.unpinned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(parts: &[(&str, &str)]) -> Summary {
        parts.iter().map(|(part, value)| ((*part).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn only_what_the_file_tells_is_compared() {
        let stack = RenderedStack::of("web", &[("app", "app:1")], "f").declaring(&[("app", Some(2), "x")]);
        let parts = &wanted(&stack)["web_app"];
        let value = parts["environment"].clone().unwrap();
        let good = [("image", "app:1"), ("replicas", "2"), ("environment", &*value), ("volumes", "v")];
        let differences = |live: &[(&str, &str)]| {
            let live = summary(live);
            spec::differences(&as_wanted(parts, &live), &live, &BTreeMap::new())
        };
        assert_eq!(differences(&good), [""; 0]);
        let mut same = good;
        same[0].1 = "docker.io/library/app:1";
        assert_eq!(differences(&same), [""; 0]);
        for (at, text, what) in [
            (0, "app:2", "image `app:1` became `app:2`"),
            (1, "1", "scaled from 2 to 1"),
            (2, "other", "`environment` edited"),
        ] {
            let mut edited = good;
            edited[at].1 = text;
            assert_eq!(differences(&edited), [what]);
        }
    }
}
