use std::collections::BTreeSet;

use bfd_core::{Datagram, Endpoint, Hops, Key, SessionConfig};
use bgp_core::speaker::{Config, Input, PeerConfig, Speaker};
use cairn_net::Asn;

use super::*;

/// BFD of a session that came up, then heard nothing any more.
fn failed_bfd(start: Instant) -> Report {
    let [near, far] = ["10.0.0.1", "10.0.0.2"].map(|text| text.parse().unwrap());
    let mut sides = [(1, far), (2, near)].map(|(seed, remote)| {
        let mut endpoint = Endpoint::new(start, seed);
        let sessions = [(Key::new(remote, Hops::Single), SessionConfig::default())].into();
        endpoint.handle(start, bfd_core::Input::Configure(&sessions));
        endpoint
    });
    for step in 0..60 {
        let now = start + Duration::from_millis(100) * step;
        for (index, source, destination) in [(0, near, far), (1, far, near)] {
            sides[index].handle(now, bfd_core::Input::Tick);
            while let Some(output) = sides[index].poll_output() {
                // Nothing gets through in the last two seconds.
                if let bfd_core::Output::Transmit { packet, len, .. } = output
                    && step < 40
                {
                    let payload = &packet[..len];
                    let (hops, interface, ttl) = (Hops::Single, 1, 255);
                    let datagram = Datagram { hops, source, destination, interface, ttl, payload };
                    sides[1 - index].handle(now, bfd_core::Input::Received(datagram));
                }
            }
        }
    }
    let [near, _] = &sides;
    Report { sessions: near.sessions().collect(), discarded: *near.discards(), send_errors: 2 }
}

#[test]
fn a_bfd_session_shows_what_it_is_and_what_it_was() {
    let text = scraped();
    for line in [
        "bgpd_bfd_up{peer=\"10.0.0.2\"} 0",
        "bgpd_bfd_state{peer=\"10.0.0.2\"} 1",
        "bgpd_bfd_transitions_total{peer=\"10.0.0.2\",to=\"up\"} 1",
        "bgpd_bfd_transitions_total{peer=\"10.0.0.2\",to=\"down\"} 1",
        "bgpd_bfd_diagnostic{peer=\"10.0.0.2\",side=\"local\"} 1",
        "bgpd_bfd_packets_discarded_total{peer=\"10.0.0.2\"} 0",
        "bgpd_bfd_send_errors_total 2",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    for metric in ["received", "sent"] {
        let start = format!("bgpd_bfd_packets_{metric}_total{{peer=\"10.0.0.2\"}} ");
        let count: u64 = text.lines().find_map(|line| line.strip_prefix(&start)?.parse().ok()).unwrap();
        assert!(count > 5, "{metric} {count}\n{text}");
    }
}

#[test]
fn a_bfd_session_that_says_goodbye_is_not_counted_beside_the_next_one() {
    let now = Instant::now();
    let mut report = failed_bfd(now);
    let mut old = report.sessions[0].clone();
    (old.key.hops, old.state) = (Hops::Multi, bfd_core::State::AdminDown);
    report.sessions.push(old);
    let mut text = Text::default();
    bfd::write(Some(&report), &mut text);
    let text = text.finish();
    let samples: Vec<&str> =
        text.lines().filter_map(|line| line.rsplit_once(' ')).map(|(name, _)| name).collect();
    let distinct: BTreeSet<&str> = samples.iter().copied().filter(|name| name.contains('{')).collect();
    assert_eq!(distinct.len(), samples.iter().filter(|name| name.contains('{')).count(), "{text}");
}

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
        bfd: Some(failed_bfd(now)),
        rib: speaker.statistics(),
        next_hops: Some(NextHopStatistics::default()),
        waiting_routes: Some(3),
        complete: Families::ALL,
        connections: 0,
        refusals: Refusals::default(),
        jobs: 0,
        route_watchers: 0,
        peer_watchers: 0,
        watcher_queue: 0,
        convergence,
        turns: Histogram::default(),
        bmp: BmpCounts { connected: 1, queued: 5, cut_off: 2, dropped: 9 },
        mrt: mrt::Counts { written: 3, lost: 2, tables_written: 1, tables_failed: 0, queued: 7 },
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
