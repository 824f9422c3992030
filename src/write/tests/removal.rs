//! What goes with a stack, and what stays.

use super::*;

#[test]
fn what_others_need_is_not_removed() {
    let scene = Scene::new();
    pushed(scene.ask("blog", blog(json!({"HOST": "a"}))));
    let list = scene.file("stacks.yaml").unwrap();
    let compose = "services: {app: {image: other}}\n";
    let theirs = format!("{list}- {{name: other, depends_on: [blog]}}\n");
    scene.commit(&[("stacks.yaml", &theirs), ("other/compose.yml", compose)]);
    let told = stopped(scene.ask("blog", Wish::Remove), 409);
    assert!(told.contains("`other` depends on `blog`"), "{told}");
    // A folder that others use stays.
    let theirs = format!("{list}- {{name: other, folder: blog, env: [blog/.env]}}\n").replace("[blog/", "[");
    scene.commit(&[("stacks.yaml", &theirs)]);
    let plan = pushed(scene.ask("blog", Wish::Remove));
    assert_eq!(plan.stays, ["the folder `blog`: `other` needs it"]);
    assert_eq!(plan.files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["stacks.yaml"]);
    assert!(scene.file("blog/compose.yml").is_some());
    // So does the last entry.
    pushed(scene.ask("other", Wish::Remove));
    let plan = pushed(scene.ask("web", Wish::Remove));
    assert!(plan.stays[0].contains("the only stack"), "{plan:?}");
    assert_eq!(scene.file("stacks.yaml").unwrap(), format!("{LIST}  enabled: false\n"));
    assert!(matches!(scene.ask("web", Wish::Remove).outcome, Outcome::Same(_)));
}

#[test]
fn a_folder_that_is_not_the_stack_s_own_is_left() {
    let scene = Scene::new();
    let compose = "services: {app: {image: other}}\n";
    let list = format!("{LIST}- name: My Blog\n  template: blog@{}\n- name: gone\n", scene.template());
    scene.commit(&[
        ("stacks.yaml", &list),
        ("My Blog/compose.yml", compose),
        ("my-blog/theirs", "x"),
        ("web/more/stacks.yaml", "- name: x\n"),
    ]);
    let told = stopped(scene.ask("my-blog", with(json!({"HOST": "a"}), true)), 409);
    assert!(told.contains("is not `my-blog`"), "{told}");
    // What a removal takes is shown, wherever it lies.
    let at = list.replace("- name: gone\n", "- name: deep\n  folder: a/../far\n- name: gone\n");
    scene.commit(&[("stacks.yaml", &at), ("far/compose.yml", compose)]);
    let seen = scene.tip();
    let gone =
        |answer: Answer| -> Vec<_> { answer.plan.unwrap().files.into_iter().map(|file| file.path).collect() };
    assert_eq!(gone(scene.order("deep", &Wish::Remove, None, true)), ["far/compose.yml", "stacks.yaml"]);
    scene.commit(&[("far/compose.yml", "services: {app: {image: theirs}}\n")]);
    stopped(scene.order("deep", &Wish::Remove, Some(&seen), false), 409);
    assert_eq!(gone(scene.ask("deep", Wish::Remove)), ["far/compose.yml", "stacks.yaml"]);
    let plan = pushed(scene.ask("gone", Wish::Remove));
    assert!(plan.stays[0].contains("names files that are not there"), "{plan:?}");
    let plan = pushed(scene.ask("web", Wish::Remove));
    assert_eq!(plan.stays, ["the folder `web`: a `stacks.yaml` lies in it"]);
    assert!(scene.file("web/more/stacks.yaml").is_some());
    let plan = pushed(scene.ask("my-blog", Wish::Remove));
    assert!(plan.stays[0].contains("the only stack") && scene.file("my-blog/theirs").is_some(), "{plan:?}");
}

#[test]
fn a_binding_in_the_folder_keeps_it() {
    let scene = Scene::new();
    let nfs = scene.folder.path().join("nfs");
    std::fs::create_dir(&nfs).unwrap();
    pushed(scene.ask("blog", blog(json!({"HOST": "a"}))));
    scene.commit(&[
        ("nfs.yaml", &format!("path: {}\n", nfs.display())),
        ("volumes.yaml", "- {id: site, type: binding, path: blog}\n"),
    ]);
    let told = stopped(scene.ask("blog", Wish::Remove), 409);
    assert!(told.contains("`site`"), "{told}");
    assert!(scene.file("blog/compose.yml").is_some());
}
