//! What is wrong with whom. Pure, and a function of what is said now.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use cairn_api::core::{Node, Regarding};
use cairn_api::kinds::{BgpPeer, NodeReport, SessionReport};
use cairn_api::{Condition, ConditionStatus, Kind};
use cairn_verdict::{ACCEPTED, Spoken, Told};

use crate::established::ESTABLISHED;
use crate::report::Reports;

/// What is said of sessions.
const SESSION: &str = "Session";
/// Reasons of what somebody wanted, or what passes by itself.
const WANTED: [&str; 3] = ["PoolDisabled", "Terminating", "Released"];
/// Sessions, and messages with one word, that are named; of the rest that there are others.
const NAMED: usize = 3;

/// Something that is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Matter {
    /// The object.
    pub regarding: Regarding,
    /// The type of the condition that says so.
    pub about: String,
    /// In one word.
    pub reason: String,
    /// In a sentence.
    pub message: String,
}

impl Matter {
    /// Of two with the same, one may have become the other: nothing is over then.
    pub fn line(&self) -> (&Regarding, &str) {
        (&self.regarding, &self.about)
    }

    /// Must it last before it is told? Much of what nodes report, of themselves and of others, passes within seconds.
    pub fn is_passing(&self, by: &By) -> bool {
        self.regarding.kind == Node::KIND || !by.first.is_empty()
    }
}

/// What may change while a matter stays the same.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct By {
    /// The first node by name that says so; empty where it is nobody's view.
    pub first: String,
    /// How many more.
    pub more: usize,
    /// More about it; may be empty.
    pub detail: String,
}

/// What is wrong, and who says so.
pub type Matters = BTreeMap<Matter, By>;

/// All that is wrong.
pub fn all(spoken: &Spoken, reports: &Reports) -> Matters {
    let mut gathered = Gathered::default();
    let mut accepted: HashMap<(&str, &str), &Told> = HashMap::new();
    for told in &spoken.objects {
        accepted.insert((told.kind, &told.name), told);
        for condition in told.conditions.iter().filter(|condition| is_wrong(condition)) {
            gathered.add(object(told), condition, &condition.message, None);
        }
    }
    for (name, report) in reports {
        // A report without Node is for the rounds: nobody describes a Node that is not there.
        let Some(status) = report.status.as_ref().filter(|_| spoken.nodes.contains_key(name)) else {
            continue;
        };
        for condition in &status.conditions {
            of_node(&mut gathered, spoken, &accepted, name, condition);
        }
    }
    let mut matters = gathered.matters();
    sessions(&mut matters, spoken, reports);
    matters
}

fn is_wrong(condition: &Condition) -> bool {
    // Which end lacks sessions is told by the sessions themselves.
    let counts = condition.kind == ESTABLISHED;
    condition.status == ConditionStatus::False && !counts && !WANTED.contains(&condition.reason.as_str())
}

/// Does the object say this itself, for all nodes at once? One that is not accepted tells all that is wrong with it, and has the word of the first.
fn says(told: &Told, reason: &str) -> bool {
    let is_judged = || told.reasons.iter().any(|found| found.as_str() == reason);
    let mut wrong = told.conditions.iter().filter(|condition| is_wrong(condition));
    wrong.any(|condition| condition.reason == reason || (condition.kind == ACCEPTED && is_judged()))
}

/// What conditions say: of one object, of one type and in one word it is one matter, in however many messages.
#[derive(Debug, Default)]
struct Gathered<'a>(BTreeMap<(Regarding, &'a str, &'a str), Said<'a>>);

#[derive(Debug, Default)]
struct Said<'a> {
    messages: BTreeSet<&'a str>,
    /// The nodes that say so.
    by: BTreeSet<&'a str>,
}

impl<'a> Gathered<'a> {
    /// A condition has this message about an object.
    fn add(&mut self, regarding: Regarding, condition: &'a Condition, message: &'a str, by: Option<&'a str>) {
        let (about, reason) = (condition.kind.as_str(), condition.reason.as_str());
        let said = self.0.entry((regarding, about, reason)).or_default();
        said.messages.insert(message);
        said.by.extend(by);
    }

    fn matters(self) -> Matters {
        let matter = |((regarding, about, reason), said): ((Regarding, &str, &str), Said<'_>)| {
            let named: Vec<&str> = said.messages.iter().take(NAMED).copied().collect();
            // How many others is left out: each change would be another matter.
            let more = if said.messages.len() > NAMED { "; and others" } else { "" };
            let message = format!("{}{more}", named.join("; "));
            let first = said.by.first().copied().unwrap_or_default().to_owned();
            let by = By { first, more: said.by.len().saturating_sub(1), ..By::default() };
            (Matter { regarding, about: about.to_owned(), reason: reason.to_owned(), message }, by)
        };
        self.0.into_iter().map(matter).collect()
    }
}

fn object(told: &Told) -> Regarding {
    Regarding {
        api_version: told.api_version.to_owned(),
        kind: told.kind.to_owned(),
        name: told.name.clone(),
        uid: told.uid.clone(),
    }
}

fn node(spoken: &Spoken, name: &str) -> Option<Regarding> {
    let facts = spoken.nodes.get(name)?;
    Some(Regarding {
        api_version: Node::API_VERSION.to_owned(),
        kind: Node::KIND.to_owned(),
        name: name.to_owned(),
        uid: facts.uid.clone(),
    })
}

/// A condition of a node's report: each thing that it says, with whoever that is about.
fn of_node<'a>(
    gathered: &mut Gathered<'a>,
    spoken: &Spoken,
    objects: &HashMap<(&str, &str), &Told>,
    name: &'a str,
    condition: &'a Condition,
) {
    let Some(own) = node(spoken, name).filter(|_| NodeReport::is_fault(condition)) else { return };
    let by = Some(name);
    for thing in NodeReport::things(&condition.message) {
        let subject = thing.split_once(": ").and_then(|(who, said)| Some((who.split_once('/')?, said)));
        let Some(((kind, subject), said)) = subject else {
            gathered.add(own.clone(), condition, thing, by);
            continue;
        };
        if kind == Node::KIND
            && let Some(other) = node(spoken, subject)
        {
            gathered.add(other, condition, said, by);
            continue;
        }
        match objects.get(&(kind, subject)) {
            Some(told) if says(told, &condition.reason) => {}
            Some(told) => gathered.add(object(told), condition, said, by),
            None => gathered.add(own.clone(), condition, thing, by),
        }
    }
}

/// One end of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum End<'a> {
    Node(&'a str),
    /// Of somebody who is no node.
    Address(IpAddr),
}

/// Sessions that should be and are not, each told of that end of which more are down: of a node or a router that died once, and not of all who
/// had sessions with it. Of two equal ends it is the node, or the first by name.
fn sessions(matters: &mut Matters, spoken: &Spoken, reports: &Reports) {
    let mut down: BTreeMap<(End<'_>, End<'_>), &SessionReport> = BTreeMap::new();
    let names: HashMap<IpAddr, &str> = spoken
        .nodes
        .iter()
        .flat_map(|(name, facts)| facts.addresses.iter().map(|address| (*address, name.as_str())))
        .collect();
    for (name, report) in reports.iter().filter(|(name, _)| spoken.nodes.contains_key(*name)) {
        let sessions = report.status.iter().flat_map(|report: &NodeReport| &report.sessions);
        for session in sessions.filter(|session| session.state != "Established") {
            let own = End::Node(name);
            let other =
                names.get(&session.peer_ip).map_or(End::Address(session.peer_ip), |name| End::Node(name));
            if own != other {
                down.entry((own.min(other), own.max(other))).or_insert(session);
            }
        }
    }
    let mut degrees: HashMap<End<'_>, usize> = HashMap::new();
    for (a, b) in down.keys() {
        *degrees.entry(*a).or_default() += 1;
        *degrees.entry(*b).or_default() += 1;
    }
    let mut blamed: BTreeMap<End<'_>, Vec<(End<'_>, &SessionReport)>> = BTreeMap::new();
    for ((a, b), session) in down {
        let is_known = match b {
            End::Node(_) => true,
            End::Address(address) => spoken.peers.contains_key(&address),
        };
        let (end, other) = if is_known && degrees.get(&b) > degrees.get(&a) { (b, a) } else { (a, b) };
        blamed.entry(end).or_default().push((other, session));
    }
    for (end, others) in blamed {
        blame(matters, spoken, end, &others);
    }
}

/// Tells of one end what it lacks. Of the state nothing: it goes round in circles while nothing changes, and so may the last error.
fn blame(matters: &mut Matters, spoken: &Spoken, end: End<'_>, others: &[(End<'_>, &SessionReport)]) {
    let Some((first, session)) = others.first() else { return };
    let (regarding, message, mut by) = match end {
        End::Node(name) => {
            let name_of = |(other, session): &(End<'_>, &SessionReport)| match other {
                End::Node(other) => format!("Node/{other}"),
                End::Address(address) => format!("{address} (AS {})", session.as_number),
            };
            let named = others.iter().take(NAMED).map(name_of).collect::<Vec<_>>().join(", ");
            // How many others is left out: each change would be another matter.
            let more = if others.len() > NAMED { " and others" } else { "" };
            (node(spoken, name), format!("no BGP session with {named}{more}"), By::default())
        }
        End::Address(address) => {
            let peer = spoken.peers.get(&address);
            let told = peer.and_then(|peer| {
                spoken.objects.iter().find(|told| told.kind == BgpPeer::KIND && told.name == *peer)
            });
            let by = match first {
                End::Node(name) => By { first: (*name).to_owned(), more: others.len() - 1, ..By::default() },
                End::Address(_) => By::default(),
            };
            (told.map(object), format!("no BGP session with {address} (AS {})", session.as_number), by)
        }
    };
    if others.len() == 1 {
        by.detail.clone_from(&session.last_error);
    }
    if let Some(regarding) = regarding {
        let (about, reason) = (SESSION.to_owned(), "SessionDown".to_owned());
        matters.insert(Matter { regarding, about, reason, message }, by);
    }
}

/// The objects that are there: only of these it is told that something is over.
pub fn present(spoken: &Spoken) -> HashSet<Regarding> {
    let nodes = spoken.nodes.keys().filter_map(|name| node(spoken, name));
    spoken.objects.iter().map(object).chain(nodes).collect()
}

#[cfg(test)]
mod tests;
