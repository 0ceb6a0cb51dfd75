//! Liveness and metrics over HTTP.
//!
//! | path | |
//! |---|---|
//! | `/livez` | 200 while the lease is looked at: if not, a restart may help |
//! | `/metrics` | in Prometheus' text format: `docs/guide/kubernetes.md` lists them |

use std::convert::Infallible;
use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::debug;

use crate::judge::{Action, Kept};

/// How long a client may take to ask.
const PATIENCE: Duration = Duration::from_secs(5);
/// Connections served at a time; others wait in the kernel's backlog.
const CONNECTIONS: usize = 8;
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
    kept: [AtomicU64; 2],
    done: [AtomicU64; 4],
}

const SUSPECTS: [&str; 2] = ["node", "address"];
const DONE: [&str; 4] = ["release_address", "remove_block", "disown_block", "forget_report"];

impl Default for Status {
    fn default() -> Self {
        Self {
            begin: Instant::now(),
            leads: AtomicBool::default(),
            turned: AtomicU64::default(),
            rounds: AtomicU64::default(),
            failed: AtomicU64::default(),
            suspects: <[AtomicU64; 2]>::default(),
            kept: <[AtomicU64; 2]>::default(),
            done: <[AtomicU64; 4]>::default(),
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

    /// This looks gone or leaked for long enough, and stays.
    pub fn kept(&self, kept: &[Kept]) {
        let nodes = kept.iter().filter(|kept| matches!(kept, Kept::MayLive(_))).count();
        for (gauge, count) in self.kept.iter().zip([nodes, kept.len() - nodes]) {
            gauge.store(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    /// Something was done to so many addresses or objects.
    pub fn done(&self, action: &Action, count: usize) {
        let at = match action {
            Action::Release { .. } => 0,
            Action::Remove { .. } => 1,
            Action::Disown { .. } => 2,
            Action::Forget(_) => 3,
        };
        self.done[at].fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn is_live(&self) -> bool {
        let turned = Duration::from_secs(self.turned.load(Ordering::Relaxed));
        self.begin.elapsed().saturating_sub(turned) < STUCK
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
            "What looks gone or leaked for long enough, and stays until somebody looks.",
            &labelled("what", &SUSPECTS, &self.kept),
        );
        metric(
            "actions_total",
            "counter",
            "What was done, by addresses or objects.",
            &labelled("action", &DONE, &self.done),
        );
        text
    }
}

/// Serves for ever.
///
/// # Errors
/// Connections cannot be taken.
pub async fn serve(listener: TcpListener, status: Arc<Status>) -> io::Result<Infallible> {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // The semaphore is never closed.
        let slot = Arc::clone(&slots).acquire_owned().await.map_err(io::Error::other)?;
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let status = Arc::clone(&status);
        tokio::spawn(async move {
            let _slot = slot;
            let service = service_fn(|request| {
                let response = answer(&status, &request);
                async move { Ok::<_, Infallible>(response) }
            });
            let mut http = http1::Builder::new();
            http.keep_alive(false).timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(8192);
            let connection = http.serve_connection(TokioIo::new(stream), service);
            if let Ok(Err(error)) = timeout(PATIENCE * 3, connection).await {
                debug!(%error, "a connection failed");
            }
        });
    }
}

fn answer(status: &Status, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let (code, text) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/livez") if status.is_live() => (StatusCode::OK, "ok\n".to_owned()),
        (&Method::GET | &Method::HEAD, "/livez") => {
            (StatusCode::SERVICE_UNAVAILABLE, "the lease has not been looked at for two minutes\n".to_owned())
        }
        (&Method::GET | &Method::HEAD, "/metrics") => (StatusCode::OK, status.metrics()),
        (&Method::GET | &Method::HEAD, _) => {
            (StatusCode::NOT_FOUND, "there are: /livez, /metrics\n".to_owned())
        }
        _ => (StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = code;
    response
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
        status.kept(&[Kept::MayLive("n".to_owned())]);
        let report =
            Report { kind: ReportKind::EgressMembers, node: "n".to_owned(), resource_version: String::new() };
        status.done(&Action::Forget(report), 1);
        let text = status.metrics();
        for line in [
            "cairn_controller_leader 1",
            "cairn_controller_rounds_total{result=\"complete\"} 1",
            "cairn_controller_suspects{what=\"address\"} 3",
            "cairn_controller_kept{what=\"node\"} 1",
            "cairn_controller_kept{what=\"address\"} 0",
            "cairn_controller_actions_total{action=\"forget_report\"} 1",
            "cairn_controller_actions_total{action=\"release_address\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        assert!(status.is_live());
    }
}
