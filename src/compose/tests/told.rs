//! What is told of a stack: its mistakes, all at once.

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
