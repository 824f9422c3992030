//! The status page in a real browser: what it shows, how it is used, and what it never does.

mod forms;
mod holds;
mod logs;
mod own;
mod requests;
mod rollback;
mod stacks;

use serde_json::{Value, json};

use crate::support::browser::Browser;
use crate::support::http::{Site, TOKEN};
use crate::support::scene::{App, Scene, compose};

/// What a hostile repository has for a page.
const SCRIPT: &str = "<script>document.title='owned'</script><img src=x onerror=document.title='owned'>";

/// Three stacks: one well with two services, one drifted, one that failed with a script for an error.
struct Shop {
    scene: Scene,
    site: Site,
    well: String,
    drifted: String,
    failed: String,
}

fn shop() -> Option<Shop> {
    let mut scene = Scene::new()?;
    let well = scene.ops.unique("storefront");
    scene.repo.stack(&well, &compose([("app", &scene.on()), ("worker", &scene.on().replicas(2))]));
    let drifted = scene.ops.unique("search");
    scene.repo.stack(&drifted, &compose([("app", &scene.off())]));
    let manifest = std::fs::read_to_string(scene.repo.path().join("stacks.yaml")).unwrap();
    scene.repo.write(
        "stacks.yaml",
        manifest.replace(&format!("- name: {drifted}\n"), &format!("- {{name: {drifted}, drift: report}}\n")),
    );
    let failed = scene.ops.unique("billing");
    scene.repo.stack(&failed, &format!("version: \"3.8\"\nservices:\n  app:\n    image: \"{SCRIPT}\"\n"));
    scene.repo.commit("first");
    scene.ops = scene.ops.env("DOCKEROPS_REPOS", scene.repo.url()).that_listens();
    let site = scene.ops.site();
    scene.lab.edit(&format!("{drifted}_app"), &["--replicas", "1"]);
    Some(Shop { scene, site, well, drifted, failed })
}

impl Shop {
    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.site.address)
    }

    fn sign_in(&self, browser: &Browser) {
        browser.open(&format!("http://operator:{TOKEN}@{}/sign-in", self.site.address));
        // Chromium shows nobody's password by itself while the address holds one.
        browser.open(&self.url("/"));
    }
}

/// The state's word of each stack, by name.
fn states(browser: &Browser) -> Value {
    browser.run(
        "return Object.fromEntries([...document.querySelectorAll('.stack')].map(
            stack => [stack.querySelector('h3').innerText, stack.querySelector('.badge').innerText]))",
    )
}

#[test]
fn the_page_shows_states_and_details_in_every_light_and_width_and_asks_nobody_else() {
    let Some(browser) = Browser::start() else { return };
    let Some(shop) = shop() else { return };
    browser.open(&shop.url("/"));
    browser.until("document.body.innerText.includes('Drifted')");
    let states = states(&browser);
    for (stack, word) in [(&shop.well, "Deployed"), (&shop.drifted, "Drifted"), (&shop.failed, "Failed")] {
        assert_eq!(states[stack], word, "{states}");
    }
    let text = browser.text();
    for words in
        ["2 things need attention", "scaled from 0 to 1", &shop.scene.lab.image("app:1"), "Live", "Sign in"]
    {
        assert!(text.contains(words), "no {words}: {text}");
    }
    // What a repository says is text, and nothing else.
    assert!(text.contains(SCRIPT), "{text}");
    assert_eq!(browser.run("return document.querySelectorAll('main script, main img').length"), 0);
    assert_ne!(browser.run("return document.title"), "owned");

    browser.click(&format!("#stack-{}", shop.well));
    browser.until("document.querySelectorAll('.panel .tasklist li').length >= 3");
    let panel = browser.run("return document.querySelector('.panel').innerText");
    let panel = panel.as_str().unwrap();
    for words in ["docker-compose.yml", "_worker", "2/2", "running", "node", "deployed"] {
        assert!(panel.contains(words), "no {words}: {panel}");
    }
    let focus = browser
        .run("return [document.activeElement.id, document.activeElement.getAttribute('aria-expanded')]");
    assert_eq!(focus, json!([format!("stack-{}", shop.well), "true"]), "the focus went elsewhere");
    assert!(browser.run("return location.search").as_str().unwrap().contains(&shop.well));
    // A reload shows the same, and the keyboard closes it again.
    browser.open(browser.run("return location.href").as_str().unwrap());
    browser.run(&format!("document.getElementById('stack-{}').focus()", shop.well));
    browser.keys("\u{E007}");
    browser.until("document.querySelectorAll('.panel').length === 0");
    browser.open(&shop.url("/"));
    browser.keys("\u{E004}");
    assert_eq!(browser.run("return document.activeElement.innerText"), "To the state");

    let ground = |browser: &Browser| browser.run("return getComputedStyle(document.body).backgroundColor");
    let mut grounds = Vec::new();
    for (name, path, width, dark) in [
        ("wide", "/", 1280, false),
        ("wide-dark", "/", 1280, true),
        ("phone", "/", 360, false),
        ("phone-dark", "/", 360, true),
    ] {
        browser.screen(width, dark);
        browser.open(&shop.url(&format!("{path}?stack={}&stack={}", shop.well, shop.failed)));
        browser.until("document.querySelectorAll('.panel').length === 2");
        let wider = "return [...document.querySelectorAll('*')].filter(it => it.checkVisibility() && !it.closest('.hidden, .skip') \
            && it.getBoundingClientRect().right > innerWidth + 1).map(it => it.outerHTML.slice(0, 200))";
        assert_eq!(browser.run(wider), json!([]), "wider than {width}");
        let contrast = browser.run(CONTRAST);
        assert_eq!(contrast, json!([]), "{name}: too pale");
        grounds.push(ground(&browser));
        browser.picture(name);
    }
    assert_ne!(grounds[0], grounds[1], "dark is as light");
    let names = "return [...document.querySelectorAll('a, button, input:not([type=hidden])')]\
        .filter(it => !it.innerText.trim() && !it.ariaLabel).length";
    assert_eq!(browser.run(names), 0, "something has no name for a screen reader");
    assert_eq!(browser.console(), Vec::<String>::new());
    let home = shop.url("/");
    for asked in browser.requests() {
        // The browser's own first page is there before ours.
        let own = ["data:", "chrome:"].iter().any(|scheme| asked.starts_with(scheme));
        assert!(asked.starts_with(&home) || own, "it asked for {asked}");
    }
}

/// Texts with less than 4.5:1 to what lies below them.
const CONTRAST: &str = "
    const parse = (colour) => {
        const context = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
        context.fillStyle = colour; context.fillRect(0, 0, 1, 1);
        const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
        return {rgb: [r, g, b], alpha: a / 255};
    };
    const light = (rgb) => {
        const [r, g, b] = rgb.map(it => it / 255).map(it => it <= 0.03928 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (node) => {
        for (let it = node; it; it = it.parentElement) {
            const found = parse(getComputedStyle(it).backgroundColor);
            if (found.alpha > 0.99) return found.rgb;
        }
        return [255, 255, 255];
    };
    const pale = [];
    for (const node of document.querySelectorAll('main *, header *, footer *')) {
        if (![...node.childNodes].some(it => it.nodeType === 3 && it.data.trim())) continue;
        if (node.closest('.hidden, .slash')) continue;
        const pair = [light(parse(getComputedStyle(node).color).rgb), light(ground(node))].sort((a, b) => b - a);
        if ((pair[0] + 0.05) / (pair[1] + 0.05) < 4.5) pale.push(node.outerHTML.slice(0, 120));
    }
    return pale;";

#[test]
fn the_button_reconciles_for_who_signed_in_and_the_page_follows_by_itself() {
    let Some(browser) = Browser::start() else { return };
    let Some(shop) = shop() else { return };
    browser.open(&shop.url("/"));
    assert_eq!(browser.run("return document.querySelectorAll('button').length"), 0);
    shop.sign_in(&browser);
    browser.until("document.getElementById('do-all-sync')");
    assert_eq!(browser.run("return location.pathname"), "/");

    // What is pushed appears without a hand, once somebody presses the button.
    let change = App::new(&shop.scene.lab.image("app:2"));
    shop.scene.repo.stack(&shop.well, &compose([("app", &change), ("worker", &shop.scene.off())]));
    let commit = shop.scene.repo.commit("second");
    browser.run("window.stays = true");
    browser.click("#do-all-sync");
    browser.until("document.querySelector('.job')?.innerText.includes('is done') || document.querySelector('.job')?.innerText.includes('failed')");
    browser.until(&format!("document.querySelector('main').innerHTML.includes('{commit}')"));
    browser.until(&format!(
        "document.querySelector('main').innerText.includes('{}')",
        shop.scene.lab.image("app:2")
    ));
    assert_eq!(browser.run("return window.stays"), true, "the page was loaded anew");
    browser.picture("reconciled");

    // And what somebody else does, without any.
    shop.scene.lab.edit(&format!("{}_app", shop.drifted), &["--replicas", "0"]);
    browser.until("!document.body.innerText.includes('Drifted')");
    assert_eq!(browser.console(), Vec::<String>::new());

    // One stack, by its own button.
    browser.open(&shop.url(&format!("/?stack={}", shop.well)));
    browser.click(&format!("#do-{}-force", shop.well));
    browser.until("document.querySelector('.job')?.innerText.includes('is done')");
    assert!(browser.text().contains(&shop.well));
}

#[test]
fn the_page_works_without_javascript_and_tells_when_the_daemon_is_gone() {
    let Some(browser) = Browser::start() else { return };
    let Some(shop) = shop() else { return };
    browser.chromium("Emulation.setScriptExecutionDisabled", &json!({"value": true}));
    shop.sign_in(&browser);
    browser.click(&format!("#stack-{}", shop.well));
    browser.click(".panel .tasklist li");
    browser.click("#do-all-sync");
    browser.until_there("p.job");
    browser.click("p.job");
    browser.picture("without-javascript");
    browser.chromium("Emulation.setScriptExecutionDisabled", &json!({"value": false}));
    browser.open(&shop.url("/"));
    browser.until("document.getElementById('live').innerText === 'Live'");
    drop(shop.site);
    browser.until("document.getElementById('live').innerText.includes('No answer since')");
    assert!(browser.text().contains(&shop.drifted), "what was known is still shown");
}
