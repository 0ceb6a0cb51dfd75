//! Whether the daemon lives and is ready, over HTTP, for whoever supervises it.
//!
//! | path | 200 if |
//! |---|---|
//! | `/livez` | engine and dataplane thread, and the CNI server, each take a turn within [`PATIENCE`]: if not, a restart may help |
//! | `/readyz` | the node is ready for pods: [`Readiness`](crate::engine::Readiness) |
//!
//! Otherwise 503. The body has a line for each check. Nothing runs between requests, and a request costs the engine one message.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cairn_daemon::http::{self, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tracing::info;

use crate::cni::Turn;
use crate::endpoint::Endpoints;
use crate::engine::Snapshot;

/// How long a loop may take to turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whom to ask.
#[derive(Debug)]
pub(crate) struct Health {
    pub(crate) endpoints: Endpoints,
    pub(crate) snapshots: mpsc::Sender<oneshot::Sender<Snapshot>>,
    pub(crate) cni: mpsc::Sender<Turn>,
}

/// What is asked, and why it does not hold.
type Check = (&'static str, Option<String>);

/// Serves for ever.
///
/// Errors: the address cannot be listened on.
pub(crate) async fn serve(address: SocketAddr, health: Health) -> io::Result<Infallible> {
    let listener = TcpListener::bind(address).await?;
    info!(address = %listener.local_addr()?, "health is told over HTTP: /livez, /readyz");
    accept(listener, Arc::new(health)).await
}

async fn accept(listener: TcpListener, health: Arc<Health>) -> io::Result<Infallible> {
    let answer = move |path: String| {
        let health = Arc::clone(&health);
        async move { answer(&health, &path).await }
    };
    http::serve(listener, answer).await
}

async fn answer(health: &Health, path: &str) -> (StatusCode, String) {
    let checks = match path {
        "/livez" => health.live().await,
        "/readyz" => health.ready().await,
        _ => return (StatusCode::NOT_FOUND, "there are: /livez, /readyz\n".to_owned()),
    };
    let good = checks.iter().all(|(_, fault)| fault.is_none());
    let mut text = String::new();
    for (what, fault) in checks {
        // Writing to a string never fails.
        let _ = match fault {
            None => writeln!(text, "[+] {what}: ok"),
            Some(fault) => writeln!(text, "[-] {what}: {fault}"),
        };
    }
    (if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, text)
}

impl Health {
    /// Do the loops turn?
    async fn live(&self) -> Vec<Check> {
        let silent = || format!("no answer within {} s", PATIENCE.as_secs());
        let engine = async {
            match timeout(PATIENCE, self.endpoints.turn()).await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some(silent()),
            }
        };
        let cni = async { timeout(PATIENCE, self.cni_turn()).await.ok().flatten().is_none().then(silent) };
        let (engine, cni) = tokio::join!(engine, cni);
        vec![("engine and dataplane", engine), ("CNI server", cni)]
    }

    /// Is the node ready for pods?
    async fn ready(&self) -> Vec<Check> {
        let Some(snapshot) = timeout(PATIENCE, self.snapshot()).await.ok().flatten() else {
            return vec![("engine", Some(format!("no answer within {} s", PATIENCE.as_secs())))];
        };
        snapshot.readiness.checks().map(|(part, fault)| (part, fault.map(str::to_owned))).into()
    }

    async fn cni_turn(&self) -> Option<()> {
        let (answer, reply) = oneshot::channel();
        self.cni.send(answer).await.ok()?;
        reply.await.ok()
    }

    async fn snapshot(&self) -> Option<Snapshot> {
        let (answer, reply) = oneshot::channel();
        self.snapshots.send(answer).await.ok()?;
        reply.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;
    use crate::endpoint::Request as Wanted;
    use crate::engine::Readiness;

    async fn get(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    fn path(path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nHost: node\r\n\r\n")
    }

    #[tokio::test]
    async fn the_answer_says_what_is_missing() {
        let (endpoints, mut requests) = Endpoints::new();
        let (snapshots, mut asked) = mpsc::channel::<oneshot::Sender<Snapshot>>(1);
        let (cni, mut turns) = mpsc::channel::<Turn>(1);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(accept(listener, Arc::new(Health { endpoints, snapshots, cni })));
        let engine = tokio::spawn(async move {
            loop {
                tokio::select! {
                    Some(Wanted::Turn(answer)) = requests.recv() => answer.send(()).unwrap(),
                    Some(turn) = turns.recv() => turn.send(()).unwrap(),
                    Some(answer) = asked.recv() => {
                        let bgpd = Some("no socket".to_owned());
                        let readiness = Readiness { bgpd, ..Readiness::default() };
                        answer.send(Snapshot { readiness, ..Snapshot::default() }).unwrap();
                    }
                }
            }
        });
        let live = get(address, &path("/livez")).await;
        assert!(live.starts_with("HTTP/1.1 200 OK\r\n"), "{live}");
        assert!(live.ends_with("\r\n\r\n[+] engine and dataplane: ok\n[+] CNI server: ok\n"), "{live}");
        let ready = get(address, &path("/readyz")).await;
        assert!(ready.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{ready}");
        assert!(
            ready.ends_with("[+] datastore: ok\n[+] dataplane: ok\n[-] bgpd: no socket\n[+] ipam: ok\n"),
            "{ready}"
        );
        assert!(get(address, &path("/")).await.starts_with("HTTP/1.1 404 "));
        assert!(
            get(address, "POST /livez HTTP/1.1\r\nHost: node\r\n\r\n").await.starts_with("HTTP/1.1 405 ")
        );
        assert!(get(address, "nonsense\r\n\r\n").await.starts_with("HTTP/1.1 400 "));
        engine.abort();
        let dead = get(address, &path("/livez")).await;
        assert!(dead.starts_with("HTTP/1.1 503 ") && dead.contains("felix-lite is stopping"), "{dead}");
        assert!(dead.contains("[-] CNI server: no answer"), "{dead}");
        server.abort();
    }
}
