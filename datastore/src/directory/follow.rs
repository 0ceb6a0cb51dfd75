//! A watch of a kind: what is known, compared with what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cairn_api::{Kind, Object};
use tokio::sync::mpsc;
use tracing::warn;

use super::file::{self, Named, ReadError, Signature};
use super::hub::{Dirty, Hub, Mailbox};
use crate::{Event, Key, Query, Watch};

/// How often everything is looked at although nothing was told.
const SLOW_SCAN: Duration = Duration::from_secs(300);
/// How long a file may be away before its object counts as deleted: editors rename the old file first.
const GRACE: Duration = Duration::from_millis(50);
/// As `SLOW_SCAN`, while the directory cannot be followed.
const BLIND_SCAN: Duration = Duration::from_secs(5);

/// What is known of one file.
struct Known<K: Kind> {
    signature: Signature,
    /// The last good form; `None` if there never was one.
    object: Option<Arc<Object<K>>>,
    /// Is the file as it is now unusable?
    invalid: bool,
}

struct Follower<K: Kind> {
    root: Arc<PathBuf>,
    hub: Arc<Hub>,
    mailbox: Arc<Mailbox>,
    query: Query,
    known: BTreeMap<Key, Known<K>>,
    refused: Vec<(PathBuf, String)>,
    /// Objects whose file was not there when it was looked at last: an editor may be about to put it back.
    missing: BTreeSet<Key>,
    /// Is every directory followed?
    sighted: bool,
    /// Has the list been told?
    listed: bool,
}

/// Starts a watch.
pub(super) fn start<K: Kind>(root: Arc<PathBuf>, hub: Arc<Hub>, query: Query) -> Watch<K> {
    let (sender, watch) = Watch::channel();
    let mailbox = Arc::<Mailbox>::default();
    let follower = Follower {
        root,
        hub,
        mailbox,
        query,
        known: BTreeMap::new(),
        refused: Vec::new(),
        missing: BTreeSet::new(),
        sighted: false,
        listed: false,
    };
    tokio::spawn(run(follower, sender));
    watch
}

async fn run<K: Kind>(mut follower: Follower<K>, sender: mpsc::Sender<Event<K>>) {
    let (hub, mailbox) = (Arc::clone(&follower.hub), Arc::clone(&follower.mailbox));
    let mut dirty = Dirty { all: true, ..Dirty::default() };
    loop {
        let looked = tokio::task::spawn_blocking(move || {
            let events = follower.look(&dirty);
            (events, follower)
        });
        // It fails only when the runtime is ending.
        let Ok((events, back)) = looked.await else { break };
        follower = back;
        for event in events {
            if sender.send(event).await.is_err() {
                hub.forget(&mailbox);
                return;
            }
        }
        let pause = match (follower.missing.is_empty(), follower.sighted) {
            (false, _) => GRACE,
            (true, true) => SLOW_SCAN,
            (true, false) => BLIND_SCAN,
        };
        dirty = tokio::select! {
            dirty = mailbox.changed() => dirty,
            () = tokio::time::sleep(pause) => Dirty { all: pause != GRACE, ..Dirty::default() },
            () = sender.closed() => break,
        };
    }
    hub.forget(&mailbox);
}

impl<K: Kind> Follower<K> {
    fn look(&mut self, dirty: &Dirty) -> Vec<Event<K>> {
        let mut events = Vec::new();
        if dirty.all {
            match self.look_at_all(&mut events) {
                Ok(()) => {}
                Err(error) => {
                    self.sighted = false;
                    let reason = format!("{}: {error}", file::directory::<K>(&self.root).display());
                    events.push(Event::Unavailable { reason });
                }
            }
            return events;
        }
        for key in std::mem::take(&mut self.missing) {
            self.look_at(key, true, &mut events);
        }
        for (directory, file_name) in &dirty.names {
            let Some(namespace) = self.namespace(directory) else { continue };
            match file::object_name(file_name) {
                Named::Object(name) => self.look_at(Key::namespaced(namespace, name), false, &mut events),
                Named::Refused(reason) => {
                    let refused = (directory.join(file_name), reason);
                    let known = self.refused.iter().position(|known| *known == refused);
                    match (refused.0.exists(), known) {
                        (true, None) => {
                            refuse(&refused.0, &refused.1, &mut events);
                            self.refused.push(refused);
                        }
                        (false, Some(at)) => {
                            self.refused.swap_remove(at);
                            events.push(Event::Gone { key: key_of(&refused.0) });
                        }
                        (true, Some(_)) | (false, None) => {}
                    }
                }
                Named::Other => {}
            }
        }
        events
    }

    /// The namespace that a directory stands for; `None` for one that holds no objects.
    fn namespace(&self, directory: &Path) -> Option<String> {
        let below = directory.strip_prefix(file::directory::<K>(&self.root)).ok()?;
        let namespace = below.to_str()?;
        (K::NAMESPACED != namespace.is_empty()).then(|| namespace.to_owned())
    }

    fn look_at_all(&mut self, events: &mut Vec<Event<K>>) -> io::Result<()> {
        fs::create_dir_all(file::directory::<K>(&self.root))?;
        self.sighted = true;
        // Follow before looking: what changes in between is told twice and not never.
        self.follow(&file::directory::<K>(&self.root));
        let scan = file::scan::<K>(&self.root)?;
        for directory in &scan.directories {
            self.follow(directory);
        }
        let scan = if K::NAMESPACED { file::scan::<K>(&self.root)? } else { scan };
        let gone: Vec<Key> = self.known.keys().filter(|key| !scan.keys.contains_key(key)).cloned().collect();
        for key in gone.into_iter().chain(scan.keys.into_keys()) {
            let again = self.missing.remove(&key);
            self.look_at(key, again, events);
        }
        for (path, reason) in scan.refused.iter().filter(|refused| !self.refused.contains(refused)) {
            refuse(path, reason, events);
        }
        let gone = self.refused.iter().filter(|refused| !scan.refused.contains(refused));
        events.extend(gone.map(|(path, _)| Event::Gone { key: key_of(path) }));
        self.refused = scan.refused;
        if !self.listed {
            self.listed = true;
            self.list(events);
        }
        Ok(())
    }

    /// The first look tells one list instead of many additions.
    fn list(&self, events: &mut Vec<Event<K>>) {
        events.retain(|event| matches!(event, Event::Invalid { .. }));
        let objects = self.known.values().filter_map(|known| known.object.clone());
        events.push(Event::Listed(objects.filter(|object| self.query.selects(object)).collect()));
    }

    fn follow(&mut self, directory: &Path) {
        if let Err(error) = self.hub.follow(directory, &self.mailbox) {
            let every = BLIND_SCAN.as_secs();
            warn!(directory = %directory.display(), %error, every, "cannot be followed; looking every few seconds");
            self.sighted = false;
        }
    }

    /// Looks at one file; `again` if it was missing the last time.
    fn look_at(&mut self, key: Key, again: bool, events: &mut Vec<Event<K>>) {
        let Some(signature) = file::signature_of::<K>(&self.root, &key) else {
            return self.gone(key, again, events);
        };
        let known = self.known.get(&key);
        if known.is_some_and(|known| known.signature == signature) {
            return;
        }
        let mended = known.is_some_and(|known| known.invalid);
        let old = known.and_then(|known| known.object.clone());
        let reason = match file::read::<K>(&self.root, &key) {
            Ok(found) => {
                let new = Arc::new(found.object);
                let object = Some(Arc::clone(&new));
                self.known.insert(key, Known { signature, object, invalid: false });
                events.extend(self.change(old, new, mended));
                return;
            }
            Err(ReadError::Missing) => return self.gone(key, again, events),
            Err(ReadError::Invalid(reason)) => reason,
            Err(ReadError::Io(error)) => error.to_string(),
        };
        warn!(kind = K::KIND, %key, %reason, kept = old.is_some(), "object cannot be used");
        self.known.insert(key.clone(), Known { signature, object: old, invalid: true });
        events.push(Event::Invalid { key, reason });
    }

    fn gone(&mut self, key: Key, again: bool, events: &mut Vec<Event<K>>) {
        if !again && self.known.contains_key(&key) {
            self.missing.insert(key);
            return;
        }
        match self.known.remove(&key).map(|known| known.object) {
            Some(Some(object)) if self.query.selects(&object) => events.push(Event::Deleted(object)),
            Some(None) => events.push(Event::Gone { key }),
            Some(Some(_)) | None => {}
        }
    }

    /// A mended object is told even if it is as before: whoever shows the fault can take it back.
    fn change(&self, old: Option<Arc<Object<K>>>, new: Arc<Object<K>>, mended: bool) -> Option<Event<K>> {
        let old = old.filter(|old| self.query.selects(old));
        match (old, self.query.selects(&new)) {
            (None, true) => Some(Event::Added(new)),
            (Some(old), true) => (mended || old != new).then_some(Event::Modified(new)),
            (Some(old), false) => Some(Event::Deleted(old)),
            (None, false) => None,
        }
    }
}

fn refuse<K: Kind>(path: &Path, reason: &str, events: &mut Vec<Event<K>>) {
    warn!(kind = K::KIND, file = %path.display(), %reason, "file refused");
    events.push(Event::Invalid { key: key_of(path), reason: format!("{}: {reason}", path.display()) });
}

/// Under which name a refused file is told of: it is no object's.
fn key_of(path: &Path) -> Key {
    Key::named(path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default())
}
