//! Messages into links.

use cairn_net::Mac;

use super::wire::{
    ADDRESS, DEL, GROUP, HEADER, IFALIAS, IFF_LOOPBACK, IFF_LOWER_UP, IFF_UP, IFNAME, INFO_DATA, INFO_KIND,
    LINK, LINKINFO, MASTER, MTU, NEW,
};
use super::{Change, IfIndex, Ipip, Kind, Link, LinkFlags, StackedKind, Vxlan};
use crate::netlink::{Attribute, Attributes, Frame};

pub(super) fn link(frame: Frame<'_>) -> Option<Change<Link>> {
    // AF_BRIDGE messages of the same type are about bridge ports.
    if !matches!(frame.kind, NEW | DEL) || frame.byte(0)? != 0 {
        return None;
    }
    let flags = frame.u32(8)?;
    let mut link = Link {
        index: IfIndex(frame.u32(4)?),
        name: String::new(),
        mac: None,
        mtu: 0,
        flags: LinkFlags {
            up: flags & IFF_UP != 0,
            carrier: flags & IFF_LOWER_UP != 0,
            loopback: flags & IFF_LOOPBACK != 0,
        },
        kind: Kind::Other(String::new()),
        master: None,
        peer: None,
        group: 0,
        alias: None,
    };
    for attribute in frame.attributes(HEADER) {
        match attribute.kind {
            ADDRESS => link.mac = <[u8; 6]>::try_from(attribute.value).ok().map(Mac),
            IFNAME => link.name = attribute.text(),
            MTU => link.mtu = attribute.u32()?,
            LINK => link.peer = attribute.u32().filter(|index| *index != 0).map(IfIndex),
            MASTER => link.master = attribute.u32().map(IfIndex),
            GROUP => link.group = attribute.u32()?,
            IFALIAS => link.alias = Some(attribute.text()),
            LINKINFO => link.kind = kind(attribute.nested()),
            _ => {}
        }
    }
    Some(if frame.kind == NEW { Change::Present(link) } else { Change::Gone(link) })
}

fn kind(info: Attributes<'_>) -> Kind {
    let name = info.find(INFO_KIND).map(Attribute::text).unwrap_or_default();
    let data = info.find(INFO_DATA).map(Attribute::nested).unwrap_or_default();
    match name.as_str() {
        "veth" => Kind::Veth,
        "vxlan" => Vxlan::decode(data).map_or(Kind::Other(name), Kind::Vxlan),
        "ipip" => Ipip::decode(data).map_or(Kind::Other(name), Kind::Ipip),
        _ => StackedKind::decode(&name, data).map_or(Kind::Other(name), Kind::Stacked),
    }
}
