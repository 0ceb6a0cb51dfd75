//! One test for each rule of RFC 7606. `docs/conformance.md` names them.

use super::*;
use crate::wire::notification::{NotificationCode, UpdateError};

/// The routes are withdrawn because of this attribute, and nothing else happens.
#[track_caller]
fn treats_as_withdraw(body: &[u8], context: &DecodeContext, code: u8) {
    let update = decode(body, context);
    assert_eq!(update.unreach, [unreach(Family::Ipv4, &["10.0.0.0/8"])]);
    assert_eq!((update.reach, update.attributes), (vec![], None));
    let fault = &update.faults[0];
    assert_eq!((fault.attribute, &fault.consequence), (Some(code), &Consequence::TreatAsWithdraw), "{fault}");
}

/// The attribute is left out, the routes stay. Returns the other attributes.
#[track_caller]
fn discards(body: &[u8], context: &DecodeContext, code: u8) -> Attributes {
    let update = decode(body, context);
    assert_eq!(update.reach.len(), 1);
    assert_eq!(update.unreach, []);
    let fault = &update.faults[0];
    assert_eq!(
        (fault.attribute, &fault.consequence),
        (Some(code), &Consequence::AttributeDiscard),
        "{fault}"
    );
    update.attributes.unwrap()
}

/// The session is reset with this subcode and data.
#[track_caller]
fn resets(body: &[u8], context: &DecodeContext, error: UpdateError, data: &[u8]) {
    let fault = Update::decode(body, context).unwrap_err();
    let Consequence::SessionReset(notification) = fault.consequence else { panic!("{fault}") };
    assert_eq!((notification.code, &*notification.data), (NotificationCode::Update(error), data));
}

// Section 3: general rules.

#[test]
fn withdrawn_length_beyond_the_message_resets() {
    resets(&[0, 9, 8, 10, 0, 0], &EXTERNAL, UpdateError::MalformedAttributeList, &[]);
}

#[test]
fn attribute_length_beyond_the_message_resets() {
    resets(&[0, 0, 0, 9, 0x40, 1, 1, 0], &EXTERNAL, UpdateError::MalformedAttributeList, &[]);
    resets(&[0, 0], &EXTERNAL, UpdateError::MalformedAttributeList, &[]);
}

#[test]
fn wrong_flags_withdraw_whatever_the_attribute() {
    for (flags, code, value) in [
        (0x80, 1, &[0][..]),
        (0x00, 1, &[0]),
        (0xc0, 2, &[]),
        (0x80, 3, &[192, 0, 2, 1]),
        (0x40, 4, &[0, 0, 0, 1]),
        (0xc0, 4, &[0, 0, 0, 1]),
        (0x80, 6, &[]),
        (0x40, 7, &[0, 0, 0xfd, 0xe9, 1, 2, 3, 4]),
        (0x80, 8, &[0, 1, 0, 1]),
        (0x80, 16, &[0; 8]),
        (0x40, 25, &[0; 20]),
        (0x80, 32, &[0; 12]),
        (0x40, 35, &[0, 0, 0, 1]),
    ] {
        let mut attributes = vec![attribute(flags, code, value)];
        attributes.extend([origin(), as_path(), next_hop()].into_iter().filter(|octets| octets[1] != code));
        treats_as_withdraw(&announce_with(&attributes), &EXTERNAL, code);
    }
    for (flags, code) in [(0x80, 5), (0xc0, 9), (0x40, 10)] {
        treats_as_withdraw(&announce(&[attribute(flags, code, &[0, 0, 0, 1])]), &INTERNAL, code);
    }
}

#[test]
fn wrong_flags_on_mp_reach_withdraw_its_routes() {
    let mut mp = mp_reach(&GLOBAL, &[8, 0xfd]);
    mp[0] = 0xc0;
    let update = decode(&body(&[], &[mp, origin(), as_path()], &[]), &EXTERNAL);
    assert_eq!(update.unreach, [unreach(Family::Ipv6, &["fd00::/8"])]);
    assert_eq!(update.reach, []);
}

#[test]
fn missing_mandatory_attributes_withdraw() {
    treats_as_withdraw(&announce_with(&[as_path(), next_hop()]), &EXTERNAL, 1);
    treats_as_withdraw(&announce_with(&[origin(), next_hop()]), &EXTERNAL, 2);
    treats_as_withdraw(&announce_with(&[origin(), as_path()]), &EXTERNAL, 3);
    let update = decode(&body(&[], &[mp_reach(&GLOBAL, &[8, 0xfd]), origin()], &[]), &EXTERNAL);
    assert_eq!(update.unreach, [unreach(Family::Ipv6, &["fd00::/8"])]);
}

#[test]
fn multiprotocol_routes_need_no_next_hop_attribute() {
    let update = decode(&body(&[], &[mp_reach(&GLOBAL, &[8, 0xfd]), origin(), as_path()], &[]), &EXTERNAL);
    assert_eq!(update.faults, []);
    assert_eq!(update.reach.len(), 1);
}

#[test]
fn a_repeated_attribute_counts_once_and_the_first_one_wins() {
    let med = |value| attribute(OPTIONAL, 4, &[0, 0, 0, value]);
    let attributes = discards(&announce(&[med(1), med(2), med(3)]), &EXTERNAL, 4);
    assert_eq!(attributes.med, Some(1));
    let unknown = |value| attribute(OPTIONAL_TRANSITIVE, 99, &[value]);
    let attributes = discards(&announce(&[unknown(1), unknown(2)]), &EXTERNAL, 99);
    assert_eq!(attributes.unknown.iter().map(|unknown| unknown.value).collect::<Vec<_>>(), [[1]]);
}

#[test]
fn repeated_multiprotocol_attributes_reset() {
    let reach = mp_reach(&GLOBAL, &[8, 0xfd]);
    let twice = body(&[], &[reach.clone(), reach, origin(), as_path()], &[]);
    resets(&twice, &EXTERNAL, UpdateError::MalformedAttributeList, &[]);
    let unreach = attribute(OPTIONAL, 15, &[0, 2, 1, 8, 0xfd]);
    let twice = body(&[], &[unreach.clone(), unreach], &[]);
    resets(&twice, &EXTERNAL, UpdateError::MalformedAttributeList, &[]);
}

#[test]
fn the_strongest_of_several_faults_decides() {
    let atomic_aggregate = attribute(WELL_KNOWN, 6, &[1]);
    let bad_med = attribute(OPTIONAL, 4, &[1]);
    let update = decode(&announce(&[atomic_aggregate.clone(), bad_med.clone()]), &EXTERNAL);
    assert_eq!((update.reach.len(), update.unreach.len(), update.faults.len()), (0, 1, 2));
    let unknown = attribute(WELL_KNOWN, 99, &[7]);
    let all = announce(&[atomic_aggregate, bad_med, unknown.clone()]);
    resets(&all, &EXTERNAL, UpdateError::UnrecognizedWellKnownAttribute, &unknown);
}

#[test]
fn withdrawals_are_kept_when_announced_routes_are_treated_as_withdrawn() {
    let bad_origin = attribute(WELL_KNOWN, 1, &[9]);
    let update = decode(&body(&[8, 11], &[bad_origin, as_path(), next_hop()], NET_10), &EXTERNAL);
    assert_eq!(
        update.unreach,
        [unreach(Family::Ipv4, &["11.0.0.0/8"]), unreach(Family::Ipv4, &["10.0.0.0/8"])]
    );
}

// Section 4: attribute lengths.

#[test]
fn an_attribute_that_runs_beyond_the_others_withdraws() {
    let overrun = vec![OPTIONAL, 4, 9, 0, 0];
    treats_as_withdraw(&announce(&[overrun]), &EXTERNAL, 4);
}

#[test]
fn a_cut_attribute_head_withdraws() {
    for head in [&[0x40][..], &[0x40, 6], &[0x50, 6, 0]] {
        let update = decode(&announce(&[head.to_vec()]), &EXTERNAL);
        assert_eq!(update.unreach, [unreach(Family::Ipv4, &["10.0.0.0/8"])]);
        assert_eq!(update.faults[0].reason, FaultReason::AttributeOverrun);
    }
}

#[test]
fn empty_values_are_malformed_but_for_as_path_and_atomic_aggregate() {
    let update = decode(
        &announce_with(&[origin(), attribute(WELL_KNOWN, 2, &[]), next_hop(), attribute(WELL_KNOWN, 6, &[])]),
        &INTERNAL,
    );
    assert_eq!(update.faults, []);
    assert!(update.attributes.unwrap().atomic_aggregate);
    for (flags, code) in [
        (0x80, 4),
        (0x40, 5),
        (0xc0, 8),
        (0x80, 9),
        (0x80, 10),
        (0xc0, 16),
        (0xc0, 25),
        (0xc0, 32),
        (0xc0, 35),
    ] {
        treats_as_withdraw(&announce(&[attribute(flags, code, &[])]), &INTERNAL, code);
    }
}

// Section 5: where the routes are.

#[test]
fn multiprotocol_attributes_are_read_wherever_they_stand() {
    for order in [[0, 1, 2], [1, 0, 2], [1, 2, 0]] {
        let attributes = [mp_reach(&GLOBAL, &[8, 0xfd]), origin(), as_path()];
        let attributes: Vec<_> = order.iter().map(|index| attributes[*index].clone()).collect();
        let update = decode(&body(&[], &attributes, &[]), &EXTERNAL);
        assert_eq!(update.reach[0].nlri, nlri(&["fd00::/8"]));
    }
}

#[test]
fn an_attribute_error_without_announced_routes_resets() {
    let bad_origin = attribute(WELL_KNOWN, 1, &[9]);
    let withdrawal = body(NET_10, &[bad_origin.clone(), as_path()], &[]);
    resets(&withdrawal, &EXTERNAL, UpdateError::InvalidOriginAttribute, &bad_origin);
    let unreach = attribute(OPTIONAL, 15, &[0, 2, 1, 8, 0xfd]);
    let bad_path = attribute(WELL_KNOWN, 2, &[2, 0]);
    let withdrawal = body(&[], &[unreach.clone(), bad_path.clone()], &[]);
    resets(&withdrawal, &EXTERNAL, UpdateError::MalformedAsPath, &bad_path);
    resets(&body(&[], &[unreach, vec![0x80, 4]], &[]), &EXTERNAL, UpdateError::AttributeLengthError, &[]);
}

#[test]
fn an_error_that_only_discards_is_harmless_without_announced_routes() {
    let atomic_aggregate = attribute(WELL_KNOWN, 6, &[1]);
    let update = decode(&body(NET_10, &[atomic_aggregate], &[]), &EXTERNAL);
    assert_eq!(update.unreach, [unreach(Family::Ipv4, &["10.0.0.0/8"])]);
}

#[test]
fn prefixes_that_do_not_parse_reset() {
    for field in [&[33, 10, 0, 0, 0, 0][..], &[24, 10, 0], &[255]] {
        let announced = body(&[], &[origin(), as_path(), next_hop()], field);
        resets(&announced, &EXTERNAL, UpdateError::InvalidNetworkField, &[]);
        resets(&body(field, &[], &[]), &EXTERNAL, UpdateError::InvalidNetworkField, &[]);
    }
    for field in [&[129, 0xfd][..], &[64, 0xfd], &[129, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]] {
        let mp = mp_reach(&GLOBAL, field);
        let announced = body(&[], &[mp.clone(), origin(), as_path()], &[]);
        resets(&announced, &EXTERNAL, UpdateError::OptionalAttributeError, &mp);
        let mp = attribute(OPTIONAL, 15, &[&[0, 2, 1], field].concat());
        let withdrawn = body(&[], std::slice::from_ref(&mp), &[]);
        resets(&withdrawn, &EXTERNAL, UpdateError::OptionalAttributeError, &mp);
    }
}

// Section 7: attribute by attribute.

#[test]
fn origin_of_a_wrong_length_or_value_withdraws() {
    for value in [&[][..], &[0, 0], &[3], &[255]] {
        let attributes = [attribute(WELL_KNOWN, 1, value), as_path(), next_hop()];
        treats_as_withdraw(&announce_with(&attributes), &EXTERNAL, 1);
    }
}

#[test]
fn as_path_that_does_not_parse_withdraws() {
    for value in [
        &[2][..],                        // half a head
        &[2, 2, 0, 0, 0, 1],             // segment overrun
        &[2, 1, 0, 0, 0, 1, 2],          // one octet left
        &[2, 0],                         // empty segment
        &[2, 1, 0, 0, 0, 1, 1, 0],       // empty set behind a sequence
        &[5, 1, 0, 0, 0, 1],             // unknown segment
        &[0, 1, 0, 0, 0, 1],             // unknown segment
        &[2, 1, 0, 0, 0, 0],             // AS 0 (RFC 7607)
        &[2, 2, 0, 0, 0, 1, 0, 0, 0, 0], // AS 0 further behind
        &[3, 1, 0, 0, 0, 1],             // confederation segment from outside (RFC 5065)
    ] {
        let attributes = [origin(), attribute(WELL_KNOWN, 2, value), next_hop()];
        treats_as_withdraw(&announce_with(&attributes), &EXTERNAL, 2);
    }
}

#[test]
fn as_path_from_another_member_of_the_confederation_begins_with_its_sequence() {
    let member = DecodeContext { peer: PeerKind::Confederation, ..EXTERNAL };
    for (value, right) in [
        (&[3, 1, 0, 0, 0, 1][..], true),
        (&[3, 1, 0, 0, 0, 1, 2, 1, 0, 0, 0, 2], true),
        (&[], false),
        (&[4, 1, 0, 0, 0, 1], false),
        (&[2, 1, 0, 0, 0, 2, 3, 1, 0, 0, 0, 1], false),
    ] {
        let body = announce_with(&[origin(), attribute(WELL_KNOWN, 2, value), next_hop()]);
        if right {
            assert_eq!(decode(&body, &member).faults, []);
        } else {
            treats_as_withdraw(&body, &member, 2);
        }
    }
}

#[test]
fn as_path_without_the_peers_as_in_front_withdraws_if_that_is_enforced() {
    let enforced = |asn| DecodeContext { first_as: Some(Asn(asn)), ..EXTERNAL };
    assert_eq!(decode(&announce(&[]), &enforced(65001)).faults, []);
    treats_as_withdraw(&announce(&[]), &enforced(65002), 2);
    let empty = [origin(), attribute(WELL_KNOWN, 2, &[]), next_hop()];
    treats_as_withdraw(&announce_with(&empty), &enforced(65001), 2);
}

#[test]
fn the_peers_as_must_lead_the_merged_path() {
    let narrow = DecodeContext { four_octet_as: false, first_as: Some(Asn(65001)), ..EXTERNAL };
    let path = attribute(WELL_KNOWN, 2, &[2, 2, 0xfd, 0xe9, 0x5b, 0xa0]);
    let read = |as4_path: &[u8]| {
        let as4_path = attribute(OPTIONAL_TRANSITIVE, 17, as4_path);
        // The repetition is harmless by itself, and must not hide the fault.
        announce_with(&[origin(), path.clone(), next_hop(), as4_path, path.clone()])
    };
    assert_eq!(decode(&read(&[2, 1, 0, 1, 0, 0]), &narrow).reach.len(), 1);
    let update = decode(&read(&[2, 2, 0, 0, 0xfd, 0xea, 0, 1, 0, 0]), &narrow);
    assert_eq!(update.faults.last(), Some(&Fault::withdraw(2, FaultReason::FirstAs(Asn(65001)))));
    assert_eq!(update.unreach, [unreach(Family::Ipv4, &["10.0.0.0/8"])]);
}

#[test]
fn next_hop_of_a_wrong_length_withdraws() {
    for len in [0, 1, 2, 3, 5, 16] {
        let attributes = [origin(), as_path(), attribute(WELL_KNOWN, 3, &vec![1; len])];
        treats_as_withdraw(&announce_with(&attributes), &EXTERNAL, 3);
    }
}

#[test]
fn next_hop_that_no_router_can_have_withdraws() {
    for addr in [[0, 0, 0, 0], [127, 0, 0, 1], [224, 0, 0, 5], [255, 255, 255, 255], [240, 0, 0, 1]] {
        let attributes = [origin(), as_path(), attribute(WELL_KNOWN, 3, &addr)];
        treats_as_withdraw(&announce_with(&attributes), &EXTERNAL, 3);
    }
}

#[test]
fn med_of_a_wrong_length_withdraws() {
    for len in [0, 3, 5] {
        treats_as_withdraw(&announce(&[attribute(OPTIONAL, 4, &vec![0; len])]), &EXTERNAL, 4);
    }
}

#[test]
fn local_pref_from_an_external_peer_is_discarded_right_or_wrong() {
    for value in [&[0, 0, 0, 200][..], &[1]] {
        let attributes = discards(&announce(&[attribute(WELL_KNOWN, 5, value)]), &EXTERNAL, 5);
        assert_eq!(attributes.local_pref, None);
    }
}

#[test]
fn local_pref_of_a_wrong_length_withdraws() {
    for len in [0, 3, 5] {
        treats_as_withdraw(&announce(&[attribute(WELL_KNOWN, 5, &vec![0; len])]), &INTERNAL, 5);
    }
}

#[test]
fn atomic_aggregate_with_a_value_is_discarded() {
    let attributes = discards(&announce(&[attribute(WELL_KNOWN, 6, &[0])]), &EXTERNAL, 6);
    assert!(!attributes.atomic_aggregate);
}

#[test]
fn aggregator_of_a_wrong_length_or_with_as_0_is_discarded() {
    let narrow = DecodeContext { four_octet_as: false, ..EXTERNAL };
    for (context, value) in [
        (EXTERNAL, &[0xfd, 0xe9, 1, 2, 3, 4][..]),
        (EXTERNAL, &[0, 0, 0, 0, 1, 2, 3, 4]),
        (EXTERNAL, &[]),
        (narrow, &[0, 0, 0xfd, 0xe9, 1, 2, 3, 4]),
        (narrow, &[0, 0, 1, 2, 3, 4]),
    ] {
        let path = attribute(WELL_KNOWN, 2, &[]);
        let body = announce_with(&[origin(), path, next_hop(), attribute(OPTIONAL_TRANSITIVE, 7, value)]);
        assert_eq!(discards(&body, &context, 7).aggregator, None);
    }
}

#[test]
fn communities_of_a_wrong_length_withdraw() {
    for (code, lens) in [(8, [0, 3, 6]), (16, [0, 7, 12]), (25, [0, 19, 24]), (32, [0, 11, 16])] {
        for len in lens {
            let communities = attribute(OPTIONAL_TRANSITIVE, code, &vec![1; len]);
            treats_as_withdraw(&announce(&[communities]), &EXTERNAL, code);
        }
    }
}

#[test]
fn reflection_attributes_from_an_external_peer_are_discarded_right_or_wrong() {
    for (code, value) in [(9, &[1, 2, 3, 4][..]), (9, &[1]), (10, &[1, 2, 3, 4]), (10, &[])] {
        let attributes = discards(&announce(&[attribute(OPTIONAL, code, value)]), &EXTERNAL, code);
        assert_eq!((attributes.originator_id, attributes.cluster_list.len()), (None, 0));
    }
}

#[test]
fn reflection_attributes_of_a_wrong_length_withdraw() {
    for (code, len) in [(9, 3), (9, 8), (10, 0), (10, 6)] {
        treats_as_withdraw(&announce(&[attribute(OPTIONAL, code, &vec![1; len])]), &INTERNAL, code);
    }
}

#[test]
fn mp_reach_with_a_next_hop_of_a_wrong_length_resets() {
    for len in [0, 4, 15, 17, 24, 48] {
        let mp = mp_reach(&vec![0x20; len], &[8, 0xfd]);
        let announced = body(&[], &[mp.clone(), origin(), as_path()], &[]);
        resets(&announced, &EXTERNAL, UpdateError::OptionalAttributeError, &mp);
    }
}

#[test]
fn mp_attributes_that_are_cut_short_reset() {
    for value in [&[][..], &[0, 2], &[0, 2, 1], &[0, 2, 1, 16], &[0, 2, 1, 4, 1, 2, 3, 4], &[0, 2, 1, 255, 1]]
    {
        let mp = attribute(OPTIONAL, 14, value);
        let announced = body(&[], &[mp.clone(), origin(), as_path()], &[]);
        resets(&announced, &EXTERNAL, UpdateError::OptionalAttributeError, &mp);
    }
    let mp = attribute(OPTIONAL, 15, &[0, 2]);
    resets(&body(&[], std::slice::from_ref(&mp), &[]), &EXTERNAL, UpdateError::OptionalAttributeError, &mp);
}

#[test]
fn mp_next_hop_that_no_router_can_have_withdraws() {
    for addr in ["::", "::1", "ff02::1"] {
        let addr: std::net::Ipv6Addr = addr.parse().unwrap();
        let mp = mp_reach(&addr.octets(), &[8, 0xfd]);
        let update = decode(&body(&[], &[mp, origin(), as_path()], &[]), &EXTERNAL);
        assert_eq!(update.unreach, [unreach(Family::Ipv6, &["fd00::/8"])]);
    }
}

#[test]
fn only_to_customer_of_a_wrong_length_withdraws() {
    for len in [0, 2, 8] {
        treats_as_withdraw(&announce(&[attribute(OPTIONAL_TRANSITIVE, 35, &vec![1; len])]), &EXTERNAL, 35);
    }
}

#[test]
fn as4_attributes_that_do_not_parse_are_discarded() {
    let narrow = DecodeContext { four_octet_as: false, ..EXTERNAL };
    let path = attribute(WELL_KNOWN, 2, &[2, 1, 0x5b, 0xa0]);
    for (code, value) in [
        (17, &[][..]),
        (17, &[2]),
        (17, &[2, 2, 0, 0, 0, 1]),
        (17, &[9, 1, 0, 0, 0, 1]),
        (17, &[2, 1, 0, 0, 0, 0]),
        (18, &[]),
        (18, &[0, 1, 1, 2, 3, 4]),
        (18, &[0, 0, 0, 0, 1, 2, 3, 4]),
    ] {
        let attributes = [origin(), path.clone(), next_hop(), attribute(OPTIONAL_TRANSITIVE, code, value)];
        let attributes = discards(&announce_with(&attributes), &narrow, code);
        assert_eq!(attributes.as_path, asns(&[23456]));
    }
}

#[test]
fn as4_attributes_from_a_four_octet_speaker_are_discarded() {
    for (code, value) in [(17, &[2, 1, 0, 0, 0, 1][..]), (17, &[1]), (18, &[0, 0, 0, 1, 1, 2, 3, 4])] {
        let attributes = discards(&announce(&[attribute(OPTIONAL_TRANSITIVE, code, value)]), &EXTERNAL, code);
        assert_eq!(attributes.as_path, asns(&[65001]));
    }
}

#[test]
fn unrecognised_well_known_attributes_reset() {
    let unknown = attribute(WELL_KNOWN, 99, &[1, 2]);
    resets(
        &announce(std::slice::from_ref(&unknown)),
        &EXTERNAL,
        UpdateError::UnrecognizedWellKnownAttribute,
        &unknown,
    );
}

#[test]
fn faults_are_written_for_people() {
    let attributes = [origin(), attribute(WELL_KNOWN, 2, &[2, 0]), next_hop()];
    let update = decode(&announce_with(&attributes), &EXTERNAL);
    assert_eq!(update.faults[0].to_string(), "AS_PATH: a segment is empty (treat as withdraw)");
    let fault = Update::decode(&announce(&[attribute(WELL_KNOWN, 99, &[])]), &EXTERNAL).unwrap_err();
    assert_eq!(
        fault.to_string(),
        "attribute 99: a well-known attribute that is not recognised \
         (session reset: UPDATE Message Error / Unrecognized Well-known Attribute)"
    );
}
