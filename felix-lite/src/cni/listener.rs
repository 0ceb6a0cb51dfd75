//! The socket: connections, frames, and how many of each.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cairn_datastore::Datastore;
use felix_api::{FrameError, HEADER, Reply, Request, body_len, encode, receive};
use thiserror::Error;
use tokio::io::{AsyncWriteExt as _, Interest};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::server::Server;

/// Connections served at a time; more wait in the kernel's backlog. A node has some hundred pods at most.
pub(super) const CONNECTIONS: usize = 256;
/// A plugin has its whole request ready when it connects, and takes its reply at once.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long calls under way may take to end when the daemon stops.
const GRACE: Duration = Duration::from_secs(10);

/// Answered as soon as the loop that takes connections turns.
pub(crate) type Turn = oneshot::Sender<()>;

/// The socket cannot be made.
#[derive(Debug, Error)]
#[error("cannot listen on {path}: {source}")]
pub struct ListenError {
    path: PathBuf,
    source: io::Error,
}

/// The bound socket.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
}

/// Why a connection got no reply.
#[derive(Debug, Error)]
enum ConnectionError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("nothing read or taken for {} s", PATIENCE.as_secs())]
    Slow(#[from] tokio::time::error::Elapsed),
}

impl Listener {
    /// Binds, for root alone, in place of what is there.
    pub(super) fn bind(path: &Path) -> Result<Self, ListenError> {
        let bind = || {
            fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
            // Made under another name and renamed: there is no moment with the wrong mode, or without a socket.
            let fresh = path.with_extension("new");
            match fs::remove_file(&fresh) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let socket = UnixListener::bind(&fresh)?;
            fs::set_permissions(&fresh, Permissions::from_mode(0o600))?;
            fs::rename(&fresh, path)?;
            Ok(Self { socket })
        };
        bind().map_err(|source| ListenError { path: path.to_owned(), source })
    }

    /// Accepts until `stop` completes.
    pub(super) async fn serve<D>(
        self,
        server: Arc<Server<D>>,
        mut turns: mpsc::Receiver<Turn>,
        stop: impl Future<Output = ()>,
    ) where
        D: Datastore + Send + Sync + 'static,
    {
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        let (mut calls, mut slot) = (JoinSet::new(), None);
        tokio::pin!(stop);
        loop {
            let stream = tokio::select! {
                free = Arc::clone(&slots).acquire_owned(), if slot.is_none() => {
                    // The semaphore is never closed.
                    let Ok(free) = free else { return };
                    slot = Some(free);
                    continue;
                }
                accepted = self.socket.accept(), if slot.is_some() => accepted,
                Some(turn) = turns.recv() => {
                    let _nobody_waits = turn.send(());
                    continue;
                }
                () = &mut stop => break,
            };
            match stream {
                Ok((stream, _)) => {
                    let (server, slot) = (Arc::clone(&server), slot.take());
                    // A call runs to its end even if the plugin is killed: the runtime's next call finds a whole state.
                    calls.spawn(async move {
                        let _slot = slot;
                        if let Err(error) = converse(&server, stream).await {
                            debug!(%error, "a connection of the plugin failed");
                        }
                    });
                }
                Err(error) => {
                    warn!(%error, "cannot accept connections of the plugin");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
            while calls.try_join_next().is_some() {}
        }
        drop(self.socket);
        let finish = async { while calls.join_next().await.is_some() {} };
        if timeout(GRACE, finish).await.is_err() {
            warn!("calls of the plugin are cut off");
        }
    }
}

/// One request, one reply.
async fn converse<D>(server: &Server<D>, mut stream: UnixStream) -> Result<(), ConnectionError>
where
    D: Datastore + Send + Sync + 'static,
{
    let (request, netns) = timeout(PATIENCE, read(&stream)).await??;
    let reply: Reply = server.answer(request, netns).await;
    let frame = encode(&reply)?;
    Ok(timeout(PATIENCE, stream.write_all(&frame)).await??)
}

async fn read(stream: &UnixStream) -> Result<(Request, Option<File>), ConnectionError> {
    // Large enough for every request but GC's: they come whole in one read.
    let mut buffer = vec![0; 4096];
    let (mut filled, mut wanted, mut netns) = (0, HEADER, None);
    while filled < wanted {
        let free = buffer.get_mut(filled..).unwrap_or_default();
        let (len, fd) = stream.async_io(Interest::READABLE, || receive(stream, free)).await?;
        if len == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        filled += len;
        netns = netns.or(fd);
        if let Some(header) = buffer.first_chunk::<HEADER>().filter(|_| filled >= HEADER) {
            wanted = HEADER + body_len(*header)?;
            buffer.resize(wanted.max(buffer.len()), 0);
        }
    }
    let body = buffer.get(HEADER..wanted).unwrap_or_default();
    let request = serde_json::from_slice(body).map_err(FrameError::from)?;
    Ok((request, netns.map(File::from)))
}
