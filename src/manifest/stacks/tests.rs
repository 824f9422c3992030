use super::*;
use crate::budget::Limits;
use std::fs;

fn checkout(stacks: &str, folders: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(FILE), stacks).unwrap();
    for folder in folders {
        fs::create_dir(dir.path().join(folder)).unwrap();
        fs::write(dir.path().join(folder).join("compose.yml"), "services: {}").unwrap();
    }
    dir
}

/// What is wrong with the list, then with single stacks.
fn read(dir: &Path) -> Result<Vec<StackEntry>, Vec<Problem>> {
    let (stacks, mut problems) = super::read(&Root::on_disk(dir), dir, &Budget::new(Limits::default()));
    problems.extend(stacks.iter().flat_map(|stack| stack.wrong.clone()));
    if problems.is_empty() { Ok(stacks) } else { Err(problems) }
}

#[test]
fn a_folder_that_is_missing_is_a_mistake_of_its_stack_alone() {
    let dir = checkout(
        "- name: gone\n- name: web\n  depends_on: [gone]\n- {name: idle, enabled: false}\n",
        &["web"],
    );
    std::os::unix::fs::symlink("/etc", dir.path().join("idle")).unwrap();
    let (stacks, problems) =
        super::read(&Root::on_disk(dir.path()), dir.path(), &Budget::new(Limits::default()));
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(
        stacks[0].wrong[0].to_string(),
        "stacks.yaml:1: `gone`: the stack's folder: `gone` does not exist"
    );
    assert!(stacks[0].files.is_none() && stacks[0].enabled);
    assert!(stacks[1].wrong.is_empty() && stacks[2].wrong.is_empty(), "{stacks:?}");
    assert_eq!(stacks[1].depends_on, [StackName::known("gone")]);
}

fn mistakes(stacks: &str, folders: &[&str]) -> Vec<String> {
    let dir = checkout(stacks, folders);
    read(dir.path()).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn a_full_list_is_read() {
    let text = "- name: Nom De la Stack\n  drift: report\n- {name: db, enabled: no}\n- name: web\n  depends_on: [Nom De la Stack]\n";
    let dir = checkout(text, &["Nom De la Stack", "web"]);
    let stacks = read(dir.path()).unwrap();
    assert_eq!(stacks[0].name.as_str(), "nom-de-la-stack");
    assert_eq!(stacks[0].drift, DriftPolicy::Report);
    assert!(!stacks[1].enabled);
    assert_eq!(stacks[2].depends_on, [StackName::known("nom-de-la-stack")]);
    assert_eq!(stacks[2].compose_path, "web/compose.yml");
}

#[test]
fn compose_files_are_taken_in_order() {
    let dir = checkout("- name: web\n", &["web"]);
    for name in ["compose.yaml", "docker-compose.yaml"] {
        fs::write(dir.path().join("web").join(name), "services: {}").unwrap();
    }
    assert_eq!(read(dir.path()).unwrap()[0].compose_path, "web/docker-compose.yaml");
    fs::write(dir.path().join("web/docker-compose.yml"), "services: {}").unwrap();
    assert_eq!(read(dir.path()).unwrap()[0].compose_path, "web/docker-compose.yml");
}

#[test]
fn every_mistake_is_reported_at_once_with_file_line_and_key() {
    let text = concat!(
        "- name: web\n  colour: red\n  enabled: maybe\n- name: web\n- 7\n- enabled: true\n- name: gone\n",
        "- name: ../x\n- name: Web\n- name: a\n  depends_on: [b, nope, a]\n- name: b\n  depends_on: [a]\n  drift: yes\n",
    );
    let found = mistakes(text, &["web", "a", "b", "Web"]);
    let expected = [
        "stacks.yaml:2: `entry 1.colour`: unknown key",
        "stacks.yaml:3: `web.enabled`: must be `true` or `false`, not a string",
        "stacks.yaml:4: `web`: is listed twice, first in line 1",
        "stacks.yaml:5: `entry 3`: must be a mapping",
        "stacks.yaml:6: `entry 4`: has no `name`",
        "stacks.yaml:7: `gone`: the stack's folder: `gone` does not exist",
        "stacks.yaml:8: `entry 6.name`: `../x` holds a slash",
        "stacks.yaml:9: `Web`: is `web` of line 1 but for the case of its letters",
        "stacks.yaml:14: `b.drift`: must be",
        "stacks.yaml:11: `a.depends_on`: `nope` is no stack",
        "stacks.yaml:11: `a.depends_on`: a stack cannot depend on itself",
        "`a.depends_on`: the dependencies run in a circle",
    ];
    for want in expected {
        assert!(found.iter().any(|line| line.contains(want)), "{want}\n{found:#?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn lists_that_are_none() {
    assert!(mistakes("", &["web"])[0].contains("is empty"));
    assert!(mistakes("[]", &[])[0].contains("lists no stack"));
    assert!(mistakes("web", &[])[0].contains("must be a list of `- name: folder`, not a string"));
    let tabs = mistakes("- name: web\n\tenabled: true\n", &["web"]);
    assert!(tabs[0].contains(":2: is not YAML"), "{tabs:?}");
    assert!(mistakes(&"# x\n".repeat(400_000), &[])[0].contains("larger than 1024 KiB"));
    let dir = checkout("", &["web"]);
    fs::write(dir.path().join(FILE), b"- name: a\n- name: \xff\n").unwrap();
    assert!(read(dir.path()).unwrap_err()[0].what.contains("is not UTF-8 (line 2)"));
    fs::remove_file(dir.path().join(FILE)).unwrap();
    assert!(read(dir.path()).unwrap_err()[0].what.contains("folders with a compose file here: `web`"));
}

#[test]
fn symlinks_out_of_the_checkout_are_refused() {
    let dir = checkout("- name: web\n- name: ok\n", &["ok"]);
    std::os::unix::fs::symlink("/etc", dir.path().join("web")).unwrap();
    assert!(read(dir.path()).unwrap_err()[0].what.contains("leads out of the repository"));
    fs::remove_file(dir.path().join("web")).unwrap();
    fs::create_dir(dir.path().join("web")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("web/compose.yml")).unwrap();
    assert!(read(dir.path()).unwrap_err()[0].what.contains("leads out of the repository"));
}

/// A folder `web` with two compose files and a `.env`, `envs/prod` with the list, `common.env` in the root.
fn environments(stacks: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for folder in ["web", "envs/prod", "nothing"] {
        fs::create_dir_all(dir.path().join(folder)).unwrap();
    }
    for file in ["web/compose.yml", "web/prod.yml", "web/.env", "web/prod.env", "common.env"] {
        fs::write(dir.path().join(file), "").unwrap();
    }
    fs::write(dir.path().join("envs/prod/stacks.yaml"), stacks).unwrap();
    dir
}

fn of_prod(dir: &Path) -> Result<Vec<StackEntry>, Vec<String>> {
    let root = Root::on_disk(dir);
    let (stacks, mut problems) = super::read(&root, &dir.join("envs/prod"), &Budget::new(Limits::default()));
    problems.extend(stacks.iter().flat_map(|stack| stack.wrong.clone()));
    if problems.is_empty() { Ok(stacks) } else { Err(problems.iter().map(ToString::to_string).collect()) }
}

#[test]
fn one_folder_elsewhere_in_the_checkout_is_several_stacks() {
    let dir = environments(
        "- {name: web-prod, folder: ../../web, env: [../common.env, prod.env], compose: [compose.yml, ../web/prod.yml]}\n\
         - {name: Web Dev, folder: ../../nothing/../web, env: [], depends_on: [web-prod]}\n\
         - {name: plain, folder: ../../web}\n",
    );
    let stacks = of_prod(dir.path()).unwrap();
    let paths = |files: &[crate::stack::RepoFile]| -> Vec<String> {
        files.iter().map(|file| file.path.clone()).collect()
    };
    let [prod, dev, plain] = [0, 1, 2].map(|at| stacks[at].files.clone().unwrap());
    assert_eq!((prod.folder.to_str(), &*prod.compose.path), (Some("web"), "web/compose.yml"));
    assert_eq!(paths(&prod.overlays), ["web/prod.yml"]);
    assert_eq!(paths(prod.env.as_deref().unwrap()), ["common.env", "web/prod.env"]);
    assert_eq!(prod.overlays[0].file, dir.path().canonicalize().unwrap().join("web/prod.yml"));
    assert_eq!((dev.env, dev.overlays, &*dev.compose.path), (Some(vec![]), vec![], "web/compose.yml"));
    assert_eq!((plain.env, stacks[2].compose_path.as_str()), (None, "web/compose.yml"));
    assert_eq!(stacks[1].name.as_str(), "web-dev");
    assert_eq!(stacks[1].depends_on, [StackName::known("web-prod")]);
}

#[test]
fn what_an_entry_names_and_is_not_there_is_its_own_mistake_with_line_and_key() {
    let dir = environments(
        "- name: a\n  folder: ../../web\n  env:\n  - ../common.env\n  - gone.env\n  - ../../x.env\n  - ../envs\n\
         - name: b\n  folder: ../../web\n  compose: [compose.yml, gone.yml, ./compose.yml]\n\
         - {name: c, folder: ../../../etc}\n- {name: d, folder: ../../nothing}\n- {name: e, folder: ../../gone}\n\
         - {name: f, folder: ../../out}\n- {name: g, folder: ../../web, env: [/etc/passwd, ~/x, link]}\n\
         - {name: h, folder: ../../common.env}\n- {name: idle, folder: gone, env: [gone], enabled: false}\n",
    );
    std::os::unix::fs::symlink("/etc", dir.path().join("out")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("web/link")).unwrap();
    let found = of_prod(dir.path()).unwrap_err();
    let expected = [
        ":5: `a.env`: `gone.env` does not exist",
        ":6: `a.env`: the path `../../x.env` leads out with `..`",
        ":7: `a.env`: `../envs` is not a file",
        ":10: `b.compose`: `gone.yml` does not exist",
        ":9: `b.compose`: `web/compose.yml` is listed twice",
        ":11: `c.folder`: the stack's folder: the path `../../../etc` leads out with `..`",
        ":12: `d.folder`: the folder holds none of `docker-compose.yml`",
        ":13: `e.folder`: the stack's folder: `../../gone` does not exist",
        ":14: `f.folder`: the stack's folder: `../../out` is a symlink that leads out",
        ":15: `g.env`: the path `/etc/passwd` is absolute",
        ":15: `g.env`: the path `~/x` begins with `~`",
        ":15: `g.env`: `link` is a symlink that leads out",
        ":16: `h.folder`: `../../common.env` is not a folder",
    ];
    for want in expected {
        let want = format!("envs/prod/stacks.yaml{want}");
        assert!(found.iter().any(|line| line.starts_with(&want)), "{want}\n{found:#?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn what_is_no_list_of_files_is_a_mistake_of_the_list() {
    let many = vec!["x"; 51].join(",");
    let dir = environments(&format!(
        "- {{name: a, folder: 7}}\n- {{name: b, folder: [x]}}\n- {{name: c, folder: ../../web, env: prod.env}}\n\
         - {{name: d, folder: ../../web, compose: []}}\n- {{name: e, folder: ../../web, compose: {{a: b}}}}\n\
         - {{name: f, folder: ../../web, env: [{{a: b}}, no]}}\n- {{name: g, folder: ../../web, env: [{many}]}}\n\
         - {{name: h, folder: ../../web, depends_on: [../../web]}}\n",
    ));
    let root = Root::on_disk(dir.path());
    let (_, problems) = super::read(&root, &dir.path().join("envs/prod"), &Budget::new(Limits::default()));
    let found: Vec<_> = problems.iter().map(ToString::to_string).collect();
    let expected = [
        ":2: `b.folder`: must be a string, not a list",
        ":3: `c.env`: must be a list of files, `[prod.env]`, not a string",
        ":4: `d.compose`: lists no file; without it the first of `docker-compose.yml`",
        ":5: `e.compose`: must be a list of files, `[file]`, not a mapping",
        ":6: `f.env`: must list files, not a mapping",
        ":6: `f.env`: must list files, not a boolean",
        ":7: `g.env`: lists more than 50 files",
        ":8: `h.depends_on`: `../../web` is no stack of this file, but the folder of `h`",
    ];
    for want in expected {
        let want = format!("envs/prod/stacks.yaml{want}");
        assert!(found.iter().any(|line| line.starts_with(&want)), "{want}\n{found:#?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn a_stack_says_what_it_was_made_from_and_a_template_is_none() {
    let id = "0123456789abcdef0123456789abcdef01234567";
    let dir = checkout(&format!("- {{name: web, template: blog-2.x@{id}}}\n- name: db\n"), &["web", "db"]);
    let stacks = read(dir.path()).unwrap();
    assert_eq!(stacks[0].template.as_ref().unwrap().to_string(), format!("blog-2.x@{id}"));
    assert_eq!(stacks[1].template, None);
    for wrong in [
        "blog".to_owned(),
        format!("'@{id}'"),
        format!("a/b@{id}"),
        format!("../b@{id}"),
        format!("blog@{}", &id[1..]),
        format!("blog@{}", id.to_uppercase()),
        format!("[blog@{id}]"),
        String::new(),
    ] {
        assert_eq!(
            mistakes(&format!("- {{name: web, template: {wrong}}}\n"), &["web"]),
            [
                "stacks.yaml:1: `web.template`: must be `<template>@<tree id>`: a folder of `templates`, and the 40 digits of \
                 git's id of it"
            ],
            "{wrong}"
        );
    }
    // By its letters, and by where it leads to.
    let text = "- {name: a, folder: ./templates/blog}\n- {name: b, folder: link}\n- name: templates\n- {name: c, folder: in/blog}\n";
    let dir = checkout(text, &["templates", "templates/blog"]);
    std::os::unix::fs::symlink("templates/blog", dir.path().join("link")).unwrap();
    std::os::unix::fs::symlink("templates", dir.path().join("in")).unwrap();
    let what = "is a template, which is never deployed itself: copy it to a folder of the stack's own";
    let told: Vec<_> = read(dir.path()).unwrap_err().iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            format!("stacks.yaml:1: `a.folder`: `./templates/blog` {what}"),
            format!("stacks.yaml:2: `b.folder`: `link` {what}"),
            format!("stacks.yaml:4: `c.folder`: `in/blog` {what}"),
        ]
    );
}
