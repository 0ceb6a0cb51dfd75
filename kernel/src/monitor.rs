//! What the kernel tells of its own accord: links and their settings, addresses, routes, rules, nexthops, neighbours, forwarding entries and tables of nf_tables as they
//! change.
//!
//! Invariant: nothing is lost in silence. Where the kernel had to drop notifications, [`Event::Resync`] says so, and
//! whoever keeps a copy of the kernel's state must list it anew.
//! What Cairn itself writes can be left out ([`Monitor::ignore`]): the kernel then drops it before it is queued, so that
//! a hundred thousand routes of ours do not push somebody else's change out of the queue.

use std::collections::VecDeque;
use std::iter;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, setsockopt, socket,
    sockopt,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::Error;
use crate::netlink::option::{self, Filter};
use crate::netlink::{Frame, Frames, Socket};
use crate::netns::Netns;
use crate::nftables::{self, Table};
use crate::object::{Address, Change, Forwarding, IfIndex, Link, Neighbour, Nexthop, Object, Route, Rule};

/// A notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An interface was made, changed or deleted.
    Link(Change<Link>),
    /// Settings of IP of an interface were changed: see [`crate::sysctl`]. `None`: those of all, or what new ones start with.
    Settings(Option<IfIndex>),
    /// An address was added to or taken from an interface.
    Address(Change<Address>),
    /// A route was added, replaced or deleted. IPv4 routes that go with their interface are not told one by one.
    Route(Change<Route>),
    /// A nexthop object was added, replaced or deleted. Those that go with their interface are not told.
    Nexthop(Change<Nexthop>),
    /// A neighbour was found, lost, set or deleted.
    Neighbour(Change<Neighbour>),
    /// A forwarding entry of a VXLAN device was set or deleted.
    Forwarding(Change<Forwarding>),
    /// A rule of policy routing was added or deleted.
    Rule(Change<Rule>),
    /// Something in a table that is watched, or the table itself: see [`Monitor::open_tables`].
    Table,
    /// Notifications were lost.
    Resync,
}

/// What to be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// Interfaces.
    Links,
    /// Settings of IP, of both families: of each interface, and of all. The kernel tells of forwarding, reverse path filters and proxies, not of
    /// everything.
    Settings,
    /// Addresses of both families.
    Addresses,
    /// Routes of both families.
    Routes,
    /// Rules of policy routing, of both families.
    Rules,
    /// Nexthop objects.
    Nexthops,
    /// Neighbours, and forwarding entries.
    Neighbours,
}

impl Topic {
    /// `RTNLGRP_*`.
    const fn groups(self) -> &'static [libc::c_int] {
        match self {
            Self::Links => &[1],
            Self::Settings => &[24, 25],
            Self::Neighbours => &[3],
            Self::Addresses => &[5, 9],
            Self::Routes => &[7, 11],
            Self::Rules => &[8, 19],
            Self::Nexthops => &[32],
        }
    }
}

/// Room for about ten thousand notifications of others.
const RECEIVE_BUFFER: usize = 8 << 20;
const READ_BUFFER: usize = 64 * 1024;
/// `NLM_F_REPLACE`.
const REPLACE: u16 = 0x100;

/// A subscription to one namespace's notifications.
#[derive(Debug)]
pub struct Monitor {
    fd: AsyncFd<OwnedFd>,
    buffer: Vec<u8>,
    events: VecDeque<Told>,
    left_out: Filter,
    /// Which tables of nf_tables are watched; `None`: it watches other things.
    tables: Option<&'static [Table]>,
    author: u32,
    replaced: bool,
}

/// A notification, with what its header says.
#[derive(Debug)]
struct Told {
    /// The port of the socket through which it was done.
    author: u32,
    /// Something was there before, and is not any more (`NLM_F_REPLACE`).
    replaced: bool,
    event: Event,
}

impl Told {
    /// The kinds of messages that say that something is there come by fours; the flag means something else in others.
    fn new(frame: Frame<'_>, event: Event) -> Self {
        let replaced = frame.kind.is_multiple_of(4) && frame.flags & REPLACE != 0;
        Self { author: frame.port, replaced, event }
    }
}

impl Monitor {
    /// Subscribes in the caller's namespace. Must be called within a tokio runtime.
    pub fn open(topics: &[Topic]) -> Result<Self, Error> {
        Self::from_fd(subscribe(SockProtocol::NetlinkRoute, groups(topics)), None)
    }

    /// Subscribes in another namespace. Must be called within a tokio runtime.
    pub fn open_in(netns: &Netns, topics: &[Topic]) -> Result<Self, Error> {
        Self::from_fd(netns.run(|| subscribe(SockProtocol::NetlinkRoute, groups(topics)))?, None)
    }

    /// Subscribes to changes of some tables of nf_tables in the caller's namespace: gives [`Event::Table`] for each batch of
    /// notifications that has something about them. Must be called within a tokio runtime.
    pub fn open_tables(tables: &'static [Table]) -> Result<Self, Error> {
        Self::from_fd(subscribe(SockProtocol::NetlinkNetFilter, iter::once(nftables::GROUP)), Some(tables))
    }

    fn from_fd(fd: Result<OwnedFd, Errno>, tables: Option<&'static [Table]>) -> Result<Self, Error> {
        let refused = |errno| Error::refused("open", "netlink monitor", errno);
        let fd = register(fd.map_err(refused)?)
            .map_err(|error| Error::refused("open", "netlink monitor", error))?;
        let (buffer, events) = (vec![0; READ_BUFFER], VecDeque::new());
        Ok(Self { fd, buffer, events, left_out: Filter::default(), tables, author: 0, replaced: false })
    }

    /// From now on leaves out what is done through this socket.
    pub fn ignore(&mut self, socket: &Socket) -> Result<(), Error> {
        self.left_out.ports.push(socket.port()?);
        self.filter()
    }

    /// From now on leaves out routes of a protocol, whoever writes them, unless one takes the place of another route.
    pub fn ignore_routes_of(&mut self, protocol: u8) -> Result<(), Error> {
        self.left_out.routes_of = Some(protocol);
        self.filter()
    }

    fn filter(&self) -> Result<(), Error> {
        option::drop_messages(self.fd.get_ref().as_fd(), &self.left_out)
            .map_err(|errno| Error::refused("filter", "netlink monitor", errno))
    }

    /// Who caused the last event: the netlink port of the request, which mostly is the number of the process. `None` where
    /// the kernel did it by itself.
    pub const fn author(&self) -> Option<u32> {
        match self.author {
            0 => None,
            port => Some(port),
        }
    }

    /// Did what the last event told of take the place of something else in one step?
    pub const fn replaced(&self) -> bool {
        self.replaced
    }

    /// Waits for the next event. Cancel safe.
    pub async fn next(&mut self) -> Result<Event, Error> {
        loop {
            if let Some(told) = self.events.pop_front() {
                (self.author, self.replaced) = (told.author, told.replaced);
                return Ok(told.event);
            }
            let refused = |error| Error::refused("read", "netlink monitor", error);
            let mut ready = self.fd.readable().await.map_err(|error| refused(error.into()))?;
            match recv(self.fd.get_ref().as_raw_fd(), &mut self.buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(len) => {
                    let frames = Frames::new(self.buffer.get(..len).unwrap_or_default());
                    match self.tables {
                        Some(tables) => {
                            let of_ours = |frame| tables.iter().any(|table| table.concerns(frame));
                            let mut ours = frames.filter(|frame| of_ours(*frame));
                            self.events.extend(ours.next().map(|frame| Told::new(frame, Event::Table)));
                        }
                        None => {
                            let told = frames.filter_map(|frame| Some(Told::new(frame, decode(frame)?)));
                            self.events.extend(told);
                        }
                    }
                }
                Err(Errno::EAGAIN) => ready.clear_ready(),
                Err(Errno::EINTR) => {}
                Err(Errno::ENOBUFS) => {
                    (self.author, self.replaced) = (0, false);
                    return Ok(Event::Resync);
                }
                Err(errno) => return Err(refused(crate::Refusal::from(errno))),
            }
        }
    }
}

/// The groups of topics.
fn groups(topics: &[Topic]) -> impl Iterator<Item = libc::c_int> {
    topics.iter().flat_map(|topic| topic.groups()).copied()
}

#[allow(unsafe_code)]
fn register(fd: OwnedFd) -> std::io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open and names the same file until it is dropped, and `as_raw_fd` always gives that
    // descriptor. The `AsyncFd` owns it from here on and never hands it out.
    unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }.map_err(Into::into)
}

fn subscribe(protocol: SockProtocol, groups: impl Iterator<Item = libc::c_int>) -> Result<OwnedFd, Errno> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
    bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
    if setsockopt(&fd, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
        setsockopt(&fd, sockopt::RcvBuf, &RECEIVE_BUFFER)?;
    }
    for group in groups {
        option::join(fd.as_fd(), group)?;
    }
    Ok(fd)
}

/// The kind of a message is in its type: sixteen kinds apart by four, with new, delete, get and set.
fn decode(frame: Frame<'_>) -> Option<Event> {
    match frame.kind {
        16 | 17 => Link::decode(frame).map(Event::Link),
        20 | 21 => Address::decode(frame).map(Event::Address),
        24 | 25 => Route::decode(frame).map(Event::Route),
        28 | 29 => Neighbour::decode(frame)
            .map(Event::Neighbour)
            .or_else(|| Forwarding::decode(frame).map(Event::Forwarding)),
        32 | 33 => Rule::decode(frame).map(Event::Rule),
        // `RTM_NEWNETCONF`: a header of one byte and its padding, then `NETCONFA_IFINDEX`, which is negative for `all` and `default`.
        80 => {
            let index = frame.attributes(4).find(1)?.u32()?;
            Some(Event::Settings((index <= i32::MAX.cast_unsigned()).then_some(IfIndex(index))))
        }
        104 | 105 => Nexthop::decode(frame).map(Event::Nexthop),
        _ => None,
    }
}
