use bgpd_api::config::load;

use super::*;

fn settings(rest: &str) -> Settings {
    let text = format!("routerId: 10.0.0.1\nlocalAs: 65001\n{rest}");
    Settings::new(&load(&text, "test").unwrap(), Families::NONE).unwrap()
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
    assert_eq!(settings.passwords.values().next().unwrap().expose(), "s3cret");
}

#[test]
fn an_unusable_password_file_is_named() {
    let text = "routerId: 10.0.0.1\nlocalAs: 65001\n\
                neighbors: [{address: 10.0.0.2, remoteAs: 65002, passwordFile: /nowhere/x}]\n";
    let error = Settings::new(&load(text, "test").unwrap(), Families::NONE).unwrap_err().to_string();
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
        let settings = Settings::new(&load(&text, "test").unwrap(), kept).unwrap();
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
