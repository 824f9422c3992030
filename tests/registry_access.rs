//! How registries are reached: TLS, Docker Hub's token service, and credentials that go to nobody else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use crate::support::dockerops::{DockerOps, Outcome};
use crate::support::fake_docker::FakeDocker;
use crate::support::lab::{Lab, lab};
use crate::support::registry::{Registry, certificates};
use crate::support::scene::{App, Scene, compose};
use crate::support::{command, unique, wait_for};

const USER: &str = "robot";
const PASSWORD: &str = "hunter2-s3cret";
/// `robot:hunter2-s3cret`, as `config.json` and `Authorization` have it.
const BASE64: &str = "cm9ib3Q6aHVudGVyMi1zM2NyZXQ=";
/// The same for an htpasswd file.
const BCRYPT: &str = "$2y$05$abcdefghijklmnopqrstuudc6TwHDC38lkOMnpDnsPG4EUan2XG..";
/// Of the stand-in for Docker Hub.
const HUB: &str = "10.77.0.253";

/// The real registry once more, with TLS and a password, on the same images.
struct Private(Child);

impl Private {
    fn start(lab: &Lab, folder: &Path, address: &str) -> Self {
        fs::write(folder.join("htpasswd"), format!("{USER}:{BCRYPT}\n")).unwrap();
        let (at, storage) = (folder.display(), lab.folder().join("registry"));
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: \"{address}\", tls: {{certificate: {at}/server.crt, key: {at}/server.key}}}}\n\
             auth: {{htpasswd: {{realm: private, path: {at}/htpasswd}}}}\n",
            storage.display()
        );
        fs::write(folder.join("config.yml"), config).unwrap();
        let mut registry = command("ip");
        registry.args(["netns", "exec", lab.network_namespace(), "docker-registry", "serve"]);
        registry.arg(folder.join("config.yml")).stdout(Stdio::null()).stderr(Stdio::null());
        Self(registry.spawn().unwrap())
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Nowhere is anything of the credential: not in what was printed, stored, or handed to docker.
fn shows_nothing(scene: &Scene, outcome: &Outcome) {
    let database = String::from_utf8_lossy(&fs::read(scene.ops.database()).unwrap()).into_owned();
    let calls = scene.docker.calls().join("\n");
    let environment = scene.docker.environment().join("\n");
    for (place, text) in [
        ("stdout", &outcome.stdout),
        ("stderr", &outcome.stderr),
        ("database", &database),
        ("docker's arguments", &calls),
        ("docker's environment", &environment),
    ] {
        for secret in [PASSWORD, BASE64] {
            assert!(!text.contains(secret), "{secret} in {place}");
        }
    }
}

fn auths(server: &str, entry: &str) -> String {
    format!("{{\"auths\": {{\"{server}\": {{{entry}}}}}}}")
}

#[test]
fn a_registry_with_tls_and_a_password_is_asked_with_dockers_own_credentials() {
    let Some(lab) = lab() else { return };
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path(), "IP:10.77.0.254");
    let address = "10.77.0.254:5443";
    let _private = Private::start(lab, folder.path(), address);
    let stranger = Registry::start(lab, &[]);
    let scene = Scene::before(lab, FakeDocker::new());
    let ops = scene.ops.beside_the_registry(lab).always().env("SSL_CERT_FILE", folder.path().join("ca.crt"));
    let scene = Scene { ops, ..scene };
    scene.ops.docker_config(&auths(address, &format!("\"auth\": \"{BASE64}\"")));
    let (short, other) = (format!("{}:1", unique("private")), format!("{}:1", unique("public")));
    lab.publish(&short, &[]);
    lab.publish(&other, &[]);
    let (image, public) = (format!("{address}/{short}"), format!("{}/{other}", stranger.name(lab)));
    wait_for("the private registry", 20, || {
        let mut curl = command("ip");
        curl.args(["netns", "exec", lab.network_namespace(), "curl", "-sk", "-o", "/dev/null"]);
        curl.arg(format!("https://{address}/v2/")).status().unwrap().success()
    });
    let stack = scene.ops.unique("private");
    let off = App::new(&public).replicas(0);
    scene.repo.stack(&stack, &compose([("app", &App::new(&image)), ("public", &off)]));
    let outcome = scene.watch();
    outcome.success().stdout_has("1 deployed").stdout_lacks("note");
    shows_nothing(&scene, &outcome);
    let service = format!("{stack}_app");
    let digest = lab.publish(&short, &[]);
    let outcome = scene.reconcile();
    outcome.success().stdout_has("1 deployed").stdout_lacks("note");
    shows_nothing(&scene, &outcome);
    assert_eq!(lab.runs(&service), format!("{image}@{digest}"));

    // The same by a helper, which is asked by its standard input.
    let helper = scene.docker.folder().join("docker-credential-lab");
    let script = format!(
        "#!/bin/sh\nread -r server\necho \"$1 $server\" >>'{0}/helped'\n[ \"$server\" = {address} ] || {{ echo 'credentials not found in native keychain'; exit 1; }}\n\
         echo '{{\"ServerURL\":\"{address}\",\"Username\":\"{USER}\",\"Secret\":\"{PASSWORD}\"}}'\n",
        folder.path().display()
    );
    let draft = folder.path().join("helper");
    fs::write(&draft, script).unwrap();
    assert!(command("install").args(["-m", "755"]).arg(&draft).arg(&helper).status().unwrap().success());
    for config in
        [format!("{{\"credHelpers\": {{\"{address}\": \"lab\"}}}}"), "{\"credsStore\": \"lab\"}".to_owned()]
    {
        scene.ops.docker_config(&config);
        let outcome = scene.reconcile();
        outcome.success().stdout_has("1 unchanged").stdout_lacks("note");
        shows_nothing(&scene, &outcome);
    }
    let log = fs::read_to_string(folder.path().join("helped")).unwrap();
    assert_eq!(log.lines().filter(|line| *line == format!("get {address}")).count(), 2, "{log}");

    // Without, with a wrong one, and with one that cannot be read: the registry's words, and all stays.
    let tasks = lab.tasks(&stack);
    for (config, words) in [
        ("{}".to_owned(), "answers 401 Unauthorized: UNAUTHORIZED: authentication required"),
        (auths(address, "\"auth\": \"cm9ib3Q6d3Jvbmc=\""), "answers 401 Unauthorized: UNAUTHORIZED"),
        (format!("{{\"auths\": {BASE64}"), "is not docker's configuration"),
        ("{\"credsStore\": \"missing\"}".to_owned(), "`docker-credential-missing`"),
    ] {
        scene.ops.docker_config(&config);
        let outcome = scene.reconcile();
        outcome.success().stdout_has(words).stdout_has("1 unchanged");
        shows_nothing(&scene, &outcome);
    }
    assert_eq!(lab.tasks(&stack), tasks);
    let leaked = stranger.log().into_iter().filter(|entry| entry["authorization"] != "").count();
    assert_eq!(leaked, 0, "nobody else gets a credential");

    // A certificate that nobody vouches for is refused, unless docker trusts the registry anyway: it does here.
    let scene = Scene { ops: scene.ops.env("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt"), ..scene };
    scene.ops.docker_config(&auths(address, &format!("\"auth\": \"{BASE64}\"")));
    scene.reconcile().success().stdout_has("1 unchanged").stdout_lacks("note");
    let picky =
        scene.docker.prints("info", "{\"InsecureRegistryCIDRs\":[\"127.0.0.0/8\"],\"IndexConfigs\":{}}");
    let scene = Scene { docker: picky, ..scene };
    scene.reconcile().success().stdout_has("cannot be asked: ").stdout_has("1 unchanged");
}

/// Docker Hub's host names lead to the stand-in, for DockerOps and for both nodes, which trust its authority.
fn hub(lab: &Lab) -> PathBuf {
    let folder = lab.folder().join("hub");
    if !folder.exists() {
        fs::create_dir(&folder).unwrap();
        certificates(&folder, "DNS:registry-1.docker.io,DNS:auth.docker.io,DNS:elsewhere.example");
        let hosts =
            format!("127.0.0.1 localhost\n{HUB} registry-1.docker.io auth.docker.io elsewhere.example\n");
        fs::write(folder.join("hosts"), hosts).unwrap();
        let mut address = command("ip");
        address.args([
            "netns",
            "exec",
            lab.network_namespace(),
            "ip",
            "addr",
            "add",
            &format!("{HUB}/24"),
            "dev",
            "br0",
        ]);
        assert!(address.status().unwrap().success());
        for node in [1, 2] {
            let at = folder.display();
            lab.on_node(
                node,
                &format!("cat {at}/hosts >>/etc/hosts; cat {at}/ca.crt >>/etc/ssl/certs/ca-certificates.crt"),
            );
        }
    }
    folder
}

fn start_hub(lab: &Lab, folder: &Path, options: &[&str]) -> Registry {
    let (certificate, key) = (folder.join("server.crt"), folder.join("server.key"));
    let tls = ["--tls", certificate.to_str().unwrap(), key.to_str().unwrap()];
    let realm = ["--realm", "https://auth.docker.io/token", "--service", "registry.docker.io"];
    Registry::start_at(lab, HUB, &[&["--port", "443"], &tls[..], &realm, options].concat())
}

fn with_hosts(ops: DockerOps, lab: &Lab, folder: &Path) -> DockerOps {
    let script = format!("mount --bind {}/hosts /etc/hosts && exec \"$@\"", folder.display());
    let ops = ops.through(["unshare", "--mount", "bash", "-c", &script, "bash"]);
    ops.beside_the_registry(lab).always().env("SSL_CERT_FILE", folder.join("ca.crt"))
}

#[test]
fn docker_hub_is_asked_by_its_own_names_and_its_token_service() {
    let Some(lab) = lab() else { return };
    let folder = hub(lab);
    let stand_in = start_hub(lab, &folder, &[]);
    let scene = Scene::before(lab, FakeDocker::new());
    let scene = Scene { ops: with_hosts(scene.ops, lab, &folder), ..scene };
    let name = unique("hub");
    let short = |tag: u8| format!("library/{name}:{tag}");
    for tag in [1, 2] {
        lab.publish(&short(tag), &[]);
    }
    let stack = scene.ops.unique("hub");
    let [one, two] = [1, 2].map(|tag| App::new(&format!("{name}:{tag}")).replicas(0));
    scene.repo.stack(&stack, &compose([("one", &one), ("two", &two)]));
    let outcome = scene.watch();
    outcome.success().stdout_has("1 deployed").stdout_lacks("note");
    let head = |tag: u8| format!("HEAD /v2/library/{name}/manifests/{tag}");
    let token = format!("GET /token?service=registry.docker.io&scope=repository%3Alibrary%2F{name}%3Apull");
    let mut wanted = vec!["GET /v2/".to_owned(), token.clone(), head(1), head(2)];
    wanted.sort_unstable();
    let asked = |stand_in: &Registry| {
        stand_in
            .asked()
            .into_iter()
            .map(|line| {
                line.replace("repository:library/", "repository%3Alibrary%2F").replace(":pull", "%3Apull")
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(asked(&stand_in), wanted);
    stand_in.forget();
    scene.reconcile().success().stdout_has("1 unchanged");
    assert_eq!(asked(&stand_in), wanted, "unchanged: one token, one request a tag");
    assert_eq!(
        scene.docker.calls().len(),
        2,
        "docker is not asked of Docker Hub: {:?}",
        scene.docker.calls()
    );
    let digest = lab.publish(&short(2), &[]);
    stand_in.forget();
    scene.reconcile().success().stdout_has("1 deployed");
    assert_eq!(asked(&stand_in), wanted, "changed: the same");
    assert_eq!(lab.runs(&format!("{stack}_two")), format!("{name}:2@{digest}"));

    // Its rate limit.
    stand_in.fault("429");
    stand_in.forget();
    scene.reconcile().success().stdout_has("`docker.io` answers 429 Too Many Requests; try again in 77 s");
    assert_eq!(asked(&stand_in), wanted, "and it is not asked more for that");
    drop(stand_in);

    // With credentials, which its token service gets; the registry gets the token.
    let index = "https://index.docker.io/v1/";
    let stand_in = start_hub(
        lab,
        &folder,
        &["--user", USER, "--password", PASSWORD, "--away", "https://elsewhere.example:444"],
    );
    let certificate = [folder.join("server.crt"), folder.join("server.key")];
    let [certificate, key] = certificate.each_ref().map(|file| file.to_str().unwrap());
    let elsewhere = Registry::start_at(lab, HUB, &["--port", "444", "--tls", certificate, key]);
    let calm = |words: &str| {
        let outcome = scene.reconcile();
        outcome.success().stdout_has("1 unchanged").stdout_has(words);
        shows_nothing(&scene, &outcome);
    };
    scene.ops.docker_config(&auths(index, &format!("\"auth\": \"{BASE64}\"")));
    calm("");
    let sent = |method: &str, part: &str| -> Vec<(String, String)> {
        let entries = stand_in.log().into_iter();
        let entries = entries
            .filter(|entry| entry["method"] == method && entry["path"].as_str().unwrap().contains(part));
        entries
            .map(|entry| {
                (
                    entry["host"].as_str().unwrap().to_owned(),
                    entry["authorization"].as_str().unwrap().to_owned(),
                )
            })
            .collect()
    };
    assert_eq!(sent("GET", "/token"), [("auth.docker.io".to_owned(), format!("Basic {BASE64}"))]);
    let bearer = ("registry-1.docker.io".to_owned(), "Bearer token-of-the-service".to_owned());
    assert_eq!(sent("HEAD", "manifests"), [bearer.clone(), bearer]);
    scene.ops.docker_config(&auths(index, &format!("\"identitytoken\": \"{PASSWORD}\"")));
    stand_in.forget();
    calm("");
    assert_eq!(sent("POST", "/token"), [("auth.docker.io".to_owned(), String::new())]);
    scene.ops.docker_config(&auths(index, "\"auth\": \"cm9ib3Q6d3Jvbmc=\""));
    calm(
        "its token service `https://auth.docker.io/token` answers 401 Unauthorized: incorrect username or password",
    );

    // A redirect takes no token along.
    scene.ops.docker_config(&auths(index, &format!("\"auth\": \"{BASE64}\"")));
    stand_in.fault("away");
    calm("");
    let there: Vec<_> = elsewhere.log().into_iter().map(|entry| entry["authorization"].clone()).collect();
    assert_eq!(there, ["", ""]);
}

#[test]
fn a_registry_leads_nobody_to_this_machine() {
    let Some(lab) = lab() else { return };
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path(), "IP:127.0.0.1,DNS:localhost");
    let files = [folder.path().join("server.crt"), folder.path().join("server.key")];
    let [certificate, key] = files.each_ref().map(|file| file.to_str().unwrap());
    let inner = Registry::start_at(lab, "127.0.0.1", &["--tls", certificate, key]);
    let port = inner.port();

    let registry = Registry::start(lab, &[]);
    let name = format!("{}:1", unique("leading"));
    lab.publish(&name, &[]);
    let scene = Scene::before(lab, FakeDocker::new());
    let ops = scene.ops.beside_the_registry(lab).always().env("SSL_CERT_FILE", folder.path().join("ca.crt"));
    let scene = Scene { ops, ..scene };
    let stack = scene.ops.unique("leading");
    let image = App::new(&format!("{}/{name}", registry.name(lab))).replicas(0);
    scene.repo.stack(&stack, &compose([("app", &image)]));
    scene.watch().success().stdout_has("1 deployed");
    let at = registry.port().to_string();
    drop(registry);

    for (options, words) in [
        (
            ["--away", &format!("https://localhost:{port}")],
            "`localhost` is this machine, and was only led to",
        ),
        (["--away", &format!("http://127.0.0.1:{port}")], "`127.0.0.1` is this machine, and was only led to"),
        (["--realm", &format!("https://127.0.0.1:{port}/token")], "names a token service it may not"),
        (["--realm", &format!("https://localhost:{port}/token")], "`localhost` is this machine"),
    ] {
        let registry = Registry::start(lab, &[&["--port", &at], &options[..]].concat());
        registry.fault("away");
        scene.reconcile().success().stdout_has(words).stdout_has("refused").stdout_has("1 unchanged");
    }
    assert!(inner.log().is_empty(), "{:?}", inner.log());
}
