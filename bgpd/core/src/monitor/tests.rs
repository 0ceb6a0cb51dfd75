use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use cairn_net::{Asn, Families, Family};

use super::bmp::{self, PeerHeader, Rib, Statistic};
use super::*;
use crate::rib::RouteAttributes;
use crate::speaker::{DownReason, Opens};
use crate::wire::{
    Attributes, CeaseError, EncodeContext, Message, NextHop, Notification, Open, UnknownAttribute,
    encode_end_of_rib,
};

const AT: Duration = Duration::from_micros(1_700_000_000_000_007);

fn peer() -> (IpAddr, MonitoredPeer) {
    let open = |asn: u32| {
        let router_id = "10.0.0.1".parse().unwrap();
        Open { asn: Asn(asn), hold_time: 90, router_id, capabilities: Vec::new() }.encode()
    };
    let session = MonitoredPeer {
        ends: ("192.0.2.1:179".parse().unwrap(), "192.0.2.2:40000".parse().unwrap()),
        asn: Asn(65002),
        local_asn: Asn(65001),
        router_id: "10.0.0.2".parse().unwrap(),
        four_octet_as: true,
        families: Families::ALL,
        receive: EncodeContext::default(),
        send: EncodeContext::default(),
        opens: Opens { sent: open(65001), received: open(65002) },
    };
    ("192.0.2.2".parse().unwrap(), session)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The per-peer header of [`peer`] with these flags, as RFC 7854 section 4.2 draws it.
fn header(flags: &str) -> String {
    format!("00{flags}0000000000000000000000000000000000000000c00002020000fdea0a0000026553f10000000007")
}

/// Length and type of a message, and its rest in hex.
fn parts(message: &[u8]) -> (u8, String) {
    assert_eq!(message[0], 3);
    assert_eq!(u32::from_be_bytes(message[1..5].try_into().unwrap()) as usize, message.len());
    (message[5], hex(&message[6..]))
}

#[test]
fn the_per_peer_header_is_as_the_rfc_draws_it() {
    let (address, session) = peer();
    let end = encode_end_of_rib(Family::Ipv4);
    let of = |rib| {
        let messages = bmp::route_monitoring(&PeerHeader::new(address, &session), rib, end.clone(), AT);
        let [message] = messages.as_slice() else { panic!("{}", messages.len()) };
        parts(message)
    };
    assert_eq!(of(Rib::PrePolicy), (0, header("00") + &hex(&end)));
    assert_eq!(of(Rib::PostPolicy), (0, header("40") + &hex(&end)));
    assert_eq!(of(Rib::AdjOut), (0, header("50") + &hex(&end)));
    let old = MonitoredPeer { four_octet_as: false, ..session };
    let v6 =
        bmp::route_monitoring(&PeerHeader::new("fd00::2".parse().unwrap(), &old), Rib::PrePolicy, end, AT);
    assert!(parts(&v6[0]).1.starts_with("00a00000000000000000fd000000000000000000000000000002"));
}

#[test]
fn updates_that_were_sent_together_are_shown_one_by_one() {
    let (address, session) = peer();
    let all: Vec<u8> = Family::ALL.iter().flat_map(|family| encode_end_of_rib(*family).to_vec()).collect();
    let header = PeerHeader::new(address, &session);
    let messages = bmp::route_monitoring(&header, Rib::AdjOut, all.clone().into(), AT);
    let rest: Vec<u8> = messages.iter().flat_map(|message| message[48..].to_vec()).collect();
    assert_eq!((messages.len(), rest), (2, all.clone()));
    // What is cut short is left out rather than shown wrongly.
    let cut = Bytes::copy_from_slice(&all[..all.len() - 1]);
    assert_eq!(bmp::route_monitoring(&header, Rib::AdjOut, cut, AT).len(), 1);
}

#[test]
fn peer_up_has_both_ends_and_both_opens() {
    let (address, session) = peer();
    let (kind, rest) = parts(&bmp::peer_up(address, &session, AT));
    let opens = hex(&session.opens.sent) + &hex(&session.opens.received);
    let expected = header("00") + "000000000000000000000000c000020100b39c40" + &opens;
    assert_eq!((kind, rest), (3, expected));
    let (_, loc_rib) = parts(&bmp::loc_rib_up(Asn(65001), "10.0.0.1".parse().unwrap(), AT));
    assert!(loc_rib.starts_with("03000000") && loc_rib.len() == 2 * (42 + 20 + 2 * 49), "{loc_rib}");
}

#[test]
fn peer_down_tells_the_four_reasons_apart() {
    let (address, session) = peer();
    let header = PeerHeader::new(address, &session);
    let notification = Notification::cease(CeaseError::AdministrativeShutdown);
    let down = |reason: DownReason, sent: Option<&Notification>| {
        let (kind, rest) = parts(&bmp::peer_down(&header, &reason, sent, AT));
        assert_eq!(kind, 2);
        rest[84..].to_owned()
    };
    let pdu = hex(&notification.encode());
    let stopped = || DownReason::Stopped(String::new());
    assert_eq!(down(stopped(), Some(&notification)), format!("01{pdu}"));
    assert_eq!(down(stopped(), None), "020002");
    assert_eq!(down(DownReason::NotificationReceived(notification), None), format!("03{pdu}"));
    assert_eq!(down(DownReason::ConnectionLost(String::new()), None), "04");
    assert_eq!(down(DownReason::Deconfigured, None), "05");
}

#[test]
fn statistics_are_gauges_of_64_bits() {
    let (address, session) = peer();
    let values = [Statistic::AdjIn(1), Statistic::FamilyAdjOut(Family::Ipv6, 2)];
    let (kind, rest) = parts(&bmp::statistics(&PeerHeader::new(address, &session), &values, AT));
    let expected = "00000002000700080000000000000001".to_owned() + "0011000b0002010000000000000002";
    assert_eq!((kind, &rest[84..]), (1, &*expected));
}

#[test]
fn a_connection_begins_with_names_and_ends_with_a_reason() {
    assert_eq!(parts(&bmp::initiation("ab", "c")), (4, "00010002616200020001".to_owned() + "63"));
    assert_eq!(parts(&bmp::termination()), (5, "000100020000".to_owned()));
}

#[test]
fn routes_become_updates_that_share_attributes_and_keep_their_order() {
    let route =
        |text: &str| MonitoredRoute { nlri: text.parse::<cairn_net::Prefix>().unwrap().into(), route: None };
    let routes = [route("10.0.0.0/8"), route("10.1.0.0/16"), route("fd00::/8"), route("10.2.0.0/16")];
    let updates = encode_updates(&routes, &EncodeContext::default());
    let mut prefixes = Vec::new();
    for update in &updates {
        let mut framer = crate::wire::Framer::default();
        framer.push(update);
        let frame = framer.next_frame().unwrap().unwrap();
        let context = crate::wire::DecodeContext {
            peer: crate::wire::PeerKind::Internal,
            four_octet_as: true,
            families: Families::ALL,
            add_path: Families::NONE,
            extended_next_hop: true,
            first_as: None,
        };
        let Ok(Message::Update(update)) = Message::decode(&frame, &context) else { panic!("no UPDATE") };
        prefixes.extend(update.unreach.iter().flat_map(|part| part.nlri.clone()).map(|nlri| nlri.prefix));
    }
    assert_eq!(updates.len(), 3);
    assert_eq!(prefixes, routes.map(|route| route.nlri.prefix));
}

#[test]
fn a_route_whose_attributes_fill_a_message_is_shown_and_one_that_does_not_fit_left_out() {
    let route = |octets: usize, prefix: &str| {
        let unknown = UnknownAttribute { code: 99, flags: 0xc0, value: &vec![7; octets] };
        let attributes = Attributes { unknown: [unknown].into_iter().collect(), ..Attributes::default() };
        let next_hop = NextHop::new("192.0.2.1".parse().unwrap());
        let nlri = prefix.parse::<cairn_net::Prefix>().unwrap().into();
        MonitoredRoute { nlri, route: Some(RouteAttributes::detached(attributes, next_hop).into()) }
    };
    let context = EncodeContext::default();
    let most =
        (0..4096).rev().find(|octets| encode_updates(&[route(*octets, "10.0.0.0/8")], &context).len() == 1);
    let most = most.expect("a short one fits");
    assert!((4000..4096).contains(&most), "{most}");
    let routes = [route(most, "10.0.0.0/8"), route(most + 1, "10.1.0.0/16"), route(1, "10.2.0.0/16")];
    let updates = encode_updates(&routes, &context);
    assert_eq!(updates.len(), 2, "what cannot be told is left out, and the rest is told");
    let (address, session) = peer();
    let header = PeerHeader::new(address, &session);
    for update in updates {
        assert!(update.len() <= 4096);
        for message in bmp::route_monitoring(&header, Rib::AdjOut, update, AT) {
            assert_eq!(parts(&message).0, 0);
        }
    }
}

#[test]
fn a_table_dump_numbers_peers_and_abbreviates_the_ipv6_next_hop() {
    use super::mrt::{self, Entry, IndexedPeer};
    use crate::rib::RouteAttributes;
    use crate::wire::{AsPath, Attributes, NextHop};

    let peer = IndexedPeer { router_id: None, address: "fd00::2".parse().unwrap(), asn: Asn(65002) };
    let index = mrt::peer_index("10.0.0.1".parse().unwrap(), Asn(65001), &[peer], AT);
    let expected = "6553f100000d0001".to_owned()
        + "0000002e"
        + "0a00000100000002"
        + "020a000001000000000000fde9"
        + "0300000000fd0000000000000000000000000000020000fdea";
    assert_eq!(hex(&index), expected);

    let attributes = Attributes { as_path: AsPath::sequence([Asn(65002)]), ..Attributes::default() };
    let next_hop = NextHop::new("fd00::2".parse().unwrap());
    let route = RouteAttributes::detached(attributes.clone(), next_hop);
    let entry = Entry { peer: 1, since: AT, path_id: 0, route: &route };
    let prefix = "fd00:1::/32".parse().unwrap();
    let record = mrt::rib_entries(7, prefix, &[entry], AT).unwrap();
    let text = hex(&record);
    assert!(
        text.starts_with("6553f100000d0004") && text[24..].starts_with("0000000720fd00000100010001"),
        "{text}"
    );
    // Only the length and the next hop of MP_REACH_NLRI (RFC 6396 section 4.3.4).
    assert!(text.contains("800e1110fd000000000000000000000000000002"), "{text}");
    let with_id = mrt::rib_entries(7, prefix, &[Entry { path_id: 9, ..entry }], AT).unwrap();
    assert!(hex(&with_id).starts_with("6553f100000d000a") && with_id.len() == record.len() + 4);
    assert_eq!(mrt::rib_entries(7, prefix, &[], AT), None);
}

#[test]
fn recorded_messages_and_states_are_as_the_rfcs_draw_them() {
    use super::bgp4mp::{Ends, MessageForm, Precision, message, state_change};
    use crate::fsm::State;

    let ends = Ends {
        peer: "192.0.2.2".parse().unwrap(),
        peer_as: Asn(65002),
        local: Some("192.0.2.1".parse().unwrap()),
        local_as: Asn(4_200_000_001),
    };
    let record = |four_octet_as, path_ids, precision| {
        let mut out = bytes::BytesMut::new();
        message(&ends, MessageForm { four_octet_as, path_ids }, &[0xab, 0xcd], AT, precision, &mut out);
        hex(&out)
    };
    let addresses = "00000001c0000202c0000201";
    // AS numbers of two octets: the local one does not fit.
    let short = format!("fdea5ba0{addresses}abcd");
    let long = format!("0000fdeafa56ea01{addresses}abcd");
    assert_eq!(record(false, false, Precision::Seconds), format!("6553f1000010000100000012{short}"));
    assert_eq!(record(true, false, Precision::Seconds), format!("6553f1000010000400000016{long}"));
    assert_eq!(
        record(false, true, Precision::Microseconds),
        format!("6553f100001100080000001600000007{short}")
    );
    assert_eq!(
        record(true, true, Precision::Microseconds),
        format!("6553f100001100090000001a00000007{long}")
    );

    let v6 = Ends { peer: "fd00::2".parse().unwrap(), local: None, ..ends };
    let mut out = bytes::BytesMut::new();
    state_change(&v6, (State::OpenConfirm, State::Established), AT, Precision::Seconds, &mut out);
    let expected = "6553f1000010000500000030".to_owned()
        + "0000fdeafa56ea0100000002"
        + "fd000000000000000000000000000002"
        + "00000000000000000000000000000000"
        + "00050006";
    assert_eq!(hex(&out), expected);
}
