//! All sessions of a system: configuration, demultiplexing (RFC 5880 section 6.3), timers, and what is to be sent.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::jitter::Random;
use crate::packet::{Discard, Discards, MAX_PACKET, Packet};
use crate::session::Change;
use crate::view::SessionView;
use crate::wheel::{TICK, Wheel};
use crate::{Hops, Key, Session, SessionConfig, State, TTL};

/// Names a session until [`Output::Forgotten`]; small numbers, so that a shell can keep its sockets in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u32);

/// A datagram that came to one of the two ports.
#[derive(Debug, Clone, Copy)]
pub struct Datagram<'a> {
    /// Which port it came to.
    pub hops: Hops,
    /// Who sent it.
    pub source: IpAddr,
    /// Our address that it was sent to.
    pub destination: IpAddr,
    /// Index of the interface that it came in by.
    pub interface: u32,
    /// Its time to live (hop limit) on arrival.
    pub ttl: u8,
    /// What it carries.
    pub payload: &'a [u8],
}

/// What happens.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// These sessions are wanted, and no others. What differs from what is there is changed, and nothing else: a changed time is
    /// agreed on by a Poll Sequence, a session that is gone from here says AdminDown before it goes.
    Configure(&'a BTreeMap<Key, SessionConfig>),
    /// A datagram came.
    Received(Datagram<'a>),
    /// The program ends: every session says AdminDown, once.
    Shutdown,
    /// Time has passed.
    Tick,
}

/// What is to be done, or known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Send a packet, with a time to live of 255 and always from the same port for the same session.
    Transmit {
        /// Whose.
        session: SessionId,
        /// From where to where.
        key: Key,
        /// The packet.
        packet: [u8; MAX_PACKET],
        /// How much of it.
        len: usize,
    },
    /// A session changed in a way that matters to others.
    Changed {
        /// Which.
        key: Key,
        /// How.
        change: Change,
    },
    /// A session is gone: its socket can be closed.
    Forgotten {
        /// Which.
        session: SessionId,
    },
}

/// Every BFD session of a system. See the crate.
#[derive(Debug)]
pub struct Endpoint {
    now: Instant,
    /// Tick zero.
    base: Instant,
    sessions: Vec<Option<Slot>>,
    free: Vec<u32>,
    by_key: BTreeMap<Key, u32>,
    by_discriminator: HashMap<u32, u32, RandomState>,
    wheel: Wheel,
    /// Sessions that may have something to send or to say; each at most once.
    ready: VecDeque<u32>,
    gone: VecDeque<u32>,
    random: Random,
    shutdown: bool,
    discards: Discards,
}

#[derive(Debug)]
struct Slot {
    session: Session,
    queued: bool,
}

impl Endpoint {
    /// An endpoint without sessions. Discriminators and jitter come from the seed, which should be hard to guess.
    pub fn new(now: Instant, seed: u64) -> Self {
        Self {
            now,
            base: now,
            sessions: Vec::new(),
            free: Vec::new(),
            by_key: BTreeMap::new(),
            by_discriminator: HashMap::default(),
            wheel: Wheel::new(),
            ready: VecDeque::new(),
            gone: VecDeque::new(),
            random: Random::new(seed),
            shutdown: false,
            discards: Discards::default(),
        }
    }

    /// Something happened. Never fails.
    ///
    /// Hand over what has arrived before [`Input::Tick`]: then a shell that was late does not take its own delay for the other side's.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        // A clock that goes back is a clock that stands still.
        self.now = self.now.max(now);
        match input {
            Input::Configure(sessions) => self.configure(sessions),
            Input::Received(datagram) => self.receive(&datagram),
            Input::Shutdown => {
                self.shutdown = true;
                (0..self.sessions.len()).for_each(|index| self.enqueue(index));
            }
            Input::Tick => self.tick(),
        }
    }

    /// The next thing to do or say; call until `None` after each [`Endpoint::handle`], or after several.
    pub fn poll_output(&mut self) -> Option<Output> {
        if let Some(gone) = self.gone.pop_front() {
            return Some(Output::Forgotten { session: SessionId(gone) });
        }
        while let Some(index) = self.ready.pop_front() {
            if let Some(output) = self.output_of(index) {
                return Some(output);
            }
        }
        self.gone.pop_front().map(|gone| Output::Forgotten { session: SessionId(gone) })
    }

    /// When to call [`Endpoint::handle`] with [`Input::Tick`] at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if !self.ready.is_empty() || !self.gone.is_empty() {
            return Some(self.now);
        }
        self.wheel.next().map(|tick| self.base + Duration::from_millis(tick))
    }

    /// Every session, in the order of its key, those that are saying goodbye included.
    pub fn sessions(&self) -> impl Iterator<Item = SessionView> {
        self.all().map(|(_, session)| session.view())
    }

    /// How many sessions there are.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Packets that belonged to no session, or could not be read.
    pub const fn discards(&self) -> &Discards {
        &self.discards
    }

    fn configure(&mut self, wanted: &BTreeMap<Key, SessionConfig>) {
        let unwanted: Vec<u32> = self
            .by_key
            .iter()
            .filter(|(key, _)| !wanted.contains_key(key))
            .map(|(_, index)| *index)
            .collect();
        for index in unwanted {
            self.with(index, Session::take_down);
        }
        for (key, config) in wanted {
            match self.by_key.get(key).copied() {
                Some(index) => self.with(index, |session, now| session.configure(config.clone(), now)),
                None => self.add(*key, config.clone()),
            }
        }
    }

    fn add(&mut self, key: Key, config: SessionConfig) {
        let discriminator = self.new_discriminator();
        let session = Session::new(key, config, discriminator, self.random.next(), self.now);
        self.insert(session);
    }

    /// Goes on with a session of another endpoint; `None` if its name or its discriminator is that of one that is here.
    pub(crate) fn adopt(&mut self, session: Session) -> Option<SessionId> {
        let number = session.discriminator;
        if number == 0
            || self.by_discriminator.contains_key(&number)
            || self.by_key.contains_key(&session.key)
        {
            return None;
        }
        self.insert(session)
    }

    fn insert(&mut self, session: Session) -> Option<SessionId> {
        let next = u32::try_from(self.sessions.len()).ok()?;
        let (key, discriminator) = (session.key, session.discriminator);
        let index = self.free.pop().unwrap_or_else(|| {
            self.sessions.push(None);
            // Room for everything that may be queued, so that nothing is allocated later.
            self.ready.reserve(self.sessions.len() - self.ready.len());
            self.gone.reserve(self.sessions.len() - self.gone.len());
            self.wheel.reserve(2 * self.sessions.len());
            next
        });
        if let Some(slot) = self.sessions.get_mut(index as usize) {
            *slot = Some(Slot { session, queued: false });
        }
        self.by_key.insert(key, index);
        self.by_discriminator.insert(discriminator, index);
        self.with(index, |_, _| ());
        Some(SessionId(index))
    }

    /// Every session with its name, in the order of its key.
    pub(crate) fn all(&self) -> impl Iterator<Item = (SessionId, &Session)> {
        self.by_key.values().filter_map(|index| {
            let slot = self.sessions.get(*index as usize)?.as_ref()?;
            Some((SessionId(*index), &slot.session))
        })
    }

    pub(crate) const fn now(&self) -> Instant {
        self.now
    }

    pub(crate) fn next_random(&mut self) -> u64 {
        self.random.next()
    }

    /// A number that nobody can guess and no other session has (section 6.3).
    fn new_discriminator(&mut self) -> u32 {
        loop {
            let number = self.random.next_u32();
            if number != 0 && !self.by_discriminator.contains_key(&number) {
                return number;
            }
        }
    }

    fn receive(&mut self, datagram: &Datagram<'_>) {
        let found = Packet::decode(datagram.payload)
            .and_then(|packet| Ok((self.find(datagram, &packet).ok_or(Discard::NoSession)?, packet)));
        let (index, packet) = match found {
            Ok(found) => found,
            Err(reason) => {
                self.discards.count(reason);
                return;
            }
        };
        self.with(index, |session, now| {
            let near = datagram.ttl
                >= match session.key.hops {
                    Hops::Single => TTL,
                    Hops::Multi => session.config.min_ttl,
                };
            let result = if near { session.receive(now, &packet) } else { Err(Discard::Ttl) };
            if let Err(reason) = result {
                session.counters.discarded.count(reason);
            }
        });
    }

    /// The session that a packet belongs to: by our discriminator alone once the other side knows it, else by address.
    fn find(&self, datagram: &Datagram<'_>, packet: &Packet<'_>) -> Option<u32> {
        let hops = datagram.hops;
        if packet.your_discriminator != 0 {
            let index = *self.by_discriminator.get(&packet.your_discriminator)?;
            let slot = self.sessions.get(index as usize)?.as_ref()?;
            return (slot.session.key.hops == hops).then_some(index);
        }
        let first = Key::new(datagram.source.to_canonical(), hops);
        let here = datagram.destination.to_canonical();
        self.by_key
            .range(first..)
            .take_while(|(key, _)| (key.hops, key.remote) == (first.hops, first.remote))
            // Who asks for more is asked first.
            .filter(|(key, _)| key.matches(here, datagram.interface))
            .max_by_key(|(key, _)| (key.interface.is_some(), key.local.is_some()))
            .map(|(_, index)| *index)
    }

    fn tick(&mut self) {
        let now = self.tick_of(self.now, false);
        while let Some(timer) = self.wheel.pop(now) {
            self.with(timer / 2, Session::tick);
        }
    }

    /// Has something done with a session, then arms its timers and queues it if it has something to say.
    fn with(&mut self, index: u32, act: impl FnOnce(&mut Session, Instant)) {
        let Some(Some(slot)) = self.sessions.get_mut(index as usize) else { return };
        act(&mut slot.session, self.now);
        let due = [slot.session.transmit_due, slot.session.detection_due];
        for (timer, due) in (2 * index..).zip(due) {
            let tick = due.map(|due| self.tick_of(due, true));
            self.wheel.set(timer, tick);
        }
        self.enqueue(index as usize);
    }

    fn enqueue(&mut self, index: usize) {
        if let (Some(Some(slot)), Ok(number)) = (self.sessions.get_mut(index), u32::try_from(index))
            && !std::mem::replace(&mut slot.queued, true)
        {
            self.ready.push_back(number);
        }
    }

    fn output_of(&mut self, index: u32) -> Option<Output> {
        let slot = self.sessions.get_mut(index as usize)?.as_mut()?;
        slot.queued = false;
        let session = &mut slot.session;
        let key = session.key;
        if let Some(change) = session.take_change() {
            self.enqueue(index as usize);
            return Some(Output::Changed { key, change });
        }
        let now = self.now;
        if self.shutdown || session.wants_to_send() {
            if self.shutdown && session.remote.discriminator == 0 {
                return None;
            }
            let mut packet = [0; MAX_PACKET];
            let len = if self.shutdown {
                session.last_words(now, &mut packet)
            } else {
                session.transmit(now, &mut packet)
            };
            if !self.shutdown {
                // Its next time to send.
                self.with(index, |_, _| ());
            }
            return Some(Output::Transmit { session: SessionId(index), key, packet, len });
        }
        if session.is_over() {
            self.forget(index);
        }
        None
    }

    fn forget(&mut self, index: u32) {
        let Some(slot) = self.sessions.get_mut(index as usize).and_then(Option::take) else { return };
        self.by_key.remove(&slot.session.key);
        self.by_discriminator.remove(&slot.session.discriminator);
        self.wheel.set(2 * index, None);
        self.wheel.set(2 * index + 1, None);
        self.free.push(index);
        self.gone.push_back(index);
    }

    /// The tick of a time: the one after it for a deadline, the one before it for the present.
    fn tick_of(&self, at: Instant, up: bool) -> u64 {
        let since = at.saturating_duration_since(self.base);
        let whole = u64::try_from(since.as_millis()).unwrap_or(u64::MAX - 1);
        whole + u64::from(up && !since.subsec_nanos().is_multiple_of(1_000_000))
    }
}

/// The bound of a state for others: is the path known to be up?
impl Change {
    /// The session came up.
    pub fn is_up(&self) -> bool {
        self.to == State::Up
    }

    /// The path failed: the session left Up, and no operator, ours or theirs, wanted that.
    pub fn is_failure(&self) -> bool {
        self.from == State::Up && self.to != State::AdminDown && self.remote != State::AdminDown
    }

    /// The other side's operator has taken the session down: nothing follows from it for the path (RFC 5882 section 3.2).
    pub fn is_remote_admin_down(&self) -> bool {
        self.remote == State::AdminDown
    }
}

const _: () = assert!(TICK.as_millis() == 1, "tick_of counts milliseconds");
