mod bounds;

use std::fs;

use serde_json::{Map, Value, json};

use super::*;
use crate::budget::Limits;
use crate::compose::dotenv_of;
use crate::rng::Rng;

/// What is read of these files, of which each lies below `templates`.
fn of(files: &[(&str, &str)]) -> Vec<Template> {
    let dir = tempfile::tempdir().unwrap();
    let real = dir.path().canonicalize().unwrap();
    for (name, text) in files {
        let path = real.join(TEMPLATES).join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    read(&Root::on_disk(&real), &real, &Budget::new(Limits::default()))
}

/// The only template, of this compose file and `template.yaml`.
fn one(compose: &str, described: &str) -> Template {
    let mut files = vec![("blog/compose.yml", compose)];
    files.extend((!described.is_empty()).then_some(("blog/template.yaml", described)));
    of(&files).remove(0)
}

fn told(template: &Template) -> Vec<String> {
    template.problems.iter().map(ToString::to_string).collect()
}

const COMPOSE: &str = "services:
  app:
    image: 'blog:${TAG:-1}'
    environment:
      TITLE: ${TITLE:?what readers see}
      AGAIN: $TITLE ${TAG-1} $$NOT
      HOST: ${HOST}
    deploy: {replicas: '${COPIES:-2}'}
x-aside: {none: '${ASIDE}'}
";

#[test]
fn parameters_are_the_variables_of_the_compose_file() {
    let template = one(COMPOSE, "");
    assert_eq!(told(&template), [""; 0]);
    assert_eq!((template.name.as_str(), template.folder.to_str()), ("blog", Some("templates/blog")));
    let found: Vec<_> = template
        .parameters
        .iter()
        .map(|it| (it.name.as_str(), it.required, it.default.as_deref(), it.help.as_deref()))
        .collect();
    assert_eq!(
        found,
        [
            ("COPIES", false, Some("2"), None),
            ("HOST", true, None, None),
            ("TAG", false, Some("1"), None),
            ("TITLE", true, None, Some("what readers see")),
        ]
    );
    // One place without a default is enough.
    let both = one("services: {a: {image: '${A:-x}', user: '${A}'}}\n", "");
    assert!(both.parameters[0].required && both.parameters[0].default.is_none());
}

#[test]
fn every_mistake_is_told_at_once_with_file_line_and_key() {
    let compose = "services:
  app:
    image: '${A:-x}'
    user: '${A:-y}'
    command: '${'
    env_file: [../x.env]
    hostname: '${B:-z}${C:-5}'
configs: {c: {file: a/../../c}}
";
    let described = "title: [x]
descripton: x
parameters:
  A: {type: float}
  B: {choices: [1, 2], pattern: 'x{', label: ''}
  C:
    type: integer
    min: 6
    pattern: x
    pattern: y
  NONE: {}
";
    let both = "`A` has the default `y`, and `x` in line 3: one value is to stand for both";
    let leads = "leads out of the template's folder, with which it is copied elsewhere";
    assert_eq!(
        told(&one(compose, described)),
        [
            &*format!("templates/blog/compose.yml:4: `services.app.user`: {both}"),
            "templates/blog/compose.yml:5: `services.app.command`: invalid template `${`: write `$$` for a dollar sign",
            &format!("templates/blog/compose.yml:6: `services.app.env_file`: `../x.env` {leads}"),
            &format!("templates/blog/compose.yml:8: `configs.c.file`: `a/../../c` {leads}"),
            "templates/blog/compose.yml:7: `B`: the default of `B` is none of `1`, `2`",
            "templates/blog/compose.yml:7: `C`: the default of `C` is less than 6",
            "templates/blog/template.yaml:1: `title`: must be a string, not a list",
            "templates/blog/template.yaml:2: `descripton`: unknown key; known are `title`, `description`, `parameters`",
            "templates/blog/template.yaml:4: `parameters.A.type`: must be `string`, `integer` or `boolean`",
            "templates/blog/template.yaml:5: `parameters.B.label`: is empty; it is a text",
            "templates/blog/template.yaml:5: `parameters.B.pattern`: `x{` has a `{` that is no count of 0 to 1000; write `\\{` for the letter",
            "templates/blog/template.yaml:9: `parameters.C.pattern`: is for a `string`",
            "templates/blog/template.yaml:10: `parameters.C.pattern`: stands twice",
            "templates/blog/template.yaml:11: `parameters.NONE`: unknown key; known are `A`, `B`, `C`",
        ]
    );
    let described = "parameters: {A: {min: 1, max: 0, type: integer, choices: [2]}, B: {secret: true, type: boolean}, C: 5}\n";
    assert_eq!(
        told(&one("services: {a: {image: '$A$B$C'}}", described)),
        [
            "templates/blog/template.yaml:1: `parameters.A.max`: is less than `min`",
            "templates/blog/template.yaml:1: `parameters.A.choices`: `2` is more than 0",
            "templates/blog/template.yaml:1: `parameters.B.secret`: is for a `string`: the name of a Swarm secret",
            "templates/blog/template.yaml:1: `parameters.C`: must be a mapping with `label`, `help`, `type`, `choices`, \
             `pattern`, `min`, `max`, `secret`, not a number",
        ]
    );
}

#[test]
fn what_can_be_no_template_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let real = dir.path().canonicalize().unwrap();
    for folder in ["a b", "empty", "env", "real", "latin"] {
        fs::create_dir_all(real.join("templates").join(folder)).unwrap();
    }
    std::os::unix::fs::symlink("real", real.join("templates/link")).unwrap();
    std::os::unix::fs::symlink("/etc", real.join("templates/out")).unwrap();
    for file in ["a b/compose.yml", "env/compose.yml", "env/.env", "real/compose.yml", "README.md"] {
        fs::write(real.join("templates").join(file), "services: {a: {image: a}}\n").unwrap();
    }
    fs::write(real.join("templates/latin/compose.yml"), "services: {a: {image: '$a\u{17f}'}}\n").unwrap();
    let all = read(&Root::on_disk(&real), &real, &Budget::new(Limits::default()));
    let names: Vec<_> = all.iter().map(|template| template.name.as_str()).collect();
    assert_eq!(names, ["a b", "empty", "env", "latin", "link", "out", "real"]);
    for (template, what) in all.iter().zip([
        "is no name of a template",
        "holds none of `docker-compose.yml`",
        "has an `.env`, where the options",
        "no `.env` can give a value",
        "is a symlink",
        "leads out of the repository",
    ]) {
        assert!(told(template).concat().contains(what), "{template:?}");
    }
    assert_eq!(told(&all[6]), [""; 0]);
}

const DESCRIBED: &str = "title: A blog
parameters:
  COPIES: {type: integer, min: 1, max: 5, label: How many}
  HOST: {pattern: '[a-z.]+', help: where}
  TAG: {choices: ['1', '2']}
";

fn options(value: Value) -> Map<String, Value> {
    let Value::Object(options) = value else { panic!("{value}") };
    options
}

#[test]
fn options_are_checked_all_at_once() {
    let template = one(COMPOSE, DESCRIBED);
    assert_eq!(told(&template), [""; 0]);
    let wrong =
        check(&template, &options(json!({ "HOST": "A b", "COPIES": 9, "TAG": null, "X": 1, "TITLE": "" })));
    let wrong: Vec<_> = wrong.unwrap_err().iter().map(|it| format!("{}: {}", it.key, it.what)).collect();
    assert_eq!(
        wrong,
        [
            "COPIES: is more than 5",
            "HOST: does not match `[a-z.]+`",
            "TAG: must be a string, an integer or a boolean",
            "TITLE: is empty",
            "X: is no parameter of `blog`",
        ]
    );
    let wrong = check(&template, &Map::new()).unwrap_err();
    let wrong: Vec<_> = wrong.iter().map(|it| format!("{}: {}", it.key, it.what)).collect();
    assert_eq!(wrong, ["HOST: is required: where", "TITLE: is required: what readers see"]);
    for (copies, what) in [
        (json!("3"), ""),
        (json!(3), ""),
        (json!("03"), "no integer"),
        (json!(1.5), "an integer"),
        (json!("x"), "no"),
        (json!(0), "less than 1"),
    ] {
        let found = check(&template, &options(json!({ "HOST": "a", "TITLE": "t", "COPIES": copies })));
        match found {
            Ok(values) => assert!(what.is_empty() && values.0["COPIES"] == "3", "{copies}"),
            Err(problems) => {
                assert!(!what.is_empty() && problems[0].what.contains(what), "{copies} {problems:?}");
            }
        }
    }
    let long = |bytes: usize| check(&template, &options(json!({ "HOST": "a", "TITLE": "t".repeat(bytes) })));
    assert!(long(64 << 10).is_ok());
    assert_eq!(long((64 << 10) + 1).unwrap_err()[0].what, "is longer than 64 KiB");
    let nul = check(&template, &options(json!({ "HOST": "a", "TITLE": "a\0b" })));
    assert_eq!(nul.unwrap_err()[0].what, "holds a NUL byte, which no environment can");
    let secret = one("services: {a: {image: '$A'}}", "parameters: {A: {secret: true}}");
    for (name, is_right) in
        [("db_password.v2", true), ("a b", false), ("-a", false), (&*"a".repeat(65), false), ("", false)]
    {
        assert_eq!(check(&secret, &options(json!({ "A": name }))).is_ok(), is_right, "{name}");
    }
}

/// As docker compose reads a line, but for variables in it (compose-go 2.9, `dotenv/parser.go`).
fn by_compose(line: &str) -> String {
    let (_, value) = line.split_once(['=', ':']).unwrap();
    let Some(inner) = value.trim_start().strip_prefix('"') else {
        return value.split(" #").next().unwrap().trim_end().to_owned();
    };
    let (mut raw, mut is_escaped) = (String::new(), false);
    for letter in inner.chars() {
        match letter {
            '"' if !is_escaped => break,
            '\\' if !is_escaped => {
                is_escaped = true;
                continue;
            }
            '"' => {}
            _ if is_escaped => raw.push('\\'),
            _ => {}
        }
        is_escaped = false;
        raw.push(letter);
    }
    let (mut out, mut letters) = (String::new(), raw.chars());
    while let Some(letter) = letters.next() {
        match (letter, letters.clone().next()) {
            ('\\', Some(next)) if "abcfnrtv$\"\\0".contains(next) => {
                letters.next();
                out.push(match next {
                    'n' => '\n',
                    '$' | '"' | '\\' => next,
                    other => panic!("`\\{other}` stands for something else: {line}"),
                });
            }
            ('$', _) => panic!("a variable: {line}"),
            _ => out.push(letter),
        }
    }
    out
}

#[test]
fn what_was_sent_is_read_back_by_all() {
    let mut texts: Vec<String> = [
        "",
        " ",
        "a",
        "a b",
        "$",
        "$$",
        "${OTHER}",
        "$OTHER",
        "\\${OTHER}",
        "'",
        "\"",
        "\\",
        "\\\\",
        "\\n",
        "a\nb",
        "\r\n",
        "\n",
        "#",
        " #x",
        "a #b",
        "a#b",
        "=",
        "export A=1",
        "\"a\"",
        "'a'",
        "`id`",
        "$(id)",
        "\t",
        "\u{feff}",
        "\u{2028}",
        "é",
        "\\\"",
        "\\$",
        "${A:-${B}}",
        "\\0",
        "\r",
        "a\\",
        "\u{1}\u{7f}",
        ":",
        "!",
        "{{.}}",
    ]
    .map(str::to_owned)
    .into();
    texts.push("\"$\\\n'#é".repeat(8 << 10));
    let (letters, mut rng): (Vec<_>, _) = ("$\\\"'\n\r#{}: =a0n-?+!`\té".chars().collect(), Rng::new(15));
    for _ in 0..5_000 {
        texts.push((0..rng.below(12)).map(|_| letters[rng.below(letters.len())]).collect());
    }
    for text in &texts {
        let values = Values([("A".to_owned(), text.clone()), ("B".to_owned(), "b".to_owned())].into());
        let written = values.dotenv();
        assert_eq!(written.lines().count(), 2, "{written:?}");
        let (first, second) = written.split_once('\n').unwrap();
        assert_eq!((by_compose(first), second), (text.clone(), "B=b\n"), "{written:?}");
        assert_eq!(dotenv_of(&written).unwrap(), values.0, "{written:?}");
    }
    assert_eq!(
        dotenv_of(
            &Values(
                texts.iter().take(40).enumerate().map(|(n, text)| (format!("A{n}"), text.clone())).collect()
            )
            .dotenv()
        )
        .unwrap()
        .len(),
        40
    );
}

#[test]
fn the_schema_says_what_is_taken() {
    assert_eq!(
        schema(&one(COMPOSE, DESCRIBED)),
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "A blog",
            "type": "object",
            "properties": {
                "COPIES": {"type": "integer", "title": "How many", "default": 2, "minimum": 1, "maximum": 5},
                "HOST": {"type": "string", "description": "where", "pattern": "^(?:[a-z.]+)$"},
                "TAG": {"type": "string", "default": "1", "enum": ["1", "2"]},
                "TITLE": {"type": "string", "description": "what readers see", "minLength": 1},
            },
            "required": ["HOST", "TITLE"],
            "additionalProperties": false,
        })
    );
    let plain = schema(&one("services: {a: {image: '${A:-x}'}}", ""));
    assert_eq!(plain["properties"]["A"], json!({"type": ["string", "integer", "boolean"], "default": "x"}));
}

#[test]
fn of_many_templates_some_are_read_and_an_alias_bomb_costs_nothing() {
    let names: Vec<_> = (0..=MOST).map(|n| format!("t{n:03}/compose.yml")).collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), "services: {a: {image: a}}\n")).collect();
    let all = of(&files);
    assert_eq!(all.len(), MOST);
    assert_eq!(told(&all[MOST - 1]), ["templates/t199: and 1 templates behind it are not read: 200 are"]);
    let long = "$A".repeat(10_000);
    let bomb = format!(
        "x: &x '{long}'\ny: &y [*x,*x,*x,*x,*x,*x,*x,*x]\nservices: {{a: {{image: a, command: [*y,*y,*y]}}}}\n"
    );
    let bomb = one(&bomb, "");
    assert!(told(&bomb).concat().contains("names variables in more than 10000 places"), "{:?}", told(&bomb));
}
