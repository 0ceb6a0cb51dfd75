//! Liveness, readiness and metrics over HTTP.
//!
//! | path | |
//! |---|---|
//! | `/livez` | 200 while the lease is looked at, and a round that is under way makes progress: if not, a restart may help |
//! | `/readyz` | 200 while the lease can be read, and, of the one that leads, once all was read |
//! | `/metrics` | in Prometheus' text format: `docs/guide/kubernetes.md` lists them |

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cairn_daemon::http::StatusCode;

use crate::judge::Action;

/// The lease is looked at every few seconds; a store that is away answers within less.
const STUCK: Duration = Duration::from_secs(120);
/// Reading all that there is, and each single action after it, takes seconds, in the largest clusters a minute; a store that is away ends a
/// round with an error.
const IDLE: Duration = Duration::from_secs(600);

/// A time since the controller began, to the second; or never.
#[derive(Debug, Default)]
struct Mark(AtomicU64);

impl Mark {
    fn set(&self, now: Duration) {
        self.0.store(now.as_secs().saturating_add(1), Ordering::Relaxed);
    }

    fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// How long ago it was.
    fn age(&self, now: Duration) -> Option<Duration> {
        let since = self.0.load(Ordering::Relaxed).checked_sub(1)?;
        Some(now.saturating_sub(Duration::from_secs(since)))
    }
}

/// What the controller does, for whoever asks.
#[derive(Debug)]
pub struct Status {
    begin: Instant,
    leads: AtomicBool,
    /// The lease was looked at.
    turned: Mark,
    /// It was read.
    seen: Mark,
    /// A round that is under way did something.
    progress: Mark,
    /// Was everything read once?
    has_read: AtomicBool,
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
            turned: Mark::default(),
            seen: Mark::default(),
            progress: Mark::default(),
            has_read: AtomicBool::default(),
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
    /// The lease was looked at; `seen`: and could be read.
    pub fn turned(&self, leads: bool, seen: bool) {
        let now = self.begin.elapsed();
        self.leads.store(leads, Ordering::Relaxed);
        self.turned.set(now);
        if seen {
            self.seen.set(now);
        }
    }

    /// A round begins, or goes on.
    pub fn progressed(&self) {
        self.progress.set(self.begin.elapsed());
    }

    /// Everything was read.
    pub fn read(&self) {
        self.has_read.store(true, Ordering::Relaxed);
        self.progressed();
    }

    /// A round is over.
    pub fn round(&self, complete: bool, (nodes, addresses): (usize, usize)) {
        self.progress.clear();
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

    /// What a restart may help against.
    fn hangs(&self, now: Duration) -> Option<&'static str> {
        if self.turned.age(now).unwrap_or(now) >= STUCK {
            return Some("the lease has not been looked at for two minutes");
        }
        let idle = self.progress.age(now).is_some_and(|age| age >= IDLE);
        idle.then_some("a round has made no progress for ten minutes")
    }

    /// Why it could not do its work, or take it over.
    fn lacks(&self, now: Duration) -> Option<&'static str> {
        match self.seen.age(now) {
            None => Some("the lease has not been read yet"),
            Some(age) if age >= STUCK => Some("the lease could not be read for two minutes"),
            Some(_) => {
                let reads = self.leads.load(Ordering::Relaxed) && !self.has_read.load(Ordering::Relaxed);
                reads.then_some("not everything has been read yet")
            }
        }
    }

    /// Status and text for a path.
    pub fn answer(&self, path: &str) -> (StatusCode, String) {
        let judged = |fault: Option<&str>| match fault {
            None => (StatusCode::OK, "ok\n".to_owned()),
            Some(fault) => (StatusCode::SERVICE_UNAVAILABLE, format!("{fault}\n")),
        };
        let now = self.begin.elapsed();
        match path {
            "/livez" => judged(self.hangs(now)),
            "/readyz" => judged(self.lacks(now)),
            "/metrics" => (StatusCode::OK, self.metrics()),
            _ => (StatusCode::NOT_FOUND, "there are: /livez, /readyz, /metrics\n".to_owned()),
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
        status.turned(true, true);
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

    #[test]
    fn a_lease_that_nobody_looks_at_and_a_round_that_stands_still_are_no_life() {
        let (status, begin) = (Status::default(), Duration::from_secs(3));
        let second = Duration::from_secs(1);
        assert_eq!((status.hangs(STUCK - second), status.hangs(STUCK).is_some()), (None, true));
        status.progress.set(begin);
        for now in [begin, begin + IDLE - second] {
            status.turned.set(now);
            assert_eq!(status.hangs(now), None);
        }
        let late = begin + IDLE;
        status.turned.set(late);
        assert!(status.hangs(late).is_some_and(|why| why.contains("a round")));
        status.progress.set(late);
        assert_eq!(status.hangs(late), None, "one step is enough");
        status.round(false, (0, 0));
        status.turned.set(late * 2);
        assert_eq!(status.hangs(late * 2), None, "between two rounds there is nothing to do");
        assert!(status.hangs(late * 2 + STUCK).is_some_and(|why| why.contains("the lease")));
    }

    #[test]
    fn who_waits_is_ready_by_the_lease_and_who_leads_once_it_has_read() {
        let (status, now) = (Status::default(), Duration::from_secs(3));
        assert_eq!(status.answer("/readyz").0, StatusCode::SERVICE_UNAVAILABLE);
        status.turned(false, false);
        assert!(status.lacks(now).is_some(), "a lease that cannot be read");
        status.turned(false, true);
        assert_eq!(status.answer("/readyz").0, StatusCode::OK);
        assert!(status.lacks(now + STUCK).is_some());
        status.turned(true, true);
        assert!(status.lacks(now).is_some_and(|why| why.contains("not everything")));
        status.read();
        assert_eq!(status.lacks(now), None);
    }
}
