//! The node's EgressMembers object: which of its pods egress gateways select, for the nodes that have the gateways' addresses.
//!
//! Written when it differs, put back when somebody changes it, and deleted when there are none. After a start nothing is written before all is
//! known that it follows from.

use cairn_api::kinds::{EgressMembers, GatewayMembers};
use cairn_api::{Metadata, Object};
use cairn_datastore::Datastore;
use tokio::sync::watch;

use crate::engine::NodeFacts;
use crate::own_object::{Step, keep};

/// Keeps the object true. Ends only with the engine, or if the store is closed.
pub(crate) async fn run<D: Datastore>(store: D, node: String, facts: watch::Receiver<NodeFacts>) {
    keep(store, node, facts, "the node's members of egress gateways", step).await;
}

fn step(node: &str, facts: &NodeFacts, object: Option<&Object<EgressMembers>>) -> Step<EgressMembers> {
    let Some(egress) = &facts.egress else { return Step::Nothing };
    let members = egress.members.iter().filter(|(_, addresses)| !addresses.is_empty());
    let members = members.map(|(gateway, addresses)| GatewayMembers {
        gateway: gateway.clone(),
        addresses: addresses.iter().copied().collect(),
    });
    let spec = EgressMembers { members: members.collect() };
    match object {
        None if spec.members.is_empty() => Step::Nothing,
        None => Step::Create(Object::new(Metadata::named(node), spec)),
        Some(object) if object.spec == spec => Step::Nothing,
        Some(object) if spec.members.is_empty() => Step::Delete(object.clone()),
        Some(object) => Step::Update(Object { spec, ..object.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cairn_datastore::{Key, MemoryStore};

    use super::*;
    use crate::engine::EgressFacts;

    async fn becomes(store: &MemoryStore, wanted: Option<&[&str]>) {
        let holds = async {
            loop {
                let found = store.get::<EgressMembers>(&Key::named("a")).await.ok();
                let found = found.map(|found| found.spec.of("g").iter().map(ToString::to_string).collect());
                let wanted = wanted.map(|wanted| wanted.iter().map(ToString::to_string).collect());
                if found == wanted.filter(|wanted: &Vec<String>| !wanted.is_empty()) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let patience = tokio::time::timeout(Duration::from_secs(30), holds);
        patience.await.unwrap_or_else(|_| panic!("the members do not become {wanted:?}"));
    }

    #[tokio::test]
    async fn members_are_told_put_back_and_taken_away() {
        let store = MemoryStore::new();
        let (sender, facts) = watch::channel(NodeFacts::default());
        let task = tokio::spawn(run(store.clone(), "a".to_owned(), facts));
        let tell = |addresses: &[&str]| {
            let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
            let members = [("g".to_owned(), addresses)].into();
            sender
                .send_modify(|facts| facts.egress = Some(EgressFacts { members, ..EgressFacts::default() }));
        };
        tell(&["10.0.0.2", "10.0.0.1"]);
        becomes(&store, Some(&["10.0.0.1", "10.0.0.2"])).await;
        let mut object = store.get::<EgressMembers>(&Key::named("a")).await.unwrap();
        object.spec.members[0].addresses = vec!["10.0.0.9".parse().unwrap()];
        store.update(&object).await.unwrap();
        becomes(&store, Some(&["10.0.0.1", "10.0.0.2"])).await;
        tell(&[]);
        becomes(&store, None).await;
        // Unknown is not none.
        tell(&["10.0.0.1"]);
        becomes(&store, Some(&["10.0.0.1"])).await;
        sender.send_modify(|facts| facts.egress = None);
        tokio::time::sleep(Duration::from_millis(50)).await;
        becomes(&store, Some(&["10.0.0.1"])).await;
        task.abort();
    }
}
