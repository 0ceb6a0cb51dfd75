//! A daemon that has its configuration from its socket.

use anyhow::{Context, Result};
use bgpd_api::config::{self, OriginatedRoute};

use crate::world::{Daemon, World};

#[tokio::test]
async fn a_daemon_without_a_file_waits_for_its_first_document() -> Result<()> {
    let world = World::new()?;
    let mut daemon = Daemon::start(&world, 1, None).await?;
    assert_eq!(daemon.client.status().await?.speaker, None);
    let text = world.document(1, "originate: [{prefix: 10.1.0.0/24}]\n");
    let document = config::load(&text, "test")?;
    let planned = daemon.client.apply_document(text, true).await?;
    assert_eq!(daemon.client.status().await?.speaker, None, "a dry run changes nothing");
    assert_eq!(daemon.client.apply(&document).await?, planned);
    daemon.has(&["10.1.0.0/24"]).await?;
    assert_eq!(
        daemon.client.apply(&document).await?,
        Vec::<String>::new(),
        "the same document changes nothing"
    );
    assert_eq!(daemon.client.status().await?.listening.len(), 1);
    Ok(())
}

#[tokio::test]
async fn routes_that_come_before_the_first_document_wait_for_it() -> Result<()> {
    let world = World::new()?;
    let mut daemon = Daemon::start(&world, 1, None).await?;
    let route = |text: &str| Ok::<_, anyhow::Error>(OriginatedRoute::new(text.parse()?));
    let client = &mut daemon.client;
    client.originate("x", [route("10.9.0.0/24")?], false).await?;
    client.originate("x", [route("10.2.0.0/24")?, route("10.3.0.0/24")?], true).await?;
    client.originate("x", [route("10.4.0.0/24")?], false).await?;
    client.originate("y", [route("10.5.0.0/24")?], false).await?;
    client.withdraw("x", ["10.3.0.0/24".parse()?]).await?;
    client.apply(&config::load(&world.document(1, "originate: [{prefix: 10.1.0.0/24}]\n"), "test")?).await?;
    daemon.has(&["10.1.0.0/24", "10.2.0.0/24", "10.4.0.0/24", "10.5.0.0/24"]).await
}

#[tokio::test]
async fn a_refused_document_says_where_and_why() -> Result<()> {
    let world = World::new()?;
    let mut daemon = Daemon::start(&world, 1, None).await?;
    let text = "routerId: 10.0.0.1\nlocalAs: 0\ntimers: {holdTime: 1}\n".to_owned();
    let message = daemon.client.apply_document(text, false).await.unwrap_err().to_string();
    assert!(message.contains("Apply:2:10: localAs: 0: is reserved"), "{message}");
    assert!(message.contains("Apply:3:20: timers.holdTime: 1: must be 0 (off) or 3 to 65535"), "{message}");
    Ok(())
}

#[tokio::test]
async fn a_daemon_with_a_file_refuses_other_documents() -> Result<()> {
    let world = World::new()?;
    let mut daemon = world.start(1, "").await?;
    let document = config::load(&world.document(1, ""), "test")?;
    let message = daemon.client.apply(&document).await.unwrap_err().to_string();
    assert!(message.contains("1.yaml: change that file"), "{message}");
    Ok(())
}

#[tokio::test]
async fn the_configuration_is_shown_without_passwords() -> Result<()> {
    let world = World::new()?;
    let rest = format!("neighbors:\n{}", world.neighbor(1, 2, ", password: s3cret"));
    let mut daemon = world.start(1, &rest).await?;
    let (document, source) = daemon.client.config().await?;
    assert!(document.contains("<hidden>") && !document.contains("s3cret"), "{document}");
    assert!(source.ends_with("1.yaml"));
    Ok(())
}

#[tokio::test]
async fn peers_are_watched_through_changes_of_the_configuration() -> Result<()> {
    use bgpd_api::peer::PeerEvent;
    let world = World::new()?;
    let mut daemon = Daemon::start(&world, 1, None).await?;
    let mut stream = daemon.client.watch_peers().await?;
    assert_eq!(stream.next().await?, Some(PeerEvent::InSync));
    let with =
        config::load(&world.document(1, &format!("neighbors:\n{}", world.neighbor(1, 2, ""))), "test")?;
    daemon.client.apply(&with).await?;
    let Some(PeerEvent::Changed(peer)) = stream.next().await? else { anyhow::bail!("the neighbour is new") };
    assert_eq!(peer.address, world.address(2));
    daemon.client.apply(&config::load(&world.document(1, ""), "test")?).await?;
    loop {
        match stream.next().await?.context("the stream goes on")? {
            PeerEvent::Removed(address) => {
                assert_eq!(address, world.address(2));
                return Ok(());
            }
            PeerEvent::Changed(_) | PeerEvent::InSync => {}
        }
    }
}
