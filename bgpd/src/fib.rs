//! The kernel's routing table after the Loc-RIB, for a router that runs bgpd alone (`--install-routes`). Where felix-lite
//! runs, it does this, and more.
//!
//! A thread of its own: however long the kernel takes, no keepalive waits for it. It watches routes as a gRPC client would, without
//! the messages: what it has not taken yet costs the daemon a prefix each. Routes have protocol 202 and are left in place when the daemon
//! ends; after a restart nothing is removed before End-of-RIB says that the Loc-RIB is complete.
//!
//! The kernel tells what others do to its table; that is put right at the next look, of which there is at most one a [`PAUSE`], so
//! that a quarrel stays cheap. Whole tables are compared where the kernel may have lost routes without a word: when an interface
//! or an address changes, or notifications were lost. What it refused is tried again every [`RETRY`].
//!
//! A route of another protocol with the same prefix and metric that was there first is not displaced: it is named in the log, and ours is
//! written once it has gone. Who replaces ours in one step is meddling, and ours comes back: the rule of the kernel crate's Reconciler.
//! Where the kernel took ours away with its interface first, the other one came into an empty place, and stays.
//! A next hop that is not on a connected network is written as the routers that lead to it, where next hops are tracked; the kernel would
//! refuse it.

mod doubts;
mod others;
mod routes;
mod table;
#[cfg(test)]
mod tests;
mod ways;

use std::time::Duration;

use cairn_kernel::monitor::{Event, Monitor, Topic};
use cairn_kernel::netlink::Batch;
use cairn_kernel::object::{Object, PROTOCOL, Route, RouteKey, TableId, Verb};
use cairn_kernel::{Error as KernelError, Listed, Rtnl};
use cairn_net::{Families, Family, Prefix};
use thiserror::Error;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info, warn};

use crate::daemon::{Handle, RouteBatch, Stopped};
use doubts::Doubts;
use others::{Holder, Others};
use table::{Change, Table};

/// Time from a change by others until it is looked at: more of them may come.
const GATHER: Duration = Duration::from_millis(100);
/// Time between two looks at what others have changed.
const PAUSE: Duration = Duration::from_secs(1);
/// Time until what the kernel refused is tried again, and between two comparisons of the whole table.
const RETRY: Duration = Duration::from_secs(5);
/// Longest time between two attempts to take places that others have given up without a word.
const SLOWEST: Duration = Duration::from_secs(60);
/// Time until everything is begun anew after the netlink socket failed.
const RESTART: Duration = Duration::from_secs(1);
/// Requests that are sent to the kernel together at most.
const BATCH: usize = 512;

/// Why the kernel's table is not followed any more.
#[derive(Debug, Error)]
enum FibError {
    /// The kernel's answer.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The daemon ends.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Families of which the kernel has routes of ours: forwarding has gone on while no daemon ran. None if it cannot be asked.
pub(crate) fn kept() -> Families {
    let look = || -> Result<Families, KernelError> {
        let mut kernel = Rtnl::open()?;
        let mut kept = Families::NONE;
        for family in Family::ALL {
            let mut found = false;
            kernel.routes_as::<()>(TableId::MAIN, PROTOCOL, [family], |_| {
                found = true;
                None
            })?;
            if found {
                kept = kept.with(family);
            }
        }
        Ok(kept)
    };
    look().unwrap_or_else(|error| {
        warn!(%error, "cannot read the kernel's routes: neighbours are told that none were kept");
        Families::NONE
    })
}

/// Starts the thread; it ends with the daemon.
///
/// Errors: no thread can be made.
pub(crate) fn start(daemon: Handle) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("fib".to_owned()).spawn(move || runtime.block_on(run(&daemon)))?;
    Ok(())
}

async fn run(daemon: &Handle) {
    loop {
        match follow(daemon).await {
            Ok(()) | Err(FibError::Stopped(_)) => return,
            Err(error) => {
                warn!(%error, retry_seconds = RESTART.as_secs(), "routes are not written to the kernel until the next attempt");
            }
        }
        tokio::time::sleep(RESTART).await;
    }
}

/// Follows the Loc-RIB until the daemon ends.
async fn follow(daemon: &Handle) -> Result<(), FibError> {
    let mut writer = Writer {
        kernel: Rtnl::open()?,
        batch: Batch::new(),
        table: Table::default(),
        others: Others::default(),
    };
    let mut monitor = Monitor::open(&[Topic::Routes, Topic::Links, Topic::Addresses, Topic::Nexthops])?;
    monitor.ignore(writer.kernel.socket())?;
    writer.adopt()?;
    let mut routes = daemon.call(|daemon| daemon.watch_routes(Families::ALL, true)).await?;
    let mut doubts = Doubts::default();
    let mut waiting = None;
    loop {
        // For the metrics.
        let now = writer.others.waiting().len();
        if waiting.replace(now) != Some(now) {
            daemon.call(move |daemon| daemon.set_waiting_routes(now)).await?;
        }
        tokio::select! {
            batch = routes.recv() => match batch {
                Some(batch) => writer.take(&batch, &mut doubts)?,
                None => return Ok(()),
            },
            event = monitor.next() => match event? {
                Event::Route(change) => {
                    doubts.changed(&change, &writer.table, Instant::now());
                    writer.table.told(&change, monitor.replaced());
                    writer.others.told(&change);
                }
                // The kernel takes away routes over a nexthop object that is gone, IPv4 ones without a word.
                Event::Nexthop(_) if !writer.others.waiting().is_empty() => doubts.of_waiting(Instant::now()),
                Event::Link(_) | Event::Address(_) => doubts.of_everything(Instant::now()),
                Event::Resync => {
                    writer.others.told_no_more();
                    doubts.of_everything(Instant::now());
                }
                Event::Settings(_)
                | Event::Nexthop(_)
                | Event::Neighbour(_)
                | Event::Forwarding(_)
                | Event::Rule(_)
                | Event::Table => {}
            },
            () = due(doubts.due()) => writer.look(&mut doubts)?,
        }
    }
}

async fn due(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Writes what the table says.
struct Writer {
    kernel: Rtnl,
    /// Kept for its memory.
    batch: Batch,
    table: Table,
    others: Others,
}

impl Writer {
    /// Takes note of the routes that another process of ours has left in the kernel: they may be replaced.
    fn adopt(&mut self) -> Result<(), KernelError> {
        // Nothing is a stray before anything is known.
        self.look_through().map(drop)
    }

    /// Has the table see what the kernel has, and gives what is not wanted.
    fn look_through(&mut self) -> Result<Vec<RouteKey>, KernelError> {
        let table = &mut self.table;
        self.kernel.survey_routes(TableId::MAIN, PROTOCOL, Family::ALL, |listed| match listed {
            Listed::Family(family) => {
                table.look_anew(family);
                None
            }
            Listed::Route(route) => table.seen(&route),
        })
    }

    /// Carries a piece of the Loc-RIB's changes out.
    fn take(&mut self, batch: &RouteBatch, doubts: &mut Doubts) -> Result<(), KernelError> {
        let changes = self.table.apply(batch);
        let refused = self.write(changes)?;
        let failed = self.settle(refused, doubts)?;
        if let Some((prefix, error)) = failed.first() {
            warn!(%prefix, %error, routes = failed.len(), "routes refused by the kernel; they are tried again");
        }
        if !batch.end_of_rib.is_empty() {
            self.compare(doubts)?;
            info!(routes = self.table.len(), "the kernel's table follows the Loc-RIB");
        }
        Ok(())
    }

    /// Looks at what is in doubt.
    fn look(&mut self, doubts: &mut Doubts) -> Result<(), KernelError> {
        let now = Instant::now();
        if doubts.take_everything(now) {
            return self.compare(doubts);
        }
        let mut due = doubts.take(now);
        let tries = doubts.take_waiting(now).then(|| self.others.waiting().len());
        if tries.is_some() {
            due.extend(self.others.waiting().iter().copied().map(table::key));
        }
        let changes: Vec<Change> = due.into_iter().filter_map(|key| self.table.mend(key)).collect();
        let refused = self.write(changes)?;
        self.settle(refused, doubts)?;
        if let Some(before) = tries {
            doubts.tried(self.others.waiting().len() < before);
        }
        Ok(())
    }

    /// Sorts out what the kernel refused. Where somebody else has the place his route stays: that he gives it up is told by the kernel.
    /// The rest is tried again, and given back.
    fn settle(
        &mut self,
        refused: Vec<(Prefix, KernelError)>,
        doubts: &mut Doubts,
    ) -> Result<Vec<(Prefix, KernelError)>, KernelError> {
        let now = Instant::now();
        let (taken, failed): (Vec<_>, Vec<_>) = refused.into_iter().partition(|(_, error)| error.is_exists());
        doubts.refused(failed.iter().map(|(prefix, _)| *prefix), now);
        let taken = self.others.unknown(taken.into_iter().map(|(prefix, _)| prefix));
        if taken.is_empty() {
            return Ok(failed);
        }
        if !self.others.may_look(now) {
            doubts.refused(taken, now);
            return Ok(failed);
        }
        let holders = self.kernel.routes_of_all(TableId::MAIN, Family::ALL, |route| {
            let ours = RouteKey { protocol: PROTOCOL, ..route.key() } == table::key(route.prefix);
            (ours && taken.contains(&route.prefix)).then(|| Holder::of(&route))
        })?;
        // Perhaps beside another one's.
        for ours in holders.iter().filter(|holder| holder.is_ours()) {
            self.table.set_ours(ours.prefix, true);
        }
        doubts.refused(self.others.found(taken, &holders), now);
        Ok(failed)
    }

    /// Compares with all that the kernel has, and mends it.
    fn compare(&mut self, doubts: &mut Doubts) -> Result<(), KernelError> {
        let now = Instant::now();
        let strays = self.look_through()?;
        let missing = self.table.missing();
        if !missing.is_empty() || !strays.is_empty() {
            debug!(missing = missing.len(), strays = strays.len(), "the kernel's table is mended");
        }
        self.write(strays.into_iter().map(Change::Remove))?;
        let mut refused = Vec::new();
        // A piece at a time: it may be the whole table.
        for missing in missing.chunks(BATCH) {
            let routes: Vec<Change> = missing.iter().filter_map(|prefix| self.table.write(*prefix)).collect();
            refused.extend(self.write(routes)?);
        }
        doubts.compared(now);
        self.settle(refused, doubts).map(drop)
    }

    /// Carries changes out, and gives the routes that the kernel refused.
    fn write(
        &mut self,
        changes: impl IntoIterator<Item = Change>,
    ) -> Result<Vec<(Prefix, KernelError)>, KernelError> {
        let mut changes = changes.into_iter().peekable();
        let mut refused = Vec::new();
        let mut keys = Vec::new();
        while changes.peek().is_some() {
            self.batch.clear();
            keys.clear();
            for change in changes.by_ref().take(BATCH) {
                match change {
                    Change::Create(route) => {
                        keys.push((route.key(), Some(Verb::Create)));
                        route.encode(Verb::Create, &mut self.batch);
                    }
                    Change::Replace(route) => {
                        keys.push((route.key(), Some(Verb::Replace)));
                        route.encode(Verb::Replace, &mut self.batch);
                    }
                    Change::Remove(key) => {
                        keys.push((key, None));
                        Route::encode_delete(&key, &mut self.batch);
                    }
                }
            }
            let answers = self.kernel.socket().execute_all(&mut self.batch);
            let answers = answers.map_err(|refusal| KernelError::refused("write", "routes", refusal))?;
            let mut answers = answers.into_iter().peekable();
            for (place, (key, verb)) in keys.iter().enumerate() {
                let refusal = answers.next_if(|(refused, _)| *refused == place).map(|(_, refusal)| refusal);
                match (verb, refusal) {
                    (Some(verb), None) => {
                        if *verb == Verb::Create {
                            self.table.set_ours(key.prefix, true);
                        }
                        self.others.written(key.prefix);
                    }
                    (Some(verb), Some(refusal)) => {
                        let operation = if *verb == Verb::Create { "create" } else { "replace" };
                        refused.push((key.prefix, KernelError::refused(operation, key, refusal)));
                    }
                    (None, refusal) => {
                        self.others.withdrawn(key.prefix);
                        let error = refusal.map(|refusal| KernelError::refused("delete", key, refusal));
                        // A route that goes with its interface is gone already.
                        refused.extend(
                            error.filter(|error| !error.is_not_found()).map(|error| (key.prefix, error)),
                        );
                    }
                }
            }
        }
        Ok(refused)
    }
}
