use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// A condition in an object's status, as in Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What is judged, such as `Allocatable`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The judgement.
    pub status: ConditionStatus,
    /// One word for programs.
    pub reason: String,
    /// A sentence for people: who, what and why.
    #[serde(default)]
    pub message: String,
    /// When `status` last changed.
    pub last_transition_time: Timestamp,
    /// The generation of the object that was judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<u64>,
}

impl Condition {
    /// Since when a condition has this status, if it was `known` as that until `now`.
    pub fn since(known: Option<&Self>, status: ConditionStatus, now: Timestamp) -> Timestamp {
        known.filter(|known| known.status == status).map_or(now, |known| known.last_transition_time)
    }
}

/// The three answers of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Nobody knows.
    Unknown,
}
