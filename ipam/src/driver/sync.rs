//! Learning from the store what is there, after a start and after every doubt.

use std::collections::BTreeMap;

use cairn_api::annotation::NODE_LABEL;
use cairn_api::kinds::{AffinityState, BlockAffinity, IpamBlock};
use cairn_datastore::{Datastore, Precondition, Query, StoreError};
use cairn_net::Prefix;
use tracing::{info, warn};

use super::edit::{Got, Want};
use super::{Driver, key_of, label_of};
use crate::NodeAllocator;
use crate::record::Record;

impl<D: Datastore> NodeAllocator<D> {
    /// Makes ledger and store agree on everything of this node.
    pub(super) async fn sync(&self, driver: &mut Driver) -> Result<(), StoreError> {
        let query = Query::all().with_label(NODE_LABEL, label_of(&self.node));
        let list = self.store.list::<BlockAffinity>(&query).await?;
        let mine: BTreeMap<Prefix, _> = list
            .objects
            .into_iter()
            .filter(|object| object.spec.node == self.node)
            .map(|object| (object.spec.cidr, object))
            .collect();
        self.disown(|cidr| !mine.contains_key(&cidr))?;
        for (cidr, object) in mine {
            let pool = object.spec.pool.clone();
            match object.spec.state {
                AffinityState::Pending => drop(self.complete(object, &Want::AGREEMENT).await?),
                AffinityState::Confirmed => {
                    self.note_own(cidr, &pool, AffinityState::Confirmed)?;
                    self.edit_or_create(cidr, &pool, &Want::AGREEMENT).await?;
                }
                AffinityState::PendingDeletion => {
                    self.note_own(cidr, &pool, AffinityState::PendingDeletion)?;
                    self.edit(cidr, &Want::AGREEMENT).await?;
                }
            }
        }
        let searched = self.inner().ledger.searched;
        if !searched {
            self.search().await?;
        }
        self.visit_foreign().await?;
        if !searched {
            self.note(Record::Searched)?;
        }
        driver.unsure = false;
        Ok(())
    }

    /// Blocks that this node took for its own, and that are not in the store.
    fn disown(&self, gone: impl Fn(Prefix) -> bool) -> Result<(), StoreError> {
        let blocks = self.inner().ledger.blocks.clone();
        for (cidr, block) in blocks.into_iter().filter(|(cidr, block)| block.own.is_some() && gone(*cidr)) {
            if block.own == Some(AffinityState::Confirmed) {
                warn!(%cidr, "the store no longer says that this block is ours");
            }
            self.note(Record::Block { cidr, pool: block.pool, own: None })?;
        }
        Ok(())
    }

    fn note_own(&self, cidr: Prefix, pool: &str, state: AffinityState) -> Result<(), StoreError> {
        let known = self.inner().ledger.blocks.get(&cidr).and_then(|block| block.own);
        if known == Some(state) {
            return Ok(());
        }
        self.note(Record::Block { cidr, pool: pool.to_owned(), own: Some(state) })
    }

    /// Searches all blocks for addresses of this node. Only after the journal was lost.
    async fn search(&self) -> Result<(), StoreError> {
        let list = self.store.list::<IpamBlock>(&Query::all()).await?;
        for block in list.objects {
            let IpamBlock { cidr, pool, allocations } = block.spec;
            let held = allocations.iter().filter(|entry| entry.node == self.node).count();
            if held > 0 && !self.inner().ledger.blocks.contains_key(&cidr) {
                info!(%cidr, held, "addresses of this node found in another's block");
                self.note(Record::Block { cidr, pool, own: None })?;
            }
        }
        Ok(())
    }

    /// Agrees with each block that is not this node's, and forgets those in which it has nothing.
    pub(super) async fn visit_foreign(&self) -> Result<(), StoreError> {
        let foreign: Vec<_> = {
            let inner = self.inner();
            let blocks = inner.ledger.blocks.iter().filter(|(_, block)| block.own.is_none());
            blocks.map(|(cidr, block)| (*cidr, block.pool.clone())).collect()
        };
        for (cidr, pool) in foreign {
            self.visit(cidr, &pool).await?;
        }
        Ok(())
    }

    /// Agrees with one block that is not this node's.
    pub(super) async fn visit(&self, cidr: Prefix, pool: &str) -> Result<(), StoreError> {
        if matches!(self.edit(cidr, &Want::AGREEMENT).await?, Got::NoBlock) {
            self.mourn(cidr, pool).await?;
        }
        if self.inner().ledger.of_block(cidr).next().is_some() {
            return Ok(());
        }
        if !self.clear_nobodys(cidr).await? {
            // What was given back last rests: nobody else comes to close the door after that.
            self.inner().ledger.set_dirty(cidr, true);
            return Ok(());
        }
        self.note(Record::BlockGone { cidr })
    }

    /// Removes a block that nobody owns once nothing is in it: whoever leaves last closes the door. False where it cannot be removed yet.
    async fn clear_nobodys(&self, cidr: Prefix) -> Result<bool, StoreError> {
        let Some(mut found) = self.affinity_of(cidr).await?.filter(|found| found.spec.node.is_empty()) else {
            return Ok(true);
        };
        let removed = async {
            if found.spec.state != AffinityState::PendingDeletion {
                found.spec.state = AffinityState::PendingDeletion;
                found = self.store.update(&found).await?;
            }
            let empty = self.delete_block(cidr).await?;
            if empty {
                let unchanged = Precondition::unchanged(&found.metadata);
                self.store.delete::<BlockAffinity>(&key_of(cidr), &unchanged).await?;
            }
            Ok(empty)
        };
        match removed.await {
            // Somebody has taken it over meanwhile.
            Err(StoreError::Conflict { .. } | StoreError::NotFound { .. }) => Ok(true),
            done => done,
        }
    }

    /// A block with addresses of ours is gone. Live pods keep theirs: the block is made again.
    async fn mourn(&self, cidr: Prefix, pool: &str) -> Result<(), StoreError> {
        if self.inner().ledger.is_in_use(cidr) {
            warn!(%cidr, "the store lost a block with live pods; it is made again");
            if self.affinity_of(cidr).await?.is_none() {
                let nobodys = super::affinity(cidr, pool, "", AffinityState::Confirmed);
                match self.store.create(&nobodys).await {
                    Ok(_) | Err(StoreError::AlreadyExists { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            self.edit_or_create(cidr, pool, &Want::AGREEMENT).await?;
            return Ok(());
        }
        let addresses: Vec<_> = self.inner().ledger.of_block(cidr).map(|(address, _)| address).collect();
        let forget = Record::Forget { addresses };
        let still = super::edit::still_true(&self.inner(), forget);
        still.map_or(Ok(()), |record| self.note(record))
    }
}
