use serde::{Deserialize, Serialize};

use crate::Condition;

/// What is reported of an object that people write.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ObjectStatus {
    /// `Accepted`: false where the object, or something that it names, makes no sense; reason and message say what, and the guide what to do.
    #[serde(default)]
    pub conditions: Vec<Condition>,
}
