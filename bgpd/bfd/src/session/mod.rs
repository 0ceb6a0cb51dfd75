//! The state machine of one session, with the variables of RFC 5880 section 6.8.1 under their names.
//!
//! It has no timers of its own: it says when each is due, and [`Session::tick`] does what is due.

mod handover;
mod receive;
mod transmit;

use std::time::{Duration, Instant};

use crate::jitter::Random;
use crate::packet::authentication::Sequence;
use crate::view::{Counters, Remote, SessionView, Transition};
use crate::{Diagnostic, Key, SessionConfig, State};

/// Least Desired Min TX Interval while the session is not Up (section 6.8.3).
pub(crate) const SLOW: Duration = Duration::from_secs(1);
/// Changes of state that are remembered.
const HISTORY: usize = 16;
/// Packets that say AdminDown before a session that is no longer wanted is forgotten.
pub(crate) const FAREWELLS: u8 = 3;

/// A session.
#[derive(Debug)]
pub struct Session {
    pub(crate) key: Key,
    pub(crate) config: SessionConfig,
    pub(crate) discriminator: u32,
    /// bfd.SessionState.
    pub(crate) state: State,
    since: Instant,
    /// bfd.LocalDiag.
    diagnostic: Diagnostic,
    /// bfd.RemoteSessionState and its kin.
    pub(crate) remote: Remote,
    /// bfd.RequiredMinRxInterval as long as the other side has not confirmed a smaller one.
    unconfirmed_rx: Option<Duration>,
    /// bfd.DesiredMinTxInterval as long as the other side has not confirmed a larger one.
    unconfirmed_tx: Option<Duration>,
    poll: Poll,
    sequence: Sequence,
    random: Random,
    /// The other side wants a packet with F.
    final_due: bool,
    /// Something new is to be told at once.
    news: bool,
    last_sent: Option<Instant>,
    last_received: Option<Instant>,
    /// The interval that `transmit_due` was made with.
    armed_with: Option<Duration>,
    pub(crate) transmit_due: Option<Instant>,
    pub(crate) detection_due: Option<Instant>,
    /// Packets still to be sent before the session is forgotten; `None`: it is wanted.
    pub(crate) farewells: Option<u8>,
    pub(crate) counters: Counters,
    history: [Option<Transition>; HISTORY],
    transitions: usize,
    change: Option<Change>,
}

/// Where a Poll Sequence is (section 6.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Poll {
    /// None.
    Idle,
    /// P is sent until F comes.
    Asking,
    /// Values changed again meanwhile: an F may answer the old ones, so another sequence follows.
    AskingAgain,
}

/// What the owner of a session must know: it came up, left Up, or the other side's operator took it down or let it up again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// State before.
    pub from: State,
    /// State now.
    pub to: State,
    /// Why the session left Up last.
    pub diagnostic: Diagnostic,
    /// The other side's state.
    pub remote: State,
    /// The other side's BFD does not depend on its control plane (C bit): that it is silent says that it does not forward.
    pub remote_independent: bool,
}

impl Session {
    /// A session in Down that begins to send, unless it is passive.
    pub fn new(key: Key, config: SessionConfig, discriminator: u32, seed: u64, now: Instant) -> Self {
        let mut random = Random::new(seed);
        let mut session = Self {
            key,
            config,
            discriminator,
            state: State::Down,
            since: now,
            diagnostic: Diagnostic::None,
            remote: Remote::UNKNOWN,
            unconfirmed_rx: None,
            unconfirmed_tx: None,
            poll: Poll::Idle,
            sequence: Sequence::new(random.next_u32()),
            random,
            final_due: false,
            news: true,
            last_sent: None,
            last_received: None,
            armed_with: None,
            transmit_due: None,
            detection_due: None,
            farewells: None,
            counters: Counters::default(),
            history: [None; HISTORY],
            transitions: 0,
            change: None,
        };
        session.schedule(now);
        session
    }

    /// The state.
    pub const fn state(&self) -> State {
        self.state
    }

    /// bfd.DesiredMinTxInterval.
    fn desired_min_tx(&self) -> Duration {
        if self.state == State::Up {
            self.config.desired_min_tx
        } else {
            self.config.desired_min_tx.max(SLOW)
        }
    }

    /// The detection time (section 6.8.4); `None` before the first packet.
    fn detection_time(&self) -> Option<Duration> {
        let required = self.unconfirmed_rx.unwrap_or_default().max(self.config.required_min_rx);
        let interval = required.max(micros(self.remote.desired_min_tx));
        (self.remote.detect_mult > 0).then(|| interval * u32::from(self.remote.detect_mult))
    }

    /// Does what is due by its time.
    pub fn tick(&mut self, now: Instant) {
        if self.detection_due.is_some_and(|at| at <= now) {
            self.detection_due = None;
            self.time_out(now);
        }
        if self.transmit_due.is_some_and(|at| at <= now) {
            self.transmit_due = None;
            self.news = true;
        }
    }

    /// Nothing was heard for the detection time (section 6.8.4).
    fn time_out(&mut self, now: Instant) {
        if matches!(self.state, State::Init | State::Up) {
            self.diagnostic = Diagnostic::ControlDetectionTimeExpired;
            self.enter(State::Down, now);
        }
        // What the other side was is no longer known (section 6.8.1); its words stay on view.
        let diagnostic = self.remote.diagnostic;
        self.set_remote(Remote { diagnostic, ..Remote::UNKNOWN });
        self.schedule(now);
    }

    /// Takes other values. A session that is Up stays so: the other side is asked to confirm them (section 6.8.3).
    pub fn configure(&mut self, config: SessionConfig, now: Instant) {
        self.farewells = None;
        if self.state == State::AdminDown {
            self.diagnostic = Diagnostic::None;
            self.enter(State::Down, now);
        }
        let old = std::mem::replace(&mut self.config, config);
        if old == self.config {
            return;
        }
        let times = |config: &SessionConfig| (config.desired_min_tx, config.required_min_rx);
        if self.state == State::Up && times(&old) != times(&self.config) {
            if self.config.desired_min_tx > old.desired_min_tx {
                self.unconfirmed_tx.get_or_insert(old.desired_min_tx);
            }
            if self.config.required_min_rx < old.required_min_rx {
                self.unconfirmed_rx.get_or_insert(old.required_min_rx);
            }
            self.ask();
        }
        self.news = true;
        self.set_detection();
        self.schedule(now);
    }

    /// Begins a Poll Sequence, or another one after the one under way.
    fn ask(&mut self) {
        self.poll = match self.poll {
            Poll::Idle => Poll::Asking,
            Poll::Asking | Poll::AskingAgain => Poll::AskingAgain,
        };
    }

    /// Takes the session down for an operator (section 6.8.16); it is forgotten once the other side has been told.
    pub fn take_down(&mut self, now: Instant) {
        if self.farewells.is_some() {
            return;
        }
        // Whom we do not hear has nothing to lose.
        self.farewells = Some(if self.remote.discriminator == 0 { 0 } else { FAREWELLS });
        self.diagnostic = Diagnostic::AdministrativelyDown;
        self.enter(State::AdminDown, now);
        self.detection_due = None;
        self.schedule(now);
    }

    /// Nothing is left to be said: the session can be forgotten.
    pub(crate) fn is_over(&self) -> bool {
        self.farewells.is_some_and(|left| left == 0 || self.remote.required_min_rx == 0)
    }

    fn enter(&mut self, to: State, now: Instant) {
        let from = std::mem::replace(&mut self.state, to);
        if from == to {
            return;
        }
        self.since = now;
        self.news = true;
        let remote = &self.remote;
        self.history[self.transitions % HISTORY] = Some(Transition {
            at: now,
            from,
            to,
            diagnostic: self.diagnostic,
            remote: remote.state,
            remote_diagnostic: remote.diagnostic,
        });
        self.transitions = self.transitions.wrapping_add(1);
        self.poll = Poll::Idle;
        (self.unconfirmed_rx, self.unconfirmed_tx) = (None, None);
        if to == State::Up {
            self.counters.up += 1;
            // From slow start to the configured interval.
            if self.config.desired_min_tx != self.config.desired_min_tx.max(SLOW) {
                self.poll = Poll::Asking;
            }
        } else if from == State::Up {
            self.counters.down += 1;
        }
        self.note_change(from);
    }

    /// Puts down what the owner is to be told. Several changes between two looks become one, but a fall from Up is kept.
    fn note_change(&mut self, from: State) {
        let from = match self.change {
            Some(Change { from: State::Up, .. }) => State::Up,
            _ => from,
        };
        self.change = Some(Change {
            from,
            to: self.state,
            diagnostic: self.diagnostic,
            remote: self.remote.state,
            remote_independent: self.remote.control_plane_independent,
        });
    }

    fn set_remote(&mut self, remote: Remote) {
        let old = std::mem::replace(&mut self.remote, remote);
        let admin = |remote: &Remote| remote.state == State::AdminDown;
        if admin(&old) != admin(&self.remote) {
            self.note_change(self.state);
        }
    }

    /// What has changed since the last call.
    pub fn take_change(&mut self) -> Option<Change> {
        self.change.take()
    }

    /// What can be looked at.
    pub fn view(&self) -> SessionView {
        let (newer, older) = self.history.split_at(self.transitions % HISTORY);
        SessionView {
            key: self.key,
            state: self.state,
            since: self.since,
            diagnostic: self.diagnostic,
            discriminator: self.discriminator,
            remote: self.remote,
            desired_min_tx: self.desired_min_tx(),
            required_min_rx: self.config.required_min_rx,
            detect_mult: self.config.detect_mult,
            transmit_interval: self.transmit_interval(),
            detection_time: self.detection_time(),
            polling: self.poll != Poll::Idle,
            authentication: self.config.authentication.as_ref().map(|with| with.kind),
            last_received: self.last_received,
            counters: self.counters,
            history: older.iter().chain(newer).flatten().copied().collect(),
        }
    }
}

fn micros(value: u32) -> Duration {
    Duration::from_micros(value.into())
}
