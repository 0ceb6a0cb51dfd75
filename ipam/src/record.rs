use std::net::IpAddr;

use cairn_api::Timestamp;
use cairn_api::kinds::AffinityState;
use cairn_net::Prefix;
use serde::{Deserialize, Serialize};

use crate::{Handle, Settings};

/// One step of the ledger. The journal is a list of them; replaying it gives the same ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Record {
    /// Whose journal it is, and since which start of the machine: the first record.
    Node { name: String, boot: String },
    /// All blocks of the store were searched for addresses of the node, after a journal was lost or before its first use.
    Searched,
    /// What holds from now on.
    Settings(Box<Settings>),
    /// A block that the node owns (`own` says how far), or has addresses of.
    Block { cidr: Prefix, pool: String, own: Option<AffinityState> },
    /// The node has nothing to do with the block any more.
    BlockGone { cidr: Prefix },
    /// Reserved in the store: may be assigned.
    Warm { block: Prefix, addresses: Vec<IpAddr> },
    /// Warm ones that are to be given back unused: may not be assigned.
    Return { addresses: Vec<IpAddr> },
    /// Assigned to a handle, all at once.
    Assign { handle: Handle, pod: String, since: Timestamp, addresses: Vec<(IpAddr, Prefix)> },
    /// A handle's addresses are taken back; the store is still to be told.
    Release { handle: Handle, since: Timestamp },
    /// As `Release`, of one address: for a snapshot.
    Released { handle: Handle, pod: String, since: Timestamp, address: IpAddr, block: Prefix },
    /// The store knows: the node holds them no more.
    Forget { addresses: Vec<IpAddr> },
}
