//! Communities: standard (RFC 1997), extended (RFC 4360), IPv6 extended (RFC 5701), large (RFC 8092).

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use thiserror::Error;

use super::list::{WireElement, WireList, word};

/// COMMUNITIES.
pub type Communities = WireList<Community>;
/// EXTENDED COMMUNITIES.
pub type ExtendedCommunities = WireList<ExtendedCommunity>;
/// IPv6 address specific EXTENDED COMMUNITIES.
pub type Ipv6ExtendedCommunities = WireList<Ipv6ExtendedCommunity>;
/// LARGE COMMUNITIES.
pub type LargeCommunities = WireList<LargeCommunity>;

/// A text that is no community.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{value:?} is not a valid {what}: {rule}")]
pub struct ParseCommunityError {
    /// Which kind was expected.
    pub what: &'static str,
    /// The text, cut to 64 characters.
    pub value: String,
    /// The rule that it breaks.
    pub rule: &'static str,
}

/// A standard community. Text: `65000:100`, or a well-known name such as `no-export`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Community(pub u32);

impl Community {
    /// Drain this path (RFC 8326).
    pub const GRACEFUL_SHUTDOWN: Self = Self(0xffff_0000);
    /// A stale route of a long-lived graceful restart (RFC 9494).
    pub const LLGR_STALE: Self = Self(0xffff_0006);
    /// Not to be kept as a long-lived stale route (RFC 9494).
    pub const NO_LLGR: Self = Self(0xffff_0007);
    /// Discard traffic to this prefix (RFC 7999).
    pub const BLACKHOLE: Self = Self(0xffff_029a);
    /// Not outside the confederation (RFC 1997).
    pub const NO_EXPORT: Self = Self(0xffff_ff01);
    /// To no other peer (RFC 1997).
    pub const NO_ADVERTISE: Self = Self(0xffff_ff02);
    /// Not outside the member AS (RFC 1997).
    pub const NO_EXPORT_SUBCONFED: Self = Self(0xffff_ff03);
    /// Not over bilateral peering (RFC 3765).
    pub const NO_PEER: Self = Self(0xffff_ff04);

    const NAMES: [(Self, &'static str); 8] = [
        (Self::GRACEFUL_SHUTDOWN, "graceful-shutdown"),
        (Self::LLGR_STALE, "llgr-stale"),
        (Self::NO_LLGR, "no-llgr"),
        (Self::BLACKHOLE, "blackhole"),
        (Self::NO_EXPORT, "no-export"),
        (Self::NO_ADVERTISE, "no-advertise"),
        (Self::NO_EXPORT_SUBCONFED, "no-export-subconfed"),
        (Self::NO_PEER, "no-peer"),
    ];

    /// From its two halves.
    pub const fn new(high: u16, low: u16) -> Self {
        Self((high as u32) << 16 | low as u32)
    }
}

impl fmt::Display for Community {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMES.iter().find(|(community, _)| community == self) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "{}:{}", self.0 >> 16, self.0 & 0xffff),
        }
    }
}

impl FromStr for Community {
    type Err = ParseCommunityError;

    fn from_str(text: &str) -> Result<Self, ParseCommunityError> {
        if let Some((community, _)) = Self::NAMES.iter().find(|(_, name)| *name == text) {
            return Ok(*community);
        }
        let rule = "two numbers of 0 to 65535 with a colon between them, or a well-known name";
        let numbers: Option<[u16; 2]> = numbers(text);
        numbers.map(|[high, low]| Self::new(high, low)).ok_or_else(|| error("community", text, rule))
    }
}

impl WireElement for Community {
    const LEN: usize = 4;

    fn from_wire(bytes: &[u8]) -> Self {
        Self(word(bytes, 0))
    }

    fn to_wire(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_be_bytes());
    }
}

/// A large community. Text: `4200000000:1:2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LargeCommunity {
    /// Global administrator: an AS number.
    pub global: u32,
    /// Local data, part 1.
    pub local1: u32,
    /// Local data, part 2.
    pub local2: u32,
}

impl fmt::Display for LargeCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.global, self.local1, self.local2)
    }
}

impl FromStr for LargeCommunity {
    type Err = ParseCommunityError;

    fn from_str(text: &str) -> Result<Self, ParseCommunityError> {
        let rule = "three numbers of 0 to 4294967295 with colons between them";
        let [global, local1, local2] = numbers(text).ok_or_else(|| error("large community", text, rule))?;
        Ok(Self { global, local1, local2 })
    }
}

impl WireElement for LargeCommunity {
    const LEN: usize = 12;

    fn from_wire(bytes: &[u8]) -> Self {
        Self { global: word(bytes, 0), local1: word(bytes, 1), local2: word(bytes, 2) }
    }

    fn to_wire(self, out: &mut Vec<u8>) {
        for part in [self.global, self.local1, self.local2] {
            out.extend_from_slice(&part.to_be_bytes());
        }
    }
}

/// An extended community, kept as its eight octets.
///
/// Text: `rt:65000:100` (route target) and `ro:10.0.0.1:100` (route origin) with a two-octet AS, an IPv4 address or
/// a four-octet AS in front; any other is `0x` and sixteen hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExtendedCommunity(pub [u8; 8]);

impl ExtendedCommunity {
    const ROUTE_TARGET: u8 = 2;
    const ROUTE_ORIGIN: u8 = 3;

    /// May it leave the AS? The T bit is clear then (RFC 4360 section 2).
    pub const fn is_transitive(self) -> bool {
        self.0[0] & 0x40 == 0
    }
}

impl fmt::Display for ExtendedCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [kind, subtype, a, b, c, d, e, g] = self.0;
        let name = match subtype {
            Self::ROUTE_TARGET => "rt",
            Self::ROUTE_ORIGIN => "ro",
            _ => "",
        };
        match (kind, name) {
            (0, "rt" | "ro") => {
                write!(f, "{name}:{}:{}", u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, g]))
            }
            (1, "rt" | "ro") => {
                write!(f, "{name}:{}:{}", Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([e, g]))
            }
            (2, "rt" | "ro") => {
                let asn = u32::from_be_bytes([a, b, c, d]);
                // A small number here would read as the two-octet form.
                if asn > 0xffff {
                    write!(f, "{name}:{asn}:{}", u16::from_be_bytes([e, g]))
                } else {
                    write!(f, "0x{:016x}", u64::from_be_bytes(self.0))
                }
            }
            _ => write!(f, "0x{:016x}", u64::from_be_bytes(self.0)),
        }
    }
}

impl FromStr for ExtendedCommunity {
    type Err = ParseCommunityError;

    fn from_str(text: &str) -> Result<Self, ParseCommunityError> {
        let rule = "rt:ADMINISTRATOR:NUMBER or ro:ADMINISTRATOR:NUMBER, the administrator an AS number or an IPv4 \
                    address, or 0x and sixteen hex digits";
        parse_extended(text).ok_or_else(|| error("extended community", text, rule))
    }
}

fn parse_extended(text: &str) -> Option<ExtendedCommunity> {
    if let Some(hex) = text.strip_prefix("0x") {
        let digits = hex.len() == 16 && hex.bytes().all(|b| b.is_ascii_hexdigit());
        return digits
            .then(|| u64::from_str_radix(hex, 16).ok())?
            .map(|n| ExtendedCommunity(n.to_be_bytes()));
    }
    let (name, value) = text.split_once(':')?;
    let subtype = match name {
        "rt" => ExtendedCommunity::ROUTE_TARGET,
        "ro" => ExtendedCommunity::ROUTE_ORIGIN,
        _ => return None,
    };
    let (administrator, number) = value.split_once(':')?;
    let mut bytes = [0, subtype, 0, 0, 0, 0, 0, 0];
    if let Ok(asn) = administrator.parse::<u16>() {
        bytes[2..4].copy_from_slice(&asn.to_be_bytes());
        bytes[4..].copy_from_slice(&digits::<u32>(number)?.to_be_bytes());
        return Some(ExtendedCommunity(bytes));
    }
    if let Ok(addr) = administrator.parse::<Ipv4Addr>() {
        bytes[0] = 1;
        bytes[2..6].copy_from_slice(&addr.octets());
    } else {
        bytes[0] = 2;
        bytes[2..6].copy_from_slice(&digits::<u32>(administrator)?.to_be_bytes());
    }
    bytes[6..].copy_from_slice(&digits::<u16>(number)?.to_be_bytes());
    Some(ExtendedCommunity(bytes))
}

impl WireElement for ExtendedCommunity {
    const LEN: usize = 8;

    fn from_wire(bytes: &[u8]) -> Self {
        Self(bytes.first_chunk().copied().unwrap_or_default())
    }

    fn to_wire(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

/// An IPv6 address specific extended community, kept as its twenty octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ipv6ExtendedCommunity(pub [u8; 20]);

impl Ipv6ExtendedCommunity {
    /// May it leave the AS?
    pub const fn is_transitive(self) -> bool {
        self.0[0] & 0x40 == 0
    }
}

impl fmt::Display for Ipv6ExtendedCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [kind, subtype, addr @ .., high, low] = self.0;
        let addr = Ipv6Addr::from(addr);
        write!(f, "0x{kind:02x}{subtype:02x}:[{addr}]:{}", u16::from_be_bytes([high, low]))
    }
}

impl WireElement for Ipv6ExtendedCommunity {
    const LEN: usize = 20;

    fn from_wire(bytes: &[u8]) -> Self {
        Self(bytes.first_chunk().copied().unwrap_or_default())
    }

    fn to_wire(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

/// Exactly `N` numbers with colons between them.
fn numbers<T: FromStr + Copy + Default, const N: usize>(text: &str) -> Option<[T; N]> {
    let mut numbers = [T::default(); N];
    let mut parts = text.split(':');
    for number in &mut numbers {
        *number = digits(parts.next()?)?;
    }
    parts.next().is_none().then_some(numbers)
}

/// Digits only: `parse` alone would take a plus sign, too.
fn digits<T: FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

fn error(what: &'static str, text: &str, rule: &'static str) -> ParseCommunityError {
    ParseCommunityError { what, value: text.chars().take(64).collect(), rule }
}

#[cfg(test)]
mod tests;
