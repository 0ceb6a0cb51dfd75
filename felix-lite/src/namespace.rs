//! What the cluster's namespaces say of their pods' addresses: labels, for pools that are for some namespaces only, and annotations
//! that name pools.

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_api::core::Namespace;
use cairn_api::{Metadata, annotation};
use cairn_datastore::Datastore;
use cairn_net::Family;
use tokio::sync::watch;

use crate::store::Followed;

/// What a namespace says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Said {
    /// Its labels.
    pub(crate) labels: BTreeMap<String, String>,
    /// Its annotations that name pools, as they are written, by family.
    pub(crate) pools: BTreeMap<Family, String>,
}

impl Said {
    fn by(metadata: &Metadata) -> Self {
        let named = |family| Some((family, metadata.annotations.get(annotation::pools(family))?.clone()));
        let pools = Family::ALL.into_iter().filter_map(named).collect();
        Self { labels: metadata.labels.clone(), pools }
    }
}

/// What namespaces say, of those that say anything. Clones share one view.
#[derive(Debug, Clone)]
pub struct Namespaces {
    said: watch::Receiver<Arc<BTreeMap<String, Said>>>,
}

impl Namespaces {
    /// A view, and what keeps it up to date: it ends only if the store is closed.
    pub(crate) fn follow<D: Datastore>(store: &D) -> (Self, impl Future<Output = ()> + use<D>) {
        let (sender, said) = watch::channel(Arc::default());
        let mut known = Followed::<Namespace>::new(store);
        let follow = async move {
            while known.follow().await {
                let all =
                    known.objects().iter().map(|(name, found)| (name.clone(), Said::by(&found.metadata)));
                let said: BTreeMap<String, Said> = all.filter(|(_, said)| *said != Said::default()).collect();
                sender.send_if_modified(|known| {
                    let changed = **known != said;
                    if changed {
                        *known = Arc::new(said);
                    }
                    changed
                });
            }
        };
        (Self { said }, follow)
    }

    /// What a namespace says; nothing if it is not known.
    pub(crate) fn of(&self, namespace: &str) -> Said {
        self.said.borrow().get(namespace).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cairn_api::Object;
    use cairn_datastore::{Key, MemoryStore};

    use super::*;

    /// A label, and what the annotation of the IPv6 pools says.
    fn shop(team: &str, pools: Option<&str>) -> Metadata {
        let mut metadata = Metadata::named("shop");
        metadata.labels.insert("team".to_owned(), team.to_owned());
        metadata.annotations.insert("somebody/else".to_owned(), "x".to_owned());
        metadata.annotations.extend(pools.map(|pools| (annotation::IPV6_POOLS.to_owned(), pools.to_owned())));
        metadata
    }

    #[tokio::test]
    async fn labels_and_pools_follow_the_store() {
        let store = MemoryStore::new();
        let (namespaces, follow) = Namespaces::follow(&store);
        let task = tokio::spawn(follow);
        let until = async |wanted: Said| {
            let mut seen = namespaces.said.clone();
            let same = seen.wait_for(|all| all.get("shop").cloned().unwrap_or_default() == wanted);
            tokio::time::timeout(Duration::from_secs(30), same).await.expect("in time").unwrap();
            assert_eq!(namespaces.of("shop"), wanted);
        };
        let said = |team: &str, pools: &[(Family, &str)]| Said {
            labels: [("team".to_owned(), team.to_owned())].into(),
            pools: pools.iter().map(|(family, text)| (*family, (*text).to_owned())).collect(),
        };
        store.create(&Object::new(shop("a", None), Namespace {})).await.unwrap();
        until(said("a", &[])).await;
        for (team, pools) in [("b", r#"["p"]"#), ("b", "not checked here")] {
            let mut object = store.get::<Namespace>(&Key::named("shop")).await.unwrap();
            let Metadata { labels, annotations, .. } = shop(team, Some(pools));
            (object.metadata.labels, object.metadata.annotations) = (labels, annotations);
            store.update(&object).await.unwrap();
            until(said(team, &[(Family::Ipv6, pools)])).await;
        }
        store.delete::<Namespace>(&Key::named("shop"), &Default::default()).await.unwrap();
        until(Said::default()).await;
        assert_eq!(namespaces.of("other"), Said::default());
        task.abort();
    }
}
