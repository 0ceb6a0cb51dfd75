//! Short answers over HTTP/1.1: one a connection, to GET and HEAD. Nothing runs between requests, and no client can take more than its time
//! and its place.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::{debug, warn};

pub use hyper::StatusCode;

/// How long a client may take to ask.
const PATIENCE: Duration = Duration::from_secs(5);
/// Connections served at a time; others wait in the kernel's backlog.
const CONNECTIONS: usize = 16;
/// Longest head of a request, in octets.
const LONGEST: usize = 8192;

/// Serves for ever: `answer` makes status and text of a path.
///
/// # Errors
/// None while the process lives: connections that cannot be accepted are tried again.
pub async fn serve<A, F>(listener: TcpListener, answer: A) -> io::Result<Infallible>
where
    A: Fn(String) -> F + Send + Sync + 'static,
    F: Future<Output = (StatusCode, String)> + Send,
{
    let (answer, slots) = (Arc::new(answer), Arc::new(Semaphore::new(CONNECTIONS)));
    loop {
        // The semaphore is never closed.
        let slot = Arc::clone(&slots).acquire_owned().await.map_err(io::Error::other)?;
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(%error, "cannot accept connections over HTTP");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let answer = Arc::clone(&answer);
        tokio::spawn(async move {
            let _slot = slot;
            let service = service_fn(|request| respond(&*answer, request));
            let mut http = http1::Builder::new();
            http.keep_alive(false)
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .max_buf_size(LONGEST);
            let connection = http.serve_connection(TokioIo::new(stream), service);
            if let Ok(Err(error)) = timeout(PATIENCE * 3, connection).await {
                debug!(%error, "a connection over HTTP failed");
            }
        });
    }
}

async fn respond<A, F>(answer: &A, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible>
where
    A: Fn(String) -> F,
    F: Future<Output = (StatusCode, String)>,
{
    let (status, text) = match *request.method() {
        Method::GET | Method::HEAD => answer(request.uri().path().to_owned()).await,
        _ => (StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    Ok(response)
}
