//! Stacks that are files at the root.

use super::*;

const WEB: &str = "services: {app: {image: web}}\n";

fn scene() -> Scene {
    Scene::of(
        &[
            ("docker-compose-one.yaml", WEB),
            (".env-one", "A=1\n"),
            ("stack-two.json", "{\"services\": {\"app\": {\"image\": \"web\"}}}\n"),
            ("docker-compose-three.yml", WEB),
            ("templates/blog/compose.yml", "services: {app: {image: 'blog:${TAG:-1}'}}\n"),
        ],
        "main",
    )
}

fn of_blog(tag: &str) -> Wish {
    Wish::Change { template: Some("blog".into()), options: object(json!({"TAG": tag})), overwrite: true }
}

#[test]
fn whatever_the_compose_file_is_called_it_is_shown_and_guarded() {
    let scene = scene();
    let seen = scene.tip();
    let paths =
        |answer: Answer| -> Vec<_> { answer.plan.unwrap().files.into_iter().map(|file| file.path).collect() };
    assert_eq!(paths(scene.order("one", &of_blog("2"), None, true)), [".env-one", "docker-compose-one.yaml"]);
    assert_eq!(paths(scene.order("one", &Wish::Remove, None, true)), [".env-one", "docker-compose-one.yaml"]);
    assert_eq!(paths(scene.order("two", &Wish::Remove, None, true)), ["stack-two.json"]);
    scene.commit(&[
        ("docker-compose-one.yaml", "services: {app: {image: theirs}}\n"),
        ("stack-two.json", "{\"services\": {\"app\": {\"image\": \"theirs\"}}}\n"),
    ]);
    for (stack, wish) in [("one", of_blog("2")), ("one", Wish::Remove), ("two", Wish::Remove)] {
        stopped(scene.order(stack, &wish, Some(&seen), false), 409);
    }
    assert!(scene.file("docker-compose-one.yaml").unwrap().contains("theirs"));
}

#[test]
fn yaml_is_not_written_into_a_file_of_json() {
    let scene = scene();
    let before = scene.file("stack-two.json");
    let told = stopped(scene.ask("two", of_blog("2")), 409);
    assert!(told.contains("`stack-two.json` is JSON") && told.contains("docker-compose-two.yml"), "{told}");
    assert_eq!(scene.file("stack-two.json"), before);
}
