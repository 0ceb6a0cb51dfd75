//! Prometheus metrics over HTTP.
//!
//! Nothing is kept for them but counters that exist anyway and two histograms of fixed size: a scrape takes one
//! [`Snapshot`] from the daemon between two events, and the text is made of it on another thread. Without a scrape nothing happens.
//! The names are in [`names`], and in docs/guide/metrics.md, which a test compares.

mod bfd;
mod histogram;
mod http;
mod names;
mod process;
mod text;

use std::time::{Duration, Instant, SystemTime};

use bgp_core::speaker::{DownReason, NextHopStatistics, PeerView, RibStatistics};
use cairn_net::Families;

use crate::daemon::{BmpCounts, Refusals};
use crate::mrt;
pub(crate) use histogram::Histogram;
pub(crate) use http::Server;
use names as name;
use text::Text;

use crate::bfd::Report;

/// The daemon at one moment.
pub(crate) struct Snapshot {
    pub(crate) at: Instant,
    pub(crate) peers: Vec<PeerView>,
    /// `None`: BFD does not run.
    pub(crate) bfd: Option<Report>,
    pub(crate) rib: RibStatistics,
    /// `None`: they are not tracked.
    pub(crate) next_hops: Option<NextHopStatistics>,
    /// Learned routes that wait for others in the kernel; `None`: routes are not written there.
    pub(crate) waiting_routes: Option<usize>,
    /// Families whose Loc-RIB is complete.
    pub(crate) complete: Families,
    pub(crate) connections: usize,
    pub(crate) refusals: Refusals,
    pub(crate) jobs: usize,
    pub(crate) route_watchers: usize,
    pub(crate) peer_watchers: usize,
    /// Changes that watchers have not taken yet.
    pub(crate) watcher_queue: usize,
    pub(crate) convergence: Histogram,
    pub(crate) turns: Histogram,
    pub(crate) mrt: mrt::Counts,
    pub(crate) bmp: BmpCounts,
}

impl Snapshot {
    /// In Prometheus' text format.
    pub(crate) fn text(&self) -> String {
        let mut text = Text::default();
        text.single(name::BUILD_INFO, &[("version", env!("CARGO_PKG_VERSION"))], 1);
        self.rib(&mut text);
        self.peers(&mut text);
        self.peer_messages(&mut text);
        self.peer_families(&mut text);
        bfd::write(self.bfd.as_ref(), &mut text);
        self.queues(&mut text);
        self.bmp(&mut text);
        self.mrt(&mut text);
        text.histogram(name::CONVERGENCE, &self.convergence);
        text.histogram(name::TURN, &self.turns);
        process::write(&mut text);
        text.finish()
    }

    fn rib(&self, text: &mut Text) {
        text.family(name::RIB_PREFIXES, |out| {
            self.rib.families.iter().for_each(|part| out.sample(&[&part.family], part.prefixes));
        });
        text.family(name::LOC_RIB_PREFIXES, |out| {
            self.rib.families.iter().for_each(|part| out.sample(&[&part.family], part.loc_rib));
        });
        text.family(name::LOC_RIB_COMPLETE, |out| {
            for part in &self.rib.families {
                out.sample(&[&part.family], u8::from(self.complete.contains(part.family)));
            }
        });
        text.plain(name::LOC_RIB_CHANGES, self.rib.changes);
        text.plain(name::RIB_PATHS, self.rib.paths);
        text.plain(name::ATTRIBUTE_SETS, self.rib.attribute_sets);
        if let Some(next_hops) = &self.next_hops {
            text.family(name::NEXT_HOPS, |out| {
                out.sample(&[&"reachable"], next_hops.reachable);
                out.sample(&[&"unreachable"], next_hops.unreachable);
            });
            text.plain(name::NEXT_HOP_LOOKUPS, next_hops.lookups);
            text.plain(name::NEXT_HOP_CHANGES, next_hops.changes);
        }
        if let Some(waiting) = self.waiting_routes {
            text.plain(name::WAITING_ROUTES, waiting);
        }
        text.plain(name::UPDATE_GROUPS, self.rib.update_groups);
        text.plain(name::UPDATE_GROUP_LOG, self.rib.log_bytes);
    }

    fn peers(&self, text: &mut Text) {
        text.family(name::PEER_INFO, |out| {
            for peer in &self.peers {
                out.sample(&[&peer.address, &peer.asn, &peer.description], 1);
            }
        });
        text.family(name::PEER_UP, |out| {
            for peer in &self.peers {
                out.sample(&[&peer.address], u8::from(peer.session.is_some()));
            }
        });
        text.family(name::PEER_STATE, |out| {
            self.peers.iter().for_each(|peer| out.sample(&[&peer.address], peer.state.number()));
        });
        text.family(name::PEER_UPTIME, |out| {
            for peer in &self.peers {
                let up = peer.turned.filter(|_| peer.session.is_some());
                let uptime = up.map_or(Duration::ZERO, |since| self.at.saturating_duration_since(since));
                out.sample(&[&peer.address], uptime.as_secs());
            }
        });
        text.family(name::PEER_ESTABLISHED, |out| {
            self.peers.iter().for_each(|peer| out.sample(&[&peer.address], peer.counters.established));
        });
        text.family(name::PEER_FLAPS, |out| {
            self.peers.iter().for_each(|peer| out.sample(&[&peer.address], peer.counters.dropped));
        });
        text.family(name::PEER_LAST_ERROR, |out| {
            for peer in &self.peers {
                if let Some((at, reason)) = &peer.last_error {
                    let (reason, code, subcode) = reason_labels(reason);
                    let time = wall_clock(self.at.saturating_duration_since(*at));
                    out.sample(&[&peer.address, &reason, &code, &subcode], time.as_secs());
                }
            }
        });
        text.family(name::PEER_QUEUED, |out| {
            self.peers.iter().for_each(|peer| out.sample(&[&peer.address], peer.queued_prefixes));
        });
    }

    fn peer_messages(&self, text: &mut Text) {
        text.family(name::PEER_RECEIVED, |out| {
            for peer in &self.peers {
                let counters = &peer.counters;
                for (kind, count) in [
                    ("open", counters.opens_received),
                    ("update", counters.updates_received),
                    ("notification", counters.notifications_received),
                    ("keepalive", counters.keepalives_received),
                    ("route_refresh", counters.route_refreshes_received),
                ] {
                    out.sample(&[&peer.address, &kind], count);
                }
            }
        });
        text.family(name::PEER_SENT, |out| {
            for peer in &self.peers {
                let counters = &peer.counters;
                for (kind, count) in [
                    ("open", counters.opens_sent),
                    ("update", counters.updates_sent),
                    ("notification", counters.notifications_sent),
                    ("keepalive", counters.keepalives_sent),
                    ("route_refresh", counters.route_refreshes_sent),
                ] {
                    out.sample(&[&peer.address, &kind], count);
                }
            }
        });
    }

    fn peer_families(&self, text: &mut Text) {
        let mut family = |metric, value: fn(&bgp_core::speaker::FamilyView) -> u32| {
            text.family(metric, |out| {
                for peer in &self.peers {
                    for part in &peer.families {
                        out.sample(&[&peer.address, &part.family], value(part));
                    }
                }
            });
        };
        family(name::PEER_PREFIXES_RECEIVED, |part| part.counts.received);
        family(name::PEER_PREFIXES_ACCEPTED, |part| part.counts.accepted);
        family(name::PEER_PREFIXES_ADVERTISED, |part| part.advertised);
        family(name::PEER_PREFIXES_STALE, |part| part.counts.stale);
    }

    fn queues(&self, text: &mut Text) {
        text.plain(name::CONNECTIONS, self.connections);
        text.family(name::CONNECTIONS_REFUSED, |out| {
            let Refusals { unknown, range_full, interface, surplus } = self.refusals;
            out.sample(&[&"unknown"], unknown);
            out.sample(&[&"range_full"], range_full);
            out.sample(&[&"interface"], interface);
            out.sample(&[&"surplus"], surplus);
        });
        text.plain(name::JOBS, self.jobs);
        text.family(name::WATCHERS, |out| {
            out.sample(&[&"routes"], self.route_watchers);
            out.sample(&[&"peers"], self.peer_watchers);
        });
        text.plain(name::WATCHER_QUEUE, self.watcher_queue);
    }

    fn bmp(&self, text: &mut Text) {
        text.plain(name::BMP_COLLECTORS, self.bmp.connected);
        text.plain(name::BMP_QUEUE, self.bmp.queued);
        text.plain(name::BMP_CUT_OFF, self.bmp.cut_off);
        text.plain(name::BMP_DROPPED, self.bmp.dropped);
    }

    fn mrt(&self, text: &mut Text) {
        text.family(name::MRT_RECORDS, |out| {
            out.sample(&[&"written"], self.mrt.written);
            out.sample(&[&"lost"], self.mrt.lost);
        });
        text.family(name::MRT_TABLES, |out| {
            out.sample(&[&"written"], self.mrt.tables_written);
            out.sample(&[&"failed"], self.mrt.tables_failed);
        });
        text.plain(name::MRT_QUEUE, self.mrt.queued);
    }
}

/// A reason as labels, of which there is a bounded number: its kind, and code and subcode of a NOTIFICATION.
fn reason_labels(reason: &DownReason) -> (&'static str, String, String) {
    let kind = reason.kind();
    let Some(notification) = reason.notification() else { return (kind, String::new(), String::new()) };
    let (code, subcode) = notification.code.to_wire();
    (kind, code.to_string(), subcode.to_string())
}

/// The time since 1970 of what was this long ago.
fn wall_clock(ago: Duration) -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(ago)
}

#[cfg(test)]
mod tests;
