//! Which stack goes before which. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::docker::Swarm;
use crate::stack::StackName;

/// Of each stack those that go before it: what depends on it, and what joins its networks. `depends_on` is what
/// manifests said, `networks` whose network an id is. What would make a circle is left out, networks first.
pub fn order(
    names: &BTreeSet<&StackName>,
    depends_on: &[(&StackName, &[StackName])],
    networks: &BTreeMap<String, StackName>,
    swarm: &Swarm,
) -> BTreeMap<StackName, BTreeSet<StackName>> {
    let mut before: BTreeMap<StackName, BTreeSet<StackName>> = BTreeMap::new();
    let said = depends_on.iter().flat_map(|(name, wanted)| wanted.iter().map(move |wanted| (*name, wanted)));
    let joined = swarm.services.iter().flat_map(|service| {
        let template = service.template.value();
        let targets = template["Networks"].as_array().into_iter().flatten();
        let owners = targets.filter_map(|joined| networks.get(joined["Target"].as_str()?));
        owners.map(|owner| (&service.stack, owner)).collect::<Vec<_>>()
    });
    for (dependent, dependency) in said.chain(joined) {
        let both = names.contains(dependent) && names.contains(dependency);
        if both && !comes_before(&before, dependency, dependent) {
            before.entry(dependency.clone()).or_default().insert(dependent.clone());
        }
    }
    before
}

/// Whether `one` is `other`, or goes before it, by way of others perhaps.
fn comes_before(
    before: &BTreeMap<StackName, BTreeSet<StackName>>,
    one: &StackName,
    other: &StackName,
) -> bool {
    let (mut seen, mut open) = (BTreeSet::new(), vec![other]);
    while let Some(name) = open.pop() {
        if name == one {
            return true;
        }
        if seen.insert(name) {
            open.extend(before.get(name).into_iter().flatten());
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docker::service::{self, Service};
    use serde_json::json;

    fn name(text: &str) -> StackName {
        StackName::known(text)
    }

    fn joins(stack: &str, network: &str) -> Service {
        let labels = json!({"com.docker.stack.namespace": stack});
        let template = json!({"Networks": [{"Target": network}]});
        let spec = json!({"Name": format!("{stack}_app"), "Labels": labels, "TaskTemplate": template});
        service::read(vec![], vec![json!({"ID": stack, "Spec": spec})]).unwrap().remove(0)
    }

    /// `a<b` for: a goes before b.
    fn ordered(names: &str, depends_on: &[(&str, &str)], joined: &[(&str, &str)]) -> Vec<String> {
        let names: Vec<_> = names.split(' ').map(name).collect();
        let wanted: Vec<_> = depends_on.iter().map(|(one, other)| (name(one), [name(other)])).collect();
        let wanted: Vec<_> = wanted.iter().map(|(one, others)| (one, &others[..])).collect();
        let networks = names.iter().map(|name| (format!("net-{name}"), name.clone())).collect();
        let services = joined.iter().map(|(stack, owner)| joins(stack, &format!("net-{owner}"))).collect();
        let before = order(&names.iter().collect(), &wanted, &networks, &Swarm::of(services));
        before.iter().flat_map(|(one, others)| others.iter().map(move |it| format!("{it}<{one}"))).collect()
    }

    #[test]
    fn dependents_go_before_what_they_depend_on_by_word_or_by_network() {
        assert_eq!(ordered("api db web", &[("web", "api"), ("api", "db")], &[]), ["web<api", "api<db"]);
        assert_eq!(ordered("app edge", &[], &[("app", "edge"), ("edge", "edge")]), ["app<edge"]);
        assert_eq!(ordered("app", &[("app", "gone")], &[("app", "gone")]), [""; 0]);
    }

    #[test]
    fn no_circle_holds_a_stack_and_the_manifest_has_the_first_word() {
        assert_eq!(ordered("a b", &[("b", "a")], &[("a", "b")]), ["b<a"]);
        assert_eq!(ordered("a b c", &[], &[("a", "b"), ("b", "c"), ("c", "a")]), ["a<b", "b<c"]);
    }
}
