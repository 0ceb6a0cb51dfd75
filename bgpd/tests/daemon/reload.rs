//! A configuration file that changes.

use anyhow::{Result, ensure};

use crate::world::{World, eventually};

#[tokio::test]
async fn a_changed_file_touches_only_what_changed() -> Result<()> {
    let world = World::new()?;
    let neighbors = |hosts: &[u8]| hosts.iter().map(|host| world.neighbor(1, *host, "")).collect::<String>();
    let mut first = world.start(1, &format!("neighbors:\n{}", neighbors(&[2, 3]))).await?;
    let mut second = world.start(2, &format!("neighbors:\n{}", world.neighbor(2, 1, ""))).await?;
    let _third = world.start(3, &format!("neighbors:\n{}", world.neighbor(3, 1, ""))).await?;
    for host in [2, 3] {
        first.established(world.address(host)).await?;
    }
    let before = second.peer(world.address(1)).await?;
    // The third goes, a prefix and a filter that nobody uses come.
    let rest = format!(
        "  unused: {{rules: []}}\nneighbors:\n{}originate: [{{prefix: 10.1.0.0/24}}]\n",
        neighbors(&[2])
    );
    world.write("1.yaml", &world.document(1, &rest))?;
    second.has(&["10.1.0.0/24"]).await?;
    let after = second.peer(world.address(1)).await?;
    assert_eq!(after.established_count, 1);
    assert!(after.state_for >= before.state_for);
    assert_eq!(
        after.counters.updates_received,
        before.counters.updates_received + 1,
        "one route, one UPDATE"
    );
    assert!(first.peer(world.address(3)).await.is_err(), "the third is no neighbour any more");
    Ok(())
}

#[tokio::test]
async fn an_invalid_file_leaves_everything_as_it_was() -> Result<()> {
    let world = World::new()?;
    let mut first = world.start(1, "originate: [{prefix: 10.1.0.0/24}]\n").await?;
    world.write("1.yaml", &world.document(1, "neighbours: []\n"))?;
    first.logs("configuration refused: the old one stays in force").await?;
    first.logs("1.yaml:8:1: unknown field `neighbours`").await?;
    first.has(&["10.1.0.0/24"]).await?;
    world.write("1.yaml", &world.document(1, "originate: [{prefix: 10.2.0.0/24}]\n"))?;
    first.has(&["10.2.0.0/24"]).await
}

#[tokio::test]
async fn sighup_reads_the_file_again() -> Result<()> {
    let world = World::new()?;
    let first = world.start(1, "").await?;
    first.signal("HUP")?;
    first.logs("configuration read: nothing changed").await
}

#[tokio::test]
async fn a_document_that_cannot_be_run_changes_nothing() -> Result<()> {
    let world = World::new()?;
    let taken = std::net::TcpListener::bind((world.address(9), world.port))?;
    let mut first = world.start(1, "originate: [{prefix: 10.1.0.0/24}]\n").await?;
    let text =
        world.document(1, "").replace(&format!("[{}]", world.address(1)), &format!("[{}]", world.address(9)));
    world.write("1.yaml", &text)?;
    first.logs("is another BGP daemon running?").await?;
    drop(taken);
    eventually("the old listener is still there", async || {
        std::net::TcpStream::connect((world.address(1), world.port))?;
        Ok(())
    })
    .await?;
    first.has(&["10.1.0.0/24"]).await
}

#[tokio::test]
async fn an_interface_that_is_not_there_is_named_once_and_tried_again() -> Result<()> {
    let world = World::new()?;
    let first = world.start(1, "interfaceNeighbors: [{interface: nowhere0, remoteAs: 65002}]\n").await?;
    eventually("it is tried again", async || {
        let again = first.log().matches("still cannot look for the interface's neighbor").count();
        ensure!(again >= 2, "tried again {again} times");
        Ok(())
    })
    .await?;
    let log = first.log();
    let lines: Vec<&str> =
        log.lines().filter(|line| line.contains("WARN") && line.contains("nowhere0")).collect();
    let [line] = lines.as_slice() else { anyhow::bail!("not one warning: {lines:#?}") };
    for word in ["cannot look for the interface's neighbor", "No such device", "retry_seconds=1"] {
        ensure!(line.contains(word), "no {word:?} in {line}");
    }
    Ok(())
}
