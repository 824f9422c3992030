//! Ports of the nodes that services publish.

use std::fmt;

use super::check::Finder;
use crate::yaml::Node;

/// Ports that may be published, as ranges; and whether docker may choose one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ports {
    ranges: Vec<(u16, u16)>,
    chosen: bool,
}

/// What a service publishes.
#[derive(Debug, PartialEq, Eq)]
enum Published {
    /// What docker chooses.
    Chosen,
    Range(u16, u16),
}

impl Ports {
    /// Adds `80`, `8000-8999` or `auto`.
    pub fn add(&mut self, text: &str) -> Result<(), String> {
        match published(text) {
            _ if text == "auto" => self.chosen = true,
            Some(Published::Range(first, last)) => self.ranges.push((first, last)),
            _ => {
                return Err(format!("`{text}` is neither a port, nor a range as in `8000-8999`, nor `auto`"));
            }
        }
        Ok(())
    }

    fn hold(&self, published: &Published) -> bool {
        match published {
            Published::Chosen => self.chosen,
            // In several ranges a part each.
            Published::Range(first, last) => (*first..=*last)
                .all(|port| self.ranges.iter().any(|(from, to)| (*from..=*to).contains(&port))),
        }
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let range = |(from, to): &(u16, u16)| {
            if from == to { format!("`{from}`") } else { format!("`{from}-{to}`") }
        };
        let mut told: Vec<_> = self.ranges.iter().take(8).map(range).collect();
        if self.ranges.len() > told.len() {
            told.push("…".into());
        }
        if self.chosen {
            told.push("`auto`".into());
        }
        f.write_str(&if told.is_empty() { "none".to_owned() } else { told.join(", ") })
    }
}

/// Notes the ports of a service that it may not publish.
pub fn check(service: &Node, allowed: &Ports, finder: &mut Finder<'_>) {
    let Some(ports) = service.get("ports").filter(|ports| !ports.is_null()) else { return };
    let Some(items) = ports.items() else {
        return finder.add(&["ports"], ports.line, "ports", "is no list of ports");
    };
    for port in items {
        let line = port.line;
        match of(port) {
            Some(published) if allowed.hold(&published) => {}
            Some(Published::Chosen) => {
                let what =
                    format!("publishes a port that docker chooses (`auto`), and may publish {allowed}");
                finder.add(&["ports"], line, "ports", &what);
            }
            Some(Published::Range(first, last)) => {
                let shown = if first == last { first.to_string() } else { format!("{first}-{last}") };
                let what = format!("publishes `{shown}`, and may publish {allowed}");
                finder.add(&["ports"], line, "ports", &what);
            }
            None => finder.add(&["ports"], line, "ports", "has a port that cannot be read"),
        }
    }
}

/// What an item in short or long syntax publishes; `None` where that cannot be told.
fn of(item: &Node) -> Option<Published> {
    if item.pairs().is_some() {
        let port = item.get("published").filter(|port| !port.is_null());
        return match port.as_ref().map(|port| port.text()) {
            None => Some(Published::Chosen),
            Some(text) => published(text?),
        };
    }
    let text = item.text()?;
    let spec = text.split_once('/').map_or(text, |(spec, _)| spec);
    let mut parts = spec.rsplitn(3, ':');
    parts.next()?;
    match parts.next() {
        None | Some("") => Some(Published::Chosen),
        Some(text) => published(text),
    }
}

/// A port or range in decimal digits; other numbers one reader of YAML may take for others than the next.
fn published(text: &str) -> Option<Published> {
    let number = |text: &str| {
        let is_plain =
            text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
        text.parse::<u16>().ok().filter(|_| is_plain)
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (number(first)?, number(last)?) {
        (0, 0) => Some(Published::Chosen),
        (first, last) if first > 0 && first <= last => Some(Published::Range(first, last)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::parse;

    #[test]
    fn every_spelling_of_a_port_is_read() {
        let range = |first, last| Some(Published::Range(first, last));
        for (text, wanted) in [
            ("'80'", Some(Published::Chosen)),
            ("80", Some(Published::Chosen)),
            ("'8080:80'", range(8080, 8080)),
            ("'8080-8085:80-85/udp'", range(8080, 8085)),
            ("'127.0.0.1:8080:80'", range(8080, 8080)),
            ("'[::1]:8080:80'", range(8080, 8080)),
            ("'127.0.0.1::80'", Some(Published::Chosen)),
            ("{target: 80}", Some(Published::Chosen)),
            ("{target: 80, published: 0}", Some(Published::Chosen)),
            ("{target: 80, published: 8080, mode: host}", range(8080, 8080)),
            ("{target: 80, published: '8080'}", range(8080, 8080)),
            ("{target: 80, published: 0x50}", None),
            ("{target: 80, published: 010}", None),
            ("{target: 80, published: [80]}", None),
            ("'90-80:80'", None),
            ("'x:80'", None),
            ("[80]", None),
        ] {
            assert_eq!(of(&parse(text).unwrap().unwrap()), wanted, "{text}");
        }
    }

    #[test]
    fn a_range_is_held_by_several_together() {
        let mut ports = Ports::default();
        for text in ["80", "8000-8009", "8010-8020"] {
            ports.add(text).unwrap();
        }
        assert!(ports.hold(&Published::Range(8005, 8015)) && ports.hold(&Published::Range(80, 80)));
        assert!(!ports.hold(&Published::Range(79, 80)) && !ports.hold(&Published::Range(8015, 8021)));
        assert!(!ports.hold(&Published::Chosen));
        for text in ["", "0", "x", "80-", "9-8", "65536", "http"] {
            assert!(ports.add(text).is_err(), "{text}");
        }
    }
}
