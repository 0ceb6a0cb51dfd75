//! Renewing the lease, and, while it is held, rounds, and conditions and events of objects: loops in one task.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cairn_api::core::Lease;
use cairn_api::{Metadata, Object, Timestamp};
use cairn_datastore::{Datastore, Key, Known, StoreError};
use cairn_verdict::Place;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::election::{Candidate, Step};
use crate::event::tell::tell;
use crate::health::Status;
use crate::judge::{Judge, Kept};
use crate::observe::observe;
use crate::report;
use crate::{act, established};

/// Name of the lease.
pub const LEASE: &str = "cairn-controller";

/// How often in the duration of a lease it is renewed, or looked at.
const RENEWALS: u32 = 5;

/// What a controller is told.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its name among several.
    pub identity: String,
    /// Where the lease is.
    pub lease_namespace: String,
    /// How long the lease counts.
    pub lease_duration: Duration,
    /// Where the Secrets are that BGP passwords are in.
    pub secret_namespace: String,
    /// Between two rounds.
    pub interval: Duration,
    /// How long a suspicion must last.
    pub grace: Duration,
    /// Is also released what leaked on nodes that are there?
    pub release_leaked: bool,
    /// Is nothing done?
    pub dry_run: bool,
}

/// Until when this one leads.
type Term = Option<Instant>;

fn leads(term: &watch::Receiver<Term>) -> bool {
    term.borrow().is_some_and(|until| Instant::now() < until)
}

/// Runs until `stop` is done; then gives the lease back.
pub async fn run<D: Datastore>(
    store: D,
    options: Options,
    status: Arc<Status>,
    stop: impl Future<Output = ()>,
) {
    let (sender, term) = watch::channel(None);
    let begin = Instant::now();
    let mut election = Election {
        store: &store,
        candidate: Candidate::new(&options.identity, options.lease_duration),
        lease: Metadata::namespaced(&options.lease_namespace, LEASE),
        begin,
        term: sender,
        status: &status,
    };
    tokio::select! {
        () = election.run() => {}
        () = rounds(&store, &options, term.clone(), begin, &status) => {}
        () = speak(&store, &options, term, &status) => {}
        () = stop => {}
    }
    election.give_back().await;
}

struct Election<'a, D> {
    store: &'a D,
    candidate: Candidate,
    lease: Metadata,
    begin: Instant,
    term: watch::Sender<Term>,
    status: &'a Status,
}

impl<D: Datastore> Election<'_, D> {
    async fn run(&mut self) {
        let pause = self.candidate.duration() / RENEWALS;
        loop {
            let asked = Instant::now();
            let led = self.term.borrow().is_some_and(|until| asked < until);
            let turn = self.turn().await;
            let seen = turn.is_ok();
            let leads = match turn {
                Ok(true) => {
                    self.term.send_replace(Some(asked + self.candidate.duration()));
                    true
                }
                Ok(false) => {
                    self.term.send_replace(None);
                    false
                }
                Err(error) => {
                    warn!(%error, "the lease cannot be read or written");
                    // It counts for as long as it did.
                    self.term.borrow().is_some_and(|until| Instant::now() < until)
                }
            };
            if led != leads {
                info!(leads, "leadership changed");
            }
            self.status.turned(leads, seen);
            tokio::time::sleep(pause).await;
        }
    }

    /// True if the lease is ours now.
    async fn turn(&mut self) -> Result<bool, StoreError> {
        let found = self.read().await?;
        // Read after the lease: it may have been renewed while the answer was on its way, and counts from then at the earliest.
        let now = self.begin.elapsed();
        let written = match self.candidate.step(found, self.lease.clone(), now, SystemTime::now().into()) {
            Step::Wait => return Ok(false),
            Step::Create(lease) => self.store.create(&lease).await,
            Step::Update(lease) => self.store.update(&lease).await,
        };
        match written {
            Ok(_) => Ok(true),
            // Another one was faster.
            Err(StoreError::Conflict { .. } | StoreError::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn read(&self) -> Result<Option<Object<Lease>>, StoreError> {
        match self.store.get(&Key::from(&self.lease)).await {
            Ok(found) => Ok(Some(found)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn give_back(&self) {
        let given = async {
            if let Some(lease) = self.read().await?.and_then(|found| self.candidate.give_back(found)) {
                self.store.update(&lease).await?;
            }
            Ok::<_, StoreError>(())
        };
        if let Err(error) = given.await {
            warn!(%error, "the lease is not given back: the next one waits until it is over");
        }
    }
}

/// The least pause between two rounds.
const LEAST: Duration = Duration::from_secs(1);

/// What may lie between two rounds: the pause, and what reading takes where all is well.
fn longest_gap(interval: Duration) -> Duration {
    interval + interval / 2 + Duration::from_secs(10)
}

async fn rounds<D: Datastore>(
    store: &D,
    options: &Options,
    mut term: watch::Receiver<Term>,
    begin: Instant,
    status: &Status,
) {
    while term.wait_for(|until| until.is_some_and(|until| Instant::now() < until)).await.is_ok() {
        let mut judge = Judge::new(options.grace, longest_gap(options.interval), options.release_leaked);
        while leads(&term) {
            status.progressed();
            let failed = round(store, options, &mut judge, &term, begin, status).await.err();
            if let Some(error) = &failed {
                warn!(%error, "a round ends early");
            }
            status.round(failed.is_none(), judge.suspects());
            // What could not be read is read again before the judge has forgotten.
            let soon = failed.as_ref().is_some_and(StoreError::is_temporary);
            let pause = if soon { (options.interval / 4).max(LEAST) } else { options.interval };
            tokio::time::sleep(pause).await;
        }
    }
}

/// Says what is wrong with objects, in their conditions and by events, while this one leads: nothing is followed otherwise. Two that do so for a
/// moment do no harm: one condition follows from the same objects, and one event has one name.
async fn speak<D: Datastore>(store: &D, options: &Options, mut term: watch::Receiver<Term>, status: &Status) {
    if options.dry_run {
        return std::future::pending().await;
    }
    let verdicts =
        cairn_verdict::Options { secret_namespace: options.secret_namespace.clone(), place: Place::Cluster };
    while term.wait_for(|until| until.is_some_and(|until| Instant::now() < until)).await.is_ok() {
        let (sender, spoken) = watch::channel(Arc::default());
        let (reports, heard) = watch::channel(Known::default());
        tokio::select! {
            () = cairn_verdict::keep(store, &verdicts, &sender) => return,
            () = report::follow(store, &reports) => return,
            () = tell(store, &options.identity, spoken.clone(), heard.clone(), status) => return,
            () = established::keep(store, spoken, heard) => return,
            () = leads_no_more(&term) => status.matters(0),
        }
    }
}

async fn leads_no_more(term: &watch::Receiver<Term>) {
    while leads(term) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// For whoever has to look at it.
fn tell_of(kept: &Kept) {
    match kept {
        Kept::NotAsked(entry) => info!(
            address = %entry.address,
            node = entry.node,
            pod = entry.pod,
            handle = entry.handle,
            "looks leaked, and stays: --release-leaked is not given"
        ),
        Kept::Untold(entry) => info!(
            address = %entry.address,
            node = entry.node,
            pod = entry.pod,
            handle = entry.handle,
            "looks leaked, and stays: its node has no block of its own, and cannot be told"
        ),
    }
}

async fn round<D: Datastore>(
    store: &D,
    options: &Options,
    judge: &mut Judge,
    term: &watch::Receiver<Term>,
    begin: Instant,
    status: &Status,
) -> Result<(), StoreError> {
    let seen = observe(store).await?;
    status.read();
    let wall = || Timestamp::from(SystemTime::now());
    let mut failed = None;
    let verdict = judge.judge(begin.elapsed(), wall(), &seen);
    status.kept(verdict.kept.len());
    verdict.kept.iter().for_each(tell_of);
    let acting = Instant::now();
    for action in verdict.actions {
        // What is left is seen again, before the judge has forgotten.
        if acting.elapsed() > options.interval / 4 {
            break;
        }
        if options.dry_run {
            info!(?action, "would be done");
            continue;
        }
        if !leads(term) {
            break;
        }
        match act::perform(store, &action, &seen, &wall).await {
            Ok(count) => status.done(&action, count),
            // One object that cannot be written must not keep the others from being cleared away.
            Err(error @ StoreError::Invalid { .. }) => failed = Some(error),
            Err(error) => return Err(error),
        }
        status.progressed();
    }
    failed.map_or(Ok(()), Err)
}
