//! Stacks and repositories held and released on the page, with a script and without.

use serde_json::json;

use super::forms::{asks_nobody_else, fits};
use crate::support::browser::Browser;
use crate::support::http::{Site, TOKEN};
use crate::support::scene::{App, Scene};

struct Place {
    scene: Scene,
    site: Site,
    stack: String,
}

/// One stack, watched.
fn place() -> Option<Place> {
    let mut scene = Scene::new()?;
    let stack = scene.stack("storefront", &scene.off());
    scene.repo.commit("first");
    scene.ops = scene.ops.env("DOCKEROPS_REPOS", scene.repo.url()).that_listens();
    let site = scene.ops.site();
    Some(Place { scene, site, stack })
}

impl Place {
    fn open(&self, browser: &Browser) {
        browser.open(&format!("http://ann:{TOKEN}@{}/sign-in", self.site.address));
        browser.open(&format!("http://{}/?stack={}", self.site.address, self.stack));
    }

    fn push(&self, value: u8) {
        let app: App = self.scene.off().with(format!("environment: {{A: '{value}'}}"));
        self.scene.change(&self.stack, &app).repo.commit("next");
    }
}

#[test]
fn a_stack_and_a_repository_are_held_and_released_on_the_page() {
    let Some(browser) = Browser::start() else { return };
    let Some(place) = place() else { return };
    let stack = &place.stack;
    browser.open(&format!("http://{}/?stack={stack}", place.site.address));
    assert_eq!(
        browser.run("return document.querySelectorAll('form').length"),
        0,
        "who only looks holds nothing"
    );
    place.open(&browser);
    let (summary, reason) = (format!("#hold-stack-{stack} summary"), format!("#reason-stack-{stack}"));
    browser.click(&summary);
    browser.fill(&reason, "it loses <b>orders</b>");
    browser.run(&format!("document.getElementById('for-stack-{stack}').value = '2h'"));
    // What is typed outlives that the page keeps itself up to date.
    let shown = "document.querySelector('main').innerText.includes('Drifted')";
    place.scene.lab.edit(&format!("{stack}_app"), &["--label-add", "extra=1", "--replicas", "1"]);
    browser.until(shown);
    let typed = browser.run(&format!(
        "return [document.getElementById('reason-stack-{stack}').value, document.getElementById('for-stack-{stack}').value]"
    ));
    assert_eq!(typed, json!(["it loses <b>orders</b>", "2h"]));
    fits(&browser, "hold-form");
    browser.click(&format!("#do-hold-stack-{stack}"));
    browser.until("document.querySelector('.told')?.innerText.includes('held by status page until')");
    browser.until(&format!("document.getElementById('release-stack-{stack}')"));
    let text = browser.text();
    assert!(text.contains("it loses <b>orders</b>") && text.contains("On hold"), "{text}");
    let hold = place.scene.status(stack)["hold"].clone();
    assert_eq!((&hold["by"], &hold["reason"]), (&json!("status page"), &json!("it loses <b>orders</b>")));
    let hours = browser.run(&format!(
        "return Math.round((new Date('{}') - new Date('{}')) / 3.6e6)",
        hold["until"].as_str().unwrap(),
        hold["since"].as_str().unwrap()
    ));
    assert_eq!(hours, 2);
    // The page goes on by itself, wherever the focus was.
    let live =
        "document.getElementById('live').innerText === 'Live' && !document.body.hasAttribute('data-lost')";
    assert_eq!(browser.run(&format!("return {live}")), true, "{}", browser.text());
    fits(&browser, "held");

    // The job line says why nothing came of it; the button lets it out.
    place.push(2);
    browser.click(&format!("#do-{stack}-sync"));
    browser
        .until(&format!("document.querySelector('.job:not(.told)')?.innerText.includes('on hold: {stack}')"));
    browser.click(&format!("#release-stack-{stack}"));
    browser.until("document.querySelector('.told')?.innerText.includes('released by status page')");
    browser.until("document.querySelector('.job:not(.told)')?.innerText.includes('1 deployed')");
    browser.until(&format!("!document.getElementById('release-stack-{stack}')"));
    fits(&browser, "released");

    browser.click("#hold-repository-0 summary");
    browser.fill("#reason-repository-0", "moving house");
    browser.click("#do-hold-repository-0");
    browser.until("document.getElementById('release-repository-0')");
    assert!(place.scene.status(stack)["hold"]["reason"] == "moving house");
    fits(&browser, "repository-held");
    browser.click("#release-repository-0");
    browser.until("!document.getElementById('release-repository-0')");
    assert!(place.scene.status(stack)["hold"].is_null());
    assert_eq!(browser.run(&format!("return {live}")), true, "{}", browser.text());
    asks_nobody_else(&browser, &place.site);
}

#[test]
fn the_buttons_of_a_hold_work_without_javascript_and_refuse_in_words() {
    let Some(browser) = Browser::start() else { return };
    let Some(place) = place() else { return };
    let stack = &place.stack;
    browser.chromium("Emulation.setScriptExecutionDisabled", &json!({"value": true}));
    browser.screen(390, false);
    place.open(&browser);
    browser.click(&format!("#hold-stack-{stack} summary"));
    browser.fill(&format!("#reason-stack-{stack}"), "no script");
    browser.click(&format!("#do-hold-stack-{stack}"));
    browser.until_there("p.told");
    browser.until_there(&format!("#release-stack-{stack}"));
    assert_eq!(place.scene.status(stack)["hold"]["reason"], "no script");
    browser.picture("hold-without-javascript-390");
    // Somebody else was faster.
    place.scene.ops.run(["release", stack]).success();
    browser.click(&format!("#release-stack-{stack}"));
    browser.until_there("a[href='./']");
    browser.until_there(".verdict[data-tone=bad]");
    browser.picture("release-refused-390");
    browser.click("main a[href='./']");
    browser.until_there("#headline");
    // And then it is pushed, and let out.
    place.open(&browser);
    browser.click(&format!("#hold-stack-{stack} summary"));
    browser.click(&format!("#do-hold-stack-{stack}"));
    browser.until_there(&format!("#release-stack-{stack}"));
    place.push(2);
    place.scene.reconcile().success().stdout_has("1 on hold");
    browser.click(&format!("#release-stack-{stack}"));
    browser.until_there("p.job:not(.told):not([data-busy])");
    assert_eq!(place.scene.deploys(), [stack.as_str()]);
}

#[test]
fn a_button_of_another_visit_is_not_taken() {
    let Some(place) = place() else { return };
    let token = format!("Authorization: Bearer {TOKEN}");
    let body = format!("stack={}&for=2h&reason=", place.stack);
    let send = |visit: &str, headers: &[&str]| {
        let body = format!("{body}&visit={visit}");
        place.site.send("POST", "/hold", headers, body.as_bytes())
    };
    send("", &[]).is(401);
    send("1.abc", &[&token]).is(403).has("not of this visit");
    let page = place.site.send("GET", &format!("/?stack={}", place.stack), &[&token], b"");
    let visit = page.body.split("name=\"visit\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    send(visit, &[&token, "Origin: https://evil.example"]).is(403).has("another site");
    send(visit, &["Authorization: Basic eDp5"]).is(401);
    assert!(place.scene.status(&place.stack)["hold"].is_null());
    let done = send(visit, &[&token]);
    let location = done.is(303).head.split("location: ").nth(1).unwrap().lines().next().unwrap().to_owned();
    let told = place.site.get(&location[1..]);
    told.is(200).has("held by status page until").has("class=\"job told\"");
    // No other event stands there as if somebody had just done it.
    let first = place.site.get("/api/v1/events").json()["events"].as_array().unwrap().clone();
    let other = first.iter().find(|event| event["event"] != "hold").unwrap()["id"].clone();
    assert!(!place.site.get(&format!("/?told={other}")).body.contains("class=\"job told\""));
}
