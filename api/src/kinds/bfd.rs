use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Faults, GoDuration};

/// BFD with a peer (RFC 5880). A field of Cairn's own: Calico has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Bfd {
    /// Desired Min TX Interval. Range: 50ms to 60s. Default: 300ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_tx_interval: Option<GoDuration>,
    /// Required Min RX Interval. Range: 50ms to 60s. Default: 300ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_rx_interval: Option<GoDuration>,
    /// Detect Mult: packets in a row whose loss the peer takes for a failure. Range: 1 to 255. Default: 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multiplier: Option<u8>,
    /// The peer is behind routers (RFC 5883). Default: true with `ttlSecurity` above 1; otherwise false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multihop: Option<bool>,
    /// No BGP session before the BFD session is up. Default: false.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub strict: bool,
}

/// What an interval may be.
const INTERVALS: std::ops::RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_secs(60);

impl Bfd {
    pub(super) fn validate(&self, path: &str, faults: &mut Faults) {
        for (field, time) in
            [("minTxInterval", self.min_tx_interval), ("minRxInterval", self.min_rx_interval)]
        {
            if let Some(time) = time {
                faults.require(
                    INTERVALS.contains(&time.get()),
                    format!("{path}.{field}"),
                    time,
                    "50ms to 60s",
                );
            }
        }
        faults.require(self.multiplier != Some(0), format!("{path}.multiplier"), 0, "1 to 255");
    }
}
