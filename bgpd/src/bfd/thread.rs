//! The thread: waits for packets, commands and the next timer; works in bounded turns.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Instant;

use bfd_core::{Endpoint, Input, Key, Output};
use cairn_kernel::{poll, sched};
use tracing::{error, info, warn};

use super::receiver::Receivers;
use super::sender::Senders;
use super::{Command, Frozen, Mailbox, Report, Wanted};

/// Low among the real-time ones: before everything usual, after the kernel's own threads.
const PRIORITY: i32 = 5;
/// Where real-time is not allowed.
const NICE: i32 = -15;

/// What a thread begins with.
pub(super) struct Parts {
    endpoint: Endpoint,
    receivers: Receivers,
    senders: Senders,
}

impl Parts {
    /// Nothing yet.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub(super) fn new() -> io::Result<Self> {
        let endpoint = Endpoint::new(Instant::now(), seed()?);
        Ok(Self { endpoint, receivers: Receivers::new(), senders: Senders::default() })
    }

    /// The sessions and sockets of another process's thread.
    ///
    /// # Errors
    /// If these are damaged, or the system has no random numbers.
    pub(super) fn adopt(frozen: Frozen, wanted: &Wanted) -> io::Result<Self> {
        let (state, sockets) = frozen.into_sockets();
        let mut sockets = sockets.into_iter();
        let mut receivers = Receivers::adopt(&mut sockets);
        let (endpoint, names) = Endpoint::take_over(Instant::now(), seed()?, &wanted.sessions, &state)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let mut senders = Senders::default();
        for (name, socket) in names.into_iter().zip(sockets.by_ref()) {
            if let (Some(name), Some(socket)) = (name, socket) {
                senders.adopt(name, socket);
            }
        }
        receivers.adopt_bound(sockets.flatten());
        Ok(Self { endpoint, receivers, senders })
    }
}

/// Discriminators must not be guessed.
fn seed() -> io::Result<u64> {
    let mut seed = [0; 8];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut seed)?;
    Ok(u64::from_ne_bytes(seed))
}

/// What follows a look at the commands.
enum Next {
    GoOn,
    /// Every session says AdminDown.
    Stop,
    /// Nobody is told: another process goes on.
    Vanish,
}

/// What the thread owns.
pub(super) struct Thread {
    endpoint: Endpoint,
    receivers: Receivers,
    senders: Senders,
    /// The interface or VRF of the sessions that are bound to one.
    devices: BTreeMap<Key, String>,
    commands: Receiver<Command>,
    woken: UnixStream,
    mailbox: Arc<Mailbox>,
}

impl Thread {
    /// A thread to be started.
    pub(super) fn new(
        parts: Parts,
        commands: Receiver<Command>,
        woken: UnixStream,
        mailbox: Arc<Mailbox>,
    ) -> Self {
        let Parts { endpoint, receivers, senders } = parts;
        Self { endpoint, receivers, senders, devices: BTreeMap::new(), commands, woken, mailbox }
    }

    /// Runs until it is told to stop, or nobody can tell it any more.
    pub(super) fn run(mut self) {
        match sched::raise(PRIORITY, NICE) {
            (urgency, None) => info!(scheduling = %urgency, "BFD thread started"),
            (urgency, Some(error)) => warn!(
                scheduling = %urgency,
                %error,
                "BFD thread started without real-time priority (it needs CAP_SYS_NICE): intervals below 100 ms may be missed on a busy machine"
            ),
        }
        loop {
            // What has arrived comes before the timers: a late thread must not blame the peers.
            self.receivers.receive(&mut self.endpoint);
            self.endpoint.handle(Instant::now(), Input::Tick);
            match self.take_commands() {
                Next::GoOn => {}
                Next::Stop => {
                    self.endpoint.handle(Instant::now(), Input::Shutdown);
                    self.act();
                    return;
                }
                Next::Vanish => return,
            }
            self.act();
            self.receivers.look_after_devices(Instant::now());
            self.wait();
        }
    }

    fn take_commands(&mut self) -> Next {
        loop {
            match self.commands.try_recv() {
                Ok(Command::Configure(wanted)) => {
                    self.receivers.open_for(&wanted);
                    self.endpoint.handle(Instant::now(), Input::Configure(&wanted.sessions));
                    self.devices = wanted.devices;
                }
                Ok(Command::Report(answer)) => {
                    let report = Report {
                        sessions: self.endpoint.sessions().collect(),
                        discarded: *self.endpoint.discards(),
                        send_errors: self.senders.errors,
                    };
                    // Who asked may have gone.
                    let _ = answer.send(report);
                }
                Ok(Command::Freeze(answer)) => {
                    // Everything that is known must be in the state or in the mailbox.
                    self.act();
                    // Who does not wait any more says so by the next command.
                    let _ = answer.send(self.frozen());
                    if let Some(next) = self.stand_still() {
                        return next;
                    }
                }
                Ok(Command::Resume) => {}
                Err(TryRecvError::Empty) => return Next::GoOn,
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return Next::Stop,
            }
        }
    }

    fn frozen(&self) -> io::Result<Frozen> {
        let (state, sessions) = self.endpoint.hand_over();
        let mut sockets = self.receivers.hand_over()?;
        for session in sessions {
            sockets.push(self.senders.hand_over(session)?);
        }
        sockets.extend(self.receivers.hand_over_bound()?);
        Ok(Frozen::new(state, sockets))
    }

    /// Waits to be told whether another process has taken over; `None`: it has not.
    fn stand_still(&self) -> Option<Next> {
        loop {
            match self.commands.recv() {
                Ok(Command::Resume) => return None,
                Ok(Command::Stop) => return Some(Next::Stop),
                Err(_daemon_is_gone) => return Some(Next::Vanish),
                // The daemon waits for the other process, too, and asks for nothing.
                Ok(Command::Configure(_) | Command::Report(_) | Command::Freeze(_)) => {}
            }
        }
    }

    fn act(&mut self) {
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                Output::Transmit { session, key, packet, len } => {
                    let device = self.devices.get(&key).map(String::as_str);
                    let packet = packet.get(..len).unwrap_or_default();
                    self.senders.send(Instant::now(), session, (&key, device), packet);
                }
                Output::Changed { key, change } => self.mailbox.put(key, change),
                Output::Forgotten { session } => self.senders.close(session),
            }
        }
    }

    fn wait(&mut self) {
        let now = Instant::now();
        let next = self.endpoint.poll_timeout().into_iter().chain(self.receivers.next_look()).min();
        let timeout = next.map(|at| at.saturating_duration_since(now));
        let fds: Vec<_> = self.receivers.fds().chain([self.woken.as_fd()]).collect();
        if let Err(error) = poll::wait(&fds, timeout) {
            error!(%error, "the BFD thread cannot wait");
            // Not a busy loop, whatever the reason.
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let mut bytes = [0; 64];
        // Whatever is in it: it has done its work. Nothing: neither is an error.
        while matches!(self.woken.read(&mut bytes), Ok(count) if count == bytes.len()) {}
    }
}
