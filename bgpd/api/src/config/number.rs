use std::ops::RangeInclusive;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bounds of a number, both included: `10` is that number alone, `{ge: 10, le: 20}` or one of the two a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct NumberRange {
    /// Least value. Default: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ge: Option<u32>,
    /// Greatest value. Range: from `ge`. Default: 4294967295.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub le: Option<u32>,
}

impl NumberRange {
    /// The numbers that are meant.
    pub fn bounds(self) -> RangeInclusive<u32> {
        self.ge.unwrap_or(0)..=self.le.unwrap_or(u32::MAX)
    }
}

impl<'de> Deserialize<'de> for NumberRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Fields {
            ge: Option<u32>,
            le: Option<u32>,
        }
        struct Bounds;
        impl<'de> Visitor<'de> for Bounds {
            type Value = NumberRange;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number, or a map with ge and le")
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<NumberRange, E> {
                let number = Some(in_range(number)?);
                Ok(NumberRange { ge: number, le: number })
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<NumberRange, A::Error> {
                Fields::deserialize(MapAccessDeserializer::new(map))
                    .map(|Fields { ge, le }| NumberRange { ge, le })
            }
        }
        deserializer.deserialize_any(Bounds)
    }
}

/// What becomes of a number: `10` sets it, `{add: 10}` and `{subtract: 10}` change it as far as its range goes, `none` removes it.
///
/// `+10` would be a mere 10 to YAML, so a sign is no way to write this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberChange {
    /// This number.
    Set(u32),
    /// So much more.
    Add(u32),
    /// So much less.
    Subtract(u32),
    /// No number: the attribute is removed.
    Remove,
}

impl Serialize for NumberChange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let (sign, number) = match *self {
            Self::Set(number) => return serializer.serialize_u32(number),
            Self::Remove => return serializer.serialize_str("none"),
            Self::Add(number) => ("add", number),
            Self::Subtract(number) => ("subtract", number),
        };
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(sign, &number)?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for NumberChange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Change;
        impl<'de> Visitor<'de> for Change {
            type Value = NumberChange;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number of 0 to 4294967295, {add: NUMBER}, {subtract: NUMBER} or none")
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<NumberChange, E> {
                in_range(number).map(NumberChange::Set)
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<NumberChange, E> {
                if text == "none" {
                    return Ok(NumberChange::Remove);
                }
                Err(E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<NumberChange, A::Error> {
                let key: String =
                    map.next_key()?.ok_or_else(|| A::Error::custom("expected add or subtract"))?;
                let change = match key.as_str() {
                    "add" => NumberChange::Add(map.next_value()?),
                    "subtract" => NumberChange::Subtract(map.next_value()?),
                    other => return Err(A::Error::unknown_field(other, &["add", "subtract"])),
                };
                match map.next_key::<String>()? {
                    None => Ok(change),
                    Some(more) => Err(A::Error::custom(format!("{more:?} cannot stand beside {key:?}"))),
                }
            }
        }
        deserializer.deserialize_any(Change)
    }
}

fn in_range<E: Error>(number: u64) -> Result<u32, E> {
    u32::try_from(number).map_err(|_| E::custom(format!("{number} is not a number of 0 to 4294967295")))
}
