use cairn_net::Prefix;
use serde::{Deserialize, Serialize};

use crate::{Faults, Kind, Object, bounds};

/// Ranges that no address is taken from, unless it is asked for by itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct IpReservation {
    /// The ranges, of either family.
    #[serde(rename = "reservedCIDRs", default)]
    pub reserved_cidrs: Vec<Prefix>,
}

impl IpReservation {
    /// Ranges of one object, at most.
    pub const MAX_CIDRS: usize = bounds::LIST;
}

impl Kind for IpReservation {
    type Status = super::ObjectStatus;
    const KIND: &'static str = "IPReservation";
    const PLURAL: &'static str = "ipreservations";

    fn validate(object: &Object<Self>, faults: &mut Faults) {
        faults.at_most("spec.reservedCIDRs", object.spec.reserved_cidrs.len(), Self::MAX_CIDRS);
    }
}
