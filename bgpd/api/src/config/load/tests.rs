use std::time::Duration;

use super::*;
use crate::config::{Neighbor, PeerOptions, Secret};

/// A document that uses every field.
const FULL: &str = include_str!("../../../testdata/full.yaml");

/// What `load` says of a document that it refuses.
fn refused(text: &str) -> String {
    load(text, "bgpd.yaml").expect_err("the document must be refused").to_string()
}

/// The two fields that every document needs, then more.
fn with_head(rest: &str) -> String {
    format!("routerId: 10.0.0.1\nlocalAs: 65001\n{rest}")
}

#[test]
fn the_least_document_has_a_router_id_and_an_as() {
    let config = load(&with_head(""), "x").unwrap();
    assert_eq!(config, Config::new("10.0.0.1".parse().unwrap(), cairn_net::Asn(65001)));
    assert!(config.ebgp_requires_policy);
    assert_eq!(config.listen.port, 179);
}

#[test]
fn a_document_survives_its_json() {
    let config = load(FULL, "full.yaml").unwrap();
    let json = serde_json::to_string(&config).unwrap();
    assert_eq!(load(&json, "Apply").unwrap(), config);
}

#[test]
fn every_golden_document_is_refused_as_its_golden_says() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/refused");
    let mut seen = 0;
    let mut names: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    for path in names.iter().filter(|path| path.extension().is_some_and(|ext| ext == "yaml")) {
        let source = path.file_name().unwrap().to_str().unwrap();
        let message = load(&std::fs::read_to_string(path).unwrap(), source)
            .expect_err(&format!("{source} must be refused"))
            .to_string()
            + "\n";
        let golden = path.with_extension("txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&golden, &message).unwrap();
        }
        assert_eq!(message, std::fs::read_to_string(&golden).unwrap_or_default(), "{source}");
        seen += 1;
    }
    assert!(seen >= 10, "only {seen} golden documents in {}", dir.display());
}

#[test]
fn a_neighbor_inherits_what_it_does_not_say() {
    let text = with_head(
        "peerGroups:\n  tors: {remoteAs: 65100, password: of-the-group, timers: {holdTime: 9, connectRetryTime: 2}}\n\
         neighbors:\n- {address: 10.0.0.2, peerGroup: tors, timers: {holdTime: 30}}\n\
         - {address: 10.0.0.3, peerGroup: tors, remoteAs: 65200, passwordFile: /etc/secret}\n",
    );
    let config = load(&text, "x").unwrap();
    let [first, second] = [0, 1].map(|index| config.options_of(&config.neighbors[index]));
    assert_eq!(first.remote_as, Some(cairn_net::Asn(65100).into()));
    let timers = first.timers.unwrap();
    assert_eq!(timers.hold_time, Some(Duration::from_secs(30)));
    assert_eq!(timers.connect_retry_time, Some(Duration::from_secs(2)));
    assert_eq!(first.password.unwrap().expose(), "of-the-group");
    assert_eq!(second.remote_as, Some(cairn_net::Asn(65200).into()));
    assert_eq!(second.password, None, "a neighbour's own file excludes the group's password");
}

#[test]
fn a_password_is_never_printed_by_debug() {
    let options = PeerOptions { password: Some(Secret::new("s3cret")), ..PeerOptions::default() };
    let neighbor = Neighbor { address: "10.0.0.2".parse().unwrap(), peer_group: None, options };
    assert!(!format!("{neighbor:?}").contains("s3cret"));
}

#[test]
fn unknown_fields_are_shown_with_line_and_column() {
    let message = refused(&with_head("neighbors:\n- address: 10.0.0.2\n  remoteAs: 65002\n  holdTime: 9\n"));
    assert!(message.starts_with("bgpd.yaml:6:3: neighbors[0]: unknown field `holdTime`"), "{message}");
}

#[test]
fn every_fault_of_meaning_is_reported() {
    let message = refused(&with_head(
        "timers: {holdTime: 2}\nneighbors:\n- {address: 10.0.0.2, remoteAs: 0}\n- {address: 10.0.0.2, remoteAs: 65002}\n",
    ));
    assert_eq!(message.lines().count(), 3, "{message}");
}

#[test]
fn an_oversized_document_is_refused_unread() {
    let message = refused(&" ".repeat(MAX_DOCUMENT + 1));
    assert!(message.contains("at most"), "{message}");
}

#[test]
fn the_guides_document_is_valid_and_shows_every_field() {
    let text = include_str!("../../../../../docs/guide/bgpd.yaml");
    let config = load(text, "docs/guide/bgpd.yaml").unwrap();
    assert_eq!(config.neighbors.len(), 4);
    // A field that the guide does not show would be missing from its text.
    for (type_name, source) in [
        ("Config", include_str!("../speaker.rs")),
        ("PeerOptions", include_str!("../neighbor.rs")),
        ("SetActions", include_str!("../policy.rs")),
        ("OriginatedRoute", include_str!("../originate.rs")),
        ("ListenRange and TcpAoKey", include_str!("../session.rs")),
    ] {
        for field in fields(source) {
            assert!(text.contains(&format!("{field}:")), "{type_name}: {field} is not shown");
        }
    }
}

/// The public fields of a source file as they are written in a document.
fn fields(source: &str) -> impl Iterator<Item = String> {
    let names = source.lines().filter_map(|line| line.strip_prefix("    pub ")?.split_once(": "));
    names
        .map(|(name, _)| name)
        .filter(|name| {
            !name.contains([' ', '(']) && !matches!(*name, "options" | "condition" | "asn" | "first" | "last")
        })
        .map(|name| {
            let mut words = name.split('_');
            let first = words.next().unwrap_or_default().to_owned();
            words.fold(first, |text, word| text + &word[..1].to_uppercase() + &word[1..])
        })
}
