//! BFD: one thread with its own sockets around `bfd_core`, and the way between it and the daemon.
//!
//! ```text
//!   daemon task --- commands (32) + a byte to wake it ---> bfd thread { Endpoint } <--- UDP 3784, 4784
//!        ^                                                       |                ---> a socket per session
//!        +------ mailbox: one place per session, Notify <--------+
//! ```
//!
//! The thread starts with the first session that is configured. Invariants: it never waits for the daemon, and no queue here grows
//! with what peers send.

mod mailbox;
mod receiver;
mod sender;
mod thread;

use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use bfd_core::{Key, SessionConfig, SessionView};
use tokio::sync::oneshot;
use tracing::error;

pub(crate) use mailbox::{Mailbox, News};
use thread::Thread;

/// Commands that wait at most.
const COMMANDS: usize = 32;

/// What the thread is told.
enum Command {
    /// These sessions are wanted, and no others.
    Configure(BTreeMap<Key, SessionConfig>),
    /// Tell how everything is.
    Report(oneshot::Sender<Report>),
    /// Say AdminDown everywhere and end.
    Stop,
}

/// How everything is.
pub(crate) struct Report {
    /// Every session.
    pub(crate) sessions: Vec<SessionView>,
    /// Packets that belonged to no session, or could not be read.
    pub(crate) discarded: bfd_core::packet::Discards,
    /// Packets that could not be sent, by the system's word.
    pub(crate) send_errors: u64,
}

/// The daemon's end.
#[derive(Default)]
pub(crate) struct Bfd {
    mailbox: Arc<Mailbox>,
    running: Option<Running>,
}

struct Running {
    commands: SyncSender<Command>,
    /// A byte in it wakes the thread.
    waker: UnixStream,
    thread: std::thread::JoinHandle<()>,
}

impl Bfd {
    /// What the thread has to say.
    pub(crate) fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    /// Has these sessions and no others. Starts the thread if there is a first one.
    ///
    /// # Errors
    /// If the thread or its sockets cannot be had, such as a port that another program has.
    pub(crate) fn configure(&mut self, sessions: BTreeMap<Key, SessionConfig>) -> io::Result<()> {
        if self.running.is_none() {
            if sessions.is_empty() {
                return Ok(());
            }
            self.running = Some(self.start()?);
        }
        self.command(Command::Configure(sessions));
        Ok(())
    }

    fn start(&self) -> io::Result<Running> {
        let (waker, woken) = UnixStream::pair()?;
        waker.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let (commands, receiver) = sync_channel(COMMANDS);
        let thread = Thread::new(receiver, woken, Arc::clone(&self.mailbox))?;
        let thread = std::thread::Builder::new().name("bfd".to_owned()).spawn(move || thread.run())?;
        Ok(Running { commands, waker, thread })
    }

    /// How everything is; `None` if BFD does not run.
    pub(crate) fn report(&self) -> Option<oneshot::Receiver<Report>> {
        self.running.as_ref()?;
        let (answer, report) = oneshot::channel();
        self.command(Command::Report(answer));
        Some(report)
    }

    fn command(&self, command: Command) {
        use std::io::Write;
        let Some(running) = &self.running else { return };
        // The thread takes commands between any two waits, so this waits for microseconds at most.
        if running.commands.send(command).is_err() {
            error!("the BFD thread has ended");
        }
        // Full: it has been woken already.
        let _ = (&running.waker).write(&[1]);
    }

    /// Ends the thread once every session has said AdminDown, so that peers take the silence for what it is.
    pub(crate) fn stop(&mut self) {
        self.command(Command::Stop);
        if let Some(running) = self.running.take() {
            // It panics never, and if it did, it has ended too.
            let _ = running.thread.join();
        }
    }
}
