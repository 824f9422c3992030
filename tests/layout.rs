//! Stacks by the names of files at the root, where there is no `stacks.yaml`; compose files as JSON.

use crate::support::scene::{App, Scene, compose};
use serde_json::json;

fn text(app: &App) -> String {
    compose([("app", app)])
}

#[test]
fn a_file_added_changed_or_removed_is_a_stack_deployed_updated_or_removed() {
    let Some(scene) = Scene::new() else { return };
    let [web, api, db] = ["web", "api", "db"].map(|base| scene.ops.unique(base));
    let document = |image: &str, enabled: bool| {
        let service = json!({"image": image, "deploy": {"replicas": 0}});
        json!({"version": "3.8", "enabled": enabled, "services": {"app": service}}).to_string()
    };
    let (one, two) = (scene.lab.image("app:1"), scene.lab.image("app:2"));
    let [web_file, api_file, db_file] = [
        format!("docker-compose-{web}.yml"),
        format!("docker-compose-{api}.yml"),
        format!("stack-{db}.json"),
    ];
    scene.repo.write(&web_file, text(&scene.off())).write(&db_file, document(&one, true));
    scene.watch().success().stdout_has("2 deployed");
    assert_eq!(scene.status(&db)["compose_path"], *db_file);
    scene.repo.write(&api_file, text(&scene.off())).write(&db_file, document(&two, true));
    scene.push().success().stdout_has("2 deployed, 1 unchanged");
    assert!(scene.lab.spec(&format!("{db}_app"), ".Spec.TaskTemplate.ContainerSpec.Image").starts_with(&two));
    scene.repo.remove(&web_file).write(&db_file, document(&two, false));
    scene.repo.commit("less");
    scene.run(&["reconcile", "--dry-run"]).success().stdout_has(&format!("{web}  remove: its file is gone"));
    scene.reconcile().success().stdout_has("2 removed, 1 unchanged");
    assert_eq!(scene.lab.services(&web).len() + scene.lab.services(&db).len(), 0);
    assert_eq!(scene.status(&db)["status"], "stopped");

    // The last file may have gone by a slip.
    scene.repo.remove(&api_file).remove(&db_file).write("README", "x");
    scene.push().failure(3).stdout_has("stacks.yaml: does not exist");
    assert_eq!(scene.lab.services(&api).len(), 1);
    // Where the list exists it alone counts.
    scene.repo.write(&web_file, text(&scene.off()));
    scene.stack("listed", &scene.off());
    scene.push().success().stdout_has("1 deployed, 1 removed");
    assert_eq!((scene.lab.services(&web).len(), scene.lab.services(&api).len()), (0, 0));
}

#[test]
fn a_list_that_is_gone_removes_nothing_though_a_file_at_the_root_names_a_stack() {
    let Some(scene) = Scene::new() else { return };
    let (listed, dev) = (scene.stack("listed", &scene.off()), scene.ops.unique("dev"));
    scene.watch().success();
    scene.repo.remove("stacks.yaml").write(&format!("docker-compose-{dev}.yml"), text(&scene.off()));
    scene.push().failure(3).stdout_has("1 deployed, 1 failed").stdout_has("which listed it, is gone");
    assert_eq!(scene.lab.services(&listed).len(), 1);
    // The way out that it names.
    scene.repo.write("stacks.yaml", format!("- name: {listed}\n  enabled: false\n"));
    scene.push().success();
    assert_eq!(scene.lab.services(&listed), [""; 0]);
}

#[test]
fn every_mistake_in_such_a_file_names_it_and_nothing_is_deployed() {
    let Some(scene) = Scene::new() else { return };
    let web = scene.ops.unique("web");
    let file = format!("docker-compose-{web}.yml");
    scene.repo.write(&file, text(&scene.off())).write(&format!("stack-{web}.json"), "{}");
    scene.repo.write("stack-tail.json", "{\"services\": {\"a\": {\"image\": \"b\"}},}");
    scene.repo.write("stack-yaml.json", "services:\n  a: {image: b}\n");
    let outcome = scene.watch();
    outcome.failure(1).stderr_has(&format!("becomes the stack `{web}`, as `{file}` does"));
    outcome.stderr_has("stack-tail.json:1: is not JSON").stderr_has("stack-yaml.json:1: is not JSON");
    assert_eq!(scene.lab.services(&web).len(), 0);
}

#[test]
fn values_of_one_stack_count_over_those_of_all() {
    let Some(scene) = Scene::new() else { return };
    let [web, api] = ["web", "api"].map(|base| scene.ops.unique(base));
    let compose =
        text(&scene.off()).replace("    deploy:", "    environment: {A: '${A}', B: '${B}'}\n    deploy:");
    for stack in [&web, &api] {
        scene.repo.write(&format!("docker-compose-{stack}.yml"), &compose);
    }
    scene.repo.write(".env", "A=1\nB=1\n").write(&format!(".env-{web}"), "A=2$B\n");
    scene.watch().success().stdout_has("2 deployed");
    let environment =
        |stack: &str| scene.lab.spec(&format!("{stack}_app"), "json .Spec.TaskTemplate.ContainerSpec.Env");
    assert_eq!(environment(&web).trim(), r#"["A=21","B=1"]"#);
    assert_eq!(environment(&api).trim(), r#"["A=1","B=1"]"#);
    // A change of them is a change of that stack alone.
    scene.repo.write(&format!(".env-{web}"), "A=3\n");
    scene.push().success().stdout_has("1 deployed, 1 unchanged");
    scene.repo.write(&format!(".env-{web}"), "A='3\n");
    scene.push().failure(3).stdout_has(&format!(".env-{web}:1: `A`: has a quote that does not end"));
    scene.repo.remove(&format!(".env-{web}")).symlink(&format!(".env-{web}"), "/etc/passwd");
    scene.push().failure(3).stdout_has("leads out of the repository").stdout_has("1 unchanged, 1 failed");
}

#[test]
fn a_folder_may_hold_its_compose_file_as_json() {
    let Some(scene) = Scene::new() else { return };
    let stack = scene.ops.unique("json");
    // As an editor writes it: tabs, escapes, a letter in two parts.
    let document = format!(
        "{{\n\t\"version\": \"3.8\",\n\t\"services\": {{\n\t\t\"app\": {{\n\t\t\t\"image\": \"{}\",\n\t\t\t\
         \"environment\": {{\"PATHS\": \"a\\/b\", \"FACE\": \"\\ud83d\\ude00\", \"TAB\": \"a\\tb\"}},\n\t\t\t\"deploy\": {{\"replicas\": 0}}\n\t\t}}\n\t}}\n}}\n",
        scene.lab.image("app:1").replace('/', "\\/")
    );
    scene.repo.write("stacks.yaml", format!("- name: {stack}\n"));
    scene.repo.write(&format!("{stack}/compose.json"), document);
    scene.watch().success().stdout_has("1 deployed");
    let environment = scene.lab.spec(&format!("{stack}_app"), "json .Spec.TaskTemplate.ContainerSpec.Env");
    let environment: Vec<String> = serde_json::from_str(&environment).unwrap();
    assert!(
        ["PATHS=a/b", "FACE=😀", "TAB=a\tb"].iter().all(|pair| environment.contains(&(*pair).to_owned())),
        "{environment:?}"
    );
    assert_eq!(scene.status(&stack)["compose_path"], format!("{stack}/compose.json"));
}
