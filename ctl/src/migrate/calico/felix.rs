//! FelixConfiguration: the few fields that have a counterpart in NodeConfiguration, and why the others have none.

use cairn_api::kinds::NodeConfiguration;
use serde_json::{Value, json};

use super::document::Source;
use super::fields::{Fields, Reasons};
use super::note::Outcome;
use super::translator::Translator;

/// One configuration for one node, in Calico's older form.
const OF_NODE: &str = "node.";

const CARRIED: &[&str] = &[
    "natOutgoingAddress",
    "natOutgoingExclusions",
    "natPortRange",
    "nodeSelector",
    "vxlanPort",
    "vxlanVNI",
    "wireguardEnabled",
    "wireguardEnabledV6",
    "wireguardHostEncryptionEnabled",
    "wireguardKeepAlive",
    "wireguardListeningPort",
    "wireguardMTU",
];

#[rustfmt::skip] // a table
const DROPPED: Reasons = &[
    ("there is no eBPF dataplane: the firewall is nftables", &[
        "xdpRefreshInterval", "sidecarAccelerationEnabled", "xdpEnabled", "genericXDPEnabled", "bpfEnabled",
        "bpfOverlayHostSourceIP", "bpfDisableUnprivileged", "bpfJITHardening", "bpfLogLevel",
        "bpfConntrackLogLevel", "bpfConntrackMode", "bpfConntrackTimeouts", "bpfIPFragTimeout",
        "bpfLogFilters", "bpfCTLBLogFilter", "bpfDataIfacePattern", "bpfL3IfacePattern",
        "bpfConnectTimeLoadBalancingEnabled", "bpfConnectTimeLoadBalancing",
        "bpfHostNetworkedNATWithoutCTLB", "bpfExternalServiceMode", "bpfDSROptoutCIDRs",
        "bpfExtToServiceConnmark", "bpfKubeProxyIptablesCleanupEnabled", "bpfKubeProxyMinSyncPeriod",
        "bpfKubeProxyHealthzPort", "bpfPSNATPorts", "bpfMapSizeNATFrontend", "bpfMapSizeNATBackend",
        "bpfMapSizeNATAffinity", "bpfMapSizeRoute", "bpfMapSizeConntrack", "bpfMapSizePerCpuConntrack",
        "bpfMapSizeConntrackScaling", "bpfMapSizeConntrackCleanupQueue", "bpfMapSizeIPSets",
        "bpfMapSizeIfState", "bpfHostConntrackBypass", "bpfIPFragmentReassemblyEnabled", "bpfEnforceRPF",
        "bpfPolicyDebugEnabled", "bpfForceTrackPacketsFromIfaces", "bpfDisableGROForIfaces",
        "bpfExcludeCIDRsFromNAT", "bpfExportBufferSizeMB", "cgroupV2Path", "bpfRedirectToPeer",
        "bpfAttachType", "bpfProfiling", "bpfMaglevMaxEndpointsPerService", "bpfMaglevMaxServices",
    ]),
    ("network policies are not enforced yet: nothing of it is needed", &[
        "maxIpsetSize", "chainInsertMode", "defaultEndpointToHostAction", "logPrefix", "logActionRateLimit",
        "logActionRateLimitBurst", "allowVXLANPacketsFromWorkloads", "allowIPIPPacketsFromWorkloads",
        "endpointReportingEnabled", "endpointReportingDelay", "endpointStatusPathPrefix",
        "disableConntrackInvalidCheck", "failsafeInboundHostPorts", "failsafeOutboundHostPorts",
        "kubeNodePortRanges", "policySyncPathPrefix", "externalNodesList", "istioAmbientMode",
        "istioDSCPMark", "flowLogsPolicyEvaluationMode", "flowLogsFlushInterval",
        "flowLogsCollectorDebugTrace", "flowLogsGoldmaneServer", "flowLogsLocalReporter",
        "serviceLoopPrevention", "workloadSourceSpoofing", "floatingIPs",
    ]),
    ("there is no iptables dataplane, and rules are read back when the kernel says that they changed", &[
        "useInternalDataplaneDriver", "dataplaneDriver", "dataplaneWatchdogTimeout", "routeRefreshInterval",
        "interfaceRefreshInterval", "iptablesRefreshInterval", "iptablesPostWriteCheckInterval",
        "iptablesLockProbeInterval", "featureDetectOverride", "ipsetsRefreshInterval", "iptablesBackend",
        "netlinkTimeout", "iptablesFilterAllowAction", "iptablesMangleAllowAction",
        "iptablesFilterDenyAction", "iptablesMarkMask",
        "nftablesMode", "nftablesRefreshInterval", "nftablesFilterAllowAction", "nftablesMangleAllowAction",
        "nftablesFilterDenyAction", "nftablesMarkMask",
    ]),
    ("flowtable of NodeConfiguration is the like of it, and is switched on there", &[
        "nftablesFlowTableOffload", "nftablesFlowTableDataIfacePattern",
    ]),
    ("packets are masqueraded whatever interface they leave by", &["iptablesNATOutgoingInterfaceFilter"]),
    ("follows from the pools", &[
        "ipv6Support", "ipipEnabled", "vxlanEnabled",
    ]),
    ("the MTU follows the paths to all nodes; mtu of NodeConfiguration fixes it", &[
        "ipipMTU", "vxlanMTU", "vxlanMTUV6", "mtuIfacePattern", "requireMTUFile",
    ]),
    ("one WireGuard device carries both families", &[
        "wireguardListeningPortV6", "wireguardInterfaceName", "wireguardInterfaceNameV6", "wireguardMTUV6",
    ]),
    ("names, tables, priorities and marks are fixed, and listed in ARCHITECTURE.md", &[
        "interfacePrefix", "interfaceExclude", "deviceRouteSourceAddress", "deviceRouteSourceAddressIPv6",
        "deviceRouteProtocol", "removeExternalRoutes", "ipForwarding", "routeSource", "routeTableRanges",
        "routeTableRange", "routeSyncDisabled", "ipv4NormalRoutePriority", "ipv4ElevatedRoutePriority",
        "ipv6NormalRoutePriority", "ipv6ElevatedRoutePriority", "liveMigrationRouteConvergenceTime",
        "wireguardThreadingEnabled", "wireguardRoutingRulePriority", "localSubnetL2Reachability",
        "localSubnetL2ReachabilityRefreshInterval",
    ]),
    ("one daemon writes all routes between nodes. While Calico's nodes are left they must take these routes from BGP: \
      Disabled here, and Enabled in BGPConfiguration", &[
        "programClusterRoutes",
    ]),
    ("an option of each daemon: logs, metrics, probes", &[
        "logFilePath", "logSeverityFile", "logSeverityScreen", "logSeveritySys", "logDebugFilenameRegex",
        "reportingInterval", "reportingTTL", "healthEnabled", "healthHost", "healthPort",
        "healthTimeoutOverrides", "prometheusMetricsEnabled", "prometheusMetricsHost",
        "prometheusMetricsPort", "prometheusGoMetricsEnabled", "prometheusProcessMetricsEnabled",
        "prometheusWireGuardMetricsEnabled", "prometheusMetricsCAFile", "prometheusMetricsCertFile",
        "prometheusMetricsKeyFile", "prometheusMetricsClientAuth", "usageReportingEnabled",
        "usageReportingInitialDelay", "usageReportingInterval", "debugMemoryProfilePath",
        "debugDisableLogDropping", "debugSimulateCalcGraphHangAfter", "debugSimulateDataplaneHangAfter",
        "debugSimulateDataplaneApplyDelay", "debugHost", "debugPort", "goGCThreshold", "goMemoryLimitMB",
        "goMaxProcs",
    ]),
    ("not of a node of Linux in a Kubernetes cluster", &[
        "featureGates", "metadataAddr", "metadataPort", "openstackRegion", "awsSrcDstCheck",
        "windowsManageFirewallRules",
    ]),
];

/// Settings of some nodes' daemons.
pub(super) fn configuration(source: &Source, to: &mut Translator) {
    let mut fields = Fields::of(source, &mut to.notes);
    fields.drop_all(DROPPED);
    if let Some(node) = source.name.strip_prefix(OF_NODE) {
        let selector = json!(format!("kubernetes.io/hostname == '{node}'"));
        let rule = "the node is selected by its label";
        fields.note(Outcome::Changed, "nodeSelector", &selector, rule);
        fields.put("nodeSelector", selector);
    }
    if let Some(Value::Number(port)) = fields.get("natPortRange").cloned() {
        fields.put("natPortRange", json!(port.to_string()));
    }
    for name in ["wireguardEnabled", "wireguardEnabledV6"] {
        if fields.get(name) == Some(&Value::Bool(true)) {
            let rule = "Calico's nodes and Cairn's do not know each other's keys: switch it off in Calico before the first node is \
                        moved, and on once all are. Between them packets travel in clear text";
            fields.note(Outcome::ByHand, name, &Value::Bool(true), rule);
        }
    }
    let Some(spec) = fields.carry::<NodeConfiguration>(CARRIED) else { return };
    if spec != NodeConfiguration::default() {
        to.keep(source, spec);
    }
}
