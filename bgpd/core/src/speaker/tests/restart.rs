use cairn_net::{Families, Family};

use super::*;
use crate::rib::Step;
use crate::speaker::{Direction, GracefulRestartConfig, Output, RouteSource, ShutdownMode, Speaker};
use crate::wire::{
    AsPath, Attributes, Capability, Community, DecodeContext, EncodeContext, EncodedAttributes, Frame,
    Framer, GracefulRestart, Message, NextHop, Nlri, Open,
};

fn graceful(config: Config) -> Config {
    Config { graceful_restart: Some(GracefulRestartConfig::default()), ..config }
}

/// Node 1 and node 2, both with graceful restart, each with a route of its own.
fn graceful_pair() -> Sim {
    let mut sim = sim();
    sim.add(node(1), graceful(with_peer(config(1, 65001), 2, open_peer(65002))));
    sim.add(node(2), graceful(with_peer(config(2, 65002), 1, open_peer(65001))));
    originate(&mut sim, 1, &["10.1.0.0/24", "fd01::/64"]);
    originate(&mut sim, 2, &["10.2.0.0/24", "10.2.1.0/24", "fd02::/64"]);
    sim.run(Duration::from_secs(10));
    assert!(knows(&sim, 1, "10.2.0.0/24") && knows(&sim, 2, "10.1.0.0/24"));
    sim
}

#[test]
fn routes_of_a_restarting_peer_are_kept_and_what_it_does_not_repeat_goes() {
    let mut sim = graceful_pair();
    let reports = sim.nodes[&node(1)].reports.len();
    sim.kill(node(2));
    sim.run(Duration::from_secs(20));
    assert!(knows(&sim, 1, "10.2.0.0/24") && knows(&sim, 1, "fd02::/64"));
    assert_eq!(view(&sim, 1, 2).families[0].counts.stale, 2);
    sim.start(node(2));
    originate(&mut sim, 2, &["10.2.0.0/24", "fd02::/64"]);
    sim.run(Duration::from_secs(10));
    assert!(knows(&sim, 1, "10.2.0.0/24") && !knows(&sim, 1, "10.2.1.0/24") && knows(&sim, 1, "fd02::/64"));
    assert_eq!(view(&sim, 1, 2).families[0].counts.stale, 0);
    // Nothing but the route that is gone was ever reported.
    assert_eq!(sim.nodes[&node(1)].reports[reports..], [prefix("10.2.1.0/24")]);
    assert!(knows(&sim, 2, "10.1.0.0/24"));
}

#[test]
fn a_peer_that_stays_away_loses_its_routes_after_its_restart_time() {
    let mut sim = graceful_pair();
    sim.kill(node(2));
    sim.run(Duration::from_secs(119));
    assert!(knows(&sim, 1, "10.2.0.0/24"));
    sim.run(Duration::from_secs(2));
    assert!(!knows(&sim, 1, "10.2.0.0/24"));
}

/// Node 2 comes up, and is gone again before it has said anything.
fn flap(sim: &mut Sim) {
    sim.start(node(2));
    let up = |sim: &Sim| state(sim, 1, 2) == Some(State::Established);
    assert!(sim.run_until(Duration::from_secs(2), up), "{:?}", downs(sim, 1));
    sim.stall(node(2));
    sim.run(Duration::from_secs(4));
    sim.kill(node(2));
    sim.unstall(node(2));
    sim.run(SOON);
}

#[test]
fn routes_that_are_stale_already_do_not_survive_another_restart() {
    let mut sim = graceful_pair();
    sim.kill(node(2));
    sim.run(Duration::from_secs(2));
    assert!(knows(&sim, 1, "10.2.0.0/24"));
    flap(&mut sim);
    assert!(!knows(&sim, 1, "10.2.0.0/24") && !knows(&sim, 1, "fd02::/64"));
    sim.start(node(2));
    originate(&mut sim, 2, &["10.2.0.0/24"]);
    sim.run(Duration::from_secs(10));
    assert!(knows(&sim, 1, "10.2.0.0/24") && !knows(&sim, 1, "10.2.1.0/24"));
}

#[test]
fn a_power_loss_is_a_restart_as_well() {
    let mut sim = graceful_pair();
    sim.crash(node(2));
    sim.run(Duration::from_secs(5));
    sim.start(node(2));
    originate(&mut sim, 2, &["10.2.0.0/24"]);
    assert!(sim.run_until(Duration::from_secs(2), |sim| is_up(sim, 1, 2)));
    assert!(knows(&sim, 1, "10.2.0.0/24"), "{:?}", downs(&sim, 1));
    sim.run(Duration::from_secs(10));
    assert!(knows(&sim, 1, "10.2.0.0/24") && !knows(&sim, 1, "10.2.1.0/24"));
}

#[test]
fn a_daemon_that_ends_leaves_its_routes_or_takes_them_along_as_configured() {
    for (shutdown, kept) in [(ShutdownMode::KeepRoutes, true), (ShutdownMode::Cease, false)] {
        let mut sim = graceful_pair();
        let config = Config { shutdown, ..sim.nodes[&node(2)].config.clone() };
        sim.configure(node(2), config);
        sim.input(node(2), Input::Shutdown { text: "upgrade".to_owned() });
        sim.run(SOON);
        assert_eq!(knows(&sim, 1, "10.2.0.0/24"), kept);
        assert_eq!(sim.nodes[&node(2)].routes.len(), 5, "forwarding goes on");
    }
}

#[test]
fn selection_waits_for_the_peers_that_can_be_reached_and_for_nobody_else() {
    let mut sim = sim();
    // 9 does not exist: nobody answers.
    let center = with_peer(
        with_peer(with_peer(config(1, 65001), 2, open_peer(65002)), 3, open_peer(65003)),
        9,
        open_peer(65009),
    );
    sim.add(node(1), graceful(center));
    sim.add(node(2), graceful(with_peer(config(2, 65002), 1, open_peer(65001))));
    sim.add(node(3), graceful(with_peer(config(3, 65003), 1, open_peer(65001))));
    originate(&mut sim, 2, &["10.2.0.0/24"]);
    originate(&mut sim, 3, &["10.3.0.0/24"]);
    sim.run(Duration::from_secs(10));
    assert!(knows(&sim, 3, "10.2.0.0/24"));
    sim.kill(node(1));
    sim.run(Duration::from_secs(1));
    sim.start(node(1));
    let begin = sim.now;
    assert!(sim.run_until(Duration::from_secs(10), |sim| sim.nodes[&node(1)].complete.len() == 2));
    assert!(sim.now - begin < Duration::from_secs(2), "{:?}", sim.now - begin);
    // Complete means complete.
    assert!(knows(&sim, 1, "10.2.0.0/24") && knows(&sim, 1, "10.3.0.0/24"));
    sim.run(SOON);
    assert!(knows(&sim, 3, "10.2.0.0/24") && knows(&sim, 2, "10.3.0.0/24"));
    assert_eq!(view(&sim, 2, 1).families[0].counts.stale, 0);
}

#[test]
fn without_any_peer_the_table_is_complete_at_once() {
    let mut sim = sim();
    sim.add(node(1), graceful(config(1, 65001)));
    assert_eq!(sim.nodes[&node(1)].complete.iter().copied().collect::<Vec<_>>(), Family::ALL);
}

/// As [`graceful_pair`], and node 2 asks for a long life of its routes: an hour for IPv4, two for IPv6.
fn long_lived_pair() -> Sim {
    let mut sim = graceful_pair();
    let mut config = sim.nodes[&node(2)].config.clone();
    let restart = config.graceful_restart.as_mut().unwrap();
    restart.restart_time = Duration::from_secs(20);
    let times = [(Family::Ipv4, 3600), (Family::Ipv6, 7200)];
    restart.long_lived_stale_time =
        times.into_iter().map(|(family, time)| (family, Duration::from_secs(time))).collect();
    sim.configure(node(2), config);
    sim.input(node(1), Input::ResetPeer { peer: node(2), text: String::new() });
    sim.run(Duration::from_secs(10));
    assert!(is_up(&sim, 1, 2) && knows(&sim, 1, "10.2.0.0/24") && knows(&sim, 1, "fd02::/64"));
    sim
}

fn is_marked(route: &RouteView) -> bool {
    route.route.attributes.communities.contains(Community::LLGR_STALE)
}

#[test]
fn long_lived_routes_outlive_the_restart_time_and_go_after_the_time_of_their_family() {
    let mut sim = long_lived_pair();
    sim.kill(node(2));
    sim.run(Duration::from_secs(19));
    assert!(!is_marked(&explain(&sim, 1, "10.2.0.0/24")[0]), "the restart time is not over");
    sim.run(Duration::from_secs(2));
    for prefix in ["10.2.0.0/24", "fd02::/64"] {
        let route = &explain(&sim, 1, prefix)[0];
        assert!(route.stale && route.best && is_marked(route), "{route:?}");
    }
    sim.run(Duration::from_secs(3590));
    assert!(knows(&sim, 1, "10.2.0.0/24") && knows(&sim, 1, "fd02::/64"));
    sim.run(Duration::from_secs(20));
    assert!(!knows(&sim, 1, "10.2.0.0/24") && knows(&sim, 1, "fd02::/64"));
    sim.run(Duration::from_secs(3600));
    assert!(!knows(&sim, 1, "fd02::/64"));
}

#[test]
fn long_lived_routes_survive_restarts_in_a_row_and_end_with_end_of_rib() {
    let mut sim = long_lived_pair();
    sim.kill(node(2));
    sim.run(Duration::from_secs(30));
    for _ in 0..5 {
        flap(&mut sim);
        assert!(is_marked(&explain(&sim, 1, "10.2.0.0/24")[0]));
    }
    sim.start(node(2));
    originate(&mut sim, 2, &["10.2.0.0/24"]);
    sim.run(Duration::from_secs(10));
    assert!(!is_marked(&explain(&sim, 1, "10.2.0.0/24")[0]) && !knows(&sim, 1, "10.2.1.0/24"));
    assert_eq!(view(&sim, 1, 2).families[0].counts.stale, 0);
}

#[test]
fn a_peer_that_restarts_for_ever_keeps_no_route_for_longer_than_it_asked_for() {
    let mut sim = long_lived_pair();
    sim.kill(node(2));
    let begin = sim.now;
    // The longest: restart time, stale time, long-lived time.
    let longest = Duration::from_secs(20 + 360 + 3600);
    while knows(&sim, 1, "10.2.0.0/24") {
        assert!(sim.now - begin < longest + Duration::from_secs(60), "after {:?}", sim.now - begin);
        sim.run(Duration::from_secs(15));
        flap(&mut sim);
    }
}

#[test]
fn a_long_lived_route_loses_against_any_other_and_no_llgr_forbids_it() {
    let mut sim = long_lived_pair();
    let route = |communities| OriginatedRoute { communities, ..OriginatedRoute::new(prefix("10.9.0.0/24")) };
    let originate_as = |sim: &mut Sim, n, route| {
        let owner = "test".to_owned();
        sim.input(node(n), Input::Originate { owner, routes: vec![route], replace: false });
    };
    originate_as(&mut sim, 2, route(vec![Community::NO_LLGR]));
    let config = with_peer(sim.nodes[&node(1)].config.clone(), 3, open_peer(65003));
    sim.configure(node(1), config);
    sim.add(node(3), graceful(with_peer(config_of(3), 1, open_peer(65001))));
    // A longer path, which would lose otherwise.
    originate(&mut sim, 3, &["10.2.0.0/24"]);
    sim.run(Duration::from_secs(10));
    assert!(knows(&sim, 1, "10.9.0.0/24"));
    let best = explain(&sim, 1, "10.2.0.0/24");
    assert_eq!((best.len(), &best[0].source), (2, &RouteSource::Peer(node(2))), "the lower router id");
    sim.kill(node(2));
    sim.run(Duration::from_secs(30));
    let routes = explain(&sim, 1, "10.2.0.0/24");
    assert_eq!(routes[0].source, RouteSource::Peer(node(3)));
    assert_eq!(routes[0].decided_by, Some(Step::LongLivedStale));
    assert!(is_marked(&routes[1]));
    assert!(!knows(&sim, 1, "10.9.0.0/24"), "NO_LLGR");
}

fn config_of(n: u8) -> Config {
    config(n, 65000 + u32::from(n))
}

#[test]
fn a_long_lived_route_is_told_to_those_who_know_what_it_is() {
    let mut sim = long_lived_pair();
    let mut center = sim.nodes[&node(1)].config.clone();
    // 3 is external, 4 internal.
    center = with_peer(with_peer(center, 3, open_peer(65003)), 4, open_peer(65001));
    sim.configure(node(1), center);
    sim.add(node(3), with_peer(config(3, 65003), 1, open_peer(65001)));
    sim.add(node(4), with_peer(config(4, 65001), 1, open_peer(65001)));
    sim.run(Duration::from_secs(10));
    assert!(knows(&sim, 3, "10.2.0.0/24") && knows(&sim, 4, "10.2.0.0/24"));
    sim.kill(node(2));
    sim.run(Duration::from_secs(30));
    for n in [3, 4] {
        let route = &explain(&sim, n, "10.2.0.0/24")[0];
        assert!(is_marked(route) && !route.route.attributes.communities.contains(Community::NO_EXPORT));
    }
}

/// An OPEN means the same in any context.
const ANY: DecodeContext = DecodeContext {
    peer: crate::wire::PeerKind::External,
    four_octet_as: true,
    families: Families::ALL,
    add_path: Families::NONE,
    extended_next_hop: false,
    first_as: None,
};

/// A speaker with one peer, 10.0.0.2, played by the test: what it has to say to an OPEN with these capabilities.
struct Played {
    speaker: Speaker,
    conn: crate::speaker::ConnId,
    now: Instant,
}

impl Played {
    fn new(config: Config, capabilities: Vec<Capability>) -> Self {
        Self::of_as(65002, config, capabilities)
    }

    fn of_as(asn: u32, config: Config, capabilities: Vec<Capability>) -> Self {
        let now = sim().now;
        let mut speaker = Speaker::new(now);
        let mut peer = open_peer(asn);
        peer.transport.passive = true;
        speaker.handle(now, Input::Configure(Box::new(with_peer(config, 2, peer))));
        let conn = speaker.allocate_conn();
        let mut played = Self { speaker, conn, now };
        let (local, remote) = ((node(1), 179).into(), (node(2), 40000).into());
        let direction = Direction::Inbound;
        played.speaker.handle(now, Input::ConnectionOpened { conn, direction, local, remote });
        let router_id = "10.0.0.2".parse().unwrap();
        let families = Family::ALL.map(|family| Capability::Multiprotocol(family.into()));
        let four_octets = Capability::FourOctetAs(Asn(asn));
        let capabilities = capabilities.into_iter().chain(families).chain([four_octets]).collect();
        let open = Open { asn: Asn(asn), hold_time: 90, router_id, capabilities };
        played.say(&open.encode());
        played.say(&Message::keepalive());
        played
    }

    fn say(&mut self, bytes: &bytes::Bytes) {
        self.speaker.handle(self.now, Input::Received { conn: self.conn, bytes: bytes.clone() });
    }

    /// Lets time pass; gives what the speaker wants meanwhile.
    fn wait(&mut self, time: Duration) -> Vec<Output> {
        let end = self.now + time;
        let mut outputs = Vec::new();
        loop {
            outputs.extend(std::iter::from_fn(|| self.speaker.poll_output()));
            match self.speaker.poll_timeout().filter(|at| *at <= end) {
                Some(at) => {
                    self.now = self.now.max(at);
                    self.speaker.handle(self.now, Input::Tick);
                }
                None => break,
            }
        }
        self.now = end;
        outputs
    }

    /// The messages that the speaker sends by now.
    fn hears(&mut self) -> Vec<Frame> {
        let mut bytes = Vec::new();
        self.speaker.transmit(self.conn, usize::MAX, &mut bytes);
        let mut framer = Framer::default();
        bytes.iter().for_each(|bytes| framer.push(bytes));
        std::iter::from_fn(|| framer.next_frame().unwrap()).collect()
    }
}

/// The announced routes that a peer without the long-lived capability hears: of a fresh and of a long-lived stale one.
fn hears_of_stale(asn: u32) -> Vec<Attributes> {
    let mut played = Played::of_as(asn, config(1, 65001), vec![]);
    let fresh = OriginatedRoute::new(prefix("10.1.0.0/24"));
    let communities = vec![Community::LLGR_STALE];
    let stale = OriginatedRoute { communities, ..OriginatedRoute::new(prefix("10.2.0.0/24")) };
    let routes = vec![fresh, stale];
    played.speaker.handle(played.now, Input::Originate { owner: "test".to_owned(), routes, replace: false });
    played.wait(Duration::from_secs(1));
    let updates = played.hears().into_iter().filter_map(|frame| match Message::decode(&frame, &ANY) {
        Ok(Message::Update(update)) => update.attributes,
        _ => None,
    });
    updates.collect()
}

#[test]
fn who_knows_no_long_lived_routes_gets_none_unless_internal() {
    let external = hears_of_stale(65002);
    assert_eq!(external.len(), 1, "{external:?}");
    assert!(external[0].communities.is_empty());
    let internal = hears_of_stale(65001);
    let stale = internal.iter().find(|route| route.communities.contains(Community::LLGR_STALE)).unwrap();
    assert!(stale.communities.contains(Community::NO_EXPORT));
    assert_eq!(internal.len(), 2);
}

fn complete(outputs: &[Output]) -> usize {
    outputs.iter().filter(|output| matches!(output, Output::EndOfRib { .. })).count()
}

#[test]
fn a_start_does_not_wait_for_an_end_of_rib_that_nobody_promised() {
    let helper = GracefulRestart { notification: true, ..GracefulRestart::default() };
    for capabilities in [vec![], vec![Capability::GracefulRestart(helper)]] {
        let mut played = Played::new(graceful(config(1, 65001)), capabilities);
        assert_eq!(
            complete(&played.wait(Duration::from_millis(1900))),
            0,
            "its first routes may be on their way"
        );
        assert_eq!(complete(&played.wait(Duration::from_millis(1000))), 2);
    }
}

#[test]
fn a_start_waits_while_a_peer_without_end_of_rib_still_sends_routes() {
    let mut played = Played::new(graceful(config(1, 65001)), vec![]);
    let route = |n: u8| {
        let mut out = bytes::BytesMut::new();
        let context = EncodeContext::default();
        let attributes = Attributes { as_path: AsPath::sequence([Asn(65002)]), ..Attributes::default() };
        let encoded =
            EncodedAttributes::new(&attributes, Family::Ipv4, NextHop::new(node(2)), &context).unwrap();
        encoded.reach([Nlri::from(prefix(&format!("10.2.{n}.0/24")))], &mut out);
        out.freeze()
    };
    for n in 0..10 {
        played.say(&route(n));
        assert_eq!(complete(&played.wait(Duration::from_secs(1))), 0);
    }
    assert_eq!(complete(&played.wait(Duration::from_secs(2))), 2);
}

#[test]
fn what_was_there_before_the_first_session_is_sent_once() {
    let sim = graceful_pair();
    // One UPDATE and one End-of-RIB for each family.
    assert_eq!(view(&sim, 2, 1).counters.updates_received, 4);
    // Node 2 has two IPv4 routes, which fit one message.
    assert_eq!(view(&sim, 1, 2).counters.updates_received, 4);
}

#[test]
fn end_of_rib_is_sent_for_each_family_though_there_is_no_route() {
    for config in [config(1, 65001), graceful(config(1, 65001))] {
        let mut played = Played::new(config, vec![]);
        played.wait(Duration::from_secs(5));
        let updates =
            played.hears().into_iter().filter(|frame| frame.kind == crate::wire::MessageType::Update).count();
        assert_eq!(updates, 2);
    }
}

#[test]
fn the_forwarding_bit_says_what_was_kept_and_only_while_starting() {
    let forwarding = |played: &mut Played| {
        let frames = played.hears();
        let open = frames.iter().find(|frame| frame.kind == crate::wire::MessageType::Open).unwrap().clone();
        let Ok(Message::Open(open)) = Message::decode(&open, &ANY) else { panic!("an OPEN is an OPEN") };
        let restart = open.graceful_restart().unwrap().clone();
        (restart.restarted, restart.families.iter().map(|family| family.forwarding).collect::<Vec<_>>())
    };
    let mut local = graceful(config(1, 65001));
    let restart = local.graceful_restart.as_mut().unwrap();
    restart.forwarding_preserved = Families::NONE.with(Family::Ipv4);
    let mut played = Played::new(local, vec![]);
    assert_eq!(forwarding(&mut played), (true, vec![true, false]));
    played.wait(Duration::from_secs(5));
    played
        .speaker
        .handle(played.now, Input::ConnectionClosed { conn: played.conn, reason: "reset".to_owned() });
    let conn = played.speaker.allocate_conn();
    let (local, remote) = ((node(1), 179).into(), (node(2), 40001).into());
    let direction = Direction::Inbound;
    played.speaker.handle(played.now, Input::ConnectionOpened { conn, direction, local, remote });
    played.conn = conn;
    assert_eq!(forwarding(&mut played), (false, vec![true, true]));
}

#[test]
fn a_monitor_is_told_of_the_stale_routes_that_are_swept() {
    use crate::monitor::{MonitorEvent, Scope};
    let mut sim = graceful_pair();
    let speaker = |sim: &mut Sim| sim.nodes.get_mut(&node(1)).unwrap().speaker.take().unwrap();
    let mut first = speaker(&mut sim);
    first.monitor(Scope { post_policy: true, ..Scope::default() });
    sim.nodes.get_mut(&node(1)).unwrap().speaker = Some(first);
    sim.kill(node(2));
    sim.run(Duration::from_secs(20));
    sim.start(node(2));
    originate(&mut sim, 2, &["10.2.0.0/24", "fd02::/64"]);
    sim.run(Duration::from_secs(10));
    let mut first = speaker(&mut sim);
    let events: Vec<MonitorEvent> = std::iter::from_fn(|| first.poll_monitor()).collect();
    let position = |fits: &dyn Fn(&MonitorEvent) -> bool| events.iter().position(fits).unwrap();
    let up = position(&|event| matches!(event, MonitorEvent::Up { .. }));
    let swept = position(&|event| {
        matches!(event, MonitorEvent::Swept { peer, routes }
            if *peer == node(2) && routes.len() == 1 && routes[0].nlri.prefix == prefix("10.2.1.0/24"))
    });
    assert!(up < swept, "{events:?}");
    assert_eq!(events.iter().filter(|event| matches!(event, MonitorEvent::Swept { .. })).count(), 1);
}
