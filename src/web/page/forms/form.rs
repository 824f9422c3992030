//! The form itself: a field for each parameter, with what was typed and what is wrong with it.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::sent::{EMPTY, NAME, Sent, field};
use super::{Subject, button_row};
use crate::template::{Kind, Parameter, Pattern};
use crate::web::page::parts::{capital, sentence, text};
use crate::web::templates::TemplateView;

/// What the browser holds a stack's name to; the rest is told when it is sent.
const STACK_NAME: &str = "[A-Za-z0-9]([A-Za-z0-9_\\-]{0,59}[A-Za-z0-9])?";
const SECRET_NAME: &str = "[a-zA-Z0-9]([a-zA-Z0-9._\\-]{0,62}[a-zA-Z0-9])?";

pub struct Form<'a> {
    pub subject: &'a Subject,
    pub template: &'a TemplateView,
    /// Where the stack is written, where that is not plain.
    pub repository: Option<&'a str>,
    pub sent: &'a Sent,
    /// What is wrong, by field.
    pub mistakes: BTreeMap<String, String>,
    /// What is told above it.
    pub notes: Vec<Markup>,
    /// Whether it may be asked to put the template's files in place of others.
    pub may_overwrite: bool,
    pub visit: String,
}

impl Form<'_> {
    pub fn render(&self) -> Markup {
        let (name, template) = (text(&self.template.name), self.template);
        let title = text(template.title.as_deref().unwrap_or(&template.name));
        let needs = template.parameters.iter().any(|it| it.required);
        html! {
            section.verdict {
                h1 {
                    @match self.subject {
                        Subject::Edit(stack) => { "Edit " (text(stack)) },
                        _ => { "Make a stack: " (title) },
                    }
                }
                @if let Some(description) = &template.description { p { (text(description)) } }
                p {
                    "From the template " code { (name) }
                    @if let Some(repository) = self.repository { " of " (text(repository)) }
                    ". It becomes a commit, which you see first."
                }
            }
            @for note in &self.notes { (note) }
            form.form method="post" {
                input type="hidden" name="visit" value=(self.visit);
                @if let Some(seen) = &self.sent.seen { input type="hidden" name="seen" value=(seen.as_str()); }
                @if matches!(self.subject, Subject::New(_)) { (self.name()) }
                @for parameter in &template.parameters { (self.field(parameter)) }
                @if template.parameters.is_empty() { p.muted { "The template takes no options." } }
                @if self.may_overwrite {
                    p.check {
                        input id="overwrite" type="checkbox" name="overwrite" value="1" checked[self.sent.overwrite];
                        label for="overwrite" { "Put the template's files in place of what was edited by hand" }
                    }
                }
                @if needs { p.muted { "What is marked * is required." } }
                (button_row(&html! {
                    button.button name="step" value="preview" type="submit" { "Preview" }
                    a.button.quiet href=(self.subject.up()) { "Cancel" }
                }))
            }
        }
    }

    /// Whether the cursor is to stand here when the page opens: at the first mistake, else at the first field of a new
    /// stack.
    fn is_first(&self, id: &str) -> bool {
        let ids =
            std::iter::once(NAME.to_owned()).chain(self.template.parameters.iter().map(|it| field(&it.name)));
        let first = ids.into_iter().find(|id| self.mistakes.contains_key(id));
        let fresh = matches!(self.subject, Subject::New(_)) && self.notes.is_empty();
        first.or_else(|| fresh.then(|| NAME.to_owned())).is_some_and(|first| first == id)
    }

    fn name(&self) -> Markup {
        let wrong = self.mistakes.get(NAME);
        html! {
            div.field data-wrong[wrong.is_some()] {
                label for="name" { "Name of the stack" (star(true)) }
                p.help id="help-name" { "Letters, digits, " code { "-" } " and " code { "_" } ". It names its folder too." }
                (told(wrong, NAME))
                input id="name" name="name" value=(self.sent.name) required maxlength="61" pattern=(STACK_NAME)
                    title="letters, digits, - and _, the first and the last one a letter or a digit"
                    autocomplete="off" autocapitalize="none" spellcheck="false"
                    aria-describedby=(described(NAME, true, wrong.is_some()).unwrap_or_default())
                    aria-invalid=[wrong.map(|_| "true")] autofocus[self.is_first(NAME)];
            }
        }
    }

    fn field(&self, parameter: &Parameter) -> Markup {
        let id = field(&parameter.name);
        let wrong = self.mistakes.get(&id);
        let help = help(parameter);
        let value = self.sent.options.get(&parameter.name).map_or("", String::as_str);
        let is_empty = self.sent.empty.contains(&parameter.name);
        let control = Control {
            id: &id,
            value,
            required: parameter.required && !is_empty,
            described: described(&id, !help.is_empty(), wrong.is_some()),
            invalid: wrong.map(|_| "true"),
            autofocus: self.is_first(&id),
        };
        html! {
            div.field data-wrong[wrong.is_some()] {
                label for=(id) {
                    (text(parameter.label.as_deref().unwrap_or(&parameter.name))) (star(parameter.required))
                    @if parameter.label.is_some() { " " code.muted { (text(&parameter.name)) } }
                }
                @if !help.is_empty() {
                    p.help id={ "help-" (id) } { @for line in &help { span { (sentence(line)) } " " } }
                }
                (told(wrong, &id))
                (control.of(parameter))
                @if value.contains(|letter: char| letter.is_control() && !matches!(letter, '\n' | '\t')) {
                    p.help { "The value holds what no form can carry: what you send takes its place." }
                }
                @if is_empty {
                    @let name = format!("{EMPTY}{}", parameter.name);
                    p.check {
                        input id=(name) type="checkbox" name=(name) value="1" checked;
                        label for=(name) { "Nothing is meant, and not what the template has" }
                    }
                }
            }
        }
    }
}

/// What all kinds of fields have.
struct Control<'a> {
    id: &'a str,
    value: &'a str,
    required: bool,
    described: Option<String>,
    invalid: Option<&'static str>,
    autofocus: bool,
}

impl Control<'_> {
    fn of(&self, parameter: &Parameter) -> Markup {
        let switch = ["true", "false"].map(str::to_owned);
        match parameter.kind {
            _ if !parameter.choices.is_empty() => self.select(parameter, &parameter.choices),
            Some(Kind::Boolean) => self.select(parameter, &switch),
            Some(Kind::Integer) => self.number(parameter),
            _ if self.value.contains('\n') => self.lines(),
            _ => self.line(parameter),
        }
    }

    fn select(&self, parameter: &Parameter, choices: &[String]) -> Markup {
        // What was sent and is none of them is shown all the same.
        let other =
            (!self.value.is_empty() && !choices.iter().any(|it| it == self.value)).then_some(self.value);
        html! {
            select id=(self.id) name=(self.id) required[self.required] aria-describedby=[&self.described]
                aria-invalid=[self.invalid] autofocus[self.autofocus] {
                option value="" {
                    @match &parameter.default {
                        Some(default) if !default.is_empty() => { "As the template has it: " (text(default)) },
                        _ if parameter.required => { "Choose one" },
                        _ => { "None" },
                    }
                }
                @for choice in choices.iter().map(String::as_str).chain(other) {
                    @if !choice.is_empty() { option value=(choice) selected[choice == self.value] { (text(choice)) } }
                }
            }
        }
    }

    fn number(&self, parameter: &Parameter) -> Markup {
        // A browser shows nothing of a number that is none.
        let is_one = self.value.is_empty() || self.value.parse::<i64>().is_ok();
        html! {
            input id=(self.id) name=(self.id) value=(self.value) type=(if is_one { "number" } else { "text" })
                inputmode="numeric" step=[is_one.then_some("1")]
                min=[parameter.min.filter(|_| is_one)] max=[parameter.max.filter(|_| is_one)]
                required[self.required] placeholder=[parameter.default.as_deref().map(text)]
                aria-describedby=[&self.described] aria-invalid=[self.invalid] autofocus[self.autofocus];
        }
    }

    fn line(&self, parameter: &Parameter) -> Markup {
        let own = parameter.pattern.as_ref().map(ToString::to_string);
        let pattern = own.or_else(|| parameter.secret.then(|| SECRET_NAME.to_owned()));
        // A browser would freeze at some; what is sent is checked here all the same.
        let is_plain = parameter.pattern.as_ref().is_none_or(Pattern::is_plain);
        html! {
            input id=(self.id) name=(self.id) value=(self.value) type="text" required[self.required]
                pattern=[pattern.as_ref().filter(|_| is_plain)] title=[pattern.as_ref().map(|pattern| format!("It must match {}", text(pattern)))]
                placeholder=[parameter.default.as_deref().map(text)]
                autocomplete="off" autocapitalize="none" spellcheck="false"
                aria-describedby=[&self.described] aria-invalid=[self.invalid] autofocus[self.autofocus];
        }
    }

    fn lines(&self) -> Markup {
        html! {
            textarea id=(self.id) name=(self.id) rows=(self.value.lines().count().clamp(3, 12)) required[self.required]
                spellcheck="false" aria-describedby=[&self.described] aria-invalid=[self.invalid]
                // A reader of HTML drops the first line's end.
                autofocus[self.autofocus] { "\n" (self.value) }
        }
    }
}

/// What is said of a parameter below its name.
fn help(parameter: &Parameter) -> Vec<String> {
    let mut help: Vec<String> = parameter.help.iter().map(|help| ended(help)).collect();
    match (parameter.min, parameter.max) {
        (Some(min), Some(max)) => help.push(format!("From {min} to {max}.")),
        (Some(min), None) => help.push(format!("{min} or more.")),
        (None, Some(max)) => help.push(format!("{max} or less.")),
        (None, None) => {}
    }
    if let Some(pattern) = &parameter.pattern {
        help.push(format!("It must match `{pattern}`."));
    }
    if parameter.secret {
        help.push("The name of a secret of the Swarm, not the secret itself.".to_owned());
    }
    help
}

/// As a sentence, for another one follows.
fn ended(words: &str) -> String {
    let words = capital(words.trim());
    if words.ends_with(['.', '!', '?', ':']) { words } else { format!("{words}.") }
}

fn star(is_required: bool) -> Markup {
    html! { @if is_required { span.star aria-hidden="true" { "\u{a0}*" } } }
}

fn told(wrong: Option<&String>, id: &str) -> Markup {
    html! { @if let Some(what) = wrong { p.wrong id={ "wrong-" (id) } { (sentence(&capital(what))) } } }
}

fn described(id: &str, has_help: bool, is_wrong: bool) -> Option<String> {
    let ids = [has_help.then(|| format!("help-{id}")), is_wrong.then(|| format!("wrong-{id}"))];
    let ids: Vec<_> = ids.into_iter().flatten().collect();
    (!ids.is_empty()).then(|| ids.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::page::forms::tests::template;

    const SCRIPT: &str = "\"><script>alert(1)</script>";

    fn rendered(template: &TemplateView, sent: &Sent, mistakes: BTreeMap<String, String>) -> String {
        let subject = Subject::New("blog".into());
        let (notes, visit) = (Vec::new(), "1.a".to_owned());
        let form = Form {
            subject: &subject,
            template,
            repository: None,
            sent,
            mistakes,
            notes,
            may_overwrite: false,
            visit,
        };
        form.render().into_string()
    }

    #[test]
    fn each_kind_of_parameter_has_its_field() {
        let page = rendered(&template(), &Sent::default(), BTreeMap::new());
        for part in [
            "<input id=\"name\" name=\"name\" value=\"\" required maxlength=\"61\"",
            " autofocus>",
            "type=\"number\" inputmode=\"numeric\" step=\"1\" min=\"1\" max=\"9\" placeholder=\"2\"",
            "<label for=\"option-COPIES\">Copies <code class=\"muted\">COPIES</code></label>",
            "One is enough to begin with.</span> <span>From 1 to 9.",
            "aria-describedby=\"help-option-COPIES\"",
            "<option value=\"\">As the template has it: 6.8</option><option value=\"6.8\">",
            "<option value=\"true\">true</option><option value=\"false\">false</option>",
            "type=\"text\" required pattern=\"[a-z0-9.\\-]+\"",
            "The name of a secret of the Swarm",
        ] {
            assert!(page.contains(part), "no {part}: {page}");
        }
        assert_eq!(page.matches("autofocus").count(), 1);
        assert!(!page.contains("aria-invalid"), "{page}");
    }

    #[test]
    fn what_is_wrong_stands_at_its_field_and_nothing_typed_is_lost() {
        let typed =
            [("COPIES", "many"), ("HOST", SCRIPT), ("TAG", SCRIPT), ("NOTE", "a\n<b>"), ("DEBUG", "maybe")];
        let options = typed.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let sent = Sent { name: SCRIPT.into(), options, ..Sent::default() };
        let template = template();
        let page = rendered(&template, &sent, sent.mistakes(&template, true));
        let escaped = "&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;";
        for part in [
            &format!("<input id=\"name\" name=\"name\" value=\"{escaped}\""),
            &format!("<option value=\"{escaped}\" selected>"),
            &format!("<input id=\"option-HOST\" name=\"option-HOST\" value=\"{escaped}\""),
            "value=\"many\" type=\"text\"",
            "<option value=\"maybe\" selected>",
            "rows=\"3\" spellcheck=\"false\">\na\n&lt;b&gt;</textarea>",
            "<p class=\"wrong\" id=\"wrong-option-COPIES\"><code>COPIES</code> is no integer</p>",
            "aria-describedby=\"help-option-COPIES wrong-option-COPIES\" aria-invalid=\"true\"",
        ] {
            assert!(page.contains(part), "no {part}: {page}");
        }
        assert!(!page.contains("<script"), "{page}");
        let focus = page.split("autofocus").next().unwrap();
        assert!(
            page.matches("autofocus").count() == 1
                && focus.rfind("id=\"name\"") > focus.rfind("id=\"help-name\"")
        );
    }

    #[test]
    fn what_a_template_says_is_text() {
        let mut template = template();
        (template.title, template.description) = (Some(SCRIPT.into()), Some(SCRIPT.into()));
        for parameter in &mut template.parameters {
            (parameter.label, parameter.help) = (Some(SCRIPT.into()), Some(format!("{SCRIPT}\u{202e}")));
            (parameter.default, parameter.choices) = (Some(SCRIPT.into()), vec![SCRIPT.into()]);
        }
        let page = rendered(&template, &Sent::default(), BTreeMap::new());
        assert!(!page.contains("<script") && !page.contains('\u{202e}'), "{page}");
    }

    #[test]
    fn what_is_nothing_on_purpose_stays_so() {
        let sent = Sent::of([("HOST".to_owned(), String::new())].into());
        let page = rendered(&template(), &sent, BTreeMap::new());
        assert!(page.contains("name=\"empty-HOST\" value=\"1\" checked"), "{page}");
        assert!(page.contains("name=\"option-HOST\" value=\"\" type=\"text\" pattern="), "{page}");
    }
}
