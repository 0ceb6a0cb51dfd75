//! Reading, changing and writing one block.

use std::net::IpAddr;

use cairn_api::kinds::IpamBlock;
use cairn_api::{Metadata, Object, name};
use cairn_datastore::{Datastore, StoreError};
use cairn_net::Prefix;
use tracing::error;

use super::key_of;
use crate::NodeAllocator;
use crate::allocator::Inner;
use crate::block::{Claimant, Reconciled};
use crate::ledger::Hold;
use crate::record::Record;

/// How often a write is tried against others' writes before the caller is told that it failed; the maintenance tries again later.
const ATTEMPTS: usize = 100;

/// What is wanted of a block besides agreement.
#[derive(Debug, Clone)]
pub(super) enum Want {
    /// Up to so many free addresses.
    Count(usize),
    /// One certain address, for a pod.
    Address(IpAddr, String),
}

impl Want {
    /// Nothing.
    pub(super) const AGREEMENT: Self = Self::Count(0);
}

/// What was got.
#[derive(Debug)]
pub(super) enum Got {
    /// These addresses, warm now.
    Addresses(Vec<IpAddr>),
    /// Not the certain one, and why.
    Refused(String),
    /// There is no such block.
    NoBlock,
}

impl<D: Datastore> NodeAllocator<D> {
    /// Makes the stored block agree with the ledger, and takes what is wanted of it.
    pub(super) async fn edit(&self, cidr: Prefix, want: &Want) -> Result<Got, StoreError> {
        let mut last = None;
        for _ in 0..ATTEMPTS {
            let mut stored: Object<IpamBlock> = match self.store.get(&key_of(cidr)).await {
                Ok(stored) => stored,
                Err(StoreError::NotFound { .. }) => return Ok(Got::NoBlock),
                Err(error) => return Err(error),
            };
            let telling = Telling::start(self, cidr);
            let (reconciled, got) = self.change(&mut stored.spec, want);
            if reconciled.changed {
                match self.store.update(&stored).await {
                    Ok(_) => {}
                    Err(error @ (StoreError::Conflict { .. } | StoreError::NotFound { .. })) => {
                        last = Some(error);
                        continue;
                    }
                    Err(error) => return Err(error),
                }
            }
            self.settle(cidr, reconciled, &got)?;
            telling.done();
            return Ok(got);
        }
        Err(last.unwrap_or(StoreError::Unavailable { kind: "IPAMBlock", reason: "never tried".to_owned() }))
    }

    /// Creates a block with what is wanted already taken. `None` if it exists.
    pub(super) async fn create_block(
        &self,
        cidr: Prefix,
        pool: &str,
        want: &Want,
    ) -> Result<Option<Got>, StoreError> {
        let spec = IpamBlock { cidr, pool: pool.to_owned(), allocations: Vec::new() };
        let mut object = Object::new(Metadata::named(name::of_prefix(cidr)), spec);
        let telling = Telling::start(self, cidr);
        let (reconciled, got) = self.change(&mut object.spec, want);
        match self.store.create(&object).await {
            Ok(_) => {}
            Err(StoreError::AlreadyExists { .. }) => return Ok(None),
            Err(error) => return Err(error),
        }
        self.settle(cidr, reconciled, &got)?;
        telling.done();
        Ok(Some(got))
    }

    fn change(&self, block: &mut IpamBlock, want: &Want) -> (Reconciled, Got) {
        let mut inner = self.inner();
        // Whether or not the answer comes, the store may know from now on.
        inner.untold.retain(|address| !block.cidr.contains(*address));
        let claimant = self.claimant(&inner);
        let mut reconciled = claimant.reconcile(block, &inner.ledger);
        let got = match want {
            Want::Count(count) => {
                let held = &inner.ledger.addresses;
                let usable = |address: IpAddr| {
                    !inner.ledger.settings.is_reserved(address) && !held.contains_key(&address)
                };
                Got::Addresses(claimant.reserve(block, *count, usable))
            }
            Want::Address(address, pod) => match claimant.reserve_one(block, *address, pod) {
                Ok(()) => Got::Addresses(vec![*address]),
                Err(reason) => Got::Refused(reason),
            },
        };
        reconciled.changed |= matches!(&got, Got::Addresses(taken) if !taken.is_empty());
        (reconciled, got)
    }

    /// Takes into the ledger what the store has confirmed.
    fn settle(&self, cidr: Prefix, reconciled: Reconciled, got: &Got) -> Result<(), StoreError> {
        for (address, node) in &reconciled.conflicts {
            error!(%address, %node, "a pod here and another node have the same address");
        }
        let mut inner = self.inner();
        let mut records = Vec::new();
        for record in reconciled.records {
            records.extend(still_true(&inner, record));
        }
        if let Got::Addresses(taken) = got {
            let adopted = |address: &IpAddr| {
                records.iter().any(
                    |record| matches!(record, Record::Warm { addresses, .. } if addresses.contains(address)),
                )
            };
            let taken: Vec<_> = taken.iter().copied().filter(|address| !adopted(address)).collect();
            if !taken.is_empty() {
                // An address that was on its way back is forgotten first, and then warm again.
                records.push(Record::Warm { block: cidr, addresses: taken });
            }
        }
        inner.record(&records).map_err(|error| StoreError::Unavailable {
            kind: "IPAMBlock",
            reason: self.journal_error(error).to_string(),
        })
    }

    pub(super) fn claimant<'a>(&'a self, inner: &'a Inner) -> Claimant<'a> {
        let (now, cooldown) = (self.now(), Self::cooldown(inner));
        Claimant { node: &self.node, now, cooldown, resting: &inner.resting }
    }
}

/// What of a record still holds now that pods may have come and gone since it was made.
pub(super) fn still_true(inner: &Inner, record: Record) -> Option<Record> {
    let held = |address: &IpAddr| inner.ledger.addresses.get(address).map(|held| &held.state);
    let assigned = |address: &IpAddr| matches!(held(address), Some(Hold::Assigned { .. }));
    match record {
        Record::Forget { addresses } => {
            let addresses: Vec<_> = addresses.into_iter().filter(|address| !assigned(address)).collect();
            (!addresses.is_empty()).then_some(Record::Forget { addresses })
        }
        Record::Assign { handle, pod, since, addresses } => {
            let addresses: Vec<_> = addresses.into_iter().filter(|(address, _)| !assigned(address)).collect();
            (!addresses.is_empty()).then_some(Record::Assign { handle, pod, since, addresses })
        }
        record => Some(record),
    }
}

/// A block counts as told while it is being told; unless that succeeds it is dirty again, also when the future is dropped.
pub(super) struct Telling<'a, D: Datastore> {
    allocator: &'a NodeAllocator<D>,
    cidr: Prefix,
    was_dirty: bool,
}

impl<'a, D: Datastore> Telling<'a, D> {
    pub(super) fn start(allocator: &'a NodeAllocator<D>, cidr: Prefix) -> Self {
        let mut inner = allocator.inner();
        let was_dirty = inner.ledger.dirty().contains(&cidr);
        inner.ledger.set_dirty(cidr, false);
        drop(inner);
        Self { allocator, cidr, was_dirty }
    }

    pub(super) fn done(mut self) {
        self.was_dirty = false;
    }
}

impl<D: Datastore> Drop for Telling<'_, D> {
    fn drop(&mut self) {
        if self.was_dirty {
            self.allocator.inner().ledger.set_dirty(self.cidr, true);
        }
    }
}
