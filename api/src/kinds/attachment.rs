//! How pods of a pool are attached to the network, and which attachment is in force: one rule for every node.
//!
//! What cannot be had is refused, and what was in force before stays, as the pool's status says; see [`super::encapsulations`].

use std::fmt;
use std::net::IpAddr;

use cairn_net::{Family, Prefix};
use serde::{Deserialize, Serialize};

use super::{EncapMode, IpPool};
use crate::{Faults, Object};

/// How pods with addresses of a pool are attached. It holds for pods that are made from then on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Attachment {
    /// To the node's routes, or to the network that the node itself is in.
    #[serde(default)]
    pub mode: AttachmentMode,
    /// With mode `IPVLAN`. Default: `L2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipvlan_mode: Option<IpvlanMode>,
    /// The node's interface on that network. Default: the one with the node's address of the pool's family.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// The subnet of that network, where pods are neighbours of its hosts. Default: that of the interface's address around the pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet: Option<Prefix>,
    /// The router that pods have there. Default: the node's own default router behind the interface; without one they reach the subnet alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
}

/// Where a pod's interface leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum AttachmentMode {
    /// Through a veth pair to the node, which routes and checks its packets.
    #[default]
    Routed,
    /// To the network of one of the node's interfaces, with a MAC address of its own.
    #[serde(rename = "MACVLAN")]
    Macvlan,
    /// To that network with the MAC address of the node's interface.
    #[serde(rename = "IPVLAN")]
    Ipvlan,
}

/// How far up an ipvlan interface goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum IpvlanMode {
    /// The pod is a neighbour of the hosts on the network.
    #[default]
    L2,
    /// The node's routes are used for what it sends; the network routes what is for it to the node.
    L3,
    /// As L3, and its packets pass the node's netfilter.
    L3S,
}

/// An attachment past the node's own network stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum UnderlayKind {
    /// macvlan in bridge mode.
    Macvlan,
    /// ipvlan.
    Ipvlan(IpvlanMode),
}

impl UnderlayKind {
    /// Are its pods neighbours of the hosts on the network, so that nobody routes to them?
    pub const fn is_on_link(self) -> bool {
        matches!(self, Self::Macvlan | Self::Ipvlan(IpvlanMode::L2))
    }

    /// The mode of the attachment.
    pub const fn mode(self) -> AttachmentMode {
        match self {
            Self::Macvlan => AttachmentMode::Macvlan,
            Self::Ipvlan(_) => AttachmentMode::Ipvlan,
        }
    }
}

impl fmt::Display for UnderlayKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Macvlan => f.write_str("MACVLAN"),
            Self::Ipvlan(mode) => write!(f, "IPVLAN {mode:?}"),
        }
    }
}

impl Attachment {
    /// Which underlay it is; `None`: pods are routed.
    pub fn underlay(&self) -> Option<UnderlayKind> {
        match self.mode {
            AttachmentMode::Routed => None,
            AttachmentMode::Macvlan => Some(UnderlayKind::Macvlan),
            AttachmentMode::Ipvlan => Some(UnderlayKind::Ipvlan(self.ipvlan_mode.unwrap_or_default())),
        }
    }

    /// Is nothing said that is not the default?
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn validate(&self, cidr: Prefix, faults: &mut Faults) {
        let is_ipvlan = self.mode == AttachmentMode::Ipvlan;
        if let Some(mode) = self.ipvlan_mode {
            let rule = "with spec.attachment.mode IPVLAN only";
            faults.require(is_ipvlan, "spec.attachment.ipvlanMode", format!("{mode:?}"), rule);
        }
        if let Some(name) = &self.interface {
            let rule = "with spec.attachment.mode MACVLAN or IPVLAN only";
            faults.require(self.underlay().is_some(), "spec.attachment.interface", name, rule);
            let odd = |c: char| "/:%".contains(c) || c.is_whitespace() || c.is_control();
            let is_name =
                (1..=15).contains(&name.len()) && name != "." && name != ".." && !name.contains(odd);
            let rule = "the name of an interface: 1 to 15 bytes, no blank, slash, colon or percent sign";
            faults.require(is_name, "spec.attachment.interface", name, rule);
        }
        let on_link = self.underlay().is_some_and(UnderlayKind::is_on_link);
        let rule = "with spec.attachment.mode MACVLAN, or IPVLAN in mode L2, only";
        if let Some(subnet) = self.subnet {
            faults.require(on_link, "spec.attachment.subnet", subnet, rule);
            faults.require(
                subnet.covers(cidr),
                "spec.attachment.subnet",
                subnet,
                format!("a range around {cidr}"),
            );
        }
        if let Some(gateway) = self.gateway {
            faults.require(on_link, "spec.attachment.gateway", gateway, rule);
            self.validate_gateway(gateway, cidr, faults);
        }
    }

    fn validate_gateway(&self, gateway: IpAddr, cidr: Prefix, faults: &mut Faults) {
        let path = "spec.attachment.gateway";
        faults.require(
            !cidr.contains(gateway),
            path,
            gateway,
            format!("outside of {cidr}, so that no pod gets it"),
        );
        let link_local = matches!(gateway, IpAddr::V6(v6) if v6.is_unicast_link_local());
        let of_family = Family::of(gateway) == cidr.family();
        let there = link_local || self.subnet.is_none_or(|subnet| subnet.contains(gateway));
        let rule = format!("an address of {}, in the subnet or link-local", cidr.family());
        faults.require(of_family && there && !gateway.is_multicast(), path, gateway, rule);
    }
}

/// Why the attachment of a pool is not in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttachmentRefused {
    /// The pool is encapsulated, too.
    Encapsulated,
    /// It is to be masqueraded, too.
    NatOutgoing,
    /// It overlaps with a pool whose name comes first and whose attachment is another.
    Overlap {
        /// The name of the other pool.
        with: String,
        /// Its range.
        cidr: Prefix,
    },
}

impl AttachmentRefused {
    /// The reason of the pool's condition `Attachment`.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Encapsulated => "Encapsulated",
            Self::NatOutgoing => "NATOutgoing",
            Self::Overlap { .. } => "CIDROverlap",
        }
    }
}

impl fmt::Display for AttachmentRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encapsulated => f.write_str(
                "what its pods send passes no tunnel of the node: ipipMode and vxlanMode must be Never",
            ),
            Self::NatOutgoing => {
                f.write_str("what its pods send is not masqueraded by the node: natOutgoing must be false")
            }
            Self::Overlap { with, cidr } => {
                write!(f, "the pool overlaps with {with} ({cidr}), whose attachment is another")
            }
        }
    }
}

/// What is in force for a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachmentJudgement<'a> {
    /// The pool's name.
    pub name: &'a str,
    /// Its range.
    pub cidr: Prefix,
    /// The attachment in force.
    pub attachment: Attachment,
    /// Why it is not that of the spec.
    pub refused: Option<AttachmentRefused>,
}

/// What is in force for each pool, in the order of their names.
pub fn attachments<'a>(pools: impl IntoIterator<Item = &'a Object<IpPool>>) -> Vec<AttachmentJudgement<'a>> {
    let mut sorted: Vec<&Object<IpPool>> = pools.into_iter().collect();
    sorted.sort_by_key(|pool| pool.name());
    let mut judged: Vec<AttachmentJudgement<'a>> = Vec::with_capacity(sorted.len());
    for pool in sorted {
        let (spec, wanted) = (&pool.spec, &pool.spec.attachment);
        let rival = judged.iter().find(|elder| elder.cidr.overlaps(spec.cidr) && elder.attachment != *wanted);
        let overlap = || {
            rival.map(|elder| AttachmentRefused::Overlap { with: elder.name.to_owned(), cidr: elder.cidr })
        };
        let refused = refusal(spec).or_else(overlap);
        let attachment = if refused.is_none() { wanted.clone() } else { before(pool) };
        judged.push(AttachmentJudgement { name: pool.name(), cidr: spec.cidr, attachment, refused });
    }
    judged
}

fn refusal(spec: &IpPool) -> Option<AttachmentRefused> {
    spec.attachment.underlay()?;
    if spec.ipip_mode != EncapMode::Never || spec.vxlan_mode != EncapMode::Never {
        return Some(AttachmentRefused::Encapsulated);
    }
    spec.nat_outgoing.then_some(AttachmentRefused::NatOutgoing)
}

/// What was in force before. A status is believed no more than a spec.
fn before(pool: &Object<IpPool>) -> Attachment {
    let told = pool.status.as_ref().and_then(|status| status.attachment.clone()).unwrap_or_default();
    let mut faults = Faults::default();
    told.validate(pool.spec.cidr, &mut faults);
    if faults.is_empty() { told } else { Attachment::default() }
}

#[cfg(test)]
mod tests {
    use super::super::{EncapsulationRefused, IpPoolStatus, Modes, encapsulations};
    use super::*;
    use crate::{Kind as _, Metadata};

    fn macvlan() -> Attachment {
        Attachment { mode: AttachmentMode::Macvlan, ..Attachment::default() }
    }

    fn pool(name: &str, cidr: &str, attachment: Attachment) -> Object<IpPool> {
        let spec = IpPool { attachment, ..IpPool::of(cidr.parse().unwrap()) };
        Object::new(Metadata::named(name), spec)
    }

    fn faults(cidr: &str, attachment: Attachment) -> String {
        let mut faults = Faults::default();
        IpPool::validate(&pool("a", cidr, attachment), &mut faults);
        faults.iter().map(|fault| format!("{fault}\n")).collect()
    }

    #[test]
    fn fields_that_mean_nothing_together_are_faults() {
        let l3 = Attachment {
            mode: AttachmentMode::Ipvlan,
            ipvlan_mode: Some(IpvlanMode::L3),
            subnet: Some("192.0.2.0/24".parse().unwrap()),
            ..Attachment::default()
        };
        assert!(faults("192.0.2.64/26", l3).contains("spec.attachment.subnet"));
        let mode = Attachment { ipvlan_mode: Some(IpvlanMode::L2), ..macvlan() };
        assert!(faults("192.0.2.64/26", mode).contains("spec.attachment.ipvlanMode"));
        let routed = Attachment { interface: Some("eth1".to_owned()), ..Attachment::default() };
        assert!(faults("192.0.2.64/26", routed).contains("spec.attachment.interface"));
        for name in ["", "a b", "eth1/x", "sixteen-letters0"] {
            let named = Attachment { interface: Some(name.to_owned()), ..macvlan() };
            assert!(faults("192.0.2.64/26", named).contains("spec.attachment.interface"), "{name:?}");
        }
        for (subnet, gateway, word) in [
            ("192.0.2.0/24", "192.0.2.65", "so that no pod gets it"),
            ("192.0.2.0/24", "198.51.100.1", "in the subnet"),
            ("192.0.2.0/24", "fe80::1", "an address of ipv4"),
            ("192.0.2.128/25", "192.0.2.129", "a range around"),
        ] {
            let (subnet, gateway) = (Some(subnet.parse().unwrap()), Some(gateway.parse().unwrap()));
            let found = faults("192.0.2.64/26", Attachment { subnet, gateway, ..macvlan() });
            assert!(found.contains(word), "{gateway:?}: {found}");
        }
        let (subnet, gateway) = (Some("2001:db8::/64".parse().unwrap()), Some("fe80::1".parse().unwrap()));
        assert_eq!(faults("2001:db8::1:0/112", Attachment { subnet, gateway, ..macvlan() }), "");
    }

    #[test]
    fn encapsulation_and_underlay_exclude_each_other_and_what_was_before_stays() {
        let mut both = pool("a", "192.0.2.64/26", macvlan());
        both.spec.vxlan_mode = EncapMode::Always;
        let in_force = |pool: &Object<IpPool>| {
            let [attached] = attachments([pool]).try_into().unwrap();
            let [encapsulated] = encapsulations([pool]).try_into().unwrap();
            assert_eq!(attached.refused, Some(AttachmentRefused::Encapsulated));
            assert_eq!(encapsulated.refused, Some(EncapsulationRefused::Underlay));
            (attached.attachment, encapsulated.modes)
        };
        assert_eq!(in_force(&both), (Attachment::default(), Modes::default()), "neither came first");
        both.status = Some(IpPoolStatus { attachment: Some(macvlan()), ..IpPoolStatus::default() });
        assert_eq!(in_force(&both), (macvlan(), Modes::default()));
        let modes = Modes { vxlan_mode: EncapMode::Always, ..Modes::default() };
        both.status = Some(IpPoolStatus { encapsulation: Some(modes), ..IpPoolStatus::default() });
        assert_eq!(in_force(&both), (Attachment::default(), modes));
    }

    #[test]
    fn masquerade_and_overlaps_are_refused() {
        let mut masqueraded = pool("a", "192.0.2.64/26", macvlan());
        masqueraded.spec.nat_outgoing = true;
        assert_eq!(attachments([&masqueraded])[0].refused, Some(AttachmentRefused::NatOutgoing));
        let pools = [
            pool("b", "192.0.2.64/27", macvlan()),
            pool("a", "192.0.2.64/26", Attachment::default()),
            pool("c", "198.51.100.0/26", macvlan()),
        ];
        let refused: Vec<_> = attachments(&pools).iter().map(|judged| judged.refused.is_some()).collect();
        assert_eq!(refused, [false, true, false]);
    }
}
