use cairn_net::{Asn, Family, Prefix};
use serde::{Deserialize, Serialize};

use crate::{Community, Faults, Kind, Object, bounds};

/// Rules for what is taken from and announced to a peer. The first rule that matches decides.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BgpFilter {
    /// What is announced of IPv4.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub export_v4: Vec<FilterRule>,
    /// What is taken of IPv4.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub import_v4: Vec<FilterRule>,
    /// What is announced of IPv6.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub export_v6: Vec<FilterRule>,
    /// What is taken of IPv6.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub import_v6: Vec<FilterRule>,
}

/// One rule: every condition given must hold; a rule without conditions always matches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FilterRule {
    /// What the route's prefix is compared with, by `matchOperator`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cidr: Option<Prefix>,
    /// How. Goes together with `cidr`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub match_operator: Option<MatchOperator>,
    /// Bounds on the length of the route's prefix. Goes with `cidr`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix_length: Option<PrefixLengthRange>,
    /// Where the route is from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<MatchSource>,
    /// The kind of session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_type: Option<PeerType>,
    /// Communities that the route must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub communities: Option<CommunityMatch>,
    /// The AS path starts with these.
    #[serde(default, rename = "asPathPrefix", skip_serializing_if = "Vec::is_empty")]
    pub as_path_prefix: Vec<Asn>,
    /// The interface of the route, with wildcards. Read so that it can be refused by name: bgpd's routes have next hops,
    /// and the interface follows from the node's routing table afterwards.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub interface: String,
    /// The priority (metric) of the route in the node's table. Read so that it can be refused by name: all of Cairn's routes
    /// have one metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i64>,
    /// What to do.
    pub action: FilterAction,
    /// What to change in an accepted route, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<FilterOperation>,
}

/// How a route's prefix is compared with a rule's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum MatchOperator {
    /// The same.
    Equal,
    /// Not the same.
    NotEqual,
    /// Inside, or the same.
    In,
    /// Neither inside nor the same.
    NotIn,
}

/// Bounds on a prefix length, both inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PrefixLengthRange {
    /// Default: the length of `cidr`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<u8>,
    /// Default: 32 or 128.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u8>,
}

/// Where a route is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum MatchSource {
    /// Learned from a BGP peer.
    RemotePeers,
}

/// The kind of session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum PeerType {
    /// The peer has another AS number.
    #[serde(rename = "eBGP")]
    Ebgp,
    /// The peer has the same AS number.
    #[serde(rename = "iBGP")]
    Ibgp,
}

/// Communities that must all be there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CommunityMatch {
    /// The values.
    pub values: Vec<Community>,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum FilterAction {
    /// Lets the route pass.
    Accept,
    /// Drops it.
    Reject,
}

/// A change of an accepted route: exactly one field is set.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FilterOperation {
    /// Adds a community.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub add_community: Option<AddCommunity>,
    /// Puts AS numbers before the path.
    #[serde(default, rename = "prependASPath", skip_serializing_if = "Option::is_none")]
    pub prepend_as_path: Option<PrependAsPath>,
    /// Sets the route's priority. Read so that it can be refused by name, as [`FilterRule::priority`] is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_priority: Option<SetPriority>,
}

/// Sets the priority of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SetPriority {
    /// The priority.
    pub value: i64,
}

/// Adds a community.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AddCommunity {
    /// The community.
    pub value: Community,
}

/// Puts AS numbers before the path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PrependAsPath {
    /// The numbers, the first of them first in the path. 1 to 10.
    pub prefix: Vec<Asn>,
}

impl FilterRule {
    /// The AS numbers that it puts before the path, those of all its operations: what is prepended last stands first.
    pub fn prepended(&self) -> impl Iterator<Item = Asn> {
        let operations = self.operations.iter().filter_map(|operation| operation.prepend_as_path.as_ref());
        operations.flat_map(|prepend| prepend.prefix.iter().rev().copied())
    }

    /// Why no speaker can do what it says, though each of its fields is right.
    pub fn objection(&self) -> Option<&'static str> {
        let numbers: Vec<Asn> = self.prepended().collect();
        // Such a rule becomes several, and the second would be asked of a path that the first has changed.
        let several =
            numbers.len() > Self::MOST_PREPENDED || numbers.iter().any(|asn| Some(asn) != numbers.first());
        (several && !self.as_path_prefix.is_empty()).then_some(
            "prependASPath with different AS numbers, or more than 16, cannot be joined with asPathPrefix",
        )
    }

    /// How often a speaker prepends one AS number in one rule.
    pub const MOST_PREPENDED: usize = 16;
}

impl Kind for BgpFilter {
    type Status = super::ObjectStatus;
    const KIND: &'static str = "BGPFilter";
    const PLURAL: &'static str = "bgpfilters";

    fn validate(object: &Object<Self>, faults: &mut Faults) {
        let spec = &object.spec;
        for (field, family, rules) in [
            ("exportV4", Family::Ipv4, &spec.export_v4),
            ("importV4", Family::Ipv4, &spec.import_v4),
            ("exportV6", Family::Ipv6, &spec.export_v6),
            ("importV6", Family::Ipv6, &spec.import_v6),
        ] {
            faults.at_most(format!("spec.{field}"), rules.len(), bounds::LIST);
            for (index, rule) in rules.iter().enumerate() {
                validate_rule(rule, family, &format!("spec.{field}[{index}]"), faults);
            }
        }
    }
}

/// Why there are no priorities.
const PRIORITY: &str =
    "not supported: all of Cairn's routes have metric 1024; prefer routes by AS path (prependASPath)";

fn validate_rule(rule: &FilterRule, family: Family, path: &str, faults: &mut Faults) {
    let both = rule.cidr.is_some() == rule.match_operator.is_some();
    faults.require(both, format!("{path}.matchOperator"), "", "cidr and matchOperator go together");
    if let Some(cidr) = rule.cidr {
        let path = format!("{path}.cidr");
        faults.require(cidr.family() == family, path, cidr, format!("a prefix of {family}"));
    }
    if let Some(range) = rule.prefix_length {
        let (min, max) = (range.min.unwrap_or(0), range.max.unwrap_or(family.bits()));
        let fits = min <= max && max <= family.bits();
        let path = format!("{path}.prefixLength");
        faults.require(rule.cidr.is_some(), &path, format!("{min}-{max}"), "only together with cidr");
        faults.require(fits, path, format!("{min}-{max}"), format!("min <= max <= {}", family.bits()));
    }
    if let Some(communities) = &rule.communities {
        let (path, count) = (format!("{path}.communities.values"), communities.values.len());
        faults.require(count > 0, &path, "[]", "at least one");
        faults.at_most(path, count, bounds::COMMUNITIES);
    }
    faults.at_most(format!("{path}.asPathPrefix"), rule.as_path_prefix.len(), bounds::AS_PATH);
    faults.require(
        rule.interface.is_empty(),
        format!("{path}.interface"),
        &rule.interface,
        "not supported: match by cidr, communities, asPathPrefix, peerType or source",
    );
    if let Some(priority) = rule.priority {
        faults.add(format!("{path}.priority"), priority, PRIORITY);
    }
    if rule.action == FilterAction::Reject {
        let count = rule.operations.len();
        faults.require(count == 0, format!("{path}.operations"), count, "only with action Accept");
    }
    faults.at_most(format!("{path}.operations"), rule.operations.len(), bounds::OPERATIONS);
    for (index, operation) in rule.operations.iter().enumerate() {
        let path = format!("{path}.operations[{index}]");
        if let Some(priority) = operation.set_priority {
            faults.add(format!("{path}.setPriority.value"), priority.value, PRIORITY);
            continue;
        }
        let count =
            usize::from(operation.add_community.is_some()) + usize::from(operation.prepend_as_path.is_some());
        faults.require(count == 1, &path, count, "exactly one of addCommunity and prependASPath");
        if let Some(prepend) = &operation.prepend_as_path {
            let count = prepend.prefix.len();
            let fits = (1..=bounds::PREPENDED).contains(&count) && !prepend.prefix.contains(&Asn::ZERO);
            let rule = format!("1 to {} AS numbers, none of them 0", bounds::PREPENDED);
            faults.require(fits, format!("{path}.prependASPath.prefix"), count, rule);
        }
    }
}
