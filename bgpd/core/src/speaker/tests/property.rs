use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::speaker::{
    AddPathConfig, AddPathSend, ConnId, Direction, GracefulRestartConfig, Output, RibKind, SoftReset, Speaker,
};
use crate::wire::{
    AsPath, Attributes, EncodeContext, EncodedAttributes, Message, NextHop, Open, encode_end_of_rib,
    encode_unreach,
};
use cairn_net::Families;

pub(super) const NODES: u8 = 5;

/// What each node originates.
pub(super) type Own = BTreeMap<u8, BTreeMap<u8, ()>>;

/// Something that happens to a network.
#[derive(Debug, Clone)]
pub(super) enum Happening {
    Originate(u8, u8),
    Withdraw(u8, u8),
    Kill(u8),
    Crash(u8),
    Start(u8),
    Cut(u8, u8),
    Mend(u8, u8),
    Reset(u8, u8),
    Refresh(u8),
    Stall(u8),
    Unstall(u8),
    Wait(u64),
}

pub(super) fn happening() -> impl Strategy<Value = Happening> {
    use Happening::{
        Crash, Cut, Kill, Mend, Originate, Refresh, Reset, Stall, Start, Unstall, Wait, Withdraw,
    };
    let n = || 1..=NODES;
    prop_oneof![
        6 => (n(), 0..6u8).prop_map(|(n, p)| Originate(n, p)),
        4 => (n(), 0..6u8).prop_map(|(n, p)| Withdraw(n, p)),
        1 => n().prop_map(Kill),
        1 => n().prop_map(Crash),
        2 => n().prop_map(Start),
        1 => (n(), n()).prop_map(|(a, b)| Cut(a, b)),
        1 => (n(), n()).prop_map(|(a, b)| Mend(a, b)),
        1 => (n(), n()).prop_map(|(a, b)| Reset(a, b)),
        1 => n().prop_map(Refresh),
        1 => n().prop_map(Stall),
        1 => n().prop_map(Unstall),
        6 => (0..3000u64).prop_map(Wait),
    ]
}

/// The same prefix may be originated by several nodes.
pub(super) fn shared_prefix(p: u8) -> String {
    if p.is_multiple_of(2) { format!("10.100.{p}.0/24") } else { format!("fd00:{p}::/64") }
}

pub(super) fn happen(sim: &mut Sim, own: &mut Own, what: &Happening) {
    let peer = |n: u8| node(n);
    match *what {
        Happening::Originate(n, p) if sim.nodes[&node(n)].speaker.is_some() => {
            own.entry(n).or_default().insert(p, ());
            originate(sim, n, &[&shared_prefix(p)]);
        }
        Happening::Withdraw(n, p) if sim.nodes[&node(n)].speaker.is_some() => {
            own.entry(n).or_default().remove(&p);
            withdraw(sim, n, &[&shared_prefix(p)]);
        }
        Happening::Originate(..) | Happening::Withdraw(..) => {}
        Happening::Kill(n) => sim.kill(node(n)),
        Happening::Crash(n) => sim.crash(node(n)),
        Happening::Start(n) if sim.nodes[&node(n)].speaker.is_none() => begin(sim, own, n),
        Happening::Start(_) => {}
        Happening::Cut(a, b) => sim.set_cut(node(a), node(b), true),
        Happening::Mend(a, b) => sim.set_cut(node(a), node(b), false),
        Happening::Reset(n, to) => {
            sim.input(node(n), Input::ResetPeer { peer: peer(to), text: String::new() });
        }
        Happening::Refresh(n) => sim.input(node(n), Input::SoftReset { peer: None, way: SoftReset::Both }),
        Happening::Stall(n) => sim.stall(node(n)),
        Happening::Unstall(n) => sim.unstall(node(n)),
        Happening::Wait(milliseconds) => sim.run(Duration::from_millis(milliseconds)),
    }
}

fn begin(sim: &mut Sim, own: &Own, n: u8) {
    sim.start(node(n));
    for p in own.get(&n).into_iter().flat_map(BTreeMap::keys) {
        originate(sim, n, &[&shared_prefix(*p)]);
    }
}

/// Ends all trouble and waits until everything is settled.
pub(super) fn quiesce(sim: &mut Sim, own: &Own) {
    for a in 1..=NODES {
        sim.unstall(node(a));
        for b in 1..=NODES {
            sim.set_cut(node(a), node(b), false);
        }
        if sim.nodes[&node(a)].speaker.is_none() {
            begin(sim, own, a);
        }
    }
    // Longer than hold times, restart times and stale times.
    sim.run(Duration::from_secs(600));
}

fn network(
    asn: impl Fn(u8) -> u32,
    linked: impl Fn(u8, u8) -> bool,
    (graceful, several): (bool, Option<bool>),
) -> Sim {
    let mut sim = sim();
    for a in 1..=NODES {
        let restart = graceful.then(GracefulRestartConfig::default);
        let mut own = Config { graceful_restart: restart, ..config(a, asn(a)) };
        own.best_path.max_paths_ebgp = 4;
        own.best_path.multipath_relax = true;
        for b in (1..=NODES).filter(|b| *b != a && linked(a, *b)) {
            let mut peer = open_peer(asn(b));
            peer.timers.hold = Duration::from_secs(9);
            peer.timers.connect_retry = Duration::from_secs(2);
            if let Some(all) = several {
                let which = if all { AddPathSend::All } else { add_path::best(2) };
                peer.add_path = AddPathConfig { receive: Families::ALL, send: [Some(which); 2] };
            }
            own = with_peer(own, b, peer);
        }
        sim.add(node(a), own);
    }
    sim
}

/// Every session is up, and what one end says it tells is what the other end has.
pub(super) fn check_sessions(sim: &Sim) -> Result<(), TestCaseError> {
    for (from, here) in &sim.nodes {
        let speaker = here.speaker.as_ref().unwrap();
        for to in here.config.peers.keys() {
            prop_assert_eq!(speaker.peer(*to).unwrap().state, State::Established, "{} to {}", from, to);
            let told = speaker.routes(RibKind::AdjRibOut(*to));
            let there = sim.nodes[to].speaker.as_ref().unwrap();
            let heard = there.routes(RibKind::AdjRibIn(*from));
            let key = |view: RouteView| ((view.prefix, view.path_id), view.route);
            let told: BTreeMap<_, _> = told.into_iter().map(key).collect();
            let heard: BTreeMap<_, _> = heard.into_iter().map(key).collect();
            prop_assert_eq!(
                told.keys().collect::<Vec<_>>(),
                heard.keys().collect::<Vec<_>>(),
                "{} to {}",
                from,
                to
            );
            for (prefix, route) in &told {
                prop_assert_eq!(&heard[prefix].next_hop, &route.next_hop);
                prop_assert_eq!(&heard[prefix].attributes, &route.attributes);
            }
            let advertised: u32 =
                speaker.peer(*to).unwrap().families.iter().map(|family| family.advertised).sum();
            prop_assert_eq!(advertised as usize, told.len());
        }
    }
    Ok(())
}

/// The least number of hops from a node to any originator of a prefix.
fn distance(from: u8, p: u8, own: &Own, linked: &impl Fn(u8, u8) -> bool) -> Option<usize> {
    let mut reached = vec![from];
    for distance in 0..=usize::from(NODES) {
        if reached.iter().any(|n| own.get(n).is_some_and(|prefixes| prefixes.contains_key(&p))) {
            return Some(distance);
        }
        let next: Vec<u8> =
            (1..=NODES).filter(|b| !reached.contains(b) && reached.iter().any(|a| linked(*a, *b))).collect();
        reached.extend(next);
    }
    None
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn external_networks_end_with_shortest_paths_whatever_happened(
        happenings in proptest::collection::vec(happening(), 0..40),
        edges in proptest::collection::vec(any::<bool>(), 25), graceful: bool, several: Option<bool>,
    ) {
        // A line, so that all is connected, and more.
        let linked = |a: u8, b: u8| {
            let (low, high) = (a.min(b), a.max(b));
            high - low == 1 || edges[usize::from((low - 1) * NODES + high - 1)]
        };
        let mut sim = network(|n| 65000 + u32::from(n), linked, (graceful, several));
        let mut own = BTreeMap::new();
        happenings.iter().for_each(|what| happen(&mut sim, &mut own, what));
        quiesce(&mut sim, &own);
        check_sessions(&sim)?;
        for n in 1..=NODES {
            for p in 0..6 {
                let route = sim.nodes[&node(n)].routes.get(&prefix(&shared_prefix(p)));
                let expected = distance(n, p, &own, &linked);
                prop_assert_eq!(route.is_some(), expected.is_some(), "node {} prefix {}", n, p);
                let paths = explain(&sim, n, &shared_prefix(p));
                if let (Some(best), Some(expected)) = (paths.first(), expected) {
                    prop_assert!(best.best && !best.stale);
                    prop_assert_eq!(best.route.attributes.as_path.hop_count(), expected);
                }
            }
        }
    }

    #[test]
    fn internal_meshes_end_with_what_is_originated_whatever_happened(
        happenings in proptest::collection::vec(happening(), 0..40), graceful: bool, several: Option<bool>,
    ) {
        let mut sim = network(|_| 65000, |_, _| true, (graceful, several));
        let mut own = BTreeMap::new();
        happenings.iter().for_each(|what| happen(&mut sim, &mut own, what));
        quiesce(&mut sim, &own);
        check_sessions(&sim)?;
        for p in 0..6u8 {
            let originators: Vec<u8> =
                own.iter().filter(|(_, prefixes)| prefixes.contains_key(&p)).map(|(n, _)| *n).collect();
            for n in 1..=NODES {
                let route = sim.nodes[&node(n)].routes.get(&prefix(&shared_prefix(p)));
                prop_assert_eq!(route.is_some(), !originators.is_empty());
                // One's own first, else the lowest router id.
                let from = if originators.contains(&n) { Some(n) } else { originators.first().copied() };
                let hops = route.map(|route| route.next_hops.len()).unwrap_or(0);
                prop_assert_eq!(hops, usize::from(from.is_some_and(|from| from != n)));
            }
        }
    }

    #[test]
    fn any_input_is_survived(inputs in proptest::collection::vec(input(), 0..60)) {
        #[allow(clippy::disallowed_methods)] // any point in time will do
        let mut now = Instant::now();
        let mut speaker = Speaker::new(now);
        let peer = |asn| PeerConfig { max_prefixes: Some(crate::speaker::PrefixLimit::new(50, 75)), ..open_peer(asn) };
        let first = with_peer(with_peer(config(1, 65001), 2, peer(65002)), 3, peer(65001));
        speaker.handle(now, Input::Configure(Box::new(first)));
        let mut conns: Vec<ConnId> = Vec::new();
        for (wait, what) in inputs {
            now += Duration::from_millis(wait);
            act(&mut speaker, now, &mut conns, what);
            while let Some(output) = speaker.poll_output() {
                match output {
                    Output::Connect { conn, .. } => conns.push(conn),
                    Output::Transmit { conn } => {
                        let mut out = Vec::new();
                        speaker.transmit(conn, 4096, &mut out);
                    }
                    _ => {}
                }
            }
            prop_assert!(speaker.poll_timeout().is_none_or(|at| at > now), "a timer that has expired is handled");
        }
        let _ = (speaker.peers(), speaker.routes(RibKind::LocRib));
    }
}

/// What a shell may do, and what a peer may send.
#[derive(Debug, Clone)]
enum Act {
    Accept(u8),
    Opened(usize),
    Failed(usize),
    Closed(usize),
    Bytes(usize, Bytes),
    Stop(u8),
    Start(u8),
    Originate(u8),
    Tick,
}

fn input() -> impl Strategy<Value = (u64, Act)> {
    let message = prop_oneof![
        4 => (2..4u8).prop_map(open_of),
        4 => Just(Message::keepalive()),
        4 => (0..40u8).prop_map(|n| update_of(n, true)),
        2 => (0..40u8).prop_map(|n| update_of(n, false)),
        1 => Just(encode_end_of_rib(cairn_net::Family::Ipv4)),
        1 => proptest::collection::vec(any::<u8>(), 0..64).prop_map(Bytes::from),
        2 => (0..40u8, any::<prop::sample::Index>(), any::<u8>()).prop_map(|(n, at, value)| {
            let mut bytes = update_of(n, true).to_vec();
            let at = at.index(bytes.len());
            bytes[at] = value;
            bytes.into()
        }),
    ];
    let act = prop_oneof![
        2 => (2..5u8).prop_map(Act::Accept),
        2 => (0..9usize).prop_map(Act::Opened),
        1 => (0..9usize).prop_map(Act::Failed),
        1 => (0..9usize).prop_map(Act::Closed),
        12 => (0..9usize, message).prop_map(|(conn, bytes)| Act::Bytes(conn, bytes)),
        1 => (2..4u8).prop_map(Act::Stop),
        1 => (2..4u8).prop_map(Act::Start),
        1 => (0..9u8).prop_map(Act::Originate),
        1 => Just(Act::Tick),
    ];
    (0..5000u64, act)
}

fn open_of(n: u8) -> Bytes {
    let asn = if n == 2 { 65002 } else { 65001 };
    let local = config(n, asn);
    let open: Open = crate::speaker::settings_for_tests(&local, &open_peer(65001)).open;
    open.encode()
}

fn update_of(n: u8, reach: bool) -> Bytes {
    let context = EncodeContext::default();
    let prefix = Prefix::new(IpAddr::from([11, n, 0, 0]), 16).unwrap();
    let mut out = bytes::BytesMut::new();
    if reach {
        let attributes = Attributes { as_path: AsPath::sequence([Asn(65002)]), ..Attributes::default() };
        let next_hop = NextHop::new(node(2));
        let encoded =
            EncodedAttributes::new(&attributes, cairn_net::Family::Ipv4, next_hop, &context).unwrap();
        encoded.reach([prefix.into()], &mut out);
    } else {
        encode_unreach(cairn_net::Family::Ipv4, [prefix.into()], &context, &mut out);
    }
    out.freeze()
}

fn act(speaker: &mut Speaker, now: Instant, conns: &mut Vec<ConnId>, what: Act) {
    let nth = |conns: &[ConnId], n: usize| conns.get(n % conns.len().max(1)).copied();
    let (local, port) = ((node(1), 179).into(), 179);
    let reason = "gone".to_owned();
    let input = match what {
        Act::Accept(n) => {
            let conn = speaker.allocate_conn();
            conns.push(conn);
            let remote = (node(n), port).into();
            Some(Input::ConnectionOpened { conn, direction: Direction::Inbound, local, remote })
        }
        Act::Opened(n) => nth(conns, n).map(|conn| Input::ConnectionOpened {
            conn,
            direction: Direction::Outbound,
            local,
            remote: (node(2), port).into(),
        }),
        Act::Failed(n) => nth(conns, n).map(|conn| Input::ConnectFailed { conn, reason }),
        Act::Closed(n) => nth(conns, n).map(|conn| Input::ConnectionClosed { conn, reason }),
        Act::Bytes(n, bytes) => nth(conns, n).map(|conn| Input::Received { conn, bytes }),
        Act::Stop(n) => Some(Input::StopPeer { peer: node(n), text: "no".to_owned() }),
        Act::Start(n) => Some(Input::StartPeer { peer: node(n) }),
        Act::Originate(n) => Some(Input::Originate {
            owner: "test".to_owned(),
            routes: vec![OriginatedRoute::new(Prefix::new(IpAddr::from([12, n, 0, 0]), 16).unwrap())],
            replace: true,
        }),
        Act::Tick => Some(Input::Tick),
    };
    speaker.handle(now, input.unwrap_or(Input::Tick));
}
