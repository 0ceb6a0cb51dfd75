//! The table `netdev cairn`: what pods may have as the source of what they send (I1, docs/adr/0052).
//!
//! Each pod's interface has a chain of its own where packets come in, before IP, conntrack and the fast path: whatever a forged packet is, it leaves no trace
//! but a count, and packets that no pod sends pass no chain for it. A chain sees frames of every protocol; what is neither IP from an address of the pod nor
//! what resolves neighbours goes no further.
//!
//! IPv6 cannot live from global addresses alone: an unassigned source (`::`) does duplicate address detection, a
//! link-local one resolves neighbours. From these a pod may send neighbour discovery and multicast listener reports
//! (RFC 4861, RFC 3810) and nothing else; link-local packets are not forwarded, so they reach no further than the node.
//!
//! An interface that has lost its pod, or that nobody has claimed for [`UNCLAIMED`], has a chain that drops everything until it goes.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_kernel::Error;
use cairn_kernel::netlink::Socket;
use cairn_kernel::nftables::{
    self, Chain, Expression, ListedRule, MetaKey, PayloadBase, Register, Rule, Table, Transaction, Verdict,
};
use cairn_kernel::object::{Change, Link};
use cairn_net::Family;
use nix::errno::Errno;
use tracing::debug;

use super::ruleset::{equal, octets, rule, source};
use crate::dataplane::host;

/// How long an interface is nobody's before it is taken for one that an ADD left behind.
const UNCLAIMED: Duration = Duration::from_secs(1);
/// Before all else at the ingress of a device.
const PRIORITY: i32 = -310;
const OWN_LINK: &str = "own-link";
/// Types of ICMPv6 that a pod may send from a link-local or unassigned source: router solicitation, neighbour
/// solicitation and advertisement, multicast listener report version 2.
const OWN_LINK_TYPES: [u8; 4] = [133, 135, 136, 143];
/// Next header of ICMPv6.
const ICMPV6: u8 = 58;
/// `ETH_P_ARP`.
const ARP: u16 = 0x0806;

type Addresses = BTreeSet<IpAddr>;
type Interface = Arc<str>;

/// The table, and what should be in it.
#[derive(Debug, Default)]
pub(super) struct SourceCheck {
    wanted: BTreeMap<Interface, Addresses>,
    /// The chains in the kernel, each with what its rules let pass as last written; `None`: nobody knows, an earlier run wrote them.
    actual: BTreeMap<Interface, Option<Addresses>>,
    /// Interfaces whose chain may differ.
    pending: BTreeSet<Interface>,
    /// Interfaces of pods that are there.
    present: BTreeSet<Interface>,
    /// Those of them that are nobody's yet, and until when that is usual.
    unclaimed: BTreeMap<Interface, Instant>,
    /// Interfaces that are gone, and may have left their chain behind: it stays since Linux 6.16.
    orphans: BTreeSet<Interface>,
    /// Is what does not belong to one interface in the kernel?
    is_there: bool,
    /// Is the picture complete?
    swept: bool,
}

impl SourceCheck {
    /// Adopts the chains that are there.
    pub(super) fn open(socket: &mut Socket) -> Result<Self, Error> {
        let mut check = Self::default();
        check.read(socket)?;
        Ok(check)
    }

    /// Packets from this interface may have this source, from the next [`Self::write`] on.
    pub(super) fn add(&mut self, interface: &Interface, address: IpAddr) {
        self.wanted.entry(Arc::clone(interface)).or_default().insert(address);
        self.unclaimed.remove(interface);
        self.pending.insert(Arc::clone(interface));
    }

    /// They may no longer. An interface without any is shut until it goes.
    pub(super) fn remove(&mut self, interface: &Interface, address: IpAddr) {
        if let Some(addresses) = self.wanted.get_mut(interface) {
            addresses.remove(&address);
            if addresses.is_empty() {
                self.wanted.remove(interface);
            }
        }
        self.pending.insert(Arc::clone(interface));
    }

    /// Do the rules in the kernel let this source pass?
    pub(super) fn has(&self, interface: &str, address: IpAddr) -> bool {
        self.actual.get(interface).and_then(Option::as_ref).is_some_and(|passed| passed.contains(&address))
    }

    /// How many interfaces have a chain.
    pub(super) fn len(&self) -> usize {
        self.actual.len()
    }

    /// The interface of a pod, or of none yet, came, changed or went.
    pub(super) fn link_changed(&mut self, change: &Change<Link>, now: Instant) {
        let link = change.object();
        if !host::is_workload(link) {
            return;
        }
        let name = link.name.as_str().into();
        match change {
            Change::Present(_) => self.came(name, now),
            Change::Gone(_) => self.went(name),
        }
    }

    /// Notifications were lost: these are the interfaces that there are.
    pub(super) fn links_are(&mut self, links: &[Link], now: Instant) {
        let pods = links.iter().filter(|link| host::is_workload(link));
        let pods: BTreeSet<Interface> = pods.map(|link| link.name.as_str().into()).collect();
        let gone: Vec<_> = self.present.difference(&pods).cloned().collect();
        gone.into_iter().for_each(|name| self.went(name));
        pods.into_iter().for_each(|name| self.came(name, now));
    }

    /// It may have been known.
    fn came(&mut self, name: Interface, now: Instant) {
        if !self.present.insert(Arc::clone(&name)) || self.actual.contains_key(&name) {
            return;
        }
        if self.wanted.contains_key(&name) {
            self.pending.insert(name);
        } else {
            self.unclaimed.insert(name, now + UNCLAIMED);
        }
    }

    fn went(&mut self, name: Interface) {
        self.present.remove(&name);
        self.unclaimed.remove(&name);
        self.pending.remove(&name);
        self.actual.remove(&name);
        // The next one of the name may be there before it is told that this one went.
        let set = if self.wanted.contains_key(&name) { &mut self.pending } else { &mut self.orphans };
        set.insert(name);
    }

    /// The picture is complete: interfaces without a pod are shut, and chains without an interface go.
    pub(super) fn sweep(&mut self, now: Instant) {
        self.swept = true;
        self.compare(now);
    }

    /// When [`Self::write`] should be called again, at the latest.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.unclaimed.values().min().copied().filter(|_| self.swept)
    }

    /// Brings the kernel up to date.
    pub(super) fn write(&mut self, socket: &mut Socket, now: Instant) -> Result<(), Error> {
        if self.swept {
            let late = self.unclaimed.extract_if(.., |_, until| *until <= now);
            self.pending.extend(late.map(|(name, _)| name));
        }
        let due = self.due();
        if !self.is_there || !due.is_empty() {
            if let Err(error) = self.commit(&due, socket) {
                debug!(%error, "the source check is written interface by interface");
                self.is_there = false;
                self.commit_one_by_one(&due, socket)?;
            }
            self.pending.clear();
        }
        self.bury(socket)
    }

    /// What of [`Self::pending`] has to be written. What is not wanted and has no interface is an orphan, if it is there at all.
    fn due(&mut self) -> Vec<Interface> {
        let (wanted, present) = (&self.wanted, &self.present);
        let orphans =
            self.pending.extract_if(.., |name| !wanted.contains_key(name) && !present.contains(name));
        for name in orphans {
            self.actual.remove(&name);
            self.orphans.insert(name);
        }
        let due: Vec<_> = self.pending.iter().filter(|name| self.differs(name)).cloned().collect();
        if due.is_empty() {
            self.pending.clear();
        }
        due
    }

    /// So that one that is refused holds up none of the others.
    fn commit_one_by_one(&mut self, due: &[Interface], socket: &mut Socket) -> Result<(), Error> {
        if due.is_empty() {
            return self.commit(due, socket);
        }
        let mut outcome = Ok(());
        for name in due {
            match self.commit(std::slice::from_ref(name), socket) {
                Ok(()) => {}
                // When it comes, or comes back, that is told; until then nothing comes from there.
                Err(error) if error.errno() == Some(Errno::ENOENT) => drop(self.actual.remove(name)),
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        outcome
    }

    /// Reads the table and puts back what is missing or changed. True if something was.
    pub(super) fn repair(&mut self, socket: &mut Socket, now: Instant) -> Result<bool, Error> {
        let listed = nftables::rules(socket, Table::CAIRN_INTERFACES)?;
        let found = by_chain(&listed);
        let known: Vec<_> = self.actual.iter().map(|(name, passed)| (name.clone(), passed.clone())).collect();
        self.read(socket)?;
        let is_whole = found.get(OWN_LINK).map(Vec::as_slice) == Some(&comments(&own_link_rules()));
        let mut changed = self.is_there && !is_whole;
        self.is_there &= is_whole;
        for (name, passed) in known {
            let passes = passed.as_ref().map(|passed| comments(&rules_of(&name, passed)));
            let is_same = found.get(&*name) == passes.as_ref();
            let Some(actual) = self.actual.get_mut(&name) else {
                changed |= self.wanted.contains_key(&name) && self.present.contains(&name);
                continue;
            };
            if is_same {
                *actual = passed;
            } else {
                changed |= passed.is_some();
            }
        }
        self.compare(now);
        self.write(socket, now)?;
        Ok(changed)
    }

    /// Marks every difference that may be mended now.
    fn compare(&mut self, now: Instant) {
        self.pending.extend(self.wanted.keys().cloned());
        if !self.swept {
            return;
        }
        let strange = self.actual.keys().filter(|name| !self.wanted.contains_key(*name));
        let (shut, orphans): (Vec<_>, Vec<_>) =
            strange.cloned().partition(|name| self.present.contains(name));
        self.pending.extend(shut);
        self.actual.retain(|name, _| !orphans.contains(name));
        self.orphans.extend(orphans);
        for name in &self.present {
            if !self.wanted.contains_key(name) && !self.actual.contains_key(name) {
                self.unclaimed.entry(Arc::clone(name)).or_insert(now);
            }
        }
    }

    /// Has its chain to be written?
    fn differs(&self, name: &Interface) -> bool {
        let none = Addresses::new();
        let wanted = self.wanted.get(name).unwrap_or(&none);
        self.actual.get(name).and_then(Option::as_ref) != Some(wanted)
    }

    fn commit(&mut self, due: &[Interface], socket: &mut Socket) -> Result<(), Error> {
        let mut transaction = Transaction::new(Table::CAIRN_INTERFACES);
        if !self.is_there {
            transaction.create_table().create_chain(&Chain::regular(OWN_LINK)).flush_chain(OWN_LINK);
            for rule in own_link_rules() {
                transaction.append_rule(&rule);
            }
        }
        let none = Addresses::new();
        for name in due {
            transaction.create_chain(&Chain::of_device(&**name, &**name, PRIORITY)).flush_chain(name);
            for rule in rules_of(name, self.wanted.get(name).unwrap_or(&none)) {
                transaction.append_rule(&rule);
            }
        }
        transaction.commit(socket)?;
        self.is_there = true;
        for name in due {
            let passed = self.wanted.get(name).cloned().unwrap_or_default();
            self.actual.insert(Arc::clone(name), Some(passed));
        }
        Ok(())
    }

    /// Deletes the chains that their interfaces have left behind, if they have.
    fn bury(&mut self, socket: &mut Socket) -> Result<(), Error> {
        if self.orphans.is_empty() {
            return Ok(());
        }
        let mut transaction = Transaction::new(Table::CAIRN_INTERFACES);
        for name in self.orphans.iter().filter(|name| !self.actual.contains_key(*name)) {
            transaction.destroy_chain(name);
        }
        match transaction.commit(socket) {
            Ok(()) => {}
            // There is no table, or the kernel does not know the message: one before 6.3, where no chain stays.
            Err(error) if error.is_not_found() || error.errno() == Some(Errno::EINVAL) => {}
            Err(error) => return Err(error),
        }
        self.orphans.clear();
        Ok(())
    }

    /// Reads which chains there are.
    fn read(&mut self, socket: &mut Socket) -> Result<(), Error> {
        let chains = nftables::chains(socket, Table::CAIRN_INTERFACES)?;
        self.is_there &= chains.iter().any(|name| name == OWN_LINK);
        let of_interfaces = chains.iter().filter(|name| *name != OWN_LINK);
        self.actual = of_interfaces.map(|name| (name.as_str().into(), None)).collect();
        Ok(())
    }
}

/// Does the kernel let this source of an interface pass?
pub(super) fn is_in_kernel(socket: &mut Socket, interface: &str, address: IpAddr) -> Result<bool, Error> {
    let rules = nftables::rules_of(socket, Table::CAIRN_INTERFACES, interface)?;
    Ok(rules.iter().any(|rule| rule.chain == interface && rule.comment == own_comment(address)))
}

/// The comments of each chain's rules, in their order.
fn by_chain(listed: &[ListedRule]) -> BTreeMap<&str, Vec<Cow<'_, str>>> {
    let mut chains = BTreeMap::<_, Vec<_>>::new();
    for rule in listed {
        chains.entry(rule.chain.as_str()).or_default().push(Cow::Borrowed(rule.comment.as_str()));
    }
    chains
}

fn comments(rules: &[Rule]) -> Vec<Cow<'static, str>> {
    rules.iter().map(|rule| rule.comment.clone()).collect()
}

fn own_comment(address: IpAddr) -> String {
    format!("{address} is the pod's")
}

/// What comes in by an interface whose pod has these addresses; it has none if it has no pod.
fn rules_of(interface: &str, addresses: &Addresses) -> Vec<Rule> {
    let own = |address: &IpAddr| {
        let family = Family::of(*address);
        let mut parts = of_protocol(ether_type(family)).to_vec();
        parts.extend([source(family, Register(0)), equal(Register(0), &octets(*address))]);
        parts.push(Expression::Verdict(Verdict::Accept));
        rule(interface, own_comment(*address), parts)
    };
    let mut rules: Vec<_> = addresses.iter().map(own).collect();
    if !addresses.is_empty() {
        let mut arp = of_protocol(ARP).to_vec();
        arp.push(Expression::Verdict(Verdict::Accept));
        rules.push(rule(interface, "resolves neighbours", arp));
        let mut ipv6 = of_protocol(ether_type(Family::Ipv6)).to_vec();
        ipv6.push(Expression::Verdict(Verdict::Goto(OWN_LINK.to_owned())));
        rules.push(rule(interface, "from a source of the link, at most", ipv6));
    }
    rules.push(rule(interface, "pods send from their own addresses", drop_counted()));
    rules
}

fn drop_counted() -> Vec<Expression> {
    vec![Expression::Counter, Expression::Verdict(Verdict::Drop)]
}

fn own_link_rules() -> Vec<Rule> {
    let mut rules = Vec::new();
    for kind in OWN_LINK_TYPES {
        rules.push(own_link_rule(kind, "link-local", 0xfe80, 0xffc0));
        rules.push(own_link_rule(kind, "unassigned", 0, 0xffff));
    }
    rules.push(rule(OWN_LINK, "nothing else from a source that is not the pod's", drop_counted()));
    rules
}

/// One type of ICMPv6 from a source whose first 16 bits, and for `::` all others too, are these.
fn own_link_rule(kind: u8, what: &'static str, first: u16, mask: u16) -> Rule {
    let len = if first == 0 { 16 } else { 2 };
    let mut parts = vec![
        Expression::Meta { key: MetaKey::TransportProtocol, into: Register(0) },
        equal(Register(0), &[ICMPV6]),
        Expression::Payload { base: PayloadBase::Network, offset: 8, len, into: Register(0) },
    ];
    if first == 0 {
        parts.push(equal(Register(0), &[0; 16]));
    } else {
        parts.push(Expression::Bitwise {
            register: Register(0),
            mask: mask.to_be_bytes().to_vec(),
            xor: vec![0; 2],
        });
        parts.push(equal(Register(0), &first.to_be_bytes()));
    }
    parts.push(Expression::Payload { base: PayloadBase::Transport, offset: 0, len: 1, into: Register(0) });
    parts.extend([equal(Register(0), &[kind]), Expression::Verdict(Verdict::Accept)]);
    rule(OWN_LINK, what, parts)
}

/// Frames of a protocol, as the link has it.
fn of_protocol(ether_type: u16) -> [Expression; 2] {
    let load = Expression::Meta { key: MetaKey::LinkProtocol, into: Register(0) };
    [load, equal(Register(0), &ether_type.to_be_bytes())]
}

/// `ETH_P_IP`, `ETH_P_IPV6`.
const fn ether_type(family: Family) -> u16 {
    match family {
        Family::Ipv4 => 0x0800,
        Family::Ipv6 => 0x86dd,
    }
}
