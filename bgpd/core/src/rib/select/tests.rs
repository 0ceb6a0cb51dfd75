use std::net::IpAddr;

use cairn_net::Asn;
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::decision::{Candidate, best};
use super::super::source::SourceKind;
use crate::rib::attrs::Rank;
use crate::wire::Origin;

/// Few values for each step, so that ties are common and every step decides now and then.
fn any_candidate() -> impl Strategy<Value = Candidate> {
    let rank = (0..2u32, 0..2u32, 0..2u8, 0..3u32, 0..3u32, 0..2u32, prop::option::of(0..3u32)).prop_map(
        |(local_pref, path_len, origin, med, neighbor, cluster_list_len, originator)| Rank {
            long_lived_stale: false,
            weight: 0,
            local_pref,
            path_len,
            origin: Origin::from_wire(origin).unwrap(),
            med,
            neighbor_as: (neighbor > 0).then_some(Asn(neighbor)),
            cluster_list_len,
            originator,
        },
    );
    let kinds = vec![SourceKind::Local, SourceKind::External, SourceKind::Internal, SourceKind::Client];
    (rank, prop::sample::select(kinds), 0..2u32, 0..4u32, 0..3u8, 0..3u32).prop_map(
        |(rank, kind, metric, router_id, host, path_id)| {
            let address = IpAddr::from([192, 0, 2, host]);
            Candidate { rank, kind, metric, router_id, owner: 0, address, path_id }
        },
    )
}

/// Paths as a table holds them: no two from one peer with one path identifier.
fn any_paths() -> impl Strategy<Value = Vec<Candidate>> {
    vec(any_candidate(), 1..12).prop_map(|mut paths| {
        for (place, path) in paths.iter_mut().enumerate() {
            path.path_id = u32::try_from(place).unwrap();
        }
        paths
    })
}

proptest! {
    /// What sorting needs: a cycle would make it panic.
    #[test]
    fn paths_without_a_lower_med_beside_them_are_totally_ordered(paths in any_paths()) {
        let top = paths[best(&paths, false).unwrap().0];
        let equal: Vec<_> = paths.iter().filter(|path| top.equal_cost(path, false)).collect();
        let kept: Vec<_> =
            equal.iter().filter(|path| !equal.iter().any(|other| other.has_lower_med(path, false))).collect();
        for a in &kept {
            for b in &kept {
                for c in &kept {
                    let less = |x: &Candidate, y: &Candidate| x.compare(y, false).0.is_lt();
                    prop_assert!(!(less(a, b) && less(b, c)) || less(a, c));
                }
            }
        }
    }
}
