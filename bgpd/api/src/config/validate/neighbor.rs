//! Neighbours and peer groups.

use std::collections::BTreeMap;
use std::net::IpAddr;

use cairn_net::{Family, RemoteAs};

use super::{Check, MAX_LONG_LIVED, MAX_NEIGHBORS, is_unicast};
use crate::config::{ConditionalAdvertisement, Neighbor, NextHopMode, PeerOptions};

/// Rules of conditional advertisement of one neighbour: each route to it is looked up in all of them.
const MAX_CONDITIONS: usize = 16;

impl Check<'_> {
    pub(super) fn neighbors(&mut self) {
        let config = self.config;
        for (name, group) in &config.peer_groups {
            self.peer_options(&format!("peerGroups[{name}]"), group);
        }
        if config.neighbors.len() > MAX_NEIGHBORS {
            let rule = format!("at most {MAX_NEIGHBORS} neighbours");
            self.fault("neighbors", config.neighbors.len(), rule);
        }
        let mut seen = BTreeMap::new();
        for (index, neighbor) in config.neighbors.iter().enumerate() {
            let path = format!("neighbors[{index}]");
            if let Some(first) = seen.insert(neighbor.address, index) {
                let rule = format!("is the address of neighbors[{first}] already");
                self.fault(format!("{path}.address"), neighbor.address, rule);
            }
            self.neighbor(&path, neighbor);
        }
    }

    fn neighbor(&mut self, path: &str, neighbor: &Neighbor) {
        let config = self.config;
        let address = neighbor.address;
        if !is_unicast(address) {
            self.fault(format!("{path}.address"), address, "must be a unicast address");
        }
        if config.listen.addresses.contains(&address) {
            self.fault(format!("{path}.address"), address, "is an own address: this speaker listens on it");
        }
        self.peer_options(path, &neighbor.options);
        if let Some(group) =
            neighbor.peer_group.as_ref().filter(|name| !config.peer_groups.contains_key(name))
        {
            self.fault(format!("{path}.peerGroup"), group, "no peer group of this name is defined");
            return;
        }
        self.effective_options(path, Some(address), &neighbor.options, &config.options_of(neighbor));
    }

    /// What can be told only once the group's options are merged in. The address is known unless an interface names the neighbour.
    pub(super) fn effective_options(
        &mut self,
        path: &str,
        address: Option<IpAddr>,
        own: &PeerOptions,
        options: &PeerOptions,
    ) {
        let Some(remote_as) = options.remote_as else {
            return self.fault(format!("{path}.remoteAs"), "", "is required, here or in the peer group");
        };
        let number = remote_as.number(self.config.local_as);
        let internal = number == Some(self.config.local_as);
        let identifier = self.config.confederation.as_ref().map(|confederation| confederation.identifier);
        if number.is_some() && number == identifier {
            let rule = "is the identifier of this speaker's own confederation";
            self.fault(format!("{path}.remoteAs"), remote_as, rule);
        }
        if let (Some(local), Some(address)) = (options.local_address, address) {
            if local == address {
                self.fault(format!("{path}.localAddress"), address, "is the neighbour's own address");
            }
            if Family::of(local) != Family::of(address) {
                let rule = format!("must be of the same family as the neighbour's address {address}");
                self.fault(format!("{path}.localAddress"), local, rule);
            }
        }
        if options.route_reflector_client == Some(true) && !internal {
            let rule = format!(
                "a route reflector's client must be internal: remoteAs {remote_as} is not localAs {}",
                self.config.local_as
            );
            self.fault(format!("{path}.routeReflectorClient"), true, rule);
        }
        let external_only = [
            ("removePrivateAs", options.remove_private_as.is_some()),
            ("asOverride", options.as_override == Some(true)),
        ];
        for (field, _) in external_only.into_iter().filter(|(_, on)| *on && internal) {
            self.fault(format!("{path}.{field}"), "", "is for external neighbours");
        }
        if let Some(ttl) = options.ebgp_multihop.filter(|_| internal) {
            self.fault(
                format!("{path}.ebgpMultihop"),
                ttl,
                "is for external neighbours; internal ones are never bound to one hop",
            );
        }
        if options.ebgp_multihop.is_some() && options.ttl_security_hops.is_some() {
            self.fault(format!("{path}.ttlSecurityHops"), "", "excludes ebgpMultihop");
        }
        self.effective_session(path, number, options);
        if let Some(timers) = options.timers.clone() {
            let own = own.timers.is_some();
            // The neighbour's own timers were checked where they stand; here only what the merge brought about.
            let merged = timers.or(&self.config.timers);
            if own && merged.hold_time.is_none() {
                self.timers(&format!("{path}.timers"), &merged);
            }
        }
    }

    pub(super) fn peer_options(&mut self, path: &str, options: &PeerOptions) {
        let at = |field: &str| format!("{path}.{field}");
        if let Some(RemoteAs::Number(asn)) = options.remote_as {
            self.asn(&at("remoteAs"), asn);
        }
        if let Some(text) = options.description.as_ref().filter(|text| text.chars().count() > 255) {
            self.fault(at("description"), format!("{} characters", text.chars().count()), "at most 255");
        }
        if let Some(bfd) = &options.bfd {
            self.bfd(&at("bfd"), bfd);
        }
        if let Some(addr) = options.local_address.filter(|addr| !is_unicast(*addr)) {
            self.fault(at("localAddress"), addr, "must be a unicast address");
        }
        if options.port == Some(0) {
            self.fault(at("port"), 0, "a port is 1 to 65535");
        }
        if let Some(ttl) = options.ebgp_multihop.filter(|ttl| *ttl < 2) {
            self.fault(
                at("ebgpMultihop"),
                ttl,
                "must be 2 to 255; leave it out for a neighbour on the same link",
            );
        }
        if let Some(hops) = options.ttl_security_hops.filter(|hops| !(1..=254).contains(hops)) {
            self.fault(at("ttlSecurityHops"), hops, "must be 1 to 254");
        }
        self.password(path, options);
        self.session(path, options);
        if let Some(timers) = &options.timers {
            self.timers(&at("timers"), timers);
        }
        self.seconds(&at("staleRoutesTime"), options.stale_routes_time, 0, 65535);
        let long_lived = options.long_lived_stale_routes_time;
        self.seconds(&at("longLivedStaleRoutesTime"), long_lived, 0, MAX_LONG_LIVED);
        self.unicast_list(&at("nextHopAddresses"), options.next_hop_addresses.as_deref().unwrap_or_default());
        if options.families.as_ref().is_some_and(Vec::is_empty) {
            self.fault(at("families"), "[]", "at least one family");
        }
        self.outbound(path, options);
        if let Some(times) = options.allowas_in.filter(|times| *times > 10) {
            self.fault(at("allowasIn"), times, "must be 0 to 10");
        }
        if options.max_prefixes == Some(0) {
            self.fault(at("maxPrefixes"), 0, "must be 1 to 4294967295");
        }
        for (field, filter) in [("import", &options.import), ("export", &options.export)] {
            if let Some(name) = filter {
                self.filter_chain(&at(field), name);
            }
        }
    }

    fn outbound(&mut self, path: &str, options: &PeerOptions) {
        let at = |field: &str| format!("{path}.{field}");
        let sets = &self.config.prefix_sets;
        if let Some(NextHopMode::Address(addr)) =
            options.next_hop.filter(|mode| matches!(mode, NextHopMode::Address(addr) if !is_unicast(*addr)))
        {
            self.fault(at("nextHop"), addr, "must be auto, self, unchanged or a unicast address");
        }
        if let Some(default) = &options.default_originate {
            self.set_name(&at("defaultOriginate.ifPresent"), &default.if_present, sets);
        }
        if let Some(rules) = &options.conditional_advertisement {
            self.conditional(&at("conditionalAdvertisement"), &rules.0);
        }
        if let Some(blackhole) = options.blackhole {
            for (field, len, bits) in [
                ("ipv4MinLength", blackhole.ipv4_min_length, 32),
                ("ipv6MinLength", blackhole.ipv6_min_length, 128),
            ] {
                if !(1..=bits).contains(&len) {
                    self.fault(format!("{path}.blackhole.{field}"), len, format!("must be 1 to {bits}"));
                }
            }
        }
    }

    fn conditional(&mut self, path: &str, rules: &[ConditionalAdvertisement]) {
        let sets = &self.config.prefix_sets;
        if !(1..=MAX_CONDITIONS).contains(&rules.len()) {
            self.fault(path, format!("{} rules", rules.len()), format!("must be 1 to {MAX_CONDITIONS}"));
        }
        for (index, rule) in rules.iter().enumerate() {
            // One rule has no list around it.
            let path = if rules.len() == 1 { path.to_owned() } else { format!("{path}[{index}]") };
            let at = |field: &str| format!("{path}.{field}");
            self.set_name(&at("prefixSet"), &Some(rule.prefix_set.clone()), sets);
            self.set_name(&at("exist"), &rule.exist, sets);
            self.set_name(&at("nonExist"), &rule.non_exist, sets);
            if rule.exist.is_some() == rule.non_exist.is_some() {
                self.fault(path, "", "needs either exist or nonExist");
            }
        }
    }

    fn password(&mut self, path: &str, options: &PeerOptions) {
        if options.password.is_some() && options.password_file.is_some() {
            self.fault(format!("{path}.passwordFile"), "", "excludes password");
        }
        let Some(password) = &options.password else { return };
        let path = format!("{path}.password");
        if password.expose() == crate::config::Secret::HIDDEN {
            self.fault(path, "", "is the mark that stands for a hidden password, not a password");
        } else if !(1..=80).contains(&password.expose().len()) {
            // The kernel's TCP_MD5SIG_MAXKEYLEN.
            self.fault(path, format!("{} bytes", password.expose().len()), "a password has 1 to 80 bytes");
        }
    }
}
