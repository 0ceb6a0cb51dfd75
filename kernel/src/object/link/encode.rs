//! Links into messages.

use cairn_net::Mac;

use super::wire::{
    ADDRESS, AF_INET, AF_INET6, AF_SPEC, DEL, EXT_MASK, GEN_EUI64, GEN_NONE, GET, GROUP, HEADER, IFALIAS,
    IFF_UP, IFNAME, INET_CONF, INET6_ADDR_GEN_MODE, INFO_DATA, INFO_KIND, LINK, LINKINFO, MASTER, MTU,
    NET_NS_FD, NEW, SET, VETH_PEER,
};
use super::{Kind, Link, LinkChange, LinkName, LinkRef, Stacked, StackedKind, Verb, Veth, raw_fd};
use crate::netlink::{Batch, Message};

/// `RTEXT_FILTER_SKIP_STATS`: counters are a third of a listing and we read none.
const SKIP_STATS: u32 = 8;

fn header(index: u32, up: Option<bool>) -> [u8; HEADER] {
    let (flags, mask) = match up {
        None => (0, 0),
        Some(up) => (if up { IFF_UP } else { 0 }, IFF_UP),
    };
    let mut header = [0; HEADER];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..16].copy_from_slice(&mask.to_ne_bytes());
    header
}

fn referring<'b>(
    batch: &'b mut Batch,
    kind: u16,
    flags: u16,
    link: LinkRef<'_>,
    up: Option<bool>,
) -> Message<'b> {
    match link {
        LinkRef::Index(index) => batch.message(kind, flags, &header(index.0, up)),
        LinkRef::Name(name) => {
            let mut message = batch.message(kind, flags, &header(0, up));
            message.text(IFNAME, name.as_str());
            message
        }
    }
}

pub(super) fn veth(veth: &Veth<'_>, batch: &mut Batch) {
    let up = veth.up.then_some(true);
    let mut message = batch.message(NEW, Verb::Create.flags(), &header(0, up));
    end(&mut message, &veth.host.name, veth.host.mac, veth.mtu);
    message.nest(LINKINFO, |message| {
        message.text(INFO_KIND, "veth").nest(INFO_DATA, |message| {
            message.nest(VETH_PEER, |message| {
                message.raw(&header(0, None));
                end(message, &veth.peer.name, veth.peer.mac, veth.mtu);
                if let Some(netns) = veth.peer_netns {
                    message.u32(NET_NS_FD, raw_fd(netns));
                }
            });
        });
    });
}

pub(super) fn stacked(stacked: &Stacked<'_>, batch: &mut Batch) {
    let mut message = batch.message(NEW, Verb::Create.flags(), &header(0, None));
    message.text(IFNAME, stacked.name.as_str()).u32(LINK, stacked.parent.0);
    if let Some(mtu) = stacked.mtu {
        message.u32(MTU, mtu);
    }
    if let Some(mac) = stacked.mac {
        message.bytes(ADDRESS, &mac.0);
    }
    if let Some(netns) = stacked.netns {
        message.u32(NET_NS_FD, raw_fd(netns));
    }
    message.nest(LINKINFO, |message| stacked.kind.encode(message));
}

/// Appends the message that asks for an interface on top of none, which no driver makes.
pub(crate) fn encode_trial(kind: StackedKind, batch: &mut Batch) {
    let mut message = batch.message(NEW, Verb::Create.flags(), &header(0, None));
    message.nest(LINKINFO, |message| kind.encode(message));
}

fn end(message: &mut Message<'_>, name: &LinkName, mac: Option<Mac>, mtu: u32) {
    message.text(IFNAME, name.as_str()).u32(MTU, mtu);
    if let Some(mac) = mac {
        message.bytes(ADDRESS, &mac.0);
    }
}

pub(super) fn link(link: &Link, verb: Verb, batch: &mut Batch) {
    let mut message = batch.message(NEW, verb.flags(), &header(0, link.flags.up.then_some(true)));
    message.text(IFNAME, &link.name);
    if link.mtu != 0 {
        message.u32(MTU, link.mtu);
    }
    if let Some(mac) = link.mac {
        message.bytes(ADDRESS, &mac.0);
    }
    if link.group != 0 {
        message.u32(GROUP, link.group);
    }
    message.nest(LINKINFO, |message| match &link.kind {
        Kind::Veth => {
            message.text(INFO_KIND, "veth");
        }
        Kind::Vxlan(settings) => {
            message.text(INFO_KIND, "vxlan").nest(INFO_DATA, |message| settings.encode(message));
        }
        Kind::Ipip(settings) => {
            message.text(INFO_KIND, "ipip").nest(INFO_DATA, |message| settings.encode(message));
        }
        Kind::Stacked(kind) => kind.encode(message),
        Kind::Other(kind) => {
            message.text(INFO_KIND, kind);
        }
    });
}

pub(super) fn change(change: &LinkChange<'_>, link: LinkRef<'_>, batch: &mut Batch) {
    let mut message = referring(batch, SET, 0, link, change.up);
    // A request has room for one name: where it says which interface is meant, it cannot be the new one.
    if let (LinkRef::Index(_), Some(name)) = (link, change.name) {
        message.text(IFNAME, name.as_str());
    }
    if let Some(mtu) = change.mtu {
        message.u32(MTU, mtu);
    }
    if let Some(mac) = change.mac {
        message.bytes(ADDRESS, &mac.0);
    }
    if let Some(master) = change.master {
        message.u32(MASTER, master.map_or(0, |index| index.0));
    }
    if let Some(group) = change.group {
        message.u32(GROUP, group);
    }
    if let Some(netns) = change.netns {
        message.u32(NET_NS_FD, raw_fd(netns));
    }
    if let Some(alias) = change.alias {
        message.text(IFALIAS, alias);
    }
    if !change.ipv4.is_empty() || change.link_local.is_some() {
        message.nest(AF_SPEC, |message| af_spec(message, change));
    }
}

fn af_spec(message: &mut Message<'_>, change: &LinkChange<'_>) {
    if !change.ipv4.is_empty() {
        message.nest(AF_INET, |message| {
            message.nest(INET_CONF, |message| {
                for (conf, value) in change.ipv4 {
                    if let Some(number) = conf.ipv4_number() {
                        message.u32(number, *value);
                    }
                }
            });
        });
    }
    if let Some(link_local) = change.link_local {
        message.nest(AF_INET6, |message| {
            message.u8(INET6_ADDR_GEN_MODE, if link_local { GEN_EUI64 } else { GEN_NONE });
        });
    }
}

pub(super) fn delete(link: LinkRef<'_>, batch: &mut Batch) {
    referring(batch, DEL, 0, link, None);
}

pub(super) fn list(flags: u16, batch: &mut Batch) {
    batch.message(GET, flags, &header(0, None)).u32(EXT_MASK, SKIP_STATS);
}

/// Appends the message that asks for one interface.
pub(crate) fn encode_get(link: LinkRef<'_>, batch: &mut Batch) {
    referring(batch, GET, 0, link, None).u32(EXT_MASK, SKIP_STATS);
}

/// Appends the message that deletes an interface by name or number.
pub(crate) fn encode_delete(link: LinkRef<'_>, batch: &mut Batch) {
    delete(link, batch);
}

/// Appends the message that deletes every interface of a group.
pub(crate) fn encode_delete_group(group: u32, batch: &mut Batch) {
    batch.message(DEL, 0, &header(0, None)).u32(GROUP, group);
}
