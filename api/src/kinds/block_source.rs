//! Where the blocks of a pool come from, and which of them are a node's by its pod CIDRs: one rule for its allocator and for what it reports.

use std::fmt;

use cairn_net::{Family, Prefix};
use serde::{Deserialize, Serialize};

use super::IpPool;

/// Where the blocks of a pool come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum BlockSource {
    /// They are cut out of its range, and any node claims those that it needs.
    #[default]
    Pool,
    /// A node has its pod CIDRs (`podCIDRs` of its Node) inside the range, each one block, and no others.
    #[serde(rename = "PodCIDR")]
    PodCidr,
}

impl BlockSource {
    /// Is it the default?
    #[allow(clippy::trivially_copy_pass_by_ref)] // serde's form
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Why a node has no block of a pool whose blocks are pod CIDRs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PodCidrRefused {
    /// The Node has none of the pool's family.
    Missing {
        /// The family.
        family: Family,
    },
    /// Those of the family are not inside the pool.
    Outside {
        /// What the Node has.
        found: Vec<Prefix>,
        /// The pool's range.
        cidr: Prefix,
    },
}

impl fmt::Display for PodCidrRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("has the nodes' pod CIDRs as its blocks (blockSource PodCIDR), and ")?;
        match self {
            Self::Missing { family } => write!(f, "spec.podCIDRs of this Node has none of {family}"),
            Self::Outside { found, cidr } => {
                f.write_str("spec.podCIDRs of this Node, ")?;
                for (index, prefix) in found.iter().enumerate() {
                    write!(f, "{}{prefix}", if index == 0 { "" } else { ", " })?;
                }
                write!(f, ", is not inside of {cidr}")
            }
        }
    }
}

impl IpPool {
    /// The blocks that a node has of this pool by its pod CIDRs: one at least.
    ///
    /// Errors: why there is none.
    pub fn pod_blocks(&self, pod_cidrs: &[Prefix]) -> Result<Vec<Prefix>, PodCidrRefused> {
        let family = self.cidr.family();
        let found: Vec<Prefix> = pod_cidrs.iter().copied().filter(|cidr| cidr.family() == family).collect();
        if found.is_empty() {
            return Err(PodCidrRefused::Missing { family });
        }
        let inside: Vec<Prefix> = found.iter().copied().filter(|cidr| self.cidr.covers(*cidr)).collect();
        if inside.is_empty() {
            return Err(PodCidrRefused::Outside { found, cidr: self.cidr });
        }
        Ok(inside)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Faults, Kind, Metadata, Object};

    fn pool(cidr: &str) -> IpPool {
        IpPool { block_source: BlockSource::PodCidr, ..IpPool::of(cidr.parse().unwrap()) }
    }

    #[test]
    fn a_nodes_blocks_are_its_pod_cidrs_of_the_family_inside_the_pool() {
        let cidrs: Vec<Prefix> =
            ["10.244.1.0/24", "fd00:1::/64", "10.9.0.0/24"].map(|text| text.parse().unwrap()).into();
        let blocks = |cidr: &str| pool(cidr).pod_blocks(&cidrs).map_err(|refused| refused.to_string());
        assert_eq!(blocks("10.244.0.0/16"), Ok(vec![cidrs[0]]));
        assert_eq!(blocks("fd00::/16"), Ok(vec![cidrs[1]]));
        assert_eq!(blocks("10.244.1.0/24"), Ok(vec![cidrs[0]]), "as wide as the pool");
        let outside = blocks("10.244.1.0/25").unwrap_err();
        assert!(outside.ends_with("10.244.1.0/24, 10.9.0.0/24, is not inside of 10.244.1.0/25"), "{outside}");
        let missing = pool("fd00::/16").pod_blocks(&cidrs[..1]).unwrap_err().to_string();
        assert!(missing.ends_with("spec.podCIDRs of this Node has none of ipv6"), "{missing}");
    }

    #[test]
    fn such_a_pool_says_nothing_of_the_size_of_blocks() {
        let faults = |spec: IpPool| {
            let mut faults = Faults::default();
            IpPool::validate(&Object::new(Metadata::named("p"), spec), &mut faults);
            faults.to_string()
        };
        assert_eq!(faults(pool("10.244.0.0/28")), "", "smaller than a block that is cut");
        let sized = faults(IpPool { block_size: Some(26), ..pool("10.244.0.0/16") });
        assert!(sized.contains("spec.blockSize: \"26\": not with spec.blockSource PodCIDR"), "{sized}");
    }
}
