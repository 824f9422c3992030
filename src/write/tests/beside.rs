//! What a commit may touch that the files of its source do not say.

use super::*;
use crate::validate::diff::StackBecomes::{Deployed, Removed};

impl Scene {
    fn with_deployed(mut self, names: &[&str]) -> Self {
        self.beside.deployed = names.iter().map(|name| StackName::known(*name)).collect();
        self
    }

    fn watched_besides(mut self, places: &[&str]) -> Self {
        let url = self.folder.path().join("r.git");
        let source = |place: &&str| Source::parse(&format!("{}#{place}", url.display())).unwrap();
        self.beside.sources = places.iter().map(source).collect();
        self
    }
}

#[test]
fn a_list_that_slipped_away_is_not_begun_anew_over_what_runs() {
    for list in ["", "# nothing\n", "[]\n"] {
        let scene = Scene::new().with_deployed(&["web", "db"]);
        // A text of nothing takes the file away.
        scene.commit(&[("stacks.yaml", list)]);
        let tip = scene.tip();
        let told = stopped(scene.ask("blog", blog(json!({"HOST": "a"}))), 409);
        assert!(told.contains("`web`, `db`") && told.contains("unwatch"), "{list:?}: {told}");
        stopped(scene.order("blog", &blog(json!({"HOST": "a"})), None, true), 409);
        assert_eq!(scene.tip(), tip);
    }
    // Where nothing runs it is how one begins.
    let scene = Scene::new();
    scene.commit(&[("stacks.yaml", "")]);
    pushed(scene.ask("blog", blog(json!({"HOST": "a"}))));
}

#[test]
fn compose_files_that_slipped_away_are_no_place_for_a_list() {
    let web = ("docker-compose-web.yml", "services: {app: {image: web}}\n");
    let template = ("templates/blog/compose.yml", "services: {app: {image: 'blog:${TAG:-1}'}}\n");
    let scene = Scene::of(&[web, template], "main").with_deployed(&["web"]);
    scene.commit(&[(web.0, "")]);
    stopped(scene.ask("blog", blog(json!({}))), 409);
    assert_eq!(scene.file("stacks.yaml"), None);
}

#[test]
fn a_plan_tells_of_every_stack_that_would_go() {
    let scene = Scene::new().with_deployed(&["db", "web"]);
    let answer = scene.order("blog", &blog(json!({"HOST": "a"})), None, true);
    let changes = &answer.plan.as_ref().unwrap().changes;
    let told: Vec<_> = changes.stacks.iter().map(|stack| (stack.name.as_str(), stack.becomes)).collect();
    assert_eq!(told, [("blog", Deployed), ("db", Removed)]);
    assert!(changes.lost.iter().any(|what| what.contains("the stack `db`")), "{:?}", changes.lost);
}

#[test]
fn a_folder_that_another_source_uses_stays() {
    let compose = "services: {app: {image: web}}\n";
    let files = [
        ("envs/dev/stacks.yaml", "- name: dev\n  folder: ../../web\n- name: other\n"),
        ("envs/dev/other/compose.yml", compose),
        ("envs/prod/stacks.yaml", "- name: prod\n  folder: ../../web\n- name: more\n"),
        ("envs/prod/more/compose.yml", compose),
        ("web/compose.yml", compose),
    ];
    let scene = Scene::of(&files, "main:envs/prod").watched_besides(&["main:envs/dev"]);
    let plan = pushed(scene.ask("prod", Wish::Remove));
    assert!(plan.stays.iter().any(|it| it.contains("`web`") && it.contains("envs/dev")), "{:?}", plan.stays);
    assert!(scene.file("web/compose.yml").is_some());
    // Outside of the source's own folder nothing is taken, whoever watches it.
    let scene = Scene::of(&files, "main:envs/prod");
    let plan = pushed(scene.ask("prod", Wish::Remove));
    assert!(plan.stays.iter().any(|it| it.contains("not below")), "{:?}", plan.stays);
    assert!(scene.file("web/compose.yml").is_some());
}

#[test]
fn what_another_source_reads_in_the_folder_is_not_taken() {
    let files = [
        ("stacks.yaml", "- name: web\n- name: own\n"),
        ("web/compose.yml", "services: {app: {image: web}}\n"),
        ("own/compose.yml", "services: {app: {image: own}}\n"),
        ("web/shared.conf", "x\n"),
        ("envs/prod/stacks.yaml", "- name: prod\n"),
        (
            "envs/prod/prod/compose.yml",
            "services: {app: {image: prod, configs: [c]}}\nconfigs: {c: {file: ../../../web/shared.conf}}\n",
        ),
    ];
    let scene = Scene::of(&files, "main").watched_besides(&["main:envs/prod"]);
    let told = stopped(scene.ask("web", Wish::Remove), 409);
    assert!(told.contains("`prod`") && told.contains("envs/prod"), "{told}");
    pushed(scene.ask("own", Wish::Remove));
    // Another branch keeps its files.
    let scene = Scene::of(&files, "main").watched_besides(&["stable:envs/prod"]);
    pushed(scene.ask("web", Wish::Remove));
}
