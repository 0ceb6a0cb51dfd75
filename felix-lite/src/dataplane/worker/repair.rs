//! What somebody else changes in the firewall is put back, the slower the longer he goes on (docs/adr/0015).

use std::time::Duration;

use cairn_kernel::Error;
use tokio::time::Instant;
use tracing::{info, warn};

use super::{RETRY, SETTLE, Worker};
use crate::dataplane::firewall::Firewall;
use crate::dataplane::quarrel;

/// So many repairs of the firewall in a row are made after [`SETTLE`]; then somebody means it, and they wait for [`SLOW`].
const PATIENCE: u32 = 5;
/// No longer, whoever quarrels: pods must not send unchecked (I1, I8).
const SLOW: Duration = Duration::from_millis(800);
/// After so long without a repair the firewall's quarrel is over.
const QUIET: Duration = Duration::from_secs(120);

/// Repairs of the firewall.
#[derive(Debug, Default)]
pub(super) struct Repairs {
    /// Who changed it last.
    author: Option<u32>,
    /// Why the last comparison failed.
    pub(super) fault: Option<Error>,
    in_a_row: u32,
    /// When the quarrel is over, unless there is another repair.
    pub(super) until: Option<Instant>,
}

impl Repairs {
    /// The quarrel is over once there was no repair for long enough.
    pub(super) fn expire(&mut self, now: Instant) {
        if self.until.is_some_and(|until| until <= now) {
            (self.in_a_row, self.until) = (0, None);
        }
    }
}

impl Worker {
    /// Somebody else changed the firewall, or may have.
    pub(super) fn firewall_changed(&mut self, author: Option<u32>) {
        self.repairs.author = author;
        if self.firewall_at.is_none() {
            let wait = if self.repairs.in_a_row < PATIENCE { SETTLE } else { SLOW };
            self.firewall_at = Some(Instant::now() + wait);
        }
    }

    /// Puts back what is missing or changed in the firewall.
    pub(super) fn repair_firewall(&mut self) {
        self.firewall_at = None;
        match self.firewall.repair() {
            Ok(true) => {
                self.repairs.fault = None;
                self.repairs.in_a_row = self.repairs.in_a_row.saturating_add(1);
                self.repairs.until = Some(Instant::now() + QUIET);
                let by = quarrel::who(self.repairs.author);
                info!(by, repairs = self.repairs.in_a_row, "somebody changed the firewall: it is put back");
            }
            Ok(false) => self.repairs.fault = None,
            Err(error) => {
                warn!(%error, "the firewall cannot be compared with what it should be");
                self.repairs.fault = Some(error);
                self.firewall_at = Some(Instant::now() + RETRY);
            }
        }
    }

    /// What is said of whoever keeps changing the firewall. Without a count, so that it is not told anew each time.
    pub(super) fn firewall_quarrel(&self) -> Option<String> {
        let quarrel = self.repairs.in_a_row > PATIENCE;
        let by = || quarrel::who(self.repairs.author);
        quarrel.then(|| {
            let [first, second] = Firewall::TABLES;
            format!("tables {first} and {second}: {} changed them, more than {PATIENCE} times in a row", by())
        })
    }
}
