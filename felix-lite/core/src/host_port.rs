//! Ports of the node that lead to pods: who has which.
//!
//! A map of the kernel has one value for a key, and refuses a whole transaction that would give it another. So each key is one pod's alone here, the
//! first one's by the name of its interface, whoever came first; [`Ports::taken`] keeps a second one from coming at all.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::sync::Arc;

use cairn_net::{Family, HostPort, Transport};

use crate::Endpoint;
use crate::firewall::Element;
use crate::table::Table;

/// For connections of a family to each address of the node, or to one.
type Scope = (Family, Option<IpAddr>);

/// Who claims a key, by interface, and where it would lead.
type Claims = BTreeMap<Arc<str>, Element>;

/// What leads to pods, by protocol and port.
#[derive(Debug, Default)]
pub(crate) struct Ports {
    claims: HashMap<(Transport, NonZeroU16), BTreeMap<Scope, Claims>>,
}

impl Ports {
    /// An endpoint claims its ports.
    pub(crate) fn claim(&mut self, endpoint: &Endpoint, elements: &mut Table<Element, ()>) {
        let interface: Arc<str> = endpoint.interface.as_str().into();
        for (port, address) in endpoint.ports() {
            let element = Element::host_port(port, address);
            let claims = self.scopes(port).entry(scope(port, address)).or_default();
            let before = first(claims);
            claims.insert(Arc::clone(&interface), element);
            put(elements, before, first(claims));
        }
    }

    /// An endpoint gives its ports back.
    pub(crate) fn release(&mut self, endpoint: &Endpoint, elements: &mut Table<Element, ()>) {
        for (port, address) in endpoint.ports() {
            let scopes = self.scopes(port);
            let claims = scopes.entry(scope(port, address)).or_default();
            let before = first(claims);
            claims.remove(endpoint.interface.as_str());
            put(elements, before, first(claims));
            scopes.retain(|_, claims| !claims.is_empty());
            if scopes.is_empty() {
                self.claims.remove(&(port.transport, port.host_port));
            }
        }
    }

    /// The first of the endpoint's ports that another interface has, if only for one of the addresses that both are for, and that interface.
    pub(crate) fn taken(&self, endpoint: &Endpoint) -> Option<(HostPort, &str)> {
        endpoint.ports().find_map(|(port, address)| {
            let scopes = self.claims.get(&(port.transport, port.host_port))?;
            let (family, own) = scope(port, address);
            let overlaps = |(other_family, other): &Scope| {
                *other_family == family && (other.is_none() || own.is_none() || *other == own)
            };
            let overlapping = scopes.iter().filter(|(scope, _)| overlaps(scope));
            let mut interfaces = overlapping.flat_map(|(_, claims)| claims.keys());
            let other = interfaces.find(|interface| ***interface != *endpoint.interface)?;
            Some((*port, &**other))
        })
    }

    fn scopes(&mut self, port: &HostPort) -> &mut BTreeMap<Scope, Claims> {
        self.claims.entry((port.transport, port.host_port)).or_default()
    }
}

fn scope(port: &HostPort, address: IpAddr) -> Scope {
    (Family::of(address), port.address())
}

/// The element in force.
fn first(claims: &Claims) -> Option<Element> {
    claims.values().next().cloned()
}

fn put(elements: &mut Table<Element, ()>, before: Option<Element>, after: Option<Element>) {
    if before == after {
        return;
    }
    before.into_iter().for_each(|element| elements.put(&element, None));
    after.into_iter().for_each(|element| elements.put(&element, Some(())));
}
