use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnetwork::IpNetwork;

use crate::serde_as_text;
use crate::{Family, ParseError};

/// An IP prefix whose host bits are zero, of either family.
///
/// Text: `10.0.0.0/8`, `fd00::/8`; a bare address is a host prefix. Set host bits are refused, never masked
/// away in silence: see [`Prefix::containing`] for masking on purpose.
/// Order: family, then address, then length, so that a covering prefix sorts before what it covers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    addr: IpAddr,
    len: u8,
}

impl Hash for Prefix {
    /// One word for IPv4: nothing is looked up as often as prefixes.
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.addr {
            IpAddr::V4(addr) => state.write_u64(u64::from(addr.to_bits()) << 8 | u64::from(self.len)),
            IpAddr::V6(addr) => {
                state.write_u128(addr.to_bits());
                state.write_u8(self.len);
            }
        }
    }
}

impl Prefix {
    /// The prefix with exactly this address; `None` if the length is too long or a host bit is set.
    pub fn new(addr: IpAddr, len: u8) -> Option<Self> {
        Self::containing(addr, len).filter(|prefix| prefix.addr == addr)
    }

    /// The prefix of this length that contains the address; `None` if the length is too long.
    pub fn containing(addr: IpAddr, len: u8) -> Option<Self> {
        let family = Family::of(addr);
        (len <= family.bits()).then(|| Self { addr: from_bits(family, to_bits(addr) & mask(len)), len })
    }

    /// The host prefix of an address: /32 or /128.
    pub const fn host(addr: IpAddr) -> Self {
        Self { addr, len: Family::of(addr).bits() }
    }

    /// The first address.
    pub const fn addr(self) -> IpAddr {
        self.addr
    }

    /// The length in bits: 0 to 32, or 0 to 128.
    #[allow(clippy::len_without_is_empty)] // a prefix is never empty
    pub const fn len(self) -> u8 {
        self.len
    }

    /// The family.
    pub const fn family(self) -> Family {
        Family::of(self.addr)
    }

    /// True for /32 and /128.
    pub const fn is_host(self) -> bool {
        self.len == self.family().bits()
    }

    /// Is the address inside? An address of the other family never is.
    pub fn contains(self, addr: IpAddr) -> bool {
        self.family() == Family::of(addr) && to_bits(addr) & mask(self.len) == to_bits(self.addr)
    }

    /// Is the other prefix inside this one, or equal to it?
    pub fn covers(self, other: Self) -> bool {
        self.len <= other.len && self.contains(other.addr)
    }

    /// Do the two share an address?
    pub fn overlaps(self, other: Self) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// The last address.
    pub fn last(self) -> IpAddr {
        from_bits(self.family(), to_bits(self.addr) | (!mask(self.len) & family_mask(self.family())))
    }

    /// How many addresses: 2^(bits - len), capped at `u128::MAX` for ::/0.
    pub fn size(self) -> u128 {
        1u128.checked_shl(u32::from(self.family().bits() - self.len)).unwrap_or(u128::MAX)
    }

    /// The address at an offset from the first one; `None` beyond the end.
    pub fn nth(self, offset: u128) -> Option<IpAddr> {
        (offset < self.size())
            .then(|| from_bits(self.family(), to_bits(self.addr) + (offset << shift(self.family()))))
    }

    /// The offset of an address from the first one; `None` if it is not inside.
    pub fn offset_of(self, addr: IpAddr) -> Option<u128> {
        self.contains(addr).then(|| (to_bits(addr) - to_bits(self.addr)) >> shift(self.family()))
    }

    /// The number-th subnet of the given length; `None` if the length is not inside the prefix, or beyond the end.
    pub fn subnet(self, len: u8, number: u128) -> Option<Self> {
        if len < self.len || len > self.family().bits() {
            return None;
        }
        // The only subnet of length 0 is the first one, and its size does not fit the number.
        let size = 1u128.checked_shl(u32::from(self.family().bits() - len));
        let offset = if number == 0 { 0 } else { number.checked_mul(size?)? };
        self.nth(offset).map(|addr| Self { addr, len })
    }
}

// Addresses are compared as 128 bits, left-aligned, so that masks are the same for both families.

fn to_bits(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(v4) => u128::from(u32::from(v4)) << 96,
        IpAddr::V6(v6) => v6.into(),
    }
}

#[allow(clippy::cast_possible_truncation)] // the low 96 bits of a left-aligned IPv4 address are zero
fn from_bits(family: Family, bits: u128) -> IpAddr {
    match family {
        Family::Ipv4 => IpAddr::V4(Ipv4Addr::from((bits >> 96) as u32)),
        Family::Ipv6 => IpAddr::V6(Ipv6Addr::from(bits)),
    }
}

fn mask(len: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0)
}

fn family_mask(family: Family) -> u128 {
    mask(family.bits())
}

fn shift(family: Family) -> u32 {
    128 - u32::from(family.bits())
}

impl Ord for Prefix {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.family(), to_bits(self.addr), self.len).cmp(&(other.family(), to_bits(other.addr), other.len))
    }
}

impl PartialOrd for Prefix {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.width().is_some() {
            return f.pad(&format!("{}/{}", self.addr, self.len));
        }
        write!(f, "{}/{}", self.addr, self.len)
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Prefix {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let error = |rule| ParseError::new("prefix", text, rule);
        let network: IpNetwork = text
            .parse()
            .ok()
            .filter(|_| text.bytes().all(|byte| byte.is_ascii_hexdigit() || b".:/".contains(&byte)))
            .filter(|_| {
                text.split_once('/')
                    .is_none_or(|(_, len)| len.len() <= 3 && len.bytes().all(|b| b.is_ascii_digit()))
            })
            .ok_or_else(|| error("an address, a slash and a length, such as 10.0.0.0/8 or fd00::/8"))?;
        Self::new(network.ip(), network.prefix()).ok_or_else(|| error("bits beyond the length must be zero"))
    }
}

serde_as_text!(Prefix, "a prefix such as 10.0.0.0/8 or fd00::/8");

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn text_survives_and_host_bits_are_refused() {
        for text in ["0.0.0.0/0", "10.0.0.0/8", "10.1.2.3/32", "::/0", "fd00::/8", "2001:db8::1/128"] {
            assert_eq!(prefix(text).to_string(), text);
        }
        assert_eq!(prefix("10.1.2.3"), prefix("10.1.2.3/32"));
        for bad in [
            "",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "fd00::/129",
            "10.0.0/8",
            "x",
            "10.0.0.0/255.0.0.0",
            "10.0.0.0/+8",
            "10.0.0.0/",
        ] {
            assert!(bad.parse::<Prefix>().is_err(), "{bad}");
        }
    }

    #[test]
    fn covering_is_by_bits_and_never_across_families() {
        assert!(prefix("10.0.0.0/8").covers(prefix("10.255.0.0/16")));
        assert!(!prefix("10.0.0.0/8").covers(prefix("0.0.0.0/0")));
        assert!(!prefix("0.0.0.0/0").covers(prefix("::/0")));
        assert!(prefix("::/0").contains("2001:db8::1".parse().unwrap()));
        assert!(prefix("10.0.0.0/9").overlaps(prefix("10.0.0.0/8")));
    }

    #[test]
    fn addresses_and_subnets_are_counted_from_the_first() {
        let block = prefix("10.0.0.64/26");
        assert_eq!(block.size(), 64);
        assert_eq!(block.nth(63), Some(block.last()));
        assert_eq!(block.nth(64), None);
        assert_eq!(block.offset_of("10.0.0.70".parse().unwrap()), Some(6));
        assert_eq!(prefix("10.0.0.0/16").subnet(26, 1), Some(block));
        assert_eq!(prefix("10.0.0.0/16").subnet(26, 1024), None);
        assert_eq!(prefix("fd00::/64").subnet(122, 1), Some(prefix("fd00::40/122")));
        assert_eq!(prefix("::/0").subnet(0, 0), Some(prefix("::/0")));
        assert_eq!(prefix("::/0").subnet(0, 1), None);
        assert_eq!(prefix("::/0").size(), u128::MAX);
        assert_eq!(prefix("0.0.0.0/0").last().to_string(), "255.255.255.255");
    }

    #[test]
    fn a_covering_prefix_sorts_first() {
        let mut prefixes = ["fd00::/8", "10.0.0.0/24", "10.0.0.0/8", "9.0.0.0/8"].map(prefix);
        prefixes.sort();
        assert_eq!(prefixes, ["9.0.0.0/8", "10.0.0.0/8", "10.0.0.0/24", "fd00::/8"].map(prefix));
    }
}
