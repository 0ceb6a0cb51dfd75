//! The firewall in the kernel, kept equal to what the core wants.
//!
//! What pods may have as their source has a table of its own: `source_check`. Everything else that changes is an element of a set of `inet cairn`; one batch of
//! the core's changes is one transaction. The table is read at the start and whenever the kernel tells that somebody else changed something in it: what is missing is put back, and what is not
//! ours goes, but not before the picture is complete. At no time is the live state flushed.
//!
//! Sets of prefixes, and maps of what the cluster says, are written only once the picture is complete: until then what an earlier run left there stays in
//! force, because a new prefix might overlap an old one that has yet to be recognised as such, and a key has one value. What a pod brings along itself takes
//! the place of what was left under its key.

mod egress;
mod forged;
mod host_ports;
mod limits;
mod ruleset;
mod sets;
mod source_check;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Instant;

use cairn_kernel::Error;
use cairn_kernel::netlink::{Protocol, Socket};
use cairn_kernel::nftables::{self, Element, ListedRule, Table, Transaction, Value};
use cairn_kernel::object::{Change, Link};
use cairn_net::Family;
use felix_api::WORKLOAD;
use felix_core::{Element as Wanted, Nat, TunnelKind};
use nix::errno::Errno;
use tracing::{debug, error, info};

use forged::Forged;
use ruleset::Needs;
use sets::SetName;
use source_check::SourceCheck;

type Elements = BTreeMap<SetName, BTreeSet<Element>>;

/// The table, and what should be in it.
#[derive(Debug)]
pub(super) struct Firewall {
    socket: Socket,
    sources: SourceCheck,
    forged: Forged,
    wanted: Elements,
    /// As last read or written.
    actual: Elements,
    /// Elements that may differ between the two.
    pending: BTreeSet<(SetName, Element)>,
    /// What leaves the pools gets these sources; `None` while that is not known. What an earlier run wrote is in force then.
    nat: Option<Nat>,
    /// Where this node's tunnels end.
    ends: BTreeMap<TunnelKind, IpAddr>,
    /// Chains and sets as last read or written.
    chains: BTreeSet<String>,
    sets: BTreeSet<String>,
    /// What the rules were written for.
    needs: Option<Needs>,
    /// The rules as the kernel numbered them when they were written.
    rules: Vec<ListedRule>,
    /// Is the picture complete?
    swept: bool,
}

impl Firewall {
    /// Its tables.
    pub(super) const TABLES: &[Table; 2] = &[Table::CAIRN, Table::CAIRN_INTERFACES];

    /// Puts table, chains and rules in place in one transaction and adopts the elements that are there.
    pub(super) fn open() -> Result<Self, Error> {
        let mut socket = Socket::open(Protocol::Netfilter)?;
        let mut firewall = Self {
            sources: SourceCheck::open(&mut socket)?,
            socket,
            forged: Forged::default(),
            wanted: Elements::new(),
            actual: Elements::new(),
            pending: BTreeSet::new(),
            nat: None,
            ends: BTreeMap::new(),
            chains: BTreeSet::new(),
            sets: BTreeSet::new(),
            needs: None,
            rules: Vec::new(),
            swept: false,
        };
        firewall.read()?;
        firewall.look(Instant::now());
        firewall.commit(true)?;
        firewall.sources.write(&mut firewall.socket, Instant::now()).inspect_err(|error| {
            if error.errno() == Some(Errno::EOPNOTSUPP) {
                error!("the kernel has no chains of interfaces (CONFIG_NF_TABLES_NETDEV), which hold pods to their own addresses");
            }
        })?;
        let adopted: usize = firewall.actual.values().map(BTreeSet::len).sum();
        info!(interfaces = firewall.sources.len(), elements = adopted, "firewall is in the kernel");
        Ok(firewall)
    }

    /// What leaves the pools is to get these sources, from the next [`Self::write`] on.
    pub(super) fn translate(&mut self, nat: Nat) {
        self.nat = Some(nat);
    }

    /// A tunnel of this node ends at this address, from the next [`Self::write`] on.
    pub(super) fn tunnel_ends_at(&mut self, kind: TunnelKind, address: Option<IpAddr>) {
        match address {
            Some(address) => drop(self.ends.insert(kind, address)),
            None => drop(self.ends.remove(&kind)),
        }
    }

    /// Wants an element, from the next [`Self::write`] on.
    pub(super) fn add(&mut self, element: &Wanted) {
        if let Wanted::Source { interface, address } = element {
            self.sources.add(interface, *address);
        }
        self.forged.add(element, Instant::now());
        let (set, members) = members(element);
        for member in members {
            self.pending.insert((set, member.clone()));
            self.wanted.entry(set).or_default().insert(member);
        }
    }

    /// Does not want it any more: it goes at the next [`Self::write`], for it is known, even before the sweep.
    pub(super) fn remove(&mut self, element: &Wanted) {
        if let Wanted::Source { interface, address } = element {
            self.sources.remove(interface, *address);
        }
        self.forged.remove(element);
        let (set, members) = members(element);
        for member in members {
            self.wanted.entry(set).or_default().remove(&member);
            self.pending.insert((set, member));
        }
    }

    /// The picture is complete: what is not wanted goes at the next [`Self::write`].
    pub(super) fn sweep(&mut self) {
        self.swept = true;
        self.compare();
        self.sources.sweep(Instant::now());
    }

    /// An interface came, changed or went.
    pub(super) fn link_changed(&mut self, change: &Change<Link>) {
        self.sources.link_changed(change, Instant::now());
    }

    /// Notifications were lost: these are the interfaces that there are. What else was missed, [`Self::repair`] finds.
    pub(super) fn links_are(&mut self, links: &[Link]) {
        self.sources.links_are(links, Instant::now());
    }

    /// When [`Self::write`] should be called again, at the latest.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.sources.poll_timeout().into_iter().chain(self.forged.poll_timeout()).min()
    }

    /// Is the element in the kernel?
    pub(super) fn has(&self, element: &Wanted) -> bool {
        if let Wanted::Source { interface, address } = element
            && !self.sources.has(interface, *address)
        {
            return false;
        }
        let (set, members) = members(element);
        let actual = self.actual.get(&set);
        !self.keeps(set, self.needs())
            || members.iter().all(|member| actual.is_some_and(|actual| actual.contains(member)))
    }

    /// Brings the kernel up to date, each table in one transaction. If it refuses, the table is read again and what is
    /// missing then is tried once more, in case somebody had changed it.
    pub(super) fn write(&mut self) -> Result<(), Error> {
        let sources = self.sources.write(&mut self.socket, Instant::now());
        self.write_elements().and(sources)
    }

    fn write_elements(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        self.look(now);
        let updated = self.update_elements();
        self.forged.end(self.needs.is_some_and(Needs::may_be_forged), now);
        updated
    }

    /// Looks at the tables of others if it is time to.
    fn look(&mut self, now: Instant) {
        let matters = self.needs().asks_others();
        self.forged.look(matters, &mut self.socket, now);
    }

    fn update_elements(&mut self) -> Result<(), Error> {
        if self.pending.is_empty() && self.needs == Some(self.needs()) {
            return Ok(());
        }
        match self.commit(false) {
            Ok(_) => Ok(()),
            Err(error) => {
                debug!(%error, "the firewall is read again");
                self.repair_elements().map(drop)
            }
        }
    }

    /// The socket through which all of this is written, so that a monitor can leave it out.
    pub(super) const fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Chains of other tables that drop what pods send each other.
    pub(super) fn blocked(&mut self) -> Result<Vec<String>, Error> {
        nftables::forward_drops(&mut self.socket, Table::CAIRN, WORKLOAD)
    }

    /// Reads the tables and puts back what is missing or changed. True if something was.
    pub(super) fn repair(&mut self) -> Result<bool, Error> {
        let sources = self.sources.repair(&mut self.socket, Instant::now());
        let elements = self.repair_elements()?;
        Ok(sources? || elements)
    }

    fn repair_elements(&mut self) -> Result<bool, Error> {
        let rules = nftables::rules(&mut self.socket, Table::CAIRN)?;
        self.read()?;
        let chains = self.needs.map(ruleset::chains);
        let needed = |name: &SetName| self.needs.is_some_and(|needs| needs.has(*name));
        let missing =
            SetName::ALL.iter().filter(|name| needed(name)).any(|name| !self.sets.contains(name.as_str()));
        let strange = self.sets.iter().any(|set| SetName::ALL.iter().all(|name| name.as_str() != set));
        let whole = chains.as_ref() == Some(&self.chains) && !missing && !strange && rules == self.rules;
        self.compare();
        let changed = self.commit(!whole)?;
        Ok(changed || !whole)
    }

    /// What of the rules is of use now.
    fn needs(&self) -> Needs {
        let holds = |set: SetName| {
            let any = |elements: &Elements| elements.get(&set).is_some_and(|found| !found.is_empty());
            // Before the sweep nobody knows what of an earlier run is of use.
            any(&self.wanted) || (!self.swept && any(&self.actual))
        };
        let end = |family| self.ends.values().copied().find(|end| Family::of(*end) == family);
        Needs::of(self.nat, Family::ALL.map(end), self.forged.foreign(), holds, &self.chains, !self.swept)
    }

    /// Is the set in the kernel, or to be there?
    fn keeps(&self, set: SetName, needs: Needs) -> bool {
        self.sets.contains(set.as_str()) || needs.has(set)
    }

    /// Marks every difference that may be mended now.
    fn compare(&mut self) {
        let none = BTreeSet::new();
        for set in SetName::ALL {
            let wanted = self.wanted.get(&set).unwrap_or(&none);
            let actual = self.actual.get(&set).unwrap_or(&none);
            self.pending.extend(wanted.difference(actual).map(|element| (set, element.clone())));
            if self.swept {
                self.pending.extend(actual.difference(wanted).map(|element| (set, element.clone())));
            }
        }
    }

    /// One transaction for all that is pending; with the rules too, if asked for. True if there was anything.
    fn commit(&mut self, with_rules: bool) -> Result<bool, Error> {
        let mut transaction = Transaction::new(Table::CAIRN);
        let needs = self.needs();
        let with_rules = with_rules || self.needs != Some(needs);
        if with_rules {
            // What a set that comes only now is to hold.
            self.compare();
            ruleset::write(&mut transaction, needs, &self.chains);
        }
        let (mut missing, mut strange) = (Elements::new(), Elements::new());
        for (set, element) in &self.pending {
            if (set.waits() && !self.swept) || !self.keeps(*set, needs) {
                continue;
            }
            let holds = |elements: &Elements| elements.get(set).is_some_and(|found| found.contains(element));
            match (holds(&self.wanted), holds(&self.actual)) {
                (true, false) => {
                    strange.entry(*set).or_default().extend(self.displaced(*set, element));
                    missing.entry(*set).or_default().insert(element.clone());
                }
                (false, true) => drop(strange.entry(*set).or_default().insert(element.clone())),
                _ => {}
            }
        }
        strange.retain(|_, elements| !elements.is_empty());
        for (set, elements) in &strange {
            transaction.delete_elements(set.as_str(), elements.iter().cloned());
        }
        for (set, elements) in &missing {
            transaction.add_elements(set.as_str(), elements.iter().cloned());
        }
        if transaction.is_empty() {
            self.pending.clear();
            return Ok(false);
        }
        transaction.commit(&mut self.socket)?;
        if with_rules {
            if needs.may_be_forged() && !self.needs.is_some_and(Needs::may_be_forged) {
                self.forged.outdated(Instant::now());
            }
            (self.needs, self.chains) = (Some(needs), ruleset::chains(needs));
            self.sets.extend(ruleset::sets(needs));
            self.rules = nftables::rules(&mut self.socket, Table::CAIRN)?;
        }
        self.pending.clear();
        for (set, elements) in strange {
            let actual = self.actual.entry(set).or_default();
            for element in &elements {
                actual.remove(element);
            }
        }
        for (set, elements) in missing {
            self.actual.entry(set).or_default().extend(elements);
        }
        Ok(true)
    }

    /// What is in the kernel under the element's key and nobody wants.
    fn displaced(&self, set: SetName, element: &Element) -> Vec<Element> {
        let Some(actual) = self.actual.get(&set).filter(|_| set.replaces()) else { return Vec::new() };
        let is_wanted = |other: &Element| self.wanted.get(&set).is_some_and(|wanted| wanted.contains(other));
        element.of_same_key(actual).filter(|other| !is_wanted(other)).cloned().collect()
    }

    fn read(&mut self) -> Result<(), Error> {
        self.chains = nftables::chains(&mut self.socket, Table::CAIRN)?.into_iter().collect();
        self.sets = nftables::sets(&mut self.socket, Table::CAIRN)?.into_iter().collect();
        for set in SetName::ALL {
            let elements = nftables::elements(&mut self.socket, Table::CAIRN, set.as_str())?;
            self.actual.insert(set, elements.into_iter().collect());
        }
        Ok(())
    }
}

/// What the kernel has, read for CHECK.
pub(crate) struct InKernel {
    socket: Socket,
    read: BTreeMap<SetName, BTreeSet<Element>>,
}

impl InKernel {
    /// Nothing is read yet.
    pub(crate) fn open() -> Result<Self, Error> {
        Ok(Self { socket: Socket::open(Protocol::Netfilter)?, read: BTreeMap::new() })
    }

    /// Is the element in force? Each set is read once.
    pub(crate) fn has(&mut self, element: &Wanted) -> Result<bool, Error> {
        if let Wanted::Source { interface, address } = element {
            return source_check::is_in_kernel(&mut self.socket, interface, *address);
        }
        let (set, members) = members(element);
        let actual = match self.read.entry(set) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let read = nftables::elements(&mut self.socket, Table::CAIRN, set.as_str())?;
                entry.insert(read.into_iter().collect())
            }
        };
        Ok(members.iter().all(|member| actual.contains(member)))
    }
}

/// The set of an element, and the members that it has there.
fn members(element: &Wanted) -> (SetName, Vec<Element>) {
    match element {
        Wanted::Source { interface, address } => {
            let member = Element::new(&[Value::Interface(interface), Value::Address(*address)]);
            (SetName::Sources(Family::of(*address)), vec![member])
        }
        Wanted::Pool(prefix) => (SetName::Pools(prefix.family()), Element::prefix(*prefix).collect()),
        Wanted::Masquerade(prefix) => {
            (SetName::Masquerade(prefix.family()), Element::prefix(*prefix).collect())
        }
        Wanted::Encrypted(prefix) => {
            (SetName::Encrypted(prefix.family()), Element::prefix(*prefix).collect())
        }
        Wanted::EgressMember { address, mark } => {
            let member = Element::with_value(&[Value::Address(*address)], Value::Mark(*mark));
            (SetName::EgressMembers(Family::of(*address)), vec![member])
        }
        Wanted::EgressDestination { mark, prefix } => {
            let member = Element::marked_prefix(*mark, *prefix);
            (SetName::EgressDestinations(prefix.family()), vec![member])
        }
        Wanted::EgressExcluded { mark, prefix } => {
            (SetName::EgressExcluded(prefix.family()), vec![Element::marked_prefix(*mark, *prefix)])
        }
        Wanted::EgressExempt(prefix) => {
            (SetName::EgressExempt(prefix.family()), Element::prefix(*prefix).collect())
        }
        Wanted::EgressAddress { mark, address } => {
            let member = Element::with_value(&[Value::Mark(*mark)], Value::Address(*address));
            (SetName::EgressAddresses(Family::of(*address)), vec![member])
        }
        Wanted::Node(address) => {
            (SetName::Nodes(Family::of(*address)), vec![Element::new(&[Value::Address(*address)])])
        }
        Wanted::TunnelPort(port) => (SetName::TunnelPorts, vec![Element::new(&[Value::Port(*port)])]),
        Wanted::TunnelProtocol(protocol) => {
            (SetName::TunnelProtocols, vec![Element::new(&[Value::Protocol(*protocol)])])
        }
        Wanted::HostPort { transport, family, host_ip, host_port, target } => {
            let (protocol, port) = (Value::Protocol(transport.number()), Value::Port(host_port.get()));
            let value = Value::Socket(*target);
            match host_ip {
                None => (SetName::HostPorts(*family), vec![Element::with_value(&[protocol, port], value)]),
                Some(address) => {
                    let key = [Value::Address(*address), protocol, port];
                    (SetName::HostPortsOfAddress(*family), vec![Element::with_value(&key, value)])
                }
            }
        }
        Wanted::Limit { interface, direction, rate } => {
            let member = Element::with_limit(&[Value::Interface(interface)], limits::bucket(*rate));
            (SetName::Limits(*direction), vec![member])
        }
    }
}
