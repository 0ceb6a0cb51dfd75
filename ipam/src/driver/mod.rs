//! Operations on the store, one at a time.
//!
//! Every operation may fail, lose its answer or be dropped at any await, and may then be repeated: `unsure` makes the next one
//! start by asking the store what is there ([`sync`]).
//! Order of a claim: affinity `Pending` -> block -> affinity `Confirmed` -> announced. Order of giving up: no longer announced -> affinity
//! `PendingDeletion` -> block deleted -> affinity deleted. So a block always has an affinity, and an announced block exists.

mod acquire;
mod claim;
mod edit;
mod give_up;
mod maintain;
mod sync;

use std::collections::BTreeMap;
use std::time::Duration;

use cairn_api::annotation::NODE_LABEL;
use cairn_api::kinds::{AffinityState, BlockAffinity};
use cairn_api::{Metadata, Object, name};
use cairn_datastore::Key;
use cairn_net::Prefix;

use crate::journal::fnv1a;

/// State of the driver.
#[derive(Debug)]
pub(crate) struct Driver {
    /// Must the store be asked what is there before anything else?
    unsure: bool,
    /// Since when a surplus block has been empty, by the clock that nobody sets.
    idle: BTreeMap<Prefix, Duration>,
}

impl Driver {
    pub(crate) const fn new() -> Self {
        Self { unsure: true, idle: BTreeMap::new() }
    }
}

fn key_of(cidr: Prefix) -> Key {
    Key::named(name::of_prefix(cidr))
}

/// A node's name as the value of a label, which has at most 63 characters.
fn label_of(node: &str) -> String {
    if node.len() <= 63 { node.to_owned() } else { format!("{:016x}", fnv1a(node.as_bytes())) }
}

fn affinity(cidr: Prefix, pool: &str, node: &str, state: AffinityState) -> Object<BlockAffinity> {
    let mut metadata = Metadata::named(name::of_prefix(cidr));
    own(&mut metadata, node);
    Object::new(metadata, BlockAffinity { cidr, node: node.to_owned(), pool: pool.to_owned(), state })
}

/// Labels an affinity with its owner.
fn own(metadata: &mut Metadata, node: &str) {
    if node.is_empty() {
        metadata.labels.remove(NODE_LABEL);
    } else {
        metadata.labels.insert(NODE_LABEL.to_owned(), label_of(node));
    }
}
