//! Stacks made, changed and removed on the page, by people: each a commit, and what runs in the end is what was seen
//! before.

use std::path::PathBuf;

use serde_json::json;
use tempfile::TempDir;

use super::CONTRAST;
use crate::support::browser::Browser;
use crate::support::dockerops::DockerOps;
use crate::support::http::Site;
use crate::support::lab::{Lab, lab};
use crate::support::repo::Repo;
use crate::support::{command, stdout_of, wait_for};

/// What the daemons of these tests take from who writes.
pub const WRITE: &str = "a-write-token-of-the-tests";
const SCRIPT: &str = "<script>document.title='owned'</script>";

/// A bare repository with two stacks that are off, and the template `blog`.
pub struct Origin {
    author: Repo,
    folder: TempDir,
}

impl Origin {
    pub fn new(image: &str) -> Self {
        Self::of(image, ["idle", "other"])
    }

    pub fn of(image: &str, stacks: [&str; 2]) -> Self {
        let origin = Self { author: Repo::new(), folder: tempfile::tempdir().unwrap() };
        let list = stacks.map(|stack| format!("- name: {stack}\n  enabled: false\n"));
        origin.author.write("stacks.yaml", list.concat());
        for stack in stacks {
            origin.author.write(&format!("{stack}/compose.yml"), "services: {app: {image: app}}\n");
        }
        let compose = format!(
            "services:\n  app:\n    image: {image}\n    environment:\n      TITLE: ${{TITLE:?what readers see first}}\n      \
             THEME: ${{THEME:-plain}}\n      DEBUG: ${{DEBUG:-false}}\n      HOST: ${{HOST:-blog.example.org}}\n    \
             volumes: [data:/data]\n    deploy: {{replicas: '${{COPIES:-1}}', update_config: {{monitor: 1s}}}}\nvolumes: {{data: {{}}}}\n"
        );
        let described = "title: A blog\ndescription: 'With a theme, for one host: a page for each of your thoughts.'\nparameters:\n  \
             TITLE: {label: Title}\n  THEME: {label: Theme, choices: [plain, dark, sepia]}\n  \
             COPIES: {label: Copies, help: one is enough to begin with, type: integer, min: 0, max: 3}\n  \
             DEBUG: {type: boolean}\n  HOST: {label: Host, pattern: '[a-z0-9.\\-]+'}\n";
        origin.author.write("templates/blog/compose.yml", compose);
        origin.author.write("templates/blog/template.yaml", described);
        origin.author.write("templates/wiki/compose.yml", "services: {app: {image: '${'}}\n");
        origin.author.write(
            "templates/notes/compose.yml",
            "services: {app: {image: 'notes:${TAG:-1}', environment: {DB: '${DB}'}, deploy: {replicas: 0}}}\n",
        );
        let described =
            format!("title: \"{SCRIPT}\"\nparameters: {{DB: {{secret: true, label: \"{SCRIPT}\"}}}}\n");
        origin.author.write("templates/notes/template.yaml", described).commit("first");
        origin.publish();
        origin
    }

    fn publish(&self) {
        self.author.publish(self.folder.path(), "r");
    }

    /// With a template whose stacks fail, with a word.
    pub fn sick(image: &str) -> Self {
        let origin = Self::new(image);
        let compose = format!(
            "services:\n  app:\n    image: {image}\n    entrypoint: [sh, -c, 'echo the disk is ${{WHAT:-full}}; exit 7']\n    \
             deploy: {{restart_policy: {{delay: 300s}}}}\n"
        );
        origin.author.write("templates/sick/compose.yml", compose).commit("a sick one");
        origin.publish();
        origin
    }

    pub fn bare(&self) -> PathBuf {
        self.folder.path().join("r.git")
    }

    pub fn git(&self, arguments: &[&str]) -> String {
        let mut git = command("git");
        git.current_dir(self.bare()).env("GIT_CONFIG_GLOBAL", "/dev/null").env("HOME", "/nonexistent");
        stdout_of(git.args(["-c", "safe.directory=*"]).args(arguments)).trim_end().to_owned()
    }

    pub fn commits(&self) -> usize {
        self.git(&["rev-list", "--count", "main"]).parse().unwrap()
    }

    /// Somebody writes a file with git.
    pub fn push(&self, path: &str, text: &str) {
        let bare = self.bare().display().to_string();
        self.author.git(["fetch", "--quiet", &bare, "main"]);
        self.author.git(["reset", "--quiet", "--hard", "FETCH_HEAD"]);
        self.author.write(path, text).commit("by hand");
        self.author.git(["push", "--quiet", &bare, "HEAD:main"]);
    }
}

/// The daemon that watches it, on the lab's Swarm.
fn blogs(lab: &'static Lab, origin: &Origin) -> (DockerOps, Site) {
    let ops = DockerOps::new(lab).env("DOCKEROPS_DEPLOY_TIMEOUT", "60").env("DOCKEROPS_REPOS", origin.bare());
    let ops = ops.that_listens().env("DOCKEROPS_WRITE_TOKEN", WRITE);
    let site = ops.site();
    (ops, site)
}

fn sign_in(browser: &Browser, site: &Site) {
    browser.open(&format!("http://ann:{WRITE}@{}/sign-in", site.address));
    browser.open(&format!("http://{}/", site.address));
}

/// Nothing of the page leaves the screen or is too pale, in any light.
#[track_caller]
pub fn fits(browser: &Browser, name: &str) {
    for (width, dark) in [(1280, false), (1280, true), (390, false), (390, true)] {
        browser.screen(width, dark);
        let wider = "return [...document.querySelectorAll('*')].filter(it => it.checkVisibility() && !it.closest('.hidden, .skip') \
            && it.getBoundingClientRect().right > innerWidth + 1).map(it => it.outerHTML.slice(0, 200))";
        assert_eq!(browser.run(wider), json!([]), "{name} is wider than {width}");
        assert_eq!(browser.run(CONTRAST), json!([]), "{name}: too pale");
        browser.picture(&format!("{name}-{width}-{}", if dark { "dark" } else { "light" }));
    }
    browser.screen(1280, false);
    let names = "return [...document.querySelectorAll('a, button, input:not([type=hidden]), select, textarea')]\
        .filter(it => !it.textContent.trim() && !it.ariaLabel && !it.labels?.length).length";
    assert_eq!(browser.run(names), 0, "{name}: something has no name for a screen reader");
}

/// No script of a repository ran, nothing failed but what was to, and nobody else was asked for anything.
#[track_caller]
pub fn asks_nobody_else(browser: &Browser, site: &Site) {
    assert_ne!(browser.run("return document.title"), "owned");
    let errors: Vec<_> = browser.console().into_iter().filter(|it| !it.contains("409")).collect();
    assert_eq!(errors, Vec::<String>::new());
    let home = format!("http://{}/", site.address);
    for asked in browser.requests() {
        let own = ["data:", "chrome:", &home].iter().any(|start| asked.starts_with(start));
        let here = asked.split_once('@').is_some_and(|(_, rest)| rest.starts_with(&home["http://".len()..]));
        assert!(own || here, "it asked for {asked}");
    }
}

#[test]
fn a_new_user_makes_a_blog_changes_a_value_and_removes_it() {
    let Some(browser) = Browser::start() else { return };
    let Some(lab) = lab() else { return };
    let origin = Origin::new(&lab.image("app:1"));
    let (ops, site) = blogs(lab, &origin);
    let name = ops.unique("blog");
    let value = |field: &str| browser.run(&format!("return document.getElementsByName('{field}')[0].value"));
    let environment = || lab.spec(&format!("{name}_app"), "json .Spec.TaskTemplate.ContainerSpec.Env");
    browser.open(&format!("http://{}/", site.address));
    assert!(!browser.text().contains("Make a stack"), "only who may write is asked to");
    sign_in(&browser, &site);
    let text = browser.text();
    for words in
        ["With a theme, for one host", "no stack is made from it", "No stack can be made from it", SCRIPT]
    {
        assert!(text.contains(words), "no {words}: {text}");
    }
    fits(&browser, "cards");

    // By keyboard alone; what is wrong stands at its field, has the focus and loses nothing.
    browser.click(".card a[href='new/blog']");
    browser.until("document.activeElement.id === 'name'");
    fits(&browser, "form");
    // In the order of the fields: name, COPIES, DEBUG, HOST, THEME, TITLE.
    browser.keys("idle\u{E004}1\u{E004}\u{E004}\u{E004}\u{E004}Ann's \"thoughts\" $5 & <b>\u{E007}");
    browser.until("document.querySelector('[aria-invalid]')");
    assert_eq!(browser.run("return document.activeElement.id"), "name");
    let said = browser.run("return document.getElementById(document.activeElement.getAttribute('aria-describedby').split(' ')[1]).innerText");
    assert!(said.as_str().unwrap().contains("already"), "{said}");
    assert_eq!(value("option-TITLE"), "Ann's \"thoughts\" $5 & <b>");
    fits(&browser, "mistake");
    browser.fill("#name", &name);
    browser.keys("\u{E007}");
    browser.until("document.querySelector('button[value=commit]')");
    let text = browser.text();
    for words in [
        &format!("Deploy {name} from blog"),
        &format!("{name} is deployed: app is new"),
        "+COPIES=1",
        "replicas: \"${COPIES:-1}\"",
    ] {
        assert!(text.contains(words), "no {words}: {text}");
    }
    fits(&browser, "preview");
    assert_eq!(origin.commits(), 1);
    browser.click("button[value=back]");
    browser.until("document.getElementById('name')");
    assert_eq!([value("name"), value("option-COPIES")], [json!(name), json!("1")]);
    browser.click("button[value=preview]");
    browser.until("document.querySelector('button[value=commit]')");
    browser.click("button[value=commit]");
    browser.until("document.querySelector('.job')?.innerText.includes('is done')");
    browser.until("document.querySelector('.panel .tasklist')?.innerText.includes('running')");
    assert_eq!((origin.commits(), lab.tasks(&name).len()), (2, 1));
    assert!(environment().contains("Ann's \\\"thoughts\\\" $5 & <b>"), "{}", environment());
    browser.until("document.body.innerText.includes('1 stack is made from it')");
    fits(&browser, "made");

    // The template moves on; what is committed takes it.
    let compose = origin.git(&["show", "main:templates/blog/compose.yml"]);
    origin.push("templates/blog/compose.yml", &format!("{compose}\n# newer\n"));
    browser.click("#do-all-sync");
    browser.until("document.querySelector('.job')?.innerText.includes('all sources is done')");
    browser.click(&format!("#stack-{name}"));
    browser.until("document.querySelector('.panel')?.innerText.includes('which was changed since')");
    browser.click(".panel a[href$='/edit']");
    browser.until("document.body.innerText.includes('was changed since this stack')");
    assert_eq!(value("option-TITLE"), "Ann's \"thoughts\" $5 & <b>");
    browser.fill("[name=option-TITLE]", "Bob's");
    browser.run("document.querySelector('[name=option-THEME]').value = 'sepia'");
    fits(&browser, "edit");
    browser.click("button[value=preview]");
    browser.until("document.querySelector('button[value=commit]')");
    let text = browser.text();
    for words in
        [&format!("Update {name} from blog: THEME, TITLE"), &format!("{name} rolls: app rolls"), "+# newer"]
    {
        assert!(text.contains(words), "no {words}: {text}");
    }
    fits(&browser, "change");
    browser.click("button[value=commit]");
    browser.until("document.querySelector('.job')?.innerText.includes('is done')");
    assert!(
        environment().contains("TITLE=Bob's") && environment().contains("THEME=sepia"),
        "{}",
        environment()
    );

    browser.until("document.querySelector('.panel')");
    browser.click(".panel a[href$='/remove']");
    browser.until("document.querySelector('button[value=commit]')");
    let text = browser.text();
    for words in
        [&format!("Remove {name}?"), &format!("{name} is removed"), &format!("Stays: the volume {name}_data")]
    {
        assert!(text.contains(words), "no {words}: {text}");
    }
    fits(&browser, "remove");
    browser.click("button[value=commit]");
    browser.until("document.querySelector('.job')?.innerText.includes('is done')");
    browser.until(&format!("!document.querySelector('.stacks').innerText.includes('{name}')"));
    wait_for("its end", 30, || lab.tasks(&name).is_empty());
    assert_eq!(origin.git(&["ls-tree", "--name-only", "main", &name]), "");
    asks_nobody_else(&browser, &site);
}

#[test]
fn a_stack_is_made_and_followed_without_javascript() {
    let Some(browser) = Browser::start() else { return };
    let Some(lab) = lab() else { return };
    let origin = Origin::new(&lab.image("app:1"));
    let (ops, site) = blogs(lab, &origin);
    let name = ops.unique("blog");
    browser.chromium("Emulation.setScriptExecutionDisabled", &json!({"value": true}));
    browser.screen(390, false);
    sign_in(&browser, &site);
    browser.click(".card a[href='new/blog']");
    browser.fill("#name", &name);
    browser.fill("[name=option-TITLE]", "plain");
    browser.click("button[value=preview]");
    browser.click("button[value=commit]");
    // It is loaded again and again by itself, until the job has ended.
    browser.until_there("p.job:not([data-busy])");
    browser.until_there(".panel .tasklist li");
    assert_eq!(lab.tasks(&name).len(), 1);
    browser.click(".panel a[href$='/remove']");
    browser.click("button[value=commit]");
    browser.until_there("p.job:not([data-busy])");
    wait_for("its end", 30, || lab.tasks(&name).is_empty());
    browser.picture("without-javascript-390");
}
