//! The node's EgressMembers object: which of its pods egress gateways select, for the nodes that have the gateways' addresses.
//!
//! Written when it differs, put back when somebody changes it, and deleted when there are none. After a start nothing is written before all is
//! known that it follows from.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use cairn_api::kinds::{EgressMembers, GatewayMembers};
use cairn_api::{Metadata, Object};
use cairn_datastore::{Datastore, Key, Precondition, StoreError};
use tokio::sync::watch;
use tracing::warn;

use crate::engine::NodeFacts;
use crate::store::Known;

/// When a write that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Keeps the object true. Ends only with the engine, or if the store is closed.
pub(crate) async fn run<D: Datastore>(store: D, node: String, mut facts: watch::Receiver<NodeFacts>) {
    let mut known = Known::<EgressMembers>::new(&store);
    loop {
        let members = facts.borrow_and_update().egress.as_ref().map(|egress| egress.members.clone());
        let mut settled = true;
        if let Some(members) = members.filter(|_| known.listed) {
            let object = known.objects.iter().find(|object| object.name() == node);
            if let Err(error) = settle(&store, &node, object.map(|object| &**object), members).await {
                // A conflict is told by the watch as well, but maybe not before this is tried again.
                if !matches!(error, StoreError::Conflict { .. } | StoreError::AlreadyExists { .. }) {
                    warn!(%error, "the node's members of egress gateways are not in the datastore: trying again");
                }
                settled = false;
            }
        }
        tokio::select! {
            changed = facts.changed() => if changed.is_err() {
                return;
            },
            open = known.follow() => if !open {
                return;
            },
            () = tokio::time::sleep(RETRY), if !settled => {}
        }
    }
}

async fn settle<D: Datastore>(
    store: &D,
    node: &str,
    object: Option<&Object<EgressMembers>>,
    members: BTreeMap<String, BTreeSet<IpAddr>>,
) -> Result<(), StoreError> {
    let members = members.into_iter().filter(|(_, addresses)| !addresses.is_empty());
    let members = members
        .map(|(gateway, addresses)| GatewayMembers { gateway, addresses: addresses.into_iter().collect() })
        .collect();
    let spec = EgressMembers { members };
    match object {
        None if spec.members.is_empty() => Ok(()),
        None => store.create(&Object::new(Metadata::named(node), spec)).await.map(drop),
        Some(object) if object.spec == spec => Ok(()),
        Some(object) if spec.members.is_empty() => {
            let unchanged = Precondition::unchanged(&object.metadata);
            match store.delete::<EgressMembers>(&Key::named(node), &unchanged).await {
                Err(StoreError::NotFound { .. }) => Ok(()),
                done => done,
            }
        }
        Some(object) => store.update(&Object { spec, ..object.clone() }).await.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use cairn_datastore::MemoryStore;

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
