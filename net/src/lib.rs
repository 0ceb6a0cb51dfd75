//! The words every other crate speaks: [`Prefix`], [`Family`], [`Asn`], [`RemoteAs`], [`RouterId`], [`Mac`],
//! [`HostPort`], [`Bandwidth`]; and [`handover`].
//!
//! Leaf crate: no IO, no clock, no knowledge of BGP, Kubernetes or the kernel. IPv4 and IPv6 are values of
//! one type here, so that no other crate needs a v4 and a v6 twin of anything.

mod asn;
mod bandwidth;
mod error;
mod family;
pub mod handover;
mod host_port;
mod mac;
mod prefix;
mod remote_as;
mod router_id;
#[cfg(feature = "schema")]
mod schema;
mod text;

pub use asn::Asn;
pub use bandwidth::{Bandwidth, Direction, Rate};
pub use error::ParseError;
pub use family::{Families, Family};
pub use host_port::{HostPort, Transport};
pub use mac::Mac;
pub use prefix::Prefix;
pub use remote_as::RemoteAs;
pub use router_id::RouterId;
