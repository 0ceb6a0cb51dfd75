//! The rtnetlink client: writes, deletes and lists [`crate::object`]s in one namespace.

use std::cell::RefCell;
use std::fmt;
use std::net::IpAddr;

use cairn_net::{Family, Prefix};

use crate::Error;
use crate::error::Refusal;
use crate::netlink::{Batch, Frame, Protocol, Socket};
use crate::netns::Netns;
use crate::object::{
    Change, Hop, Link, LinkChange, LinkRef, Neighbour, Object, Route, Stacked, StackedKind, TableId, Verb,
    Veth, encode_link_delete, encode_link_delete_group, encode_link_get, encode_link_trial,
};

/// Several requests that are sent together and carried out in order.
///
/// A refused one does not stop those after it: see [`Rtnl::execute`].
#[derive(Debug, Default)]
pub struct Requests {
    batch: Batch,
    objects: Vec<(&'static str, String)>,
}

impl Requests {
    /// No request yet.
    pub const fn new() -> Self {
        Self { batch: Batch::new(), objects: Vec::new() }
    }

    /// How many requests.
    pub const fn len(&self) -> usize {
        self.objects.len()
    }

    /// True if there is none.
    pub const fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// An object that must not be there yet.
    pub fn create<O: Object>(&mut self, object: &O) -> &mut Self {
        self.write(Verb::Create, object)
    }

    /// An object in place of the one with its key, or anew.
    pub fn replace<O: Object>(&mut self, object: &O) -> &mut Self {
        self.write(Verb::Replace, object)
    }

    /// The end of the object with a key.
    pub fn delete<O: Object>(&mut self, key: &O::Key) -> &mut Self {
        O::encode_delete(key, &mut self.batch);
        self.note("delete", key)
    }

    /// A pair of interfaces.
    pub fn create_veth(&mut self, veth: &Veth<'_>) -> &mut Self {
        veth.encode(&mut self.batch);
        self.note("create", &format_args!("veth {} with peer {}", veth.host.name, veth.peer.name))
    }

    /// An interface on top of another one.
    pub fn create_stacked(&mut self, stacked: &Stacked<'_>) -> &mut Self {
        stacked.encode(&mut self.batch);
        self.note("create", &format_args!("{} {}", stacked.kind.driver(), stacked.name))
    }

    /// A change of an interface, which an earlier request may have made.
    pub fn change_link<'a>(&mut self, link: impl Into<LinkRef<'a>>, change: &LinkChange<'_>) -> &mut Self {
        let link = link.into();
        change.encode(link, &mut self.batch);
        self.note("change", &link)
    }

    /// The end of an interface, and of a veth's other end.
    pub fn delete_link<'a>(&mut self, link: impl Into<LinkRef<'a>>) -> &mut Self {
        let link = link.into();
        encode_link_delete(link, &mut self.batch);
        self.note("delete", &link)
    }

    /// The end of every interface of a group, for which the kernel waits once. Errors: `ENODEV` if there is none.
    pub fn delete_link_group(&mut self, group: u32) -> &mut Self {
        encode_link_delete_group(group, &mut self.batch);
        self.note("delete", &format_args!("links of group {group}"))
    }

    fn write<O: Object>(&mut self, verb: Verb, object: &O) -> &mut Self {
        object.encode(verb, &mut self.batch);
        self.note(verb.name(), &object.key())
    }

    fn note(&mut self, operation: &'static str, object: &dyn fmt::Display) -> &mut Self {
        self.objects.push((operation, object.to_string()));
        self
    }
}

/// What [`Rtnl::survey_routes`] shows.
#[derive(Debug)]
pub enum Listed {
    /// The routes of this family follow. What was shown of them before does not count: the list changed while it was read.
    Family(Family),
    /// A route.
    Route(Route),
}

/// A client of one namespace.
#[derive(Debug)]
pub struct Rtnl {
    socket: Socket,
}

impl Rtnl {
    /// For the caller's namespace.
    pub fn open() -> Result<Self, Error> {
        Socket::open(Protocol::Route).map(|socket| Self { socket })
    }

    /// For another namespace.
    pub fn open_in(netns: &Netns) -> Result<Self, Error> {
        Socket::open_in(Protocol::Route, netns).map(|socket| Self { socket })
    }

    /// The socket, for whoever encodes by himself.
    pub const fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }

    /// Carries the requests out and tells what became of each.
    pub fn execute(&mut self, requests: &mut Requests) -> Result<Vec<Result<(), Error>>, Error> {
        let results = self.socket.execute(&mut requests.batch).map_err(|refusal| lost("write", refusal))?;
        let errors = results.into_iter().zip(&requests.objects).map(|(result, (operation, object))| {
            result.map_err(|refusal| Error::refused(operation, object, refusal))
        });
        Ok(errors.collect())
    }

    /// Carries the requests out; the first refusal is the error. The requests after it were carried out too.
    pub fn execute_all(&mut self, requests: &mut Requests) -> Result<(), Error> {
        self.execute(requests)?.into_iter().collect()
    }

    /// Writes an object that must not be there yet.
    pub fn create<O: Object>(&mut self, object: &O) -> Result<(), Error> {
        self.execute_all(Requests::new().create(object))
    }

    /// Writes an object in place of the one with its key, or anew.
    pub fn replace<O: Object>(&mut self, object: &O) -> Result<(), Error> {
        self.execute_all(Requests::new().replace(object))
    }

    /// Deletes an object; false if it was not there.
    pub fn delete<O: Object>(&mut self, key: &O::Key) -> Result<bool, Error> {
        absent_is_false(self.execute_all(Requests::new().delete::<O>(key)))
    }

    /// Makes a pair of interfaces.
    pub fn create_veth(&mut self, veth: &Veth<'_>) -> Result<(), Error> {
        self.execute_all(Requests::new().create_veth(veth))
    }

    /// Makes a pair of interfaces and gives the host's end, whose peer is the other: one system call for both.
    pub fn make_veth(&mut self, veth: &Veth<'_>) -> Result<Link, Error> {
        let mut batch = Batch::new();
        veth.encode(&mut batch);
        encode_link_get(LinkRef::from(&veth.host.name), &mut batch);
        let mut found = None;
        let each = |frame: Frame<'_>| {
            if let Some(Change::Present(link)) = Link::decode(frame) {
                found = Some(link);
            }
        };
        let refused = self.socket.execute_with(&mut batch, each).map_err(|refusal| lost("write", refusal))?;
        let name = format_args!("veth {} with peer {}", veth.host.name, veth.peer.name).to_string();
        match refused.into_iter().next() {
            Some((_, refusal)) => Err(Error::refused("create", name, refusal)),
            None => found.ok_or(Error::Malformed { what: "interface just made", rule: "is there" }),
        }
    }

    /// Has the kernel the driver of such interfaces? Its module is loaded if need be.
    ///
    /// One on top of none is asked for: the driver refuses that, and where there is no driver the kernel says so.
    pub fn has_driver(&mut self, kind: StackedKind) -> Result<bool, Error> {
        let mut batch = Batch::new();
        encode_link_trial(kind, &mut batch);
        let results = self.socket.execute(&mut batch).map_err(|refusal| lost("write", refusal))?;
        let refused = results.into_iter().next().and_then(Result::err);
        let refused = refused.map(|refusal| Error::refused("try", kind.driver(), refusal));
        Ok(refused.is_none_or(|error| error.errno() != Some(nix::errno::Errno::EOPNOTSUPP)))
    }

    /// Changes an interface.
    pub fn change_link<'a>(
        &mut self,
        link: impl Into<LinkRef<'a>>,
        change: &LinkChange<'_>,
    ) -> Result<(), Error> {
        self.execute_all(Requests::new().change_link(link, change))
    }

    /// Deletes an interface; false if it was not there. Takes about 20 ms, which the kernel waits for its readers.
    pub fn delete_link<'a>(&mut self, link: impl Into<LinkRef<'a>>) -> Result<bool, Error> {
        absent_is_false(self.execute_all(Requests::new().delete_link(link)))
    }

    /// One interface; `None` if there is none.
    pub fn link<'a>(&mut self, link: impl Into<LinkRef<'a>>) -> Result<Option<Link>, Error> {
        let link = link.into();
        let mut batch = Batch::new();
        encode_link_get(link, &mut batch);
        let mut found = None;
        let answer = self.socket.query(&mut batch, |frame| {
            if let Some(Change::Present(link)) = Link::decode(frame) {
                found = Some(link);
            }
        });
        match answer.map_err(|refusal| Error::refused("get", link, refusal)) {
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
            Ok(()) => Ok(found),
        }
    }

    /// Every object of a kind; of one family, or of all.
    pub fn list<O: Object>(&mut self, family: Option<Family>) -> Result<Vec<O>, Error> {
        self.dump(|batch, flags| O::encode_list(family, flags, batch))
    }

    /// The routes of one protocol in one table, filtered by the kernel.
    pub fn routes(
        &mut self,
        table: TableId,
        protocol: u8,
        families: impl IntoIterator<Item = Family>,
    ) -> Result<Vec<Route>, Error> {
        self.routes_as(table, protocol, families, Some)
    }

    /// What `keep` makes of each route of one protocol in one table: a large table need not be held to be looked at.
    ///
    /// A list that changed while it was read is read again, and `keep` is called anew.
    pub fn routes_as<T>(
        &mut self,
        table: TableId,
        protocol: u8,
        families: impl IntoIterator<Item = Family>,
        keep: impl FnMut(Route) -> Option<T>,
    ) -> Result<Vec<T>, Error> {
        self.filtered(table, Some(protocol), families, |_| {}, keep)
    }

    /// As [`Rtnl::routes_as`], for whoever takes notes of what he is shown: he is told when that has to begin anew.
    pub fn survey_routes<T>(
        &mut self,
        table: TableId,
        protocol: u8,
        families: impl IntoIterator<Item = Family>,
        show: impl FnMut(Listed) -> Option<T>,
    ) -> Result<Vec<T>, Error> {
        // Never called within itself, so that it is there whenever it is asked for.
        let show = RefCell::new(show);
        let begin = |family| drop((show.borrow_mut())(Listed::Family(family)));
        let keep = |route| (show.borrow_mut())(Listed::Route(route));
        self.filtered(table, Some(protocol), families, begin, keep)
    }

    /// As [`Rtnl::routes_as`], of every protocol.
    pub fn routes_of_all<T>(
        &mut self,
        table: TableId,
        families: impl IntoIterator<Item = Family>,
        keep: impl FnMut(Route) -> Option<T>,
    ) -> Result<Vec<T>, Error> {
        self.filtered(table, None, families, |_| {}, keep)
    }

    fn filtered<T>(
        &mut self,
        table: TableId,
        protocol: Option<u8>,
        families: impl IntoIterator<Item = Family>,
        mut begin: impl FnMut(Family),
        mut keep: impl FnMut(Route) -> Option<T>,
    ) -> Result<Vec<T>, Error> {
        let wanted = |route: &Route| {
            route.table == table && protocol.is_none_or(|protocol| route.protocol == protocol)
        };
        let mut kept = Vec::new();
        for family in families {
            let request = |batch: &mut Batch, flags: u16| {
                begin(family);
                Route::encode_list_of(table, protocol.unwrap_or(0), family, flags, batch);
            };
            let listed = self.socket.dump(request, |frame| match Route::decode(frame)? {
                // Kernels before 4.20 do not filter.
                Change::Present(route) if wanted(&route) => keep(route),
                _ => None,
            });
            match listed.map_err(|refusal| lost("list", refusal)) {
                Ok(list) => kept.extend(list),
                Err(error) if error.is_not_found() => {} // no route was ever put into that table
                Err(error) => return Err(error),
            }
        }
        Ok(kept)
    }

    /// The addresses for which links answer on behalf of others.
    pub fn proxies(&mut self, family: Option<Family>) -> Result<Vec<Neighbour>, Error> {
        self.dump(|batch, flags| Neighbour::encode_list_proxies(family, flags, batch))
    }

    /// How this host would reach an address now; `None` if it would not.
    ///
    /// Of several equal ways the kernel's hash picks one. The gateway is `None` where the address is on the link.
    pub fn resolve(&mut self, addr: IpAddr) -> Result<Option<Hop>, Error> {
        self.resolve_marked(addr, 0)
    }

    /// As [`Rtnl::resolve`], of a packet with a mark; 0: none.
    ///
    /// Errors: the kernel's refusal, but for an address that no route leads to.
    pub fn resolve_marked(&mut self, addr: IpAddr, mark: u32) -> Result<Option<Hop>, Error> {
        let mut batch = Batch::new();
        Route::encode_resolve(addr, mark, &mut batch);
        let mut found = None;
        let answer =
            self.socket.query(&mut batch, |frame| found = found.take().or(Route::decode_resolved(frame)));
        match answer {
            Ok(()) => Ok(found),
            Err(refusal) if refusal.is_no_route() => Ok(None),
            Err(refusal) => Err(Error::refused("resolve", Prefix::host(addr), refusal)),
        }
    }

    fn dump<O: Object>(&mut self, mut request: impl FnMut(&mut Batch, u16)) -> Result<Vec<O>, Error> {
        let objects = self.socket.dump(&mut request, |frame| match O::decode(frame) {
            Some(Change::Present(object)) => Some(object),
            _ => None,
        });
        objects.map_err(|refusal| lost("list", refusal))
    }
}

/// An error of the socket rather than of one object.
fn lost(operation: &'static str, refusal: Refusal) -> Error {
    Error::refused(operation, "kernel objects", refusal)
}

fn absent_is_false(result: Result<(), Error>) -> Result<bool, Error> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}
