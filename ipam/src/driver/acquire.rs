//! Getting what a request lacks.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::atomic::Ordering;

use cairn_api::Object;
use cairn_api::kinds::{AffinityState, BlockAffinity, BlockSource, IpPool};
use cairn_datastore::{Datastore, StoreError};
use cairn_net::{Family, Prefix};

use super::edit::{Got, Want};
use super::{Driver, affinity};
use crate::allocator::{Attempt, Need};
use crate::journal::fnv1a;
use crate::record::Record;
use crate::{Assigned, IpamError, NodeAllocator, Request};

/// Others may take what was just got; so often it is got again.
const ATTEMPTS: usize = 16;
/// How many blocks of others are searched for an address to borrow.
const BORROW_SEARCH: usize = 64;

/// Why something was not got.
enum Denied {
    /// By rule or for lack of addresses.
    Request(IpamError),
    /// By the store.
    Store(StoreError),
}

impl From<StoreError> for Denied {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl<D: Datastore> NodeAllocator<D> {
    /// Answers a request, asking the store for what is lacking.
    pub(crate) async fn assign_with_store(
        &self,
        request: &Request,
        driver: &mut Driver,
    ) -> Result<Vec<Assigned>, IpamError> {
        let mut own = BTreeSet::new();
        let mut last = None;
        for _ in 0..ATTEMPTS {
            let need = match self.try_assign(request, &own) {
                Ok(assigned) => return Ok(assigned),
                Err(Attempt::Failed(error)) => return Err(error),
                Err(Attempt::Need(need)) => need,
            };
            match self.acquire(request, &need, driver).await {
                Ok(pinned) => own.extend(pinned),
                Err(Denied::Request(error)) => return Err(error),
                Err(Denied::Store(error)) => {
                    driver.unsure = true;
                    let conflict = matches!(error, StoreError::Conflict { .. } | StoreError::NotFound { .. });
                    last = Some(error);
                    if !conflict {
                        break;
                    }
                }
            }
        }
        let unlucky = || StoreError::Unavailable {
            kind: "IPAMBlock",
            reason: "others took every address that was got".to_owned(),
        };
        let source = Box::new(last.unwrap_or_else(unlucky));
        Err(IpamError::Store { handle: request.handle.clone(), source })
    }

    async fn acquire(
        &self,
        request: &Request,
        need: &Need,
        driver: &mut Driver,
    ) -> Result<Option<IpAddr>, Denied> {
        if driver.unsure {
            self.sync(driver).await?;
        }
        // Until it is done, nobody knows how far it got.
        driver.unsure = true;
        let got = match need {
            Need::Address(address) => self.acquire_address(request, *address).await.map(|()| Some(*address)),
            Need::Family(family) => self.acquire_family(request, *family).await.map(|()| None),
        };
        driver.unsure = matches!(got, Err(Denied::Store(_)));
        got
    }

    async fn acquire_family(&self, request: &Request, family: Family) -> Result<(), Denied> {
        let handle = &request.handle;
        let candidates = self
            .inner()
            .ledger
            .settings
            .candidates(family, request)
            .map(|pools| pools.into_iter().cloned().collect::<Vec<_>>());
        let pools = candidates.map_err(|reason| {
            Denied::Request(IpamError::NoPool { handle: handle.clone(), family, reason })
        })?;
        let mut reasons = Vec::new();
        for pool in &pools {
            let target = self.inner().ledger.settings.warm_target(&pool.spec);
            // One for each request that waits, and the slice filled again.
            let count = target.max(1) + self.waiting.load(Ordering::Relaxed).saturating_sub(1);
            if self.extend(pool, count).await? > 0 {
                return Ok(());
            }
            let reason = match self.objection_to_claim(family) {
                Some(objection) => objection,
                None => self.no_block(pool).await?,
            };
            reasons.push(format!("{}: its blocks here are full, and {reason}", pool.metadata.name));
        }
        for pool in &pools {
            let confined = self.inner().ledger.settings.confined(&pool.spec);
            let reason = match confined {
                Some(by) => format!("{by} forbids to borrow"),
                None if self.borrow(pool).await? => return Ok(()),
                None => "other nodes' blocks have nothing to lend".to_owned(),
            };
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
        Err(Denied::Request(IpamError::Exhausted {
            handle: handle.clone(),
            family,
            reason: reasons.join("; "),
        }))
    }

    /// Takes more addresses of a pool: of own blocks, else of a new one. How many were got.
    pub(super) async fn extend(&self, pool: &Object<IpPool>, count: usize) -> Result<usize, StoreError> {
        let blocks: Vec<Prefix> = {
            let inner = self.inner();
            let own = inner.ledger.own_blocks(&pool.metadata.name);
            own.filter(|block| inner.ledger.settings.takes_from(&pool.spec, *block)).collect()
        };
        let mut total = 0;
        for cidr in blocks {
            let got = self.edit_or_create(cidr, &pool.metadata.name, &Want::Count(count - total)).await?;
            if let Got::Addresses(addresses) = got {
                total += addresses.len();
            }
            if total >= count {
                return Ok(total);
            }
        }
        if self.objection_to_claim(pool.spec.cidr.family()).is_none() {
            total += self.claim(pool, count - total).await?.len();
        }
        Ok(total)
    }

    /// Why no block of a pool is to be had, for people.
    async fn no_block(&self, pool: &Object<IpPool>) -> Result<String, StoreError> {
        if pool.spec.block_source == BlockSource::Pool {
            return Ok("no block is left".to_owned());
        }
        let index = self.index().await?;
        let own: Vec<Prefix> = self.inner().ledger.settings.blocks_for(&pool.spec, &self.node).collect();
        let held = index.values().flat_map(|found| own.iter().map(move |cidr| (*cidr, found)));
        // Also by this node itself, as a block of another size that it has not given back yet.
        let is_claim = |cidr, found: &BlockAffinity| found.node == self.node && found.cidr == cidr;
        let mut held =
            held.filter(|(cidr, found)| found.spec.cidr.overlaps(*cidr) && !is_claim(*cidr, &found.spec));
        Ok(held.next().map_or_else(
            || "it has no other pod CIDR".to_owned(),
            |(cidr, found)| {
                format!(
                    "its pod CIDR {cidr} is still held by node {:?} (BlockAffinity {})",
                    found.spec.node,
                    found.name()
                )
            },
        ))
    }

    /// Takes one address out of somebody else's block.
    async fn borrow(&self, pool: &Object<IpPool>) -> Result<bool, StoreError> {
        let index = self.index().await?;
        let lenders: Vec<Prefix> = index
            .values()
            .filter(|found| found.spec.node != self.node && pool.spec.cidr.covers(found.spec.cidr))
            .filter(|found| found.spec.state == AffinityState::Confirmed)
            .map(|found| found.spec.cidr)
            .collect();
        // Each node starts elsewhere, so that not all borrow from the same one.
        let start = usize::try_from(fnv1a(self.node.as_bytes()) >> 33).unwrap_or(0) % lenders.len().max(1);
        for cidr in lenders.iter().cycle().skip(start).take(lenders.len().min(BORROW_SEARCH)) {
            self.touch(*cidr, &pool.metadata.name)?;
            if matches!(self.edit(*cidr, &Want::Count(1)).await?, Got::Addresses(got) if !got.is_empty()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Notes, before anything is written there, that this node has to do with somebody else's block.
    fn touch(&self, cidr: Prefix, pool: &str) -> Result<(), StoreError> {
        if self.inner().ledger.blocks.contains_key(&cidr) {
            return Ok(());
        }
        self.note(Record::Block { cidr, pool: pool.to_owned(), own: None })
    }

    async fn acquire_address(&self, request: &Request, address: IpAddr) -> Result<(), Denied> {
        let denied = |reason: String| {
            let handle = request.handle.clone();
            Denied::Request(IpamError::NotAvailable { handle, address, reason })
        };
        let (pool, cidr) = self.place(address).map_err(denied)?;
        let want = Want::Address(address, request.pod.clone());
        let confined = self.inner().ledger.settings.confined(&pool.spec);
        let name = &pool.metadata.name;
        let may_claim = self.objection_to_claim(cidr.family());
        self.inner().pinned.insert(address);
        let found = self.affinity_of(cidr).await?;
        let got = match found {
            Some(found) if found.spec.node == self.node => self.edit_or_create(cidr, name, &want).await?,
            Some(found) if found.spec.node.is_empty() && may_claim.is_none() => {
                self.take_over(cidr, &found, &want).await?.unwrap_or(Got::NoBlock)
            }
            Some(found) if confined.is_none() => {
                self.touch(cidr, name)?;
                if !found.spec.node.is_empty() {
                    self.edit(cidr, &want).await?
                } else if self.keep_nobodys(found).await? {
                    self.edit_or_create(cidr, name, &want).await?
                } else {
                    Got::NoBlock
                }
            }
            Some(found) => Got::Refused(format!(
                "{}, and its block is that of {:?}",
                confined.unwrap_or_default(),
                found.spec.node
            )),
            None => self.found_block(cidr, name, may_claim, confined, &want).await?,
        };
        match got {
            Got::Addresses(_) => Ok(()),
            Got::Refused(reason) => Err(denied(reason)),
            Got::NoBlock => Err(denied(format!("its block {cidr} is changing hands; try again"))),
        }
    }

    /// Makes sure that nobody is about to remove a block that nobody owns. False if it has changed hands.
    async fn keep_nobodys(&self, mut found: Object<BlockAffinity>) -> Result<bool, StoreError> {
        if found.spec.state == AffinityState::Confirmed {
            return Ok(true);
        }
        found.spec.state = AffinityState::Confirmed;
        match self.store.update(&found).await {
            Ok(_) => Ok(true),
            Err(StoreError::Conflict { .. } | StoreError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Takes an address of a block that does not exist yet.
    async fn found_block(
        &self,
        cidr: Prefix,
        pool: &str,
        may_claim: Option<String>,
        confined: Option<&str>,
        want: &Want,
    ) -> Result<Got, StoreError> {
        let owner = match (may_claim, confined) {
            (None, _) => self.node.as_str(),
            (Some(_), None) => "",
            (Some(reason), Some(by)) => return Ok(Got::Refused(format!("{by}, and {reason}"))),
        };
        if self.index().await?.keys().any(|other| other.overlaps(cidr)) {
            return Ok(Got::Refused(format!("its block {cidr} overlaps with one of another size")));
        }
        let state = if owner.is_empty() { AffinityState::Confirmed } else { AffinityState::Pending };
        match self.store.create(&affinity(cidr, pool, owner, state)).await {
            Ok(made) if !owner.is_empty() => self.complete(made, want).await,
            Ok(_) => {
                self.touch(cidr, pool)?;
                self.edit_or_create(cidr, pool, want).await
            }
            Err(StoreError::AlreadyExists { .. }) => Ok(Got::NoBlock),
            Err(error) => Err(error),
        }
    }

    /// The pool and the block of an address.
    fn place(&self, address: IpAddr) -> Result<(Object<IpPool>, Prefix), String> {
        let inner = self.inner();
        let settings = &inner.ledger.settings;
        let mut inside = settings.pools.iter().filter(|pool| pool.spec.cidr.contains(address));
        let pool = inside.next().ok_or("no pool contains it")?;
        if let Some(objection) = settings.objection(pool) {
            return Err(format!("pool {} {objection}", pool.metadata.name));
        }
        let cidr = settings.block_of(&pool.spec, address).ok_or(match pool.spec.block_source {
            BlockSource::Pool => "its block is not inside the pool",
            BlockSource::PodCidr => "it is in none of the node's pod CIDRs inside the pool",
        })?;
        Ok((pool.clone(), cidr))
    }
}
