use bytes::{Bytes, BytesMut};
use cairn_net::{Families, Family};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::wire::notification::{Notification, NotificationCode, OpenError};
use crate::wire::{AfiSafi, HEADER_LEN};

const IPV4: AfiSafi = AfiSafi::unicast(Family::Ipv4);
const IPV6: AfiSafi = AfiSafi::unicast(Family::Ipv6);

/// A body with these optional parameters, behind their one-octet length.
fn body(parameters: &[u8]) -> Vec<u8> {
    let mut body = vec![4, 0xfd, 0xe9, 0, 90, 10, 0, 0, 1, u8::try_from(parameters.len()).unwrap()];
    body.extend_from_slice(parameters);
    body
}

fn open(capabilities: Vec<Capability>) -> Open {
    Open { asn: Asn(65001), hold_time: 90, router_id: RouterId::new(0x0a00_0001).unwrap(), capabilities }
}

#[track_caller]
fn refuses(body: &[u8], error: OpenError) -> Notification {
    let notification = Open::decode(body).unwrap_err();
    assert_eq!(notification.code, NotificationCode::Open(error));
    notification
}

#[test]
fn an_open_without_parameters_is_read() {
    assert_eq!(Open::decode(&body(&[])), Ok(open(vec![])));
}

#[test]
fn capabilities_are_read_from_any_number_of_parameters() {
    let parameters = [2, 6, 1, 4, 0, 1, 0, 1, 2, 2, 2, 0, 2, 8, 65, 4, 0, 1, 0, 0, 70, 0];
    let read = Open::decode(&body(&parameters)).unwrap();
    assert_eq!(read.asn, Asn(65536));
    let expected = [
        Capability::Multiprotocol(IPV4),
        Capability::RouteRefresh,
        Capability::FourOctetAs(Asn(65536)),
        Capability::EnhancedRouteRefresh,
    ];
    assert_eq!(read.capabilities, expected);
}

#[test]
fn another_version_is_refused_with_ours() {
    let mut other = body(&[]);
    other[0] = 3;
    assert_eq!(*refuses(&other, OpenError::UnsupportedVersionNumber).data, [0, 4]);
}

#[test]
fn as_zero_is_refused() {
    let mut zero = body(&[]);
    zero[1..3].fill(0);
    refuses(&zero, OpenError::BadPeerAs);
    refuses(&body(&[2, 6, 65, 4, 0, 0, 0, 0]), OpenError::BadPeerAs);
}

#[test]
fn hold_times_of_one_and_two_are_refused() {
    for (seconds, fine) in [(0, true), (1, false), (2, false), (3, true), (65535, true)] {
        let mut body = body(&[]);
        body[3..5].copy_from_slice(&u16::to_be_bytes(seconds));
        if fine {
            assert_eq!(Open::decode(&body).unwrap().hold_time, seconds);
        } else {
            refuses(&body, OpenError::UnacceptableHoldTime);
        }
    }
}

#[test]
fn identifier_zero_is_refused() {
    let mut zero = body(&[]);
    zero[5..9].fill(0);
    refuses(&zero, OpenError::BadBgpIdentifier);
}

#[test]
fn an_unknown_parameter_is_unsupported() {
    refuses(&body(&[1, 1, 0]), OpenError::UnsupportedOptionalParameter);
}

#[test]
fn lengths_that_do_not_add_up_are_refused() {
    for parameters in
        [&[2][..], &[2, 2], &[2, 9, 1, 4, 0, 1, 0, 1], &[2, 1, 1], &[2, 2, 1, 4], &[2, 3, 1, 4, 0]]
    {
        refuses(&body(parameters), OpenError::Unspecific);
    }
    // The length octet says less, or more, than there is.
    let mut less = body(&[2, 2, 2, 0]);
    less[9] = 2;
    refuses(&less, OpenError::Unspecific);
    less[9] = 9;
    refuses(&less, OpenError::Unspecific);
}

#[test]
fn an_open_that_ends_with_the_length_octet_is_refused() {
    let mut cut = body(&[]);
    cut[9] = 255;
    refuses(&cut, OpenError::Unspecific);
    for len in 0..10 {
        assert!(Open::decode(&body(&[])[..len]).is_err());
    }
}

#[test]
fn the_extended_format_is_read_within_its_bounds() {
    // RFC 9072: 255, 255, length, then parameters with lengths of two octets.
    let mut extended = body(&[]);
    extended[9] = 255;
    extended.extend_from_slice(&[255, 0, 5, 2, 0, 2, 2, 0]);
    assert_eq!(Open::decode(&extended).unwrap().capabilities, [Capability::RouteRefresh]);
    // The first length may be anything but zero.
    extended[9] = 1;
    assert!(Open::decode(&extended).is_ok());
    for cut in
        [&[255][..], &[255, 0], &[255, 0, 1], &[255, 0, 1, 2], &[255, 0, 3, 2, 0, 1], &[255, 0, 2, 2, 0]]
    {
        let mut body = body(&[]);
        body[9] = 255;
        body.extend_from_slice(cut);
        refuses(&body, OpenError::Unspecific);
    }
}

#[test]
fn many_capabilities_are_written_in_the_extended_format() {
    let unknown = Capability::Unknown { code: 200, value: Bytes::from(vec![7; 200]) };
    let long = open(vec![unknown.clone(), unknown]);
    let message = long.encode();
    assert_eq!(message[HEADER_LEN + 9..HEADER_LEN + 11], [255, 255]);
    assert_eq!(Open::decode(&message[HEADER_LEN..]), Ok(long));
}

#[test]
fn capabilities_that_make_no_sense_are_kept_as_unknown() {
    // Among them a software version (75) and a host name (73) of no length at all.
    for (code, value) in [
        (1, &[0, 1][..]),
        (2, &[1]),
        (64, &[1]),
        (65, &[0, 1]),
        (69, &[0, 1, 1]),
        (73, &[]),
        (75, &[]),
        (9, &[9]),
    ] {
        let mut parameter =
            vec![2, u8::try_from(value.len()).unwrap() + 2, code, u8::try_from(value.len()).unwrap()];
        parameter.extend_from_slice(value);
        let read = Open::decode(&body(&parameter)).unwrap();
        assert_eq!(read.capabilities, [Capability::Unknown { code, value: Bytes::copy_from_slice(value) }]);
        assert_eq!(Negotiated::between(&open(vec![]), &read).families, Families::NONE.with(Family::Ipv4));
    }
}

fn check() -> OpenCheck {
    OpenCheck {
        local_as: Asn(65000),
        local_id: RouterId::new(1).unwrap(),
        peer_as: PeerAs::Is(Asn(65001)),
        role: None,
        role_strict: false,
    }
}

#[track_caller]
fn check_refuses(open: &Open, check: &OpenCheck, error: OpenError) {
    assert_eq!(open.check(check).unwrap_err().code, NotificationCode::Open(error));
}

#[test]
fn another_as_than_configured_is_refused() {
    assert_eq!(open(vec![]).check(&check()), Ok(()));
    let other = OpenCheck { peer_as: PeerAs::Is(Asn(65002)), ..check() };
    check_refuses(&open(vec![]), &other, OpenError::BadPeerAs);
}

#[test]
fn an_as_that_is_left_open_has_to_fit_the_rule() {
    let ranges = PeerAs::OneOf(vec![Asn(65100)..=Asn(65199), Asn(65300)..=Asn(65300)]);
    let external = PeerAs::External(vec![Asn(65000), Asn(65010)]);
    for (rule, fitting, others) in [
        (&ranges, [65100, 65199, 65300], [65099, 65200, 65001]),
        (&external, [1, 65001, 4_294_967_294], [65000, 65010, 0]),
    ] {
        let fits = |asn: u32| {
            let expected = OpenCheck { peer_as: rule.clone(), ..check() };
            Open { asn: Asn(asn), ..open(vec![]) }.check(&expected).is_ok()
        };
        assert!(fitting.into_iter().all(fits), "{rule}");
        assert!(!others.into_iter().any(fits), "{rule}");
    }
    assert_eq!(ranges.to_string(), "one of AS 65100-65199, 65300");
    assert_eq!(external.to_string(), "an external AS, other than 65000, 65010");
}

#[test]
fn our_own_identifier_is_refused_inside_the_as_only() {
    let own = OpenCheck { local_id: RouterId::new(0x0a00_0001).unwrap(), ..check() };
    assert_eq!(open(vec![]).check(&own), Ok(()));
    check_refuses(&open(vec![]), &OpenCheck { local_as: Asn(65001), ..own }, OpenError::BadBgpIdentifier);
}

#[test]
fn roles_must_fit_each_other() {
    let with = |role| open(vec![Capability::Role(role)]);
    let provider = OpenCheck { role: Some(Role::Provider), ..check() };
    assert_eq!(with(Role::Customer).check(&provider), Ok(()));
    check_refuses(&with(Role::Provider), &provider, OpenError::RoleMismatch);
    assert_eq!(open(vec![]).check(&provider), Ok(()));
    check_refuses(
        &open(vec![]),
        &OpenCheck { role_strict: true, ..provider.clone() },
        OpenError::RoleMismatch,
    );
    let contradiction = open(vec![Capability::Role(Role::Customer), Capability::Role(Role::Peer)]);
    check_refuses(&contradiction, &provider, OpenError::RoleMismatch);
    // Roles are for external sessions.
    let internal = OpenCheck { local_as: Asn(65001), ..provider };
    assert_eq!(with(Role::Peer).check(&internal), Ok(()));
}

#[test]
fn a_capability_counts_if_both_sides_have_it() {
    let all = open(vec![
        Capability::Multiprotocol(IPV4),
        Capability::Multiprotocol(IPV6),
        Capability::Multiprotocol(AfiSafi { afi: 25, safi: 70 }),
        Capability::FourOctetAs(Asn(65001)),
        Capability::ExtendedMessage,
        Capability::RouteRefresh,
        Capability::EnhancedRouteRefresh,
        Capability::ExtendedNextHop(vec![(IPV4, 2)]),
        Capability::AddPath(vec![(IPV4, AddPathMode::Both), (IPV6, AddPathMode::Send)]),
        Capability::GracefulRestart(GracefulRestart { notification: true, ..GracefulRestart::default() }),
    ]);
    let agreed = Negotiated::between(&all, &Open { hold_time: 30, ..all.clone() });
    assert_eq!((agreed.hold_time, agreed.families, agreed.max_message_len), (30, Families::ALL, 65535));
    assert!(agreed.four_octet_as && agreed.route_refresh && agreed.enhanced_route_refresh);
    assert!(agreed.extended_next_hop && agreed.graceful_restart && agreed.notification_restart);
    let ipv4 = Families::NONE.with(Family::Ipv4);
    assert_eq!((agreed.add_path_send, agreed.add_path_receive), (ipv4, ipv4));
    let agreed = Negotiated::between(&all, &open(vec![]));
    assert_eq!((agreed.families, agreed.max_message_len), (ipv4, 4096));
    assert!(!agreed.four_octet_as && !agreed.route_refresh && !agreed.extended_next_hop);
    assert!(agreed.add_path_send.is_empty() && !agreed.graceful_restart);
}

#[test]
fn add_path_needs_a_sender_and_a_receiver() {
    let with = |mode| open(vec![Capability::AddPath(vec![(IPV4, mode)])]);
    let agreed = |ours, theirs| Negotiated::between(&with(ours), &with(theirs));
    let one_way = agreed(AddPathMode::Send, AddPathMode::Receive);
    assert!(one_way.add_path_send.contains(Family::Ipv4) && one_way.add_path_receive.is_empty());
    let no_way = agreed(AddPathMode::Send, AddPathMode::Send);
    assert!(no_way.add_path_send.is_empty() && no_way.add_path_receive.is_empty());
}

#[test]
fn a_missing_capability_is_named() {
    let notification =
        Notification::unsupported_capability(&[Capability::Multiprotocol(IPV6), Capability::RouteRefresh]);
    assert_eq!(notification.code, NotificationCode::Open(OpenError::UnsupportedCapability));
    assert_eq!(*notification.data, [1, 4, 0, 2, 0, 1, 2, 0]);
}

fn any_family() -> impl Strategy<Value = AfiSafi> {
    (any::<u16>(), any::<u8>()).prop_map(|(afi, safi)| AfiSafi { afi, safi })
}

fn any_capability() -> impl Strategy<Value = Capability> {
    let mode = prop::sample::select(vec![AddPathMode::Receive, AddPathMode::Send, AddPathMode::Both]);
    let restart_family = (any_family(), any::<bool>())
        .prop_map(|(family, forwarding)| GracefulRestartFamily { family, forwarding });
    let restart = (any::<[bool; 2]>(), 0..4096u16, vec(restart_family, 0..4)).prop_map(
        |([restarted, notification], restart_time, families)| GracefulRestart {
            restarted,
            notification,
            restart_time,
            families,
        },
    );
    let long_lived = (any_family(), any::<bool>(), 0..1u32 << 24)
        .prop_map(|(family, forwarding, stale_time)| LongLivedFamily { family, forwarding, stale_time });
    prop_oneof![
        any_family().prop_map(Capability::Multiprotocol),
        Just(Capability::RouteRefresh),
        Just(Capability::EnhancedRouteRefresh),
        Just(Capability::ExtendedMessage),
        vec((any_family(), any::<u16>()), 0..4).prop_map(Capability::ExtendedNextHop),
        prop::sample::select(vec![Role::Provider, Role::RouteServerClient, Role::Peer])
            .prop_map(Capability::Role),
        restart.prop_map(Capability::GracefulRestart),
        vec((any_family(), mode), 0..4).prop_map(Capability::AddPath),
        vec(long_lived, 0..4).prop_map(Capability::LongLivedGracefulRestart),
        (128..=255u8, vec(any::<u8>(), 0..256))
            .prop_map(|(code, value)| Capability::Unknown { code, value: value.into() }),
    ]
}

proptest! {
    #[test]
    fn what_was_encoded_is_decoded(
        asn in prop_oneof![1..=65535u32, 1..=u32::MAX],
        hold_time in prop_oneof![Just(0u16), 3..=u16::MAX],
        router_id in 1..=u32::MAX,
        mut capabilities in vec(any_capability(), 0..12),
    ) {
        capabilities.push(Capability::FourOctetAs(Asn(asn)));
        let router_id = RouterId::new(router_id).unwrap();
        let open = Open { asn: Asn(asn), hold_time, router_id, capabilities };
        prop_assert_eq!(Open::decode(&open.encode()[HEADER_LEN..]), Ok(open));
    }

    #[test]
    fn any_octets_decode_without_panic(octets in vec(any::<u8>(), 0..80), valid_head: bool) {
        let mut body = BytesMut::from(&body(&[])[..9]);
        if !valid_head {
            body.clear();
        }
        body.extend_from_slice(&octets);
        if let Ok(open) = Open::decode(&body) {
            let again = Open::decode(&open.encode()[HEADER_LEN..]);
            prop_assert_eq!(again.map(|again| again.asn), Ok(open.asn));
        }
    }
}

#[test]
fn a_software_version_that_is_empty_or_lies_about_its_length_is_harmless() {
    const SOFTWARE_VERSION: u8 = 75;
    // Without a value, without a text, with a text that is said to be longer than it is, and with octets that are no text.
    for value in [&[][..], &[0], &[255, b'x'], &[2, 0xff, 0xfe]] {
        let length = u8::try_from(value.len()).unwrap();
        let capability = [&[SOFTWARE_VERSION, length][..], value].concat();
        let parameter = [&[2, length + 2][..], &capability].concat();
        let open = Open::decode(&body(&parameter)).unwrap();
        assert_eq!(open.capabilities.len(), 1, "{value:?}");
        assert!(!open.capabilities[0].to_string().is_empty());
    }
    // Its own length beyond the parameter.
    refuses(&body(&[2, 3, SOFTWARE_VERSION, 9, 8]), OpenError::Unspecific);
}
