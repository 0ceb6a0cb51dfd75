use serde::{Deserialize, Serialize};

/// Whether next hops are looked up in the kernel's routes and in the Loc-RIB (RFC 4271 sections 5.1.3 and 9.1.2.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NextHopTracking {
    /// A path whose next hop cannot be reached is not used, and of others that with the lowest metric is preferred. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// The default route is a way to a next hop. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolve_via_default: Option<bool>,
    /// Next hops of external neighbours that are one hop away have to be on a connected network, unless the neighbour has
    /// `disableConnectedCheck`. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connected_check: Option<bool>,
}
