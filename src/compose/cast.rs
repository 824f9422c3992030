//! What docker makes of a value in which it replaced a variable: at some keys a number or a boolean.
//!
//! Source: docker/cli `cli/compose/loader/interpolate.go`, of 20.10 and 28. It casts only what a variable
//! changed: `replicas: "3"` stays a string, which the schema refuses.

use anyhow::{Result, anyhow};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Integer,
    Float,
    Boolean,
}

/// `*` stands for any key, `[]` for the items of a list.
const TYPES: [(&str, Type); 29] = [
    ("services.*.configs.[].mode", Type::Integer),
    ("services.*.secrets.[].mode", Type::Integer),
    ("services.*.healthcheck.retries", Type::Integer),
    ("services.*.healthcheck.disable", Type::Boolean),
    ("services.*.deploy.replicas", Type::Integer),
    ("services.*.deploy.update_config.parallelism", Type::Integer),
    ("services.*.deploy.update_config.max_failure_ratio", Type::Float),
    ("services.*.deploy.rollback_config.parallelism", Type::Integer),
    ("services.*.deploy.rollback_config.max_failure_ratio", Type::Float),
    ("services.*.deploy.restart_policy.max_attempts", Type::Integer),
    ("services.*.deploy.placement.max_replicas_per_node", Type::Integer),
    ("services.*.ports.[].target", Type::Integer),
    ("services.*.ports.[].published", Type::Integer),
    ("services.*.ulimits.*", Type::Integer),
    ("services.*.ulimits.*.hard", Type::Integer),
    ("services.*.ulimits.*.soft", Type::Integer),
    ("services.*.privileged", Type::Boolean),
    ("services.*.oom_score_adj", Type::Integer),
    ("services.*.read_only", Type::Boolean),
    ("services.*.stdin_open", Type::Boolean),
    ("services.*.tty", Type::Boolean),
    ("services.*.volumes.[].read_only", Type::Boolean),
    ("services.*.volumes.[].volume.nocopy", Type::Boolean),
    ("networks.*.external", Type::Boolean),
    ("networks.*.internal", Type::Boolean),
    ("networks.*.attachable", Type::Boolean),
    ("volumes.*.external", Type::Boolean),
    ("secrets.*.external", Type::Boolean),
    ("configs.*.external", Type::Boolean),
];

/// The plain scalar that docker makes of `text` at `path`, keys with dots between them; `None` where it stays
/// a string.
pub fn cast(path: &str, text: &str) -> Result<Option<String>> {
    let matches = |pattern: &str| {
        pattern.split('.').count() == path.split('.').count()
            && pattern.split('.').zip(path.split('.')).all(|(wanted, part)| wanted == "*" || wanted == part)
    };
    let Some((_, kind)) = TYPES.iter().find(|(pattern, _)| matches(pattern)) else { return Ok(None) };
    match kind {
        Type::Integer => integer(text),
        Type::Float => float(text),
        Type::Boolean => boolean(text),
    }
    .map(Some)
}

fn integer(text: &str) -> Result<String> {
    text.parse::<i64>()
        .map(|number| number.to_string())
        .map_err(|_| anyhow!("what stands for its variables is no whole number"))
}

fn float(text: &str) -> Result<String> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
    number
        .map(|number| number.to_string())
        .ok_or_else(|| anyhow!("what stands for its variables is no number"))
}

fn boolean(text: &str) -> Result<String> {
    match text.to_lowercase().as_str() {
        "y" | "yes" | "true" | "on" => Ok("true".into()),
        "n" | "no" | "false" | "off" => Ok("false".into()),
        _ => Err(anyhow!("what stands for its variables is neither `true` nor `false`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_cast_where_docker_does() {
        for (path, text, wanted) in [
            ("services.a.deploy.replicas", "03", Some("3")),
            ("services.a.configs.[].mode", "0440", Some("440")),
            ("services.a.deploy.update_config.max_failure_ratio", "1e-3", Some("0.001")),
            ("services.a.tty", "Yes", Some("true")),
            ("networks.n.external", "off", Some("false")),
            ("services.a.environment.replicas", "3", None),
            ("services.a.ports.[]", "80", None),
            ("services.a.deploy.replicas.x", "3", None),
        ] {
            assert_eq!(cast(path, text).unwrap().as_deref(), wanted, "{path}");
        }
        for (path, text) in
            [("services.a.deploy.replicas", "three"), ("services.a.tty", ""), ("services.a.ulimits.x", "1.5")]
        {
            assert!(cast(path, text).is_err(), "{path}");
        }
    }
}
