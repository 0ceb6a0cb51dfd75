//! EgressGateways, by the rules by which nodes take them into force.

use std::collections::HashMap;
use std::net::IpAddr;

use cairn_api::Object;
use cairn_api::kinds::EgressGateway;

use super::{Cluster, Reason, Verdict, read};

pub(super) fn judge(cluster: &Cluster, verdict: &mut Verdict) {
    let nodes: HashMap<IpAddr, &str> = cluster
        .nodes
        .iter()
        .flat_map(|(name, node)| node.addresses.iter().map(|address| (*address, name.as_str())))
        .collect();
    // Which gateway that is in force has an address.
    let mut owners: HashMap<IpAddr, &str> = HashMap::new();
    for (name, object) in read(&cluster.gateways) {
        let mut in_force = true;
        for (index, address) in object.spec.egress_ips.iter().enumerate() {
            if let Some((reason, rule)) = objection(cluster, &nodes, &owners, *address) {
                let path = format!("spec.egressIPs[{index}]");
                verdict.add::<EgressGateway>(
                    name,
                    reason,
                    path,
                    address,
                    format!("{rule}: it is not in force"),
                );
                in_force = false;
            }
        }
        if in_force {
            owners.extend(object.spec.egress_ips.iter().map(|address| (*address, name)));
        }
        without_node(cluster, name, object, verdict);
    }
}

fn objection(
    cluster: &Cluster,
    nodes: &HashMap<IpAddr, &str>,
    owners: &HashMap<IpAddr, &str>,
    address: IpAddr,
) -> Option<(Reason, String)> {
    if let Some((pool, object)) = read(&cluster.pools).find(|(_, pool)| pool.spec.cidr.contains(address)) {
        let rule = format!("is in the range {} of IPPool/{pool}", object.spec.cidr);
        return Some((Reason::CidrOverlap, rule));
    }
    if let Some(node) = nodes.get(&address) {
        return Some((Reason::Ambiguous, format!("is the address of Node/{node}")));
    }
    owners
        .get(&address)
        .map(|other| (Reason::Ambiguous, format!("is an address of EgressGateway/{other}, too")))
}

fn without_node(cluster: &Cluster, name: &str, object: &Object<EgressGateway>, verdict: &mut Verdict) {
    let selector = &object.spec.node_selector;
    if !cluster.nodes.values().any(|node| selector.matches(&node.labels)) {
        let rule =
            "selects none of the nodes: nobody can have the addresses, and packets of its pods are refused";
        verdict.add::<EgressGateway>(name, Reason::NoNode, "spec.nodeSelector", selector, rule);
    }
}
