//! What can be seen of neighbours and routes.

use anyhow::{Context, Result, ensure};
use bgpd_api::client::{PrefixScope, RouteQuery};
use bgpd_api::peer::EventKind;
use bgpd_api::route::Table;

use crate::world::{Daemon, World, eventually};

async fn pair(world: &World) -> Result<[Daemon; 2]> {
    let routes = "originate:\n\
        - {prefix: 10.1.0.0/16, communities: ['65001:1']}\n\
        - {prefix: 10.1.1.0/24, communities: ['65001:1', '65001:2', '65001:1:2']}\n\
        - {prefix: 10.1.1.0/26}\n";
    let first = world.start(1, &format!("neighbors:\n{}{routes}", world.neighbor(1, 2, ""))).await?;
    let rest = format!("neighbors:\n{}originate: [{{prefix: 10.2.0.0/24}}]\n", world.neighbor(2, 1, ""));
    let mut second = world.start(2, &rest).await?;
    second.has(&["10.1.0.0/16", "10.1.1.0/24", "10.1.1.0/26", "10.2.0.0/24"]).await?;
    Ok([first, second])
}

/// The prefixes that a query gives.
async fn found(daemon: &mut Daemon, query: RouteQuery) -> Result<Vec<String>> {
    let mut stream = daemon.client.list_routes(query).await?;
    let mut prefixes = Vec::new();
    while let Some(page) = stream.next().await? {
        prefixes.extend(page.0.into_iter().map(|route| route.prefix));
    }
    prefixes.sort();
    Ok(prefixes.iter().map(ToString::to_string).collect())
}

#[tokio::test]
async fn routes_are_filtered_by_prefix_neighbour_community_and_as_path() -> Result<()> {
    let world = World::new()?;
    let [_first, mut second] = pair(&world).await?;
    let all = || RouteQuery::all(Table::LocRib);
    let scoped = |scope| RouteQuery { prefix: "10.1.1.0/24".parse().ok(), scope, ..all() };
    let communities = |texts: &[&str]| -> Result<RouteQuery> {
        let communities = texts.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
        Ok(RouteQuery { communities, ..all() })
    };
    let path =
        |text: &str| -> Result<RouteQuery> { Ok(RouteQuery { as_path: Some(text.parse()?), ..all() }) };
    let learned = ["10.1.0.0/16", "10.1.1.0/24", "10.1.1.0/26"];
    for (query, expected) in [
        (scoped(PrefixScope::Exact), &["10.1.1.0/24"][..]),
        (scoped(PrefixScope::Longer), &["10.1.1.0/24", "10.1.1.0/26"]),
        (scoped(PrefixScope::Shorter), &["10.1.0.0/16", "10.1.1.0/24"]),
        (communities(&["65001:1"])?, &["10.1.0.0/16", "10.1.1.0/24"]),
        (communities(&["65001:1", "65001:1:2"])?, &["10.1.1.0/24"]),
        (path("65001")?, &learned),
        (path("* 65009")?, &[]),
        (path("")?, &["10.2.0.0/24"]),
        (RouteQuery { from: Some(world.address(1)), ..all() }, &learned),
        (RouteQuery { from: Some(world.address(1)), ..RouteQuery::all(Table::AllPaths) }, &learned),
        (RouteQuery { best_only: true, ..RouteQuery::all(Table::AdjRibIn(world.address(1))) }, &learned),
    ] {
        assert_eq!(found(&mut second, query.clone()).await?, expected, "{query:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_neighbour_shows_capabilities_counters_notifications_and_its_history() -> Result<()> {
    let world = World::new()?;
    let [mut first, mut second] = pair(&world).await?;
    let peer = second.established(world.address(1)).await?;
    for side in [&peer.capabilities_sent, &peer.capabilities_received] {
        assert!(side.iter().any(|text| text == "multiprotocol ipv4 unicast"), "{side:?}");
    }
    assert!(peer.capabilities_received.contains(&"4-octet-as 65001".to_owned()));
    // Two OPENs if both sides connected at once.
    assert!(peer.counters.received.opens >= 1 && peer.counters.received.updates >= 3, "{peer:?}");
    assert!(!peer.hold_timer.is_zero() && peer.up_down.is_some());

    first.client.set_peer_enabled(world.address(2), false, "moving racks").await?;
    let down = eventually("the neighbour is told", async || {
        let peer = second.peer(world.address(1)).await?;
        ensure!(peer.dropped_count == 1, "{peer:?}");
        Ok(peer)
    })
    .await?;
    // Which it is depends on whether the neighbour has tried again meanwhile.
    assert_eq!(down.notification_received.context("a NOTIFICATION came")?.code, 6);
    let sent = first.peer(world.address(2)).await?.notification_sent.context("a NOTIFICATION was sent")?;
    // A hard reset (RFC 8538) around the shutdown, as both sides do graceful restart.
    assert_eq!((sent.code, sent.subcode), (6, 9));
    assert_eq!(sent.text, "Cease / Hard Reset: Cease / Administrative Shutdown: moving racks");

    let events = second.client.list_peer_events(world.address(1)).await?;
    let kinds: Vec<EventKind> = events.iter().map(|event| event.kind).collect();
    let up = kinds.iter().position(|kind| *kind == EventKind::Up).context("it was up")?;
    let down = kinds.iter().position(|kind| *kind == EventKind::Down).context("it went down")?;
    assert!(up < down, "{kinds:?}");
    assert!(events[down].text.contains("moving racks"), "{}", events[down].text);
    let own = first.client.list_peer_events(world.address(2)).await?;
    assert!(own.iter().any(|event| event.text == "shut down by hand: moving racks"), "{own:?}");
    assert!(first.client.list_peer_events(world.address(9)).await.is_err());
    Ok(())
}
