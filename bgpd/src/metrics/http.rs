//! As much of HTTP/1.1 as a scrape needs: one request a connection, `GET` or `HEAD` of `/metrics`.
//!
//! A client costs at most [`MAX_HEAD`] bytes and [`PATIENCE`], and there are at most [`CLIENTS`] at a time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::daemon::{Daemon, Handle};

/// Clients at a time; others wait in the kernel's queue.
const CLIENTS: usize = 4;
/// Longest head of a request.
const MAX_HEAD: usize = 8 << 10;
/// Time that a client has to ask, and to take the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time between two attempts to listen.
const RETRY: Duration = Duration::from_secs(10);

/// The server's address, which the configuration may change at any time.
pub(crate) struct Server {
    address: watch::Sender<Option<SocketAddr>>,
}

impl Server {
    /// Starts a server that listens nowhere yet.
    pub(crate) fn start(daemon: Handle) -> Self {
        let (address, changes) = watch::channel(None);
        tokio::spawn(serve(daemon, changes));
        Self { address }
    }

    /// Listens here from now on; `None`: nowhere. An address that cannot be had is tried again and
    /// again: metrics never stand in the way of routing.
    pub(crate) fn listen(&self, address: Option<SocketAddr>) {
        self.address.send_if_modified(|old| std::mem::replace(old, address) != address);
    }
}

async fn serve(daemon: Handle, mut changes: watch::Receiver<Option<SocketAddr>>) {
    loop {
        let address = *changes.borrow_and_update();
        let served = async {
            match address {
                Some(address) => listen(&daemon, address).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = served => {}
            changed = changes.changed() => if changed.is_err() {
                return;
            },
        }
    }
}

/// Listens until dropped.
async fn listen(daemon: &Handle, address: SocketAddr) {
    let mut warned = false;
    let listener = loop {
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(error) if !warned => {
                warn!(%address, %error, "cannot serve metrics here; trying again every {}s", RETRY.as_secs());
                warned = true;
            }
            Err(_) => {}
        }
        sleep(RETRY).await;
    };
    info!(%address, "serving metrics");
    let clients = Arc::new(Semaphore::new(CLIENTS));
    loop {
        let Ok(permit) = Arc::clone(&clients).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let daemon = daemon.clone();
                tokio::spawn(async move {
                    // A client that is slow or gone has only itself to blame.
                    let _ = timeout(PATIENCE, answer(&daemon, stream)).await;
                    drop(permit);
                });
            }
            // Such as too many open files.
            Err(_) => sleep(RETRY).await,
        }
    }
}

async fn answer(daemon: &Handle, mut stream: TcpStream) -> std::io::Result<()> {
    let Some(head) = read_head(&mut stream).await? else {
        return respond(&mut stream, "400 Bad Request", "the request has no end\n", true).await;
    };
    let mut words = head.split_ascii_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split('?').next().unwrap_or_default();
    let body = method != "HEAD";
    match (method, path) {
        ("GET" | "HEAD", "/metrics") => {
            let asked = daemon.call(|daemon: &mut Daemon| (daemon.metrics(), daemon.bfd_report())).await;
            let Ok((mut snapshot, bfd)) = asked else {
                return respond(&mut stream, "503 Service Unavailable", "bgpd is shutting down\n", body)
                    .await;
            };
            if let Some(report) = bfd {
                // The BFD thread answers between any two waits; one that has ended says nothing more.
                snapshot.bfd = report.await.ok();
            }
            // Off the daemon's thread: the text of a thousand peers takes milliseconds.
            let text = tokio::task::spawn_blocking(move || snapshot.text()).await.unwrap_or_default();
            respond(&mut stream, "200 OK", &text, body).await
        }
        ("GET" | "HEAD", _) => respond(&mut stream, "404 Not Found", "metrics are at /metrics\n", body).await,
        _ => respond(&mut stream, "405 Method Not Allowed", "only GET and HEAD\n", body).await,
    }
}

/// The head of a request; `None` if it is too long or ends early.
async fn read_head(stream: &mut TcpStream) -> std::io::Result<Option<String>> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if head.len() >= MAX_HEAD || stream.read_buf(&mut head).await? == 0 {
            return Ok(None);
        }
    }
    Ok(Some(String::from_utf8_lossy(&head).into_owned()))
}

async fn respond(stream: &mut TcpStream, status: &str, text: &str, body: bool) -> std::io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        text.len()
    );
    stream.write_all(head.as_bytes()).await?;
    if body {
        stream.write_all(text.as_bytes()).await?;
    }
    stream.shutdown().await
}
