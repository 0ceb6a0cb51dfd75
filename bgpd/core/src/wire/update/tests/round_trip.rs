use bytes::BytesMut;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::wire::{
    Aggregator, AsPath, Community, ExtendedCommunity, Framer, Ipv6ExtendedCommunity, LargeCommunity, Marks,
    Message, Origin, UnknownAttribute, UnknownAttributes,
};

fn any_path() -> impl Strategy<Value = AsPath> {
    let asn = prop_oneof![1..70_000u32, 1..=u32::MAX];
    let segment = (1..=2u8, vec(asn, 1..20));
    vec(segment, 0..4).prop_map(|segments| {
        let mut wire = Vec::new();
        for (kind, asns) in segments {
            wire.extend_from_slice(&[kind, u8::try_from(asns.len()).unwrap()]);
            asns.iter().for_each(|asn| wire.extend_from_slice(&asn.to_be_bytes()));
        }
        AsPath::from_wire(&wire).unwrap()
    })
}

fn any_unknown() -> impl Strategy<Value = UnknownAttributes> {
    // Type codes that nobody assigned a meaning to, each once.
    prop::collection::btree_map(100..120u8, vec(any::<u8>(), 0..300), 0..3).prop_map(|attributes| {
        attributes.iter().map(|(code, value)| UnknownAttribute { code: *code, flags: 0xe0, value }).collect()
    })
}

fn any_attributes() -> impl Strategy<Value = Attributes> {
    let aggregator = (1..=u32::MAX, any::<[u8; 4]>())
        .prop_map(|(asn, id)| Aggregator { asn: Asn(asn), router_id: id.into() });
    let numbers = (option::of(any::<u32>()), option::of(any::<u32>()), option::of(any::<u32>()));
    let reflection = (option::of(any::<[u8; 4]>()), vec(any::<[u8; 4]>(), 0..4));
    let communities = (
        vec(any::<u32>().prop_map(Community), 0..12),
        vec(any::<[u8; 8]>().prop_map(ExtendedCommunity), 0..5),
        vec(any::<[u8; 20]>().prop_map(Ipv6ExtendedCommunity), 0..3),
        vec(any::<[u32; 3]>(), 0..5),
    );
    let rest = (0..3u8, any::<bool>(), option::of(aggregator), any_unknown());
    (any_path(), numbers, reflection, communities, rest).prop_map(
        |(as_path, (med, local_pref, otc), (originator, clusters), communities, rest)| {
            let (origin, atomic_aggregate, aggregator, unknown) = rest;
            let large = |[global, local1, local2]: [u32; 3]| LargeCommunity { global, local1, local2 };
            Attributes {
                origin: Origin::from_wire(origin).unwrap(),
                as_path,
                med,
                local_pref,
                atomic_aggregate,
                aggregator,
                originator_id: originator.map(Into::into),
                cluster_list: clusters.into_iter().map(std::net::Ipv4Addr::from).collect(),
                communities: communities.0.into_iter().collect(),
                extended_communities: communities.1.into_iter().collect(),
                ipv6_extended_communities: communities.2.into_iter().collect(),
                large_communities: communities.3.into_iter().map(large).collect(),
                only_to_customer: otc.map(Asn),
                unknown,
                marks: Marks::default(),
            }
        },
    )
}

fn any_nlri(family: Family) -> impl Strategy<Value = Nlri> {
    let addr = any::<[u8; 16]>().prop_map(move |octets| match family {
        Family::Ipv4 => [octets[0], octets[1], octets[2], octets[3]].into(),
        Family::Ipv6 => octets.into(),
    });
    (addr, 0..=family.bits(), any::<u32>())
        .prop_map(|(addr, len, path_id)| Nlri { prefix: Prefix::containing(addr, len).unwrap(), path_id })
}

/// A family, a next hop that fits it, and prefixes.
fn any_reach() -> impl Strategy<Value = Reach> {
    let v6: NextHop = NextHop::new("2001:db8::1".parse().unwrap());
    let both = NextHop { link_local: Some("fe80::1".parse().unwrap()), ..v6 };
    let cases = [
        (Family::Ipv4, NextHop::new("192.0.2.1".parse().unwrap())),
        (Family::Ipv4, v6),
        (Family::Ipv6, v6),
        (Family::Ipv6, both),
    ];
    prop::sample::select(cases.to_vec()).prop_flat_map(|(family, next_hop)| {
        vec(any_nlri(family), 1..300).prop_map(move |nlri| Reach { family, next_hop, nlri })
    })
}

/// Both sides' view of one session.
fn any_session() -> impl Strategy<Value = (EncodeContext, DecodeContext)> {
    (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(four_octet_as, path_ids, extended)| {
        let add_path = if path_ids { Families::ALL } else { Families::NONE };
        let max_message_len = if extended { 65535 } else { 4096 };
        let encode = EncodeContext { four_octet_as, add_path, max_message_len };
        (encode, DecodeContext { four_octet_as, add_path, extended_next_hop: true, ..INTERNAL })
    })
}

proptest! {
    #[test]
    fn what_was_encoded_is_decoded(
        attributes in any_attributes(),
        reach in any_reach(),
        (encode, context) in any_session(),
    ) {
        let Reach { family, next_hop, mut nlri } = reach;
        let encoded = EncodedAttributes::new(&attributes, family, next_hop, &encode).unwrap();
        let mut out = BytesMut::new();
        encoded.reach(nlri.iter().copied(), &mut out);
        encode_unreach(family, nlri.iter().copied(), &encode, &mut out);
        if encode.add_path.is_empty() {
            nlri.iter_mut().for_each(|nlri| nlri.path_id = 0);
        }

        let mut framer = Framer::default();
        framer.allow_extended_messages();
        framer.push(&out);
        let (mut announced, mut withdrawn) = (Vec::new(), Vec::new());
        while let Some(frame) = framer.next_frame().unwrap() {
            let Message::Update(update) = Message::decode(&frame, &context).unwrap() else { unreachable!() };
            prop_assert_eq!(&update.faults, &[]);
            for reach in update.reach {
                prop_assert_eq!((reach.family, reach.next_hop), (family, next_hop));
                prop_assert_eq!(update.attributes.as_ref(), Some(&attributes));
                announced.extend(reach.nlri);
            }
            withdrawn.extend(update.unreach.into_iter().flat_map(|unreach| unreach.nlri));
        }
        prop_assert_eq!(&announced, &nlri);
        prop_assert_eq!(&withdrawn, &nlri);
    }

    #[test]
    fn any_octets_decode_without_panic(
        octets in vec(any::<u8>(), 0..200),
        four_octet_as: bool, path_ids: bool, external: bool,
    ) {
        let context = DecodeContext {
            peer: if external { PeerKind::External } else { PeerKind::Internal },
            four_octet_as,
            add_path: if path_ids { Families::ALL } else { Families::NONE },
            extended_next_hop: true,
            ..EXTERNAL
        };
        let _ = Update::decode(&octets, &context);
    }

    /// Random octets seldom get beyond the first length; so take a good message and break a few octets.
    #[test]
    fn a_broken_message_never_panics_and_never_invents_a_family(
        attributes in any_attributes(),
        reach in any_reach(),
        breaks in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        context in any_session(),
    ) {
        let encoded = EncodedAttributes::new(&attributes, reach.family, reach.next_hop, &context.0).unwrap();
        let mut out = BytesMut::new();
        encoded.reach(reach.nlri, &mut out);
        let mut body = out.split_off(crate::wire::HEADER_LEN);
        for (index, octet) in breaks {
            let at = index.index(body.len());
            body[at] = octet;
        }
        if let Ok(update) = Update::decode(&body, &context.1) {
            prop_assert_eq!(update.attributes.is_some(), !update.reach.is_empty());
            for reach in &update.reach {
                prop_assert!(reach.nlri.iter().all(|nlri| nlri.prefix.family() == reach.family));
            }
        }
    }
}
