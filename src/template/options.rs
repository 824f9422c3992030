//! What somebody gives for the parameters of a template, checked, and as the `.env` of a stack.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Kind, Parameter, Template, Work};
use crate::compose::dotenv_values;
use crate::problem::{Collector, Problem};

/// The longest value, in bytes: an environment holds no much longer one.
const LONGEST: usize = 64 << 10;

/// Values by the names of parameters. Those that were not given are not there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Values(pub BTreeMap<String, String>);

/// The options of a stack that is to be made from `template`, or all that is wrong with them; each mistake's key is the
/// option's name.
pub fn check(template: &Template, options: &Map<String, Value>) -> Result<Values, Vec<Problem>> {
    let mut problems = Collector::new("options");
    let (mut values, work) = (Values::default(), Work::new());
    for parameter in &template.parameters {
        match options.get(&parameter.name).map(|value| parameter.take(value, &work)) {
            Some(Ok(value)) => drop(values.0.insert(parameter.name.clone(), value)),
            Some(Err(what)) => problems.add(0, &*parameter.name, what),
            None if parameter.required => {
                let why = parameter.help.as_deref().map(|help| format!(": {help}")).unwrap_or_default();
                problems.add(0, &*parameter.name, format!("is required{why}"));
            }
            None => {}
        }
    }
    for name in options.keys() {
        if !template.parameters.iter().any(|known| known.name == *name) {
            problems.add(0, &**name, format!("is no parameter of `{}`", template.name));
        }
    }
    let problems = problems.into_problems();
    if problems.is_empty() { Ok(values) } else { Err(problems) }
}

impl Parameter {
    /// The text that `value` is: a number and a switch are written in one way only.
    fn take(&self, value: &Value, work: &Work) -> Result<String, String> {
        let is_text = self.kind != Some(Kind::String);
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) if is_text && (number.is_i64() || number.is_u64()) => number.to_string(),
            Value::Bool(switch) if is_text => switch.to_string(),
            _ => {
                let kind = match self.kind {
                    None => "a string, an integer or a boolean",
                    Some(Kind::String) => "a string",
                    Some(Kind::Integer) => "an integer",
                    Some(Kind::Boolean) => "a boolean",
                };
                return Err(format!("must be {kind}"));
            }
        };
        if text.len() > LONGEST {
            return Err(format!("is longer than {} KiB", LONGEST >> 10));
        }
        if text.contains('\0') {
            return Err("holds a NUL byte, which no environment can".to_owned());
        }
        // What the template itself has for it may be one: its author says what is deployed.
        let is_its_own = self.default.as_ref() == Some(&text) || self.choices.contains(&text);
        if !is_its_own && (text.contains("{{") || text.ends_with('{')) {
            return Err("holds `{{`, or ends in `{`: Swarm would put something else there, as for `{{.Node.Hostname}}`".to_owned());
        }
        self.refuses(&text, work).map_or(Ok(text), Err)
    }
}

impl Values {
    /// What a file of options says; of one that cannot be read, what can.
    pub fn parse(text: &str) -> Self {
        Self(dotenv_values(text))
    }

    /// The text of an `.env` that gives back these very values, to this program and to `docker compose`: sorted, one a
    /// line.
    pub fn dotenv(&self) -> String {
        self.0.iter().fold(String::new(), |all, (name, value)| all + name + "=" + &quoted(value) + "\n")
    }
}

/// Double quotes are what all readers take alike: in single ones some know a `\\'`, and some end.
fn quoted(value: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.,:/@%+=".contains(&byte);
    if !value.is_empty() && value.bytes().all(is_plain) {
        return value.to_owned();
    }
    let mut quoted = String::from('"');
    for letter in value.chars() {
        match letter {
            '\n' => quoted.push_str("\\n"),
            '"' | '\\' | '$' => quoted.extend(['\\', letter]),
            _ => quoted.push(letter),
        }
    }
    quoted + "\""
}
