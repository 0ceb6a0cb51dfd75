//! Update groups: who shares work with whom, what a member is told, what is kept for it.

use bytes::Bytes;

use super::*;
use crate::policy::Policy;
use crate::speaker::{ConnId, Direction, Output, RibKind, Speaker};
use crate::wire::{DecodeContext, Framer, Message, PeerKind};

/// A speaker at node 1 with clients at nodes 2 to `last`, all up, that is driven by hand.
struct Reflector {
    speaker: Speaker,
    now: Instant,
    conns: Vec<ConnId>,
}

fn reflector_config(last: u8) -> Config {
    (2..=last).fold(config(1, 65001), |config, n| {
        let mut peer = open_peer(65001);
        peer.route_reflector_client = true;
        peer.transport.passive = true;
        with_peer(config, n, peer)
    })
}

impl Reflector {
    fn new(last: u8) -> Self {
        #[allow(clippy::disallowed_methods)] // any point in time will do
        let now = Instant::now();
        let mut speaker = Speaker::new(now);
        speaker.handle(now, Input::Configure(Box::new(reflector_config(last))));
        let mut this = Self { speaker, now, conns: Vec::new() };
        for n in 2..=last {
            let conn = this.speaker.allocate_conn();
            this.conns.push(conn);
            let (local, remote) = ((node(1), 179).into(), (node(n), 40000).into());
            let direction = Direction::Inbound;
            this.speaker.handle(now, Input::ConnectionOpened { conn, direction, local, remote });
            let open = crate::speaker::settings_for_tests(&config(n, 65001), &open_peer(65001)).open;
            for bytes in [open.encode(), Message::keepalive()] {
                this.speaker.handle(now, Input::Received { conn, bytes });
            }
        }
        this.drain();
        (0..this.conns.len()).for_each(|client| {
            this.read(client);
        });
        this
    }

    fn drain(&mut self) {
        while let Some(output) = self.speaker.poll_output() {
            assert!(!matches!(output, Output::Close { .. }), "{output:?}");
        }
    }

    /// Everything that waits for a client, the first of which is node 2.
    fn read(&mut self, client: usize) -> Vec<Bytes> {
        let mut out = Vec::new();
        while self.speaker.transmit(self.conns[client], 1 << 20, &mut out).more {}
        out
    }

    /// What a client hears: prefixes announced, prefixes withdrawn.
    fn hears(&mut self, client: usize) -> (Vec<Prefix>, Vec<Prefix>) {
        let context = DecodeContext {
            peer: PeerKind::Internal,
            four_octet_as: true,
            families: cairn_net::Families::ALL,
            add_path: cairn_net::Families::NONE,
            extended_next_hop: true,
            first_as: None,
        };
        let (mut reached, mut withdrawn) = (Vec::new(), Vec::new());
        let mut framer = Framer::default();
        self.read(client).iter().for_each(|bytes| framer.push(bytes));
        while let Some(frame) = framer.next_frame().unwrap() {
            if let Message::Update(update) = Message::decode(&frame, &context).unwrap() {
                reached.extend(update.reach.iter().flat_map(|part| &part.nlri).map(|nlri| nlri.prefix));
                withdrawn.extend(update.unreach.iter().flat_map(|part| &part.nlri).map(|nlri| nlri.prefix));
            }
        }
        (reached, withdrawn)
    }

    fn send(&mut self, client: usize, bytes: Bytes) {
        let conn = self.conns[client];
        self.speaker.handle(self.now, Input::Received { conn, bytes });
        self.drain();
    }

    fn announce(&mut self, client: usize, text: &str, local_pref: u32) {
        let attributes =
            crate::wire::Attributes { local_pref: Some(local_pref), ..crate::wire::Attributes::default() };
        let hop = crate::wire::NextHop::new(node(u8::try_from(client + 2).unwrap()));
        let family = prefix(text).family();
        let context = crate::wire::EncodeContext::default();
        let encoded = crate::wire::EncodedAttributes::new(&attributes, family, hop, &context).unwrap();
        let mut out = bytes::BytesMut::new();
        encoded.reach([prefix(text).into()], &mut out);
        self.send(client, out.freeze());
    }

    fn withdraw(&mut self, client: usize, text: &str) {
        let mut out = bytes::BytesMut::new();
        let context = crate::wire::EncodeContext::default();
        crate::wire::encode_unreach(prefix(text).family(), [prefix(text).into()], &context, &mut out);
        self.send(client, out.freeze());
    }

    fn groups(&self) -> usize {
        self.speaker.rib.groups.len()
    }
}

#[test]
fn peers_that_are_told_the_same_share_the_very_octets() {
    let mut reflector = Reflector::new(5);
    assert_eq!(reflector.groups(), 1);
    reflector.announce(0, "10.0.0.0/24", 100);
    let first = reflector.read(1);
    assert_eq!(first.len(), 1);
    for client in [2, 3] {
        let other = reflector.read(client);
        assert_eq!(other.iter().map(|bytes| bytes.as_ptr()).collect::<Vec<_>>(), [first[0].as_ptr()]);
    }
    assert!(reflector.read(0).is_empty(), "nobody is told of its own route");
}

#[test]
fn a_member_whose_own_path_becomes_the_best_is_told_that_the_other_one_is_gone() {
    let mut reflector = Reflector::new(4);
    let route = "10.0.0.0/24";
    reflector.announce(0, route, 100);
    assert_eq!(reflector.hears(1), (vec![prefix(route)], vec![]));
    assert_eq!(reflector.hears(2), (vec![prefix(route)], vec![]));
    reflector.announce(1, route, 200);
    assert_eq!(reflector.hears(0), (vec![prefix(route)], vec![]), "it has a better one than its own");
    assert_eq!(reflector.hears(1), (vec![], vec![prefix(route)]), "its own is the best");
    assert_eq!(reflector.hears(2), (vec![prefix(route)], vec![]));
    reflector.withdraw(1, route);
    assert_eq!(reflector.hears(0), (vec![], vec![prefix(route)]), "its own is the best again");
    assert_eq!(reflector.hears(1), (vec![prefix(route)], vec![]));
}

#[test]
fn a_change_that_nobody_would_notice_sends_nothing() {
    let mut reflector = Reflector::new(4);
    reflector.announce(0, "10.0.0.0/24", 200);
    (0..3).for_each(|client| {
        reflector.read(client);
    });
    // The same again, and one that loses.
    reflector.announce(0, "10.0.0.0/24", 200);
    reflector.announce(1, "10.0.0.0/24", 100);
    for client in 0..3 {
        assert!(reflector.read(client).is_empty(), "client {client}");
    }
}

#[test]
fn a_log_that_everybody_has_read_is_forgotten() {
    let mut reflector = Reflector::new(4);
    reflector.announce(0, "10.0.0.0/24", 100);
    let (_, entry) = reflector.speaker.rib.groups.iter().next().unwrap();
    assert_eq!((entry.members.len(), entry.behind), (3, 3));
    for (client, behind) in [(1, 2), (2, 1), (0, 0)] {
        reflector.read(client);
        let (_, entry) = reflector.speaker.rib.groups.iter().next().unwrap();
        assert_eq!(entry.behind, behind);
    }
    let (_, entry) = reflector.speaker.rib.groups.iter().next().unwrap();
    assert_eq!(entry.group.log_len(), 0);
}

#[test]
fn what_a_slow_member_has_not_read_is_kept_for_it_alone() {
    let mut reflector = Reflector::new(4);
    for n in 0..5 {
        reflector.announce(0, &format!("10.0.{n}.0/24"), 100);
        assert_eq!(reflector.hears(1).0.len(), 1, "who reads at once hears at once");
    }
    let (_, entry) = reflector.speaker.rib.groups.iter().next().unwrap();
    assert_eq!(entry.group.log_len(), 5);
    assert_eq!(reflector.hears(2).0.len(), 5);
}

#[test]
fn another_policy_makes_another_group_and_sends_the_difference_only() {
    let mut reflector = Reflector::new(4);
    reflector.announce(0, "10.0.0.0/24", 100);
    (0..3).for_each(|client| {
        reflector.read(client);
    });
    let mut changed = reflector_config(4);
    changed.peers.get_mut(&node(3)).unwrap().export = Some(std::sync::Arc::new(Policy::reject_all()));
    reflector.speaker.handle(reflector.now, Input::Configure(Box::new(changed)));
    reflector.drain();
    assert_eq!(reflector.groups(), 2);
    assert_eq!(reflector.hears(1), (vec![], vec![prefix("10.0.0.0/24")]));
    assert_eq!(reflector.hears(2), (vec![], vec![]));
    reflector.speaker.handle(reflector.now, Input::Configure(Box::new(reflector_config(4))));
    reflector.drain();
    assert_eq!(reflector.groups(), 1, "a group without members goes");
    assert_eq!(reflector.hears(1), (vec![prefix("10.0.0.0/24")], vec![]));
    assert_eq!(reflector.hears(2), (vec![], vec![]));
}

#[test]
fn what_is_counted_as_told_is_what_is_listed() {
    let mut reflector = Reflector::new(4);
    for (client, route) in [(0, "10.0.0.0/24"), (0, "10.0.1.0/24"), (1, "10.0.2.0/24")] {
        reflector.announce(client, route, 100);
    }
    reflector.withdraw(0, "10.0.1.0/24");
    for (n, told) in [(2, 1), (3, 1), (4, 2)] {
        let view = reflector.speaker.peer(node(n)).unwrap();
        assert_eq!(view.families.iter().map(|family| family.advertised).sum::<u32>(), told, "node {n}");
        let listed = reflector.speaker.routes(RibKind::AdjRibOut(node(n)));
        assert_eq!(listed.len(), usize::try_from(told).unwrap());
    }
}
