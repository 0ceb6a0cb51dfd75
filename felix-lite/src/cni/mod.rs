//! The CNI server: what the plugin `cairn-cni` asks is done here, in this process, over netlink.
//!
//! - [`Server`]: what the daemon starts. `listener` takes connections and frames; `add`, `del`, `check` and `gc` are the verbs.
//! - `wiring`: the pod's veth pair, addresses, routes and neighbours, on threads of its own, for netlink blocks and namespaces are entered by thread.
//! - `pools`: which pools its addresses are of; `underlay`: which network a container is attached to; `wishes`: which ports of the node and
//!   limits it can have;
//! - `journal`: the attachments there are, over restarts; `name`: interface names; `locks`: one call at a time for an attachment.
//!
//! Tasks: one accepts; one for each connection, at most `listener::CONNECTIONS` at a time; `wiring::THREADS` threads for netlink and one that
//! deletes links in batches (the kernel waits about 20 ms for each batch, and no caller does).
//!
//! Invariants: I1 (ADD answers after [`Endpoints::add`](crate::endpoint::Endpoints::add)), I2 (nothing is removed at the end of the process), I4 (an address is
//! released after its route is gone), I7 (DEL succeeds whatever is gone already).
//! Not here: host routes and firewall (the engine), pools and blocks (cairn-ipam), CNI's formats (cairn-cni).

mod add;
mod check;
mod del;
mod gc;
mod journal;
mod listener;
mod locks;
mod name;
mod pools;
mod resize;
mod server;
mod underlay;
mod wiring;
mod wishes;

pub(crate) use listener::Turn;

pub use journal::JournalError;
pub use listener::ListenError;
pub use server::{Config, Facts, Server, StartError};
