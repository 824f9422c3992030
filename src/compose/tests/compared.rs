//! What a stack becomes after another one.

use super::*;

fn told(was: &str, is: &str) -> Vec<String> {
    let [was, is] = [was, is].map(|text| Stack::new(text).load());
    let line = |change: ServiceChange| {
        format!("{} {:?} {}", change.name, change.becomes, change.why.join("; ")).trim_end().to_owned()
    };
    is.changes_since(&was).into_iter().map(line).collect()
}

fn service(more: &str) -> String {
    format!("services:\n  app:\n    image: app:1\n{more}")
}

#[test]
fn what_rolls_is_told_with_why_and_what_does_not_is_not() {
    let plain = service("");
    for (was, is, wanted) in [
        (plain.clone(), plain.replace("app:1", "app:2"), "app Rolls image `app:1` → `app:2`"),
        (
            service("    deploy: {replicas: 1}\n"),
            service("    deploy: {replicas: 3}\n"),
            "app Updates replicas `1` → `3`",
        ),
        (
            service("    environment: [A=1, B=2]\n"),
            service("    environment: [A=1, B=3, C=4]\n"),
            "app Rolls variables `B`, `C`",
        ),
        (plain.clone(), service("    ports: ['80:80']\n"), "app Rolls `ports`"),
        (plain.clone(), service("    deploy: {labels: {a: b}}\n"), "app Updates `deploy.labels`"),
        (
            plain.clone(),
            service("    deploy: {resources: {limits: {cpus: '1'}}}\n"),
            "app Rolls `deploy.resources`",
        ),
        (plain.clone(), service("  db:\n    image: db\n"), "db New"),
        (service("  db:\n    image: db\n"), plain.clone(), "db Gone"),
        (
            service("    environment: {P: hunter1}\n"),
            service("    environment: {P: hunter2}\n"),
            "app Rolls variables `P`",
        ),
    ] {
        assert_eq!(told(&was, &is), [wanted], "{is}");
    }
    for (was, is) in [
        (service("    environment: {A: 1, B: 2}\n"), service("    environment: {B: '2', A: 1}\n")),
        (plain.clone(), format!("{plain}x-note: {{a: b}}\n")),
        (plain.clone(), format!("version: '3.8'\n{plain}networks: {{unused: {{}}}}\n")),
    ] {
        assert_eq!(told(&was, &is), [""; 0], "{is}");
    }
}

#[test]
fn a_changed_secrets_yaml_is_told_by_its_name() {
    let of = |entries: &str| {
        Stack::new(&service("    entrypoint: [x]\n")).with("web/secrets.yaml", entries).load()
    };
    let change = |was: &RenderedStack, is: &RenderedStack| is.changes_since(was).remove(0).why;
    let (one, other) = (of("- {secret: db, env: DB}\n"), of("- {secret: db, env: DB_PASSWORD}\n"));
    assert_eq!(change(&one, &other), ["what `secrets.yaml` has for it"]);
    let none = Stack::new(&service("    entrypoint: [x]\n")).load();
    assert_eq!(change(&none, &one), ["what `secrets.yaml` has for it"]);
    let own =
        Stack::new(&service("    entrypoint: [x]\n    secrets: [own]\nsecrets: {own: {external: true}}\n"));
    assert_eq!(change(&none, &own.load()), ["`secrets`"]);
}
