//! Where the kernel's table may not be as it should, and when to look.

use std::collections::BTreeSet;

use cairn_kernel::object::{Change, Object, PROTOCOL, Route, RouteKey, TableId};
use cairn_net::Prefix;
use tokio::time::Instant;

use super::table::{Found, Table, key};
use super::{GATHER, PAUSE, RETRY, SLOWEST};

/// Places in doubt beyond which the whole table is compared: that costs no more.
const MANY: usize = 4096;

/// What is in doubt. Bounded by [`MANY`] and by the number of routes.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    /// Places with which somebody else has meddled, in our name: protocol 202.
    meddled: BTreeSet<RouteKey>,
    /// Routes that the kernel refused.
    refused: BTreeSet<Prefix>,
    look_at: Option<Instant>,
    compare_at: Option<Instant>,
    retry_at: Option<Instant>,
    /// When to try again where others have the place.
    try_at: Option<Instant>,
    looked: Option<Instant>,
    compared: Option<Instant>,
    tried: Option<Instant>,
    /// How often that was for nothing, since it was not.
    in_vain: u32,
}

impl Doubts {
    /// When to look; never if nothing is in doubt.
    pub(super) fn due(&self) -> Option<Instant> {
        [self.look_at, self.compare_at, self.retry_at, self.try_at].into_iter().flatten().min()
    }

    /// Somebody else changed a route.
    pub(super) fn changed(&mut self, change: &Change<Route>, table: &Table, now: Instant) {
        let route = change.object();
        let key = RouteKey { protocol: PROTOCOL, ..route.key() };
        let ours = route.protocol == PROTOCOL;
        // With one metric there is one route to a prefix: a replacement by another protocol ends ours without a word.
        let matters = route.table == TableId::MAIN
            && (ours || table.concerns(key) && key == super::table::key(key.prefix));
        let right =
            ours && matches!((change, table.look(route)), (Change::Present(_), Some(Found::Right(_))));
        if !matters || right {
            return;
        }
        if self.meddled.len() >= MANY {
            self.of_everything(now);
            return;
        }
        self.meddled.insert(key);
        self.look_at.get_or_insert(after(now, self.looked, PAUSE));
    }

    /// The kernel may have lost routes without a word.
    pub(super) fn of_everything(&mut self, now: Instant) {
        self.compare_at.get_or_insert(after(now, self.compared, RETRY));
    }

    /// Others may have given up places without a word. For each time that they had not, it takes twice as long until the next look.
    pub(super) fn of_waiting(&mut self, now: Instant) {
        let pause = PAUSE.saturating_mul(1 << self.in_vain.min(16)).min(SLOWEST);
        self.try_at.get_or_insert(after(now, self.tried, pause));
    }

    /// Is it to be tried now where others have the place?
    pub(super) fn take_waiting(&mut self, now: Instant) -> bool {
        let due = self.try_at.take_if(|at| *at <= now).is_some();
        if due {
            self.tried = Some(now);
        }
        due
    }

    /// It was tried where others had the place, with or without success.
    pub(super) fn tried(&mut self, success: bool) {
        self.in_vain = if success { 0 } else { self.in_vain.saturating_add(1) };
    }

    /// The kernel refused these.
    pub(super) fn refused(&mut self, routes: impl IntoIterator<Item = Prefix>, now: Instant) {
        self.refused.extend(routes);
        if !self.refused.is_empty() {
            self.retry_at.get_or_insert(now + RETRY);
        }
    }

    /// Is everything to be compared now?
    pub(super) fn take_everything(&mut self, now: Instant) -> bool {
        self.compare_at.take_if(|at| *at <= now).is_some()
    }

    /// Everything was compared.
    pub(super) fn compared(&mut self, now: Instant) {
        let (tried, in_vain) = (Some(now), self.in_vain);
        *self = Self { looked: Some(now), compared: Some(now), tried, in_vain, ..Self::default() };
    }

    /// The places to be looked at now.
    pub(super) fn take(&mut self, now: Instant) -> Vec<RouteKey> {
        let mut due = Vec::new();
        if self.look_at.take_if(|at| *at <= now).is_some() {
            self.looked = Some(now);
            due.extend(std::mem::take(&mut self.meddled));
        }
        if self.retry_at.take_if(|at| *at <= now).is_some() {
            due.extend(std::mem::take(&mut self.refused).into_iter().map(key));
        }
        due
    }
}

/// Soon, but not too soon after the last time.
fn after(now: Instant, last: Option<Instant>, pause: std::time::Duration) -> Instant {
    last.map_or(now, |last| last + pause).max(now + GATHER)
}
