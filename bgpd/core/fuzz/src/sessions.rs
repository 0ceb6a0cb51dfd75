//! Whatever two peers and an operator do, in any order.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bgp_core::policy::Policy;
use bgp_core::speaker::{
    AddPathConfig, AddPathSend, Config, ConnId, Direction, Input, OriginatedRoute, Output, PeerConfig,
    PrefixLimit, RibKind, SoftReset, Speaker,
};
use bgp_core::wire::{
    AddPathMode, AfiSafi, AsPath, Attributes, Capability, Community, EncodeContext, EncodedAttributes,
    GracefulRestart, GracefulRestartFamily, LongLivedFamily, Message, NextHop, Nlri, Open, RefreshSubtype,
    RouteRefresh, encode_end_of_rib, encode_unreach,
};
use bytes::{Bytes, BytesMut};
use cairn_net::{Asn, Families, Family, Prefix, RouterId};

/// Longer than any timer, and than each of the two times that routes are kept for a peer that is gone: for its restart, and for long.
const FOR_EVER: Duration = Duration::from_secs(1 << 17);

/// An octet says what happens (lower half) and what a message is like (upper half), the next one to whom or with what. Nothing may
/// panic, no timer that has expired may be left standing, and once both peers are gone for good nothing of theirs may be left.
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

/// Four bits that say what a message is like.
#[derive(Debug, Clone, Copy, Default)]
struct Form(u8);

impl Form {
    fn of(what: u8) -> Self {
        Self(what >> 4)
    }

    /// An UPDATE or a mark of this family; an OPEN that offers IPv6 too.
    fn family(self) -> Family {
        if self.0 & 1 == 0 { Family::Ipv4 } else { Family::Ipv6 }
    }

    /// An OPEN that offers several paths, both ways.
    fn add_path(self) -> bool {
        self.0 & 2 != 0
    }

    /// An OPEN that offers marks around refreshes.
    fn refresh_marks(self) -> bool {
        self.0 & 4 != 0
    }

    /// An OPEN with the long-lived graceful restart; a route that is stale for long.
    fn long_lived(self) -> bool {
        self.0 & 8 != 0
    }

    /// The identifier of a path, where there is one.
    fn path_id(self) -> u32 {
        u32::from(self.0 >> 1 & 3)
    }

    /// The kind of a refresh message.
    fn subtype(self) -> RefreshSubtype {
        match self.0 >> 1 & 3 {
            0 => RefreshSubtype::Request,
            1 => RefreshSubtype::Begin,
            2 => RefreshSubtype::End,
            _ => RefreshSubtype::Unknown(7),
        }
    }
}

struct World {
    speaker: Speaker,
    now: Instant,
    conns: Vec<ConnId>,
    /// What the peer's last OPEN on a connection offered: its UPDATEs have to be like that.
    offers: BTreeMap<ConnId, Form>,
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

fn prefix(family: Family, n: u8) -> Prefix {
    let prefix = match family {
        Family::Ipv4 => Prefix::new(IpAddr::from([11, n, 0, 0]), 16),
        Family::Ipv6 => Prefix::new(IpAddr::from([0x2001, 0xdb8, u16::from(n), 0, 0, 0, 0, 0]), 48),
    };
    prefix.expect("no host bits")
}

/// The address of a node as a next hop of a family.
fn hop(family: Family, n: u8) -> IpAddr {
    match family {
        Family::Ipv4 => peer(n),
        Family::Ipv6 => Ipv6Addr::from([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(n)]).into(),
    }
}

impl World {
    /// Node 1, in AS 65001, with an external peer, node 2, and an internal one, node 3.
    fn new(now: Instant) -> Self {
        let router_id = RouterId::new(1).expect("not zero");
        let next_hop_addresses = vec![hop(Family::Ipv6, 1)];
        let mut config = Config { next_hop_addresses, ..Config::new(asn(3), router_id) };
        for n in [2, 3] {
            let all = Some(Arc::new(Policy::accept_all()));
            let add_path = AddPathConfig { receive: Families::ALL, send: [Some(AddPathSend::All); 2] };
            let own = PeerConfig { add_path, import: all.clone(), export: all, ..PeerConfig::new(asn(n)) };
            config.peers.insert(
                peer(n),
                PeerConfig { max_prefixes: Some(PrefixLimit::new(40, PrefixLimit::WARN_PERCENT)), ..own },
            );
        }
        let mut speaker = Speaker::new(now);
        speaker.handle(now, Input::Configure(Box::new(config)));
        let mut world = Self { speaker, now, conns: Vec::new(), offers: BTreeMap::new() };
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
        let form = Form::of(what);
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
                let routes = vec![OriginatedRoute::new(prefix(form.family(), which & 15))];
                self.handle(Input::Originate { owner: "fuzz".to_owned(), routes, replace: which & 16 != 0 });
            }
            8 => {
                // The input itself as what a peer sends.
                let bytes = Bytes::copy_from_slice(octets.get(usize::from(which)..).unwrap_or_default());
                self.receive(which, bytes);
            }
            9 | 10 => {
                if let Some(conn) = self.conn(which) {
                    self.offers.insert(conn, form);
                }
                self.receive(which, open(2 + (which >> 2 & 1), which & 8 != 0, form));
            }
            12 if form.0 > 0 => {
                let family = AfiSafi::from(form.family());
                self.receive(which, RouteRefresh { family, subtype: form.subtype() }.encode());
            }
            11 | 12 => self.receive(which, Message::keepalive()),
            13 => self.receive(which, reach(which >> 2, form, &self.context(which))),
            14 => self.receive(which, unreach(which >> 2, form, &self.context(which))),
            _ => self.receive(which, encode_end_of_rib(form.family())),
        }
        self.handle(Input::Tick);
    }

    /// The form of UPDATEs on a connection.
    fn context(&self, which: u8) -> EncodeContext {
        let offer = self.conn(which).and_then(|conn| self.offers.get(&conn)).copied().unwrap_or_default();
        let add_path = match (offer.add_path(), offer.family()) {
            (false, _) => Families::NONE,
            (true, Family::Ipv4) => [Family::Ipv4].into_iter().collect(),
            (true, Family::Ipv6) => Families::ALL,
        };
        EncodeContext { add_path, ..EncodeContext::default() }
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
        for _ in 0..2 {
            self.now += FOR_EVER;
            self.handle(Input::Tick);
            self.drain();
        }
        for n in [2, 3] {
            let left = self.speaker.routes(RibKind::AdjRibIn(peer(n)));
            assert!(left.is_empty(), "routes of a peer that is gone: {left:?}");
        }
    }
}

fn open(n: u8, graceful: bool, form: Form) -> Bytes {
    let families: &[Family] =
        if form.family() == Family::Ipv6 { &[Family::Ipv4, Family::Ipv6] } else { &[Family::Ipv4] };
    let families = || families.iter().map(|family| AfiSafi::from(*family));
    let mut capabilities: Vec<Capability> = families().map(Capability::Multiprotocol).collect();
    capabilities.extend([Capability::FourOctetAs(asn(n)), Capability::RouteRefresh]);
    if form.add_path() {
        let both = families().map(|family| (family, AddPathMode::Both));
        capabilities.push(Capability::AddPath(both.collect()));
    }
    if form.refresh_marks() {
        capabilities.push(Capability::EnhancedRouteRefresh);
    }
    if graceful {
        let kept = families().map(|family| GracefulRestartFamily { family, forwarding: true });
        let restart = GracefulRestart {
            restart_time: 120,
            families: kept.filter(|_| form.long_lived()).collect(),
            ..GracefulRestart::default()
        };
        capabilities.push(Capability::GracefulRestart(restart));
    }
    if form.long_lived() {
        let kept = families().map(|family| LongLivedFamily { family, forwarding: true, stale_time: 3600 });
        capabilities.push(Capability::LongLivedGracefulRestart(kept.collect()));
    }
    let router_id = RouterId::new(u32::from(n)).expect("not zero");
    Open { asn: asn(n), hold_time: 90, router_id, capabilities }.encode()
}

fn nlri(n: u8, form: Form) -> Nlri {
    Nlri { prefix: prefix(form.family(), n), path_id: form.path_id() }
}

fn reach(n: u8, form: Form, context: &EncodeContext) -> Bytes {
    let attributes = Attributes {
        as_path: AsPath::sequence([asn(2), Asn(64512 + u32::from(n & 3))]),
        local_pref: (n & 1 == 1).then_some(100 + u32::from(n)),
        communities: form.long_lived().then_some(Community::LLGR_STALE).into_iter().collect(),
        ..Attributes::default()
    };
    let family = form.family();
    let mut out = BytesMut::new();
    if let Ok(encoded) = EncodedAttributes::new(&attributes, family, NextHop::new(hop(family, 2)), context) {
        encoded.reach([nlri(n, form)], &mut out);
    }
    out.freeze()
}

fn unreach(n: u8, form: Form, context: &EncodeContext) -> Bytes {
    let mut out = BytesMut::new();
    encode_unreach(form.family(), [nlri(n, form)], context, &mut out);
    out.freeze()
}
