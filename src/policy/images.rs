//! Which images run.

use std::collections::BTreeSet;

use super::Rules;
use super::check::Finder;
use crate::image::ImageRef;
use crate::yaml::Node;

/// Why an image of that name may not be used.
pub fn name(image: &ImageRef, rules: &Rules) -> Result<(), String> {
    // `docker.io/library/nginx`, however short it was written.
    let full = format!("{}/{}", image.registry(), image.path());
    let last = image.path().rsplit('/').next().unwrap_or_default();
    let is_long = |text: &str| text.len() == 64 && is_hex(text);
    let is_id = is_long(last) || last == "sha256" && image.tag().is_some_and(is_long);
    match &rules.images {
        Some(allowed) if is_id || !allowed.matches(&full) => {
            Err(format!("`{full}` is no image that may be used ({allowed})"))
        }
        _ => Ok(()),
    }
}

/// docker takes such a name for the id of an image.
fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Notes what is wrong with the image of a service.
pub fn check(
    service: &Node,
    line: usize,
    rules: &Rules,
    built: &BTreeSet<ImageRef>,
    finder: &mut Finder<'_>,
) {
    if rules.images.is_none() && !rules.digests {
        return;
    }
    let Some(node) = service.get("image") else {
        return finder.add(&[], line, "images", "has no `image`");
    };
    let Some(image) = node.text().and_then(|text| ImageRef::parse(text).ok()) else {
        return finder.add(&["image"], node.line, "images", "is no image that can be told");
    };
    if let Err(what) = name(&image, rules) {
        finder.add(&["image"], node.line, "images", &what);
    }
    if rules.digests && image.digest().is_none() && !built.contains(&image) {
        let what = format!("`{image}` has no digest; write `{image}@sha256:…`");
        finder.add(&["image"], node.line, "digests", &what);
    }
}
