//! The objects of `cairn.network/v1alpha1`, the few of Kubernetes that Cairn reads, and all that is said about them.
//!
//! - [`Object`], [`Metadata`], [`Kind`]: an object as Kubernetes writes it, generic over its kind.
//! - [`kinds`]: our own kinds, one file each; unknown fields are refused.
//! - [`core`]: Node, Pod, Namespace, Secret, Lease and Event, trimmed to what is used; unknown fields are tolerated.
//! - [`Draft`]: an object of a kind of ours as it stands, whether or not it makes sense.
//! - [`Selector`]: label expressions, parsed once when an object is read.
//! - [`Fault`]: one violated rule, by field path; `validate` collects all of them.
//! - `schema` (a feature): the CustomResourceDefinitions of the kinds.
//! - [`load`]: YAML in and out, with file, line, column and field path in each error.
//!
//! Pure: no IO but what `load` is handed as text, no clock, no runtime.

pub mod annotation;
mod bounds;
mod community;
mod condition;
pub mod core;
mod draft;
mod duration;
mod fault;
mod kind;
pub mod kinds;
pub mod load;
mod metadata;
pub mod name;
mod object;
mod port_range;
#[cfg(feature = "schema")]
pub mod schema;
pub mod selector;
mod timestamp;
mod wireguard_key;

pub use community::Community;
pub use condition::{Condition, ConditionStatus};
pub use draft::{Draft, DraftStatus};
pub use duration::GoDuration;
pub use fault::{Fault, Faults};
pub use kind::{GROUP_VERSION, Kind, NoStatus};
pub use metadata::Metadata;
pub use object::Object;
pub use port_range::{PortRange, PortRangeError};
pub use selector::{Selector, SelectorError};
pub use timestamp::Timestamp;
pub use wireguard_key::WireguardKey;
