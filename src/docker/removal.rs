//! A stack that is removed, what is left of it, and who keeps it.

use std::collections::{BTreeMap, BTreeSet};
use std::{error, fmt};

use anyhow::{Context, Result};
use serde_json::Value;

use super::{ANOTHER, Docker, command, garbage, parse_line, refused};
use crate::fault::OrHint;
use crate::stack::StackName;

/// States of a task that runs no more.
const ENDED: [&str; 6] = ["Complete", "Shutdown", "Failed", "Rejected", "Remove", "Orphaned"];
/// So many users of one object are named, the others counted.
const NAMED: usize = 5;

/// While a stack was being removed, somebody deployed one of its name.
#[derive(Debug)]
pub struct DeployedAnew(pub StackName);

impl fmt::Display for DeployedAnew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "somebody deployed `{}` anew meanwhile: what is there now is left alone, and the next run looks at it",
            self.0
        )
    }
}

impl error::Error for DeployedAnew {}

impl Docker {
    /// One `docker stack rm`; whether nothing was left of the stack. `proven` are the ids of the services that may
    /// go: where there is any other by now, nothing is removed.
    pub fn remove_stack(&self, name: &StackName, proven: &BTreeSet<String>) -> Result<bool> {
        let listed = self.ask(&command::stack_services(name))?;
        let is_proven = |short: &str| proven.iter().any(|id| id.starts_with(short));
        if !listed.stdout.split_whitespace().all(is_proven) {
            return Err(DeployedAnew(name.clone()).into());
        }
        let call = command::stack_rm(name);
        let output = self.raw(&call, self.action, None, None)?;
        // 20.10 exits with 0 here, 28 as well; a network still in use makes both fail.
        let nothing = format!("{}{}", output.stdout, output.stderr).contains("Nothing found in stack");
        if output.success || nothing { Ok(nothing) } else { Err(refused(&call, &output)) }
    }

    /// The stacks that networks belong to, by the network's whole id.
    pub fn network_stacks(&self) -> Result<BTreeMap<String, StackName>> {
        let call = command::network_stacks();
        let output = self.ask(&call)?;
        let pair = |line: &str| {
            let [id, stack] =
                parse_line::<[String; 2]>(line).with_context(|| garbage(&call, &output.stdout))?;
            Ok((id, StackName::known(stack)))
        };
        output.stdout.lines().map(pair).collect::<Result<_>>().or_hint(ANOTHER)
    }

    /// Whether no container of the stack runs any more. Swarm knows tasks of services that are gone until they
    /// have ended.
    pub fn is_down(&self, name: &StackName) -> Result<bool> {
        let call = command::stack_states(name);
        let output = self.raw(&call, self.question, None, None)?;
        if output.success {
            return Ok(output.stdout.lines().all(|line| ENDED.iter().any(|state| line.starts_with(state))));
        }
        if output.stderr.to_lowercase().contains("nothing found in stack") {
            return Ok(true);
        }
        Err(refused(&call, &output))
    }

    /// Who still uses the networks that are left of a stack: one sentence a network.
    pub fn users_of_networks(&self, stack: &StackName) -> Result<Vec<String>> {
        let left = self.ask(&command::stack_networks(stack))?;
        let ids: Vec<_> = left.stdout.split_whitespace().collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let networks = self.inspect(&command::network_inspect(&ids))?;
        let services = self.ask(&command::service_ids())?;
        let services: Vec<_> = services.stdout.split_whitespace().collect();
        let services = if services.is_empty() {
            Vec::new()
        } else {
            self.inspect(&command::service_inspect(&services))?
        };
        Ok(networks.iter().filter_map(|network| in_use(network, &services)).collect())
    }
}

/// Who uses one network, in words; `None` where nobody can be named.
fn in_use(network: &Value, services: &[Value]) -> Option<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let joins = |service: &&Value| {
        let of_tasks = service["Spec"]["TaskTemplate"]["Networks"].as_array();
        of_tasks.into_iter().flatten().any(|joined| joined["Target"] == network["Id"])
    };
    let mut users: Vec<_> = services
        .iter()
        .filter(joins)
        .map(|service| {
            let stack = &service["Spec"]["Labels"][command::NAMESPACE];
            let of = stack.as_str().map(|stack| format!(" of the stack `{stack}`")).unwrap_or_default();
            format!("the service `{}`{of}", text(&service["Spec"]["Name"]))
        })
        .collect();
    let known = |name: &str| services.iter().filter(joins).any(|service| service["Spec"]["Name"] == name);
    for (service, attached) in network["Services"].as_object().into_iter().flatten() {
        if known(service) {
            continue;
        }
        for container in attached["Tasks"].as_array().into_iter().flatten() {
            let node = text(&container["Info"]["Host IP"]);
            let node = if node.is_empty() { node } else { format!(" on {node}") };
            users.push(format!("the container `{}`{node}", text(&container["Name"])));
        }
    }
    if users.is_empty() {
        return None;
    }
    let more = users.len().saturating_sub(NAMED);
    users.truncate(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Some(format!("the network `{}` is used by {}{more}", text(&network["Name"]), users.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn services_and_containers_that_keep_a_network_are_named() {
        let network = json!({"Id": "n", "Name": "shop_net", "Services": {
            "": {"Tasks": [{"Name": "by-hand", "Info": {"Host IP": "10.0.0.2"}}]},
            "web_app": {"Tasks": [{"Name": "web_app.1.x"}]}
        }});
        let service = |name: &str, stack: Option<&str>, target: &str| {
            json!({"Spec": {"Name": name, "Labels": {command::NAMESPACE: stack},
                "TaskTemplate": {"Networks": [{"Target": target}]}}})
        };
        let services =
            [service("web_app", Some("web"), "n"), service("other", None, "m"), service("lone", None, "n")];
        let told = in_use(&network, &services).unwrap();
        assert_eq!(
            told,
            "the network `shop_net` is used by the service `web_app` of the stack `web`, the service `lone`, \
             the container `by-hand` on 10.0.0.2"
        );
        assert_eq!(in_use(&json!({"Id": "k", "Name": "k"}), &services), None);
    }
}
