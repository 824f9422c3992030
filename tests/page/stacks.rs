//! The list of stacks: what comes first, how much room it takes, what a filter leaves, and what moves.

use serde_json::{Value, json};

use super::forms::{asks_nobody_else, fits};
use crate::support::browser::Browser;
use crate::support::http::{Site, TOKEN};
use crate::support::repo::Repo;
use crate::support::scene::{Scene, compose};

/// So many stacks fit a screen and a half.
const MANY: usize = 40;
const SCREEN: i64 = 900;

fn names(browser: &Browser) -> Vec<String> {
    let names = browser.run("return [...document.querySelectorAll('.stack h3')].map(it => it.innerText)");
    names.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

fn groups(browser: &Browser) -> Value {
    browser.run("return [...document.querySelectorAll('.group')].map(it => it.firstChild.textContent)")
}

/// Many stacks of one repository and two of another, all well.
fn many() -> Option<(Scene, Repo, Site, String)> {
    let mut scene = Scene::new()?;
    let other = Repo::new();
    let tag = scene.ops.unique("s");
    let compose = compose([("app", &scene.off())]);
    for at in 0..MANY {
        scene.repo.stack(&format!("{tag}-{at:02}"), &compose);
    }
    scene.repo.commit("Raise <b>all</b> of them");
    other.stack(&format!("{tag}-other"), &compose).commit("first");
    let repos = format!("{},{}", scene.repo.url(), other.url());
    scene.ops = scene.ops.env("DOCKEROPS_REPOS", repos).limit(180).that_listens();
    let site = scene.ops.site();
    Some((scene, other, site, tag))
}

#[test]
fn forty_stacks_fit_a_screen_and_a_half_and_what_needs_a_person_comes_first() {
    let Some(browser) = Browser::start() else { return };
    let Some((scene, other, site, tag)) = many() else { return };
    let home = format!("http://{}/", site.address);
    browser.screen(1280, false);
    browser.open(&home);
    browser.until(&format!("document.querySelectorAll('.stack').length === {}", MANY + 1));
    assert!(browser.text().contains("Everything runs as Git says"), "{}", browser.text());
    let bottom = format!(
        "return Math.ceil(document.querySelectorAll('.stack')[{}].getBoundingClientRect().bottom + scrollY)",
        MANY - 1
    );
    let bottom = browser.run(&bottom).as_i64().unwrap();
    assert!(bottom <= SCREEN * 3 / 2, "{MANY} stacks need {bottom} pixels");
    // By repository, then by name; each with its commit's first line and author.
    let mut urls = [scene.repo.url(), other.url()];
    urls.sort();
    assert_eq!(groups(&browser), json!(urls));
    let of_first =
        names(&browser).iter().filter(|name| **name != format!("{tag}-other")).cloned().collect::<Vec<_>>();
    assert!(of_first.is_sorted() && of_first.len() == MANY, "{of_first:?}");
    assert!(browser.text().contains("Raise <b>all</b> of them · Author"), "{}", browser.text());
    fits(&browser, "forty");

    // One that failed, and one that a hand changed.
    let (failed, drifted) = (format!("{tag}-39"), format!("{tag}-38"));
    scene.repo.stack(&failed, "services: {app: {image: a, colour: red}}").commit("wrong");
    scene.lab.edit(&format!("{drifted}_app"), &["--label-add", "extra=1"]);
    site.job(&site.post("/api/v1/reconcile", &json!({"stack": failed}).to_string()));
    browser.open(&home);
    browser.until("document.querySelectorAll('.wrongs li').length === 2");
    browser.until(&format!("document.querySelector('.stack h3').innerText === '{drifted}'"));
    assert_eq!(names(&browser)[..3], [drifted.clone(), failed.clone(), format!("{tag}-00")]);
    assert_eq!(groups(&browser)[0], "Needs attention");
    assert!(browser.text().contains("edited (extra)"), "the label is named: {}", browser.text());

    // The filter, as it is typed and ticked.
    browser.fill("#filter", &format!("{tag}-0"));
    browser.until("document.querySelectorAll('.stack').length === 10");
    assert!(browser.run("return location.search").as_str().unwrap().contains("q="));
    assert_eq!(browser.run("return document.activeElement.id"), "filter", "the focus went elsewhere");
    browser.click("#unfiltered");
    browser.until(&format!("document.querySelectorAll('.stack').length === {}", MANY + 1));
    assert_eq!(browser.run("return document.getElementById('filter').value"), "");
    browser.click("#problems");
    browser.until("document.querySelectorAll('.stack').length === 2");
    assert!(browser.text().contains("2 of 41"), "{}", browser.text());
    fits(&browser, "problems");
    browser.fill("#filter", "nobody");
    browser.until("document.body.innerText.includes('No stack is like that')");
    asks_nobody_else(&browser, &site);

    // Without a script it is a form like others.
    browser.chromium("Emulation.setScriptExecutionDisabled", &json!({"value": true}));
    browser.open(&home);
    browser.fill("#filter", "drifted");
    browser.click("#do-filter");
    browser.until_there(&format!("#stack-{drifted}"));
    browser.until_there(".stack:only-child");
    browser.click("#problems");
    browser.click("#do-filter");
    browser.until_there("#problems:checked");
    browser.click(&format!("#stack-{drifted}"));
    browser.until_there(".panel");
    // What is opened keeps the filter.
    browser.until_there("#problems:checked");
    browser.picture("filter-without-javascript");
}

#[test]
fn a_stack_in_motion_tells_for_how_long_and_counts_on() {
    let Some(browser) = Browser::start() else { return };
    let Some(mut scene) = Scene::new() else { return };
    let nowhere = scene.on().deploy("placement: {constraints: [node.labels.x == y]}");
    let stack = scene.stack("waits", &scene.off());
    scene.repo.commit("first");
    scene.ops = scene.ops.env("DOCKEROPS_REPOS", scene.repo.url()).that_listens();
    let site = scene.ops.site();
    scene.change(&stack, &nowhere).repo.commit("second");
    site.post("/api/v1/reconcile", "{}").is(202);
    browser.open(&format!("http://{}/", site.address));
    browser.until("document.querySelector('.stack time[data-for]')");
    let time = || browser.run("return document.querySelector('.stack time[data-for]').innerText");
    let before = time();
    browser.until(&format!(
        "document.querySelector('.stack time[data-for]')?.innerText !== {before} && \
         /^\\d+ s$/.test(document.querySelector('.stack time[data-for]')?.innerText)"
    ));
    assert!(browser.text().contains(&format!("Deploying {stack}")), "{}", browser.text());
    let card =
        site.send("GET", &format!("/stacks/{stack}"), &[&format!("Authorization: Bearer {TOKEN}")], b"");
    card.is(200).has("data-for");
    fits(&browser, "in-motion");
}
