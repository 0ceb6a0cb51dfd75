use cairn_net::Asn;
use serde::{Deserialize, Serialize};

/// Options of the choice between paths, beside `alwaysCompareMed` and `multipath`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct BestPath {
    /// The length of the AS path does not matter. Default: false.
    pub as_path_ignore: bool,
    /// A path without MED has the highest one instead of 0. Default: false.
    pub med_missing_as_worst: bool,
    /// Whatever the order in which paths came, MED gives one result. Always so here; false is refused.
    pub deterministic_med: bool,
    /// Between external paths that are equal so far the lower router id decides, not the age. Always so here; false is
    /// refused.
    pub compare_router_id: bool,
}

impl Default for BestPath {
    fn default() -> Self {
        Self {
            as_path_ignore: false,
            med_missing_as_worst: false,
            deterministic_med: true,
            compare_router_id: true,
        }
    }
}

/// The confederation of this speaker (RFC 5065). `localAs` is its member AS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Confederation {
    /// The AS number that the outside knows.
    pub identifier: Asn,
    /// The other member ASes. A neighbour of one of these is inside, any other of another AS is outside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<Asn>,
}
