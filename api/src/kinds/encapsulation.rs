//! Which encapsulation of a pool is in force: one rule for every node.
//!
//! Modes that cannot be had are refused, and what was in force before stays, as the pool's status says; so every node, also one that has
//! just started, does the same.

use std::fmt;

use cairn_net::{Family, Prefix};
use serde::{Deserialize, Serialize};

use super::{EncapMode, IpPool};
use crate::Object;

/// The modes of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Modes {
    /// Encapsulation in IP.
    #[serde(default)]
    pub ipip_mode: EncapMode,
    /// Encapsulation in VXLAN.
    #[serde(default)]
    pub vxlan_mode: EncapMode,
}

/// Why the modes of a pool are not in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EncapsulationRefused {
    /// Both `ipipMode` and `vxlanMode` ask for a tunnel.
    BothModes,
    /// IP-in-IP carries IPv4 alone.
    FamilyUnsupported,
    /// Its pods are to be attached to the network that the node is in.
    Underlay,
    /// It overlaps with a pool whose name comes first and whose modes are others.
    Overlap {
        /// The name of the other pool.
        with: String,
        /// Its range.
        cidr: Prefix,
    },
}

/// What is in force for a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement<'a> {
    /// The pool's name.
    pub name: &'a str,
    /// Its range.
    pub cidr: Prefix,
    /// The modes in force.
    pub modes: Modes,
    /// Why they are not those of the spec.
    pub refused: Option<EncapsulationRefused>,
}

impl EncapsulationRefused {
    /// The reason of the pool's condition `Encapsulation`.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::BothModes => "BothModes",
            Self::FamilyUnsupported => "FamilyUnsupported",
            Self::Underlay => "Underlay",
            Self::Overlap { .. } => "CIDROverlap",
        }
    }
}

impl fmt::Display for EncapsulationRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BothModes => f.write_str("ipipMode and vxlanMode both ask for a tunnel: one must be Never"),
            Self::FamilyUnsupported => {
                f.write_str("ipipMode carries IPv4 in IPv4 alone: use vxlanMode for a pool of IPv6")
            }
            Self::Underlay => f.write_str(
                "what pods with this attachment send passes no tunnel of the node: ipipMode and vxlanMode must be Never",
            ),
            Self::Overlap { with, cidr } => {
                write!(f, "the pool overlaps with {with} ({cidr}), whose modes are others")
            }
        }
    }
}

impl Modes {
    /// Does any packet of the pool travel in a tunnel?
    pub fn any(self) -> bool {
        self != Self::default()
    }

    const fn refusal(self, family: Family) -> Option<EncapsulationRefused> {
        match (self.ipip_mode, self.vxlan_mode, family) {
            (EncapMode::Never, _, _) => None,
            (_, EncapMode::Always | EncapMode::CrossSubnet, _) => Some(EncapsulationRefused::BothModes),
            (_, EncapMode::Never, Family::Ipv6) => Some(EncapsulationRefused::FamilyUnsupported),
            (_, EncapMode::Never, Family::Ipv4) => None,
        }
    }
}

impl fmt::Display for Modes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ipipMode {:?}, vxlanMode {:?}", self.ipip_mode, self.vxlan_mode)
    }
}

/// What is in force for each pool, in the order of their names.
pub fn encapsulations<'a>(pools: impl IntoIterator<Item = &'a Object<IpPool>>) -> Vec<Judgement<'a>> {
    let mut sorted: Vec<&Object<IpPool>> = pools.into_iter().collect();
    sorted.sort_by_key(|pool| pool.name());
    let mut judged: Vec<Judgement<'a>> = Vec::with_capacity(sorted.len());
    for pool in sorted {
        let spec = &pool.spec;
        let wanted = Modes { ipip_mode: spec.ipip_mode, vxlan_mode: spec.vxlan_mode };
        let rival = judged.iter().find(|elder| elder.cidr.overlaps(spec.cidr) && elder.modes != wanted);
        let overlap = || {
            rival.map(|elder| EncapsulationRefused::Overlap { with: elder.name.to_owned(), cidr: elder.cidr })
        };
        let underlay =
            (wanted.any() && spec.attachment.underlay().is_some()).then_some(EncapsulationRefused::Underlay);
        let refused = wanted.refusal(spec.cidr.family()).or(underlay).or_else(overlap);
        let modes = if refused.is_none() { wanted } else { before(pool) };
        judged.push(Judgement { name: pool.name(), cidr: spec.cidr, modes, refused });
    }
    judged
}

/// What was in force before, as far as it could be.
fn before(pool: &Object<IpPool>) -> Modes {
    let told = pool.status.as_ref().and_then(|status| status.encapsulation);
    told.filter(|modes| modes.refusal(pool.spec.cidr.family()).is_none()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Metadata;
    use crate::kinds::IpPoolStatus;

    const NEVER: EncapMode = EncapMode::Never;

    fn pool(name: &str, cidr: &str, ipip: EncapMode, vxlan: EncapMode) -> Object<IpPool> {
        let cidr = cidr.parse().unwrap();
        let spec = IpPool { ipip_mode: ipip, vxlan_mode: vxlan, ..IpPool::of(cidr) };
        Object::new(Metadata::named(name), spec)
    }

    fn told(mut pool: Object<IpPool>, ipip: EncapMode, vxlan: EncapMode) -> Object<IpPool> {
        let modes = Modes { ipip_mode: ipip, vxlan_mode: vxlan };
        pool.status = Some(IpPoolStatus { encapsulation: Some(modes), ..IpPoolStatus::default() });
        pool
    }

    #[test]
    fn what_cannot_be_had_is_refused_and_what_was_before_stays() {
        let always = EncapMode::Always;
        let both = pool("a", "10.0.0.0/16", always, EncapMode::CrossSubnet);
        let [judged] = encapsulations([&both]).try_into().unwrap();
        assert_eq!((judged.modes, judged.refused), (Modes::default(), Some(EncapsulationRefused::BothModes)));
        let both = told(both, NEVER, always);
        let [judged] = encapsulations([&both]).try_into().unwrap();
        assert_eq!(judged.modes, Modes { ipip_mode: NEVER, vxlan_mode: always });

        let six = told(pool("a", "fd00::/64", always, NEVER), always, NEVER);
        let [judged] = encapsulations([&six]).try_into().unwrap();
        assert_eq!(judged.refused, Some(EncapsulationRefused::FamilyUnsupported));
        assert_eq!(judged.modes, Modes::default(), "a status is believed no more than a spec");
        let fine = [pool("a", "10.0.0.0/16", always, NEVER), pool("b", "fd00::/64", NEVER, always)];
        assert!(encapsulations(&fine).iter().all(|judged| judged.refused.is_none() && judged.modes.any()));
    }

    #[test]
    fn of_overlapping_pools_the_first_by_name_decides() {
        let (always, cross) = (EncapMode::Always, EncapMode::CrossSubnet);
        let pools = [
            pool("b", "10.0.1.0/24", NEVER, cross),
            pool("a", "10.0.0.0/16", NEVER, always),
            pool("c", "10.0.2.0/24", NEVER, always),
        ];
        let judged = encapsulations(&pools);
        let refused: Vec<_> = judged.iter().map(|judged| (judged.name, judged.refused.is_some())).collect();
        assert_eq!(refused, [("a", false), ("b", true), ("c", false)]);
        let text = judged[1].refused.as_ref().unwrap().to_string();
        assert_eq!(text, "the pool overlaps with a (10.0.0.0/16), whose modes are others");
    }
}
