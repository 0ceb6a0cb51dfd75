use bytes::BytesMut;

use super::*;
use crate::wire::{EXTENDED_MAX_MESSAGE_LEN, Frame, Framer, HEADER_LEN, MAX_MESSAGE_LEN, MessageType};

const V4: &str = "192.0.2.1";
const V6: &str = "2001:db8::1";

fn frames(stream: &[u8]) -> Vec<Frame> {
    let mut framer = Framer::default();
    framer.allow_extended_messages();
    framer.push(stream);
    std::iter::from_fn(|| framer.next_frame().unwrap()).collect()
}

fn attributes() -> Attributes {
    Attributes { as_path: asns(&[65001]), ..Attributes::default() }
}

fn encode(family: Family, next_hop: &str, context: &EncodeContext, nlri: Vec<Nlri>) -> (usize, BytesMut) {
    let next_hop = NextHop::new(next_hop.parse().unwrap());
    let encoded = EncodedAttributes::new(&attributes(), family, next_hop, context).unwrap();
    let mut out = BytesMut::new();
    let messages = encoded.reach(nlri, &mut out);
    (messages, out)
}

fn many(family: Family, count: u32) -> Vec<Nlri> {
    let host = |n: u32| match family {
        Family::Ipv4 => Prefix::host(std::net::Ipv4Addr::from(0x0a00_0000 + n).into()),
        Family::Ipv6 => Prefix::host(std::net::Ipv6Addr::from((0xfd << 120) + u128::from(n)).into()),
    };
    (0..count).map(|n| Nlri { prefix: host(n), path_id: n }).collect()
}

#[test]
fn ipv4_over_ipv4_uses_the_old_fields() {
    let (messages, out) = encode(Family::Ipv4, V4, &EncodeContext::default(), nlri(&["10.0.0.0/8"]));
    assert_eq!(messages, 1);
    assert_eq!(frames(&out)[0].body, body(&[], &[origin(), as_path(), next_hop()], NET_10));
}

#[test]
fn everything_else_uses_mp_reach_as_the_first_attribute() {
    for (family, afi) in [(Family::Ipv4, 1), (Family::Ipv6, 2)] {
        let (_, out) = encode(family, V6, &EncodeContext::default(), many(family, 1));
        let body = &frames(&out)[0].body;
        assert_eq!(body[4..6], [0x90, 14]);
        assert_eq!(body[8..11], [0, afi, 1]);
    }
}

#[test]
fn messages_are_filled_to_the_maximum_and_no_further() {
    for max_message_len in [MAX_MESSAGE_LEN, EXTENDED_MAX_MESSAGE_LEN] {
        for family in Family::ALL {
            for add_path in [Families::NONE, Families::ALL] {
                let context = EncodeContext { add_path, max_message_len, ..EncodeContext::default() };
                let sent = many(family, 20_000);
                let next_hop = if family == Family::Ipv4 { V4 } else { V6 };
                let (messages, out) = encode(family, next_hop, &context, sent.clone());
                let mut withdrawals = BytesMut::new();
                encode_unreach(family, sent.clone(), &context, &mut withdrawals);
                let longest_nlri = Nlri::max_len(family);
                for (stream, count) in [(&out, Some(messages)), (&withdrawals, None)] {
                    let frames = frames(stream);
                    assert!(count.is_none_or(|count| count == frames.len()));
                    for frame in &frames[..frames.len() - 1] {
                        let len = frame.body.len() + HEADER_LEN;
                        assert!(len <= max_message_len && len > max_message_len - longest_nlri, "{len}");
                    }
                }
                let received = DecodeContext { add_path, ..EXTERNAL };
                let ids = |nlri: Nlri| if add_path.is_empty() { Nlri { path_id: 0, ..nlri } } else { nlri };
                let expected: Vec<_> = sent.into_iter().map(ids).collect();
                let reached: Vec<_> = frames(&out)
                    .iter()
                    .flat_map(|frame| decode(&frame.body, &received).reach.remove(0).nlri)
                    .collect();
                assert_eq!(reached, expected);
                let withdrawn: Vec<_> = frames(&withdrawals)
                    .iter()
                    .flat_map(|frame| decode(&frame.body, &received).unreach.remove(0).nlri)
                    .collect();
                assert_eq!(withdrawn, expected);
            }
        }
    }
}

#[test]
fn fitting_is_the_same_as_being_encoded() {
    for (family, next_hop) in [(Family::Ipv4, V4), (Family::Ipv4, V6), (Family::Ipv6, V6), (Family::Ipv6, V4)]
    {
        let next_hop = NextHop::new(next_hop.parse().unwrap());
        for four_octet_as in [true, false] {
            let context = EncodeContext { four_octet_as, ..EncodeContext::default() };
            let mut both = [false; 2];
            for communities in 850..1050 {
                let communities = (0..communities).map(crate::wire::Community).collect();
                let attributes = Attributes {
                    as_path: asns(&[65001, 131_072, 65003]),
                    communities,
                    ..Attributes::default()
                };
                let encoded = EncodedAttributes::new(&attributes, family, next_hop, &context).is_ok();
                assert_eq!(EncodedAttributes::fits(&attributes, family, next_hop, &context), encoded);
                both[usize::from(encoded)] = true;
            }
            assert_eq!(both, [true, family == Family::Ipv4 || next_hop.family() == Family::Ipv6]);
        }
    }
}

#[test]
fn no_prefix_no_message() {
    let (messages, out) = encode(Family::Ipv4, V4, &EncodeContext::default(), vec![]);
    assert_eq!((messages, out.len()), (0, 0));
    let mut out = BytesMut::new();
    assert_eq!(encode_unreach(Family::Ipv6, [], &EncodeContext::default(), &mut out), 0);
    assert!(out.is_empty());
}

#[test]
fn an_end_of_rib_is_recognised() {
    for family in Family::ALL {
        let frame = frames(&encode_end_of_rib(family)).remove(0);
        assert_eq!(frame.kind, MessageType::Update);
        assert_eq!(decode(&frame.body, &EXTERNAL).end_of_rib, Some(family));
    }
}

#[test]
fn an_ipv6_route_over_ipv4_is_refused() {
    let next_hop = NextHop::new(V4.parse().unwrap());
    let context = EncodeContext::default();
    let error = EncodedAttributes::new(&attributes(), Family::Ipv6, next_hop, &context).unwrap_err();
    assert_eq!(error.to_string(), "a route of family ipv6 cannot have the next hop 192.0.2.1");
}

#[test]
fn unknown_attributes_are_marked_partial_when_passed_on() {
    let unknown = attribute(OPTIONAL_TRANSITIVE, 99, &[1]);
    let attributes = decode(&announce(&[unknown]), &EXTERNAL).attributes.unwrap();
    let next_hop = NextHop::new(V4.parse().unwrap());
    let context = EncodeContext::default();
    let encoded = EncodedAttributes::new(&attributes, Family::Ipv4, next_hop, &context).unwrap();
    let mut out = BytesMut::new();
    encoded.reach(nlri(&["10.0.0.0/8"]), &mut out);
    assert_eq!(frames(&out)[0].body, announce(&[attribute(0xe0, 99, &[1])]));
}

#[test]
fn a_two_octet_peer_gets_as_trans_and_the_as4_attributes() {
    let context = EncodeContext { four_octet_as: false, ..EncodeContext::default() };
    let attributes = Attributes {
        as_path: asns(&[65001, 65536]),
        aggregator: Some(crate::wire::Aggregator { asn: Asn(65536), router_id: [1, 2, 3, 4].into() }),
        ..Attributes::default()
    };
    let next_hop = NextHop::new(V4.parse().unwrap());
    let encoded = EncodedAttributes::new(&attributes, Family::Ipv4, next_hop, &context).unwrap();
    let mut out = BytesMut::new();
    encoded.reach(nlri(&["10.0.0.0/8"]), &mut out);
    let body = &frames(&out)[0].body;
    let narrow = DecodeContext { four_octet_as: false, ..EXTERNAL };
    assert_eq!(decode(body, &narrow).attributes, Some(attributes));
    // What a speaker that never heard of four octets makes of it.
    assert!(body.windows(6).any(|window| window == [2, 2, 0xfd, 0xe9, 0x5b, 0xa0]));
}
