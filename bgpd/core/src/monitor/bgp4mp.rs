//! MRT records of what happens: messages as they came, and states.
//!
//! Spec: RFC 6396 section 3 (extended timestamps) and 4.4 (BGP4MP), RFC 8050 section 3 (messages with path identifiers).
//! Shape: `[seconds: u32][type: u16][subtype: u16][length: u32]`, in a record of type BGP4MP_ET `[microseconds: u32]`, which the
//! length counts; then both AS numbers, interface, address family, both addresses, and the message or the two states.
//! Invariant: each function appends one whole record.

use std::net::IpAddr;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use cairn_net::{Asn, Family};

use crate::fsm::State;

const BGP4MP: u16 = 16;
const BGP4MP_ET: u16 = 17;

/// Type, timestamp and length.
const HEADER_LEN: usize = 12;

/// Stands for a number that takes four octets where there are two (RFC 6793 section 9).
const AS_TRANS: u16 = 23456;

/// Both ends of a session, there or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// The peer's address.
    pub peer: IpAddr,
    /// Its AS.
    pub peer_as: Asn,
    /// Our address; `None`: not known, shown as the unspecified one.
    pub local: Option<IpAddr>,
    /// Our AS as the peer knows it.
    pub local_as: Asn,
}

/// How exact timestamps are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// Records of type BGP4MP.
    Seconds,
    /// Records of type BGP4MP_ET.
    Microseconds,
}

/// The form of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageForm {
    /// AS numbers in it take four octets.
    pub four_octet_as: bool,
    /// Prefixes in it have path identifiers.
    pub path_ids: bool,
}

/// A state of the peer's machine that became another one, `at` this time since 1970-01-01 UTC.
pub fn state_change(
    ends: &Ends,
    (from, to): (State, State),
    at: Duration,
    precision: Precision,
    out: &mut BytesMut,
) {
    const STATE_CHANGE_AS4: u16 = 5;
    record(STATE_CHANGE_AS4, at, precision, out, |out| {
        put_ends(ends, true, out);
        out.put_u16(from.number().into());
        out.put_u16(to.number().into());
    });
}

/// A message of the peer, header and all.
pub fn message(
    ends: &Ends,
    form: MessageForm,
    message: &[u8],
    at: Duration,
    precision: Precision,
    out: &mut BytesMut,
) {
    let subtype = match (form.four_octet_as, form.path_ids) {
        (false, false) => 1,
        (true, false) => 4,
        (false, true) => 8,
        (true, true) => 9,
    };
    record(subtype, at, precision, out, |out| {
        put_ends(ends, form.four_octet_as, out);
        out.put_slice(message);
    });
}

fn record(
    subtype: u16,
    at: Duration,
    precision: Precision,
    out: &mut BytesMut,
    body: impl FnOnce(&mut BytesMut),
) {
    let begin = out.len();
    out.put_u32(u32::try_from(at.as_secs()).unwrap_or(u32::MAX));
    out.put_u16(match precision {
        Precision::Seconds => BGP4MP,
        Precision::Microseconds => BGP4MP_ET,
    });
    out.put_u16(subtype);
    out.put_u32(0);
    if precision == Precision::Microseconds {
        out.put_u32(at.subsec_micros());
    }
    body(out);
    let len = out.len() - begin - HEADER_LEN;
    let len = u32::try_from(len).expect("a record holds one message of at most 64 KiB");
    out[begin + HEADER_LEN - 4..begin + HEADER_LEN].copy_from_slice(&len.to_be_bytes());
}

fn put_ends(ends: &Ends, four_octet_as: bool, out: &mut BytesMut) {
    const INTERFACE_UNKNOWN: u16 = 0;
    for asn in [ends.peer_as, ends.local_as] {
        if four_octet_as {
            out.put_u32(asn.0);
        } else {
            out.put_u16(u16::try_from(asn.0).unwrap_or(AS_TRANS));
        }
    }
    out.put_u16(INTERFACE_UNKNOWN);
    let family = Family::of(ends.peer);
    out.put_u16(crate::wire::AfiSafi::from(family).afi);
    let local = ends.local.filter(|local| Family::of(*local) == family);
    for address in [ends.peer, local.unwrap_or(family.unspecified())] {
        match address {
            IpAddr::V4(v4) => out.put_slice(&v4.octets()),
            IpAddr::V6(v6) => out.put_slice(&v6.octets()),
        }
    }
}
