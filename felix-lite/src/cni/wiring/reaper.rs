//! Deletes doomed interfaces, all that there are with one message.

use std::sync::mpsc::{SyncSender, sync_channel};

use cairn_kernel::Rtnl;
use tracing::warn;

use super::{links, spawn};

/// The thread's bell.
#[derive(Debug)]
pub(super) struct Reaper {
    bell: SyncSender<()>,
}

impl Reaper {
    /// Starts the thread, which first deletes what an earlier process left to be deleted.
    pub(super) fn start() -> Result<Self, cairn_kernel::Error> {
        // One place: who finds it taken knows that a deletion is still to come.
        let (bell, rung) = sync_channel(1);
        let mut rtnl = Rtnl::open()?;
        spawn("cni-reaper", move || {
            loop {
                if let Err(error) = links::reap(&mut rtnl) {
                    warn!(%error, "interfaces out of use are not deleted");
                }
                if rung.recv().is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { bell })
    }

    /// There is something to delete.
    pub(super) fn wake(&self) {
        let _ = self.bell.try_send(());
    }
}
