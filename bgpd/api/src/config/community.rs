use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use cairn_net::ParseError;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A BGP community: standard (RFC 1997), large (RFC 8092) or extended (RFC 4360).
///
/// Text: `65000:100`, a well-known name such as `no-export`, `4200000000:1:2` for a large one; `rt:65000:100` (route target) and
/// `ro:10.0.0.1:100` (route origin) for extended ones with a two-octet AS, an IPv4 address or a four-octet AS in front, `0x` and sixteen
/// hex digits for any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Community {
    /// Four octets: AS and value.
    Standard(u32),
    /// Three times four octets: global administrator and two parts of local meaning.
    Large(u32, u32, u32),
    /// Eight octets as a number.
    Extended(u64),
}

/// Subtypes that have a name (RFC 4360 sections 4 and 5).
const SUBTYPES: [(&str, u8); 2] = [("rt", 2), ("ro", 3)];

/// The well-known communities (RFC 1997, RFC 3765, RFC 7999, RFC 8326, RFC 9494).
const WELL_KNOWN: [(&str, u32); 7] = [
    ("graceful-shutdown", 0xffff_0000),
    ("llgr-stale", 0xffff_0006),
    ("no-llgr", 0xffff_0007),
    ("blackhole", 0xffff_029a),
    ("no-export", 0xffff_ff01),
    ("no-advertise", 0xffff_ff02),
    ("no-export-subconfed", 0xffff_ff03),
];

impl fmt::Display for Community {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Standard(value) => match WELL_KNOWN.iter().find(|(_, known)| *known == value) {
                Some((name, _)) => f.write_str(name),
                None => write!(f, "{}:{}", value >> 16, value & 0xffff),
            },
            Self::Large(global, first, second) => write!(f, "{global}:{first}:{second}"),
            Self::Extended(value) => match extended_text(value) {
                Some(text) => f.write_str(&text),
                None => write!(f, "0x{value:016x}"),
            },
        }
    }
}

impl FromStr for Community {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if let Some((_, value)) = WELL_KNOWN.iter().find(|(name, _)| *name == text) {
            return Ok(Self::Standard(*value));
        }
        if let Some(value) = extended(text) {
            return Ok(Self::Extended(value));
        }
        let parts: Option<Vec<u32>> = text.split(':').take(4).map(digits).collect();
        match parts.as_deref() {
            Some(&[high, low]) if high <= 0xffff && low <= 0xffff => Ok(Self::Standard(high << 16 | low)),
            Some(&[global, first, second]) => Ok(Self::Large(global, first, second)),
            _ => Err(ParseError {
                what: "community",
                value: text.chars().take(64).collect(),
                rule: "two numbers of 0 to 65535, three of 0 to 4294967295, rt: or ro: with an administrator and a number, 0x and \
                       sixteen hex digits, or a well-known name such as no-export",
            }),
        }
    }
}

/// The text of an extended community that has a name; `None` for any other.
fn extended_text(value: u64) -> Option<String> {
    let [kind, subtype, a, b, c, d, e, g] = value.to_be_bytes();
    let (name, _) = SUBTYPES.iter().find(|(_, known)| *known == subtype)?;
    let short = u16::from_be_bytes([e, g]);
    match kind {
        0 => Some(format!("{name}:{}:{}", u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, g]))),
        1 => Some(format!("{name}:{}:{short}", Ipv4Addr::new(a, b, c, d))),
        // A small number would read as the two-octet form.
        2 if a != 0 || b != 0 => Some(format!("{name}:{}:{short}", u32::from_be_bytes([a, b, c, d]))),
        _ => None,
    }
}

fn extended(text: &str) -> Option<u64> {
    if let Some(hex) = text.strip_prefix("0x") {
        let valid = hex.len() == 16 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        return valid.then(|| u64::from_str_radix(hex, 16).ok()).flatten();
    }
    let (name, value) = text.split_once(':')?;
    let (_, subtype) = SUBTYPES.iter().find(|(known, _)| *known == name)?;
    let (administrator, number) = value.split_once(':')?;
    let number = digits(number)?;
    let short = || u16::try_from(number).ok().map(u16::to_be_bytes);
    let ([a, b, c, d, e, g], kind) = match (administrator.parse::<Ipv4Addr>(), digits(administrator)) {
        (Ok(address), _) => {
            let ([a, b, c, d], [e, g]) = (address.octets(), short()?);
            ([a, b, c, d, e, g], 1)
        }
        (_, Some(asn @ 0..=0xffff)) => {
            let ([.., a, b], [c, d, e, g]) = (asn.to_be_bytes(), number.to_be_bytes());
            ([a, b, c, d, e, g], 0)
        }
        (_, Some(asn)) => {
            let ([a, b, c, d], [e, g]) = (asn.to_be_bytes(), short()?);
            ([a, b, c, d, e, g], 2)
        }
        _ => return None,
    };
    Some(u64::from_be_bytes([kind, *subtype, a, b, c, d, e, g]))
}

/// A number without sign or blank.
fn digits(text: &str) -> Option<u32> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

impl Serialize for Community {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Community {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::load::text(deserializer, "a community such as 65000:100")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_community_survives_its_text() {
        for text in ["65000:100", "no-export", "blackhole", "4200000000:1:2", "0:0"] {
            assert_eq!(text.parse::<Community>().unwrap().to_string(), text);
        }
        for bad in ["", "1", "65536:1", "1:65536", "1:2:3:4", "1:", "+1:2", "1:2:4294967296", "no-Export"] {
            assert!(bad.parse::<Community>().is_err(), "{bad}");
        }
    }
}
