//! Neighbours that are named by their interface: their addresses, as they are found.
//!
//! The speaker knows peers by address. So an interface's neighbour becomes a peer of the speaker once its link-local address is known, by a
//! router advertisement or because it connects, and the speaker is configured anew. Next hops on such a link are link-local, and an
//! address is on one link only: of two links whose neighbours have the same, the first one found has it.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use cairn_kernel::object::IfIndex;
use tracing::{debug, info, warn};

use super::{Daemon, Running};
use crate::settings::Settings;
use crate::transport::{Discovery, Event, Events, Heard};

/// Time between advertisements while the neighbour is not known, and while it is.
const SEARCHING: Duration = Duration::from_secs(1);
const FOUND: Duration = Duration::from_secs(10);

/// The neighbour of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Link {
    /// Its link-local address.
    pub(crate) address: Ipv6Addr,
    /// The interface's number.
    pub(crate) index: IfIndex,
}

/// Neighbours that are known, by the names of their interfaces.
pub(crate) type Links = BTreeMap<String, Link>;

/// An interface that names a neighbour.
struct Interface {
    /// Which round of advertisements is its own.
    round: u64,
    /// `None`: the interface is not there, or not yet.
    discovery: Option<Discovery>,
    /// Why the last attempt failed to tell the link of us: said once, until it is another reason or it works.
    trouble: Option<String>,
}

impl Interface {
    const fn new(round: u64) -> Self {
        Self { round, discovery: None, trouble: None }
    }

    /// Tells the link of us. Opens the interface first, if that is to be done; `number`: for the socket.
    fn advertise(&mut self, events: &Events, name: &str, number: u64) -> io::Result<()> {
        // An interface that was made anew has another number.
        let same = |open: &Discovery| IfIndex::of(name).is_ok_and(|index| index == open.index);
        if !self.discovery.as_ref().is_some_and(same) {
            self.discovery = None;
        }
        match &self.discovery {
            Some(open) => open.advertise(),
            None => {
                let open = self.discovery.insert(Discovery::open(name, number)?);
                open.listen(events, name);
                open.advertise()
            }
        }
    }

    /// Says how an attempt went, if that is news; the next one comes after `pause`.
    fn report(&mut self, name: &str, result: io::Result<()>, pause: Duration) {
        match result {
            Ok(()) => {
                if self.trouble.take().is_some() {
                    info!(interface = name, "the interface's neighbor can be looked for again");
                }
            }
            Err(error) => {
                let text = error.to_string();
                if self.trouble.as_ref() == Some(&text) {
                    debug!(interface = name, %error, "still cannot look for the interface's neighbor");
                    return;
                }
                let hint = match error.kind() {
                    io::ErrorKind::PermissionDenied => " (raw sockets need CAP_NET_RAW)",
                    _ => "",
                };
                let retry_seconds = pause.as_secs();
                warn!(interface = name, %error, retry_seconds, "cannot look for the interface's neighbor{hint}; tried again until it works");
                self.trouble = Some(text);
            }
        }
    }
}

/// All interfaces that name a neighbour.
#[derive(Default)]
pub(super) struct Unnumbered {
    interfaces: BTreeMap<String, Interface>,
    /// Numbers that were given to interfaces and sockets: what is waited for names one, and is of no interest once that is gone.
    numbers: u64,
    pub(super) links: Links,
}

impl Unnumbered {
    /// The number of the interface behind which a link-local address is.
    pub(super) fn interface_of(&self, address: IpAddr) -> Option<u32> {
        let mut links = self.links.values();
        links.find(|link| IpAddr::V6(link.address) == address).map(|link| link.index.0)
    }

    /// The numbers of the interfaces by the addresses behind them.
    pub(super) fn by_address(&self) -> BTreeMap<IpAddr, u32> {
        by_address(&self.links)
    }
}

/// The numbers of the interfaces by the addresses behind them.
pub(super) fn by_address(links: &Links) -> BTreeMap<IpAddr, u32> {
    links.values().map(|link| (IpAddr::V6(link.address), link.index.0)).collect()
}

impl Daemon {
    /// Looks for the neighbours of the interfaces that the document names, and for no others.
    pub(super) fn follow_interfaces(&mut self) {
        let Some(running) = &self.running else { return };
        let wanted: Vec<String> =
            running.config.interface_neighbors.iter().map(|neighbor| neighbor.interface.clone()).collect();
        self.unnumbered.interfaces.retain(|name, _| wanted.contains(name));
        self.unnumbered.links.retain(|name, _| wanted.contains(name));
        for name in wanted {
            if !self.unnumbered.interfaces.contains_key(&name) {
                self.unnumbered.numbers += 1;
                let round = self.unnumbered.numbers;
                self.unnumbered.interfaces.insert(name.clone(), Interface::new(round));
                self.advertise(name, round);
            }
        }
    }

    /// Tells an interface's link of us, and sets the time for the next time.
    pub(super) fn advertise(&mut self, name: String, round: u64) {
        let Unnumbered { interfaces, numbers, links } = &mut self.unnumbered;
        let Some(interface) = interfaces.get_mut(&name).filter(|interface| interface.round == round) else {
            return;
        };
        *numbers += 1;
        let pause = if links.contains_key(&name) { FOUND } else { SEARCHING };
        let result = interface.advertise(&self.events, &name, *numbers);
        interface.report(&name, result, pause);
        self.events.push(async move {
            tokio::time::sleep(pause).await;
            Event::Advertise(name, round)
        });
    }

    /// Something was heard on an interface.
    pub(super) fn heard(&mut self, name: &str, socket: u64) {
        let discovery = self.unnumbered.interfaces.get_mut(name).map(|interface| &mut interface.discovery);
        let Some(slot) = discovery else { return };
        let Some(discovery) = slot.as_ref().filter(|open| open.number == socket) else { return };
        match discovery.heard() {
            Ok(heard) => {
                discovery.listen(&self.events, name);
                let index = discovery.index;
                if heard.contains(&Heard::Solicitation) {
                    // Whoever asks waits; an error shows again at the next turn.
                    let _ = discovery.advertise();
                }
                for what in heard {
                    if let Heard::Router(address) = what {
                        self.found(name, Link { address, index });
                    }
                }
            }
            // The next advertisement opens it again.
            Err(error) => {
                debug!(interface = name, %error, "an interface is gone");
                *slot = None;
            }
        }
    }

    /// A connection came from a link-local address on an interface: its neighbour, if it is to have one.
    pub(super) fn connected_on(&mut self, address: Ipv6Addr, scope: u32) {
        let on =
            |interface: &Interface| interface.discovery.as_ref().is_some_and(|open| open.index.0 == scope);
        let name = self.unnumbered.interfaces.iter().find(|(_, interface)| on(interface));
        if let Some(name) = name.map(|(name, _)| name.clone()) {
            self.found(&name, Link { address, index: IfIndex(scope) });
        }
    }

    /// A neighbour was found. One whose session is up is not given up for another one on the same link.
    fn found(&mut self, name: &str, link: Link) {
        let known = self.unnumbered.links.get(name).copied();
        if known == Some(link) {
            return;
        }
        let is_up =
            |old: Link| self.speaker.peer(IpAddr::V6(old.address)).is_some_and(|peer| peer.session.is_some());
        if known.is_some_and(|old| old.index == link.index && is_up(old)) {
            return;
        }
        let taken =
            self.unnumbered.links.iter().find(|(other, of)| *other != name && of.address == link.address);
        if let Some((other, _)) = taken {
            warn!(interface = name, address = %link.address, other, "the neighbor has the address of another interface's: ignored");
            return;
        }
        info!(interface = name, address = %link.address, "neighbor found");
        self.unnumbered.links.insert(name.to_owned(), link);
        self.configure_again();
        // It need not wait for our next advertisement.
        let interface = self.unnumbered.interfaces.get(name);
        if let Some(discovery) = interface.and_then(|interface| interface.discovery.as_ref()) {
            let _ = discovery.advertise();
        }
    }

    /// Gives the speaker the running document with the neighbours that are known now.
    fn configure_again(&mut self) {
        let Some(running) = &self.running else { return };
        match Settings::new(&running.config, self.kept, &self.unnumbered.links) {
            Ok(settings) => {
                let running = Running::new(running.config.clone(), running.source.clone(), &settings);
                self.put_in_force(running, settings.speaker, None);
            }
            Err(error) => warn!(%error, "cannot use the neighbor"),
        }
    }
}
