//! What somebody typed into a form, as the browser sends it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::git::Commit;
use crate::template::{Parameter, Work};
use crate::web::templates::TemplateView;
use crate::web::writes::stack_name;

/// What the names of the fields of options begin with.
pub const OPTION: &str = "option-";
pub const EMPTY: &str = "empty-";
/// The field of the stack's name.
pub const NAME: &str = "name";

/// Which button was pressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Step {
    /// Show what would come of it.
    #[default]
    Preview,
    Commit,
    /// Show the form again.
    Back,
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sent {
    pub step: Step,
    pub visit: String,
    pub name: String,
    /// By the names of parameters, as they were typed.
    pub options: BTreeMap<String, String>,
    /// Those that are nothing on purpose, and not what the template has for them.
    pub empty: BTreeSet<String>,
    /// Whether what was edited by hand may go.
    pub overwrite: bool,
    /// The commit that it was made for.
    pub seen: Option<Commit>,
}

impl Sent {
    /// Of a body; what is no field of ours is passed over.
    pub fn parse(body: &[u8]) -> Self {
        let mut sent = Self::default();
        for (name, value) in form_urlencoded::parse(body) {
            // Browsers send every line's end so.
            let value = value.replace("\r\n", "\n");
            match &*name {
                "step" if value == "commit" => sent.step = Step::Commit,
                "step" if value == "back" => sent.step = Step::Back,
                "visit" => sent.visit = value,
                NAME => sent.name = value,
                "overwrite" => sent.overwrite = true,
                "seen" => sent.seen = Commit::parse(&value).ok(),
                name => {
                    if let Some(option) = name.strip_prefix(OPTION) {
                        sent.options.insert(option.to_owned(), value);
                    } else if let Some(option) = name.strip_prefix(EMPTY) {
                        sent.empty.insert(option.to_owned());
                    }
                }
            }
        }
        sent
    }

    /// A stack's options as they are.
    pub fn of(options: BTreeMap<String, String>) -> Self {
        let empty = options.iter().filter(|(_, value)| value.is_empty()).map(|(name, _)| name.clone());
        Self { empty: empty.collect(), options, ..Self::default() }
    }

    /// What is given for a parameter; nothing where its field was left empty.
    fn value(&self, name: &str) -> Option<&str> {
        let value = self.options.get(name).map_or("", String::as_str);
        (!value.is_empty() || self.empty.contains(name)).then_some(value)
    }

    /// The options of a stack of this template.
    pub fn given(&self, template: &TemplateView) -> Map<String, Value> {
        let given = |it: &Parameter| Some((it.name.clone(), Value::from(self.value(&it.name)?)));
        template.parameters.iter().filter_map(given).collect()
    }

    /// Options that the template does not take, with what they are.
    pub fn strangers<'a>(&'a self, template: &'a TemplateView) -> impl Iterator<Item = (&'a str, &'a str)> {
        let is_known = |name: &str| template.parameters.iter().any(|it| it.name == name);
        let all = self.options.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        all.filter(move |(name, _)| !is_known(name))
    }

    /// What can be seen to be wrong without the repository, by field.
    pub fn mistakes(&self, template: &TemplateView, is_new: bool) -> BTreeMap<String, String> {
        let mut mistakes = BTreeMap::new();
        if is_new && let Err(refusal) = stack_name(&self.name) {
            let (what, hint) = refusal.refused.unwrap_or_default();
            let what = if self.name.is_empty() { "the stack needs a name".to_owned() } else { what };
            mistakes.insert(NAME.to_owned(), format!("{what}: {hint}"));
        }
        let work = Work::new();
        for parameter in &template.parameters {
            let wrong = match self.value(&parameter.name) {
                Some(value) => parameter.refuses(value, &work),
                None => parameter.required.then(|| "is required".to_owned()),
            };
            if let Some(what) = wrong {
                mistakes.insert(field(&parameter.name), format!("`{}` {what}", parameter.name));
            }
        }
        mistakes
    }
}

/// The name of an option's field.
pub fn field(option: &str) -> String {
    format!("{OPTION}{option}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::page::forms::tests::template;

    #[test]
    fn what_is_typed_is_what_is_given() {
        let body = "step=commit&visit=1.a&name=blog&seen=0123456789012345678901234567890123456789&option-TAG=\
            &option-HOST=a%26b%0D%0A%C3%A9&option-NOTE=&empty-NOTE=1&option-GONE=x&evil=1&overwrite=1";
        let sent = Sent::parse(body.as_bytes());
        assert_eq!(
            (sent.step, &*sent.visit, &*sent.name, sent.overwrite),
            (Step::Commit, "1.a", "blog", true)
        );
        assert_eq!(sent.seen.as_ref().unwrap().short(), "012345678901");
        let template = template();
        let given = sent.given(&template);
        // An empty field is no option, unless that was asked for.
        assert_eq!(Value::from(given), serde_json::json!({"HOST": "a&b\n\u{e9}", "NOTE": ""}));
        assert_eq!(sent.strangers(&template).collect::<Vec<_>>(), [("GONE", "x")]);
        assert_eq!(Sent::parse(b"step=x&seen=1").step, Step::Preview);
    }

    #[test]
    fn all_mistakes_are_told_at_once_each_at_its_field() {
        let sent = Sent::parse(b"name=My+Blog&option-COPIES=12&option-DB=%2Fx&option-TAG=7&option-DEBUG=yes");
        let mistakes = sent.mistakes(&template(), true);
        let fields: Vec<_> = mistakes.keys().map(String::as_str).collect();
        assert_eq!(
            fields,
            ["name", "option-COPIES", "option-DB", "option-DEBUG", "option-HOST", "option-TAG"]
        );
        assert!(mistakes["name"].contains("`My Blog`"), "{mistakes:?}");
        assert_eq!(mistakes["option-COPIES"], "`COPIES` is more than 9");
        assert_eq!(mistakes["option-HOST"], "`HOST` is required");
        let right = Sent::parse(b"name=x&option-HOST=h.example&option-COPIES=&option-DEBUG=true");
        assert_eq!(right.mistakes(&template(), true), BTreeMap::new());
        assert_eq!(Sent::parse(b"").mistakes(&template(), false).len(), 1, "only a new one needs a name");
    }
}
