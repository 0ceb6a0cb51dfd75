//! The one object of a kind that bears this node's name and that the node alone writes.

use cairn_api::{Kind, Object};
use cairn_daemon::timer::at;
use cairn_datastore::{Backoff, Datastore, Key, Precondition, Query, StoreError};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::engine::NodeFacts;
use crate::store::Followed;

/// What makes the object true.
#[derive(Debug, PartialEq)]
pub(crate) enum Step<K: Kind> {
    /// It is, or it is not known yet what would be.
    Nothing,
    Create(Object<K>),
    Update(Object<K>),
    Delete(Object<K>),
}

/// Keeps the object true, whatever the node's facts become and whoever else writes it. `what` it says is named in the log. Ends only with the
/// engine, or if the store is closed.
pub(crate) async fn keep<K: Kind, D: Datastore>(
    store: D,
    node: String,
    mut facts: watch::Receiver<NodeFacts>,
    what: &'static str,
    step: impl Fn(&str, &NodeFacts, Option<&Object<K>>) -> Step<K>,
) {
    // Of thousands of nodes each has one.
    let mut known = Followed::<K>::of(&store, Query::all().with_field("metadata.name", &node));
    let mut backoff = Backoff::default();
    loop {
        let next = {
            let now = facts.borrow_and_update();
            if known.is_listed() { step(&node, &now, known.get(&node)) } else { Step::Nothing }
        };
        let mut retry = None;
        match take(&store, next, what).await {
            Ok(()) => backoff.succeeded(),
            Err(error) => {
                // What another one wrote is told by the watch as well, but maybe not before this is tried again.
                if !matches!(error, StoreError::Conflict { .. } | StoreError::AlreadyExists { .. }) {
                    warn!(%error, "{what}: not in the datastore as it should be, trying again");
                }
                retry = Some(Instant::now() + backoff.failed());
            }
        }
        tokio::select! {
            changed = facts.changed() => if changed.is_err() {
                return;
            },
            open = known.follow() => if !open {
                return;
            },
            () = at(retry) => {}
        }
    }
}

async fn take<K: Kind, D: Datastore>(store: &D, step: Step<K>, what: &'static str) -> Result<(), StoreError> {
    match step {
        Step::Nothing => {}
        Step::Create(object) => {
            store.create(&object).await?;
            info!("{what}: now in the datastore");
        }
        Step::Update(object) => {
            store.update(&object).await?;
            debug!("{what}: changed in the datastore");
        }
        Step::Delete(object) => {
            let unchanged = Precondition::unchanged(&object.metadata);
            match store.delete::<K>(&Key::from(&object.metadata), &unchanged).await {
                Ok(()) | Err(StoreError::NotFound { .. }) => info!("{what}: no longer in the datastore"),
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}
