//! What a node may do to a block: pure functions on the stored object.
//!
//! Invariants: an entry of another node is never touched until it is released and rested; so whoever wins the
//! compare-and-swap holds the address alone.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use cairn_api::Timestamp;
use cairn_api::kinds::{Allocation, AllocationState, IpamBlock};

use crate::Handle;
use crate::clock::Now;
use crate::ledger::{Hold, Ledger};
use crate::record::Record;

/// Clocks of nodes may differ by so much.
const SKEW: Duration = Duration::from_secs(60);

/// What a reconciliation found.
#[derive(Debug, Default)]
pub(crate) struct Reconciled {
    /// Must the block be written?
    pub(crate) changed: bool,
    /// What to do to the ledger once the block is as it is now in the store.
    pub(crate) records: Vec<Record>,
    /// Addresses that a pod here has and another node too, with that node's name.
    pub(crate) conflicts: Vec<(IpAddr, String)>,
}

/// Who asks for addresses of a block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claimant<'a> {
    pub(crate) node: &'a str,
    pub(crate) now: Now,
    pub(crate) cooldown: Duration,
    /// When the claimant himself released an address, by his steady clock.
    pub(crate) resting: &'a BTreeMap<IpAddr, Duration>,
}

impl Claimant<'_> {
    /// Is a released address still resting?
    pub(crate) fn rests(&self, entry: &Allocation) -> bool {
        if entry.state != AllocationState::Released {
            return false;
        }
        // Whoever sets the time of day must not give an address away that was in use a moment ago.
        let released = self.resting.get(&entry.address);
        if released.is_some_and(|released| self.now.steady.saturating_sub(*released) < self.cooldown) {
            return true;
        }
        let now = self.now.wall;
        // A clock that was far ahead must not lock an address for ever.
        now.since(entry.since) < self.cooldown && entry.since.since(now) <= self.cooldown + SKEW
    }

    fn is_free(&self, entry: &Allocation) -> bool {
        entry.state == AllocationState::Released && !self.rests(entry)
    }

    /// Takes up to `count` free addresses that `usable` allows: first those never used, then the one released longest ago. Of a range of more
    /// addresses than a block may have entries the first ones are looked at, as many as entries.
    pub(crate) fn reserve(
        &self,
        block: &mut IpamBlock,
        count: usize,
        usable: impl Fn(IpAddr) -> bool,
    ) -> Vec<IpAddr> {
        let mut taken: Vec<IpAddr> = Vec::new();
        let mut entries = block.allocations.iter().peekable();
        let fresh = count.min(IpamBlock::MAX_ALLOCATIONS.saturating_sub(block.allocations.len()));
        let offsets = 0..IpamBlock::MAX_ALLOCATIONS as u128;
        for address in offsets.map_while(|offset| block.cidr.nth(offset)) {
            if taken.len() >= fresh {
                break;
            }
            if entries.next_if(|entry| entry.address == address).is_none() && usable(address) {
                taken.push(address);
            }
        }
        let mut rested: Vec<_> = block.allocations.iter().filter(|entry| self.is_free(entry)).collect();
        rested.sort_by_key(|entry| entry.since);
        let rested = rested.into_iter().map(|entry| entry.address).filter(|address| usable(*address));
        taken.extend(rested.take(count - taken.len()));
        for address in &taken {
            set(block, self.reservation(*address));
        }
        taken
    }

    /// Takes one certain address, for a pod that may have it again before it has rested.
    ///
    /// Errors: who has it, for people.
    pub(crate) fn reserve_one(
        &self,
        block: &mut IpamBlock,
        address: IpAddr,
        pod: &str,
    ) -> Result<(), String> {
        let entry = find(block, address);
        if entry.is_none() && block.allocations.len() >= IpamBlock::MAX_ALLOCATIONS {
            return Err(format!("its block has {} entries, and no more", IpamBlock::MAX_ALLOCATIONS));
        }
        if let Some(entry) = entry {
            let same_pod = !pod.is_empty() && entry.pod == pod;
            match entry.state {
                AllocationState::Reserved if entry.node == self.node => return Ok(()),
                AllocationState::Reserved => return Err(format!("node {} holds it ready", entry.node)),
                AllocationState::Assigned => {
                    let owner = if entry.pod.is_empty() { &entry.handle } else { &entry.pod };
                    return Err(format!("{owner} on node {} has it", entry.node));
                }
                AllocationState::Released if self.rests(entry) && !same_pod => {
                    return Err(format!("released at {}, and it rests for {:?}", entry.since, self.cooldown));
                }
                AllocationState::Released => {}
            }
        }
        set(block, self.reservation(address));
        Ok(())
    }

    fn reservation(&self, address: IpAddr) -> Allocation {
        Allocation {
            address,
            node: self.node.to_owned(),
            state: AllocationState::Reserved,
            handle: String::new(),
            pod: String::new(),
            since: self.now.wall,
        }
    }

    /// Is nothing of the block in use, reserved or resting?
    pub(crate) fn is_empty(&self, block: &IpamBlock) -> bool {
        block.allocations.iter().all(|entry| self.is_free(entry))
    }

    /// Makes the entries of this node agree with its ledger. Whoever repeats it after a lost answer does no harm.
    pub(crate) fn reconcile(&self, block: &mut IpamBlock, ledger: &Ledger) -> Reconciled {
        let mut done = Reconciled::default();
        let mut forget = Vec::new();
        for (address, held) in ledger.of_block(block.cidr) {
            let entry = find(block, address).cloned();
            let mine = entry.as_ref().is_some_and(|entry| entry.node == self.node);
            let state = entry.as_ref().map(|entry| entry.state).filter(|_| mine);
            match &held.state {
                Hold::Warm | Hold::Returning if state == Some(AllocationState::Assigned) => {
                    done.records.extend(entry.iter().map(|entry| adopt(block, entry)));
                }
                Hold::Warm if state == Some(AllocationState::Reserved) => {}
                Hold::Warm => forget.push(address),
                Hold::Returning => {
                    if state == Some(AllocationState::Reserved) {
                        block.allocations.retain(|entry| entry.address != address);
                        done.changed = true;
                    }
                    forget.push(address);
                }
                Hold::Assigned { handle, pod, since } => {
                    let wanted = self.allocation(address, AllocationState::Assigned, handle, pod, *since);
                    match entry {
                        Some(entry) if entry == wanted => {}
                        // Somebody saw that its pod is gone, and released it in this node's place (docs/adr/0039).
                        Some(entry)
                            if state == Some(AllocationState::Released) && entry.handle == wanted.handle =>
                        {
                            done.records.push(Record::Released {
                                handle: handle.clone(),
                                pod: pod.clone(),
                                since: entry.since,
                                address,
                                block: block.cidr,
                            });
                        }
                        Some(entry) if !mine && entry.state != AllocationState::Released => {
                            done.conflicts.push((address, entry.node));
                        }
                        _ => done.changed |= set(block, wanted),
                    }
                }
                Hold::Released { handle, pod, since } => {
                    if state.is_some_and(|state| state != AllocationState::Released) {
                        let released =
                            self.allocation(address, AllocationState::Released, handle, pod, *since);
                        done.changed |= set(block, released);
                    }
                    forget.push(address);
                }
            }
        }
        let unknown = block
            .allocations
            .iter()
            .filter(|entry| entry.node == self.node && !ledger.addresses.contains_key(&entry.address));
        let known_again = unknown.filter_map(|entry| match entry.state {
            // An answer that was lost.
            AllocationState::Reserved if ledger.searched => {
                Some(Record::Warm { block: block.cidr, addresses: vec![entry.address] })
            }
            // A pod may have had it without the store being told: it rests.
            AllocationState::Reserved => Some(Record::Released {
                handle: Handle::new(""),
                pod: String::new(),
                since: self.now.wall,
                address: entry.address,
                block: block.cidr,
            }),
            // A journal that was lost.
            AllocationState::Assigned => Some(adopt(block, entry)),
            AllocationState::Released => None,
        });
        done.records.extend(known_again);
        if !forget.is_empty() {
            done.records.push(Record::Forget { addresses: forget });
        }
        done
    }

    fn allocation(
        &self,
        address: IpAddr,
        state: AllocationState,
        handle: &Handle,
        pod: &str,
        since: Timestamp,
    ) -> Allocation {
        let (node, handle, pod) = (self.node.to_owned(), handle.to_string(), pod.to_owned());
        Allocation { address, node, state, handle, pod, since }
    }
}

fn adopt(block: &IpamBlock, entry: &Allocation) -> Record {
    Record::Assign {
        handle: Handle::new(&entry.handle),
        pod: entry.pod.clone(),
        since: entry.since,
        addresses: vec![(entry.address, block.cidr)],
    }
}

/// The entry of an address.
pub(crate) fn find(block: &IpamBlock, address: IpAddr) -> Option<&Allocation> {
    let at = block.allocations.binary_search_by(|entry| entry.address.cmp(&address)).ok()?;
    block.allocations.get(at)
}

/// Puts an entry in its place. Always a change.
fn set(block: &mut IpamBlock, allocation: Allocation) -> bool {
    match block.allocations.binary_search_by(|entry| entry.address.cmp(&allocation.address)) {
        Ok(at) => block.allocations[at] = allocation,
        Err(at) => block.allocations.insert(at, allocation),
    }
    true
}
