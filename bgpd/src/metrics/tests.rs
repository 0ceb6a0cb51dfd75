use std::collections::BTreeSet;

use bgp_core::speaker::{Config, Input, PeerConfig, Speaker};
use cairn_net::Asn;

use super::*;

/// What a scrape of a speaker with one peer gives.
fn scraped() -> String {
    let now = Instant::now();
    let mut speaker = Speaker::new(now);
    let mut config = Config::new(Asn(65001), "10.0.0.1".parse().unwrap());
    let mut peer = PeerConfig::new(Asn(65002));
    peer.description = "a \"quoted\\\nname".to_owned();
    let address = "10.0.0.2".parse().unwrap();
    config.peers.insert(address, peer);
    speaker.handle(now, Input::Configure(Box::new(config)));
    while let Some(output) = speaker.poll_output() {
        if let bgp_core::speaker::Output::Connect { conn, .. } = output {
            speaker.handle(now, Input::ConnectFailed { conn, reason: "refused".to_owned() });
        }
    }
    let mut convergence = Histogram::default();
    convergence.observe(Duration::from_micros(50));
    convergence.observe(Duration::from_micros(51));
    convergence.observe(Duration::from_secs(3600));
    let snapshot = Snapshot {
        at: now,
        peers: speaker.peers(),
        rib: speaker.statistics(),
        complete: Families::ALL,
        connections: 0,
        jobs: 0,
        route_watchers: 0,
        peer_watchers: 0,
        watcher_queue: 0,
        convergence,
        turns: Histogram::default(),
    };
    snapshot.text()
}

#[test]
fn every_metric_is_printed_once_with_its_type_and_labels() {
    let text = scraped();
    let types: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let listed: BTreeSet<String> =
        names::ALL.iter().map(|metric| format!("{} {}", metric.name, metric.kind.name())).collect();
    assert_eq!(types.len(), listed.len());
    assert_eq!(types.iter().map(ToString::to_string).collect::<BTreeSet<_>>(), listed);
    for metric in names::ALL.iter().filter(|metric| metric.kind != names::Kind::Histogram) {
        let prefix = if metric.labels.is_empty() { " " } else { "{" };
        let start = format!("{}{prefix}", metric.name);
        let sample = text.lines().find(|line| line.starts_with(&start));
        let sample = sample.unwrap_or_else(|| panic!("no sample of {}", metric.name));
        for label in metric.labels {
            assert!(sample.contains(&format!("{label}=\"")), "{sample}");
        }
    }
}

#[test]
fn labels_are_escaped_and_buckets_add_up() {
    let text = scraped();
    let info = r#"bgpd_peer_info{peer="10.0.0.2",remote_as="65002",description="a \"quoted\\\nname"} 1"#;
    assert!(text.contains(info), "{text}");
    assert!(text.contains("bgpd_peer_last_error_timestamp_seconds{peer=\"10.0.0.2\",reason=\"connect_failed\",code=\"\",subcode=\"\"} "));
    for line in [
        "bgpd_convergence_seconds_bucket{le=\"0.00005\"} 1",
        "bgpd_convergence_seconds_bucket{le=\"0.0001\"} 2",
        "bgpd_convergence_seconds_bucket{le=\"10\"} 2",
        "bgpd_convergence_seconds_bucket{le=\"+Inf\"} 3",
        "bgpd_convergence_seconds_count 3",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

#[test]
fn the_page_lists_the_metrics_with_type_and_labels() {
    let page = include_str!("../../../docs/guide/metrics.md");
    let row = |line: &str| -> Option<String> {
        let cells: Vec<&str> = line.strip_prefix("| `")?.split('|').map(str::trim).collect();
        let [name, kind, labels, ..] = cells.as_slice() else { return None };
        Some(format!("{} {kind} {}", name.trim_end_matches('`'), labels.replace('`', "")))
    };
    let documented: BTreeSet<String> = page.lines().filter_map(row).collect();
    let code: BTreeSet<String> = names::ALL
        .iter()
        .map(|metric| {
            let labels = if metric.labels.is_empty() { "-".to_owned() } else { metric.labels.join(", ") };
            format!("{} {} {labels}", metric.name, metric.kind.name())
        })
        .collect();
    let missing: Vec<_> = code.difference(&documented).collect();
    let gone: Vec<_> = documented.difference(&code).collect();
    assert!(missing.is_empty() && gone.is_empty(), "missing {missing:#?}, gone {gone:#?}");
}
