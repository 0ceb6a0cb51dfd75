//! Cairn's objects into the store. What somebody else made stays as it is.

use cairn_api::core::{Namespace, Node};
use cairn_api::kinds::{BgpPeer, IpPool};
use cairn_api::{Kind, Object, annotation};
use cairn_datastore::{Datastore, Key, StoreError, attempts};
use serde_json::json;

use super::calico::{Annotated, Annotations, CALICO, RESERVATION, Translated};
use crate::Error;
use crate::output::Output;

/// What was done to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    Created,
    Updated,
    Unchanged,
    /// There is one that this command did not make, and that says something else.
    Kept,
    /// There is no Node or Namespace of this name to annotate.
    Missing,
}

impl Done {
    const fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
            Self::Kept => "left as it is: another one is there, which was not made of Calico's objects",
            Self::Missing => "not there: it gets its annotations once it is, by the same command",
        }
    }
}

/// Puts all objects into the store, in order. Ends where somebody else's object is in the place of one that later ones rely on.
pub(super) async fn all(
    store: &impl Datastore,
    objects: &[Translated],
    output: &mut Output,
) -> Result<(), Error> {
    let (mut kept, mut missing) = (0usize, 0usize);
    for object in objects {
        let (kind, name, done) = match object {
            Translated::Reservation(object) => put(store, object).await?,
            Translated::Ipam(object) => put(store, object).await?,
            Translated::Filter(object) => put(store, object).await?,
            Translated::Configuration(object) => put(store, object).await?,
            Translated::NodeConfiguration(object) => put(store, object).await?,
            Translated::Peer(object) => put(store, object).await?,
            Translated::Pool(object) => put(store, object).await?,
            Translated::Annotations(annotations) => match annotations.on {
                Annotated::Node => annotate::<Node>(store, annotations).await?,
                Annotated::Namespace => annotate::<Namespace>(store, annotations).await?,
            },
        };
        kept += usize::from(done == Done::Kept);
        missing += usize::from(done == Done::Missing);
        if output.is_json() {
            output.json(&json!({ "kind": kind, "name": name, "done": done.word() }))?;
        } else {
            output.line(format_args!("{kind} {name}: {}", done.word()))?;
        }
        if done == Done::Kept
            && let Some(harm) = harm(object, objects)
        {
            return Err(Error::Answer(format!(
                "{kind} {name} is there already, says something else and was not made of Calico's objects: {harm}. \
                 Nothing that comes after it is written: take it away or give it another name, then do this again"
            )));
        }
    }
    match (kept, missing) {
        (0, 0) => Ok(()),
        (kept, missing) => Err(Error::Answer(format!(
            "objects that are there already and say something else: {kept}; that are to be annotated and are not there: {missing}"
        ))),
    }
}

/// What harm somebody else's object does in the place of this one, by the first that relies on it: a pool without the reservation, or a peer
/// without its filter. Both come later than what they rely on, so that none of them is written yet.
fn harm(object: &Translated, objects: &[Translated]) -> Option<String> {
    objects.iter().find_map(|other| match (object, other) {
        (Translated::Reservation(held), Translated::Pool(pool))
            if held.name() == RESERVATION && !pool.spec.disabled =>
        {
            Some(format!("{} {} would give addresses that Calico has given", IpPool::KIND, pool.name()))
        }
        (Translated::Filter(filter), Translated::Peer(peer))
            if peer.spec.filters.iter().any(|name| name == filter.name()) =>
        {
            Some(format!(
                "{} {} would not hold back what it holds back in Calico",
                BgpPeer::KIND,
                peer.name()
            ))
        }
        _ => None,
    })
}

type Put<'a> = (&'static str, &'a str, Done);

async fn put<'a, K: Kind>(store: &impl Datastore, object: &'a Object<K>) -> Result<Put<'a>, StoreError> {
    let done = |done| (K::KIND, object.name(), done);
    match store.create(object).await {
        Ok(_) => return Ok(done(Done::Created)),
        Err(StoreError::AlreadyExists { .. }) => {}
        Err(error) => return Err(error),
    }
    attempts(async || {
        let mut stored: Object<K> = store.get(&Key::from(&object.metadata)).await?;
        if stored.spec == object.spec {
            return Ok(done(Done::Unchanged));
        }
        let made = stored.metadata.annotations.get(annotation::MIGRATED_FROM);
        if made.is_none_or(|product| product != CALICO) {
            return Ok(done(Done::Kept));
        }
        stored.spec.clone_from(&object.spec);
        store.update(&stored).await?;
        Ok(done(Done::Updated))
    })
    .await
}

async fn annotate<'a, K: Kind>(
    store: &impl Datastore,
    annotations: &'a Annotations,
) -> Result<Put<'a>, StoreError> {
    attempts(async || {
        let mut stored: Object<K> = match store.get(&Key::named(&annotations.name)).await {
            Err(StoreError::NotFound { .. }) => {
                return Ok((K::KIND, annotations.name.as_str(), Done::Missing));
            }
            found => found?,
        };
        let before = stored.metadata.annotations.clone();
        stored.metadata.annotations.extend(annotations.annotations.clone());
        let done = if before == stored.metadata.annotations {
            Done::Unchanged
        } else {
            store.update(&stored).await?;
            Done::Updated
        };
        Ok((K::KIND, annotations.name.as_str(), done))
    })
    .await
}

#[cfg(test)]
mod tests {
    use cairn_api::Metadata;
    use cairn_api::kinds::{BgpFilter, IpReservation};
    use cairn_datastore::{MemoryStore, Query};
    use serde_json::Value;

    use super::super::calico::{Options, translate};
    use super::*;
    use crate::output::Format;

    /// Translates and applies; the answer is what went wrong.
    async fn migrate(store: &MemoryStore, documents: Vec<Value>, options: Options) -> Option<String> {
        let translation = translate(documents, options);
        let applied = all(store, &translation.objects, &mut Output::new(Format::Json)).await;
        applied.err().map(|error| error.to_string())
    }

    fn object(kind: &str, name: &str, spec: &Value) -> Value {
        json!({ "apiVersion": "crd.projectcalico.org/v1", "kind": kind, "metadata": { "name": name }, "spec": spec })
    }

    #[tokio::test]
    async fn without_the_reservation_of_calicos_blocks_no_pool_is_written() {
        let store = MemoryStore::new();
        let theirs = IpReservation { reserved_cidrs: vec!["198.51.100.0/24".parse().unwrap()] };
        store.create(&Object::new(Metadata::named(RESERVATION), theirs)).await.unwrap();
        let dump = || {
            vec![
                object("IPPool", "p", &json!({ "cidr": "10.0.0.0/24" })),
                object("IPAMBlock", "b", &json!({ "cidr": "10.0.0.0/26" })),
            ]
        };
        let error = migrate(&store, dump(), Options::default()).await.unwrap();
        assert!(error.contains("IPReservation calico-blocks is there already"), "{error}");
        assert!(error.contains("IPPool p would give addresses"), "{error}");
        assert!(store.list::<IpPool>(&Query::all()).await.unwrap().objects.is_empty());

        let error = migrate(&store, dump(), Options { disable_pools: true }).await.unwrap();
        assert!(error.contains("say something else: 1"), "{error}");
        let pools = store.list::<IpPool>(&Query::all()).await.unwrap().objects;
        assert!(pools.len() == 1 && pools.iter().all(|pool| pool.spec.disabled), "it gives nothing");
    }

    #[tokio::test]
    async fn without_its_filter_no_peer_is_written() {
        let store = MemoryStore::new();
        store.create(&Object::new(Metadata::named("f"), BgpFilter::default())).await.unwrap();
        let filter = || object("BGPFilter", "f", &json!({ "exportV4": [{ "action": "Reject" }] }));
        let peer = json!({ "peerIP": "192.0.2.1", "asNumber": 65001, "filters": ["f"] });
        let error = migrate(&store, vec![filter(), object("BGPPeer", "p", &peer)], Options::default()).await;
        let error = error.unwrap();
        assert!(
            error.contains("BGPFilter f is there already") && error.contains("BGPPeer p would"),
            "{error}"
        );
        assert!(store.list::<BgpPeer>(&Query::all()).await.unwrap().objects.is_empty());

        let error = migrate(&store, vec![filter()], Options::default()).await.unwrap();
        assert!(error.contains("say something else: 1"), "nobody relies on it: {error}");
    }
}
