//! `before`, `after`, `timeout` and `on_failure` of an entry of `stacks.yaml`: the jobs of a stack.
//!
//! Which services its compose files have is not known here; `reading` looks whether these are among them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::problem::Collector;
use crate::yaml::Node;

/// So many jobs an entry may have.
const MOST_JOBS: usize = 50;
/// A job may take so long.
const MOST: Duration = Duration::from_secs(24 * 60 * 60);

/// The services of a stack that run to their end when a version of it is deployed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobsEntry {
    /// The list's file, from the repository's root.
    pub file: String,
    /// Those that run before the rest, one after another.
    pub before: Vec<NamedJob>,
    /// Likewise those behind it.
    pub after: Vec<NamedJob>,
    /// How long each may take; the time to converge where nothing is said.
    pub timeout: Option<Duration>,
    /// Whether the stack is rolled back where one behind it fails.
    pub rolls_back: bool,
}

/// A service that is named as a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedJob {
    /// Its name in the compose file.
    pub service: String,
    pub line: usize,
    /// The key that names it, as in `web.before`.
    pub key: String,
}

impl JobsEntry {
    /// All of them, in the order in which they run.
    pub fn all(&self) -> impl Iterator<Item = &NamedJob> {
        self.before.iter().chain(&self.after)
    }

    /// What it says, wherever that stands: the names, how long each may take, and whether the stack goes back.
    pub fn told(&self) -> (Vec<&str>, Vec<&str>, Option<Duration>, bool) {
        fn names(jobs: &[NamedJob]) -> Vec<&str> {
            jobs.iter().map(|job| &*job.service).collect()
        }
        (names(&self.before), names(&self.after), self.timeout, self.rolls_back)
    }

    pub fn is_empty(&self) -> bool {
        self.before.is_empty() && self.after.is_empty()
    }
}

/// Reads the keys.
pub fn read(item: &Node, title: &str, problems: &mut Collector) -> JobsEntry {
    let mut entry = JobsEntry {
        file: problems.file().to_owned(),
        before: names(item, title, "before", problems),
        after: names(item, title, "after", problems),
        timeout: timeout(item, title, problems),
        rolls_back: rolls_back(item, title, problems),
    };
    let mut known: BTreeMap<String, (String, usize)> = BTreeMap::new();
    for jobs in [&mut entry.before, &mut entry.after] {
        jobs.retain(|job| match known.get(&job.service) {
            Some((key, line)) => {
                let what = format!("`{}` is named twice, first by `{key}` in line {line}", job.service);
                problems.add(job.line, job.key.clone(), what);
                false
            }
            None => {
                known.insert(job.service.clone(), (job.key.clone(), job.line));
                true
            }
        });
    }
    let are_named = |keys: &[&str]| keys.iter().any(|key| item.get(key).is_some());
    if let Some(value) = item.get("timeout").filter(|_| !are_named(&["before", "after"])) {
        let what = "is for jobs, and there is neither `before` nor `after`";
        problems.add(value.line, format!("{title}.timeout"), what);
    }
    entry
}

fn rolls_back(item: &Node, title: &str, problems: &mut Collector) -> bool {
    let Some(value) = item.get("on_failure") else { return false };
    let what = match value.as_string() {
        Some("rollback") if item.get("after").is_some() => return true,
        Some("rollback") => "is for jobs behind the rest, and there is no `after`",
        _ => "must be `rollback`; without it what runs then stays, and the stack is an error",
    };
    problems.add(value.line, format!("{title}.on_failure"), what);
    false
}

fn names(item: &Node, title: &str, key: &str, problems: &mut Collector) -> Vec<NamedJob> {
    let Some(value) = item.get(key) else { return Vec::new() };
    let key = format!("{title}.{key}");
    let Some(items) = value.items().filter(|items| (1..=MOST_JOBS).contains(&items.len())) else {
        let what =
            format!("must be a list of 1 to {MOST_JOBS} services of the compose file, as in `[migrate]`");
        problems.add(value.line, key, what);
        return Vec::new();
    };
    let mut names = Vec::new();
    for item in items {
        match item.as_string().filter(|name| !name.is_empty()) {
            Some(name) => {
                names.push(NamedJob { service: name.to_owned(), line: item.line, key: key.clone() });
            }
            None => problems.add(item.line, key.clone(), format!("must list services, not {}", item.what())),
        }
    }
    names
}

fn timeout(item: &Node, title: &str, problems: &mut Collector) -> Option<Duration> {
    let value = item.get("timeout")?;
    let text = value.text().unwrap_or_default().trim();
    let length = humantime::parse_duration(text).ok();
    let length = length.filter(|length| (Duration::from_secs(1)..=MOST).contains(length));
    if length.is_none() {
        problems.add(
            value.line,
            format!("{title}.timeout"),
            "must be from `1s` to `24h`, as in `10m` or `1h 30m`",
        );
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    fn of(text: &str) -> (JobsEntry, Vec<String>) {
        let mut problems = Collector::new("stacks.yaml");
        let item = yaml::parse(text).unwrap().unwrap();
        let entry = read(&item, "web", &mut problems);
        (entry, problems.into_problems().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn jobs_keep_their_order_and_know_their_lines() {
        let (entry, problems) =
            of("before:\n  - schema\n  - seed\nafter: [smoke]\ntimeout: 1h 30m\non_failure: rollback\n");
        assert_eq!(problems, [""; 0]);
        let lines: Vec<_> = entry.all().map(|job| (&*job.service, job.line, &*job.key)).collect();
        assert_eq!(
            lines,
            [("schema", 2, "web.before"), ("seed", 3, "web.before"), ("smoke", 4, "web.after")]
        );
        assert_eq!(entry.timeout, Some(Duration::from_secs(5400)));
        assert!(!entry.is_empty() && entry.rolls_back);
        assert_eq!(
            of("name: web"),
            (JobsEntry { file: "stacks.yaml".into(), ..JobsEntry::default() }, vec![])
        );
    }

    #[test]
    fn every_mistake_is_told_with_its_line_and_key() {
        for (text, wanted) in [
            ("before: migrate", "stacks.yaml:1: `web.before`: must be a list of 1 to 50 services"),
            ("before: []", "stacks.yaml:1: `web.before`: must be a list of 1 to 50 services"),
            ("after:\n- [x]", "stacks.yaml:2: `web.after`: must list services, not a list"),
            (
                "before: [a]\nafter:\n- a",
                "stacks.yaml:3: `web.after`: `a` is named twice, first by `web.before` in line 1",
            ),
            ("before: [a, a]", "stacks.yaml:1: `web.before`: `a` is named twice"),
            ("before: [a]\ntimeout: 0s", "stacks.yaml:2: `web.timeout`: must be from `1s` to `24h`"),
            ("before: [a]\ntimeout: 25h", "stacks.yaml:2: `web.timeout`: must be from `1s` to `24h`"),
            ("before: [a]\ntimeout: [1]", "stacks.yaml:2: `web.timeout`: must be from `1s` to `24h`"),
            ("timeout: 5m", "stacks.yaml:1: `web.timeout`: is for jobs"),
            (
                "before: [a]\non_failure: rollback",
                "stacks.yaml:2: `web.on_failure`: is for jobs behind the rest",
            ),
            ("after: [a]\non_failure: pause", "stacks.yaml:2: `web.on_failure`: must be `rollback`"),
        ] {
            let (_, problems) = of(text);
            assert_eq!(problems.len(), 1, "{text}: {problems:?}");
            assert!(problems[0].starts_with(wanted), "{text}: {problems:?}");
        }
    }
}
