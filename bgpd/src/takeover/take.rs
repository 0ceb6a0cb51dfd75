//! The new process's side.

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use cairn_kernel::fd::receive_files;

use super::{MAGIC, MAX_STATE, PATIENCE, TakeOverError, VERSION, YES, answer, get_block, place, refuse};
use crate::bfd::Frozen;

/// How long a state may take to come: the old process writes it in one go.
const STATE_PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// BFD sessions: more than there are ports for.
const MAX_PLACES: u64 = 1 << 17;

/// What the running process has handed over. Dropped before [`Taken::go`]: the other one goes on.
pub(crate) struct Taken {
    link: UnixStream,
    /// The daemon's own part.
    pub(crate) daemon: Vec<u8>,
    /// What the sockets of the sessions have not taken yet.
    pub(crate) pending: Vec<u8>,
    /// The speaker's state.
    pub(crate) speaker: Vec<u8>,
}

/// Asks the running process for its sessions; `None` if there is none.
///
/// # Errors
/// If it refuses, or what it sends cannot be used. It goes on then.
pub(crate) fn ask(socket: &Path) -> Result<Option<Taken>, TakeOverError> {
    let link = match UnixStream::connect(place(socket)) {
        Ok(link) => link,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    link.set_read_timeout(Some(STATE_PATIENCE))?;
    link.set_write_timeout(Some(PATIENCE))?;
    (&link).write_all(&MAGIC)?;
    (&link).write_all(&VERSION.to_be_bytes())?;
    answer(&link)?;
    let daemon = get_block(&link, MAX_STATE)?;
    let pending = get_block(&link, MAX_STATE)?;
    let speaker = get_block(&link, MAX_STATE)?;
    Ok(Some(Taken { link, daemon, pending, speaker }))
}

impl Taken {
    /// The files: first those of [`super::Parting`], in its order, then `count` of the daemon.
    ///
    /// # Errors
    /// If they do not come.
    pub(crate) fn files(&self, count: usize) -> Result<([OwnedFd; 3], Vec<OwnedFd>), TakeOverError> {
        let mut files = receive_files(&self.link, 3 + count)?.into_iter();
        let (Some(grpc), Some(lock), Some(takeover)) = (files.next(), files.next(), files.next()) else {
            return Err(TakeOverError::Damaged("there are too few files"));
        };
        Ok(([grpc, lock, takeover], files.collect()))
    }

    /// Everything is there: from now on the sockets are this process's. Returns what did not stand still until now.
    ///
    /// # Errors
    /// If the old process has given up meanwhile. It goes on then, and nothing may be touched here.
    pub(crate) fn go(self) -> Result<Frozen, TakeOverError> {
        (&self.link).write_all(&[YES])?;
        self.link.set_read_timeout(Some(PATIENCE))?;
        answer(&self.link)?;
        let places = get_block(&self.link, MAX_PLACES)?;
        let state = get_block(&self.link, MAX_STATE)?;
        let files = receive_files(&self.link, Frozen::count(&places))?;
        // Only now the other one lets go.
        answer(&self.link)?;
        Ok(Frozen { places, state, files })
    }

    /// It cannot be used.
    pub(crate) fn refuse(&self, why: &str) {
        refuse(&self.link, why);
    }
}
