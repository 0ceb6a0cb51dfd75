//! One run: a network is made, troubled, left alone, and checked.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bgp_core::fsm::State;
use bgp_core::policy::{Condition, Disposition, Filter, Policy, PrefixEntry, PrefixList, Rule};
use bgp_core::sim::Sim;
use bgp_core::speaker::{
    Config, GracefulRestartConfig, Input, OriginatedRoute, PeerConfig, RibKind, SoftReset, Speaker,
};
use cairn_net::{Asn, Prefix, RouterId};

use crate::model::{Origins, Shape, ways};
use crate::troubles::{Numbers, Trouble};

/// Prefixes of a network; every other one is IPv6.
const PREFIXES: u8 = 6;
/// Longer than hold times, restart times and stale times, at delays that are usual again.
const QUIET: Duration = Duration::from_secs(600);
const USUAL_DELAY: Duration = Duration::from_millis(1);

struct Network {
    sim: Sim,
    shape: Shape,
    nodes: u8,
    edges: u64,
    /// What says which prefixes filters keep from which session; `None`: there are no filters.
    filters: Option<u64>,
    origins: Origins,
}

/// Runs the network of a seed. Errors: what is wrong at its end.
pub(crate) fn run(seed: u64) -> Result<(), String> {
    let mut numbers = Numbers(seed);
    let mut network = Network::new(&mut numbers);
    let troubles = numbers.within(0, 60);
    for _ in 0..troubles {
        let trouble = Trouble::draw(&mut numbers, network.nodes, PREFIXES);
        network.happen(trouble);
    }
    network.quiesce();
    network.check().map_err(|fault| format!("{:?} of {} nodes: {fault}", network.shape, network.nodes))
}

fn address(node: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, node])
}

fn prefix(number: u8) -> Prefix {
    let text = if number.is_multiple_of(2) {
        format!("10.100.{number}.0/24")
    } else {
        format!("fd00:{number}::/64")
    };
    text.parse().expect("a prefix")
}

/// A policy that accepts all prefixes but some.
fn all_but(rejected: impl Fn(u8) -> bool) -> Option<Arc<Policy>> {
    let entry = |number| PrefixEntry::exact(prefix(number), true);
    let entries: Vec<PrefixEntry> = (0..PREFIXES).filter(|number| rejected(*number)).map(entry).collect();
    if entries.is_empty() {
        return Some(Arc::new(Policy::accept_all()));
    }
    let list = Arc::new(PrefixList::new(entries));
    let rules = vec![Rule::new(Condition::Prefix(list), Vec::new(), Disposition::Reject)];
    let filter = Filter { name: "all-but".to_owned(), rules, default: Disposition::Accept };
    Some(Arc::new(Policy::new(vec![Arc::new(filter)], false)))
}

impl Network {
    fn new(numbers: &mut Numbers) -> Self {
        let shape = match numbers.within(0, 3) {
            0 => Shape::Mesh,
            1 => Shape::Reflector,
            _ => Shape::External,
        };
        let nodes = u8::try_from(numbers.within(2, 8)).unwrap_or(5);
        let edges = numbers.next();
        let graceful = numbers.chance(50);
        let hold = Duration::from_secs(numbers.within(3, 12));
        let filters = (shape == Shape::External && numbers.chance(50)).then(|| numbers.next());
        #[allow(clippy::disallowed_methods)] // any point in time will do
        let sim = Sim::new(Instant::now());
        let mut network = Self { sim, shape, nodes, edges, filters, origins: Origins::new() };
        for node in 1..=nodes {
            let mut config = network.config(node, graceful);
            for other in (1..=nodes).filter(|other| network.linked(node, *other)) {
                let mut peer = network.peer(node, other);
                peer.timers.hold = hold;
                peer.timers.connect_retry = Duration::from_secs(numbers.within(1, 4));
                // One end may leave connecting to the other.
                peer.transport.passive = node < other && network.edges >> (node % 8) & 1 == 1;
                config.peers.insert(address(other), peer);
            }
            network.sim.add(address(node), config);
        }
        network
    }

    /// Is there a session between the two? All are connected, at least in a line.
    fn linked(&self, a: u8, b: u8) -> bool {
        let (low, high) = (a.min(b), a.max(b));
        match self.shape {
            _ if a == b => false,
            Shape::Mesh => true,
            Shape::Reflector => low == 1,
            Shape::External => high - low == 1 || self.edges >> (u32::from(low * 7 + high) % 64) & 1 == 1,
        }
    }

    /// Would one node tell the other of the prefix?
    fn tells(&self, from: u8, to: u8, number: u8) -> bool {
        self.linked(from, to) && !self.filtered(from, to, number)
    }

    /// Does a filter keep this prefix from getting from one node to the other?
    fn filtered(&self, from: u8, to: u8, number: u8) -> bool {
        self.filters.is_some_and(|filters| {
            let place = u64::from(from) << 16 | u64::from(to) << 8 | u64::from(number);
            Numbers(filters ^ place).chance(15)
        })
    }

    /// Is it the sender, by its export filter, and not the receiver, by its import filter?
    fn filters_at_export(from: u8, to: u8, number: u8) -> bool {
        (from ^ to ^ number) & 1 == 0
    }

    fn asn(&self, node: u8) -> Asn {
        Asn(if self.shape == Shape::External { 65000 + u32::from(node) } else { 65000 })
    }

    fn config(&self, node: u8, graceful: bool) -> Config {
        let router_id = RouterId::new(u32::from_be_bytes([10, 0, 0, node])).expect("not zero");
        let v6: IpAddr = format!("fd00:ffff::{node}").parse().expect("an address");
        Config {
            graceful_restart: graceful.then(GracefulRestartConfig::default),
            next_hop_addresses: vec![v6],
            ..Config::new(self.asn(node), router_id)
        }
    }

    fn peer(&self, node: u8, other: u8) -> PeerConfig {
        let import = all_but(|number| {
            self.filtered(other, node, number) && !Self::filters_at_export(other, node, number)
        });
        let export = all_but(|number| {
            self.filtered(node, other, number) && Self::filters_at_export(node, other, number)
        });
        let mut peer = PeerConfig { import, export, ..PeerConfig::new(self.asn(other)) };
        peer.route_reflector_client = self.shape == Shape::Reflector && node == 1;
        peer
    }

    fn runs(&self, node: u8) -> bool {
        self.sim.nodes.get(&address(node)).is_some_and(|node| node.speaker.is_some())
    }

    fn speaker(&self, node: IpAddr) -> Result<&Speaker, String> {
        let found = self.sim.nodes.get(&node).and_then(|node| node.speaker.as_ref());
        found.ok_or_else(|| format!("{node} does not run"))
    }

    fn originates(&self, node: u8) -> Vec<u8> {
        let with = self.origins.iter().filter(|(_, nodes)| nodes.contains(&node));
        with.map(|(prefix, _)| *prefix).collect()
    }

    fn originate(&mut self, node: u8, prefixes: &[u8]) {
        let routes = prefixes.iter().map(|number| OriginatedRoute::new(prefix(*number))).collect();
        self.sim.input(address(node), Input::Originate { owner: "test".to_owned(), routes, replace: false });
    }

    fn start(&mut self, node: u8) {
        if !self.runs(node) {
            self.sim.start(address(node));
            self.originate(node, &self.originates(node));
        }
    }

    fn happen(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::Originate(node, number) if self.runs(node) => {
                self.origins.entry(number).or_default().insert(node);
                self.originate(node, &[number]);
            }
            Trouble::Withdraw(node, number) if self.runs(node) => {
                self.origins.entry(number).or_default().remove(&node);
                let prefixes = vec![prefix(number)];
                self.sim.input(address(node), Input::Withdraw { owner: "test".to_owned(), prefixes });
            }
            Trouble::Originate(..) | Trouble::Withdraw(..) => {}
            Trouble::Kill(node) => self.sim.kill(address(node)),
            Trouble::Crash(node) => self.sim.crash(address(node)),
            Trouble::Start(node) => self.start(node),
            Trouble::Cut(a, b) => self.sim.set_cut(address(a), address(b), true),
            Trouble::Mend(a, b) => self.sim.set_cut(address(a), address(b), false),
            Trouble::Reset(node, other) => {
                let (peer, text) = (address(other), String::new());
                self.sim.input(address(node), Input::ResetPeer { peer, text });
            }
            Trouble::Refresh(node) => {
                self.sim.input(address(node), Input::SoftReset { peer: None, way: SoftReset::Both });
            }
            Trouble::Stall(node) => self.sim.stall(address(node)),
            Trouble::Unstall(node) => self.sim.unstall(address(node)),
            Trouble::Delay(microseconds) => self.sim.latency = Duration::from_micros(microseconds),
            Trouble::Wait(milliseconds) => self.sim.run(Duration::from_millis(milliseconds)),
        }
    }

    /// Ends all trouble and waits until everything has settled.
    fn quiesce(&mut self) {
        self.sim.latency = USUAL_DELAY;
        for node in 1..=self.nodes {
            self.sim.unstall(address(node));
            for other in 1..=self.nodes {
                self.sim.set_cut(address(node), address(other), false);
            }
            self.start(node);
        }
        self.sim.run(QUIET);
    }

    fn check(&self) -> Result<(), String> {
        for node in 1..=self.nodes {
            for other in (1..=self.nodes).filter(|other| self.linked(node, *other)) {
                self.check_session(address(node), address(other))?;
            }
        }
        for number in 0..PREFIXES {
            self.check_prefix(number)?;
        }
        Ok(())
    }

    /// The session is up, and what one end says it tells is what the other end has.
    fn check_session(&self, from: IpAddr, to: IpAddr) -> Result<(), String> {
        let (speaker, there) = (self.speaker(from)?, self.speaker(to)?);
        let peer = speaker.peer(to).ok_or_else(|| format!("{from} does not know {to}"))?;
        if peer.state != State::Established {
            let other = there.peer(from).map(|peer| (peer.state, peer.last_error));
            return Err(format!(
                "{from} to {to} is in {}: {:?}; there: {other:?}",
                peer.state, peer.last_error
            ));
        }
        let list = |speaker: &Speaker, kind| -> BTreeMap<_, _> {
            let routes = speaker.routes(kind);
            routes.into_iter().map(|view| (view.prefix, view.route)).collect()
        };
        let told = list(speaker, RibKind::AdjRibOut(to));
        let heard = list(there, RibKind::AdjRibIn(from));
        if told != heard {
            return Err(format!("{from} says it has told {to} {told:?}\nbut {to} has heard {heard:?}"));
        }
        let advertised: u32 = peer.families.iter().map(|family| family.advertised).sum();
        if advertised as usize != told.len() {
            return Err(format!("{from} counts {advertised} routes told to {to}, which are {}", told.len()));
        }
        Ok(())
    }

    /// Every node's route is the reference's.
    fn check_prefix(&self, number: u8) -> Result<(), String> {
        let none = Default::default();
        let origins = self.origins.get(&number).unwrap_or(&none);
        let expected = ways(self.shape, self.nodes, |to, from| self.tells(from, to, number), origins);
        for node in 1..=self.nodes {
            let paths = self.speaker(address(node))?.explain(prefix(number));
            let best = paths.first().filter(|path| path.best);
            let reported =
                self.sim.nodes.get(&address(node)).and_then(|node| node.routes.get(&prefix(number)));
            let fault = |what: &str| format!("node {node}, {}: {what}; {paths:?}", prefix(number));
            match (expected.get(&node), best) {
                (None, None) if reported.is_none() => {}
                (Some(way), Some(best)) => {
                    if best.stale {
                        return Err(fault("the route is stale"));
                    }
                    if reported.is_none() {
                        return Err(fault("the route was not reported"));
                    }
                    let attributes = &best.route.attributes;
                    let asns: Vec<Asn> = attributes
                        .as_path
                        .segments()
                        .flat_map(|segment| segment.asns().collect::<Vec<_>>())
                        .collect();
                    let right = if self.shape == Shape::External {
                        asns == way.iter().map(|node| self.asn(*node)).collect::<Vec<_>>()
                    } else {
                        // Who originated it is the next hop of an internal route.
                        let hop = way.last().map(|origin| match prefix(number).family() {
                            cairn_net::Family::Ipv4 => address(*origin),
                            cairn_net::Family::Ipv6 => {
                                format!("fd00:ffff::{origin}").parse().expect("an address")
                            }
                        });
                        asns.is_empty() && hop.is_none_or(|hop| best.route.next_hop.addr == hop)
                    };
                    if !right {
                        return Err(fault(&format!("it should go through {way:?}")));
                    }
                }
                (expected, _) => return Err(fault(&format!("expected {expected:?}, reported {reported:?}"))),
            }
        }
        Ok(())
    }
}
