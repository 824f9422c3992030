//! Chromium without a window, driven by chromedriver over the W3C's `WebDriver`.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use ureq::Agent;

use super::{command, programs, wait_for};

/// Ends when dropped.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    agent: Agent,
    base: String,
    folder: TempDir,
}

impl Browser {
    /// `None`, and a word on stderr, where it is not installed; `DOCKEROPS_TEST_STRICT=1` forbids that.
    pub fn start() -> Option<Self> {
        if programs("chromedriver").is_empty() || programs("chromium").is_empty() {
            // Ubuntu has it as a snap alone, which `tests/install.sh` does not install.
            let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
            let strict = std::env::var_os("DOCKEROPS_TEST_STRICT").is_some_and(|value| value == "1");
            assert!(
                !strict || release.contains("\nID=ubuntu"),
                "no chromium and chromedriver, and DOCKEROPS_TEST_STRICT forbids to skip"
            );
            eprintln!("skipped: the page in a browser: no chromium and chromedriver");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let mut driver = command("chromedriver");
        driver.env("HOME", folder.path()).env("TMPDIR", folder.path()).arg(format!("--port={port}"));
        let driver = driver.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let config = Agent::config_builder().http_status_as_error(false);
        let agent: Agent = config.timeout_global(Some(Duration::from_secs(60))).build().into();
        let mut browser = Self { driver, agent, base: format!("http://127.0.0.1:{port}"), folder };
        wait_for("chromedriver", 30, || browser.agent.get(format!("{}/status", browser.base)).call().is_ok());
        let profile = browser.folder.path().join("profile");
        let options = json!({"args": [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--window-size=1280,900",
            format!("--user-data-dir={}", profile.display()),
        ]});
        let logs = json!({"browser": "ALL", "performance": "ALL"});
        let wanted = json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": options, "goog:loggingPrefs": logs}}});
        let session = browser.call("POST", "/session", &wanted)["sessionId"].as_str().unwrap().to_owned();
        browser.base += &format!("/session/{session}");
        Some(browser)
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let url = format!("{}{path}", self.base);
        let mut answer = match method {
            "GET" => self.agent.get(&url).call(),
            "DELETE" => self.agent.delete(&url).call(),
            _ => self.agent.post(&url).header("content-type", "application/json").send(body.to_string()),
        }
        .unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        assert!(answer.status().is_success(), "{method} {path} {body}: {text}");
        value["value"].clone()
    }

    /// Goes to an address.
    pub fn open(&self, url: &str) {
        self.call("POST", "/url", &json!({ "url": url }));
    }

    /// Runs a script's body in the page; what it returns.
    pub fn run(&self, script: &str) -> Value {
        self.call("POST", "/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Waits until the expression is true in the page.
    #[track_caller]
    pub fn until(&self, expression: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.run(&format!("return Boolean({expression})")) != true {
            assert!(
                Instant::now() < deadline,
                "in vain for {expression}:\n{}\n{:?}",
                self.text(),
                self.console()
            );
            sleep(Duration::from_millis(100));
        }
    }

    /// What a reader sees of the page.
    pub fn text(&self) -> String {
        self.run("return document.body.innerText").as_str().unwrap().to_owned()
    }

    /// Clicks as a hand does; fails where something lies above it.
    pub fn click(&self, selector: &str) {
        let found = self.call("POST", "/element", &json!({ "using": "css selector", "value": selector }));
        let id = found.as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned();
        self.call("POST", &format!("/element/{id}/click"), &json!({}));
    }

    /// Waits until there is such an element; works where the page may run no script.
    #[track_caller]
    pub fn until_there(&self, selector: &str) {
        let wanted = json!({ "using": "css selector", "value": selector });
        let is_there =
            || self.call("POST", "/elements", &wanted).as_array().is_some_and(|all| !all.is_empty());
        wait_for(selector, 60, is_there);
    }

    /// Puts `text` into a field, in the place of what is there.
    pub fn fill(&self, selector: &str, text: &str) {
        let found = self.call("POST", "/element", &json!({ "using": "css selector", "value": selector }));
        let id = found.as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned();
        self.call("POST", &format!("/element/{id}/clear"), &json!({}));
        self.call("POST", &format!("/element/{id}/value"), &json!({ "text": text }));
    }

    /// Types on the keyboard, wherever the focus is. `\u{E004}` is Tab, `\u{E007}` Enter.
    pub fn keys(&self, keys: &str) {
        let actions: Vec<_> = keys
            .chars()
            .flat_map(|key| {
                ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key.to_string() }))
            })
            .collect();
        self.call(
            "POST",
            "/actions",
            &json!({"actions": [{"type": "key", "id": "keyboard", "actions": actions}]}),
        );
    }

    /// A command of Chromium's own protocol.
    pub fn chromium(&self, name: &str, parameters: &Value) -> Value {
        self.call("POST", "/goog/cdp/execute", &json!({ "cmd": name, "params": parameters }))
    }

    /// Looks at the page on another screen.
    pub fn screen(&self, width: u32, dark: bool) {
        let scheme = if dark { "dark" } else { "light" };
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.chromium("Emulation.setEmulatedMedia", &media);
        let metrics = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500});
        self.chromium("Emulation.setDeviceMetricsOverride", &metrics);
    }

    /// Everything that the page said to the console so far and not been told yet.
    pub fn console(&self) -> Vec<String> {
        self.log("browser").iter().map(|entry| entry["message"].to_string()).collect()
    }

    /// Every address that was asked for since the last time.
    pub fn requests(&self) -> Vec<String> {
        let sent = |entry: &Value| {
            let message: Value = serde_json::from_str(entry["message"].as_str()?).ok()?;
            let message = &message["message"];
            let is_request = message["method"] == "Network.requestWillBeSent";
            is_request.then(|| message["params"]["request"]["url"].as_str().unwrap_or_default().to_owned())
        };
        self.log("performance").iter().filter_map(sent).collect()
    }

    fn log(&self, kind: &str) -> Vec<Value> {
        self.call("POST", "/se/log", &json!({ "type": kind })).as_array().unwrap().clone()
    }

    /// Keeps a picture of the whole page where `DOCKEROPS_TEST_PICTURES` names a folder.
    pub fn picture(&self, name: &str) {
        let Some(folder) = std::env::var_os("DOCKEROPS_TEST_PICTURES") else { return };
        let picture = self.chromium("Page.captureScreenshot", &json!({"captureBeyondViewport": true}));
        let bytes = BASE64_STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
        fs::create_dir_all(&folder).unwrap();
        fs::write(Path::new(&folder).join(format!("{name}.png")), bytes).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its end ends the browser.
        let _ = self.agent.delete(&self.base).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
