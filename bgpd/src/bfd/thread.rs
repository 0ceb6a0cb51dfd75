//! The thread: waits for packets, commands and the next timer; works in bounded turns.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Instant;

use bfd_core::{Endpoint, Input, Output};
use cairn_kernel::{poll, sched};
use tracing::{error, info, warn};

use super::receiver::Receivers;
use super::sender::Senders;
use super::{Command, Mailbox, Report};

/// Low among the real-time ones: before everything usual, after the kernel's own threads.
const PRIORITY: i32 = 5;
/// Where real-time is not allowed.
const NICE: i32 = -15;

/// What the thread owns.
pub(super) struct Thread {
    endpoint: Endpoint,
    receivers: Receivers,
    senders: Senders,
    commands: Receiver<Command>,
    woken: UnixStream,
    mailbox: Arc<Mailbox>,
}

impl Thread {
    /// A thread to be started.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub(super) fn new(
        commands: Receiver<Command>,
        woken: UnixStream,
        mailbox: Arc<Mailbox>,
    ) -> io::Result<Self> {
        // Discriminators must not be guessed.
        let mut seed = [0; 8];
        std::fs::File::open("/dev/urandom")?.read_exact(&mut seed)?;
        Ok(Self {
            endpoint: Endpoint::new(Instant::now(), u64::from_ne_bytes(seed)),
            receivers: Receivers::new(),
            senders: Senders::default(),
            commands,
            woken,
            mailbox,
        })
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
            if !self.take_commands() {
                self.endpoint.handle(Instant::now(), Input::Shutdown);
                self.act();
                return;
            }
            self.act();
            self.wait();
        }
    }

    /// False: stop.
    fn take_commands(&mut self) -> bool {
        loop {
            match self.commands.try_recv() {
                Ok(Command::Configure(sessions)) => {
                    self.receivers.open_for(&sessions);
                    self.endpoint.handle(Instant::now(), Input::Configure(&sessions));
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
                Err(TryRecvError::Empty) => return true,
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn act(&mut self) {
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                Output::Transmit { session, key, packet, len } => {
                    self.senders.send(Instant::now(), session, &key, packet.get(..len).unwrap_or_default());
                }
                Output::Changed { key, change } => self.mailbox.put(key, change),
                Output::Forgotten { session } => self.senders.close(session),
            }
        }
    }

    fn wait(&mut self) {
        let now = Instant::now();
        let timeout = self.endpoint.poll_timeout().map(|at| at.saturating_duration_since(now));
        let [a, b, c, d] = self.receivers.fds(self.woken.as_fd());
        if let Err(error) = poll::wait([a, b, c, d, self.woken.as_fd()], timeout) {
            error!(%error, "the BFD thread cannot wait");
            // Not a busy loop, whatever the reason.
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let mut bytes = [0; 64];
        // Whatever is in it: it has done its work. Nothing: neither is an error.
        while matches!(self.woken.read(&mut bytes), Ok(count) if count == bytes.len()) {}
    }
}
