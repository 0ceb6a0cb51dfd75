//! Policies looked at and changed while daemons run.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use bgpd_api::config::FilterChain;
use bgpd_api::policy::{Direction, TestPage};

use crate::world::{Daemon, World, eventually};

/// More filters beside the document's own, and a set.
const FILTERS: &str = "  guard:
    rules: [{name: no-med, match: {med: {ge: 100}}, then: reject}]
    default: next
  from-one:
    rules:
    - {call: guard, then: next}
    - {name: first, match: {prefixSet: first}, set: {localPreference: 200, communities: {add: ['rt:65001:7']}}, then: accept}
prefixSets: {first: [10.1.0.0/24]}
";

/// The second daemon's neighbour, the first one.
fn to_one(world: &World, import: &str) -> String {
    world.neighbor(2, 1, "").replace("import: accept-all", &format!("import: {import}"))
}

/// A daemon that originates two prefixes, and one that accepts only the first of them.
async fn pair(world: &World) -> Result<[Daemon; 2]> {
    let originate =
        "originate: [{prefix: 10.1.0.0/24, med: 7}, {prefix: 10.1.1.0/24, communities: ['rt:1:2']}]";
    let mut first = world.start(1, &format!("neighbors:\n{}{originate}\n", world.neighbor(1, 2, ""))).await?;
    let neighbor = to_one(world, "from-one");
    let mut second = world.start(2, &format!("{FILTERS}neighbors:\n{neighbor}")).await?;
    second.has(&["10.1.0.0/24"]).await?;
    // Both have been judged, not only the one that is used, and nothing more is on its way.
    all_received(&mut second, world.address(1), 2).await?;
    all_received(&mut first, world.address(2), 0).await?;
    Ok([first, second])
}

/// Waits for the End-of-RIB and so many routes of a neighbour.
async fn all_received(daemon: &mut Daemon, from: IpAddr, routes: u64) -> Result<()> {
    eventually("all routes and End-of-RIB", async || {
        let peer = daemon.peer(from).await?;
        let received: u64 = peer.families.iter().map(|family| family.received).sum();
        let complete = peer.families.iter().all(|family| family.end_of_rib);
        ensure!(received == routes && complete && !peer.families.is_empty(), "{peer:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn matches_are_counted_and_reset() -> Result<()> {
    let world = World::new()?;
    let [_first, mut second] = pair(&world).await?;
    let one = world.address(1);
    let policies = second.client.policies(Some(one), Some(Direction::Import)).await?;
    let counts: Vec<(String, u64)> =
        policies[0].counters.iter().map(|counter| (counter.statement.to_string(), counter.hits)).collect();
    let expected = [
        ("from-one rule 1", 2),
        ("from-one rule 2 (first)", 1),
        ("from-one default", 1),
        ("guard rule 1 (no-med)", 0),
        ("guard default", 2),
        ("end of the policy", 0),
    ];
    assert_eq!(counts, expected.map(|(name, hits)| (name.to_owned(), hits)));
    second.client.reset_policy_counters(None, None).await?;
    let policies = second.client.policies(None, None).await?;
    assert_eq!(policies.len(), 2);
    assert!(policies.iter().flat_map(|policy| &policy.counters).all(|counter| counter.hits == 0));
    Ok(())
}

#[tokio::test]
async fn a_routes_way_through_its_policy_is_explained() -> Result<()> {
    let world = World::new()?;
    let [mut first, mut second] = pair(&world).await?;
    let (one, two) = (world.address(1), world.address(2));
    let found = second.client.explain_policy(one, Direction::Import, "10.1.0.0/24".parse()?).await?;
    let explanation = found.first().context("one path")?;
    assert_eq!(explanation.decider.as_ref().context("decided")?.name, "first");
    let after = explanation.after.as_ref().context("accepted")?;
    assert_eq!((explanation.before.local_preference, after.local_preference), (None, Some(200)));
    assert_eq!(explanation.steps.iter().map(|step| step.depth).collect::<Vec<_>>(), [0, 1, 1, 0]);
    let found = second.client.explain_policy(one, Direction::Import, "10.1.1.0/24".parse()?).await?;
    let explanation = found.first().context("one path")?;
    assert_eq!(explanation.decider.as_ref().context("decided")?.to_string(), "from-one default");
    assert_eq!(explanation.after, None);
    assert_eq!(explanation.before.extended_communities, [0x0002_0001_0000_0002]);
    // What the other side sends, as it sends it.
    let found = first.client.explain_policy(two, Direction::Export, "10.1.0.0/24".parse()?).await?;
    let sent = found.first().and_then(|explanation| explanation.after.as_ref()).context("sent")?;
    assert_eq!((sent.med, sent.next_hop), (Some(7), Some("192.0.2.1".parse()?)));
    assert!(first.client.explain_policy(two, Direction::Export, "10.9.0.0/24".parse()?).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_candidate_is_compared_and_changes_nothing() -> Result<()> {
    let world = World::new()?;
    let [_first, mut second] = pair(&world).await?;
    let one = world.address(1);
    let candidate = "filters: {all: {rules: [{set: {localPreference: 50}, then: accept}]}}";
    let chain = FilterChain::from("all".parse::<bgpd_api::config::Name>()?);
    let mut pages = second.client.test_policy(candidate.to_owned(), &chain, one, Direction::Import).await?;
    let (mut differences, mut sums) = (Vec::new(), TestPage::default());
    while let Some(page) = pages.next().await? {
        differences.extend(page.differences.clone());
        sums = page;
    }
    assert_eq!((sums.examined, sums.accepted_now, sums.accepted_then, sums.different), (2, 1, 2, 2));
    differences.sort_by_key(|difference| difference.prefix);
    assert_eq!(differences[0].then.after.as_ref().context("accepted")?.local_preference, Some(50));
    assert_eq!(differences[1].now.after, None);
    second.has(&["10.1.0.0/24"]).await?;
    let refused = second
        .client
        .test_policy("filters: {all: {rules: [{then: maybe}]}}".to_owned(), &chain, one, Direction::Import)
        .await
        .err()
        .context("refused")?
        .to_string();
    ensure!(refused.starts_with("candidate:1:") && refused.contains("maybe"), "{refused}");
    Ok(())
}

#[tokio::test]
async fn a_changed_filter_applies_without_a_new_session() -> Result<()> {
    let world = World::new()?;
    let [mut first, mut second] = pair(&world).await?;
    let (one, two) = (world.address(1), world.address(2));
    let before = (second.established(one).await?, first.established(two).await?);
    let neighbor = to_one(&world, "[guard, from-one]");
    let filters = FILTERS.replace("first: [10.1.0.0/24]", "first: [{prefix: 10.1.0.0/16, le: 24}]");
    world.write("2.yaml", &world.document(2, &format!("{filters}neighbors:\n{neighbor}")))?;
    second.has(&["10.1.0.0/24", "10.1.1.0/24"]).await?;
    let after = (second.established(one).await?, first.established(two).await?);
    assert_eq!(before.0.established_count, after.0.established_count);
    assert_eq!(before.0.counters.updates_received, after.0.counters.updates_received);
    assert_eq!(before.1.counters.updates_received, after.1.counters.updates_received);
    Ok(())
}
