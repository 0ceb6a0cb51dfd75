//! Liveness and metrics over HTTP.
//!
//! | path | |
//! |---|---|
//! | `/livez` | 200 while the lease is looked at: if not, a restart may help |
//! | `/metrics` | in Prometheus' text format: `docs/guide/kubernetes.md` lists them |

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cairn_daemon::http::StatusCode;

use crate::judge::Action;

/// The lease is looked at every few seconds; a store that is away answers within less.
const STUCK: Duration = Duration::from_secs(120);

/// What the controller does, for whoever asks.
#[derive(Debug)]
pub struct Status {
    begin: Instant,
    leads: AtomicBool,
    turned: AtomicU64,
    rounds: AtomicU64,
    failed: AtomicU64,
    suspects: [AtomicU64; 2],
    kept: AtomicU64,
    done: [AtomicU64; 5],
    matters: AtomicU64,
    events: [AtomicU64; 2],
}

const SUSPECTS: [&str; 2] = ["node", "address"];
const DONE: [&str; 5] = ["release_address", "remove_block", "disown_block", "ask_node", "forget_report"];
const EVENTS: [&str; 2] = ["written", "failed"];

impl Default for Status {
    fn default() -> Self {
        Self {
            begin: Instant::now(),
            leads: AtomicBool::default(),
            turned: AtomicU64::default(),
            rounds: AtomicU64::default(),
            failed: AtomicU64::default(),
            suspects: <[AtomicU64; 2]>::default(),
            kept: AtomicU64::default(),
            done: <[AtomicU64; 5]>::default(),
            matters: AtomicU64::default(),
            events: <[AtomicU64; 2]>::default(),
        }
    }
}

impl Status {
    /// The lease was looked at.
    pub fn turned(&self, leads: bool) {
        self.leads.store(leads, Ordering::Relaxed);
        self.turned.store(self.begin.elapsed().as_secs(), Ordering::Relaxed);
    }

    /// A round is over.
    pub fn round(&self, complete: bool, (nodes, addresses): (usize, usize)) {
        let counter = if complete { &self.rounds } else { &self.failed };
        counter.fetch_add(1, Ordering::Relaxed);
        for (gauge, count) in self.suspects.iter().zip([nodes, addresses]) {
            gauge.store(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    /// So many addresses look leaked for long enough, and stay.
    pub fn kept(&self, count: usize) {
        self.kept.store(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Something was done to so many addresses or objects.
    pub fn done(&self, action: &Action, count: usize) {
        let at = match action {
            Action::Release { .. } => 0,
            Action::Remove { .. } => 1,
            Action::Disown { .. } => 2,
            Action::Ask(_) => 3,
            Action::Forget(_) => 4,
        };
        self.done[at].fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// So much is wrong with objects and nodes.
    pub fn matters(&self, count: usize) {
        self.matters.store(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// An event was written, or was not.
    pub fn event(&self, written: bool) {
        self.events[usize::from(!written)].fetch_add(1, Ordering::Relaxed);
    }

    fn is_live(&self) -> bool {
        let turned = Duration::from_secs(self.turned.load(Ordering::Relaxed));
        self.begin.elapsed().saturating_sub(turned) < STUCK
    }

    /// Status and text for a path.
    pub fn answer(&self, path: &str) -> (StatusCode, String) {
        match path {
            "/livez" if self.is_live() => (StatusCode::OK, "ok\n".to_owned()),
            "/livez" => (
                StatusCode::SERVICE_UNAVAILABLE,
                "the lease has not been looked at for two minutes\n".to_owned(),
            ),
            "/metrics" => (StatusCode::OK, self.metrics()),
            _ => (StatusCode::NOT_FOUND, "there are: /livez, /metrics\n".to_owned()),
        }
    }

    fn metrics(&self) -> String {
        let mut text = String::new();
        let mut metric = |name: &str, kind: &str, help: &str, values: &[(String, u64)]| {
            // Writing to a string never fails.
            let _ = writeln!(
                text,
                "# HELP cairn_controller_{name} {help}\n# TYPE cairn_controller_{name} {kind}"
            );
            for (labels, value) in values {
                let _ = writeln!(text, "cairn_controller_{name}{labels} {value}");
            }
        };
        let of = |value: &AtomicU64| value.load(Ordering::Relaxed);
        let labelled = |label: &str, names: &[&str], values: &[AtomicU64]| -> Vec<(String, u64)> {
            names
                .iter()
                .zip(values)
                .map(|(name, value)| (format!("{{{label}=\"{name}\"}}"), of(value)))
                .collect()
        };
        let leads = u64::from(self.leads.load(Ordering::Relaxed));
        metric("leader", "gauge", "1 while this one acts.", &[(String::new(), leads)]);
        let rounds = [
            ("{result=\"complete\"}".to_owned(), of(&self.rounds)),
            ("{result=\"failed\"}".to_owned(), of(&self.failed)),
        ];
        metric("rounds_total", "counter", "How often everything was looked at.", &rounds);
        metric(
            "suspects",
            "gauge",
            "What looks gone or leaked.",
            &labelled("what", &SUSPECTS, &self.suspects),
        );
        metric(
            "kept",
            "gauge",
            "Addresses that look leaked for long enough, and stay until somebody looks.",
            &[(String::new(), of(&self.kept))],
        );
        metric(
            "actions_total",
            "counter",
            "What was done, by addresses or objects.",
            &labelled("action", &DONE, &self.done),
        );
        metric(
            "matters",
            "gauge",
            "What is wrong with objects and nodes.",
            &[(String::new(), of(&self.matters))],
        );
        metric(
            "events_total",
            "counter",
            "Events of Kubernetes.",
            &labelled("result", &EVENTS, &self.events),
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::{Report, ReportKind};

    #[test]
    fn metrics_have_one_line_for_each_value() {
        let status = Status::default();
        status.turned(true);
        status.round(true, (2, 3));
        status.kept(1);
        let report =
            Report { kind: ReportKind::EgressMembers, node: "n".to_owned(), resource_version: String::new() };
        status.done(&Action::Forget(report), 1);
        status.matters(4);
        status.event(true);
        let text = status.metrics();
        for line in [
            "cairn_controller_leader 1",
            "cairn_controller_rounds_total{result=\"complete\"} 1",
            "cairn_controller_suspects{what=\"address\"} 3",
            "cairn_controller_kept 1",
            "cairn_controller_actions_total{action=\"ask_node\"} 0",
            "cairn_controller_actions_total{action=\"forget_report\"} 1",
            "cairn_controller_actions_total{action=\"release_address\"} 0",
            "cairn_controller_matters 4",
            "cairn_controller_events_total{result=\"written\"} 1",
            "cairn_controller_events_total{result=\"failed\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        assert_eq!(status.answer("/livez").0, StatusCode::OK);
        assert_eq!(status.answer("/").0, StatusCode::NOT_FOUND);
    }
}
