//! The blocking client: one connection, one request, one reply, all of it before a deadline.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use thiserror::Error;

use crate::{FrameError, HEADER, Reply, Request, body_len, encode, send};

/// felix-lite's socket.
#[derive(Debug, Clone)]
pub struct Client {
    path: PathBuf,
}

/// Why there is no reply.
#[derive(Debug, Error)]
pub enum ClientError {
    /// Nobody listens: felix-lite is not running, or is about to.
    #[error("felix-lite does not answer on {path}: {source}")]
    Absent {
        /// The socket.
        path: PathBuf,
        /// `ENOENT` or `ECONNREFUSED`.
        source: io::Error,
    },
    /// The deadline passed. The request may yet be carried out.
    #[error("felix-lite did not answer on {path} within {} ms", limit.as_millis())]
    TimedOut {
        /// The socket.
        path: PathBuf,
        /// The time given.
        limit: Duration,
    },
    /// The connection failed, or ended early: felix-lite died while at it.
    #[error("the connection to felix-lite on {path} failed: {source}")]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// One of the two messages is not a valid frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

impl Client {
    /// The client of a socket. Nothing is opened yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The socket's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Asks and waits for the answer; `limit` bounds the whole of it.
    pub fn call(
        &self,
        command: crate::Command,
        netns: Option<BorrowedFd<'_>>,
        limit: Duration,
    ) -> Result<Reply, ClientError> {
        let frame = encode(&Request::from(command))?;
        let mut connection = self.open(limit)?;
        connection.write(&frame, netns).map_err(|error| self.failure(error, limit))?;
        let mut header = [0; HEADER];
        connection.read(&mut header).map_err(|error| self.failure(error, limit))?;
        let mut body = vec![0; body_len(header)?];
        connection.read(&mut body).map_err(|error| self.failure(error, limit))?;
        serde_json::from_slice(&body).map_err(|error| FrameError::from(error).into())
    }

    fn open(&self, limit: Duration) -> Result<Connection, ClientError> {
        let result = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .map_err(io::Error::from)
            .map(|socket| Connection { socket, deadline: Instant::now() + limit })
            .and_then(|connection| {
                // A full backlog makes connect wait: the send timeout bounds that too (unix(7)).
                connection.arm(Timeout::Send)?;
                connect(&connection.socket, &SocketAddrUnix::new(&self.path)?)?;
                Ok(connection)
            });
        result.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                ClientError::Absent { path: self.path.clone(), source: error }
            }
            _ => self.failure(error, limit),
        })
    }

    fn failure(&self, source: io::Error, limit: Duration) -> ClientError {
        let path = self.path.clone();
        match source.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ClientError::TimedOut { path, limit },
            _ => ClientError::Io { path, source },
        }
    }
}

/// An open connection and the moment at which all is over.
struct Connection {
    socket: OwnedFd,
    deadline: Instant,
}

impl Connection {
    /// Bounds the next system call by what is left of the time.
    fn arm(&self, which: Timeout) -> io::Result<()> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(set_socket_timeout(&self.socket, which, Some(left))?)
    }

    fn write(&mut self, mut bytes: &[u8], mut fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
        while !bytes.is_empty() {
            self.arm(Timeout::Send)?;
            let sent = send(&self.socket, bytes, fd.take())?;
            bytes = bytes.get(sent..).unwrap_or_default();
        }
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            self.arm(Timeout::Recv)?;
            match rustix::io::read(&self.socket, rest) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(more) => filled += more,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
