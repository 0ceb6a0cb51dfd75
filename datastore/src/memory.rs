//! A store in memory, for tests and simulations.
//!
//! A hook sees each operation before it happens and decides its [`Fault`]. The store yields once before and once after it
//! acts, so that a scheduler that polls futures in an order of its own reaches every interleaving.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use cairn_api::{Kind, Object, Timestamp};
use tokio::sync::mpsc;

use crate::{Datastore, Event, Key, List, Precondition, Query, StoreError, Watch};

/// What is about to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// `get`, `list`, `create`, `update`, `update_status`, `delete`.
    pub verb: &'static str,
    /// The kind.
    pub kind: &'static str,
    /// The object; `None` for a list.
    pub key: Option<Key>,
}

/// What goes wrong with an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// It does not happen, and the caller hears `Unavailable`.
    Lost,
    /// It happens, and the caller hears `Unavailable`.
    AnswerLost,
    /// A write meets a version that has moved on.
    Conflict,
}

type Hook = Box<dyn Fn(&Operation) -> Fault + Send + Sync>;
type Stored = Arc<dyn Any + Send + Sync>;

/// A store in memory. Clones share their content.
#[derive(Clone, Default)]
pub struct MemoryStore {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    hook: Mutex<Option<Arc<Hook>>>,
}

#[derive(Default)]
struct State {
    revision: u64,
    objects: BTreeMap<(&'static str, Key), Stored>,
    watchers: Vec<Watcher>,
}

/// Tells one watch of a change; false once nobody listens any more.
type Watcher = Box<dyn Fn(&'static str, Option<&Stored>, Option<&Stored>) -> bool + Send>;

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("revision", &self.state().revision).finish_non_exhaustive()
    }
}

impl MemoryStore {
    /// An empty store without faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the hook that decides the fault of each operation.
    pub fn set_hook(&self, hook: impl Fn(&Operation) -> Fault + Send + Sync + 'static) {
        *self.inner.hook.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(Box::new(hook)));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs an operation with its faults and its two yields.
    async fn run<K: Kind, T>(
        &self,
        verb: &'static str,
        key: Option<&Key>,
        act: impl FnOnce(&mut State) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        tokio::task::yield_now().await;
        let operation = Operation { verb, kind: K::KIND, key: key.cloned() };
        let hook = self.inner.hook.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let fault = hook.map_or(Fault::None, |hook| hook(&operation));
        let unavailable = || StoreError::Unavailable { kind: K::KIND, reason: format!("{fault:?}") };
        let done = match (fault, key) {
            (Fault::Lost, _) => return Err(unavailable()),
            (Fault::Conflict, Some(key)) if verb != "get" && verb != "create" => {
                let (wanted, found) = (String::new(), String::new());
                Err(StoreError::Conflict { kind: K::KIND, key: key.clone(), wanted, found })
            }
            _ => act(&mut self.state()),
        };
        tokio::task::yield_now().await;
        if fault == Fault::AnswerLost { Err(unavailable()) } else { done }
    }
}

impl State {
    fn find<K: Kind>(&self, key: &Key) -> Result<&Object<K>, StoreError> {
        self.objects
            .get(&(K::PLURAL, key.clone()))
            .and_then(|stored| stored.downcast_ref())
            .ok_or_else(|| StoreError::NotFound { kind: K::KIND, key: key.clone() })
    }

    fn put<K: Kind>(&mut self, mut object: Object<K>) -> Object<K> {
        self.revision += 1;
        object.metadata.resource_version = self.revision.to_string();
        let key = Key::from(&object.metadata);
        let stored: Stored = Arc::new(object.clone());
        let old = self.objects.insert((K::PLURAL, key), Arc::clone(&stored));
        self.tell::<K>(old.as_ref(), Some(&stored));
        object
    }

    fn remove<K: Kind>(&mut self, key: &Key) {
        self.revision += 1;
        let old = self.objects.remove(&(K::PLURAL, key.clone()));
        self.tell::<K>(old.as_ref(), None);
    }

    fn tell<K: Kind>(&mut self, old: Option<&Stored>, new: Option<&Stored>) {
        self.watchers.retain(|watcher| watcher(K::PLURAL, old, new));
    }

    fn replace<K: Kind>(
        &mut self,
        object: &Object<K>,
        merge: impl FnOnce(Object<K>, &Object<K>) -> Object<K>,
    ) -> Result<Object<K>, StoreError> {
        let key = Key::from(&object.metadata);
        let stored = self.find::<K>(&key)?.clone();
        check_version::<K>(&object.metadata.resource_version, &stored, &key)?;
        let merged = merge(stored, object);
        if merged.metadata.deletion_timestamp.is_some() && merged.metadata.finalizers.is_empty() {
            self.remove::<K>(&key);
            return Ok(merged);
        }
        Ok(self.put(merged))
    }
}

fn check_version<K: Kind>(wanted: &str, stored: &Object<K>, key: &Key) -> Result<(), StoreError> {
    let found = &stored.metadata.resource_version;
    if wanted == found {
        return Ok(());
    }
    let (wanted, found) = (wanted.to_owned(), found.clone());
    Err(StoreError::Conflict { kind: K::KIND, key: key.clone(), wanted, found })
}

pub(crate) fn check_valid<K: Kind>(object: &Object<K>) -> Result<(), StoreError> {
    object.validate().map_err(|faults| StoreError::Invalid {
        kind: K::KIND,
        key: Key::from(&object.metadata),
        reason: faults.to_string(),
    })
}

/// Metadata and spec of the new one, with what only the store decides of the old one.
pub(crate) fn merge_spec<K: Kind>(stored: Object<K>, new: &Object<K>) -> Object<K> {
    let mut merged = new.clone();
    merged.status = stored.status;
    merged.metadata.uid = stored.metadata.uid;
    merged.metadata.creation_timestamp = stored.metadata.creation_timestamp;
    merged.metadata.deletion_timestamp = stored.metadata.deletion_timestamp;
    merged.metadata.generation = stored.metadata.generation + u64::from(stored.spec != new.spec);
    merged
}

/// The old one with the status of the new one.
pub(crate) fn merge_status<K: Kind>(mut stored: Object<K>, new: &Object<K>) -> Object<K> {
    stored.status.clone_from(&new.status);
    stored
}

impl Datastore for MemoryStore {
    async fn get<K: Kind>(&self, key: &Key) -> Result<Object<K>, StoreError> {
        self.run::<K, _>("get", Some(key), |state| state.find(key).cloned()).await
    }

    async fn list<K: Kind>(&self, query: &Query) -> Result<List<K>, StoreError> {
        self.run::<K, _>("list", None, |state| {
            let of_kind = state.objects.iter().filter(|((plural, _), _)| *plural == K::PLURAL);
            let objects = of_kind.filter_map(|(_, stored)| stored.downcast_ref::<Object<K>>());
            let objects = objects.filter(|object| query.selects(object)).cloned().collect();
            Ok(List { objects, revision: state.revision.to_string() })
        })
        .await
    }

    fn watch<K: Kind>(&self, query: Query) -> Watch<K> {
        let (sender, watch) = Watch::channel();
        let (queue, mut queued) = mpsc::channel::<Event<K>>(1 << 16);
        let mut state = self.state();
        let of_kind = state.objects.iter().filter(|((plural, _), _)| *plural == K::PLURAL);
        let objects = of_kind.filter_map(|(_, stored)| Arc::clone(stored).downcast::<Object<K>>().ok());
        let listed = objects.filter(|object| query.selects(object)).collect();
        let _the_queue_is_new = queue.try_send(Event::Listed(listed));
        state.watchers.push(Box::new(move |plural, old, new| {
            if plural == K::PLURAL
                && let Some(event) = change::<K>(&query, old, new)
            {
                return queue.try_send(event).is_ok();
            }
            !queue.is_closed()
        }));
        drop(state);
        let store: Weak<Inner> = Arc::downgrade(&self.inner);
        tokio::spawn(async move {
            while let Some(event) = queued.recv().await {
                if sender.send(event).await.is_err() || store.strong_count() == 0 {
                    return;
                }
            }
        });
        watch
    }

    async fn create<K: Kind>(&self, object: &Object<K>) -> Result<Object<K>, StoreError> {
        check_valid(object)?;
        let key = Key::from(&object.metadata);
        self.run::<K, _>("create", Some(&key), |state| {
            if state.find::<K>(&key).is_ok() {
                return Err(StoreError::AlreadyExists { kind: K::KIND, key: key.clone() });
            }
            let mut object = object.clone();
            object.metadata.uid = format!("memory-{}", state.revision + 1);
            object.metadata.generation = 1;
            Ok(state.put(object))
        })
        .await
    }

    async fn update<K: Kind>(&self, object: &Object<K>) -> Result<Object<K>, StoreError> {
        check_valid(object)?;
        let key = Key::from(&object.metadata);
        self.run::<K, _>("update", Some(&key), |state| state.replace(object, merge_spec)).await
    }

    async fn update_status<K: Kind>(&self, object: &Object<K>) -> Result<Object<K>, StoreError> {
        let key = Key::from(&object.metadata);
        self.run::<K, _>("update_status", Some(&key), |state| state.replace(object, merge_status)).await
    }

    async fn delete<K: Kind>(&self, key: &Key, precondition: &Precondition) -> Result<(), StoreError> {
        self.run::<K, _>("delete", Some(key), |state| {
            let stored = state.find::<K>(key)?.clone();
            if !precondition.holds(&stored.metadata) {
                let wanted = precondition.resource_version.clone().unwrap_or_default();
                let found = stored.metadata.resource_version;
                return Err(StoreError::Conflict { kind: K::KIND, key: key.clone(), wanted, found });
            }
            if stored.metadata.finalizers.is_empty() {
                state.remove::<K>(key);
            } else if stored.metadata.deletion_timestamp.is_none() {
                let mut marked = stored;
                marked.metadata.deletion_timestamp = Some(Timestamp::default());
                state.put(marked);
            }
            Ok(())
        })
        .await
    }
}

fn change<K: Kind>(query: &Query, old: Option<&Stored>, new: Option<&Stored>) -> Option<Event<K>> {
    let selected = |stored: Option<&Stored>| {
        let object = Arc::clone(stored?).downcast::<Object<K>>().ok()?;
        query.selects(&object).then_some(object)
    };
    match (selected(old), selected(new)) {
        (None, Some(new)) => Some(Event::Added(new)),
        (Some(_), Some(new)) => Some(Event::Modified(new)),
        (Some(old), None) => Some(Event::Deleted(old)),
        (None, None) => None,
    }
}
