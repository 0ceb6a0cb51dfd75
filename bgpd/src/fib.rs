//! The kernel's routing table after the Loc-RIB, for a router that runs bgpd alone (`--install-routes`). Where felix-lite
//! runs, it does this, and more.
//!
//! A client of our own socket in a thread of its own: however long the kernel takes, no keepalive waits for it. Routes have
//! protocol 202 and are left in place when the daemon ends; after a restart nothing is removed before End-of-RIB says that the
//! Loc-RIB is complete. What others change is repaired at the next look ([`REPAIR`]), and so is what the kernel refused.
//! Not here: next hops behind other learned routes, which the kernel refuses.

mod table;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use bgpd_api::{Client, ClientError};
use cairn_kernel::object::{PROTOCOL, TableId};
use cairn_kernel::{Error as KernelError, Requests, Rtnl};
use cairn_net::{Families, Family};
use thiserror::Error;
use tokio::time::MissedTickBehavior;
use tracing::{info, warn};

use table::{Change, Table};

/// Time between two comparisons with the kernel.
const REPAIR: Duration = Duration::from_secs(5);
/// Time until a lost stream of routes is begun anew.
const RETRY: Duration = Duration::from_secs(1);
/// Requests that are sent to the kernel together at most.
const BATCH: usize = 512;

/// Why the stream of routes ended.
#[derive(Debug, Error)]
enum FibError {
    /// The daemon's own socket.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The kernel's.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The daemon ends.
    #[error("the stream of routes ended")]
    Ended,
}

/// Families of which the kernel has routes of ours: forwarding has gone on while no daemon ran. None if it cannot be asked.
pub(crate) fn kept() -> Families {
    let look = || -> Result<Families, KernelError> {
        let mut kernel = Rtnl::open()?;
        let mut kept = Families::NONE;
        for family in Family::ALL {
            if !kernel.routes(TableId::MAIN, PROTOCOL, [family])?.is_empty() {
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

/// Starts the thread; it ends with the process.
///
/// Errors: no thread can be made.
pub(crate) fn start(socket: PathBuf) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("fib".to_owned()).spawn(move || runtime.block_on(run(&socket)))?;
    Ok(())
}

async fn run(socket: &Path) {
    let mut table = Table::default();
    loop {
        if let Err(error) = follow(socket, &mut table).await {
            warn!(%error, retry_seconds = RETRY.as_secs(), "routes are not written to the kernel until the next attempt");
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Follows one stream of routes to its end.
async fn follow(socket: &Path, table: &mut Table) -> Result<(), FibError> {
    let mut kernel = Rtnl::open()?;
    let mut client = Client::connect(socket).await?;
    let mut stream = client.watch_routes(Families::ALL).await?;
    table.begin();
    let mut repair = tokio::time::interval(REPAIR);
    repair.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            update = stream.next() => {
                let update = update?.ok_or(FibError::Ended)?;
                write(&mut kernel, table.apply(&update), true)?;
                if update.end_of_rib != Families::NONE {
                    compare(&mut kernel, table)?;
                    info!(routes = table.len(), "the kernel's table follows the Loc-RIB");
                }
            }
            _ = repair.tick() => compare(&mut kernel, table)?,
        }
    }
}

/// Compares with what the kernel has, and mends it.
fn compare(kernel: &mut Rtnl, table: &Table) -> Result<(), FibError> {
    let actual = kernel.routes(TableId::MAIN, PROTOCOL, Family::ALL)?;
    write(kernel, table.repair(&actual), false)
}

/// Carries changes out. What the kernel refuses is tried again at the next comparison; `tell` says whether it is logged.
fn write(kernel: &mut Rtnl, changes: Vec<Change>, tell: bool) -> Result<(), FibError> {
    let mut changes = changes.into_iter().peekable();
    while changes.peek().is_some() {
        let mut requests = Requests::new();
        for change in changes.by_ref().take(BATCH) {
            match change {
                Change::Put(route) => requests.replace(&route),
                Change::Remove(key) => requests.delete::<cairn_kernel::object::Route>(&key),
            };
        }
        for result in kernel.execute(&mut requests)? {
            match result {
                Err(error) if !error.is_not_found() && tell => warn!(%error, "route refused by the kernel"),
                _ => {}
            }
        }
    }
    Ok(())
}
