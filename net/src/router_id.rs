use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use crate::ParseError;
use crate::serde_as_text;

/// A BGP identifier: any four octets but zero, written like an IPv4 address (RFC 6286).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouterId(u32);

impl RouterId {
    /// From the wire's number; `None` for zero.
    pub const fn new(value: u32) -> Option<Self> {
        if value == 0 { None } else { Some(Self(value)) }
    }

    /// The number as on the wire.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<Ipv4Addr> for RouterId {
    type Error = ParseError;

    fn try_from(addr: Ipv4Addr) -> Result<Self, ParseError> {
        Self::new(addr.into())
            .ok_or_else(|| ParseError::new("router id", &addr.to_string(), "must not be 0.0.0.0"))
    }
}

impl fmt::Display for RouterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Ipv4Addr::from(self.0), f)
    }
}

impl FromStr for RouterId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let addr: Ipv4Addr = text.parse().map_err(|_| {
            ParseError::new("router id", text, "four numbers of 0 to 255 with dots between them")
        })?;
        addr.try_into()
    }
}

serde_as_text!(RouterId, "a router id, written like an IPv4 address");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_no_router_id() {
        assert!("0.0.0.0".parse::<RouterId>().is_err());
        assert_eq!("10.0.0.1".parse::<RouterId>().unwrap().get(), 0x0a00_0001);
    }
}
