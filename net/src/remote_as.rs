use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Asn, ParseError};

/// The AS that a BGP neighbour is to have: a number, or what it has to be to ours, where its OPEN says the number.
///
/// Text: a number in either notation, `external` or `internal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RemoteAs {
    /// This one.
    Number(Asn),
    /// Any but our own, or one of our confederation.
    External,
    /// Our own.
    Internal,
}

impl RemoteAs {
    /// The number, as far as it is known to whoever is in this AS.
    pub const fn number(self, local_as: Asn) -> Option<Asn> {
        match self {
            Self::Number(asn) => Some(asn),
            Self::Internal => Some(local_as),
            Self::External => None,
        }
    }
}

impl From<Asn> for RemoteAs {
    fn from(asn: Asn) -> Self {
        Self::Number(asn)
    }
}

impl fmt::Display for RemoteAs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(asn) => asn.fmt(f),
            Self::External => f.pad("external"),
            Self::Internal => f.pad("internal"),
        }
    }
}

impl FromStr for RemoteAs {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        const RULE: &str =
            "0 to 4294967295, two numbers of 0 to 65535 with a dot between them, external or internal";
        match text {
            "external" => Ok(Self::External),
            "internal" => Ok(Self::Internal),
            number => number.parse().map(Self::Number).map_err(|_| ParseError::new("AS", text, RULE)),
        }
    }
}

impl Serialize for RemoteAs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(asn) => asn.serialize(serializer),
            Self::External | Self::Internal => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for RemoteAs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = RemoteAs;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an AS number, external or internal")
            }
            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<RemoteAs, E> {
                value.to_string().parse().map_err(E::custom)
            }
            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<RemoteAs, E> {
                value.to_string().parse().map_err(E::custom)
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<RemoteAs, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_words_are_read_and_written() {
        for (text, expected) in [
            ("65551", RemoteAs::Number(Asn(65551))),
            ("external", RemoteAs::External),
            ("internal", RemoteAs::Internal),
        ] {
            assert_eq!(text.parse(), Ok(expected));
            assert_eq!(expected.to_string(), text);
        }
        assert_eq!("1.15".parse(), Ok(RemoteAs::Number(Asn(65551))));
        for wrong in ["", "External", "any", "-1", "4294967296"] {
            assert!(wrong.parse::<RemoteAs>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_an_external_one_has_no_number() {
        let number = |remote: RemoteAs| remote.number(Asn(65001));
        assert_eq!(number(RemoteAs::Number(Asn(65002))), Some(Asn(65002)));
        assert_eq!(number(RemoteAs::Internal), Some(Asn(65001)));
        assert_eq!(number(RemoteAs::External), None);
    }
}
