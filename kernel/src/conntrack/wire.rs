//! Flows and messages.

use std::net::IpAddr;

use cairn_net::Family;

use super::{Endpoint, Flow, Tuple};
use crate::netlink::{Attribute, Attributes, Batch, Frame, Message};

/// `NFNL_SUBSYS_CTNETLINK` with `IPCTNL_MSG_CT_NEW`, `IPCTNL_MSG_CT_GET` and `IPCTNL_MSG_CT_DELETE`.
const NEW: u16 = 0x100;
const GET: u16 = 0x101;
const DELETE: u16 = 0x102;
/// `struct nfgenmsg`.
const HEADER: usize = 4;
const TUPLE_ORIG: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const MARK: u16 = 8;
const ID: u16 = 12;
const ZONE: u16 = 18;
const TUPLE_IP: u16 = 1;
const TUPLE_PROTO: u16 = 2;
const V4_SRC: u16 = 1;
const V4_DST: u16 = 2;
const V6_SRC: u16 = 3;
const V6_DST: u16 = 4;
const PROTO_NUM: u16 = 1;
const SRC_PORT: u16 = 2;
const DST_PORT: u16 = 3;
/// Identifier, type and code follow each other, for ICMP and for ICMPv6.
const ICMP: u16 = 4;
const ICMPV6: u16 = 7;

fn header(family: Family) -> [u8; HEADER] {
    [if family == Family::Ipv4 { 2 } else { 10 }, 0, 0, 0]
}

pub(super) fn encode_list(family: Family, flags: u16, batch: &mut Batch) {
    batch.message(GET, flags, &header(family));
}

pub(super) fn encode_delete(flow: &Flow, batch: &mut Batch) {
    let family = Family::of(flow.original.src);
    let mut message = batch.message(DELETE, 0, &header(family));
    message.nest(TUPLE_ORIG, |message| tuple(message, &flow.original));
    message.be32(ID, flow.id);
    if flow.zone != 0 {
        message.be16(ZONE, flow.zone);
    }
}

fn tuple(message: &mut Message<'_>, tuple: &Tuple) {
    let (src, dst, icmp) = match tuple.src {
        IpAddr::V4(_) => (V4_SRC, V4_DST, ICMP),
        IpAddr::V6(_) => (V6_SRC, V6_DST, ICMPV6),
    };
    message.nest(TUPLE_IP, |message| {
        message.addr(src, tuple.src).addr(dst, tuple.dst);
    });
    message.nest(TUPLE_PROTO, |message| {
        message.u8(PROTO_NUM, tuple.protocol);
        match tuple.endpoint {
            Endpoint::Ports(src, dst) => {
                message.be16(SRC_PORT, src).be16(DST_PORT, dst);
            }
            Endpoint::Icmp { id, kind, code } => {
                message.be16(icmp, id).u8(icmp + 1, kind).u8(icmp + 2, code);
            }
            Endpoint::None => {}
        }
    });
}

pub(super) fn decode(frame: Frame<'_>) -> Option<Flow> {
    if frame.kind != NEW {
        return None;
    }
    let attributes = frame.attributes(HEADER);
    let (original, reply, zone, id) = read(attributes)?;
    let mark = attributes.find(MARK).and_then(Attribute::be32).unwrap_or(0);
    Some(Flow { original: original?, reply: reply?, zone, mark, id: id? })
}

type Parts = (Option<Tuple>, Option<Tuple>, u16, Option<u32>);

pub(super) fn read(attributes: Attributes<'_>) -> Option<Parts> {
    let side = |kind| attributes.find(kind).and_then(|attribute| read_tuple(attribute.nested()));
    let zone = attributes.find(ZONE).map_or(Some(0), Attribute::be16)?;
    Some((side(TUPLE_ORIG), side(TUPLE_REPLY), zone, attributes.find(ID).and_then(Attribute::be32)))
}

fn read_tuple(attributes: Attributes<'_>) -> Option<Tuple> {
    let ip = attributes.find(TUPLE_IP)?.nested();
    let proto = attributes.find(TUPLE_PROTO)?.nested();
    let addr = |v4, v6| ip.find(v4).or_else(|| ip.find(v6)).and_then(Attribute::addr);
    let icmp = |first| {
        Some(Endpoint::Icmp {
            id: proto.find(first)?.be16()?,
            kind: proto.find(first + 1)?.u8()?,
            code: proto.find(first + 2)?.u8()?,
        })
    };
    let ports = || Some(Endpoint::Ports(proto.find(SRC_PORT)?.be16()?, proto.find(DST_PORT)?.be16()?));
    Some(Tuple {
        src: addr(V4_SRC, V6_SRC)?,
        dst: addr(V4_DST, V6_DST)?,
        protocol: proto.find(PROTO_NUM)?.u8()?,
        endpoint: ports().or_else(|| icmp(ICMP)).or_else(|| icmp(ICMPV6)).unwrap_or(Endpoint::None),
    })
}
