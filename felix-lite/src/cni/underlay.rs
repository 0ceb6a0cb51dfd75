//! Which network a container is attached to: the node's routes, or the network that the node is in, as the pools of its addresses say.

use std::net::IpAddr;

use cairn_api::kinds::UnderlayKind;
use cairn_datastore::Datastore;
use cairn_ipam::Assigned;
use cairn_net::{Family, Mac};
use felix_api::{Add, Code, Network, Refusal};
use felix_core::PoolAttachment;
use serde::{Deserialize, Serialize};

use super::server::Server;

/// The network of an interface of the node, as a container has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Underlay {
    /// How the interface is shared.
    pub(crate) kind: UnderlayKind,
    /// The interface's number.
    pub(crate) index: u32,
    /// Its name.
    pub(crate) interface: String,
    /// For each address of the container.
    pub(crate) networks: Vec<Network>,
    /// The node's addresses: these are reached through the pair.
    pub(crate) node: Vec<IpAddr>,
}

/// What follows for an attachment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) underlay: Underlay,
    /// Of the container's interface.
    pub(super) mac: Option<Mac>,
    pub(super) mtu: u32,
}

impl<D: Datastore + Send + Sync + 'static> Server<D> {
    /// The underlay that addresses are of, in the order of these; `None`: the node routes them.
    pub(super) fn choose(&self, add: &Add, assigned: &[Assigned]) -> Result<Option<Chosen>, Refusal> {
        let mut pools = Vec::with_capacity(assigned.len());
        for Assigned { pool, address, .. } in assigned {
            pools.push((pool.as_str(), Family::of(*address), self.attachment_of(pool)?));
        }
        let mut chosen = combine(&pools)?;
        if let Some(chosen) = &mut chosen {
            fit(chosen, add)?;
            self.check_mode(&chosen.underlay)?;
        }
        Ok(chosen)
    }

    /// How pods of a pool are attached: as the engine derived it, where it is not by routes anyway.
    fn attachment_of(&self, pool: &str) -> Result<Option<felix_core::Underlay>, Refusal> {
        match self.attachments.borrow().get(pool) {
            Some(PoolAttachment::Underlay(underlay)) => return Ok(Some(underlay.clone())),
            Some(PoolAttachment::Routed) => return Ok(None),
            Some(PoolAttachment::Unavailable(why)) => {
                return Err(Refusal::new(Code::NOT_AVAILABLE, format!("pool {pool}: {why}")));
            }
            None => {}
        }
        let asked = self.ipam.pool(pool).is_some_and(|spec| spec.attachment.underlay().is_some());
        if asked {
            let msg = format!("pool {pool}: what the node offers for its attachment is not known yet");
            return Err(Refusal::new(Code::TRY_AGAIN, msg));
        }
        Ok(None)
    }

    /// All ipvlan interfaces on one have one mode: the kernel would change that of pods which are there.
    fn check_mode(&self, wanted: &Underlay) -> Result<(), Refusal> {
        let others = self.journal.all();
        let other = others.iter().find_map(|record| {
            let underlay = record.underlay.as_ref()?;
            (underlay.index == wanted.index && underlay.kind != wanted.kind)
                .then(|| (record.owner(), underlay.kind))
        });
        let Some((owner, kind)) = other else { return Ok(()) };
        let msg = format!("{} cannot carry a pod by {}", wanted.interface, wanted.kind);
        let why = format!("{owner} is on it by {kind}, and an interface carries one kind of attachment");
        Err(Refusal::new(Code::NOT_AVAILABLE, msg).because(why))
    }
}

/// One interface has addresses of pools that are attached alike.
fn combine(pools: &[(&str, Family, Option<felix_core::Underlay>)]) -> Result<Option<Chosen>, Refusal> {
    let Some((name, _, first)) = pools.first() else { return Ok(None) };
    let place =
        |underlay: &Option<felix_core::Underlay>| underlay.as_ref().map(|found| (found.kind, found.index));
    if let Some((other, ..)) = pools.iter().find(|(_, _, underlay)| place(underlay) != place(first)) {
        let msg =
            format!("pools {name} and {other} attach pods differently, and this one has addresses of both");
        let why = "name pools with one attachment, or pools of one family and addresses of that alone";
        return Err(Refusal::new(Code::INVALID_CONFIG, msg).because(why));
    }
    let Some(one) = first else { return Ok(None) };
    let all = pools.iter().filter_map(|(_, family, underlay)| Some((*family, underlay.as_ref()?)));
    let underlay = Underlay {
        kind: one.kind,
        index: one.index,
        interface: one.interface.clone(),
        networks: all.clone().map(|(family, underlay)| network(family, underlay)).collect(),
        node: all.flat_map(|(_, underlay)| underlay.node.iter().copied()).collect(),
    };
    Ok(Some(Chosen { underlay, mac: one.mac, mtu: one.mtu }))
}

fn network(family: Family, underlay: &felix_core::Underlay) -> Network {
    match underlay.subnet {
        Some(subnet) => {
            let gateway = underlay.gateway;
            Network { prefix_len: subnet.len(), has_default: gateway.is_some(), gateway }
        }
        None => Network { prefix_len: family.bits(), has_default: true, gateway: None },
    }
}

/// What the container's configuration asks for of it.
fn fit(chosen: &mut Chosen, add: &Add) -> Result<(), Refusal> {
    let interface = &chosen.underlay.interface;
    if let Some(mtu) = add.mtu {
        if mtu > chosen.mtu {
            let msg = format!("mtu {mtu} is more than that of {interface}, {}", chosen.mtu);
            return Err(Refusal::new(Code::INVALID_CONFIG, msg));
        }
        chosen.mtu = mtu;
    }
    match (chosen.underlay.kind, add.mac) {
        (UnderlayKind::Macvlan, mac) => chosen.mac = mac,
        (UnderlayKind::Ipvlan(_), None) => {}
        (UnderlayKind::Ipvlan(_), Some(mac)) => {
            let msg = format!("MAC address {mac} cannot be had: pods on IPVLAN have that of {interface}");
            return Err(Refusal::new(Code::INVALID_CONFIG, msg));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use cairn_api::kinds::IpvlanMode;

    use super::*;

    fn on(kind: UnderlayKind, subnet: Option<&str>) -> Option<felix_core::Underlay> {
        Some(felix_core::Underlay {
            kind,
            index: 2,
            interface: "eth1".to_owned(),
            mac: Some(Mac([2, 0, 0, 0, 0, 1])),
            mtu: 9000,
            subnet: subnet.map(|subnet| subnet.parse().unwrap()),
            gateway: None,
            node: Vec::new(),
        })
    }

    fn add(json: &str) -> Add {
        let text = format!(
            r#"{{"attachment":{{"container":"c","ifname":"eth0"}},"network":"pods","netns":"/run/netns/p"{json}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn pools_of_both_families_must_attach_alike() {
        let l2 = UnderlayKind::Ipvlan(IpvlanMode::L2);
        let four = ("four", Family::Ipv4, on(UnderlayKind::Macvlan, Some("192.0.2.0/24")));
        let six = ("six", Family::Ipv6, on(UnderlayKind::Macvlan, Some("2001:db8::/64")));
        let both = combine(&[four.clone(), six.clone()]).unwrap().unwrap();
        let lengths: Vec<u8> = both.underlay.networks.iter().map(|network| network.prefix_len).collect();
        assert_eq!(lengths, [24, 64]);
        for other in [("other", Family::Ipv6, None), ("other", Family::Ipv6, on(l2, None))] {
            let refusal = combine(&[four.clone(), other]).unwrap_err().to_string();
            assert!(refusal.contains("pools four and other attach pods differently"), "{refusal}");
        }
        assert_eq!(combine(&[("four", Family::Ipv4, None), ("six", Family::Ipv6, None)]), Ok(None));
    }

    #[test]
    fn behind_the_node_an_address_is_alone_and_the_link_leads_everywhere() {
        let l3 = on(UnderlayKind::Ipvlan(IpvlanMode::L3), None);
        let chosen = combine(&[("six", Family::Ipv6, l3)]).unwrap().unwrap();
        assert_eq!(chosen.underlay.networks, [Network { prefix_len: 128, has_default: true, gateway: None }]);
    }

    #[test]
    fn mtu_and_mac_are_what_the_interface_allows() {
        let chosen = |kind| combine(&[("p", Family::Ipv4, on(kind, None))]).unwrap().unwrap();
        let mut own = chosen(UnderlayKind::Macvlan);
        fit(&mut own, &add(r#","mtu":1400,"mac":"02:00:00:00:00:07""#)).unwrap();
        assert_eq!((own.mtu, own.mac), (1400, Some(Mac([2, 0, 0, 0, 0, 7]))));
        let refusal = fit(&mut own, &add(r#","mtu":9001"#)).unwrap_err().to_string();
        assert!(refusal.contains("mtu 9001 is more than that of eth1"), "{refusal}");
        let mut shared = chosen(UnderlayKind::Ipvlan(IpvlanMode::L2));
        fit(&mut shared, &add("")).unwrap();
        assert_eq!((shared.mtu, shared.mac), (9000, Some(Mac([2, 0, 0, 0, 0, 1]))));
        fit(&mut shared, &add(r#","mac":"02:00:00:00:00:07""#)).unwrap_err();
    }
}
