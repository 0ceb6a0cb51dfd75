//! The backend for what rtnetlink carries: routes, rules, nexthop objects, addresses, neighbours, forwarding entries.

use std::marker::PhantomData;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use cairn_net::Family;

use super::{Backend, Objects, Operation, Reconciler, Refused};
use crate::Error;
use crate::error::is_absence;
use crate::netlink::{Batch, Socket};
use crate::object::{
    Address, Change, Forwarding, IfIndex, Neighbour, NeighbourState, Nexthop, Object, PROTOCOL, Route,
    RouteKey, Rule, TableId, Verb,
};
use crate::rtnl::Rtnl;

/// A kind of object that carries a mark, so that ours can be told from everybody else's.
pub trait Owned: Object {
    /// Which of ours one engine is for.
    type Scope;
    /// Does a new one leave alone what somebody else put in its place?
    const YIELDS: bool = true;

    /// Is it ours, and of this scope?
    fn is_owned(&self, scope: &Self::Scope) -> bool;

    /// All of ours of this scope.
    fn list_owned(rtnl: &mut Rtnl, scope: &Self::Scope) -> Result<Vec<Self>, Error>;

    /// The object as the kernel gives it back, so that it compares equal when it is found again.
    #[must_use]
    fn normalised(self) -> Self {
        self
    }

    /// The key of an object of ours that would be in the same place in the kernel.
    fn rival_key(&self, scope: &Self::Scope) -> Option<Self::Key>;
}

/// Some tables of routes, by their numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tables(RangeInclusive<u32>);

impl Tables {
    /// These.
    pub const fn range(numbers: RangeInclusive<u32>) -> Self {
        Self(numbers)
    }

    fn has(&self, table: TableId) -> bool {
        self.0.contains(&table.0)
    }
}

impl From<TableId> for Tables {
    fn from(table: TableId) -> Self {
        Self(table.0..=table.0)
    }
}

/// Routes of protocol 202 in some tables.
impl Owned for Route {
    type Scope = Tables;

    fn is_owned(&self, tables: &Tables) -> bool {
        self.protocol == PROTOCOL && tables.has(self.table)
    }

    fn list_owned(rtnl: &mut Rtnl, tables: &Tables) -> Result<Vec<Self>, Error> {
        let (first, last) = (*tables.0.start(), *tables.0.end());
        if first == last {
            return rtnl.routes(TableId(first), PROTOCOL, Family::ALL);
        }
        let mut routes = Vec::new();
        for family in Family::ALL {
            routes.extend(rtnl.list::<Self>(Some(family))?);
        }
        routes.retain(|route| route.is_owned(tables));
        Ok(routes)
    }

    fn normalised(self) -> Self {
        Self::normalised(self)
    }

    /// Routes of all protocols share prefix, table and metric: a `replace` by somebody else ends ours without a word.
    fn rival_key(&self, tables: &Tables) -> Option<Self::Key> {
        tables.has(self.table).then(|| RouteKey { protocol: PROTOCOL, ..self.key() })
    }
}

/// Rules of protocol 202 and one priority.
impl Owned for Rule {
    type Scope = u32;

    fn is_owned(&self, priority: &u32) -> bool {
        self.protocol == PROTOCOL && self.priority == *priority
    }

    fn list_owned(rtnl: &mut Rtnl, priority: &u32) -> Result<Vec<Self>, Error> {
        let mut rules = Vec::new();
        for family in Family::ALL {
            rules.extend(rtnl.list::<Self>(Some(family))?);
        }
        rules.retain(|rule| rule.is_owned(priority));
        Ok(rules)
    }

    /// The same rule of another owner stays beside ours.
    fn rival_key(&self, _: &u32) -> Option<Self::Key> {
        None
    }
}

/// Nexthop objects in our range of numbers. The owner sets members before their groups.
impl Owned for Nexthop {
    type Scope = ();

    fn is_owned(&self, (): &()) -> bool {
        self.protocol == PROTOCOL && self.id.is_ours()
    }

    fn list_owned(rtnl: &mut Rtnl, scope: &()) -> Result<Vec<Self>, Error> {
        let mut nexthops: Vec<Self> = rtnl.list(None)?;
        nexthops.retain(|nexthop| nexthop.is_owned(scope));
        Ok(nexthops)
    }

    fn rival_key(&self, (): &()) -> Option<Self::Key> {
        self.id.is_ours().then_some(self.id)
    }
}

/// Permanent neighbours and proxy entries of protocol 202 on some interfaces.
impl Owned for Neighbour {
    type Scope = Vec<IfIndex>;
    /// Nobody else's can be there; but the kernel puts a neighbour there by itself as soon as a packet needs one.
    const YIELDS: bool = false;

    fn is_owned(&self, links: &Vec<IfIndex>) -> bool {
        let set = matches!(self.state, NeighbourState::Permanent(_) | NeighbourState::Proxy);
        links.contains(&self.link) && self.protocol == PROTOCOL && set
    }

    fn list_owned(rtnl: &mut Rtnl, scope: &Vec<IfIndex>) -> Result<Vec<Self>, Error> {
        let mut neighbours: Vec<Self> = rtnl.list(None)?;
        neighbours.extend(rtnl.proxies(None)?);
        neighbours.retain(|neighbour| neighbour.is_owned(scope));
        Ok(neighbours)
    }

    fn rival_key(&self, links: &Vec<IfIndex>) -> Option<Self::Key> {
        links.contains(&self.link).then(|| self.key())
    }
}

/// Every global address of some interfaces, which must be ours alone: addresses carry no mark.
impl Owned for Address {
    type Scope = Vec<IfIndex>;
    /// Nobody else's can be there; but the kernel puts a neighbour there by itself as soon as a packet needs one.
    const YIELDS: bool = false;

    fn is_owned(&self, links: &Vec<IfIndex>) -> bool {
        let link_local = matches!(self.addr, IpAddr::V6(addr) if addr.is_unicast_link_local());
        links.contains(&self.link) && !link_local
    }

    fn list_owned(rtnl: &mut Rtnl, scope: &Vec<IfIndex>) -> Result<Vec<Self>, Error> {
        let mut addresses: Vec<Self> = rtnl.list(None)?;
        addresses.retain(|address| address.is_owned(scope));
        Ok(addresses.into_iter().map(Owned::normalised).collect())
    }

    /// IPv4 has no duplicate address detection to be left out, and in IPv6 that of others need not be waited for.
    fn normalised(self) -> Self {
        Self { nodad: Family::of(self.addr) == Family::Ipv6, tentative: false, ..self }
    }

    fn rival_key(&self, _: &Vec<IfIndex>) -> Option<Self::Key> {
        None
    }
}

/// Every permanent entry of some VXLAN devices, which must be ours alone: entries carry no mark.
impl Owned for Forwarding {
    type Scope = Vec<IfIndex>;
    /// Nobody else's can be there; but the kernel puts a neighbour there by itself as soon as a packet needs one.
    const YIELDS: bool = false;

    fn is_owned(&self, links: &Vec<IfIndex>) -> bool {
        links.contains(&self.link)
    }

    fn list_owned(rtnl: &mut Rtnl, scope: &Vec<IfIndex>) -> Result<Vec<Self>, Error> {
        let mut entries: Vec<Self> = rtnl.list(None)?;
        entries.retain(|entry| entry.is_owned(scope));
        Ok(entries)
    }

    fn rival_key(&self, _: &Vec<IfIndex>) -> Option<Self::Key> {
        None
    }
}

/// Objects of one kind and scope in one namespace.
#[derive(Debug)]
pub struct Rtnetlink<O: Owned> {
    rtnl: Rtnl,
    scope: O::Scope,
    batch: Batch,
    kind: PhantomData<O>,
}

impl<O: Owned> Rtnetlink<O> {
    /// Through this client.
    pub const fn new(rtnl: Rtnl, scope: O::Scope) -> Self {
        Self { rtnl, scope, batch: Batch::new(), kind: PhantomData }
    }

    /// The objects that this is for are others now.
    pub fn set_scope(&mut self, scope: O::Scope) {
        self.scope = scope;
    }

    /// The socket, so that a monitor can leave out what is done here.
    pub const fn socket(&mut self) -> &mut Socket {
        self.rtnl.socket()
    }
}

impl<O: Owned> Backend for Rtnetlink<O> {
    type Key = O::Key;
    type Value = O;
    type Error = Error;

    fn apply(&mut self, operations: &[Operation<'_, O::Key, O>]) -> Result<Refused<Self>, Error> {
        self.batch.clear();
        for operation in operations {
            match operation {
                Operation::Create(_, object) if O::YIELDS => object.encode(Verb::Create, &mut self.batch),
                Operation::Create(_, object) => object.encode(Verb::Replace, &mut self.batch),
                Operation::Update(_, object) => object.encode(Verb::Replace, &mut self.batch),
                Operation::Delete(key) => O::encode_delete(key, &mut self.batch),
            }
        }
        let refused = self.rtnl.socket().execute_all(&mut self.batch);
        let refused =
            refused.map_err(|refusal| Error::refused("write", std::any::type_name::<O>(), refusal))?;
        let named = refused.into_iter().filter_map(|(place, refusal)| {
            let operation = operations.get(place)?;
            let is_gone = matches!(operation, Operation::Delete(_)) && is_absence(refusal.errno);
            (!is_gone).then(|| (place, Error::refused(operation.name(), operation.key(), refusal)))
        });
        Ok(named.collect())
    }

    fn list(&mut self) -> Result<Objects<Self>, Error> {
        let objects = O::list_owned(&mut self.rtnl, &self.scope)?;
        Ok(objects.into_iter().map(|object| (object.key(), object)).collect())
    }
}

impl<O: Owned> Reconciler<Rtnetlink<O>> {
    /// Wants an object. What it leaves to the kernel's defaults is filled in, as [`Owned::normalised`] does.
    pub fn set_object(&mut self, object: O) {
        self.set(object.key(), object.normalised());
    }

    /// Tells what the kernel's monitor said about an object of this kind, ours or not.
    pub fn observe_object(&mut self, change: Change<O>) {
        let scope = &self.backend().scope;
        match change {
            Change::Present(object) if object.is_owned(scope) => {
                self.observe(Change::Present((object.key(), object.normalised())));
            }
            Change::Gone(object) if object.is_owned(scope) => {
                self.observe(Change::Gone((object.key(), object)));
            }
            Change::Present(rival) => {
                if let Some(key) = rival.rival_key(scope) {
                    self.displaced(&key);
                }
            }
            Change::Gone(_) => {}
        }
    }
}
