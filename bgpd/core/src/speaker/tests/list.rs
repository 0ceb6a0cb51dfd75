use super::*;
use crate::speaker::{PrefixMatch, RibKind, Speaker};

fn speaker(sim: &Sim, n: u8) -> &Speaker {
    sim.nodes[&node(n)].speaker.as_ref().unwrap()
}

/// The prefixes of a list, and how many pages it took.
fn read(speaker: &Speaker, rib: RibKind, wanted: PrefixMatch) -> (Vec<Prefix>, usize) {
    let mut listing = speaker.list(rib, wanted);
    let (mut prefixes, mut pages) = (Vec::new(), 0);
    while !listing.is_done() {
        prefixes.extend(speaker.next_page(&mut listing, 100).into_iter().map(|route| route.prefix));
        pages += 1;
    }
    prefixes.sort();
    (prefixes, pages)
}

/// Node 1 originates 20,000 prefixes, node 2 three.
fn large_and_small() -> Sim {
    let mut sim = pair(65002);
    let many: Vec<String> = (0..20_000).map(|n| format!("10.{}.{}.0/24", n / 256, n % 256)).collect();
    originate(&mut sim, 1, &many.iter().map(String::as_str).collect::<Vec<_>>());
    originate(&mut sim, 2, &["192.168.0.0/16", "192.168.1.0/24", "192.168.1.128/25"]);
    assert!(sim.run_until(Duration::from_secs(5), |sim| speaker(sim, 2).table_size().0 == 20_003));
    sim.run(SOON);
    sim
}

#[test]
fn a_small_peer_is_listed_without_walking_the_table() {
    let sim = large_and_small();
    let (found, pages) = read(speaker(&sim, 1), RibKind::AdjRibIn(node(2)), PrefixMatch::Any);
    assert_eq!((found.len(), pages), (3, 1));
    // A peer with most of the table, too, is listed as a whole.
    let (found, pages) = read(speaker(&sim, 2), RibKind::AdjRibIn(node(1)), PrefixMatch::Any);
    assert!(found.len() == 20_000 && pages >= 200, "{} in {pages}", found.len());
    let (found, _) = read(speaker(&sim, 1), RibKind::AdjRibIn(node(9)), PrefixMatch::Any);
    assert_eq!(found, []);
}

#[test]
fn a_page_looks_at_a_bounded_part_of_the_table() {
    let sim = large_and_small();
    let speaker = speaker(&sim, 1);
    let family = PrefixMatch::Family(cairn_net::Family::Ipv6);
    let (found, pages) = read(speaker, RibKind::LocRib, family);
    assert!(found.is_empty() && pages >= 4, "{pages}");
}

#[test]
fn prefixes_are_found_with_those_that_cover_them_or_are_covered() {
    let sim = large_and_small();
    let speaker = speaker(&sim, 1);
    let list = |wanted| read(speaker, RibKind::LocRib, wanted).0;
    let prefixes = ["192.168.0.0/16", "192.168.1.0/24", "192.168.1.128/25"].map(prefix);
    let [wide, middle, narrow] = prefixes;
    assert_eq!(list(PrefixMatch::Exact(middle)), [middle]);
    assert_eq!(list(PrefixMatch::Exact(prefix("192.168.2.0/24"))), []);
    assert_eq!(list(PrefixMatch::Longer(middle)), [middle, narrow]);
    assert_eq!(list(PrefixMatch::Shorter(middle)), [wide, middle]);
    assert_eq!(list(PrefixMatch::Shorter(prefix("192.168.1.200/32"))), prefixes);
    let told = read(speaker, RibKind::AdjRibOut(node(2)), PrefixMatch::Shorter(prefix("10.0.7.1/32"))).0;
    assert_eq!(told, [prefix("10.0.7.0/24")]);
}

#[test]
fn all_paths_are_listed_with_what_they_lost_by() {
    let mut sim = pair(65002);
    originate(&mut sim, 1, &["10.1.0.0/24"]);
    originate(&mut sim, 2, &["10.1.0.0/24"]);
    sim.run(SOON);
    let routes = speaker(&sim, 1).routes(RibKind::AllPaths);
    assert_eq!(routes.len(), 2);
    assert!(routes.iter().all(|route| route.decided_by.is_some()));
    assert_eq!(speaker(&sim, 1).routes(RibKind::LocRib).len(), 1);
}

#[test]
fn a_list_goes_on_while_the_table_changes_under_it() {
    let mut sim = large_and_small();
    let mut listing = speaker(&sim, 1).list(RibKind::AdjRibIn(node(2)), PrefixMatch::Any);
    sim.input(node(1), Input::StopPeer { peer: node(2), text: String::new() });
    assert_eq!(speaker(&sim, 1).next_page(&mut listing, 10), []);
    assert!(listing.is_done());
}

#[test]
fn a_peer_shows_both_opens_its_timers_and_the_notifications_of_both_ways() {
    let mut sim = pair(65002);
    let peer = view(&sim, 1, 2);
    let opens = peer.session.unwrap().opens;
    let other = view(&sim, 2, 1).session.unwrap().opens;
    assert_eq!((&opens.sent, &opens.received), (&other.received, &other.sent));
    assert!(opens.sent.len() > 29 && peer.timers.hold > peer.timers.keepalive);
    assert!(peer.ends.is_some_and(|(local, remote)| local.ip() == node(1) && remote.ip() == node(2)));
    sim.input(node(1), Input::StopPeer { peer: node(2), text: "moving".to_owned() });
    // Not for long: node 2 tries again and is then told something else.
    assert!(sim.run_until(SOON, |sim| view(sim, 2, 1).counters.dropped == 1));
    let text = |last: Option<crate::speaker::NotificationView>| last.unwrap().notification.to_string();
    let told = "Cease / Hard Reset: Cease / Administrative Shutdown: moving";
    assert_eq!(text(view(&sim, 1, 2).notification_sent), told);
    assert_eq!(text(view(&sim, 2, 1).notification_received), told);
    let down = view(&sim, 1, 2);
    assert_eq!((down.counters.established, down.counters.dropped), (1, 1));
    assert!(down.turned.is_some() && down.session.is_none());
}

#[test]
fn peers_are_listed_in_pages_by_address() {
    let mut sim = sim();
    let config = (2..=9)
        .rev()
        .fold(config(1, 65001), |config, n| with_peer(config, n, open_peer(65000 + u32::from(n))));
    sim.add(node(1), config);
    let speaker = speaker(&sim, 1);
    let mut pages = Vec::new();
    let mut last = None;
    loop {
        let page: Vec<IpAddr> = speaker.peers_after(last, 3).into_iter().map(|peer| peer.address).collect();
        let Some(end) = page.last() else { break };
        last = Some(*end);
        pages.push(page);
    }
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 2]);
    assert_eq!(pages.concat(), (2..=9).map(node).collect::<Vec<_>>());
}
