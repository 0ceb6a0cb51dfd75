use std::net::Ipv4Addr;

use cairn_net::Asn;
use proptest::prelude::*;

use super::*;
use crate::wire::Origin;

/// Few values of everything, so that ties are common. The path identifier makes each one another path.
fn candidate(path_id: u32) -> impl Strategy<Value = Candidate> {
    let first = (any::<bool>(), 0..2u32, 0..2u32, 0..3usize, 0..3u32);
    let rank = (0..3u32, 0..3u32, 0..2u32, 0..3u32);
    let rest = (0..4usize, 0..2u32, 0..3u32, 0..2u32, 0..2u8);
    (first, rank, rest).prop_map(
        move |(
            (stale, weight, pref, origin, path_len),
            (med, asn, clusters, originator),
            (kind, metric, id, owner, address),
        )| {
            use SourceKind::{Client, External, Internal, Local};
            Candidate {
                rank: Rank {
                    long_lived_stale: stale,
                    weight,
                    local_pref: 100 + pref,
                    path_len,
                    origin: [Origin::Igp, Origin::Egp, Origin::Incomplete][origin],
                    med,
                    neighbor_as: (asn > 0).then_some(Asn(asn)),
                    cluster_list_len: clusters,
                    originator: (originator > 0).then_some(originator),
                },
                kind: [External, Internal, Client, Local][kind],
                metric,
                router_id: id,
                owner,
                address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, address)),
                path_id,
            }
        },
    )
}

fn several() -> impl Strategy<Value = Vec<Candidate>> {
    (candidate(0), candidate(1), candidate(2), candidate(3), candidate(4))
        .prop_map(|(a, b, c, d, e)| vec![a, b, c, d, e])
}

/// The path identifier of the best, and what set it apart.
fn winner_of(candidates: &[Candidate], always: bool) -> (u32, Step) {
    let (place, step) = best(candidates, always).unwrap();
    (candidates[place].path_id, step)
}

proptest! {
    #[test]
    fn with_med_always_compared_it_is_a_total_order(all in several()) {
        for a in &all {
            prop_assert_eq!(a.compare(a, true).0, Ordering::Equal);
            for b in all.iter().filter(|b| b.path_id != a.path_id) {
                prop_assert_ne!(a.compare(b, true).0, Ordering::Equal);
                prop_assert_eq!(a.compare(b, true).0, b.compare(a, true).0.reverse());
                prop_assert_eq!(a.compare(b, true).1, b.compare(a, true).1);
                for c in &all {
                    if a.compare(b, true).0.is_lt() && b.compare(c, true).0.is_lt() {
                        prop_assert!(a.compare(c, true).0.is_lt());
                    }
                }
            }
        }
        let sorted = all.iter().min_by(|a, b| a.compare(b, true).0).unwrap();
        prop_assert_eq!(winner_of(&all, true).0, sorted.path_id);
    }

    #[test]
    fn the_best_does_not_depend_on_the_order(
        (all, shuffled) in several().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
        always: bool,
    ) {
        prop_assert_eq!(winner_of(&shuffled, always), winner_of(&all, always));
    }

    #[test]
    fn a_path_that_is_not_chosen_does_not_matter_unless_its_med_does(all in several()) {
        // With MED compared everywhere, taking a loser away changes nothing.
        let (winner, _) = best(&all, true).unwrap();
        let expected = all[winner].path_id;
        for loser in (0..all.len()).filter(|place| *place != winner) {
            let mut fewer = all.clone();
            fewer.remove(loser);
            prop_assert_eq!(winner_of(&fewer, true).0, expected);
        }
    }
}

/// Makes a path better in one step.
type Improve = fn(&mut Candidate);

#[test]
fn each_step_decides_what_the_steps_before_leave_open() {
    let base = Candidate {
        rank: Rank {
            long_lived_stale: false,
            weight: 0,
            local_pref: 100,
            path_len: 2,
            origin: Origin::Egp,
            med: 10,
            neighbor_as: Some(Asn(1)),
            cluster_list_len: 1,
            originator: None,
        },
        kind: SourceKind::Internal,
        metric: 10,
        router_id: 10,
        owner: 10,
        address: IpAddr::from([10, 0, 0, 10]),
        path_id: 10,
    };
    let better: [(Step, Improve); 13] = [
        (Step::Weight, |path| path.rank.weight = 1),
        (Step::LocalPref, |path| path.rank.local_pref = 101),
        (Step::LocallyOriginated, |path| path.kind = SourceKind::Local),
        (Step::AsPathLength, |path| path.rank.path_len = 1),
        (Step::Origin, |path| path.rank.origin = Origin::Igp),
        (Step::Med, |path| path.rank.med = 9),
        (Step::ExternalOverInternal, |path| path.kind = SourceKind::External),
        (Step::IgpMetric, |path| path.metric = 9),
        (Step::RouterId, |path| path.rank.originator = Some(9)),
        (Step::ClusterListLength, |path| path.rank.cluster_list_len = 0),
        (Step::OwnerName, |path| path.owner = 9),
        (Step::PeerAddress, |path| path.address = IpAddr::from([10, 0, 0, 9])),
        (Step::PathId, |path| path.path_id = 9),
    ];
    for (place, (step, improve)) in better.iter().enumerate() {
        // The other one is better in everything that comes later.
        let (mut this, mut other) = (base, base);
        improve(&mut this);
        better[place + 1..].iter().for_each(|(_, improve)| improve(&mut other));
        if *step == Step::LocallyOriginated {
            other.kind = SourceKind::External;
        }
        assert_eq!(this.compare(&other, false), (Ordering::Less, *step));
        assert_eq!(best(&[other, this], false), Some((1, *step)));
    }
}

#[test]
fn med_of_another_neighbour_as_does_not_count_unless_asked() {
    let path = |neighbor_as, med, router_id| Candidate {
        rank: Rank {
            long_lived_stale: false,
            weight: 0,
            local_pref: 100,
            path_len: 1,
            origin: Origin::Igp,
            med,
            neighbor_as: Some(Asn(neighbor_as)),
            cluster_list_len: 0,
            originator: None,
        },
        kind: SourceKind::External,
        metric: 0,
        router_id,
        owner: 0,
        address: IpAddr::from([10, 0, 0, 1]),
        path_id: router_id,
    };
    assert_eq!(best(&[path(1, 50, 1), path(2, 10, 2)], false), Some((0, Step::RouterId)));
    assert_eq!(best(&[path(1, 50, 1), path(2, 10, 2)], true), Some((1, Step::Med)));
    // The well-known circle: a beats b by MED, b beats c and c beats a by router id.
    let [a, b, c] = [path(1, 10, 3), path(1, 20, 1), path(2, 0, 2)];
    for set in [[a, b, c], [c, a, b], [b, c, a]] {
        let (place, _) = best(&set, false).unwrap();
        assert_eq!(set[place].router_id, 2);
    }
}
