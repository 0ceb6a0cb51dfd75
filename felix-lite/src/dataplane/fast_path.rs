//! The fast path of pods' connections: an nftables flowtable, where the node's configuration asks for one.
//!
//! The kernel forwards packets of an established connection where they come in, past routing lookup, connection tracking and all chains. Its table is apart
//! from the firewall's, so that a kernel without flowtables, or a device that it refuses, takes nothing away from that.
//!
//! The source check (I1) holds: a connection is handed over in the forward hook, which no packet of a pod reaches unchecked, and what is forwarded early
//! has the very addresses, ports and incoming interface of packets that passed. Whatever else an interface sends takes the ordinary way.
//! An interface that loses a source leaves the flowtable before the source leaves the firewall, so that all its packets are checked again.
//! Connections of pods with a limit are never handed over, for the chains that count their packets would not see them.
//!
//! Not here: what ends a connection there otherwise, which is the kernel's: an interface that goes down, any change of the routes that it uses, FIN and RST,
//! or 30 seconds without a packet.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_kernel::Error;
use cairn_kernel::netlink::{Protocol, Socket};
use cairn_kernel::nftables::{
    self, Chain, ChainType, Comparison, ConntrackKey, DataType, Element, Expression, Flowtable, Hook,
    MetaKey, Register, Rule, Set, Table, Transaction, Value, Verdict, ct_state,
};
use cairn_kernel::object::{Change, IfIndex, Link};
use cairn_net::{Direction, Rate};
use felix_api::WORKLOAD;
use felix_core::TunnelKind;
use nix::errno::Errno;
use tracing::{info, warn};

use super::host;

/// When what failed is tried again.
const RETRY: Duration = Duration::from_secs(30);
/// Changes by others are put right after so long.
const SETTLE: Duration = Duration::from_millis(800);

const FLOWTABLE: Flowtable = Flowtable { name: "established", priority: 0 };
const CHAIN: &str = "hand-over";
/// The set of interfaces whose connections are not handed over.
const LIMITED: &str = "limited";
/// After all filters of the forward hook.
const PRIORITY: i32 = 10;
/// Protocol numbers of TCP and UDP: the kernel hands over no others.
const PROTOCOLS: [u8; 2] = [6, 17];

/// The flowtable, and who is in it.
#[derive(Debug)]
pub(super) struct FastPath {
    socket: Socket,
    /// `None`: nobody has said yet, and what an earlier run left stays.
    wanted: Option<bool>,
    is_there: bool,
    /// It is as an earlier version made it, and is to be made anew.
    is_old: bool,
    /// The sources of pods, by their interface.
    pods: BTreeMap<Arc<str>, BTreeSet<IpAddr>>,
    /// Interfaces that lost a source and have others: connections of the lost one may be in the flowtable still.
    shut: BTreeSet<Arc<str>>,
    /// The node's own interfaces.
    others: BTreeSet<String>,
    tunnels: BTreeMap<TunnelKind, IfIndex>,
    joined: BTreeSet<String>,
    joining: BTreeSet<String>,
    leaving: BTreeSet<String>,
    /// Interfaces whose pods have a limit, and which.
    limits: BTreeMap<Arc<str>, BTreeSet<(Direction, Rate)>>,
    /// The elements of [`LIMITED`], as last read or written.
    exempted: BTreeSet<Element>,
    /// Is the picture complete?
    swept: bool,
    fault: Option<String>,
    due: Option<Instant>,
}

impl FastPath {
    /// Its own table: `inet cairn-fastpath`.
    pub(super) const TABLE: Table = Table::CAIRN_FAST_PATH;

    /// Adopts what is there.
    pub(super) fn open() -> Result<Self, Error> {
        let mut socket = Socket::open(Protocol::Netfilter)?;
        let is_there = nftables::exists(&mut socket, Self::TABLE)?;
        let joined = if is_there {
            nftables::flowtable_devices(&mut socket, Self::TABLE, FLOWTABLE.name)?
        } else {
            None
        };
        let exempted = nftables::elements(&mut socket, Self::TABLE, LIMITED)?.into_iter().collect();
        let is_old = is_there && !nftables::sets(&mut socket, Self::TABLE)?.iter().any(|set| set == LIMITED);
        Ok(Self {
            socket,
            wanted: None,
            is_there,
            is_old,
            pods: BTreeMap::new(),
            shut: BTreeSet::new(),
            others: BTreeSet::new(),
            tunnels: BTreeMap::new(),
            joined: joined.into_iter().flatten().collect(),
            joining: BTreeSet::new(),
            leaving: BTreeSet::new(),
            limits: BTreeMap::new(),
            exempted,
            swept: false,
            fault: None,
            due: None,
        })
    }

    /// The socket through which all of this is written, so that a monitor can leave it out.
    pub(super) const fn socket(&self) -> &Socket {
        &self.socket
    }

    /// There should be one, or none.
    pub(super) fn want(&mut self, wanted: bool) {
        if self.wanted != Some(wanted) {
            self.wanted = Some(wanted);
            self.due = Some(Instant::now());
        }
    }

    /// Packets from this interface may have this source.
    pub(super) fn add_source(&mut self, interface: &Arc<str>, address: IpAddr) {
        self.pods.entry(Arc::clone(interface)).or_default().insert(address);
        if !self.shut.contains(interface) {
            self.joining.insert(interface.to_string());
        }
    }

    /// They may no longer: see [`Self::leave`].
    pub(super) fn remove_source(&mut self, interface: &Arc<str>, address: IpAddr) {
        self.joining.remove(&**interface);
        self.leaving.insert(interface.to_string());
        let Some(sources) = self.pods.get_mut(interface) else { return };
        sources.remove(&address);
        if sources.is_empty() {
            self.pods.remove(interface);
            self.shut.remove(interface);
        } else {
            self.shut.insert(Arc::clone(interface));
        }
    }

    /// The interface's pod has a limit, or no longer: see [`Self::exempt`].
    pub(super) fn limit(&mut self, interface: &Arc<str>, limit: (Direction, Rate), has: bool) {
        let limits = self.limits.entry(Arc::clone(interface)).or_default();
        if has {
            limits.insert(limit);
        } else {
            limits.remove(&limit);
        }
        if limits.is_empty() {
            self.limits.remove(interface);
        }
    }

    /// An interface came, changed or went.
    pub(super) fn link_changed(&mut self, change: &Change<Link>) {
        let link = change.object();
        match change {
            Change::Gone(_) => {
                // It left by itself.
                for set in [&mut self.joined, &mut self.joining, &mut self.leaving, &mut self.others] {
                    set.remove(&link.name);
                }
            }
            Change::Present(_) if host::is_workload(link) => {
                if self.is_fit(&link.name) && !self.joined.contains(&link.name) {
                    self.joining.insert(link.name.clone());
                }
            }
            // A port of a bridge forwards what is not for this node, too.
            Change::Present(_) if link.flags.loopback || link.master.is_some() => {}
            Change::Present(_) if TunnelKind::is_device(&link.name) => {}
            Change::Present(_) => {
                if self.others.insert(link.name.clone()) {
                    self.joining.insert(link.name.clone());
                }
            }
        }
    }

    /// These tunnels are there. Nobody tells of those that are made or deleted by this program.
    pub(super) fn set_tunnels(&mut self, tunnels: BTreeMap<TunnelKind, IfIndex>) {
        if self.tunnels == tunnels {
            return;
        }
        for kind in TunnelKind::ALL {
            let now = tunnels.get(&kind);
            if self.tunnels.get(&kind) == now {
                continue;
            }
            // Another device of the name: the old one left by itself.
            self.joined.remove(kind.device());
            if now.is_some() {
                self.joining.insert(kind.device().to_owned());
            }
        }
        self.tunnels = tunnels;
    }

    /// The picture is complete: who is in it and no pod's is taken out.
    pub(super) fn sweep(&mut self) {
        let strange = self.joined.iter().filter(|name| !self.is_fit(name));
        self.leaving.extend(strange.cloned().collect::<Vec<_>>());
        self.swept = true;
    }

    /// Somebody else changed the table.
    pub(super) fn table_changed(&mut self) {
        if self.wanted == Some(true) {
            self.is_there = false;
            self.exempted.clear();
            self.due = Some(Instant::now() + SETTLE);
        }
    }

    /// What is wrong.
    pub(super) const fn fault(&self) -> Option<&String> {
        self.fault.as_ref()
    }

    /// When [`Self::write`] should be called again, at the latest.
    pub(super) const fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    fn is_fit(&self, name: &str) -> bool {
        let tunnel = || self.tunnels.keys().any(|kind| kind.device() == name);
        self.others.contains(name) || tunnel() || (self.pods.contains_key(name) && !self.shut.contains(name))
    }

    /// Takes out the interfaces that lost a source. Before the firewall is written.
    pub(super) fn leave(&mut self) {
        let leaving = std::mem::take(&mut self.leaving);
        for name in leaving.intersection(&self.joined.clone()) {
            let mut transaction = Transaction::new(Self::TABLE);
            transaction.delete_flowtable_devices(&FLOWTABLE, &[name]);
            match transaction.commit(&mut self.socket) {
                Ok(()) => {}
                // Gone along with the interface, or with the table.
                Err(error) if error.errno() == Some(Errno::ENOENT) => {}
                Err(error) => {
                    // Rather without it than past the source check.
                    warn!(%error, "the fast path is taken away, and made again");
                    self.remove();
                    self.due = Some(Instant::now() + RETRY);
                    return;
                }
            }
            self.joined.remove(name);
        }
    }

    /// Leaves out the interfaces whose pods have a limit. Before the firewall is written.
    pub(super) fn exempt(&mut self) {
        // What is in the kernel may hand over what it does not know of: it is made anew before the limit is in force.
        let uncertain = self.is_old || (!self.is_there && self.wanted == Some(true));
        if uncertain && self.fault.is_none() && !self.limited().is_subset(&self.exempted) {
            self.make(Instant::now());
        }
        if !self.is_there || self.is_old {
            return;
        }
        let wanted = self.limited();
        let missing: Vec<_> = wanted.difference(&self.exempted).cloned().collect();
        let strange: Vec<_> = self.exempted.difference(&wanted).filter(|_| self.swept).cloned().collect();
        let mut transaction = Transaction::new(Self::TABLE);
        transaction.delete_elements(LIMITED, strange.iter().cloned());
        transaction.add_elements(LIMITED, missing.iter().cloned());
        if let Err(error) = transaction.commit(&mut self.socket) {
            // Rather without it than past the limits.
            warn!(%error, "the fast path is taken away, and made again");
            self.remove();
            self.due = Some(Instant::now() + SETTLE);
            return;
        }
        self.exempted.retain(|element| !strange.contains(element));
        self.exempted.extend(missing);
    }

    fn limited(&self) -> BTreeSet<Element> {
        self.limits.keys().map(|interface| Element::new(&[Value::Interface(interface)])).collect()
    }

    /// Makes it, and takes in the interfaces that are to be in it. After all else: nobody waits for it.
    pub(super) fn write(&mut self, now: Instant) {
        if self.due.is_some_and(|due| due <= now) {
            self.due = None;
            match self.wanted {
                Some(true) if !self.is_there || self.is_old => self.make(now),
                Some(false) if self.is_there => self.remove(),
                // What could not be made is not missed any more.
                Some(false) => self.fault = None,
                _ => {}
            }
        }
        if self.wanted != Some(true) || !self.is_there {
            return;
        }
        for name in std::mem::take(&mut self.joining) {
            if !self.joined.contains(&name) {
                self.join(name);
            }
        }
    }

    fn make(&mut self, now: Instant) {
        let mut transaction = Transaction::new(Self::TABLE);
        transaction
            .create_table()
            .create_flowtable(&FLOWTABLE, &[])
            .create_chain(&Chain::at(CHAIN, ChainType::Filter, Hook::Forward, PRIORITY))
            .create_set(&Set::hash(LIMITED, &[DataType::Interface]))
            .flush_chain(CHAIN)
            .add_elements(LIMITED, self.limited());
        for rule in rules() {
            transaction.append_rule(&rule);
        }
        match transaction.commit(&mut self.socket) {
            Ok(()) => {
                info!("established connections of pods take the fast path");
                (self.is_there, self.is_old, self.fault) = (true, false, None);
                self.exempted.extend(self.limited());
                self.joined.clear();
                let pods = self.pods.keys().filter(|name| !self.shut.contains(*name));
                self.joining.extend(pods.map(ToString::to_string));
                self.joining.extend(self.others.iter().cloned());
                self.joining.extend(self.tunnels.keys().map(ToString::to_string));
            }
            Err(error) => {
                let fault = explain(&error);
                if self.fault.as_ref() != Some(&fault) {
                    warn!(fault, "no fast path: packets take the ordinary way");
                }
                self.fault = Some(fault);
                self.due = Some(now + RETRY);
            }
        }
    }

    fn join(&mut self, name: String) {
        let mut transaction = Transaction::new(Self::TABLE);
        transaction.create_flowtable(&FLOWTABLE, &[&name]);
        match transaction.commit(&mut self.socket) {
            Ok(()) => drop(self.joined.insert(name)),
            // It is not there yet, or no longer; when it comes, that is told.
            Err(error) if error.errno() == Some(Errno::ENOENT) => {}
            Err(error) => {
                warn!(interface = name, %error, "not in the fast path: its packets take the ordinary way");
            }
        }
    }

    /// Takes all of it away. Connections go on in the ordinary way.
    fn remove(&mut self) {
        let mut transaction = Transaction::new(Self::TABLE);
        transaction.create_table().delete_table();
        match transaction.commit(&mut self.socket) {
            Ok(()) => {
                info!("the fast path is gone");
                (self.is_there, self.is_old, self.fault) = (false, false, None);
                self.joined.clear();
                self.exempted.clear();
            }
            Err(error) => {
                self.fault = Some(format!("the fast path stays: {error}"));
                self.due = Some(Instant::now() + RETRY);
            }
        }
    }
}

/// What comes from a pod or goes to one is handed over once packets in both directions were seen.
fn rules() -> Vec<Rule> {
    let of_pod = [MetaKey::InputInterface, MetaKey::OutputInterface];
    let rules = of_pod.into_iter().flat_map(|end| PROTOCOLS.map(|protocol| rule(end, protocol)));
    of_pod.into_iter().map(limited_rule).chain(rules).collect()
}

/// Packets of pods with a limit go no further in this chain, and take the ordinary way.
fn limited_rule(end: MetaKey) -> Rule {
    let register = Register(0);
    let expressions = vec![
        Expression::Meta { key: end, into: register },
        Expression::Lookup { set: LIMITED.to_owned(), key: register, inverted: false },
        Expression::Verdict(Verdict::Accept),
    ];
    Rule {
        chain: CHAIN.to_owned(),
        expressions,
        comment: "pods with a limit are counted packet by packet".into(),
    }
}

fn rule(end: MetaKey, protocol: u8) -> Rule {
    let register = Register(0);
    let equal =
        |value: &[u8]| Expression::Compare { register, operator: Comparison::Equal, value: value.to_vec() };
    let expressions = vec![
        Expression::Meta { key: end, into: register },
        equal(WORKLOAD.as_bytes()),
        Expression::Meta { key: MetaKey::TransportProtocol, into: register },
        equal(&[protocol]),
        Expression::Conntrack { key: ConntrackKey::State, into: register },
        equal(&ct_state::ESTABLISHED.to_ne_bytes()),
        Expression::FlowOffload { flowtable: FLOWTABLE.name },
    ];
    Rule { chain: CHAIN.to_owned(), expressions, comment: "established connections of pods".into() }
}

/// What the kernel says, in terms of what an operator can do about it.
fn explain(error: &Error) -> String {
    match error.errno() {
        Some(Errno::EOPNOTSUPP | Errno::ENOENT | Errno::EINVAL) => format!(
            "flowtable: the kernel has none (CONFIG_NF_FLOW_TABLE_INET, CONFIG_NFT_FLOW_OFFLOAD; modules nf_flow_table_inet, nft_flow_offload): \
             packets take the ordinary way: {error}"
        ),
        _ => format!("flowtable: packets take the ordinary way: {error}"),
    }
}
