//! Cairn's objects into the store. What somebody else made stays as it is.

use cairn_api::core::{Namespace, Node};
use cairn_api::kinds::{BgpPeer, IpPool, IpReservation};
use cairn_api::{Kind, Object};
use cairn_datastore::{Datastore, Key, Precondition, Query, StoreError, attempts};
use serde_json::json;

use super::calico::{Annotated, Annotations, Translated, holds_blocks};
use super::held;
use crate::Error;
use crate::output::Output;

/// What was done to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    Created,
    Updated,
    Unchanged,
    /// It held blocks that fit into others now.
    Removed,
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
            Self::Removed => "removed: what it held is given back, or in the others",
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
    let reservations = store.list::<IpReservation>(&Query::all()).await?.objects;
    for object in held::in_order(objects, &reservations) {
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
        say(output, (kind, name, done))?;
        if done == Done::Kept
            && let Some(harm) = harm(object, objects)
        {
            return Err(Error::Answer(format!(
                "{kind} {name} is there already, says something else and was not made of Calico's objects: {harm}. \
                 Nothing that comes after it is written: take it away or give it another name, then do this again"
            )));
        }
    }
    for object in held::left_over(objects, &reservations) {
        let unchanged = Precondition::unchanged(&object.metadata);
        store.delete::<IpReservation>(&Key::named(object.name()), &unchanged).await?;
        say(output, (IpReservation::KIND, object.name(), Done::Removed))?;
    }
    match (kept, missing) {
        (0, 0) => Ok(()),
        (kept, missing) => Err(Error::Answer(format!(
            "objects that are there already and say something else: {kept}; that are to be annotated and are not there: {missing}"
        ))),
    }
}

/// Says what was done to an object.
fn say(output: &mut Output, (kind, name, done): Put<'_>) -> Result<(), Error> {
    if output.is_json() {
        return output.json(&json!({ "kind": kind, "name": name, "done": done.word() }));
    }
    output.line(format_args!("{kind} {name}: {}", done.word()))
}

/// What harm somebody else's object does in the place of this one, by the first that relies on it: a pool without the reservation, or a peer
/// without its filter. Both come later than what they rely on, so that none of them is written yet.
fn harm(object: &Translated, objects: &[Translated]) -> Option<String> {
    objects.iter().find_map(|other| match (object, other) {
        (Translated::Reservation(held), Translated::Pool(pool))
            if holds_blocks(held.name()) && !pool.spec.disabled =>
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
        if !held::is_migrated(&stored.metadata) {
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
    use cairn_api::kinds::BgpFilter;
    use cairn_datastore::MemoryStore;
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
        store.create(&Object::new(Metadata::named("calico-blocks"), theirs)).await.unwrap();
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

    /// Names of the reservations, with how many ranges each has.
    async fn reservations(store: &MemoryStore) -> Vec<(String, usize)> {
        let found = store.list::<IpReservation>(&Query::all()).await.unwrap().objects;
        found.iter().map(|found| (found.full_name(), found.spec.reserved_cidrs.len())).collect()
    }

    #[tokio::test]
    async fn more_blocks_than_one_reservation_has_room_for_are_in_several() {
        let store = MemoryStore::new();
        // No two of them are neighbours, so that none can be merged.
        let dump = |blocks: std::ops::Range<usize>| {
            let cidr = |number: usize| format!("10.{}.{}.0/26", number / 128, number % 128 * 2);
            let blocks = blocks
                .map(|number| object("IPAMBlock", &format!("b{number}"), &json!({ "cidr": cidr(number) })));
            blocks.chain([object("IPPool", "p", &json!({ "cidr": "10.0.0.0/8" }))]).collect::<Vec<_>>()
        };
        assert_eq!(migrate(&store, dump(0..600), Options::default()).await, None);
        let two = [("calico-blocks".to_owned(), 512), ("calico-blocks-2".to_owned(), 88)];
        assert_eq!(reservations(&store).await, two);
        assert_eq!(store.list::<IpPool>(&Query::all()).await.unwrap().objects.len(), 1);

        assert_eq!(migrate(&store, dump(500..600), Options::default()).await, None);
        assert_eq!(
            reservations(&store).await,
            [("calico-blocks".to_owned(), 100)],
            "the other is not needed"
        );
    }

    #[tokio::test]
    async fn no_pool_is_written_without_the_second_reservation_either() {
        let store = MemoryStore::new();
        let theirs = IpReservation { reserved_cidrs: vec!["198.51.100.0/24".parse().unwrap()] };
        store.create(&Object::new(Metadata::named("calico-blocks-2"), theirs)).await.unwrap();
        let block = |number: usize| {
            let cidr = format!("10.{}.{}.0/26", number / 128, number % 128 * 2);
            object("IPAMBlock", &format!("b{number}"), &json!({ "cidr": cidr }))
        };
        let pool = object("IPPool", "p", &json!({ "cidr": "10.0.0.0/8" }));
        let dump = (0..600).map(block).chain([pool]).collect();
        let error = migrate(&store, dump, Options::default()).await.unwrap();
        assert!(error.contains("IPReservation calico-blocks-2 is there already"), "{error}");
        assert!(store.list::<IpPool>(&Query::all()).await.unwrap().objects.is_empty());
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
