use std::time::Instant;

/// What is known of an object in the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Actual<V> {
    /// Not there.
    Absent,
    /// There, as desired.
    Same,
    /// There, with another value than desired.
    Differs(V),
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
    /// In the queue of keys to be looked at.
    pub(super) queued: bool,
    /// Refusals in a row.
    pub(super) failures: u32,
    /// Not before this moment; set while the object waits after a refusal.
    pub(super) not_before: Option<Instant>,
}

/// What has to be done about an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Nothing,
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
            failures: 0,
            not_before: None,
        }
    }

    pub(super) const fn need(&self, may_prune: bool) -> Need {
        match (&self.desired, &self.actual) {
            (Some(_), Actual::Same) => Need::Nothing,
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
            (Actual::Same, Some(before)) => Actual::Differs(before),
            (Actual::Differs(value), _) if self.desired.as_ref() == Some(&value) => Actual::Same,
            (actual, _) => actual,
        };
        true
    }

    /// The object was seen in the kernel.
    pub(super) fn seen(&mut self, value: V) {
        self.actual =
            if self.desired.as_ref() == Some(&value) { Actual::Same } else { Actual::Differs(value) };
    }
}
