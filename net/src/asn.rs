use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use crate::ParseError;

/// An autonomous system number, four octets (RFC 6793).
///
/// Text: `asplain` (`65551`) or `asdot` (`1.15`, RFC 5396); written as `asplain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Asn(pub u32);

impl Asn {
    /// AS_TRANS: stands for a four-octet AS towards a two-octet speaker (RFC 6793 section 9).
    pub const TRANS: Self = Self(23456);
    /// AS 0 is reserved and never valid in a session (RFC 7607).
    pub const ZERO: Self = Self(0);

    /// True for 64512..=65534 and 4200000000..=4294967294 (RFC 6996).
    pub const fn is_private(self) -> bool {
        matches!(self.0, 64512..=65534 | 4_200_000_000..=4_294_967_294)
    }

    /// No speaker can have it: AS 0 (RFC 7607), AS_TRANS (RFC 6793), and the last of two and of four octets (RFC 7300).
    pub const fn is_reserved(self) -> bool {
        matches!(self, Self::ZERO | Self::TRANS | Self(65535 | u32::MAX))
    }

    /// The two-octet form: the number itself where it fits, else [`Asn::TRANS`].
    #[allow(clippy::cast_possible_truncation)] // checked by the comparison
    pub const fn two_octet(self) -> u16 {
        if self.0 <= u16::MAX as u32 { self.0 as u16 } else { Self::TRANS.0 as u16 }
    }
}

impl fmt::Display for Asn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for Asn {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let rule = "0 to 4294967295, or two numbers of 0 to 65535 with a dot between them";
        let error = || ParseError::new("AS number", text, rule);
        match text.split_once('.') {
            None => text.parse().map(Self).map_err(|_| error()),
            Some((high, low)) => {
                let high: u16 = high.parse().map_err(|_| error())?;
                let low: u16 = low.parse().map_err(|_| error())?;
                Ok(Self(u32::from(high) << 16 | u32::from(low)))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Asn {
    /// A number, or a text in either notation.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Asn;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an AS number, 0 to 4294967295")
            }
            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Asn, E> {
                u32::try_from(value)
                    .map(Asn)
                    .map_err(|_| E::custom(format!("{value} is not a valid AS number: 0 to 4294967295")))
            }
            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Asn, E> {
                u32::try_from(value)
                    .map(Asn)
                    .map_err(|_| E::custom(format!("{value} is not a valid AS number: 0 to 4294967295")))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Asn, E> {
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
    fn both_notations_are_read() {
        assert_eq!("65551".parse(), Ok(Asn(65551)));
        assert_eq!("1.15".parse(), Ok(Asn(65551)));
        for bad in ["", "-1", "4294967296", "1.65536", "1.2.3", "x"] {
            assert!(bad.parse::<Asn>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_large_number_becomes_as_trans_in_two_octets() {
        assert_eq!(Asn(65535).two_octet(), 65535);
        assert_eq!(Asn(65536).two_octet(), 23456);
    }
}
