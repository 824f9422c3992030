//! What is told of a stack: its mistakes, all at once, and what docker would drop.

use super::*;

#[test]
fn all_mistakes_of_a_stack_s_files_are_told_at_once() {
    let found =
        Stack::new("services: {a: {image: x, env_file: ../../x}}\nconfigs: {c: {file: /etc/passwd}}\n")
            .with("web/secrets.yaml", "- {secret: s, env: A-B}\n")
            .mistakes();
    for what in
        ["`services.a.env_file`: the path `../../x` leads out", "`configs.c.file`", "web/secrets.yaml:1: "]
    {
        assert!(found.iter().any(|line| line.contains(what)), "{what}: {found:?}");
    }
    let found = Stack::new("services: {a.b: {image: x}}\n")
        .with("web/.env", "?\n")
        .with("web/secrets.yaml", "7\n")
        .mistakes();
    assert_eq!(found.len(), 3, "{found:?}");
    let found = Stack::new("services: [\n").with("web/.env", "?\n").mistakes();
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn what_docker_drops_is_one_note_and_what_has_a_default_is_none() {
    let compose = "x-t: &t {labels: {l: '${IN_X}'}}\nservices:\n  app:\n    image: 'app${TAG}'\n    restart: always\n    \
                   build: .\n    hostname: '${HOST:-}${SET}${EMPTY}'\n    environment: [OPTIONAL]\n  db: {image: x, build: .}\n";
    let notes = Stack::new(compose).with("web/.env", "EMPTY=\n").load_with(&[("SET", "1")]).unwrap().notes;
    assert_eq!(
        notes,
        [
            "`docker stack deploy` ignores `build` of `app` and `db`, `restart` of `app`; `${TAG}` is set nowhere and \
          becomes empty"
        ]
    );
    let used = compose.replace("image: x,", "<<: *t, image: x,");
    let notes = Stack::new(&used).load_with(&[("SET", "1"), ("EMPTY", "")]).unwrap().notes;
    assert!(notes[0].ends_with("`${IN_X}` and `${TAG}` are set nowhere and become empty"), "{notes:?}");
    let Err(Unrenderable::Stack(error)) = Stack::new("services: {a: {image: 'b:${TAG}'}}").load_with(&[])
    else {
        panic!("an image without a tag")
    };
    assert!(
        format!("{error:#}").contains("`${TAG}` is set nowhere and becomes empty: service `a`"),
        "{error:#}"
    );
    let quiet = "services: {app: {image: 'app:${TAG:-1}', deploy: {replicas: 0}}}\n";
    assert_eq!(Stack::new(quiet).load().notes, [""; 0]);
}
