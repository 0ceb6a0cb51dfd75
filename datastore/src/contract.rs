//! What every store does, as tests that any store can be given to: see [`Datastore`]. Each fails by a panic.
//!
//! They use IPPools of names that begin with `contract-`, and leave none behind.

use std::time::Duration;

use cairn_api::kinds::{IpPool, IpPoolStatus};
use cairn_api::{Kind, Metadata, Object};

use crate::{Datastore, Event, Key, Precondition, Query, StoreError, Watch};

/// How long an event may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long nothing must happen.
const QUIET: Duration = Duration::from_millis(300);
/// A label that some of the objects have.
const LABEL: &str = "contract";

fn pool(name: &str) -> Object<IpPool> {
    let range = "10.201.0.0/16".parse().expect("a prefix");
    Object::new(Metadata::named(format!("contract-{name}")), IpPool::of(range))
}

/// Gives a store all of it.
pub async fn hold<D: Datastore>(store: &D) {
    an_object_is_created_read_changed_and_deleted(store).await;
    of_two_writers_one_wins(store).await;
    finalizers_hold_a_deletion_back(store).await;
    names_are_names(store).await;
    a_new_object_keeps_its_status(store).await;
    a_watch_tells_what_it_selects_and_each_change(store).await;
}

async fn an_object_is_created_read_changed_and_deleted<D: Datastore>(store: &D) {
    let key = Key::named("contract-a");
    let created = store.create(&pool("a")).await.expect("a new object");
    assert_eq!(store.get(&key).await, Ok(created.clone()));
    assert!(!created.metadata.uid.is_empty() && created.metadata.generation == 1, "{created:?}");
    let again = store.create(&pool("a")).await.expect_err("it is there");
    assert!(matches!(again, StoreError::AlreadyExists { .. }), "{again}");

    let mut changed = created.clone();
    changed.spec.disabled = true;
    changed.metadata.annotations.insert("contract".to_owned(), "kept".to_owned());
    changed.status = Some(IpPoolStatus::default());
    let changed = store.update(&changed).await.expect("an update");
    assert_eq!((changed.metadata.generation, changed.status.clone()), (2, None));
    assert_eq!(changed.metadata.uid, created.metadata.uid);

    let mut reported = changed.clone();
    reported.spec.disabled = false;
    reported.status = Some(IpPoolStatus::default());
    let reported = store.update_status(&reported).await.expect("an update of the status");
    assert!(reported.spec.disabled && reported.status.is_some() && reported.metadata.generation == 2);
    assert_eq!(store.get(&key).await, Ok(reported.clone()));
    let list = store.list::<IpPool>(&Query::all()).await.expect("a list");
    assert!(list.objects.contains(&reported));

    let stale = store.delete::<IpPool>(&key, &Precondition::unchanged(&changed.metadata)).await;
    assert!(matches!(stale, Err(StoreError::Conflict { .. })), "{stale:?}");
    let other = Precondition { uid: Some("another".to_owned()), ..Precondition::default() };
    let other = store.delete::<IpPool>(&key, &other).await;
    assert!(matches!(other, Err(StoreError::Conflict { .. })), "{other:?}");
    store.delete::<IpPool>(&key, &Precondition::unchanged(&reported.metadata)).await.expect("a deletion");
    for gone in [
        store.get::<IpPool>(&key).await.map(drop),
        store.update(&reported).await.map(drop),
        store.update_status(&reported).await.map(drop),
        store.delete::<IpPool>(&key, &Precondition::default()).await,
    ] {
        assert!(matches!(gone, Err(StoreError::NotFound { .. })), "{gone:?}");
    }
}

async fn of_two_writers_one_wins<D: Datastore>(store: &D) {
    let created = store.create(&pool("race")).await.expect("a new object");
    let (mut one, mut other) = (created.clone(), created.clone());
    one.spec.nat_outgoing = true;
    other.spec.disabled = true;
    let won = store.update(&one).await.expect("the first writer wins");
    let lost = [store.update(&other).await, store.update_status(&other).await];
    for lost in lost {
        assert!(matches!(lost, Err(StoreError::Conflict { .. })), "{lost:?}");
    }
    let mut unread = won.clone();
    unread.metadata.resource_version.clear();
    let unread = store.update(&unread).await;
    assert!(matches!(unread, Err(StoreError::Conflict { .. })), "{unread:?}");
    assert_eq!(store.get(&Key::named("contract-race")).await, Ok(won));
    store.delete::<IpPool>(&Key::named("contract-race"), &Precondition::default()).await.expect("a deletion");
}

async fn finalizers_hold_a_deletion_back<D: Datastore>(store: &D) {
    let key = Key::named("contract-held");
    let mut object = pool("held");
    object.metadata.finalizers.push("cairn.network/blocks".to_owned());
    store.create(&object).await.expect("a new object");
    store.delete::<IpPool>(&key, &Precondition::default()).await.expect("a mark");
    let mut object: Object<IpPool> = store.get(&key).await.expect("it is still there");
    assert!(object.metadata.deletion_timestamp.is_some());
    object.metadata.finalizers.clear();
    store.update(&object).await.expect("the last finalizer goes");
    let gone = store.get::<IpPool>(&key).await;
    assert!(matches!(gone, Err(StoreError::NotFound { .. })), "{gone:?}");
}

async fn names_are_names<D: Datastore>(store: &D) {
    for bad in ["../a", "a/b", "", ".", "..", "A", "a\0", "a?b=c"] {
        let key = Key::named(bad);
        let got = store.get::<IpPool>(&key).await;
        assert!(matches!(got, Err(StoreError::NotFound { .. })), "{bad}: {got:?}");
        let mut object = pool("a");
        object.metadata.name = bad.to_owned();
        let made = store.create(&object).await;
        assert!(matches!(made, Err(StoreError::Invalid { .. })), "{bad}: {made:?}");
        let deleted = store.delete::<IpPool>(&key, &Precondition::default()).await;
        assert!(matches!(deleted, Err(StoreError::NotFound { .. })), "{bad}: {deleted:?}");
    }
}

async fn a_new_object_keeps_its_status<D: Datastore>(store: &D) {
    let mut object = pool("status");
    object.status = Some(IpPoolStatus::default());
    let created = store.create(&object).await.expect("a new object");
    assert_eq!(created.status, object.status);
    let key = Key::named("contract-status");
    assert_eq!(store.get::<IpPool>(&key).await, Ok(created));
    store.delete::<IpPool>(&key, &Precondition::default()).await.expect("a deletion");
}

async fn a_watch_tells_what_it_selects_and_each_change<D: Datastore>(store: &D) {
    let selected = |name: &str| {
        let mut object = pool(name);
        object.metadata.labels.insert(LABEL.to_owned(), "yes".to_owned());
        object
    };
    store.create(&selected("first")).await.expect("a new object");
    let mut made = store.create(&pool("second")).await.expect("a new object");
    let mut watch = store.watch::<IpPool>(Query::all().with_label(LABEL, "yes"));
    assert_eq!(next(&mut watch).await, "[contract-first]");
    made.metadata.labels.insert(LABEL.to_owned(), "yes".to_owned());
    let mut made = store.update(&made).await.expect("an update");
    assert_eq!(next(&mut watch).await, "+contract-second");
    made.spec.disabled = true;
    let mut made = store.update(&made).await.expect("an update");
    assert_eq!(next(&mut watch).await, "~contract-second");
    made.metadata.labels.clear();
    store.update(&made).await.expect("an update");
    assert_eq!(next(&mut watch).await, "-contract-second", "no longer selected");
    for name in ["contract-second", "contract-first"] {
        store.delete::<IpPool>(&Key::named(name), &Precondition::default()).await.expect("a deletion");
    }
    assert_eq!(next(&mut watch).await, "-contract-first");
    let event = tokio::time::timeout(QUIET, watch.next()).await;
    assert!(event.is_err(), "{event:?}");
}

/// The next event in one word: `[names]`, `+name`, `~name`, `-name`, `!name`, `!-name`, or why the store is not available.
///
/// # Panics
/// There is none in time.
pub async fn next<K: Kind>(watch: &mut Watch<K>) -> String {
    let event = tokio::time::timeout(PATIENCE, watch.next()).await.expect("an event in time");
    match event.expect("an open watch") {
        Event::Added(object) => format!("+{}", object.full_name()),
        Event::Modified(object) => format!("~{}", object.full_name()),
        Event::Deleted(object) => format!("-{}", object.full_name()),
        Event::Invalid { key, .. } => format!("!{key}"),
        Event::Gone { key } => format!("!-{key}"),
        Event::Listed(objects) => {
            let names: Vec<_> = objects.iter().map(|object| object.full_name()).collect();
            format!("[{}]", names.join(" "))
        }
        Event::Unavailable { reason } => reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DirectoryStore, MemoryStore};

    #[tokio::test]
    async fn the_directory_holds_it() {
        let directory = tempfile::tempdir().unwrap();
        hold(&DirectoryStore::new(directory.path().join("objects"))).await;
    }

    #[tokio::test]
    async fn memory_holds_it() {
        hold(&MemoryStore::new()).await;
    }
}
