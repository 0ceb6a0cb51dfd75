//! One step at a time. What is in the way is looked at after the version is read that is then compared and swapped.

use std::time::Duration;

use cairn_api::kinds::IpPool;
use cairn_api::{Metadata, Object, Timestamp};
use cairn_datastore::{Datastore, Key, Precondition, StoreError, attempts};

use super::holder::{holders, left};
use super::{Change, Left, Seen, Step};

/// What became of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Performed {
    /// It is done.
    Done,
    /// It is done once nothing of this is left.
    Waits(Left),
    /// It is not done, because something is not as it was planned.
    Changed(String),
}

/// Does a step of a change.
///
/// Errors: what the store said. Whoever tries again plans anew first.
pub async fn perform(
    store: &impl Datastore,
    change: &Change,
    step: &Step,
    clock: &impl Fn() -> Timestamp,
) -> Result<Performed, StoreError> {
    match step {
        Step::Create { pool, spec } => {
            match store.create(&Object::new(Metadata::named(pool), (**spec).clone())).await {
                Ok(_) => Ok(Performed::Done),
                Err(StoreError::AlreadyExists { .. }) => {
                    Ok(Performed::Changed(format!("IPPool {pool} was made by somebody else")))
                }
                Err(error) => Err(error),
            }
        }
        Step::Disable { pool } => {
            attempts(async || {
                let mut found = match as_planned(store, pool, change).await? {
                    Ok(found) => found,
                    Err(changed) => return Ok(changed),
                };
                found.spec.disabled = true;
                store.update(&found).await.map(|_| Performed::Done)
            })
            .await
        }
        Step::Empty { .. } => {
            let left = look(store, change, clock).await?;
            Ok(if left.is_empty() { Performed::Done } else { Performed::Waits(left) })
        }
        Step::Resize { pool, cidr, enable } => {
            attempts(async || {
                let mut found = match as_planned(store, pool, change).await? {
                    Ok(found) => found,
                    Err(changed) => return Ok(changed),
                };
                if let Some(obstacle) = obstacle(store, change, &found, clock).await? {
                    return Ok(obstacle);
                }
                found.spec.cidr = *cidr;
                found.spec.disabled &= !*enable;
                store.update(&found).await.map(|_| Performed::Done)
            })
            .await
        }
        Step::Delete { pool } => {
            attempts(async || {
                let found = match as_planned(store, pool, change).await? {
                    Ok(found) => found,
                    Err(changed) => return Ok(changed),
                };
                if let Some(obstacle) = obstacle(store, change, &found, clock).await? {
                    return Ok(obstacle);
                }
                let unchanged = Precondition::unchanged(&found.metadata);
                store.delete::<IpPool>(&Key::named(pool), &unchanged).await.map(|()| Performed::Done)
            })
            .await
        }
    }
}

/// The pool, if it has the range that it had when this began.
async fn as_planned(
    store: &impl Datastore,
    pool: &str,
    change: &Change,
) -> Result<Result<Object<IpPool>, Performed>, StoreError> {
    let found: Object<IpPool> = match store.get(&Key::named(pool)).await {
        Ok(found) => found,
        Err(StoreError::NotFound { .. }) => {
            return Ok(Err(Performed::Changed(format!("IPPool {pool} is gone"))));
        }
        Err(error) => return Err(error),
    };
    if found.spec.cidr == change.from() {
        return Ok(Ok(found));
    }
    let what = format!("IPPool {pool} has cidr {} now, and not {}", found.spec.cidr, change.from());
    Ok(Err(Performed::Changed(what)))
}

/// What keeps a pool from losing addresses: it must be closed, and nothing of them in use.
async fn obstacle(
    store: &impl Datastore,
    change: &Change,
    pool: &Object<IpPool>,
    clock: &impl Fn() -> Timestamp,
) -> Result<Option<Performed>, StoreError> {
    if matches!(change, Change::Widen { .. }) {
        return Ok(None);
    }
    if !pool.spec.disabled {
        let what = format!("IPPool {} was enabled again", pool.name());
        return Ok(Some(Performed::Changed(what)));
    }
    let left = look(store, change, clock).await?;
    Ok((!left.is_empty()).then_some(Performed::Waits(left)))
}

async fn look(
    store: &impl Datastore,
    change: &Change,
    clock: &impl Fn() -> Timestamp,
) -> Result<Left, StoreError> {
    let seen = Seen::of_addresses(store).await?;
    let cooldown = Duration::from_secs(seen.ipam.ip_cooldown_seconds.into());
    let holders = holders(change, &seen);
    Ok(left(change, &seen.blocks, &seen.affinities, &holders, cooldown, clock()))
}
