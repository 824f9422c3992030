//! The table: what a repository may try. `@STACK` is its own stack, `@OUT` a file of the manager that is nobody's
//! business, `@VICTIM` a stack of another source, `@IMAGE` an image that runs, `@STATE` the folder of the database.

/// One repository.
#[derive(Debug)]
pub struct Case {
    /// What it tries.
    pub title: String,
    /// Its files.
    pub files: Vec<(String, String)>,
    /// Its symlinks and where they point.
    pub links: Vec<(String, String)>,
    /// Whether it must come to an error; else it may be deployed, harmlessly.
    pub is_refused: bool,
}

const COMPOSE: &str = "@STACK/docker-compose.yml";
const SERVICE: &str = "version: '3.8'\nservices:\n  app:\n    image: @IMAGE\n    deploy: {replicas: 0, update_config: {monitor: 1s}}\n";

impl Case {
    fn new(title: impl Into<String>, is_refused: bool) -> Self {
        let files = vec![("stacks.yaml".into(), "- name: @STACK\n".into()), (COMPOSE.into(), SERVICE.into())];
        Self { title: title.into(), files, links: Vec::new(), is_refused }
    }

    fn file(mut self, path: &str, text: impl Into<String>) -> Self {
        self.files.retain(|(known, _)| known != path);
        self.files.push((path.into(), text.into()));
        self
    }

    fn link(mut self, path: &str, target: &str) -> Self {
        self.files.retain(|(known, _)| known != path);
        self.links.push((path.into(), target.into()));
        self
    }

    /// With a compose file of one service, and this behind it.
    fn compose(self, more: &str) -> Self {
        self.file(COMPOSE, format!("{SERVICE}{more}"))
    }
}

/// Where a compose file names a file.
const PLACES: [(&str, &str); 6] = [
    ("a config", "configs: {c: {file: PATH}}\n"),
    ("a secret", "secrets: {s: {file: PATH}}\n"),
    ("a config with a template driver", "configs: {c: {template_driver: golang, file: PATH}}\n"),
    ("a config by a merge", "x-f: &f {file: PATH}\nconfigs: {c: {<<: *f}}\n"),
    ("a file of variables", "  other:\n    image: @IMAGE\n    deploy: {replicas: 0}\n    env_file: PATH\n"),
    (
        "a list of such files",
        "  other:\n    image: @IMAGE\n    deploy: {replicas: 0}\n    env_file: [good.env, PATH]\n",
    ),
];

/// Ways to the file outside, in quotes of YAML. `x` is a symlink to it, `deep` one to a folder elsewhere in the checkout
/// that has its own `x`, `up` one to the folder of the file.
const PATHS: [&str; 24] = [
    "\"@OUT\"",
    "\"./@OUT\"",
    "\"../../../../../../../../../../../..@OUT\"",
    "\"x\"",
    "\"./x\"",
    "\"deep/../x\"",
    "\"./deep/.././x\"",
    "\"deep/../../@STACK/x\"",
    "\"up/canary\"",
    "\"up/../up/canary\"",
    "\"deep/../up/canary\"",
    "\"~/../..@OUT\"",
    "\"~root/..@OUT\"",
    "\"$NOTHING@OUT\"",
    "\"${NOTHING}@OUT\"",
    "\"$A\u{17f}@OUT\"",
    "\"${\u{212a}}@OUT\"",
    "\"${NOTHING:-@OUT}\"",
    "\"${FROM_DOTENV}\"",
    "\"/proc/self/environ\"",
    "\"/proc/1/environ\"",
    "\"environ\"",
    "\"deep/../environ\"",
    "\"\\u002E\\u002e/../../../../../../../../../..@OUT\"",
];

fn paths() -> impl Iterator<Item = Case> {
    PLACES.iter().flat_map(|(place, text)| {
        PATHS.iter().map(move |path| {
            Case::new(format!("{place} at {path}"), true)
                .compose(&text.replace("PATH", path))
                .file("@STACK/good.env", "A=1\n")
                .file("@STACK/.env", "FROM_DOTENV=@OUT\n")
                .file("other/x", "not outside")
                .file("other/environ", "not outside")
                .file("other/dir/keep", "")
                .link("@STACK/x", "@OUT")
                .link("@STACK/environ", "/proc/1/environ")
                .link("@STACK/deep", "../other/dir")
                .link("@STACK/up", "@OUT/..")
        })
    })
}

/// Where `stacks.yaml` names a file or folder, and where a file does that is merged.
const LISTED: [(&str, &str, &str); 5] = [
    ("a folder", "- {name: '@STACK', folder: PATH}\n", ""),
    ("a listed file of variables", "- {name: '@STACK', env: [PATH]}\n", ""),
    ("a listed compose file", "- {name: '@STACK', compose: [docker-compose.yml, PATH]}\n", ""),
    (
        "a config of a merged file",
        "- {name: '@STACK', compose: [docker-compose.yml, over.yml]}\n",
        "configs: {c: {file: PATH}}\n",
    ),
    (
        "a file of variables of a merged file",
        "- {name: '@STACK', compose: [docker-compose.yml, over.yml]}\n",
        "services: {app: {env_file: [good.env, PATH]}}\n",
    ),
];

fn listed() -> impl Iterator<Item = Case> {
    paths().take(PATHS.len()).zip(PATHS).flat_map(|(case, path)| {
        LISTED.map(|(place, list, over)| {
            let (files, links) = (case.files.clone(), case.links.clone());
            Case { title: format!("{place} at {path}"), files, links, is_refused: true }
                .file(COMPOSE, SERVICE)
                .file("stacks.yaml", list.replace("PATH", path))
                .file("@STACK/over.yml", format!("version: '3.8'\n{}", over.replace("PATH", path)))
        })
    })
}

/// Letters that end a line, or are nothing, to some readers.
const LETTERS: [(&str, &str); 9] = [
    ("NEL", "\u{85}"),
    ("LS", "\u{2028}"),
    ("PS", "\u{2029}"),
    ("CR", "\r"),
    ("VT", "\u{b}"),
    ("FF", "\u{c}"),
    ("FS", "\u{1c}"),
    ("BOM", "\u{feff}"),
    ("NUL", "\0"),
];

/// What is to be hidden behind them, one line each.
const HIDDEN: [(&str, &str); 3] = [
    ("a section of configs", "configs:BREAK  c:BREAK    file: @OUT"),
    (
        "a service of the victim",
        "services:BREAK  evil:BREAK    image: @IMAGEBREAK    deploy:BREAK      labels:BREAK        dockerops.repository: x",
    ),
    ("an `env_file`", "    env_file: @OUTBREAKx-b: b"),
];

fn hidden_lines() -> impl Iterator<Item = Case> {
    LETTERS.iter().flat_map(|(name, letter)| {
        HIDDEN.iter().flat_map(move |(what, text)| {
            let hidden = text.replace("BREAK", letter);
            // Where these letters are letters to all, or line ends to all, the file may be fine, or fail for another reason.
            let is_refused = *name != "CR";
            let in_value = format!("x-a: a{letter}{hidden}{letter}");
            let in_comment = format!("# a{letter}{hidden}{letter}");
            [("a value", in_value), ("a comment", in_comment)].map(|(place, more)| {
                Case::new(format!("{what} behind {name} in {place}"), is_refused).compose(&(more + "\n"))
            })
        })
    })
}

/// Text that two readers may take for two things.
const TEXTS: [(&str, bool, &str); 33] = [
    ("a key twice", true, "configs: {c: {file: ./mine, file: '@OUT'}}\n"),
    ("a key twice, once in quotes", true, "configs: {c: {file: ./mine, \"file\": '@OUT'}}\n"),
    ("a key twice, once escaped", true, "configs: {c: {file: ./mine, \"\\x66ile\": '@OUT'}}\n"),
    (
        "a key twice beside a number above 2^64",
        true,
        "x-n: 99999999999999999999999\nconfigs: {c: {file: ./mine, file: '@OUT'}}\n",
    ),
    ("a section twice", true, "configs: {c: {file: ./mine}}\n'configs': {c: {file: '@OUT'}}\n"),
    ("a merge over a key", false, "configs: {c: {file: ./mine, <<: {file: '@OUT'}}}\n"),
    ("a list of merges over a key", false, "configs: {c: {file: ./mine, <<: [{file: '@OUT'}]}}\n"),
    ("a merge of a text", true, "configs: {c: {file: ./mine, <<: '@OUT'}}\n"),
    ("a merge key by its tag", true, "configs: {c: {!!merge '<<': {file: '@OUT'}}}\n"),
    ("a binary value", true, "configs: {c: {file: !!binary L2V0Yy9ob3N0bmFtZQ==}}\n"),
    ("a tag of its own", true, "configs: {c: {file: !include '@OUT'}}\n"),
    (
        "a tag by a directive",
        true,
        "configs: {c: {file: !<tag:yaml.org,2002:binary> L2V0Yy9ob3N0bmFtZQ==}}\n",
    ),
    ("an alias to a path", true, "x-o: &o '@OUT'\nconfigs: {c: {file: *o}}\n"),
    ("an anchor redefined", true, "x-o: &o ./mine\nx-p: &o '@OUT'\nconfigs: {c: {file: *o}}\n"),
    ("a second document", false, "---\nconfigs: {c: {file: '@OUT'}}\n"),
    ("a path as a block", true, "configs:\n  c:\n    file: >-\n      @OUT\n"),
    (
        "a path on two lines",
        true,
        "configs:\n  c:\n    file: \"..\\\n      /../../../../../../../../..@OUT\"\n",
    ),
    ("a path that is a number", true, "configs: {c: {file: 0o17}}\n"),
    ("no path", true, "configs: {c: {file: }}\n"),
    ("a path by `env_file` in long form", true, "  other: {image: '@IMAGE', env_file: [{path: '@OUT'}]}\n"),
    (
        "the key, not external by a tag",
        true,
        "configs: {k: {external: !!bool \"False\", name: dockerops-key, file: ./mine}}\n",
    ),
    (
        "the key, not external to docker 20.10",
        true,
        "configs: {k: {external: n, name: dockerops-key, file: ./mine}}\n",
    ),
    ("the key, external", true, "configs: {k: {external: true, name: dockerops-key}}\n"),
    ("the key, external in the old form", true, "configs: {k: {external: {name: dockerops-key}}}\n"),
    ("the key by its own key", true, "configs: {dockerops-key: {external: true}}\n"),
    ("external by a text", true, "configs: {k: {external: 'false', file: ./mine}}\n"),
    ("external by a number", true, "secrets: {k: {external: 0, file: ./mine}}\n"),
    (
        "a tagged null that docker would fill",
        false,
        "  other: {image: '@IMAGE', deploy: {replicas: 0}, environment: {PATH: !!null ''}}\n",
    ),
    ("a tag that does not fit", true, "x-a: !!int x\n"),
    ("neither a file nor external", true, "secrets: {s: {}}\n"),
    (
        "a reserved label by a variable",
        true,
        "  other: {image: '@IMAGE', deploy: {labels: ['${X:-dockerops.repository}=x']}}\n",
    ),
    (
        "a label of a stack by a variable",
        false,
        "  other: {image: '@IMAGE', deploy: {replicas: 0, labels: ['${X:-com.docker.stack.namespace}=@VICTIM']}}\n",
    ),
    ("an external config with a path", true, "configs: {c: {external: true, file: '@OUT'}}\n"),
];

/// Labels and names that would make it somebody else's.
const NAMES: [(&str, bool, &str); 10] = [
    (
        "a forged owner of a service",
        true,
        "  other: {image: '@IMAGE', deploy: {labels: {dockerops.repository: x}}}\n",
    ),
    (
        "a forged owner in a list",
        true,
        "  other: {image: '@IMAGE', deploy: {labels: ['dockerops.repository=x']}}\n",
    ),
    (
        "a forged owner by a merge",
        true,
        "  other: {image: '@IMAGE', deploy: {labels: {<<: {dockerops.repository: x}}}}\n",
    ),
    (
        "a forged owner escaped",
        true,
        "  other: {image: '@IMAGE', deploy: {labels: {\"dockerops\\x2Erepository\": x}}}\n",
    ),
    (
        "a forged fingerprint of a config",
        true,
        "configs: {c: {file: ./mine, labels: {dockerops.fingerprint: x}}}\n",
    ),
    ("a service with a line end in its name", true, "  \"a\\nremoved  @VICTIM\": {image: '@IMAGE'}\n"),
    ("a service with an escape in its name", true, "  \"a\\e[2Jb\": {image: '@IMAGE'}\n"),
    ("a service with a slash in its name", true, "  'a/../@VICTIM': {image: '@IMAGE'}\n"),
    ("a key with a line end", true, "x-a: {\"k\\nremoved  @VICTIM\": [*none]}\n"),
    ("a bind mount of the checkout", true, "  other: {image: '@IMAGE', volumes: ['./deep:/d']}\n"),
];

/// Whole files.
fn manifests() -> Vec<Case> {
    let list = |title: &str, is_refused, text: &str| Case::new(title, is_refused).file("stacks.yaml", text);
    let file = |title: &str, path: &str, text: &str| Case::new(title, true).file(path, text);
    let link = |title: &str, path: &str, target: &str| Case::new(title, true).link(path, target);
    vec![
        list("the victim's name", true, "- name: '@VICTIM'\n").file("@VICTIM/compose.yml", SERVICE),
        list("the victim's name with another folder", true, "- name: '@VICTIM '\n")
            .file("@VICTIM /compose.yml", SERVICE),
        list("a folder above", true, "- name: '..'\n"),
        list("a folder outside", true, "- name: '@OUT'\n"),
        list("a folder by a symlink", true, "- name: out\n").link("out", "/"),
        list("a folder that is an option", true, "- name: '--help'\n").file("--help/compose.yml", SERVICE),
        list("git's own folder", true, "- name: .git\n"),
        list("a name with a line end", true, "- name: \"a\\nremoved  @VICTIM\"\n"),
        list("a name with an escape", true, "- name: \"a\\e]0;x\\a\"\n"),
        list("a name that turns around", true, "- name: \"a\u{202e}b\"\n"),
        list("a name twice", true, "- name: '@STACK'\n- name: '@STACK'\n"),
        list("a circle", true, "- name: '@STACK'\n  depends_on: ['@STACK']\n"),
        list("a dependency on the victim", true, "- name: '@STACK'\n  depends_on: ['@VICTIM']\n"),
        list("no list at all", true, ""),
        list("a list of nothing", true, "[]\n"),
        list("an alias inside itself", true, "&a [*a]\n"),
        list("a merge from outside", true, "- <<: *a\n"),
        link("a list outside", "stacks.yaml", "@OUT"),
        link("a compose file outside", COMPOSE, "@OUT"),
        link("a compose file that is a device", COMPOSE, "/dev/zero"),
        link("a compose file that is a pipe of this process", COMPOSE, "/proc/self/fd/0"),
        link("variables outside", "@STACK/.env", "@OUT"),
        link("variables of the first process", "@STACK/.env", "/proc/1/environ"),
        link("secrets as variables outside", "@STACK/secrets.yaml", "@OUT"),
        link("volumes outside", "volumes.yaml", "@OUT"),
        link("a place of bindings outside", "nfs.yaml", "@OUT"),
        link("images outside", "images.yaml", "@OUT"),
        file("a binding outside", "volumes.yaml", "- {id: bb, type: binding, path: '@OUT'}\n")
            .file("nfs.yaml", "path: '@NFS'\n")
            .compose("  other: {image: '@IMAGE', deploy: {replicas: 0}, volumes: ['bb:/b']}\n"),
        file("a binding above", "volumes.yaml", "- {id: bb, type: binding, path: ../..}\n")
            .file("nfs.yaml", "path: '@NFS'\n")
            .compose("  other: {image: '@IMAGE', deploy: {replicas: 0}, volumes: ['bb:/b']}\n"),
        file("a binding by a symlink", "volumes.yaml", "- {id: bb, type: binding, path: out}\n")
            .link("out", "@OUT/..")
            .file("nfs.yaml", "path: '@NFS'\n")
            .compose("  other: {image: '@IMAGE', deploy: {replicas: 0}, volumes: ['bb:/b']}\n"),
        file("a binding with a symlink in it", "volumes.yaml", "- {id: bb, type: binding, path: b}\n")
            .link("b/x", "@OUT")
            .file("nfs.yaml", "path: '@NFS'\n")
            .compose("  other: {image: '@IMAGE', deploy: {replicas: 0}, volumes: ['bb:/b']}\n"),
        file("a binding by an alias of its list", "volumes.yaml", "- {id: bb, type: binding, path: out}\n")
            .link("out", "/etc")
            .file("nfs.yaml", "path: '@NFS'\n")
            .compose(
                "  other:\n    image: '@IMAGE'\n    deploy: {replicas: 0}\n    volumes: &v\n    - {type: volume, source: \
                 '${B:-bb}', target: /b}\n  third: {image: '@IMAGE', deploy: {replicas: 0}, volumes: *v}\n",
            ),
        file("bindings over the database", "nfs.yaml", "path: '@STATE'\n")
            .file("volumes.yaml", "- {id: bb, type: binding, path: dockerops.db}\n")
            .file("dockerops.db", "not a database")
            .compose("  other: {image: '@IMAGE', deploy: {replicas: 0}, volumes: ['bb:/b']}\n"),
        file("bindings in a system folder", "nfs.yaml", "path: /etc\n"),
        file("bindings in the kernel", "nfs.yaml", "path: /proc/self\n"),
        file("bindings at the root", "nfs.yaml", "path: /\n"),
        file("bindings by a way up", "nfs.yaml", "path: '@NFS/../../../etc'\n"),
        file("an image from outside", "images.yaml", "- {name: evil, context: /etc}\n"),
        file("an image from above", "images.yaml", "- {name: evil, context: ../..}\n"),
        file("an image by a symlink", "images.yaml", "- {name: evil, context: out}\n").link("out", "/etc"),
        file("a Dockerfile outside", "images.yaml", "- {name: evil, context: ., dockerfile: '@OUT'}\n"),
        file("a Dockerfile by a symlink", "images.yaml", "- {name: evil, context: '.'}\n")
            .link("Dockerfile", "@OUT"),
        file("an image that is an option", "images.yaml", "- {name: '--help', context: '.'}\n")
            .file("Dockerfile", "FROM scratch\n"),
        file("a secret that is an option", "@STACK/secrets.yaml", "- {secret: '--help', env: A}\n"),
        file("a variable that is a script", "@STACK/secrets.yaml", "- {secret: s, env: 'A;id'}\n"),
        file(
            "a submodule of local files",
            ".gitmodules",
            "[submodule \"m\"]\n\tpath = ../m\n\turl = file:///root\n",
        )
        .compose("x-a: *none\n"),
    ]
}

/// All of them.
pub fn all() -> Vec<Case> {
    let mut cases: Vec<_> = paths().chain(listed()).chain(hidden_lines()).chain(manifests()).collect();
    for (title, is_refused, more) in TEXTS.into_iter().chain(NAMES) {
        cases.push(
            Case::new(title, is_refused)
                .compose(more)
                .file("@STACK/mine", "mine")
                .file("@STACK/deep/keep", ""),
        );
    }
    cases
}
