//! The one owner of the speaker: takes what happens, tells the speaker, does what the speaker says.
//!
//! One task, in turns. A turn takes what is ready (bounded in count and time), hands it to the speaker, runs due timers, then carries out
//! the outputs. Everything else (gRPC, signals, the configuration file) runs in tasks of its own and reaches the daemon as
//! [`Job`]s through one bounded channel.
//!
//! ```text
//!   sockets ----- Events --------+
//!   gRPC calls -- jobs (64) -----+--> Daemon { Speaker } --> writev, connect, close
//!   file, signals - jobs --------+         |
//!                                          +--> route watchers, peer watchers, lists: one message each in flight
//! ```
//!
//! Invariants: keepalives wait for at most one turn; there is one sleep; no queue here grows with what a peer sends or does not read.

mod admit;
mod apply;
mod bfd;
mod bfd_view;
mod bmp;
mod control;
mod dump;
mod handover;
mod history;
mod io;
mod job;
mod list;
mod next_hop;
mod outbox;
mod peer_watch;
mod policy;
mod record;
mod route_watch;
mod unnumbered;
mod view;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::time::{Duration, Instant, SystemTime};

use bgp_core::monitor::MonitoredPeer;
use bgp_core::speaker::{ConnId, Input, Interface, OriginatedRoute, Speaker};
use bgpd_api::config::Config;
use bytes::BytesMut;
use cairn_net::{Families, Prefix};
use foldhash::HashMap;
use tokio::sync::mpsc;
use tokio::time::{Sleep, sleep_until};

pub(crate) use admit::Refusals;
pub(crate) use apply::{ApplyError, CONFIG_OWNER};
pub(crate) use bfd_view::pages as bfd_pages;
pub(crate) use bmp::{BmpCounts, Feed};
pub(crate) use control::Refused;
pub(crate) use job::{Handle, Stopped};
pub(crate) use list::Query;
pub(crate) use policy::TestCursor;
pub(crate) use route_watch::RouteBatch;
pub(crate) use unnumbered::{Link, Links};

use crate::bfd::Bfd;
use crate::metrics::{Histogram, Server, Snapshot};
use crate::nexthop;
use crate::report::Reporter;
use crate::settings::Keys;
use crate::transport::{Attempt, Connection, Event, Events, Listener, Place, READ_TURN};
use job::Job;

/// Longest time that a turn takes in before it acts.
const TURN: Duration = Duration::from_millis(2);
/// Most events in a turn.
const TURN_EVENTS: usize = 128;
/// Most jobs in a turn.
const TURN_JOBS: usize = 16;
/// Changes of best paths beyond which a turn takes nothing more in before it tells them.
const TURN_CHANGES: usize = 4096;
/// Turns in a row without a look at what else the runtime has to do.
const TURNS_WITHOUT_YIELD: u32 = 8;
/// Jobs that wait at most; callers wait beyond it.
const JOBS: usize = 64;
/// How long the daemon waits at its end for peers to read the last bytes.
const FAREWELL: Duration = Duration::from_millis(1500);

/// The daemon. See the module.
pub(crate) struct Daemon {
    started: Instant,
    speaker: Speaker,
    events: Events,
    jobs: mpsc::Receiver<Job>,
    /// What is read, until it is handed over; one for all connections.
    buffer: BytesMut,
    connections: HashMap<ConnId, Connection>,
    attempts: HashMap<ConnId, Attempt>,
    /// Connections that have something to write.
    writers: VecDeque<ConnId>,
    /// Connections that were closed and have not gone yet.
    lingering: usize,
    refusals: Refusals,
    listeners: BTreeMap<Place, Listener>,
    /// `Event::ListenAgain` will come.
    listening_again: bool,
    unnumbered: unnumbered::Unnumbered,
    running: Option<Running>,
    /// Routes by owner that came before the first configuration.
    early: BTreeMap<String, BTreeMap<Prefix, OriginatedRoute>>,
    /// Families whose routes the kernel has kept since before the start.
    kept: Families,
    handle: Handle,
    /// Follows the kernel's routes while next hops are tracked; with its number.
    tracker: Option<(u64, nexthop::Watch)>,
    /// Numbers that were given to those that follow the kernel's routes.
    trackers: u64,
    /// Learned routes that wait for others in the kernel, as its writer says; `None`: there is no writer.
    waiting_routes: Option<usize>,
    /// Families whose Loc-RIB is complete after the start.
    complete: Families,
    routes: route_watch::RouteWatchers,
    peers: peer_watch::PeerWatchers,
    lists: list::Lists,
    dumps: dump::Dumps,
    /// Neighbours that were put up or down by hand.
    by_hand: BTreeMap<IpAddr, bool>,
    reporter: Reporter,
    history: history::History,
    metrics: Server,
    bmp: bmp::Collectors,
    recorder: record::Recorder,
    /// Peers whose session is up, as those who monitor were told.
    monitored: HashMap<IpAddr, MonitoredPeer>,
    /// Where metrics are served unless the document says so.
    default_metrics: Option<SocketAddr>,
    convergence: Histogram,
    turns: Histogram,
    /// When the first bytes of this turn were read, and how often best paths had changed by then.
    turn_input: Option<(Instant, u64)>,
    bfd: Bfd,
    /// The text for the peers once the daemon ends.
    farewell: Option<String>,
    /// Another process has taken over: nothing may be touched any more.
    handed_over: bool,
}

/// How a daemon ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It was stopped.
    Stopped,
    /// Another process goes on with everything.
    HandedOver,
}

/// The configuration in force.
struct Running {
    config: Config,
    /// What it is called: a file's path, or `Apply`.
    source: String,
    keys: Keys,
    /// Neighbours that the document does not keep down, for look-ups.
    enabled: HashSet<IpAddr>,
    /// BFD sessions by neighbour.
    bfd: BTreeMap<IpAddr, crate::bfd::Session>,
}

impl Daemon {
    /// A daemon without configuration, where the kernel has kept routes of these families, and the handle by which others
    /// reach it.
    pub(crate) fn new(kept: Families, default_metrics: Option<SocketAddr>) -> (Self, Handle) {
        let (handle, jobs) = Handle::new(JOBS);
        let now = Instant::now();
        let daemon = Self {
            started: now,
            speaker: Speaker::new(now),
            events: Events::default(),
            jobs,
            buffer: BytesMut::with_capacity(READ_TURN),
            connections: HashMap::default(),
            attempts: HashMap::default(),
            writers: VecDeque::new(),
            lingering: 0,
            refusals: Refusals::default(),
            listeners: BTreeMap::new(),
            listening_again: false,
            unnumbered: unnumbered::Unnumbered::default(),
            running: None,
            early: BTreeMap::new(),
            kept,
            handle: handle.clone(),
            tracker: None,
            trackers: 0,
            waiting_routes: None,
            complete: Families::NONE,
            routes: route_watch::RouteWatchers::default(),
            peers: peer_watch::PeerWatchers::default(),
            lists: list::Lists::default(),
            dumps: dump::Dumps::default(),
            by_hand: BTreeMap::new(),
            reporter: Reporter::default(),
            history: history::History::default(),
            default_metrics,
            bmp: bmp::Collectors::new(handle.clone()),
            recorder: record::Recorder::new(handle.clone()),
            monitored: HashMap::default(),
            metrics: Server::start(handle.clone()),
            convergence: Histogram::default(),
            turns: Histogram::default(),
            turn_input: None,
            bfd: Bfd::default(),
            farewell: None,
            handed_over: false,
        };
        (daemon, handle)
    }

    /// Runs until [`Daemon::shut_down`] was called by a job, nobody holds a handle any more, or another process has taken over.
    pub(crate) async fn run(mut self) -> End {
        // Reports of routes cost time for each change; they begin with the first watcher.
        self.handle(Input::WatchRoutes(false));
        self.wait_for_bfd();
        self.act();
        let mut alarm = Alarm::default();
        let mut turns = 0;
        while self.farewell.is_none() {
            alarm.set(self.speaker.poll_timeout());
            tokio::select! {
                biased;
                () = alarm.rings() => {}
                event = self.events.next() => self.event(event),
                job = self.jobs.recv() => match job {
                    Some(job) => job(&mut self),
                    None => break,
                },
            }
            let begin = Instant::now();
            let all = !self.handed_over && self.take_what_is_ready();
            if self.handed_over {
                self.stop_recording(tokio::time::Instant::now() + FAREWELL).await;
                return End::HandedOver;
            }
            self.tick();
            self.act();
            self.measure(begin);
            // Lets calls and the kernel's news in; without it, a flood on one socket would hide all others. A turn that
            // took everything is mostly followed by a wait, which does the same.
            turns += 1;
            if !all || turns >= TURNS_WITHOUT_YIELD {
                turns = 0;
                tokio::task::yield_now().await;
            }
        }
        self.leave().await;
        End::Stopped
    }

    /// Takes events and jobs that are there already, within the bounds of a turn. True if nothing is left.
    fn take_what_is_ready(&mut self) -> bool {
        let end = Instant::now() + TURN;
        for _ in 0..TURN_JOBS {
            let Ok(job) = self.jobs.try_recv() else { break };
            job(self);
            if self.handed_over {
                return true;
            }
        }
        for _ in 0..TURN_EVENTS {
            let Some(event) = self.events.take_ready() else { return true };
            self.event(event);
            if self.speaker.reports() >= TURN_CHANGES || Instant::now() >= end {
                break;
            }
        }
        false
    }

    /// Notes how long a turn took, and how long what was read in it took to be told.
    fn measure(&mut self, begin: Instant) {
        let now = Instant::now();
        self.turns.observe(now.duration_since(begin));
        if let Some((read, changes)) = self.turn_input.take()
            && self.speaker.rib_changes() != changes
        {
            self.convergence.observe(now.duration_since(read));
        }
    }

    /// What a scrape is told, but for BFD, whose thread is asked by [`Daemon::bfd_report`].
    pub(crate) fn metrics(&self) -> Snapshot {
        Snapshot {
            at: Instant::now(),
            peers: self.speaker.peers(),
            bfd: None,
            rib: self.speaker.statistics(),
            next_hops: self.speaker.next_hop_statistics(),
            waiting_routes: self.waiting_routes,
            complete: self.complete,
            connections: self.connections.len(),
            refusals: self.refusals,
            jobs: self.jobs.len(),
            route_watchers: self.routes.len(),
            peer_watchers: self.peers.len(),
            watcher_queue: self.routes.queued() + self.peers.queued(),
            convergence: self.convergence.clone(),
            turns: self.turns.clone(),
            mrt: self.recorder.counts(),
            bmp: self.bmp.counts(),
        }
    }

    /// Runs due timers.
    fn tick(&mut self) {
        let now = Instant::now();
        if self.speaker.poll_timeout().is_some_and(|at| at <= now) {
            self.speaker.handle(now, Input::Tick);
        }
    }

    /// The machine's interfaces have these addresses now.
    pub(crate) fn set_interfaces(&mut self, interfaces: Vec<Interface>) {
        self.handle(Input::InterfacesChanged(interfaces));
    }

    /// Tells the speaker that something happened.
    fn handle(&mut self, input: Input) {
        self.speaker.handle(Instant::now(), input);
    }

    /// Takes leave of the peers, as the configuration says.
    async fn leave(mut self) {
        // Before the connections end, so that no peer takes the silence for a failure.
        self.bfd.stop();
        let text = self.farewell.take().unwrap_or_default();
        self.handle(Input::Shutdown { text });
        self.listeners.clear();
        self.act();
        let collectors = self.stop_collectors();
        let end = tokio::time::Instant::now() + FAREWELL;
        while self.lingering > 0 {
            tokio::select! {
                event = self.events.next() => if matches!(event, Event::Lingered) { self.lingering -= 1 },
                () = sleep_until(end) => break,
            }
        }
        for collector in collectors {
            // Whoever has not read until then misses the end.
            let _ = tokio::time::timeout_at(end, collector).await;
        }
        self.stop_recording(end).await;
    }

    /// Waits for the disk until this time at most.
    async fn stop_recording(&mut self, end: tokio::time::Instant) {
        if let Some(ended) = self.recorder.stop() {
            // An error is the end of the thread that is waited for.
            let _ = tokio::time::timeout_at(end, ended).await;
        }
    }
}

/// The time since 1970-01-01 UTC.
pub(crate) fn wall_clock() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// The one sleep.
struct Alarm {
    sleep: Pin<Box<Sleep>>,
    at: Option<Instant>,
}

impl Default for Alarm {
    fn default() -> Self {
        Self { sleep: Box::pin(sleep_until(tokio::time::Instant::now())), at: None }
    }
}

impl Alarm {
    /// Rings at this time at the latest; never with `None`.
    ///
    /// Deadlines mostly move into the future: each message of a peer starts its hold timer anew. Then the alarm stays as it is,
    /// rings too early once, and is set again.
    fn set(&mut self, at: Option<Instant>) {
        let Some(at) = at else {
            self.at = None;
            return;
        };
        if self.at.is_none_or(|armed| at < armed || self.sleep.is_elapsed()) {
            self.sleep.as_mut().reset(at.into());
            self.at = Some(at);
        }
    }

    async fn rings(&mut self) {
        match self.at {
            Some(_) => self.sleep.as_mut().await,
            None => std::future::pending().await,
        }
    }
}
