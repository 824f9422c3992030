//! What the cases are made of: the corpus, and files that bring more of docker's features together.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::ours;
use super::tree::Tree;
use crate::rng::Rng;

const BY_HAND: [&str; 6] = [
    r#"version: "3.8"
services:
  web:
    image: nginx:1
    command: [nginx, "-g", "daemon off;"]
    entrypoint: /bin/start --now "two words"
    environment: {LEVEL: high, EMPTY: "", FROM_PROCESS: , NUM: 12, TEXT: "a b"}
    env_file: [app.env, ./app.env]
    labels: {com.example.role: "front end", other: x}
    hostname: front
    user: "1000:1000"
    working_dir: /srv/www
    configs: [site, {source: page, target: /srv/page, uid: "33", mode: 0440}]
    secrets: [token, {source: other, target: renamed, mode: 256}]
    volumes:
      - data:/data
      - /etc/hosts:/host/hosts:ro
      - {type: volume, source: data, target: /again, read_only: true}
    networks: [front, back]
    ports: ["8080:80", {target: 443, published: 8443, mode: host}]
    deploy:
      replicas: 2
      labels: {traefik.enable: "true"}
      placement: {constraints: ["node.role == manager"]}
    logging: {driver: json-file, options: {max-size: "10m"}}
    healthcheck: {test: [CMD, curl, "http://localhost/"], interval: 10s}
    dns: [1.1.1.1]
    extra_hosts: ["other:10.0.0.1"]
    cap_add: [NET_ADMIN]
    stop_signal: SIGINT
configs:
  site: {file: ./site.conf}
  page: {file: ../shared/site.conf, labels: {a: b}}
secrets:
  token: {file: token}
  other: {file: ./linked-token}
networks: {front: {driver: overlay}, back: {internal: true}}
volumes: {data: {driver: local}}
"#,
    r#"version: "3.8"
x-common: &common
  image: app:1
  environment: &env {ONE: "1", TWO: two}
  labels: [first=1, second]
x-text: &text some words
services:
  one: {<<: *common, command: run one}
  two:
    <<: [{user: nobody}, *common]
    environment: {<<: *env, THREE: *text}
    configs: [site]
configs: {site: {file: ./site.conf}}
"#,
    r#"version: "3.8"
services:
  app:
    image: ${IMAGE:-app}:${TAG:-1}
    environment:
      - A=$FROM_PROCESS
      - B=${FROM_DOTENV}
      - C=$${HOME}
      - FROM_BOTH
    labels: ["v=${NUMBER}", "price=5$$"]
    configs: [site]
configs:
  site:
    file: ${FILE}
"#,
    r#"x-note: a
version: "3.8"
services:
  app:
    image: app:1
    environment: {NOTE: b}
    secrets: [token]
x-last: words at the end
secrets:
  token:
    file: link/../token
"#,
    r#"{"version": "3.8", "services": {"app": {"image": "app:1", "command": ["a", "b c"],
 "environment": {"A": "1", "B": null, "C": 3}, "volumes": ["data:/data"], "secrets": ["token"]}},
 "volumes": {"data": null}, "secrets": {"token": {"file": "./token"}}}
"#,
    r#"version: "3.8"
services:
  app:
    image: app:1
    command: >-
      run --with
      many words
    environment:
      SCRIPT: |
        first line
        second line
      QUOTED: 'it''s'
    volumes: ["/var/lib/thing:/thing"]
    configs:
      - source: site
        target: /etc/site.conf
configs:
  site:
    file: ./site.conf
"#,
];

/// A file to begin with, and the names in it that a stack may have but once.
#[derive(Debug)]
pub struct Seed {
    text: String,
    names: BTreeSet<String>,
}

/// All of them; those that docker refuses count, but not often.
pub fn all() -> Vec<Seed> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut texts: Vec<_> = files
        .iter()
        .filter(|file| !file.file_name().unwrap().to_string_lossy().starts_with("refused-"))
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    // A third of the cases begins with one that has much in it.
    texts.extend(BY_HAND.iter().cycle().take(texts.len() / 2).map(|text| (*text).to_owned()));
    texts.into_iter().map(Seed::of).collect()
}

impl Seed {
    fn of(text: String) -> Self {
        let tree = ours::parse(&text).unwrap_or(Tree::Map(Vec::new()));
        let sections = ["services", "configs", "secrets", "networks", "volumes"];
        let names = sections.iter().flat_map(|section| tree.section(section).into_keys());
        Self { names: names.filter(|name| name != "default").collect(), text }
    }

    /// The text with `suffix` at every name, so that many cases can be one stack.
    pub fn named(&self, suffix: &str) -> String {
        let is_word = |letter: char| letter.is_ascii_alphanumeric() || "_-".contains(letter);
        let mut out = String::new();
        let mut rest = self.text.as_str();
        while let Some(letter) = rest.chars().next() {
            let length = rest.find(|letter| !is_word(letter)).unwrap_or(rest.len());
            if length == 0 {
                out.push(letter);
                rest = &rest[letter.len_utf8()..];
                continue;
            }
            let (word, after) = rest.split_at(length);
            out.push_str(word);
            // Not in paths, images and keys of other things.
            let before = &out[..out.len() - length];
            let is_path = before.ends_with(['/', '.', '$', '='])
                || before.ends_with("${")
                || after.starts_with(['.', '/']);
            let is_file = out.ends_with("file: token");
            if self.names.contains(word) && !is_path && !is_file {
                out.push_str(suffix);
            }
            rest = after;
        }
        out
    }
}

/// Letters that no other case near this one has.
pub fn suffix(rng: &mut Rng) -> String {
    let letters = b"bcdfghjklmnpqrstvwxz";
    (0..4).map(|_| char::from(letters[rng.below(letters.len())])).collect()
}

#[test]
fn names_are_changed_and_paths_are_not() {
    let seed = Seed::of("services: {app: {image: a/app, secrets: [token, {source: token}]}}\nsecrets: {token: {file: ./token}}\n".into());
    let named = "services: {appx: {image: a/app, secrets: [tokenx, {source: tokenx}]}}\nsecrets: {tokenx: {file: ./token}}\n";
    assert_eq!(seed.named("x"), named);
}

#[test]
fn seeds_are_files_that_docker_takes() {
    let seeds = all();
    let implausible: Vec<_> = seeds
        .iter()
        .filter(|seed| !ours::parse(&seed.text).is_some_and(|tree| super::schema::is_plausible(&tree)))
        .map(|seed| seed.text.as_str())
        .collect();
    assert!(implausible.len() * 10 < seeds.len(), "{}\n{}", implausible.len(), implausible.join("\n---\n"));
}
