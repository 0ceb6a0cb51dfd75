use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Things that are suspected, each since when and as what.
#[derive(Debug)]
pub(super) struct Suspicions<K, E> {
    grace: Duration,
    /// After how long without an observation nobody is suspected any more: nobody knows what signs of life there were.
    gap: Duration,
    known: BTreeMap<K, (Duration, E)>,
    last: Option<Duration>,
}

impl<K: Ord + Clone, E: PartialEq> Suspicions<K, E> {
    pub(super) const fn new(grace: Duration, gap: Duration) -> Self {
        Self { grace, gap, known: BTreeMap::new(), last: None }
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// All that is suspected now; what is not among it is suspected no more, and what looks other than before anew. Answers those of which it
    /// is certain: seen before, and for the grace period.
    pub(super) fn observe(
        &mut self,
        now: Duration,
        suspected: impl IntoIterator<Item = (K, E)>,
    ) -> BTreeSet<K> {
        let mut before = std::mem::take(&mut self.known);
        let last = self.last.replace(now);
        if last.is_some_and(|last| now.saturating_sub(last) > self.gap) {
            before.clear();
        }
        let mut certain = BTreeSet::new();
        for (key, evidence) in suspected {
            let since = match before.remove(&key) {
                Some((since, same)) if same == evidence => {
                    if now.saturating_sub(since) >= self.grace {
                        certain.insert(key.clone());
                    }
                    since
                }
                _ => now,
            };
            self.known.insert(key, (since, evidence));
        }
        certain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_two_observations_the_grace_period_and_the_same_evidence() {
        let mut suspicions = Suspicions::new(Duration::from_secs(10), Duration::from_secs(100));
        let mut at = |seconds, evidence: Option<u8>| {
            let found =
                suspicions.observe(Duration::from_secs(seconds), evidence.map(|evidence| ("k", evidence)));
            found.len()
        };
        assert_eq!((at(100, Some(1)), at(109, Some(1)), at(110, Some(1)), at(111, Some(1))), (0, 0, 1, 1));
        assert_eq!((at(112, None), at(200, Some(1))), (0, 0), "a sign of life");
        assert_eq!((at(210, Some(2)), at(219, Some(2)), at(220, Some(2))), (0, 0, 1), "it looks otherwise");
        assert_eq!((at(320, Some(2)), at(321, Some(2))), (1, 1), "seen often enough");
        assert_eq!((at(422, Some(2)), at(432, Some(2))), (0, 1), "nobody looked for too long");
        let mut none = Suspicions::new(Duration::ZERO, Duration::ZERO);
        assert_eq!(none.observe(Duration::ZERO, [("k", 1)]).len(), 0, "never at once");
        assert_eq!(none.observe(Duration::ZERO, [("k", 1)]).len(), 1);
    }
}
