//! Who has the addresses of each egress gateway: taken by compare-and-swap in the object's status.
//!
//! A node that has them is known to be alive by its announcement, which BGP withdraws when the node dies: with BFD within the detection time. So another node
//! takes them only while nobody announces them, and two nodes never announce them for longer than one needs to hear of the
//! other (I3): the swap decides between two that take them at the same time.
//!
//! Each candidate waits for those that come before it by a hash of gateway and node, which spreads gateways over nodes.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use cairn_api::kinds::{EgressGateway, EgressGatewayStatus};
use cairn_api::{Condition, ConditionStatus, Object};
use cairn_daemon::timer::at;
use cairn_datastore::{Backoff, Datastore, StoreError};
use felix_core::Claim;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::engine::{EgressFacts, NodeFacts};
use crate::store::Followed;

/// How long a candidate leaves it to each one before it.
const TURN: Duration = Duration::from_millis(500);
/// The longest such wait, however many there are.
const LONGEST: Duration = Duration::from_secs(5);
/// How long a node may take until its announcement is heard, once it has the addresses.
const GRACE: Duration = Duration::from_secs(10);
/// How long there must be a session before the lack of an announcement means anything.
const SETTLED: Duration = Duration::from_secs(5);
/// The condition.
const ACTIVE: &str = "Active";

/// Takes addresses and gives them back. Ends only with the engine, or if the store is closed.
pub(crate) async fn run<D: Datastore>(store: D, node: String, mut facts: watch::Receiver<NodeFacts>) {
    let mut known = Followed::<EgressGateway>::new(&store);
    let mut waits = Waits::default();
    let mut backoff = Backoff::default();
    loop {
        let now = Instant::now();
        let egress =
            facts.borrow_and_update().egress.clone().filter(|_| known.is_listed()).unwrap_or_default();
        let (due, next) = waits.look(&node, &egress, now);
        let mut failed = false;
        for (name, step) in due {
            // Judged by the engine's picture, written to this one: both must be of one mind about who has the addresses.
            let judged = egress.claims.get(&name).and_then(|claim| claim.node.as_deref());
            let same = |object: &&Object<EgressGateway>| {
                object.status.as_ref().and_then(|status| status.node.as_deref()) == judged
            };
            if let Some(object) = known.get(&name).filter(same) {
                failed |= !settle(&store, &node, object, step).await;
            }
        }
        if !failed {
            backoff.succeeded();
        }
        let retry = failed.then(|| Instant::now() + backoff.failed());
        tokio::select! {
            changed = facts.changed() => if changed.is_err() {
                return;
            },
            open = known.follow() => if !open {
                return;
            },
            () = at(retry.or(next)) => {}
        }
    }
}

/// What a node does about a gateway's addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Take,
    GiveBack,
}

/// Since when what is so.
#[derive(Debug, Default)]
struct Waits {
    /// Since when there is a session.
    connected: Option<Instant>,
    gateways: BTreeMap<String, Wait>,
}

#[derive(Debug, Default)]
struct Wait {
    /// Who has the addresses.
    node: Option<String>,
    /// Was its announcement heard?
    heard: bool,
    /// Since when nobody announces them, and somebody else has them, or nobody.
    free: Option<Instant>,
}

impl Waits {
    /// What is to be done now, and when to look again.
    fn look(
        &mut self,
        node: &str,
        egress: &EgressFacts,
        now: Instant,
    ) -> (Vec<(String, Step)>, Option<Instant>) {
        self.connected = egress.connected.then(|| self.connected.unwrap_or(now));
        self.gateways.retain(|name, _| egress.claims.contains_key(name));
        let (mut due, mut next): (Vec<_>, Option<Instant>) = (Vec::new(), None);
        for (name, claim) in &egress.claims {
            let wait = self.gateways.entry(name.clone()).or_default();
            match wait.step(node, claim, self.connected, now) {
                Some((step, when)) if when <= now => due.push((name.clone(), step)),
                Some((_, when)) => next = Some(next.map_or(when, |next| next.min(when))),
                None => {}
            }
        }
        (due, next)
    }
}

impl Wait {
    fn step(
        &mut self,
        node: &str,
        claim: &Claim,
        connected: Option<Instant>,
        now: Instant,
    ) -> Option<(Step, Instant)> {
        if self.node != claim.node {
            *self = Self { node: claim.node.clone(), ..Self::default() };
        }
        self.heard |= claim.announced;
        if claim.node.as_deref() == Some(node) {
            return (!claim.candidate).then_some((Step::GiveBack, now));
        }
        if !claim.candidate || claim.announced {
            self.free = None;
            return None;
        }
        // Silence means nothing while nobody could be heard, nor just after.
        let Some(connected) = connected else {
            (self.heard, self.free) = (false, None);
            return None;
        };
        let free = *self.free.get_or_insert(now);
        // Whoever has just taken them is not heard at once.
        let grace = if self.heard || claim.node.is_none() { Duration::ZERO } else { GRACE };
        let turn = TURN.saturating_mul(claim.rank).min(LONGEST);
        Some((Step::Take, (free + grace + turn).max(connected + SETTLED)))
    }
}

/// Makes the step. True unless it is to be tried again: a conflict is told by the watch, and judged anew.
async fn settle<D: Datastore>(store: &D, node: &str, object: &Object<EgressGateway>, step: Step) -> bool {
    let name = object.name();
    let (taker, status, reason, message) = match step {
        Step::Take => {
            (Some(node.to_owned()), ConditionStatus::True, "OK", format!("Node/{node} has the addresses"))
        }
        Step::GiveBack => {
            let message = format!("Node/{node} has given the addresses back: it may not have them any more");
            (None, ConditionStatus::False, "Released", message)
        }
    };
    let mut conditions = object.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
    conditions.retain(|condition| condition.kind != ACTIVE);
    conditions.push(Condition {
        kind: ACTIVE.to_owned(),
        status,
        reason: reason.to_owned(),
        message,
        last_transition_time: SystemTime::now().into(),
        observed_generation: Some(object.metadata.generation).filter(|generation| *generation > 0),
    });
    let before = object.status.as_ref().and_then(|status| status.node.clone());
    let status = Some(EgressGatewayStatus { node: taker, conditions });
    match store.update_status(&Object { status, ..object.clone() }).await {
        Ok(_) => {
            let before = before.unwrap_or_else(|| "nobody".to_owned());
            match step {
                Step::Take => {
                    info!(gateway = name, before, "this node takes the addresses of an egress gateway");
                }
                Step::GiveBack => {
                    info!(gateway = name, "this node gives the addresses of an egress gateway back");
                }
            }
            true
        }
        Err(StoreError::Conflict { .. } | StoreError::NotFound { .. }) => true,
        Err(error) => {
            warn!(gateway = name, %error, "the egress gateway's status is not written: trying again");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(node: Option<&str>, announced: bool, rank: u32) -> EgressFacts {
        let node = node.map(ToOwned::to_owned);
        let claim = Claim { candidate: true, node, announced, rank };
        EgressFacts { claims: [("g".to_owned(), claim)].into(), connected: true, ..EgressFacts::default() }
    }

    /// When node `a` takes the addresses, in milliseconds after the first look; looked at each 100 ms.
    fn takes(mut at: impl FnMut(u64) -> EgressFacts) -> Option<u64> {
        let (mut waits, begin) = (Waits::default(), Instant::now());
        (0..300).map(|step| step * 100).find(|ms| {
            let (due, next) = waits.look("a", &at(*ms), begin + Duration::from_millis(*ms));
            assert!(next.is_none_or(|next| next > begin + Duration::from_millis(*ms)));
            due == [("g".to_owned(), Step::Take)]
        })
    }

    #[test]
    fn addresses_of_nobody_are_taken_in_turn() {
        assert_eq!(takes(|_| facts(None, false, 0)), Some(5000), "once the silence means something");
        assert_eq!(takes(|ms| facts(None, ms < 8000, 0)), Some(8000), "once nobody announces them");
        assert_eq!(takes(|ms| facts(None, ms < 8000, 3)), Some(9500), "behind three others");
        assert_eq!(takes(|_| EgressFacts { connected: false, ..facts(None, false, 0) }), None);
    }

    #[test]
    fn addresses_of_another_are_taken_when_its_announcement_goes() {
        assert_eq!(takes(|_| facts(Some("b"), true, 0)), None);
        assert_eq!(takes(|ms| facts(Some("b"), ms < 7000, 0)), Some(7000));
        assert_eq!(takes(|_| facts(Some("b"), false, 0)), Some(10_000), "it was given time to announce them");
        let late = |ms| facts(Some(if ms < 9000 { "b" } else { "c" }), ms < 9000, 0);
        assert_eq!(takes(late), Some(19_000), "and so is the next one");
        assert_eq!(takes(|_| facts(Some("a"), false, 0)), None, "they are its own");
    }

    #[test]
    fn sessions_that_come_back_are_waited_for() {
        let alone = |ms| EgressFacts { connected: ms > 9000, ..facts(Some("b"), ms < 6000, 0) };
        assert_eq!(takes(alone), Some(19_100));
    }

    #[tokio::test]
    async fn of_two_that_take_them_one_has_them() {
        use cairn_api::Metadata;
        use cairn_datastore::{Key, MemoryStore};

        let store = MemoryStore::new();
        let spec = gateway();
        let object = store.create(&Object::new(Metadata::named("g"), spec)).await.unwrap();
        assert!(settle(&store, "a", &object, Step::Take).await);
        assert!(settle(&store, "b", &object, Step::Take).await, "a conflict is no error");
        let found = store.get::<EgressGateway>(&Key::named("g")).await.unwrap();
        let status = found.status.clone().unwrap();
        assert_eq!((status.node.as_deref(), status.conditions.len()), (Some("a"), 1));
        assert!(settle(&store, "a", &found, Step::GiveBack).await);
        let status = store.get::<EgressGateway>(&Key::named("g")).await.unwrap().status.unwrap();
        assert_eq!((status.node, status.conditions[0].reason.as_str()), (None, "Released"));
    }

    fn gateway() -> EgressGateway {
        EgressGateway {
            egress_ips: vec!["203.0.113.1".parse().unwrap()],
            namespace_selector: cairn_api::Selector::default(),
            pod_selector: cairn_api::Selector::default(),
            destination_cidrs: Vec::new(),
            excluded_cidrs: Vec::new(),
            node_selector: cairn_api::Selector::default(),
        }
    }
}
