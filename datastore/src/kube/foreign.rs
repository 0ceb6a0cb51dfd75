//! Kinds that Cairn has no types for, such as those of the pod network that a cluster comes from. Read as they are, and never written.

use kube::Client;
use serde_json::Value;

use super::{Failure, KubeStore, MOST_LISTS, answer, ask, request};
use crate::StoreError;

/// A kind by its place in the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Foreign {
    /// Group and version, or the version alone for what Kubernetes calls its core.
    pub api_version: &'static str,
    /// The plural in paths, lower case.
    pub plural: &'static str,
}

impl KubeStore {
    /// All objects of a kind, of all namespaces, each with its `apiVersion` and `kind`. `None` where the server has no such kind.
    ///
    /// # Errors
    /// `Unavailable`, also where the server does not allow it.
    pub async fn list_foreign(&self, kind: Foreign) -> Result<Option<Vec<Value>>, StoreError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match pages(&self.client, kind).await {
                Ok(items) => return Ok(Some(items)),
                Err(Failure::Refused(status)) if status.code == 404 => return Ok(None),
                // Pages that expired while they were read are read again from the first on.
                Err(Failure::Refused(status)) if answer::is_expired(&status) && tries < MOST_LISTS => {}
                Err(failure) => {
                    let reason = failure.to_string();
                    return Err(StoreError::Unavailable { kind: kind.plural, reason });
                }
            }
        }
    }
}

async fn pages(client: &Client, kind: Foreign) -> Result<Vec<Value>, Failure> {
    let mut all = Vec::new();
    let mut continued = String::new();
    loop {
        let value = ask(client, request::list_foreign(kind, &continued)).await?;
        let (items, next) = answer::foreign_page(value).map_err(Failure::Silent)?;
        all.extend(items);
        if next.is_empty() {
            return Ok(all);
        }
        continued = next;
    }
}
