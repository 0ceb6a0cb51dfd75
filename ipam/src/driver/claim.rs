//! Claiming a block for this node.

use std::collections::BTreeMap;

use cairn_api::Object;
use cairn_api::kinds::{AffinityState, BlockAffinity, BlockSource, IpPool, IpamBlock};
use cairn_datastore::{Datastore, Precondition, Query, StoreError};
use cairn_net::{Family, Prefix};

use super::edit::{Got, Want};
use super::{affinity, key_of, own};
use crate::NodeAllocator;
use crate::record::Record;

/// All affinities by block.
pub(super) type Index = BTreeMap<Prefix, Object<BlockAffinity>>;

impl<D: Datastore> NodeAllocator<D> {
    /// All affinities there are.
    pub(super) async fn index(&self) -> Result<Index, StoreError> {
        let list = self.store.list::<BlockAffinity>(&Query::all()).await?;
        Ok(list.objects.into_iter().map(|object| (object.spec.cidr, object)).collect())
    }

    /// What speaks against one more block of a family for this node; `None` if nothing does.
    pub(super) fn objection_to_claim(&self, family: Family) -> Option<String> {
        let inner = self.inner();
        let ipam = &inner.ledger.settings.ipam;
        if !ipam.auto_allocate_blocks {
            return Some("autoAllocateBlocks is false".to_owned());
        }
        let blocks = inner.ledger.blocks.iter();
        let owned = blocks.filter(|(cidr, block)| block.own.is_some() && cidr.family() == family).count();
        let most = ipam.max_blocks();
        (owned >= most).then(|| format!("the node has {owned} blocks of {family}, and at most {most}"))
    }

    /// Claims one more block of a pool, and takes addresses of it. Empty if there is no block left.
    pub(super) async fn claim(
        &self,
        pool: &Object<IpPool>,
        count: usize,
    ) -> Result<Vec<std::net::IpAddr>, StoreError> {
        let index = self.index().await?;
        let settings = self.inner().ledger.settings.clone();
        for (cidr, found) in index.iter().filter(|(cidr, _)| settings.takes_from(&pool.spec, **cidr)) {
            if found.spec.node.is_empty()
                && let Some(taken) = self.take_over(*cidr, found, &Want::Count(count)).await?
                && let Got::Addresses(addresses) = taken
                && !addresses.is_empty()
            {
                return Ok(addresses);
            }
        }
        let reserved = |cidr: Prefix| settings.reserved.iter().any(|range| range.covers(cidr));
        let free = settings
            .blocks_for(&pool.spec, &self.node)
            .filter(|cidr| overlapping(&index, *cidr).is_none() && !reserved(*cidr));
        for cidr in free {
            let wanted = affinity(cidr, &pool.metadata.name, &self.node, AffinityState::Pending);
            match self.store.create(&wanted).await {
                Ok(made) => {
                    if let Got::Addresses(addresses) = self.complete(made, &Want::Count(count)).await?
                        && !addresses.is_empty()
                    {
                        return Ok(addresses);
                    }
                }
                Err(StoreError::AlreadyExists { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Vec::new())
    }

    /// Claims a block that nobody owns. `None` if somebody else was faster.
    pub(super) async fn take_over(
        &self,
        cidr: Prefix,
        found: &Object<BlockAffinity>,
        want: &Want,
    ) -> Result<Option<Got>, StoreError> {
        let mut wanted = found.clone();
        wanted.spec.node.clone_from(&self.node);
        wanted.spec.state = AffinityState::Pending;
        own(&mut wanted.metadata, &self.node);
        match self.store.update(&wanted).await {
            Ok(taken) => self.complete(taken, want).await.map(Some),
            Err(StoreError::Conflict { .. } | StoreError::NotFound { .. }) => {
                tracing::debug!(%cidr, "another node was faster");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Goes on with a pending claim of this node, wherever it stopped.
    pub(super) async fn complete(
        &self,
        claim: Object<BlockAffinity>,
        want: &Want,
    ) -> Result<Got, StoreError> {
        let (cidr, pool) = (claim.spec.cidr, claim.spec.pool.clone());
        self.note(Record::Block { cidr, pool: pool.clone(), own: Some(AffinityState::Pending) })?;
        if let Some(rival) = self.rival(cidr, &pool).await? {
            let unchanged = Precondition::unchanged(&claim.metadata);
            self.store.delete::<BlockAffinity>(&key_of(cidr), &unchanged).await?;
            let in_use = self.inner().ledger.of_block(cidr).next().is_some();
            self.note(match in_use {
                true => Record::Block { cidr, pool, own: None },
                false => Record::BlockGone { cidr },
            })?;
            return Ok(Got::Refused(format!("its block {cidr} overlaps with {rival}")));
        }
        let got = self.edit_or_create(cidr, &pool, want).await?;
        let mut confirmed = claim;
        confirmed.spec.state = AffinityState::Confirmed;
        self.store.update(&confirmed).await?;
        self.note(Record::Block { cidr, pool, own: Some(AffinityState::Confirmed) })?;
        Ok(got)
    }

    /// A claim that shares addresses with one of this node's that is pending, of a block that is not there yet.
    ///
    /// Blocks that a pool is cut into have one size, and the names of their affinities tell who was first. Nodes' pod CIDRs may by mistake overlap
    /// without being equal. So a claim of one is made first and then looked at among all others: of two that are made at once, one at least sees the other.
    async fn rival(&self, cidr: Prefix, pool: &str) -> Result<Option<Prefix>, StoreError> {
        let is_cut = {
            let inner = self.inner();
            let pool = inner.ledger.settings.pool(pool);
            pool.is_some_and(|pool| pool.spec.block_source == BlockSource::Pool)
        };
        if is_cut {
            return Ok(None);
        }
        match self.store.get::<IpamBlock>(&key_of(cidr)).await {
            // It was looked at when the block was made: whoever came later steps back.
            Ok(_) => return Ok(None),
            Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        let mut index = self.index().await?;
        index.remove(&cidr);
        Ok(index.into_keys().find(|other| other.overlaps(cidr)))
    }

    /// As `edit`, of a block that this node may create.
    pub(super) async fn edit_or_create(
        &self,
        cidr: Prefix,
        pool: &str,
        want: &Want,
    ) -> Result<Got, StoreError> {
        loop {
            match self.edit(cidr, want).await? {
                Got::NoBlock => {}
                got => return Ok(got),
            }
            if let Some(got) = self.create_block(cidr, pool, want).await? {
                return Ok(got);
            }
        }
    }

    /// Takes a step of the ledger.
    pub(super) fn note(&self, record: Record) -> Result<(), StoreError> {
        self.record(&[record])
            .map_err(|error| StoreError::Unavailable { kind: "IPAMBlock", reason: error.to_string() })
    }

    /// The affinity of a block, if there is one.
    pub(super) async fn affinity_of(
        &self,
        cidr: Prefix,
    ) -> Result<Option<Object<BlockAffinity>>, StoreError> {
        match self.store.get(&key_of(cidr)).await {
            Ok(found) => Ok(Some(found)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The block that shares addresses with this one. Those that exist do not overlap each other, so the neighbours tell.
fn overlapping(index: &Index, cidr: Prefix) -> Option<Prefix> {
    let before = index.range(..=cidr).next_back();
    let after = index.range(cidr..).next();
    before.into_iter().chain(after).map(|(other, _)| *other).find(|other| other.overlaps(cidr))
}
