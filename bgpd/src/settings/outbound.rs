//! What a neighbour is sent beside its export filter, and aggregates.

use std::collections::BTreeMap;
use std::sync::Arc;

use bgp_core::policy::{PrefixEntry, PrefixList};
use bgp_core::speaker;
use bgpd_api::config::{
    Aggregate, Blackhole, ConditionalAdvertisement, Config, Name, PeerOptions, PrefixRange,
};

pub(super) type Lists = BTreeMap<Name, Arc<PrefixList>>;

/// Every prefix set of the document, as a list that permits what it matches.
pub(super) fn prefix_lists(config: &Config) -> Lists {
    // The document is valid, and so are the bounds.
    let entry = |range: &PrefixRange| PrefixEntry::new(range.prefix, range.ge, range.le, true).ok();
    let list =
        |ranges: &Vec<PrefixRange>| Arc::new(PrefixList::new(ranges.iter().filter_map(entry).collect()));
    config.prefix_sets.iter().map(|(name, ranges)| (name.clone(), list(ranges))).collect()
}

/// A neighbour's options. The document is valid, so every set that it names is defined.
pub(super) fn outbound(options: &PeerOptions, lists: &Lists) -> speaker::OutboundConfig {
    let list = |name: &Name| lists.get(name).cloned().unwrap_or_default();
    let rule = |rule: &ConditionalAdvertisement| {
        Some(speaker::ConditionalAdvertisement {
            routes: list(&rule.prefix_set),
            condition: list(rule.exist.as_ref().or(rule.non_exist.as_ref())?),
            exist: rule.exist.is_some(),
        })
    };
    let default = options.default_originate.as_ref().filter(|default| default.enabled.unwrap_or(true));
    speaker::OutboundConfig {
        remove_private_as: options
            .remove_private_as
            .map(|remove| speaker::RemovePrivateAs { all: remove.all, replace: remove.replace_as }),
        as_override: options.as_override.unwrap_or(false),
        graceful_shutdown: options.graceful_shutdown.unwrap_or(false),
        send_communities: options.send_community.map_or_else(Default::default, |send| {
            speaker::SendCommunities { standard: send.standard, extended: send.extended, large: send.large }
        }),
        default_originate: default
            .map(|default| speaker::DefaultOriginate { condition: default.if_present.as_ref().map(list) }),
        conditional: options
            .conditional_advertisement
            .iter()
            .flat_map(|rules| &rules.0)
            .filter_map(rule)
            .collect(),
    }
}

pub(super) fn blackhole(options: Blackhole) -> speaker::BlackholeConfig {
    speaker::BlackholeConfig { min_len: [options.ipv4_min_length, options.ipv6_min_length] }
}

pub(super) fn aggregate(aggregate: &Aggregate) -> speaker::AggregateConfig {
    speaker::AggregateConfig {
        prefix: aggregate.prefix,
        summary_only: aggregate.summary_only,
        as_set: aggregate.as_set,
        matching_med_only: aggregate.matching_med_only,
    }
}
