//! A stack that is taken off the list of a repository on disk.

use std::collections::BTreeMap;

use git2::{Repository, Signature};

use super::*;
use crate::settings::{RunSettings, Settings};

struct Scene {
    folder: tempfile::TempDir,
    there: Repository,
    settings: Settings,
    run: RunSettings,
}

impl Scene {
    fn new(list: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let there = Repository::init_bare(folder.path().join("r.git")).unwrap();
        let settings = Settings::from(&BTreeMap::from([("HOME".into(), folder.path().into())])).unwrap();
        let run = RunSettings::from(&BTreeMap::new()).unwrap();
        let scene = Self { folder, there, settings, run };
        {
            let blob = scene.there.blob(list.as_bytes()).unwrap();
            let tree = |entries: &[(&str, git2::Oid, i32)]| {
                let mut builder = scene.there.treebuilder(None).unwrap();
                for (name, id, mode) in entries {
                    builder.insert(name, *id, *mode).unwrap();
                }
                builder.write().unwrap()
            };
            let web = tree(&[("docker-compose.yml", blob, 0o100_644)]);
            let deploy = tree(&[("stacks.yaml", blob, 0o100_644), ("web", web, 0o040_000)]);
            let root = scene.there.find_tree(tree(&[("deploy", deploy, 0o040_000)])).unwrap();
            let who = Signature::now("t", "t@h").unwrap();
            scene.there.commit(Some("refs/heads/main"), &who, &who, "first", &root, &[]).unwrap();
        }
        scene
    }

    fn remove(&self, stack: &str, why: Option<&Refusal>) -> Outcome<Refusal> {
        let source = format!("{}#main:deploy", self.folder.path().join("r.git").display());
        let (source, stack) = (Source::parse(&source).unwrap(), StackName::known(stack));
        let pen = Pen::new(&self.run, &self.settings.git);
        let temporary = self.folder.path().join("temporary");
        let outcome = pen.remove(&source, &stack, &temporary, (&["web"], None), |tip, draft| {
            assert_ne!(tip.commit(), draft.commit());
            assert!(draft.root().has(draft.dir(), LIST));
            Ok(why.cloned())
        });
        outcome.unwrap()
    }

    fn list(&self) -> String {
        let tree = self.there.find_reference("refs/heads/main").unwrap().peel_to_tree().unwrap();
        let entry = tree.get_path(Path::new("deploy/stacks.yaml")).unwrap();
        String::from_utf8(self.there.find_blob(entry.id()).unwrap().content().into()).unwrap()
    }

    fn has_folder(&self) -> bool {
        let tree = self.there.find_reference("refs/heads/main").unwrap().peel_to_tree().unwrap();
        tree.get_path(Path::new("deploy/web")).is_ok()
    }
}

#[test]
fn a_stack_goes_with_its_files_and_the_last_one_is_disabled() {
    let scene = Scene::new("# ours\n- name: web # the site\n- name: db\n");
    let stopped = scene.remove("web", Some(&Refusal::Missing));
    assert_eq!(told(&stopped), "`stacks.yaml` lists no such stack");
    assert!(scene.has_folder());
    let pushed = scene.remove("web", None);
    assert!(
        told(&pushed).starts_with("pushed `") && told(&pushed).ends_with("to `main`"),
        "{}",
        told(&pushed)
    );
    assert_eq!((scene.list().as_str(), scene.has_folder()), ("# ours\n- name: db\n", false));
    assert!(matches!(scene.remove("web", None), Outcome::Stopped(Refusal::Missing)));
    scene.remove("db", None);
    assert_eq!(scene.list(), "# ours\n- name: db\n  enabled: false\n");
    assert!(told(&scene.remove("db", None)).ends_with("is so already"));
}
