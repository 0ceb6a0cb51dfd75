//! The peers that the generator plays: many sessions on one epoll loop, without a runtime that could be mistaken for the speaker.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::monitor::Monitor;
use crate::table::{header, update};

const HEADER: usize = 19;
/// Octets read at a time.
const READ: usize = 256 << 10;
/// Time after which an attempt to bring a session up is given up, and after which the next one follows.
const ATTEMPT: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(50);

/// Where a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Idle,
    Connecting,
    /// Connected, the OPEN sent.
    OpenSent,
    /// The speaker's OPEN has come.
    OpenConfirm,
    Established,
}

/// One peer.
pub(crate) struct Peer {
    address: Ipv4Addr,
    asn: u32,
    hold_time: u16,
    pub(crate) state: State,
    stream: Option<TcpStream>,
    /// The beginning of a message whose end has not come.
    partial: Vec<u8>,
    out: VecDeque<(Rc<Vec<u8>>, usize)>,
    waits_to_write: bool,
    /// Connects again by itself.
    pub(crate) persistent: bool,
    /// Sends nothing any more, not even KEEPALIVEs.
    pub(crate) mute: bool,
    began: Instant,
    retry_at: Option<Instant>,
    pub(crate) established: Option<Instant>,
    pub(crate) end_of_rib: Option<Instant>,
    pub(crate) last_keepalive: Instant,
    keepalive: Duration,
    /// How often an established session was lost.
    pub(crate) losses: u32,
}

/// All of them.
pub(crate) struct Peers {
    epoll: Epoll,
    speaker: SocketAddr,
    pub(crate) list: Vec<Peer>,
    buffer: Vec<u8>,
    next_look: Instant,
}

impl Peers {
    /// Peers of the speaker at this address.
    pub(crate) fn new(speaker: Ipv4Addr) -> Result<Self> {
        Ok(Self {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            speaker: (speaker, 179).into(),
            list: Vec::new(),
            buffer: vec![0; READ],
            next_look: Instant::now(),
        })
    }

    /// Adds one, which does not connect yet.
    pub(crate) fn add(&mut self, address: Ipv4Addr, asn: u32, hold_time: u16) {
        let now = Instant::now();
        self.list.push(Peer {
            address,
            asn,
            hold_time,
            state: State::Idle,
            stream: None,
            partial: Vec::new(),
            out: VecDeque::new(),
            waits_to_write: false,
            persistent: true,
            mute: false,
            began: now,
            retry_at: None,
            established: None,
            end_of_rib: None,
            last_keepalive: now,
            keepalive: Duration::from_secs(u64::from(hold_time)) / 3,
            losses: 0,
        });
    }

    /// Begins to bring a session up.
    pub(crate) fn connect(&mut self, index: usize) -> Result<()> {
        let peer = &mut self.list[index];
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        socket.set_reuse_address(true)?;
        socket.bind(&SockAddr::from(SocketAddr::from((peer.address, 0))))?;
        match socket.connect(&SockAddr::from(self.speaker)) {
            Err(error) if error.raw_os_error() != Some(nix::errno::Errno::EINPROGRESS as i32) => {
                return Err(error).with_context(|| format!("{} cannot connect", peer.address));
            }
            _ => {}
        }
        let stream = TcpStream::from(socket);
        self.epoll.add(&stream, interest(index, true))?;
        peer.stream = Some(stream);
        peer.state = State::Connecting;
        peer.waits_to_write = true;
        peer.partial.clear();
        peer.out.clear();
        peer.began = Instant::now();
        (peer.retry_at, peer.established, peer.end_of_rib) = (None, None, None);
        Ok(())
    }

    /// Ends a session, with a Cease if there is one.
    pub(crate) fn close(&mut self, index: usize) {
        let peer = &mut self.list[index];
        if let Some(mut stream) = peer.stream.take() {
            if peer.state == State::Established {
                let mut cease = Vec::new();
                header(3, HEADER + 2, &mut cease);
                cease.extend_from_slice(&[6, 4]);
                // A full buffer loses it; the end of the connection says the same.
                let _ = stream.write(&cease);
            }
            let _ = self.epoll.delete(&stream);
        }
        peer.state = State::Idle;
        peer.out.clear();
    }

    /// Sends octets after all that waits already.
    pub(crate) fn send(&mut self, index: usize, bytes: Rc<Vec<u8>>) -> Result<()> {
        self.list[index].out.push_back((bytes, 0));
        self.flush(index)
    }

    fn flush(&mut self, index: usize) -> Result<()> {
        let peer = &mut self.list[index];
        let Some(stream) = &mut peer.stream else { return Ok(()) };
        while let Some((bytes, sent)) = peer.out.front_mut() {
            match stream.write(&bytes[*sent..]) {
                Ok(count) => *sent += count,
                // Whatever else it is, reading finds it, too.
                Err(_) => break,
            }
            if *sent == bytes.len() {
                peer.out.pop_front();
            }
        }
        let waits = !peer.out.is_empty();
        if waits != peer.waits_to_write {
            peer.waits_to_write = waits;
            self.epoll.modify(stream, &mut interest(index, waits))?;
        }
        Ok(())
    }

    /// Waits for something to happen, and deals with it.
    pub(crate) fn turn(&mut self, wait: Duration, monitor: &mut Monitor) -> Result<()> {
        let mut events = [EpollEvent::empty(); 256];
        let timeout = EpollTimeout::try_from(wait).unwrap_or(EpollTimeout::ZERO);
        let count = match self.epoll.wait(&mut events, timeout) {
            Ok(count) => count,
            Err(nix::errno::Errno::EINTR) => 0,
            Err(errno) => return Err(errno.into()),
        };
        for event in events.iter().take(count) {
            let (index, flags) = (event.data() as usize, event.events());
            let broken = EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP;
            if self.list[index].state == State::Connecting && flags.intersects(broken | EpollFlags::EPOLLOUT)
            {
                self.connected(index)?;
            }
            if flags.intersects(broken | EpollFlags::EPOLLIN) {
                self.readable(index, monitor)?;
            }
            if flags.contains(EpollFlags::EPOLLOUT) {
                self.flush(index)?;
            }
        }
        self.timers()
    }

    fn connected(&mut self, index: usize) -> Result<()> {
        let peer = &mut self.list[index];
        let Some(stream) = &peer.stream else { return Ok(()) };
        if stream.take_error()?.is_some() || stream.peer_addr().is_err() {
            return self.lost(index);
        }
        peer.state = State::OpenSent;
        let open = Rc::new(open(peer));
        self.send(index, open)
    }

    fn lost(&mut self, index: usize) -> Result<()> {
        let was = self.list[index].state;
        self.close(index);
        let peer = &mut self.list[index];
        peer.losses += u32::from(was == State::Established);
        peer.retry_at = Some(Instant::now() + RETRY);
        Ok(())
    }

    fn timers(&mut self) -> Result<()> {
        let now = Instant::now();
        if now < self.next_look {
            return Ok(());
        }
        self.next_look = now + Duration::from_millis(10);
        for index in 0..self.list.len() {
            let peer = &mut self.list[index];
            match peer.state {
                State::Idle if peer.persistent && peer.retry_at.is_some_and(|at| at <= now) => {
                    self.connect(index)?;
                }
                State::Established if !peer.mute && now - peer.last_keepalive > peer.keepalive => {
                    peer.last_keepalive = now;
                    self.send(index, keepalive())?;
                }
                State::Connecting | State::OpenSent | State::OpenConfirm if now - peer.began > ATTEMPT => {
                    self.lost(index)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn readable(&mut self, index: usize, monitor: &mut Monitor) -> Result<()> {
        let peer = &mut self.list[index];
        let Some(stream) = &mut peer.stream else { return Ok(()) };
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = stream.read(&mut buffer);
        let now = Instant::now();
        let done = match result {
            Ok(0) => self.lost(index),
            Ok(count) => self.octets(index, &buffer[..count], now, monitor),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(_) => self.lost(index),
        };
        self.buffer = buffer;
        done
    }

    fn octets(&mut self, index: usize, octets: &[u8], now: Instant, monitor: &mut Monitor) -> Result<()> {
        let mut partial = std::mem::take(&mut self.list[index].partial);
        let whole = if partial.is_empty() {
            octets
        } else {
            partial.extend_from_slice(octets);
            &partial
        };
        let mut rest = whole;
        while let Some(len) = message_len(rest)? {
            if rest.len() < len {
                break;
            }
            let (message, after) = rest.split_at(len);
            if !self.message(index, message, now, monitor)? {
                return self.lost(index);
            }
            rest = after;
        }
        let rest = rest.to_vec();
        self.list[index].partial = rest;
        Ok(())
    }

    /// Deals with a message; false if it ends the session.
    fn message(&mut self, index: usize, message: &[u8], now: Instant, monitor: &mut Monitor) -> Result<bool> {
        let body = &message[HEADER..];
        let peer = &mut self.list[index];
        match message[HEADER - 1] {
            1 => {
                let offered = u16::from_be_bytes([body[3], body[4]]);
                peer.keepalive = Duration::from_secs(u64::from(peer.hold_time.min(offered))) / 3;
                peer.state = State::OpenConfirm;
                self.send(index, keepalive())?;
            }
            2 if is_end_of_rib(body) => {
                peer.end_of_rib.get_or_insert(now);
            }
            2 => monitor.update(index, body, now),
            3 => return Ok(false),
            4 if peer.state == State::OpenConfirm => {
                peer.state = State::Established;
                peer.established = Some(now);
                peer.last_keepalive = now;
                // This peer has no routes yet: nobody needs to wait for them.
                let mut none = Vec::new();
                update(&[], &[], &[], &mut none);
                self.send(index, Rc::new(none))?;
            }
            _ => {}
        }
        Ok(true)
    }

    /// How many sessions are up.
    pub(crate) fn established(&self) -> usize {
        self.list.iter().filter(|peer| peer.state == State::Established).count()
    }

    /// Fails if an established session was lost since the start.
    pub(crate) fn expect_no_loss(&self) -> Result<()> {
        let losses: u32 = self.list.iter().map(|peer| peer.losses).sum();
        ensure!(losses == 0, "{losses} sessions were lost");
        Ok(())
    }
}

fn interest(index: usize, write: bool) -> EpollEvent {
    let write = if write { EpollFlags::EPOLLOUT } else { EpollFlags::empty() };
    EpollEvent::new(EpollFlags::EPOLLIN | write, index as u64)
}

fn message_len(octets: &[u8]) -> Result<Option<usize>> {
    let Some(len) = octets.get(16..18) else { return Ok(None) };
    let len = usize::from(u16::from_be_bytes([len[0], len[1]]));
    if !(HEADER..=4096).contains(&len) {
        bail!("the speaker sent a message of {len} octets");
    }
    Ok((octets.len() >= HEADER).then_some(len))
}

fn is_end_of_rib(body: &[u8]) -> bool {
    // Of IPv4: no withdrawn routes, no attributes, no prefix.
    body == [0; 4]
}

fn keepalive() -> Rc<Vec<u8>> {
    let mut message = Vec::new();
    header(4, HEADER, &mut message);
    Rc::new(message)
}

/// An OPEN: IPv4 unicast, route refresh, four-octet AS, and graceful restart without a family, which asks for End-of-RIB.
fn open(peer: &Peer) -> Vec<u8> {
    let mut capabilities = vec![1, 4, 0, 1, 0, 1, 2, 0, 64, 2, 0, 0, 65, 4];
    capabilities.extend_from_slice(&peer.asn.to_be_bytes());
    let mut message = Vec::new();
    header(1, HEADER + 12 + capabilities.len(), &mut message);
    message.push(4);
    message.extend_from_slice(&u16::try_from(peer.asn).unwrap_or(23456).to_be_bytes());
    message.extend_from_slice(&peer.hold_time.to_be_bytes());
    message.extend_from_slice(&peer.address.octets());
    message.extend_from_slice(&[capabilities.len() as u8 + 2, 2, capabilities.len() as u8]);
    message.extend_from_slice(&capabilities);
    message
}
