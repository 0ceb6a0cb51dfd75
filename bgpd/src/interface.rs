//! The addresses of this machine's interfaces, for the speaker: next hops for routes of the family that a session is not of.

use std::collections::BTreeMap;
use std::time::Duration;

use bgp_core::speaker::Interface;
use cairn_kernel::monitor::{Monitor, Topic};
use cairn_kernel::object::{Address, IfIndex};
use cairn_kernel::{Error, Rtnl};
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use crate::daemon::Handle;

/// Changes that come within this time are taken together.
const SETTLE: Duration = Duration::from_millis(50);
/// Changes that are taken together at most.
const TOGETHER: usize = 1024;
/// Time until a lost subscription is made anew.
const RETRY: Duration = Duration::from_secs(5);

/// The interfaces as they are; none if the kernel does not say.
pub(crate) fn list() -> Vec<Interface> {
    read().unwrap_or_else(|error| {
        warn!(%error, "cannot read the interfaces' addresses: only nextHopAddresses serve the other family");
        Vec::new()
    })
}

/// Tells the daemon of every change, until it ends.
pub(crate) async fn follow(daemon: Handle) {
    loop {
        match watch(&daemon).await {
            Ok(()) => return,
            Err(error) => warn!(%error, "changes of the interfaces' addresses are not noticed for now"),
        }
        sleep(RETRY).await;
    }
}

/// Follows one subscription. Ends when the daemon does.
async fn watch(daemon: &Handle) -> Result<(), Error> {
    let mut monitor = Monitor::open(&[Topic::Addresses])?;
    loop {
        let interfaces = read()?;
        debug!(interfaces = interfaces.len(), "the interfaces' addresses are read");
        if daemon.call(move |daemon| daemon.set_interfaces(interfaces)).await.is_err() {
            return Ok(());
        }
        monitor.next().await?;
        // Whatever the event says, all is read anew; the rest of what comes with it needs no look of its own.
        for _ in 0..TOGETHER {
            match timeout(SETTLE, monitor.next()).await {
                Ok(event) => drop(event?),
                Err(_nothing_more) => break,
            }
        }
    }
}

fn read() -> Result<Vec<Interface>, Error> {
    let mut links: BTreeMap<IfIndex, Interface> = BTreeMap::new();
    for address in Rtnl::open()?.list::<Address>(None)?.into_iter().filter(|address| !address.tentative) {
        links.entry(address.link).or_default().addresses.push(address.addr);
    }
    Ok(links.into_values().collect())
}
