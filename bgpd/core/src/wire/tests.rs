//! What BIRD, FRR and GoBGP send, recorded from their sessions, is understood to the last octet.

use cairn_net::{Asn, Families, Family};

use super::*;

/// Octets of a file of hex digits and `#` comments.
fn octets(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .lines()
        .filter_map(|line| line.split('#').next())
        .flat_map(str::bytes)
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let octet = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(octet).collect()
}

/// One line for each message of a session.
fn told(stream: &str, four_octet_as: bool, add_path: Families) -> Vec<String> {
    let context = DecodeContext {
        peer: PeerKind::External,
        four_octet_as,
        families: Families::ALL,
        add_path,
        extended_next_hop: false,
        first_as: Some(Asn(65001)),
    };
    let mut framer = Framer::default();
    framer.push(&octets(stream));
    let frames = std::iter::from_fn(|| framer.next_frame().unwrap());
    let lines = frames.map(|frame| match Message::decode(&frame, &context).unwrap() {
        Message::Open(open) => {
            let codes: Vec<_> =
                open.capabilities.iter().map(|capability| capability.code().to_string()).collect();
            format!(
                "open AS{} hold {} id {} capabilities {}",
                open.asn,
                open.hold_time,
                open.router_id,
                codes.join(" ")
            )
        }
        Message::Update(update) => told_update(&update),
        Message::Notification(notification) => notification.to_string(),
        Message::Keepalive => "keepalive".to_owned(),
        Message::RouteRefresh(refresh) => format!("refresh {} {:?}", refresh.family, refresh.subtype),
    });
    lines.collect()
}

fn told_update(update: &Update) -> String {
    assert_eq!(update.faults, []);
    if let Some(family) = update.end_of_rib {
        return format!("end of {family}");
    }
    let [reach] = &update.reach[..] else { panic!("{update:?}") };
    let attributes = update.attributes.as_ref().unwrap();
    let mut line: Vec<String> =
        reach.nlri.iter().map(|nlri| format!("{}#{}", nlri.prefix, nlri.path_id)).collect();
    line.push(format!("via {} path {}", reach.next_hop, attributes.as_path));
    line.extend(attributes.med.map(|med| format!("med {med}")));
    line.extend(attributes.communities.iter().map(|community| community.to_string()));
    line.extend(attributes.extended_communities.iter().map(|community| community.to_string()));
    line.extend(attributes.large_communities.iter().map(|community| community.to_string()));
    line.extend(attributes.only_to_customer.map(|asn| format!("otc {asn}")));
    line.join(" ")
}

#[test]
fn a_session_of_bird_is_understood() {
    let told =
        told(include_str!("../../testdata/bgp-stream/bird.hex"), true, Families::NONE.with(Family::Ipv4));
    assert_eq!(
        told,
        [
            "open AS65001 hold 240 id 10.0.0.1 capabilities 1 1 2 5 6 9 64 65 69 70 71",
            "keepalive",
            "0.0.0.0/0#2 via 192.0.2.1 path 65001 otc 65001",
            "10.1.0.0/16#2 via 192.0.2.1 path 65001 65001:1 65001:1:2 otc 65001",
            "10.2.3.0/24#2 10.2.4.0/24#2 via 192.0.2.1 path 65001 4200000000 rt:65001:9 otc 65001",
            "end of ipv4",
            "::/0#0 fd00::1/128#0 via fd00::99 path 65001 otc 65001",
            "fd00:1::/64#0 via fd00::99 path 65001 no-export otc 65001",
            "end of ipv6",
        ]
    );
}

#[test]
fn a_two_octet_session_of_bird_is_understood() {
    let told = told(include_str!("../../testdata/bgp-stream/bird-two-octet.hex"), false, Families::NONE);
    let wide = "10.2.3.0/24#0 10.2.4.0/24#0 via 192.0.2.1 path 65001 4200000000 rt:65001:9 otc 65001";
    assert!(told.iter().any(|line| line == wide), "{told:#?}");
}

#[test]
fn a_session_of_frr_is_understood() {
    let told = told(include_str!("../../testdata/bgp-stream/frr.hex"), true, Families::NONE);
    assert_eq!(
        told,
        [
            "open AS65001 hold 180 id 10.0.0.1 capabilities 1 1 128 2 70 65 6 69 73 64 71",
            "keepalive",
            "0.0.0.0/0#0 10.2.4.0/24#0 10.2.3.0/24#0 via 192.0.2.1 path 65001 med 0",
            "::/0#0 fd00::1/128#0 via fd00::99 path 65001 med 0",
        ]
    );
}

#[test]
fn a_session_of_gobgp_is_understood() {
    let told = told(include_str!("../../testdata/bgp-stream/gobgp.hex"), true, Families::NONE);
    assert_eq!(
        told,
        [
            "open AS65001 hold 90 id 10.0.0.1 capabilities 2 73 1 1 65 64 5",
            "keepalive",
            "10.1.0.0/16#0 via 192.0.2.1 path 65001 4200000000 med 5 65001:1 65001:1:2",
            "10.2.3.0/24#0 via 192.0.2.1 path 65001",
            "end of ipv4",
            "fd00:1::/64#0 via fd00::99 path 65001",
            "end of ipv6",
        ]
    );
}

#[test]
fn refreshes_and_notifications_are_understood() {
    let refreshes = told(include_str!("../../testdata/bgp-stream/route-refresh.hex"), true, Families::NONE);
    assert_eq!(refreshes, ["Request", "Begin", "End"].map(|what| format!("refresh ipv6 unicast {what}")));
    let shutdown =
        told(include_str!("../../testdata/bgp-stream/notification-shutdown.hex"), true, Families::NONE);
    assert_eq!(shutdown, ["keepalive", "Cease / Administrative Shutdown: bye."]);
}
