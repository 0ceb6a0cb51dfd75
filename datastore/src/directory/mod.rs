//! Objects as YAML files: `<root>/<plural>/[<namespace>/]<name>.yaml`.
//!
//! Any number of processes may share a directory, and people may edit its files.
//! - A write goes to a temporary file, is synced, and renamed over the old one, all under a lock (`flock`) per kind: a
//!   reader sees the old object or the new one, whenever a writer dies.
//! - The lock file holds a counter, so versions of a kind only grow, also over a deletion.
//! - `resourceVersion` is that counter with a digest of the file: an edit by hand changes it even though an editor leaves
//!   the counter alone. See `file`.
//! - A file that cannot be used is reported and its last good form stays in force. See [`follow`].
//! - Idle costs nothing: inotify wakes who watches; see [`hub`]. A slow scan mends what inotify missed.

mod file;
mod follow;
mod hub;
mod lock;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_api::{Kind, Object};
use tracing::warn;

use self::file::ReadError;
use self::hub::Hub;
use self::lock::KindLock;
use crate::memory::{check_valid, merge_spec, merge_status};
use crate::{Datastore, Key, List, Precondition, Query, StoreError, Watch};

/// A directory of objects. Clones share their file watches.
#[derive(Debug, Clone)]
pub struct DirectoryStore {
    root: Arc<PathBuf>,
    hub: Arc<Hub>,
}

impl DirectoryStore {
    /// A store in a directory, which is made when it is first written or watched.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: Arc::new(root.into()), hub: Arc::default() }
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Runs file work where it may block.
    async fn blocking<K: Kind, T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let root = Arc::clone(&self.root);
        let done = tokio::task::spawn_blocking(move || work(&root)).await;
        done.unwrap_or_else(|error| Err(unavailable::<K>(&error)))
    }
}

fn unavailable<K: Kind>(error: &impl ToString) -> StoreError {
    StoreError::Unavailable { kind: K::KIND, reason: error.to_string() }
}

fn read<K: Kind>(root: &Path, key: &Key) -> Result<Object<K>, StoreError> {
    let kind = K::KIND;
    file::read(root, key).map(|read| read.object).map_err(|error| match error {
        ReadError::Missing => StoreError::NotFound { kind, key: key.clone() },
        ReadError::Invalid(reason) => StoreError::Invalid { kind, key: key.clone(), reason },
        ReadError::Io(error) => unavailable::<K>(&error),
    })
}

/// Reads, changes and writes one object under the lock of its kind.
fn replace<K: Kind>(
    root: &Path,
    object: &Object<K>,
    merge: impl FnOnce(Object<K>, &Object<K>) -> Object<K>,
) -> Result<Object<K>, StoreError> {
    let key = Key::from(&object.metadata);
    let mut lock = KindLock::take::<K>(root, &key).map_err(|error| unavailable::<K>(&error))?;
    let stored = read::<K>(root, &key)?;
    let (wanted, found) = (&object.metadata.resource_version, &stored.metadata.resource_version);
    if wanted != found {
        let (wanted, found) = (wanted.clone(), found.clone());
        return Err(StoreError::Conflict { kind: K::KIND, key, wanted, found });
    }
    let last = file::counter(found);
    let merged = merge(stored, object);
    if merged.metadata.deletion_timestamp.is_some() && merged.metadata.finalizers.is_empty() {
        lock.next_version(last).map_err(|error| unavailable::<K>(&error))?;
        file::remove::<K>(root, &key).map_err(|error| unavailable::<K>(&error))?;
        return Ok(merged);
    }
    write(root, &key, merged, last, &mut lock)
}

/// Replaces the status of one object. In a file that only people have written so far everything else stays as they wrote it.
fn replace_status<K: Kind>(root: &Path, object: &Object<K>) -> Result<Object<K>, StoreError> {
    let key = Key::from(&object.metadata);
    if file::counter(&object.metadata.resource_version) > 0 {
        return replace(root, object, merge_status);
    }
    let lock = KindLock::take::<K>(root, &key).map_err(|error| unavailable::<K>(&error))?;
    let stored = read::<K>(root, &key)?;
    let unchanged = stored.metadata.resource_version == object.metadata.resource_version;
    let mut merged = merge_status(stored, object);
    let text = file::text::<K>(root, &key).map_err(|error| unavailable::<K>(&error))?;
    match cairn_api::load::with_status(&text, &merged).filter(|_| unchanged) {
        Some(text) => {
            file::write::<K>(root, &key, &text).map_err(|error| unavailable::<K>(&error))?;
            merged.metadata.resource_version = file::version(0, text.as_bytes());
            Ok(merged)
        }
        None => {
            drop(lock);
            replace(root, object, merge_status)
        }
    }
}

fn write<K: Kind>(
    root: &Path,
    key: &Key,
    mut object: Object<K>,
    last: u64,
    lock: &mut KindLock,
) -> Result<Object<K>, StoreError> {
    let version = lock.next_version(last).map_err(|error| unavailable::<K>(&error))?;
    object.metadata.resource_version = version.to_string();
    let text = cairn_api::load::to_yaml(&object).map_err(|reason| StoreError::Invalid {
        kind: K::KIND,
        key: key.clone(),
        reason,
    })?;
    file::write::<K>(root, key, &text).map_err(|error| unavailable::<K>(&error))?;
    object.metadata.resource_version = file::version(version, text.as_bytes());
    Ok(object)
}

fn create<K: Kind>(root: &Path, mut object: Object<K>) -> Result<Object<K>, StoreError> {
    let key = Key::from(&object.metadata);
    let mut lock = KindLock::take::<K>(root, &key).map_err(|error| unavailable::<K>(&error))?;
    // What exists but cannot be read is still there: it is somebody's to mend, not ours to overwrite.
    if file::exists::<K>(root, &key).map_err(|error| unavailable::<K>(&error))? {
        return Err(StoreError::AlreadyExists { kind: K::KIND, key });
    }
    object.metadata.uid = file::new_uid().map_err(|error| unavailable::<K>(&error))?;
    object.metadata.creation_timestamp = Some(std::time::SystemTime::now().into());
    object.metadata.generation = 1;
    write(root, &key, object, 0, &mut lock)
}

fn delete<K: Kind>(root: &Path, key: &Key, precondition: &Precondition) -> Result<(), StoreError> {
    let mut lock = KindLock::take::<K>(root, key).map_err(|error| unavailable::<K>(&error))?;
    let mut stored = read::<K>(root, key)?;
    let found = stored.metadata.resource_version.clone();
    if !precondition.holds(&stored.metadata) {
        let wanted = precondition.resource_version.clone().unwrap_or_default();
        return Err(StoreError::Conflict { kind: K::KIND, key: key.clone(), wanted, found });
    }
    let last = file::counter(&found);
    if stored.metadata.finalizers.is_empty() {
        lock.next_version(last).map_err(|error| unavailable::<K>(&error))?;
        return file::remove::<K>(root, key).map_err(|error| unavailable::<K>(&error));
    }
    if stored.metadata.deletion_timestamp.is_none() {
        stored.metadata.deletion_timestamp = Some(std::time::SystemTime::now().into());
        write(root, key, stored, last, &mut lock)?;
    }
    Ok(())
}

fn list<K: Kind>(root: &Path, query: &Query) -> Result<List<K>, StoreError> {
    let revision = lock::revision::<K>(root).to_string();
    let found = file::scan::<K>(root).map_err(|error| unavailable::<K>(&error))?;
    for (path, reason) in &found.refused {
        warn!(file = %path.display(), %reason, "file left out");
    }
    let mut objects = Vec::with_capacity(found.keys.len());
    for key in found.keys.keys() {
        match file::read::<K>(root, key) {
            Ok(read) if query.selects(&read.object) => objects.push(read.object),
            Ok(_) | Err(ReadError::Missing) => {}
            Err(ReadError::Invalid(reason)) => warn!(kind = K::KIND, %key, %reason, "object left out"),
            Err(ReadError::Io(error)) => return Err(unavailable::<K>(&error)),
        }
    }
    Ok(List { objects, revision })
}

impl Datastore for DirectoryStore {
    async fn get<K: Kind>(&self, key: &Key) -> Result<Object<K>, StoreError> {
        let key = key.clone();
        self.blocking::<K, _>(move |root| read(root, &key)).await
    }

    async fn list<K: Kind>(&self, query: &Query) -> Result<List<K>, StoreError> {
        let query = query.clone();
        self.blocking::<K, _>(move |root| list(root, &query)).await
    }

    fn watch<K: Kind>(&self, query: Query) -> Watch<K> {
        follow::start(Arc::clone(&self.root), Arc::clone(&self.hub), query)
    }

    async fn create<K: Kind>(&self, object: &Object<K>) -> Result<Object<K>, StoreError> {
        check_valid(object)?;
        let object = object.clone();
        self.blocking::<K, _>(move |root| create(root, object)).await
    }

    async fn update<K: Kind>(&self, object: &Object<K>) -> Result<Object<K>, StoreError> {
        check_valid(object)?;
        let object = object.clone();
        self.blocking::<K, _>(move |root| replace(root, &object, merge_spec)).await
    }

    async fn update_status<K: Kind>(&self, object: &Object<K>) -> Result<Object<K>, StoreError> {
        check_valid(object)?;
        let object = object.clone();
        self.blocking::<K, _>(move |root| replace_status(root, &object)).await
    }

    async fn delete<K: Kind>(&self, key: &Key, precondition: &Precondition) -> Result<(), StoreError> {
        let (key, precondition) = (key.clone(), precondition.clone());
        self.blocking::<K, _>(move |root| delete::<K>(root, &key, &precondition)).await
    }
}

#[cfg(test)]
mod tests;
