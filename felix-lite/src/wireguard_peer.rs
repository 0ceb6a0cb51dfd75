//! The node's WireguardPeer object: its public key, for the other nodes.
//!
//! Written when the device is there, so that nobody sends to it before; put back when somebody changes it; deleted when encryption is switched
//! off. What an operator has written into it besides the key stays.

use std::time::Duration;

use cairn_api::kinds::WireguardPeer;
use cairn_api::{Metadata, Object, WireguardKey};
use cairn_datastore::{Datastore, Precondition, StoreError};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::engine::{Encryption, NodeFacts};
use crate::store::Known;

/// When a write that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Keeps the object true. Ends only with the engine, or if the store is closed.
pub(crate) async fn run<D: Datastore>(store: D, node: String, mut facts: watch::Receiver<NodeFacts>) {
    let mut known = Known::<WireguardPeer>::new(&store);
    loop {
        let now = facts.borrow_and_update().encryption;
        let mut settled = true;
        if known.listed
            && let Err(error) = settle(&store, &node, known.get(&node), now).await
        {
            // A conflict is told by the watch as well, but maybe not before this is tried again.
            if !matches!(error, StoreError::Conflict { .. }) {
                warn!(%error, "the node's public key is not in the datastore: trying again");
            }
            settled = false;
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
    object: Option<&Object<WireguardPeer>>,
    now: Encryption,
) -> Result<(), StoreError> {
    match (now, object) {
        (Encryption::Unknown | Encryption::On(None), _) | (Encryption::Off, None) => Ok(()),
        (Encryption::On(Some(key)), Some(object)) if object.spec.public_key == key => Ok(()),
        (Encryption::On(Some(key)), Some(object)) => {
            info!(%key, "the node's public key is put into the datastore again");
            let spec = WireguardPeer { public_key: key, ..object.spec.clone() };
            store.update(&Object { spec, ..object.clone() }).await.map(drop)
        }
        (Encryption::On(Some(key)), None) => create(store, node, key).await,
        (Encryption::Off, Some(object)) => {
            info!("nothing is encrypted any more: the node's public key leaves the datastore");
            let key = cairn_datastore::Key::named(node);
            match store.delete::<WireguardPeer>(&key, &Precondition::unchanged(&object.metadata)).await {
                Err(StoreError::NotFound { .. }) => Ok(()),
                done => done,
            }
        }
    }
}

async fn create<D: Datastore>(store: &D, node: &str, key: WireguardKey) -> Result<(), StoreError> {
    let object = Object::new(Metadata::named(node), WireguardPeer::of(key));
    match store.create(&object).await {
        Ok(_) => {
            info!(%key, "the node's public key is in the datastore");
            Ok(())
        }
        // It is told by the watch.
        Err(StoreError::AlreadyExists { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
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

    #[tokio::test]
    async fn before_anything_is_known_nothing_is_taken_away() {
        let store = MemoryStore::new();
        let object = Object::new(Metadata::named("a"), WireguardPeer::of(WireguardKey([1; 32])));
        store.create(&object).await.unwrap();
        for unknown in [Encryption::Unknown, Encryption::On(None)] {
            settle(&store, "a", Some(&object), unknown).await.unwrap();
        }
        becomes(&store, Some(WireguardKey([1; 32]))).await;
    }
}
