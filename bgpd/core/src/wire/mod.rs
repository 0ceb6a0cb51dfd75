//! BGP messages on the wire: framing, decoding, validation, encoding.
//!
//! Spec: RFC 4271 sections 4 and 6, revised by RFC 7606; every other RFC is named where it applies.
//! Invariants: no input panics; no allocation is larger than a constant times the input; `decode(encode(x)) == x`.
//! Not here: sessions (`fsm`), routes (`rib`), filters (`policy`).
//!
//! The way in: [`Framer`] -> [`Frame`] -> [`Message::decode`]. The way out: `Message::encode` for everything but
//! routes; [`EncodedAttributes`], [`encode_unreach`] and [`encode_end_of_rib`] for UPDATEs.

mod afi;
mod attribute;
mod header;
mod message;
mod notification;
mod open;
mod parse;
mod route_refresh;
mod update;

pub use afi::AfiSafi;
pub use attribute::{
    Aggregator, AsPath, AsPathError, Attributes, Communities, Community, ElementIter, ExtendedCommunities,
    ExtendedCommunity, Ipv6ExtendedCommunities, Ipv6ExtendedCommunity, LargeCommunities, LargeCommunity,
    Marks, NextHop, Origin, Segment, SegmentKind, UnknownAttribute, UnknownAttributes, WireElement, WireList,
    attribute_name,
};
pub use header::{EXTENDED_MAX_MESSAGE_LEN, Frame, Framer, HEADER_LEN, MAX_MESSAGE_LEN, MessageType};
pub use message::Message;
pub use notification::{
    CeaseError, FsmError, HeaderError, Notification, NotificationCode, OpenError, RouteRefreshError,
    UpdateError,
};
pub use open::{
    AddPathMode, Capability, GracefulRestart, GracefulRestartFamily, LongLivedFamily, Negotiated, Open,
    OpenCheck, PeerAs, Role,
};
pub use route_refresh::{RefreshSubtype, RouteRefresh};
pub use update::{
    Consequence, DecodeContext, EncodeContext, EncodeError, EncodedAttributes, Fault, FaultReason, Nlri,
    PeerKind, Reach, Unreach, Update, encode_end_of_rib, encode_unreach,
};

#[cfg(test)]
mod tests;
