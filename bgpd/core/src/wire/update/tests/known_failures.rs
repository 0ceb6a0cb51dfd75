//! Inputs of the kinds that have crashed BGP speakers, or made them reset sessions that RFC 7606 keeps.

use super::*;
use crate::wire::notification::{NotificationCode, UpdateError};

/// The session survives; returns what is left of the message.
#[track_caller]
fn survives(body: &[u8], context: &DecodeContext) -> Update {
    decode(body, context)
}

#[test]
fn corrupt_tunnel_encapsulation_passes_through_unread() {
    // A TLV whose length points far beyond the attribute.
    let tunnel = attribute(OPTIONAL_TRANSITIVE, 23, &[0, 4, 0xff, 0xff, 1]);
    let update = survives(&announce(&[tunnel]), &EXTERNAL);
    let attributes = update.attributes.unwrap();
    let unknown: Vec<_> = attributes.unknown.iter().map(|unknown| (unknown.code, unknown.value)).collect();
    assert_eq!(unknown, [(23, &[0, 4, 0xff, 0xff, 1][..])]);
}

#[test]
fn corrupt_prefix_sid_passes_through_unread() {
    // An SRv6 SID structure with offset 128 and length 255; and a TLV that is cut short.
    for value in [&[5, 0, 4, 1, 0, 128, 255][..], &[1, 0, 7, 0]] {
        let update = survives(&announce(&[attribute(OPTIONAL_TRANSITIVE, 40, value)]), &EXTERNAL);
        assert_eq!(update.reach.len(), 1);
    }
}

#[test]
fn corrupt_entropy_label_passes_through_unread() {
    let update = survives(&announce(&[attribute(OPTIONAL_TRANSITIVE, 28, &[1, 2, 3])]), &EXTERNAL);
    assert_eq!(update.faults, []);
}

#[test]
fn as4_path_of_one_octet_before_as_path_is_harmless() {
    let narrow = DecodeContext { four_octet_as: false, ..EXTERNAL };
    let path = attribute(WELL_KNOWN, 2, &[2, 1, 0xfd, 0xe9]);
    let as4_path = |flags| attribute(flags, 17, &[1]);
    let attributes = [as4_path(OPTIONAL_TRANSITIVE), origin(), path.clone(), next_hop()];
    assert_eq!(survives(&announce_with(&attributes), &narrow).reach.len(), 1);
    let attributes = [as4_path(WELL_KNOWN), origin(), path, next_hop()];
    assert_eq!(survives(&announce_with(&attributes), &narrow).unreach.len(), 1);
}

#[test]
fn unrecognised_attribute_without_the_optional_bit_resets_and_does_not_crash() {
    for flags in [0x00, 0x10, 0x20, 0x40, 0x60] {
        let mut unknown = attribute(flags, 200, &[0, 1, 2]);
        if flags & 0x10 != 0 {
            unknown = vec![flags, 200, 0, 3, 0, 1, 2];
        }
        let fault = Update::decode(&announce(&[unknown]), &EXTERNAL).unwrap_err();
        let code = fault.into_notification().code;
        assert_eq!(code, NotificationCode::Update(UpdateError::UnrecognizedWellKnownAttribute));
    }
}

#[test]
fn next_hop_of_zero_to_three_octets_withdraws() {
    for len in 0..4 {
        let attributes = [origin(), as_path(), attribute(WELL_KNOWN, 3, &vec![10; len])];
        assert_eq!(survives(&announce_with(&attributes), &EXTERNAL).unreach.len(), 1);
    }
}

#[test]
fn origin_without_the_transitive_bit_withdraws() {
    let attributes = [attribute(0, 1, &[0]), as_path(), next_hop()];
    assert_eq!(survives(&announce_with(&attributes), &EXTERNAL).unreach.len(), 1);
}

#[test]
fn empty_as_path_from_a_confederation_peer_withdraws() {
    let confederation = DecodeContext { peer: PeerKind::Confederation, ..EXTERNAL };
    let attributes = [origin(), attribute(WELL_KNOWN, 2, &[]), next_hop()];
    assert_eq!(survives(&announce_with(&attributes), &confederation).unreach.len(), 1);
}

#[test]
fn ipv6_extended_community_of_a_wrong_length_withdraws() {
    for len in [1, 8, 19, 21, 39] {
        let communities = attribute(OPTIONAL_TRANSITIVE, 25, &vec![0; len]);
        assert_eq!(survives(&announce(&[communities]), &EXTERNAL).unreach.len(), 1);
    }
}

#[test]
fn only_an_unknown_transitive_attribute_says_nothing() {
    let unknown = attribute(OPTIONAL_TRANSITIVE, 99, &[1, 2, 3]);
    assert_eq!(survives(&body(&[], &[unknown], &[]), &EXTERNAL), Update::default());
}

#[test]
fn mp_unreach_with_further_routes_and_no_mandatory_attributes_withdraws_both() {
    let mp = attribute(OPTIONAL, 15, &[0, 2, 1, 8, 0xfd]);
    let update = survives(&body(&[], &[mp], NET_10), &EXTERNAL);
    assert_eq!(
        update.unreach,
        [unreach(Family::Ipv6, &["fd00::/8"]), unreach(Family::Ipv4, &["10.0.0.0/8"])]
    );
}

#[test]
fn add_path_negotiated_and_no_path_identifier_sent_resets_within_bounds() {
    let context = DecodeContext { add_path: Families::ALL, ..EXTERNAL };
    let fault = Update::decode(&announce(&[]), &context).unwrap_err();
    let code = fault.into_notification().code;
    assert_eq!(code, NotificationCode::Update(UpdateError::InvalidNetworkField));
}

#[test]
fn reserved_flag_bits_mean_nothing() {
    for bits in 1..16 {
        let mut attributes = [origin(), as_path(), next_hop(), attribute(OPTIONAL_TRANSITIVE, 99, &[1])];
        for attribute in &mut attributes {
            attribute[0] |= bits;
        }
        let update = survives(&announce_with(&attributes), &EXTERNAL);
        assert_eq!((update.faults.len(), update.reach.len()), (0, 1));
        let attributes = update.attributes.unwrap();
        assert_eq!(attributes.unknown.iter().next().map(|unknown| unknown.flags), Some(0xc0));
    }
}

#[test]
fn a_near_maximum_unknown_attribute_is_kept_and_refused_only_where_it_does_not_fit() {
    let mut unknown = vec![0xd0, 99, 0x0f, 0xa0];
    unknown.resize(4 + 4000, 7);
    let attributes = survives(&announce(&[unknown]), &EXTERNAL).attributes.unwrap();
    let next_hop = NextHop::new("192.0.2.1".parse().unwrap());
    let context = EncodeContext::default();
    let encoded = EncodedAttributes::new(&attributes, Family::Ipv4, next_hop, &context).unwrap();
    let mut out = bytes::BytesMut::new();
    assert_eq!(encoded.reach(nlri(&["10.0.0.0/8"]), &mut out), 1);
    // A longer path leaves no room for a prefix.
    let longer = Attributes { as_path: attributes.as_path.prepended(Asn(65000), 12), ..attributes };
    let error = EncodedAttributes::new(&longer, Family::Ipv4, next_hop, &context).unwrap_err();
    assert!(matches!(error, EncodeError::TooLong { max: 4096, .. }), "{error}");
}

#[test]
fn a_very_long_path_for_a_two_octet_peer_is_refused_and_not_overrun() {
    let as_path = asns(&vec![4_200_000_000; 1000]);
    let attributes = Attributes { as_path, ..Attributes::default() };
    let next_hop = NextHop::new("192.0.2.1".parse().unwrap());
    let wide = EncodeContext::default();
    assert!(EncodedAttributes::new(&attributes, Family::Ipv4, next_hop, &wide).is_ok());
    let narrow = EncodeContext { four_octet_as: false, ..wide };
    let error = EncodedAttributes::new(&attributes, Family::Ipv4, next_hop, &narrow).unwrap_err();
    assert!(matches!(error, EncodeError::TooLong { .. }));
}

#[test]
fn only_to_customer_of_a_wrong_length_is_not_passed_on() {
    let otc = attribute(OPTIONAL_TRANSITIVE, 35, &[0, 0, 0xfd, 0xe9, 0]);
    assert_eq!(survives(&announce(&[otc]), &EXTERNAL).attributes, None);
}

#[test]
fn lengths_that_contradict_each_other_never_underflow() {
    // Withdrawn length takes what should be the attributes; the attributes' length is then read from the routes.
    for body in [&[0, 4, 0, 0, 0, 0][..], &[0, 2, 0, 0, 0xff, 0xff], &[0xff, 0xff, 0, 0], &[0, 0, 0xff, 0xff]]
    {
        assert!(Update::decode(body, &EXTERNAL).is_err());
    }
}

#[test]
fn a_malformed_mp_reach_of_an_unknown_family_resets() {
    let mp = attribute(OPTIONAL, 14, &[0, 25, 70, 200, 1, 2, 3]);
    let fault = Update::decode(&body(&[], &[mp, origin(), as_path()], &[]), &EXTERNAL).unwrap_err();
    let code = fault.into_notification().code;
    assert_eq!(code, NotificationCode::Update(UpdateError::OptionalAttributeError));
}

#[test]
fn evpn_and_flowspec_routes_are_passed_over_unread() {
    // EVPN type 5 with prefix length 128 in the IPv4 layout; a flow specification that nests.
    for (afi, safi, route) in [(25, 70, &[5, 4, 0, 0, 0, 128][..]), (1, 133, &[0xf0, 0, 1])] {
        let mut value = vec![0, afi, safi, 4, 192, 0, 2, 1, 0];
        value.extend_from_slice(route);
        let update =
            survives(&body(&[], &[attribute(OPTIONAL, 14, &value), origin(), as_path()], &[]), &EXTERNAL);
        assert_eq!((update.reach.len(), update.faults.len()), (0, 1));
    }
}

#[test]
fn a_crafted_attribute_of_any_type_never_resets_a_session() {
    // Those two say how the routes are to be read, so that nothing can be kept without them.
    for code in (0..=255).filter(|code| !matches!(code, 14 | 15)) {
        for len in [0, 1, 3, 4, 5, 8, 13, 255] {
            for fill in [0x00, 0x01, 0xff] {
                let crafted = attribute(OPTIONAL_TRANSITIVE, code, &vec![fill; len]);
                let update = survives(&announce(&[crafted]), &EXTERNAL);
                // The routes are used or withdrawn, and none of them is forgotten.
                assert_eq!(update.reach.len() + update.unreach.len(), 1, "type {code}, {len} times {fill}");
            }
        }
    }
}

#[test]
fn attributes_that_are_not_spoken_are_passed_on_or_dropped_unread() {
    // PMSI tunnel, traffic engineering, ATTR_SET, BGPsec path: each cut short. And AIGP, which is not transitive.
    for code in [22, 24, 128, 33] {
        let attributes =
            survives(&announce(&[attribute(OPTIONAL_TRANSITIVE, code, &[0])]), &EXTERNAL).attributes;
        let unknown: Vec<u8> = attributes.unwrap().unknown.iter().map(|unknown| unknown.code).collect();
        assert_eq!(unknown, [code]);
    }
    for code in [26, 40, 29] {
        let update = survives(&announce(&[attribute(OPTIONAL, code, &[1, 0])]), &EXTERNAL);
        assert_eq!((update.reach.len(), update.faults.len()), (1, 0));
        assert_eq!(update.attributes.unwrap().unknown.iter().count(), 0, "type {code}");
    }
}

#[test]
fn mp_reach_cut_anywhere_resets_and_never_reads_beyond_its_end() {
    // IPv6 with a global and a link-local next hop and two prefixes.
    let mut value = vec![0, 2, 1, 32];
    value.extend([0xfd; 16]);
    value.extend([0xfe, 0x80]);
    value.extend([1; 14]);
    value.push(0);
    let routes = value.len();
    value.extend([16, 0xfd, 0, 32, 0xfd, 1, 2, 3]);
    let whole = |value: &[u8]| body(&[], &[attribute(OPTIONAL, 14, value), origin(), as_path()], &[]);
    for len in 0..=value.len() {
        let decoded = Update::decode(&whole(&value[..len]), &EXTERNAL);
        // Between two prefixes nothing is missing; no prefix at all is none to announce.
        let between = [routes, routes + 3, value.len()].contains(&len);
        assert_eq!(decoded.is_ok(), between, "cut after {len} octets");
    }
}
