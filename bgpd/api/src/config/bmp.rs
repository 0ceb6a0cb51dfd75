use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::seconds;

/// A collector that is told by BMP (RFC 7854) what sessions and routes there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BmpCollector {
    /// Address and port to connect to.
    pub collector: SocketAddr,
    /// Adj-RIB-In before the import filter: UPDATEs as they come. Default: true.
    #[serde(default = "super::speaker::yes")]
    pub pre_policy: bool,
    /// Adj-RIB-In after the import filter. Default: false.
    #[serde(default)]
    pub post_policy: bool,
    /// Best paths (RFC 9069). Default: true.
    #[serde(default = "super::speaker::yes")]
    pub loc_rib: bool,
    /// Adj-RIB-Out after the export filter (RFC 8671): UPDATEs as they are sent. Default: false.
    #[serde(default)]
    pub adj_rib_out: bool,
    /// Time between two statistics reports. Unit: seconds. Range: 0 (none) to 65535. Default: 60.
    #[serde(default, with = "seconds", skip_serializing_if = "Option::is_none")]
    pub statistics_time: Option<Duration>,
}
