//! Stacks rolled back on the page, with a script and without.

use serde_json::json;

use super::forms::{asks_nobody_else, fits};
use crate::support::browser::Browser;
use crate::support::http::{Site, TOKEN};
use crate::support::scene::{App, Scene};
use crate::support::wait_for;

fn open(browser: &Browser, site: &Site, stack: &str) {
    browser.open(&format!("http://ann:{TOKEN}@{}/sign-in", site.address));
    browser.open(&format!("http://{}/?stack={stack}", site.address));
}

fn given(scene: &Scene, stack: &str, value: &str) -> bool {
    let told = scene.lab.spec(&format!("{stack}_app"), ".Spec.TaskTemplate.ContainerSpec.Env");
    told.trim_matches(['[', ']']) == format!("A={value}")
}

/// A stack that ran as `1`, and then was pushed as `bad`.
fn place(scene: Scene, bad: impl Fn(&Scene) -> App) -> (Scene, Site, String) {
    let mut scene = scene.timeout(20);
    let stack = scene.stack("storefront", &scene.on().with("environment: {A: '1'}"));
    scene.repo.commit("first");
    scene.ops = scene.ops.env("DOCKEROPS_REPOS", scene.repo.url()).that_listens();
    let site = scene.ops.site();
    scene.change(&stack, &bad(&scene)).repo.commit("second");
    site.job(&site.post("/api/v1/reconcile", "{}"));
    assert!(given(&scene, &stack, "2"));
    (scene, site, stack)
}

#[test]
fn a_version_of_the_history_is_rolled_back_to_on_the_page() {
    let Some(browser) = Browser::start() else { return };
    let Some(scene) = Scene::new() else { return };
    let (scene, site, stack) = place(scene, |scene| scene.on().with("environment: {A: '2'}"));
    browser.open(&format!("http://{}/?stack={stack}", site.address));
    let ways = "return document.querySelectorAll('details.back').length";
    assert_eq!(browser.run(ways), 0, "who only looks rolls nothing back");
    open(&browser, &site, &stack);
    assert_eq!(browser.run(ways), 1, "what runs is no version to go back to");
    let history = site.get(&format!("/api/v1/stacks/{stack}/history")).json();
    let version = &history["versions"][1];
    let id = format!("back-{stack}-{}", version["id"]);
    browser.click(&format!("#{id} > summary"));
    let change = browser.run(&format!("return document.querySelector('#{id} pre').innerText"));
    let change = change.as_str().unwrap();
    assert!(change.contains("-      A: \"2\"") && change.contains("+      A: \"1\""), "{change}");
    browser.fill(&format!("#reason-{id}"), "it loses <b>orders</b>");
    browser.click(&format!("#pin-{id}"));
    // What is typed and ticked outlives that the page keeps itself up to date.
    scene.lab.edit(&format!("{stack}_app"), &["--label-add", "extra=1"]);
    browser.until("document.querySelector('main').innerText.includes('Drifted')");
    let typed = ["reason", "pin", "bindings"].map(|name| format!("document.getElementById('{name}-{id}')"));
    let [reason, pin, bindings] = typed;
    let typed = browser.run(&format!("return [{reason}.value, {pin}.checked, {bindings}.checked]"));
    assert_eq!(typed, json!(["it loses <b>orders</b>", true, false]));
    fits(&browser, "rollback-form");
    browser.click(&format!("#do-{id}"));
    browser.until("document.querySelector('.told')?.innerText.includes('rolled back to')");
    browser.until(&format!("document.getElementById('release-stack-{stack}')"));
    browser.until("!document.querySelector('main [data-busy]')");
    assert!(given(&scene, &stack, "1"));
    let hold = scene.status(&stack)["hold"].clone();
    assert_eq!((&hold["to"], &hold["by"]), (&version["commit"], &json!("status page")));
    assert_eq!(hold["reason"], "it loses <b>orders</b>");
    assert!(browser.text().contains("pinned until it is released"), "{}", browser.text());
    browser.click(&format!("#release-stack-{stack}"));
    browser.until("document.querySelector('.job:not(.told)')?.innerText.includes('1 deployed')");
    assert!(given(&scene, &stack, "2"));
    asks_nobody_else(&browser, &site);
}

#[test]
fn what_failed_goes_back_from_its_card_without_javascript() {
    let Some(browser) = Browser::start() else { return };
    let Some(scene) = Scene::new() else { return };
    let (scene, site, stack) = place(scene, |scene| {
        scene
            .on()
            .shell("echo out of order; exit 7")
            .with("environment: {A: '2'}")
            .update("failure_action: pause")
    });
    browser.chromium("Emulation.setScriptExecutionDisabled", &json!({"value": true}));
    browser.screen(390, false);
    open(&browser, &site, &stack);
    browser.until_there(".wrongs details.back");
    browser.click(&format!("#back-{stack} > summary"));
    browser.fill(&format!("#reason-back-{stack}"), "no script");
    browser.picture("rollback-card-390");
    // What it printed last, and all that can be done, stand in the card itself.
    browser.until_there(&format!(".wrongs #again-{stack}"));
    browser.until_there(&format!(".wrongs #hold-card-{stack}"));
    let token = format!("Authorization: Bearer {TOKEN}");
    let page = site.send("GET", "/", &[&token], b"").body;
    let card = page.split("class=\"wrongs\"").nth(1).unwrap().split("</section>").next().unwrap();
    assert!(card.contains("the last lines of") && card.contains("out of order"), "{card}");
    browser.click(&format!("#do-back-{stack}"));
    browser.until_there("p.told");
    wait_for("it runs as before", 60, || given(&scene, &stack, "1"));
    wait_for("it is healthy", 60, || scene.status(&stack)["health"] == "healthy");
    let hold = scene.status(&stack)["hold"].clone();
    assert_eq!((&hold["reason"], &hold["kind"]), (&json!("no script"), &json!("rollback")));
    open(&browser, &site, &stack);
    browser.until_there(&format!("#release-stack-{stack}"));
}

#[test]
fn a_rollback_of_another_visit_is_not_taken() {
    let Some(scene) = Scene::new() else { return };
    let (scene, site, stack) = place(scene, |scene| scene.on().with("environment: {A: '2'}"));
    let token = format!("Authorization: Bearer {TOKEN}");
    let body = format!("stack={stack}&visit=1.abc");
    site.send("POST", "/rollback", &[&token], body.as_bytes()).is(403).has("not of this visit");
    site.send("POST", "/rollback", &[], body.as_bytes()).is(401);
    assert!(given(&scene, &stack, "2") && scene.status(&stack)["hold"].is_null());
}
