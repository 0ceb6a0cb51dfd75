//! A watch of a kind: a list, and then what changes, for as long as somebody listens.
//!
//! - A watch that ends is resumed at the last version that it told, bookmarks included: nothing is told twice and nothing is missed.
//! - Only where the server has forgotten that version (410 Gone) everything is listed anew.
//! - Whoever cannot be reached is asked again with back-off and jitter, for ever.
//! - A connection that is silent although the server sends a bookmark each minute is given up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cairn_api::{Kind, Object};
use futures_util::StreamExt as _;
use kube::Client;
use kube::core::WatchEvent;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{info, warn};

use super::answer::{self, Unusable};
use super::{Failure, Listed, PATIENCE, list, request};
use crate::backoff::{Backoff, jittered, random};
use crate::{Event, Key, Query, Watch};

/// How long a server is asked to serve one watch, at most; with jitter, so that not all end together.
const SERVED: Duration = Duration::from_secs(600);
/// A server that ends watches sooner than this is not asked again at once.
const SHORT: Duration = Duration::from_secs(1);
/// Servers send a bookmark about every minute.
const SILENCE: Duration = Duration::from_secs(150);

/// What is known of one object.
struct Known<K: Kind> {
    /// The last good form; `None` if there never was one.
    object: Option<Arc<Object<K>>>,
    /// Is it unusable as it is now?
    invalid: bool,
}

struct Follower<K: Kind> {
    client: Client,
    query: Query,
    events: mpsc::Sender<Event<K>>,
    known: BTreeMap<Key, Known<K>>,
    backoff: Backoff,
}

/// Why a watch, or what comes before it, ended.
enum End {
    /// The server served it for as long as it was asked to, or closed the connection.
    Served,
    /// The server has forgotten the version, or tells what cannot be understood.
    Expired,
    /// It failed.
    Failed(String),
    /// Nobody listens any more.
    Unheard,
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(status) if answer::is_expired(&status) => Self::Expired,
            other => Self::Failed(other.to_string()),
        }
    }
}

/// Starts a watch.
pub(super) fn start<K: Kind>(client: Client, query: Query) -> Watch<K> {
    let (events, watch) = Watch::channel();
    let follower = Follower { client, query, events, known: BTreeMap::new(), backoff: Backoff::default() };
    tokio::spawn(async move {
        let unheard = follower.events.clone();
        tokio::select! {
            () = follower.run() => {}
            () = unheard.closed() => {}
        }
    });
    watch
}

impl<K: Kind> Follower<K> {
    async fn run(mut self) {
        // Where to go on; `None` where everything must be listed first.
        let mut revision: Option<String> = None;
        loop {
            let begun = Instant::now();
            let end = match &mut revision {
                None => match self.list().await {
                    Ok(listed) => {
                        revision = Some(listed);
                        continue;
                    }
                    Err(end) => end,
                },
                Some(version) => match self.watch(version).await {
                    Ok(end) => end,
                    Err(failure) => failure.into(),
                },
            };
            match end {
                End::Served if begun.elapsed() < SHORT => tokio::time::sleep(jittered(SHORT, random())).await,
                End::Served => {}
                End::Expired => {
                    revision = None;
                    // A server that forgets at once must not be asked without a pause.
                    tokio::time::sleep(self.backoff.failed()).await;
                }
                End::Failed(reason) => self.wait(reason).await,
                End::Unheard => return,
            }
        }
    }

    /// Tells of a failure, and waits.
    async fn wait(&mut self, reason: String) {
        if !self.backoff.is_failing() {
            warn!(
                kind = K::KIND,
                reason, "the API server is not available: asking again, what is known stays in force"
            );
        }
        // Who does not listen now is told with the next event.
        let _told = self.events.send(Event::Unavailable { reason }).await;
        tokio::time::sleep(self.backoff.failed()).await;
    }

    fn succeeded(&mut self) {
        if self.backoff.is_failing() {
            info!(kind = K::KIND, "the API server is available again");
        }
        self.backoff.succeeded();
    }

    /// Lists everything, tells it, and returns the version to go on from.
    async fn list(&mut self) -> Result<String, End> {
        let Listed { objects, unusable, revision } = list::<K>(&self.client, &self.query).await?;
        let mut before = std::mem::take(&mut self.known);
        for object in objects {
            let known = Known { object: Some(Arc::new(object)), invalid: false };
            if let Some(object) = &known.object {
                self.known.insert(Key::from(&object.metadata), known);
            }
        }
        let mut told = Vec::new();
        for Unusable { key, reason } in unusable {
            // Its last good form stays in force.
            let object = before.remove(&key).and_then(|known| known.object);
            warn!(kind = K::KIND, %key, %reason, kept = object.is_some(), "object cannot be used");
            self.known.insert(key.clone(), Known { object, invalid: true });
            told.push(Event::Invalid { key, reason });
        }
        // Of those that went without a good form no list can tell.
        let gone =
            before.into_iter().filter(|(key, known)| known.object.is_none() && !self.known.contains_key(key));
        told.extend(gone.map(|(key, _)| Event::Gone { key }));
        for event in told {
            self.tell(event).await?;
        }
        let all = self.known.values().filter_map(|known| known.object.clone()).collect();
        self.tell(Event::Listed(all)).await?;
        Ok(revision)
    }

    /// Tells what changes after a version, which moves on.
    async fn watch(&mut self, version: &mut String) -> Result<End, Failure> {
        let seconds = jittered(SERVED, random()).as_secs();
        let call = request::watch::<K>(&self.query, version, seconds)?;
        let client = self.client.clone();
        let begun = tokio::time::timeout(PATIENCE, client.request_events::<Value>(call)).await;
        let stream = begun.map_err(|_| silent(PATIENCE))??;
        let mut stream = std::pin::pin!(stream);
        // A server may take a watch only to refuse it in the stream: it serves once it said something else, or was silent for a moment.
        let mut serves = false;
        loop {
            let next = match tokio::time::timeout(if serves { SILENCE } else { SHORT }, stream.next()).await {
                Ok(next) => next,
                Err(_) if serves => return Err(silent(SILENCE)),
                Err(_) => {
                    serves = true;
                    self.succeeded();
                    continue;
                }
            };
            let Some(event) = next.transpose()? else { return Ok(End::Served) };
            if !serves && !matches!(event, WatchEvent::Error(_)) {
                serves = true;
                self.succeeded();
            }
            let (value, gone) = match event {
                WatchEvent::Bookmark(bookmark) => {
                    *version = bookmark.metadata.resource_version;
                    continue;
                }
                WatchEvent::Error(status) => return Err(Failure::Refused(status)),
                WatchEvent::Added(value) | WatchEvent::Modified(value) => (value, false),
                WatchEvent::Deleted(value) => (value, true),
            };
            let Some(at) = value["metadata"]["resourceVersion"].as_str().map(str::to_owned) else {
                return Ok(End::Expired);
            };
            if let Some(event) = self.change(value, gone)
                && self.tell(event).await.is_err()
            {
                return Ok(End::Unheard);
            }
            *version = at;
        }
    }

    async fn tell(&self, event: Event<K>) -> Result<(), End> {
        self.events.send(event).await.map_err(|_| End::Unheard)
    }

    /// What a change means for whoever listens.
    fn change(&mut self, value: Value, gone: bool) -> Option<Event<K>> {
        let read = answer::object::<K>(value);
        if gone {
            let key = match &read {
                Ok(object) => Key::from(&object.metadata),
                Err(unusable) => unusable.key.clone(),
            };
            return self.known.remove(&key).map(|known| match known.object {
                Some(object) => Event::Deleted(object),
                None => Event::Gone { key },
            });
        }
        match read {
            Ok(object) => self.changed(Arc::new(object)),
            Err(Unusable { key, reason }) => {
                let object = self.known.remove(&key).and_then(|known| known.object);
                warn!(kind = K::KIND, %key, %reason, kept = object.is_some(), "object cannot be used");
                self.known.insert(key.clone(), Known { object, invalid: true });
                Some(Event::Invalid { key, reason })
            }
        }
    }

    /// A mended object is told even if it is as before: whoever shows the fault can take it back.
    fn changed(&mut self, object: Arc<Object<K>>) -> Option<Event<K>> {
        let key = Key::from(&object.metadata);
        let known = Known { object: Some(Arc::clone(&object)), invalid: false };
        let before = self.known.insert(key, known);
        let mended = before.as_ref().is_some_and(|known| known.invalid);
        match before.and_then(|known| known.object) {
            None => Some(Event::Added(object)),
            Some(before) if !mended && is_same(&before, &object) => None,
            Some(_) => Some(Event::Modified(object)),
        }
    }
}

/// Of a foreign object a change may be in what nobody here reads, as the heartbeats of a Node are.
fn is_same<K: Kind>(before: &Object<K>, after: &Object<K>) -> bool {
    if K::STRICT || before.metadata.resource_version == after.metadata.resource_version {
        return before == after;
    }
    let mut aligned = after.clone();
    aligned.metadata.resource_version.clone_from(&before.metadata.resource_version);
    *before == aligned
}

fn silent(time: Duration) -> Failure {
    Failure::Silent(format!("the API server said nothing for {} s", time.as_secs()))
}
