//! A synchronous netlink socket.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, getsockname, recv, send,
    setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

use super::{Batch, Frame, Frames};
use crate::Error;
use crate::error::Refusal;
use crate::netns::Netns;

/// `NLM_F_DUMP`.
const F_DUMP: u16 = 0x300;
/// Beyond about 32 messages a larger datagram is not faster; this bounds the answers that must fit the receive buffer.
const MESSAGES_PER_DATAGRAM: usize = 256;
const BYTES_PER_DATAGRAM: usize = 128 * 1024;
/// A failing message is answered with up to about 1 KiB of socket memory.
const RECEIVE_BUFFER: usize = 4 << 20;
const READ_BUFFER: usize = 256 * 1024;
const DUMP_ATTEMPTS: usize = 5;
/// The kernel answers within the sending syscall, or while a dump is read; this only bounds a surprise.
const ANSWER_TIMEOUT_SECONDS: i64 = 10;

/// A netlink protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Links, addresses, routes, nexthops, neighbours, rules.
    Route,
    /// nf_tables and conntrack.
    Netfilter,
    /// Families that are known by name, such as WireGuard's.
    Generic,
}

/// A socket in one network namespace, which it keeps for life.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    seq: u32,
    buffer: Vec<u8>,
    send_buffer: usize,
}

impl Socket {
    /// Opens a socket in the caller's namespace.
    pub fn open(protocol: Protocol) -> Result<Self, Error> {
        Self::create(protocol).map_err(|errno| Error::refused("open", "netlink socket", errno))
    }

    /// Opens a socket in another namespace.
    pub fn open_in(protocol: Protocol, netns: &Netns) -> Result<Self, Error> {
        netns.run(|| Self::open(protocol))?
    }

    fn create(protocol: Protocol) -> Result<Self, Errno> {
        let protocol = match protocol {
            Protocol::Route => SockProtocol::NetlinkRoute,
            Protocol::Netfilter => SockProtocol::NetlinkNetFilter,
            Protocol::Generic => SockProtocol::NetlinkGeneric,
        };
        let fd = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        setsockopt(&fd, sockopt::ReceiveTimeout, &TimeVal::seconds(ANSWER_TIMEOUT_SECONDS))?;
        // Without CAP_NET_ADMIN the limit of the system holds; requests would be refused anyway.
        if setsockopt(&fd, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
            setsockopt(&fd, sockopt::RcvBuf, &RECEIVE_BUFFER)?;
        }
        super::option::netlink_flag(fd.as_fd(), libc::NETLINK_CAP_ACK, true)?;
        super::option::netlink_flag(fd.as_fd(), libc::NETLINK_EXT_ACK, true)?;
        // Lets the kernel filter dumps by table and protocol instead of sending everything.
        super::option::netlink_flag(fd.as_fd(), libc::NETLINK_GET_STRICT_CHK, true)?;
        Ok(Self { fd, seq: 1, buffer: vec![0; READ_BUFFER], send_buffer: 0 })
    }

    /// The file descriptor, for polling.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The number by which the kernel knows this socket: what is done through it is told with this number.
    pub fn port(&self) -> Result<u32, Error> {
        getsockname::<NetlinkAddr>(self.fd.as_raw_fd())
            .map(|addr| addr.pid())
            .map_err(|errno| Error::refused("name", "netlink socket", errno))
    }

    /// Sends the messages in as few datagrams as is sensible and tells what became of each, in order.
    ///
    /// A refused message does not stop the ones after it.
    /// Errors: the socket itself failed, or answers were lost (`ENOBUFS`); then nothing is known about any message.
    pub fn execute(&mut self, batch: &mut Batch) -> Result<Vec<Result<(), Refusal>>, Refusal> {
        let mut results = vec![Ok(()); batch.len()];
        for (index, refusal) in self.execute_all(batch)? {
            if let Some(result) = results.get_mut(index) {
                *result = Err(refusal);
            }
        }
        Ok(results)
    }

    /// As [`Socket::execute`], but tells only of the refused messages, by their places, ascending.
    pub fn execute_all(&mut self, batch: &mut Batch) -> Result<Vec<(usize, Refusal)>, Refusal> {
        self.execute_with(batch, |_| {})
    }

    /// As [`Socket::execute_all`], and hands over what the kernel answers to questions among the messages.
    pub fn execute_with(
        &mut self,
        batch: &mut Batch,
        mut each: impl FnMut(Frame<'_>),
    ) -> Result<Vec<(usize, Refusal)>, Refusal> {
        if batch.is_oversized() {
            return Err(Errno::EMSGSIZE.into());
        }
        let mut refused = Vec::new();
        let first = self.seq;
        self.advance(batch.len());
        let mut ends = Vec::new();
        let mut from = 0;
        while from < batch.len() {
            from = batch.run(from, MESSAGES_PER_DATAGRAM, BYTES_PER_DATAGRAM);
            ends.push(from);
        }
        batch.number(first, |index| ends.binary_search(&(index + 1)).is_ok());
        let mut from = 0;
        for end in ends {
            self.send(batch.slice(from, end))?;
            let last = sequence(first, end - 1);
            self.answers(last, &mut each, |seq, answer| {
                if let Err(refusal) = answer {
                    refused.push((seq.wrapping_sub(first) as usize, refusal));
                }
            })?;
            from = end;
        }
        // The kernel answers in order; whoever relies on it need not trust in that.
        refused.sort_unstable_by_key(|(index, _)| *index);
        refused.retain(|(index, _)| *index < batch.len());
        Ok(refused)
    }

    /// Sends everything as one datagram: a transaction of nf_tables, between its begin and end messages.
    ///
    /// Errors: `(index, refusal)` of each message that was refused; nothing of the transaction is in force then.
    /// The index is that of the begin message where the whole was refused.
    pub fn transact(&mut self, batch: &mut Batch) -> Result<Result<(), Vec<(usize, Refusal)>>, Refusal> {
        if batch.is_oversized() {
            return Err(Errno::EMSGSIZE.into());
        }
        let Some(last) = batch.len().checked_sub(2).filter(|last| *last > 0) else { return Ok(Ok(())) };
        let first = self.seq;
        self.advance(batch.len());
        batch.number(first, |index| index == last);
        self.reserve(batch.as_bytes().len())?;
        self.send(batch.as_bytes())?;
        let mut refusals = Vec::new();
        self.drain(|seq, answer| {
            if let Err(refusal) = answer {
                refusals.push((seq.wrapping_sub(first) as usize, refusal));
            }
        })?;
        Ok(if refusals.is_empty() { Ok(()) } else { Err(refusals) })
    }

    /// Sends one request and hands its answers to `each`, until the acknowledgement.
    pub fn query(&mut self, batch: &mut Batch, each: impl FnMut(Frame<'_>)) -> Result<(), Refusal> {
        let first = self.seq;
        self.advance(batch.len());
        batch.number(first, |_| true);
        self.send(batch.as_bytes())?;
        self.receive(first, each).map(|_| ())
    }

    /// Reads a list. `request` writes the one request; `each` gets the objects of a pass, and `restart` is called
    /// before a pass that replaces an interrupted one.
    ///
    /// Errors: `EINTR` if the list changed during each of several passes.
    pub fn dump<T>(
        &mut self,
        mut request: impl FnMut(&mut Batch, u16),
        mut each: impl FnMut(Frame<'_>) -> Option<T>,
    ) -> Result<Vec<T>, Refusal> {
        let mut batch = Batch::new();
        for _ in 0..DUMP_ATTEMPTS {
            batch.clear();
            request(&mut batch, F_DUMP);
            let mut objects = Vec::new();
            let first = self.seq;
            self.advance(batch.len());
            batch.number(first, |_| false);
            self.send(batch.as_bytes())?;
            let interrupted = self.receive(first, |frame| objects.extend(each(frame)))?;
            if !interrupted {
                return Ok(objects);
            }
        }
        Err(Errno::EINTR.into())
    }

    fn advance(&mut self, count: usize) {
        // 0 is the sequence number of notifications.
        self.seq = sequence(self.seq, count).max(1);
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        loop {
            match send(self.fd.as_raw_fd(), bytes, MsgFlags::empty()) {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Makes the send buffer large enough for one datagram of this size.
    fn reserve(&mut self, bytes: usize) -> Result<(), Errno> {
        if bytes > self.send_buffer {
            // The kernel counts its own overhead against the buffer.
            let size = bytes.saturating_mul(2).max(1 << 20);
            setsockopt(&self.fd, sockopt::SndBuf, &size)?;
            super::option::force_send_buffer(self.fd.as_fd(), size)?;
            self.send_buffer = bytes;
        }
        Ok(())
    }

    fn read(&mut self, flags: MsgFlags) -> Result<usize, Errno> {
        loop {
            match recv(self.fd.as_raw_fd(), &mut self.buffer, flags) {
                Ok(len) => return Ok(len),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Collects answers until that of the last message, which always comes.
    fn answers(
        &mut self,
        last: u32,
        told: &mut impl FnMut(Frame<'_>),
        mut each: impl FnMut(u32, Result<(), Refusal>),
    ) -> Result<(), Errno> {
        loop {
            let len = self.read(MsgFlags::empty())?;
            for frame in Frames::new(self.buffer.get(..len).unwrap_or_default()) {
                let Some(answer) = frame.answer() else {
                    told(frame);
                    continue;
                };
                each(frame.seq, answer);
                if frame.seq == last {
                    return Ok(());
                }
            }
        }
    }

    /// Collects the answers that are there. The kernel has queued them all when the sending syscall returns.
    fn drain(&mut self, mut each: impl FnMut(u32, Result<(), Refusal>)) -> Result<(), Errno> {
        loop {
            let len = match self.read(MsgFlags::MSG_DONTWAIT) {
                Ok(len) => len,
                Err(Errno::EAGAIN) => return Ok(()),
                Err(errno) => return Err(errno),
            };
            for frame in Frames::new(self.buffer.get(..len).unwrap_or_default()) {
                if let Some(answer) = frame.answer() {
                    each(frame.seq, answer);
                }
            }
        }
    }

    /// Reads frames of one request until its end; true if a dump was interrupted by a change.
    fn receive(&mut self, seq: u32, mut each: impl FnMut(Frame<'_>)) -> Result<bool, Refusal> {
        let mut interrupted = false;
        loop {
            let len = self.read(MsgFlags::empty())?;
            for frame in Frames::new(self.buffer.get(..len).unwrap_or_default()) {
                if frame.seq != seq {
                    continue; // the rest of something abandoned
                }
                interrupted |= frame.was_interrupted();
                if frame.is_overrun() {
                    return Err(Errno::ENOBUFS.into());
                }
                match frame.answer() {
                    Some(answer) => return answer.map(|()| interrupted),
                    None if frame.is_done() => return Ok(interrupted),
                    None => each(frame),
                }
            }
        }
    }
}

#[allow(clippy::cast_possible_truncation)] // sequence numbers wrap around
const fn sequence(first: u32, offset: usize) -> u32 {
    first.wrapping_add(offset as u32)
}
