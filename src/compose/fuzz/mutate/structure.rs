//! Changes of the tree: twice, away, elsewhere, in another form.

use crate::compose::fuzz::tree::Tree;
use crate::rng::Rng;

pub fn mutate(tree: &mut Tree, rng: &mut Rng) {
    let size = tree.size();
    let at = 1 + rng.below(size);
    // What already is a compose file should mostly stay one.
    if rng.chance(60) {
        return forms(tree, rng);
    }
    let other = tree.nth(1 + rng.below(size)).cloned();
    let Some(node) = tree.nth(at) else { return };
    match (rng.below(9), node) {
        (0, Tree::Map(pairs)) if !pairs.is_empty() => {
            let pair = pairs[rng.below(pairs.len())].clone();
            pairs.insert(rng.below(pairs.len() + 1), pair);
        }
        (1, Tree::Map(pairs)) if !pairs.is_empty() => drop(pairs.remove(rng.below(pairs.len()))),
        (2, Tree::Map(pairs)) if !pairs.is_empty() => {
            let (key, value) = pairs[rng.below(pairs.len())].clone();
            let text = key.text().unwrap_or_default();
            let like = [
                text.to_uppercase(),
                format!("{text}é"),
                format!("{text}e\u{301}"),
                text.replace('s', "ſ"),
                format!("x-{text}"),
            ];
            pairs.push((Tree::quoted(like[rng.below(like.len())].clone()), value));
        }
        (3, Tree::Map(pairs)) if !pairs.is_empty() => {
            let at = rng.below(pairs.len());
            let odd = [
                Tree::plain("1"),
                Tree::plain("true"),
                Tree::plain("~"),
                Tree::quoted(""),
                Tree::List(vec![]),
                Tree::plain("1.5"),
            ];
            pairs[at].0 = odd[rng.below(odd.len())].clone();
        }
        (4, Tree::Map(pairs)) => {
            let (first, second) = (rng.below(pairs.len()), rng.below(pairs.len()));
            if !pairs.is_empty() {
                pairs.swap(first, second);
            }
        }
        (5, Tree::List(items)) if !items.is_empty() => {
            let item = items[rng.below(items.len())].clone();
            items.insert(rng.below(items.len() + 1), item);
        }
        (6, Tree::List(items)) if !items.is_empty() => drop(items.remove(rng.below(items.len()))),
        (7, node) => *node = if rng.chance(50) { Tree::List(vec![node.clone()]) } else { Tree::plain("~") },
        (8, node) => *node = other.unwrap_or_else(|| Tree::quoted("")),
        (_, _) => forms(tree, rng),
    }
}

/// The same in another form that docker takes as well, or something more that it takes.
fn forms(tree: &mut Tree, rng: &mut Rng) {
    let Tree::Map(top) = tree else { return };
    let Some((_, Tree::Map(services))) = top.iter_mut().find(|(key, _)| key.text() == Some("services"))
    else {
        return;
    };
    let count = services.len();
    let Some((_, Tree::Map(service))) = services.get_mut(rng.below(count)) else { return };
    let count = service.len();
    if rng.chance(45)
        && let Some((key, value)) = service.get_mut(rng.below(count))
    {
        match (key.text().unwrap_or_default(), &*value) {
            ("environment" | "labels" | "sysctls", Tree::Map(pairs)) => {
                let item = |(key, value): &(Tree, Tree)| {
                    let key = key.text()?;
                    Some(Tree::quoted(if value.is_null() {
                        key.to_owned()
                    } else {
                        format!("{key}={}", value.text()?)
                    }))
                };
                *value = Tree::List(pairs.iter().filter_map(item).collect());
            }
            ("environment" | "labels" | "sysctls", Tree::List(items)) => {
                let pair = |item: &Tree| {
                    let (key, value) = item.text()?.split_once('=')?;
                    Some((Tree::quoted(key), Tree::quoted(value)))
                };
                *value = Tree::Map(items.iter().filter_map(pair).collect());
            }
            ("networks", Tree::List(items)) => {
                *value = Tree::Map(items.iter().map(|item| (item.clone(), Tree::plain("~"))).collect());
            }
            ("command" | "entrypoint", Tree::Scalar { text, .. }) => {
                *value = Tree::List(text.split_whitespace().map(Tree::quoted).collect());
            }
            _ => service.reverse(),
        }
        return;
    }
    let text = |text: &str| Tree::quoted(text);
    let word = [
        "plain",
        "two words",
        "ſtrange",
        "a\u{2028}b",
        "tab\tbed",
        "#no",
        "x: y",
        "$$5",
        "ends ",
        "",
        "naïve",
        "\u{85}",
    ][rng.below(12)];
    let (key, value) = match rng.below(14) {
        0 => ("environment", Tree::Map(vec![(text("MORE"), text(word)), (text(word), text("x"))])),
        1 => ("labels", Tree::Map(vec![(text(word), text(word))])),
        2 => ("command", Tree::List(vec![text("run"), text(word)])),
        3 => ("entrypoint", text("/start --flag 'a b'")),
        4 => ("hostname", text(word)),
        5 => ("user", text(word)),
        6 => ("working_dir", text(word)),
        7 => ("extra_hosts", Tree::List(vec![text(&format!("{word}:10.1.1.1"))])),
        8 => ("volumes", Tree::List(vec![text(&format!("/srv/{word}:/in/{word}:ro"))])),
        9 => ("ports", Tree::List(vec![text("9000:90"), text("91")])),
        10 => (
            "deploy",
            Tree::Map(vec![
                (text("replicas"), Tree::plain("0x2")),
                (text("labels"), Tree::List(vec![text(word)])),
            ]),
        ),
        11 => ("healthcheck", Tree::Map(vec![(text("test"), text(word))])),
        12 => ("env_file", text(["app.env", "./app.env", "link/../app.env", "token"][rng.below(4)])),
        _ => (
            "logging",
            Tree::Map(vec![
                (text("driver"), text("syslog")),
                (text("options"), Tree::Map(vec![(text("tag"), text(word))])),
            ]),
        ),
    };
    service.retain(|(known, _)| known.text() != Some(key));
    service.push((text(key), value));
}
