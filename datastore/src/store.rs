use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;

use cairn_api::{Kind, Metadata, Object};

use crate::{StoreError, Watch};

/// A store of objects.
///
/// Rules of every store:
/// - An object handed out has a `resourceVersion`, opaque, that changes with each write.
/// - A write succeeds only against the version it names; of two writers with the same version exactly one wins.
/// - An object handed out was valid; one that is not is an error or an [`crate::Event::Invalid`], never half an object.
/// - [`StoreError::Unavailable`] leaves open whether a write took place. Who gets it reads again before acting on a guess.
/// - Futures may be dropped at any await; then, too, a write may or may not have taken place.
///
/// Paging, bookmarks, back-off and expired versions are the store's own business and not seen here.
pub trait Datastore: Send + Sync + 'static {
    /// Reads one object.
    ///
    /// Errors: `NotFound`, `Invalid`, `Unavailable`.
    fn get<K: Kind>(&self, key: &Key) -> impl Future<Output = Result<Object<K>, StoreError>> + Send;

    /// Reads all objects that a query selects, in order of key. What is invalid is left out and logged.
    ///
    /// Errors: `Unavailable`.
    fn list<K: Kind>(&self, query: &Query) -> impl Future<Output = Result<List<K>, StoreError>> + Send;

    /// Follows all objects that a query selects. Never ends and never fails: see [`crate::Event`].
    fn watch<K: Kind>(&self, query: Query) -> Watch<K>;

    /// Creates an object; its `resourceVersion` and `uid` are set by the store. Its status is kept.
    ///
    /// Errors: `AlreadyExists`, `Invalid`, `Unavailable`.
    fn create<K: Kind>(
        &self,
        object: &Object<K>,
    ) -> impl Future<Output = Result<Object<K>, StoreError>> + Send;

    /// Replaces metadata and spec if the stored version is the object's; the stored status stays.
    ///
    /// An object that is being deleted goes with its last finalizer.
    ///
    /// Errors: `NotFound`, `Conflict`, `Invalid`, `Unavailable`.
    fn update<K: Kind>(
        &self,
        object: &Object<K>,
    ) -> impl Future<Output = Result<Object<K>, StoreError>> + Send;

    /// Replaces the status if the stored version is the object's; the rest stays.
    ///
    /// Errors: `NotFound`, `Conflict`, `Invalid`, `Unavailable`.
    fn update_status<K: Kind>(
        &self,
        object: &Object<K>,
    ) -> impl Future<Output = Result<Object<K>, StoreError>> + Send;

    /// Deletes an object, or marks it as being deleted while it has finalizers.
    ///
    /// Errors: `NotFound`, `Conflict` where the precondition does not hold, `Unavailable`.
    fn delete<K: Kind>(
        &self,
        key: &Key,
        precondition: &Precondition,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// The name of an object among those of its kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Empty where the kind is not namespaced.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl Key {
    /// The key of an object without namespace.
    pub fn named(name: impl Into<String>) -> Self {
        Self { namespace: String::new(), name: name.into() }
    }

    /// The key of an object in a namespace.
    pub fn namespaced(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl From<&Metadata> for Key {
    fn from(metadata: &Metadata) -> Self {
        Self::namespaced(&metadata.namespace, &metadata.name)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            return f.write_str(&self.name);
        }
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Which objects of a kind; all conditions must hold. Default: all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query {
    /// Only those in this namespace.
    pub namespace: Option<String>,
    /// Only those with these labels (`labelSelector` with `=`).
    pub labels: BTreeMap<String, String>,
    /// Only those with these fields (`fieldSelector` with `=`), by path; see [`Kind::field`].
    pub fields: BTreeMap<String, String>,
}

impl Query {
    /// All objects.
    pub fn all() -> Self {
        Self::default()
    }

    /// Those with a label.
    #[must_use]
    pub fn with_label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }

    /// Those with a field.
    #[must_use]
    pub fn with_field(mut self, path: impl Into<String>, value: impl Into<String>) -> Self {
        self.fields.insert(path.into(), value.into());
        self
    }

    /// Does it select an object?
    pub fn selects<K: Kind>(&self, object: &Object<K>) -> bool {
        self.namespace.as_ref().is_none_or(|namespace| *namespace == object.metadata.namespace)
            && self.labels.iter().all(|(key, value)| object.metadata.labels.get(key) == Some(value))
            && self.fields.iter().all(|(path, value)| K::field(object, path) == Some(value))
    }
}

/// What a list found.
#[derive(Debug, Clone, PartialEq)]
pub struct List<K: Kind> {
    /// The objects, in order of key.
    pub objects: Vec<Object<K>>,
    /// The state of the store that they are of. Opaque.
    pub revision: String,
}

/// What must hold for a deletion. Default: nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Precondition {
    /// The stored version is this one.
    pub resource_version: Option<String>,
    /// The stored object is this one and not another of the same name.
    pub uid: Option<String>,
}

impl Precondition {
    /// The object is still as it was read.
    pub fn unchanged(metadata: &Metadata) -> Self {
        Self { resource_version: Some(metadata.resource_version.clone()), uid: None }
    }

    /// Does it hold for what is stored?
    pub fn holds(&self, stored: &Metadata) -> bool {
        self.resource_version.as_ref().is_none_or(|version| *version == stored.resource_version)
            && self.uid.as_ref().is_none_or(|uid| *uid == stored.uid)
    }
}

/// How often [`attempts`] tries.
const ATTEMPTS: usize = 5;

/// Does something again while others write what it would write: a read and a compare-and-swap.
///
/// # Errors
/// What the last of five attempts said; anything but a `Conflict` at once.
pub async fn attempts<T>(work: impl AsyncFn() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let mut last = work().await;
    for _ in 1..ATTEMPTS {
        match last {
            Err(StoreError::Conflict { .. }) => last = work().await,
            done => return done,
        }
    }
    last
}
