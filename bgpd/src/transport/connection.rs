//! A connection to a peer.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use bgp_core::speaker::{ConnId, Speaker};
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Bytes asked of the speaker at a time. All that a peer that does not read can make the daemon hold.
const CHUNK: usize = 128 << 10;
/// Buffers in one `writev`.
const SLICES: usize = 128;
/// Bytes that one connection may write before the others have their turn.
const WRITE_TURN: usize = 512 << 10;
/// Bytes that one connection may be read before the others have their turn.
pub(crate) const READ_TURN: usize = 64 << 10;

/// A connection to a peer, whoever opened it.
pub(crate) struct Connection {
    /// The peer.
    pub(crate) peer: IpAddr,
    /// The socket.
    pub(crate) stream: Rc<TcpStream>,
    /// Taken from the speaker, not yet taken by the socket.
    pending: Vec<Bytes>,
    /// How many of `pending` are written.
    written: usize,
    /// The first buffer that is left was written in part.
    in_part: bool,
    /// The socket is full; `Event::Writable` will come.
    pub(crate) blocked: bool,
    /// In the daemon's list of connections that have something to write.
    pub(crate) queued: bool,
}

/// How far writing got.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// There is nothing left.
    All,
    /// There is more, but the others have their turn first.
    More,
    /// The socket takes no more.
    Blocked,
}

impl Connection {
    pub(crate) fn new(peer: IpAddr, stream: TcpStream) -> Self {
        Self {
            peer,
            stream: Rc::new(stream),
            pending: Vec::new(),
            written: 0,
            in_part: false,
            blocked: false,
            queued: false,
        }
    }

    /// A connection that another process has handed over, with what it has not written yet, which may begin amid a message.
    ///
    /// # Errors
    /// If it is none.
    pub(crate) fn adopt(peer: IpAddr, file: OwnedFd, unwritten: Bytes) -> io::Result<Self> {
        let mut connection = Self::new(peer, TcpStream::from_std(file.into())?);
        connection.in_part = !unwritten.is_empty();
        connection.pending.extend(Some(unwritten).filter(|unwritten| !unwritten.is_empty()));
        Ok(connection)
    }

    /// What was taken from the speaker and not yet by the socket.
    pub(crate) fn unwritten(&self) -> Vec<u8> {
        self.pending.iter().skip(self.written).flatten().copied().collect()
    }

    /// Reads once, at most the buffer's room. `None`: there is nothing. Empty: the peer has closed.
    pub(crate) fn read(&self, buffer: &mut BytesMut) -> io::Result<Option<Bytes>> {
        let room = buffer.capacity();
        match self.stream.try_read_buf(buffer) {
            Ok(count) => {
                if count > 0 && count < room {
                    self.drained();
                }
                Ok(Some(buffer.split().freeze()))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A read that leaves room has emptied the socket. Told so, the runtime waits for the next bytes; otherwise it
    /// would take a second read to find out. An end of stream that is there already is not forgotten by this.
    fn drained(&self) {
        let _ = self
            .stream
            .try_io(Interest::READABLE, || io::Result::<()>::Err(io::ErrorKind::WouldBlock.into()));
    }

    /// Writes what the speaker has for this connection, as far as the socket and fairness allow.
    pub(crate) fn flush(&mut self, conn: ConnId, speaker: &mut Speaker) -> io::Result<Flushed> {
        let mut turn = 0;
        while turn < WRITE_TURN {
            if self.written == self.pending.len() {
                self.pending.clear();
                self.written = 0;
                speaker.transmit(conn, CHUNK, &mut self.pending);
                if self.pending.is_empty() {
                    return Ok(Flushed::All);
                }
            }
            let mut slices = [IoSlice::new(&[]); SLICES];
            let left = self.pending.get(self.written..).unwrap_or_default();
            let used = left.len().min(SLICES);
            for (slice, bytes) in slices.iter_mut().zip(left) {
                *slice = IoSlice::new(bytes);
            }
            match self.stream.try_write_vectored(slices.get(..used).unwrap_or_default()) {
                Ok(count) => {
                    turn += count;
                    self.advance(count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Flushed::Blocked),
                Err(error) => return Err(error),
            }
        }
        Ok(Flushed::More)
    }

    /// Forgets what was written.
    fn advance(&mut self, mut count: usize) {
        while let Some(bytes) = self.pending.get_mut(self.written) {
            if count < bytes.len() {
                self.in_part |= count > 0;
                bytes.advance(count);
                return;
            }
            count -= bytes.len();
            *bytes = Bytes::new();
            self.in_part = false;
            self.written += 1;
        }
    }

    /// What must still be written before `last`: the rest of a buffer that was written in part, so that the peer sees no torn message.
    pub(crate) fn into_rest(mut self, last: Bytes) -> (Rc<TcpStream>, VecDeque<Bytes>) {
        let mut rest = VecDeque::new();
        if self.in_part {
            rest.extend(self.pending.get_mut(self.written).map(std::mem::take));
        }
        if !last.is_empty() {
            rest.push_back(last);
        }
        (self.stream, rest)
    }
}
