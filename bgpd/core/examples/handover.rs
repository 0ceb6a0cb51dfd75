//! What it costs to hand a running speaker over: `cargo run --release -p bgp-core --example handover -- ROUTES PEERS`.
//!
//! One peer has announced ROUTES prefixes with a tenth as many attribute sets; PEERS others have been told all of them. Prints the size of
//! the state and the time of either side, which is how long nobody reads or writes.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bgp_core::policy::Policy;
use bgp_core::speaker::{Config, ConnId, Direction, Input, Output, PeerConfig, Speaker, Surroundings};
use bgp_core::wire::{
    AsPath, Attributes, Capability, EncodeContext, EncodedAttributes, Message, NextHop, Nlri, Open,
    encode_end_of_rib,
};
use bytes::BytesMut;
use cairn_net::{Asn, Family, Prefix};

fn main() {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u32>().expect("a number"));
    let routes = numbers.next().unwrap_or(100_000);
    let peers = numbers.next().unwrap_or(10);
    #[allow(clippy::disallowed_methods)] // an example is a shell: the clock is its own
    let clock = Instant::now;

    let mut config = Config::new(Asn(65000), "10.0.0.1".parse().expect("an identifier"));
    let policy = Some(Arc::new(Policy::accept_all()));
    for peer in 0..=peers {
        let mut options = PeerConfig::new(Asn(65001 + peer));
        (options.import, options.export) = (policy.clone(), policy.clone());
        options.transport.passive = true;
        config.peers.insert(address(peer), options);
    }
    let now = clock();
    let mut speaker = Speaker::new(now);
    speaker.handle(now, Input::WatchRoutes(false));
    speaker.handle(now, Input::Configure(Box::new(config.clone())));
    let conns: Vec<ConnId> = (0..=peers).map(|peer| establish(&mut speaker, now, peer)).collect();
    announce(&mut speaker, now, conns[0], routes);
    let sent = settle(&mut speaker, now + Duration::from_secs(40));

    let begin = clock();
    let handed = speaker.hand_over().expect("the start is over");
    let given = clock().duration_since(begin);
    let begin = clock();
    let (mut new, taken) = Speaker::take_over(begin, &config, Surroundings::default(), &handed.state)
        .expect("it is its own state");
    let took = clock().duration_since(begin);
    let sent_again = settle(&mut new, begin);
    println!(
        "{routes} routes, {peers} peers told ({sent} octets): {} sessions handed over, state {} KiB, \
         written in {:.1} ms, read in {:.1} ms; octets sent by the new one: {sent_again}",
        taken.len(),
        handed.state.len() >> 10,
        given.as_secs_f64() * 1e3,
        took.as_secs_f64() * 1e3,
    );
}

fn address(peer: u32) -> IpAddr {
    IpAddr::from((0x0a01_0000 + peer).to_be_bytes())
}

fn establish(speaker: &mut Speaker, now: Instant, peer: u32) -> ConnId {
    let conn = speaker.allocate_conn();
    let local = SocketAddr::new(IpAddr::from([10, 0, 0, 1]), 179);
    let remote = SocketAddr::new(address(peer), 40_000);
    let direction = Direction::Inbound;
    speaker.handle(now, Input::ConnectionOpened { conn, direction, local, remote });
    let asn = Asn(65001 + peer);
    let capabilities = vec![Capability::Multiprotocol(Family::Ipv4.into()), Capability::FourOctetAs(asn)];
    let router_id = format!("10.9.{}.{}", peer >> 8, (peer & 0xff) + 1).parse().expect("an identifier");
    let open = Open { asn, hold_time: 90, router_id, capabilities };
    for bytes in [open.encode(), Message::keepalive(), encode_end_of_rib(Family::Ipv4)] {
        speaker.handle(now, Input::Received { conn, bytes });
    }
    conn
}

fn announce(speaker: &mut Speaker, now: Instant, conn: ConnId, routes: u32) {
    let prefix = |n: u32| {
        let addr = IpAddr::from((0x1400_0000 + (n << 8)).to_be_bytes());
        Nlri::from(Prefix::new(addr, 24).expect("host bits are zero"))
    };
    for set in 0..routes.div_ceil(10) {
        let as_path = AsPath::sequence([Asn(65001), Asn(100_000 + set)]);
        let attributes = Attributes { as_path, ..Attributes::default() };
        let context = EncodeContext::default();
        let encoded = EncodedAttributes::new(&attributes, Family::Ipv4, NextHop::new(address(0)), &context);
        let mut bytes = BytesMut::new();
        let nlri = (set * 10..(set * 10 + 10).min(routes)).map(prefix);
        encoded.expect("it is short").reach(nlri, &mut bytes);
        speaker.handle(now, Input::Received { conn, bytes: bytes.freeze() });
    }
}

/// Lets the speaker say all that it has to say; gives the number of octets.
fn settle(speaker: &mut Speaker, now: Instant) -> usize {
    speaker.handle(now, Input::Tick);
    let mut octets = 0;
    while let Some(output) = speaker.poll_output() {
        let Output::Transmit { conn } = output else { continue };
        let mut out = Vec::new();
        while speaker.transmit(conn, usize::MAX, &mut out).more {}
        octets += out.iter().map(bytes::Bytes::len).sum::<usize>();
    }
    octets
}
