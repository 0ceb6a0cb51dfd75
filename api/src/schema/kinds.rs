//! Bounds, rules between fields, columns and short names of each kind.

use super::{Column, Refinement, Resource};
use crate::kinds::{
    BgpConfiguration, BgpFilter, BgpPeer, BlockAffinity, EgressGateway, EgressMembers, IpPool, IpReservation,
    IpamBlock, IpamConfiguration, NodeConfiguration, NodeStatus, WireguardPeer,
};

/// Most entries of a list that people write.
const LIST: usize = 256;
/// The largest name of an object.
const NAME: usize = 253;
const PORTS: (u64, u64) = (1, 65535);
const MTU: (u64, u64) = (1280, 65535);
/// A key of a label or taint.
const KEY: &str = "^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[a-zA-Z0-9]([-._a-zA-Z0-9]{0,61}[a-zA-Z0-9])?$";

const fn column(name: &'static str, kind: &'static str, path: &'static str) -> Column {
    Column { name, path, kind, wide: false }
}

const fn wide(name: &'static str, kind: &'static str, path: &'static str) -> Column {
    Column { name, path, kind, wide: true }
}

/// Does the object, and what it names, make sense?
const ACCEPTED: Column = column("Accepted", "string", ".status.conditions[?(@.type==\"Accepted\")].status");
const REASON: Column = wide("Reason", "string", ".status.conditions[?(@.type==\"Accepted\")].reason");

/// There is one object of the kind.
fn singleton(schema: &mut Refinement<'_>) {
    schema.at("").rule("self.metadata.name == 'default'", "there is only one, named default");
}

/// The name says the range, so that there are never two objects of one range.
fn named_by_range(schema: &mut Refinement<'_>) {
    schema.at("").rule(
        "self.spec.cidr.contains(':') || self.metadata.name == self.spec.cidr.replace('.', '-').replace('/', '-')",
        "metadata.name must be made from spec.cidr, such as 10-0-0-64-26",
    );
    schema.at("spec").rule("self.cidr == oldSelf.cidr", "cidr never changes");
}

fn speaker_asn(schema: &mut Refinement<'_>, path: &str) {
    schema
        .at(path)
        .range(1, 4_294_967_294)
        .rule("self != 23456 && self != 65535", "23456 and 65535 are reserved");
}

fn whole_seconds(schema: &mut Refinement<'_>, path: &str, least: u64, most: u64) {
    schema.at(path).rule(
        &format!(
            "duration(self) >= duration('{least}s') && duration(self) <= duration('{most}s') && duration(self).getMilliseconds() % 1000 == 0"
        ),
        &format!("whole seconds, {least}s to {most}s"),
    );
}

fn bfd(schema: &mut Refinement<'_>, path: &str) {
    for field in ["minTxInterval", "minRxInterval"] {
        schema
            .at(&format!("{path}.{field}"))
            .rule("duration(self) >= duration('50ms') && duration(self) <= duration('60s')", "50ms to 60s");
    }
    schema.at(&format!("{path}.multiplier")).range(1, 255);
}

fn password(schema: &mut Refinement<'_>, path: &str) {
    schema.at(&format!("{path}.secretKeyRef.name")).length(NAME).pattern("^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$");
    schema.at(&format!("{path}.secretKeyRef.key")).length(NAME).pattern("^[-._a-zA-Z0-9]+$");
}

/// A field of Calico's that means something which is not to be had here.
fn unsupported(schema: &mut Refinement<'_>, path: &str, message: &str) {
    schema.at(path).length(NAME).rule("self == ''", message);
}

impl Resource for BgpConfiguration {
    const SHORT_NAMES: &'static [&'static str] = &["bgpconfig"];
    const COLUMNS: &'static [Column] = &[
        column("AS", "integer", ".spec.asNumber"),
        column("Mesh", "boolean", ".spec.nodeToNodeMeshEnabled"),
        column("Port", "integer", ".spec.listenPort"),
        ACCEPTED,
        REASON,
    ];

    fn refine(schema: &mut Refinement<'_>) {
        singleton(schema);
        speaker_asn(schema, "spec.asNumber");
        schema.at("spec.listenPort").range(PORTS.0, PORTS.1);
        password(schema, "spec.nodeMeshPassword");
        whole_seconds(schema, "spec.nodeMeshMaxRestartTime", 0, 4095);
        bfd(schema, "spec.nodeMeshBfd");
        schema.at("spec.communities").items(0, 32).keyed_by("name");
        schema.at("spec.communities[].name").length(64).pattern("^[^:]+$");
        schema.at("spec.prefixAdvertisements").items(0, 64);
        schema.at("spec.prefixAdvertisements[].communities").items(0, 50);
        // A server counts a comparison for each name, community and range that there may be: with LIST of each it refuses the rule.
        schema.at("spec").rule(
            "!has(self.prefixAdvertisements) || self.prefixAdvertisements.all(range, !has(range.communities) || range.communities.all(community, community.contains(':') || (has(self.communities) && self.communities.exists(known, known.name == community))))",
            "communities in prefixAdvertisements are aa:nn, aa:nn:mm, or a name out of communities",
        );
        for list in ["taints", "conditions"] {
            schema.at(&format!("spec.drain.{list}")).items(0, 64);
            schema.at(&format!("spec.drain.{list}[]")).length(NAME + 64).pattern(KEY);
        }
        schema
            .at("spec.drain.wait")
            .rule("duration(self) >= duration('0s') && duration(self) <= duration('1h')", "0s to 1h");
    }
}

impl Resource for BgpFilter {
    const SHORT_NAMES: &'static [&'static str] = &["bgpf"];
    const COLUMNS: &'static [Column] = &[ACCEPTED, REASON];

    fn refine(schema: &mut Refinement<'_>) {
        for (list, family, bits) in
            [("exportV4", 4, 32), ("importV4", 4, 32), ("exportV6", 6, 128), ("importV6", 6, 128)]
        {
            let path = format!("spec.{list}[]");
            schema.at(&format!("spec.{list}")).items(0, 64);
            filter_rule(schema, &path, family, bits);
        }
    }
}

fn filter_rule(schema: &mut Refinement<'_>, path: &str, family: u8, bits: u8) {
    schema
        .at(path)
        .rule("has(self.cidr) == has(self.matchOperator)", "cidr and matchOperator go together")
        .rule(
            &format!(
                "!has(self.cidr) || (isIP(self.cidr) ? ip(self.cidr).family() : cidr(self.cidr).ip().family()) == {family}"
            ),
            &format!("cidr is a prefix of IPv{family}"),
        )
        .rule("!has(self.prefixLength) || has(self.cidr)", "prefixLength only together with cidr")
        .rule(
            "self.action == 'Accept' || !has(self.operations) || self.operations.size() == 0",
            "operations only with action Accept",
        );
    let length = format!("{path}.prefixLength");
    schema.at(&length).rule("!has(self.min) || !has(self.max) || self.min <= self.max", "min <= max");
    schema.at(&format!("{length}.min")).range(0, bits.into());
    schema.at(&format!("{length}.max")).range(0, bits.into());
    schema.at(&format!("{path}.communities.values")).items(1, 50);
    schema.at(&format!("{path}.asPathPrefix")).items(0, 64);
    let instead = "not supported: match by cidr, communities, asPathPrefix, peerType or source";
    unsupported(schema, &format!("{path}.interface"), instead);
    let metric =
        "not supported: all of Cairn's routes have metric 1024; prefer routes by AS path (prependASPath)";
    schema.at(&format!("{path}.priority")).rule("false", metric);
    let operations = format!("{path}.operations");
    schema.at(&operations).items(0, 16);
    schema.at(&format!("{operations}[]")).rule("!has(self.setPriority)", metric).rule(
        "has(self.addCommunity) != has(self.prependASPath)",
        "exactly one of addCommunity and prependASPath",
    );
    schema.at(&format!("{operations}[].prependASPath.prefix")).items(1, 10);
    schema.at(&format!("{operations}[].prependASPath.prefix[]")).range(1, u32::MAX.into());
}

impl Resource for BgpPeer {
    const SHORT_NAMES: &'static [&'static str] = &["bgpp"];
    const COLUMNS: &'static [Column] = &[
        column("Peer", "string", ".spec.peerIP"),
        column("Interface", "string", ".spec.interface"),
        column("AS", "string", ".spec.asNumber"),
        column("Node", "string", ".spec.node"),
        column("Nodes", "string", ".spec.nodeSelector"),
        wide("Peers", "string", ".spec.peerSelector"),
        wide("Filters", "string", ".spec.filters"),
        ACCEPTED,
        REASON,
    ];

    fn refine(schema: &mut Refinement<'_>) {
        schema
            .at("spec")
            .rule("!has(self.node) || self.node == '' || !has(self.nodeSelector)", "nodeSelector not together with node")
            .rule(
                "[has(self.peerIP), has(self.interface) && self.interface != '', has(self.peerSelector)].filter(named, named).size() == 1",
                "exactly one of peerIP, interface and peerSelector",
            )
            .rule(
                "has(self.asNumber) != has(self.peerSelector)",
                "asNumber is required with peerIP and interface, and does not go together with peerSelector",
            )
            .rule(
                "!has(self.keepOriginalNextHop) || !self.keepOriginalNextHop || self.nextHopMode != 'Self'",
                "keepOriginalNextHop means nextHopMode Keep: not together with nextHopMode Self",
            )
            .rule(
                "!has(self.reversePeering) || has(self.peerSelector)",
                "reversePeering only together with peerSelector",
            );
        schema.at("spec.node").length(NAME);
        schema.at("spec.interface").length(15).pattern("^[^/:\\s]*$");
        schema.at("spec.asNumber").rule(
            "type(self) != int || (self >= 1 && self <= 4294967294 && self != 23456 && self != 65535)",
            "1 to 4294967294, but not 23456 or 65535, which are reserved",
        );
        speaker_asn(schema, "spec.localASNumber");
        schema.at("spec.numAllowedLocalASNumbers").range(0, 10);
        schema.at("spec.ttlSecurity").range(1, 255);
        password(schema, "spec.password");
        bfd(schema, "spec.bfd");
        whole_seconds(schema, "spec.maxRestartTime", 0, 4095);
        whole_seconds(schema, "spec.keepaliveTime", 1, 21_845);
        schema.at("spec.filters").items(0, LIST);
        schema.at("spec.filters[]").length(NAME).pattern("^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$");
        let routes = "not supported: leave it out, and give the nodes a route to the peer themselves";
        unsupported(schema, "spec.reachableBy", routes);
        let pods = "not supported: a node has sessions with addresses (peerIP), routers behind its interfaces (interface) and nodes (peerSelector), not with its pods";
        unsupported(schema, "spec.localWorkloadSelector", pods);
    }
}

impl Resource for BlockAffinity {
    const SHORT_NAMES: &'static [&'static str] = &["baff"];
    const COLUMNS: &'static [Column] = &[
        column("CIDR", "string", ".spec.cidr"),
        column("Node", "string", ".spec.node"),
        column("State", "string", ".spec.state"),
        column("Pool", "string", ".spec.pool"),
    ];

    fn refine(schema: &mut Refinement<'_>) {
        named_by_range(schema);
        schema.at("spec.node").length(NAME);
        schema.at("spec.pool").length(NAME);
    }
}

impl Resource for IpPool {
    const SHORT_NAMES: &'static [&'static str] = &["ipp"];
    const COLUMNS: &'static [Column] = &[
        column("CIDR", "string", ".spec.cidr"),
        column("Allocatable", "string", ".status.conditions[?(@.type==\"Allocatable\")].status"),
        column("NAT", "boolean", ".spec.natOutgoing"),
        column("IPIP", "string", ".spec.ipipMode"),
        column("VXLAN", "string", ".spec.vxlanMode"),
        wide("Nodes", "string", ".spec.nodeSelector"),
        wide("Reason", "string", ".status.conditions[?(@.type==\"Allocatable\")].reason"),
        ACCEPTED,
    ];

    fn refine(schema: &mut Refinement<'_>) {
        schema
            .at("spec")
            .rule(
                "self.cidr == oldSelf.cidr || (isCIDR(self.cidr) && isCIDR(oldSelf.cidr) && ((cidr(self.cidr).prefixLength() <= cidr(oldSelf.cidr).prefixLength() && cidr(self.cidr).containsIP(cidr(oldSelf.cidr).ip())) || (oldSelf.disabled && cidr(self.cidr).prefixLength() >= cidr(oldSelf.cidr).prefixLength() && cidr(oldSelf.cidr).containsIP(cidr(self.cidr).ip()))))",
                "cidr never changes, but that it may be widened, and narrowed while the pool is disabled",
            )
            .rule(
                "(has(self.blockSource) ? self.blockSource : 'Pool') == (has(oldSelf.blockSource) ? oldSelf.blockSource : 'Pool')",
                "blockSource never changes",
            )
            .rule(
                "!has(self.blockSize) || !has(self.blockSource) || self.blockSource == 'Pool'",
                "blockSize is not for a pool with blockSource PodCIDR",
            )
            .rule(
                "has(self.blockSize) == has(oldSelf.blockSize) && (!has(self.blockSize) || self.blockSize == oldSelf.blockSize)",
                "blockSize never changes",
            )
            .rule(
                "!has(self.blockSize) || (self.cidr.contains(':') ? self.blockSize >= 116 && self.blockSize <= 128 : self.blockSize >= 20 && self.blockSize <= 32)",
                "blockSize is 20 to 32 in a pool of IPv4, 116 to 128 in one of IPv6",
            )
            .rule(
                "isIP(self.cidr) || (has(self.blockSource) && self.blockSource == 'PodCIDR') || cidr(self.cidr).prefixLength() <= (has(self.blockSize) ? self.blockSize : (self.cidr.contains(':') ? 122 : 26))",
                "blockSize is not shorter than the pool's own length",
            )
            .rule(
                "!isCIDR(self.cidr) || (!cidr(self.cidr).ip().isLoopback() && !cidr(self.cidr).ip().isLinkLocalMulticast())",
                "cidr must not be loopback or multicast",
            );
        schema.at("spec.blockSize").range(20, 128);
        attachment(schema);
        schema.at("spec.allowedUses").items(1, 3);
    }
}

/// What pods are attached to, and what of that goes together.
fn attachment(schema: &mut Refinement<'_>) {
    schema.at("spec").rule(
        "!has(self.attachment) || !has(self.attachment.subnet) || (isCIDR(self.attachment.subnet) && cidr(self.attachment.subnet).containsCIDR(self.cidr))",
        "attachment.subnet is a range around cidr",
    );
    schema
        .at("spec.attachment")
        .rule("!has(self.ipvlanMode) || self.mode == 'IPVLAN'", "ipvlanMode with mode IPVLAN only")
        .rule("!has(self.interface) || self.mode != 'Routed'", "interface with mode MACVLAN or IPVLAN only")
        .rule(
            "(!has(self.subnet) && !has(self.gateway)) || self.mode == 'MACVLAN' || (self.mode == 'IPVLAN' && (!has(self.ipvlanMode) || self.ipvlanMode == 'L2'))",
            "subnet and gateway with mode MACVLAN, or IPVLAN in mode L2, only",
        );
    schema.at("spec.attachment.interface").length(15).pattern("^[^/:%\\s]+$");
    schema.at("spec.attachment.gateway").length(45).rule("isIP(self)", "an address");
}

impl Resource for IpReservation {
    const SHORT_NAMES: &'static [&'static str] = &["ipr"];
    const COLUMNS: &'static [Column] = &[column("CIDRs", "string", ".spec.reservedCIDRs"), ACCEPTED, REASON];

    fn refine(schema: &mut Refinement<'_>) {
        schema.at("spec.reservedCIDRs").items(0, LIST);
    }
}

impl Resource for EgressGateway {
    const SHORT_NAMES: &'static [&'static str] = &["egw"];
    const COLUMNS: &'static [Column] = &[
        column("Addresses", "string", ".spec.egressIPs"),
        column("Node", "string", ".status.node"),
        wide("Pods", "string", ".spec.podSelector"),
        wide("Namespaces", "string", ".spec.namespaceSelector"),
        wide("Destinations", "string", ".spec.destinationCIDRs"),
        ACCEPTED,
        REASON,
    ];

    fn refine(schema: &mut Refinement<'_>) {
        schema.at("spec.egressIPs").items(1, 2).rule(
            "self.size() < 2 || ip(self[0]).family() != ip(self[1]).family()",
            "one address, or one of each family",
        );
        schema
            .at("spec.egressIPs[]")
            .length(64)
            .rule("isIP(self) && ip(self).isGlobalUnicast()", "an address that others can answer");
        schema.at("spec.destinationCIDRs").items(0, LIST);
        schema.at("spec.excludedCIDRs").items(0, LIST);
        schema.at("spec").rule(
            "!has(self.destinationCIDRs) || self.destinationCIDRs.all(to, self.egressIPs.exists(own, own.contains(':') == to.contains(':')))",
            "destinationCIDRs are of families that have an address in egressIPs",
        );
    }
}

impl Resource for EgressMembers {
    const SHORT_NAMES: &'static [&'static str] = &["egm"];
    const COLUMNS: &'static [Column] = &[column("Gateways", "string", ".spec.members[*].gateway")];

    fn refine(schema: &mut Refinement<'_>) {
        schema.at("spec.members").items(0, LIST).keyed_by("gateway");
        schema.at("spec.members[].gateway").length(NAME);
    }
}

impl Resource for IpamBlock {
    const SHORT_NAMES: &'static [&'static str] = &["ipb"];
    const COLUMNS: &'static [Column] =
        &[column("CIDR", "string", ".spec.cidr"), column("Pool", "string", ".spec.pool")];

    fn refine(schema: &mut Refinement<'_>) {
        named_by_range(schema);
        schema.at("spec.pool").length(NAME);
        // Written by nodes on the way to a pod's start: what nodes check, servers need not check again.
        schema.at("spec.allocations").items(0, 4096);
    }
}

impl Resource for IpamConfiguration {
    const SHORT_NAMES: &'static [&'static str] = &["ipamconfig"];
    const COLUMNS: &'static [Column] = &[
        column("Strict", "boolean", ".spec.strictAffinity"),
        column("Cooldown", "integer", ".spec.ipCooldownSeconds"),
    ];

    fn refine(schema: &mut Refinement<'_>) {
        singleton(schema);
        schema
            .at("spec")
            .rule(
                "(has(self.strictAffinity) && self.strictAffinity) || !has(self.autoAllocateBlocks) || self.autoAllocateBlocks",
                "autoAllocateBlocks must be true unless strictAffinity is",
            )
            .rule(
                "(has(self.strictAffinity) && self.strictAffinity) || !has(self.maxBlocksPerHost) || self.maxBlocksPerHost == 0",
                "maxBlocksPerHost must be 0 unless strictAffinity is true",
            );
        schema.at("spec.ipCooldownSeconds").range(0, 1200);
        schema.at("spec.maxBlocksPerHost").range(0, u32::MAX.into());
    }
}

impl Resource for NodeConfiguration {
    const SHORT_NAMES: &'static [&'static str] = &["nodeconfig"];
    const COLUMNS: &'static [Column] = &[
        column("Nodes", "string", ".spec.nodeSelector"),
        column("MTU", "integer", ".spec.mtu"),
        wide("WireGuard", "boolean", ".spec.wireguardEnabled"),
        ACCEPTED,
        REASON,
    ];

    fn refine(schema: &mut Refinement<'_>) {
        schema.at("spec.mtu").range(MTU.0, MTU.1);
        schema.at("spec.warmAddresses").range(0, 256);
        schema.at("spec.vxlanPort").range(PORTS.0, PORTS.1);
        schema.at("spec.vxlanVNI").range(1, (1 << 24) - 1);
        schema.at("spec.wireguardListeningPort").range(PORTS.0, PORTS.1);
        schema.at("spec.wireguardMTU").range(MTU.0, MTU.1);
        whole_seconds(schema, "spec.wireguardKeepAlive", 0, 65535);
        schema.at("spec.natOutgoingExcludedCIDRs").items(0, LIST);
        let rule = "an address that others can answer";
        schema
            .at("spec.natOutgoingAddress")
            .rule("isIP(self) && ip(self).family() == 4 && ip(self).isGlobalUnicast()", rule);
        schema
            .at("spec.natOutgoingAddressV6")
            .rule("isIP(self) && ip(self).family() == 6 && ip(self).isGlobalUnicast()", rule);
        schema.at("spec.natPortRange").rule(
            "self.split(':').all(port, int(port) <= 65535) && (!self.contains(':') || int(self.split(':')[0]) <= int(self.split(':')[1]))",
            "first:last, 1 to 65535 and ascending",
        );
    }
}

impl Resource for NodeStatus {
    const SHORT_NAMES: &'static [&'static str] = &["nodestat"];
    const COLUMNS: &'static [Column] = &[
        column("Ready", "string", ".status.conditions[?(@.type==\"Ready\")].status"),
        column("Reason", "string", ".status.conditions[?(@.type==\"Ready\")].reason"),
        column("Pods", "integer", ".status.attachments"),
        column("Routes", "integer", ".status.installedRoutes"),
        column("Sessions", "string", ".status.sessions[*].state"),
        wide("Blocks", "string", ".status.blocks"),
        wide("Updated", "date", ".status.lastUpdated"),
    ];

    fn refine(_: &mut Refinement<'_>) {}
}

impl Resource for WireguardPeer {
    const SHORT_NAMES: &'static [&'static str] = &["wgpeer"];
    const COLUMNS: &'static [Column] = &[
        column("Endpoint", "string", ".spec.endpoint"),
        column("AllowedIPs", "string", ".spec.allowedIPs"),
        wide("Key", "string", ".spec.publicKey"),
    ];

    fn refine(schema: &mut Refinement<'_>) {
        schema.at("spec.endpoint").length(64).pattern("^([0-9.]+|\\[[0-9a-fA-F.:]+\\]):[1-9][0-9]{0,4}$");
        schema.at("spec.allowedIPs").items(0, LIST);
        schema
            .at("spec.allowedIPs[]")
            .rule("!self.endsWith('/0')", "longer than /0: a default route is no peer's");
    }
}
