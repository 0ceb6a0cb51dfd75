//! What nodes report of themselves: followed once for all that look at it, for there is nothing larger that the controller follows.

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_api::Object;
use cairn_api::kinds::NodeStatus;
use cairn_datastore::{Datastore, Known, Query};
use tokio::sync::watch;

/// The nodes' reports by name.
pub type Reports = BTreeMap<String, Arc<Object<NodeStatus>>>;

/// Follows for as long as it is polled. Ends only if the store is closed.
pub async fn follow<D: Datastore>(store: &D, heard: &watch::Sender<Known<NodeStatus>>) {
    let mut watch = store.watch::<NodeStatus>(Query::all());
    while let Some(event) = watch.next().await {
        heard.send_modify(|heard| heard.take(event));
    }
}
