//! The old process's side.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use cairn_kernel::fd::send_files;
use tokio::net::UnixListener;
use tracing::{error, warn};

use super::{MAGIC, PATIENCE, TakeOverError, VERSION, YES, answer, get, place, put_block, refuse};
use crate::bfd::Frozen;
use crate::daemon::Handle;

/// Files that every daemon has, whatever its configuration: what a successor gets first.
pub(crate) struct Parting {
    /// Where gRPC clients connect.
    pub(crate) grpc: OwnedFd,
    /// The lock beside it.
    pub(crate) lock: OwnedFd,
    /// Where the next successor asks.
    pub(crate) takeover: OwnedFd,
}

/// A process that asks, and what it is to get whatever the daemon adds.
pub(crate) struct Asked {
    link: UnixStream,
    parting: std::sync::Arc<Parting>,
}

/// Waits to be asked. The caller holds the lock of the gRPC socket, so what lies there is a left-over.
pub(crate) fn listen(socket: &Path) -> io::Result<UnixListener> {
    let place = place(socket);
    match fs::remove_file(&place) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&place)?;
    fs::set_permissions(&place, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Brings those that ask to the daemon, one at a time, until it ends.
pub(crate) async fn serve(listener: UnixListener, parting: Parting, daemon: Handle) {
    let parting = std::sync::Arc::new(parting);
    loop {
        let link = match listener.accept().await.and_then(|(link, _)| link.into_std()) {
            Ok(link) => link,
            Err(error) => {
                error!(%error, "nobody can take this daemon over any more");
                return;
            }
        };
        let asked = Asked { link, parting: std::sync::Arc::clone(&parting) };
        // On a thread of its own: who connects and says nothing must not keep the sessions waiting.
        let asked = match tokio::task::spawn_blocking(move || asked.hear().map(|()| asked)).await {
            Ok(Ok(asked)) => asked,
            Ok(Err(error)) => {
                warn!(%error, "another process has not taken over: this one goes on");
                continue;
            }
            Err(error) => {
                error!(%error, "nobody can take this daemon over any more");
                return;
            }
        };
        match daemon.call(move |daemon| daemon.hand_over(&asked)).await {
            Ok(Ok(())) | Err(_) => return,
            Ok(Err(error)) => warn!(%error, "another process has not taken over: this one goes on"),
        }
    }
}

impl Asked {
    /// Hears what the other process wants; takes up to [`PATIENCE`].
    ///
    /// # Errors
    /// If it speaks another version, or not at all.
    fn hear(&self) -> Result<(), TakeOverError> {
        self.link.set_nonblocking(false)?;
        self.link.set_read_timeout(Some(PATIENCE))?;
        self.link.set_write_timeout(Some(PATIENCE))?;
        let magic: [u8; 8] = get(&self.link)?;
        let theirs = u32::from_be_bytes(get(&self.link)?);
        if magic != MAGIC {
            return Err(TakeOverError::Damaged("it is no bgpd"));
        }
        if theirs != VERSION {
            self.refuse(&format!("the running bgpd speaks version {VERSION} of the take-over, not {theirs}"));
            return Err(TakeOverError::Version { theirs });
        }
        Ok(())
    }

    /// Says no.
    pub(crate) fn refuse(&self, why: &str) {
        refuse(&self.link, why);
    }

    /// Hands everything over: parts of the state in order, and the daemon's own files; once the other process is ready, what cannot stand
    /// still for that long. Once this has succeeded, the sockets belong to the other process.
    ///
    /// # Errors
    /// If the other process is not ready within `limit`, or there is no last part. It does nothing then.
    pub(crate) fn give(
        &self,
        parts: &[&[u8]],
        files: &[BorrowedFd<'_>],
        limit: Duration,
        last: impl FnOnce() -> Result<Frozen, String>,
    ) -> Result<(), TakeOverError> {
        let mut link = &self.link;
        link.write_all(&[YES])?;
        for part in parts {
            put_block(link, part)?;
        }
        let parting = [self.parting.grpc.as_fd(), self.parting.lock.as_fd(), self.parting.takeover.as_fd()];
        send_files(link, &[&parting, files].concat())?;
        self.link.set_read_timeout(Some(limit))?;
        answer(link)?;
        let frozen = last().map_err(|why| {
            self.refuse(&why);
            TakeOverError::Refused(why)
        })?;
        link.write_all(&[YES])?;
        put_block(link, &frozen.places)?;
        put_block(link, &frozen.state)?;
        send_files(link, &frozen.files.iter().map(AsFd::as_fd).collect::<Vec<_>>())?;
        Ok(link.write_all(&[YES])?)
    }
}
