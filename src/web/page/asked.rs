//! What the address asks for: so a page can be reloaded, kept and sent.

use super::logs::MOST_LOGS;
use crate::daemon::JobId;
use crate::web::request::Head;

/// So many stacks are shown in full at once; each costs docker a question.
const MOST_OPEN: usize = 10;
/// Longest text of a filter, in letters.
const MOST_LETTERS: usize = 100;

/// What is shown of a stack on its own page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tab {
    #[default]
    Services,
    Logs,
    Difference,
    History,
    Compose,
}

impl Tab {
    pub const ALL: [Self; 5] = [Self::Services, Self::Logs, Self::Difference, Self::History, Self::Compose];

    /// The word in the address.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Services => "services",
            Self::Logs => "logs",
            Self::Difference => "difference",
            Self::History => "history",
            Self::Compose => "compose",
        }
    }

    /// For people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Services => "Services",
            Self::Logs => "Logs",
            Self::Difference => "Difference",
            Self::History => "History",
            Self::Compose => "Compose file",
        }
    }
}

/// The stack whose own page is at that path.
pub fn own(path: &str) -> Option<&str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    path.strip_prefix("/stacks/").filter(|name| !name.is_empty() && name.bytes().all(is_plain))
}

#[derive(Debug, Default)]
pub struct Asked {
    /// The stack whose own page it is, and what is shown there.
    pub own: Option<(String, Tab)>,
    /// Of several stacks of that name, that of this source.
    pub repository: Option<String>,
    open: Vec<String>,
    /// The services whose logs are shown.
    pub logs: Vec<String>,
    /// Only stacks that have this text.
    pub text: String,
    /// Only stacks that are not well.
    pub wrong_only: bool,
    pub before: Option<i64>,
    pub job: Option<JobId>,
    /// The event that tells what was just done.
    pub told: Option<i64>,
    /// The script asks by itself, and keeps the logs that it shows.
    pub still: bool,
}

impl Asked {
    pub fn of(head: &Head) -> Self {
        let named = |key: &str, most: usize| {
            let mut names: Vec<String> = Vec::new();
            for (_, name) in head.query.iter().filter(|(known, _)| known == key) {
                if names.len() < most && !names.contains(name) {
                    names.push(name.clone());
                }
            }
            names
        };
        let tab = Tab::ALL.into_iter().find(|tab| head.parameter("tab") == Some(tab.as_str()));
        let text = head.parameter("q").unwrap_or_default().trim();
        Self {
            own: own(&head.path).map(|name| (name.to_owned(), tab.unwrap_or_default())),
            repository: head.parameter("repository").map(str::to_owned),
            open: named("stack", MOST_OPEN),
            logs: named("log", MOST_LOGS),
            text: text.chars().take(MOST_LETTERS).collect(),
            wrong_only: head.parameter("problems").is_some(),
            before: head.parameter("before").and_then(|before| before.parse().ok()),
            job: head.parameter("job").and_then(JobId::parse),
            told: head.parameter("told").and_then(|event| event.parse().ok()),
            still: head.parameter("still").is_some(),
        }
    }

    /// The way to the state from there.
    pub fn up(&self) -> &'static str {
        if self.own.is_some() { "../" } else { "./" }
    }

    pub fn open(&self) -> &[String] {
        &self.open
    }

    pub fn is_open(&self, stack: &str) -> bool {
        self.open.iter().any(|name| name == stack)
    }

    /// Whether not all stacks are shown.
    pub fn is_filtered(&self) -> bool {
        self.wrong_only || !self.text.is_empty()
    }

    /// The address with that stack opened, or closed.
    pub fn toggled(&self, stack: &str) -> String {
        let mut open: Vec<_> = self.open.iter().map(String::as_str).filter(|name| *name != stack).collect();
        if !self.is_open(stack) {
            open.push(stack);
        }
        self.address(&open, &self.logs, self.before)
    }

    /// The address with the log of that service, or without it; one more than are shown takes the place of the first.
    pub fn with_log(&self, service: &str, is_shown: bool) -> String {
        let mut logs: Vec<_> = self.logs.iter().filter(|name| *name != service).cloned().collect();
        if is_shown {
            logs.push(service.to_owned());
        }
        let surplus = logs.len().saturating_sub(MOST_LOGS);
        self.address(&self.open, &logs[surplus..], self.before)
    }

    /// The address with the events before that one.
    pub fn with_events(&self, before: Option<i64>) -> String {
        self.address(&self.open, &self.logs, before) + "#events"
    }

    /// The address with all stacks.
    pub fn unfiltered(&self) -> String {
        let all = Self { open: self.open.clone(), logs: self.logs.clone(), ..Self::default() };
        all.address(&self.open, &self.logs, self.before)
    }

    /// The address of another tab of the stack's own page.
    pub fn with_tab(&self, tab: Tab) -> String {
        self.of_own(tab, &[])
    }

    /// The same address.
    pub fn with_same(&self) -> String {
        self.address(&self.open, &self.logs, self.before)
    }

    fn of_own(&self, tab: Tab, logs: &[String]) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("tab", tab.as_str());
        query.extend_pairs(self.repository.iter().map(|repository| ("repository", repository)));
        query.extend_pairs(logs.iter().map(|name| ("log", name)));
        format!("?{}", query.finish())
    }

    fn address(&self, open: &[impl AsRef<str>], logs: &[String], before: Option<i64>) -> String {
        if let Some((_, tab)) = self.own {
            return self.of_own(tab, logs);
        }
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(Some(&self.text).filter(|text| !text.is_empty()).map(|text| ("q", text)));
        query.extend_pairs(self.wrong_only.then_some(("problems", "1")));
        query.extend_pairs(open.iter().map(|name| ("stack", name.as_ref())));
        query.extend_pairs(logs.iter().map(|name| ("log", name)));
        query.extend_pairs(before.map(|before| ("before", before.to_string())));
        format!("./?{}", query.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_says_what_is_open() {
        let query = [("stack", "a"), ("stack", "b"), ("stack", "a"), ("before", "7"), ("job", "x")];
        let query = query.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let asked = Asked::of(&Head { query, ..Head::default() });
        assert_eq!((asked.open.len(), asked.before, asked.job), (2, Some(7), None));
        assert_eq!(asked.toggled("a"), "./?stack=b&before=7");
        assert_eq!(asked.toggled("c&d"), "./?stack=a&stack=b&stack=c%26d&before=7");
        assert_eq!(asked.with_events(None), "./?stack=a&stack=b#events");
    }

    #[test]
    fn the_address_says_whose_logs_are_shown_and_no_more_than_are() {
        let query = ["a_1", "a_2", "a_3", "a_4"].map(|name| ("log".to_owned(), name.to_owned())).to_vec();
        let asked = Asked::of(&Head { query, ..Head::default() });
        assert_eq!(asked.logs, ["a_1", "a_2", "a_3"]);
        assert_eq!(asked.with_log("a_2", false), "./?log=a_1&log=a_3");
        assert_eq!(asked.with_log("a_9", true), "./?log=a_2&log=a_3&log=a_9");
        assert_eq!(asked.toggled("a"), "./?stack=a&log=a_1&log=a_2&log=a_3");
    }

    #[test]
    fn a_filter_stays_while_stacks_are_opened() {
        let query = [("q", " a&b "), ("problems", "1"), ("stack", "a")];
        let query = query.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let asked = Asked::of(&Head { query, ..Head::default() });
        assert!(asked.is_filtered() && asked.text == "a&b");
        assert_eq!(asked.toggled("a"), "./?q=a%26b&problems=1");
        assert_eq!(asked.unfiltered(), "./?stack=a");
    }

    #[test]
    fn a_stack_has_an_address_of_its_own_with_tabs() {
        for path in
            ["/stacks/", "/stacks/a/edit", "/stacks/a%20b", "/stacks/..", "/stacks/a\r\nb", "/stack/a"]
        {
            assert_eq!(own(path), None, "{path}");
        }
        let query = vec![("tab".to_owned(), "logs".to_owned()), ("repository".to_owned(), "r#x".to_owned())];
        let asked = Asked::of(&Head { path: "/stacks/web-1_a".into(), query, ..Head::default() });
        assert_eq!(asked.own, Some(("web-1_a".to_owned(), Tab::Logs)));
        assert_eq!(asked.with_tab(Tab::Compose), "?tab=compose&repository=r%23x");
        assert_eq!(asked.with_log("web_app", true), "?tab=logs&repository=r%23x&log=web_app");
        let strange = vec![("tab".to_owned(), "no".to_owned())];
        let asked = Asked::of(&Head { path: "/stacks/web".into(), query: strange, ..Head::default() });
        assert_eq!((asked.own.unwrap().1, asked.repository), (Tab::Services, None));
    }
}
