use bgpd_api::config::load;
use cairn_net::Asn;

use super::*;

fn settings(rest: &str) -> Settings {
    let text = format!("routerId: 10.0.0.1\nlocalAs: 65001\n{rest}");
    Settings::new(&load(&text, "test").unwrap(), Families::NONE, &Links::new()).unwrap()
}

fn only_peer(settings: &Settings) -> &speaker::PeerConfig {
    settings.speaker.peers.values().next().unwrap()
}

#[test]
fn a_neighbor_gets_what_group_and_document_say() {
    let settings = settings(
        "listen: {port: 1790}\ntimers: {holdTime: 30}\n\
         peerGroups: {tors: {remoteAs: 65100, ttlSecurityHops: 1, families: [ipv4, ipv6]}}\n\
         neighbors: [{address: 10.0.0.2, peerGroup: tors, timers: {connectRetryTime: 1}}]\n",
    );
    let peer = only_peer(&settings);
    assert_eq!(peer.asn.0, 65100);
    assert_eq!(peer.transport.port, Some(1790));
    assert_eq!(peer.transport.ttl, speaker::Ttl::Security(1));
    assert_eq!(peer.timers.hold, Duration::from_secs(30));
    assert_eq!(peer.timers.connect_retry, Duration::from_secs(1));
    assert_eq!(peer.families, Families::ALL);
}

#[test]
fn families_default_to_that_of_the_address() {
    let settings = settings("neighbors: [{address: \"fd00::2\", remoteAs: 65002}]\n");
    assert_eq!(only_peer(&settings).families.iter().collect::<Vec<_>>(), [Family::Ipv6]);
}

#[test]
fn no_filter_leaves_the_decision_to_rfc_8212() {
    let settings = settings("neighbors: [{address: 10.0.0.2, remoteAs: 65002, import: accept-all}]\n");
    let peer = only_peer(&settings);
    assert_eq!(peer.export, None);
    assert_eq!(peer.import.as_deref(), Some(&bgp_core::policy::Policy::accept_all()));
}

#[test]
fn a_password_never_reaches_the_speaker() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("password");
    std::fs::write(&path, "s3cret\n").unwrap();
    let text =
        format!("neighbors: [{{address: 10.0.0.2, remoteAs: 65002, passwordFile: {}}}]\n", path.display());
    let settings = settings(&text);
    assert_eq!(only_peer(&settings).transport.password, None);
    let expected = Key::Md5(bgpd_api::config::Secret::new("s3cret"));
    assert_eq!(key_of(&settings.keys, "10.0.0.2".parse().unwrap()), Some(&expected));
}

#[test]
fn an_unusable_password_file_is_named() {
    let text = "routerId: 10.0.0.1\nlocalAs: 65001\n\
                neighbors: [{address: 10.0.0.2, remoteAs: 65002, passwordFile: /nowhere/x}]\n";
    let error =
        Settings::new(&load(text, "test").unwrap(), Families::NONE, &Links::new()).unwrap_err().to_string();
    assert!(error.starts_with("neighbor 10.0.0.2: cannot read passwordFile /nowhere/x"), "{error}");
}

#[test]
fn the_forwarding_state_is_what_the_kernel_has_unless_the_document_knows_better() {
    let kept = Families::NONE.with(Family::Ipv6);
    for (rest, expected) in [
        ("", kept),
        ("gracefulRestart: {preserveForwardingState: auto}\n", kept),
        ("gracefulRestart: {preserveForwardingState: always}\n", Families::ALL),
        ("gracefulRestart: {preserveForwardingState: never}\n", Families::NONE),
    ] {
        let text = format!("routerId: 10.0.0.1\nlocalAs: 65001\n{rest}");
        let settings = Settings::new(&load(&text, "test").unwrap(), kept, &Links::new()).unwrap();
        assert_eq!(settings.speaker.graceful_restart.unwrap().forwarding_preserved, expected, "{rest}");
    }
}

#[test]
fn long_lived_stale_times_are_by_family() {
    let settings = settings(
        "gracefulRestart: {longLivedStaleTime: {ipv6: 3600}}\n\
         neighbors: [{address: 10.0.0.2, remoteAs: 65002, longLivedStaleRoutesTime: 60}]\n",
    );
    let restart = settings.speaker.graceful_restart.as_ref().unwrap();
    let times: Vec<_> = restart.long_lived_stale_time.iter().collect();
    assert_eq!(times, [(&Family::Ipv6, &Duration::from_secs(3600))]);
    assert_eq!(only_peer(&settings).long_lived_stale_time, Duration::from_secs(60));
}

#[test]
fn the_options_of_a_session_reach_the_speaker() {
    use bgp_core::wire::Role;
    let settings = settings(
        "timers: {sendHoldTime: 60}\n\
         neighbors: [{address: 10.0.0.2, remoteAs: 65002, localAs: 65010, localAsReplaceAs: true, role: customer, roleStrict: true,\n\
           maxPrefixes: 1000, maxPrefixesWarning: 90, maxPrefixesRestartTime: 30, bindInterface: eth1}]\n",
    );
    let peer = only_peer(&settings);
    let local_as = speaker::LocalAs { asn: Asn(65010), no_prepend: false, replace_as: true };
    assert_eq!(peer.local_as, Some(local_as));
    assert_eq!(peer.role, Some(speaker::RoleConfig { role: Role::Customer, strict: true }));
    let limit = peer.max_prefixes.unwrap();
    assert_eq!((limit.max, limit.warn_above), (1000, 900));
    assert_eq!(limit.action, speaker::LimitAction::RestartAfter(Duration::from_secs(30)));
    assert_eq!(peer.transport.device.as_deref(), Some("eth1"));
    assert_eq!(peer.timers.send_hold, Some(Duration::from_secs(60)));
}

#[test]
fn an_as_that_is_left_open_is_a_rule_for_the_open() {
    let settings = settings(
        "peerGroups: {any: {remoteAs: external}}\n\
         listenRanges: [{prefix: 10.1.0.0/16, peerGroup: any}, {prefix: 10.2.0.0/16, peerGroup: any, remoteAs: [65100]}]\n\
         neighbors: [{address: 10.0.0.2, peerGroup: any}, {address: 10.0.0.3, remoteAs: internal, peerGroup: any}]\n",
    );
    let of = |peer: &speaker::PeerConfig| (peer.asn, peer.remote_as.clone());
    let peers: Vec<_> = settings.speaker.peers.values().map(of).collect();
    let external = (Asn::ZERO, speaker::RemoteAs::External);
    assert_eq!(peers, [external.clone(), (Asn(65001), speaker::RemoteAs::Configured)]);
    let ranges: Vec<_> = settings.speaker.listen_ranges.iter().map(|range| of(&range.peer)).collect();
    let listed = speaker::RemoteAs::OneOf(vec![Asn(65100)..=Asn(65100)]);
    assert_eq!(ranges, [external, (Asn(65100), listed)]);
}

#[test]
fn a_range_has_its_groups_options_and_the_longest_prefix_has_the_key() {
    let settings = settings(
        "peerGroups: {racks: {remoteAs: 65100, password: wide, passive: false}, one: {remoteAs: 65100, password: narrow}}\n\
         listenRanges: [{prefix: 10.1.0.0/16, peerGroup: racks, limit: 7, remoteAs: [\"65100-65199\", 65300]},\n\
           {prefix: 10.1.2.0/24, peerGroup: one}]\n\
         neighbors: [{address: 10.1.2.3, remoteAs: 65002, password: own}]\n",
    );
    let range = &settings.speaker.listen_ranges[0];
    assert!(range.peer.transport.passive, "they connect by themselves");
    assert_eq!((range.limit, range.peer.asn.0), (7, 65100));
    let ranges = [Asn(65100)..=Asn(65199), Asn(65300)..=Asn(65300)];
    assert_eq!(range.peer.remote_as, speaker::RemoteAs::OneOf(ranges.to_vec()));
    let word = |address: &str| match key_of(&settings.keys, address.parse().unwrap()) {
        Some(Key::Md5(secret)) => secret.expose().to_owned(),
        other => format!("{other:?}"),
    };
    assert_eq!(
        [word("10.1.1.1"), word("10.1.2.1"), word("10.1.2.3"), word("10.2.0.1")],
        ["wide", "narrow", "own", "None"]
    );
}

/// Needs a kernel either way: one with TCP-AO takes the keys, one without is told of by name.
#[test]
fn tcp_ao_without_kernel_support_names_field_and_rule() {
    let text = "routerId: 10.0.0.1\nlocalAs: 65001\n\
                neighbors: [{address: 10.0.0.2, remoteAs: 65002, tcpAo: [{sendId: 1, receiveId: 2, secret: x}]}]\n";
    let result = Settings::new(&load(text, "test").unwrap(), Families::NONE, &Links::new());
    if cairn_kernel::tcp::has_ao(Family::Ipv4).unwrap() {
        assert!(matches!(result.unwrap().keys.values().next(), Some(Key::Ao(_))));
    } else {
        let error = result.unwrap_err().to_string();
        assert!(error.starts_with("neighbor 10.0.0.2: tcpAo: 1 keys: this kernel has no TCP-AO"), "{error}");
    }
}

#[test]
fn a_neighbor_of_an_interface_is_a_peer_once_its_address_is_known() {
    let text = "routerId: 10.0.0.1\nlocalAs: 65001\n\
                interfaceNeighbors: [{interface: eth1, remoteAs: 65002, password: x, bfd: {}}, {interface: eth2, remoteAs: 65003}]\n";
    let config = load(text, "test").unwrap();
    assert!(Settings::new(&config, Families::NONE, &Links::new()).unwrap().speaker.peers.is_empty());
    let link =
        crate::daemon::Link { address: "fe80::7".parse().unwrap(), index: cairn_kernel::object::IfIndex(3) };
    let settings = Settings::new(&config, Families::NONE, &Links::from([("eth1".to_owned(), link)])).unwrap();
    let (address, peer) = settings.speaker.peers.iter().next().unwrap();
    assert_eq!((address.to_string().as_str(), settings.speaker.peers.len()), ("fe80::7", 1));
    assert_eq!(peer.families, Families::ALL);
    assert_eq!(
        (peer.transport.device.as_deref(), peer.description.as_str()),
        (Some("eth1"), "interface eth1")
    );
    assert!(key_of(&settings.keys, *address).is_some());
    assert_eq!(settings.bfd[address].key.interface, Some(3), "BFD needs the interface, too");
}

#[test]
fn next_hops_are_tracked_where_the_document_says_so() {
    let tracking = |text: &str| settings(text).speaker.next_hop_tracking.map(|how| how.resolve_via_default);
    assert_eq!(tracking(""), None);
    assert_eq!(tracking("nextHopTracking: {resolveViaDefault: false}"), None);
    assert_eq!(tracking("nextHopTracking: {enabled: true}"), Some(true));
    assert_eq!(tracking("nextHopTracking: {enabled: true, resolveViaDefault: false}"), Some(false));
    let neighbor = "neighbors: [{address: 10.0.0.2, remoteAs: 65002}]";
    assert!(only_peer(&settings(neighbor)).connected_check);
    let none = format!("nextHopTracking: {{connectedCheck: false}}\n{neighbor}");
    assert!(!only_peer(&settings(&none)).connected_check);
    let neighbor = "neighbors: [{address: 10.0.0.2, remoteAs: 65002, disableConnectedCheck: true}]";
    assert!(!only_peer(&settings(neighbor)).connected_check);
}
