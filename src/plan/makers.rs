//! Whose an image is: which source may build under its name. Pure.
//!
//! An image repository, the name without a tag, is the Git repository's that built it first, or whose stacks
//! ran it first; building it anew would replace what they run. Among the sources of one Git repository, say
//! its environments, each name with its tag is that of the first.

use crate::image::ImageRef;
use crate::source::{SourceId, SourceUrl};

/// What one watched source has of images.
#[derive(Debug)]
pub struct Maker {
    pub identity: SourceId,
    /// As people know it.
    pub url: SourceUrl,
    /// What it builds, by name and tag.
    pub built: Vec<ImageRef>,
    /// What its services run, each with the service.
    pub runs: Vec<(ImageRef, String)>,
}

impl Maker {
    /// One that has none.
    pub fn new(identity: &SourceId, url: &SourceUrl) -> Self {
        Self { identity: identity.clone(), url: url.clone(), built: Vec::new(), runs: Vec::new() }
    }

    fn builds(&self, is: impl Fn(&ImageRef) -> bool) -> bool {
        self.built.iter().any(is)
    }

    fn runs(&self, is: impl Fn(&ImageRef) -> bool) -> Option<&str> {
        self.runs.iter().find(|(image, _)| is(image)).map(|(_, service)| &**service)
    }
}

/// Takes `image` for the source; `Err` says why it is another's. Whoever asks first has it.
pub fn claim(
    makers: &mut Vec<Maker>,
    identity: &SourceId,
    url: &SourceUrl,
    image: &ImageRef,
) -> Result<(), String> {
    let same = |other: &ImageRef| other.unpinned() == *image;
    let near = |other: &ImageRef| other.repository() == image.repository();
    let own = makers.iter().position(|maker| maker.identity == *identity);
    if own.is_some_and(|own| makers[own].builds(same)) {
        return Ok(());
    }
    let others = || makers.iter().filter(|maker| maker.identity != *identity);
    let siblings = |maker: &&Maker| maker.identity.shares_repository_with(identity);
    if let Some(other) = others().find(|other| other.builds(same)) {
        return Err(builds(other, &image.to_string(), url));
    }
    for other in others().filter(siblings) {
        if let Some(service) = other.runs(same) {
            return Err(runs(other, service, &image.to_string(), url));
        }
    }
    let is_ours = makers.iter().filter(siblings).any(|maker| maker.builds(near));
    let repository = image.repository().to_string();
    for other in others().filter(|other| !is_ours && !siblings(other)) {
        if other.builds(near) {
            return Err(builds(other, &repository, url));
        }
        if let Some(service) = other.runs(near) {
            return Err(runs(other, service, &repository, url));
        }
    }
    let own = own.unwrap_or_else(|| {
        makers.push(Maker::new(identity, url));
        makers.len() - 1
    });
    makers[own].built.push(image.clone());
    Ok(())
}

fn builds(other: &Maker, name: &str, url: &SourceUrl) -> String {
    format!("`{}`, which is watched as well, builds `{name}`; `{url}` must not", other.url)
}

fn runs(other: &Maker, service: &str, name: &str, url: &SourceUrl) -> String {
    let other = &other.url;
    format!(
        "the service `{service}` of `{other}`, which is watched as well, runs `{name}`, and `{url}` must not replace \
         it there; give the image another name, or, if it is to be built here from now on, run `dockerops unwatch \
         --keep-stacks {other}`, `dockerops reconcile`, and `dockerops watch {other}`"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(text: &str) -> ImageRef {
        ImageRef::parse(text).unwrap()
    }

    fn maker(identity: &str, built: &[&str], runs: &[&str]) -> Maker {
        let built = built.iter().map(|text| image(text)).collect();
        let runs = runs.iter().map(|text| (image(text), "web_app".to_owned())).collect();
        Maker { built, runs, ..Maker::new(&identity.into(), &identity.into()) }
    }

    /// Whether `source` may build `name` beside those.
    fn may(makers: Vec<Maker>, source: &str, name: &str) -> bool {
        let mut makers = makers;
        let asked = claim(&mut makers, &source.into(), &source.into(), &image(name));
        assert_eq!(
            asked.is_ok(),
            makers.iter().any(|m| m.identity == *source && m.built.contains(&image(name)))
        );
        if let Err(why) = &asked {
            assert!(why.contains(&format!("`{source}` must not")), "{why}");
        }
        asked.is_ok()
    }

    #[test]
    fn an_image_repository_is_the_first_one_s_whatever_the_tag() {
        for (built, runs) in [
            ("r.io/app:1", "x:1"),
            ("x:1", "r.io/app:1"),
            ("x", "r.io/app:1@sha256:0000000000000000000000000000000000000000000000000000000000000000"),
        ] {
            for name in ["r.io/app:1", "r.io/app:2", "r.io/app"] {
                assert!(!may(vec![maker("a", &[built], &[runs])], "b", name), "{built} {runs} {name}");
            }
            assert!(may(vec![maker("a", &[built], &[runs])], "b", "r.io/app2:1"));
        }
        for name in ["nginx", "library/nginx:1", "docker.io/library/nginx", "index.docker.io/nginx"] {
            assert!(!may(vec![maker("a", &[], &["nginx:1.29"])], "b", name), "{name}");
        }
    }

    #[test]
    fn who_built_it_first_keeps_it_while_others_run_it_or_built_other_tags_of_it_before() {
        let others = || maker("b", &["r.io/app:2"], &["r.io/app:1", "r.io/app:3"]);
        for name in ["r.io/app:1", "r.io/app:3"] {
            assert!(may(vec![others(), maker("a", &["r.io/app:1"], &[])], "a", name), "{name}");
        }
        assert!(!may(vec![others(), maker("a", &["r.io/app:1"], &[])], "a", "r.io/app:2"));
    }

    #[test]
    fn what_a_source_runs_itself_it_may_build() {
        assert!(may(vec![maker("a", &[], &["r.io/app:1"])], "a", "r.io/app:1"));
        assert!(!may(vec![maker("a", &[], &["nginx"]), maker("b", &[], &["nginx"])], "a", "nginx"));
    }

    #[test]
    fn environments_of_one_repository_share_an_image_repository_and_no_name() {
        let production = || maker("g/shop#main", &["r.io/app:prod"], &["r.io/app:prod", "r.io/app:old"]);
        let customer = || maker("g/other", &[], &["r.io/app:prod"]);
        for staging in ["g/shop#staging", "g/shop", "g/shop#main:staging"] {
            assert!(may(vec![customer(), production()], staging, "r.io/app:staging"), "{staging}");
            assert!(!may(vec![production()], staging, "r.io/app:prod"), "{staging}");
            assert!(!may(vec![production()], staging, "r.io/app:old"), "{staging}");
        }
        assert!(!may(vec![production()], "g/shop2", "r.io/app:staging"));
    }

    #[test]
    fn of_two_new_ones_the_first_that_asks_has_it() {
        let mut makers = Vec::new();
        for (source, name, has) in [
            ("a", "r.io/app:1", true),
            ("b", "r.io/app:2", false),
            ("a", "r.io/app:2", true),
            ("b", "r.io/b", true),
        ] {
            assert_eq!(
                claim(&mut makers, &source.into(), &source.into(), &image(name)).is_ok(),
                has,
                "{source} {name}"
            );
        }
    }
}
