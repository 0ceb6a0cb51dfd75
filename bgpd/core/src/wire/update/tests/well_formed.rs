use std::net::{IpAddr, Ipv6Addr};

use super::*;
use crate::wire::{Aggregator, Origin};

#[test]
fn every_attribute_is_read() {
    let mut attributes = vec![origin(), as_path(), next_hop()];
    attributes.extend([
        attribute(OPTIONAL, 4, &[0, 0, 0, 5]),
        attribute(WELL_KNOWN, 5, &[0, 0, 0, 200]),
        attribute(WELL_KNOWN, 6, &[]),
        attribute(OPTIONAL_TRANSITIVE, 7, &[0, 1, 0, 0, 10, 0, 0, 1]),
        attribute(OPTIONAL_TRANSITIVE, 8, &[0xfd, 0xe9, 0, 1, 0xff, 0xff, 0xff, 1]),
        attribute(OPTIONAL, 9, &[10, 0, 0, 2]),
        attribute(OPTIONAL, 10, &[10, 0, 0, 3, 10, 0, 0, 4]),
        attribute(OPTIONAL_TRANSITIVE, 16, &[0, 2, 0xfd, 0xe9, 0, 0, 0, 9]),
        attribute(OPTIONAL_TRANSITIVE, 32, &[0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3]),
        attribute(OPTIONAL_TRANSITIVE, 35, &[0, 0, 0xfd, 0xe9]),
        attribute(0xe0, 99, &[1]),
        attribute(OPTIONAL, 98, &[2]),
    ]);
    let update = decode(&announce_with(&attributes), &INTERNAL);
    assert_eq!(update.faults, []);
    let read = update.attributes.unwrap();
    assert_eq!(read.origin, Origin::Igp);
    assert_eq!(read.as_path, asns(&[65001]));
    assert_eq!((read.med, read.local_pref, read.atomic_aggregate), (Some(5), Some(200), true));
    let aggregator = Aggregator { asn: Asn(65536), router_id: [10, 0, 0, 1].into() };
    assert_eq!(read.aggregator, Some(aggregator));
    assert_eq!(read.communities.to_string(), "65001:1 no-export");
    assert_eq!(read.originator_id, Some([10, 0, 0, 2].into()));
    assert_eq!(read.cluster_list.to_string(), "10.0.0.3 10.0.0.4");
    assert_eq!(read.extended_communities.to_string(), "rt:65001:9");
    assert_eq!(read.large_communities.to_string(), "1:2:3");
    assert_eq!(read.only_to_customer, Some(Asn(65001)));
    // An optional attribute that is not transitive is dropped if it is not known.
    assert_eq!(read.unknown.iter().map(|unknown| unknown.code).collect::<Vec<_>>(), [99]);
    assert_eq!(update.reach[0].next_hop, IpAddr::from([192, 0, 2, 1]).into());
}

#[test]
fn both_families_come_in_one_message() {
    let mp = mp_reach(&GLOBAL, &[8, 0xfd, 0]);
    let update = decode(&body(&[8, 11], &[mp, origin(), as_path(), next_hop()], NET_10), &EXTERNAL);
    assert_eq!(update.unreach, [unreach(Family::Ipv4, &["11.0.0.0/8"])]);
    let [v4, v6] = &update.reach[..] else { panic!("{update:?}") };
    assert_eq!((v4.family, &v4.nlri), (Family::Ipv4, &nlri(&["10.0.0.0/8"])));
    assert_eq!((v6.family, &v6.nlri), (Family::Ipv6, &nlri(&["fd00::/8", "::/0"])));
}

#[test]
fn host_bits_of_a_prefix_are_cleared() {
    let update = decode(&body(&[], &[origin(), as_path(), next_hop()], &[9, 10, 0xff]), &EXTERNAL);
    assert_eq!(update.reach[0].nlri, nlri(&["10.128.0.0/9"]));
}

#[test]
fn path_identifiers_are_read_where_negotiated() {
    let context = DecodeContext { add_path: Families::NONE.with(Family::Ipv4), ..EXTERNAL };
    let mp = mp_reach(&GLOBAL, &[8, 0xfd]);
    let attributes = [mp, origin(), as_path(), next_hop()];
    let update = decode(&body(&[], &attributes, &[0, 0, 0, 7, 8, 10, 0, 0, 0, 8, 8, 10]), &context);
    let ids: Vec<_> = update.reach[0].nlri.iter().map(|nlri| nlri.path_id).collect();
    assert_eq!(ids, [7, 8]);
    assert_eq!(update.reach[1].nlri, nlri(&["fd00::/8"]));
}

#[test]
fn an_empty_message_is_the_end_of_rib_of_ipv4() {
    let expected = Update { end_of_rib: Some(Family::Ipv4), ..Update::default() };
    assert_eq!(decode(&body(&[], &[], &[]), &EXTERNAL), expected);
    let ipv6_only = DecodeContext { families: Families::NONE.with(Family::Ipv6), ..EXTERNAL };
    assert_eq!(decode(&body(&[], &[], &[]), &ipv6_only), Update::default());
}

#[test]
fn an_empty_mp_unreach_alone_is_an_end_of_rib() {
    let mp = attribute(OPTIONAL, 15, &[0, 2, 1]);
    let expected = Update { end_of_rib: Some(Family::Ipv6), ..Update::default() };
    assert_eq!(decode(&body(&[], std::slice::from_ref(&mp), &[]), &EXTERNAL), expected);
    assert_eq!(decode(&body(&[], &[mp.clone(), origin()], &[]), &EXTERNAL).end_of_rib, None);
    assert_eq!(decode(&body(NET_10, &[mp], &[]), &EXTERNAL).end_of_rib, None);
}

#[test]
fn families_that_were_not_negotiated_are_passed_over() {
    let ipv4_only = DecodeContext { families: Families::NONE.with(Family::Ipv4), ..EXTERNAL };
    let mp = mp_reach(&GLOBAL, &[8, 0xfd]);
    let update = decode(&body(&[], &[mp, origin(), as_path(), next_hop()], NET_10), &ipv4_only);
    assert_eq!(update.reach.len(), 1);
    assert_eq!(update.faults[0].reason, FaultReason::FamilyNotNegotiated(Family::Ipv6.into()));
    let ipv6_only = DecodeContext { families: Families::NONE.with(Family::Ipv6), ..EXTERNAL };
    assert_eq!(decode(&body(NET_10, &[], &[]), &ipv6_only).unreach, []);
}

#[test]
fn link_local_next_hops_are_read() {
    let link_local: Ipv6Addr = "fe80::1".parse().unwrap();
    let read = |next_hop: &[u8]| {
        let message = body(&[], &[mp_reach(next_hop, &[8, 0xfd]), origin(), as_path()], &[]);
        decode(&message, &EXTERNAL).reach[0].next_hop
    };
    let both = read(&[GLOBAL, link_local.octets()].concat());
    assert_eq!(both, NextHop { addr: Ipv6Addr::from(GLOBAL).into(), link_local: Some(link_local) });
    // Peers without a global address put zeros, or their link-local address twice, or only that.
    assert_eq!(read(&[[0; 16], link_local.octets()].concat()), NextHop::new(link_local.into()));
    assert_eq!(read(&[link_local.octets(), link_local.octets()].concat()), NextHop::new(link_local.into()));
    assert_eq!(read(&link_local.octets()), NextHop::new(link_local.into()));
}

#[test]
fn ipv4_routes_over_ipv6_need_the_capability() {
    let mut value = vec![0, 1, 1, 16];
    value.extend_from_slice(&GLOBAL);
    value.extend_from_slice(&[0, 8, 10]);
    let message = body(&[], &[attribute(OPTIONAL, 14, &value), origin(), as_path()], &[]);
    let context = DecodeContext { extended_next_hop: true, ..EXTERNAL };
    let update = decode(&message, &context);
    assert_eq!(update.reach[0].next_hop.addr, IpAddr::from(GLOBAL));
    assert_eq!(update.reach[0].nlri, nlri(&["10.0.0.0/8"]));
    assert!(Update::decode(&message, &EXTERNAL).is_err());
}

#[test]
fn four_octet_numbers_are_put_back_where_as_trans_stands() {
    let narrow = DecodeContext { four_octet_as: false, ..EXTERNAL };
    let path = attribute(WELL_KNOWN, 2, &[2, 3, 0xfd, 0xe9, 0x5b, 0xa0, 0x5b, 0xa0]);
    let as4_path = attribute(OPTIONAL_TRANSITIVE, 17, &[2, 2, 0, 1, 0, 0, 0, 2, 0, 0]);
    let as4_aggregator = attribute(OPTIONAL_TRANSITIVE, 18, &[0, 2, 0, 0, 1, 2, 3, 4]);
    let read = |aggregator_as: u16| {
        let [high, low] = aggregator_as.to_be_bytes();
        let aggregator = attribute(OPTIONAL_TRANSITIVE, 7, &[high, low, 1, 2, 3, 4]);
        let attributes =
            [origin(), path.clone(), next_hop(), aggregator, as4_path.clone(), as4_aggregator.clone()];
        decode(&announce_with(&attributes), &narrow).attributes.unwrap()
    };
    let merged = read(23456);
    assert_eq!(merged.as_path, asns(&[65001, 65536, 131_072]));
    assert_eq!(merged.aggregator.map(|aggregator| aggregator.asn), Some(Asn(131_072)));
    // Whoever aggregated anew made the two attributes stale.
    let stale = read(65010);
    assert_eq!(stale.as_path, asns(&[65001, 23456, 23456]));
    assert_eq!(stale.aggregator.map(|aggregator| aggregator.asn), Some(Asn(65010)));
}
