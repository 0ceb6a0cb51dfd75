//! How much CPU the speaker needs for a load, without sockets: `cargo run --release -p bgp-core --example load`.
//!
//! `table`: one external peer announces a million prefixes in 100,000 attribute sets, another one is told, a third one joins late,
//! then all is withdrawn. `reflect`: 100 route reflector clients announce 1,000 prefixes each and are told of all others. `churn`: of 100,000
//! prefixes one after the other gets another one of 2,000 attribute sets, each in a message of its own.
//! The messages that go in are encoded before the clock starts; what comes out is counted, not decoded.

// A measurement reads the clock; the core under measurement does not.
#![allow(clippy::disallowed_methods)]

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bgp_core::policy::Policy;
use bgp_core::speaker::{Config, ConnId, Direction, Input, Output, PeerConfig, Speaker};
use bgp_core::wire::{
    AfiSafi, AsPath, Attributes, Capability, Community, EncodeContext, EncodedAttributes, Message, NextHop,
    Nlri, Open, encode_unreach,
};
use bytes::{Bytes, BytesMut};
use cairn_net::{Asn, Family, Prefix, RouterId};

/// What a socket read returns at most.
const READ: usize = 64 << 10;

struct Bench {
    speaker: Speaker,
    now: Instant,
    /// Octets and messages that came out, by connection.
    out: Vec<(ConnId, u64, u64)>,
    reports: u64,
}

impl Bench {
    fn new(config: Config) -> Self {
        let now = Instant::now();
        let mut speaker = Speaker::new(now);
        speaker.handle(now, Input::Configure(Box::new(config)));
        let mut bench = Self { speaker, now, out: Vec::new(), reports: 0 };
        bench.drain();
        bench
    }

    fn drain(&mut self) {
        let mut pending = VecDeque::new();
        while let Some(output) = self.speaker.poll_output() {
            match output {
                Output::Transmit { conn } => pending.push_back(conn),
                Output::RouteChanged { .. } => self.reports += 1,
                Output::PeerChanged { .. }
                | Output::NextHopChanged { .. }
                | Output::EndOfRib { .. }
                | Output::Connect { .. } => {}
                Output::Close { .. } => panic!("a session ended"),
            }
        }
        let mut buffers = Vec::new();
        while let Some(conn) = pending.pop_front() {
            buffers.clear();
            let sent = self.speaker.transmit(conn, 256 << 10, &mut buffers);
            let entry = self.out.iter_mut().find(|(id, ..)| *id == conn).expect("known");
            entry.1 += sent.bytes as u64;
            entry.2 += buffers.len() as u64;
            if sent.more {
                pending.push_back(conn);
            }
        }
    }

    fn up(&mut self, peer: IpAddr, asn: Asn) -> ConnId {
        let conn = self.speaker.allocate_conn();
        self.out.push((conn, 0, 0));
        let local = (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 179).into();
        let direction = Direction::Inbound;
        self.speaker.handle(
            self.now,
            Input::ConnectionOpened { conn, direction, local, remote: (peer, 40000).into() },
        );
        let IpAddr::V4(id) = peer else { panic!("IPv4 peers only") };
        let open = Open {
            asn,
            hold_time: 240,
            router_id: RouterId::try_from(id).expect("not zero"),
            capabilities: vec![
                Capability::Multiprotocol(AfiSafi::from(Family::Ipv4)),
                Capability::FourOctetAs(asn),
                Capability::RouteRefresh,
            ],
        };
        self.feed(conn, &open.encode());
        self.feed(conn, &Message::keepalive());
        conn
    }

    fn feed(&mut self, conn: ConnId, bytes: &Bytes) {
        for start in (0..bytes.len()).step_by(READ) {
            let bytes = bytes.slice(start..bytes.len().min(start + READ));
            self.speaker.handle(self.now, Input::Received { conn, bytes });
            self.drain();
        }
    }
}

fn peer(asn: u32, client: bool) -> PeerConfig {
    let all = Some(Arc::new(Policy::accept_all()));
    let mut peer = PeerConfig { import: all.clone(), export: all, ..PeerConfig::new(Asn(asn)) };
    peer.route_reflector_client = client;
    peer.transport.passive = true;
    peer
}

fn address(n: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(0x0a00_0100 + u32::try_from(n).expect("few peers")))
}

/// CPU time of this process.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/schedstat").expect("Linux");
    Duration::from_nanos(stat.split_whitespace().next().and_then(|ns| ns.parse().ok()).unwrap_or(0))
}

fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("Linux");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn prefix(n: usize) -> Prefix {
    let bits = 0x1000_0000u32 + (u32::try_from(n).expect("fits") << 8);
    Prefix::new(Ipv4Addr::from(bits).into(), 24).expect("no host bits")
}

/// The attribute set of this number, in wire form.
fn attributes(n: usize, asn: Option<u32>, hop: IpAddr) -> EncodedAttributes {
    let n = u32::try_from(n).expect("fits");
    let path = asn.into_iter().chain([64512 + n % 1000, 100_000 + n]).map(Asn);
    let attributes = Attributes {
        as_path: AsPath::sequence(path),
        med: Some(n % 7),
        local_pref: asn.is_none().then_some(100),
        communities: [Community(n), Community(n + 1)].into_iter().collect(),
        ..Attributes::default()
    };
    let context = EncodeContext::default();
    EncodedAttributes::new(&attributes, Family::Ipv4, NextHop::new(hop), &context).expect("short")
}

/// Announcements and withdrawals: prefixes of `range`, in groups with attributes of their own.
fn messages(range: std::ops::Range<usize>, group: usize, asn: Option<u32>, hop: IpAddr) -> (Bytes, Bytes) {
    let context = EncodeContext::default();
    let (mut reach, mut unreach) = (BytesMut::new(), BytesMut::new());
    for start in range.clone().step_by(group) {
        let encoded = attributes(start / group, asn, hop);
        let group = start..(start + group).min(range.end);
        encoded.reach(group.map(|n| Nlri::from(prefix(n))), &mut reach);
    }
    encode_unreach(Family::Ipv4, range.map(|n| prefix(n).into()), &context, &mut unreach);
    (reach.freeze(), unreach.freeze())
}

fn measure(what: &str, action: impl FnOnce()) {
    let before = cpu();
    action();
    println!("{what:<40} {:>8.3} CPU s   peak {} MiB", (cpu() - before).as_secs_f64(), peak_mib());
}

fn table() {
    let mut config =
        Config { graceful_restart: None, ..Config::new(Asn(65000), RouterId::new(1).expect("not 0")) };
    for n in 0..3 {
        config.peers.insert(address(n), peer(65001 + u32::try_from(n).expect("small"), false));
    }
    let mut bench = Bench::new(config);
    let (reach, unreach) = messages(0..1_000_000, 10, Some(65001), address(0));
    println!("one million prefixes in 100,000 attribute sets: {} octets in", reach.len());
    let [from, to] = [0, 1].map(|n| bench.up(address(n), Asn(65001 + u32::try_from(n).expect("small"))));
    let _ = to;
    measure("table: in, selected, and out to one peer", || bench.feed(from, &reach));
    println!("  out: {:?}", bench.out[1]);
    measure("table: dump to a late joiner", || {
        bench.up(address(2), Asn(65003));
    });
    println!("  out: {:?}", bench.out[2]);
    measure("table: withdrawn, told to two peers", || bench.feed(from, &unreach));
    println!("  reports: {}", bench.reports);
}

fn churn() {
    const PREFIXES: usize = 100_000;
    const CHANGES: usize = 300_000;
    let mut config =
        Config { graceful_restart: None, ..Config::new(Asn(65000), RouterId::new(1).expect("not 0")) };
    for n in 0..2 {
        config.peers.insert(address(n), peer(65001 + u32::try_from(n).expect("small"), false));
    }
    let mut bench = Bench::new(config);
    let [from, _to] = [0, 1].map(|n| bench.up(address(n), Asn(65001 + u32::try_from(n).expect("small"))));
    bench.feed(from, &messages(0..PREFIXES, 10, Some(65001), address(0)).0);
    // A prime number of places apart, so that changes are all over the table.
    let change = |number: usize| {
        let mut out = BytesMut::new();
        let set = attributes(PREFIXES + (number * 31 + number / PREFIXES) % 2000, Some(65001), address(0));
        set.reach([prefix(number * 7919 % PREFIXES).into()], &mut out);
        out.freeze()
    };
    let changes: Vec<Bytes> = (0..CHANGES).map(change).collect();
    measure("churn: 300,000 changes, one by one", || {
        for change in &changes {
            bench.feed(from, change);
        }
    });
    println!("  out: {:?}", bench.out[1]);
}

fn reflect() {
    const CLIENTS: usize = 100;
    let mut config =
        Config { graceful_restart: None, ..Config::new(Asn(65000), RouterId::new(1).expect("not 0")) };
    for n in 0..CLIENTS {
        config.peers.insert(address(n), peer(65000, true));
    }
    let mut bench = Bench::new(config);
    let conns: Vec<ConnId> = (0..CLIENTS).map(|n| bench.up(address(n), Asn(65000))).collect();
    let all: Vec<_> =
        (0..CLIENTS).map(|n| messages(n * 1000..(n + 1) * 1000, 10, None, address(n))).collect();
    measure("reflect: 100 clients x 1,000 prefixes", || {
        for (conn, (reach, _)) in conns.iter().zip(&all) {
            bench.feed(*conn, reach);
        }
    });
    println!("  out: {:?} and 99 more", bench.out[0]);
    measure("reflect: all withdrawn", || {
        for (conn, (_, unreach)) in conns.iter().zip(&all) {
            bench.feed(*conn, unreach);
        }
    });
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("table") => table(),
        Some("reflect") => reflect(),
        Some("churn") => churn(),
        None => {
            reflect();
            churn();
            table();
        }
        Some(other) => eprintln!("{other:?} is no load: table, reflect or churn"),
    }
}
