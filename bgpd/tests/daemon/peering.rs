//! Two daemons and what passes between them.

use anyhow::{Context, Result, ensure};
use bgpd_api::config::OriginatedRoute;
use bgpd_api::route::{RouteChange, RouteSource, Table};
use cairn_net::{Asn, Families};

use crate::world::{Daemon, World, eventually};

async fn pair(world: &World, more: &str) -> Result<[Daemon; 2]> {
    let first = world
        .start(
            1,
            &format!(
                "neighbors:\n{}originate: [{{prefix: 10.1.0.0/24, med: 7}}]\n",
                world.neighbor(1, 2, more)
            ),
        )
        .await?;
    let second = world
        .start(
            2,
            &format!("neighbors:\n{}originate: [{{prefix: 10.2.0.0/24}}]\n", world.neighbor(2, 1, more)),
        )
        .await?;
    Ok([first, second])
}

#[tokio::test]
async fn routes_pass_with_their_attributes() -> Result<()> {
    let world = World::new()?;
    let [mut first, mut second] = pair(&world, "").await?;
    second.has(&["10.1.0.0/24", "10.2.0.0/24"]).await?;
    first.has(&["10.1.0.0/24", "10.2.0.0/24"]).await?;
    let routes = second.table(Table::AdjRibIn(world.address(1))).await?;
    let path = routes[0].paths.first().context("a path")?;
    assert_eq!(path.attributes.med, Some(7));
    assert_eq!(path.attributes.next_hop, Some("192.0.2.1".parse()?));
    assert_eq!(path.source, RouteSource::Peer(world.address(1)));
    let sent = first.table(Table::AdjRibOut(world.address(2))).await?;
    assert_eq!(sent.len(), 1, "a peer is not told what it told us");
    let peer = second.established(world.address(1)).await?;
    assert_eq!((peer.remote_as, peer.families[0].accepted), (Asn(65001), 1));
    Ok(())
}

#[tokio::test]
async fn a_watcher_gets_what_is_there_then_the_end_of_rib_then_changes() -> Result<()> {
    let world = World::new()?;
    let [mut first, mut second] = pair(&world, "").await?;
    first.established(world.address(2)).await?;
    second.has(&["10.1.0.0/24", "10.2.0.0/24"]).await?;
    let mut stream = second.client.watch_routes(Families::ALL).await?;
    let (mut seen, mut ended): (Vec<RouteChange>, _) = (Vec::new(), Families::NONE);
    while ended != Families::ALL {
        let update = stream.next().await?.context("the stream goes on")?;
        seen.extend(update.changes);
        ended = update.end_of_rib.iter().fold(ended, Families::with);
    }
    seen.sort_by_key(|change| change.prefix);
    let learned = seen[0].best.as_ref().context("a route")?;
    assert_eq!((learned.next_hops.as_slice(), seen.len()), (&["192.0.2.1".parse()?][..], 2));
    assert_eq!(seen[1].best.as_ref().context("a route")?.source, RouteSource::Local("config".to_owned()));

    first.client.originate("test", [OriginatedRoute::new("10.9.0.0/24".parse()?)], false).await?;
    let update = stream.next().await?.context("the stream goes on")?;
    assert_eq!(update.changes[0].prefix.to_string(), "10.9.0.0/24");
    first.client.withdraw("test", ["10.9.0.0/24".parse()?]).await?;
    let update = stream.next().await?.context("the stream goes on")?;
    assert_eq!(update.changes, [RouteChange { prefix: "10.9.0.0/24".parse()?, best: None }]);
    Ok(())
}

#[tokio::test]
async fn an_owner_that_replaces_its_set_withdraws_the_rest() -> Result<()> {
    let world = World::new()?;
    let [mut first, mut second] = pair(&world, "").await?;
    let route = |text: &str| anyhow::Ok(OriginatedRoute::new(text.parse()?));
    first.client.originate("felix", [route("10.8.0.0/26")?, route("10.8.0.64/26")?], true).await?;
    second.has(&["10.1.0.0/24", "10.2.0.0/24", "10.8.0.0/26", "10.8.0.64/26"]).await?;
    first.client.originate("felix", [route("10.8.0.64/26")?, route("10.8.0.128/26")?], true).await?;
    second.has(&["10.1.0.0/24", "10.2.0.0/24", "10.8.0.64/26", "10.8.0.128/26"]).await?;
    first.client.originate("felix", [], true).await?;
    second.has(&["10.1.0.0/24", "10.2.0.0/24"]).await
}

#[tokio::test]
async fn the_wrong_as_is_named_on_both_sides() -> Result<()> {
    let world = World::new()?;
    let mut first = world.start(1, &format!("neighbors:\n{}", world.neighbor(1, 2, ""))).await?;
    let wrong = world.neighbor(2, 1, "").replace("65001", "65999");
    let _second = world.start(2, &format!("neighbors:\n{wrong}")).await?;
    eventually("the fault is told", async || {
        let peer = first.peer(world.address(2)).await?;
        ensure!(peer.last_error.contains("Bad Peer AS"), "{}", peer.last_error);
        Ok(())
    })
    .await?;
    _second.logs("wrong AS: the peer says AS 65001, the configuration says AS 65999").await
}

#[tokio::test]
async fn a_password_changes_under_an_open_session() -> Result<()> {
    let world = World::new()?;
    let [mut first, mut second] = pair(&world, ", password: old").await?;
    first.established(world.address(2)).await?;
    for host in [1, 2] {
        let path = world.path(&format!("{host}.yaml"));
        let text = std::fs::read_to_string(&path)?.replace("password: old", "password: new");
        std::fs::write(&path, text)?;
    }
    first.logs("password changed").await?;
    second.logs("password changed").await?;
    // A route that passes now was signed with the new password.
    first.client.originate("test", [OriginatedRoute::new("10.9.0.0/24".parse()?)], false).await?;
    second.has(&["10.1.0.0/24", "10.2.0.0/24", "10.9.0.0/24"]).await?;
    assert_eq!(second.established(world.address(1)).await?.established_count, 1);
    assert!(!second.log().contains("password: new"), "a password must never be logged");
    Ok(())
}

#[tokio::test]
async fn different_passwords_are_told_from_a_peer_that_is_away() -> Result<()> {
    let world = World::new()?;
    let first = world.start(1, &format!("neighbors:\n{}", world.neighbor(1, 2, ", password: one"))).await?;
    let _second = world.start(2, &format!("neighbors:\n{}", world.neighbor(2, 1, ", password: two"))).await?;
    first.logs("the passwords of both sides differ").await
}

#[tokio::test]
async fn a_neighbor_is_shut_down_and_enabled_by_hand() -> Result<()> {
    let world = World::new()?;
    let [mut first, mut second] = pair(&world, "").await?;
    first.established(world.address(2)).await?;
    first.client.set_peer_enabled(world.address(2), false, "moving racks").await?;
    second.has(&["10.2.0.0/24"]).await?;
    assert!(!first.peer(world.address(2)).await?.enabled);
    first.client.set_peer_enabled(world.address(2), true, "").await?;
    second.has(&["10.1.0.0/24", "10.2.0.0/24"]).await
}
