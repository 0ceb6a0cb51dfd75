//! Reservations. Of pools that can be read the nodes say what is in force (docs/adr/0014).

use cairn_api::kinds::IpReservation;
use cairn_net::Prefix;

use super::{Cluster, Reason, Verdict, read};

pub(super) fn judge(cluster: &Cluster, verdict: &mut Verdict) {
    for (name, object) in read(&cluster.reservations) {
        for (index, range) in object.spec.reserved_cidrs.iter().enumerate() {
            if !ranges(cluster).any(|pool| pool.overlaps(*range)) {
                let path = format!("spec.reservedCIDRs[{index}]");
                let rule = "is in the range of no IPPool: it keeps no address back";
                verdict.add::<IpReservation>(name, Reason::OutsideOfPools, path, range, rule);
            }
        }
    }
}

/// The ranges of all pools. One that cannot be read is a fault of its own: nodes may keep its last good form.
fn ranges(cluster: &Cluster) -> impl Iterator<Item = Prefix> {
    read(&cluster.pools).map(|(_, pool)| pool.spec.cidr).chain(cluster.unread_ranges.iter().copied())
}
