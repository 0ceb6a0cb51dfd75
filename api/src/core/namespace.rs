use serde::{Deserialize, Serialize};

use crate::{Faults, Kind, NoStatus, Object};

/// core/v1 Namespace: only its labels and annotations matter here.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Namespace {}

impl Kind for Namespace {
    type Status = NoStatus;
    const API_VERSION: &'static str = "v1";
    const KIND: &'static str = "Namespace";
    const PLURAL: &'static str = "namespaces";
    const STRICT: bool = false;
    const METADATA_ONLY: bool = true;

    fn validate(_: &Object<Self>, _: &mut Faults) {}
}
