use bgpd_api::config::load;

use super::*;

fn settings(rest: &str) -> Settings {
    let text = format!("routerId: 10.0.0.1\nlocalAs: 65001\n{rest}");
    Settings::new(&load(&text, "test").unwrap()).unwrap()
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
    assert_eq!(peer.families, cairn_net::Families::ALL);
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
    let error = Settings::new(&load(text, "test").unwrap()).unwrap_err().to_string();
    assert!(error.starts_with("neighbor 10.0.0.2: cannot read passwordFile /nowhere/x"), "{error}");
}
