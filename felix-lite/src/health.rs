//! Whether the daemon lives and is ready, over HTTP, for whoever supervises it.
//!
//! | path | 200 if |
//! |---|---|
//! | `/livez` | engine and dataplane thread each take a turn within [`PATIENCE`]: if not, a restart may help |
//! | `/readyz` | pods can be added and the node's routes are complete: store read, firewall in the kernel, bgpd in sync, a pool to take from |
//!
//! Otherwise 503. The body has a line for each check. Nothing runs between requests, and a request costs the engine one message.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cairn_datastore::Datastore;
use cairn_ipam::NodeAllocator;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use tracing::{debug, info, warn};

use crate::endpoint::Endpoints;
use crate::engine::Snapshot;

/// How long a loop may take to turn, and a client to ask.
const PATIENCE: Duration = Duration::from_secs(5);
/// Connections served at a time; others wait in the kernel's backlog.
const CONNECTIONS: usize = 16;

/// Whom to ask.
#[derive(Debug)]
pub(crate) struct Health<D> {
    pub(crate) endpoints: Endpoints,
    pub(crate) snapshots: mpsc::Sender<oneshot::Sender<Snapshot>>,
    pub(crate) allocator: Arc<NodeAllocator<D>>,
}

/// What is asked, and why it does not hold.
type Check = (&'static str, Option<String>);

/// Serves for ever.
///
/// Errors: the address cannot be listened on.
pub(crate) async fn serve<D: Datastore>(address: SocketAddr, health: Health<D>) -> io::Result<Infallible> {
    let listener = TcpListener::bind(address).await?;
    info!(address = %listener.local_addr()?, "health is told over HTTP: /livez, /readyz");
    accept(listener, Arc::new(health)).await
}

async fn accept<D: Datastore>(listener: TcpListener, health: Arc<Health<D>>) -> io::Result<Infallible> {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // The semaphore is never closed.
        let slot = Arc::clone(&slots).acquire_owned().await.map_err(io::Error::other)?;
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(%error, "cannot accept connections that ask for health");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let health = Arc::clone(&health);
        tokio::spawn(async move {
            let _slot = slot;
            let service = service_fn(|request| answer(&health, request));
            let mut http = http1::Builder::new();
            http.keep_alive(false).timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(8192);
            let connection = http.serve_connection(TokioIo::new(stream), service);
            if let Ok(Err(error)) = timeout(PATIENCE * 3, connection).await {
                debug!(%error, "a connection that asked for health failed");
            }
        });
    }
}

async fn answer<D: Datastore>(
    health: &Health<D>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let is_question = matches!(*request.method(), Method::GET | Method::HEAD);
    let checks = match request.uri().path() {
        _ if !is_question => return Ok(response(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n")),
        "/livez" => health.live().await,
        "/readyz" => health.ready().await,
        _ => return Ok(response(StatusCode::NOT_FOUND, "there are: /livez, /readyz\n")),
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
    Ok(response(if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &text))
}

fn response(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::copy_from_slice(text.as_bytes())));
    *response.status_mut() = status;
    response
}

impl<D: Datastore> Health<D> {
    /// Do the loops turn?
    async fn live(&self) -> Vec<Check> {
        let turned = timeout(PATIENCE, self.endpoints.turn()).await;
        let fault = match turned {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no answer within {} s", PATIENCE.as_secs())),
        };
        vec![("engine and dataplane", fault)]
    }

    /// Can pods be added, and are the node's routes complete?
    async fn ready(&self) -> Vec<Check> {
        let Some(snapshot) = timeout(PATIENCE, self.snapshot()).await.ok().flatten() else {
            return vec![("engine", Some(format!("no answer within {} s", PATIENCE.as_secs())))];
        };
        let routes = (!snapshot.in_sync).then(|| "routes are not complete yet".to_owned());
        let pools = (!self.allocator.has_pools()).then(|| "no IPPool is known".to_owned());
        vec![("dataplane", snapshot.not_ready), ("bgpd", snapshot.bgpd_fault.or(routes)), ("ipam", pools)]
    }

    async fn snapshot(&self) -> Option<Snapshot> {
        let (answer, reply) = oneshot::channel();
        self.snapshots.send(answer).await.ok()?;
        reply.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use cairn_datastore::MemoryStore;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;
    use crate::endpoint::Request as Wanted;

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
        let directory = tempfile::tempdir().unwrap();
        let journal = directory.path().join("ipam");
        let allocator = Arc::new(NodeAllocator::open(MemoryStore::new(), "n1", &journal).unwrap());
        let (endpoints, mut requests) = Endpoints::new();
        let (snapshots, mut asked) = mpsc::channel::<oneshot::Sender<Snapshot>>(1);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(accept(listener, Arc::new(Health { endpoints, snapshots, allocator })));
        let engine = tokio::spawn(async move {
            loop {
                tokio::select! {
                    Some(Wanted::Turn(answer)) = requests.recv() => answer.send(()).unwrap(),
                    Some(answer) = asked.recv() => {
                        let bgpd_fault = Some("no socket".to_owned());
                        answer.send(Snapshot { bgpd_fault, in_sync: true, ..Snapshot::default() }).unwrap();
                    }
                }
            }
        });
        let live = get(address, &path("/livez")).await;
        assert!(live.starts_with("HTTP/1.1 200 OK\r\n"), "{live}");
        assert!(live.ends_with("\r\n\r\n[+] engine and dataplane: ok\n"), "{live}");
        let ready = get(address, &path("/readyz")).await;
        assert!(ready.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{ready}");
        assert!(
            ready.ends_with("[+] dataplane: ok\n[-] bgpd: no socket\n[-] ipam: no IPPool is known\n"),
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
        server.abort();
    }
}
