use std::collections::{BTreeMap, HashMap};

use cairn_api::kinds::{BgpPeer, NodeReport, SessionCounts};
use cairn_api::{Condition, ConditionStatus, Draft, DraftStatus, Object, Timestamp};
use cairn_verdict::Spoken;

use crate::report::Reports;

/// The condition: are all sessions by the object established?
pub const ESTABLISHED: &str = "Established";

/// Nodes that are named, and bytes that are said of each.
const NAMED: usize = 3;
const LONGEST: usize = 256;

/// What nodes report of the sessions by one BGPPeer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Count {
    counts: SessionCounts,
    /// The first nodes that lack some, and why.
    lacking: Vec<String>,
    /// How many more do.
    more: usize,
}

/// By the names of BGPPeers; of one that is not there no node reports a session.
pub(super) type Counts = BTreeMap<String, Count>;

/// Counts all sessions by BGPPeers.
pub(super) fn count(spoken: &Spoken, reports: &Reports) -> Counts {
    let mut counts = Counts::new();
    for (name, report) in reports {
        // A report without Node is for the rounds: the node is gone, or has another name.
        let (Some(facts), Some(report)) = (spoken.nodes.get(name), &report.status) else { continue };
        if report.bgp_peers.is_empty() {
            continue;
        }
        let seen = Seen::of(report);
        for demand in &report.bgp_peers {
            let seen = seen.get(demand.name.as_str()).copied().unwrap_or_default();
            let count = counts.entry(demand.name.clone()).or_default();
            let established = if facts.unreachable { 0 } else { seen.established.min(demand.sessions) };
            count.counts.wanted += demand.sessions;
            count.counts.established += established;
            if established == demand.sessions {
                continue;
            }
            if count.lacking.len() == NAMED {
                count.more += 1;
                continue;
            }
            let why = if facts.unreachable {
                "nothing is heard of the node"
            } else {
                seen.why(report, demand.sessions)
            };
            count.lacking.push(format!("{name} ({})", &why[..why.floor_char_boundary(LONGEST)]));
        }
    }
    counts
}

/// The sessions of one node by one BGPPeer.
#[derive(Debug, Clone, Copy, Default)]
struct Seen<'a> {
    all: u64,
    established: u64,
    /// Why one of them is down, as far as one says so.
    error: &'a str,
}

impl<'a> Seen<'a> {
    fn of(report: &'a NodeReport) -> HashMap<&'a str, Self> {
        let mut all: HashMap<&str, Self> = HashMap::new();
        for session in report.sessions.iter().filter(|session| !session.bgp_peer.is_empty()) {
            let seen = all.entry(session.bgp_peer.as_str()).or_default();
            seen.all += 1;
            if session.state == "Established" {
                seen.established += 1;
            } else if seen.error.is_empty() {
                seen.error = &session.last_error;
            }
        }
        all
    }

    fn why(&self, report: &'a NodeReport, wanted: u64) -> &'a str {
        if !self.error.is_empty() {
            return self.error;
        }
        let bgpd = report.conditions.iter().find(|found| found.kind == "BGPReady");
        match bgpd.filter(|bgpd| bgpd.status != ConditionStatus::True && !bgpd.message.is_empty()) {
            Some(bgpd) => &bgpd.message,
            None if self.all < wanted => "bgpd has no such session: see the conditions of its NodeStatus",
            None => "no connection yet",
        }
    }
}

/// What a difference between what is said and what should be is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// All sessions were established, and no longer are.
    Worse,
    /// The counts, or the answer.
    Facts,
    /// Only why, or whose they are.
    Words,
}

/// The status that a BGPPeer should have, and what of it is new; `None` if it has it.
pub(super) fn wanted(
    object: &Object<Draft<BgpPeer>>,
    count: Option<&Count>,
    now: Timestamp,
) -> Option<(DraftStatus, Change)> {
    let counts = count.map(|count| count.counts).unwrap_or_default();
    let (status, reason, message) = match count {
        None => {
            let message = "no node reports a session by this object".to_owned();
            (ConditionStatus::Unknown, "NotReported", message)
        }
        Some(count) if count.lacking.is_empty() => (ConditionStatus::True, "OK", String::new()),
        Some(count) => (ConditionStatus::False, "SessionDown", count.message()),
    };
    let known = object.conditions().iter().find(|condition| condition.kind == ESTABLISHED);
    // Of no generation: a report does not say which one of the object the node has.
    let wanted = Condition {
        kind: ESTABLISHED.to_owned(),
        status,
        reason: reason.to_owned(),
        message,
        last_transition_time: Condition::since(known, status, now),
        observed_generation: None,
    };
    let same_counts = object.sessions() == Some(counts);
    let change = match known {
        Some(known) if *known == wanted && same_counts => return None,
        Some(known) if known.status == ConditionStatus::True && status != ConditionStatus::True => {
            Change::Worse
        }
        Some(known) if same_counts && known.status == status && known.reason == reason => Change::Words,
        _ => Change::Facts,
    };
    let mut status = object.status.clone().unwrap_or_default();
    status.set_sessions(counts);
    status.conditions.retain(|condition| condition.kind != ESTABLISHED);
    status.conditions.push(wanted);
    Some((status, change))
}

impl Count {
    fn message(&self) -> String {
        let SessionCounts { wanted, established } = self.counts;
        let more = if self.more == 0 { String::new() } else { format!(" and {} more nodes", self.more) };
        format!(
            "{established} of {wanted} sessions are established; not all of {}{more}",
            self.lacking.join(", ")
        )
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use cairn_api::Metadata;
    use cairn_api::kinds::{NodeStatus, PeerDemand, SessionReport};
    use cairn_net::Asn;
    use cairn_verdict::judge::NodeFacts;

    use super::*;

    pub(crate) fn session(bgp_peer: &str, state: &str, error: &str) -> SessionReport {
        SessionReport {
            peer_ip: [192, 0, 2, 254].into(),
            bgp_peer: bgp_peer.to_owned(),
            as_number: Asn(65001),
            state: state.to_owned(),
            since: None,
            last_error: error.to_owned(),
            received: 0,
            advertised: 0,
        }
    }

    /// A report of a node that should have one session by each of some objects.
    pub(crate) fn report(name: &str, wanted: &[&str], sessions: Vec<SessionReport>) -> Object<NodeStatus> {
        let demand = |name: &&str| PeerDemand { name: (*name).to_owned(), sessions: 1 };
        let bgp_peers = wanted.iter().map(demand).collect();
        let mut object = Object::new(Metadata::named(name), NodeStatus::default());
        object.status = Some(NodeReport { sessions, bgp_peers, ..NodeReport::default() });
        object
    }

    fn reports(all: Vec<Object<NodeStatus>>) -> Reports {
        all.into_iter().map(|object| (object.name().to_owned(), Arc::new(object))).collect()
    }

    fn nodes(names: &[&str]) -> Spoken {
        let nodes = names.iter().map(|name| ((*name).to_owned(), NodeFacts::default())).collect();
        Spoken { nodes, ..Spoken::default() }
    }

    pub(crate) fn peer() -> Object<Draft<BgpPeer>> {
        Object::new(Metadata::named("tor"), Draft::new(serde_json::json!({})))
    }

    fn up(peer: &str) -> SessionReport {
        session(peer, "Established", "")
    }

    /// Status, reason and message of the condition, and the counts.
    fn said(counts: &Counts) -> (ConditionStatus, String, String, u64, u64) {
        let (status, _) = wanted(&peer(), counts.get("tor"), Timestamp::from_unix(1)).unwrap();
        let object = Object { status: Some(status), ..peer() };
        let found = object.conditions()[0].clone();
        let counts = object.sessions().unwrap();
        (found.status, found.reason, found.message, counts.wanted, counts.established)
    }

    #[test]
    fn sessions_of_all_nodes_are_counted_by_object_and_those_that_lack_some_are_named() {
        let all = reports(vec![
            report("n1", &["tor"], vec![up("tor"), session("", "Active", "of the mesh")]),
            report(
                "n2",
                &["other", "tor"],
                vec![up("other"), session("tor", "Active", "hold timer expired")],
            ),
            report("n3", &["tor"], vec![]),
            report("gone", &["tor"], vec![up("tor")]),
        ]);
        let counts = count(&nodes(&["n1", "n2", "n3"]), &all);
        let message = "1 of 3 sessions are established; not all of n2 (hold timer expired), \
                       n3 (bgpd has no such session: see the conditions of its NodeStatus)";
        let wanted = (ConditionStatus::False, "SessionDown".to_owned(), message.to_owned(), 3, 1);
        assert_eq!(said(&counts), wanted);
        assert_eq!(counts["other"].counts, SessionCounts { wanted: 1, established: 1 });
        assert!(counts["other"].lacking.is_empty());
    }

    #[test]
    fn all_is_true_and_nothing_is_unknown() {
        let none = said(&count(&nodes(&["n1"]), &reports(vec![report("n1", &[], vec![up("")])])));
        assert_eq!((none.0, none.1.as_str(), none.3), (ConditionStatus::Unknown, "NotReported", 0));
        let all = said(&count(&nodes(&["n1"]), &reports(vec![report("n1", &["tor"], vec![up("tor")])])));
        assert_eq!(all, (ConditionStatus::True, "OK".to_owned(), String::new(), 1, 1));
    }

    #[test]
    fn a_node_of_which_nothing_is_heard_has_no_session_and_bgpd_says_why_it_has_none() {
        let mut spoken = nodes(&["n1", "n2"]);
        spoken.nodes.get_mut("n1").unwrap().unreachable = true;
        let mut away = report("n2", &["tor"], vec![]);
        away.status.as_mut().unwrap().conditions.push(Condition {
            kind: "BGPReady".to_owned(),
            status: ConditionStatus::False,
            reason: "Unavailable".to_owned(),
            message: "no socket".to_owned(),
            last_transition_time: Timestamp::from_unix(1),
            observed_generation: None,
        });
        let found = said(&count(&spoken, &reports(vec![report("n1", &["tor"], vec![up("tor")]), away])));
        assert!(found.2.ends_with("n1 (nothing is heard of the node), n2 (no socket)"), "{}", found.2);
        assert_eq!((found.3, found.4), (2, 0));
    }

    #[test]
    fn a_message_has_an_end() {
        let names: Vec<String> = (0..9).map(|number| format!("n{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let error = "ä".repeat(4000);
        let down = |name: &&str| report(name, &["tor"], vec![session("tor", "Idle", &error)]);
        let message = said(&count(&nodes(&names), &reports(names.iter().map(down).collect()))).2;
        assert!(message.len() < 1024 && message.ends_with(") and 6 more nodes"), "{message}");
    }

    #[test]
    fn what_others_say_stays_and_what_is_new_is_told_apart() {
        let at = Timestamp::from_unix;
        let of = |session| count(&nodes(&["n1"]), &reports(vec![report("n1", &["tor"], vec![session])]));
        let say = |object: &mut Object<Draft<BgpPeer>>, counts: &Counts, now| {
            let (status, change) = wanted(object, counts.get("tor"), at(now))?;
            object.status = Some(status);
            Some(change)
        };
        let mut object = peer();
        let accepted = Condition {
            kind: "Accepted".to_owned(),
            status: ConditionStatus::True,
            reason: "OK".to_owned(),
            message: String::new(),
            last_transition_time: at(1),
            observed_generation: Some(1),
        };
        object.status.get_or_insert_default().conditions.push(accepted.clone());
        assert_eq!(say(&mut object, &of(up("tor")), 10), Some(Change::Facts));
        assert_eq!(say(&mut object, &of(up("tor")), 20), None);
        assert_eq!(say(&mut object, &of(session("tor", "Active", "a")), 30), Some(Change::Worse));
        assert_eq!(say(&mut object, &of(session("tor", "Idle", "b")), 40), Some(Change::Words));
        let found = object.conditions().iter().find(|found| found.kind == ESTABLISHED).unwrap();
        assert_eq!(found.last_transition_time, at(30));
        assert_eq!(say(&mut object, &Counts::new(), 50), Some(Change::Facts));
        assert_eq!(object.conditions()[0], accepted);
        assert_eq!(object.conditions().len(), 2);
    }
}
