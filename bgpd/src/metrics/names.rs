//! Every metric: name, type, labels, help. The one place for them; docs/guide/metrics.md says the same.

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts in buckets.
    Histogram,
}

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
}

macro_rules! metrics {
    ($($id:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(pub(super) const $id: Metric =
            Metric { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help };)*
        /// All of them, in the order in which they are printed.
        #[cfg(test)]
        pub(super) const ALL: &[Metric] = &[$($id),*];
    };
}

metrics! {
    BUILD_INFO = Gauge "bgpd_build_info" ["version"] "Always 1; the version is in the label.";

    RIB_PREFIXES = Gauge "bgpd_rib_prefixes" ["family"] "Prefixes in the table, used or not.";
    LOC_RIB_PREFIXES = Gauge "bgpd_loc_rib_prefixes" ["family"] "Prefixes with a best path.";
    LOC_RIB_COMPLETE = Gauge "bgpd_loc_rib_complete" ["family"] "1 once the Loc-RIB is complete after the start (RFC 4724 section 4.1).";
    LOC_RIB_CHANGES = Counter "bgpd_loc_rib_changes_total" [] "Changes of best paths.";
    RIB_PATHS = Gauge "bgpd_rib_paths" [] "Paths of all peers and of our own, used or not.";
    ATTRIBUTE_SETS = Gauge "bgpd_attribute_sets" [] "Distinct sets of path attributes.";
    NEXT_HOPS = Gauge "bgpd_next_hops" ["state"] "Next hops of learned paths: reachable, or unreachable. Only where they are tracked.";
    NEXT_HOP_LOOKUPS = Counter "bgpd_next_hop_lookups_total" [] "Next hops that were looked up: new ones, and those whose way may have changed.";
    NEXT_HOP_CHANGES = Counter "bgpd_next_hop_changes_total" [] "Changes of the way to a next hop.";
    WAITING_ROUTES = Gauge "bgpd_kernel_routes_waiting" [] "Learned routes that the kernel does not have, because a route of another owner has their place. Only with --install-routes.";
    UPDATE_GROUPS = Gauge "bgpd_update_groups" [] "Groups of peers that are told the same.";
    UPDATE_GROUP_LOG = Gauge "bgpd_update_group_log_bytes" [] "Messages that wait in update groups for members that read slowly.";

    PEER_INFO = Gauge "bgpd_peer_info" ["peer", "remote_as", "description"] "Always 1; what is configured is in the labels.";
    PEER_UP = Gauge "bgpd_peer_up" ["peer"] "1 while the session is established.";
    PEER_STATE = Gauge "bgpd_peer_state" ["peer"] "State as in RFC 4273: 1 Idle, 2 Connect, 3 Active, 4 OpenSent, 5 OpenConfirm, 6 Established.";
    PEER_UPTIME = Gauge "bgpd_peer_uptime_seconds" ["peer"] "How long the session is established; 0 while down.";
    PEER_ESTABLISHED = Counter "bgpd_peer_established_total" ["peer"] "Sessions that came up.";
    PEER_FLAPS = Counter "bgpd_peer_flaps_total" ["peer"] "Established sessions that were lost.";
    PEER_LAST_ERROR = Gauge "bgpd_peer_last_error_timestamp_seconds" ["peer", "reason", "code", "subcode"] "When the last session or attempt failed, with the reason and the codes of a NOTIFICATION.";
    PEER_QUEUED = Gauge "bgpd_peer_queued_prefixes" ["peer"] "Prefixes that a peer which reads slowly is still to be told of anew.";
    PEER_RECEIVED = Counter "bgpd_peer_messages_received_total" ["peer", "type"] "Messages from the peer.";
    PEER_SENT = Counter "bgpd_peer_messages_sent_total" ["peer", "type"] "Messages to the peer.";
    PEER_PREFIXES_RECEIVED = Gauge "bgpd_peer_prefixes_received" ["peer", "family"] "Prefixes in Adj-RIB-In, before the import filter.";
    PEER_PREFIXES_ACCEPTED = Gauge "bgpd_peer_prefixes_accepted" ["peer", "family"] "Prefixes that passed the import filter.";
    PEER_PREFIXES_ADVERTISED = Gauge "bgpd_peer_prefixes_advertised" ["peer", "family"] "Prefixes that the peer is told of.";
    PEER_PREFIXES_STALE = Gauge "bgpd_peer_prefixes_stale" ["peer", "family"] "Prefixes kept while the peer restarts.";

    BFD_UP = Gauge "bgpd_bfd_up" ["peer"] "1 while the BFD session is up.";
    BFD_STATE = Gauge "bgpd_bfd_state" ["peer"] "State as in RFC 5880: 0 AdminDown, 1 Down, 2 Init, 3 Up.";
    BFD_TRANSITIONS = Counter "bgpd_bfd_transitions_total" ["peer", "to"] "How often the BFD session came up, and how often it left Up.";
    BFD_DIAGNOSTIC = Gauge "bgpd_bfd_diagnostic" ["peer", "side"] "Why the BFD session left Up last, by each side's word: code of RFC 5880 section 4.1, 0 for none.";
    BFD_DETECTION = Gauge "bgpd_bfd_detection_time_seconds" ["peer"] "After this time without a packet the BFD session goes down; 0 before the first one.";
    BFD_TRANSMIT = Gauge "bgpd_bfd_transmit_interval_seconds" ["peer"] "Time between our BFD packets before jitter; 0 while none are sent periodically.";
    BFD_RECEIVED = Counter "bgpd_bfd_packets_received_total" ["peer"] "BFD packets that were accepted.";
    BFD_SENT = Counter "bgpd_bfd_packets_sent_total" ["peer"] "BFD packets that were sent.";
    BFD_DISCARDED = Counter "bgpd_bfd_packets_discarded_total" ["peer"] "BFD packets of the session that were discarded; `cairnctl bfd` says why.";
    BFD_STRAY = Counter "bgpd_bfd_stray_packets_total" [] "BFD packets that belonged to no session, or could not be read.";
    BFD_SEND_ERRORS = Counter "bgpd_bfd_send_errors_total" [] "BFD packets that the system did not send.";

    CONNECTIONS = Gauge "bgpd_connections" [] "Open BGP connections.";
    CONNECTIONS_REFUSED = Counter "bgpd_connections_refused_total" ["reason"] "Connections that were not taken: from an address that is no neighbour's (`unknown`), from a listen range that is full (`range_full`), by another interface than the neighbour's (`interface`), of a neighbour that has several already (`surplus`).";
    JOBS = Gauge "bgpd_jobs_queued" [] "Requests that wait for the daemon's next turn.";
    WATCHERS = Gauge "bgpd_watchers" ["kind"] "Clients that watch routes or peers.";
    WATCHER_QUEUE = Gauge "bgpd_watcher_queue_length" [] "Changes that watchers have not taken yet.";
    BMP_COLLECTORS = Gauge "bgpd_bmp_collectors" [] "BMP collectors that are connected.";
    BMP_QUEUE = Gauge "bgpd_bmp_queue_bytes" [] "Messages that wait for BMP collectors.";
    BMP_CUT_OFF = Counter "bgpd_bmp_cut_off_total" [] "How often a BMP collector was cut off because it read too slowly.";
    BMP_DROPPED = Counter "bgpd_bmp_messages_dropped_total" [] "Messages that waited for BMP collectors which were cut off.";
    MRT_RECORDS = Counter "bgpd_mrt_records_total" ["result"] "Records for MRT files: written, or lost because the disk failed or was too slow.";
    MRT_TABLES = Counter "bgpd_mrt_tables_total" ["result"] "Tables as MRT files: written, or failed.";
    MRT_QUEUE = Gauge "bgpd_mrt_queue_bytes" [] "Records that wait for the disk.";
    CONVERGENCE = Histogram "bgpd_convergence_seconds" [] "From reading messages that changed best paths to having written what follows to every peer whose socket takes it.";
    TURN = Histogram "bgpd_turn_seconds" [] "Length of the daemon's turns, for which a KEEPALIVE waits at most.";

    PROCESS_MEMORY = Gauge "process_resident_memory_bytes" [] "Memory of the process.";
    PROCESS_CPU = Counter "process_cpu_seconds_total" [] "CPU time of the process, user and system.";
    PROCESS_FDS = Gauge "process_open_fds" [] "Open file descriptors.";
    PROCESS_START = Gauge "process_start_time_seconds" [] "Start of the process since 1970-01-01 UTC.";
}
