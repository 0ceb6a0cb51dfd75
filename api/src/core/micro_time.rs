//! Times that a server takes with exactly six digits behind the second.

use serde::{Deserialize, Deserializer, Serializer};

use crate::Timestamp;

#[allow(clippy::ref_option)] // serde's signature
pub(super) fn serialize<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serializer.collect_str(&time.to_string().replace('Z', ".000000Z")),
        None => serializer.serialize_none(),
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    Option::deserialize(deserializer)
}
