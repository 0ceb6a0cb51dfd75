//! Options of a session as the speaker has them.

use bgp_core::nexthop::NextHopTracking;
use bgp_core::speaker;
use bgp_core::wire;
use bgpd_api::config::{Config, InterfaceNeighbor, ListenRange, PeerOptions, PrefixLimitAction, Role};
use bgpd_policy::Compiled;
use cairn_net::{Asn, Family};

use super::outbound;

pub(super) fn next_hop_tracking(config: &Config) -> Option<NextHopTracking> {
    let options = &config.next_hop_tracking;
    let resolve_via_default = options.resolve_via_default.unwrap_or(true);
    options.enabled.unwrap_or(false).then_some(NextHopTracking { resolve_via_default })
}

/// The AS of a neighbour, or what stands for it until its OPEN says which it is; and the rule for that.
pub(super) fn remote_as(config: &Config, options: &PeerOptions) -> (Asn, speaker::RemoteAs) {
    // The document is valid, so every neighbour has one.
    match options.remote_as.and_then(|remote_as| remote_as.number(config.local_as)) {
        Some(asn) => (asn, speaker::RemoteAs::Configured),
        None => (Asn::ZERO, speaker::RemoteAs::External),
    }
}

pub(super) fn local_as(options: &PeerOptions) -> Option<speaker::LocalAs> {
    options.local_as.map(|asn| speaker::LocalAs {
        asn,
        no_prepend: options.local_as_no_prepend.unwrap_or(false),
        replace_as: options.local_as_replace_as.unwrap_or(false),
    })
}

pub(super) fn role(options: &PeerOptions) -> Option<speaker::RoleConfig> {
    let role = match options.role? {
        Role::Provider => wire::Role::Provider,
        Role::RouteServer => wire::Role::RouteServer,
        Role::RouteServerClient => wire::Role::RouteServerClient,
        Role::Customer => wire::Role::Customer,
        Role::Peer => wire::Role::Peer,
    };
    Some(speaker::RoleConfig { role, strict: options.role_strict.unwrap_or(false) })
}

pub(super) fn prefix_limit(options: &PeerOptions) -> Option<speaker::PrefixLimit> {
    let percent = options.max_prefixes_warning.unwrap_or(speaker::PrefixLimit::WARN_PERCENT);
    let limit = speaker::PrefixLimit::new(options.max_prefixes?, percent);
    let action = match (options.max_prefixes_action.unwrap_or_default(), options.max_prefixes_restart_time) {
        (PrefixLimitAction::Warn, _) => speaker::LimitAction::Warn,
        (PrefixLimitAction::Idle, Some(time)) => speaker::LimitAction::RestartAfter(time),
        (PrefixLimitAction::Idle, None) => speaker::LimitAction::Idle,
    };
    Some(speaker::PrefixLimit { action, ..limit })
}

/// What holds for the neighbour of an interface once its address is known.
pub(super) fn interface_options(config: &Config, neighbor: &InterfaceNeighbor) -> PeerOptions {
    let mut options = config.options_of_interface(neighbor);
    options.families.get_or_insert_with(|| Family::ALL.to_vec());
    options.description.get_or_insert_with(|| format!("interface {}", neighbor.interface));
    options.bind_interface = Some(neighbor.interface.clone());
    options
}

pub(super) fn listen_range(
    config: &Config,
    range: &ListenRange,
    mut options: PeerOptions,
    (policies, lists): (&Compiled, &outbound::Lists),
) -> speaker::ListenRange {
    options.passive = Some(true);
    let sent = outbound::outbound(&options, lists);
    let mut peer = super::peer(config, range.prefix.family(), options, policies);
    peer.outbound = sent;
    if !range.remote_as.is_empty() {
        let ranges = range.remote_as.iter().map(|part| part.first..=part.last).collect();
        peer.remote_as = speaker::RemoteAs::OneOf(ranges);
    }
    speaker::ListenRange { prefix: range.prefix, limit: range.limit, peer }
}
