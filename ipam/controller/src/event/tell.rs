//! Looks at the nodes' reports and at what is said of objects, and writes the events that follow.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cairn_api::core::{Event, EventSeries, EventType, Node};
use cairn_api::kinds::NodeStatus;
use cairn_api::{Kind, Metadata, Object, Timestamp};
use cairn_daemon::timer::at;
use cairn_datastore::{Backoff, Datastore, Key, Known, StoreError};
use cairn_verdict::Spoken;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::matter::{self, By, Matter};
use super::recorder::{Note, Recorder, Step};
use crate::health::Status;

/// Where events of objects that are in no namespace belong.
pub const NAMESPACE: &str = "default";
/// The program, as events name it.
const CONTROLLER: &str = "cairn.network/controller";
/// Most bytes of a note, and of a word, that a server takes.
const NOTE: usize = 1024;
const WORD: usize = 128;
/// Most bytes of the object's name in that of its event.
const NAME: usize = 200;
/// Changes that come together are looked at together.
const SETTLE: Duration = Duration::from_secs(1);

/// Tells for as long as it is polled. Ends only if the store is closed.
pub async fn tell<D: Datastore>(
    store: &D,
    identity: &str,
    mut spoken: watch::Receiver<Arc<Spoken>>,
    mut heard: watch::Receiver<Known<NodeStatus>>,
    status: &Status,
) {
    let begin = Instant::now();
    let (mut recorder, mut backoff) = (Recorder::default(), Backoff::default());
    // When all is looked at, and when something is to be written.
    let (mut look, mut write): (Option<Instant>, Option<Instant>) = (None, None);
    loop {
        tokio::select! {
            changed = heard.changed() => {
                if changed.is_err() {
                    return;
                }
                look = look.or_else(|| Some(Instant::now() + SETTLE));
            }
            changed = spoken.changed() => {
                if changed.is_err() {
                    return;
                }
                look = look.or_else(|| Some(Instant::now() + SETTLE));
            }
            () = at(look) => {
                look = None;
                if follow(&mut recorder, begin.elapsed(), &mut spoken, &mut heard) {
                    status.matters(recorder.len());
                }
            }
            () = at(write) => {
                let mut notes = recorder.due(begin.elapsed()).into_iter();
                while let Some(note) = notes.next() {
                    let Err(error) = put(store, identity, &note, SystemTime::now().into()).await else {
                        backoff.succeeded();
                        status.event(true);
                        continue;
                    };
                    status.event(false);
                    complain(&note, &error, backoff.is_failing());
                    // What the server refuses it refuses the next time as well.
                    if error.is_temporary() {
                        let again = begin.elapsed() + backoff.failed();
                        recorder.failed(note, again);
                        // It would fail with the others, too.
                        notes.by_ref().for_each(|note| recorder.failed(note, again));
                    }
                }
            }
        }
        write = recorder.wake(begin.elapsed()).map(|wake| begin + wake);
    }
}

/// Looks at all that is wrong; not before everything was told once, when all would look new, or gone.
fn follow(
    recorder: &mut Recorder,
    now: Duration,
    spoken: &mut watch::Receiver<Arc<Spoken>>,
    heard: &mut watch::Receiver<Known<NodeStatus>>,
) -> bool {
    let (spoken, heard) = (Arc::clone(&spoken.borrow_and_update()), heard.borrow_and_update());
    let is_told = heard.listed && !spoken.nodes.is_empty();
    if is_told {
        recorder.follow(now, matter::all(&spoken, &heard.objects), &matter::present(&spoken));
    }
    is_told
}

/// Once, and not again while it goes on.
fn complain(note: &Note, error: &StoreError, is_known: bool) {
    let object = format!("{}/{}", note.matter.regarding.kind, note.matter.regarding.name);
    let reason = &note.matter.reason;
    match (error.is_temporary(), is_known) {
        (false, _) => warn!(object, reason, %error, "an event is refused"),
        (true, false) => warn!(object, reason, %error, "events are not written: trying again"),
        (true, true) => debug!(object, reason, %error, "events are not written"),
    }
}

/// Writes what follows from a note: a new event, or that it was told again.
async fn put(store: &impl Datastore, identity: &str, note: &Note, now: Timestamp) -> Result<(), StoreError> {
    let event = event(note, identity, now);
    let key = Key::from(&event.metadata);
    if note.step == Step::Lasts {
        match again(store, &key, now).await {
            // An hour has passed without it.
            Err(StoreError::NotFound { .. }) => {}
            done => return done,
        }
    }
    match store.create(&event).await {
        Ok(_) => {
            let (object, reason) = (&event.spec.regarding.name, &event.spec.reason);
            debug!(object, reason, "told: {}", event.spec.note);
            Ok(())
        }
        Err(StoreError::AlreadyExists { .. }) if note.step == Step::Found => Ok(()),
        Err(StoreError::AlreadyExists { .. }) => match again(store, &key, now).await {
            // It has gone in this moment: it will be told when it lasts.
            Err(StoreError::NotFound { .. }) => Ok(()),
            done => done,
        },
        Err(error) => Err(error),
    }
}

/// Says that an event was told once more. Somebody else who says so at the same time says it for both.
async fn again(store: &impl Datastore, key: &Key, now: Timestamp) -> Result<(), StoreError> {
    let mut event: Object<Event> = store.get(key).await?;
    let count = event.spec.series.as_ref().map_or(1, |series| series.count);
    event.spec.series =
        Some(EventSeries { count: count.saturating_add(1).max(2), last_observed_time: Some(now) });
    match store.update(&event).await {
        Ok(_) | Err(StoreError::Conflict { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

fn event(note: &Note, identity: &str, now: Timestamp) -> Object<Event> {
    let matter = &note.matter;
    let over = note.step == Step::Ends;
    let text = text(matter, &note.by);
    let (kind, reason, text) = match over {
        false => (EventType::Warning, matter.reason.as_str(), text),
        true => (EventType::Normal, "Resolved", format!("no longer {}: {}", matter.reason, matter.message)),
    };
    let event = Event {
        event_time: Some(now),
        reporting_controller: CONTROLLER.to_owned(),
        reporting_instance: cut(identity, WORD),
        action: cut(&matter.about, WORD),
        reason: cut(reason, WORD),
        regarding: matter.regarding.clone(),
        note: cut(&text, NOTE),
        kind,
        series: None,
    };
    Object::new(Metadata::namespaced(NAMESPACE, name(matter, over)), event)
}

fn text(matter: &Matter, by: &By) -> String {
    let detail = if by.detail.is_empty() { String::new() } else { format!(": {}", by.detail) };
    let by = match (by.first.as_str(), by.more) {
        ("", _) => String::new(),
        (first, _) if matter.regarding.kind == Node::KIND && first == matter.regarding.name => String::new(),
        (first, 0) => format!(" (says Node/{first})"),
        (first, more) => format!(" (say Node/{first} and {more} more)"),
    };
    format!("{}{detail}{by}", matter.message)
}

/// The same for the same matter of the same object, so that what comes again is the same event, told again.
fn name(matter: &Matter, over: bool) -> String {
    let regarding = &matter.regarding;
    let over = if over { "over" } else { "" };
    let words = [
        regarding.kind.as_str(),
        &regarding.name,
        &regarding.uid,
        &matter.about,
        &matter.reason,
        &matter.message,
        over,
    ];
    // FNV-1a, with a byte between words that none of them has.
    let hash = words.join("\0").bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let object = cut(&regarding.name, NAME);
    format!("{}.{hash:016x}", object.trim_end_matches(['.', '-']))
}

/// At most so many bytes, and whole characters.
fn cut(text: &str, most: usize) -> String {
    text[..text.floor_char_boundary(most)].to_owned()
}

#[cfg(test)]
mod tests;
