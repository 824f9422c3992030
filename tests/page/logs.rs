//! What services print, on the page: for who signed in, when they ask, and as it was until they ask again.

use serde_json::json;

use super::{CONTRAST, SCRIPT, Shop, shop};
use crate::support::browser::Browser;
use crate::support::http::TOKEN;
use crate::support::scene::compose;
use crate::support::wait_for;

/// The shop, with a service that has printed 300 lines and goes on when it is told to.
fn loud() -> Option<(Shop, String)> {
    let shop = shop()?;
    let hostile =
        format!("{SCRIPT} \\033[2J https://u:hunter2@h/r \\342\\200\\256 {}\\n", "wide".repeat(100));
    let script = format!(
        "for i in $$(seq 300); do echo line $$i; done; printf \"{hostile}\"; \
         while true; do [ -e /more ] && echo and more >&2; sleep 1; done"
    );
    let app = shop.scene.on().deploy("placement: {constraints: [node.role == manager]}");
    let worker = shop.scene.on().replicas(2).shell("echo a worker; exec sleep 900");
    shop.scene.repo.stack(&shop.well, &compose([("app", &app.shell(&script)), ("worker", &worker)]));
    shop.scene.repo.commit("loud");
    shop.site.job(&shop.site.post("/api/v1/reconcile", "{}"));
    let service = format!("{}_app", shop.well);
    wait_for("its lines", 60, || {
        shop.scene.ops.run(["logs", &shop.well, "app", "--tail", "9"]).stdout.contains("wide")
    });
    Some((shop, service))
}

const LINES: &str = "[...document.querySelectorAll('.log li')].map(it => it.innerText)";

#[test]
fn a_log_is_shown_to_who_signed_in_and_stays_until_it_is_asked_for_anew() {
    let Some(browser) = Browser::start() else { return };
    let Some((shop, service)) = loud() else { return };
    let path = format!("/?stack={}", shop.well);
    browser.open(&shop.url(&format!("{path}&log={service}")));
    browser.until("document.querySelector('.panel')");
    let text = browser.text();
    assert!(text.contains("Sign in to see what it prints") && !text.contains("line 300"), "{text}");

    shop.sign_in(&browser);
    browser.open(&shop.url(&path));
    let before = shop.scene.docker.calls_with("service logs").len();
    browser.click(&format!("#logs-{service}"));
    browser.until("document.querySelector('.log li')");
    assert!(browser.run("return location.search").as_str().unwrap().contains(&format!("log={service}")));
    let lines = browser.run(&format!("return {LINES}"));
    let lines: Vec<_> = lines.as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    assert!(lines.len() == 200 && lines[198].ends_with(" line 300"), "{lines:?}");
    assert!(
        lines[199].contains(&format!("{SCRIPT} \\u{{1b}}[2J https://…@h/r \\u{{202e}}")),
        "{}",
        lines[199]
    );
    assert_eq!(browser.run("return document.querySelectorAll('main script, main img').length"), 0);
    assert_ne!(browser.run("return document.title"), "owned");
    // The newest is in sight, and all of them are reached by the keyboard.
    let in_sight = "return (() => { const log = document.querySelector('.log').getBoundingClientRect(), \
        last = document.querySelector('.log li:last-child').getBoundingClientRect(); return last.bottom <= log.bottom + 1 && last.bottom > log.top })()";
    assert_eq!(browser.run(in_sight), true);
    browser.run(&format!("document.getElementById('lines-{service}').focus()"));
    browser.keys("\u{E010}\u{E013}\u{E013}\u{E013}");
    browser.until("document.querySelector('.log').scrollTop < -20");
    std::thread::sleep(std::time::Duration::from_secs(1));
    let at = browser.run("return document.querySelector('.log').scrollTop");

    // What comes is not shown by itself, whatever else changes, and docker is not asked for it.
    let more = [
        "exec",
        &*shop.scene.lab.docker(&["ps", "--quiet", "--filter", &format!("name={service}.1.")]),
        "touch",
        "/more",
    ]
    .map(str::to_owned);
    shop.scene.lab.docker(&more.each_ref().map(String::as_str));
    shop.scene.lab.edit(&format!("{}_app", shop.drifted), &["--replicas", "2"]);
    browser.until("document.body.innerText.includes('to 2')");
    assert_eq!(browser.run(&format!("return {LINES}.at(-1).endsWith('and more')")), false);
    assert_eq!(browser.run("return document.querySelectorAll('.log li').length"), 200);
    assert_eq!(browser.run("return document.querySelector('.log').scrollTop"), at, "it jumped");
    assert_eq!(shop.scene.docker.calls_with("service logs").len(), before + 1);
    assert_eq!(browser.run("return document.activeElement.id"), json!(format!("lines-{service}")));
    wait_for("more", 30, || {
        shop.scene.ops.run(["logs", &shop.well, "app", "--tail", "1"]).stdout.contains("and more")
    });
    browser.click(&format!("#logs-{service}-again"));
    browser.until(&format!("{LINES}.at(-1).endsWith('and more')"));

    // Of several tasks each line says whose it is.
    browser.click(&format!("#logs-{}_worker", shop.well));
    browser.until("document.querySelectorAll('.log').length === 2");
    let worker =
        browser.run(&format!("return document.getElementById('lines-{}_worker').innerText", shop.well));
    let worker = worker.as_str().unwrap();
    assert!((1..=2).all(|slot| worker.contains(&format!("{}_worker.{slot}@node", shop.well))), "{worker}");
    for (name, width, dark) in [("logs-wide", 1280, false), ("logs-phone-dark", 360, true)] {
        browser.screen(width, dark);
        let wider = "return [...document.querySelectorAll('*')].filter(it => it.checkVisibility() && !it.closest('.hidden, .skip') \
            && it.getBoundingClientRect().right > innerWidth + 1).map(it => it.outerHTML.slice(0, 200))";
        assert_eq!(browser.run(wider), json!([]), "wider than {width}");
        assert_eq!(browser.run(CONTRAST), json!([]), "{name}: too pale");
        browser.picture(name);
    }
    browser.click(&format!("#logs-{service}"));
    browser.until("document.querySelectorAll('.log').length === 1");
    assert_eq!(browser.console(), Vec::<String>::new());
}

#[test]
fn a_log_is_shown_without_javascript_too_and_to_nobody_without_the_token() {
    let Some(browser) = Browser::start() else { return };
    let Some((shop, service)) = loud() else { return };
    let path = format!("/?stack={}&log={service}", shop.well);
    let open = shop.site.get(&path);
    assert!(
        open.is(200).body.contains("to see what it prints") && !open.body.contains("line 300"),
        "{open:?}"
    );
    let signed = format!("Authorization: Bearer {TOKEN}");
    let told = shop.site.send("GET", &path, &[&signed], b"");
    told.is(200).has("line 300").has("&lt;script&gt;");
    assert!(!told.body.contains("hunter2"));
    // Another stack's service, and one that there is not, open nothing.
    let strange = format!("/?stack={}&log={}_app&log=no_such", shop.well, shop.drifted);
    assert!(!shop.site.send("GET", &strange, &[&signed], b"").is(200).body.contains("class=\"log\""));

    browser.chromium("Emulation.setScriptExecutionDisabled", &json!({"value": true}));
    shop.sign_in(&browser);
    browser.click(&format!("#stack-{}", shop.well));
    browser.until_there(".panel");
    browser.click(&format!("#logs-{service}"));
    browser.until_there(".log li");
    browser.click(&format!("#logs-{service}-again"));
    browser.until_there(".log li:nth-child(200)");
    browser.picture("logs-without-javascript");
    browser.click(&format!("#logs-{service}"));
    browser.until_there(".panel");
}
