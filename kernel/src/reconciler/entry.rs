use std::time::{Duration, Instant};

use super::retry::BackOff;

/// What is known of an object in the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Actual<V> {
    /// Not there.
    Absent,
    /// There, as desired.
    Same,
    /// There, with another value than desired. In a box: it is rare, and every entry has room for it.
    Differs(Box<V>),
    /// Nobody knows.
    Unknown,
}

/// An object that is wanted, or there, or both.
#[derive(Debug)]
pub(super) struct Entry<V> {
    pub(super) desired: Option<V>,
    pub(super) actual: Actual<V>,
    /// It was wanted, and is no more: it goes, prune or not.
    pub(super) disowned: bool,
    /// In the queue of objects to be looked at.
    pub(super) queued: bool,
    /// Somebody else changed it since it was written last.
    contested: bool,
    /// Most objects never have any.
    trouble: Option<Box<Trouble>>,
}

/// Refusals by the kernel, and interference by others.
#[derive(Debug, Default)]
struct Trouble {
    /// Refusals in a row.
    failures: u32,
    /// Not before this moment; set while the object waits.
    not_before: Option<Instant>,
    /// Repairs in a row, with less than [`CALM`] between them.
    repairs: u32,
    repaired_at: Option<Instant>,
}

/// So many repairs in a row are made at once; then somebody means it, and each waits longer.
const PATIENCE: u32 = 5;
/// After so long without interference a quarrel is over.
const CALM: Duration = Duration::from_secs(120);

/// What has to be done about an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Nothing,
    Create,
    Update,
    Delete,
    /// There is nothing left to remember.
    Forget,
}

impl<V: PartialEq> Entry<V> {
    /// Neither wanted nor there.
    pub(super) const fn new() -> Self {
        Self {
            desired: None,
            actual: Actual::Absent,
            disowned: false,
            queued: false,
            contested: false,
            trouble: None,
        }
    }

    pub(super) const fn need(&self, may_prune: bool) -> Need {
        match (&self.desired, &self.actual) {
            (Some(_), Actual::Same) => Need::Nothing,
            (Some(_), Actual::Absent) => Need::Create,
            (Some(_), _) => Need::Update,
            (None, Actual::Absent) => Need::Forget,
            (None, _) if may_prune || self.disowned => Need::Delete,
            (None, _) => Need::Nothing,
        }
    }

    /// Wants a value, or nothing any more. False if that is what was wanted before.
    pub(super) fn want(&mut self, desired: Option<V>) -> bool {
        if self.desired == desired {
            return false;
        }
        self.disowned = desired.is_none();
        let before = std::mem::replace(&mut self.desired, desired);
        self.actual = match (std::mem::replace(&mut self.actual, Actual::Unknown), before) {
            (Actual::Same, Some(before)) => Actual::Differs(Box::new(before)),
            (Actual::Differs(value), _) if self.desired.as_ref() == Some(&value) => Actual::Same,
            (actual, _) => actual,
        };
        true
    }

    /// The object was found in the kernel.
    pub(super) fn found(&mut self, value: V) {
        self.actual = if self.desired.as_ref() == Some(&value) {
            Actual::Same
        } else {
            Actual::Differs(Box::new(value))
        };
    }

    /// Somebody else changed the object.
    pub(super) fn meddled(&mut self, actual: impl FnOnce(&mut Self)) {
        let was_right = self.desired.is_some() && self.actual == Actual::Same;
        actual(self);
        self.contested |= was_right && self.actual != Actual::Same;
    }

    /// Before a repair: how long it should wait, because it has been made too often lately.
    pub(super) fn contest(&mut self, now: Instant, back_off: BackOff) -> Option<(u32, Duration)> {
        if !std::mem::take(&mut self.contested) {
            return None;
        }
        let trouble = self.trouble.get_or_insert_default();
        let is_calm = |at: Instant| now.saturating_duration_since(at) > CALM;
        trouble.repairs = if trouble.repaired_at.is_none_or(is_calm) { 1 } else { trouble.repairs + 1 };
        trouble.repaired_at = Some(now);
        let excess = trouble.repairs.checked_sub(PATIENCE).filter(|excess| *excess > 0)?;
        Some((trouble.repairs, back_off.after(excess)))
    }

    /// Waits until this moment.
    pub(super) fn wait(&mut self, until: Instant) {
        self.trouble.get_or_insert_default().not_before = Some(until);
    }

    /// Does it wait?
    pub(super) fn waits(&self) -> bool {
        self.trouble.as_ref().is_some_and(|trouble| trouble.not_before.is_some())
    }

    /// Ends the wait; gives the moment at which it would have ended.
    pub(super) fn end_wait(&mut self) -> Option<Instant> {
        self.trouble.as_mut()?.not_before.take()
    }

    /// One more refusal; gives how many there were in a row.
    pub(super) fn refused(&mut self) -> u32 {
        let trouble = self.trouble.get_or_insert_default();
        trouble.failures = trouble.failures.saturating_add(1);
        trouble.failures
    }

    /// Refusals so far say nothing about what comes.
    pub(super) fn forgive(&mut self) {
        if let Some(trouble) = &mut self.trouble {
            trouble.failures = 0;
        }
    }
}
