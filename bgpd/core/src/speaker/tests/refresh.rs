//! Route refresh with begin and end marks (RFC 7313), and long messages (RFC 8654).

use super::*;
use crate::speaker::{Direction, Output, SoftReset, Speaker};
use crate::wire::{
    AfiSafi, Capability, Frame, Framer, Message, MessageType, Open, RefreshSubtype, RouteRefresh,
};

/// Node 1 as seen by a peer that is played by hand.
struct ByHand {
    speaker: Speaker,
    conn: crate::speaker::ConnId,
    now: Instant,
    framer: Framer,
}

impl ByHand {
    /// In Established, with these capabilities beside IPv4 and four-octet AS.
    fn up(capabilities: &[Capability]) -> Self {
        let mut peer = open_peer(65002);
        peer.transport.passive = true;
        peer.timers.hold = Duration::ZERO;
        #[allow(clippy::disallowed_methods)] // any point in time will do
        let now = Instant::now();
        let mut speaker = Speaker::new(now);
        speaker.handle(now, Input::Configure(Box::new(with_peer(config(1, 65001), 2, peer))));
        let conn = speaker.allocate_conn();
        let (local, remote) = ((node(1), 179).into(), (node(2), 40000).into());
        speaker.handle(now, Input::ConnectionOpened { conn, direction: Direction::Inbound, local, remote });
        let mut framer = Framer::default();
        framer.allow_extended_messages();
        let mut hand = Self { speaker, conn, now, framer };
        let base = [
            Capability::Multiprotocol(AfiSafi::unicast(cairn_net::Family::Ipv4)),
            Capability::FourOctetAs(Asn(65002)),
        ];
        let open = Open {
            asn: Asn(65002),
            hold_time: 90,
            router_id: "10.0.0.2".parse().unwrap(),
            capabilities: [&base[..], capabilities].concat(),
        };
        hand.give(&open.encode());
        hand.give(&Message::keepalive());
        hand.answers();
        assert_eq!(hand.speaker.peer(node(2)).unwrap().state, State::Established);
        hand
    }

    fn give(&mut self, bytes: &[u8]) {
        let input = Input::Received { conn: self.conn, bytes: bytes.to_vec().into() };
        self.speaker.handle(self.now, input);
    }

    fn mark(&mut self, subtype: RefreshSubtype) {
        let family = AfiSafi::unicast(cairn_net::Family::Ipv4);
        self.give(&RouteRefresh { family, subtype }.encode());
    }

    fn announce(&mut self, third: u8) {
        let attributes = [0x40, 1, 1, 0, 0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xea, 0x40, 3, 4, 10, 0, 0, 2];
        let body = [&[0, 0, 0, 20][..], &attributes, &[24, 10, 2, third]].concat();
        let len = u16::try_from(19 + body.len()).unwrap().to_be_bytes();
        self.give(&[&[0xff; 16][..], &len, &[2], &body].concat());
    }

    fn knows(&mut self, third: u8) -> bool {
        while self.speaker.poll_output().is_some() {}
        !self.speaker.explain(prefix(&format!("10.2.{third}.0/24"))).is_empty()
    }

    /// Everything that the speaker has to say, message by message.
    fn answers(&mut self) -> Vec<Frame> {
        while let Some(output) = self.speaker.poll_output() {
            if let Output::Transmit { conn } = output {
                let mut out = Vec::new();
                while self.speaker.transmit(conn, 64 << 10, &mut out).more {}
                out.iter().for_each(|bytes| self.framer.push(bytes));
            }
        }
        std::iter::from_fn(|| self.framer.next_frame().unwrap()).collect()
    }
}

#[test]
fn what_is_not_announced_again_before_the_end_of_a_refresh_is_gone() {
    let mut hand = ByHand::up(&[Capability::RouteRefresh, Capability::EnhancedRouteRefresh]);
    (0..3).for_each(|third| hand.announce(third));
    hand.mark(RefreshSubtype::Begin);
    hand.announce(1);
    // A second begin starts anew: what came after the first does not count.
    hand.mark(RefreshSubtype::Begin);
    hand.announce(0);
    hand.announce(9);
    assert!((0..3).all(|third| hand.knows(third)), "nothing goes before the end");
    hand.mark(RefreshSubtype::End);
    assert_eq!([0, 1, 2, 9].map(|third| hand.knows(third)), [true, false, false, true]);
    // An end without a begin, and marks of which nothing is known, change nothing.
    hand.mark(RefreshSubtype::End);
    hand.mark(RefreshSubtype::Unknown(7));
    assert!(hand.knows(0) && hand.knows(9));
}

#[test]
fn a_refresh_without_an_end_ends_by_itself() {
    let mut hand = ByHand::up(&[Capability::RouteRefresh, Capability::EnhancedRouteRefresh]);
    hand.announce(1);
    hand.mark(RefreshSubtype::Begin);
    hand.announce(2);
    hand.now += Duration::from_secs(359);
    hand.speaker.handle(hand.now, Input::Tick);
    assert!(hand.knows(1));
    assert!(hand.speaker.poll_timeout().is_some_and(|at| at <= hand.now + Duration::from_secs(1)));
    hand.now += Duration::from_secs(1);
    hand.speaker.handle(hand.now, Input::Tick);
    assert_eq!([1, 2].map(|third| hand.knows(third)), [false, true]);
}

#[test]
fn marks_that_were_not_negotiated_are_ignored() {
    let mut hand = ByHand::up(&[Capability::RouteRefresh]);
    hand.announce(1);
    hand.mark(RefreshSubtype::Begin);
    hand.mark(RefreshSubtype::End);
    assert!(hand.knows(1));
}

#[test]
fn a_request_is_answered_between_two_marks_where_those_were_negotiated() {
    use MessageType::{RouteRefresh as Mark, Update};
    let routes: Vec<_> = (0..3000u32)
        .map(|n| OriginatedRoute {
            med: Some(n % 7),
            ..OriginatedRoute::new(
                Prefix::new(IpAddr::from((0x0b00_0000 + (n << 8)).to_be_bytes()), 24).unwrap(),
            )
        })
        .collect();
    for (enhanced, marks) in [(true, 2), (false, 0)] {
        let mut capabilities = vec![Capability::RouteRefresh];
        capabilities.extend(enhanced.then_some(Capability::EnhancedRouteRefresh));
        let mut hand = ByHand::up(&capabilities);
        let owner = "test".to_owned();
        let input = Input::Originate { owner, routes: routes.clone(), replace: false };
        hand.speaker.handle(hand.now, input);
        hand.answers();
        hand.mark(RefreshSubtype::Request);
        let kinds: Vec<_> = hand.answers();
        let marked: Vec<_> = kinds
            .iter()
            .enumerate()
            .filter(|(_, frame)| frame.kind == Mark)
            .map(|(at, frame)| (at, frame.body[2]))
            .collect();
        assert_eq!(marked.len(), marks, "enhanced {enhanced}");
        if enhanced {
            assert_eq!(marked, [(0, 1), (kinds.len() - 1, 2)], "begin first, end last");
        }
        assert!(kinds.iter().filter(|frame| frame.kind == Update).count() >= 7);
        let counters = hand.speaker.peer(node(2)).unwrap().counters;
        assert_eq!(counters.route_refreshes_sent, marks as u64);
    }
}

#[test]
fn two_speakers_lose_nothing_by_a_refresh_during_changes() {
    let mut sim = pair(65002);
    let prefixes: Vec<String> = (0..200).map(|n| format!("10.2.{n}.0/24")).collect();
    let names: Vec<&str> = prefixes.iter().map(String::as_str).collect();
    originate(&mut sim, 2, &names);
    sim.run(SOON);
    sim.input(node(1), Input::SoftReset { peer: None, way: SoftReset::In });
    withdraw(&mut sim, 2, &names[..50]);
    sim.run(SOON);
    assert!(!names[..50].iter().any(|name| knows(&sim, 1, name)));
    assert!(names[50..].iter().all(|name| knows(&sim, 1, name)));
    // Two requests, each answered by a begin and an end.
    assert_eq!(view(&sim, 2, 1).counters.route_refreshes_sent, 4);
    assert_eq!(view(&sim, 1, 2).counters.route_refreshes_received, 4);
    assert!(explain(&sim, 1, names[60]).iter().all(|route| !route.stale));
}

#[test]
fn long_messages_are_used_where_both_sides_can() {
    let routes: Vec<_> = (0..5000u32)
        .map(|n| {
            OriginatedRoute::new(
                Prefix::new(IpAddr::from((0x0b00_0000 + (n << 8)).to_be_bytes()), 24).unwrap(),
            )
        })
        .collect();
    let mut longest = [0; 2];
    for extended in [false, true] {
        let capabilities: Vec<_> = extended.then_some(Capability::ExtendedMessage).into_iter().collect();
        let mut hand = ByHand::up(&capabilities);
        let input = Input::Originate { owner: "test".to_owned(), routes: routes.clone(), replace: false };
        hand.speaker.handle(hand.now, input);
        longest[usize::from(extended)] =
            hand.answers().iter().map(|frame| frame.body.len() + 19).max().unwrap_or_default();
        // And in the other direction: 2000 prefixes in one message of some 8 KiB.
        let attributes = [0x40, 1, 1, 0, 0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xea, 0x40, 3, 4, 10, 0, 0, 2];
        let prefixes: Vec<u8> =
            (0..2000u16).flat_map(|n| [24, 20, n.to_be_bytes()[0], n.to_be_bytes()[1]]).collect();
        let body = [&[0, 0, 0, 20][..], &attributes, &prefixes].concat();
        let len = u16::try_from(19 + body.len()).unwrap().to_be_bytes();
        hand.give(&[&[0xff; 16][..], &len, &[2], &body].concat());
        let peer = hand.speaker.peer(node(2)).unwrap();
        assert_eq!(peer.state == State::Established, extended);
        let received = peer.families.iter().map(|family| family.counts.received).sum::<u32>();
        assert_eq!(received, if extended { 2000 } else { 0 });
    }
    assert!(longest[0] <= 4096 && longest[1] > 16_000, "{longest:?}");
}
