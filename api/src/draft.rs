//! Objects that may make no sense: whoever says so in their status must be able to read and write them all the same.

use std::marker::PhantomData;

use cairn_net::Prefix;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::kinds::{BgpPeer, IpPool, SessionCounts};
use crate::{Condition, Faults, Kind, Object};

/// The spec of a kind as it stands, unread. Of the object only metadata and conditions are understood; a write leaves all else as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent, bound = "")]
pub struct Draft<K: Kind> {
    spec: Value,
    #[serde(skip)]
    kind: PhantomData<K>,
}

/// The status of any kind that has conditions.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct DraftStatus {
    /// What was found.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// Everything else.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl<K: Kind> Draft<K> {
    /// A spec, whatever it says.
    pub const fn new(spec: Value) -> Self {
        Self { spec, kind: PhantomData }
    }
}

impl Draft<IpPool> {
    /// The range of the pool, where that can be read, whatever the rest says.
    pub fn range(&self) -> Option<Prefix> {
        self.spec.get("cidr")?.as_str()?.parse().ok()
    }
}

/// The field of a BGPPeer's status that has the counts.
const SESSIONS: &str = "sessions";

impl Object<Draft<BgpPeer>> {
    /// How many sessions there are by it, as it is said.
    pub fn sessions(&self) -> Option<SessionCounts> {
        SessionCounts::deserialize(self.status.as_ref()?.rest.get(SESSIONS)?).ok()
    }
}

impl DraftStatus {
    /// Says how many sessions there are by a BGPPeer.
    pub fn set_sessions(&mut self, counts: SessionCounts) {
        let SessionCounts { wanted, established } = counts;
        let counts = json!({ "wanted": wanted, "established": established });
        self.rest.insert(SESSIONS.to_owned(), counts);
    }
}

impl<K: Kind> Kind for Draft<K> {
    type Status = DraftStatus;
    const API_VERSION: &'static str = K::API_VERSION;
    const KIND: &'static str = K::KIND;
    const PLURAL: &'static str = K::PLURAL;
    const NAMESPACED: bool = K::NAMESPACED;
    const STRICT: bool = K::STRICT;

    fn validate(_: &Object<Self>, _: &mut Faults) {}
}

impl<K: Kind> Object<Draft<K>> {
    /// The object of its kind.
    ///
    /// # Errors
    /// See [`Object::read`].
    pub fn finished(&self) -> Result<Object<K>, String> {
        Object::read(serde_json::to_value(self).map_err(|error| error.to_string())?)
    }

    /// What is said of it.
    pub fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[], |status| &status.conditions)
    }
}

impl<K: Kind> Object<K> {
    /// Reads an object, and checks every rule of its kind.
    ///
    /// # Errors
    /// The first field that cannot be read, or all whose values break a rule: path, value and rule.
    pub fn read(value: Value) -> Result<Self, String> {
        let object: Self = serde_path_to_error::deserialize(value).map_err(|error| {
            // What is no field's is the object's own, and has no path.
            match error.path().to_string().as_str() {
                "." => error.inner().to_string(),
                path => format!("{path}: {}", error.inner()),
            }
        })?;
        object.validate().map(|()| object).map_err(|faults| faults.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::{EgressGateway, NodeConfiguration};

    fn draft<K: Kind>(spec: &Value) -> Object<Draft<K>> {
        let object = json!({ "apiVersion": K::API_VERSION, "kind": K::KIND, "metadata": { "name": "a" }, "spec": spec });
        serde_json::from_value(object).unwrap()
    }

    fn refused<K: Kind>(spec: &Value, parts: &[&str]) {
        let why = draft::<K>(spec).finished().unwrap_err();
        assert!(parts.iter().all(|part| why.contains(part)), "{why}");
    }

    #[test]
    fn what_passes_a_schema_and_makes_no_sense_is_refused_with_field_value_and_rule() {
        let cidr = "10.0.0.0/16";
        refused::<IpPool>(
            &json!({ "cidr": cidr, "nodeSelector": "rack = 'a'" }),
            &["spec.nodeSelector", "rack = 'a'"],
        );
        refused::<IpPool>(
            &json!({ "cidr": cidr, "namespaceSelector": "has(" }),
            &["spec.namespaceSelector", "has("],
        );
        refused::<IpPool>(&json!({ "cidr": cidr, "blockSize": 8 }), &["spec.blockSize", "\"8\"", "20 to 32"]);
        refused::<IpPool>(&json!({ "cidr": "10.0.0.0/28", "blockSize": 26 }), &["spec.blockSize", "28"]);
        refused::<BgpPeer>(
            &json!({ "nodeSelector": "&&", "peerIP": "192.0.2.1", "asNumber": 1 }),
            &["spec.nodeSelector", "&&"],
        );
        refused::<BgpPeer>(&json!({ "peerSelector": "a ==" }), &["spec.peerSelector", "a =="]);
        refused::<EgressGateway>(
            &json!({ "egressIPs": ["192.0.2.7"], "podSelector": "app in" }),
            &["spec.podSelector", "app in"],
        );
        refused::<NodeConfiguration>(&json!({ "nodeSelector": "(" }), &["spec.nodeSelector", "("]);
        refused::<NodeConfiguration>(&json!({ "mtu": "much" }), &["spec.mtu"]);
        assert!(draft::<IpPool>(&json!({ "cidr": cidr })).finished().is_ok());
    }

    #[test]
    fn a_pool_that_cannot_be_read_may_have_a_range_all_the_same() {
        let range = |spec: Value| Draft::<IpPool>::new(spec).range();
        let cidr: Prefix = "10.0.0.0/16".parse().unwrap();
        assert_eq!(range(json!({ "cidr": "10.0.0.0/16", "nodeSelector": "(", "more": 1 })), Some(cidr));
        for spec in [json!({ "cidr": "10.0.0.1/16" }), json!({ "cidr": 7 }), json!({}), json!([])] {
            assert_eq!(range(spec.clone()), None, "{spec}");
        }
    }

    #[test]
    fn the_counts_of_a_peer_are_read_as_its_kind_reads_them() {
        let mut peer = draft::<BgpPeer>(&json!({ "peerIP": "192.0.2.1", "asNumber": 65001 }));
        assert_eq!(peer.sessions(), None);
        let counts = SessionCounts { wanted: 3, established: 2 };
        peer.status.get_or_insert_default().set_sessions(counts);
        assert_eq!(peer.sessions(), Some(counts));
        assert_eq!(peer.finished().unwrap().status.unwrap().sessions, Some(counts));
    }

    #[test]
    fn a_draft_is_written_as_it_was_read_but_for_its_conditions() {
        let text = json!({
            "apiVersion": IpPool::API_VERSION,
            "kind": "IPPool",
            "metadata": { "name": "a" },
            "spec": { "cidr": 7, "more": [1] },
            "status": { "encapsulation": { "ipipMode": "Always" }, "conditions": [] },
        });
        let read: Object<Draft<IpPool>> = serde_json::from_value(text.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), text);
        let bare =
            json!({ "apiVersion": IpPool::API_VERSION, "kind": "IPPool", "metadata": { "name": "a" } });
        assert!(serde_json::from_value::<Object<Draft<IpPool>>>(bare).unwrap().finished().is_err());
    }
}
