//! DEL: what is in the underlay, engine, interface, addresses, record. Each step is done whether or not there is anything to do.

use std::fs::File;

use cairn_datastore::Datastore;
use felix_api::{Code, Del, Refusal};
use tracing::info;

use super::name::host_ifname;
use super::server::{Server, engine, handle_of};
use super::wiring::Moment;

impl<D: Datastore + Send + Sync + 'static> Server<D> {
    /// Disconnects a container. Nothing there is no error.
    ///
    /// The interface is out of use when this returns: no route leads to it, and the firewall drops what comes from it. It is deleted within
    /// milliseconds, together with others, for the kernel waits for all CPUs at each deletion.
    pub(super) async fn del(&self, del: &Del, netns: Option<File>) -> Result<(), Refusal> {
        let _guard = self.locks.lock(&del.attachment).await;
        let record = self.journal.get(&del.attachment);
        let interface = host_ifname(&del.attachment);
        if let Some(record) = &record {
            self.detach(record, netns).await?;
        }
        self.endpoints.remove(&interface).await.map_err(|error| engine(&error))?;
        if let Some(record) = &record {
            self.wiring.end_flows(record, Moment::Removed).await;
        }
        self.wiring.doom(&interface).await?;
        let io = |error: &dyn std::fmt::Display| Refusal::new(Code::IO, error.to_string());
        match record {
            Some(record) => {
                self.forget(&record)?;
                info!(attachment = %del.attachment, owner = record.owner(), "DEL");
            }
            None => drop(
                self.ipam.release(&handle_of(&del.network, &del.attachment)).map_err(|error| io(&error))?,
            ),
        }
        Ok(())
    }
}
