//! Objects behind a Kubernetes API server: our own kinds as custom resources, and the few of Kubernetes that Cairn reads.
//!
//! - Lists come in pages and are never older than any write that was answered; watches resume where they ended, and list anew only where
//!   the server has forgotten that place. See [`follow`].
//! - Compare-and-swap is the server's own, by `resourceVersion`.
//! - What is not known of a foreign object is written back as it was. See [`unknown`].
//! - Every request ends: a server that does not answer is one that is not available.
//!
//! Rooms: [`connect`] finds the server; [`request`], [`answer`] and [`unknown`] are pure; this one, [`follow`] and [`foreign`] speak.

mod answer;
mod connect;
mod follow;
mod foreign;
mod request;
mod unknown;

use std::any::TypeId;
use std::fmt;
use std::time::Duration;

use cairn_api::{Kind, NoStatus, Object};
use kube::Client;
use serde_json::Value;
use tracing::warn;

use self::answer::{Unusable, unavailable};
use self::request::Call;
use crate::memory::check_valid;
use crate::{Datastore, Key, List, Precondition, Query, StoreError, Watch};

pub use connect::{Access, ConnectError};
pub use foreign::Foreign;

/// The longest that an answer may take. Half a minute is what a server itself gives the store behind it.
const PATIENCE: Duration = Duration::from_secs(30);
/// A list whose pages expire while they are read begins anew, at most so often.
const MOST_LISTS: usize = 3;

/// The objects behind an API server. Clones share their connections.
#[derive(Clone)]
pub struct KubeStore {
    client: Client,
}

impl fmt::Debug for KubeStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KubeStore")
    }
}

/// Why there is no answer.
enum Failure {
    /// The server refuses.
    Refused(Box<kube::core::Status>),
    /// It does not answer, or not in JSON.
    Silent(String),
}

impl Failure {
    fn for_object<K: Kind>(self, key: &Key, wanted: &str) -> StoreError {
        match self {
            Self::Refused(status) => answer::refused::<K>(&status, key, wanted),
            Self::Silent(reason) => unavailable::<K>(&reason),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(status) => f.write_str(&answer::said(status)),
            Self::Silent(reason) => f.write_str(reason),
        }
    }
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::Refused(status),
            other => Self::Silent(chain(&other)),
        }
    }
}

impl From<http::Error> for Failure {
    fn from(error: http::Error) -> Self {
        Self::Silent(error.to_string())
    }
}

/// An error with what caused it, for it is the innermost that says why a connection failed.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut inner = error.source();
    while let Some(cause) = inner {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        inner = cause.source();
    }
    text
}

/// Asks, and waits for the answer. `call` is what could be made of the request.
async fn ask(client: &Client, call: Result<Call, http::Error>) -> Result<Value, Failure> {
    // As text, for the client's own reader logs what it cannot read, and that may be a Secret.
    let asked = client.request_text(call?);
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(text) => serde_json::from_str(&text?)
            .map_err(|error| Failure::Silent(format!("the API server answers no JSON: {error}"))),
        Err(_) => Err(Failure::Silent(format!("no answer within {} s", PATIENCE.as_secs()))),
    }
}

/// What a list found.
struct Listed<K: Kind> {
    objects: Vec<Object<K>>,
    unusable: Vec<Unusable>,
    revision: String,
}

/// Reads all pages. Pages that expire in between are read again from the first on.
async fn list<K: Kind>(client: &Client, query: &Query) -> Result<Listed<K>, Failure> {
    let mut tries = 0;
    loop {
        tries += 1;
        match pages(client, query).await {
            Err(Failure::Refused(status)) if answer::is_expired(&status) && tries < MOST_LISTS => {}
            done => return done,
        }
    }
}

async fn pages<K: Kind>(client: &Client, query: &Query) -> Result<Listed<K>, Failure> {
    let mut listed = Listed { objects: Vec::new(), unusable: Vec::new(), revision: String::new() };
    let mut continued = String::new();
    loop {
        let value = ask(client, request::list::<K>(query, &continued)).await?;
        let page = answer::page(value).map_err(Failure::Silent)?;
        for item in page.items {
            match answer::object(item) {
                Ok(object) => listed.objects.push(object),
                Err(unusable) => listed.unusable.push(unusable),
            }
        }
        (listed.revision, continued) = (page.revision, page.continued);
        if continued.is_empty() {
            listed.objects.sort_by_key(|object| Key::from(&object.metadata));
            return Ok(listed);
        }
    }
}

impl KubeStore {
    /// A store behind an API server, which need not be there yet. To be called inside of a runtime.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect(access: &Access) -> Result<Self, ConnectError> {
        connect::client(access).await.map(Self::of)
    }

    /// A store behind a client.
    const fn of(client: Client) -> Self {
        Self { client }
    }

    /// Asks for one object.
    async fn one<K: Kind>(
        &self,
        call: Result<Call, http::Error>,
        key: &Key,
        wanted: &str,
    ) -> Result<Object<K>, StoreError> {
        let value = ask(&self.client, call).await.map_err(|failure| failure.for_object::<K>(key, wanted))?;
        answer::object(value).map_err(|unusable| StoreError::Invalid {
            kind: K::KIND,
            key: key.clone(),
            reason: unusable.reason,
        })
    }

    /// Replaces an object, or its status, if it is still of the version that it names.
    async fn replace<K: Kind>(&self, object: &Object<K>, status: bool) -> Result<Object<K>, StoreError> {
        check_valid(object)?;
        let key = possible(Key::from(&object.metadata), K::KIND, request::is_possible::<K>)?;
        let wanted = &object.metadata.resource_version;
        if wanted.is_empty() {
            // To the server that means any version; to us, one that was never read.
            let (wanted, found) = (String::new(), "unknown".to_owned());
            return Err(StoreError::Conflict { kind: K::KIND, key, wanted, found });
        }
        let body = if K::STRICT { value(object)? } else { self.whole(object, &key).await? };
        self.one(request::replace::<K>(&key, status, &body), &key, wanted).await
    }

    /// The whole of a foreign object, with what changed in the part that we know.
    async fn whole<K: Kind>(&self, object: &Object<K>, key: &Key) -> Result<Value, StoreError> {
        let wanted = &object.metadata.resource_version;
        // The metadata alone would do where only that is known, yet the rest must be written back.
        let call = request::get_whole::<K>(key);
        let mut whole =
            ask(&self.client, call).await.map_err(|failure| failure.for_object::<K>(key, wanted))?;
        let stored: Object<K> = answer::object(whole.clone()).map_err(|unusable| StoreError::Invalid {
            kind: K::KIND,
            key: key.clone(),
            reason: unusable.reason,
        })?;
        let found = &stored.metadata.resource_version;
        if found != wanted {
            let (wanted, found) = (wanted.clone(), found.clone());
            return Err(StoreError::Conflict { kind: K::KIND, key: key.clone(), wanted, found });
        }
        unknown::carry_over(&mut whole, &value(&stored)?, &value(object)?);
        Ok(whole)
    }
}

/// An object as JSON.
fn value<K: Kind>(object: &Object<K>) -> Result<Value, StoreError> {
    serde_json::to_value(object).map_err(|error| StoreError::Invalid {
        kind: K::KIND,
        key: Key::from(&object.metadata),
        reason: error.to_string(),
    })
}

fn possible(key: Key, kind: &'static str, is_possible: fn(&Key) -> bool) -> Result<Key, StoreError> {
    if is_possible(&key) { Ok(key) } else { Err(StoreError::NotFound { kind, key }) }
}

impl Datastore for KubeStore {
    async fn get<K: Kind>(&self, key: &Key) -> Result<Object<K>, StoreError> {
        let key = possible(key.clone(), K::KIND, request::is_possible::<K>)?;
        self.one(request::get::<K>(&key), &key, "").await
    }

    async fn list<K: Kind>(&self, query: &Query) -> Result<List<K>, StoreError> {
        let listed =
            list::<K>(&self.client, query).await.map_err(|failure| unavailable::<K>(&failure.to_string()))?;
        for Unusable { key, reason } in &listed.unusable {
            warn!(kind = K::KIND, %key, %reason, "object left out");
        }
        Ok(List { objects: listed.objects, revision: listed.revision })
    }

    fn watch<K: Kind>(&self, query: Query) -> Watch<K> {
        follow::start(self.client.clone(), query)
    }

    async fn create<K: Kind>(&self, object: &Object<K>) -> Result<Object<K>, StoreError> {
        check_valid(object)?;
        let key = Key::from(&object.metadata);
        let mut created: Object<K> = self.one(request::create(object, value(object)?), &key, "").await?;
        // Where the status is a resource of its own, a server leaves out what a new object says of it.
        if object.status.is_some() && TypeId::of::<K::Status>() != TypeId::of::<NoStatus>() {
            created.status.clone_from(&object.status);
            created = self.update_status(&created).await?;
        }
        Ok(created)
    }

    async fn update<K: Kind>(&self, object: &Object<K>) -> Result<Object<K>, StoreError> {
        self.replace(object, false).await
    }

    async fn update_status<K: Kind>(&self, object: &Object<K>) -> Result<Object<K>, StoreError> {
        self.replace(object, true).await
    }

    async fn delete<K: Kind>(&self, key: &Key, precondition: &Precondition) -> Result<(), StoreError> {
        let key = possible(key.clone(), K::KIND, request::is_possible::<K>)?;
        let wanted = precondition.resource_version.as_deref().unwrap_or_default();
        let asked = ask(&self.client, request::delete::<K>(&key, precondition)).await;
        asked.map(drop).map_err(|failure| failure.for_object::<K>(&key, wanted))
    }
}

#[cfg(test)]
mod tests;
