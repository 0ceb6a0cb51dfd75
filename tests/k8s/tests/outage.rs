//! The API server goes, forgets, and comes back.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use cairn_api::kinds::IpReservation;
use cairn_api::{Metadata, Object};
use cairn_datastore::contract::next;
use cairn_datastore::{Datastore, Event, Key, Precondition, Query, Watch};

use crate::cluster::Cluster;

fn reservation(name: &str) -> Object<IpReservation> {
    Object::new(Metadata::named(name), IpReservation::default())
}

/// The next event that says what the store holds.
async fn told(watch: &mut Watch<IpReservation>) -> Result<Event<IpReservation>> {
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        let event = tokio::time::timeout_at(deadline.into(), watch.next()).await?;
        match event {
            Some(Event::Unavailable { .. }) => {}
            Some(event) => return Ok(event),
            None => anyhow::bail!("the watch ended"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kubernetes API server"]
async fn a_watch_outlives_its_server_and_misses_nothing() -> Result<()> {
    let mut cluster = Cluster::start().await?;
    let store = cluster.store.clone();
    store.create(&reservation("before")).await?;
    let mut watch = store.watch::<IpReservation>(Query::all());
    assert_eq!(next(&mut watch).await, "[before]");

    cluster.server.interrupt();
    let reason = next(&mut watch).await;
    ensure!(
        reason.contains("refused") || reason.contains("closed") || reason.contains("connect"),
        "{reason}"
    );
    let asked = Instant::now();
    let error = store.get::<IpReservation>(&Key::named("before")).await.unwrap_err();
    ensure!(error.is_temporary() && asked.elapsed() < Duration::from_secs(10), "{error}");
    let error = store.create(&reservation("during")).await.unwrap_err();
    ensure!(error.is_temporary(), "{error}");

    let (mut cluster, resumed) = tokio::task::spawn_blocking(move || {
        let resumed = cluster.server.resume();
        (cluster, resumed)
    })
    .await?;
    resumed?;
    store.create(&reservation("after")).await?;
    // Resumed at its version, or listed anew where the new server does not reach back so far: nothing is missed.
    match told(&mut watch).await? {
        Event::Added(object) => assert_eq!(object.name(), "after"),
        Event::Listed(_) => {
            let known = store.list::<IpReservation>(&Query::all()).await?.objects.len();
            assert_eq!(known, 2);
        }
        other => anyhow::bail!("{other:?}"),
    }
    store.delete::<IpReservation>(&Key::named("before"), &Precondition::default()).await?;
    loop {
        match told(&mut watch).await? {
            Event::Deleted(object) if object.name() == "before" => break,
            Event::Listed(all) if all.iter().all(|object| object.name() != "before") => break,
            Event::Added(_) | Event::Listed(_) => {}
            other => anyhow::bail!("{other:?}"),
        }
    }
    cluster.server.interrupt();
    Ok(())
}
