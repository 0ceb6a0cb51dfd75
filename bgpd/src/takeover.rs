//! A new process takes the running sessions over, so that the peers notice nothing (docs/adr/0016).
//!
//! ```text
//!   new                                   old
//!    |--- "CAIRNBGP", version ------------>|  stops: reads and writes nothing any more
//!    |<-- state, open sockets -------------|  (or why not)
//!    |    builds everything, touches nothing
//!    |--- ready -------------------------->|  (or why not: the old one goes on)
//!    |                                     |  BFD stands still: until now it has not missed a packet
//!    |<-- BFD: state, sockets -------------|  (or why not)
//!    |<-- go ------------------------------|  ends
//!    |    reads and writes
//! ```
//!
//! Over a Unix socket beside that of gRPC, which nobody but the daemon's user may open. Whatever goes wrong before `go`, the old process
//! goes on as if nobody had asked; waiting is bounded, so that no hold time runs out meanwhile.
//! Not here: what the state says (`bgp_core::speaker`, the daemon).

mod give;
mod take;

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

pub(crate) use give::{Asked, Parting, listen, serve};
pub(crate) use take::{Taken, ask};

/// What the first octets say.
const MAGIC: [u8; 8] = *b"CAIRNBGP";
/// The form of everything that goes over the socket, the speaker's state included.
const VERSION: u32 = 3 << 16 | bgp_core::speaker::STATE_VERSION;
/// How long either side waits for the next octets of the other.
const PATIENCE: Duration = Duration::from_secs(2);
/// A state that is larger is none. Ten million routes fit.
const MAX_STATE: u64 = 4 << 30;
/// Text of a refusal that is read.
const MAX_TEXT: u64 = 4096;

/// Yes.
const YES: u8 = 1;
/// No; a text follows.
const NO: u8 = 0;

/// Why a take-over came to nothing.
#[derive(Debug, Error)]
pub(crate) enum TakeOverError {
    /// The other side says no.
    #[error("the other process refuses: {0}")]
    Refused(String),
    /// It speaks another version.
    #[error("version {theirs} of the take-over differs from this program's, {VERSION}")]
    Version {
        /// Theirs.
        theirs: u32,
    },
    /// What came makes no sense.
    #[error("what the other process sent is damaged: {0}")]
    Damaged(&'static str),
    /// The state cannot be used.
    #[error(transparent)]
    State(#[from] bgp_core::speaker::TakeOverError),
    /// The document cannot be used.
    #[error("the configuration that was handed over: {0}")]
    Config(String),
    /// The socket broke, or nothing came in time.
    #[error("the connection to the other process: {0}")]
    Io(#[from] io::Error),
}

/// Where a daemon waits to be asked, beside its gRPC socket.
fn place(socket: &Path) -> PathBuf {
    let mut path = socket.as_os_str().to_owned();
    path.push(".takeover");
    path.into()
}

fn put_block(mut link: &UnixStream, block: &[u8]) -> io::Result<()> {
    link.write_all(&(block.len() as u64).to_be_bytes())?;
    link.write_all(block)
}

fn get_block(link: &UnixStream, max: u64) -> Result<Vec<u8>, TakeOverError> {
    let len = u64::from_be_bytes(get(link)?);
    if len > max {
        return Err(TakeOverError::Damaged("a part is too large"));
    }
    let mut block = Vec::new();
    let read = link.take(len).read_to_end(&mut block)?;
    if read as u64 == len { Ok(block) } else { Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()) }
}

fn get<const N: usize>(mut link: &UnixStream) -> io::Result<[u8; N]> {
    let mut octets = [0; N];
    link.read_exact(&mut octets)?;
    Ok(octets)
}

/// Says no, as far as the other side listens.
fn refuse(mut link: &UnixStream, why: &str) {
    let text: String = why.chars().take(1000).collect();
    // Whoever does not listen any more knows it already.
    let _ = link.write_all(&[NO]).and_then(|()| put_block(link, text.as_bytes()));
}

/// The other side's yes; its text where it says no.
fn answer(link: &UnixStream) -> Result<(), TakeOverError> {
    match get(link)? {
        [YES] => Ok(()),
        [_no] => {
            let text = get_block(link, MAX_TEXT)?;
            Err(TakeOverError::Refused(String::from_utf8_lossy(&text).into_owned()))
        }
    }
}

#[cfg(test)]
mod tests;
