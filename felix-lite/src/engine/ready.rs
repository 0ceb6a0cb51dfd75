//! Whether the node is ready for pods: one answer for CNI's STATUS, the condition `Ready` of its report, and `/readyz`.
//!
//! Runtimes pass STATUS on, so that Kubernetes binds no pods to a node that is not ready, and takes those that are there away some minutes later.
//! So only that counts without which a new pod could have no address, or could not be reached: neither a peer that is dead, nor a pool that is
//! full or disabled, nor, once the node was ready, a bgpd that starts again.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use super::Engine;

/// How long bgpd may be away, or refuse what it is told, once it was in order. Its peers keep its routes meanwhile: for 120 s, unless told
/// otherwise (RFC 4724).
const PATIENCE: Duration = Duration::from_secs(60);

/// What must hold, by the part that it is asked of: why it does not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Readiness {
    /// All that the node follows from was read.
    pub(crate) datastore: Option<String>,
    /// The firewall is in the kernel.
    pub(crate) dataplane: Option<String>,
    /// bgpd answers, takes what it is told, and told all routes once.
    pub(crate) bgpd: Option<String>,
    /// There are pools to take addresses from.
    pub(crate) ipam: Option<String>,
}

impl Readiness {
    /// That of a daemon that knows nothing yet.
    pub(super) fn unknown() -> Self {
        Self { datastore: Some("not read yet".to_owned()), ..Self::default() }
    }

    /// Each part by name, and why it is not ready.
    pub(crate) fn checks(&self) -> [(&'static str, Option<&str>); 4] {
        [
            ("datastore", self.datastore.as_deref()),
            ("dataplane", self.dataplane.as_deref()),
            ("bgpd", self.bgpd.as_deref()),
            ("ipam", self.ipam.as_deref()),
        ]
    }

    /// Why the node is not ready for pods; `None`: it is.
    pub(crate) fn fault(&self) -> Option<String> {
        let faults = self.checks().into_iter().filter_map(|(part, why)| Some(format!("{part}: {}", why?)));
        let faults: Vec<String> = faults.collect();
        (!faults.is_empty()).then(|| faults.join("; "))
    }
}

/// For how long something has been wrong with bgpd.
#[derive(Debug, Default)]
pub(super) struct BgpdClock {
    /// Was it in order once?
    settled: bool,
    since: Option<Instant>,
    /// When to look again.
    next: Option<Instant>,
}

impl BgpdClock {
    /// What is wrong now; gives it back if it counts.
    fn look(&mut self, fault: Option<String>, now: Instant) -> Option<String> {
        self.next = None;
        if fault.is_none() {
            (self.settled, self.since) = (true, None);
            return None;
        }
        if !self.settled {
            return fault;
        }
        let end = *self.since.get_or_insert(now) + PATIENCE;
        self.next = Some(end).filter(|end| now < *end);
        fault.filter(|_| end <= now)
    }

    /// When to look again, if that is to be at some time.
    pub(super) const fn next(&self) -> Option<Instant> {
        self.next
    }
}

impl Engine {
    /// Tells whoever follows it whether the node is ready, where that is new.
    pub(super) fn look_at_readiness(&mut self) {
        let routes = (!self.progress.is_in_sync()).then(|| "routes are not complete yet".to_owned());
        let bgpd = self.bgpd_fault.clone().or(routes);
        let readiness = Readiness {
            datastore: self.progress.datastore_fault(),
            dataplane: self.progress.firewall_fault(),
            bgpd: self.bgpd_clock.look(bgpd, Instant::now()),
            ipam: self.inputs.ipam_fault.borrow_and_update().clone(),
        };
        let before = std::mem::replace(&mut self.readiness, readiness);
        if before == self.readiness {
            return;
        }
        let fault = self.readiness.fault();
        match (before.fault(), &fault) {
            (Some(_), None) => info!("the node is ready for pods"),
            (None, Some(reason)) => warn!(reason, "the node is not ready for pods"),
            _ => {}
        }
        self.facts.send_modify(|facts| facts.not_ready = fault);
        self.news.send_replace(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ready_is_named_with_its_part() {
        assert_eq!(Readiness::default().fault(), None);
        assert!(Readiness::unknown().fault().is_some());
        let readiness = Readiness {
            bgpd: Some("no socket".to_owned()),
            ipam: Some("no IPPool is known".to_owned()),
            ..Readiness::default()
        };
        assert_eq!(readiness.fault().unwrap(), "bgpd: no socket; ipam: no IPPool is known");
    }

    #[test]
    fn bgpd_counts_at_once_until_it_was_in_order_and_later_only_if_it_lasts() {
        let (mut clock, begin) = (BgpdClock::default(), Instant::now());
        let away = || Some("no socket".to_owned());
        assert_eq!((clock.look(away(), begin), clock.next()), (away(), None));
        assert_eq!(clock.look(None, begin), None);
        assert_eq!((clock.look(away(), begin), clock.next()), (None, Some(begin + PATIENCE)));
        let later = begin + PATIENCE / 2;
        assert_eq!((clock.look(away(), later), clock.next()), (None, Some(begin + PATIENCE)));
        assert_eq!((clock.look(away(), begin + PATIENCE), clock.next()), (away(), None));
        assert_eq!(clock.look(None, begin + PATIENCE), None);
        let again = begin + PATIENCE * 2;
        assert_eq!(
            (clock.look(away(), again), clock.next()),
            (None, Some(again + PATIENCE)),
            "from the beginning"
        );
    }
}
