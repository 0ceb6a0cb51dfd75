//! Egress gateways: which pods have which address outside, who has the address, and how packets get there.
//!
//! The node with the pod marks its packets and leads them to the node that has the address; there they are marked again, for that node knows
//! the pods of all others from their EgressMembers, and get the address. A mark stands for a gateway on one node alone: it is never on a wire.
//!
//! Invariants:
//! - an address is announced only by the node that its object names, and I3 holds because that is changed only while nobody announces it, or by
//!   that node itself ([`Claim`]);
//! - while no node has the address, or none that can be reached, packets are refused: they never leave with another source.
//!
//! Not here: the compare-and-swap, and for how long one waits for another (the shell's).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use cairn_api::Object;
use cairn_api::kinds::{EgressGateway, EgressMembers, IpPool};
use cairn_net::{Family, Prefix};

use crate::condition::{Condition, Reason};
use crate::firewall::{Element, outermost};
use crate::route::Gateway;
use crate::speaker::Member;
use crate::{Endpoint, Labels};

/// The bits of a packet's mark that are ours.
pub const EGRESS_MARKS: u32 = 0x0ff0_0000;
/// How many gateways there can be: each has a value of these bits, but 0 and that of encrypted packets (docs/adr/0032).
const MOST: usize = 254;
const ENCRYPTED: usize = 0xca;

/// A gateway's place on this node: which value its packets' marks have. Never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EgressSlot(u8);

impl EgressSlot {
    /// Its number.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// The mark of its packets.
    pub const fn mark(self) -> u32 {
        (self.0 as u32) << EGRESS_MARKS.trailing_zeros()
    }
}

/// Where packets of a gateway that another node has are led.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detour {
    /// To that node.
    Gateway(Gateway),
    /// Nowhere, and the sender is told.
    Refused,
}

/// What decides whether this node takes a gateway's addresses, or gives them back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claim {
    /// May this node have them?
    pub candidate: bool,
    /// Who has them.
    pub node: Option<String>,
    /// Does another node announce one of them?
    pub announced: bool,
    /// How many candidates besides the one that has them come before this node.
    pub rank: u32,
}

/// All that egress follows from.
pub(crate) struct Inputs<'a> {
    pub(crate) node: &'a str,
    pub(crate) gateways: &'a BTreeMap<String, Box<Object<EgressGateway>>>,
    pub(crate) members: &'a BTreeMap<String, Box<Object<EgressMembers>>>,
    pub(crate) nodes: &'a BTreeMap<String, Member>,
    pub(crate) pools: &'a BTreeMap<String, Box<Object<IpPool>>>,
    pub(crate) pods: &'a BTreeMap<String, Labels>,
    pub(crate) namespaces: &'a BTreeMap<String, Labels>,
    pub(crate) endpoints: &'a HashMap<String, Endpoint>,
    /// Is a node being emptied?
    pub(crate) drains: &'a dyn Fn(&str) -> bool,
    /// Could a node take addresses over?
    pub(crate) is_able: &'a dyn Fn(&str) -> bool,
    /// Is anything that the node announces learned? Only then is it certain that its daemons work.
    pub(crate) is_heard: &'a dyn Fn(&str) -> bool,
    /// Has this node been emptied for as long as it is to keep what it has?
    pub(crate) waited: bool,
    /// Does a pod of this node have the address?
    pub(crate) is_local: &'a dyn Fn(IpAddr) -> bool,
    /// Is the prefix learned from another?
    pub(crate) learned: &'a dyn Fn(Prefix) -> bool,
    /// The way to a node, or why there is none.
    pub(crate) way: &'a dyn Fn(&str, Family) -> Result<Gateway, String>,
}

/// What follows.
#[derive(Debug, Default)]
pub(crate) struct Derived {
    pub(crate) elements: BTreeSet<Element>,
    pub(crate) detours: BTreeMap<(Family, EgressSlot), Detour>,
    /// The addresses that this node has.
    pub(crate) held: BTreeSet<Prefix>,
    /// The addresses of all gateways.
    pub(crate) addresses: BTreeSet<Prefix>,
    /// This node's pods, by gateway.
    pub(crate) members: BTreeMap<String, BTreeSet<IpAddr>>,
    pub(crate) claims: BTreeMap<String, Claim>,
    pub(crate) conditions: Vec<Condition>,
}

/// A gateway that is in force.
struct Served<'a> {
    name: &'a str,
    slot: EgressSlot,
    spec: &'a EgressGateway,
    node: Option<&'a str>,
}

pub(crate) fn derive(inputs: &Inputs<'_>) -> Derived {
    let mut derived = Derived::default();
    let served = served(inputs, &mut derived.conditions);
    derived.members = select(inputs, &served, &mut derived.conditions);
    let mut marks: BTreeMap<IpAddr, u32> = BTreeMap::new();
    for gateway in &served {
        derived.addresses.extend(gateway.spec.egress_ips.iter().copied().map(Prefix::host));
        derived.claims.insert(gateway.name.to_owned(), claim(inputs, gateway));
        for family in Family::ALL {
            if let Some(address) = gateway.spec.address(family) {
                serve(inputs, gateway, family, address, &mut marks, &mut derived);
            }
        }
    }
    let members = marks.into_iter().map(|(address, mark)| Element::EgressMember { address, mark });
    derived.elements.extend(members);
    if !derived.elements.is_empty() {
        let pools = inputs.pools.values().map(|pool| pool.spec.cidr);
        let nodes = inputs.nodes.values().flat_map(Member::addresses).map(Prefix::host);
        let exempt = outermost(pools.chain(nodes));
        derived.elements.extend(exempt.into_iter().map(Element::EgressExempt));
    }
    // What is said of several families, or of several pods, is said once.
    derived.conditions.sort_unstable();
    derived.conditions.dedup();
    derived
}

/// What a gateway asks of this node for a family.
fn serve(
    inputs: &Inputs<'_>,
    gateway: &Served<'_>,
    family: Family,
    address: IpAddr,
    marks: &mut BTreeMap<IpAddr, u32>,
    derived: &mut Derived,
) {
    let mark = gateway.slot.mark();
    let of_family = |address: &&IpAddr| Family::of(**address) == family;
    let local: Vec<IpAddr> =
        derived.members.get(gateway.name).into_iter().flatten().filter(of_family).copied().collect();
    let is_here = gateway.node == Some(inputs.node);
    if local.is_empty() && !is_here {
        return;
    }
    for address in local {
        marks.insert(address, mark);
    }
    if is_here {
        // What a node that is gone has left says nothing, and this node knows its own pods best.
        let others = inputs
            .members
            .iter()
            .filter(|(node, _)| *node != inputs.node && inputs.nodes.contains_key(*node));
        let others = others.flat_map(|(_, object)| object.spec.of(gateway.name));
        for address in others.filter(of_family).filter(|address| !(inputs.is_local)(**address)) {
            marks.entry(*address).or_insert(mark);
        }
        derived.elements.insert(Element::EgressAddress { mark, address });
        derived.held.insert(Prefix::host(address));
    } else {
        let way = gateway.node.map(|node| (inputs.way)(node, family));
        if let Some(Err(why)) = &way {
            let node = gateway.node.unwrap_or_default();
            let message = format!(
                "packets of its pods do not get from this node to Node/{node}, and are refused: {why}"
            );
            derived.conditions.push(condition(gateway.name, Reason::NextHopUnreachable, message));
        }
        let detour = way.and_then(Result::ok).map_or(Detour::Refused, Detour::Gateway);
        derived.detours.insert((family, gateway.slot), detour);
    }
    let all =
        |prefixes: &[Prefix]| outermost(prefixes.iter().copied().filter(|prefix| prefix.family() == family));
    let destinations = match gateway.spec.destination_cidrs.as_slice() {
        [] => vec![everywhere(family)],
        said => all(said),
    };
    let excluded = all(&gateway.spec.excluded_cidrs);
    let destination = |prefix| Element::EgressDestination { mark, prefix };
    derived.elements.extend(destinations.into_iter().map(destination));
    derived.elements.extend(excluded.into_iter().map(|prefix| Element::EgressExcluded { mark, prefix }));
}

fn everywhere(family: Family) -> Prefix {
    let address = match family {
        Family::Ipv4 => IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
        Family::Ipv6 => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
    };
    Prefix::containing(address, 0).unwrap_or_else(|| Prefix::host(address))
}

/// The gateways that can be in force, each with its place: it follows from the name, so that most keep theirs when others come and go.
fn served<'a>(inputs: &Inputs<'a>, conditions: &mut Vec<Condition>) -> Vec<Served<'a>> {
    let mut owners: HashMap<IpAddr, &str> = HashMap::new();
    let mut taken = [false; MOST];
    let mut served = Vec::new();
    for (name, object) in inputs.gateways {
        if let Some((reason, message)) = objection(inputs, name, &object.spec, &mut owners) {
            conditions.push(condition(name, reason, message));
            continue;
        }
        let first = usize::try_from(hash(name) % MOST as u64).unwrap_or(0);
        let free = (0..MOST).map(|step| (first + step) % MOST).find(|place| !taken[*place]);
        let Some((place, number)) = free.and_then(|place| Some((place, number(place)?))) else {
            let message = format!("it is one of more than {MOST}: it is not in force");
            conditions.push(condition(name, Reason::Unsupported, message));
            continue;
        };
        taken[place] = true;
        let node = object.status.as_ref().and_then(|status| status.node.as_deref());
        served.push(Served { name, slot: EgressSlot(number), spec: &object.spec, node });
    }
    served
}

/// The value of a place, past the one that is somebody else's.
fn number(place: usize) -> Option<u8> {
    let number = place + 1;
    u8::try_from(if number < ENCRYPTED { number } else { number + 1 }).ok()
}

/// Why a gateway cannot be in force.
fn objection<'a>(
    inputs: &Inputs<'_>,
    name: &'a str,
    spec: &EgressGateway,
    owners: &mut HashMap<IpAddr, &'a str>,
) -> Option<(Reason, String)> {
    for address in &spec.egress_ips {
        let pool = inputs.pools.iter().find(|(_, pool)| pool.spec.cidr.contains(*address));
        if let Some((pool, _)) = pool {
            let message =
                format!("its address {address} is in the range of IPPool/{pool}: it is not in force");
            return Some((Reason::CidrOverlap, message));
        }
        if let Some((node, _)) =
            inputs.nodes.iter().find(|(_, node)| node.addresses().any(|own| own == *address))
        {
            let message = format!("its address {address} is that of Node/{node}: it is not in force");
            return Some((Reason::Ambiguous, message));
        }
        if let Some(other) = owners.get(address) {
            let message =
                format!("its address {address} is that of EgressGateway/{other}, too: it is not in force");
            return Some((Reason::Ambiguous, message));
        }
    }
    owners.extend(spec.egress_ips.iter().map(|address| (*address, name)));
    None
}

/// The addresses of this node's pods, by the gateway that selects them: of several the first by name.
fn select(
    inputs: &Inputs<'_>,
    served: &[Served<'_>],
    conditions: &mut Vec<Condition>,
) -> BTreeMap<String, BTreeSet<IpAddr>> {
    let nothing = Labels::new();
    let mut selected: BTreeMap<String, BTreeSet<IpAddr>> = BTreeMap::new();
    for endpoint in inputs.endpoints.values() {
        let namespace = endpoint.owner.split_once('/').map_or("", |(namespace, _)| namespace);
        let pod = inputs.pods.get(&endpoint.owner).unwrap_or(&nothing);
        let namespace = inputs.namespaces.get(namespace).unwrap_or(&nothing);
        let matches = |gateway: &&Served<'_>| {
            gateway.spec.pod_selector.matches(pod) && gateway.spec.namespace_selector.matches(namespace)
        };
        let mut matching = served.iter().filter(matches);
        let Some(first) = matching.next() else { continue };
        for other in matching {
            let message = format!(
                "it selects pod {}, as EgressGateway/{} does, whose address the pod has",
                endpoint.owner, first.name
            );
            conditions.push(condition(other.name, Reason::Ambiguous, message));
        }
        if !endpoint.enforceable {
            let message = format!(
                "it selects pod {}, whose packets do not pass its node: they keep their source",
                endpoint.owner
            );
            conditions.push(condition(first.name, Reason::Unsupported, message));
            continue;
        }
        let known = |address: &&IpAddr| first.spec.address(Family::of(**address)).is_some();
        let addresses = endpoint.addresses.iter().filter(known).copied();
        selected.entry(first.name.to_owned()).or_default().extend(addresses);
    }
    selected
}

/// A node that is being emptied is no candidate as long as another one could take the addresses: it takes none, and gives back what it has
/// once it has waited and somebody is heard who could take it. Where there is nobody else it goes on, for without it pods get nowhere.
fn claim(inputs: &Inputs<'_>, gateway: &Served<'_>) -> Claim {
    let selected = || {
        let fits = |(_, node): &(&String, &Member)| gateway.spec.node_selector.matches(&node.labels);
        inputs.nodes.iter().filter(fits).map(|(name, _)| name.as_str())
    };
    let someone = selected().any(|name| (inputs.is_able)(name));
    let candidates = || selected().filter(|name| !someone || !(inputs.drains)(name));
    let is_own = |name: &str| name == inputs.node;
    let successor = || selected().any(|name| (inputs.is_able)(name) && (inputs.is_heard)(name));
    let keeps = gateway.node.is_some_and(is_own) && selected().any(is_own) && !(inputs.waited && successor());
    let score = |node: &str| hash(&format!("{}/{node}", gateway.name));
    let own = score(inputs.node);
    let before = candidates().filter(|name| {
        *name != inputs.node && Some(*name) != gateway.node && (score(name), *name) > (own, inputs.node)
    });
    Claim {
        candidate: keeps || candidates().any(is_own),
        node: gateway.node.map(ToOwned::to_owned),
        announced: gateway.spec.egress_ips.iter().any(|address| (inputs.learned)(Prefix::host(*address))),
        rank: u32::try_from(before.count()).unwrap_or(u32::MAX),
    }
}

/// FNV-1a, and then the finaliser of splitmix64, so that names that differ in their last letter are far apart.
fn hash(text: &str) -> u64 {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

fn condition(name: &str, reason: Reason, message: String) -> Condition {
    Condition { subject: format!("EgressGateway/{name}"), reason, message }
}
