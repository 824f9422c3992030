//! Names that lead elsewhere or are no text, files by the hundred, and a disk that is left full of an earlier daemon.

use super::*;

#[test]
fn a_name_that_is_none_of_a_template_is_a_template_that_is_not_there() {
    let scene = Scene::new();
    for name in ["x\0y", "/etc", "../..", "a/b", ""] {
        let make = Wish::Make { template: name.into(), options: Map::new() };
        assert!(stopped(scene.ask("w", make), 404).contains("there is no template"), "{name:?}");
        let change = Wish::Change { template: Some(name.into()), options: Map::new(), overwrite: true };
        assert!(stopped(scene.ask("web", change), 404).contains("there is no template"), "{name:?}");
    }
    let tree = scene.template();
    for name in ["/etc", "..", "x\\0y"] {
        scene.commit(&[("stacks.yaml", &format!("- name: web\n  template: \"{name}@{tree}\"\n"))]);
        let answer = scene.order("web", &with(json!({}), true), None, true);
        assert!(matches!(answer.outcome, Outcome::Stopped(_)), "{answer:?}");
    }
}

#[test]
fn files_at_the_root_are_known_by_every_name_that_they_may_have() {
    for file in ["docker-compose-blog.yaml", "stack-blog.json"] {
        let text = "{\"services\": {\"app\": {\"image\": \"blog:1\"}}}\n";
        let files = [
            ("docker-compose-web.yml", "services: {app: {image: web}}\n"),
            (file, text),
            ("templates/blog/compose.yml", text),
        ];
        let scene = Scene::of(&files, "main");
        let plan = scene.order("blog", &Wish::Remove, None, true).plan.unwrap();
        let paths: Vec<_> = plan.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, [file]);
        let seen = scene.tip();
        scene.commit(&[(file, &text.replace("blog:1", "blog:2"))]);
        let told = stopped(scene.order("blog", &Wish::Remove, Some(&seen), false), 409);
        assert!(told.contains("changed meanwhile") && told.contains(file), "{told}");
    }
}

#[test]
fn what_changed_meanwhile_of_a_template_is_shown() {
    let scene = Scene::new();
    pushed(scene.ask("blog", blog(json!({"HOST": "a"}))));
    let seen = scene.tip();
    scene.commit(&[("templates/blog/site.conf", "theirs\n")]);
    let told = stopped(scene.order("blog", &with(json!({"HOST": "b"}), false), Some(&seen), false), 409);
    assert!(told.contains("templates/blog/site.conf") && told.contains("+theirs"), "{told}");
}

#[test]
fn of_many_files_those_that_differ_are_shown_and_no_more_than_is_read() {
    let names: Vec<_> = (0..490).map(|number| format!("templates/blog/f{number:03}")).collect();
    let text = "a line of forty letters, about that many\n".repeat(6_000);
    let scene = Scene::new();
    let all: Vec<_> = names.iter().map(|name| (name.as_str(), text.as_str())).collect();
    scene.commit(&all);
    let plan = scene.order("blog", &blog(json!({"HOST": "a"})), None, true).plan.unwrap();
    let shown: usize = plan.files.iter().map(|file| file.difference.len()).sum();
    assert!(plan.files.len() > 490 && shown < (1 << 20) + (16 << 10), "{shown}");
    assert!(plan.files.iter().any(|file| file.difference.contains("is not shown")));
    pushed(scene.ask("blog", blog(json!({"HOST": "a"}))));
    scene.commit(&[("templates/blog/f489", &(text + "another\n"))]);
    let plan = scene.order("blog", &with(json!({"HOST": "a"}), false), None, true).plan.unwrap();
    let last = plan.files.iter().find(|file| file.path == "blog/f489").unwrap();
    assert!(last.difference.contains("+another"), "{last:?}");
}

#[test]
fn names_that_are_no_text_stay_apart() {
    let scene = Scene::new();
    let mut index = git2::Index::new().unwrap();
    scene.there.set_index(&mut index).unwrap();
    let parent = scene.there.find_reference("refs/heads/main").unwrap().peel_to_commit().unwrap();
    index.read_tree(&parent.tree().unwrap()).unwrap();
    for (name, text) in [(&b"templates/blog/a\xff"[..], "1"), (b"templates/blog/a\xfe", "2")] {
        let id = scene.there.blob(text.as_bytes()).unwrap();
        index.add(&git2::IndexEntry { path: name.into(), ..entry("", id) }).unwrap();
    }
    let tree = scene.there.find_tree(index.write_tree_to(&scene.there).unwrap()).unwrap();
    let who = Signature::now("t", "t@h").unwrap();
    scene.there.commit(Some("refs/heads/main"), &who, &who, "odd", &tree, &[&parent]).unwrap();
    let plan = scene.order("blog", &blog(json!({"HOST": "a"})), None, true).plan.unwrap();
    let odd = plan.files.iter().filter(|file| file.path.starts_with("blog/a")).count();
    assert_eq!(odd, 2, "{plan:?}");
}

#[test]
fn what_an_earlier_daemon_left_goes_and_a_full_disk_is_called_one() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::from(&[("HOME".into(), folder.path().into())].into()).unwrap();
    let left = crate::write::folder(&settings).join("checkout-1");
    fs::create_dir_all(&left).unwrap();
    sweep(&settings).unwrap();
    assert!(!left.exists());
    sweep(&settings).unwrap();
    let full = anyhow::Error::from(std::io::Error::from_raw_os_error(28)).context("cannot write");
    assert!(push::is_full(&full) && !push::is_full(&anyhow::anyhow!("gone")));
}

#[test]
fn a_persons_name_is_no_markdown_of_ours() {
    let scene = Scene::new();
    let plan = scene.order("blog", &blog(json!({"HOST": "a"})), None, true).plan.unwrap();
    let name = format!("[x](https://evil) {}", "y".repeat(500));
    let told = plan.told(Some(&name));
    let line = told.lines().find(|line| line.contains("[x]")).unwrap();
    assert!(line.starts_with("    ") && line.len() < 160, "{told}");
}
