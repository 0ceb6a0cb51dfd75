//! The node's report: its NodeStatus object.
//!
//! Written when something of it changed, at most every ten seconds, and not at all while nothing changes; put back when somebody deletes it:
//! so does the controller, to see whether a node without Node lives.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bgpd_api::peer::Peer;
use cairn_api::kinds::{NodeReport, NodeStatus, PeerDemand, SessionReport};
use cairn_api::{Condition, ConditionStatus, Metadata, Object, Timestamp};
use cairn_daemon::timer::at;
use cairn_datastore::{Backoff, Datastore, Event, Key, Query, StoreError};
use felix_core::{DrainCause, DrainState};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tracing::debug;

use crate::dataplane::KernelFault;
use crate::engine::{Readiness, Snapshot};

/// Changes that come together are written together.
const SETTLE: Duration = Duration::from_secs(1);
/// The reason where an object cannot be read, and nothing is known of it.
const UNREADABLE: &str = "Unreadable";
/// Least time between two writes.
const INTERVAL: Duration = Duration::from_secs(10);

/// Writes reports until the engine ends.
pub(crate) async fn run<D: Datastore>(
    store: D,
    node: String,
    mut news: watch::Receiver<()>,
    snapshots: mpsc::Sender<oneshot::Sender<Snapshot>>,
) {
    let mut own = store.watch::<NodeStatus>(Query::all().with_field("metadata.name", &node));
    let mut written: Option<NodeReport> = None;
    // Whether the store has what was written last.
    let mut is_there = false;
    let (mut retry, mut backoff) = (None, Backoff::default());
    loop {
        tokio::select! {
            changed = news.changed() => if changed.is_err() {
                return;
            },
            event = own.next() => match event {
                None => return,
                Some(event) if written.is_some() && is_gone(&event) => is_there = false,
                Some(_) => continue,
            },
            () = at(retry) => {}
        }
        tokio::time::sleep(SETTLE).await;
        news.mark_unchanged();
        let (answer, reply) = oneshot::channel();
        if snapshots.send(answer).await.is_err() {
            return;
        }
        let Ok(snapshot) = reply.await else { return };
        let mut report = report(&snapshot, now(), written.as_ref());
        if is_there && written.as_ref().is_some_and(|written| same(written, &report)) {
            continue;
        }
        report.last_updated = Some(now());
        match write(&store, &node, &report).await {
            Ok(()) => {
                (written, is_there, retry) = (Some(report), true, None);
                backoff.succeeded();
            }
            Err(error) => {
                debug!(%error, "the node's report is not written: trying again");
                (is_there, retry) = (false, Some(Instant::now() + INTERVAL + backoff.failed()));
            }
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Does an event say that there is no report?
fn is_gone(event: &Event<NodeStatus>) -> bool {
    match event {
        Event::Listed(objects) => objects.is_empty(),
        Event::Deleted(_) => true,
        Event::Added(_)
        | Event::Modified(_)
        | Event::Invalid { .. }
        | Event::Gone { .. }
        | Event::Unavailable { .. } => false,
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix(since.as_secs())
}

/// Do two reports say the same, apart from when?
fn same(a: &NodeReport, b: &NodeReport) -> bool {
    let timeless = |report: &NodeReport| NodeReport { last_updated: None, ..report.clone() };
    timeless(a) == timeless(b)
}

/// What a snapshot says. Conditions keep the time of their last change from the report before.
fn report(snapshot: &Snapshot, now: Timestamp, before: Option<&NodeReport>) -> NodeReport {
    let ready = match snapshot.readiness.fault() {
        None => condition("Ready", ConditionStatus::True, "OK", String::new(), now),
        Some(why) => condition("Ready", ConditionStatus::False, word(snapshot), why, now),
    };
    let bgpd = match &snapshot.bgpd_fault {
        None => condition("BGPReady", ConditionStatus::True, "OK", String::new(), now),
        Some(why) => condition("BGPReady", ConditionStatus::False, "Unavailable", why.clone(), now),
    };
    let faulty = snapshot.kernel_faults.iter().any(|fault| matches!(fault, KernelFault::Refused(_)));
    let in_sync = match (snapshot.in_sync, faulty) {
        (true, false) => condition("DataplaneInSync", ConditionStatus::True, "OK", String::new(), now),
        (false, _) => {
            let why = "not all sources have been read: nothing in the kernel is removed yet".to_owned();
            condition("DataplaneInSync", ConditionStatus::False, "Starting", why, now)
        }
        (true, true) => {
            let why = "see KernelRefused".to_owned();
            condition("DataplaneInSync", ConditionStatus::False, "Refused", why, now)
        }
    };
    let mut conditions = vec![ready, bgpd, in_sync];
    conditions.extend(snapshot.drain.iter().flat_map(|drain| draining(drain, now)));
    conditions.extend(problems(snapshot, now));
    for condition in &mut conditions {
        let mut known = before.into_iter().flat_map(|report| &report.conditions);
        let known = known.find(|known| known.kind == condition.kind);
        condition.last_transition_time = Condition::since(known, condition.status, now);
    }
    let described = snapshot.bgp_peers.iter().flat_map(|(name, sessions)| {
        sessions.iter().map(move |description| (description.as_str(), name.as_str()))
    });
    let names: HashMap<&str, &str> = described.collect();
    let demand = |(name, sessions): (&String, &Vec<String>)| PeerDemand {
        name: name.clone(),
        sessions: u64::try_from(sessions.len()).unwrap_or(u64::MAX),
    };
    NodeReport {
        last_updated: None,
        conditions,
        sessions: snapshot.peers.iter().map(|peer| session(peer, &names, now, before)).collect(),
        bgp_peers: snapshot.bgp_peers.iter().map(demand).collect(),
        blocks: snapshot.blocks.clone(),
        installed_routes: u64::try_from(snapshot.routes).unwrap_or(u64::MAX),
        attachments: u64::try_from(snapshot.endpoints).unwrap_or(u64::MAX),
        wireguard_public_key: snapshot.wireguard_key,
    }
}

/// All that is wrong: one condition for each reason, for whoever asks for a condition names its type.
fn problems(snapshot: &Snapshot, now: Timestamp) -> Vec<Condition> {
    let mut said: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    let mut say = |kind: &str, reason: &str, thing: String| {
        said.entry((kind.to_owned(), reason.to_owned())).or_default().push(thing);
    };
    for fault in &snapshot.kernel_faults {
        let (kind, reason, message) = match fault {
            KernelFault::Refused(message) => ("KernelRefused", "Refused", message),
            KernelFault::Contested(message) => ("KernelContested", "Interference", message),
            KernelFault::Blocked(message) => ("ForwardingBlocked", "PolicyDrop", message),
        };
        say(kind, reason, message.clone());
    }
    for (object, why) in &snapshot.unread {
        let kept =
            "it cannot be read, and what it was is not known here: bgpd and the kernel keep what they have";
        say(UNREADABLE, UNREADABLE, format!("{object}: {kept}: {why}"));
    }
    for found in &snapshot.conditions {
        let reason = found.reason.to_string();
        say(&reason, &reason, format!("{}: {}", found.subject, found.message));
    }
    let one = |((kind, reason), mut things): ((String, String), Vec<String>)| {
        // The same things are the same message, in whatever order they were found.
        things.sort_unstable();
        condition(&kind, ConditionStatus::True, &reason, NodeReport::message(&things), now)
    };
    said.into_iter().map(one).collect()
}

/// In one word, why a node is not ready.
fn word(snapshot: &Snapshot) -> &'static str {
    let Readiness { datastore, dataplane, bgpd, ipam: _ } = &snapshot.readiness;
    match (datastore.is_some() || dataplane.is_some(), bgpd.is_some()) {
        _ if !snapshot.unread.is_empty() => UNREADABLE,
        (true, _) => "Starting",
        (false, true) if snapshot.in_sync => "BGPUnavailable",
        (false, true) => "RoutesIncomplete",
        (false, false) => "NoAddresses",
    }
}

/// Why the node is being emptied, and how far that is. There is neither while nobody wants it.
fn draining(drain: &DrainState, now: Timestamp) -> [Condition; 2] {
    let why: Vec<String> = drain.causes.iter().map(ToString::to_string).collect();
    let reason = drain.causes.first().map_or("Requested", DrainCause::word);
    let marked = format!("{}: what it announces has the community GRACEFUL_SHUTDOWN", why.join(", "));
    let held = format!("its pods have {} addresses, egress gateways {}", drain.addresses, drain.egress);
    let (used, idle) = (drain.used, drain.idle);
    let (status, reason_over, message) = if !drain.waited {
        let message = format!("for {} all is announced; {held}; {idle} blocks are not in use", drain.wait);
        (ConditionStatus::False, "Waiting", message)
    } else if drain.is_over() {
        (
            ConditionStatus::True,
            "Empty",
            format!("nothing is left that is in use; {idle} blocks are withdrawn"),
        )
    } else {
        let message =
            format!("{held}; {used} blocks stay announced as long as they are in use, {idle} are withdrawn");
        (ConditionStatus::False, "InUse", message)
    };
    [
        condition("Draining", ConditionStatus::True, reason, marked, now),
        condition("Drained", status, reason_over, message, now),
    ]
}

fn condition(
    kind: &str,
    status: ConditionStatus,
    reason: &str,
    message: String,
    now: Timestamp,
) -> Condition {
    Condition {
        kind: kind.to_owned(),
        status,
        reason: reason.to_owned(),
        message,
        last_transition_time: now,
        observed_generation: None,
    }
}

/// `names`: the BGPPeers of sessions, by the sessions' descriptions.
fn session(
    peer: &Peer,
    names: &HashMap<&str, &str>,
    now: Timestamp,
    before: Option<&NodeReport>,
) -> SessionReport {
    let state = peer.state.to_string();
    let since = Timestamp::from_unix(now.unix().saturating_sub(peer.state_for.as_secs()));
    let known = before.into_iter().flat_map(|report| &report.sessions);
    let same = |known: &&SessionReport| known.peer_ip == peer.address && known.state == state;
    let since = known.clone().find(same).and_then(|known| known.since).unwrap_or(since);
    SessionReport {
        peer_ip: peer.address,
        bgp_peer: names.get(peer.description.as_str()).copied().unwrap_or_default().to_owned(),
        as_number: peer.remote_as,
        state,
        since: Some(since),
        last_error: peer.last_error.clone(),
        received: peer.families.iter().map(|family| family.accepted).sum(),
        advertised: peer.families.iter().map(|family| family.sent).sum(),
    }
}

async fn write<D: Datastore>(store: &D, node: &str, report: &NodeReport) -> Result<(), StoreError> {
    let object = match store.get::<NodeStatus>(&Key::named(node)).await {
        Ok(object) => object,
        Err(StoreError::NotFound { .. }) => {
            store.create(&Object::new(Metadata::named(node), NodeStatus::default())).await?
        }
        Err(error) => return Err(error),
    };
    store.update_status(&Object { status: Some(report.clone()), ..object }).await.map(drop)
}

#[cfg(test)]
mod tests {
    use bgpd_api::peer::{Counters, SessionState};
    use cairn_datastore::{Fault, MemoryStore, Precondition};
    use cairn_net::Asn;
    use felix_core::{Condition as Found, Reason};

    use super::*;

    fn peer(address: [u8; 4], description: &str) -> Peer {
        Peer {
            address: address.into(),
            remote_as: Asn(65001),
            local_as: Asn(64512),
            description: description.to_owned(),
            enabled: true,
            state: SessionState::Established,
            state_for: Duration::ZERO,
            up_down: None,
            last_error: String::new(),
            last_error_age: Duration::ZERO,
            notes: Vec::new(),
            established_count: 1,
            dropped_count: 0,
            router_id: None,
            local: None,
            remote_port: None,
            hold_time: Duration::ZERO,
            keepalive_time: Duration::ZERO,
            hold_timer: Duration::ZERO,
            keepalive_timer: Duration::ZERO,
            connect_timer: Duration::ZERO,
            capabilities: Vec::new(),
            capabilities_sent: Vec::new(),
            capabilities_received: Vec::new(),
            notification_sent: None,
            notification_received: None,
            families: Vec::new(),
            counters: Counters::default(),
        }
    }

    #[test]
    fn a_session_names_its_object_and_an_object_counts_what_bgpd_lacks() {
        let described = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let snapshot = Snapshot {
            peers: vec![peer([192, 0, 2, 2], "mesh, node b"), peer([192, 0, 2, 254], "BGPPeer tor")],
            bgp_peers: BTreeMap::from([
                ("tor".to_owned(), described(&["BGPPeer tor"])),
                ("uplink".to_owned(), described(&["BGPPeer uplink"])),
            ]),
            ..Snapshot::default()
        };
        let report = report(&snapshot, Timestamp::from_unix(1), None);
        let names: Vec<&str> = report.sessions.iter().map(|session| session.bgp_peer.as_str()).collect();
        assert_eq!(names, ["", "tor"]);
        let demand = |name: &str| PeerDemand { name: name.to_owned(), sessions: 1 };
        assert_eq!(report.bgp_peers, [demand("tor"), demand("uplink")]);
    }

    #[test]
    fn there_is_one_condition_of_a_type_whatever_is_wrong_and_in_whatever_order() {
        let at = Timestamp::from_unix;
        let found = |subject: &str, reason, message: &str| Found {
            subject: subject.to_owned(),
            reason,
            message: message.to_owned(),
        };
        let secret = |peer: &str| found(peer, Reason::SecretMissing, "there is none");
        let mut snapshot = Snapshot {
            conditions: vec![
                secret("BGPPeer/b"),
                found("Node/n", Reason::AddressUnknown, "no"),
                secret("BGPPeer/a"),
            ],
            kernel_faults: ["route b", "route a"].map(|text| KernelFault::Refused(text.to_owned())).to_vec(),
            ..Snapshot::default()
        };
        let first = report(&snapshot, at(100), None);
        let wrong: Vec<(&str, &str, &str)> = first
            .conditions
            .iter()
            .filter(|found| found.status == ConditionStatus::True && NodeReport::is_fault(found))
            .map(|found| (found.kind.as_str(), found.reason.as_str(), found.message.as_str()))
            .collect();
        let secrets = "BGPPeer/a: there is none\nBGPPeer/b: there is none";
        assert_eq!(
            wrong,
            [
                ("AddressUnknown", "AddressUnknown", "Node/n: no"),
                ("KernelRefused", "Refused", "route a\nroute b"),
                ("SecretMissing", "SecretMissing", secrets),
            ]
        );
        snapshot.conditions.reverse();
        assert!(same(&first, &report(&snapshot, at(200), Some(&first))));
        snapshot.conditions.pop();
        let other = report(&snapshot, at(300), Some(&first));
        let secret = other.conditions.iter().find(|found| found.kind == "SecretMissing").unwrap();
        assert_eq!(secret.message, "BGPPeer/a: there is none");
        assert_eq!(secret.last_transition_time, at(100), "it holds since then, whom it is about");
    }

    #[test]
    fn a_condition_keeps_the_time_of_its_last_change() {
        let at = Timestamp::from_unix;
        let readiness = Readiness { datastore: Some("not read yet".to_owned()), ..Readiness::default() };
        let starting = Snapshot { readiness, ..Snapshot::default() };
        let first = report(&starting, at(100), None);
        let second = report(&starting, at(200), Some(&first));
        assert!(same(&first, &second));
        let third = report(&Snapshot::default(), at(300), Some(&second));
        let times: Vec<_> = third.conditions.iter().map(|found| found.last_transition_time.unix()).collect();
        assert_eq!(times, [300, 100, 100], "Ready changed, BGPReady and DataplaneInSync did not");
    }

    #[test]
    fn a_node_that_is_not_ready_says_why() {
        let why = || Some("why".to_owned());
        let told = |readiness: Readiness, in_sync: bool, unread: &[(&str, &str)]| {
            let unread =
                unread.iter().map(|(object, why)| ((*object).to_owned(), (*why).to_owned())).collect();
            let snapshot = Snapshot { readiness, in_sync, unread, ..Snapshot::default() };
            let report = report(&snapshot, Timestamp::from_unix(1), None);
            let ready = report.conditions.iter().find(|found| found.kind == "Ready").cloned().unwrap();
            assert_eq!(ready.status == ConditionStatus::True, ready.reason == "OK");
            let problem = report.conditions.into_iter().find(|found| found.kind == UNREADABLE);
            (ready.reason, problem.map(|found| (found.reason, found.message)))
        };
        let ready = Readiness::default;
        assert_eq!(told(ready(), true, &[]), ("OK".to_owned(), None));
        assert_eq!(told(Readiness { dataplane: why(), bgpd: why(), ..ready() }, false, &[]).0, "Starting");
        assert_eq!(told(Readiness { bgpd: why(), ..ready() }, false, &[]).0, "RoutesIncomplete");
        assert_eq!(told(Readiness { bgpd: why(), ipam: why(), ..ready() }, true, &[]).0, "BGPUnavailable");
        assert_eq!(told(Readiness { ipam: why(), ..ready() }, true, &[]).0, "NoAddresses");
        let unread = [("BGPConfiguration/default", "spec.asNumber: \"0\": 1 to 4294967294")];
        let (reason, problem) = told(Readiness { datastore: why(), ..ready() }, false, &unread);
        let (kind, message) = problem.unwrap();
        assert_eq!((reason.as_str(), kind.as_str()), ("Unreadable", "Unreadable"));
        assert!(message.starts_with("BGPConfiguration/default: "), "the controller tells it of the object");
        assert!(message.contains("spec.asNumber"), "{message}");
    }

    #[test]
    fn emptying_is_told_with_why_and_how_far() {
        let drain = DrainState {
            causes: vec![DrainCause::Tainted("k".to_owned()), DrainCause::Cordoned],
            wait: "30s".parse().unwrap(),
            waited: false,
            addresses: 2,
            egress: 1,
            used: 1,
            idle: 3,
        };
        let told = |drain: &DrainState| {
            let snapshot = Snapshot { drain: Some(drain.clone()), ..Snapshot::default() };
            let report = report(&snapshot, Timestamp::from_unix(1), None);
            let of = |kind: &str| report.conditions.iter().find(|found| found.kind == kind).cloned().unwrap();
            (of("Draining"), of("Drained"))
        };
        let (why, far) = told(&drain);
        assert_eq!((why.status, why.reason.as_str()), (ConditionStatus::True, "Tainted"));
        assert!(why.message.contains("taint k") && why.message.contains("cordoned"), "{}", why.message);
        assert_eq!((far.status, far.reason.as_str()), (ConditionStatus::False, "Waiting"));
        let drain = DrainState { waited: true, ..drain };
        let far = told(&drain).1;
        assert_eq!((far.status, far.reason.as_str()), (ConditionStatus::False, "InUse"));
        assert!(far.message.contains("1 blocks stay") && far.message.contains("3 are"), "{}", far.message);
        let drain = DrainState { addresses: 0, egress: 0, ..drain };
        let far = told(&drain).1;
        assert_eq!((far.status, far.reason.as_str()), (ConditionStatus::True, "Empty"));
        let none = report(&Snapshot::default(), Timestamp::from_unix(1), None);
        assert!(none.conditions.iter().all(|found| !found.kind.starts_with("Drain")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_report_that_is_deleted_or_not_written_comes_back() {
        let store = MemoryStore::new();
        let (news, seen) = watch::channel(());
        let (snapshots, mut asked) = mpsc::channel::<oneshot::Sender<Snapshot>>(1);
        tokio::spawn(async move {
            while let Some(answer) = asked.recv().await {
                let _told = answer.send(Snapshot::default());
            }
        });
        let task = tokio::spawn(run(store.clone(), "a".to_owned(), seen, snapshots));
        let is_there = async || {
            tokio::time::sleep(INTERVAL * 10).await;
            let found = store.get::<NodeStatus>(&Key::named("a")).await;
            found.is_ok_and(|found| found.status.is_some_and(|report| report.last_updated.is_some()))
        };
        assert!(!is_there().await, "nothing is known of the node yet");
        store.set_hook(|_| Fault::Lost);
        news.send(()).unwrap();
        assert!(!is_there().await);
        store.set_hook(|_| Fault::None);
        assert!(is_there().await, "tried again without news");
        store.delete::<NodeStatus>(&Key::named("a"), &Precondition::default()).await.unwrap();
        assert!(is_there().await, "put back");
        task.abort();
    }
}
