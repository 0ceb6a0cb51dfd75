//! BGPConfiguration, BGPPeers and BGPFilters.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use cairn_api::Kind;
use cairn_api::kinds::{BgpConfiguration, BgpFilter, BgpPassword, BgpPeer};

use super::{Cluster, NodeFacts, Reason, Verdict, read};

/// Longest password of TCP MD5 that a kernel takes, in bytes.
const LONGEST: usize = 80;

pub(super) fn judge(cluster: &Cluster, verdict: &mut Verdict) {
    for (name, object) in read(&cluster.bgp) {
        if let Some(reference) = &object.spec.node_mesh_password {
            let of = "no session of the mesh";
            password::<BgpConfiguration>(cluster, name, "spec.nodeMeshPassword", reference, of, verdict);
        }
    }
    for (name, object) in read(&cluster.peers) {
        peer(cluster, name, &object.spec, verdict);
    }
    twice(cluster, verdict);
    for (name, object) in read(&cluster.filters) {
        filter(name, &object.spec, verdict);
    }
}

/// Is the object for a node?
fn is_for(spec: &BgpPeer, name: &str, node: &NodeFacts) -> bool {
    match (&*spec.node, &spec.node_selector) {
        ("", None) => true,
        ("", Some(selector)) => selector.matches(&node.labels),
        (only, _) => only == name,
    }
}

fn peer(cluster: &Cluster, name: &str, spec: &BgpPeer, verdict: &mut Verdict) {
    let known = cluster.nodes.contains_key(&spec.node);
    if !spec.node.is_empty() && !known {
        let rule = "there is no such Node: nobody has the session";
        verdict.add::<BgpPeer>(name, Reason::NodeUnknown, "spec.node", &spec.node, rule);
    }
    if let Some(address) = spec.peer_ip {
        with_itself(cluster, name, spec, address.addr, verdict);
    }
    for (index, filter) in spec.filters.iter().enumerate() {
        if !cluster.filters.contains_key(filter) {
            let path = format!("spec.filters[{index}]");
            let rule = "there is no such BGPFilter: no session by this object";
            verdict.add::<BgpPeer>(name, Reason::FilterMissing, path, filter, rule);
        }
    }
    if let Some(reference) = &spec.password {
        password::<BgpPeer>(cluster, name, "spec.password", reference, "no session by this object", verdict);
    }
}

/// An object for several nodes, one of which is the peer, is for the others: that is how all nodes peer with a reflector.
fn with_itself(cluster: &Cluster, name: &str, spec: &BgpPeer, address: IpAddr, verdict: &mut Verdict) {
    let Some((node, _)) = cluster.nodes.iter().find(|(_, node)| node.addresses.contains(&address)) else {
        return;
    };
    let mut own = cluster.nodes.iter().filter(|(name, node)| is_for(spec, name, node));
    let only = own.next().is_some_and(|(first, _)| first == node) && own.next().is_none();
    if only {
        let rule = format!("is an address of Node/{node}, the only one that the object is for: no session");
        verdict.add::<BgpPeer>(name, Reason::OwnAddress, "spec.peerIP", address, rule);
    }
}

fn password<K: Kind>(
    cluster: &Cluster,
    name: &str,
    path: &str,
    password: &BgpPassword,
    what: &str,
    verdict: &mut Verdict,
) {
    let reference = &password.secret_key_ref;
    let Some(secret) = cluster.secrets.get(&reference.name) else {
        let rule = format!("there is no such Secret in Cairn's namespace: {what}");
        let path = format!("{path}.secretKeyRef.name");
        return verdict.add::<K>(name, Reason::SecretMissing, path, &reference.name, rule);
    };
    let path = format!("{path}.secretKeyRef.key");
    let Some(value) = secret.spec.get(&reference.key) else {
        let rule = format!("Secret {} has no such key: {what}", reference.name);
        return verdict.add::<K>(name, Reason::SecretMissing, path, &reference.key, rule);
    };
    // As nodes read it.
    let text = std::str::from_utf8(value).unwrap_or_default().trim_end_matches(['\n', '\r']);
    if !(1..=LONGEST).contains(&text.len()) {
        let rule =
            format!("its value in Secret {} must be a text of 1 to {LONGEST} bytes: {what}", reference.name);
        verdict.add::<K>(name, Reason::Invalid, path, &reference.key, rule);
    }
}

/// What a session is with, and how specific the object is: of two for one node the more specific one has it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Claim<'a> {
    ByName(&'a str),
    BySelector,
    Global,
}

/// Objects that configure one session of one node, and none of which is the more specific one: nodes take the first by name.
fn twice(cluster: &Cluster, verdict: &mut Verdict) {
    let mut claims: BTreeMap<(String, Claim<'_>), Vec<(&str, &BgpPeer)>> = BTreeMap::new();
    for (name, object) in read(&cluster.peers) {
        let spec = &object.spec;
        let target = match spec.peer_ip {
            Some(address) => address.addr.to_string(),
            None if spec.interface.is_empty() => continue,
            None => spec.interface.clone(),
        };
        let claim = match (&*spec.node, &spec.node_selector) {
            ("", None) => Claim::Global,
            ("", Some(_)) => Claim::BySelector,
            (node, _) => Claim::ByName(node),
        };
        claims.entry((target, claim)).or_default().push((name, spec));
    }
    for ((target, claim), objects) in claims.into_iter().filter(|(_, objects)| objects.len() > 1) {
        // By node, the first by name that is for it.
        let mut first: BTreeMap<&str, &str> = BTreeMap::new();
        let mut told: BTreeSet<&str> = BTreeSet::new();
        for (name, spec) in objects {
            let selected = cluster.nodes.iter().filter(|(node, facts)| match claim {
                Claim::ByName(only) => only == node.as_str(),
                _ => is_for(spec, node, facts),
            });
            for (node, _) in selected {
                let elder = *first.entry(node).or_insert(name);
                if elder != name && told.insert(name) {
                    let field = if spec.peer_ip.is_some() { "spec.peerIP" } else { "spec.interface" };
                    let rule = format!(
                        "BGPPeer/{elder} already configures the session of Node/{node} with it: that one counts"
                    );
                    verdict.add::<BgpPeer>(name, Reason::Ambiguous, field, &target, rule);
                }
            }
        }
    }
}

fn filter(name: &str, spec: &BgpFilter, verdict: &mut Verdict) {
    for (field, rules) in [
        ("exportV4", &spec.export_v4),
        ("importV4", &spec.import_v4),
        ("exportV6", &spec.export_v6),
        ("importV6", &spec.import_v6),
    ] {
        for (index, rule) in rules.iter().enumerate() {
            if let Some(objection) = rule.objection() {
                let numbers: Vec<String> = rule.prepended().map(|asn| asn.to_string()).collect();
                let path = format!("spec.{field}[{index}].operations");
                let rule = format!("{objection}: peers to which the rule applies have no session");
                verdict.add::<BgpFilter>(name, Reason::Unsupported, path, numbers.join(" "), rule);
            }
        }
    }
}
