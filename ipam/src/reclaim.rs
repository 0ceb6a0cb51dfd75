//! What others than its node may do to an entry of a block: release it, once its node or its pod is gone. Pure.
//!
//! Whether that is so is decided elsewhere. A released address rests as any other (I4), and a node that still holds it gives it up when it
//! next looks at the block.

use std::collections::BTreeMap;
use std::time::Duration;

use cairn_api::Timestamp;
use cairn_api::kinds::{Allocation, AllocationState, IpamBlock};

use crate::block::Claimant;
use crate::clock::Now;

/// Releases entries that are still as they were seen. How many that were.
pub fn release(block: &mut IpamBlock, leaked: &[Allocation], now: Timestamp) -> usize {
    let mut released = 0;
    for entry in &mut block.allocations {
        if entry.state != AllocationState::Released && leaked.contains(entry) {
            entry.state = AllocationState::Released;
            entry.since = now;
            released += 1;
        }
    }
    released
}

/// Is nothing of the block in use, held ready or resting?
pub fn is_empty(block: &IpamBlock, now: Timestamp, cooldown: Duration) -> bool {
    let nothing = BTreeMap::new();
    let now = Now { wall: now, steady: Duration::ZERO };
    Claimant { node: "", now, cooldown, resting: &nothing }.is_empty(block)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Handle;
    use crate::ledger::{Hold, Ledger};
    use crate::record::Record;

    fn entry(last: u8, state: AllocationState, handle: &str) -> Allocation {
        Allocation {
            address: [10, 0, 0, last].into(),
            node: "n1".to_owned(),
            state,
            handle: handle.to_owned(),
            pod: format!("test/{handle}"),
            since: Timestamp::from_unix(100),
        }
    }

    fn block(allocations: Vec<Allocation>) -> IpamBlock {
        IpamBlock { cidr: "10.0.0.0/26".parse().unwrap(), pool: "p".to_owned(), allocations }
    }

    #[test]
    fn only_what_is_still_as_it_was_seen_is_released() {
        let seen = [entry(1, AllocationState::Assigned, "a"), entry(2, AllocationState::Assigned, "b")];
        let mut block = block(vec![seen[0].clone(), entry(2, AllocationState::Assigned, "another")]);
        let now = Timestamp::from_unix(200);
        assert_eq!(release(&mut block, &seen, now), 1);
        let states: Vec<_> =
            block.allocations.iter().map(|entry| (entry.state, entry.since.unix())).collect();
        assert_eq!(states, [(AllocationState::Released, 200), (AllocationState::Assigned, 100)]);
        assert_eq!(release(&mut block, &seen, now), 0, "once");
    }

    #[test]
    fn what_rests_is_not_empty_yet() {
        let mut block = block(vec![entry(1, AllocationState::Assigned, "a")]);
        let leaked = block.allocations.clone();
        release(&mut block, &leaked, Timestamp::from_unix(200));
        let empty = |at| is_empty(&block, Timestamp::from_unix(at), Duration::from_secs(30));
        assert_eq!((empty(229), empty(230)), (false, true));
    }

    #[test]
    fn a_node_gives_up_what_was_released_in_its_place_and_nothing_else() {
        let mut ledger = Ledger::default();
        let cidr = "10.0.0.0/26".parse().unwrap();
        ledger.apply(&Record::Block { cidr, pool: "p".to_owned(), own: None });
        for (last, handle) in [(1u8, "a"), (2, "b")] {
            ledger.apply(&Record::Assign {
                handle: Handle::new(handle),
                pod: format!("test/{handle}"),
                since: Timestamp::from_unix(100),
                addresses: vec![([10, 0, 0, last].into(), cidr)],
            });
        }
        // The second entry is of an earlier pod: the node has not told yet who has the address now.
        let mut stored = block(vec![
            entry(1, AllocationState::Released, "a"),
            entry(2, AllocationState::Released, "before"),
        ]);
        let nothing = BTreeMap::new();
        let now = Now { wall: Timestamp::from_unix(300), steady: Duration::ZERO };
        let claimant = Claimant { node: "n1", now, cooldown: Duration::from_secs(30), resting: &nothing };
        let done = claimant.reconcile(&mut stored, &ledger);
        done.records.iter().for_each(|record| ledger.apply(record));
        let held = |last: u8| &ledger.addresses[&[10, 0, 0, last].into()].state;
        assert!(matches!(held(1), Hold::Released { .. }) && matches!(held(2), Hold::Assigned { .. }));
        assert_eq!(stored.allocations[0], entry(1, AllocationState::Released, "a"), "as it was written");
        assert_eq!(stored.allocations[1], entry(2, AllocationState::Assigned, "b"));
    }
}
