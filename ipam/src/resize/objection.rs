//! What speaks against a change, and what does not follow it by itself.

use std::collections::BTreeSet;
use std::net::IpAddr;

use cairn_api::kinds::{BgpFilter, BlockSource, FilterRule};
use cairn_api::{Kind, Metadata, Object, annotation};
use cairn_net::{Family, Prefix};

use super::holder::addresses;
use super::{Change, Finding, Holder, Seen, Step};

fn named<K: Kind>(object: &Object<K>) -> String {
    let Metadata { namespace, name, .. } = &object.metadata;
    let slash = if namespace.is_empty() { "" } else { "/" };
    format!("{} {namespace}{slash}{name}", K::KIND)
}

/// What speaks against the steps that are left.
pub(super) fn objections(change: &Change, seen: &Seen, steps: &[Step], holders: &[Holder]) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut say = |object: String, what: String| {
        let finding = Finding { object, what };
        if !found.contains(&finding) {
            found.push(finding);
        }
    };
    // What the new range must not have, as long as it is not the pool's.
    let is_taken = |step: &Step| matches!(step, Step::Create { .. } | Step::Resize { .. });
    if steps.iter().any(is_taken) {
        ranges(change, seen, &mut say);
        in_network(change, seen, &mut say);
        of_pods(change, seen, &mut say);
        of_itself(change, seen, &mut say);
    }
    // Once the pool was disabled for this, whoever came in between is waited for.
    let begins = steps.iter().any(|step| matches!(step, Step::Disable { .. }));
    if let Change::Narrow { pool, to, enable, .. } = change
        && (begins || !enable)
        && !steps.is_empty()
    {
        for holder in holders {
            let who = if holder.is_tunnel() {
                format!("the tunnels of node {}, which keep it as long as the pool is there", holder.node)
            } else {
                format!("{} on node {}", holder.pod, holder.node)
            };
            say(format!("IPPool {pool}"), format!("{} is not in {to} and in use: {who}", holder.address));
        }
    }
    found
}

/// Pools, blocks and reservations.
fn ranges(change: &Change, seen: &Seen, say: &mut impl FnMut(String, String)) {
    let name = change.pool();
    let cidr = change.to();
    let itself = |pool: &str| pool == name && !matches!(change, Change::Move { .. });
    let others = seen.pools.iter().filter(|pool| !itself(pool.name()) && change.gains(pool.spec.cidr));
    for pool in others {
        say(named(pool), format!("its cidr {} overlaps with {cidr}", pool.spec.cidr));
    }
    for affinity in seen.affinities.iter().filter(|found| change.gains(found.spec.cidr)) {
        let spec = &affinity.spec;
        if !itself(&spec.pool) {
            let whose = if spec.node.is_empty() { "nobody's" } else { &spec.node };
            say(
                named(affinity),
                format!("a block of {cidr} is still there, of pool {} ({whose})", spec.pool),
            );
        }
    }
    for reservation in &seen.reservations {
        for range in reservation.spec.reserved_cidrs.iter().filter(|range| range.covers(cidr)) {
            say(named(reservation), format!("reserves {range}, all of {cidr}: no address would be given"));
        }
    }
}

/// Nodes, peers, gateways, and what is learned from them.
fn in_network(change: &Change, seen: &Seen, say: &mut impl FnMut(String, String)) {
    let cidr = change.to();
    let gains = |address: &IpAddr| change.gains(Prefix::host(*address));
    for node in &seen.nodes {
        let claims = node.claims().unwrap_or_default();
        let told = node.status.iter().flat_map(|status| &status.addresses);
        let own = claims.addresses().chain(told.filter_map(|own| own.address.parse().ok()));
        for address in own.filter(gains) {
            say(named(node), format!("its address {address} is in {cidr}"));
        }
    }
    for peer in &seen.peers {
        for address in peer.spec.peer_ip.iter().map(|peer| peer.addr).filter(gains) {
            say(named(peer), format!("its address {address} is in {cidr}"));
        }
    }
    for gateway in &seen.gateways {
        for address in gateway.spec.egress_ips.iter().filter(|address| gains(address)) {
            say(named(gateway), format!("its address {address} is in {cidr}"));
        }
    }
    for peer in &seen.wireguard {
        for range in peer.spec.allowed_ips.iter().filter(|range| change.gains(**range)) {
            say(named(peer), format!("{range} is behind it, and overlaps with {cidr}"));
        }
    }
    // A wider route, such as a default one, is no claim on the range.
    let learned = seen.learned.iter().flatten().filter(|prefix| !prefix.covers(cidr));
    for prefix in learned.filter(|prefix| change.gains(**prefix)) {
        say("BGP".to_owned(), format!("a peer announces {prefix}, which is in {cidr}"));
    }
}

/// Pods that have addresses there by somebody else.
fn of_pods(change: &Change, seen: &Seen, say: &mut impl FnMut(String, String)) {
    let held = seen.blocks.iter().flat_map(|block| &block.spec.allocations).map(|entry| entry.address);
    let held: BTreeSet<IpAddr> = held.filter(|address| change.gains(Prefix::host(*address))).collect();
    for pod in &seen.pods {
        for address in addresses(pod).filter(|address| change.gains(Prefix::host(*address))) {
            if !held.contains(&address) {
                let cidr = change.to();
                say(named(pod), format!("has {address}, which is in {cidr} and was not given by Cairn"));
            }
        }
    }
}

/// What of the pool itself does not go with the other range.
fn of_itself(change: &Change, seen: &Seen, say: &mut impl FnMut(String, String)) {
    let (Change::Widen { pool, to, .. } | Change::Narrow { pool, to, .. }) = change else { return };
    let Some(mut resized) = seen.pool(pool).cloned() else { return };
    resized.spec.cidr = *to;
    if let Err(faults) = resized.validate() {
        for fault in faults.iter() {
            say(format!("IPPool {pool}"), fault.to_string());
        }
    }
    if resized.spec.block_source == BlockSource::PodCidr {
        for node in &seen.nodes {
            for cidr in node.spec.pod_cidrs.iter().filter(|cidr| change.leaves(**cidr)) {
                say(named(node), format!("its pod CIDR {cidr} is not in {to}: it would have no addresses"));
            }
        }
    }
}

/// The annotation by which Helm knows what is its.
const HELM_RELEASE: &str = "meta.helm.sh/release-name";

/// What an operator has to change himself.
pub(super) fn follow(change: &Change, seen: &Seen) -> Vec<Finding> {
    let mut found = Vec::new();
    let pool = seen.pool(change.pool());
    if let Some(release) = pool.and_then(|pool| pool.metadata.annotations.get(HELM_RELEASE)) {
        let what = format!(
            "belongs to the Helm release {release}, whose next upgrade makes it as its values say: change `objects` there, too"
        );
        found.push(Finding { object: format!("IPPool {}", change.pool()), what });
    }
    if matches!(change, Change::Widen { .. } | Change::Move { .. }) {
        announcements(change, seen, &mut found);
        reserved(change, seen, &mut found);
        pod_cidrs(change, seen, &mut found);
        if seen.learned.is_none() {
            let what = "no bgpd was asked for what peers announce: plan on a node to have that looked at";
            found.push(Finding { object: "BGP".to_owned(), what: what.to_owned() });
        }
    }
    if let Change::Move { pool, to, .. } = change {
        names(seen, change, pool, to, &mut found);
    }
    found
}

/// What is said of announcements of the old range and not of the new one.
fn announcements(change: &Change, seen: &Seen, found: &mut Vec<Finding>) {
    let (from, to) = (change.from(), change.to());
    for bgp in &seen.bgp {
        let ranges = bgp.spec.prefix_advertisements.iter().map(|entry| entry.cidr);
        for range in ranges.filter(|range| range.overlaps(from) && !range.covers(to)) {
            let what = format!("prefixAdvertisements of {range} is not for all of {to}: add it");
            found.push(Finding { object: named(bgp), what });
        }
    }
    for filter in &seen.filters {
        let BgpFilter { export_v4, import_v4, export_v6, import_v6 } = &filter.spec;
        let lists: [(&str, &[FilterRule]); 2] = match from.family() {
            Family::Ipv4 => [("exportV4", export_v4), ("importV4", import_v4)],
            Family::Ipv6 => [("exportV6", export_v6), ("importV6", import_v6)],
        };
        for (list, rules) in lists {
            for (index, rule) in rules.iter().enumerate() {
                let range = rule.cidr.filter(|range| range.overlaps(from) && !range.covers(to));
                if let Some(range) = range {
                    let what =
                        format!("{list}[{index}] is about {range} and not about all of {to}: add a rule");
                    found.push(Finding { object: named(filter), what });
                }
            }
        }
    }
}

fn reserved(change: &Change, seen: &Seen, found: &mut Vec<Finding>) {
    let cidr = change.to();
    for reservation in &seen.reservations {
        let ranges = reservation.spec.reserved_cidrs.iter().copied();
        for range in ranges.filter(|range| change.gains(*range) && !range.covers(cidr)) {
            let what = format!("reserves {range} of {cidr}: nothing of it is given");
            found.push(Finding { object: named(reservation), what });
        }
    }
}

/// Pod CIDRs of nodes that another network might give addresses of.
fn pod_cidrs(change: &Change, seen: &Seen, found: &mut Vec<Finding>) {
    let own = seen.pool(change.pool());
    if own.is_some_and(|pool| pool.spec.block_source == BlockSource::PodCidr) {
        return;
    }
    for node in &seen.nodes {
        for cidr in node.spec.pod_cidrs.iter().filter(|cidr| change.gains(**cidr)) {
            let what = format!("its pod CIDR {cidr} overlaps with {}: nothing else may use it", change.to());
            found.push(Finding { object: named(node), what });
        }
    }
}

/// Who names the pool that goes.
fn names(seen: &Seen, change: &Change, pool: &str, to: &str, found: &mut Vec<Finding>) {
    let key = annotation::pools(change.from().family());
    let names = |metadata: &Metadata| {
        let text = metadata.annotations.get(key);
        let list: Vec<String> = text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        list.iter().any(|name| name == pool || name.parse() == Ok(change.from()))
    };
    let mut say = |object: String| {
        found.push(Finding { object, what: format!("its annotation {key} names {pool}: let it name {to}") });
    };
    seen.namespaces.iter().filter(|found| names(&found.metadata)).for_each(|found| say(named(found)));
    seen.pods.iter().filter(|found| names(&found.metadata)).for_each(|found| say(named(found)));
}
