use std::sync::Arc;
use std::time::SystemTime;

use cairn_api::kinds::{BgpPeer, NodeStatus};
use cairn_api::{Draft, Object};
use cairn_daemon::timer::at;
use cairn_datastore::{Backoff, Datastore, Known, Query, StoreError};
use cairn_verdict::Spoken;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::count::count;
use super::turn::{SETTLE, Turns, sooner};

/// Keeps what is said true for as long as it is polled. Ends only if the store is closed.
pub async fn keep<D: Datastore>(
    store: &D,
    mut spoken: watch::Receiver<Arc<Spoken>>,
    mut heard: watch::Receiver<Known<NodeStatus>>,
) {
    let mut peers = store.watch::<Draft<BgpPeer>>(Query::all());
    let (mut turns, mut backoff) = (Turns::default(), Backoff::default());
    let mut look: Option<Instant> = None;
    loop {
        tokio::select! {
            event = peers.next() => {
                let Some(event) = event else { return };
                turns.peers.take(event);
                look = sooner(look, Instant::now() + SETTLE);
            }
            changed = spoken.changed() => {
                if changed.is_err() {
                    return;
                }
                look = sooner(look, Instant::now() + SETTLE);
            }
            changed = heard.changed() => {
                if changed.is_err() {
                    return;
                }
                look = sooner(look, Instant::now() + SETTLE);
            }
            () = at(look) => {
                let (due, again) = due_now(&mut turns, &mut spoken, &mut heard);
                look = again;
                let mut failed = false;
                for object in due {
                    failed |= !write(store, &object, failed || backoff.is_failing()).await;
                }
                if failed {
                    look = sooner(look, Instant::now() + SETTLE + backoff.failed());
                } else {
                    backoff.succeeded();
                }
            }
        }
    }
}

/// Nothing before everything was told once: until then sessions seem to be missing.
fn due_now(
    turns: &mut Turns,
    spoken: &mut watch::Receiver<Arc<Spoken>>,
    heard: &mut watch::Receiver<Known<NodeStatus>>,
) -> (Vec<Object<Draft<BgpPeer>>>, Option<Instant>) {
    let (spoken, heard) = (Arc::clone(&spoken.borrow_and_update()), heard.borrow_and_update());
    if !turns.peers.listed || !heard.listed || spoken.nodes.is_empty() {
        return (Vec::new(), None);
    }
    turns.due(&count(&spoken, &heard.objects), Instant::now(), SystemTime::now().into())
}

/// False if it is to be tried again. A conflict is no failure: its writer is told of, and what is missing then is written after that.
/// `quiet`: it was so before, and has been told of.
async fn write<D: Datastore>(store: &D, object: &Object<Draft<BgpPeer>>, quiet: bool) -> bool {
    let name = object.name();
    match store.update_status(object).await {
        Ok(_) => debug!(name, sessions = ?object.sessions(), "the sessions of the BGPPeer are counted"),
        Err(StoreError::Conflict { .. } | StoreError::NotFound { .. }) => {}
        // To ask again would change nothing; with the object it changes.
        Err(error) if !error.is_temporary() => warn!(name, %error, "the sessions of the BGPPeer are refused"),
        Err(error) => {
            if quiet {
                debug!(name, %error, "the sessions of the BGPPeer are not written");
            } else {
                warn!(name, %error, "the sessions of BGPPeers are not written; they are tried again");
            }
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cairn_api::kinds::SessionReport;
    use cairn_api::{ConditionStatus, Metadata};
    use cairn_datastore::{Fault, Key, MemoryStore};
    use cairn_verdict::judge::NodeFacts;

    use super::super::ESTABLISHED;
    use super::super::count::tests::{peer, report, session};
    use super::*;

    async fn said(store: &MemoryStore) -> Option<(ConditionStatus, u64, u64)> {
        let object = store.get::<Draft<BgpPeer>>(&Key::named("tor")).await.unwrap();
        let found = object.conditions().iter().find(|condition| condition.kind == ESTABLISHED)?;
        let counts = object.sessions()?;
        Some((found.status, counts.wanted, counts.established))
    }

    async fn tell(store: &MemoryStore, sessions: Vec<SessionReport>) {
        let fresh = report("n1", &["tor"], sessions);
        let object = match store.get::<NodeStatus>(&Key::named("n1")).await {
            Ok(object) => object,
            Err(_) => store.create(&Object::new(Metadata::named("n1"), NodeStatus::default())).await.unwrap(),
        };
        store.update_status(&Object { status: fresh.status, ..object }).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_nodes_report_is_in_the_status_and_in_rest_nothing_is_written() {
        let store = MemoryStore::new();
        store.create(&peer()).await.unwrap();
        tell(&store, vec![session("tor", "Established", "")]).await;
        store.set_hook(|operation| if operation.verb == "update_status" { Fault::Lost } else { Fault::None });
        let nodes = [("n1".to_owned(), NodeFacts::default())].into();
        let (_judge, spoken) = watch::channel(Arc::new(Spoken { nodes, ..Spoken::default() }));
        let (reports, heard) = watch::channel(Known::default());
        let (followed, kept) = (store.clone(), store.clone());
        tokio::spawn(async move { crate::report::follow(&followed, &reports).await });
        tokio::spawn(async move { keep(&kept, spoken, heard).await });
        let pass = || tokio::time::sleep(Duration::from_secs(120));
        pass().await;
        assert_eq!(said(&store).await, None, "the server was away");
        store.set_hook(|_| Fault::None);
        pass().await;
        assert_eq!(said(&store).await, Some((ConditionStatus::True, 1, 1)));
        let version = async || {
            let object = store.get::<Draft<BgpPeer>>(&Key::named("tor")).await.unwrap();
            object.metadata.resource_version
        };
        let before = version().await;
        pass().await;
        assert_eq!(version().await, before);
        tell(&store, vec![session("tor", "Active", "hold timer expired")]).await;
        pass().await;
        assert_eq!(said(&store).await, Some((ConditionStatus::False, 1, 0)));
    }
}
