//! CHECK: is everything as ADD left it?

use std::fs::File;
use std::sync::Arc;

use cairn_datastore::Datastore;
use felix_api::{Check, Code, Refusal};

use super::add::namespace;
use super::journal::Record;
use super::server::{Server, engine};

impl<D: Datastore + Send + Sync + 'static> Server<D> {
    /// Compares record, `prevResult`, both ends of the pair, addresses, routes on both sides and the firewall's elements.
    pub(super) async fn check(&self, check: &Check, netns: Option<File>) -> Result<(), Refusal> {
        let (netns, netns_id) = namespace(&check.netns, netns)?;
        let _guard = self.locks.lock(&check.attachment).await;
        let Some(record) = self.journal.get(&check.attachment) else {
            return Err(Refusal::new(Code::UNKNOWN_CONTAINER, format!("no attachment {}", check.attachment)));
        };
        let failed = |what: String| Refusal::new(Code::CHECK_FAILED, format!("{}: {what}", check.attachment));
        if record.netns_id != netns_id {
            return Err(failed(format!(
                "{} is another namespace than the one of ADD, {}",
                check.netns, record.netns
            )));
        }
        if let Some(expected) = &check.expected
            && let Some(missing) = record.addresses.iter().find(|address| !expected.contains(address))
        {
            return Err(failed(format!("prevResult does not have {missing}")));
        }
        self.wiring.check(Arc::clone(&record), netns).await?;
        self.wiring.check_node(Arc::clone(&record)).await?;
        self.check_engine(&record).await
    }

    /// What the engine does not know it would neither keep nor repair.
    async fn check_engine(&self, record: &Record) -> Result<(), Refusal> {
        let endpoints = self.endpoints.list().await.map_err(|error| engine(&error))?;
        if endpoints.contains(&record.endpoint()) {
            return Ok(());
        }
        let msg = format!("{}: interface {} is not programmed", record.attachment, record.interface);
        Err(Refusal::new(Code::CHECK_FAILED, msg).because("routes and firewall do not know it"))
    }
}
