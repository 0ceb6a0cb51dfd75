//! What nodes report of themselves: followed once for all that look at it, for there is nothing larger that the controller follows.

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_api::Object;
use cairn_api::kinds::NodeStatus;
use cairn_datastore::{Datastore, Event, Query};
use tokio::sync::watch;

/// The nodes' reports by name.
pub type Reports = BTreeMap<String, Arc<Object<NodeStatus>>>;

/// What was told of them.
#[derive(Debug, Default)]
pub struct Heard {
    /// The reports as last told.
    pub reports: Reports,
    /// Was everything told once?
    pub listed: bool,
}

impl Heard {
    fn take(&mut self, event: Event<NodeStatus>) {
        match event {
            Event::Listed(objects) => {
                let named = objects.into_iter().map(|object| (object.name().to_owned(), object));
                (self.reports, self.listed) = (named.collect(), true);
            }
            Event::Added(object) | Event::Modified(object) => {
                self.reports.insert(object.name().to_owned(), object);
            }
            Event::Deleted(object) => drop(self.reports.remove(object.name())),
            Event::Invalid { .. } | Event::Gone { .. } | Event::Unavailable { .. } => {}
        }
    }
}

/// Follows for as long as it is polled. Ends only if the store is closed.
pub async fn follow<D: Datastore>(store: &D, heard: &watch::Sender<Heard>) {
    let mut watch = store.watch::<NodeStatus>(Query::all());
    while let Some(event) = watch.next().await {
        heard.send_modify(|heard| heard.take(event));
    }
}
