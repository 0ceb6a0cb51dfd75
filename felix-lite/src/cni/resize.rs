//! The MTU of pods that run, when that of the fabric changes: both ends of each pair.
//!
//! A veth drops what is larger than the MTU of its other end. So the pod's end shrinks first and grows last, and where its
//! namespace cannot be entered both ends stay as they are, and it is tried again: until then the node tells the pod by ICMP what does not fit.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use cairn_datastore::Datastore;
use cairn_net::Family;
use felix_api::Attachment;
use tokio::sync::watch;
use tracing::{info, warn};

use super::add::MIN_MTU;
use super::journal::{NetnsId, Record};
use super::server::Server;
use super::wiring::WiringError;

/// When a pod that kept its MTU is tried again; then twice as long each time, until the fabric changes.
const RETRY: Duration = Duration::from_secs(1);
/// The longest time between two tries.
const SLOWEST: Duration = Duration::from_secs(60);

/// What a pod with these addresses gets where the fabric carries this much.
pub(super) fn fitting(mtu: u32, addresses: &[IpAddr]) -> u32 {
    let has = |family: Family| addresses.iter().any(|addr| Family::of(*addr) == family);
    let least = MIN_MTU.iter().find(|(family, _)| has(*family));
    mtu.max(least.map_or(0, |(_, mtu)| *mtu))
}

impl<D: Datastore + Send + Sync + 'static> Server<D> {
    /// Follows the fabric until the engine ends. Pods whose MTU was asked for by their configuration keep it.
    pub(crate) async fn follow_mtu(&self) {
        let mut mtu: watch::Receiver<u32> = self.mtu.clone();
        let mut retry = RETRY;
        let mut refused: HashMap<Attachment, u32> = HashMap::new();
        // Those that may have another than their record says: a crash may have come before it was written.
        let mut doubtful: HashSet<Attachment> =
            self.journal.all().iter().map(|record| record.attachment.clone()).collect();
        let mut known = false;
        loop {
            tokio::select! {
                changed = mtu.changed() => match changed {
                    Ok(()) => (known, retry) = (true, RETRY),
                    Err(_) => return,
                },
                () = self.outdated.notified() => {}
                () = tokio::time::sleep(retry), if !refused.is_empty() => retry = SLOWEST.min(retry * 2),
            }
            if !known {
                continue;
            }
            let now = *mtu.borrow_and_update();
            let wanted = |record: &Record| fitting(now, &record.addresses);
            let mut pods = self.journal.all();
            pods.retain(|record| !record.mtu_fixed);
            let others = pods.iter().filter(|record| record.mtu != wanted(record)).count();
            if others > 0 {
                info!(mtu = now, pods = others, "the fabric carries another size of packets: pods follow");
            }
            let mut refusals = HashMap::new();
            for record in pods {
                let wanted = wanted(&record);
                if record.mtu == wanted && !doubtful.contains(&record.attachment) {
                    continue;
                }
                let attachment = record.attachment.clone();
                if let Err(error) = self.resize(&record, wanted).await {
                    if refused.get(&attachment) != Some(&wanted) {
                        warn!(%attachment, owner = record.owner(), mtu = wanted, %error, "the pod keeps its MTU until it can be changed");
                    }
                    refusals.insert(attachment, wanted);
                }
            }
            doubtful = refusals.keys().cloned().collect();
            refused = refusals;
        }
    }

    async fn resize(&self, record: &Record, mtu: u32) -> Result<(), WiringError> {
        let _guard = self.locks.lock(&record.attachment).await;
        // It may have been deleted or made anew meanwhile.
        let Some(record) = self.journal.get(&record.attachment).filter(|now| now.netns_id == record.netns_id)
        else {
            return Ok(());
        };
        let gone = |source: io::Error| WiringError::NotNetns {
            netns: record.netns.clone(),
            source: cairn_kernel::Error::refused("open", "the pod's namespace", source),
        };
        let file = File::open(&record.netns).map_err(gone)?;
        if NetnsId::of(&file).map_err(gone)? != record.netns_id {
            return Err(gone(io::Error::other("it is another one than that of ADD")));
        }
        self.wiring.resize(Arc::clone(&record), Arc::new(file), mtu).await?;
        let resized = Arc::new(Record { mtu, ..(*record).clone() });
        if let Err(error) = self.journal.put(&resized) {
            warn!(%error, "after a restart the pod's MTU counts as wrong");
        }
        Ok(())
    }
}
