//! The conditions `Allocatable`, `Encapsulation` and, where it is not routed, `Attachment` of each IPPool, and what of them is in force.
//!
//! Every node sees the same pools and judges them by the same rules (`cairn_ipam::unallocatable`, `cairn_api::kinds::encapsulations`, `cairn_api::kinds::attachments`), so any node may write what it
//! finds, and one is enough. Each waits for its turn, in the order of the nodes' names, and writes what is still not said then: no
//! election, and a node that is down is passed over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cairn_api::core::Node;
use cairn_api::kinds::{
    Attachment, AttachmentJudgement, IpPool, IpPoolStatus, Judgement, attachments, encapsulations,
};
use cairn_api::{Condition, ConditionStatus, Object, Timestamp};
use cairn_daemon::timer::at;
use cairn_datastore::{Datastore, Query, StoreError};
use cairn_ipam::unallocatable;
use tokio::time::Instant;
use tracing::debug;

use crate::store::Followed;

/// The conditions.
const ALLOCATABLE: &str = "Allocatable";
const ENCAPSULATION: &str = "Encapsulation";
const ATTACHMENT: &str = "Attachment";
/// How long a node leaves the writing to the one before it.
const TURN: Duration = Duration::from_millis(if cfg!(test) { 100 } else { 1000 });
/// The longest wait, however many nodes there are; also after a write that failed.
const LONGEST: Duration = Duration::from_secs(60);

/// All pools, by name.
type Pools = BTreeMap<String, Arc<Object<IpPool>>>;

/// Keeps the conditions true. Ends only if the store is closed.
pub(crate) async fn run<D: Datastore>(store: D, node: String) {
    let mut pools = Followed::<IpPool>::new(&store);
    let mut turn: Option<Instant> = None;
    loop {
        let open = tokio::select! {
            open = pools.follow() => open,
            () = at(turn) => {
                turn = None;
                if write(&store, pools.objects()).await {
                    true
                } else {
                    turn = Some(Instant::now() + LONGEST);
                    continue;
                }
            }
        };
        if !open {
            return;
        }
        // Others are judged differently without a pool that cannot be read.
        if pools.is_complete() {
            turn = match (unsaid(pools.objects()).is_empty(), turn) {
                (true, _) => None,
                (false, Some(turn)) => Some(turn),
                (false, None) => Some(Instant::now() + wait(&store, &node).await),
            };
        }
    }
}

/// How long this node leaves it to others. They are read for that: pools have something new to say far less often than nodes change.
async fn wait<D: Datastore>(store: &D, node: &str) -> Duration {
    match store.list::<Node>(&Query::all()).await {
        Ok(nodes) => {
            let before = nodes.objects.iter().filter(|other| other.name() < node).count();
            TURN.saturating_mul(u32::try_from(before).unwrap_or(u32::MAX)).min(LONGEST)
        }
        Err(error) => {
            debug!(%error, "nobody knows how many nodes are before this one");
            LONGEST
        }
    }
}

/// Pools of which not everything is said as it should be, with the right status.
fn unsaid(pools: &Pools) -> Vec<(&Object<IpPool>, IpPoolStatus)> {
    let now: Timestamp = SystemTime::now().into();
    let judged = encapsulations(pools.values().map(|pool| &**pool));
    let by_name: BTreeMap<&str, Judgement<'_>> =
        judged.into_iter().map(|judged| (judged.name, judged)).collect();
    let attached = attachments(pools.values().map(|pool| &**pool));
    let attached: BTreeMap<&str, AttachmentJudgement<'_>> =
        attached.into_iter().map(|judged| (judged.name, judged)).collect();
    let mut found = Vec::new();
    for pool in pools.values() {
        let mut status = pool.status.clone().unwrap_or_default();
        let mut said = true;
        let mut say = |wanted: Condition| {
            said &= says(pool, &wanted);
            status.conditions.retain(|condition| condition.kind != wanted.kind);
            status.conditions.push(wanted);
        };
        say(allocatable(pool, pools, now));
        // Of a pool that is attached like all others nothing is to be said of that, unless something was.
        let judged = (by_name.get(pool.name()), attached.get(pool.name()));
        let attached_as =
            judged.1.filter(|_| !pool.spec.attachment.is_default() || pool_told(pool).is_some());
        if let Some(judged) = judged.0 {
            say(encapsulation(pool, judged, now));
        }
        if let Some(judged) = attached_as {
            say(attachment(pool, judged, now));
        }
        if let Some(modes) = judged.0.map(|judged| judged.modes) {
            said &= status.encapsulation == Some(modes);
            status.encapsulation = Some(modes);
        }
        if let Some(in_force) = attached_as.map(|judged| judged.attachment.clone()) {
            said &= status.attachment.as_ref() == Some(&in_force);
            status.attachment = Some(in_force);
        }
        if !said {
            found.push((&**pool, status));
        }
    }
    found
}

/// The attachment that the status says to be in force.
fn pool_told(pool: &Object<IpPool>) -> Option<&Attachment> {
    pool.status.as_ref()?.attachment.as_ref()
}

fn allocatable(pool: &Object<IpPool>, pools: &Pools, now: Timestamp) -> Condition {
    let objection = unallocatable(pool, pools.values().map(|pool| &**pool));
    let why = objection.map(|why| (why.reason(), format!("no new addresses: the pool {why}")));
    judge(pool, ALLOCATABLE, why, now)
}

fn encapsulation(pool: &Object<IpPool>, judged: &Judgement<'_>, now: Timestamp) -> Condition {
    let why = judged.refused.as_ref();
    let why = why.map(|why| (why.reason(), format!("{why}; in force stays {}", judged.modes)));
    judge(pool, ENCAPSULATION, why, now)
}

fn attachment(pool: &Object<IpPool>, judged: &AttachmentJudgement<'_>, now: Timestamp) -> Condition {
    let in_force = judged.attachment.underlay().map_or_else(|| "Routed".to_owned(), |kind| kind.to_string());
    let why = judged.refused.as_ref();
    let why = why.map(|why| (why.reason(), format!("{why}; in force stays {in_force}")));
    judge(pool, ATTACHMENT, why, now)
}

fn judge(
    pool: &Object<IpPool>,
    kind: &str,
    objection: Option<(&'static str, String)>,
    now: Timestamp,
) -> Condition {
    let (status, reason, message) = match objection {
        None => (ConditionStatus::True, "OK", String::new()),
        Some((reason, message)) => (ConditionStatus::False, reason, message),
    };
    Condition {
        kind: kind.to_owned(),
        status,
        reason: reason.to_owned(),
        message,
        last_transition_time: Condition::since(condition(pool, kind), status, now),
        observed_generation: Some(pool.metadata.generation).filter(|generation| *generation > 0),
    }
}

fn condition<'a>(pool: &'a Object<IpPool>, kind: &str) -> Option<&'a Condition> {
    pool.status.as_ref()?.conditions.iter().find(|condition| condition.kind == kind)
}

fn says(pool: &Object<IpPool>, wanted: &Condition) -> bool {
    condition(pool, &wanted.kind).is_some_and(|found| {
        found.status == wanted.status && found.reason == wanted.reason && found.message == wanted.message
    })
}

/// Writes what is not said yet; false if something of it could not be written. A conflict is none: its writer is told of, and
/// what is missing then is written after another turn.
async fn write<D: Datastore>(store: &D, pools: &Pools) -> bool {
    let mut complete = true;
    for (pool, status) in unsaid(pools) {
        let written = store.update_status(&Object { status: Some(status), ..pool.clone() }).await;
        if let Err(error) = written {
            debug!(pool = pool.name(), %error, "the pool's condition is not written");
            complete &= matches!(error, StoreError::Conflict { .. } | StoreError::NotFound { .. });
        }
    }
    complete
}

#[cfg(test)]
mod tests {
    use cairn_api::Metadata;
    use cairn_api::kinds::AttachmentMode;
    use cairn_datastore::{Key, MemoryStore};

    use super::*;

    fn pool(name: &str, cidr: &str) -> Object<IpPool> {
        Object::new(Metadata::named(name), IpPool::of(cidr.parse().unwrap()))
    }

    async fn said(store: &MemoryStore, name: &str, reason: &str) -> Condition {
        let said = async {
            loop {
                let pool = store.get::<IpPool>(&Key::named(name)).await.unwrap();
                if let Some(found) = condition(&pool, ALLOCATABLE).filter(|found| found.reason == reason) {
                    return found.clone();
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let patience = tokio::time::timeout(Duration::from_secs(30), said);
        patience.await.unwrap_or_else(|_| panic!("{name} does not become {reason}"))
    }

    #[tokio::test]
    async fn each_pool_says_whether_addresses_can_be_taken_and_why_not() {
        let store = MemoryStore::new();
        store.create(&pool("a", "10.0.0.0/16")).await.unwrap();
        store.create(&pool("b", "10.0.128.0/17")).await.unwrap();
        let task = tokio::spawn(run(store.clone(), "n1".to_owned()));
        assert_eq!(said(&store, "a", "OK").await.status, ConditionStatus::True);
        let overlap = said(&store, "b", "CIDROverlap").await;
        assert_eq!(overlap.status, ConditionStatus::False);
        assert_eq!(overlap.message, "no new addresses: the pool overlaps with a (10.0.0.0/16)");

        let mut a = store.get::<IpPool>(&Key::named("a")).await.unwrap();
        a.spec.disabled = true;
        store.update(&a).await.unwrap();
        said(&store, "a", "PoolDisabled").await;
        store.delete::<IpPool>(&Key::named("a"), &Default::default()).await.unwrap();
        said(&store, "b", "OK").await;
        task.abort();
    }

    #[tokio::test]
    async fn an_attachment_that_cannot_be_had_leaves_the_one_before_in_force() {
        let store = MemoryStore::new();
        let macvlan = Attachment { mode: AttachmentMode::Macvlan, ..Attachment::default() };
        let mut a = pool("a", "192.0.2.64/26");
        a.spec.attachment = macvlan.clone();
        store.create(&a).await.unwrap();
        let task = tokio::spawn(run(store.clone(), "n1".to_owned()));
        let told = async |reason: &str| loop {
            let pool = store.get::<IpPool>(&Key::named("a")).await.unwrap();
            if condition(&pool, ATTACHMENT).is_some_and(|found| found.reason == reason) {
                return pool;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let patience = Duration::from_secs(30);
        let mut pool = tokio::time::timeout(patience, told("OK")).await.unwrap();
        assert_eq!(pool.status.as_ref().unwrap().attachment, Some(macvlan.clone()));
        pool.spec.nat_outgoing = true;
        store.update(&pool).await.unwrap();
        let pool = tokio::time::timeout(patience, told("NATOutgoing")).await.unwrap();
        assert_eq!(pool.status.as_ref().unwrap().attachment, Some(macvlan));
        let message = &condition(&pool, ATTACHMENT).unwrap().message;
        assert!(message.ends_with("natOutgoing must be false; in force stays MACVLAN"), "{message}");
        task.abort();
    }

    #[tokio::test]
    async fn one_node_writes_and_the_next_one_steps_in_where_it_is_down() {
        let store = MemoryStore::new();
        for name in ["n1", "n2", "n3"] {
            store.create(&Object::new(Metadata::named(name), Node::default())).await.unwrap();
        }
        store.create(&pool("a", "10.0.0.0/16")).await.unwrap();
        let (before, second) = (Instant::now(), tokio::spawn(run(store.clone(), "n2".to_owned())));
        let third = tokio::spawn(run(store.clone(), "n3".to_owned()));
        said(&store, "a", "OK").await;
        assert!(before.elapsed() >= TURN, "n1 was given its turn");
        let written = store.get::<IpPool>(&Key::named("a")).await.unwrap().metadata.resource_version;
        tokio::time::sleep(TURN * 3).await;
        let now = store.get::<IpPool>(&Key::named("a")).await.unwrap().metadata.resource_version;
        assert_eq!(now, written, "n3 had nothing left to say");
        second.abort();
        third.abort();
    }
}
