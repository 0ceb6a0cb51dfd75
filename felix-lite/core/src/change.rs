use std::net::IpAddr;

use bgpd_api::config::{Config, OriginatedRoute};
use cairn_api::kinds::AttachmentMode;
use cairn_net::{Family, Prefix};

use crate::{
    Condition, Detour, EgressSlot, Element, Nat, Route, Settings, Tunnel, TunnelKind, TunnelPeer,
    WireguardPeer,
};

/// A difference between what the reader has seen and what should be.
///
/// [`State::changes`](crate::State::changes) gives them in the order of this enum: first all that is added or replaced, what others
/// depend on first, then all that is removed, in reverse. So a pod's source address is permitted before its
/// route exists, a tunnel is there before a route leads into it, a block is blackholed before it is announced, and each is undone the other way round. Within one
/// variant the order is that of the keys.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Settings for the daemon itself.
    Settings(Settings),
    /// What leaves the pools gets these sources.
    SetNat(Nat),
    /// The kernel should have the driver of an attachment: [`Host::lacking`](crate::Host::lacking) says if it does not.
    UseDriver(AttachmentMode),
    /// A set of the firewall gains an element.
    AddElement(Element),
    /// There is this tunnel device.
    SetTunnel(TunnelKind, Tunnel),
    /// Another node, with this outer address, is at the far end of a VXLAN device.
    SetPeer((TunnelKind, IpAddr), TunnelPeer),
    /// Packets to somebody, by the name of his object, are encrypted like this.
    SetWireguardPeer(String, WireguardPeer),
    /// A prefix has this route.
    SetRoute(Prefix, Route),
    /// Packets of an egress gateway that another node has are led there.
    SetDetour((Family, EgressSlot), Detour),
    /// This is announced.
    Announce(OriginatedRoute),
    /// bgpd's document. There is none before the node's own Node object is known, and none that withdraws it.
    Configure(Box<Config>),
    /// A condition holds.
    Report(Condition),
    /// A condition no longer holds.
    Retract(Condition),
    /// This is no longer announced.
    Withdraw(Prefix),
    /// Packets of an egress gateway go their own way.
    RemoveDetour((Family, EgressSlot)),
    /// A prefix has no route.
    RemoveRoute(Prefix),
    /// Packets to somebody are no longer encrypted.
    RemoveWireguardPeer(String),
    /// A node is no longer at the far end.
    RemovePeer((TunnelKind, IpAddr)),
    /// There is no need for this device any more.
    RemoveTunnel(TunnelKind),
    /// A set of the firewall loses an element.
    RemoveElement(Element),
}
