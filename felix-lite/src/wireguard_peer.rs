//! The node's WireguardPeer object: its public key, for the other nodes.
//!
//! Written when the device is there, so that nobody sends to it before; put back when somebody changes it; deleted when encryption is switched
//! off. What an operator has written into it besides the key stays.

use cairn_api::kinds::WireguardPeer;
use cairn_api::{Metadata, Object};
use cairn_datastore::Datastore;
use tokio::sync::watch;

use crate::engine::{Encryption, NodeFacts};
use crate::own_object::{Step, keep};

/// Keeps the object true. Ends only with the engine, or if the store is closed.
pub(crate) async fn run<D: Datastore>(store: D, node: String, facts: watch::Receiver<NodeFacts>) {
    keep(store, node, facts, "the node's public key", step).await;
}

fn step(node: &str, facts: &NodeFacts, object: Option<&Object<WireguardPeer>>) -> Step<WireguardPeer> {
    match (facts.encryption, object) {
        (Encryption::Unknown | Encryption::On(None), _) | (Encryption::Off, None) => Step::Nothing,
        (Encryption::On(Some(key)), Some(object)) if object.spec.public_key == key => Step::Nothing,
        (Encryption::On(Some(key)), Some(object)) => {
            let spec = WireguardPeer { public_key: key, ..object.spec.clone() };
            Step::Update(Object { spec, ..object.clone() })
        }
        (Encryption::On(Some(key)), None) => {
            Step::Create(Object::new(Metadata::named(node), WireguardPeer::of(key)))
        }
        (Encryption::Off, Some(object)) => Step::Delete(object.clone()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cairn_api::WireguardKey;
    use cairn_datastore::{Key, MemoryStore};

    use super::*;

    async fn becomes(store: &MemoryStore, wanted: Option<WireguardKey>) {
        let holds = async {
            loop {
                let found = store.get::<WireguardPeer>(&Key::named("a")).await.ok();
                if found.map(|found| found.spec.public_key) == wanted {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let patience = tokio::time::timeout(Duration::from_secs(30), holds);
        patience.await.unwrap_or_else(|_| panic!("the key does not become {wanted:?}"));
    }

    #[tokio::test]
    async fn the_key_is_told_put_back_and_taken_away() {
        let store = MemoryStore::new();
        let (sender, facts) = watch::channel(NodeFacts::default());
        let task = tokio::spawn(run(store.clone(), "a".to_owned(), facts));
        let [mine, other] = [WireguardKey([1; 32]), WireguardKey([2; 32])];
        sender.send_modify(|facts| facts.encryption = Encryption::On(Some(mine)));
        becomes(&store, Some(mine)).await;

        let mut object = store.get::<WireguardPeer>(&Key::named("a")).await.unwrap();
        object.spec.public_key = other;
        object.spec.allowed_ips.push("10.99.0.0/24".parse().unwrap());
        store.update(&object).await.unwrap();
        becomes(&store, Some(mine)).await;
        let object = store.get::<WireguardPeer>(&Key::named("a")).await.unwrap();
        assert_eq!(object.spec.allowed_ips.len(), 1, "the operator's");

        sender.send_modify(|facts| facts.encryption = Encryption::Off);
        becomes(&store, None).await;
        task.abort();
    }

    #[test]
    fn before_anything_is_known_nothing_is_taken_away() {
        let object = Object::new(Metadata::named("a"), WireguardPeer::of(WireguardKey([1; 32])));
        for encryption in [Encryption::Unknown, Encryption::On(None)] {
            let facts = NodeFacts { encryption, ..NodeFacts::default() };
            assert_eq!(step("a", &facts, Some(&object)), Step::Nothing);
        }
    }
}
