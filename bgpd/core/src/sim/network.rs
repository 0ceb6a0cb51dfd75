mod upgrade;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use cairn_net::Prefix;

use crate::nexthop::KernelRoute;
use crate::speaker::{
    BGP_PORT, BestRoute, Config, ConnId, Direction, Input, NextHopView, Output, PeerChange, Speaker,
    Surroundings,
};

/// A speaker in its network.
#[derive(Debug)]
pub struct Node {
    /// The speaker; `None` while it is down.
    pub speaker: Option<Speaker>,
    /// Its configuration, given again after a restart.
    pub config: Config,
    /// What it has reported of its Loc-RIB.
    pub routes: BTreeMap<Prefix, BestRoute>,
    /// Families that it has reported as complete.
    pub complete: BTreeSet<cairn_net::Family>,
    /// What it has reported of its peers, in order.
    pub changes: Vec<(Duration, IpAddr, PeerChange)>,
    /// Octets that it has sent, by peer.
    pub sent: BTreeMap<IpAddr, u64>,
    /// Prefixes that were reported as changed, each time.
    pub reports: Vec<Prefix>,
    /// What it has reported of next hops, in order.
    pub next_hops: Vec<NextHopView>,
    /// What a speaker that takes over is told of the machine.
    pub surroundings: Surroundings,
    /// The kernel's routes, if it was told any.
    kernel: Option<Vec<(Prefix, KernelRoute)>>,
    /// The end of its connections: which link each one runs over.
    ends: BTreeMap<ConnId, LinkId>,
    /// Connections that earlier lives of the speaker have named. A new life goes on from there, so that what is still on its way
    /// for one of those finds nobody.
    named: u64,
}

impl Node {
    /// Takes the speaker away.
    fn end(&mut self) {
        if let Some(mut speaker) = self.speaker.take() {
            self.named = speaker.allocate_conn().0;
        }
    }
}

/// Names a TCP connection of the simulation.
type LinkId = u64;

/// One TCP connection between two nodes.
#[derive(Debug)]
struct Link {
    /// Node and connection at either end; the one that opened it first.
    ends: [(IpAddr, ConnId); 2],
    /// What is on its way to either end, in order: TCP loses nothing while the connection lives.
    flying: [VecDeque<Bytes>; 2],
    /// How many pieces arrived at a cut on their way to either end, to be sent again.
    held: [usize; 2],
}

impl Link {
    fn new(opener: (IpAddr, ConnId), other: (IpAddr, ConnId)) -> Self {
        Self { ends: [opener, other], flying: Default::default(), held: [0; 2] }
    }
}

/// Something that will happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    /// A SYN arrives.
    Syn { from: IpAddr, to: IpAddr, conn: ConnId },
    /// The opener hears of its success.
    Opened { node: IpAddr, conn: ConnId, link: LinkId, remote: IpAddr },
    /// The opener hears of its failure.
    Refused { node: IpAddr, conn: ConnId },
    /// Bytes arrive.
    Bytes { link: LinkId, end: usize },
    /// A FIN or RST arrives.
    Closed { node: IpAddr, conn: ConnId },
}

/// The network. A node's name is its address.
#[derive(Debug)]
pub struct Sim {
    /// When it began; times are counted from there.
    pub epoch: Instant,
    /// The present.
    pub now: Instant,
    /// One-way delay of everything. Not zero.
    pub latency: Duration,
    /// The nodes by address.
    pub nodes: BTreeMap<IpAddr, Node>,
    /// Pairs between which nothing gets through any more (both orders are entered).
    pub cut: BTreeSet<(IpAddr, IpAddr)>,
    /// Nodes whose sockets take nothing: they stay writers in waiting.
    stalled: BTreeMap<IpAddr, BTreeSet<ConnId>>,
    /// Octets that a node writes to one connection in one go.
    pub budget: usize,
    links: BTreeMap<LinkId, Link>,
    queue: BinaryHeap<Reverse<(Instant, u64)>>,
    events: BTreeMap<u64, Event>,
    next: u64,
}

impl Sim {
    /// An empty network that begins at `epoch`.
    pub fn new(epoch: Instant) -> Self {
        Self {
            epoch,
            now: epoch,
            latency: Duration::from_millis(1),
            nodes: BTreeMap::new(),
            cut: BTreeSet::new(),
            stalled: BTreeMap::new(),
            budget: 64 << 10,
            links: BTreeMap::new(),
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            next: 0,
        }
    }

    /// Adds a node and starts it.
    pub fn add(&mut self, address: IpAddr, config: Config) {
        let node = Node {
            speaker: None,
            config,
            routes: BTreeMap::new(),
            complete: BTreeSet::new(),
            changes: Vec::new(),
            sent: BTreeMap::new(),
            reports: Vec::new(),
            next_hops: Vec::new(),
            surroundings: Surroundings::default(),
            kernel: None,
            ends: BTreeMap::new(),
            named: 0,
        };
        self.nodes.insert(address, node);
        self.start(address);
    }

    /// Starts a node that is down, with nothing but its configuration.
    pub fn start(&mut self, address: IpAddr) {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(&address) else { return };
        let mut speaker = Speaker::new(now);
        for _ in 0..node.named {
            speaker.allocate_conn();
        }
        node.speaker = Some(speaker);
        node.routes.clear();
        node.complete.clear();
        let config = Box::new(node.config.clone());
        self.input(address, Input::Configure(config));
    }

    /// A node's process dies: its connections are closed by its kernel, without a NOTIFICATION.
    pub fn kill(&mut self, address: IpAddr) {
        let Some(node) = self.nodes.get_mut(&address) else { return };
        node.end();
        for conn in std::mem::take(&mut node.ends).into_keys() {
            self.hang_up(address, conn);
        }
    }

    /// A node's machine loses power: nobody hears of it.
    pub fn crash(&mut self, address: IpAddr) {
        let Some(node) = self.nodes.get_mut(&address) else { return };
        node.end();
        node.ends.clear();
    }

    /// Gives a node another configuration.
    pub fn configure(&mut self, address: IpAddr, config: Config) {
        if let Some(node) = self.nodes.get_mut(&address) {
            node.config = config.clone();
        }
        self.input(address, Input::Configure(Box::new(config)));
    }

    /// Lets nothing pass between two nodes any more, or everything again.
    pub fn set_cut(&mut self, a: IpAddr, b: IpAddr, cut: bool) {
        for pair in [(a, b), (b, a)] {
            if cut {
                self.cut.insert(pair);
            } else {
                self.cut.remove(&pair);
            }
        }
        if !cut {
            self.send_again(a, b);
        }
    }

    fn send_again(&mut self, a: IpAddr, b: IpAddr) {
        let between = |link: &Link| {
            let [(first, _), (second, _)] = link.ends;
            (first, second) == (a, b) || (first, second) == (b, a)
        };
        let mut held = Vec::new();
        for (id, link) in self.links.iter_mut().filter(|(_, link)| between(link)) {
            for end in [0, 1] {
                held.extend(std::iter::repeat_n((*id, end), std::mem::take(&mut link.held[end])));
            }
        }
        for (link, end) in held {
            self.at(self.latency, Event::Bytes { link, end });
        }
    }

    /// A node's sockets take no more bytes: every peer of it is slow.
    pub fn stall(&mut self, address: IpAddr) {
        self.stalled.entry(address).or_default();
    }

    /// A node's sockets can be written again.
    pub fn unstall(&mut self, address: IpAddr) {
        for conn in self.stalled.remove(&address).into_iter().flatten() {
            self.write(address, conn);
        }
    }

    /// The name that a node gives its connection to another one; `None` without one.
    pub fn connection(&self, address: IpAddr, other: IpAddr) -> Option<ConnId> {
        let mut ends = self.nodes.get(&address)?.ends.iter();
        let leads = |link: &LinkId| {
            self.links.get(link).is_some_and(|link| link.ends.iter().any(|end| end.0 == other))
        };
        ends.find(|(_, link)| leads(link)).map(|(conn, _)| *conn)
    }

    /// The kernel of a node has these routes, and no others.
    pub fn set_kernel(&mut self, address: IpAddr, routes: Vec<(Prefix, KernelRoute)>) {
        if let Some(node) = self.nodes.get_mut(&address) {
            node.kernel = Some(routes.clone());
        }
        self.tell_kernel(address, routes);
    }

    fn tell_kernel(&mut self, address: IpAddr, routes: Vec<(Prefix, KernelRoute)>) {
        let changes = routes.into_iter().map(|(prefix, route)| (prefix, Some(route))).collect();
        self.input(address, Input::KernelRoutes { changes, whole: true });
    }

    /// The kernel's routes change while nobody looks at them. A process that takes over reads them.
    pub fn change_kernel(&mut self, address: IpAddr, routes: Vec<(Prefix, KernelRoute)>) {
        if let Some(node) = self.nodes.get_mut(&address) {
            node.kernel = Some(routes);
        }
    }

    /// Gives an input to a node, and does what it wants.
    pub fn input(&mut self, address: IpAddr, input: Input) {
        let now = self.now;
        if let Some(speaker) = self.nodes.get_mut(&address).and_then(|node| node.speaker.as_mut()) {
            speaker.handle(now, input);
        }
        self.settle(address);
    }

    /// Runs for a time.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
        self.now = end;
    }

    /// Runs until the condition holds; false if it does not within the time.
    pub fn run_until(&mut self, limit: Duration, condition: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            if condition(self) {
                return true;
            }
            if !self.step(end) {
                self.now = end;
                return condition(self);
            }
        }
    }

    /// Goes on to the next thing that happens; false if there is none up to `end`.
    fn step(&mut self, end: Instant) -> bool {
        let event = self.queue.peek().map(|Reverse((at, _))| *at);
        let timer = self
            .nodes
            .iter()
            .filter_map(|(address, node)| Some((node.speaker.as_ref()?.poll_timeout()?, *address)))
            .min();
        match (event, timer) {
            (Some(at), timer) if timer.is_none_or(|(timeout, _)| at <= timeout) => {
                if at > end {
                    return false;
                }
                self.now = self.now.max(at);
                let Some(Reverse((_, key))) = self.queue.pop() else { return false };
                if let Some(event) = self.events.remove(&key) {
                    self.happen(event);
                }
                true
            }
            (_, Some((at, address))) if at <= end => {
                self.now = self.now.max(at);
                self.input(address, Input::Tick);
                true
            }
            _ => false,
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Syn { from, to, conn } => self.syn(from, to, conn),
            Event::Opened { node, conn, link, remote } => {
                if let Some(end) = self.nodes.get_mut(&node) {
                    end.ends.insert(conn, link);
                }
                self.opened(node, conn, Direction::Outbound, remote);
            }
            Event::Refused { node, conn } => {
                self.input(node, Input::ConnectFailed { conn, reason: "connection refused".to_owned() });
            }
            Event::Bytes { link, end } => self.arrive(link, end),
            Event::Closed { node, conn } => {
                let known = self.nodes.get_mut(&node).is_some_and(|end| end.ends.remove(&conn).is_some());
                if known {
                    self.input(
                        node,
                        Input::ConnectionClosed { conn, reason: "closed by the peer".to_owned() },
                    );
                }
            }
        }
    }

    /// The next bytes reach an end of a link, or the cut before it.
    fn arrive(&mut self, id: LinkId, end: usize) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let ((sender, senders_conn), (node, conn)) = (link.ends[1 - end], link.ends[end]);
        if self.cut.contains(&(sender, node)) {
            link.held[end] += 1;
            return;
        }
        let Some(bytes) = link.flying[end].pop_front() else { return };
        if self.nodes.get(&node).is_some_and(|node| node.ends.contains_key(&conn)) {
            self.input(node, Input::Received { conn, bytes });
        } else {
            // The machine was restarted: its TCP answers with RST.
            self.at(self.latency, Event::Closed { node: sender, conn: senders_conn });
        }
    }

    fn syn(&mut self, from: IpAddr, to: IpAddr, conn: ConnId) {
        if self.cut.contains(&(from, to)) {
            return;
        }
        let Some(speaker) = self.nodes.get_mut(&to).and_then(|node| node.speaker.as_mut()) else {
            self.at(self.latency, Event::Refused { node: from, conn });
            return;
        };
        let accepted = speaker.allocate_conn();
        let link = self.next;
        self.next += 1;
        self.links.insert(link, Link::new((from, conn), (to, accepted)));
        if let Some(node) = self.nodes.get_mut(&to) {
            node.ends.insert(accepted, link);
        }
        self.at(self.latency, Event::Opened { node: from, conn, link, remote: to });
        self.opened(to, accepted, Direction::Inbound, from);
    }

    fn opened(&mut self, node: IpAddr, conn: ConnId, direction: Direction, remote: IpAddr) {
        let local = SocketAddr::new(node, BGP_PORT);
        let remote = SocketAddr::new(remote, BGP_PORT);
        self.input(node, Input::ConnectionOpened { conn, direction, local, remote });
    }

    fn at(&mut self, delay: Duration, event: Event) {
        let key = self.next;
        self.next += 1;
        self.queue.push(Reverse((self.now + delay, key)));
        self.events.insert(key, event);
    }

    fn settle(&mut self, address: IpAddr) {
        while let Some(output) =
            self.nodes.get_mut(&address).and_then(|node| node.speaker.as_mut()).and_then(Speaker::poll_output)
        {
            self.output(address, output);
        }
    }

    fn output(&mut self, address: IpAddr, output: Output) {
        let time = self.now - self.epoch;
        let Some(node) = self.nodes.get_mut(&address) else { return };
        match output {
            Output::Connect { conn, remote, .. } => {
                self.at(self.latency, Event::Syn { from: address, to: remote.ip(), conn });
            }
            Output::Transmit { conn } => match self.stalled.get_mut(&address) {
                Some(waiting) => {
                    waiting.insert(conn);
                }
                None => self.write(address, conn),
            },
            Output::Close { conn, last } => {
                self.deliver(address, conn, last);
                if let Some(node) = self.nodes.get_mut(&address) {
                    node.ends.remove(&conn);
                }
                self.hang_up(address, conn);
            }
            Output::PeerChanged { peer, change, .. } => node.changes.push((time, peer, change)),
            Output::RouteChanged { prefix } => {
                node.reports.push(prefix);
                match node.speaker.as_ref().and_then(|speaker| speaker.best_route(prefix)) {
                    Some(best) => drop(node.routes.insert(prefix, best)),
                    None => drop(node.routes.remove(&prefix)),
                }
            }
            Output::EndOfRib { family } => {
                node.complete.insert(family);
            }
            Output::NextHopChanged { next_hop, .. } => node.next_hops.push(next_hop),
        }
    }

    fn write(&mut self, address: IpAddr, conn: ConnId) {
        loop {
            let Some(speaker) = self.nodes.get_mut(&address).and_then(|node| node.speaker.as_mut()) else {
                return;
            };
            let mut messages = Vec::new();
            let sent = speaker.transmit(conn, self.budget, &mut messages);
            let mut bytes = BytesMut::new();
            messages.iter().for_each(|message| bytes.extend_from_slice(message));
            self.deliver(address, conn, bytes.freeze());
            if !sent.more {
                return;
            }
        }
    }

    fn deliver(&mut self, address: IpAddr, conn: ConnId, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        let Some((link, end)) = self.other_end(address, conn) else { return };
        let Some(other) = self.links.get_mut(&link) else { return };
        if let Some(node) = self.nodes.get_mut(&address) {
            *node.sent.entry(other.ends[end].0).or_default() += bytes.len() as u64;
        }
        other.flying[end].push_back(bytes);
        self.at(self.latency, Event::Bytes { link, end });
    }

    /// The link of a connection, and which of its ends is the other one.
    fn other_end(&self, address: IpAddr, conn: ConnId) -> Option<(LinkId, usize)> {
        self.links.iter().rev().find_map(|(id, link)| {
            let end = link.ends.iter().position(|end| *end == (address, conn))?;
            Some((*id, 1 - end))
        })
    }

    fn hang_up(&mut self, address: IpAddr, conn: ConnId) {
        let Some((link, end)) = self.other_end(address, conn) else { return };
        if let Some((node, conn)) = self.links.get(&link).map(|link| link.ends[end])
            && !self.cut.contains(&(address, node))
        {
            self.at(self.latency, Event::Closed { node, conn });
        }
    }
}
