use super::*;
use crate::budget::Limits;
use std::fs;
use std::os::unix::fs::symlink;

fn checkout(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let file = dir.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    dir
}

fn of(files: &[(&str, &str)]) -> (Vec<ImageSource>, Vec<String>) {
    let dir = checkout(files);
    let (images, problems) = read(&Root::on_disk(dir.path()), dir.path(), &Budget::new(Limits::default()));
    (images, problems.iter().map(ToString::to_string).collect())
}

#[test]
fn a_full_entry_is_read() {
    let list = "- name: host:5000/app\n  context: app\n  dockerfile: ../docker/App\n  target: run\n  \
                args: {VERSION: 1.10, EMPTY: ''}\n  platforms: [linux/amd64, linux/arm64]\n\
                - {name: org/b:2, context: app, args: [A=b=c], push: no}\n\
                - {name: gone, context: app, push: false, enabled: false}\n";
    let dir = checkout(&[("images.yaml", list), ("app/Dockerfile", ""), ("docker/App", "")]);
    let (images, problems) = read(&Root::on_disk(dir.path()), dir.path(), &Budget::new(Limits::default()));
    assert_eq!(problems, []);
    let real = dir.path().canonicalize().unwrap();
    assert_eq!(images[0].name.to_string(), "host:5000/app:latest");
    assert_eq!((&images[0].context, &images[0].dockerfile), (&real.join("app"), &real.join("docker/App")));
    assert_eq!(images[0].target.as_deref(), Some("run"));
    assert_eq!(images[0].args["VERSION"], "1.10");
    assert_eq!(images[0].args["EMPTY"], "");
    assert_eq!((images[0].platforms.len(), images[0].push), (2, true));
    assert_eq!((images[1].args["A"].as_str(), images[1].push), ("b=c", false));
    assert_eq!(images.len(), 2, "the disabled one is none");
}

#[test]
fn files_by_their_names_stand_for_entries_unless_there_is_a_list() {
    let files = [
        ("Dockerfile-app", ""),
        ("Dockerfile-api", ""),
        ("image-api.json", "{\"name\": \"host:5000/api\", \"target\": \"x\"}"),
        ("image-job.json", "{\"context\": \"job\"}"),
        ("job/Dockerfile", ""),
        ("Dockerfile", ""),
    ];
    let (images, problems) = of(&files);
    assert_eq!(problems, [""; 0]);
    let found: Vec<_> = images.iter().map(|image| (image.name.to_string(), image.push)).collect();
    let (api, job, app) = ("host:5000/api:latest", "job:latest", "app:latest");
    assert_eq!(found, [(api.to_owned(), true), (job.into(), false), (app.into(), false)]);
    assert!(images[0].dockerfile.ends_with("Dockerfile-api"));
    let (images, problems) = of(&[&files[..], &[("images.yaml", "[]")]].concat());
    assert_eq!((images, problems), (vec![], vec![]));
}

#[test]
fn every_mistake_is_told_with_file_line_and_key() {
    let list = "- name: app\n  context: app\n- {name: Host/App, context: none}\n- {context: app}\n\
                - {name: h/a:1, context: .., push: maybe}\n- {name: h.io/a@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, context: app}\n\
                - {name: h/b, context: app, dockerfile: ../../etc/passwd, colour: red, args: [HOME]}\n\
                - {name: h/b, context: app}\n- {name: h/c, context: app, args: {A: }, platforms: linux/amd64}\n- 7\n\
                - {name: h/d, context: app, platforms: [a, b], push: false}\n";
    let (images, problems) = of(&[("images.yaml", list), ("app/Dockerfile", "")]);
    for (line, text) in [
        (1, "`entry 1.push`: `app:latest` would be pushed to Docker Hub's own"),
        (3, "`entry 2.name`: `Host/App`: "),
        (3, "`entry 2.context`: `none` does not exist"),
        (4, "`entry 3`: has no `name`"),
        (5, "`entry 4.context`: the path `..` leads out"),
        (5, "`entry 4.push`: must be `true` or `false`"),
        (6, "`entry 5.name`: "),
        (7, "`entry 6.dockerfile`: "),
        (7, "`entry 6.colour`: unknown key"),
        (7, "`entry 6.args`: must give every name"),
        (8, "`entry 7`: `h/b:latest` is built by an entry before"),
        (9, "`entry 8.args`: must give every name"),
        (9, "`entry 8.platforms`: must be a list"),
        (10, "`entry 9`: must be a mapping"),
        (11, "`entry 10.platforms`: several platforms need `push: true`"),
    ] {
        let wanted = format!("images.yaml:{line}: {text}");
        assert!(problems.iter().any(|problem| problem.starts_with(&wanted)), "{wanted}\n{problems:#?}");
    }
    assert_eq!(problems.len(), 15, "{problems:#?}");
    assert!(images.iter().all(|image| image.name.to_string() != "h/b:latest"));
    for text in ["{}", "x", ""] {
        assert_eq!(of(&[("images.yaml", text)]).1.len(), 1, "{text}");
    }
}

#[test]
fn docker_is_led_to_no_file_outside_the_repository() {
    let list = "- {name: h/a, context: app}\n";
    for (link, target) in [
        ("app/Dockerfile", "/etc/passwd"),
        ("app/.dockerignore", "/etc/passwd"),
        ("app/.dockerignore", "/dev/zero"),
        ("app/Dockerfile.dockerignore", "/etc/passwd"),
        ("app", "/etc"),
    ] {
        let dir = checkout(&[("images.yaml", list)]);
        if link != "app" {
            fs::create_dir(dir.path().join("app")).unwrap();
        }
        if link != "app/Dockerfile" && link != "app" {
            fs::write(dir.path().join("app/Dockerfile"), "").unwrap();
        }
        symlink(target, dir.path().join(link)).unwrap();
        let (images, problems) =
            read(&Root::on_disk(dir.path()), dir.path(), &Budget::new(Limits::default()));
        assert_eq!((images.len(), problems.len()), (0, 1), "{link}: {problems:?}");
    }
}
