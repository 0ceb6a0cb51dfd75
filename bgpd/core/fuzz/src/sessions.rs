//! Whatever two peers and an operator do, in any order.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bgp_core::policy::Policy;
use bgp_core::speaker::{
    Config, ConnId, Direction, Input, OriginatedRoute, Output, PeerConfig, PrefixLimit, RibKind, SoftReset,
    Speaker,
};
use bgp_core::wire::{
    AfiSafi, AsPath, Attributes, Capability, EncodeContext, EncodedAttributes, GracefulRestart, Message,
    NextHop, Open, encode_end_of_rib, encode_unreach,
};
use bytes::{Bytes, BytesMut};
use cairn_net::{Asn, Family, Prefix, RouterId};

/// Longer than any timer and than routes are kept for a peer that is gone.
const FOR_EVER: Duration = Duration::from_secs(1 << 17);

/// An octet says what happens, the next one to whom or with what. Nothing may panic, no timer that has expired may be left
/// standing, and once both peers are gone for good nothing of theirs may be left.
pub fn bgp_sessions(octets: &[u8]) {
    #[allow(clippy::disallowed_methods)] // any point in time will do
    let mut world = World::new(Instant::now());
    for pair in octets.chunks(2) {
        let (what, which) = (pair[0], pair.get(1).copied().unwrap_or(0));
        world.happen(what, which, octets);
        world.drain();
        assert!(
            world.speaker.poll_timeout().is_none_or(|at| at > world.now),
            "a timer has expired unnoticed"
        );
    }
    world.end();
}

struct World {
    speaker: Speaker,
    now: Instant,
    conns: Vec<ConnId>,
}

fn peer(n: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, n])
}

fn socket(n: u8) -> SocketAddr {
    (peer(n), 179).into()
}

fn asn(n: u8) -> Asn {
    Asn(if n == 3 { 65001 } else { 65000 + u32::from(n) })
}

fn prefix(n: u8) -> Prefix {
    Prefix::new(IpAddr::from([11, n, 0, 0]), 16).expect("no host bits")
}

impl World {
    /// Node 1, in AS 65001, with an external peer, node 2, and an internal one, node 3.
    fn new(now: Instant) -> Self {
        let router_id = RouterId::new(1).expect("not zero");
        let mut config = Config::new(asn(3), router_id);
        for n in [2, 3] {
            let all = Some(Arc::new(Policy::accept_all()));
            let own = PeerConfig { import: all.clone(), export: all, ..PeerConfig::new(asn(n)) };
            config.peers.insert(
                peer(n),
                PeerConfig { max_prefixes: Some(PrefixLimit::new(40, PrefixLimit::WARN_PERCENT)), ..own },
            );
        }
        let mut speaker = Speaker::new(now);
        speaker.handle(now, Input::Configure(Box::new(config)));
        let mut world = Self { speaker, now, conns: Vec::new() };
        world.drain();
        world
    }

    fn handle(&mut self, input: Input) {
        self.speaker.handle(self.now, input);
    }

    fn drain(&mut self) {
        while let Some(output) = self.speaker.poll_output() {
            match output {
                Output::Connect { conn, .. } => self.conns.push(conn),
                Output::Transmit { conn } => {
                    let mut out = Vec::new();
                    while self.speaker.transmit(conn, 4096, &mut out).more {}
                }
                _ => {}
            }
        }
    }

    fn conn(&self, which: u8) -> Option<ConnId> {
        // The latest ones are those that live.
        let back = usize::from(which & 3).min(self.conns.len().checked_sub(1)?);
        self.conns.get(self.conns.len() - 1 - back).copied()
    }

    fn happen(&mut self, what: u8, which: u8, octets: &[u8]) {
        let n = 2 + (which & 1);
        let reason = String::new();
        match what % 16 {
            0 | 1 => {
                let conn = self.speaker.allocate_conn();
                self.conns.push(conn);
                let (direction, local, remote) = (Direction::Inbound, socket(1), socket(n));
                self.handle(Input::ConnectionOpened { conn, direction, local, remote });
            }
            2 => {
                if let Some(conn) = self.conn(which) {
                    let (direction, local, remote) = (Direction::Outbound, socket(1), socket(n));
                    self.handle(Input::ConnectionOpened { conn, direction, local, remote });
                }
            }
            3 => {
                if let Some(conn) = self.conn(which) {
                    self.handle(Input::ConnectFailed { conn, reason });
                }
            }
            4 => {
                if let Some(conn) = self.conn(which) {
                    self.handle(Input::ConnectionClosed { conn, reason });
                }
            }
            5 => self.now += Duration::from_millis(u64::from(which) * 500),
            6 => match which % 4 {
                0 => self.handle(Input::StopPeer { peer: peer(n), text: reason }),
                1 => self.handle(Input::StartPeer { peer: peer(n) }),
                2 => self.handle(Input::ResetPeer { peer: peer(n), text: reason }),
                _ => self.handle(Input::SoftReset { peer: Some(peer(n)), way: SoftReset::Both }),
            },
            7 => {
                let routes = vec![OriginatedRoute::new(prefix(which & 15))];
                self.handle(Input::Originate { owner: "fuzz".to_owned(), routes, replace: which & 16 != 0 });
            }
            8 => {
                // The input itself as what a peer sends.
                let bytes = Bytes::copy_from_slice(octets.get(usize::from(which)..).unwrap_or_default());
                self.receive(which, bytes);
            }
            9 | 10 => self.receive(which, open(2 + (which >> 2 & 1), which & 8 != 0)),
            11 | 12 => self.receive(which, Message::keepalive()),
            13 => self.receive(which, reach(which >> 2)),
            14 => self.receive(which, unreach(which >> 2)),
            _ => self.receive(which, encode_end_of_rib(Family::Ipv4)),
        }
        self.handle(Input::Tick);
    }

    fn receive(&mut self, which: u8, bytes: Bytes) {
        if let Some(conn) = self.conn(which) {
            self.handle(Input::Received { conn, bytes });
        }
    }

    /// Both peers go and do not come back.
    fn end(mut self) {
        for n in [2, 3] {
            self.handle(Input::StopPeer { peer: peer(n), text: String::new() });
        }
        self.drain();
        for conn in std::mem::take(&mut self.conns) {
            self.handle(Input::ConnectionClosed { conn, reason: String::new() });
        }
        self.now += FOR_EVER;
        self.handle(Input::Tick);
        self.drain();
        for n in [2, 3] {
            let left = self.speaker.routes(RibKind::AdjRibIn(peer(n)));
            assert!(left.is_empty(), "routes of a peer that is gone: {left:?}");
        }
    }
}

fn open(n: u8, graceful: bool) -> Bytes {
    let mut capabilities = vec![
        Capability::Multiprotocol(AfiSafi::from(Family::Ipv4)),
        Capability::FourOctetAs(asn(n)),
        Capability::RouteRefresh,
    ];
    if graceful {
        let restart = GracefulRestart { restart_time: 120, ..GracefulRestart::default() };
        capabilities.push(Capability::GracefulRestart(restart));
    }
    let router_id = RouterId::new(u32::from(n)).expect("not zero");
    Open { asn: asn(n), hold_time: 90, router_id, capabilities }.encode()
}

fn reach(n: u8) -> Bytes {
    let attributes = Attributes {
        as_path: AsPath::sequence([asn(2), Asn(64512 + u32::from(n & 3))]),
        local_pref: (n & 1 == 1).then_some(100 + u32::from(n)),
        ..Attributes::default()
    };
    let context = EncodeContext::default();
    let mut out = BytesMut::new();
    if let Ok(encoded) = EncodedAttributes::new(&attributes, Family::Ipv4, NextHop::new(peer(2)), &context) {
        encoded.reach([prefix(n).into()], &mut out);
    }
    out.freeze()
}

fn unreach(n: u8) -> Bytes {
    let mut out = BytesMut::new();
    encode_unreach(Family::Ipv4, [prefix(n).into()], &EncodeContext::default(), &mut out);
    out.freeze()
}
