//! Reservations. Of pools that can be read the nodes say what is in force (docs/adr/0014).

use cairn_api::kinds::IpReservation;

use super::{Cluster, Reason, Verdict, read};

pub(super) fn judge(cluster: &Cluster, verdict: &mut Verdict) {
    for (name, object) in read(&cluster.reservations) {
        for (index, range) in object.spec.reserved_cidrs.iter().enumerate() {
            if !read(&cluster.pools).any(|(_, pool)| pool.spec.cidr.overlaps(*range)) {
                let path = format!("spec.reservedCIDRs[{index}]");
                let rule = "is in the range of no IPPool: it keeps no address back";
                verdict.add::<IpReservation>(name, Reason::OutsideOfPools, path, range, rule);
            }
        }
    }
}
