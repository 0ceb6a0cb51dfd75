//! Interfaces, routes, nexthop objects, rules and tables of nf_tables.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cairn_kernel::netlink::{Protocol, Socket};
use cairn_kernel::nftables::{self, Table, Transaction};
use cairn_kernel::object::{
    Address, IfIndex, Kind, Link, LinkChange, Nexthop, NexthopId, Object as _, PROTOCOL, Route, RouteKey,
    RouteKind, RouteTarget, Rule, RuleAction, protocol_name,
};
use cairn_kernel::{Error, Rtnl};
use cairn_net::Family;

use super::product::Product;
use super::{Leftover, What, processes};

/// The device that the kernel makes by itself with the first IP-in-IP tunnel, and that nobody can delete.
const OWN_TUNNEL: &str = "tunl0";
/// `RTPROT_BIRD`, and what Felix writes (`deviceRouteProtocol`).
const BIRD: u8 = 12;
const FELIX: u8 = 80;
/// Priority of Calico's rule for WireGuard, and the tables that it may use (`wireguardRoutingRulePriority`, `routeTableRanges`).
const WIREGUARD_PRIORITY: u32 = 99;
const TABLES: std::ops::RangeInclusive<u32> = 1..=250;

/// Something in the kernel.
#[derive(Debug)]
pub(super) enum Object {
    Table(Table),
    Rule(Rule),
    Route(RouteKey),
    Nexthop(NexthopId),
    Link(IfIndex),
    /// Cannot go: loses its addresses and is switched off.
    Device(IfIndex, Vec<Address>),
}

/// The sockets.
pub(super) struct Kernel {
    rtnl: Rtnl,
    netfilter: Socket,
}

impl Kernel {
    pub(super) fn open() -> Result<Self, Error> {
        Ok(Self { rtnl: Rtnl::open()?, netfilter: Socket::open(Protocol::Netfilter)? })
    }

    /// All that is there, in the order of removal.
    pub(super) fn find(&mut self) -> Result<Vec<Leftover>, Error> {
        let mut found = self.tables()?;
        let links: BTreeMap<IfIndex, Link> =
            self.rtnl.list::<Link>(None)?.into_iter().map(|link| (link.index, link)).collect();
        for family in Family::ALL {
            let rules = self.rtnl.list::<Rule>(Some(family))?.into_iter();
            found.extend(rules.filter_map(|rule| {
                let product = of_rule(&rule)?;
                let name = format!("{family}, priority {}", rule.priority);
                Some(Leftover { product, kind: "rule", name, what: What::Kernel(Object::Rule(rule)) })
            }));
        }
        // Another BIRD than Calico's has routes of the same protocol.
        let bird = processes(Path::new("/proc")).into_iter().find(|(_, name)| name == "bird");
        let (mut left, mut over) = (0, BTreeSet::new());
        for family in Family::ALL {
            for route in self.rtnl.list::<Route>(Some(family))? {
                let Some(product) = of_route(&route, &links) else { continue };
                if route.protocol == BIRD && bird.is_some() {
                    left += 1;
                    continue;
                }
                if let (FELIX | BIRD, RouteTarget::Hop(hop)) = (route.protocol, &route.target) {
                    over.extend(hop.dev);
                }
                let name = format!("{} proto {}", route.prefix, protocol_name(route.protocol));
                let what = What::Kernel(Object::Route(route.key()));
                found.push(Leftover { product, kind: kind_of(&route), name, what });
            }
        }
        if let Some((pid, name)) = bird.filter(|_| left > 0) {
            eprintln!(
                "cairnctl: {left} routes of protocol bird are left alone, for {name} (process {pid}) runs"
            );
        }
        let nexthops = self.rtnl.list::<Nexthop>(None)?.into_iter().filter(|nexthop| nexthop.id.is_ours());
        found.extend(nexthops.map(|nexthop| Leftover {
            product: Product::Cairn,
            kind: "nexthop",
            name: nexthop.id.to_string(),
            what: What::Kernel(Object::Nexthop(nexthop.id)),
        }));
        for link in links.values() {
            let there = of_link(link, &links).map(|product| Leftover {
                product,
                kind: "interface",
                name: link.name.clone(),
                what: What::Kernel(Object::Link(link.index)),
            });
            found.extend(there.map_or_else(|| self.own_tunnel(link, &over), |there| Ok(Some(there)))?);
        }
        Ok(found)
    }

    fn tables(&mut self) -> Result<Vec<Leftover>, Error> {
        let mut found = Vec::new();
        for product in Product::ALL {
            for table in product.tables() {
                if nftables::exists(&mut self.netfilter, *table)? {
                    let what = What::Kernel(Object::Table(*table));
                    found.push(Leftover { product, kind: "nftables table", name: table.to_string(), what });
                }
            }
        }
        Ok(found)
    }

    /// The device of IP-in-IP that cannot go. It may serve others, too (LVS has addresses on it), so it is Calico's only where Calico's routes lead over it.
    fn own_tunnel(&mut self, link: &Link, over: &BTreeSet<IfIndex>) -> Result<Option<Leftover>, Error> {
        if link.name != OWN_TUNNEL || !link.flags.up || !over.contains(&link.index) {
            return Ok(None);
        }
        let mut addresses = self.rtnl.list::<Address>(Some(Family::Ipv4))?;
        addresses.retain(|address| address.link == link.index);
        let texts: Vec<String> = addresses.iter().map(|address| address.addr.to_string()).collect();
        let name = format!("{}, with {}", link.name, texts.join(", "));
        let what = What::Kernel(Object::Device(link.index, addresses));
        Ok(Some(Leftover { product: Product::Calico, kind: "interface, to be switched off", name, what }))
    }

    /// Removes it; what is gone by now is no error.
    pub(super) fn remove(&mut self, object: &Object) -> Result<(), Error> {
        match object {
            Object::Table(table) => {
                let mut transaction = Transaction::new(*table);
                transaction.delete_table();
                transaction.commit(&mut self.netfilter)
            }
            Object::Rule(rule) => self.rtnl.delete::<Rule>(rule).map(drop),
            Object::Route(key) => self.rtnl.delete::<Route>(key).map(drop),
            Object::Nexthop(id) => self.rtnl.delete::<Nexthop>(id).map(drop),
            Object::Link(index) => self.rtnl.delete_link(*index).map(drop),
            Object::Device(index, addresses) => {
                for address in addresses {
                    self.rtnl.delete::<Address>(&address.key())?;
                }
                let down = LinkChange { up: Some(false), ..LinkChange::default() };
                self.rtnl.change_link(*index, &down).map(drop)
            }
        }
    }
}

/// The bridge that flannel's plugin makes, and not it alone: it is flannel's where flannel has something else.
const BRIDGE: &str = "cni0";

fn of_link(link: &Link, links: &BTreeMap<IfIndex, Link>) -> Option<Product> {
    let of_bridge = |link: &Link| {
        let flannel = |link: &Link| Product::of_link(link) == Some(Product::Flannel);
        (link.name == BRIDGE && links.values().any(flannel)).then_some(Product::Flannel)
    };
    // What is plugged into a product's bridge goes with it.
    let bridge = || link.master.filter(|_| link.kind == Kind::Veth).and_then(|master| links.get(&master));
    Product::of_link(link).or_else(|| of_bridge(link)).or_else(|| of_bridge(bridge()?))
}

fn of_rule(rule: &Rule) -> Option<Product> {
    let lookup = matches!(rule.action, RuleAction::Lookup(table) if TABLES.contains(&table.0));
    if rule.protocol == PROTOCOL {
        return Some(Product::Cairn);
    }
    (rule.priority == WIREGUARD_PRIORITY && rule.mark.is_some() && lookup).then_some(Product::Calico)
}

/// Whose route it is: by who wrote it, and by the interface where BIRD did, whose routes may be anybody's.
fn of_route(route: &Route, links: &BTreeMap<IfIndex, Link>) -> Option<Product> {
    match route.protocol {
        PROTOCOL => Some(Product::Cairn),
        FELIX | BIRD => Some(Product::Calico),
        _ => {
            // Routes that the kernel makes for an address go with the interface.
            let RouteTarget::Hop(hop) = &route.target else { return None };
            let link = links.get(&hop.dev?).filter(|_| route.kind == RouteKind::Unicast)?;
            of_link(link, links).filter(|_| route.protocol != 2)
        }
    }
}

const fn kind_of(route: &Route) -> &'static str {
    match route.kind {
        RouteKind::Blackhole => "blackhole route",
        _ => "route",
    }
}
