//! A stack's own page: its address, its tabs, and the way back to it.

use serde_json::json;

use super::forms::{asks_nobody_else, fits};
use super::shop;
use crate::support::browser::Browser;
use crate::support::http::TOKEN;
use crate::support::scene::compose;

#[test]
fn a_stack_has_a_page_of_its_own_with_tabs_to_send_to_a_colleague() {
    let Some(browser) = Browser::start() else { return };
    let Some(shop) = shop() else { return };
    let own = |stack: &str| shop.url(&format!("/stacks/{stack}"));
    // A version that another one came after.
    shop.scene.repo.stack(
        &shop.well,
        &compose([
            ("app", &shop.scene.on().with("environment: {GREETING: hello}")),
            ("worker", &shop.scene.on()),
        ]),
    );
    let commit = shop.scene.repo.commit("Greet everybody");
    shop.site.job(&shop.site.post("/api/v1/reconcile", &json!({"stack": shop.well}).to_string()));

    // From the list, and by its address.
    browser.open(&shop.url(&format!("/?stack={}", shop.well)));
    browser.click(&format!("#own-{}", shop.well));
    browser.until("location.pathname.startsWith('/stacks/')");
    browser.until("document.querySelectorAll('.tab .service').length === 2");
    let text = browser.text();
    for words in
        [&*shop.well, "Deployed", "Greet everybody · Author", &commit[..8], "_worker", "running", "node"]
    {
        assert!(text.contains(words), "no {words}: {text}");
    }
    assert!(!text.contains(&commit), "the whole commit is for the hover: {text}");
    assert!(
        browser.run("return document.querySelector('.commit').title").as_str().unwrap().contains(&commit)
    );
    assert_eq!(browser.run("return document.querySelectorAll('form').length"), 0, "who looks does nothing");
    fits(&browser, "own-services");
    browser.click("#tab-logs");
    browser.until("document.body.innerText.includes('Sign in to see what it prints')");
    browser.click("#tab-difference");
    browser.until("document.querySelector('.difference pre')?.innerText.includes('GREETING')");
    fits(&browser, "own-difference");
    browser.click("#tab-history");
    browser.until("document.querySelectorAll('.versions > li').length === 2");
    fits(&browser, "own-history");
    browser.click("#tab-compose");
    browser.until("document.querySelector('.file')?.innerText.includes('GREETING: hello')");
    assert_eq!(browser.run("return location.search"), "?tab=compose");
    fits(&browser, "own-compose");

    // Who signs in there comes back there, and so does who presses a button.
    browser.open(&format!("http://ann:{TOKEN}@{}/sign-in?stack={}", shop.site.address, shop.well));
    browser.until(&format!("location.pathname === '/stacks/{}'", shop.well));
    browser.open(&(own(&shop.well) + "?tab=logs"));
    browser.until("document.querySelector('#log-of-all')");
    assert!(!browser.text().contains("Sign in to see"), "{}", browser.text());
    fits(&browser, "own-logs");
    browser.click(&format!("#do-{}-sync", shop.well));
    browser.until("document.querySelector('.job')?.innerText.includes('is done')");
    assert_eq!(browser.run("return location.pathname"), format!("/stacks/{}", shop.well));
    browser.click(&format!("#hold-stack-{} summary", shop.well));
    browser.click(&format!("#do-hold-stack-{}", shop.well));
    browser.until("document.querySelector('.told')?.innerText.includes('held by')");
    assert_eq!(browser.run("return location.pathname"), format!("/stacks/{}", shop.well));
    asks_nobody_else(&browser, &shop.site);

    // What failed says why, and what it was given beside the version that ran.
    browser.open(&own(&shop.failed));
    browser.until("document.querySelector('.wrongs')");
    fits(&browser, "own-failed");
    shop.site.get(&format!("/stacks/{}", shop.failed)).is(200).has("&lt;script&gt;");
    shop.site.get("/stacks/nobody").is(404).has("There is no such stack").has("href=\"../\"");
    assert!(
        shop.site
            .send("POST", &format!("/stacks/{}", shop.well), &[], b"")
            .is(405)
            .head
            .contains("allow: GET")
    );
    shop.site.get(&format!("/stacks/{}/nothing", shop.well)).is(404);

    browser.chromium("Emulation.setScriptExecutionDisabled", &json!({"value": true}));
    browser.open(&own(&shop.well));
    browser.click("#tab-history");
    browser.until_there(".versions > li:nth-child(2)");
    browser.click("#tab-compose");
    browser.until_there(".file");
    browser.click("main a[href='../']");
    browser.until_there(".stacks");
}
