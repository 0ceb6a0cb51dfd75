//! Options of `session.rs`: local AS, roles, limits, keys, and ranges of neighbours.

use std::collections::BTreeMap;

use cairn_net::Asn;

use super::{Check, MAX_NEIGHBORS};
use crate::config::{InterfaceNeighbor, ListenRange, Name, PeerOptions, PrefixLimitAction, Secret};

/// Longest name of an interface. Unit: bytes. Source: `IFNAMSIZ` of linux/if.h, which counts a NUL.
const INTERFACE_NAME: usize = 15;
/// Keys of one neighbour.
const TCP_AO_KEYS: usize = 16;

impl Check<'_> {
    /// What a neighbour or a peer group says by itself.
    pub(super) fn session(&mut self, path: &str, options: &PeerOptions) {
        let at = |field: &str| format!("{path}.{field}");
        if let Some(asn) = options.local_as {
            self.asn(&at("localAs"), asn);
            if asn == self.config.local_as {
                self.fault(at("localAs"), asn, "is the document's localAs already; leave it out");
            } else if self.config.confederation.as_ref().is_some_and(|all| all.identifier == asn) {
                self.fault(at("localAs"), asn, "is the confederation's identifier already; leave it out");
            }
        }
        if let Some(percent) = options.max_prefixes_warning.filter(|percent| !(1..=100).contains(percent)) {
            self.fault(at("maxPrefixesWarning"), percent, "must be 1 to 100 percent");
        }
        self.seconds(&at("maxPrefixesRestartTime"), options.max_prefixes_restart_time, 1, 65535);
        if let Some(name) = &options.bind_interface
            && let Some(rule) = interface_fault(name)
        {
            self.fault(at("bindInterface"), format!("{name:?}"), rule);
        }
        self.tcp_ao(&at("tcpAo"), options);
    }

    fn tcp_ao(&mut self, path: &str, options: &PeerOptions) {
        let Some(keys) = &options.tcp_ao else { return };
        if !(1..=TCP_AO_KEYS).contains(&keys.len()) {
            self.fault(path, format!("{} keys", keys.len()), format!("must have 1 to {TCP_AO_KEYS} keys"));
        }
        for (field, there) in
            [("password", options.password.is_some()), ("passwordFile", options.password_file.is_some())]
        {
            if there {
                self.fault(path, "", format!("excludes {field}: a connection has one kind of signature"));
            }
        }
        for (index, key) in keys.iter().enumerate() {
            let at = |field: &str| format!("{path}[{index}].{field}");
            let earlier = || keys.iter().take(index);
            if earlier().any(|other| other.send_id == key.send_id) {
                self.fault(at("sendId"), key.send_id, "is the sendId of another key of this neighbour");
            }
            if earlier().any(|other| other.receive_id == key.receive_id) {
                self.fault(
                    at("receiveId"),
                    key.receive_id,
                    "is the receiveId of another key of this neighbour",
                );
            }
            let len = key.secret.expose().len();
            if key.secret.expose() == Secret::HIDDEN {
                self.fault(at("secret"), "", "is the mark that stands for a hidden secret, not a secret");
            } else if !(1..=80).contains(&len) {
                self.fault(at("secret"), format!("{len} bytes"), "a secret has 1 to 80 bytes");
            }
        }
    }

    /// What can be told only once the options of group and neighbour are together. An external neighbour's AS need not be known.
    pub(super) fn effective_session(&mut self, path: &str, remote_as: Option<Asn>, options: &PeerOptions) {
        let at = |field: &str| format!("{path}.{field}");
        let confederation = self.config.confederation.as_ref();
        let is_ours = |asn: Asn| {
            asn == self.config.local_as || confederation.is_some_and(|all| all.members.contains(&asn))
        };
        let internal = remote_as.is_some_and(is_ours);
        if let Some(asn) = options.local_as {
            if internal {
                self.fault(at("localAs"), asn, "is for external neighbours");
            } else if Some(asn) == remote_as {
                self.fault(at("localAs"), asn, "is the neighbour's own AS");
            }
        }
        for (field, set) in [
            ("localAsNoPrepend", options.local_as_no_prepend),
            ("localAsReplaceAs", options.local_as_replace_as),
        ] {
            if set == Some(true) && options.local_as.is_none() {
                self.fault(at(field), true, "needs localAs, here or in the peer group");
            }
        }
        if options.disable_connected_check == Some(true) && internal {
            self.fault(at("disableConnectedCheck"), true, "is for external neighbours");
        }
        if options.role.is_some() && internal {
            self.fault(at("role"), "", "is for external neighbours (RFC 9234)");
        }
        if options.role_strict == Some(true) && options.role.is_none() {
            self.fault(at("roleStrict"), true, "needs role, here or in the peer group");
        }
        for (field, there) in [
            ("maxPrefixesWarning", options.max_prefixes_warning.is_some()),
            ("maxPrefixesAction", options.max_prefixes_action.is_some()),
            ("maxPrefixesRestartTime", options.max_prefixes_restart_time.is_some()),
        ] {
            if there && options.max_prefixes.is_none() {
                self.fault(at(field), "", "needs maxPrefixes, here or in the peer group");
            }
        }
        if options.max_prefixes_action == Some(PrefixLimitAction::Warn)
            && options.max_prefixes_restart_time.is_some()
        {
            self.fault(at("maxPrefixesRestartTime"), "", "excludes maxPrefixesAction warn");
        }
    }

    pub(super) fn interface_neighbors(&mut self) {
        let config = self.config;
        if config.interface_neighbors.len() > MAX_NEIGHBORS {
            let rule = format!("at most {MAX_NEIGHBORS} neighbours");
            self.fault("interfaceNeighbors", config.interface_neighbors.len(), rule);
        }
        let mut seen = BTreeMap::new();
        for (index, neighbor) in config.interface_neighbors.iter().enumerate() {
            let path = format!("interfaceNeighbors[{index}]");
            let name = &neighbor.interface;
            if let Some(rule) = interface_fault(name) {
                self.fault(format!("{path}.interface"), format!("{name:?}"), rule);
            }
            if let Some(first) = seen.insert(name, index) {
                let rule = format!("is the interface of interfaceNeighbors[{first}] already");
                self.fault(format!("{path}.interface"), name, rule);
            }
            self.interface_neighbor(&path, neighbor);
        }
    }

    fn interface_neighbor(&mut self, path: &str, neighbor: &InterfaceNeighbor) {
        let config = self.config;
        self.peer_options(path, &neighbor.options);
        let unknown = |name: &&Name| !config.peer_groups.contains_key(*name);
        if let Some(group) = neighbor.peer_group.as_ref().filter(unknown) {
            return self.fault(format!("{path}.peerGroup"), group, "no peer group of this name is defined");
        }
        let options = config.options_of_interface(neighbor);
        for (field, there) in [
            ("localAddress", options.local_address.is_some()),
            ("bindInterface", options.bind_interface.is_some()),
            ("ebgpMultihop", options.ebgp_multihop.is_some()),
        ] {
            if there {
                let rule = "has no meaning for a neighbour that is named by its interface";
                self.fault(format!("{path}.{field}"), "", rule);
            }
        }
        self.effective_options(path, None, &neighbor.options, &options);
    }

    pub(super) fn listen_ranges(&mut self) {
        let config = self.config;
        let mut seen = BTreeMap::new();
        for (index, range) in config.listen_ranges.iter().enumerate() {
            let path = format!("listenRanges[{index}]");
            if let Some(first) = seen.insert(range.prefix, index) {
                let rule = format!("is the prefix of listenRanges[{first}] already");
                self.fault(format!("{path}.prefix"), range.prefix, rule);
            }
            if range.prefix.addr().is_multicast() {
                self.fault(format!("{path}.prefix"), range.prefix, "must be unicast");
            }
            if !(1..=10_000).contains(&range.limit) {
                self.fault(format!("{path}.limit"), range.limit, "must be 1 to 10000");
            }
            self.listen_range(&path, range);
        }
    }

    fn listen_range(&mut self, path: &str, range: &ListenRange) {
        let config = self.config;
        if !config.peer_groups.contains_key(&range.peer_group) {
            let rule = "no peer group of this name is defined";
            return self.fault(format!("{path}.peerGroup"), &range.peer_group, rule);
        }
        let options = config.options_of_range(range);
        let Some(remote_as) = options.remote_as else {
            return self.fault(format!("{path}.remoteAs"), "", "is required, here or in the peer group");
        };
        for (index, part) in range.remote_as.iter().enumerate() {
            let at = format!("{path}.remoteAs[{index}]");
            self.asn(&at, part.first);
            if part.last != part.first {
                self.asn(&at, part.last);
            }
            let own = config.local_as;
            let mixed = (part.first..=part.last).contains(&own)
                && (part.first != part.last || range.remote_as.len() > 1);
            if mixed {
                let rule = format!("has localAs {own} among others: a range is either internal or external");
                self.fault(at, part, rule);
            }
        }
        let at = |field: &str| format!("{path}.peerGroup: {}.{field}", range.peer_group);
        for (field, there) in
            [("localAddress", options.local_address.is_some()), ("port", options.port.is_some())]
        {
            if there {
                self.fault(at(field), "", "has no meaning for neighbours that connect by themselves");
            }
        }
        let number = remote_as.number(config.local_as);
        self.effective_session(&format!("peerGroups[{}]", range.peer_group), number, &options);
    }
}

/// Why a name cannot be an interface's.
fn interface_fault(name: &str) -> Option<String> {
    let wrong =
        |letter: char| letter == '/' || letter == ':' || letter.is_whitespace() || letter.is_control();
    if name.is_empty() || name.len() > INTERFACE_NAME {
        Some(format!("the name of an interface has 1 to {INTERFACE_NAME} bytes"))
    } else if name.contains(wrong) || matches!(name, "." | "..") {
        Some("is no name of an interface".to_owned())
    } else {
        None
    }
}
