//! Stacks that are made, changed and removed in a repository on disk, where no docker is.

mod beside;
mod files;
mod hostile;
mod meanwhile;
mod removal;
mod words;

use git2::{Oid, Repository, Signature};
use serde_json::json;

use super::*;

const COMPOSE: &str = "services:\n  app:\n    image: blog:1\n    hostname: ${HOST:?where it answers}\n    \
                       deploy: {replicas: '${COPIES:-2}'}\n    configs: [site]\nconfigs: {site: {file: site.conf}}\n";
const LIST: &str = "# ours\n- name: web # the site\n";

struct Scene {
    folder: tempfile::TempDir,
    there: Repository,
    desk: Desk,
    source: Source,
    beside: Beside,
}

impl Scene {
    /// A repository with the stack `web` and the template `blog`.
    fn new() -> Self {
        let files = [
            ("stacks.yaml", LIST),
            ("web/docker-compose.yml", "services: {app: {image: web}}\n"),
            ("templates/blog/compose.yml", COMPOSE),
            ("templates/blog/site.conf", "x\r\n"),
            (
                "templates/blog/template.yaml",
                "title: A blog\nparameters: {COPIES: {type: integer, max: 9}}\n",
            ),
        ];
        Self::of(&files, "main")
    }

    fn of(files: &[(&str, &str)], what: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let there = Repository::init_bare(folder.path().join("r.git")).unwrap();
        there.set_head("refs/heads/main").unwrap();
        let settings = Settings::from(&[("HOME".into(), folder.path().into())].into()).unwrap();
        let desk = Desk::new(&settings, &RunSettings::from(&[].into()).unwrap()).unwrap();
        let source = format!("{}#{what}", folder.path().join("r.git").display());
        let source = Source::parse(&source).unwrap();
        let scene = Self { folder, there, desk, source, beside: Beside::default() };
        scene.commit(files);
        scene
    }

    /// Somebody else's commit, on top.
    fn commit(&self, files: &[(&str, &str)]) -> String {
        let parent =
            self.there.find_reference("refs/heads/main").ok().map(|main| main.peel_to_commit().unwrap());
        let mut index = git2::Index::new().unwrap();
        self.there.set_index(&mut index).unwrap();
        if let Some(parent) = &parent {
            index.read_tree(&parent.tree().unwrap()).unwrap();
        }
        for (path, text) in files {
            if text.is_empty() {
                index.remove_path(Path::new(path)).unwrap();
                continue;
            }
            let id = self.there.blob(text.as_bytes()).unwrap();
            index.add(&entry(path, id)).unwrap();
        }
        let tree = self.there.find_tree(index.write_tree_to(&self.there).unwrap()).unwrap();
        let who = Signature::now("t", "t@h").unwrap();
        let parents: Vec<_> = parent.iter().collect();
        self.there.commit(Some("refs/heads/main"), &who, &who, "theirs", &tree, &parents).unwrap().to_string()
    }

    fn ask(&self, stack: &str, wish: impl std::borrow::Borrow<Wish>) -> Answer {
        self.order(stack, wish.borrow(), None, false)
    }

    fn order(&self, stack: &str, wish: &Wish, seen: Option<&str>, dry_run: bool) -> Answer {
        let seen = seen.map(|seen| Commit::parse(seen).unwrap());
        let (source, stack) = (&self.source, &StackName::known(stack));
        let order = Order {
            source,
            stack,
            wish,
            seen: seen.as_ref(),
            requested_by: Some("Ann"),
            beside: &self.beside,
            dry_run,
        };
        let answer = self.desk.carry_out(order).unwrap();
        let left =
            walkdir::WalkDir::new(self.folder.path().join(".dockerops")).into_iter().filter_map(Result::ok);
        let left: Vec<_> = left.filter(|it| it.path().display().to_string().contains("checkout-")).collect();
        assert!(left.is_empty(), "what is temporary goes: {left:?}");
        answer
    }

    fn tip(&self) -> String {
        self.there.find_reference("refs/heads/main").unwrap().peel_to_commit().unwrap().id().to_string()
    }

    fn subject(&self) -> String {
        let commit = self.there.find_reference("refs/heads/main").unwrap().peel_to_commit().unwrap();
        commit.message().unwrap().trim_end().replace('\n', "|")
    }

    fn file(&self, path: &str) -> Option<String> {
        let tree = self.there.find_reference("refs/heads/main").unwrap().peel_to_tree().unwrap();
        let entry = tree.get_path(Path::new(path)).ok()?;
        let blob = self.there.find_blob(entry.id()).ok()?;
        Some(String::from_utf8(blob.content().into()).unwrap())
    }

    fn template(&self) -> String {
        let tree = self.there.find_reference("refs/heads/main").unwrap().peel_to_tree().unwrap();
        tree.get_path(Path::new("templates/blog")).unwrap().id().to_string()
    }
}

fn entry(path: &str, id: Oid) -> git2::IndexEntry {
    let time = git2::IndexTime::new(0, 0);
    git2::IndexEntry {
        ctime: time,
        mtime: time,
        dev: 0,
        ino: 0,
        mode: 0o100_644,
        uid: 0,
        gid: 0,
        file_size: 0,
        id,
        flags: 0,
        flags_extended: 0,
        path: path.into(),
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => panic!("no object"),
    }
}

fn blog(options: Value) -> Wish {
    Wish::Make { template: "blog".into(), options: object(options) }
}

fn with(options: Value, overwrite: bool) -> Wish {
    Wish::Change { template: None, options: object(options), overwrite }
}

#[track_caller]
fn pushed(answer: Answer) -> Plan {
    assert!(matches!(answer.outcome, Outcome::Pushed { .. }), "{:?}", answer.outcome);
    answer.plan.unwrap()
}

#[track_caller]
fn stopped(answer: Answer, status: u16) -> String {
    match answer.outcome {
        Outcome::Stopped(stop) => {
            assert_eq!(stop.status(), status, "{stop:?}");
            stop.json().to_string()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_stack_is_a_copy_of_its_template_and_its_options() {
    let scene = Scene::new();
    let plan = pushed(scene.ask("blog", blog(json!({"HOST": "a.example", "COPIES": 3}))));
    assert_eq!(scene.subject(), "Deploy blog from blog||Requested-by: Ann");
    assert_eq!(scene.file("blog/compose.yml").unwrap(), COMPOSE);
    assert_eq!(scene.file("blog/site.conf").unwrap(), "x\r\n");
    assert_eq!(scene.file("blog/.env").unwrap(), "COPIES=3\nHOST=a.example\n");
    assert_eq!(
        scene.file("stacks.yaml").unwrap(),
        format!("{LIST}- name: blog\n  template: blog@{}\n", scene.template())
    );
    let paths: Vec<_> = plan.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(
        paths,
        ["blog/.env", "blog/compose.yml", "blog/site.conf", "blog/template.yaml", "stacks.yaml"]
    );
    assert_eq!(plan.changes.stacks[0].name, "blog");

    // The same again is no commit, and another of that name is none either.
    let tip = scene.tip();
    stopped(scene.ask("blog", blog(json!({"HOST": "a.example", "COPIES": 3}))), 200);
    assert!(
        stopped(scene.ask("blog", blog(json!({"HOST": "b.example"}))), 409)
            .contains("there is a stack `blog`")
    );
    assert!(
        stopped(scene.ask("Web", blog(json!({"HOST": "b.example"}))), 409).contains("there is a stack `web`")
    );
    assert!(stopped(scene.ask("templates", blog(json!({"HOST": "b"}))), 409).contains("templates"));
    assert_eq!(scene.tip(), tip);

    // The options are complete: what is not given has its default again.
    let plan = pushed(scene.ask("blog", with(json!({"HOST": "b.example"}), false)));
    assert_eq!(scene.subject(), "Update blog: COPIES, HOST||Requested-by: Ann");
    assert_eq!(scene.file("blog/.env").unwrap(), "HOST=b.example\n");
    let services = &plan.changes.stacks[0].services;
    assert_eq!(services[0].name, "app");
    let same = scene.ask("blog", with(json!({"HOST": "b.example"}), false));
    assert!(matches!(same.outcome, Outcome::Same(_)), "{same:?}");

    let plan = pushed(scene.ask("blog", Wish::Remove));
    assert_eq!(scene.subject(), "Remove blog||Requested-by: Ann");
    assert_eq!((scene.file("blog/.env"), scene.file("stacks.yaml").as_deref()), (None, Some(LIST)));
    assert!(plan.changes.lost[0].contains("the stack `blog`"), "{:?}", plan.changes.lost);
    stopped(scene.ask("blog", Wish::Remove), 404);
    stopped(scene.ask("blog", with(json!({"HOST": "b"}), false)), 404);
}

#[test]
fn all_mistakes_of_options_are_told_at_once() {
    let scene = Scene::new();
    let tip = scene.tip();
    let told = stopped(scene.ask("blog", blog(json!({"COPIES": 10, "HOSTS": "x"}))), 422);
    for what in ["is more than 9", "is required: where it answers", "is no parameter of `blog`"] {
        assert!(told.contains(what), "{told}");
    }
    let none = Wish::Make { template: "wiki".into(), options: Map::new() };
    assert!(stopped(scene.ask("w", none), 404).contains("no template `wiki`"));
    scene.commit(&[("templates/blog/template.yaml", "parameters: {NO: {}}\n")]);
    assert!(stopped(scene.ask("blog", blog(json!({"HOST": "x"}))), 409).contains("is wrong"));
    assert_ne!(scene.tip(), tip);
}

#[test]
fn what_was_edited_by_hand_is_not_overwritten_unless_that_is_said() {
    let scene = Scene::new();
    pushed(scene.ask("blog", blog(json!({"HOST": "a"}))));
    scene.commit(&[("blog/compose.yml", &COMPOSE.replace("blog:1", "blog:2"))]);
    let told = stopped(scene.ask("blog", with(json!({"HOST": "b"}), false)), 409);
    assert!(told.contains("edited by hand") && told.contains("overwrite"), "{told}");
    pushed(scene.ask("blog", with(json!({"HOST": "b"}), true)));
    assert_eq!(scene.file("blog/compose.yml").unwrap(), COMPOSE);
    // A file beside those of the template is a hand's too.
    scene.commit(&[("blog/more", "x")]);
    stopped(scene.ask("blog", with(json!({"HOST": "c"}), false)), 409);
    let plan = pushed(scene.ask("blog", with(json!({"HOST": "c"}), true)));
    assert!(plan.files.iter().any(|file| file.path == "blog/more"), "{plan:?}");
    // One that was made by hand is nobody's to change.
    stopped(scene.ask("web", with(json!({"HOST": "b"}), true)), 409);
}

#[test]
fn a_template_that_moved_on_rolls_nothing_until_a_change_takes_it() {
    let scene = Scene::new();
    pushed(scene.ask("blog", blog(json!({"HOST": "a"}))));
    scene.commit(&[("templates/blog/compose.yml", &COMPOSE.replace("blog:1", "blog:2"))]);
    assert_eq!(scene.file("blog/compose.yml").unwrap(), COMPOSE);
    pushed(scene.ask("blog", with(json!({"HOST": "a"}), false)));
    assert_eq!(scene.subject(), "Update blog from blog||Requested-by: Ann");
    assert!(scene.file("blog/compose.yml").unwrap().contains("blog:2"));
    assert!(scene.file("stacks.yaml").unwrap().contains(&scene.template()));
}

#[test]
fn a_dry_run_touches_nothing_and_says_all() {
    let scene = Scene::new();
    let tip = scene.tip();
    let objects = || walkdir::WalkDir::new(scene.folder.path().join("r.git")).into_iter().count();
    let before = objects();
    let answer = scene.order("blog", &blog(json!({"HOST": "a", "COPIES": 1})), None, true);
    let plan = answer.plan.as_ref().unwrap();
    assert_eq!((plan.base.as_str(), plan.subject.as_str()), (&*tip, "Deploy blog from blog"));
    let env = plan.files.iter().find(|file| file.path == "blog/.env").unwrap();
    assert!(env.difference.contains("+HOST=a\n"), "{env:?}");
    assert!(plan.changes.stacks[0].difference.contains("image: blog:1"), "{plan:?}");
    stopped(answer, 200);
    assert_eq!((scene.tip(), objects()), (tip, before));
}

#[test]
fn what_was_looked_at_must_be_so_still_and_nothing_else() {
    let scene = Scene::new();
    pushed(scene.ask("blog", blog(json!({"HOST": "a"}))));
    let seen = scene.tip();
    let at =
        |host: &str, seen: &str| scene.order("blog", &with(json!({"HOST": host}), false), Some(seen), false);
    scene.commit(&[("web/docker-compose.yml", "services: {app: {image: web:2}}\n")]);
    pushed(at("b", &seen));
    let told = stopped(at("c", &seen), 409);
    assert!(
        told.contains("changed meanwhile") && told.contains("-HOST=a") && told.contains("+HOST=b"),
        "{told}"
    );
    let seen = scene.tip();
    scene.commit(&[("templates/blog/site.conf", "y")]);
    assert!(stopped(at("c", &seen), 409).contains("changed meanwhile"));
    let told = stopped(at("c", &"0".repeat(40)), 409);
    assert!(told.contains("is not known here"), "{told}");
    pushed(at("c", &scene.tip()));
}

#[test]
fn what_is_wrong_with_others_already_is_told_and_stops_nobody() {
    let scene = Scene::new();
    scene.commit(&[("web/docker-compose.yml", "services: {app: {image: x, env_file: gone}}\n")]);
    let plan = pushed(scene.ask("blog", blog(json!({"HOST": "a"}))));
    assert_eq!(plan.problems[0].stack.as_deref(), Some("web"));
    // What makes the whole unclear stops all.
    scene.commit(&[("volumes.yaml", "- {id: x, path: /etc}\n")]);
    let told = stopped(scene.ask("blog2", blog(json!({"HOST": "a"}))), 422);
    assert!(told.contains("volumes.yaml"), "{told}");
}

#[test]
fn a_source_in_a_folder_and_one_of_files_are_written_to_as_well() {
    let files = [
        ("deploy/docker-compose-web.yml", "services: {app: {image: web}}\n"),
        ("deploy/templates/blog/compose.yml", "services: {app: {image: 'blog:${TAG:-1}'}}\n"),
    ];
    let scene = Scene::of(&files, "main:deploy");
    pushed(scene.ask("blog", blog(json!({"TAG": "2"}))));
    assert_eq!(scene.file("deploy/.env-blog").unwrap(), "TAG=2\n");
    assert_eq!(scene.file("deploy/docker-compose-blog.yml").unwrap(), files[1].1);
    stopped(scene.ask("blog", blog(json!({"TAG": "2"}))), 200);
    let change = |tag: &str, overwrite| Wish::Change {
        template: Some("blog".into()),
        options: object(json!({"TAG": tag})),
        overwrite,
    };
    pushed(scene.ask("blog", change("3", false)));
    assert_eq!(scene.file("deploy/.env-blog").unwrap(), "TAG=3\n");
    scene.commit(&[("deploy/docker-compose-blog.yml", "services: {app: {image: mine}}\n")]);
    stopped(scene.ask("blog", change("4", false)), 409);
    pushed(scene.ask("blog", change("4", true)));
    pushed(scene.ask("blog", Wish::Remove));
    assert_eq!((scene.file("deploy/.env-blog"), scene.file("deploy/docker-compose-blog.yml")), (None, None));
    assert!(stopped(scene.ask("web", Wish::Remove), 409).contains("the only stack"));
    scene.commit(&[("deploy/templates/blog/more", "x")]);
    assert!(stopped(scene.ask("blog", blog(json!({}))), 409).contains("more than a compose file"));
}

#[test]
fn a_list_that_cannot_be_read_is_never_replaced() {
    let scene = Scene::new();
    for list in ["- name: web\n- name: [\n".to_owned(), format!("{LIST}# {}\n", "x".repeat(2 << 20))] {
        scene.commit(&[("stacks.yaml", &list)]);
        for wish in [blog(json!({"HOST": "a"})), Wish::Remove] {
            let answer = scene.ask("blog", wish);
            assert!(matches!(answer.outcome, Outcome::Stopped(_)), "{answer:?}");
        }
        assert_eq!(scene.file("stacks.yaml").unwrap(), list);
    }
}
