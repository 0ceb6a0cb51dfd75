//! Cairn's objects into the store. What somebody else made stays as it is.

use cairn_api::core::{Namespace, Node};
use cairn_api::{Kind, Object, annotation};
use cairn_datastore::{Datastore, Key, StoreError};
use serde_json::json;

use super::calico::{Annotated, Annotations, CALICO, Translated};
use crate::Error;
use crate::output::Output;

/// So often an object is read again that others write meanwhile.
const ATTEMPTS: usize = 5;

/// What was done to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    Created,
    Updated,
    Unchanged,
    /// There is one that this command did not make, and that says something else.
    Kept,
    /// There is no Node or Namespace of this name to annotate.
    Missing,
}

impl Done {
    const fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
            Self::Kept => "left as it is: another one is there, which was not made of Calico's objects",
            Self::Missing => "not there: it gets its annotations once it is, by the same command",
        }
    }
}

/// Puts all objects into the store, in order.
pub(super) async fn all(
    store: &impl Datastore,
    objects: &[Translated],
    output: &mut Output,
) -> Result<(), Error> {
    let (mut kept, mut missing) = (0usize, 0usize);
    for object in objects {
        let (kind, name, done) = match object {
            Translated::Reservation(object) => put(store, object).await?,
            Translated::Ipam(object) => put(store, object).await?,
            Translated::Filter(object) => put(store, object).await?,
            Translated::Configuration(object) => put(store, object).await?,
            Translated::NodeConfiguration(object) => put(store, object).await?,
            Translated::Peer(object) => put(store, object).await?,
            Translated::Pool(object) => put(store, object).await?,
            Translated::Annotations(annotations) => match annotations.on {
                Annotated::Node => annotate::<Node>(store, annotations).await?,
                Annotated::Namespace => annotate::<Namespace>(store, annotations).await?,
            },
        };
        kept += usize::from(done == Done::Kept);
        missing += usize::from(done == Done::Missing);
        if output.is_json() {
            output.json(&json!({ "kind": kind, "name": name, "done": done.word() }))?;
        } else {
            output.line(format_args!("{kind} {name}: {}", done.word()))?;
        }
    }
    match (kept, missing) {
        (0, 0) => Ok(()),
        (kept, missing) => Err(Error::Answer(format!(
            "objects that are there already and say something else: {kept}; that are to be annotated and are not there: {missing}"
        ))),
    }
}

type Put<'a> = (&'static str, &'a str, Done);

async fn put<'a, K: Kind>(store: &impl Datastore, object: &'a Object<K>) -> Result<Put<'a>, StoreError> {
    let done = |done| (K::KIND, object.name(), done);
    match store.create(object).await {
        Ok(_) => return Ok(done(Done::Created)),
        Err(StoreError::AlreadyExists { .. }) => {}
        Err(error) => return Err(error),
    }
    attempts(async || {
        let mut stored: Object<K> = store.get(&Key::from(&object.metadata)).await?;
        if stored.spec == object.spec {
            return Ok(done(Done::Unchanged));
        }
        let made = stored.metadata.annotations.get(annotation::MIGRATED_FROM);
        if made.is_none_or(|product| product != CALICO) {
            return Ok(done(Done::Kept));
        }
        stored.spec.clone_from(&object.spec);
        store.update(&stored).await?;
        Ok(done(Done::Updated))
    })
    .await
}

async fn annotate<'a, K: Kind>(
    store: &impl Datastore,
    annotations: &'a Annotations,
) -> Result<Put<'a>, StoreError> {
    attempts(async || {
        let mut stored: Object<K> = match store.get(&Key::named(&annotations.name)).await {
            Err(StoreError::NotFound { .. }) => {
                return Ok((K::KIND, annotations.name.as_str(), Done::Missing));
            }
            found => found?,
        };
        let before = stored.metadata.annotations.clone();
        stored.metadata.annotations.extend(annotations.annotations.clone());
        let done = if before == stored.metadata.annotations {
            Done::Unchanged
        } else {
            store.update(&stored).await?;
            Done::Updated
        };
        Ok((K::KIND, annotations.name.as_str(), done))
    })
    .await
}

/// Does something again while others write what it wrote.
async fn attempts<T>(work: impl AsyncFn() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let mut last = work().await;
    for _ in 1..ATTEMPTS {
        match last {
            Err(StoreError::Conflict { .. }) => last = work().await,
            done => return done,
        }
    }
    last
}
