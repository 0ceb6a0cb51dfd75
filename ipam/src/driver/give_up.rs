//! Giving blocks back: those of pools that are no longer to be used, and those that are more than needed.

use std::time::Duration;

use cairn_api::Object;
use cairn_api::kinds::{AffinityState, IpamBlock};
use cairn_datastore::{Datastore, Precondition, StoreError};
use cairn_net::Prefix;

use super::edit::{Telling, Want, still_true};
use super::{Driver, key_of};
use crate::NodeAllocator;
use crate::ledger::Hold;
use crate::record::Record;

/// How long a surplus block stays empty before it goes. Unit: seconds.
pub(super) const IDLE: u64 = 60;

impl<D: Datastore> NodeAllocator<D> {
    /// Gives back what is due. True if something may be due later.
    pub(super) async fn give_back(&self, driver: &mut Driver) -> Result<bool, StoreError> {
        let now = self.now().steady;
        let (due, later) = self.due(driver, now);
        for (cidr, leaving) in due {
            // A departure that was interrupted is finished, or taken back.
            if leaving || self.is_empty_but_for_us(cidr).await? {
                driver.unsure = true;
                self.give_up(cidr).await?;
                driver.unsure = false;
                driver.idle.remove(&cidr);
            }
        }
        Ok(later)
    }

    /// Blocks to give up now, each with whether that was begun before; and whether there are more to look at later. Of surplus
    /// blocks one at a time, since each counts on the others.
    fn due(&self, driver: &mut Driver, now: Duration) -> (Vec<(Prefix, bool)>, bool) {
        let inner = self.inner();
        let ledger = &inner.ledger;
        let mut due = Vec::new();
        let mut later = false;
        let mut idle = std::mem::take(&mut driver.idle);
        for (cidr, block) in ledger.blocks.iter().filter(|(_, block)| block.own.is_some()) {
            let unwanted = ledger.settings.pool(&block.pool).is_none_or(|pool| {
                ledger.settings.objection(pool).is_some() || !ledger.settings.takes_from(&pool.spec, *cidr)
            });
            let leaving = block.own == Some(AffinityState::PendingDeletion);
            if leaving {
                due.push((*cidr, true));
            } else if ledger.is_in_use(*cidr) {
                later |= unwanted;
            } else if unwanted {
                due.push((*cidr, false));
                later = true;
            } else if self.is_surplus(ledger, *cidr, &block.pool) {
                let since = idle.remove(cidr).unwrap_or(now);
                later = true;
                if now.saturating_sub(since).as_secs() >= IDLE && due.is_empty() {
                    due.push((*cidr, false));
                }
                driver.idle.insert(*cidr, since);
            }
        }
        (due, later)
    }

    /// Would the node's other blocks of the pool suffice amply?
    fn is_surplus(&self, ledger: &crate::ledger::Ledger, cidr: Prefix, pool: &str) -> bool {
        let Some(spec) = ledger.settings.pool(pool).map(|pool| &pool.spec) else { return false };
        let others = ledger.own_blocks(pool).filter(|other| *other != cidr);
        let others = others.filter(|other| ledger.settings.takes_from(spec, *other));
        let free = |other: Prefix| other.size().saturating_sub(ledger.of_block(other).count() as u128);
        let room = others.map(free).fold(0u128, u128::saturating_add);
        room > 2 * ledger.settings.warm_target(spec) as u128
    }

    /// A look before anything is announced differently: is there nothing in the block but what this node holds ready?
    async fn is_empty_but_for_us(&self, cidr: Prefix) -> Result<bool, StoreError> {
        let mut stored: Object<IpamBlock> = match self.store.get(&key_of(cidr)).await {
            Ok(stored) => stored,
            Err(StoreError::NotFound { .. }) => return Ok(true),
            Err(error) => return Err(error),
        };
        let inner = self.inner();
        let mut ledger = inner.ledger.clone();
        ledger.apply(&Record::Return { addresses: warm_of(&ledger, cidr) });
        let claimant = self.claimant(&inner);
        claimant.reconcile(&mut stored.spec, &ledger);
        Ok(claimant.is_empty(&stored.spec))
    }

    /// Gives up a block. If it turns out to be in use after all it stays.
    async fn give_up(&self, cidr: Prefix) -> Result<(), StoreError> {
        let Some(pool) = self.leave(cidr)? else { return Ok(()) };
        let Some(mut claim) = self.affinity_of(cidr).await?.filter(|found| found.spec.node == self.node)
        else {
            return self.note(Record::Block { cidr, pool, own: None });
        };
        if claim.spec.state != AffinityState::PendingDeletion {
            claim.spec.state = AffinityState::PendingDeletion;
            claim = self.store.update(&claim).await?;
        }
        if self.delete_block(cidr).await? {
            self.store
                .delete::<cairn_api::kinds::BlockAffinity>(
                    &key_of(cidr),
                    &Precondition::unchanged(&claim.metadata),
                )
                .await?;
            return self.note(Record::BlockGone { cidr });
        }
        self.edit(cidr, &Want::AGREEMENT).await?;
        claim.spec.state = AffinityState::Confirmed;
        self.store.update(&claim).await?;
        self.note(Record::Block { cidr, pool, own: Some(AffinityState::Confirmed) })
    }

    /// From now on the block is not announced and nothing of it is assigned. `None` if a pod got an address of it meanwhile.
    fn leave(&self, cidr: Prefix) -> Result<Option<String>, StoreError> {
        let inner = self.inner();
        let Some(block) = inner.ledger.blocks.get(&cidr) else { return Ok(None) };
        let pool = block.pool.clone();
        let leaving = block.own == Some(AffinityState::PendingDeletion);
        if inner.ledger.is_in_use(cidr) && !leaving {
            return Ok(None);
        }
        let addresses = warm_of(&inner.ledger, cidr);
        // In one step with the check: the guard is handed on.
        self.record_with(
            inner,
            &[
                Record::Return { addresses },
                Record::Block { cidr, pool: pool.clone(), own: Some(AffinityState::PendingDeletion) },
            ],
        )?;
        Ok(Some(pool))
    }

    /// Deletes the stored block if nothing is in it. False if something is.
    pub(super) async fn delete_block(&self, cidr: Prefix) -> Result<bool, StoreError> {
        loop {
            let mut stored: Object<IpamBlock> = match self.store.get(&key_of(cidr)).await {
                Ok(stored) => stored,
                Err(StoreError::NotFound { .. }) => break,
                Err(error) => return Err(error),
            };
            let telling = Telling::start(self, cidr);
            {
                let inner = self.inner();
                let claimant = self.claimant(&inner);
                let reconciled = claimant.reconcile(&mut stored.spec, &inner.ledger);
                let adopted =
                    reconciled.records.iter().any(|record| !matches!(record, Record::Forget { .. }));
                if adopted || !claimant.is_empty(&stored.spec) {
                    return Ok(false);
                }
            }
            let unchanged = Precondition::unchanged(&stored.metadata);
            match self.store.delete::<IpamBlock>(&key_of(cidr), &unchanged).await {
                Ok(()) => telling.done(),
                Err(StoreError::Conflict { .. } | StoreError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let addresses: Vec<_> = self.inner().ledger.of_block(cidr).map(|(address, _)| address).collect();
        let forget = still_true(&self.inner(), Record::Forget { addresses });
        forget.map_or(Ok(()), |record| self.note(record))?;
        Ok(true)
    }
}

fn warm_of(ledger: &crate::ledger::Ledger, cidr: Prefix) -> Vec<std::net::IpAddr> {
    let held = ledger.of_block(cidr);
    held.filter(|(_, held)| held.state == Hold::Warm).map(|(address, _)| address).collect()
}
