//! The kinds of Kubernetes that Cairn reads, and the Event that it writes, trimmed to the fields it uses. Unknown fields are tolerated.

mod event;
mod identity;
mod lease;
mod micro_time;
mod namespace;
mod node;
mod pod;
mod secret;

pub use event::{Event, EventSeries, EventType, Regarding};
pub use identity::{InterfaceAddress, NodeClaims, NodeIdentity};
pub use lease::Lease;
pub use namespace::Namespace;
pub use node::{Node, NodeAddress, NodeCondition, NodeState, Taint};
pub use pod::{Pod, PodIp, PodState};
pub use secret::{Secret, SecretBytes};
