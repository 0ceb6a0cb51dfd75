use serde::{Deserialize, Serialize};

use super::micro_time;
use crate::{Faults, Kind, NoStatus, Object, Timestamp};

/// coordination.k8s.io/v1 Lease: who of several may act.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Lease {
    /// Who has it. Empty where nobody has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holder_identity: Option<String>,
    /// How long it counts after it was renewed. Unit: seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_duration_seconds: Option<u32>,
    /// When its holder got it.
    #[serde(with = "micro_time", skip_serializing_if = "Option::is_none")]
    pub acquire_time: Option<Timestamp>,
    /// When its holder last said that he is there.
    #[serde(with = "micro_time", skip_serializing_if = "Option::is_none")]
    pub renew_time: Option<Timestamp>,
    /// How often it has changed hands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_transitions: Option<u32>,
}

impl Lease {
    /// Who has it.
    pub fn holder(&self) -> Option<&str> {
        self.holder_identity.as_deref().filter(|holder| !holder.is_empty())
    }
}

impl Kind for Lease {
    type Status = NoStatus;
    const API_VERSION: &'static str = "coordination.k8s.io/v1";
    const KIND: &'static str = "Lease";
    const PLURAL: &'static str = "leases";
    const NAMESPACED: bool = true;
    const STRICT: bool = false;

    fn validate(_: &Object<Self>, _: &mut Faults) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_six_digits_behind_the_second() {
        let lease = Lease { renew_time: Some(Timestamp::from_unix(1)), ..Lease::default() };
        let text = serde_json::to_string(&lease).unwrap();
        assert_eq!(text, r#"{"renewTime":"1970-01-01T00:00:01.000000Z"}"#);
        assert_eq!(serde_json::from_str::<Lease>(&text).unwrap(), lease);
        assert_eq!(Lease { holder_identity: Some(String::new()), ..Lease::default() }.holder(), None);
    }
}
