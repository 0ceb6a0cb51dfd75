//! What BMP collectors are sent (RFC 7854).
//!
//! A collector that connects is told which peers are up, then the tables it wants, page by page as it takes them; what changes
//! meanwhile is queued in between, in the order in which it happened, so that the last word on a route is always the newest.
//! Invariants: a collector's queue holds at most [`MAX_QUEUE`] octets, beyond which the collector is cut off and begins anew; while none is
//! connected, nothing is made.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bgp_core::monitor::bmp::{self, PeerHeader, Rib, Statistic};
use bgp_core::monitor::{MonitorEvent, MonitoredRoute, Scope, encode_updates};
use bgp_core::speaker::{Listing, PeerView, PrefixMatch, RibKind, RouteView};
use bgp_core::wire::{EncodeContext, Nlri, encode_end_of_rib};
use bgpd_api::config::BmpCollector;
use bytes::Bytes;
use cairn_net::{Families, Family};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tracing::warn;

use super::outbox::Outbox;
use super::{Daemon, Handle, wall_clock};
use crate::bmp::Link;
use crate::transport::Event;

/// Octets that wait for a collector at most.
const MAX_QUEUE: usize = 32 << 20;
/// Octets handed over in one go.
const BATCH: usize = 128 << 10;
/// Routes of a table that are looked up in one go.
const PAGE: usize = 512;
/// Time between two statistics reports, unless configured.
const STATISTICS: Duration = Duration::from_secs(60);

/// All collectors of the configuration.
pub(super) struct Collectors {
    daemon: Handle,
    links: BTreeMap<SocketAddr, (BmpCollector, Link)>,
    /// The collectors that are connected, by a number that no other connection had.
    streams: BTreeMap<u64, Stream>,
    next: u64,
    counts: BmpCounts,
}

/// What collectors cost, and what it cost them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct BmpCounts {
    /// Collectors that are connected.
    pub(crate) connected: usize,
    /// Octets that wait for all of them.
    pub(crate) queued: usize,
    /// How often one was cut off for reading too slowly.
    pub(crate) cut_off: u64,
    /// Messages that one was not sent for it.
    pub(crate) dropped: u64,
}

/// A connected collector.
struct Stream {
    config: BmpCollector,
    outbox: Outbox<Vec<Bytes>>,
    queue: VecDeque<Bytes>,
    queued: usize,
    /// Tables that are still to be sent.
    dumps: VecDeque<Dump>,
    /// Ends the connection without another word.
    cut: oneshot::Sender<()>,
}

/// What a connection to a collector is made of.
pub(crate) struct Feed {
    /// What is to be sent.
    pub(crate) messages: mpsc::Receiver<Vec<Bytes>>,
    /// Told when the connection is to be cut off, whatever still waits.
    pub(crate) cut: oneshot::Receiver<()>,
}

/// A table that is being sent.
struct Dump {
    /// Whose; `None`: the Loc-RIB.
    peer: Option<(IpAddr, Rib)>,
    listing: Listing,
}

impl Collectors {
    pub(super) fn new(daemon: Handle) -> Self {
        Self {
            daemon,
            links: BTreeMap::new(),
            streams: BTreeMap::new(),
            next: 0,
            counts: BmpCounts::default(),
        }
    }

    /// Queues messages for all collectors that want them.
    fn queue(&mut self, messages: &[Bytes], wanted: impl Fn(&BmpCollector) -> bool) {
        let length: usize = messages.iter().map(Bytes::len).sum();
        let fits = |stream: &mut Stream| stream.queued + length <= MAX_QUEUE;
        for (_, stream) in self.streams.extract_if(.., |_, stream| wanted(&stream.config) && !fits(stream)) {
            let collector = stream.config.collector;
            let dropped = (stream.queue.len() + messages.len()) as u64;
            warn!(%collector, dropped, "BMP collector cut off: it reads too slowly, {MAX_QUEUE} octets wait for it; it begins anew");
            self.counts.cut_off += 1;
            self.counts.dropped += dropped;
            // The connection may have ended by itself.
            let _ = stream.cut.send(());
        }
        for stream in self.streams.values_mut().filter(|stream| wanted(&stream.config)) {
            stream.put(messages);
        }
    }

    pub(super) fn counts(&self) -> BmpCounts {
        BmpCounts {
            connected: self.streams.len(),
            queued: self.streams.values().map(|stream| stream.queued).sum(),
            ..self.counts
        }
    }
}

impl Stream {
    fn put(&mut self, messages: &[Bytes]) {
        self.queued += messages.iter().map(Bytes::len).sum::<usize>();
        self.queue.extend(messages.iter().cloned());
    }

    /// Takes what is handed over next; empty: nothing waits.
    fn batch(&mut self) -> Vec<Bytes> {
        let (mut batch, mut len) = (Vec::new(), 0);
        while len < BATCH {
            let Some(message) = self.queue.pop_front() else { break };
            len += message.len();
            batch.push(message);
        }
        self.queued -= len;
        batch
    }
}

fn scope(config: &BmpCollector) -> Scope {
    Scope {
        pre_policy: config.pre_policy,
        post_policy: config.post_policy,
        loc_rib: config.loc_rib,
        adj_out: config.adj_rib_out,
        states: false,
    }
}

impl Daemon {
    /// Makes these the collectors. Connections to those that stay as they are go on.
    pub(super) fn set_collectors(&mut self, wanted: &[BmpCollector]) {
        let gone: Vec<SocketAddr> = self
            .bmp
            .links
            .iter()
            .filter(|(_, (config, _))| !wanted.contains(config))
            .map(|(address, _)| *address)
            .collect();
        for address in gone {
            self.stop_collector(address);
        }
        for config in wanted {
            if !self.bmp.links.contains_key(&config.collector) {
                let link = Link::start(self.bmp.daemon.clone(), config.collector);
                self.bmp.links.insert(config.collector, (config.clone(), link));
            }
        }
    }

    /// Takes leave of all collectors; the tasks end once they have written it.
    pub(super) fn stop_collectors(&mut self) -> Vec<JoinHandle<()>> {
        let addresses: Vec<SocketAddr> = self.bmp.links.keys().copied().collect();
        addresses.into_iter().filter_map(|address| self.stop_collector(address)).collect()
    }

    fn stop_collector(&mut self, address: SocketAddr) -> Option<JoinHandle<()>> {
        self.bmp.streams.retain(|_, stream| {
            if stream.config.collector == address {
                stream.put(&[bmp::termination()]);
                // What does not fit is lost: the collector has not read for a while.
                stream.outbox.send(stream.queue.drain(..).collect());
                return false;
            }
            true
        });
        self.listen_for_monitors();
        self.bmp.links.remove(&address).map(|(_, link)| link.stop())
    }

    /// A collector is connected: gives what it is sent; `None` if it is not wanted any more.
    pub(crate) fn bmp_connected(&mut self, address: SocketAddr) -> Option<Feed> {
        // What happened before is not this collector's.
        self.take_monitor_events();
        let config = self.bmp.links.get(&address)?.0.clone();
        let running = &self.running.as_ref()?.config;
        let (asn, router_id) = (running.local_as, running.router_id);
        let (outbox, messages) = Outbox::new();
        let (cut, cut_off) = oneshot::channel();
        let (queue, dumps) = (VecDeque::new(), VecDeque::new());
        let mut stream = Stream { config, outbox, queue, queued: 0, dumps, cut };
        let version = concat!("Cairn bgpd ", env!("CARGO_PKG_VERSION"));
        stream.put(&[bmp::initiation(version, &router_id.to_string())]);
        let at = wall_clock();
        if stream.config.loc_rib {
            stream.put(&[bmp::loc_rib_up(asn, router_id, at)]);
            let listing = self.speaker.list(RibKind::LocRib, PrefixMatch::Any);
            stream.dumps.push_back(Dump { peer: None, listing });
        }
        self.look_at_sessions();
        for (peer, session) in &self.monitored {
            stream.put(&[bmp::peer_up(*peer, session, at)]);
            for (wanted, rib, kind) in [
                (stream.config.pre_policy, Rib::PrePolicy, RibKind::AdjRibIn(*peer)),
                (stream.config.post_policy, Rib::PostPolicy, RibKind::AdjRibInAccepted(*peer)),
                (stream.config.adj_rib_out, Rib::AdjOut, RibKind::AdjRibOut(*peer)),
            ] {
                if wanted {
                    let listing = self.speaker.list(kind, PrefixMatch::Any);
                    stream.dumps.push_back(Dump { peer: Some((*peer, rib)), listing });
                }
            }
        }
        let id = self.bmp.next;
        self.bmp.next += 1;
        self.arm_statistics(id, &stream.config);
        self.bmp.streams.insert(id, stream);
        self.listen_for_monitors();
        Some(Feed { messages, cut: cut_off })
    }

    /// Has the speaker say what the connected collectors and the recorder want, and nothing else.
    pub(super) fn listen_for_monitors(&mut self) {
        let wanted = self.bmp.streams.values().map(|stream| scope(&stream.config));
        self.speaker.monitor(wanted.fold(self.recorder.scope(), Scope::or));
    }

    /// Notes which sessions there are: while nobody listens, nobody is told.
    pub(super) fn look_at_sessions(&mut self) {
        let peers = self.speaker.peers().into_iter();
        let session = |peer: PeerView| Some((peer.address, self.speaker.monitored(peer.address)?));
        self.monitored = peers.filter_map(session).collect();
    }

    /// A collector can take more.
    pub(super) fn bmp_ready(&mut self, id: u64) {
        if let Some(stream) = self.bmp.streams.get_mut(&id) {
            stream.outbox.ready();
        }
    }

    /// Sends the collectors what they have room for. To be called when the peers have been written to.
    pub(super) fn serve_collectors(&mut self) {
        if self.bmp.streams.is_empty() && !self.recorder.is_on() {
            return;
        }
        self.take_monitor_events();
        let mut streams = std::mem::take(&mut self.bmp.streams);
        let before = streams.len();
        streams.retain(|id, stream| self.serve_collector(*id, stream));
        let lost = streams.len() < before;
        self.bmp.streams = streams;
        if lost {
            self.listen_for_monitors();
        }
    }

    /// False if the collector is gone.
    fn serve_collector(&self, id: u64, stream: &mut Stream) -> bool {
        while !stream.queue.is_empty() || !stream.dumps.is_empty() {
            if !stream.outbox.has_room(&self.events, move || Event::BmpReady(id)) {
                return true;
            }
            if stream.queue.is_empty() {
                self.dump_page(stream);
            }
            let batch = stream.batch();
            if !batch.is_empty() && !stream.outbox.send(batch) {
                return false;
            }
        }
        true
    }

    /// Queues the next page of the first table that is still to be sent.
    fn dump_page(&self, stream: &mut Stream) {
        let Some(dump) = stream.dumps.front_mut() else { return };
        let (Some(header), context, families) = self.dump_form(dump) else {
            // The session ended meanwhile; the collector was told.
            stream.dumps.pop_front();
            return;
        };
        let views = self.speaker.next_page(&mut dump.listing, PAGE);
        let rib = dump.peer.map_or(Rib::PostPolicy, |(_, rib)| rib);
        let wanted = |view: &RouteView| !view.stale && (dump.peer.is_some() || view.best);
        let routes: Vec<MonitoredRoute> = views.into_iter().filter(wanted).map(monitored).collect();
        let mut updates = encode_updates(&routes, &context);
        if dump.listing.is_done() {
            updates.extend(families.iter().map(encode_end_of_rib));
            stream.dumps.pop_front();
        }
        let at = wall_clock();
        for update in updates {
            stream.put(&bmp::route_monitoring(&header, rib, update, at));
        }
    }

    /// Header, form of the UPDATEs and families of a table; no header: its peer is gone.
    fn dump_form(&self, dump: &Dump) -> (Option<PeerHeader>, EncodeContext, Families) {
        match dump.peer {
            None => (self.loc_rib_header(), EncodeContext::default(), Families::ALL),
            Some((peer, rib)) => match self.monitored.get(&peer) {
                None => (None, EncodeContext::default(), Families::NONE),
                Some(session) => {
                    let context = if rib == Rib::AdjOut { session.send } else { session.receive };
                    (Some(PeerHeader::new(peer, session)), context, session.families)
                }
            },
        }
    }

    fn loc_rib_header(&self) -> Option<PeerHeader> {
        let config = &self.running.as_ref()?.config;
        Some(PeerHeader::loc_rib(config.local_as, config.router_id))
    }

    /// Queues what happened since the last time.
    pub(super) fn take_monitor_events(&mut self) {
        let at = wall_clock();
        while let Some(event) = self.speaker.poll_monitor() {
            self.recorder.record(&event, &self.monitored, at);
            self.monitor_event(event, at);
        }
        self.recorder.hand_over();
    }

    fn monitor_event(&mut self, event: MonitorEvent, at: Duration) {
        let sessions = &self.monitored;
        let routes_of = |peer: &IpAddr, rib, updates: Vec<Bytes>| -> Vec<Bytes> {
            // Nothing is said of a peer whose session the collectors were not told of.
            let Some(session) = sessions.get(peer) else { return Vec::new() };
            let header = PeerHeader::new(*peer, session);
            updates.into_iter().flat_map(|update| bmp::route_monitoring(&header, rib, update, at)).collect()
        };
        match event {
            MonitorEvent::Up { peer, session } => {
                self.bmp.queue(&[bmp::peer_up(peer, &session, at)], |_| true);
                self.monitored.insert(peer, *session);
            }
            MonitorEvent::Down { peer, reason, sent } => {
                let Some(session) = self.monitored.remove(&peer) else { return };
                let header = PeerHeader::new(peer, &session);
                self.bmp.queue(&[bmp::peer_down(&header, &reason, sent.as_ref(), at)], |_| true);
            }
            MonitorEvent::Received { peer, update, .. } => {
                let messages = routes_of(&peer, Rib::PrePolicy, update.into_iter().collect());
                self.bmp.queue(&messages, |config| config.pre_policy);
            }
            MonitorEvent::State { .. } => {}
            MonitorEvent::Swept { peer, routes } => {
                let context = sessions.get(&peer).map_or_else(EncodeContext::default, |found| found.receive);
                let updates = encode_updates(&routes, &context);
                let pre = routes_of(&peer, Rib::PrePolicy, updates.clone());
                let post = routes_of(&peer, Rib::PostPolicy, updates);
                self.bmp.queue(&pre, |config| config.pre_policy);
                self.bmp.queue(&post, |config| config.post_policy);
            }
            MonitorEvent::Judged { peer, routes } => {
                let context =
                    self.monitored.get(&peer).map_or_else(EncodeContext::default, |found| found.receive);
                let messages = routes_of(&peer, Rib::PostPolicy, encode_updates(&routes, &context));
                self.bmp.queue(&messages, |config| config.post_policy);
            }
            MonitorEvent::Selected { routes } => {
                let Some(header) = self.loc_rib_header() else { return };
                let updates = encode_updates(&routes, &EncodeContext::default());
                let one = |update| bmp::route_monitoring(&header, Rib::PostPolicy, update, at);
                let messages: Vec<Bytes> = updates.into_iter().flat_map(one).collect();
                self.bmp.queue(&messages, |config| config.loc_rib);
            }
            MonitorEvent::Sent { peer, updates } => {
                let messages = routes_of(&peer, Rib::AdjOut, vec![updates]);
                self.bmp.queue(&messages, |config| config.adj_rib_out);
            }
        }
    }

    fn arm_statistics(&self, id: u64, config: &BmpCollector) {
        let interval = config.statistics_time.unwrap_or(STATISTICS);
        if !interval.is_zero() {
            self.events.push(async move {
                tokio::time::sleep(interval).await;
                Event::BmpStatistics(id)
            });
        }
    }

    /// Queues statistics reports of all peers and of the Loc-RIB.
    pub(super) fn bmp_statistics(&mut self, id: u64) {
        let Some(config) = self.bmp.streams.get(&id).map(|stream| stream.config.clone()) else { return };
        let at = wall_clock();
        let mut reports = Vec::new();
        for peer in self.speaker.peers() {
            let Some(session) = self.monitored.get(&peer.address) else { continue };
            let received = |part: &bgp_core::speaker::FamilyView| u64::from(part.counts.received);
            let sent = |part: &bgp_core::speaker::FamilyView| u64::from(part.advertised);
            let mut values = vec![
                Statistic::AdjIn(peer.families.iter().map(received).sum()),
                Statistic::AdjOut(peer.families.iter().map(sent).sum()),
            ];
            for part in &peer.families {
                values.push(Statistic::FamilyAdjIn(part.family, received(part)));
                values.push(Statistic::FamilyAdjOut(part.family, sent(part)));
            }
            reports.push(bmp::statistics(&PeerHeader::new(peer.address, session), &values, at));
        }
        if let Some(header) = self.loc_rib_header().filter(|_| config.loc_rib) {
            let families = self.speaker.statistics().families;
            let size = |family: Family| {
                families.iter().find(|part| part.family == family).map_or(0, |part| part.loc_rib as u64)
            };
            let mut values = vec![Statistic::LocRib(Family::ALL.into_iter().map(size).sum())];
            values.extend(Family::ALL.map(|family| Statistic::FamilyLocRib(family, size(family))));
            reports.push(bmp::statistics(&header, &values, at));
        }
        if let Some(stream) = self.bmp.streams.get_mut(&id) {
            stream.put(&reports);
        }
        self.arm_statistics(id, &config);
    }
}

fn monitored(view: RouteView) -> MonitoredRoute {
    MonitoredRoute { nlri: Nlri { prefix: view.prefix, path_id: view.path_id }, route: Some(view.route) }
}
