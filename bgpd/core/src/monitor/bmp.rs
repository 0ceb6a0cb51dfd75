//! BMP messages.
//!
//! Spec: RFC 7854 (messages), RFC 8671 (Adj-RIB-Out), RFC 9069 (Loc-RIB).
//! Shape: `[version: 3][length: u32][type: u8]`, then for all but initiation and termination the per-peer header of 42 octets.
//! Invariant: each function gives one whole message.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use cairn_net::{Asn, Family, RouterId};

use super::MonitoredPeer;
use super::routes::split_messages;
use crate::speaker::DownReason;
use crate::wire::{AfiSafi, Capability, Notification, Open};

const VERSION: u8 = 3;
/// Octets before the per-peer header.
const COMMON_LEN: usize = 6;
/// Peer flag: the peer's address is IPv6.
const FLAG_V6: u8 = 0x80;
/// Peer flag: after the policy.
const FLAG_POST: u8 = 0x40;
/// Peer flag: two-octet AS numbers.
const FLAG_AS2: u8 = 0x20;
/// Peer flag: Adj-RIB-Out (RFC 8671 section 4).
const FLAG_OUT: u8 = 0x10;

/// Message types (RFC 7854 section 4.1).
#[derive(Clone, Copy)]
enum Kind {
    RouteMonitoring = 0,
    Statistics = 1,
    PeerDown = 2,
    PeerUp = 3,
    Initiation = 4,
    Termination = 5,
}

/// Which RIB a route monitoring message is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rib {
    /// Adj-RIB-In before the import policy.
    PrePolicy,
    /// Adj-RIB-In after it.
    PostPolicy,
    /// Adj-RIB-Out after the export policy.
    AdjOut,
}

/// What the per-peer header says of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerHeader {
    address: Option<IpAddr>,
    asn: Asn,
    router_id: u32,
    four_octet_as: bool,
}

impl PeerHeader {
    /// A peer with a session.
    pub fn new(address: IpAddr, session: &MonitoredPeer) -> Self {
        Self {
            address: Some(address),
            asn: session.asn,
            router_id: session.router_id.get(),
            four_octet_as: session.four_octet_as,
        }
    }

    /// The Loc-RIB instance peer (RFC 9069 section 4.1).
    pub fn loc_rib(asn: Asn, router_id: RouterId) -> Self {
        Self { address: None, asn, router_id: router_id.get(), four_octet_as: true }
    }

    /// `at`: when it happened, since 1970-01-01 UTC.
    fn put(&self, flags: u8, at: Duration, out: &mut BytesMut) {
        const GLOBAL: u8 = 0;
        const LOC_RIB: u8 = 3;
        match self.address {
            None => {
                // Of the flags only F is defined here: the Loc-RIB is not filtered.
                out.put_slice(&[LOC_RIB, 0]);
                out.put_u64(0);
                out.put_u128(0);
            }
            Some(address) => {
                let v6 = if address.is_ipv6() { FLAG_V6 } else { 0 };
                let as2 = if self.four_octet_as { 0 } else { FLAG_AS2 };
                out.put_slice(&[GLOBAL, flags | v6 | as2]);
                out.put_u64(0);
                put_address(address, out);
            }
        }
        out.put_u32(self.asn.0);
        out.put_u32(self.router_id);
        out.put_u32(u32::try_from(at.as_secs()).unwrap_or(u32::MAX));
        out.put_u32(at.subsec_micros());
    }
}

/// An address in 16 octets; an IPv4 one is in the last four.
fn put_address(address: IpAddr, out: &mut BytesMut) {
    match address {
        IpAddr::V4(v4) => out.put_u128(u32::from(v4).into()),
        IpAddr::V6(v6) => out.put_slice(&v6.octets()),
    }
}

fn message(kind: Kind, body: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::with_capacity(256);
    out.put_u8(VERSION);
    out.put_u32(0);
    out.put_u8(kind as u8);
    body(&mut out);
    let len = u32::try_from(out.len()).expect("no message holds more than some PDUs of 64 KiB");
    out[1..COMMON_LEN - 1].copy_from_slice(&len.to_be_bytes());
    out.freeze()
}

fn put_tlv(kind: u16, value: &[u8], out: &mut BytesMut) {
    let value = &value[..value.len().min(usize::from(u16::MAX))];
    out.put_u16(kind);
    out.put_u16(u16::try_from(value.len()).expect("cut just before"));
    out.put_slice(value);
}

/// Begins a connection: `sysDescr` and `sysName` of RFC 1213.
pub fn initiation(description: &str, name: &str) -> Bytes {
    message(Kind::Initiation, |out| {
        put_tlv(1, description.as_bytes(), out);
        put_tlv(2, name.as_bytes(), out);
    })
}

/// Ends a connection: administratively closed.
pub fn termination() -> Bytes {
    const REASON: u16 = 1;
    const ADMINISTRATIVE: [u8; 2] = [0, 0];
    message(Kind::Termination, |out| put_tlv(REASON, &ADMINISTRATIVE, out))
}

/// A session is up, with both OPENs.
pub fn peer_up(address: IpAddr, session: &MonitoredPeer, at: Duration) -> Bytes {
    let (local, remote): (SocketAddr, SocketAddr) = session.ends;
    message(Kind::PeerUp, |out| {
        PeerHeader::new(address, session).put(0, at, out);
        put_address(local.ip().to_canonical(), out);
        out.put_u16(local.port());
        out.put_u16(remote.port());
        out.put_slice(&session.opens.sent);
        out.put_slice(&session.opens.received);
    })
}

/// The Loc-RIB instance is up: OPENs that say what its UPDATEs are like (RFC 9069 section 5.3). Without the
/// optional name of the table, which some readers take for a third OPEN.
pub fn loc_rib_up(asn: Asn, router_id: RouterId, at: Duration) -> Bytes {
    let multiprotocol = Family::ALL.map(|family| Capability::Multiprotocol(AfiSafi::from(family)));
    let capabilities = multiprotocol.into_iter().chain([Capability::FourOctetAs(asn)]).collect();
    let open = Open { asn, hold_time: 0, router_id, capabilities }.encode();
    message(Kind::PeerUp, |out| {
        PeerHeader::loc_rib(asn, router_id).put(0, at, out);
        out.put_u128(0);
        out.put_u32(0);
        out.put_slice(&open);
        out.put_slice(&open);
    })
}

/// A session ended (RFC 7854 section 4.9). `sent`: the NOTIFICATION with which we ended it.
pub fn peer_down(
    header: &PeerHeader,
    reason: &DownReason,
    sent: Option<&Notification>,
    at: Duration,
) -> Bytes {
    /// Our side stopped it by hand, without a NOTIFICATION (RFC 4271 section 8.1.2).
    const MANUAL_STOP: u16 = 2;
    message(Kind::PeerDown, |out| {
        header.put(0, at, out);
        match (reason, sent) {
            (DownReason::NotificationReceived(notification), _) => {
                out.put_u8(3);
                out.put_slice(&notification.encode());
            }
            (DownReason::Deconfigured, _) => out.put_u8(5),
            (_, Some(notification)) => {
                out.put_u8(1);
                out.put_slice(&notification.encode());
            }
            (DownReason::ConnectionLost(_) | DownReason::Replaced, None) => out.put_u8(4),
            (_, None) => {
                out.put_u8(2);
                out.put_u16(MANUAL_STOP);
            }
        }
    })
}

/// One message for each UPDATE in `updates`.
pub fn route_monitoring(header: &PeerHeader, rib: Rib, updates: Bytes, at: Duration) -> Vec<Bytes> {
    let flags = match rib {
        Rib::PrePolicy => 0,
        Rib::PostPolicy => FLAG_POST,
        Rib::AdjOut => FLAG_OUT | FLAG_POST,
    };
    let one = |update: Bytes| {
        message(Kind::RouteMonitoring, |out| {
            header.put(flags, at, out);
            out.put_slice(&update);
        })
    };
    split_messages(updates).into_iter().map(one).collect()
}

/// A statistic (RFC 7854 section 4.8, RFC 8671 section 6.2): a gauge of 64 bits, of all families or of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statistic {
    /// Type 7: routes in Adj-RIB-In.
    AdjIn(u64),
    /// Type 8: routes in the Loc-RIB.
    LocRib(u64),
    /// Type 9: routes of a family in Adj-RIB-In.
    FamilyAdjIn(Family, u64),
    /// Type 10: routes of a family in the Loc-RIB.
    FamilyLocRib(Family, u64),
    /// Type 15: routes in Adj-RIB-Out after the policy.
    AdjOut(u64),
    /// Type 17: routes of a family in Adj-RIB-Out after the policy.
    FamilyAdjOut(Family, u64),
}

/// A statistics report.
pub fn statistics(header: &PeerHeader, statistics: &[Statistic], at: Duration) -> Bytes {
    message(Kind::Statistics, |out| {
        header.put(0, at, out);
        out.put_u32(u32::try_from(statistics.len()).expect("there are few kinds"));
        for statistic in statistics {
            let (kind, family, value) = match *statistic {
                Statistic::AdjIn(value) => (7, None, value),
                Statistic::LocRib(value) => (8, None, value),
                Statistic::FamilyAdjIn(family, value) => (9, Some(family), value),
                Statistic::FamilyLocRib(family, value) => (10, Some(family), value),
                Statistic::AdjOut(value) => (15, None, value),
                Statistic::FamilyAdjOut(family, value) => (17, Some(family), value),
            };
            let mut content = BytesMut::with_capacity(11);
            if let Some(family) = family.map(AfiSafi::from) {
                content.put_u16(family.afi);
                content.put_u8(family.safi);
            }
            content.put_u64(value);
            put_tlv(kind, &content, out);
        }
    })
}
