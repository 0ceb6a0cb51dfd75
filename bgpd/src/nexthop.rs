//! The kernel's routes, for the tracking of next hops (docs/adr/0017).
//!
//! A thread of its own: however long a table is, no keepalive waits for it. Notifications say which protocol's routes changed, and these are
//! listed anew: so there is one way to read, whatever the kernel leaves out or puts together in what it tells. Routes of Cairn
//! are no way to a next hop; the kernel drops them before they are queued, and leaves them out of those lists.
//! Not here: what a next hop is resolved by (`bgp_core::nexthop`).

mod routes;

use std::io;
use std::time::{Duration, Instant};

use cairn_kernel::monitor::{Monitor, Topic};
use cairn_kernel::object::{Link, Nexthop, PROTOCOL, Route, TableId};
use cairn_kernel::{Error as KernelError, Rtnl};
use cairn_net::Family;
use thiserror::Error;
use tokio::sync::oneshot;
use tracing::{debug, warn};

use crate::daemon::{Handle, Stopped};
use routes::{Doubt, Routes, is_of_interest};

/// Time from a change until it is looked at: more of them may come.
const GATHER: Duration = Duration::from_millis(50);
/// After a look that took so long, so many times that passes until the next one.
const SHARE: u32 = 4;
/// Time until everything is begun anew after the netlink socket failed.
const RESTART: Duration = Duration::from_secs(1);

/// The thread; it ends when this is dropped.
pub(crate) struct Watch {
    _alive: oneshot::Sender<()>,
}

/// Why the kernel's routes are not followed any more.
#[derive(Debug, Error)]
enum WatchError {
    /// The kernel's answer.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The daemon ends.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Starts the thread. What it tells has this number.
///
/// Errors: no thread can be made.
pub(crate) fn start(daemon: Handle, number: u64) -> io::Result<Watch> {
    let (alive, ended) = oneshot::channel::<()>();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("nexthop".to_owned()).spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                () = run(&daemon, number) => {}
                _ = ended => {}
            }
        });
    })?;
    Ok(Watch { _alive: alive })
}

async fn run(daemon: &Handle, number: u64) {
    loop {
        match follow(daemon, number).await {
            Ok(()) | Err(WatchError::Stopped(_)) => return,
            Err(WatchError::Kernel(error)) => {
                warn!(%error, retry_seconds = RESTART.as_secs(), "changes of the kernel's routes are not noticed until the next attempt");
            }
        }
        tokio::time::sleep(RESTART).await;
    }
}

/// Follows the routes until the daemon wants them no more.
async fn follow(daemon: &Handle, number: u64) -> Result<(), WatchError> {
    let mut monitor = Monitor::open(&[Topic::Routes, Topic::Links, Topic::Addresses, Topic::Nexthops])?;
    monitor.ignore_routes_of(PROTOCOL)?;
    let mut kernel = Rtnl::open()?;
    let mut routes = Routes::default();
    read_all(&mut kernel, &mut routes)?;
    let all = routes.whole();
    debug!(routes = all.len(), "the kernel's routes are read");
    if !daemon.call(move |daemon| daemon.set_kernel_routes(number, all, true)).await? {
        return Ok(());
    }
    let mut doubt = Doubt::default();
    let mut look_at: Option<Instant> = None;
    let mut not_before = Instant::now();
    loop {
        tokio::select! {
            event = monitor.next() => {
                doubt.add(routes.doubt(&event?));
                if !doubt.is_none() {
                    look_at.get_or_insert_with(|| not_before.max(Instant::now() + GATHER));
                }
            }
            () = due(look_at) => {
                look_at = None;
                let begin = Instant::now();
                look(&mut kernel, &mut routes, std::mem::take(&mut doubt))?;
                let changes = routes.changes();
                not_before = Instant::now() + begin.elapsed() * SHARE;
                if !changes.is_empty() {
                    debug!(routes = changes.len(), "routes of the kernel changed");
                    if !daemon.call(move |daemon| daemon.set_kernel_routes(number, changes, false)).await? {
                        return Ok(());
                    }
                }
            }
        }
    }
}

async fn due(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Reads what is in doubt.
fn look(kernel: &mut Rtnl, routes: &mut Routes, doubt: Doubt) -> Result<(), KernelError> {
    if doubt.all {
        return read_all(kernel, routes);
    }
    if doubt.nexthops {
        routes.set_nexthops(kernel.list::<Nexthop>(None)?);
    }
    for protocol in doubt.protocols {
        routes.set_protocol(protocol, list(kernel, Some(protocol))?);
    }
    Ok(())
}

fn read_all(kernel: &mut Rtnl, routes: &mut Routes) -> Result<(), KernelError> {
    routes.set_links(kernel.list::<Link>(None)?);
    routes.set_nexthops(kernel.list::<Nexthop>(None)?);
    routes.set_all(list(kernel, None)?);
    Ok(())
}

/// Routes of a protocol, or of all, but for those of Cairn.
fn list(kernel: &mut Rtnl, protocol: Option<u8>) -> Result<Vec<Route>, KernelError> {
    let foreign = |route: Route| (route.protocol != PROTOCOL && is_of_interest(&route)).then_some(route);
    match protocol {
        Some(protocol) => kernel.routes_as(TableId::MAIN, protocol, Family::ALL, foreign),
        None => kernel.routes_of_all(TableId::MAIN, Family::ALL, foreign),
    }
}
