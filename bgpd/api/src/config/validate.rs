//! What a document must be beyond its types. Every fault is reported, none hides another.

mod bfd;
mod calls;
mod mrt;
mod neighbor;
mod policy;
mod session;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::IpAddr;
use std::time::Duration;

use cairn_net::Asn;

use super::{Config, Fault, GracefulRestart, Timers};

/// Neighbours that one daemon can have. Bounds what a document can make the daemon hold.
const MAX_NEIGHBORS: usize = 10_000;
/// Aggregates that one daemon can have: each change of the Loc-RIB looks at all of them.
const MAX_AGGREGATES: usize = 1_000;

/// Largest long-lived stale time: 24 bits of seconds (RFC 9494 section 3).
const MAX_LONG_LIVED: u64 = 0x00ff_ffff;

impl Config {
    /// Everything that is wrong, with paths but without lines.
    pub fn faults(&self) -> Vec<Fault> {
        let mut check = Check { config: self, faults: Vec::new() };
        check.speaker();
        check.timers("timers", &self.timers);
        check.graceful_restart("gracefulRestart", &self.graceful_restart);
        check.bmp();
        check.mrt();
        check.policy();
        check.neighbors();
        check.listen_ranges();
        check.interface_neighbors();
        check.originate();
        check.aggregates();
        check.faults
    }
}

/// BMP collectors that one daemon can have: each may hold a queue.
const MAX_COLLECTORS: usize = 8;

struct Check<'a> {
    config: &'a Config,
    faults: Vec<Fault>,
}

impl Check<'_> {
    fn fault(&mut self, path: impl Into<String>, value: impl Display, rule: impl Into<String>) {
        self.faults.push(Fault {
            line: 0,
            column: 0,
            path: path.into(),
            value: value.to_string(),
            rule: rule.into(),
        });
    }

    fn speaker(&mut self) {
        let config = self.config;
        self.asn("localAs", config.local_as);
        self.confederation();
        for (path, on) in [
            ("bestPath.deterministicMed", config.best_path.deterministic_med),
            ("bestPath.compareRouterId", config.best_path.compare_router_id),
        ] {
            if !on {
                self.fault(
                    path,
                    false,
                    "must be true: the choice never depends on the order in which paths came",
                );
            }
        }
        if config.listen.port == 0 {
            self.fault("listen.port", 0, "a port is 1 to 65535");
        }
        for (index, addr) in config.listen.addresses.iter().enumerate() {
            let path = format!("listen.addresses[{index}]");
            if addr.is_multicast() {
                self.fault(&*path, addr, "must be a unicast address, 0.0.0.0 or ::");
            }
            if config.listen.addresses.iter().take(index).any(|earlier| earlier == addr) {
                self.fault(path, addr, "is listed twice");
            }
        }
        for (path, paths) in
            [("multipath.ebgp", config.multipath.ebgp), ("multipath.ibgp", config.multipath.ibgp)]
        {
            if !(1..=64).contains(&paths) {
                self.fault(path, paths, "must be 1 to 64");
            }
        }
        if let Some(listen) = config.metrics.listen {
            if listen.port() == 0 {
                self.fault("metrics.listen", listen, "a port is 1 to 65535");
            }
            if listen.ip().is_multicast() {
                self.fault("metrics.listen", listen, "must be a unicast address, 0.0.0.0 or ::");
            }
        }
        self.unicast_list("nextHopAddresses", &config.next_hop_addresses);
    }

    fn confederation(&mut self) {
        let config = self.config;
        let Some(confederation) = &config.confederation else { return };
        self.asn("confederation.identifier", confederation.identifier);
        if confederation.identifier == config.local_as {
            let rule = "is localAs: that is the number of this member AS, this the number of them all";
            self.fault("confederation.identifier", confederation.identifier, rule);
        }
        for (index, member) in confederation.members.iter().enumerate() {
            let path = format!("confederation.members[{index}]");
            self.asn(&path, *member);
            if *member == config.local_as {
                self.fault(&*path, member, "is localAs: name the other member ASes");
            }
            if *member == confederation.identifier {
                self.fault(path, member, "is the confederation's identifier");
            }
        }
    }

    fn unicast_list(&mut self, path: &str, addresses: &[IpAddr]) {
        for (index, addr) in addresses.iter().enumerate().filter(|(_, addr)| !is_unicast(**addr)) {
            self.fault(format!("{path}[{index}]"), addr, "must be a unicast address");
        }
    }

    fn asn(&mut self, path: &str, asn: Asn) {
        if asn.is_reserved() {
            self.fault(path, asn, "is reserved and cannot be the number of a speaker");
        }
    }

    fn timers(&mut self, path: &str, timers: &Timers) {
        if let Some(hold) = timers.hold_time.filter(|hold| !matches!(hold.as_secs(), 0 | 3..=65535)) {
            self.fault(
                format!("{path}.holdTime"),
                hold.as_secs(),
                "must be 0 (off) or 3 to 65535 seconds (RFC 4271 section 4.2)",
            );
        }
        if let Some(keepalive) = timers.keepalive_time {
            let hold = timers.hold_time.or(self.config.timers.hold_time).unwrap_or(Duration::from_secs(90));
            let seconds = keepalive.as_secs();
            if seconds == 0 || (!hold.is_zero() && seconds * 3 > hold.as_secs()) {
                let rule = format!("must be 1 to {} seconds, a third of the hold time", hold.as_secs() / 3);
                self.fault(format!("{path}.keepaliveTime"), seconds, rule);
            }
        }
        self.seconds(&format!("{path}.connectRetryTime"), timers.connect_retry_time, 1, 65535);
        self.seconds(&format!("{path}.sendHoldTime"), timers.send_hold_time, 0, 65535);
    }

    fn graceful_restart(&mut self, path: &str, restart: &GracefulRestart) {
        self.seconds(&format!("{path}.restartTime"), restart.restart_time, 1, 4095);
        self.seconds(&format!("{path}.deferralTime"), restart.deferral_time, 0, 65535);
        for (family, time) in restart.long_lived_stale_time.iter() {
            let path = format!("{path}.longLivedStaleTime.{family}");
            self.seconds(&path, Some(time), 0, MAX_LONG_LIVED);
            if restart.enabled == Some(false) && !time.is_zero() {
                self.fault(path, time.as_secs(), "needs gracefulRestart.enabled (RFC 9494 section 4.1)");
            }
        }
    }

    fn bmp(&mut self) {
        let collectors = &self.config.bmp;
        if collectors.len() > MAX_COLLECTORS {
            self.fault(
                "bmp",
                format!("{} collectors", collectors.len()),
                format!("at most {MAX_COLLECTORS}"),
            );
        }
        for (index, collector) in collectors.iter().enumerate() {
            let path = format!("bmp[{index}]");
            let address = collector.collector;
            if address.port() == 0 || !is_unicast(address.ip()) {
                self.fault(
                    format!("{path}.collector"),
                    address,
                    "must be a unicast address with a port of 1 to 65535",
                );
            }
            if collectors.iter().take(index).any(|earlier| earlier.collector == address) {
                self.fault(format!("{path}.collector"), address, "is listed twice");
            }
            if !(collector.pre_policy || collector.post_policy || collector.loc_rib || collector.adj_rib_out)
            {
                self.fault(
                    path.clone(),
                    address,
                    "must have one of prePolicy, postPolicy, locRib and adjRibOut",
                );
            }
            self.seconds(&format!("{path}.statisticsTime"), collector.statistics_time, 0, 65535);
        }
    }

    fn seconds(&mut self, path: &str, value: Option<Duration>, low: u64, high: u64) {
        if let Some(value) = value.map(|value| value.as_secs()).filter(|value| !(low..=high).contains(value))
        {
            self.fault(path, value, format!("must be {low} to {high} seconds"));
        }
    }

    fn aggregates(&mut self) {
        let mut seen = BTreeMap::new();
        let config = self.config;
        if config.aggregates.len() > MAX_AGGREGATES {
            self.fault("aggregates", config.aggregates.len(), format!("at most {MAX_AGGREGATES} aggregates"));
        }
        for (index, aggregate) in config.aggregates.iter().enumerate() {
            let path = format!("aggregates[{index}].prefix");
            if let Some(first) = seen.insert(aggregate.prefix, index) {
                self.fault(&*path, aggregate.prefix, format!("is the prefix of aggregates[{first}] already"));
            }
            if aggregate.prefix.is_host() {
                self.fault(path, aggregate.prefix, "covers no more specific route");
            }
        }
    }

    fn originate(&mut self) {
        let config = self.config;
        let mut seen = BTreeMap::new();
        for (index, route) in config.originate.iter().enumerate() {
            let path = format!("originate[{index}]");
            if let Some(first) = seen.insert(route.prefix, index) {
                let rule = format!("is originated already by originate[{first}]");
                self.fault(format!("{path}.prefix"), route.prefix, rule);
            }
            if route.prefix.addr().is_multicast() {
                self.fault(format!("{path}.prefix"), route.prefix, "must be unicast");
            }
            if let Some(next_hop) = route.next_hop.filter(|addr| !is_unicast(*addr)) {
                self.fault(format!("{path}.nextHop"), next_hop, "must be a unicast address");
            }
            if route.communities.len() > 255 {
                let count = format!("{} communities", route.communities.len());
                self.fault(format!("{path}.communities"), count, "at most 255");
            }
        }
    }
}

/// An address that one host can have.
fn is_unicast(addr: IpAddr) -> bool {
    let broadcast = matches!(addr, IpAddr::V4(v4) if v4.is_broadcast());
    !addr.is_unspecified() && !addr.is_multicast() && !broadcast
}
