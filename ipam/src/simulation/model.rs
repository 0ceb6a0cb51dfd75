//! What must be true of addresses, and whether an answer agrees with it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;

use cairn_net::Prefix;

use super::{COOLDOWN, NODES};
use crate::{Assigned, Handle, IpamError, Request};

/// What must be true: who has what, and what rests since when.
#[derive(Default)]
pub(super) struct Model {
    pub(super) live: BTreeMap<IpAddr, (usize, Handle)>,
    pub(super) released: BTreeMap<IpAddr, (u64, String)>,
    /// Requests on their way, by node and handle.
    pub(super) asking: BTreeMap<(usize, Handle), usize>,
    /// The pod CIDRs that each node has had, the last of them now, where the IPv4 pool has them as its blocks.
    pub(super) pod_cidrs: Option<[Vec<Prefix>; NODES]>,
}

impl Model {
    pub(super) fn of(&self, node: usize, handle: &Handle) -> Vec<IpAddr> {
        let owned = self.live.iter().filter(|(_, owner)| **owner == (node, handle.clone()));
        owned.map(|(address, _)| *address).collect()
    }
}

/// A request on its way; gone with its task, however that ends.
pub(super) struct Asking(pub(super) Rc<RefCell<Model>>, pub(super) (usize, Handle));

impl Drop for Asking {
    fn drop(&mut self) {
        if let Ok(mut model) = self.0.try_borrow_mut()
            && let Some(count) = model.asking.get_mut(&self.1)
        {
            *count -= 1;
            if *count == 0 {
                model.asking.remove(&self.1);
            }
        }
    }
}

pub(super) fn answered(
    model: &mut Model,
    node: usize,
    request: &Request,
    answer: Result<Vec<Assigned>, IpamError>,
    now: u64,
) {
    let Ok(assigned) = answer else { return };
    let known = model.of(node, &request.handle);
    let got: Vec<_> = assigned.iter().map(|assigned| assigned.address).collect();
    if !known.is_empty() {
        assert_eq!(got, known, "{} asked twice", request.handle);
        return;
    }
    for address in got {
        if let Some(cidr) =
            model.pod_cidrs.as_ref().filter(|_| address.is_ipv4()).and_then(|of| of[node].last())
        {
            assert!(cidr.contains(address), "{address} on n{node}, whose pod CIDR is {cidr}");
        }
        let owner = model.live.insert(address, (node, request.handle.clone()));
        assert_eq!(owner, None, "{address} given to {} on n{node} too", request.handle);
        if let Some((since, pod)) = model.released.remove(&address) {
            // A pod may have its fixed address again at once.
            let rested = now - since >= u64::from(COOLDOWN) || pod == request.pod;
            assert!(rested, "{address} released at {since} and given at {now}");
        }
    }
}
