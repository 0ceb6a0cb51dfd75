//! The table as MRT records (RFC 6396), streamed to whoever asked, page by page as it is read.
//!
//! A dump is not one moment: each prefix is as it is when its page is made. Peers are numbered once, at the begin, so paths of
//! peers that are configured later are left out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use bgp_core::monitor::mrt::{self, Entry, IndexedPeer};
use bgp_core::speaker::{Listing, PrefixMatch, RibKind, RouteSource, RouteView};
use bgpd_api::proto::DumpTableResponse;
use bytes::{Bytes, BytesMut};
use tokio::sync::{mpsc, oneshot};

use super::outbox::Outbox;
use super::{Daemon, Refused, wall_clock};
use crate::transport::Event;

/// A dump on its way to its reader.
type Pages = mpsc::Receiver<DumpTableResponse>;

/// Paths in one page.
const PAGE: usize = 512;

/// The dumps that are being read.
#[derive(Default)]
pub(super) struct Dumps {
    next: u64,
    dumps: HashMap<u64, Dump>,
}

struct Dump {
    listing: Listing,
    /// The peers by their places in the index table.
    peers: HashMap<IpAddr, u16>,
    /// The index table, until it is sent.
    index: Option<Bytes>,
    sequence: u32,
    outbox: Outbox<DumpTableResponse>,
    /// Told once everything has been sent.
    whole: oneshot::Sender<()>,
}

impl Dump {
    /// The records of a page.
    fn records(&mut self, views: &[RouteView]) -> Bytes {
        let now = wall_clock();
        let mut out = BytesMut::new();
        out.extend(self.index.take().unwrap_or_default());
        for paths in views.chunk_by(|left, right| left.prefix == right.prefix) {
            let Some(prefix) = paths.first().map(|path| path.prefix) else { continue };
            let entries: Vec<Entry<'_>> = paths.iter().filter_map(|path| self.entry(path, now)).collect();
            if let Some(record) = mrt::rib_entries(self.sequence, prefix, &entries, now) {
                self.sequence = self.sequence.wrapping_add(1);
                out.extend(record);
            }
        }
        out.freeze()
    }

    fn entry<'a>(&self, view: &'a RouteView, now: Duration) -> Option<Entry<'a>> {
        let peer = match &view.source {
            RouteSource::Local(_) => 0,
            RouteSource::Peer(peer) => *self.peers.get(peer)?,
        };
        let usable = view.rejection.is_none();
        let since = now.saturating_sub(view.age);
        usable.then_some(Entry { peer, since, path_id: view.path_id, route: &view.route })
    }
}

impl Daemon {
    /// Begins a dump.
    ///
    /// # Errors
    /// Before the first configuration.
    pub(crate) fn dump_table(&mut self) -> Result<Pages, Refused> {
        Ok(self.dump_table_to_end()?.0)
    }

    /// As [`Daemon::dump_table`], and says when everything has been sent, which the end of the pages alone does not.
    ///
    /// # Errors
    /// Before the first configuration.
    pub(crate) fn dump_table_to_end(&mut self) -> Result<(Pages, oneshot::Receiver<()>), Refused> {
        let config = &self.running.as_ref().ok_or(Refused::NotConfigured)?.config;
        let views = self.speaker.peers();
        let indexed: Vec<IndexedPeer> = views
            .iter()
            .map(|peer| IndexedPeer {
                router_id: peer.session.as_ref().map(|session| session.router_id),
                address: peer.address,
                asn: peer.asn,
            })
            .collect();
        // As in the index table: ourselves first, and no more than can be numbered.
        let peers = indexed.iter().map(|peer| peer.address).zip(1..u16::MAX).collect();
        let now = wall_clock();
        let index = Some(mrt::peer_index(config.router_id, config.local_as, &indexed, now));
        let listing = self.speaker.list(RibKind::AllPaths, PrefixMatch::Any);
        let (outbox, receiver) = Outbox::new();
        let (whole, end) = oneshot::channel();
        let id = self.dumps.next;
        self.dumps.next += 1;
        self.dumps.dumps.insert(id, Dump { listing, peers, index, sequence: 0, outbox, whole });
        self.events.push(async move { Event::DumpReady(id) });
        Ok((receiver, end))
    }

    /// Sends the next page of a dump and comes back for the one after it.
    pub(super) fn send_dump(&mut self, id: u64) {
        let Some(mut dump) = self.dumps.dumps.remove(&id) else { return };
        dump.outbox.ready();
        if dump.outbox.has_room(&self.events, move || Event::DumpReady(id)) {
            let views = self.speaker.next_page(&mut dump.listing, PAGE);
            let records = dump.records(&views);
            let sent = records.is_empty() || dump.outbox.send(DumpTableResponse { records });
            if !sent {
                return;
            }
            if dump.listing.is_done() {
                // Most readers do not ask.
                let _ = dump.whole.send(());
                return;
            }
            self.events.push(async move { Event::DumpReady(id) });
        }
        self.dumps.dumps.insert(id, dump);
    }
}
