//! The task that speaks with bgpd.
//!
//! It connects, and again with back-off; hands over the whole document and all announcements at once, later only
//! differences; and passes routes and peers on to the engine. Nothing is handed over before the engine says that it
//! has the whole picture, or a restarted felix-lite would withdraw what it has not read yet.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use bgpd_api::client::{PeerEventStream, RouteUpdateStream};
use bgpd_api::config::{Config, OriginatedRoute};
use bgpd_api::peer::PeerEvent;
use bgpd_api::route::RouteUpdate;
use bgpd_api::{Client, ClientError};
use cairn_net::{Families, Prefix};
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::mailbox::{Reader, Writer, mailbox};

/// In whose name prefixes are announced.
const OWNER: &str = "felix";
/// The first wait before a new connection; doubled up to the last.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LAST_WAIT: Duration = Duration::from_secs(5);
/// Events that may wait for the engine; after that bgpd waits.
const QUEUE: usize = 64;

/// What the task tells the engine.
#[derive(Debug)]
pub(crate) enum BgpEvent {
    /// A connection begins: its routes are told from the beginning.
    Connected,
    /// It ended, or there is none.
    Disconnected(String),
    /// Routes.
    Routes(RouteUpdate),
    /// A peer.
    Peer(Box<PeerEvent>),
    /// bgpd took the document, or said why not.
    Applied(Result<(), String>),
}

/// What the engine tells the task.
#[derive(Debug, Default)]
struct News {
    config: Option<Box<Config>>,
    /// By prefix: announced, or no longer.
    routes: BTreeMap<Prefix, Option<OriginatedRoute>>,
    /// What was said so far is the whole picture.
    ready: bool,
}

/// The engine's end of the task.
#[derive(Debug)]
pub(crate) struct Bgp {
    news: Writer<News>,
    events: mpsc::Receiver<BgpEvent>,
}

impl Bgp {
    /// Starts the task.
    pub(crate) fn start(socket: PathBuf) -> Self {
        let (news, reader) = mailbox();
        let (sender, events) = mpsc::channel(QUEUE);
        tokio::spawn(Task { socket, news: reader, events: sender, wanted: Wanted::default() }.run());
        Self { news, events }
    }

    /// The document is this one.
    pub(crate) fn configure(&self, config: Box<Config>) {
        self.news.write(|news| news.config = Some(config));
    }

    /// This is announced.
    pub(crate) fn announce(&self, route: OriginatedRoute) {
        self.news.write(|news| drop(news.routes.insert(route.prefix, Some(route))));
    }

    /// This is no longer announced.
    pub(crate) fn withdraw(&self, prefix: Prefix) {
        self.news.write(|news| drop(news.routes.insert(prefix, None)));
    }

    /// What was said so far is the whole picture.
    pub(crate) fn ready(&self) {
        self.news.write(|news| news.ready = true);
    }

    /// The next event, if one waits.
    pub(crate) fn try_next(&mut self) -> Option<BgpEvent> {
        self.events.try_recv().ok()
    }

    /// The next event. Safe to drop and call again.
    pub(crate) async fn next(&mut self) -> Option<BgpEvent> {
        self.events.recv().await
    }
}

/// What bgpd should have, and what of it has not been handed over yet.
#[derive(Debug, Default)]
struct Wanted {
    config: Option<Box<Config>>,
    routes: BTreeMap<Prefix, OriginatedRoute>,
    ready: bool,
    config_is_new: bool,
    /// Everything has to be handed over, not only `changed`.
    all: bool,
    changed: BTreeSet<Prefix>,
    /// bgpd refused something: nothing is tried again before there is another document.
    refused: bool,
}

impl Wanted {
    fn take(&mut self, news: News) {
        if let Some(config) = news.config {
            self.config = Some(config);
            (self.config_is_new, self.refused) = (true, false);
        }
        for (prefix, route) in news.routes {
            self.changed.insert(prefix);
            match route {
                Some(route) => self.routes.insert(prefix, route),
                None => self.routes.remove(&prefix),
            };
        }
        self.ready |= news.ready;
    }

    /// bgpd may be a new one.
    fn forget_handed_over(&mut self) {
        (self.config_is_new, self.all, self.refused) = (true, true, false);
    }

    /// Is there something to hand over, and may it be?
    fn is_due(&self) -> bool {
        let news = self.config_is_new || self.all || !self.changed.is_empty();
        self.ready && self.config.is_some() && news && !self.refused
    }
}

/// The streams of a connection.
struct Streams {
    routes: RouteUpdateStream,
    peers: PeerEventStream,
}

struct Task {
    socket: PathBuf,
    news: Reader<News>,
    events: mpsc::Sender<BgpEvent>,
    wanted: Wanted,
}

/// Nobody is interested any more.
struct Stopped;

impl Task {
    async fn run(mut self) {
        let mut wait = FIRST_WAIT;
        loop {
            let error = match Client::connect(&self.socket).await {
                Ok(client) => {
                    wait = FIRST_WAIT;
                    match self.converse(client).await {
                        Ok(Stopped) => return,
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            };
            if self.events.send(BgpEvent::Disconnected(error.to_string())).await.is_err() {
                return;
            }
            let deadline = tokio::time::sleep(wait);
            tokio::pin!(deadline);
            loop {
                tokio::select! {
                    () = &mut deadline => break,
                    news = self.news.collect() => match news {
                        Some(news) => self.wanted.take(news),
                        None => return,
                    },
                }
            }
            wait = (wait * 2).min(LAST_WAIT);
        }
    }

    /// One connection, until it breaks.
    async fn converse(&mut self, mut client: Client) -> Result<Stopped, ClientError> {
        self.wanted.forget_handed_over();
        let mut streams = None;
        loop {
            if self.wanted.is_due() {
                self.hand_over(&mut client).await?;
            }
            if streams.is_none() {
                streams = open(&mut client).await?;
                if streams.is_some() && self.events.send(BgpEvent::Connected).await.is_err() {
                    return Ok(Stopped);
                }
            }
            let event = tokio::select! {
                news = self.news.collect() => {
                    let Some(news) = news else { return Ok(Stopped) };
                    self.wanted.take(news);
                    continue;
                }
                event = next(streams.as_mut()) => event?,
            };
            if self.events.send(event).await.is_err() {
                return Ok(Stopped);
            }
        }
    }

    async fn hand_over(&mut self, client: &mut Client) -> Result<(), ClientError> {
        // Routes first: a bgpd that starts tells its neighbours with them that it is complete, and they drop what is missing.
        let result = match self.originate(client).await {
            Ok(()) => self.apply(client).await,
            Err(error) => Err(error),
        };
        match result {
            Err(error) if error.unavailable() => Err(error),
            Err(error) => {
                warn!(%error, "bgpd refuses what it is told and keeps what it has");
                (self.wanted.refused, self.wanted.all) = (true, true);
                let _engine_gone = self.events.send(BgpEvent::Applied(Err(error.to_string()))).await;
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    async fn apply(&mut self, client: &mut Client) -> Result<(), ClientError> {
        let Some(config) = self.wanted.config.as_ref().filter(|_| self.wanted.config_is_new) else {
            return Ok(());
        };
        let changes = client.apply(config).await?;
        self.wanted.config_is_new = false;
        info!(changes = changes.join("; "), "bgpd is configured");
        let _engine_gone = self.events.send(BgpEvent::Applied(Ok(()))).await;
        Ok(())
    }

    async fn originate(&mut self, client: &mut Client) -> Result<(), ClientError> {
        let wanted = &mut self.wanted;
        let changed = std::mem::take(&mut wanted.changed);
        if wanted.all {
            client.originate(OWNER, wanted.routes.values().cloned(), true).await?;
            wanted.all = false;
            return Ok(());
        }
        let (set, gone): (Vec<Prefix>, Vec<Prefix>) =
            changed.into_iter().partition(|prefix| wanted.routes.contains_key(prefix));
        if !gone.is_empty() {
            client.withdraw(OWNER, gone).await?;
        }
        if !set.is_empty() {
            let routes: Vec<_> = set.iter().filter_map(|prefix| wanted.routes.get(prefix).cloned()).collect();
            client.originate(OWNER, routes, false).await?;
        }
        Ok(())
    }
}

/// Begins to follow routes and peers; `None` while bgpd has no configuration yet.
async fn open(client: &mut Client) -> Result<Option<Streams>, ClientError> {
    let unconfigured = |error: &ClientError| match error {
        ClientError::Call(status) => status.code() == tonic::Code::FailedPrecondition,
        _ => false,
    };
    let routes = match client.watch_routes(Families::ALL).await {
        Err(error) if unconfigured(&error) => return Ok(None),
        routes => routes?,
    };
    let peers = client.watch_peers().await?;
    Ok(Some(Streams { routes, peers }))
}

/// The next event of the streams; never, while there are none.
async fn next(streams: Option<&mut Streams>) -> Result<BgpEvent, ClientError> {
    let Some(streams) = streams else { return std::future::pending().await };
    let ended = || ClientError::from(tonic::Status::unavailable("bgpd ended the stream"));
    tokio::select! {
        routes = streams.routes.next() => routes?.map(BgpEvent::Routes).ok_or_else(ended),
        peer = streams.peers.next() => peer?.map(|event| BgpEvent::Peer(Box::new(event))).ok_or_else(ended),
    }
}
