//! What goes on in the background: reports, the warm slice, blocks to give back.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use cairn_api::Object;
use cairn_api::annotation::{NODE_LABEL, RECLAIMED};
use cairn_api::kinds::{AssignmentMode, BlockAffinity, IpPool};
use cairn_datastore::{Datastore, Event, Query, StoreError};
use cairn_net::Family;
use tracing::{debug, warn};

use super::edit::Want;
use super::give_up::IDLE;
use super::{Driver, label_of};
use crate::NodeAllocator;
use crate::ledger::Hold;
use crate::record::Record;

/// Reports of so long a time go out together. The journal has them meanwhile: nothing is lost, and nobody waits.
const GROUP: Duration = Duration::from_millis(500);
/// The same while the warm slice runs low, because the round that reports also refills it.
const URGENT_GROUP: Duration = Duration::from_millis(20);
/// Pauses after a failure: doubled from the first to the last.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));

impl<D: Datastore> NodeAllocator<D> {
    /// Keeps the warm slice filled, reports to the store, gives empty blocks back. Runs until it is dropped.
    pub async fn run(&self) {
        let mut watch =
            self.store.watch::<BlockAffinity>(Query::all().with_label(NODE_LABEL, label_of(&self.node)));
        let mut backoff = BACKOFF.0;
        let mut watching = true;
        loop {
            let pause = match self.maintain().await {
                Ok(pause) => {
                    backoff = BACKOFF.0;
                    pause
                }
                Err(error) => {
                    warn!(%error, retry = ?backoff, "the store does not know all yet");
                    backoff = (backoff * 2).min(BACKOFF.1);
                    Some(backoff)
                }
            };
            let expired = async {
                match pause {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => std::future::pending().await,
                }
            };
            tokio::pin!(expired);
            loop {
                tokio::select! {
                    () = &mut expired => break,
                    () = self.wake.notified() => {
                        // A failing store is left alone until the pause is over.
                        if backoff == BACKOFF.0 {
                            self.gather().await;
                            break;
                        }
                    }
                    event = watch.next(), if watching => match event {
                        None => watching = false,
                        Some(event) => if self.is_surprising(&event) {
                            debug!("a claim of this node is not as expected");
                            self.driver.lock().await.unsure = true;
                            break;
                        },
                    }
                }
            }
        }
    }

    /// Lets reports come together, for as long as the warm slice allows.
    async fn gather(&self) {
        let end = tokio::time::Instant::now() + GROUP;
        while !self.runs_low() {
            tokio::select! {
                () = tokio::time::sleep_until(end) => return,
                () = self.wake.notified() => {}
            }
        }
        tokio::time::sleep(URGENT_GROUP).await;
    }

    fn runs_low(&self) -> bool {
        self.warm_pools().iter().any(|pool| self.lacking(pool) > 0)
    }

    /// How many addresses of a pool are to be made warm: none before half of the slice is used up.
    fn lacking(&self, pool: &Object<IpPool>) -> usize {
        let inner = self.inner();
        let target = inner.ledger.settings.warm_target(&pool.spec);
        let warm = inner.ledger.warm(&pool.metadata.name).count();
        if warm * 2 < target + 1 { target.saturating_sub(warm) } else { 0 }
    }

    /// Tells the store all it does not know yet: for an orderly end.
    ///
    /// Errors: what the store said.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let mut driver = self.driver.lock().await;
        if driver.unsure {
            self.sync(&mut driver).await?;
        }
        self.report().await
    }

    /// One round of all that is due. Answers when the next one is due if nothing happens before.
    pub(crate) async fn maintain(&self) -> Result<Option<Duration>, StoreError> {
        let mut driver = self.driver.lock().await;
        self.compact();
        if driver.unsure {
            self.sync(&mut driver).await?;
        }
        self.trim()?;
        self.report().await?;
        let short = self.refill(&mut driver).await?;
        let later = self.give_back(&mut driver).await? || !self.inner().ledger.dirty().is_empty();
        let cooldown = Self::cooldown(&self.inner()).max(Duration::from_secs(1));
        Ok(match (short, later) {
            (true, _) => Some(cooldown),
            (false, true) => Some(Duration::from_secs(IDLE)),
            (false, false) => None,
        })
    }

    /// One write per block for all that happened in it.
    async fn report(&self) -> Result<(), StoreError> {
        let dirty = self.inner().ledger.dirty();
        let mut failed = None;
        for cidr in dirty {
            let block = self.inner().ledger.blocks.get(&cidr).cloned();
            let told = match block {
                Some(block) if block.own.is_none() => self.visit(cidr, &block.pool).await,
                Some(block) => self.edit_or_create(cidr, &block.pool, &Want::AGREEMENT).await.map(drop),
                None => Ok(()),
            };
            match told {
                Ok(()) => {}
                // One block that nobody can read must not keep the others from being told.
                Err(error @ StoreError::Invalid { .. }) => failed = Some(error),
                Err(error) => return Err(error),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Warm addresses that should not be held are on their way back.
    fn trim(&self) -> Result<(), StoreError> {
        let inner = self.inner();
        let ledger = &inner.ledger;
        let mut addresses: Vec<IpAddr> = Vec::new();
        for (address, held) in ledger.addresses.iter().filter(|(_, held)| held.state == Hold::Warm) {
            let block = ledger.blocks.get(&held.block);
            let pool = block.and_then(|block| ledger.settings.pool(&block.pool));
            let unwanted = pool.is_none_or(|pool| {
                ledger.settings.objection(pool).is_some()
                    || !ledger.settings.takes_from(&pool.spec, held.block)
            });
            let borrowed = block.is_none_or(|block| block.own.is_none());
            if unwanted || borrowed || ledger.settings.is_reserved(*address) {
                addresses.push(*address);
            }
        }
        for pool in &ledger.settings.pools {
            let target = ledger.settings.warm_target(&pool.spec);
            addresses.extend(ledger.warm(&pool.metadata.name).skip(target * 2 + 8));
        }
        if addresses.is_empty() {
            return Ok(());
        }
        self.record_with(inner, &[Record::Return { addresses }])
    }

    /// Fills the warm slice. True if there was not enough to fill it.
    async fn refill(&self, driver: &mut Driver) -> Result<bool, StoreError> {
        let mut short = false;
        for pool in self.warm_pools() {
            let lacking = self.lacking(&pool);
            if lacking > 0 {
                driver.unsure = true;
                short |= self.extend(&pool, lacking).await? == 0;
                driver.unsure = false;
            }
        }
        Ok(short)
    }

    /// The pools to hold addresses of: the first of each family that is for everybody, and those that pods here use.
    fn warm_pools(&self) -> Vec<Object<IpPool>> {
        let inner = self.inner();
        let settings = &inner.ledger.settings;
        let mut pools: Vec<_> =
            settings.pools.iter().filter(|pool| settings.objection(pool).is_none()).collect();
        pools.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
        let for_all = |pool: &Object<IpPool>, family: Family| {
            pool.spec.cidr.family() == family
                && pool.spec.assignment_mode == AssignmentMode::Automatic
                && pool.spec.namespace_selector.is_all()
        };
        let firsts: Vec<&str> = Family::ALL
            .into_iter()
            .filter_map(|family| pools.iter().find(|pool| for_all(pool, family)))
            .map(|pool| pool.name())
            .collect();
        let used = |name: &str| {
            let mut blocks = inner.ledger.own_blocks(name);
            blocks.any(|cidr| inner.ledger.is_in_use(cidr))
        };
        let wanted = pools.iter().filter(|pool| firsts.contains(&pool.name()) || used(pool.name()));
        wanted.map(|pool| (*pool).clone()).collect()
    }

    fn is_surprising(&self, event: &Event<BlockAffinity>) -> bool {
        let inner = self.inner();
        let own = |object: &Object<BlockAffinity>| {
            inner.ledger.blocks.get(&object.spec.cidr).and_then(|block| block.own)
        };
        match event {
            Event::Listed(objects) => {
                let listed: BTreeSet<_> = objects.iter().map(|object| object.spec.cidr).collect();
                let mut owned = inner.ledger.blocks.iter().filter(|(_, block)| block.own.is_some());
                owned.any(|(cidr, _)| !listed.contains(cidr))
                    // The annotation stays, so that this is true again of every list: what happened before it is not known.
                    || objects.iter().any(|object| {
                        own(object) != Some(object.spec.state)
                            || object.metadata.annotations.contains_key(RECLAIMED)
                    })
            }
            Event::Modified(object) if object.metadata.annotations.contains_key(RECLAIMED) => true,
            Event::Added(object) | Event::Modified(object) => own(object) != Some(object.spec.state),
            Event::Deleted(object) => own(object).is_some(),
            Event::Invalid { .. } | Event::Gone { .. } | Event::Unavailable { .. } => false,
        }
    }
}
