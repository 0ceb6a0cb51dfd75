//! Labels of the cluster's namespaces, for pools that are for some namespaces only.

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_api::core::Namespace;
use cairn_datastore::Datastore;
use tokio::sync::watch;

use crate::store::Known;

/// The labels of a namespace.
type Labels = BTreeMap<String, String>;

/// Labels by namespace, as far as there are any. Clones share one view.
#[derive(Debug, Clone)]
pub struct Namespaces {
    labels: watch::Receiver<Arc<BTreeMap<String, Labels>>>,
}

impl Namespaces {
    /// A view, and what keeps it up to date: it ends only if the store is closed.
    pub(crate) fn follow<D: Datastore>(store: &D) -> (Self, impl Future<Output = ()> + use<D>) {
        let (sender, labels) = watch::channel(Arc::default());
        let mut known = Known::<Namespace>::new(store);
        let follow = async move {
            while known.follow().await {
                let labelled = known.objects.iter().filter(|found| !found.metadata.labels.is_empty());
                let labels: BTreeMap<String, Labels> =
                    labelled.map(|found| (found.name().to_owned(), found.metadata.labels.clone())).collect();
                sender.send_if_modified(|known| {
                    let changed = **known != labels;
                    if changed {
                        *known = Arc::new(labels);
                    }
                    changed
                });
            }
        };
        (Self { labels }, follow)
    }

    /// The labels of a namespace; none if it has none, or is not known.
    pub(crate) fn labels(&self, namespace: &str) -> Labels {
        self.labels.borrow().get(namespace).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cairn_api::{Metadata, Object};
    use cairn_datastore::{Key, MemoryStore};

    use super::*;

    #[tokio::test]
    async fn labels_follow_the_store() {
        let store = MemoryStore::new();
        let (namespaces, follow) = Namespaces::follow(&store);
        let task = tokio::spawn(follow);
        let until = async |labels: &[(&str, &str)]| {
            let wanted: Labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            let mut seen = namespaces.labels.clone();
            let same = seen.wait_for(|all| all.get("shop").cloned().unwrap_or_default() == wanted);
            tokio::time::timeout(Duration::from_secs(30), same).await.expect("in time").unwrap();
            assert_eq!(namespaces.labels("shop"), wanted);
        };
        let mut metadata = Metadata::named("shop");
        metadata.labels.insert("team".to_owned(), "a".to_owned());
        store.create(&Object::new(metadata, Namespace {})).await.unwrap();
        until(&[("team", "a")]).await;
        let mut object = store.get::<Namespace>(&Key::named("shop")).await.unwrap();
        object.metadata.labels.insert("team".to_owned(), "b".to_owned());
        store.update(&object).await.unwrap();
        until(&[("team", "b")]).await;
        store.delete::<Namespace>(&Key::named("shop"), &Default::default()).await.unwrap();
        until(&[]).await;
        assert!(namespaces.labels("other").is_empty());
        task.abort();
    }
}
