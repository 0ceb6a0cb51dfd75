//! GC: the attachments of a network that the runtime no longer knows.

use std::collections::HashSet;

use cairn_datastore::Datastore;
use felix_api::{Attachment, Code, Del, Gc, Refusal};
use tracing::info;

use super::server::Server;
use super::wiring::WiringError;

impl<D: Datastore + Send + Sync + 'static> Server<D> {
    /// Removes what is stale, as much of it as can be, and then tells what could not be removed.
    pub(super) async fn gc(&self, gc: &Gc) -> Result<(), Refusal> {
        let mut errors = Vec::new();
        for attachment in self.stale(gc).await? {
            let del = Del { attachment, network: gc.network.clone() };
            match self.del(&del, None).await {
                Ok(()) => info!(attachment = %del.attachment, network = gc.network, "removed by GC"),
                Err(refusal) => errors.push(format!("{}: {refusal}", del.attachment)),
            }
        }
        if errors.is_empty() {
            return Ok(());
        }
        let msg = format!("{} stale attachments of network {} remain", errors.len(), gc.network);
        Err(Refusal::new(Code::KERNEL, msg).because(errors.join("; ")))
    }

    async fn stale(&self, gc: &Gc) -> Result<Vec<Attachment>, Refusal> {
        let ours = self.journal.all().into_iter().filter(|record| record.network == gc.network);
        Ok(match &gc.valid {
            Some(valid) => {
                let valid: HashSet<&Attachment> = valid.iter().collect();
                ours.filter(|record| !valid.contains(&record.attachment))
                    .map(|record| record.attachment.clone())
                    .collect()
            }
            None => {
                let links = self.wiring.links().await.map_err(WiringError::from)?;
                ours.filter(|record| !links.contains(&record.interface))
                    .map(|record| record.attachment.clone())
                    .collect()
            }
        })
    }
}
