use cairn_api::kinds::AffinityState;
use cairn_api::{Metadata, name};

use super::*;

const GRACE: Duration = Duration::from_secs(900);

fn entry(last: u8, node: &str, state: AllocationState, pod: &str) -> Allocation {
    Allocation {
        address: [10, 0, 0, last].into(),
        node: node.to_owned(),
        state,
        handle: if state == AllocationState::Reserved { String::new() } else { format!("net.{last}.eth0") },
        pod: pod.to_owned(),
        since: Timestamp::from_unix(1000),
    }
}

/// One block of the node `n1`.
fn seen(allocations: Vec<Allocation>) -> Observation {
    let cidr: Prefix = "10.0.0.0/26".parse().unwrap();
    let (node, pool) = ("n1".to_owned(), "p".to_owned());
    let affinity = BlockAffinity { cidr, node, pool: pool.clone(), state: AffinityState::Confirmed };
    Observation {
        nodes: [("n1".to_owned(), true), ("n2".to_owned(), true)].into(),
        blocks: vec![Object::new(
            Metadata::named(name::of_prefix(cidr)),
            IpamBlock { cidr, pool, allocations },
        )],
        affinities: vec![Object::new(Metadata::named(name::of_prefix(cidr)), affinity)],
        cooldown: Duration::from_secs(30),
        ..Observation::default()
    }
}

/// What is done when the same is seen twice, a grace period apart.
fn twice(seen: &Observation) -> Vec<Action> {
    verdict(seen, true).actions
}

/// The same, with what is kept.
fn verdict(seen: &Observation, release_leaked: bool) -> Verdict {
    let mut judge = Judge::new(GRACE, GRACE, release_leaked);
    let wall = Timestamp::from_unix(100_000);
    assert_eq!(judge.judge(Duration::ZERO, wall, seen), Verdict::default(), "never at first sight");
    let early = judge.judge(GRACE - Duration::from_secs(1), wall, seen);
    assert_eq!(early, Verdict::default(), "never before its time");
    judge.judge(GRACE, wall, seen)
}

fn released(actions: &[Action]) -> Vec<(u8, Why)> {
    let leaks = actions.iter().flat_map(|action| match action {
        Action::Release { leaked, .. } => leaked.clone(),
        _ => Vec::new(),
    });
    leaks
        .map(|leak| match leak.entry.address {
            IpAddr::V4(address) => (address.octets()[3], leak.why),
            IpAddr::V6(_) => unreachable!("only IPv4 here"),
        })
        .collect()
}

#[test]
fn an_address_whose_pod_is_gone_or_elsewhere_is_released() {
    let assigned = AllocationState::Assigned;
    let mut seen = seen(vec![
        entry(1, "n1", assigned, "a/lives"),
        entry(2, "n1", assigned, "a/gone"),
        entry(3, "n1", assigned, "a/moved"),
        entry(4, "n1", assigned, ""),
        entry(5, "n1", AllocationState::Reserved, ""),
        entry(6, "n1", AllocationState::Released, "a/gone"),
    ]);
    seen.pods = [("a/lives".to_owned(), "n1".to_owned()), ("a/moved".to_owned(), "n2".to_owned())].into();
    assert_eq!(released(&twice(&seen)), [(2, Why::PodGone), (3, Why::PodGone)]);
    seen.nodes.insert("n1".to_owned(), false);
    assert_eq!(twice(&seen), [], "a node that cannot be reached tells nobody of its pods");
}

#[test]
fn an_address_of_a_node_that_is_there_is_only_reported_unless_asked_for_or_if_the_node_cannot_be_told() {
    let gone = entry(2, "n1", AllocationState::Assigned, "a/gone");
    let mut seen = seen(vec![gone.clone()]);
    let unasked = Verdict { actions: Vec::new(), kept: vec![Kept::NotAsked(gone.clone())] };
    assert_eq!(verdict(&seen, false), unasked);
    assert_eq!(released(&verdict(&seen, true).actions), [(2, Why::PodGone)]);
    seen.affinities[0].spec.node = "n2".to_owned();
    let untold = Verdict { actions: Vec::new(), kept: vec![Kept::Untold(gone)] };
    assert_eq!(verdict(&seen, true), untold);
    seen.nodes.remove("n1");
    assert_eq!(released(&verdict(&seen, false).actions), [(2, Why::NodeGone)], "nobody is left to be told");
}

#[test]
fn an_address_that_any_pod_has_is_never_released_and_its_block_stays() {
    let assigned = AllocationState::Assigned;
    let mut seen = seen(vec![entry(1, "n1", assigned, "a/gone"), entry(2, "n1", assigned, "a/gone")]);
    seen.addresses = BTreeSet::from([IpAddr::from([10, 0, 0, 1])]);
    assert_eq!(released(&twice(&seen)), [(2, Why::PodGone)]);
    seen.nodes.remove("n1");
    assert_eq!(released(&twice(&seen)), [(2, Why::NodeGone)]);
    seen.blocks[0].spec.allocations.clear();
    assert_eq!(twice(&seen), [], "whoever takes the block next would give the address again");
    seen.addresses.clear();
    assert_eq!(twice(&seen).len(), 1);
}

#[test]
fn all_that_a_gone_node_had_is_released_but_what_a_pod_there_has() {
    let assigned = AllocationState::Assigned;
    let mut seen = seen(vec![
        entry(1, "n1", assigned, "a/lives"),
        entry(2, "n1", assigned, "a/gone"),
        entry(4, "n1", assigned, ""),
        entry(5, "n1", AllocationState::Reserved, ""),
        entry(7, "n2", AllocationState::Reserved, ""),
    ]);
    seen.nodes.remove("n1");
    seen.pods = [("a/lives".to_owned(), "n1".to_owned())].into();
    let actions = twice(&seen);
    assert_eq!(released(&actions), [2, 4, 5].map(|last| (last, Why::NodeGone)));
    assert_eq!(actions.len(), 1, "the block stays: {actions:?}");
}

#[test]
fn a_sign_of_life_begins_everything_anew() {
    let status = |version: &str| BTreeMap::from([("n1".to_owned(), version.to_owned())]);
    let mut gone = seen(vec![entry(1, "n1", AllocationState::Assigned, "a/gone")]);
    gone.nodes.remove("n1");
    let mut judge = Judge::new(GRACE, GRACE, false);
    let mut at = |minutes: u64, seen: &Observation| {
        judge.judge(Duration::from_secs(minutes * 60), Timestamp::from_unix(100_000), seen).actions.len()
    };
    assert_eq!((at(0, &gone), at(10, &gone)), (0, 0));
    let speaks = Observation { statuses: status("8"), ..gone.clone() };
    assert_eq!((at(14, &speaks), at(15, &gone), at(29, &gone), at(30, &gone)), (0, 0, 0, 1), "its daemon");
    let back = Observation { nodes: [("n1".to_owned(), false)].into(), ..gone.clone() };
    assert_eq!((at(40, &back), at(50, &gone), at(60, &gone), at(65, &gone)), (0, 0, 0, 1), "its Node");
}

#[test]
fn a_node_with_a_status_and_no_node_is_asked_and_keeps_all_it_has_if_it_answers() {
    let mut seen = seen(vec![entry(1, "n1", AllocationState::Assigned, "a/gone")]);
    seen.nodes.remove("n1");
    let status = |version: &str| BTreeMap::from([("n1".to_owned(), version.to_owned())]);
    let report =
        |kind, version: &str| Report { kind, node: "n1".to_owned(), resource_version: version.to_owned() };
    seen.reports = vec![report(ReportKind::EgressMembers, "1")];
    let mut judge = Judge::new(GRACE, GRACE, true);
    let mut at = |periods: u32, statuses: BTreeMap<String, String>| {
        let seen = Observation { statuses, ..seen.clone() };
        judge.judge(GRACE * periods, Timestamp::from_unix(100_000), &seen)
    };
    let asked = |version| Verdict {
        actions: vec![Action::Ask(report(ReportKind::NodeStatus, version))],
        kept: Vec::new(),
    };
    assert_eq!(at(0, status("7")), Verdict::default());
    assert_eq!(at(1, status("7")), asked("7"));
    assert_eq!(at(2, status("8")), Verdict::default(), "it has answered");
    assert_eq!(at(3, status("8")), asked("8"), "and is asked again");
    assert_eq!(at(4, BTreeMap::new()), Verdict::default(), "it has all the time that others have");
    assert_eq!(released(&at(5, BTreeMap::new()).actions), [(1, Why::NodeGone)]);
}

#[test]
fn an_address_that_is_given_again_is_another_one() {
    let mut judge = Judge::new(GRACE, GRACE, true);
    let wall = Timestamp::from_unix(100_000);
    let mut seen = seen(vec![entry(1, "n1", AllocationState::Assigned, "a/gone")]);
    assert_eq!(judge.judge(Duration::ZERO, wall, &seen).actions, []);
    seen.blocks[0].spec.allocations[0].since = Timestamp::from_unix(2000);
    assert_eq!(judge.judge(GRACE, wall, &seen).actions, [], "that is a new pod, which is not there yet");
    assert_eq!(released(&judge.judge(GRACE * 2, wall, &seen).actions), [(1, Why::PodGone)]);
}

#[test]
fn blocks_of_gone_nodes_go_when_empty_and_are_nobodys_where_others_borrow() {
    let kinds = |allocations: Vec<Allocation>| {
        let mut seen = seen(allocations);
        seen.nodes.remove("n1");
        let actions = twice(&seen);
        let names = actions.iter().map(|action| match action {
            Action::Release { .. } => "release",
            Action::Remove { .. } => "remove",
            Action::Disown { .. } => "disown",
            Action::Ask(_) => "ask",
            Action::Forget(_) => "forget",
        });
        names.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(kinds(vec![]), "remove");
    assert_eq!(kinds(vec![entry(1, "n1", AllocationState::Released, "")]), "remove");
    assert_eq!(
        kinds(vec![entry(1, "n1", AllocationState::Reserved, "")]),
        "release",
        "and goes in a later round"
    );
    assert_eq!(kinds(vec![entry(1, "n2", AllocationState::Reserved, "")]), "disown");
    let mut rests = entry(1, "n1", AllocationState::Released, "");
    rests.since = Timestamp::from_unix(99_990);
    assert_eq!(kinds(vec![rests]), "");
}

#[test]
fn reports_of_gone_nodes_are_forgotten_and_no_others() {
    let report = |kind, node: &str| Report { kind, node: node.to_owned(), resource_version: "1".to_owned() };
    let mut seen = seen(vec![]);
    seen.affinities.clear();
    let all = [ReportKind::EgressMembers, ReportKind::WireguardPeer];
    seen.reports = all.iter().flat_map(|kind| [report(*kind, "n1"), report(*kind, "n9")]).collect();
    let wanted: Vec<_> = all.iter().map(|kind| Action::Forget(report(*kind, "n9"))).collect();
    assert_eq!(twice(&seen), wanted);
}
