//! What the node holds: blocks, addresses, handles. Pure.
//!
//! Invariants: every lasting change is a [`Record`], so a replayed journal gives the same ledger; an address is warm only
//! after the store confirmed its reservation; an assigned address leaves only by a release.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;

use cairn_api::Timestamp;
use cairn_api::kinds::AffinityState;
use cairn_net::Prefix;

use crate::record::Record;
use crate::{Assigned, BlockRoute, BorrowedRoute, Handle, Routes, Settings};

/// What the node holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Ledger {
    /// The node's name; empty in a new ledger.
    pub(crate) node: String,
    /// The start of the machine that the journal is of.
    pub(crate) boot: String,
    /// Can the ledger be trusted to name every block with addresses of the node?
    pub(crate) searched: bool,
    pub(crate) settings: Settings,
    pub(crate) blocks: BTreeMap<Prefix, Block>,
    pub(crate) addresses: BTreeMap<IpAddr, Held>,
    handles: HashMap<Handle, Vec<IpAddr>>,
    /// Assignable addresses by pool, the one that waited longest first.
    warm: BTreeMap<String, VecDeque<IpAddr>>,
    /// Blocks about which the store must be told something.
    dirty: BTreeSet<Prefix>,
}

/// A block that the node owns or has addresses of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) pool: String,
    /// `None` for somebody else's.
    pub(crate) own: Option<AffinityState>,
}

/// An address that the node holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) block: Prefix,
    pub(crate) state: Hold,
}

/// What the node does with an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hold {
    /// May be assigned.
    Warm,
    /// Goes back unused.
    Returning,
    /// A pod has it.
    Assigned { handle: Handle, pod: String, since: Timestamp },
    /// A pod had it; the store is still to be told.
    Released { handle: Handle, pod: String, since: Timestamp },
}

impl Ledger {
    /// Takes a step.
    pub(crate) fn apply(&mut self, record: &Record) {
        match record {
            Record::Node { name, boot } => {
                self.node.clone_from(name);
                self.boot.clone_from(boot);
            }
            Record::Searched => self.searched = true,
            Record::Settings(settings) => self.settings = (**settings).clone(),
            Record::Block { cidr, pool, own } => {
                self.blocks.insert(*cidr, Block { pool: pool.clone(), own: *own });
            }
            Record::BlockGone { cidr } => {
                self.blocks.remove(cidr);
                self.dirty.remove(cidr);
            }
            Record::Warm { block, addresses } => {
                for address in addresses {
                    self.hold(*address, *block, Hold::Warm);
                }
            }
            Record::Return { addresses } => {
                for address in addresses {
                    if let Some(block) = self.addresses.get(address).map(|held| held.block) {
                        self.hold(*address, block, Hold::Returning);
                    }
                }
            }
            Record::Assign { handle, pod, since, addresses } => {
                for (address, block) in addresses {
                    let (handle, pod, since) = (handle.clone(), pod.clone(), *since);
                    self.hold(*address, *block, Hold::Assigned { handle, pod, since });
                }
            }
            Record::Release { handle, since } => self.release(handle, *since),
            Record::Released { handle, pod, since, address, block } => {
                let (handle, pod, since) = (handle.clone(), pod.clone(), *since);
                self.hold(*address, *block, Hold::Released { handle, pod, since });
            }
            Record::Forget { addresses } => {
                for address in addresses {
                    self.drop_indexes(*address);
                    self.addresses.remove(address);
                }
            }
        }
    }

    fn release(&mut self, handle: &Handle, since: Timestamp) {
        for address in self.handles.get(handle).cloned().unwrap_or_default() {
            if let Some(Held { block, state: Hold::Assigned { handle, pod, .. } }) =
                self.addresses.get(&address).cloned()
            {
                self.hold(address, block, Hold::Released { handle, pod, since });
            }
        }
    }

    /// Puts an address into a state, in the indexes too.
    fn hold(&mut self, address: IpAddr, block: Prefix, state: Hold) {
        self.drop_indexes(address);
        match &state {
            Hold::Warm => {
                if let Some(known) = self.blocks.get(&block) {
                    self.warm.entry(known.pool.clone()).or_default().push_back(address);
                }
            }
            Hold::Assigned { handle, .. } => {
                self.handles.entry(handle.clone()).or_default().push(address);
                self.dirty.insert(block);
            }
            Hold::Released { .. } | Hold::Returning => drop(self.dirty.insert(block)),
        }
        self.addresses.insert(address, Held { block, state });
    }

    fn drop_indexes(&mut self, address: IpAddr) {
        let Some(held) = self.addresses.get(&address) else { return };
        match &held.state {
            Hold::Warm => {
                let pool = self.blocks.get(&held.block).and_then(|block| self.warm.get_mut(&block.pool));
                if let Some(queue) = pool {
                    queue.retain(|warm| *warm != address);
                }
            }
            Hold::Assigned { handle, .. } => {
                if let Some(addresses) = self.handles.get_mut(handle) {
                    addresses.retain(|assigned| *assigned != address);
                    if addresses.is_empty() {
                        self.handles.remove(handle);
                    }
                }
            }
            Hold::Returning | Hold::Released { .. } => {}
        }
    }

    /// The records that make this ledger out of an empty one.
    pub(crate) fn snapshot(&self) -> Vec<Record> {
        let mut records = vec![
            Record::Node { name: self.node.clone(), boot: self.boot.clone() },
            Record::Settings(Box::new(self.settings.clone())),
        ];
        if self.searched {
            records.push(Record::Searched);
        }
        for (cidr, Block { pool, own }) in &self.blocks {
            records.push(Record::Block { cidr: *cidr, pool: pool.clone(), own: *own });
        }
        for address in self.warm.values().flatten() {
            if let Some(held) = self.addresses.get(address) {
                records.push(Record::Warm { block: held.block, addresses: vec![*address] });
            }
        }
        for (address, held) in &self.addresses {
            match &held.state {
                Hold::Returning => {
                    records.push(Record::Warm { block: held.block, addresses: vec![*address] });
                    records.push(Record::Return { addresses: vec![*address] });
                }
                Hold::Released { handle, pod, since } => records.push(Record::Released {
                    handle: handle.clone(),
                    pod: pod.clone(),
                    since: *since,
                    address: *address,
                    block: held.block,
                }),
                Hold::Warm | Hold::Assigned { .. } => {}
            }
        }
        records
            .extend(self.handles.iter().filter_map(|(handle, addresses)| self.assignment(handle, addresses)));
        records
    }

    fn assignment(&self, handle: &Handle, addresses: &[IpAddr]) -> Option<Record> {
        let held = |address: &IpAddr| self.addresses.get(address).map(|held| (*address, held.block));
        let first = self.addresses.get(addresses.first()?)?;
        let Hold::Assigned { pod, since, .. } = &first.state else { return None };
        let addresses = addresses.iter().filter_map(held).collect();
        Some(Record::Assign { handle: handle.clone(), pod: pod.clone(), since: *since, addresses })
    }

    /// The addresses of a handle, IPv4 first.
    pub(crate) fn assigned(&self, handle: &Handle) -> Vec<Assigned> {
        let mut addresses = self.handles.get(handle).cloned().unwrap_or_default();
        addresses.sort();
        addresses.into_iter().filter_map(|address| self.describe(address)).collect()
    }

    /// An address that is held, with its block and pool.
    pub(crate) fn describe(&self, address: IpAddr) -> Option<Assigned> {
        let block = self.addresses.get(&address)?.block;
        let pool = self.blocks.get(&block).map(|known| known.pool.clone()).unwrap_or_default();
        Some(Assigned { address, block, pool })
    }

    /// All handles that have addresses.
    pub(crate) fn handles(&self) -> impl Iterator<Item = &Handle> {
        self.handles.keys()
    }

    /// Assignable addresses of a pool, in the order to take them. Reserved ranges are left out, and blocks that are not to be taken from any more.
    pub(crate) fn warm<'a>(&'a self, pool: &str) -> impl Iterator<Item = IpAddr> + 'a {
        let queue = self.warm.get(pool).into_iter().flatten().copied();
        let left =
            move |address: &IpAddr| self.addresses.get(address).is_some_and(|held| self.leaves(held.block));
        queue.filter(move |address| !left(address) && !self.settings.is_reserved(*address))
    }

    /// Is a block not to be taken from any more, because its pool no longer covers it, or it is no pod CIDR of the node any more?
    pub(crate) fn leaves(&self, cidr: Prefix) -> bool {
        let pool = self.blocks.get(&cidr).and_then(|block| self.settings.pool(&block.pool));
        pool.is_some_and(|pool| !self.settings.takes_from(&pool.spec, cidr))
    }

    /// Addresses of a block with their states.
    pub(crate) fn of_block(&self, cidr: Prefix) -> impl Iterator<Item = (IpAddr, &Held)> {
        let range = self.addresses.range(cidr.addr()..=cidr.last());
        range.filter(move |(_, held)| held.block == cidr).map(|(address, held)| (*address, held))
    }

    /// Does a pod have an address of the block?
    pub(crate) fn is_in_use(&self, cidr: Prefix) -> bool {
        self.of_block(cidr).any(|(_, held)| matches!(held.state, Hold::Assigned { .. }))
    }

    /// Own confirmed blocks of a pool.
    pub(crate) fn own_blocks<'a>(&'a self, pool: &'a str) -> impl Iterator<Item = Prefix> + 'a {
        let confirmed =
            move |block: &Block| block.own == Some(AffinityState::Confirmed) && block.pool == pool;
        self.blocks.iter().filter(move |(_, block)| confirmed(block)).map(|(cidr, _)| *cidr)
    }

    /// Blocks about which the store must be told something.
    pub(crate) fn dirty(&self) -> Vec<Prefix> {
        self.dirty.iter().copied().collect()
    }

    /// Marks a block as one to tell about, or as told.
    pub(crate) fn set_dirty(&mut self, cidr: Prefix, dirty: bool) {
        if dirty {
            self.dirty.insert(cidr);
        } else {
            self.dirty.remove(&cidr);
        }
    }

    /// Forgets what only looks free, because the journal has a gap: the store knows better.
    pub(crate) fn distrust(&mut self) {
        self.searched = false;
        let warm: Vec<IpAddr> = self.warm.values().flatten().copied().collect();
        self.apply(&Record::Forget { addresses: warm });
        self.dirty.extend(self.blocks.keys().copied());
    }

    /// What to announce.
    pub(crate) fn routes(&self) -> Routes {
        let own = |cidr: &Prefix| {
            self.blocks.get(cidr).is_some_and(|block| block.own == Some(AffinityState::Confirmed))
        };
        let blocks = self.blocks.iter().filter(|(cidr, _)| own(cidr));
        let blocks = blocks.map(|(cidr, block)| BlockRoute { cidr: *cidr, pool: block.pool.clone() });
        let borrowed = self
            .addresses
            .iter()
            .filter(|(_, held)| matches!(held.state, Hold::Assigned { .. }) && !own(&held.block));
        let borrowed = borrowed.filter_map(|(address, _)| {
            self.describe(*address).map(|found| BorrowedRoute { address: *address, pool: found.pool })
        });
        Routes { blocks: blocks.collect(), borrowed: borrowed.collect() }
    }
}
