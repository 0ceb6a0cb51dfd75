//! Kernel settings that a node needs to forward. Set at the start; what is right already is not written.
//!
//! Reverse path filters are left as they are: the firewall checks the sources of pods by itself.

use cairn_kernel::Error;
use cairn_kernel::object::{Link, LinkName};
use cairn_kernel::sysctl::{self, Conf, Scope, Sysctl};
use cairn_net::Family;

/// Sets them all, and tells which could not be.
pub(super) fn prepare(links: &[Link]) -> Vec<Error> {
    let mut errors = Vec::new();
    // A host that forwards IPv6 ignores router advertisements, and would lose its own default route, unless told
    // to believe them anyway.
    for link in links {
        let Ok(name) = link.name.parse::<LinkName>() else { continue };
        let accept_ra = Sysctl::Conf(Family::Ipv6, Scope::Link(name), Conf::AcceptRa);
        if sysctl::read(&accept_ra) == Ok(1) {
            errors.extend(sysctl::write(&accept_ra, 2).err());
        }
    }
    let wanted = [
        (Sysctl::IpForward, 1),
        (Sysctl::Conf(Family::Ipv6, Scope::All, Conf::Forwarding), 1),
        // Flows, not only pairs of hosts, are spread over equal-cost paths.
        (Sysctl::MultipathHashPolicy(Family::Ipv4), 1),
        (Sysctl::MultipathHashPolicy(Family::Ipv6), 1),
    ];
    for (setting, value) in wanted {
        if sysctl::read(&setting) != Ok(value) {
            errors.extend(sysctl::write(&setting, value).err());
        }
    }
    errors
}
