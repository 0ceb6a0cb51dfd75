use std::sync::atomic::{AtomicU64, Ordering};

use super::chain::Policy;

/// How often each statement of a policy matched, by its number.
///
/// One writer: an addition is a load and a store, cheaper than an atomic one, and only the speaker's thread adds.
#[derive(Debug, Default)]
pub struct Hits(Box<[AtomicU64]>);

impl Hits {
    /// Zeros for every statement.
    pub fn new(policy: Option<&Policy>) -> Self {
        Self((0..policy.map_or(0, |policy| policy.statements().count())).map(|_| AtomicU64::new(0)).collect())
    }

    /// Counts these.
    pub(crate) fn count(&self, matched: &[u32]) {
        for number in matched {
            if let Some(count) = self.0.get(*number as usize) {
                count.store(count.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
            }
        }
    }

    /// The counts by number.
    pub fn read(&self) -> Vec<u64> {
        self.0.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }

    /// Begins at zero again.
    pub fn reset(&self) {
        self.0.iter().for_each(|count| count.store(0, Ordering::Relaxed));
    }
}
