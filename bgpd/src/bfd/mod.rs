//! BFD: one thread with its own sockets around `bfd_core`, and the way between it and the daemon.
//!
//! ```text
//!   daemon task --- commands (32) + a byte to wake it ---> bfd thread { Endpoint } <--- UDP 3784, 4784, and of each VRF
//!        ^                                                       |                ---> a socket per session
//!        +------ mailbox: one place per session, Notify <--------+
//! ```
//!
//! The thread starts with the first session that is configured, or where another process's stood still (docs/adr/0016). Invariants: it never waits for the daemon, and no queue here grows
//! with what peers send.

mod mailbox;
mod receiver;
mod sender;
mod thread;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use bfd_core::{Key, SessionConfig, SessionView};
use tokio::sync::oneshot;
use tracing::error;

pub(crate) use mailbox::{Mailbox, News};
use thread::Thread;

/// Commands that wait at most.
const COMMANDS: usize = 32;

/// A session that is wanted.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    /// What its packets are told by.
    pub(crate) key: Key,
    /// How it is to be.
    pub(crate) config: SessionConfig,
    /// The interface or VRF that its packets come and go by, if it is bound to one.
    pub(crate) device: Option<String>,
}

/// All sessions that are wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    /// For `bfd_core`.
    pub(crate) sessions: BTreeMap<Key, SessionConfig>,
    /// The interface or VRF of those that are bound to one.
    pub(crate) devices: BTreeMap<Key, String>,
}

impl FromIterator<Session> for Wanted {
    fn from_iter<I: IntoIterator<Item = Session>>(sessions: I) -> Self {
        let mut wanted = Self::default();
        for Session { key, config, device } in sessions {
            wanted.devices.extend(device.map(|device| (key, device)));
            wanted.sessions.insert(key, config);
        }
        wanted
    }
}

/// What the thread is told.
enum Command {
    /// These sessions are wanted, and no others.
    Configure(Wanted),
    /// Tell how everything is.
    Report(oneshot::Sender<Report>),
    /// Stand still, and tell another process how to go on; [`Command::Resume`] follows if it does not.
    Freeze(SyncSender<io::Result<Frozen>>),
    /// Go on.
    Resume,
    /// Say AdminDown everywhere and end.
    Stop,
}

/// How long the thread may take to stand still. It needs microseconds.
const FREEZES: Duration = Duration::from_secs(1);

/// Sessions that stand still, with their sockets, on their way into another process. None where BFD does not run.
#[derive(Debug, Default)]
pub(crate) struct Frozen {
    /// A 1 for each socket that there is: first those of [`receiver::KINDS`], then one for each session of the state, then those that
    /// are bound to an interface or VRF, which they tell themselves.
    pub(crate) places: Vec<u8>,
    /// For `bfd_core`.
    pub(crate) state: Vec<u8>,
    /// The sockets.
    pub(crate) files: Vec<OwnedFd>,
}

impl Frozen {
    fn new(state: Vec<u8>, sockets: Vec<Option<OwnedFd>>) -> Self {
        let places = sockets.iter().map(|socket| socket.is_some().into()).collect();
        Self { places, state, files: sockets.into_iter().flatten().collect() }
    }

    /// BFD did not run.
    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty() && self.state.is_empty() && self.files.is_empty()
    }

    /// How many sockets the places stand for.
    pub(crate) fn count(places: &[u8]) -> usize {
        places.iter().filter(|place| **place == 1).count()
    }

    /// The state, and the socket of each place.
    fn into_sockets(self) -> (Vec<u8>, Vec<Option<OwnedFd>>) {
        let mut files = self.files.into_iter();
        let sockets = self.places.iter().map(|place| if *place == 1 { files.next() } else { None });
        (self.state, sockets.collect())
    }
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
    pub(crate) fn configure(&mut self, wanted: Wanted) -> io::Result<()> {
        if self.running.is_none() {
            if wanted.sessions.is_empty() {
                return Ok(());
            }
            self.running = Some(self.start(thread::Parts::new)?);
        }
        self.command(Command::Configure(wanted));
        Ok(())
    }

    /// Goes on with the sessions of another process, with this configuration of theirs.
    ///
    /// # Errors
    /// If that cannot be: then no session runs.
    pub(crate) fn adopt(&mut self, frozen: Frozen, wanted: Wanted) -> io::Result<()> {
        self.running = Some(self.start(|| thread::Parts::adopt(frozen, &wanted))?);
        self.command(Command::Configure(wanted));
        Ok(())
    }

    /// Has every session stand still, and says how another process goes on with them.
    ///
    /// # Errors
    /// Why it cannot. After [`Bfd::resume`] they go on here.
    pub(crate) fn freeze(&self) -> Result<Frozen, String> {
        if self.running.is_none() {
            return Ok(Frozen::default());
        }
        let (answer, frozen) = sync_channel(1);
        self.command(Command::Freeze(answer));
        let frozen = frozen.recv_timeout(FREEZES).map_err(|_| "its BFD thread does not answer".to_owned())?;
        if !self.mailbox.is_empty() {
            // The speaker's state was written before, and does not know.
            return Err("a BFD session has changed at this moment, try again".to_owned());
        }
        frozen.map_err(|error| format!("its BFD sockets cannot be handed over: {error}"))
    }

    /// Has the sessions go on after [`Bfd::freeze`].
    pub(crate) fn resume(&self) {
        self.command(Command::Resume);
    }

    fn start(&self, parts: impl FnOnce() -> io::Result<thread::Parts>) -> io::Result<Running> {
        let (waker, woken) = UnixStream::pair()?;
        waker.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let (commands, receiver) = sync_channel(COMMANDS);
        let thread = Thread::new(parts()?, receiver, woken, Arc::clone(&self.mailbox));
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

#[cfg(test)]
mod tests {
    use bfd_core::{Hops, SessionView};

    use super::*;

    /// Two sessions; the second one is bound to an interface.
    fn sessions() -> Wanted {
        // Nobody answers there, and whether the ports to listen on are free does not matter.
        let session = |(host, device): (u8, Option<&str>)| Session {
            key: Key::new([127, 0, 77, host].into(), Hops::Single),
            config: SessionConfig::default(),
            device: device.map(ToOwned::to_owned),
        };
        [(1, None), (2, Some("lo"))].into_iter().map(session).collect()
    }

    fn seen(bfd: &Bfd) -> Vec<SessionView> {
        bfd.report().expect("it runs").blocking_recv().expect("it answers").sessions
    }

    fn port(file: &OwnedFd) -> u16 {
        std::net::UdpSocket::from(file.try_clone().unwrap()).local_addr().unwrap().port()
    }

    /// Stands still once both sessions have sent something, and so have their sockets.
    fn frozen(bfd: &Bfd) -> Frozen {
        while seen(bfd).iter().any(|view| view.counters.sent == 0) {
            std::thread::yield_now();
        }
        bfd.freeze().unwrap()
    }

    #[test]
    fn sessions_go_on_elsewhere_with_their_numbers_and_sockets_or_here() {
        let mut old = Bfd::default();
        assert!(old.freeze().unwrap().places.is_empty(), "nothing runs yet");
        old.configure(sessions()).unwrap();
        let first = frozen(&old);
        let ports = |frozen: &Frozen| -> Vec<u16> {
            let listening = Frozen::count(&frozen.places[..receiver::KINDS.len()]);
            frozen.files[listening..].iter().map(port).collect()
        };
        let (places, known) = (first.places.clone(), ports(&first));
        assert_eq!(Frozen::count(&places), first.files.len());
        let device = |file: &OwnedFd| socket2::SockRef::from(file).device().unwrap();
        let of_lo = first.files.iter().filter(|file| device(file).as_deref() == Some(b"lo"));
        assert!((1..=2).contains(&of_lo.count()), "one to send, and one to receive if its port is free");
        // It is given up, and everything is as it was.
        drop(first);
        old.resume();
        let before: Vec<u32> = seen(&old).iter().map(|view| view.discriminator).collect();
        let second = frozen(&old);
        assert_eq!((&second.places, ports(&second)), (&places, known.clone()));

        let mut new = Bfd::default();
        new.adopt(second, sessions()).unwrap();
        let after = seen(&new);
        assert_eq!(after.iter().map(|view| view.discriminator).collect::<Vec<_>>(), before);
        assert!(after.iter().all(|view| view.counters.sent > 0));
        assert_eq!(ports(&new.freeze().unwrap()), known);
    }

    #[test]
    fn what_another_process_sends_may_be_damaged() {
        let files = [std::fs::File::open("/dev/null").unwrap().into()];
        for (places, state) in [(vec![], vec![]), (vec![1], vec![1, 2, 3]), (vec![0, 7, 1, 1], vec![9])] {
            let files = files.iter().map(|file: &OwnedFd| file.try_clone().unwrap()).collect();
            let mut bfd = Bfd::default();
            assert!(bfd.adopt(Frozen { places, state, files }, sessions()).is_err());
            assert!(bfd.report().is_none());
        }
    }
}
