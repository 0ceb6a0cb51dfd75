use std::collections::HashSet;

use cairn_net::{Families, Family, Prefix};

/// Routes of a former connection that the present one has not confirmed yet.
#[derive(Debug, Default)]
pub(crate) struct Stale {
    prefixes: HashSet<Prefix>,
}

impl Stale {
    /// A new connection begins: everything learned so far has to be confirmed.
    pub(crate) fn begin(&mut self, learned: impl Iterator<Item = Prefix>) {
        self.prefixes.extend(learned);
    }

    /// The present connection speaks of a prefix.
    pub(crate) fn confirm(&mut self, prefix: Prefix) {
        self.prefixes.remove(&prefix);
    }

    /// These families are complete: what was not confirmed of them is gone.
    pub(crate) fn end_of_rib(&mut self, families: Families) -> Vec<Prefix> {
        let ended = |prefix: &Prefix| families.contains(prefix.family());
        let gone = self.prefixes.iter().copied().filter(ended).collect();
        self.prefixes.retain(|prefix| !ended(prefix));
        if Family::ALL.into_iter().all(|family| families.contains(family)) {
            self.prefixes.shrink_to_fit();
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_new_connection_does_not_confirm_goes_with_its_end_of_rib() {
        let prefix = |text: &str| text.parse::<Prefix>().unwrap();
        let mut stale = Stale::default();
        stale.begin(["10.0.0.0/26", "10.0.1.0/26", "fd00::/122"].map(prefix).into_iter());
        stale.confirm(prefix("10.0.0.0/26"));
        assert_eq!(stale.end_of_rib(Families::NONE.with(Family::Ipv4)), [prefix("10.0.1.0/26")]);
        assert_eq!(stale.end_of_rib(Families::ALL), [prefix("fd00::/122")]);
        assert!(stale.end_of_rib(Families::ALL).is_empty());
    }
}
