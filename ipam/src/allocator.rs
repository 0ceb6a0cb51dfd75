//! The node's allocator: the part that answers at once.
//!
//! One mutex guards ledger and journal; it is never held over an await. What needs the store is in `driver`, one operation at a
//! time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cairn_api::kinds::IpPool;
use cairn_datastore::{Datastore, StoreError};
use cairn_net::{Families, Family, Prefix};
use tokio::sync::{Notify, watch};
use tracing::warn;

use crate::clock::{Now, system_clock};
use crate::driver::Driver;
use crate::journal::{self, Journal};
use crate::ledger::{Held, Hold, Ledger};
use crate::record::Record;
use crate::{Assigned, Handle, IpamError, Request, Routes, Settings};

/// Gives the node's pods their addresses.
pub struct NodeAllocator<D> {
    pub(crate) store: D,
    pub(crate) node: String,
    path: PathBuf,
    clock: Box<dyn Fn() -> Now + Send + Sync>,
    inner: Mutex<Inner>,
    routes: watch::Sender<Arc<Routes>>,
    /// One operation on the store at a time.
    pub(crate) driver: tokio::sync::Mutex<Driver>,
    /// Requests that wait for the driver.
    pub(crate) waiting: AtomicUsize,
    pub(crate) wake: Notify,
}

pub(crate) struct Inner {
    pub(crate) ledger: Ledger,
    journal: Journal<Record>,
    /// Warm addresses that one request is collecting and no other may take.
    pub(crate) pinned: BTreeSet<IpAddr>,
    /// When this process has released an address, by the clock that nobody sets, while it rests.
    pub(crate) resting: BTreeMap<IpAddr, Duration>,
    /// Addresses that pods have, or have had, since the store was last told of their block: to the store they are held ready. Not in the
    /// journal: after a restart nobody knows what was on its way to the store.
    pub(crate) untold: BTreeSet<IpAddr>,
}

/// What a request lacks.
pub(crate) enum Need {
    /// This address.
    Address(IpAddr),
    /// An address of this family.
    Family(Family),
}

/// Why a request was not answered from the warm slice.
pub(crate) enum Attempt {
    /// The store must give more.
    Need(Need),
    /// It cannot be answered at all.
    Failed(IpamError),
}

impl<D> fmt::Debug for NodeAllocator<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeAllocator")
            .field("node", &self.node)
            .field("journal", &self.path)
            .finish_non_exhaustive()
    }
}

impl<D: Datastore> NodeAllocator<D> {
    /// Opens the journal and takes up the node's addresses from it. Needs no store and no runtime.
    ///
    /// Errors: [`IpamError::Journal`], also where the journal is another node's.
    pub fn open(store: D, node: &str, journal: &Path) -> Result<Self, IpamError> {
        Self::open_with_clock(store, node, journal, system_clock())
    }

    pub(crate) fn open_with_clock(
        store: D,
        node: &str,
        path: &Path,
        clock: impl Fn() -> Now + Send + Sync + 'static,
    ) -> Result<Self, IpamError> {
        let failed = |source| IpamError::Journal { path: path.to_owned(), source };
        let (file, replay) = Journal::<Record>::open(path).map_err(failed)?;
        let mut ledger = Ledger::default();
        replay.records.iter().for_each(|record| ledger.apply(record));
        if !ledger.node.is_empty() && ledger.node != node {
            let found = format!("is that of node {:?}, not of {node:?}", ledger.node);
            return Err(failed(io::Error::other(found)));
        }
        // A machine that stopped may have lost the journal's tail, which is not synced.
        let boot = journal::boot_id();
        let new_boot = ledger.boot != boot;
        if replay.gap || new_boot {
            ledger.distrust();
        }
        let mut inner = Inner {
            ledger,
            journal: file,
            pinned: BTreeSet::new(),
            resting: BTreeMap::new(),
            untold: BTreeSet::new(),
        };
        if new_boot {
            inner.record(&[Record::Node { name: node.to_owned(), boot }]).map_err(failed)?;
        }
        Ok(Self {
            store,
            node: node.to_owned(),
            path: path.to_owned(),
            clock: Box::new(clock),
            routes: watch::Sender::new(Arc::new(inner.ledger.routes())),
            inner: Mutex::new(inner),
            driver: tokio::sync::Mutex::new(Driver::new()),
            waiting: AtomicUsize::new(0),
            wake: Notify::new(),
        })
    }

    /// Sets what holds from now on; call it once the store is in sync, and whenever something of it changes.
    ///
    /// Errors: [`IpamError::Journal`].
    pub fn configure(&self, settings: Settings) -> Result<(), IpamError> {
        if self.inner().ledger.settings != settings {
            self.record(&[Record::Settings(Box::new(settings))])?;
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Gives addresses: from the warm slice, else after asking the store for more.
    ///
    /// Errors: see [`IpamError`]; after one nothing is held. Safe to drop.
    pub async fn assign(&self, request: &Request) -> Result<Vec<Assigned>, IpamError> {
        match self.try_assign(request, &BTreeSet::new()) {
            Ok(assigned) => return Ok(assigned),
            Err(Attempt::Failed(error)) => return Err(error),
            Err(Attempt::Need(_)) => {}
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = OnDrop(|| {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        });
        let mut driver = self.driver.lock().await;
        let _unpin = OnDrop(|| self.inner().pinned.clear());
        self.assign_with_store(request, &mut driver).await
    }

    /// Answers from the warm slice. `own` are the pinned addresses that this request may take.
    pub(crate) fn try_assign(
        &self,
        request: &Request,
        own: &BTreeSet<IpAddr>,
    ) -> Result<Vec<Assigned>, Attempt> {
        let mut inner = self.inner();
        let known = inner.ledger.assigned(&request.handle);
        if !known.is_empty() {
            return Ok(known);
        }
        check(request).map_err(Attempt::Failed)?;
        let chosen = match choose(&inner, request, own) {
            Err(Attempt::Need(need)) => {
                let now = self.now().steady;
                let more = inner.hold_rested(now);
                if !more.map_err(|source| Attempt::Failed(self.journal_error(source)))? {
                    return Err(Attempt::Need(need));
                }
                choose(&inner, request, own)?
            }
            chosen => chosen?,
        };
        let record = Record::Assign {
            handle: request.handle.clone(),
            pod: request.pod.clone(),
            since: self.now().wall,
            addresses: chosen.iter().map(|assigned| (assigned.address, assigned.block)).collect(),
        };
        inner.record(&[record]).map_err(|source| Attempt::Failed(self.journal_error(source)))?;
        inner.untold.extend(chosen.iter().map(|assigned| assigned.address));
        self.publish_if_borrowed(&inner, &chosen);
        drop(inner);
        self.wake.notify_one();
        Ok(chosen)
    }

    /// Takes back all addresses of a handle. An unknown handle is no error: there is nothing to take back.
    ///
    /// Errors: [`IpamError::Journal`]; the addresses are taken back all the same, but a restart will not know.
    pub fn release(&self, handle: &Handle) -> Result<Vec<Assigned>, IpamError> {
        let mut inner = self.inner();
        let held = inner.ledger.assigned(handle);
        if held.is_empty() {
            return Ok(held);
        }
        let Now { wall, steady } = self.now();
        let record = [Record::Release { handle: handle.clone(), since: wall }];
        inner.resting.extend(held.iter().map(|assigned| (assigned.address, steady)));
        let recorded = inner.record(&record);
        if recorded.is_err() {
            record.iter().for_each(|record| inner.ledger.apply(record));
        }
        self.publish_if_borrowed(&inner, &held);
        drop(inner);
        self.wake.notify_one();
        recorded.map_err(|source| self.journal_error(source))?;
        Ok(held)
    }

    /// Is any pool known?
    pub fn has_pools(&self) -> bool {
        !self.inner().ledger.settings.pools.is_empty()
    }

    /// A pool as it was told of last, by its name.
    pub fn pool(&self, name: &str) -> Option<IpPool> {
        self.inner().ledger.settings.pool(name).map(|pool| pool.spec.clone())
    }

    /// The addresses of a handle; empty if it has none.
    pub fn lookup(&self, handle: &Handle) -> Vec<Assigned> {
        self.inner().ledger.assigned(handle)
    }

    /// All handles with their addresses.
    pub fn assignments(&self) -> Vec<(Handle, Vec<Assigned>)> {
        let inner = self.inner();
        let handles = inner.ledger.handles().cloned();
        handles.map(|handle| (handle.clone(), inner.ledger.assigned(&handle))).collect()
    }

    /// Takes back the addresses of every handle that is not to be kept: the garbage collection of attachments.
    ///
    /// Errors: [`IpamError::Journal`].
    pub fn retain(&self, keep: impl Fn(&Handle) -> bool) -> Result<Vec<Handle>, IpamError> {
        let gone: Vec<Handle> =
            self.inner().ledger.handles().filter(|handle| !keep(handle)).cloned().collect();
        for handle in &gone {
            self.release(handle)?;
        }
        Ok(gone)
    }

    /// What to announce and to blackhole, now and after each change.
    pub fn routes(&self) -> watch::Receiver<Arc<Routes>> {
        self.routes.subscribe()
    }

    pub(crate) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> Now {
        (self.clock)()
    }

    pub(crate) fn cooldown(inner: &Inner) -> Duration {
        inner.cooldown()
    }

    /// Takes steps of the ledger that may change routes.
    pub(crate) fn record(&self, records: &[Record]) -> Result<(), IpamError> {
        let mut inner = self.inner();
        inner.record(records).map_err(|source| self.journal_error(source))?;
        self.publish(&inner);
        Ok(())
    }

    /// As `record`, in one step with what the caller looked at.
    pub(crate) fn record_with(
        &self,
        mut inner: MutexGuard<'_, Inner>,
        records: &[Record],
    ) -> Result<(), StoreError> {
        inner.record(records).map_err(|source| StoreError::Unavailable {
            kind: "IPAMBlock",
            reason: self.journal_error(source).to_string(),
        })?;
        self.publish(&inner);
        Ok(())
    }

    /// Compacts the journal if it is due, and forgets what has rested.
    pub(crate) fn compact(&self) {
        let (mut inner, now) = (self.inner(), self.now().steady);
        let cooldown = Self::cooldown(&inner);
        inner.resting.retain(|_, released| now.saturating_sub(*released) < cooldown);
        if inner.journal.is_bloated() {
            let snapshot = inner.ledger.snapshot();
            if let Err(error) = inner.journal.compact(&snapshot) {
                warn!(journal = %self.path.display(), %error, "journal not compacted");
            }
        }
    }

    fn publish_if_borrowed(&self, inner: &Inner, changed: &[Assigned]) {
        let own = |assigned: &Assigned| {
            inner.ledger.blocks.get(&assigned.block).is_some_and(|block| block.own.is_some())
        };
        if !changed.iter().all(own) {
            self.publish(inner);
        }
    }

    fn publish(&self, inner: &Inner) {
        let routes = inner.ledger.routes();
        self.routes.send_if_modified(|known| {
            let changed = **known != routes;
            if changed {
                *known = Arc::new(routes);
            }
            changed
        });
    }

    pub(crate) fn journal_error(&self, source: io::Error) -> IpamError {
        IpamError::Journal { path: self.path.clone(), source }
    }
}

impl Inner {
    fn cooldown(&self) -> Duration {
        Duration::from_secs(self.ledger.settings.ipam.ip_cooldown_seconds.into())
    }

    /// Into the journal, then into the ledger.
    pub(crate) fn record(&mut self, records: &[Record]) -> io::Result<()> {
        if !records.is_empty() {
            self.journal.append(records)?;
            records.iter().for_each(|record| self.ledger.apply(record));
        }
        Ok(())
    }

    /// Holds ready again what pods have given back and what has rested since, if the store knows nothing of all that. So pods come and go for
    /// as long as the store is away. True if there was any.
    fn hold_rested(&mut self, now: Duration) -> io::Result<bool> {
        let cooldown = self.cooldown();
        let rests = |address: &IpAddr| {
            self.resting.get(address).is_some_and(|released| now.saturating_sub(*released) < cooldown)
        };
        let released = |address: &IpAddr| match self.ledger.addresses.get(address)? {
            Held { block, state: Hold::Released { .. } } => Some((*block, *address)),
            _ => None,
        };
        let rested: Vec<_> =
            self.untold.iter().filter(|address| !rests(address)).filter_map(released).collect();
        let warm =
            |(block, address): &(Prefix, IpAddr)| Record::Warm { block: *block, addresses: vec![*address] };
        self.record(&rested.iter().map(warm).collect::<Vec<_>>())?;
        for (_, address) in &rested {
            self.untold.remove(address);
        }
        Ok(!rested.is_empty())
    }
}

fn check(request: &Request) -> Result<(), IpamError> {
    let bad = |reason| Err(IpamError::BadRequest { handle: request.handle.clone(), reason });
    if request.handle.as_str().is_empty() {
        return bad("handle: \"\": must not be empty".to_owned());
    }
    if request.families.is_empty() {
        return bad("families: none: at least one".to_owned());
    }
    let mut fixed = Families::NONE;
    for address in &request.addresses {
        let family = Family::of(*address);
        if fixed.contains(family) || !request.families.contains(family) {
            return bad(format!("addresses: {address}: at most one of each family that is asked for"));
        }
        fixed = fixed.with(family);
    }
    Ok(())
}

fn choose(inner: &Inner, request: &Request, own: &BTreeSet<IpAddr>) -> Result<Vec<Assigned>, Attempt> {
    let ledger = &inner.ledger;
    let is_free = |address: &IpAddr| !inner.pinned.contains(address) || own.contains(address);
    let mut chosen = Vec::with_capacity(2);
    for family in request.families.iter() {
        let fixed = request.addresses.iter().copied().find(|address| Family::of(*address) == family);
        let found = if let Some(address) = fixed {
            // What is held ready of a pool that gives no more is on its way back.
            let gives = |held: &Held| {
                let pool = ledger.blocks.get(&held.block).and_then(|block| ledger.settings.pool(&block.pool));
                pool.is_some_and(|pool| {
                    ledger.settings.objection(pool).is_none()
                        && ledger.settings.takes_from(&pool.spec, held.block)
                })
            };
            let warm =
                ledger.addresses.get(&address).is_some_and(|held| held.state == Hold::Warm && gives(held));
            Some(address).filter(|address| warm && is_free(address)).ok_or(Need::Address(address))
        } else {
            let pools = ledger.settings.candidates(family, request).map_err(|reason| {
                Attempt::Failed(IpamError::NoPool { handle: request.handle.clone(), family, reason })
            })?;
            let mut pools = pools.iter();
            pools.find_map(|pool| ledger.warm(&pool.metadata.name).find(is_free)).ok_or(Need::Family(family))
        };
        chosen.extend(ledger.describe(found.map_err(Attempt::Need)?));
    }
    Ok(chosen)
}

/// Runs a closure when it is dropped, however the scope is left.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
