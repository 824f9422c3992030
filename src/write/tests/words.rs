//! What is told is so: whose mistake it is, where it stands, and which name was meant.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

const NETWORK: &str =
    "services: {app: {image: app, networks: [n]}}\nnetworks: {n: {external: true, name: shared}}\n";

impl Scene {
    /// With a docker that answers `config` so.
    fn with_docker(mut self, config: &str) -> Self {
        let bin = self.folder.path().join("bin");
        fs::create_dir(&bin).unwrap();
        let script =
            format!("#!/bin/sh\ncase \"$*\" in *--help) echo docker stack config ;; *) {config} ;; esac\n");
        fs::write(bin.join("docker"), script).unwrap();
        fs::set_permissions(bin.join("docker"), fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:/usr/bin:/bin", bin.display());
        self.desk.settings.docker_environment.insert("PATH".into(), path.into());
        self
    }
}

#[test]
fn what_was_wrong_before_is_told_as_such_and_where_it_stands() {
    let scene = Scene::new();
    scene.commit(&[
        ("stacks.yaml", &format!("{LIST}- name: db\n  enable: true\n")),
        ("db/compose.yml", "services: {app: {image: db}}\n"),
    ]);
    for wish in [Wish::Remove, with(json!({"HOST": "a"}), true)] {
        let told = stopped(scene.ask("web", wish), 409);
        assert!(!told.contains("without it"), "{told}");
    }
    let answer = scene.ask("web", Wish::Remove);
    let Outcome::Stopped(Stop::Wrong { problems, was_wrong: true, .. }) = answer.outcome else {
        panic!("{answer:?}")
    };
    assert_eq!(problems[0].line, Some(4), "as the author has it: {problems:?}");
    let told = stopped(scene.ask("blog", blog(json!({"HOST": "a"}))), 422);
    assert!(told.contains("wrong already") && !told.contains("validate"), "{told}");
}

#[test]
fn a_name_in_other_letters_is_another_one() {
    let scene = Scene::new();
    let tip = scene.tip();
    for wish in [Wish::Remove, with(json!({"HOST": "a"}), true)] {
        let told = stopped(scene.ask("Web", wish), 404);
        assert!(told.contains("no stack `Web`, but `web`"), "{told}");
    }
    assert_eq!(scene.tip(), tip);
}

#[test]
fn a_docker_that_was_killed_is_nobody_s_mistake() {
    let scene = Scene::new().with_docker("kill -9 $$");
    let plan = pushed(scene.ask("blog", blog(json!({"HOST": "a"}))));
    assert!(plan.not_checked.iter().any(|it| it.contains("ended without a word")), "{:?}", plan.not_checked);
    let scene =
        Scene::new().with_docker("echo 'services.app Additional property x is not allowed' >&2; exit 1");
    assert!(stopped(scene.ask("blog", blog(json!({"HOST": "a"}))), 422).contains("docker says"));
}

#[test]
fn a_plan_says_what_nobody_has_looked_for_in_the_swarm() {
    let scene = Scene::new();
    scene.commit(&[("templates/net/compose.yml", NETWORK)]);
    let plan = pushed(scene.ask("net", Wish::Make { template: "net".into(), options: Map::new() }));
    assert!(
        plan.not_checked.iter().any(|it| it == "whether the Swarm has `shared`"),
        "{:?}",
        plan.not_checked
    );
    let plan = pushed(scene.ask("net", Wish::Remove));
    assert!(plan.stays.iter().any(|it| it.contains("where the Swarm has it")), "{:?}", plan.stays);
}

#[test]
fn a_variable_of_the_daemon_that_wins_is_told() {
    let mut scene = Scene::new();
    for (name, value) in [("HOST", "daemon"), ("COPIES", "3")] {
        scene.desk.settings.docker_environment.insert(name.into(), value.into());
    }
    let plan = pushed(scene.ask("blog", blog(json!({"HOST": "mine", "COPIES": 3}))));
    let notes: Vec<_> = plan.changes.notes.iter().filter(|note| note.contains("wins")).collect();
    assert!(notes.len() == 1 && notes[0].contains("`HOST`"), "{notes:?}");
}

#[test]
fn what_a_file_at_the_root_was_made_from_nobody_says() {
    let files = [
        ("docker-compose-web.yml", "services: {app: {image: 'blog:${TAG:-1}'}}\n"),
        (".env-web", "TAG=4\n"),
        ("templates/blog/compose.yml", "services: {app: {image: 'blog:${TAG:-1}'}}\n"),
    ];
    let scene = Scene::of(&files, "main");
    let told = stopped(scene.ask("web", with(json!({"TAG": "2"}), false)), 409);
    assert!(told.contains("does not say which template") && told.contains("stackDefinition"), "{told}");
    let (_, current) = scene.desk.newest_options(&scene.source, &StackName::known("web")).unwrap().unwrap();
    assert!(current.is_there && current.is_file && current.template.is_none(), "{current:?}");
    assert_eq!(current.options["TAG"], "4");
}

#[test]
fn options_are_read_where_they_were_written_just_now() {
    let scene = Scene::new();
    let read = |stack: &str| {
        let (commit, current) =
            scene.desk.newest_options(&scene.source, &StackName::known(stack)).unwrap().unwrap();
        assert_eq!(commit.as_str(), scene.tip());
        current
    };
    assert!(!read("blog").is_there);
    pushed(scene.ask("blog", blog(json!({"HOST": "a"}))));
    assert_eq!(read("blog").options["HOST"], "a");
    pushed(scene.ask("blog", with(json!({"HOST": "b"}), false)));
    assert_eq!(read("blog").options["HOST"], "b");
    assert!(read("web").is_there && read("web").template.is_none());
    // A tag has no newest commit that could be written to.
    let pinned = Source::parse(&format!("{}#{}", scene.source.url(), scene.tip())).unwrap();
    assert_eq!(scene.desk.newest_options(&pinned, &StackName::known("blog")).unwrap(), None);
}

#[test]
fn a_branch_of_a_stack_is_not_the_one_that_is_watched() {
    let mut scene = Scene::new();
    let branch = [("DOCKEROPS_WRITE_BRANCH".into(), "{stack}".into())];
    scene.desk.write = RunSettings::from(&branch.into()).unwrap().write;
    assert!(stopped(scene.ask("main", blog(json!({"HOST": "a"}))), 409).contains("the one that is watched"));
    pushed(scene.ask("blog", blog(json!({"HOST": "a"}))));
}
