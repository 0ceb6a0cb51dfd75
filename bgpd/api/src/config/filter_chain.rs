use serde::de::value::SeqAccessDeserializer;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Name;

/// The filters that a route passes, in order: one name, or a list of them. What none of them decides on is rejected.
///
/// Range: 1 to 16; `accept-all` and `reject-all` stand alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FilterChain(pub Vec<Name>);

impl From<Name> for FilterChain {
    fn from(name: Name) -> Self {
        Self(vec![name])
    }
}

impl Serialize for FilterChain {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => one.serialize(serializer),
            many => many.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for FilterChain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = FilterChain;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the name of a filter, or a list of names")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<FilterChain, E> {
                text.parse::<Name>().map(FilterChain::from).map_err(E::custom)
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<FilterChain, E> {
                self.visit_str(&number.to_string())
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, seq: A) -> Result<FilterChain, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(FilterChain)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}
